//! One client's connection. (NIOServerCnxn)

use std::net::SocketAddr;
use std::sync::Arc;

use crate::auth::ip_identity;
use crate::proto::requests::RequestHeader;
use crate::proto::{ConnId, Decode, ErrorCode, OpCode, Reader, SessionId, Xid, Zxid};
use crate::request::connections::ConnectionInfo;
use crate::request::{Identities, Origin, Outcome, ReplyEntry, Request};
use crate::runtime::Now;
use crate::sasl::ServerExchange;

use super::address::JavaAddress;
use super::ask::{Ask, Asked};
use super::cnxn_stats::CnxnStats;
use super::four_letter_words::{Word, WordCall};
use super::hangup::Hangup;
use super::outbox::Outbox;
use super::quiet::Line;
use super::{Hosting, Round};

/// A connection, from its first byte to its last. Small while it idles: see [`Cnxn::cool`].
#[derive(Debug)]
pub struct Cnxn {
    pub(super) id: ConnId,
    pub(super) remote: SocketAddr,
    pub(super) state: State,
    /// Whether the handshake lacked the byte `readOnly`, so that the answer must lack it too.
    pub(super) is_old: bool,
    pub(super) session: SessionId,
    pub(super) timeout_ms: i32,
    pub(super) identities: Identities,
    /// Its attempt to authenticate with SASL, once it has begun one.
    pub(super) sasl: Option<Box<ServerExchange>>,
    /// The beginning of a frame that has not come whole, and what came while nothing was to be read.
    input: Vec<u8>,
    outbox: Outbox,
    pub(super) stats: CnxnStats,
    /// Whether the input was left alone for another reason than that its last frame has not come whole.
    has_work: bool,
    /// Requests of this connection inside the chain.
    inside: u64,
}

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The next four bytes are a word, or the length of a handshake.
    Fresh,
    /// The session is being made or judged elsewhere; nothing is read.
    Waiting,
    /// Frames are requests.
    Open,
    /// Nothing is read any more; closed when all is written.
    Closing,
    /// To be closed at once.
    Dead,
}

/// Why nothing is read from a connection at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It is read.
    No,
    /// Too many requests are inside, some of them its own. (`globalOutstandingLimit`)
    Crowded,
    /// It does not read its answers.
    Unread,
    /// Its session does not exist yet, or it is closing.
    Never,
}

/// What is to become of the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Stay,
    /// It is closed when all is written.
    CloseWhenWritten,
    /// It is closed at once.
    Close,
}

/// What one run over the input knows of the session, so that it is looked up once.
#[derive(Debug, Clone, Copy)]
struct Standing {
    /// The session was alive when it was touched.
    alive: bool,
    /// Its reads may be answered here without asking the chain.
    owned: bool,
}

impl Cnxn {
    /// A connection just accepted.
    pub fn new(id: ConnId, remote: SocketAddr, now: Now) -> Cnxn {
        Cnxn {
            id,
            remote,
            state: State::Fresh,
            is_old: false,
            session: SessionId(0),
            timeout_ms: 0,
            identities: Arc::from([ip_identity(remote.ip())]),
            sasl: None,
            input: Vec::new(),
            outbox: Outbox::default(),
            stats: CnxnStats::new(now.wall_ms),
            has_work: false,
            inside: 0,
        }
    }

    /// Its number.
    pub fn id(&self) -> ConnId {
        self.id
    }

    /// The client's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Its session, 0 before it has one.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Everybody it has proved to be.
    pub fn identities(&self) -> &Identities {
        &self.identities
    }

    /// Whether it has not even asked for a session yet.
    pub fn is_fresh(&self) -> bool {
        self.state == State::Fresh
    }

    /// Whether frames wait that have not been gone through: they came in a pause, or were too many for one
    /// round. A frame that has not come whole is no work.
    pub fn has_work(&self) -> bool {
        self.has_work
    }

    /// What is to become of its socket.
    pub fn fate(&self) -> Fate {
        match self.state {
            State::Fresh | State::Waiting | State::Open => Fate::Stay,
            State::Closing => Fate::CloseWhenWritten,
            State::Dead => Fate::Close,
        }
    }

    /// Why nothing is read from it, with so much room left inside.
    pub fn pause(&self, room: i64) -> Pause {
        match self.state {
            State::Waiting | State::Closing | State::Dead => Pause::Never,
            State::Fresh | State::Open if self.outbox.unsent().len() > MOST_UNREAD_BYTES => Pause::Unread,
            State::Fresh | State::Open if room < 0 && self.inside > 0 => Pause::Crowded,
            State::Fresh | State::Open => Pause::No,
        }
    }

    /// Takes what has come from the socket, and goes through what waits from before. With no bytes it only
    /// does the latter: what is to be done when a pause has ended.
    pub fn on_bytes(&mut self, bytes: &[u8], round: &mut Round<'_>) {
        if self.input.is_empty() {
            let used = self.parse(bytes, round);
            self.input.extend_from_slice(&bytes[used..]);
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(bytes);
            let used = self.parse(&input, round);
            if used < input.len() {
                input.drain(..used);
                self.input = input;
            }
        }
        if self.fate() != Fate::Stay {
            self.input = Vec::new();
            self.has_work = false;
        }
    }

    /// The client has sent the end of its stream. A closing connection still gets its answers.
    pub fn on_end_of_stream(&mut self, round: &mut Round<'_>) {
        if self.state != State::Closing {
            self.hang_up(&Hangup::EndOfStream, round);
        }
    }

    /// Something is wrong with this connection: says so, and closes it.
    pub fn hang_up(&mut self, why: &Hangup, round: &mut Round<'_>) {
        if self.state != State::Dead
            && let Some(line) = why.line(self.session)
        {
            let now_ms = round.now.elapsed_ms;
            round
                .quiet
                .say(Line::Hangup, log::Level::Warn, now_ms, format_args!("{line}"));
        }
        self.state = State::Dead;
    }

    /// Takes what the processors have for this connection.
    pub fn on_reply(&mut self, entry: &ReplyEntry, frame: &[u8], round: &mut Round<'_>) {
        if entry.outcome != Outcome::Event {
            self.inside = self.inside.saturating_sub(1);
        }
        if self.fate() != Fate::Stay {
            return;
        }
        // One frame may be as long as it is; what is bounded is what piles up before it.
        let unsent = self.outbox.unsent().len();
        if unsent > MOST_UNSENT_BYTES {
            return self.hang_up(&Hangup::Unread(unsent), round);
        }
        match entry.outcome {
            Outcome::Event => self.outbox.push(frame),
            // Its session was refused on the way: it never saw a request answered, but a handshake.
            Outcome::Answer if self.state == State::Waiting => self.finish_handshake(false, round),
            Outcome::Answer => self.answer(entry, frame, round.now),
            Outcome::AnswerAndClose => {
                self.answer(entry, frame, round.now);
                self.state = State::Closing;
            }
            Outcome::SessionCreated => {
                self.count_answer(
                    entry.xid,
                    entry.zxid,
                    entry.op,
                    entry.received_us / 1_000,
                    round.now,
                );
                self.finish_handshake(true, round);
            }
            Outcome::Close => self.state = State::Closing,
        }
    }

    /// Writes one answer of the loop's own. Answers to a connection that is about to close still go out.
    pub fn on_answer(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.state != State::Dead {
            self.outbox.push_with(write);
        }
    }

    /// Counts an answer in the figures of this connection.
    pub fn count_answer(&mut self, xid: Xid, zxid: Zxid, op: OpCode, received_ms: i64, now: Now) {
        self.stats.answered(xid, zxid, op, received_ms, now.elapsed_ms);
    }

    /// Closes the connection once what waits is written.
    pub fn close_when_written(&mut self) {
        if self.state != State::Dead {
            self.state = State::Closing;
        }
    }

    /// The bytes to be written.
    pub fn unsent(&self) -> &[u8] {
        self.outbox.unsent()
    }

    /// The socket has taken `count` bytes; gives how many frames that completes.
    pub fn sent(&mut self, count: usize) -> u64 {
        let frames = self.outbox.advance(count);
        self.stats.count_sent(frames);
        frames
    }

    /// Whether it holds memory that it needs only while it is busy.
    pub fn is_warm(&self) -> bool {
        self.outbox.capacity() > 0
    }

    /// Gives that memory back.
    pub fn cool(&mut self) {
        self.outbox.cool();
    }

    /// Figures back to zero. (`crst`)
    pub fn reset_stats(&mut self) {
        self.stats.reset();
    }

    /// The connection's part of `cons`, or of `stat` if it is to be brief. (dumpConnectionInfo)
    pub fn describe(&self, brief: bool, room: i64) -> String {
        let ops = self.interest_ops(room);
        let (received, sent) = self.stats.packets();
        let session = match self.session {
            SessionId(0) => String::new(),
            _ if brief => String::new(),
            session => self.stats.describe(session, self.timeout_ms),
        };
        let remote = JavaAddress(self.remote);
        format!(
            " {remote}[{ops:x}](queued={},recved={received},sent={sent}{session})",
            self.inside
        )
    }

    /// The same as figures.
    pub fn info(&self, room: i64) -> ConnectionInfo {
        let (received, sent) = self.stats.packets();
        let session = (self.session != SessionId(0)).then(|| self.stats.info(self.session, self.timeout_ms));
        ConnectionInfo {
            conn: self.id,
            remote: self.remote,
            interest_ops: self.interest_ops(room),
            outstanding: self.inside,
            received,
            sent,
            session,
        }
    }

    fn interest_ops(&self, room: i64) -> u8 {
        let reads = u8::from(self.pause(room) == Pause::No);
        reads | if self.outbox.is_empty() { 0 } else { INTEREST_WRITE }
    }

    /// The line that the log gets when the socket is closed. (closeSock)
    pub fn closed_line(&self) -> String {
        let remote = JavaAddress(self.remote);
        match self.session {
            SessionId(0) => {
                format!("Closed socket connection for client {remote} (no session established for client)")
            }
            session => format!("Closed socket connection for client {remote} which had sessionid {session}"),
        }
    }

    /// Goes through whole frames and gives how many bytes they were.
    fn parse(&mut self, bytes: &[u8], round: &mut Round<'_>) -> usize {
        let mut used = 0;
        let mut standing = None;
        let most_asks = round.wishes.asks.len() + MOST_ASKS;
        self.has_work = true;
        while self.pause(round.room) == Pause::No && round.wishes.asks.len() < most_asks {
            match self.take_next(&bytes[used..], &mut standing, round) {
                Ok(0) => {
                    self.has_work = false;
                    break;
                }
                Ok(count) => used += count,
                Err(why) => self.hang_up(&why, round),
            }
        }
        self.has_work &= used < bytes.len();
        used
    }

    /// Takes the next frame or word, if it has come whole; gives its bytes.
    fn take_next(
        &mut self,
        bytes: &[u8],
        standing: &mut Option<Standing>,
        round: &mut Round<'_>,
    ) -> Result<usize, Hangup> {
        let Some((first, rest)) = bytes.split_first_chunk::<4>() else {
            return Ok(0);
        };
        if self.state == State::Fresh
            && let Some(word) = Word::of(*first)
        {
            return Ok(self.take_word(word, rest, round));
        }
        if self.state == State::Fresh && first.starts_with(TLS_RECORD) {
            return Err(Hangup::UnexpectedTls);
        }
        let length = i32::from_be_bytes(*first);
        let in_bounds = |&count: &usize| count <= round.rules.max_frame_bytes;
        let count = usize::try_from(length)
            .ok()
            .filter(in_bounds)
            .ok_or(Hangup::Length(length))?;
        let hosting = round.hosting.ok_or(Hangup::NotServing)?;
        let Some(frame) = rest.get(..count) else {
            return Ok(0);
        };
        self.count_received(round);
        if self.state == State::Fresh {
            self.on_handshake(frame, hosting, round)?;
        } else {
            self.on_request(frame, hosting, standing, round)?;
        }
        Ok(4 + count)
    }

    /// A four-letter word. What follows it is ignored, but for the mask of `stmk`.
    fn take_word(&mut self, word: Word, rest: &[u8], round: &mut Round<'_>) -> usize {
        let allowed = round.rules.words.allows(word);
        let takes_mask = word == Word::SetTraceMask && allowed;
        let mask = rest.first_chunk::<8>().filter(|_| takes_mask);
        let mask = mask.copied().map(i64::from_be_bytes);
        if takes_mask && mask.is_none() {
            return 0;
        }
        self.count_received(round);
        if allowed {
            let text = format_args!(
                "Processing {} command from {}",
                word.name(),
                JavaAddress(self.remote)
            );
            round
                .quiet
                .say(Line::Word, log::Level::Info, round.now.elapsed_ms, text);
        }
        let (conn, mask) = (self.id, mask.unwrap_or(0));
        round.wishes.words.push(WordCall {
            conn,
            word,
            allowed,
            mask,
        });
        self.state = State::Closing;
        4 + rest.len()
    }

    /// A frame of a connection that has its session. (ZooKeeperServer.processPacket)
    fn on_request(
        &mut self,
        frame: &[u8],
        hosting: Hosting<'_>,
        standing: &mut Option<Standing>,
        round: &mut Round<'_>,
    ) -> Result<(), Hangup> {
        let mut reader = Reader::new(frame);
        let header = RequestHeader::decode(&mut reader)?;
        let body = reader.rest();
        match OpCode::of(header.op) {
            Some(OpCode::Auth) => self.on_auth(header.xid, body, round),
            Some(OpCode::Sasl) => self.on_sasl(header.xid, body, round),
            _ if !self.may_ask(round) => {
                self.refuse_stranger(header.xid, round);
                Ok(())
            }
            op => {
                let standing = *standing.get_or_insert_with(|| self.look_up(hosting, round.now));
                if standing.alive {
                    self.on_operation(
                        header,
                        op.filter(|&op| is_a_client_s(op, body)),
                        body,
                        standing.owned,
                        round,
                    );
                } else {
                    log::debug!(
                        "Dropping request: No session with sessionid {} exists",
                        self.session
                    );
                }
                Ok(())
            }
        }
    }

    /// Touches the session. (ZooKeeperServer.touch)
    fn look_up(&self, hosting: Hosting<'_>, now: Now) -> Standing {
        let alive = hosting
            .sessions
            .touch(self.session, self.timeout_ms, now.elapsed_ms);
        Standing {
            alive,
            owned: alive && hosting.sessions.check(self.session, None).is_ok(),
        }
    }

    /// A request proper: answered by the loop if nothing is before it, else sent through the chain.
    fn on_operation(
        &mut self,
        header: RequestHeader,
        op: Option<OpCode>,
        body: &[u8],
        owned: bool,
        round: &mut Round<'_>,
    ) {
        let at_once = owned && self.inside == 0;
        match op {
            Some(OpCode::Ping) if at_once => self.ask(header.xid, Asked::Ping, round),
            Some(op) if at_once && op.is_read() => {
                let begin = round.wishes.ask_bytes.len();
                round.wishes.ask_bytes.extend_from_slice(body);
                let record = begin..round.wishes.ask_bytes.len();
                self.ask(header.xid, Asked::Read(op, record), round);
            }
            Some(op) => self.send_inside(header.xid, op, body.to_vec(), round),
            None => {
                let text = format_args!("Received packet at server of unknown type {}", header.op);
                round
                    .quiet
                    .say(Line::Unknown, log::Level::Warn, round.now.elapsed_ms, text);
                let refusal = Asked::Header(Zxid(-1), ErrorCode::Unimplemented);
                self.ask(header.xid, refusal, round);
                self.state = State::Closing;
            }
        }
    }

    /// Sends a request into the chain.
    pub(super) fn send_inside(&mut self, xid: Xid, op: OpCode, body: Vec<u8>, round: &mut Round<'_>) {
        self.inside += 1;
        round.room -= 1;
        round.wishes.chain.push(Request {
            session: self.session,
            xid,
            op,
            body,
            origin: Origin::Client(self.id),
            identities: Arc::clone(&self.identities),
            received_us: round.now_us,
        });
    }

    pub(super) fn ask(&mut self, xid: Xid, asked: Asked, round: &mut Round<'_>) {
        let received_ms = round.now.elapsed_ms;
        round.wishes.asks.push(Ask {
            conn: self.id,
            xid,
            asked,
            received_ms,
        });
    }

    fn answer(&mut self, entry: &ReplyEntry, frame: &[u8], now: Now) {
        self.count_answer(entry.xid, entry.zxid, entry.op, entry.received_us / 1_000, now);
        self.outbox.push(frame);
    }

    fn count_received(&mut self, round: &mut Round<'_>) {
        self.stats.count_received();
        round.wishes.received += 1;
    }
}

/// Whether a client may ask it. To 3.4.14 the server's own `createSession` is a client's, too: it makes a second
/// session transaction, with a timeout of the client's choice. Here it is as unknown as 0 and -1, unless it
/// cannot be read: then the chain says so, as there.
fn is_a_client_s(op: OpCode, body: &[u8]) -> bool {
    let makes_a_session = op == OpCode::CreateSession && i32::from_bytes(body).is_ok();
    !makes_a_session && !matches!(op, OpCode::Notification | OpCode::Error | OpCode::DeleteContainer)
}

/// How a TLS connection begins: a record of the handshake, of a version 3.
const TLS_RECORD: &[u8] = &[0x16, 3];
/// With so much unsent a connection is not read any more: it does not read its answers.
const MOST_UNREAD_BYTES: usize = 1024 * 1024;
/// With so much unsent it is closed. Events and large answers can exceed what pauses its reading.
pub const MOST_UNSENT_BYTES: usize = 64 * 1024 * 1024;
/// So many reads of one connection are answered in one round. What they will weigh is not known before, so the
/// rest waits until it is seen whether the client takes the answers.
const MOST_ASKS: usize = 64;
/// SelectionKey.OP_WRITE, which `cons` shows.
const INTEREST_WRITE: u8 = 4;

#[cfg(test)]
mod tests;
