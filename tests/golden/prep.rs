//! PrepRequestProcessor: requests in, transactions or refusals out; nothing is applied unless asked.
//!
//! ```text
//! > limit 300                      the longest transaction, bytes
//! > enforce quotas                 hard quotas are kept to
//! > who digest:user:secret         everybody who asks from here on; `nobody` for no identity but the address
//! > create a /p [flags=e|s|es] [data=x] [acl=none|read|mine|auth]
//! > delete a /p [version=3]        > set a /p [data=x] [version=3]      > setacl a /p acl=read [version=3]
//! > check a /p version=3           > get a /p                           > session a 10000    > close a
//! > multi a create /p; set /q version=3; check /q version=1; delete /p
//! > raw a create                   a request without a record
//! > from 3                         requests come from server 3's clients; `from here` for this server's
//! > apply                          what was prepared is applied
//! ```

use std::sync::Arc;

use oxkeeper::auth::Auth;
use oxkeeper::processors::prep::{Prep, PrepRules};
use oxkeeper::proto::multi::{MultiOp, encode_ops};
use oxkeeper::proto::requests::{CreateRequest, PathVersion, PathWatch, SetAclRequest, SetDataRequest};
use oxkeeper::proto::txn::{LoggedTxn, Txn};
use oxkeeper::proto::{Acl, ConnId, Encode, ErrorCode, Id, OpCode, Perms, Reader, SessionId, Sid, Xid, Zxid};
use oxkeeper::request::{Identities, Origin, Prepared, Request, Sessions};
use oxkeeper::runtime::Now;
use oxkeeper::tree::DataTree;

use super::runner::play_all;
use super::words::{Words, number};

#[test]
fn prep() {
    play_all("prep", 10, || World::new(1_049_599, false), World::obey);
}

const NOW: Now = Now {
    elapsed_ms: 5_000,
    wall_ms: 1_700_000_000_000,
};
/// Known from the beginning: sessions a and b.
const SESSIONS: [(SessionId, i32); 2] = [(SessionId(0xa), 10_000), (SessionId(0xb), 10_000)];

struct World {
    prep: Prep,
    sessions: Arc<Sessions>,
    tree: DataTree,
    waiting: Vec<Arc<LoggedTxn>>,
    identities: Identities,
    origin: Origin,
}

impl World {
    fn new(max_txn_bytes: usize, enforce_quota: bool) -> World {
        let sessions = Arc::new(Sessions::new(1, 2_000, SESSIONS, NOW));
        let prep = Prep::new(
            Arc::new(Auth::default()),
            Arc::clone(&sessions),
            Zxid(0),
            PrepRules {
                max_txn_bytes,
                enforce_quota,
            },
        );
        World {
            prep,
            sessions,
            tree: DataTree::new(),
            waiting: Vec::new(),
            identities: Arc::from([Id::new("ip", "127.0.0.1")]),
            origin: Origin::Client(ConnId(1)),
        }
    }

    fn obey(&mut self, command: &str) -> Vec<String> {
        let (verb, words) = Words::of(command);
        match verb {
            "limit" => *self = World::new(words.number(0) as usize, false),
            "enforce" => *self = World::new(1_049_599, true),
            "who" => self.identities = identities(words.at(0)),
            "from" if words.at(0) == "here" => self.origin = Origin::Client(ConnId(1)),
            "from" => self.origin = Origin::Learner(Sid(words.number(0))),
            "alive" => {
                let code = self.sessions.check(session(words.at(0)), None);
                return vec![format!(
                    "  {}",
                    code.map_or_else(|trouble| trouble.to_string(), |()| "alive".to_owned())
                )];
            }
            "apply" => self.apply(),
            "multi" => return self.ask(words.at(0), OpCode::Multi, multi(command)),
            "raw" => {
                let op = (-11..=103)
                    .filter_map(OpCode::of)
                    .find(|op| op.name() == words.at(1));
                return self.ask(words.at(0), op.expect("an operation"), Vec::new());
            }
            _ => {
                let (op, body) = request(verb, &words, 1);
                return self.ask(words.at(0), op, body);
            }
        }
        Vec::new()
    }

    fn ask(&mut self, who: &str, op: OpCode, body: Vec<u8>) -> Vec<String> {
        let request = Request {
            session: session(who),
            xid: Xid(1),
            op,
            body,
            origin: self.origin,
            identities: Arc::clone(&self.identities),
            received_us: 0,
        };
        let prepared = self.prep.prepare(NOW, request, &self.tree);
        self.waiting.extend(prepared.logged.clone());
        shown(&prepared)
    }

    fn apply(&mut self) {
        for logged in self.waiting.drain(..) {
            let txn = logged.txn().expect("what was prepared");
            self.tree.apply(logged.header(), &txn, None);
            self.prep.forget_applied(logged.zxid());
        }
    }
}

fn session(name: &str) -> SessionId {
    SessionId(i64::from_str_radix(name, 16).expect("sessions are a, b, c..."))
}

fn identities(word: &str) -> Identities {
    let (scheme, secret) = word.split_once(':').unwrap_or((word, ""));
    let mut all = vec![Id::new("ip", "127.0.0.1")];
    if scheme == "digest" {
        all.push(Id::new("digest", oxkeeper::auth::digest_of(secret)));
    }
    Arc::from(all)
}

/// A request by its verb; its path is the plain word at `place`.
fn request(verb: &str, words: &Words<'_>, place: usize) -> (OpCode, Vec<u8>) {
    if verb == "session" {
        return (OpCode::CreateSession, (words.number(1) as i32).to_bytes());
    }
    if verb == "close" {
        return (OpCode::CloseSession, Vec::new());
    }
    if verb == "get" {
        let read = PathWatch {
            path: words.at(place).into(),
            watch: false,
        };
        return (OpCode::GetData, read.to_bytes());
    }
    if verb == "setacl" {
        let request = SetAclRequest {
            path: words.at(place).into(),
            acl: acl(words),
            version: version(words),
        };
        return (OpCode::SetAcl, request.to_bytes());
    }
    match part(verb, words, place) {
        MultiOp::Create(request) => (OpCode::Create, request.to_bytes()),
        MultiOp::Create2(request) => (OpCode::Create2, request.to_bytes()),
        MultiOp::CreateContainer(_) | MultiOp::CreateTtl(_) => words.unknown(),
        MultiOp::Delete(request) => (OpCode::Delete, request.to_bytes()),
        MultiOp::SetData(request) => (OpCode::SetData, request.to_bytes()),
        MultiOp::Check(request) => (OpCode::Check, request.to_bytes()),
    }
}

fn part<'a>(verb: &str, words: &Words<'a>, place: usize) -> MultiOp<'a> {
    let path = words.at(place).into();
    let version = version(words);
    let data = words.get("data").map(str::as_bytes);
    match verb {
        "create" | "create2" => {
            let flags = words.get("flags").unwrap_or_default();
            let flags = flags
                .parse()
                .unwrap_or(i32::from(flags.contains('e')) + 2 * i32::from(flags.contains('s')));
            let request = CreateRequest {
                path,
                data,
                acl: acl(words),
                flags,
            };
            if verb == "create2" {
                MultiOp::Create2(request)
            } else {
                MultiOp::Create(request)
            }
        }
        "delete" => MultiOp::Delete(PathVersion { path, version }),
        "set" => MultiOp::SetData(SetDataRequest { path, data, version }),
        "check" => MultiOp::Check(PathVersion { path, version }),
        _ => words.unknown(),
    }
}

fn version(words: &Words<'_>) -> i32 {
    words.get("version").map_or(-1, |word| number(word) as i32)
}

fn acl(words: &Words<'_>) -> Vec<Acl> {
    match words.get("acl").unwrap_or("open") {
        "open" => Acl::open(),
        "none" => Vec::new(),
        "read" => vec![Acl::new(Perms::READ, "world", "anyone")],
        "auth" => vec![Acl::new(Perms::ALL, "auth", "")],
        "create" => vec![Acl::new(Perms::CREATE, "world", "anyone")],
        other => panic!("no such ACL: {other}"),
    }
}

fn multi(command: &str) -> Vec<u8> {
    let rest = command.splitn(3, ' ').nth(2).unwrap_or_default();
    let parts = rest.split(';').map(str::trim).filter(|part| !part.is_empty());
    let ops: Vec<MultiOp<'_>> = parts
        .map(|text| {
            let (verb, words) = Words::of(text);
            part(verb, &words, 0)
        })
        .collect();
    let mut body = Vec::new();
    encode_ops(&ops, &mut body);
    body
}

/// Zxid, transaction, refusal.
fn shown(prepared: &Prepared) -> Vec<String> {
    let refused = prepared
        .refused
        .map(|code| format!(", refused: {code:?}"))
        .unwrap_or_default();
    let zxid = prepared.zxid;
    let Some(logged) = &prepared.logged else {
        return vec![format!("  no transaction, behind {zxid}{refused}")];
    };
    assert_eq!(logged.zxid(), zxid);
    let txn = logged.txn().expect("a transaction");
    let mut lines = vec![format!("  {zxid}: {}{refused}", described(&txn))];
    if let Txn::Multi(parts) = &txn {
        lines.extend(parts.iter().map(|part| {
            let txn = Txn::decode(part.op, &mut Reader::new(&part.record)).expect("a part");
            format!("    {}", described(&txn))
        }));
    }
    lines
}

fn described(txn: &Txn<'_>) -> String {
    match txn {
        Txn::Create(create) => {
            let kind = if create.ephemeral { "ephemeral " } else { "" };
            let acl = create
                .acl
                .iter()
                .flatten()
                .map(|entry| format!("{}:{:x}", entry.id.scheme, entry.perms.0));
            let acl: Vec<String> = acl.collect();
            let (path, cversion) = (&create.path, create.parent_cversion);
            format!(
                "create {kind}{path}, its parent's cversion {cversion}, {}",
                acl.join(" ")
            )
        }
        Txn::Delete(delete) => format!("delete {}", delete.path),
        Txn::SetData(set) => format!("setData {}, version {}", set.path, set.version),
        Txn::SetAcl(set) => format!("setACL {}, version {}", set.path, set.version),
        Txn::Check(check) => format!("check {}, version {}", check.path, check.version),
        Txn::CreateSession(timeout_ms) => format!("createSession, {timeout_ms} ms"),
        Txn::CloseSession => "closeSession".to_owned(),
        Txn::Error(code) => match ErrorCode::of(*code) {
            Some(code) => format!("error {code:?}"),
            None => format!("error {code}"),
        },
        Txn::Multi(parts) => format!("multi of {}", parts.len()),
        newer => format!("{newer:?}"),
    }
}
