//! An optional port that speaks HTTP: one thread with a poll, few visitors at a time, each with a deadline.
//!
//! Whoever comes here can at worst keep this thread busy, and that only up to a quarter of a processor: then it
//! rests until the second is over. When all places are taken, the oldest visitor goes.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use thiserror::Error;

use crate::admin::http::{Head, MOST_HEAD_BYTES, Site, read_head};
use crate::runtime::{Address, Clock, Halt, Now};

use super::mailbox::Mailbox;

/// Why the port cannot be had.
#[derive(Debug, Error)]
#[error("cannot listen on {host}:{port}: {source}")]
pub struct HttpBindError {
    host: String,
    port: u16,
    source: io::Error,
}

/// The one letter to the port: the end.
#[derive(Debug)]
pub struct StopHttp;

/// The bound port, before its thread runs.
pub struct HttpPort {
    poll: Poll,
    listener: TcpListener,
    mailbox: Mailbox<StopHttp>,
    local: SocketAddr,
    clock: Arc<dyn Clock>,
}

impl HttpPort {
    /// Binds the port. The address takes the letter that ends it.
    ///
    /// # Errors
    /// [`HttpBindError`].
    pub fn bind(
        host: &str,
        port: u16,
        clock: Arc<dyn Clock>,
    ) -> Result<(HttpPort, Address<StopHttp>), HttpBindError> {
        let bound = bind(host, port, clock);
        bound.map_err(|source| HttpBindError {
            host: host.to_owned(),
            port,
            source,
        })
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Answers until the letter comes.
    ///
    /// # Errors
    /// None that would end the server: if the poll fails, this port alone ends, with a line in the log.
    pub fn run(self, mut site: impl Site) -> Result<(), Halt> {
        let mut port = Loop {
            poll: self.poll,
            listener: self.listener,
            local_only: self.local.ip().is_loopback(),
            visitors: BTreeMap::new(),
            next: FIRST_VISITOR,
            more: false,
        };
        let clock = self.clock;
        let mut budget = Budget::default();
        let mut events = Events::with_capacity(MOST_VISITORS);
        let mut wake_at_ms = clock.now().elapsed_ms;
        loop {
            let waiting = port.sleep(clock.now().elapsed_ms, wake_at_ms);
            if let Err(error) = port.poll.poll(&mut events, Some(waiting))
                && error.kind() != ErrorKind::Interrupted
            {
                log::error!(
                    "the poll of the port {} failed, which ends it: {error}",
                    self.local
                );
                return Ok(());
            }
            let begun_us = clock.elapsed_us();
            let now = clock.now();
            port.round(now, &events, &mut site);
            if now.elapsed_ms >= wake_at_ms {
                wake_at_ms = site.tick(now);
            }
            let rest = budget.spend(begun_us, clock.elapsed_us());
            if self.mailbox.wait(rest).is_some() {
                return Ok(());
            }
        }
    }
}

impl fmt::Debug for HttpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpPort({})", self.local)
    }
}

/// The port at work.
struct Loop {
    poll: Poll,
    listener: TcpListener,
    local_only: bool,
    visitors: BTreeMap<usize, Visitor>,
    next: usize,
    /// Whether somebody may wait to be accepted.
    more: bool,
}

/// One connection: it asks once, is answered once, and goes.
struct Visitor {
    stream: TcpStream,
    /// When it must be gone, elapsed milliseconds.
    until_ms: i64,
    state: State,
}

enum State {
    Asks(Vec<u8>),
    IsAnswered { bytes: Vec<u8>, written: usize },
}

impl Loop {
    fn sleep(&self, now_ms: i64, wake_at_ms: i64) -> Duration {
        if self.more {
            return Duration::ZERO;
        }
        let first_ms = self.visitors.values().map(|visitor| visitor.until_ms).min();
        let at_ms = first_ms.map_or(wake_at_ms, |first_ms| first_ms.min(wake_at_ms));
        Duration::from_millis((at_ms - now_ms).clamp(0, LONGEST_SLEEP_MS).unsigned_abs())
    }

    fn round(&mut self, now: Now, events: &Events, site: &mut impl Site) {
        for event in events {
            match event.token() {
                LISTENER => self.more = true,
                STOP => {}
                Token(number) => self.serve(number, now, site),
            }
        }
        if self.more {
            self.accept(now, site);
        }
        self.visitors
            .retain(|_, visitor| visitor.until_ms > now.elapsed_ms);
    }

    fn accept(&mut self, now: Now, site: &mut impl Site) {
        for _ in 0..MOST_ACCEPTED {
            let Ok((stream, _)) = self.listener.accept() else {
                // Nobody is there, or the one who was has gone, or the system has no room: the next one wakes
                // this loop again.
                self.more = false;
                return;
            };
            self.take_in(stream, now, site);
        }
    }

    fn take_in(&mut self, mut stream: TcpStream, now: Now, site: &mut impl Site) {
        if self.visitors.len() >= MOST_VISITORS {
            self.visitors.pop_first();
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1).max(FIRST_VISITOR);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered = self
            .poll
            .registry()
            .register(&mut stream, Token(number), interest);
        if registered.is_err() {
            return;
        }
        let visitor = Visitor {
            stream,
            until_ms: now.elapsed_ms + PATIENCE_MS,
            state: State::Asks(Vec::new()),
        };
        self.visitors.insert(number, visitor);
        self.serve(number, now, site);
    }

    /// Goes on with a visitor as far as its socket lets it.
    fn serve(&mut self, number: usize, now: Now, site: &mut impl Site) {
        let Some(visitor) = self.visitors.get_mut(&number) else {
            return;
        };
        if !visitor.go_on(now, self.local_only, site) {
            self.visitors.remove(&number);
        }
    }
}

impl Visitor {
    /// Whether it stays.
    fn go_on(&mut self, now: Now, local_only: bool, site: &mut impl Site) -> bool {
        if let State::Asks(head) = &mut self.state {
            let ended = match read_into(&mut self.stream, head) {
                Ok(ended) => ended,
                Err(_) => return false,
            };
            let (page, head_only) = match read_head(head, local_only) {
                Head::Unfinished => return !ended,
                Head::Whole(asked) => (site.answer(now, &asked), asked.head_only),
                Head::Refused(page) => (page, false),
            };
            self.until_ms = now.elapsed_ms + PATIENCE_MS;
            self.state = State::IsAnswered {
                bytes: page.to_bytes(head_only),
                written: 0,
            };
        }
        match &mut self.state {
            State::Asks(_) => true,
            State::IsAnswered { bytes, written } => match write_from(&mut self.stream, bytes, written) {
                Ok(true) => {
                    discard_input(&mut self.stream);
                    false
                }
                Ok(false) => true,
                Err(_) => false,
            },
        }
    }
}

/// Reads what is there, up to a bit more than a head may be. Tells whether the visitor has said its last word.
fn read_into(stream: &mut TcpStream, head: &mut Vec<u8>) -> io::Result<bool> {
    let mut piece = [0; 2048];
    while head.len() < MOST_HEAD_BYTES {
        match stream.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(count) => head.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether all is written.
fn write_from(stream: &mut TcpStream, bytes: &[u8], written: &mut usize) -> io::Result<bool> {
    while let Some(rest) = bytes.get(*written..).filter(|rest| !rest.is_empty()) {
        match stream.write(rest) {
            Ok(count) => *written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Reads what was sent in vain, up to a bound: a socket closed with input unread is reset, and the visitor may
/// lose its answer.
fn discard_input(stream: &mut TcpStream) {
    let mut rubbish = [0; 4096];
    for _ in 0..16 {
        if !matches!(stream.read(&mut rubbish), Ok(count) if count > 0) {
            return;
        }
    }
}

/// How much of a second this thread has worked.
#[derive(Debug, Default)]
struct Budget {
    second: i64,
    spent_us: i64,
}

impl Budget {
    /// Counts work from one moment to another, and tells how long to rest for it.
    fn spend(&mut self, begun_us: i64, ended_us: i64) -> Duration {
        let second = ended_us / SECOND_US;
        if second != self.second {
            (self.second, self.spent_us) = (second, 0);
        }
        self.spent_us += ended_us - begun_us;
        let rest_us = if self.spent_us > MOST_WORK_US {
            (second + 1) * SECOND_US - ended_us
        } else {
            0
        };
        Duration::from_micros(rest_us.unsigned_abs())
    }
}

/// The first address that takes a listener.
fn bind(host: &str, port: u16, clock: Arc<dyn Clock>) -> io::Result<(HttpPort, Address<StopHttp>)> {
    let mut listened = Err(io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in (host, port).to_socket_addrs()? {
        listened = TcpListener::bind(address);
        if listened.is_ok() {
            break;
        }
    }
    let mut listener = listened?;
    let poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let waker = Waker::new(poll.registry(), STOP)?;
    // Not woken, the loop looks within a second.
    let (address, mailbox) = Mailbox::new(move || drop(waker.wake()));
    let port = HttpPort {
        local: listener.local_addr()?,
        poll,
        listener,
        mailbox,
        clock,
    };
    Ok((port, address))
}

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
const FIRST_VISITOR: usize = 2;
/// So many visitors at a time.
const MOST_VISITORS: usize = 64;
/// So many are taken in before those who are here are heard again.
const MOST_ACCEPTED: usize = 16;
/// A visitor has so long to ask, and as long again to take its answer.
const PATIENCE_MS: i64 = 5_000;
const LONGEST_SLEEP_MS: i64 = 1_000;
const SECOND_US: i64 = 1_000_000;
const MOST_WORK_US: i64 = SECOND_US / 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_worked_a_quarter_of_a_second_rests_for_the_others() {
        let mut budget = Budget::default();
        assert_eq!(budget.spend(10_000_000, 10_200_000), Duration::ZERO);
        assert_eq!(budget.spend(10_300_000, 10_400_000), Duration::from_millis(600));
        assert_eq!(budget.spend(11_000_000, 11_100_000), Duration::ZERO);
    }
}
