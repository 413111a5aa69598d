//! New connections.

use std::fmt::Display;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use crate::clients::address::{JavaAddress, JavaIp};
use crate::clients::{Cnxn, Line};
use crate::proto::ConnId;
use crate::runtime::machine::max_open_files;
use crate::tls::Greeting;

use super::desk::Desk;
use super::table::{Socket, Table};

/// Both directions of a client's connection. What cannot be done at once fails as [`ErrorKind::WouldBlock`]. A write
/// that has failed so is asked for again with the same bytes; a flush writes what the stream has of its own to say.
pub trait Stream: Read + Write {
    /// How far the client is with telling who it is, before anything is heard of it. Who is not asked has done so.
    fn greeting(&self, _remote: IpAddr) -> Greeting {
        Greeting::Done { subject: None }
    }

    /// Nothing more will be written.
    fn end(&mut self) {}
}

/// Where connections come from: the operating system, or a simulated network.
pub trait Listener {
    /// What it gives.
    type Stream: Stream;

    /// Takes the next of those who wait.
    ///
    /// # Errors
    /// [`ErrorKind::WouldBlock`] if nobody waits, or what the operating system says.
    fn accept(&mut self) -> io::Result<(Self::Stream, SocketAddr)>;

    /// From now on what happens to the stream is told under this number, which names its place; what is there
    /// already is told too.
    ///
    /// # Errors
    /// What the operating system says.
    fn watch(&mut self, stream: &mut Self::Stream, slot: usize) -> io::Result<()>;
}

/// The listener, and when it is to be asked.
#[derive(Debug)]
pub(super) struct Acceptor<L> {
    listener: L,
    /// Whether somebody may wait to be accepted. Readiness is told once, so it is remembered here.
    ready: bool,
    /// Until when nobody is accepted, since the system had no room; elapsed milliseconds.
    resting_until_ms: i64,
    warned_ms: i64,
    max_per_address: usize,
    max_in_all: Option<usize>,
    /// How many connections leave the server enough files for its own work: a new log, a snapshot.
    most: usize,
}

impl<L: Listener> Acceptor<L> {
    /// Accepts from `listener`, at most `max_per_address` from one address at once if that is not 0, and
    /// `max_in_all` from all.
    pub fn new(listener: L, max_per_address: usize, max_in_all: Option<usize>) -> Acceptor<L> {
        let (resting_until_ms, warned_ms) = (0, i64::MIN / 2);
        let files = usize::try_from(max_open_files()).unwrap_or(usize::MAX);
        Acceptor {
            most: files - OWN_FILES.min(files / 2),
            listener,
            ready: true,
            resting_until_ms,
            warned_ms,
            max_per_address,
            max_in_all,
        }
    }

    /// The poll says that somebody waits.
    pub fn on_ready(&mut self) {
        self.ready = true;
    }

    /// When somebody is to be accepted next without being told, elapsed milliseconds.
    pub fn wake_at_ms(&self) -> Option<i64> {
        self.ready.then_some(self.resting_until_ms)
    }

    /// Accepts those who wait, up to a number. Gives their connections to `accepted`.
    pub fn accept(&mut self, table: &mut Table<L::Stream>, desk: &mut Desk, accepted: &mut Vec<ConnId>) {
        if !self.ready || desk.now.elapsed_ms < self.resting_until_ms {
            return;
        }
        for _ in 0..MOST_AT_ONCE {
            if table.len() >= self.most {
                return self.rest(&"the rest of the open files is for the server's own", desk);
            }
            match self.listener.accept() {
                Ok((stream, remote)) => {
                    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
                    if self.is_welcome(remote, table, desk) {
                        accepted.extend(self.take_in(stream, remote, table, desk));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready = false;
                    return;
                }
                Err(error) if is_about_one(&error) => {}
                Err(error) => return self.rest(&error, desk),
            }
        }
    }

    fn is_welcome(&self, remote: SocketAddr, table: &Table<L::Stream>, desk: &mut Desk) -> bool {
        if let Some(max) = self.max_in_all.filter(|&max| table.len() >= max) {
            let text = format_args!("Too many connections {} - max is {max}", table.len());
            desk.status.metrics.counters.rejected.add(1);
            let now_ms = desk.now.elapsed_ms;
            desk.quiet.say(Line::TooMany, log::Level::Error, now_ms, text);
            return false;
        }
        let max = self.max_per_address;
        if max == 0 || table.count_of(remote.ip()) < max {
            return true;
        }
        let text = format_args!("Too many connections from {} - max is {max}", JavaIp(remote.ip()));
        desk.status.metrics.counters.rejected.add(1);
        desk.quiet
            .say(Line::TooMany, log::Level::Warn, desk.now.elapsed_ms, text);
        false
    }

    /// The system has no room for one more connection: asking again at once would only burn time.
    fn rest(&mut self, why: &dyn Display, desk: &Desk) {
        let now_ms = desk.now.elapsed_ms;
        self.resting_until_ms = now_ms + REST_MS;
        if now_ms - self.warned_ms >= WARN_EVERY_MS {
            self.warned_ms = now_ms;
            log::warn!("cannot accept a connection: {why}; the next try is in {REST_MS} ms");
        }
    }

    fn take_in(
        &mut self,
        mut stream: L::Stream,
        remote: SocketAddr,
        table: &mut Table<L::Stream>,
        desk: &mut Desk,
    ) -> Option<ConnId> {
        let Some((slot, conn)) = table.reserve() else {
            let text = format_args!("no place for one more connection, from {}", JavaAddress(remote));
            desk.quiet
                .say(Line::Accept, log::Level::Warn, desk.now.elapsed_ms, text);
            return None;
        };
        if let Err(error) = self.listener.watch(&mut stream, slot) {
            let text = format_args!("cannot serve a connection from {}: {error}", JavaAddress(remote));
            desk.quiet
                .say(Line::Accept, log::Level::Warn, desk.now.elapsed_ms, text);
            return None;
        }
        let text = format_args!("Accepted socket connection from {}", JavaAddress(remote));
        desk.quiet
            .say(Line::Accepted, log::Level::Info, desk.now.elapsed_ms, text);
        let greets = stream.greeting(remote.ip()) == Greeting::Pending;
        table.insert(Socket {
            stream,
            greets,
            cnxn: Cnxn::new(conn, remote, desk.now),
            // The poll tells also what was there before the connection was registered.
            readable: false,
            writable: true,
            ended: false,
            queued: false,
            crowded: false,
            dirty: false,
            limited: true,
            warm: false,
            busy: false,
        });
        desk.status.count_connections(1);
        desk.status.metrics.counters.accepted.add(1);
        Some(conn)
    }
}

/// Whether the failure is that of one connection, which went away before it was accepted.
fn is_about_one(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    [ConnectionAborted, ConnectionReset, Interrupted, TimedOut].contains(&error.kind())
}

/// So many open files are kept for logs, snapshots and the listener itself.
const OWN_FILES: usize = 64;
/// So many are accepted before those who are here already are heard again.
const MOST_AT_ONCE: usize = 128;
/// How long the listener rests when the system has no room.
const REST_MS: i64 = 100;
/// How often that is told.
const WARN_EVERY_MS: i64 = 1_000;
