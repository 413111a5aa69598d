//! Random scripts: what several sessions do, one after the other, drawn from a seed alone.

use std::fmt;

use oxkeeper::proto::multi::{MultiHeader, MultiOp, encode_ops};
use oxkeeper::proto::requests::{AuthPacket, PathOnly, PathVersion, PathWatch, SetAclRequest};
use oxkeeper::proto::{Encode, OpCode, Reader, Xid};

use crate::support::random::Random;

use super::material;

/// One thing that one session does. The next step begins when all that came of this one has come.
#[derive(Debug, Clone)]
pub enum Step {
    /// A new session with the timeout it wishes for; an old client says nothing of read-only servers.
    Open {
        slot: usize,
        timeout_ms: i32,
        is_old: bool,
    },
    /// Requests, all in one write.
    Send { slot: usize, requests: Vec<Request> },
    /// What makes the server close the connection.
    Offend { slot: usize, bytes: Vec<u8> },
    /// The end of a session, perhaps with requests before it in the same write.
    Close { slot: usize, requests: Vec<Request> },
    /// A session is taken over by a second connection while the first one stands.
    Move { slot: usize },
    /// The connection breaks.
    Drop { slot: usize },
    /// A session is taken up again on a new connection.
    Renew {
        slot: usize,
        how: Renewal,
        watches: Option<Watches>,
    },
}

/// How a session is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// As it should be.
    Good,
    /// With another password.
    WrongPassword,
    /// By a client that has seen changes which the server has not.
    FromTheFuture,
}

/// The watches of a setWatches.
#[derive(Debug, Clone)]
pub struct Watches {
    /// Whether the client says that it has seen what it has seen when its connection broke, or nothing.
    pub since_drop: bool,
    /// Data, exist and child watches.
    pub lists: [Vec<String>; 3],
}

/// A request without its length.
#[derive(Clone)]
pub struct Request {
    /// Its number.
    pub xid: Xid,
    /// Its operation.
    pub op: i32,
    /// What follows the header.
    pub body: Vec<u8>,
}

impl Request {
    fn new(xid: Xid, op: i32, body: Vec<u8>) -> Request {
        Request { xid, op, body }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = OpCode::of(self.op).map_or("unknown", OpCode::name);
        let path = Reader::new(&self.body).string_prefix();
        write!(
            f,
            "{}:{name}({}) {path:?} {} bytes",
            self.xid.0,
            self.op,
            self.body.len()
        )
    }
}

/// Draws the steps of a script that holds some `requests` requests.
pub fn script(seed: u64, requests: usize) -> Vec<Step> {
    let mut writer = Writer::new(seed);
    let mut steps = Vec::new();
    while writer.written < requests {
        steps.push(writer.step());
    }
    for slot in 0..SLOTS {
        steps.extend(writer.end(slot));
    }
    steps
}

/// How many sessions there are at once.
pub const SLOTS: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    Free,
    Connected,
    /// Whether its session was closed, so that a renewal must be refused.
    Broken {
        is_closed: bool,
    },
}

struct Writer {
    random: Random,
    slots: [Slot; SLOTS],
    next_xid: [i32; SLOTS],
    written: usize,
}

impl Writer {
    fn new(seed: u64) -> Writer {
        Writer {
            random: Random::new(seed),
            slots: [Slot::Free; SLOTS],
            next_xid: [1; SLOTS],
            written: 0,
        }
    }

    fn step(&mut self) -> Step {
        let slot = self.random.below(SLOTS);
        match self.slots[slot] {
            Slot::Free => self.open(slot),
            Slot::Broken { is_closed } => self.renew(slot, is_closed),
            Slot::Connected => self.act(slot),
        }
    }

    fn end(&mut self, slot: usize) -> Option<Step> {
        (self.slots[slot] == Slot::Connected).then(|| self.close(slot))
    }

    fn open(&mut self, slot: usize) -> Step {
        self.slots[slot] = Slot::Connected;
        self.next_xid[slot] = 1;
        let timeouts_ms = [30_000, 35_000, 40_000, 1_000_000, i32::MAX];
        let timeout_ms = timeouts_ms[self.random.below(timeouts_ms.len())];
        Step::Open {
            slot,
            timeout_ms,
            is_old: self.random.chance(10),
        }
    }

    fn renew(&mut self, slot: usize, is_closed: bool) -> Step {
        if is_closed {
            // The slot is used for another session afterwards.
            self.slots[slot] = Slot::Free;
            return Step::Renew {
                slot,
                how: Renewal::Good,
                watches: None,
            };
        }
        let how = match self.random.below(10) {
            0 => Renewal::WrongPassword,
            1 => Renewal::FromTheFuture,
            _ => Renewal::Good,
        };
        if how != Renewal::Good {
            return Step::Renew {
                slot,
                how,
                watches: None,
            };
        }
        self.slots[slot] = Slot::Connected;
        let watches = self.random.chance(80).then(|| self.watches());
        Step::Renew { slot, how, watches }
    }

    fn watches(&mut self) -> Watches {
        let random = &mut self.random;
        let mut list = || (0..random.below(6)).map(|_| material::path(random)).collect();
        let lists = [list(), list(), list()];
        Watches {
            since_drop: random.chance(70),
            lists,
        }
    }

    fn act(&mut self, slot: usize) -> Step {
        match self.random.below(100) {
            0..=2 => self.close(slot),
            3..=5 => {
                self.slots[slot] = Slot::Broken { is_closed: false };
                Step::Drop { slot }
            }
            6..=7 => self.offend(slot),
            8 => Step::Move { slot },
            9..=12 => {
                let request = self.auth();
                Step::Send {
                    slot,
                    requests: vec![request],
                }
            }
            _ => {
                let requests = self.requests(slot);
                Step::Send { slot, requests }
            }
        }
    }

    fn close(&mut self, slot: usize) -> Step {
        let mut requests = if self.random.chance(30) {
            self.requests(slot)
        } else {
            vec![]
        };
        let is_closed = true;
        self.slots[slot] = if self.random.chance(30) {
            Slot::Broken { is_closed }
        } else {
            Slot::Free
        };
        requests.push(Request::new(
            self.xid(slot),
            OpCode::CloseSession.number(),
            vec![],
        ));
        Step::Close { slot, requests }
    }

    /// Frames after which 3.4.14 hangs up: alone, since it answers them ahead of what waits in its chain.
    fn offend(&mut self, slot: usize) -> Step {
        self.slots[slot] = Slot::Broken { is_closed: false };
        let bytes = match self.random.below(6) {
            0 => material::TOO_LONG.to_be_bytes().to_vec(),
            1 => (-1i32).to_be_bytes().to_vec(),
            2 => framed(&[0, 0, 0]),
            3 => {
                let auth = AuthPacket {
                    kind: 0,
                    scheme: Some("nosuch".into()),
                    auth: Some(b"x"),
                };
                frame(&Request::new(Xid::AUTH, OpCode::Auth.number(), auth.to_bytes()))
            }
            _ => {
                let ops = [0, 10, 16, 20, 23, 99, 108, -2, -12, 1_000, i32::MAX];
                let op = ops[self.random.below(ops.len())];
                let xid = self.xid(slot);
                frame(&Request::new(
                    xid,
                    op,
                    material::path(&mut self.random).to_bytes(),
                ))
            }
        };
        Step::Offend { slot, bytes }
    }

    /// Credentials; or a token of SASL, which nobody has configured.
    fn auth(&mut self) -> Request {
        if self.random.chance(10) {
            let token = [b"token".as_slice(), b""][self.random.below(2)];
            return Request::new(Xid(1), OpCode::Sasl.number(), token.to_bytes());
        }
        let user = self
            .random
            .pick(&[b"ann:a".as_slice(), b"bob:b", b"plain", b"", b":"]);
        let scheme = if self.random.chance(90) { "digest" } else { "ip" };
        let packet = AuthPacket {
            kind: 0,
            scheme: Some(scheme.into()),
            auth: Some(user),
        };
        Request::new(Xid::AUTH, OpCode::Auth.number(), packet.to_bytes())
    }

    fn requests(&mut self, slot: usize) -> Vec<Request> {
        let count = match self.random.below(10) {
            0..=4 => 1 + self.random.below(3),
            5..=8 => 4 + self.random.below(20),
            _ => 100 + self.random.below(200),
        };
        self.written += count;
        let mut requests: Vec<Request> = (0..count).map(|_| self.request(slot)).collect();
        // 3.4.14 checks what follows a setACL against the old list until the new one is applied (the pending
        // record of PrepRequestProcessor keeps the old): nothing may follow it in the same write.
        if self.random.chance(30) {
            let body = self.set_acl();
            requests.push(Request::new(self.xid(slot), OpCode::SetAcl.number(), body));
        }
        requests
    }

    fn request(&mut self, slot: usize) -> Request {
        if self.random.chance(2) {
            return Request::new(Xid::PING, OpCode::Ping.number(), vec![]);
        }
        let (op, mut body) = self.operation();
        if self.random.chance(2) {
            // Cut, so that the record cannot be read.
            body.truncate(self.random.below(body.len().max(1)));
        }
        // What is below the quotas stays what 3.4.14 can read.
        let is_quota = body.windows(9).any(|word| word == b"zookeeper");
        if self.random.chance(4) && !body.is_empty() && !is_quota {
            let place = self.random.below(body.len());
            body[place] = self.random.next() as u8;
        }
        let xid = self.xid(slot);
        Request::new(xid, op.number(), body)
    }

    fn operation(&mut self) -> (OpCode, Vec<u8>) {
        match self.random.below(100) {
            0..=24 => (OpCode::Create, material::create(&mut self.random).to_bytes()),
            25..=34 => (OpCode::Delete, self.path_version().to_bytes()),
            35 if self.random.chance(20) => (
                OpCode::SetData,
                material::large_set_data(&mut self.random).to_bytes(),
            ),
            35..=47 => (OpCode::SetData, material::set_data(&mut self.random).to_bytes()),
            48..=54 => (OpCode::Exists, self.path_watch()),
            55..=63 => (OpCode::GetData, self.path_watch()),
            64..=70 => (OpCode::GetChildren, self.path_watch()),
            71..=77 => (OpCode::GetChildren2, self.path_watch()),
            78..=87 => (OpCode::GetAcl, self.path_only()),
            88..=89 => (OpCode::Sync, self.path_only()),
            _ => (OpCode::Multi, self.multi()),
        }
    }

    fn path_version(&mut self) -> PathVersion<'static> {
        let path = material::path(&mut self.random).into();
        PathVersion {
            path,
            version: material::version(&mut self.random),
        }
    }

    fn path_watch(&mut self) -> Vec<u8> {
        let path = material::path(&mut self.random).into();
        PathWatch {
            path,
            watch: self.random.chance(50),
        }
        .to_bytes()
    }

    fn path_only(&mut self) -> Vec<u8> {
        PathOnly {
            path: material::path(&mut self.random).into(),
        }
        .to_bytes()
    }

    fn set_acl(&mut self) -> Vec<u8> {
        let path = material::path(&mut self.random).into();
        let acl = material::acl(&mut self.random);
        let version = material::version(&mut self.random);
        SetAclRequest { path, acl, version }.to_bytes()
    }

    /// Half of them of parts that can all go well, one of ten with a part that no multi may have.
    fn multi(&mut self) -> Vec<u8> {
        let count = self.random.below(6);
        let ops: Vec<MultiOp<'_>> = (0..count).map(|_| self.part()).collect();
        let mut out = Vec::new();
        if self.random.chance(10) {
            let header = MultiHeader {
                op: OpCode::GetData.number(),
                done: false,
                error: -1,
            };
            header.encode(&mut out);
            out.extend(self.path_watch());
        }
        encode_ops(&ops, &mut out);
        out
    }

    fn part(&mut self) -> MultiOp<'static> {
        match self.random.below(10) {
            0..=3 => MultiOp::Create(material::create(&mut self.random)),
            4..=5 => MultiOp::Delete(self.path_version()),
            6..=7 => MultiOp::SetData(material::set_data(&mut self.random)),
            _ => MultiOp::Check(self.path_version()),
        }
    }

    fn xid(&mut self, slot: usize) -> Xid {
        let xid = Xid(self.next_xid[slot]);
        self.next_xid[slot] += 1;
        xid
    }
}

/// A request as it goes over the wire.
pub fn frame(request: &Request) -> Vec<u8> {
    let mut out = Vec::new();
    request.xid.encode(&mut out);
    request.op.encode(&mut out);
    out.extend_from_slice(&request.body);
    framed(&out)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    bytes.to_bytes()
}
