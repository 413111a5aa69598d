//! Calls to other servers. (QuorumCnxManager.connectOne)

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};

use super::switchboard::Switchboard;
use super::{ElectionConfig, java_name, resolve};
use crate::net::peer_channel::PeerChannel;
use crate::quorum::link::Dial;
use crate::quorum::{LinkEvent, LinkId};

/// Calls a server and says the first words.
pub(super) fn dial(switchboard: &Switchboard, dial: &Dial) {
    let mut address = format!("{}:{}", dial.host, dial.port);
    let called =
        call(switchboard, dial, &mut address).and_then(|stream| introduce(switchboard, dial, stream));
    let sid = dial.sid;
    switchboard.tell(match called {
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
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// Says the first words on a connection, which is in the table already: whoever stops the port ends them.
fn introduce(switchboard: &Switchboard, dial: &Dial, stream: TcpStream) -> io::Result<LinkId> {
    let link = switchboard.add(&stream);
    let link = link.ok_or_else(|| io::Error::from(ErrorKind::Interrupted))?;
    match say_first_words(&switchboard.config, dial, stream) {
        Ok(channel) => {
            switchboard.settle(link, channel);
            Ok(link)
        }
        Err(error) => {
            switchboard.close(link);
            Err(error)
        }
    }
}

fn say_first_words(config: &ElectionConfig, dial: &Dial, stream: TcpStream) -> io::Result<PeerChannel> {
    prepare(&stream, config)?;
    let mut channel = PeerChannel::new(stream);
    if let Some(tls) = &config.tls {
        channel = tls.call(channel, &dial.host, config.hello_timeout())?;
    }
    channel.write_all(&dial.hello)?;
    if let Some(auth) = &config.auth {
        auth.introduce(&mut channel, config.hello_timeout())?;
    }
    Ok(channel)
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
