//! A client of the world: it asks, hears, loses its connection, and moves on with its session.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use oxkeeper::proto::{ErrorCode, Xid, Zxid};

use super::checkers::{Answer, Call, History, What};
use super::net::{Caller, Down, End, FIRST_CLIENT, Host, Net, Port, Receiver};
use super::rng::Rng;
use super::shape::{Habit, Shape};
use super::talk::{self, Said, Side};
use super::workload::Workload;

/// A client.
pub struct SimClient {
    pub index: usize,
    host: Host,
    rng: Rng,
    net: Net,
    servers: u64,
    habit: Habit,
    state: State,
    session: i64,
    password: Vec<u8>,
    timeout_ms: i32,
    wanted_timeout_ms: i32,
    last_zxid: Zxid,
    last_xid: i32,
    pending: VecDeque<Pending>,
    watches: BTreeSet<String>,
    workload: Workload,
    input: Vec<u8>,
    heard_us: u64,
    pinged_us: u64,
    next_act_us: u64,
    /// Microseconds between two requests, about.
    pause_us: u64,
    /// How many answers it has had since this was reset.
    pub answered: u64,
}

enum State {
    /// Nobody is called before this time.
    Resting(u64),
    Calling(Line, Host),
    Greeting(Line, End, Host),
    Open(Line, End, Host),
}

/// What the network tells.
type Line = Arc<Mutex<News>>;

#[derive(Default)]
struct News {
    end: Option<End>,
    bytes: Vec<u8>,
    is_over: bool,
}

/// A request on its way.
struct Pending {
    xid: Xid,
    kind: Kind,
}

enum Kind {
    Recorded(u64, Call),
    /// A sync before a get, or a request that the history does not know.
    Aside,
    Close,
}

impl SimClient {
    pub fn new(index: usize, seed: u64, net: Net, shape: &Shape) -> SimClient {
        let mut rng = Rng::new(seed, &format!("client {index}"));
        let habit = shape.habit(index);
        let drawn_ticks = rng.between(2, 20);
        let wanted_timeout_ms = (shape.tick_ms * habit.timeout_ticks.unwrap_or(drawn_ticks)) as i32;
        let pause_us = *rng.pick(&[2_000, 10_000, 50_000]);
        SimClient {
            index,
            host: FIRST_CLIENT + index as u64,
            workload: Workload::new(index, Rng::new(seed, &format!("workload {index}"))),
            net,
            servers: shape.servers,
            habit,
            state: State::Resting(rng.below(500_000)),
            session: 0,
            password: vec![0; 16],
            timeout_ms: 0,
            wanted_timeout_ms,
            last_zxid: Zxid(0),
            last_xid: 0,
            pending: VecDeque::new(),
            watches: BTreeSet::new(),
            input: Vec::new(),
            heard_us: 0,
            pinged_us: 0,
            next_act_us: 0,
            pause_us,
            answered: 0,
            rng,
        }
    }

    pub fn is_connected(&self) -> bool {
        matches!(self.state, State::Open(..))
    }

    /// Asks no more, but for what [`SimClient::probe`] asks.
    pub fn fall_silent(&mut self) {
        self.pause_us = u64::MAX;
    }

    /// Whether all that was asked is answered.
    pub fn is_idle(&self) -> bool {
        self.is_connected() && self.pending.is_empty()
    }

    /// When it wants to act without being told.
    pub fn wake_us(&self) -> u64 {
        match &self.state {
            State::Resting(until_us) => *until_us,
            State::Calling(..) => u64::MAX,
            State::Greeting(..) => self.heard_us + CONNECT_PATIENCE_US,
            State::Open(..) => {
                let third_us = self.timeout_ms as u64 * 1_000 / 3;
                self.next_act_us.min(self.pinged_us + third_us)
            }
        }
    }

    /// Takes what has come, and asks what is due.
    pub fn act(&mut self, now_us: u64, history: &mut History) {
        self.listen(now_us, history);
        match &self.state {
            State::Resting(until_us) if *until_us <= now_us => self.call(),
            State::Greeting(..) if now_us >= self.heard_us + CONNECT_PATIENCE_US => {
                self.hang_up(now_us, history)
            }
            State::Open(_, end, _) => {
                let end = *end;
                let timeout_us = self.timeout_ms as u64 * 1_000;
                if now_us >= self.heard_us + timeout_us * 2 / 3 {
                    return self.hang_up(now_us, history);
                }
                if now_us >= self.pinged_us + timeout_us / 3 {
                    self.pinged_us = now_us;
                    self.net.send(end, talk::ping());
                }
                if now_us >= self.next_act_us {
                    self.ask(now_us, end, history);
                }
            }
            _ => {}
        }
    }

    fn call(&mut self) {
        let any = 1 + self.rng.below(self.servers);
        let server = self.habit.home.unwrap_or(any);
        let line = Line::default();
        self.net.call(
            self.host,
            server,
            Port::Clients,
            Box::new(Calling(Arc::clone(&line))),
        );
        self.state = State::Calling(line, server);
    }

    fn listen(&mut self, now_us: u64, history: &mut History) {
        let (line, server) = match &self.state {
            State::Resting(_) => return,
            State::Calling(line, server)
            | State::Greeting(line, _, server)
            | State::Open(line, _, server) => (Arc::clone(line), *server),
        };
        let news = std::mem::take(&mut *line.lock().expect("a line"));
        if let (State::Calling(..), Some(end)) = (&self.state, news.end) {
            self.heard_us = now_us;
            let hello = talk::connect(
                self.session,
                &self.password,
                self.wanted_timeout_ms,
                self.last_zxid,
            );
            self.net.send(end, hello);
            self.state = State::Greeting(line, end, server);
        }
        if !news.bytes.is_empty() {
            self.heard_us = now_us;
            self.input.extend_from_slice(&news.bytes);
            self.read_frames(now_us, history);
        }
        if news.is_over && !matches!(self.state, State::Resting(_)) {
            self.hang_up(now_us, history);
        }
    }

    fn read_frames(&mut self, now_us: u64, history: &mut History) {
        while let Some(length) = self.input.first_chunk::<4>() {
            let length = i32::from_be_bytes(*length) as usize;
            let Some(frame) = self.input.get(4..4 + length).map(<[u8]>::to_vec) else {
                return;
            };
            self.input.drain(..4 + length);
            match &self.state {
                State::Greeting(..) => self.greeted(&frame, now_us, history),
                State::Open(..) => self.heard(&frame, now_us, history),
                _ => return,
            }
        }
    }

    fn greeted(&mut self, frame: &[u8], now_us: u64, history: &mut History) {
        let Some((session, timeout_ms, password)) = talk::connected(frame) else {
            return self.broken(now_us, history, "a handshake that cannot be read");
        };
        if timeout_ms <= 0 {
            self.end_session(now_us, history);
            return self.hang_up(now_us, history);
        }
        let State::Greeting(line, end, server) = std::mem::replace(&mut self.state, State::Resting(0)) else {
            return;
        };
        if self.session != 0 && self.session != session {
            self.broken(now_us, history, "a renewed session has another number");
        }
        (self.session, self.timeout_ms, self.password) = (session, timeout_ms, password);
        let what = What::Connected {
            session,
            server: server as usize,
        };
        history.push(now_us / 1_000, self.index, what);
        if !self.watches.is_empty() {
            let paths: Vec<String> = self.watches.iter().cloned().collect();
            self.net.send(end, talk::set_watches(self.last_zxid, &paths));
        }
        self.state = State::Open(line, end, server);
        self.pinged_us = now_us;
        self.next_act_us = now_us;
    }

    fn heard(&mut self, frame: &[u8], now_us: u64, history: &mut History) {
        let (header, begin) = match talk::head(frame) {
            Some(Said::Event(None)) => return,
            Some(Said::Event(Some(path))) => {
                self.watches.remove(&path);
                return history.push(now_us / 1_000, self.index, What::Event { path });
            }
            Some(Said::Reply(header, begin)) => (header, begin),
            None => return self.broken(now_us, history, "a frame that cannot be read"),
        };
        if header.zxid > self.last_zxid {
            self.last_zxid = header.zxid;
        }
        if [Xid::PING, Xid::AUTH, Xid::SET_WATCHES].contains(&header.xid) {
            return;
        }
        let Some(pending) = self
            .pending
            .pop_front()
            .filter(|pending| pending.xid == header.xid)
        else {
            return self.broken(now_us, history, &format!("answer {} out of turn", header.xid.0));
        };
        self.answered += 1;
        match pending.kind {
            Kind::Recorded(op, call) => {
                if header.error == ErrorCode::SessionExpired {
                    return;
                }
                let Some(answer) = talk::answer(&call, header.error, &frame[begin..]) else {
                    return self.broken(now_us, history, "an answer that cannot be read");
                };
                self.learn(&call, &answer);
                let zxid = header.zxid.0;
                history.push(now_us / 1_000, self.index, What::Return { op, zxid, answer });
            }
            Kind::Aside => {}
            Kind::Close => {
                self.end_session(now_us, history);
                self.hang_up(now_us, history);
            }
        }
    }

    fn learn(&mut self, call: &Call, answer: &Answer) {
        if let (
            Call::Get {
                path, watch: true, ..
            },
            Answer::Got(..),
        ) = (call, answer)
        {
            self.watches.insert(path.clone());
        }
        self.workload.learn(answer);
    }

    fn ask(&mut self, now_us: u64, end: End, history: &mut History) {
        if self.pause_us == u64::MAX {
            self.next_act_us = u64::MAX;
            return;
        }
        self.next_act_us = now_us + 1 + self.rng.below(self.pause_us * 2);
        if self.pending.len() >= MOST_PENDING {
            return;
        }
        let burst = if self.rng.one_in(6) {
            self.rng.between(2, 5)
        } else {
            1
        };
        for _ in 0..burst {
            if !self.habit.only_reads && self.rng.one_in(300) {
                let xid = self.next_xid();
                self.net.send(end, talk::close(xid));
                let kind = Kind::Close;
                self.pending.push_back(Pending { xid, kind });
                self.next_act_us = u64::MAX;
                return;
            }
            if self.habit.only_reads {
                let call = self.workload.read();
                self.send(now_us, end, call, history);
            } else if self.rng.one_in(8) {
                let side = self.workload.side();
                self.ask_aside(end, &side);
            } else {
                let call = self.workload.call();
                self.send(now_us, end, call, history);
            }
        }
    }

    /// Asks for something that ends only when the ensemble works: a write and a synced read.
    pub fn probe(&mut self, now_us: u64, history: &mut History) -> bool {
        let State::Open(_, end, _) = self.state else {
            return false;
        };
        let (set, get) = self.workload.probe();
        self.send(now_us, end, set, history);
        self.send(now_us, end, get, history);
        true
    }

    fn ask_aside(&mut self, end: End, side: &Side) {
        let xid = match side {
            Side::Auth(_) => Xid::AUTH,
            _ => self.next_xid(),
        };
        self.net.send(end, talk::side(xid, side));
        if xid != Xid::AUTH {
            let kind = Kind::Aside;
            self.pending.push_back(Pending { xid, kind });
        }
    }

    fn send(&mut self, now_us: u64, end: End, call: Call, history: &mut History) {
        let op = self.workload.next_op();
        let invoke = What::Invoke {
            op,
            call: call.clone(),
        };
        history.push(now_us / 1_000, self.index, invoke);
        if let Call::Get {
            path, synced: true, ..
        } = &call
        {
            let xid = self.next_xid();
            self.net.send(end, talk::sync(xid, path));
            let kind = Kind::Aside;
            self.pending.push_back(Pending { xid, kind });
        }
        let xid = self.next_xid();
        self.net.send(end, talk::call(xid, &call));
        let kind = Kind::Recorded(op, call);
        self.pending.push_back(Pending { xid, kind });
    }

    fn next_xid(&mut self) -> Xid {
        self.last_xid += 1;
        Xid(self.last_xid)
    }

    fn broken(&mut self, now_us: u64, history: &mut History, what: &str) {
        history.push(now_us / 1_000, self.index, What::Broken(what.to_owned()));
    }

    fn end_session(&mut self, now_us: u64, history: &mut History) {
        if self.session != 0 {
            history.push(now_us / 1_000, self.index, What::Ended);
        }
        self.session = 0;
        self.password = vec![0; 16];
        self.watches.clear();
        self.workload.forget_own();
    }

    fn hang_up(&mut self, now_us: u64, history: &mut History) {
        let rest_us = 1_000 + self.rng.below(200_000);
        match std::mem::replace(&mut self.state, State::Resting(now_us + rest_us)) {
            State::Open(_, end, _) => {
                self.net.close(end);
                history.push(now_us / 1_000, self.index, What::Disconnected);
            }
            State::Greeting(_, end, _) => self.net.close(end),
            State::Calling(..) | State::Resting(_) => {}
        }
        self.pending.clear();
        self.input.clear();
    }
}

struct Calling(Line);

impl Caller for Calling {
    fn connected(self: Box<Self>, end: End) -> Box<dyn Receiver> {
        self.0.lock().expect("a line").end = Some(end);
        Box::new(Hearing(self.0))
    }

    fn failed(self: Box<Self>, _why: &str) {
        self.0.lock().expect("a line").is_over = true;
    }
}

struct Hearing(Line);

impl Receiver for Hearing {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.lock().expect("a line").bytes.extend_from_slice(bytes);
    }

    fn down(&mut self, _why: Down) {
        self.0.lock().expect("a line").is_over = true;
    }
}

/// How long a server may take to grant a session.
const CONNECT_PATIENCE_US: u64 = 3_000_000;
/// So many requests are on their way at most.
const MOST_PENDING: usize = 12;
