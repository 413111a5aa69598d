//! The loop that holds the clients' connections: one round after another.
//!
//! ```text
//! poll ─> letters ─> accept ─> read, parse ─> answer reads under one lock of the tree ─> chain ─> words ─> write
//! ```
//!
//! Reads are answered here, without the chain. The tree's lock is taken first, then the letters that have come
//! are written down, then the reads are answered: FinalRequestProcessor posts the events of a change before it
//! lets go of the lock, so nobody reads a change before its event. Only then do the round's requests go to the
//! chain: no answer of theirs can overtake that of a read before them.

use std::collections::VecDeque;
use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use crate::clients::{Fate, Hangup, Pause};
use crate::proto::ConnId;
use crate::request::reads::Reading;
use crate::request::{ClientLetter, Outcome, Replies};
use crate::runtime::Clock;
use crate::seeded_fault::SeededFault;

use super::acceptor::{Acceptor, Listener, Stream};
use super::answers::answer;
use super::client_port::{PortConfig, PortLimits};
use super::desk::{Desk, Serves};
use super::greetings::{self, Greetings};
use super::leaving::{close, close_all, close_session, write};
use super::mailbox::Mailbox;
use super::table::{Socket, Table};
use super::throttle::hold_back;
use super::words::{TRACE_MASK, Words};

/// A loop with all it holds. Whoever drives it sleeps as long as it says, and hands in what has happened.
pub struct ClientLoop<L: Listener> {
    acceptor: Acceptor<L>,
    mailbox: Mailbox<ClientLetter>,
    clock: Arc<dyn Clock>,
    table: Table<L::Stream>,
    desk: Desk,
    words: Words,
    /// How long a connection may take to ask for a session, or to take its last answer.
    patience_ms: i64,
    /// How many requests may be inside at once, if that is limited.
    most_inside: Option<usize>,
    greetings: Greetings,
    lists: Lists,
    buffer: Vec<u8>,
}

/// What has happened to a socket since it was told last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Somebody waits to be accepted.
    Waits,
    /// A connection has changed.
    Changed {
        /// Its place.
        slot: usize,
        /// A read may find something.
        readable: bool,
        /// The client has sent the end of its stream, or the connection is broken.
        ended: bool,
        /// A write may find room.
        writable: bool,
    },
}

/// Connections that something is to be done about.
#[derive(Debug, Default)]
struct Lists {
    /// To be read.
    ready: VecDeque<ConnId>,
    /// To be read when the crowd inside has become smaller.
    crowded: VecDeque<ConnId>,
    /// To be written, or closed.
    dirty: Vec<ConnId>,
    /// Those who must finish something by a time, elapsed milliseconds; the times rise.
    limited: VecDeque<(i64, ConnId)>,
    /// Just accepted.
    accepted: Vec<ConnId>,
    /// Those that hold memory for a busy time, and when to look whether it is over, elapsed milliseconds.
    warm: Vec<ConnId>,
    cool_at_ms: i64,
    stopped: bool,
}

impl<L: Listener> ClientLoop<L> {
    /// A loop without connections, by the rules of `config`. `port` and `envi` are for the words that tell them.
    pub fn new(
        config: PortConfig,
        port: Option<u16>,
        envi: String,
        listener: L,
        mailbox: Mailbox<ClientLetter>,
        serves: Serves,
    ) -> ClientLoop<L> {
        let Serves {
            gate,
            status,
            clock,
            disk,
            dirs,
        } = serves;
        let PortLimits {
            connections,
            requests,
            sessions,
        } = config.limits;
        let words = Words {
            conf: format!("clientPort={}\n{}", port.map_or(-1, i32::from), config.conf),
            envi,
            trace_mask: TRACE_MASK,
            disk,
            dirs,
        };
        let greetings = Greetings::new(config.greeting_ms());
        ClientLoop {
            acceptor: Acceptor::new(listener, config.max_per_address, connections),
            mailbox,
            clock,
            table: Table::new(LOOP_INDEX),
            desk: Desk::new(gate, status, config.rules, sessions),
            words,
            patience_ms: config.patience_ms,
            most_inside: requests,
            greetings,
            lists: Lists::default(),
            buffer: vec![0; READ_BYTES],
        }
    }

    /// Whether a letter has said stop.
    pub fn is_stopped(&self) -> bool {
        self.lists.stopped
    }

    /// Whether letters wait.
    pub fn has_letters(&self) -> bool {
        !self.mailbox.is_empty()
    }

    /// How long its driver may sleep if nothing happens.
    pub fn sleep(&self) -> Duration {
        if !self.lists.ready.is_empty() {
            return Duration::ZERO;
        }
        let now_ms = self.clock.now().elapsed_ms;
        let limited = self.lists.limited.front().map(|&(at_ms, _)| at_ms);
        let wake_at_ms = limited.into_iter().chain(self.acceptor.wake_at_ms()).min();
        let sleep_ms = wake_at_ms.map_or(LONGEST_SLEEP_MS, |at_ms| {
            (at_ms - now_ms).clamp(0, LONGEST_SLEEP_MS)
        });
        Duration::from_millis(sleep_ms.unsigned_abs())
    }

    /// One round: takes letters and connections, reads, answers, writes.
    pub fn round(&mut self, signals: impl Iterator<Item = Signal>) {
        self.desk.begin_round(self.clock.now(), self.clock.elapsed_us());
        self.greetings.begin_round();
        signals.for_each(|signal| self.on_signal(signal));
        self.take_letters();
        self.accept();
        self.read_all();
        self.answer_asks();
        self.send_inside();
        self.answer_words();
        self.end_patience();
        self.write_all();
        self.cool_down();
        self.desk.end_round(self.clock.elapsed_us());
        // Nobody keeps what serves from ending while this loop sleeps.
        self.desk.serving = None;
    }

    fn on_signal(&mut self, signal: Signal) {
        let Signal::Changed {
            slot,
            readable,
            ended,
            writable,
        } = signal
        else {
            return self.acceptor.on_ready();
        };
        let Some(socket) = self.table.at(slot) else {
            return;
        };
        socket.readable |= readable || ended;
        socket.ended |= ended;
        socket.writable |= writable;
        if socket.readable {
            queue(socket, &mut self.lists);
        }
        if writable {
            // What is wrong, the next read or write says.
            drop(socket.stream.flush());
        }
        if socket.writable && !socket.cnxn.unsent().is_empty() {
            soil(socket, &mut self.lists);
        }
    }

    fn accept(&mut self) {
        let lists = &mut self.lists;
        self.acceptor
            .accept(&mut self.table, &mut self.desk, &mut lists.accepted);
        let now_ms = self.desk.now.elapsed_ms;
        for conn in lists.accepted.drain(..) {
            lists.limited.push_back((now_ms + self.patience_ms, conn));
            if self.table.get(conn).is_some_and(|socket| socket.greets) {
                self.greetings.add(conn, now_ms);
            }
        }
    }

    fn take_letters(&mut self) {
        let mut now_us = None;
        for letter in self.mailbox.take() {
            // Answers leave now, not when the round began.
            let now_us = *now_us.get_or_insert_with(|| self.clock.elapsed_us());
            take_letter(letter, now_us, &mut self.table, &mut self.desk, &mut self.lists);
        }
        if let Some(now_us) = now_us {
            self.desk.tally.count_answers(now_us, &self.desk.status);
        }
    }

    /// Reads each connection that has something, once: who sends much does not keep the others waiting.
    fn read_all(&mut self) {
        self.readmit();
        for conn in std::mem::take(&mut self.lists.ready) {
            if let Some(socket) = self.table.get_mut(conn) {
                socket.queued = false;
                if !socket.greets || self.greetings.take_turn() {
                    read(socket, &mut self.desk, &mut self.buffer);
                }
                follow_up(socket, &mut self.desk, &mut self.lists);
                self.settle_sessions();
            }
        }
        let received = std::mem::take(&mut self.desk.wishes.received);
        self.desk.status.count_received(received);
    }

    /// Lets those read again who wait for room inside. Who was first in this round is last in the next.
    fn readmit(&mut self) {
        if self.desk.room() < 0 {
            return;
        }
        if !self.lists.crowded.is_empty() {
            self.lists.crowded.rotate_left(1);
        }
        for conn in std::mem::take(&mut self.lists.crowded) {
            if let Some(socket) = self.table.get_mut(conn) {
                socket.crowded = false;
                queue(socket, &mut self.lists);
            }
        }
    }

    /// Closes the connections whose sessions have just been taken over by others.
    fn settle_sessions(&mut self) {
        while let Some((session, conn)) = self.desk.wishes.taken.pop() {
            if let Some(before) = self.table.take_session(session, conn) {
                close(before, &mut self.table, &mut self.desk);
            }
        }
    }

    /// Answers what needs no chain, under one lock of the tree for each chunk.
    fn answer_asks(&mut self) {
        let Some(serving) = self
            .desk
            .serving
            .clone()
            .filter(|_| !self.desk.wishes.asks.is_empty())
        else {
            return;
        };
        let asks = std::mem::take(&mut self.desk.wishes.asks);
        let bytes = std::mem::take(&mut self.desk.wishes.ask_bytes);
        let auth = Arc::clone(&self.desk.rules.auth);
        for chunk in asks.chunks(ASKS_UNDER_ONE_LOCK) {
            let tree = serving.database.read_tree();
            if !SeededFault::ReadBeforeEvents.on() {
                self.take_letters();
            }
            for ask in chunk {
                let Some(socket) = self.table.get_mut(ask.conn) else {
                    continue;
                };
                let identities = Arc::clone(socket.cnxn.identities());
                let (database, conn) = (&*serving.database, ask.conn);
                let reading = Reading {
                    tree: &tree,
                    database,
                    auth: &auth,
                    identities: &identities,
                    conn,
                    session: socket.cnxn.session(),
                };
                let op = answer(socket, &reading, &ask.asked, ask.xid, &bytes);
                if let Some(op) = op {
                    let zxid = tree.last_zxid();
                    socket
                        .cnxn
                        .count_answer(ask.xid, zxid, op, ask.received_ms, self.desk.now);
                    self.desk.note_answer(op, ask.received_ms);
                }
                soil(socket, &mut self.lists);
            }
            let now_us = self.clock.elapsed_us();
            self.desk.tally.count_answers(now_us, &self.desk.status);
        }
        // The vectors go back with their room for the next round.
        self.desk.wishes.asks = emptied(asks);
        self.desk.wishes.ask_bytes = emptied(bytes);
    }

    fn send_inside(&mut self) {
        let mut chain = std::mem::take(&mut self.desk.wishes.chain);
        let Some(serving) = self.desk.serving.clone().filter(|_| !chain.is_empty()) else {
            return;
        };
        if let Some(most) = self.most_inside {
            self.desk.wishes.chain = hold_back(&mut chain, most, &self.table, &self.desk);
            if chain.is_empty() {
                return;
            }
        }
        self.desk.gate.entered(chain.len());
        serving.chain.post(chain);
    }

    fn answer_words(&mut self) {
        for call in std::mem::take(&mut self.desk.wishes.words) {
            let text = self.words.answer(&call, &mut self.table, &self.desk);
            if let Some(socket) = self.table.get_mut(call.conn) {
                socket
                    .cnxn
                    .on_answer(|out| out.extend_from_slice(text.as_bytes()));
                soil(socket, &mut self.lists);
            }
        }
    }

    /// Closes those who have not asked for a session in time, or do not take their last answer.
    fn end_patience(&mut self) {
        let now_ms = self.desk.now.elapsed_ms;
        while let Some((conn, why)) = self.greetings.next_late(&mut self.table, now_ms) {
            if let Some(socket) = self.table.get_mut(conn) {
                socket.cnxn.hang_up(&why, &mut self.desk.round());
                soil(socket, &mut self.lists);
            }
        }
        while let Some(&(at_ms, conn)) = self.lists.limited.front()
            && at_ms <= now_ms
        {
            self.lists.limited.pop_front();
            if let Some(socket) = self.table.get_mut(conn) {
                socket.limited = false;
                if socket.cnxn.is_fresh() {
                    let why = Hangup::Silent(self.patience_ms);
                    socket.cnxn.hang_up(&why, &mut self.desk.round());
                    soil(socket, &mut self.lists);
                } else if socket.cnxn.fate() != Fate::Stay {
                    close(conn, &mut self.table, &mut self.desk);
                }
            }
        }
    }

    /// Writes what is to be written, and closes what is to be closed.
    fn write_all(&mut self) {
        for conn in std::mem::take(&mut self.lists.dirty) {
            let Some(socket) = self.table.get_mut(conn) else {
                continue;
            };
            socket.dirty = false;
            let was_unread = socket.cnxn.pause(0) == Pause::Unread;
            write(socket, &mut self.desk);
            socket.busy = true;
            if socket.cnxn.is_warm() && !socket.warm {
                socket.warm = true;
                self.lists.warm.push(conn);
            }
            let done = socket.cnxn.unsent().is_empty();
            match socket.cnxn.fate() {
                Fate::Close => close(conn, &mut self.table, &mut self.desk),
                Fate::CloseWhenWritten if done => close(conn, &mut self.table, &mut self.desk),
                Fate::CloseWhenWritten if !socket.limited => {
                    socket.limited = true;
                    let until_ms = self.desk.now.elapsed_ms + self.patience_ms;
                    self.lists.limited.push_back((until_ms, conn));
                }
                Fate::CloseWhenWritten => {}
                Fate::Stay if was_unread => follow_up(socket, &mut self.desk, &mut self.lists),
                Fate::Stay => {}
            }
        }
    }
}

impl<L: Listener> ClientLoop<L> {
    /// Once a second: connections that were not written to since the last time give their buffers back.
    fn cool_down(&mut self) {
        let now_ms = self.desk.now.elapsed_ms;
        if now_ms < self.lists.cool_at_ms {
            return;
        }
        self.lists.cool_at_ms = now_ms + LONGEST_SLEEP_MS;
        let table = &mut self.table;
        self.lists.warm.retain(|&conn| {
            let Some(socket) = table.get_mut(conn) else {
                return false;
            };
            let busy = std::mem::take(&mut socket.busy);
            if !busy {
                socket.cnxn.cool();
                socket.warm = socket.cnxn.is_warm();
            }
            socket.warm
        });
    }
}

/// Takes one letter: writes answers and events down, closes what is to be closed.
fn take_letter<S: Stream>(
    letter: ClientLetter,
    now_us: i64,
    table: &mut Table<S>,
    desk: &mut Desk,
    lists: &mut Lists,
) {
    match letter {
        ClientLetter::Replies(replies) => take_replies(&replies, now_us, table, desk, lists),
        ClientLetter::CloseSession(session) => close_session(session, table, desk),
        ClientLetter::Revalidated { conn, valid } => {
            if let Some(socket) = table.get_mut(conn) {
                socket.cnxn.on_verdict(valid, &mut desk.round());
                follow_up(socket, desk, lists);
            }
        }
        ClientLetter::Describe { from, report } => report.post(table.describe(from, desk.room())),
        ClientLetter::ResetStats => table.iter_mut().for_each(|socket| socket.cnxn.reset_stats()),
        ClientLetter::CloseAll => close_all(table, desk),
        ClientLetter::Stop => {
            close_all(table, desk);
            lists.stopped = true;
        }
    }
}

fn take_replies<S>(replies: &Replies, now_us: i64, table: &mut Table<S>, desk: &mut Desk, lists: &mut Lists) {
    let mut left = 0;
    for entry in replies.entries() {
        let cnxn = table.get(entry.conn).map(|socket| &socket.cnxn);
        if !desk.may_hear(cnxn, replies.readers(entry)) {
            continue;
        }
        left += usize::from(entry.outcome != Outcome::Event);
        match entry.outcome {
            Outcome::Event => desk.tally.events += 1,
            Outcome::Close => {}
            _ => desk
                .tally
                .answered(entry.op, entry.received_us, now_us, &desk.status),
        }
        match table.get_mut(entry.conn) {
            Some(socket) => {
                socket
                    .cnxn
                    .on_reply(entry, replies.frame(entry), &mut desk.round());
                follow_up(socket, desk, lists);
                soil(socket, lists);
            }
            // It may have set a watch after its connection was closed and forgotten.
            None if entry.op.sets_watches() => desk.forget_watches(entry.conn),
            None => {}
        }
    }
    desk.gate.left(left);
}

/// Puts a connection on the lists that fit its state, after something has happened to it.
fn follow_up<S>(socket: &mut Socket<S>, desk: &mut Desk, lists: &mut Lists) {
    match socket.cnxn.pause(desk.room()) {
        Pause::No if socket.readable || socket.cnxn.has_work() => queue(socket, lists),
        Pause::Crowded if !socket.crowded => {
            socket.crowded = true;
            lists.crowded.push_back(socket.cnxn.id());
        }
        Pause::No | Pause::Crowded | Pause::Unread | Pause::Never => {}
    }
    if socket.cnxn.fate() != Fate::Stay || !socket.cnxn.unsent().is_empty() {
        soil(socket, lists);
    }
}

fn queue<S>(socket: &mut Socket<S>, lists: &mut Lists) {
    if !socket.queued {
        socket.queued = true;
        lists.ready.push_back(socket.cnxn.id());
    }
}

fn soil<S>(socket: &mut Socket<S>, lists: &mut Lists) {
    if !socket.dirty {
        socket.dirty = true;
        lists.dirty.push(socket.cnxn.id());
    }
}

/// Goes through what waits from before, then reads once, if the connection is to be read at all.
fn read(socket: &mut Socket<impl Stream>, desk: &mut Desk, buffer: &mut [u8]) {
    if socket.cnxn.has_work() {
        socket.cnxn.on_bytes(&[], &mut desk.round());
    }
    if !socket.readable || socket.cnxn.pause(desk.room()) != Pause::No {
        return;
    }
    let read = socket.stream.read(buffer);
    if socket.greets {
        greetings::look(socket, desk);
    }
    match read {
        Ok(0) => {
            socket.readable = false;
            socket.cnxn.on_end_of_stream(&mut desk.round());
        }
        Ok(count) => {
            // A short read has emptied the socket; but an end that has come is still to be read.
            socket.readable = count == buffer.len() || socket.ended;
            desk.tally.bytes_received += count as u64;
            socket.cnxn.on_bytes(&buffer[..count], &mut desk.round());
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => socket.readable = false,
        Err(error) if error.kind() == ErrorKind::Interrupted => {}
        Err(error) => socket.cnxn.hang_up(&Hangup::Io(error), &mut desk.round()),
    }
}

/// The vector without its content, and without its room if that has become large.
fn emptied<T>(mut items: Vec<T>) -> Vec<T> {
    items.clear();
    items.shrink_to(KEPT_ITEMS);
    items
}

/// There is one loop.
const LOOP_INDEX: usize = 0;
/// How much is read from one connection in one round.
const READ_BYTES: usize = 64 * 1024;
/// So many reads are answered before writers get the tree again.
const ASKS_UNDER_ONE_LOCK: usize = 512;
/// What a list of wishes keeps for the next round.
const KEPT_ITEMS: usize = 64 * 1024;
const LONGEST_SLEEP_MS: i64 = 1_000;
