//! Who has not told yet who it is: connections between their first byte and the end of their TLS handshake.
//!
//! They are bounded in time, in number, and in how much of a round they may take: a handshake costs a thousand times
//! what a request does.

use std::collections::VecDeque;

use crate::proto::ConnId;
use crate::tls::Greeting;

use super::acceptor::Stream;
use super::desk::Desk;
use super::table::{Socket, Table};
use crate::clients::Hangup;

/// Those who greet, the oldest first.
#[derive(Debug)]
pub(super) struct Greetings {
    /// With the time by which each is to have done it, elapsed milliseconds. Some have meanwhile.
    waiting: VecDeque<(i64, ConnId)>,
    limit_ms: i64,
    left_in_round: usize,
}

impl Greetings {
    /// Each may take so many milliseconds.
    pub fn new(limit_ms: i64) -> Greetings {
        Greetings {
            waiting: VecDeque::new(),
            limit_ms,
            left_in_round: 0,
        }
    }

    /// A new round, in which some may go on.
    pub fn begin_round(&mut self) {
        self.left_in_round = MOST_IN_A_ROUND;
    }

    /// A connection was accepted.
    pub fn add(&mut self, conn: ConnId, now_ms: i64) {
        self.waiting.push_back((now_ms + self.limit_ms, conn));
    }

    /// Whether one more may go on in this round. Who may not goes on in the next.
    pub fn take_turn(&mut self) -> bool {
        self.left_in_round = self.left_in_round.saturating_sub(1);
        self.left_in_round > 0
    }

    /// The next one that is to be hung up on: its time is over, or there are too many and it is the slowest.
    pub fn next_late<S>(&mut self, table: &mut Table<S>, now_ms: i64) -> Option<(ConnId, Hangup)> {
        while let Some(&(at_ms, conn)) = self.waiting.front() {
            let greets = table.get(conn).is_some_and(|socket| socket.greets);
            if greets && at_ms > now_ms && self.waiting.len() <= MOST_WAITING {
                return None;
            }
            self.waiting.pop_front();
            if greets {
                return Some((conn, Hangup::NoGreeting(self.limit_ms)));
            }
        }
        None
    }
}

/// Looks how far a connection is after it was read from. What it has said belongs to whom it says it is.
pub(super) fn look(socket: &mut Socket<impl Stream>, desk: &mut Desk) {
    match socket.stream.greeting(socket.cnxn.remote().ip()) {
        Greeting::Pending => {}
        Greeting::Refused(why) => socket.cnxn.hang_up(&Hangup::Certificate(why), &mut desk.round()),
        Greeting::Done { subject } => {
            socket.greets = false;
            if let Some(subject) = subject {
                socket.cnxn.on_certificate(&subject, &mut desk.round());
            }
        }
    }
}

/// So many may go on in one round: a signature with a long RSA key takes a millisecond or two.
const MOST_IN_A_ROUND: usize = 8;
/// Of more the slowest are hung up on. Each holds some 40 KiB.
const MOST_WAITING: usize = 4_096;
