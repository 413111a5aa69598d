//! Calls to other servers. (QuorumCnxManager.connectOne)

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::switchboard::Switchboard;
use super::{ElectionConfig, java_name, resolve};
use crate::quorum::LinkEvent;
use crate::quorum::link::Dial;

/// Calls a server and says the first words.
pub(super) fn dial(switchboard: &Switchboard, dial: &Dial) {
    let mut address = format!("{}:{}", dial.host, dial.port);
    let result = call(switchboard, dial, &mut address);
    let connected = result.and_then(|stream| {
        let link = switchboard.add(&stream);
        link.ok_or_else(|| io::Error::from(ErrorKind::Interrupted))
    });
    let sid = dial.sid;
    switchboard.tell(match connected {
        Ok(link) => LinkEvent::Dialed { link, sid },
        Err(error) => LinkEvent::DialFailed {
            sid,
            address,
            reason: error.to_string(),
        },
    });
}

/// Tries all addresses of the name one after the other; `tried` is the last one.
fn call(switchboard: &Switchboard, dial: &Dial, tried: &mut String) -> io::Result<TcpStream> {
    let addresses = resolve(&dial.host, dial.port)?;
    let timeout = Duration::from_millis(u64::from(switchboard.config.cnx_timeout_ms));
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
    let mut failure = io::Error::new(ErrorKind::NotFound, "the name stands for no address");
    for address in addresses {
        *tried = java_name(&dial.host, address);
        match connect(switchboard, address, timeout / count) {
            Ok(mut stream) => {
                prepare(&stream, &switchboard.config)?;
                stream.write_all(&dial.hello)?;
                if let Some(auth) = &switchboard.config.auth {
                    auth.introduce(&stream, switchboard.config.hello_timeout())?;
                }
                return Ok(stream);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Connects, unless the port stops meanwhile: a blocking connect could not be called off.
fn connect(switchboard: &Switchboard, address: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
    let end = Instant::now() + timeout;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1);
    let mut stream = mio::net::TcpStream::connect(address)?;
    poll.registry()
        .register(&mut stream, Token(0), Interest::WRITABLE)?;
    while !switchboard.is_stopped() {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(ErrorKind::TimedOut, "connect timed out"));
        }
        match poll.poll(&mut events, Some(left.min(LOOK_UP))) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ if events.is_empty() => continue,
            _ => {}
        }
        if let Some(error) = stream.take_error()? {
            return Err(error);
        }
        match stream.peer_addr() {
            Ok(_) => {
                poll.registry().deregister(&mut stream)?;
                let stream = TcpStream::from(stream);
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(
        ErrorKind::Interrupted,
        "the server is shutting down",
    ))
}

/// The options of a connection. (QuorumCnxManager.setSockOpts)
pub(super) fn prepare(stream: &TcpStream, config: &ElectionConfig) -> io::Result<()> {
    stream.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(stream, config.tcp_keep_alive)?;
    Ok(())
}

/// How often a call looks whether the port has stopped.
const LOOK_UP: Duration = Duration::from_millis(50);
