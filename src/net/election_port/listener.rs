//! Who calls. (QuorumCnxManager.Listener)

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::ElectionConfig;
use super::dialing::prepare;
use super::switchboard::Switchboard;
use crate::clients::address::{JavaAddress, JavaIp};
use crate::net::peer_channel::PeerChannel;
use crate::net::quorum_tls;
use crate::proto::notification::{Greeting, Hello};
use crate::quorum::{LinkEvent, LinkId};

/// Accepts until the port has stopped. Each caller is heard on a thread of its own, so that one that is silent
/// keeps no other waiting.
pub(super) fn accept_all(switchboard: &Arc<Switchboard>, listener: &TcpListener) {
    let mut failing = false;
    while !switchboard.is_stopped() {
        match listener.accept() {
            Ok((stream, from)) if !switchboard.is_stopped() => {
                failing = false;
                welcome(switchboard, stream, from);
            }
            Ok(_) => {}
            Err(error) if is_about_one(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    log::error!(
                        "Exception while listening: {error}; this goes on until a connection is accepted"
                    );
                }
                thread::sleep(REST);
            }
        }
    }
    log::info!("Leaving listener");
}

/// Wakes the listener at this address, which then finds that the port has stopped.
pub(super) fn knock(address: SocketAddr) {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    // The system may have no socket left for a moment, since others are just being closed.
    for _ in 0..KNOCKS {
        match TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            Ok(_) => return,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return, // It has ended by itself.
            Err(error) => log::debug!("cannot wake the listener at {address}: {error}"),
        }
        thread::sleep(REST);
    }
}

fn welcome(switchboard: &Arc<Switchboard>, stream: TcpStream, from: SocketAddr) {
    let Some(link) = switchboard.add(&stream) else {
        return;
    };
    switchboard.add_silent(link);
    let from = SocketAddr::new(from.ip().to_canonical(), from.port());
    let name = format!("QuorumConnectionReceiverThread-{}", JavaAddress(from));
    switchboard.spawn(&name, move |switchboard| {
        let result = hear_who_calls(&switchboard.config, stream).map(|(channel, hello)| {
            switchboard.settle(link, channel);
            hello
        });
        switchboard.remove_silent(link);
        introduce(switchboard, link, from, result);
    });
}

fn introduce(switchboard: &Switchboard, link: LinkId, from: SocketAddr, result: io::Result<Hello>) {
    match result {
        Ok(hello) => switchboard.tell(LinkEvent::Called {
            link,
            sid: hello.sid,
            from: JavaAddress(from).to_string(),
        }),
        Err(error) => {
            switchboard.close(link);
            switchboard.tell(LinkEvent::Nuisance {
                from: JavaIp(from.ip()).to_string(),
                reason: error.to_string(),
            });
        }
    }
}

/// Hears who calls, and lets it prove that, if servers do so.
fn hear_who_calls(config: &ElectionConfig, stream: TcpStream) -> io::Result<(PeerChannel, Hello)> {
    prepare(&stream, config)?;
    let mut channel = quorum_tls::welcome(config.tls.as_deref(), stream, config.hello_timeout())?;
    let hello = channel.within(config.hello_timeout(), hear)?;
    if let Some(auth) = &config.auth {
        auth.accept(&mut channel, config.hello_timeout())?;
    }
    Ok((channel, hello))
}

/// Reads who calls, and not a byte more.
fn hear(channel: &mut PeerChannel) -> io::Result<Hello> {
    let mut bytes = Vec::new();
    loop {
        match Hello::read(&bytes) {
            Ok(Greeting::Complete(hello)) => return Ok(hello),
            Ok(Greeting::Needs(count)) => read_some(channel, &mut bytes, count)?,
            Err(error) => return Err(io::Error::new(ErrorKind::InvalidData, error)),
        }
    }
}

/// Reads what has come, until there are `count` bytes in all.
fn read_some(stream: &mut impl Read, bytes: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let mut chunk = [0; CHUNK_BYTES];
    let wanted = count.saturating_sub(bytes.len()).min(CHUNK_BYTES);
    match stream.read(&mut chunk[..wanted]) {
        Ok(0) => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "the connection was closed before the server's id had come",
        )),
        Ok(read) => {
            bytes.extend_from_slice(&chunk[..read]);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::TimedOut => Err(io::Error::new(
            error.kind(),
            "the server's id did not come in time",
        )),
        Err(error) => Err(error),
    }
}

/// Whether the failure is that of one connection, which went away before it was accepted.
fn is_about_one(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    [ConnectionAborted, ConnectionReset, Interrupted, TimedOut].contains(&error.kind())
}

/// How long the listener rests when the system has no room for a connection.
const REST: Duration = Duration::from_millis(100);
/// How often the listener is woken at most.
const KNOCKS: usize = 10;
const CHUNK_BYTES: usize = 256;
