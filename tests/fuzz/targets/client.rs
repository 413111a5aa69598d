//! What clients send: how it is cut into pieces must not matter, and no request may confuse those who carry it out.

use std::net::SocketAddr;
use std::sync::Arc;

use oxkeeper::auth::Auth;
use oxkeeper::clients::{
    Asked, Cnxn, Fate, Hosting, Quiet, Round, Rules, SaslRules, TokenBucket, WhiteList, Wishes,
};
use oxkeeper::config::FOUR_LETTER_WORDS;
use oxkeeper::processors::prep::{Prep, PrepRules};
use oxkeeper::proto::requests::ConnectRequest;
use oxkeeper::proto::txn::LoggedTxn;
use oxkeeper::proto::{ConnId, Encode, ErrorCode, OpCode, SessionId, Xid, Zxid};
use oxkeeper::request::reads::Reading;
use oxkeeper::request::reply::write_frame;
use oxkeeper::request::{Outcome, ReplyEntry, Request, Sessions};
use oxkeeper::runtime::Now;
use oxkeeper::sasl::jaas::Jaas;
use oxkeeper::sasl::{Nonces, SECRET_BYTES, Users};
use oxkeeper::storage::{CommittedLog, Database};
use oxkeeper::tree::DataTree;
use oxkeeper::tree::dump::TreeDump;

use super::files::{dump, rewritten};
use super::frugal;

/// The bytes of one connection, whole and in pieces: what the server takes them for is the same, and no more memory
/// is taken than they need.
pub fn any_cut(bytes: &[u8]) {
    let whole = hear(bytes, &mut |left| left);
    assert_eq!(hear(bytes, &mut |_| 1), whole);
    let mut dice = bytes
        .iter()
        .fold(7, |sum: usize, byte| sum.wrapping_mul(31) + usize::from(*byte));
    let mut some = |left: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        1 + (dice >> 33) % left
    };
    assert_eq!(hear(bytes, &mut some), whole);
}

/// What a server has heard: its requests, each with number, operation and record; and what it answers at once, though
/// requests may be on their way, as 3.4.14 does.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    requests: Vec<(Xid, OpCode, Vec<u8>)>,
    at_once: Vec<AtOnce>,
    fate: Option<Fate>,
}

#[derive(Debug, PartialEq, Eq)]
enum AtOnce {
    Header(Xid, ErrorCode),
    Sasl(Xid),
    Word(String, bool, i64),
    Taken(SessionId),
}

fn hear(bytes: &[u8], cut: &mut dyn FnMut(usize) -> usize) -> Heard {
    let mut server = Server::new();
    let mut heard = Heard::default();
    let mut left = bytes;
    while !left.is_empty() && server.cnxn.fate() == Fate::Stay {
        let (piece, rest) = left.split_at(cut(left.len()));
        left = rest;
        let mut piece = Some(piece);
        while piece.is_some() || server.cnxn.has_work() {
            let so_far = bytes.len() - left.len();
            frugal(so_far, || server.feed(piece.take().unwrap_or_default()));
            if server.answer_all(&mut heard) {
                return heard;
            }
        }
    }
    heard.fate = Some(server.cnxn.fate());
    heard
}

/// A server of one connection, which answers everything at once.
struct Server {
    cnxn: Cnxn,
    sessions: Arc<Sessions>,
    rules: Rules,
    wishes: Wishes,
    quiet: Quiet,
    tokens: TokenBucket,
}

const NOW: Now = Now {
    elapsed_ms: 5_000,
    wall_ms: 1_700_000_000_000,
};
const CONN: ConnId = ConnId(7);

/// One user has a password.
fn sasl_rules() -> SaslRules {
    let jaas = Jaas::parse("Server { DigestLoginModule required user_bob=\"secret\"; };").expect("a file");
    SaslRules {
        users: Users::of_section(jaas.section("Server").expect("its section")),
        keeps_failed: true,
        nonces: Nonces::new([0; SECRET_BYTES]),
    }
}

impl Server {
    fn new() -> Server {
        Server {
            cnxn: Cnxn::new(CONN, SocketAddr::from(([10, 0, 0, 1], 5000)), NOW),
            sessions: Arc::new(Sessions::new(1, 2_000, [], NOW)),
            rules: Rules {
                max_frame_bytes: 1 << 20,
                min_timeout_ms: 4_000,
                max_timeout_ms: 40_000,
                words: WhiteList::new(FOUR_LETTER_WORDS.into_iter().filter(|word| *word != "wchc")),
                auth: Arc::new(Auth::default()),
                sasl: Some(Arc::new(sasl_rules())),
                required_schemes: Vec::new(),
            },
            wishes: Wishes::default(),
            quiet: Quiet::default(),
            tokens: TokenBucket::default(),
        }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Cnxn, &mut Round<'_>) -> R) -> R {
        let hosting = Hosting {
            sessions: &self.sessions,
            applied: Zxid(1_000_000),
            read_only: false,
        };
        let mut round = Round {
            now: NOW,
            now_us: NOW.elapsed_ms * 1_000,
            rules: &self.rules,
            hosting: Some(hosting),
            room: 3,
            wishes: &mut self.wishes,
            quiet: &mut self.quiet,
            tokens: &mut self.tokens,
        };
        act(&mut self.cnxn, &mut round)
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.with(|cnxn, round| cnxn.on_bytes(bytes, round));
    }

    /// Answers what was wished for, and notes it. True behind the end of the session: what a client sends behind it
    /// may be read or not.
    fn answer_all(&mut self, heard: &mut Heard) -> bool {
        let wishes = std::mem::take(&mut self.wishes);
        heard
            .at_once
            .extend(wishes.taken.iter().map(|(session, _)| AtOnce::Taken(*session)));
        for ask in wishes.asks {
            match ask.asked {
                Asked::Read(op, record) => {
                    heard
                        .requests
                        .push((ask.xid, op, wishes.ask_bytes[record].to_vec()))
                }
                Asked::Ping => heard.requests.push((ask.xid, OpCode::Ping, Vec::new())),
                Asked::Header(_, error) => heard.at_once.push(AtOnce::Header(ask.xid, error)),
                Asked::SaslToken(_) => heard.at_once.push(AtOnce::Sasl(ask.xid)),
            }
            self.cnxn.on_answer(|out| out.extend_from_slice(b"answer"));
        }
        for request in wishes.chain {
            let (xid, op) = (request.xid, request.op);
            // A ping that goes the long way is as good as one that does not; its record means nothing.
            let body = if op == OpCode::Ping {
                Vec::new()
            } else {
                request.body
            };
            heard.requests.push((xid, op, body));
            let outcome = match op {
                OpCode::CreateSession if xid == Xid(0) => Outcome::SessionCreated,
                OpCode::CloseSession => return true,
                _ => Outcome::Answer,
            };
            self.reply(outcome, xid, op);
        }
        for call in wishes.words {
            heard
                .at_once
                .push(AtOnce::Word(call.word.name(), call.allowed, call.mask));
        }
        let unsent = self.cnxn.unsent().len();
        self.cnxn.sent(unsent);
        false
    }

    fn reply(&mut self, outcome: Outcome, xid: Xid, op: OpCode) {
        let entry = ReplyEntry {
            conn: CONN,
            outcome,
            xid,
            zxid: Zxid(101),
            op,
            received_us: NOW.elapsed_ms * 1_000,
            frame: 0..0,
            readers: None,
        };
        self.with(|cnxn, round| cnxn.on_reply(&entry, b"answer", round));
    }
}

/// The frames of a client that has its session, carried out on a tree. What is prepared behind many writes that are
/// not applied yet is what is prepared behind applied ones; the log tells the tree; the tree comes back from its own
/// stream.
pub fn requests(bytes: &[u8]) {
    let at_once = carry_out(bytes, 1);
    let late = carry_out(bytes, usize::MAX);
    assert_eq!(at_once.log, late.log);
    let tree = at_once.database.read_tree();
    let before = TreeDump::of(&tree);
    let mut replayed = DataTree::new();
    for bytes in &at_once.log {
        let logged = LoggedTxn::from_bytes(bytes.clone()).expect("what was logged has a header");
        let txn = logged.txn().expect("what was logged is a transaction");
        replayed.apply(logged.header(), &txn, None);
    }
    assert_eq!(TreeDump::of(&replayed), before);
    assert_eq!(dump(&rewritten(&tree)), dump(&tree));
}

/// What became of a client's requests.
struct Done {
    log: Vec<Vec<u8>>,
    database: Database,
}

/// Carries requests out; transactions are applied when so many wait.
fn carry_out(bytes: &[u8], lag: usize) -> Done {
    let mut server = Server::new();
    server.feed(&hello());
    let wishes = std::mem::take(&mut server.wishes);
    let auth = Arc::clone(&server.rules.auth);
    let rules = PrepRules {
        max_txn_bytes: (1 << 20) + 1024,
        enforce_quota: true,
    };
    let mut prep = Prep::new(auth, Arc::clone(&server.sessions), Zxid(0), rules);
    prep.allow_newer_txns(true);
    let mut done = Done {
        log: Vec::new(),
        database: Database::new(DataTree::new(), CommittedLog::new(10)),
    };
    let mut waiting = Vec::new();
    for request in wishes.chain {
        done.prepare(&mut prep, request, &mut waiting);
    }
    server.reply(Outcome::SessionCreated, Xid(0), OpCode::CreateSession);
    let mut left = bytes;
    while !left.is_empty() && server.cnxn.fate() == Fate::Stay {
        let (piece, rest) = left.split_at(left.len().min(512));
        left = rest;
        server.feed(piece);
        loop {
            let wishes = std::mem::take(&mut server.wishes);
            for ask in wishes.asks {
                if let Asked::Read(op, record) = ask.asked {
                    done.read(&server, op, &wishes.ask_bytes[record]);
                }
            }
            for request in wishes.chain {
                let (xid, op) = (request.xid, request.op);
                if request.op.is_write() {
                    done.prepare(&mut prep, request, &mut waiting);
                } else {
                    done.read(&server, op, &request.body);
                }
                server.reply(Outcome::Answer, xid, op);
            }
            if waiting.len() >= lag {
                done.apply(&mut prep, &mut waiting);
            }
            let unsent = server.cnxn.unsent().len();
            server.cnxn.sent(unsent);
            if !server.cnxn.has_work() || server.cnxn.fate() != Fate::Stay {
                break;
            }
            server.feed(&[]);
        }
    }
    done.apply(&mut prep, &mut waiting);
    done
}

impl Done {
    fn prepare(&mut self, prep: &mut Prep, request: Request, waiting: &mut Vec<Arc<LoggedTxn>>) {
        let bytes = request.body.len();
        let tree = self.database.read_tree();
        let first = (tree.approximate_data_size() + (64 << 10)).max(64 << 10);
        let prepared = super::sparing(bytes, first, || prep.prepare(NOW, request, &tree));
        if let Some(logged) = prepared.logged {
            assert_eq!(logged.zxid(), prepared.zxid);
            self.log.push(logged.bytes().to_vec());
            waiting.push(logged);
        }
    }

    fn apply(&mut self, prep: &mut Prep, waiting: &mut Vec<Arc<LoggedTxn>>) {
        let mut changes = Vec::new();
        for logged in waiting.drain(..) {
            let txn = logged.txn().expect("what was prepared is a transaction");
            changes.clear();
            self.database
                .write_tree()
                .apply(logged.header(), &txn, Some(&mut changes));
            let mut fired = Vec::new();
            for change in &changes {
                self.database.watches().trigger(change, &mut fired);
            }
            prep.forget_applied(logged.zxid());
        }
    }

    fn read(&self, server: &Server, op: OpCode, record: &[u8]) {
        let tree = self.database.read_tree();
        let reading = Reading {
            tree: &tree,
            database: &self.database,
            auth: &server.rules.auth,
            identities: server.cnxn.identities(),
            conn: CONN,
            session: server.cnxn.session(),
        };
        let mut out = Vec::new();
        if matches!(op, OpCode::SetWatches | OpCode::SetWatches2) {
            let mut fired = Vec::new();
            let _ = reading.set_watches(op, record, &mut fired);
        } else {
            let _ = reading.answer(op, record, &mut out);
        }
    }
}

fn hello() -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 10_000,
        session: SessionId(0),
        password: None,
    };
    let mut out = Vec::new();
    write_frame(&mut out, |out| {
        request.encode(out);
        out.push(0);
    });
    out
}
