//! A client that does what a seed says and writes down what it hears.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use oxkeeper::proto::requests::{PathOnly, SetWatches};
use oxkeeper::proto::{Acl, Encode, ErrorCode, OpCode, Xid, Zxid};
use oxkeeper::tools::client::{Client, Granted, Handshake, Incoming, Reply};
use oxkeeper::tools::wire::ClientError;

use super::calls::{answer_of, send};
use crate::checkers::{Answer, Call, History, What};
use crate::support::random::Random;

/// What all clients write into.
#[derive(Debug)]
pub struct Recorder {
    history: Mutex<History>,
    begin: Instant,
    next_op: AtomicU64,
    /// Ephemerals that somebody has made, for others to look at.
    ephemerals: Mutex<VecDeque<String>>,
    is_over: AtomicBool,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder {
            history: Mutex::new(History::default()),
            begin: Instant::now(),
            next_op: AtomicU64::new(1),
            ephemerals: Mutex::new(VecDeque::new()),
            is_over: AtomicBool::new(false),
        }
    }

    /// Asks all clients to come to their end.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    fn push(&self, client: usize, what: What) {
        let mut history = self.history();
        let at_ms = self.begin.elapsed().as_millis() as u64;
        history.push(at_ms, client, what);
    }

    fn some_ephemeral(&self, random: &mut Random) -> Option<String> {
        let known = self.ephemerals.lock().unwrap_or_else(PoisonError::into_inner);
        (!known.is_empty()).then(|| known[random.below(known.len())].clone())
    }

    fn remember_ephemeral(&self, path: String) {
        let mut known = self.ephemerals.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_back(path);
        if known.len() > 30 {
            known.pop_front();
        }
    }
}

/// One client, with at most one connection.
pub struct RecordedClient {
    number: usize,
    servers: Vec<SocketAddr>,
    recorder: Arc<Recorder>,
    random: Random,
    conn: Option<Client>,
    session: Option<Granted>,
    last_zxid: Zxid,
    /// Watched nodes: a reconnect sets these again.
    watched: Vec<String>,
    /// Versions as last seen, for conditions.
    versions: BTreeMap<String, i32>,
    /// Nodes that this client has made and not removed.
    own: Vec<String>,
    made: usize,
    /// A session's requests are numbered on, wherever it goes.
    next_xid: Xid,
}

/// A request on its way.
struct Sent {
    op: u64,
    call: Call,
    sync: Option<Xid>,
    xid: Xid,
}

impl RecordedClient {
    pub fn new(
        number: usize,
        servers: Vec<SocketAddr>,
        recorder: Arc<Recorder>,
        seed: u64,
    ) -> RecordedClient {
        RecordedClient {
            number,
            servers,
            recorder,
            random: Random::new(seed),
            conn: None,
            session: None,
            last_zxid: Zxid(0),
            watched: Vec::new(),
            versions: BTreeMap::new(),
            own: Vec::new(),
            made: 0,
            next_xid: Xid(1),
        }
    }

    /// Works until all is over, then looks at everything once more and closes its session.
    pub fn run(mut self) {
        while !self.recorder.is_over.load(Ordering::Relaxed) {
            if self.conn.is_none() && !self.connect() {
                thread::sleep(Duration::from_millis(30));
                continue;
            }
            match self.random.below(1_000) {
                0..4 => self.close_session(),
                4..8 => self.abandon(),
                8..30 => self.disconnect(),
                30..130 => self.burst(),
                _ => {
                    let call = self.some_call();
                    self.burst_of(vec![call]);
                }
            }
            let rest_ms = if self.is_reader() { 2 } else { 6 };
            thread::sleep(Duration::from_millis(self.random.below(rest_ms) as u64));
        }
        self.look_once_more();
    }

    /// Creates nodes at the beginning. A busy machine may cost a connection even then.
    pub fn set_up(mut self, dirs: &[&str], registers: &[&str]) {
        let end = Instant::now() + Duration::from_secs(60);
        let mut left: Vec<&str> = dirs.iter().chain(registers).copied().rev().collect();
        while let Some(path) = left.last() {
            assert!(Instant::now() < end, "no server serves");
            if self.conn.is_none() && !self.connect() {
                thread::sleep(Duration::from_millis(30));
                continue;
            }
            if registers.contains(path) {
                let create = self.create_call((*path).to_owned(), false, false);
                self.burst_of(vec![create]);
            } else {
                let conn = self.conn.as_mut().expect("a connection");
                match conn.create(path, b"", &Acl::open(), 0) {
                    Ok(Ok(_) | Err(ErrorCode::NodeExists)) => {}
                    Ok(Err(code)) => panic!("{path}: {code:?}"),
                    Err(error) => self.lose(&error),
                }
            }
            if self.conn.is_some() {
                left.pop();
            }
        }
        self.close_session();
    }

    fn push(&self, what: What) {
        self.recorder.push(self.number, what);
    }

    /// Goes on with the session at some server, or begins one. False if that did not come about.
    fn connect(&mut self) -> bool {
        let index = self.random.below(self.servers.len());
        let timeout_ms = 3_000 + self.random.below(3_000) as i32;
        let mut hello = match &self.session {
            Some(session) => Handshake::renew(session),
            None => Handshake::with_timeout(timeout_ms),
        };
        hello.last_zxid_seen = self.last_zxid;
        let Ok(mut conn) = Client::connect(self.servers[index], &hello, PATIENCE) else {
            return false;
        };
        if conn.session().is_refusal() {
            self.end_session();
            return false;
        }
        conn.set_next_xid(self.next_xid);
        let session = conn.session().clone();
        self.push(What::Connected {
            session: session.session.0,
            server: index + 1,
        });
        self.session = Some(session);
        let watches = SetWatches {
            relative_zxid: self.last_zxid,
            data: self.watched.iter().map(|path| path.as_str().into()).collect(),
            exist: Vec::new(),
            child: Vec::new(),
        };
        let set = self.watched.is_empty() || matches!(conn.set_watches(&watches), Ok(Ok(())));
        while let Some(event) = conn.event() {
            self.hear_event(event.path);
        }
        if set {
            self.conn = Some(conn);
        } else {
            self.push(What::Disconnected);
        }
        set
    }

    fn hear_event(&mut self, path: String) {
        self.watched.retain(|watched| *watched != path);
        self.push(What::Event { path });
    }

    /// The connection goes, the session stays.
    fn disconnect(&mut self) {
        if self.conn.take().is_some() {
            self.push(What::Disconnected);
        }
    }

    /// The session is left to expire.
    fn abandon(&mut self) {
        self.disconnect();
        self.forget_session();
    }

    fn end_session(&mut self) {
        self.push(What::Ended);
        self.conn = None;
        self.forget_session();
    }

    fn forget_session(&mut self) {
        self.session = None;
        self.last_zxid = Zxid(0);
        self.watched.clear();
    }

    fn close_session(&mut self) {
        let Some(conn) = self.conn.take() else {
            return;
        };
        if matches!(conn.close(), Ok(Ok(()))) {
            self.end_session();
        } else {
            self.push(What::Disconnected);
            self.forget_session();
        }
    }

    /// Several requests, none of which waits for the answer to another.
    fn burst(&mut self) {
        let calls = (0..2 + self.random.below(6)).map(|_| self.some_call()).collect();
        self.burst_of(calls);
    }

    fn burst_of(&mut self, calls: Vec<Call>) {
        let mut sent = VecDeque::new();
        for call in calls {
            let op = self.recorder.next_op.fetch_add(1, Ordering::Relaxed);
            self.push(What::Invoke {
                op,
                call: call.clone(),
            });
            let conn = self.conn.as_mut().expect("a connection");
            let sync = matches!(call, Call::Get { synced: true, .. }).then(|| {
                let path = PathOnly { path: "/".into() };
                conn.send(OpCode::Sync, |out| path.encode(out))
            });
            let xid = send(conn, &call);
            self.next_xid = conn.next_xid();
            sent.push_back(Sent { op, call, sync, xid });
        }
        while let Some(next) = sent.pop_front() {
            let heard = match next.sync {
                Some(xid) => self.hear(xid).and_then(|sync| match sync.error {
                    ErrorCode::Ok => self.hear(next.xid),
                    // Without its sync the read is none.
                    _ => self.hear(next.xid).map(|_| sync),
                }),
                None => self.hear(next.xid),
            };
            let reply = match heard {
                Ok(reply) => reply,
                Err(error) => return self.lose(&error),
            };
            self.take(next.op, &next.call, &reply);
            if self.conn.is_none() {
                return;
            }
        }
    }

    /// The connection has failed.
    fn lose(&mut self, error: &ClientError) {
        if !matches!(error, ClientError::Io(_) | ClientError::Closed) {
            self.push(What::Broken(error.to_string()));
        }
        self.disconnect();
    }

    /// The answer to one request; events on the way are written down.
    fn hear(&mut self, xid: Xid) -> Result<Reply, ClientError> {
        loop {
            let conn = self.conn.as_mut().ok_or(ClientError::Closed)?;
            match conn.receive()? {
                Incoming::Event(event) => self.hear_event(event.path),
                Incoming::Reply(reply) if reply.xid == xid => return Ok(reply),
                Incoming::Reply(reply) => {
                    return Err(ClientError::OutOfOrder {
                        expected: xid.0,
                        got: reply.xid.0,
                    });
                }
            }
        }
    }

    fn take(&mut self, op: u64, call: &Call, reply: &Reply) {
        let answer = match answer_of(call, reply) {
            Ok(answer) => answer,
            Err(story) => {
                self.push(What::Broken(story));
                return self.disconnect();
            }
        };
        self.learn(call, &answer);
        self.push(What::Return {
            op,
            zxid: reply.zxid.0,
            answer,
        });
        self.last_zxid = self.last_zxid.max(reply.zxid);
        match reply.error {
            ErrorCode::SessionExpired => self.end_session(),
            ErrorCode::SessionMoved => self.disconnect(),
            _ => {}
        }
    }

    fn learn(&mut self, call: &Call, answer: &Answer) {
        match (call, answer) {
            (Call::Get { path, watch, .. }, Answer::Got(seen, _)) => {
                self.versions.insert(path.clone(), seen.version);
                if *watch && !self.watched.contains(path) {
                    self.watched.push(path.clone());
                }
            }
            (Call::Set { path, .. }, Answer::Set(seen)) => {
                self.versions.insert(path.clone(), seen.version);
            }
            (Call::Create { ephemeral, .. }, Answer::Created(path)) => {
                self.own.push(path.clone());
                if *ephemeral {
                    self.recorder.remember_ephemeral(path.clone());
                }
            }
            _ => {}
        }
    }

    /// Some only read, and watch: they wait for no write, and so hear most of what a server tells that should not.
    fn is_reader(&self) -> bool {
        self.number % 4 == 1
    }

    fn some_call(&mut self) -> Call {
        let register = REGISTERS[self.random.below(REGISTERS.len() - 2)].to_owned();
        if self.is_reader() {
            return self.get_call(register, false);
        }
        match self.random.below(100) {
            0..26 => self.set_call(register, None),
            26..32 => {
                let version = self.versions.get(&register).copied().unwrap_or(0);
                self.set_call(register, Some(version))
            }
            32..48 => self.get_call(register, false),
            48..66 => self.get_call(register, true),
            66..70 => {
                let multi = REGISTERS[REGISTERS.len() - 1 - self.random.below(2)].to_owned();
                self.get_call(multi, true)
            }
            70..76 => self.multi_call(),
            76..82 => self.create_call("/h/s/q-".to_owned(), false, true),
            82..86 => {
                let name = self.new_name("/h/e");
                self.create_call(name, true, false)
            }
            86..89 => {
                let name = self.new_name("/h/n");
                self.create_call(name, false, false)
            }
            89..93 if !self.own.is_empty() => {
                let index = self.random.below(self.own.len());
                Call::Delete {
                    path: self.own.swap_remove(index),
                }
            }
            93..97 if !self.own.is_empty() => {
                let path = self.own[self.random.below(self.own.len())].clone();
                self.get_call(path, false)
            }
            _ => match self.recorder.some_ephemeral(&mut self.random) {
                Some(path) => self.get_call(path, true),
                None => self.get_call(register, true),
            },
        }
    }

    fn new_name(&mut self, dir: &str) -> String {
        self.made += 1;
        format!("{dir}/c{}-{}", self.number, self.made)
    }

    fn value(&mut self) -> String {
        self.made += 1;
        format!("c{}-{}", self.number, self.made)
    }

    fn set_call(&mut self, path: String, version: Option<i32>) -> Call {
        let value = self.value();
        Call::Set { path, value, version }
    }

    fn get_call(&mut self, path: String, synced: bool) -> Call {
        let watch = path.starts_with("/h/r") && self.random.chance(50);
        Call::Get { path, watch, synced }
    }

    fn create_call(&mut self, path: String, ephemeral: bool, sequential: bool) -> Call {
        Call::Create {
            path,
            value: self.value(),
            ephemeral,
            sequential,
        }
    }

    /// Two registers at once; half of the time with a part that fails.
    fn multi_call(&mut self) -> Call {
        let (a, b) = (REGISTERS[REGISTERS.len() - 2], REGISTERS[REGISTERS.len() - 1]);
        let first = self.set_call(a.to_owned(), None);
        let second = match self.random.chance(50) {
            true => self.set_call(b.to_owned(), None),
            false => Call::Check {
                path: b.to_owned(),
                version: i32::MAX,
            },
        };
        Call::Multi(vec![first, second])
    }

    /// All is mended: reads everything that this client writes or watches, then closes the session.
    fn look_once_more(&mut self) {
        let end = Instant::now() + Duration::from_secs(90);
        loop {
            if self.conn.is_none() && !self.connect() {
                thread::sleep(Duration::from_millis(50));
            } else {
                let gets = REGISTERS.iter().map(|path| Call::Get {
                    path: (*path).to_owned(),
                    watch: false,
                    synced: true,
                });
                self.burst_of(gets.collect());
                if self.conn.is_some() {
                    return self.close_session();
                }
            }
            if Instant::now() > end {
                return self.push(What::Broken("no server serves, though all is mended".to_owned()));
            }
        }
    }
}

/// What is written and read all the time; the last two by multis only.
pub const REGISTERS: &[&str] = &["/h/r/0", "/h/r/1", "/h/r/2", "/h/r/3", "/h/m/a", "/h/m/b"];

/// How long a client waits for an answer before it tries another server.
const PATIENCE: Duration = Duration::from_millis(800);
