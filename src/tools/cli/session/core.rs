//! What a client's session decides, without socket, thread or clock. (ClientCnxn)
//!
//! Whoever owns it tells it what happened (a connection stands, a frame came, time has passed), and then
//! carries out its actions in their order. Time is in milliseconds that only grow.

mod proving;

use std::collections::VecDeque;

use super::state::{Lost, State, WatchedEvent};
use super::watches::{WatchChange, Watches};
use crate::proto::requests::RequestHeader;
use crate::proto::responses::{ReplyHeader, WatcherEvent};
use crate::proto::{Decode, Encode, ErrorCode, EventType, Malformed, OpCode, Reader, SessionId, Xid, Zxid};
use crate::sasl::ClientExchange;
use crate::tools::client::{Granted, Handshake, Reply};
pub use proving::Login;

/// What a session is to be.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// How many servers there are; they are called by their number.
    pub servers: usize,
    /// Which of them is tried first.
    pub first: usize,
    /// The session timeout wished for.
    pub timeout_ms: i32,
    /// Whether a server without a quorum will do.
    pub read_only: bool,
    /// Whether the first connection is waited for although each server was tried in vain.
    pub wait: bool,
    /// With what it proves who it is, if it does.
    pub login: Option<Login>,
}

/// What the owner is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Connect to a server, and tell of it by `connected` or `lost`.
    Dial(usize),
    /// Close the socket.
    HangUp,
    /// Send these bytes.
    Send(Vec<u8>),
    /// Give the answer to who waits for it.
    Answer(u64, Result<Reply, Lost>),
    /// Tell the user.
    Event(WatchedEvent),
}

/// A request as its sender knows it.
#[derive(Debug)]
pub struct Ask {
    /// By which the answer is found.
    pub ticket: u64,
    /// What is asked.
    pub op: OpCode,
    /// Its record.
    pub record: Vec<u8>,
    /// What it changes of the watches.
    pub watch: Option<WatchChange>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Dials when this time has come.
    Resting {
        until_ms: i64,
    },
    Dialing,
    Greeting {
        until_ms: i64,
    },
    /// The session stands, and it is being proved whose it is.
    Proving {
        until_ms: i64,
    },
    Up,
    Over,
}

/// A session.
#[derive(Debug)]
pub struct SessionCore {
    config: SessionConfig,
    state: State,
    phase: Phase,
    server: usize,
    /// Servers tried in vain since one of them answered.
    failures: usize,
    session: Option<Granted>,
    /// The proof under way, and how many there were.
    exchange: Option<ClientExchange>,
    proofs: u64,
    last_zxid: Zxid,
    auths: Vec<(String, Vec<u8>)>,
    /// Who waits for an identity that is not sent yet, by its place in `auths`, and until when.
    unsent_auths: Vec<(usize, u64, i64)>,
    /// For each auth packet under way, who waits for it.
    auth_waits: VecDeque<Option<u64>>,
    watches: Watches,
    unsent: VecDeque<(Ask, i64)>,
    sent: VecDeque<(Xid, Ask)>,
    next_xid: i32,
    heard_ms: i64,
    sent_ms: i64,
    actions: Vec<Action>,
}

impl SessionCore {
    /// A session that dials at once.
    pub fn new(config: SessionConfig, now_ms: i64) -> SessionCore {
        let server = config.first % config.servers.max(1);
        let mut core = SessionCore {
            config,
            state: State::Connecting,
            phase: Phase::Dialing,
            server,
            failures: 0,
            session: None,
            exchange: None,
            proofs: 0,
            last_zxid: Zxid(0),
            auths: Vec::new(),
            unsent_auths: Vec::new(),
            auth_waits: VecDeque::new(),
            watches: Watches::default(),
            unsent: VecDeque::new(),
            sent: VecDeque::new(),
            next_xid: 1,
            heard_ms: now_ms,
            sent_ms: now_ms,
            actions: Vec::new(),
        };
        core.actions.push(Action::Dial(server));
        core
    }

    /// What is to be done, oldest first.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// What the server granted, if there is a session.
    pub fn session(&self) -> Option<&Granted> {
        self.session.as_ref()
    }

    /// How long a connection may take to come about.
    pub fn dial_limit_ms(&self) -> i64 {
        (self.timeout_ms() / self.config.servers.max(1) as i64).clamp(1_000, LONGEST_DIAL_MS)
    }

    /// Sends a request, or keeps it for the next connection for at most the session's timeout.
    pub fn ask(&mut self, now_ms: i64, ask: Ask) {
        if let Some(lost) = self.over() {
            self.actions.push(Action::Answer(ask.ticket, Err(lost)));
        } else if self.phase == Phase::Up {
            self.send_ask(now_ms, ask);
        } else if matches!(ask.watch, Some(WatchChange::Forget { local: true, .. })) {
            self.lost_ask(ask, Lost::Closed);
        } else {
            let until_ms = now_ms + self.timeout_ms();
            self.unsent.push_back((ask, until_ms));
        }
    }

    /// Ends the session in order; the answer tells when the server knows.
    pub fn close(&mut self, now_ms: i64, ticket: u64) {
        if self.phase == Phase::Up {
            let ask = Ask {
                ticket,
                op: OpCode::CloseSession,
                record: Vec::new(),
                watch: None,
            };
            self.send_ask(now_ms, ask);
        } else {
            self.end(State::Closed, &Lost::Closed);
            self.actions.push(Action::Answer(ticket, Err(Lost::Closed)));
        }
    }

    /// The connection stands.
    pub fn connected(&mut self, now_ms: i64) {
        let hello = Handshake {
            last_zxid_seen: self.last_zxid,
            timeout_ms: self.config.timeout_ms,
            session: self
                .session
                .as_ref()
                .map_or(SessionId(0), |session| session.session),
            password: Some(
                self.session
                    .as_ref()
                    .map_or_else(|| vec![0; 16], |session| session.password.clone()),
            ),
            read_only: Some(self.config.read_only),
            ..Handshake::default()
        };
        self.phase = Phase::Greeting {
            until_ms: now_ms + self.dial_limit_ms(),
        };
        self.send(now_ms, &hello.to_bytes());
    }

    /// The connection is gone, or did not come about.
    pub fn lost(&mut self, now_ms: i64, why: &str) {
        if self.phase == Phase::Over {
            return;
        }
        if matches!(self.phase, Phase::Proving { .. }) {
            return self.end_unproved();
        }
        let was_up = self.phase == Phase::Up;
        let closing = self.sent.iter().any(|(_, ask)| ask.op == OpCode::CloseSession);
        let lost = Lost::Connection(why.to_owned());
        for (_, ask) in std::mem::take(&mut self.sent) {
            self.lost_ask(ask, lost.clone());
        }
        for ticket in std::mem::take(&mut self.auth_waits).into_iter().flatten() {
            self.actions.push(Action::Answer(ticket, Err(lost.clone())));
        }
        if closing {
            self.end(State::Closed, &Lost::Closed);
            return;
        }
        if was_up {
            self.tell("Disconnected");
            self.failures = 0;
        } else {
            self.failures += 1;
        }
        let round_is_over = self.failures >= self.config.servers;
        if round_is_over && self.session.is_none() && !self.config.wait {
            self.fail_unsent(&lost, |_| true);
        }
        self.state = State::Connecting;
        self.server = (self.server + 1) % self.config.servers.max(1);
        let round_ends = self.failures > 0 && self.failures.is_multiple_of(self.config.servers.max(1));
        let pause_ms = if round_ends { PAUSE_MS } else { 0 };
        self.phase = Phase::Resting {
            until_ms: now_ms + pause_ms,
        };
        self.tick(now_ms);
    }

    /// A frame came.
    pub fn frame(&mut self, now_ms: i64, frame: &[u8]) {
        self.heard_ms = now_ms;
        let outcome = match self.phase {
            Phase::Greeting { .. } => self.greeted(now_ms, frame),
            Phase::Proving { .. } => self.token_came(now_ms, frame),
            Phase::Up => self.incoming(now_ms, frame),
            _ => Ok(()),
        };
        if let Err(malformed) = outcome {
            self.break_off(
                now_ms,
                &format!("the server's answer cannot be read: {malformed}"),
            );
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now_ms: i64) {
        match self.phase {
            Phase::Resting { until_ms } if now_ms >= until_ms => {
                self.phase = Phase::Dialing;
                self.actions.push(Action::Dial(self.server));
            }
            Phase::Greeting { until_ms } | Phase::Proving { until_ms } if now_ms >= until_ms => {
                self.break_off(now_ms, "the server did not answer the handshake in time");
            }
            Phase::Up if now_ms >= self.heard_ms + self.read_limit_ms() => {
                self.break_off(now_ms, "the server was silent for too long");
            }
            Phase::Up if now_ms >= self.ping_at_ms() => {
                let header = RequestHeader {
                    xid: Xid::PING,
                    op: OpCode::Ping.number(),
                };
                self.send(now_ms, &header.to_bytes());
            }
            _ => {}
        }
        let lost = Lost::Connection("no server could be reached in time".to_owned());
        self.fail_unsent(&lost, |until_ms| now_ms >= until_ms);
    }

    /// When `tick` has something to do, at the latest.
    pub fn wake_at_ms(&self) -> Option<i64> {
        let of_phase = match self.phase {
            Phase::Resting { until_ms } | Phase::Greeting { until_ms } | Phase::Proving { until_ms } => {
                Some(until_ms)
            }
            Phase::Up => Some(self.ping_at_ms().min(self.heard_ms + self.read_limit_ms())),
            Phase::Dialing | Phase::Over => None,
        };
        let asks = self.unsent.iter().map(|(_, until_ms)| *until_ms);
        let auths = self.unsent_auths.iter().map(|(.., until_ms)| *until_ms);
        of_phase.into_iter().chain(asks).chain(auths).min()
    }

    fn greeted(&mut self, now_ms: i64, frame: &[u8]) -> Result<(), Malformed> {
        let granted = Granted::decode(frame)?;
        if granted.is_refusal() {
            self.tell("Expired");
            self.actions.push(Action::HangUp);
            self.end(State::Closed, &Lost::Expired);
            return Ok(());
        }
        self.failures = 0;
        self.session = Some(granted);
        if !self.begin_proof(now_ms) {
            self.open(now_ms);
        }
        Ok(())
    }

    /// Requests go out from now on.
    fn open(&mut self, now_ms: i64) {
        self.phase = Phase::Up;
        let read_only = self
            .session
            .as_ref()
            .is_some_and(|granted| granted.read_only == Some(true));
        self.state = if read_only {
            State::ReadOnly
        } else {
            State::Connected
        };
        self.tell(if read_only {
            "ConnectedReadOnly"
        } else {
            "SyncConnected"
        });
        let waiting = std::mem::take(&mut self.unsent_auths);
        for index in 0..self.auths.len() {
            let ticket = waiting
                .iter()
                .find(|(at, ..)| *at == index)
                .map(|(_, ticket, _)| *ticket);
            self.send_auth(now_ms, index, ticket);
        }
        for (op, record) in self.watches.requests(self.last_zxid) {
            self.send_request(now_ms, Xid::SET_WATCHES, op, &record);
        }
        for (ask, _) in std::mem::take(&mut self.unsent) {
            self.send_ask(now_ms, ask);
        }
    }

    fn incoming(&mut self, now_ms: i64, frame: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(frame);
        let ReplyHeader { xid, zxid, error } = ReplyHeader::decode(&mut reader)?;
        match xid {
            Xid::NOTIFICATION => self.notified(WatcherEvent::decode(&mut reader)?),
            Xid::SET_WATCHES if error == ErrorCode::Unimplemented => self.lose_lasting_watches(),
            Xid::PING | Xid::SET_WATCHES => {}
            Xid::AUTH => self.auth_answered(xid, zxid, error),
            _ => {
                let body = reader.rest().to_vec();
                self.answered(
                    now_ms,
                    Reply {
                        xid,
                        zxid,
                        error,
                        body,
                    },
                )?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, now_ms: i64, reply: Reply) -> Result<(), Malformed> {
        if self.sent.front().is_none_or(|(xid, _)| *xid != reply.xid) {
            return Err(Malformed::Unknown {
                what: "request number of an answer",
                value: reply.xid.0.into(),
                offset: 0,
            });
        }
        let Some((_, ask)) = self.sent.pop_front() else {
            return Ok(());
        };
        if reply.zxid > Zxid(0) {
            self.last_zxid = reply.zxid;
        }
        let unimplemented = reply.error == ErrorCode::Unimplemented;
        let error = reply.error;
        self.actions.push(Action::Answer(ask.ticket, Ok(reply)));
        match &ask.watch {
            Some(WatchChange::Set(kind, path)) => self.watches.register(*kind, path, error),
            Some(change) if error == ErrorCode::Ok => self.forget_watches(change),
            _ => {}
        }
        if unimplemented && self.sent.is_empty() {
            // A server of 3.4 closes behind this answer, and what was sent meanwhile would be lost.
            self.break_off(now_ms, "the server does not know the operation");
        }
        if ask.op == OpCode::CloseSession {
            self.actions.push(Action::HangUp);
            self.end(State::Closed, &Lost::Closed);
        }
        Ok(())
    }

    fn notified(&mut self, event: WatcherEvent<'_>) {
        if self.watches.fire(event.kind, &event.path) {
            self.tell_of(event.kind, event.path.into_owned());
        }
    }

    /// Watches that are taken back without a server are gone all the same, if that was asked for.
    fn lost_ask(&mut self, ask: Ask, lost: Lost) {
        let answer = match &ask.watch {
            Some(change @ WatchChange::Forget { local: true, .. }) => {
                self.forget_watches(change);
                Ok(Reply {
                    xid: Xid(0),
                    zxid: self.last_zxid,
                    error: ErrorCode::Ok,
                    body: Vec::new(),
                })
            }
            _ => Err(lost),
        };
        self.actions.push(Action::Answer(ask.ticket, answer));
    }

    fn forget_watches(&mut self, change: &WatchChange) {
        if let WatchChange::Forget { kind, path, .. } = change {
            for event in self.watches.forget(*kind, path) {
                self.tell_of(event, path.clone());
            }
        }
    }

    /// The session has come to a server of 3.4, which has no watches that stay: it must not be asked for them again.
    fn lose_lasting_watches(&mut self) {
        for path in self.watches.forget_lasting() {
            self.tell_of(EventType::PersistentWatchRemoved, path);
        }
    }

    fn send_ask(&mut self, now_ms: i64, ask: Ask) {
        let xid = self.fresh_xid();
        self.send_request(now_ms, xid, ask.op, &ask.record);
        self.sent.push_back((xid, ask));
    }

    fn fresh_xid(&mut self) -> Xid {
        let xid = Xid(self.next_xid);
        self.next_xid = self.next_xid.wrapping_add(1).max(1);
        xid
    }

    fn send_request(&mut self, now_ms: i64, xid: Xid, op: OpCode, record: &[u8]) {
        let mut body = RequestHeader { xid, op: op.number() }.to_bytes();
        body.extend_from_slice(record);
        self.send(now_ms, &body);
    }

    fn send(&mut self, now_ms: i64, body: &[u8]) {
        // Nobody builds a request of 2 GiB.
        let mut frame = (body.len() as i32).to_be_bytes().to_vec();
        frame.extend_from_slice(body);
        self.sent_ms = now_ms;
        self.actions.push(Action::Send(frame));
    }

    fn break_off(&mut self, now_ms: i64, why: &str) {
        self.actions.push(Action::HangUp);
        self.lost(now_ms, why);
    }

    fn tell(&mut self, state: &'static str) {
        self.actions.push(Action::Event(WatchedEvent {
            state,
            kind: EventType::None,
            path: None,
        }));
    }

    fn tell_of(&mut self, kind: EventType, path: String) {
        self.actions.push(Action::Event(WatchedEvent {
            state: "SyncConnected",
            kind,
            path: Some(path),
        }));
    }

    fn end(&mut self, state: State, lost: &Lost) {
        (self.state, self.phase) = (state, Phase::Over);
        for (_, ask) in std::mem::take(&mut self.sent) {
            self.actions.push(Action::Answer(ask.ticket, Err(lost.clone())));
        }
        for ticket in std::mem::take(&mut self.auth_waits).into_iter().flatten() {
            self.actions.push(Action::Answer(ticket, Err(lost.clone())));
        }
        self.fail_unsent(lost, |_| true);
    }

    fn fail_unsent(&mut self, lost: &Lost, is_due: impl Fn(i64) -> bool) {
        for (index, ticket, until_ms) in std::mem::take(&mut self.unsent_auths) {
            if is_due(until_ms) {
                self.actions.push(Action::Answer(ticket, Err(lost.clone())));
            } else {
                self.unsent_auths.push((index, ticket, until_ms));
            }
        }
        for (ask, until_ms) in std::mem::take(&mut self.unsent) {
            if is_due(until_ms) {
                self.lost_ask(ask, lost.clone());
            } else {
                self.unsent.push_back((ask, until_ms));
            }
        }
    }

    fn over(&self) -> Option<Lost> {
        match self.state {
            State::Closed => Some(Lost::Closed),
            State::AuthFailed => Some(Lost::AuthFailed),
            _ => None,
        }
    }

    fn timeout_ms(&self) -> i64 {
        let granted = self.session.as_ref().map(|session| session.timeout_ms);
        i64::from(granted.unwrap_or(self.config.timeout_ms)).max(1)
    }

    fn read_limit_ms(&self) -> i64 {
        self.timeout_ms() * 2 / 3
    }

    fn ping_at_ms(&self) -> i64 {
        self.sent_ms + (self.read_limit_ms() / 2).min(LONGEST_SILENCE_MS)
    }
}

/// Between two rounds through all servers.
const PAUSE_MS: i64 = 1_000;
/// A server that does not answer is given up for the next.
const LONGEST_DIAL_MS: i64 = 5_000;
/// A ping is sent at least so often. (MAX_SEND_PING_INTERVAL)
const LONGEST_SILENCE_MS: i64 = 10_000;

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
