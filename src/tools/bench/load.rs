//! The load itself: one thread and many connections, each of which keeps its requests under way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use crate::proto::requests::RequestHeader;
use crate::proto::responses::ReplyHeader;
use crate::proto::{Encode, OpCode, Xid};
use crate::runtime::time::Stopwatch;

use super::options::Span;
use super::replies::Replies;
use super::requests::Requests;
use super::tally::{Answered, Tally};

/// How the load is driven.
#[derive(Debug, Clone, Copy)]
pub struct Drive {
    /// Requests under way on each connection.
    pub in_flight: usize,
    /// Load before the measurement.
    pub warmup_ns: u64,
    /// The measurement itself.
    pub span: Span,
    /// Width of a window of the series.
    pub window_ns: u64,
}

/// Drives the connections to the end of the span and waits for the last answers; seconds measured.
///
/// # Errors
/// Those of the operating system. A connection that fails alone is counted, and the others go on.
pub fn drive(connections: Vec<(TcpStream, Requests)>, plan: Drive) -> io::Result<(Tally, f64)> {
    let mut load = Load::new(connections, plan)?;
    load.run()?;
    let seconds = load.tally.finish();
    let seconds = match plan.span {
        Span::Seconds(planned) => planned,
        Span::Count(_) => seconds,
    };
    Ok((load.tally, seconds))
}

struct Load {
    poll: Poll,
    lanes: Vec<Lane>,
    watch: Stopwatch,
    tally: Tally,
    plan: Drive,
    /// Requests that may still be sent.
    left: u64,
    end_ns: u64,
}

impl Load {
    fn new(connections: Vec<(TcpStream, Requests)>, plan: Drive) -> io::Result<Load> {
        let poll = Poll::new()?;
        let mut lanes = Vec::with_capacity(connections.len());
        for (index, (stream, requests)) in connections.into_iter().enumerate() {
            stream.set_nonblocking(true)?;
            let mut stream = mio::net::TcpStream::from_std(stream);
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), both)?;
            lanes.push(Lane::new(stream, requests));
        }
        let (left, end_ns) = match plan.span {
            Span::Seconds(seconds) => (u64::MAX, plan.warmup_ns + (seconds * 1e9) as u64),
            Span::Count(count) => (count, u64::MAX),
        };
        let tally = Tally::new(plan.warmup_ns, end_ns, plan.window_ns);
        Ok(Load {
            poll,
            lanes,
            watch: Stopwatch::start(),
            tally,
            plan,
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
        while self.lanes.iter().any(Lane::is_busy) {
            let now_ns = self.watch.elapsed_ns();
            let patience_ns = self.end_ns.saturating_add(LAST_ANSWERS_NS).saturating_sub(now_ns);
            if patience_ns == 0 {
                break;
            }
            self.poll
                .poll(&mut events, Some(Duration::from_nanos(patience_ns.min(POLL_NS))))?;
            for event in &events {
                self.serve(event.token().0, &mut chunk);
            }
        }
        for lane in self.lanes.iter().filter(|lane| lane.is_busy()) {
            let unanswered = lane.sent.len();
            self.tally
                .fault(format!("connection with {unanswered} requests unanswered"));
        }
        self.lanes.iter_mut().for_each(Lane::say_goodbye);
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
                if now_ns < self.end_ns {
                    lane.queue(self.plan.in_flight, now_ns, &mut self.left);
                }
                lane.flush()
            });
        if let Err(error) = outcome {
            lane.is_broken = true;
            self.tally.fault(format!("connection lost: {error}"));
        }
    }
}

/// A connection under load.
struct Lane {
    stream: mio::net::TcpStream,
    requests: Requests,
    replies: Replies,
    sent: VecDeque<Sent>,
    unsent: Vec<u8>,
    written: usize,
    is_broken: bool,
}

#[derive(Clone, Copy)]
struct Sent {
    xid: Xid,
    at_ns: u64,
    is_read: bool,
}

impl Lane {
    fn new(stream: mio::net::TcpStream, requests: Requests) -> Lane {
        Lane {
            stream,
            requests,
            replies: Replies::default(),
            sent: VecDeque::new(),
            unsent: Vec::new(),
            written: 0,
            is_broken: false,
        }
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
            let (now_ns, sent) = (watch.elapsed_ns(), &mut self.sent);
            let mut is_in_order = true;
            let count_one = |header: ReplyHeader| is_in_order &= answer(header, now_ns, sent, tally);
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
        while self.sent.len() < in_flight && *left > 0 {
            let Some((xid, is_read)) = self.requests.write_next(&mut self.unsent) else {
                return;
            };
            self.sent.push_back(Sent { xid, at_ns, is_read });
            *left -= 1;
        }
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

/// How much is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// How long the end waits for answers.
const LAST_ANSWERS_NS: u64 = 30_000_000_000;

/// How often the end is looked for when nothing comes.
const POLL_NS: u64 = 100_000_000;
