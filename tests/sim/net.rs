//! The network: connections that carry bytes in order, late, in pieces, or not at all.
//!
//! A connection has two ends. What is sent on one arrives at the other after a while, unless the way is cut: then
//! it waits, as TCP tries again, until the way is mended or somebody gives up. A machine that loses its power says
//! nothing; it answers with a reset once it is back and hears of a connection that it does not know.

mod ends;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

pub use ends::{Acceptor, Caller, Down, End, FIRST_CLIENT, Host, Port, Receiver};

use super::rng::Rng;
use super::time::Time;
use super::trace::Trace;

/// The network. Clones are the same one.
#[derive(Clone)]
pub struct Net {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    time: Time,
    rng: Rng,
    trace: Trace,
    queue: BTreeMap<(u64, u64), Event>,
    posted: u64,
    last_conn: u64,
    conns: BTreeMap<u64, Conn>,
    listeners: BTreeMap<(Host, Port), Option<Box<dyn Acceptor>>>,
    /// Ways that are cut, from whom to whom.
    cut: BTreeSet<(Host, Host)>,
    down: BTreeSet<Host>,
    touched: BTreeSet<Host>,
    slowness_us: u64,
}

enum Event {
    Call {
        from: Host,
        to: Host,
        port: Port,
        caller: Box<dyn Caller>,
    },
    Fail(Host, Box<dyn Caller>, &'static str),
    Deliver(End, Vec<u8>),
    Down(End, Down),
    /// Whether the end has heard nothing since this time.
    Silence(End, u64),
    /// Somebody wanted to be called at this time.
    Alarm(Host, Box<dyn FnOnce() + Send>),
}

struct Conn {
    sides: [Side; 2],
    /// The next bytes that arrive are the last ones, and not all of them.
    breaks: bool,
}

struct Side {
    host: Host,
    /// None once it is closed here.
    receiver: Option<Box<dyn Receiver>>,
    open: bool,
    /// What comes here comes after this.
    last_us: u64,
    heard_us: u64,
    patience_us: Option<u64>,
    /// What waits for the way to be mended.
    held: VecDeque<Event>,
}

impl Net {
    pub fn new(seed: u64, time: Time, trace: Trace) -> Net {
        Net {
            inner: Arc::new(Mutex::new(Inner {
                time,
                rng: Rng::new(seed, "net"),
                trace,
                queue: BTreeMap::new(),
                posted: 0,
                last_conn: 0,
                conns: BTreeMap::new(),
                listeners: BTreeMap::new(),
                cut: BTreeSet::new(),
                down: BTreeSet::new(),
                touched: BTreeSet::new(),
                slowness_us: 1_000,
            })),
        }
    }

    /// How long a piece travels about, microseconds.
    pub fn set_slowness(&self, us: u64) {
        self.lock().slowness_us = us.max(50);
    }

    /// Takes calls on a port from now on.
    pub fn listen(&self, host: Host, port: Port, acceptor: Box<dyn Acceptor>) {
        self.lock().listeners.insert((host, port), Some(acceptor));
    }

    /// Takes no more calls.
    pub fn deafen(&self, host: Host, port: Port) {
        let gone = self.lock().listeners.remove(&(host, port));
        drop(gone);
    }

    /// Calls somebody.
    pub fn call(&self, from: Host, to: Host, port: Port, caller: Box<dyn Caller>) {
        let mut inner = self.lock();
        let after_us = inner.travel();
        inner.post_in(
            after_us,
            Event::Call {
                from,
                to,
                port,
                caller,
            },
        );
    }

    /// Does something later, unless the machine has gone down by then.
    pub fn alarm(&self, host: Host, in_us: u64, act: impl FnOnce() + Send + 'static) {
        self.lock().post_in(in_us, Event::Alarm(host, Box::new(act)));
    }

    /// Sends bytes from an end to the other. They are lost without a word if the connection is closed.
    pub fn send(&self, end: End, bytes: Vec<u8>) {
        let mut inner = self.lock();
        inner.trace.bytes(end.conn, &bytes);
        let is_open = inner.side(end).is_some_and(|side| side.open);
        if is_open && !bytes.is_empty() {
            inner.carry(end.other(), Event::Deliver(end.other(), bytes));
        }
    }

    /// Closes an end.
    pub fn close(&self, end: End) {
        let mut inner = self.lock();
        let Some(side) = inner.side(end).filter(|side| side.open) else {
            return;
        };
        side.open = false;
        let receiver = side.receiver.take();
        inner.carry(end.other(), Event::Down(end.other(), Down::Closed));
        drop(inner);
        drop(receiver);
    }

    /// An end that hears nothing for so long gives up.
    pub fn set_patience(&self, end: End, us: u64) {
        let mut inner = self.lock();
        let now_us = inner.time.us();
        if let Some(side) = inner.side(end) {
            side.patience_us = Some(us);
            side.heard_us = now_us;
            inner.post_in(us, Event::Silence(end, now_us));
        }
    }

    /// A machine is gone. With its power: nobody is told. Without: its connections are closed as by itself.
    pub fn host_down(&self, host: Host, silently: bool) {
        let mut inner = self.lock();
        let ports = [Port::Clients, Port::Quorum, Port::Election];
        let deaf: Vec<_> = ports
            .iter()
            .filter_map(|&port| inner.listeners.remove(&(host, port)))
            .collect();
        let mut gone = Vec::new();
        for end in inner.ends_of(host) {
            if let Some(side) = inner.side(end).filter(|side| side.open) {
                side.open = false;
                gone.extend(side.receiver.take());
                if !silently {
                    inner.carry(end.other(), Event::Down(end.other(), Down::Reset));
                }
            }
        }
        inner.down.insert(host);
        // Its calls end with it: the next process there knows nothing of them.
        let is_its = |event: &Event| match event {
            Event::Call { from, .. } => *from == host,
            Event::Fail(from, ..) | Event::Alarm(from, _) => *from == host,
            _ => false,
        };
        let queue = std::mem::take(&mut inner.queue);
        let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            queue.into_iter().partition(|(_, event)| is_its(event));
        inner.queue = others;
        drop(inner);
        drop((deaf, gone, own));
    }

    /// A machine is back.
    pub fn host_up(&self, host: Host) {
        self.lock().down.remove(&host);
    }

    /// Cuts or mends the way from one machine to another.
    pub fn set_cut(&self, from: Host, to: Host, is_cut: bool) {
        let mut inner = self.lock();
        if is_cut {
            inner.cut.insert((from, to));
            return;
        }
        if !inner.cut.remove(&(from, to)) {
            return;
        }
        let ends: Vec<End> = inner.ends_of(to);
        for end in ends {
            if inner.side(end.other()).is_some_and(|side| side.host == from) {
                inner.release(end);
            }
        }
    }

    /// Mends everything.
    pub fn mend_all(&self) {
        let cut: Vec<(Host, Host)> = self.lock().cut.iter().copied().collect();
        cut.into_iter()
            .for_each(|(from, to)| self.set_cut(from, to, false));
    }

    /// Breaks a connection of a machine, in the middle of what is on its way.
    pub fn break_one(&self, host: Host) {
        let mut inner = self.lock();
        let ends = inner.open_ends_of(host);
        if !ends.is_empty() {
            let end = *inner.rng.pick(&ends);
            inner.break_off(end);
        }
    }

    /// Breaks all connections between two machines, in the middle of what is on its way.
    pub fn break_between(&self, host: Host, other: Host) {
        let mut inner = self.lock();
        for end in inner.open_ends_of(host) {
            if inner.side(end.other()).is_some_and(|side| side.host == other) {
                inner.break_off(end);
            }
        }
    }

    /// Nothing happens any more: whoever is at an end, waits or is on the way is dropped. They know the network, so
    /// it would live for ever.
    pub fn end(&self) {
        let mut inner = self.lock();
        let waiting = (
            std::mem::take(&mut inner.queue),
            std::mem::take(&mut inner.listeners),
        );
        let conns = std::mem::take(&mut inner.conns);
        drop(inner);
        drop((waiting, conns));
        // What was dropped may have closed its ends.
        let late = std::mem::take(&mut self.lock().queue);
        drop(late);
    }

    /// When something happens next.
    pub fn next_us(&self) -> Option<u64> {
        self.lock().queue.keys().next().map(|&(at_us, _)| at_us)
    }

    /// The machines at which something has happened since the last call.
    pub fn take_touched(&self) -> BTreeSet<Host> {
        std::mem::take(&mut self.lock().touched)
    }

    /// Lets the next thing happen, if its time has come.
    pub fn step(&self) -> bool {
        let mut inner = self.lock();
        let now_us = inner.time.us();
        let due = inner.queue.first_entry().filter(|entry| entry.key().0 <= now_us);
        let Some(event) = due.map(|entry| entry.remove()) else {
            return false;
        };
        drop(inner);
        self.happen(event);
        true
    }

    fn happen(&self, event: Event) {
        match event {
            Event::Call {
                from,
                to,
                port,
                caller,
            } => self.connect(from, to, port, caller),
            Event::Fail(host, caller, why) => {
                self.lock().touched.insert(host);
                caller.failed(why);
            }
            Event::Alarm(host, act) => {
                let mut inner = self.lock();
                inner.touched.insert(host);
                let is_down = inner.down.contains(&host);
                drop(inner);
                if is_down {
                    drop(act);
                } else {
                    act();
                }
            }
            Event::Deliver(end, bytes) => self.deliver(end, bytes),
            Event::Down(end, why) => self.take_down(end, why),
            Event::Silence(end, since_us) => {
                let mut inner = self.lock();
                let Some(side) = inner.side(end).filter(|side| side.open) else {
                    return;
                };
                let patience_us = side.patience_us.unwrap_or(u64::MAX);
                if side.heard_us == since_us {
                    inner.carry(end.other(), Event::Down(end.other(), Down::Reset));
                    drop(inner);
                    self.take_down(end, Down::TimedOut);
                } else {
                    let heard_us = side.heard_us;
                    let now_us = inner.time.us();
                    inner.post_in(heard_us + patience_us - now_us, Event::Silence(end, heard_us));
                }
            }
        }
    }

    fn connect(&self, from: Host, to: Host, port: Port, caller: Box<dyn Caller>) {
        let mut inner = self.lock();
        if inner.down.contains(&from) {
            drop(inner);
            drop(caller);
            return;
        }
        if inner.is_cut(from, to) || inner.is_cut(to, from) || inner.down.contains(&to) && inner.rng.one_in(2)
        {
            // Nobody answers.
            inner.post_in(CALL_LIMIT_US, Event::Fail(from, caller, "connect timed out"));
            return;
        }
        let Some(mut acceptor) = inner.listeners.get_mut(&(to, port)).and_then(Option::take) else {
            let after_us = inner.travel();
            inner.post_in(after_us, Event::Fail(from, caller, "Connection refused"));
            return;
        };
        inner.last_conn += 1;
        let conn = inner.last_conn;
        let now_us = inner.time.us();
        let side = |host| Side {
            host,
            receiver: None,
            open: true,
            last_us: now_us,
            heard_us: now_us,
            patience_us: None,
            held: VecDeque::new(),
        };
        let sides = [side(from), side(to)];
        inner.conns.insert(conn, Conn { sides, breaks: false });
        inner.touched.extend([from, to]);
        inner.trace.step(&[1_000, conn, from, to]);
        drop(inner);
        let (near, far) = (End { conn, side: 0 }, End { conn, side: 1 });
        let far_receiver = acceptor.accept(far, from);
        let near_receiver = caller.connected(near);
        let mut inner = self.lock();
        for (end, receiver) in [(near, near_receiver), (far, far_receiver)] {
            if let Some(side) = inner.side(end).filter(|side| side.open) {
                side.receiver = Some(receiver);
            }
        }
        // The port may have been closed meanwhile.
        if let Some(place) = inner.listeners.get_mut(&(to, port)) {
            place.get_or_insert(acceptor);
        }
    }

    fn deliver(&self, end: End, mut bytes: Vec<u8>) {
        let mut inner = self.lock();
        if inner.must_wait(end) {
            if let Some(side) = inner.side(end) {
                side.held.push_back(Event::Deliver(end, bytes));
            }
            return;
        }
        let breaks = inner.conns.get(&end.conn).is_some_and(|conn| conn.breaks);
        if breaks {
            let kept = inner.rng.below(bytes.len() as u64 + 1);
            bytes.truncate(kept as usize);
        }
        let now_us = inner.time.us();
        let Some(side) = inner.side(end) else {
            return;
        };
        if !side.open {
            let host = side.host;
            // Whoever sends to an end that is gone is told, if there is a machine that can tell.
            if !inner.down.contains(&host) {
                inner.carry(end.other(), Event::Down(end.other(), Down::Reset));
            }
            return;
        }
        side.heard_us = now_us;
        let host = side.host;
        let receiver = side.receiver.take();
        inner.touched.insert(host);
        inner
            .trace
            .step(&[2_000, end.conn, end.side as u64, bytes.len() as u64]);
        drop(inner);
        if let Some(mut receiver) = receiver {
            receiver.bytes(&bytes);
            let mut inner = self.lock();
            match inner.side(end).filter(|side| side.open) {
                Some(side) => side.receiver = Some(receiver),
                None => {
                    drop(inner);
                    drop(receiver);
                }
            }
        }
        if breaks {
            self.take_down(end, Down::Reset);
        }
    }

    fn take_down(&self, end: End, why: Down) {
        let mut inner = self.lock();
        if inner.must_wait(end) && why != Down::TimedOut {
            if let Some(side) = inner.side(end) {
                side.held.push_back(Event::Down(end, why));
            }
            return;
        }
        let Some(side) = inner.side(end).filter(|side| side.open) else {
            return;
        };
        // After the end of the stream the other direction still works; after a break nothing does.
        let receiver = side.receiver.take();
        if why != Down::Closed {
            side.open = false;
        }
        let host = side.host;
        inner.touched.insert(host);
        inner.trace.step(&[3_000, end.conn, end.side as u64]);
        drop(inner);
        if let Some(mut receiver) = receiver {
            receiver.down(why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("the network")
    }
}

impl Inner {
    fn side(&mut self, end: End) -> Option<&mut Side> {
        Some(&mut self.conns.get_mut(&end.conn)?.sides[end.side])
    }

    fn ends_of(&self, host: Host) -> Vec<End> {
        let conns = self.conns.iter();
        let ends = conns.flat_map(|(&conn, c)| {
            let sides = c.sides.iter().enumerate();
            sides
                .filter(|(_, s)| s.host == host)
                .map(move |(side, _)| End { conn, side })
        });
        ends.collect()
    }

    fn open_ends_of(&mut self, host: Host) -> Vec<End> {
        let mut ends = self.ends_of(host);
        ends.retain(|&end| self.side(end).is_some_and(|side| side.open));
        ends
    }

    /// What comes next on a connection comes in part, and nothing after it.
    fn break_off(&mut self, end: End) {
        if let Some(conn) = self.conns.get_mut(&end.conn) {
            conn.breaks = true;
        }
        // If nothing is on its way, the ends hear of it all the same.
        for end in [end, end.other()] {
            let after_us = self.travel() * 3;
            self.post_in(after_us, Event::Down(end, Down::Reset));
        }
    }

    fn is_cut(&self, from: Host, to: Host) -> bool {
        self.cut.contains(&(from, to))
    }

    /// Whether what comes to this end cannot come now.
    fn must_wait(&mut self, end: End) -> bool {
        let Some(conn) = self.conns.get(&end.conn) else {
            return false;
        };
        let (to, from) = (conn.sides[end.side].host, conn.sides[1 - end.side].host);
        !conn.sides[end.side].held.is_empty() || self.is_cut(from, to)
    }

    /// Brings something to an end, behind all that is on its way there.
    fn carry(&mut self, end: End, event: Event) {
        let after_us = self.travel();
        let now_us = self.time.us();
        let Some(side) = self.side(end) else {
            return;
        };
        let at_us = (now_us + after_us).max(side.last_us + 1);
        side.last_us = at_us;
        self.post_at(at_us, event);
        // Closed on both sides: nobody will ask again.
        if self.posted.is_multiple_of(256) {
            let queue = &self.queue;
            let in_use: BTreeSet<u64> = queue.values().filter_map(Event::conn).collect();
            self.conns
                .retain(|conn, c| c.sides.iter().any(|side| side.open) || in_use.contains(conn));
        }
    }

    /// Sends what was held on its way again, before all that is on its way already.
    fn release(&mut self, end: End) {
        let held = self.side(end).map(|side| std::mem::take(&mut side.held));
        let mut events: Vec<Event> = held.into_iter().flatten().collect();
        let is_ours =
            |event: &Event| matches!(event, Event::Deliver(to, _) | Event::Down(to, _) if *to == end);
        let queued: Vec<(u64, u64)> = self
            .queue
            .iter()
            .filter(|(_, event)| is_ours(event))
            .map(|(at, _)| *at)
            .collect();
        events.extend(queued.iter().filter_map(|at| self.queue.remove(at)));
        events.into_iter().for_each(|event| self.carry(end, event));
    }

    fn travel(&mut self) -> u64 {
        let slowness_us = self.slowness_us;
        let base_us = slowness_us / 4 + self.rng.below(slowness_us);
        if self.rng.one_in(200) {
            base_us + self.rng.below(slowness_us * 50)
        } else {
            base_us
        }
    }

    fn post_in(&mut self, in_us: u64, event: Event) {
        let at_us = self.time.us() + in_us;
        self.post_at(at_us, event);
    }

    fn post_at(&mut self, at_us: u64, event: Event) {
        self.posted += 1;
        self.queue.insert((at_us, self.posted), event);
    }
}

impl Event {
    fn conn(&self) -> Option<u64> {
        match self {
            Event::Deliver(end, _) | Event::Down(end, _) | Event::Silence(end, _) => Some(end.conn),
            _ => None,
        }
    }
}

/// So long a call without any answer takes.
const CALL_LIMIT_US: u64 = 3_000_000;
