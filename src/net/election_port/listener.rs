//! Who calls. (QuorumCnxManager.Listener)

use std::io::{self, ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::dialing::prepare;
use super::switchboard::Switchboard;
use crate::clients::address::{JavaAddress, JavaIp};
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
        let result = hear(switchboard, &stream).and_then(|hello| {
            switchboard.keep_early(link, authenticate(switchboard, &stream)?);
            Ok(hello)
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

/// Lets the caller prove who it is, if servers do that; gives what was read of its messages.
fn authenticate(switchboard: &Switchboard, stream: &TcpStream) -> io::Result<Vec<u8>> {
    match &switchboard.config.auth {
        Some(auth) => auth.accept(stream, switchboard.config.hello_timeout()),
        None => Ok(Vec::new()),
    }
}

/// Reads who calls, and not a byte more.
fn hear(switchboard: &Switchboard, mut stream: &TcpStream) -> io::Result<Hello> {
    prepare(stream, &switchboard.config)?;
    let end = Instant::now() + switchboard.config.hello_timeout();
    let mut bytes = Vec::new();
    loop {
        match Hello::read(&bytes) {
            Ok(Greeting::Complete(hello)) => {
                stream.set_read_timeout(None)?;
                return Ok(hello);
            }
            Ok(Greeting::Needs(count)) => {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(too_late());
                }
                stream.set_read_timeout(Some(left))?;
                read_some(&mut stream, &mut bytes, count)?;
            }
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
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(too_late()),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        Err(error) => Err(error),
    }
}

fn too_late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the server's id did not come in time")
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
