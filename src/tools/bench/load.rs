//! The load itself: one thread and many connections, each of which keeps its requests under way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use crate::proto::requests::RequestHeader;
use crate::proto::responses::ReplyHeader;
use crate::proto::{Encode, OpCode, Xid, Zxid};
use crate::runtime::time::Stopwatch;

use super::dialer::Dialer;
use super::options::Span;
use super::pace::{Pace, Timer};
use super::replies::Replies;
use super::requests::Requests;
use super::tally::{Answered, Tally};
use crate::tools::stream::Stream;

/// How the load is driven.
#[derive(Debug)]
pub struct Drive {
    /// Requests under way on each connection.
    pub in_flight: usize,
    /// Load before the measurement.
    pub warmup_ns: u64,
    /// The measurement itself.
    pub span: Span,
    /// Width of a window of the series.
    pub window_ns: u64,
    /// When operations are due; without it each answer brings the next one.
    pub pace: Option<Pace>,
    /// Who makes lost connections anew; without it they stay lost.
    pub dialer: Option<Dialer>,
}

/// What a load gave.
#[derive(Debug)]
pub struct Driven {
    /// What was counted.
    pub tally: Tally,
    /// Seconds measured.
    pub seconds: f64,
    /// How many operations were due and could not even be sent until the end.
    pub unsent: u64,
}

/// Drives the connections to the end of the span and waits for the last answers.
///
/// # Errors
/// Those of the operating system. A connection that fails alone is counted, and the others go on.
pub fn drive(connections: Vec<(Stream<TcpStream>, Requests)>, plan: Drive) -> io::Result<Driven> {
    let span = plan.span;
    let mut load = Load::new(connections, plan)?;
    load.run()?;
    let seconds = load.tally.finish();
    let end_ns = load.end_ns.min(load.watch.elapsed_ns());
    let unsent = load.plan.pace.as_ref().map_or(0, |pace| pace.behind(end_ns));
    Ok(Driven {
        tally: load.tally,
        seconds: match span {
            Span::Seconds(planned) => planned,
            Span::Count(_) => seconds,
        },
        unsent: if load.left == 0 { 0 } else { unsent },
    })
}

struct Load {
    poll: Poll,
    lanes: Vec<Lane>,
    watch: Stopwatch,
    tally: Tally,
    plan: Drive,
    timer: Timer,
    /// Which connection the next operation that is due goes to, if it has room.
    turn: usize,
    /// How many connections are being made anew.
    away: usize,
    /// Requests that may still be sent.
    left: u64,
    end_ns: u64,
}

impl Load {
    fn new(connections: Vec<(Stream<TcpStream>, Requests)>, plan: Drive) -> io::Result<Load> {
        let poll = Poll::new()?;
        let mut lanes = Vec::with_capacity(connections.len());
        for (index, (stream, requests)) in connections.into_iter().enumerate() {
            lanes.push(Lane::new(enter(&poll, index, stream)?, requests));
        }
        let (left, end_ns) = match plan.span {
            Span::Seconds(seconds) => (u64::MAX, plan.warmup_ns + (seconds * 1e9) as u64),
            Span::Count(count) => (count, u64::MAX),
        };
        let tally = Tally::new(plan.warmup_ns, end_ns, plan.window_ns);
        Ok(Load {
            timer: Timer::new(poll.registry(), TIMER)?,
            poll,
            lanes,
            watch: Stopwatch::start(),
            tally,
            plan,
            turn: 0,
            away: 0,
            left,
            end_ns,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        for index in 0..self.lanes.len() {
            self.serve(index, &mut []);
        }
        let mut events = Events::with_capacity(1024);
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.goes_on() {
            self.send_what_is_due()?;
            let now_ns = self.watch.elapsed_ns();
            let patience_ns = self.end_ns.saturating_add(LAST_ANSWERS_NS).saturating_sub(now_ns);
            if patience_ns == 0 {
                break;
            }
            let most_ns = if self.away > 0 { DIAL_POLL_NS } else { POLL_NS };
            self.poll
                .poll(&mut events, Some(Duration::from_nanos(patience_ns.min(most_ns))))?;
            for event in events.iter().filter(|event| event.token() != TIMER) {
                self.serve(event.token().0, &mut chunk);
            }
            self.welcome_back()?;
        }
        for lane in self.lanes.iter().filter(|lane| lane.is_busy()) {
            let unanswered = lane.sent.len();
            self.tally
                .fault(format!("connection with {unanswered} requests unanswered"));
        }
        self.lanes.iter_mut().for_each(Lane::say_goodbye);
        Ok(())
    }

    /// Whether an answer is awaited, or something is still to be sent although none is.
    fn goes_on(&self) -> bool {
        if self.lanes.iter().any(Lane::is_busy) {
            return true;
        }
        let may_send = self.left > 0 && self.watch.elapsed_ns() < self.end_ns;
        let is_paced = self.plan.pace.is_some() && self.lanes.iter().any(|lane| !lane.is_broken);
        may_send && (is_paced || self.away > 0)
    }

    /// Begins the operations that are due, on one connection after the other, and sets the timer for the next.
    fn send_what_is_due(&mut self) -> io::Result<()> {
        let now_ns = self.watch.elapsed_ns();
        let Some(pace) = &mut self.plan.pace else {
            return Ok(());
        };
        let mut full = 0;
        while full < self.lanes.len() && self.left > 0 && now_ns < self.end_ns {
            let due_ns = pace.next_ns();
            if due_ns > now_ns {
                self.timer.set(due_ns - now_ns)?;
                break;
            }
            let count = self.lanes.len();
            let lane = &mut self.lanes[self.turn];
            self.turn = (self.turn + 1) % count;
            if lane.is_broken || lane.sent.len() >= self.plan.in_flight {
                full += 1;
                continue;
            }
            full = 0;
            if !lane.queue_one(due_ns) {
                self.left = 0;
                break;
            }
            self.left -= 1;
            pace.advance();
        }
        for index in 0..self.lanes.len() {
            if !self.lanes[index].unsent.is_empty() {
                let outcome = self.lanes[index].flush();
                self.settle(index, outcome);
            }
        }
        Ok(())
    }

    /// Takes what has come on a connection and sends as much again.
    fn serve(&mut self, index: usize, chunk: &mut [u8]) {
        let lane = &mut self.lanes[index];
        if lane.is_broken {
            return;
        }
        let outcome = lane
            .take_answers(chunk, &self.watch, &mut self.tally)
            .and_then(|()| {
                let now_ns = self.watch.elapsed_ns();
                if now_ns < self.end_ns && self.plan.pace.is_none() {
                    lane.queue(self.plan.in_flight, now_ns, &mut self.left);
                }
                lane.flush()
            });
        self.settle(index, outcome);
    }

    /// A connection that is lost is counted, and made anew if that was asked for.
    fn settle(&mut self, index: usize, outcome: io::Result<()>) {
        let Err(error) = outcome else { return };
        self.lanes[index].is_broken = true;
        self.tally.fault(format!("connection lost: {error}"));
        if let Some(dialer) = &self.plan.dialer {
            dialer.ask(index);
            self.away += 1;
        }
    }

    /// Goes on with connections that have been made anew. What was under way on the old ones is lost.
    fn welcome_back(&mut self) -> io::Result<()> {
        while let Some((index, stream)) = self.plan.dialer.as_ref().and_then(Dialer::take) {
            self.away -= 1;
            let stream = enter(&self.poll, index, stream)?;
            self.lanes[index].begin_anew(stream);
            self.serve(index, &mut []);
        }
        Ok(())
    }
}

/// Lets the poll watch a connection.
fn enter(poll: &Poll, index: usize, stream: Stream<TcpStream>) -> io::Result<Stream<mio::net::TcpStream>> {
    let mut stream = stream.for_poll()?;
    let both = Interest::READABLE | Interest::WRITABLE;
    poll.registry()
        .register(stream.socket_mut(), Token(index), both)?;
    Ok(stream)
}

/// A connection under load.
struct Lane {
    stream: Stream<mio::net::TcpStream>,
    requests: Requests,
    replies: Replies,
    sent: VecDeque<Sent>,
    unsent: Vec<u8>,
    written: usize,
    /// The newest change that an answer has shown.
    zxid: Zxid,
    is_broken: bool,
}

#[derive(Clone, Copy)]
struct Sent {
    xid: Xid,
    at_ns: u64,
    is_read: bool,
}

impl Lane {
    fn new(stream: Stream<mio::net::TcpStream>, requests: Requests) -> Lane {
        Lane {
            stream,
            requests,
            replies: Replies::default(),
            sent: VecDeque::new(),
            unsent: Vec::new(),
            written: 0,
            zxid: Zxid(0),
            is_broken: false,
        }
    }

    /// Goes on with another connection and its new session.
    fn begin_anew(&mut self, stream: Stream<mio::net::TcpStream>) {
        self.stream = stream;
        self.replies = Replies::default();
        self.sent.clear();
        self.unsent.clear();
        self.written = 0;
        self.zxid = Zxid(0);
        self.is_broken = false;
    }

    fn is_busy(&self) -> bool {
        !self.is_broken && !self.sent.is_empty()
    }

    /// Reads until the socket is empty, which a read that does not fill the chunk shows as well.
    fn take_answers(&mut self, chunk: &mut [u8], watch: &Stopwatch, tally: &mut Tally) -> io::Result<()> {
        while !chunk.is_empty() {
            let count = match self.stream.read(chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let (now_ns, sent, newest) = (watch.elapsed_ns(), &mut self.sent, &mut self.zxid);
            let mut is_in_order = true;
            let count_one = |header: ReplyHeader| {
                is_in_order &= header.zxid >= *newest || header.xid == Xid::NOTIFICATION;
                *newest = header.zxid.max(*newest);
                is_in_order &= answer(header, now_ns, sent, tally);
            };
            self.replies
                .feed(&chunk[..count], count_one)
                .map_err(io::Error::other)?;
            if !is_in_order {
                return Err(io::Error::other("an answer out of order"));
            }
            if count < chunk.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Fills the window of requests under way.
    fn queue(&mut self, in_flight: usize, at_ns: u64, left: &mut u64) {
        while self.sent.len() < in_flight && *left > 0 && self.queue_one(at_ns) {
            *left -= 1;
        }
    }

    /// One request more, if there is one.
    fn queue_one(&mut self, at_ns: u64) -> bool {
        let Some((xid, is_read)) = self.requests.write_next(&mut self.unsent) else {
            return false;
        };
        self.sent.push_back(Sent { xid, at_ns, is_read });
        true
    }

    /// Ends the session, so that nothing of it is left for its timeout. Whether it arrives is not looked at.
    fn say_goodbye(&mut self) {
        if !self.is_broken && self.unsent.is_empty() {
            8i32.encode(&mut self.unsent);
            let op = OpCode::CloseSession.number();
            RequestHeader { xid: Xid(1), op }.encode(&mut self.unsent);
            drop(self.flush());
        }
    }

    /// Writes as much as the socket takes.
    fn flush(&mut self) -> io::Result<()> {
        while self.written < self.unsent.len() {
            match self.stream.write(&self.unsent[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.clear();
        self.written = 0;
        Ok(())
    }
}

/// Counts one answer; false if it is not that of the oldest request. Events are none.
fn answer(header: ReplyHeader, now_ns: u64, sent: &mut VecDeque<Sent>, tally: &mut Tally) -> bool {
    if header.xid == Xid::NOTIFICATION {
        return true;
    }
    let Some(Sent { xid, at_ns, is_read }) = sent.pop_front() else {
        return false;
    };
    tally.record(Answered {
        sent_ns: at_ns,
        now_ns,
        is_read,
        error: header.error,
    });
    xid == header.xid
}

/// The timer's token; connections have theirs by number.
const TIMER: Token = Token(usize::MAX);

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// How long the end waits for answers.
const LAST_ANSWERS_NS: u64 = 30_000_000_000;

/// How often the end is looked for when nothing comes.
const POLL_NS: u64 = 100_000_000;

/// How often connections that were made anew are looked for.
const DIAL_POLL_NS: u64 = 5_000_000;
