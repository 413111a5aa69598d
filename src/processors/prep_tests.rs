//! Scripts for [`Prep`]: requests in, transactions out, nothing applied unless asked.

use std::sync::Arc;

use crate::auth::Auth;
use crate::proto::multi::{MultiOp, encode_ops};
use crate::proto::requests::{CreateRequest, PathVersion, SetAclRequest, SetDataRequest};
use crate::proto::txn::Txn;
use crate::proto::{Acl, ConnId, Encode, ErrorCode, Id, OpCode, Perms, Reader, SessionId, Sid, Xid, Zxid};
use crate::request::{Origin, Prepared, Request, Sessions};
use crate::runtime::Now;
use crate::tree::DataTree;

use super::{Prep, PrepRules};

const NOW: Now = Now {
    elapsed_ms: 5_000,
    wall_ms: 1_700_000_000_000,
};
const A: SessionId = SessionId(0xa);
const B: SessionId = SessionId(0xb);

struct Script {
    prep: Prep,
    tree: DataTree,
    sessions: Arc<Sessions>,
    identities: Arc<[Id]>,
}

impl Script {
    fn new() -> Script {
        let sessions = Arc::new(Sessions::new(1, 2_000, [(A, 10_000), (B, 10_000)], NOW));
        let prep = Prep::new(
            Arc::new(Auth::default()),
            Arc::clone(&sessions),
            Zxid(0),
            PrepRules {
                max_txn_bytes: 1_049_599,
                enforce_quota: false,
            },
        );
        let identities = Arc::from([Id::new("ip", "127.0.0.1")]);
        Script {
            prep,
            tree: DataTree::new(),
            sessions,
            identities,
        }
    }

    fn ask(&mut self, session: SessionId, op: OpCode, body: &impl Encode) -> Prepared {
        self.ask_from(Origin::Client(ConnId(1)), session, op, body.to_bytes())
    }

    fn ask_from(&mut self, origin: Origin, session: SessionId, op: OpCode, body: Vec<u8>) -> Prepared {
        let identities = Arc::clone(&self.identities);
        let request = Request {
            session,
            xid: Xid(1),
            op,
            body,
            origin,
            identities,
            received_us: 0,
        };
        self.prep.prepare(NOW, request, &self.tree)
    }

    fn create(&mut self, path: &str, flags: i32) -> String {
        let acl = Acl::open();
        shown(&self.ask(
            A,
            OpCode::Create,
            &CreateRequest {
                path: path.into(),
                data: None,
                acl,
                flags,
            },
        ))
    }

    fn delete(&mut self, path: &str, version: i32) -> String {
        shown(&self.ask(
            A,
            OpCode::Delete,
            &PathVersion {
                path: path.into(),
                version,
            },
        ))
    }

    fn set(&mut self, path: &str, version: i32) -> String {
        let path = path.into();
        shown(&self.ask(
            A,
            OpCode::SetData,
            &SetDataRequest {
                path,
                data: Some(b"x"),
                version,
            },
        ))
    }

    fn multi(&mut self, ops: &[MultiOp<'_>]) -> Prepared {
        let mut body = Vec::new();
        encode_ops(ops, &mut body);
        self.ask_from(Origin::Client(ConnId(1)), A, OpCode::Multi, body)
    }

    /// Applies a transaction, as FinalRequestProcessor would, and lets Prep forget it.
    fn apply(&mut self, prepared: &Prepared) {
        let logged = prepared.logged.as_ref().expect("a transaction");
        let txn = logged.txn().expect("what was encoded");
        self.tree.apply(logged.header(), &txn, None);
        self.prep.forget_applied(logged.zxid());
    }
}

/// A prepared request in a few words: zxid, transaction, refusal.
fn shown(prepared: &Prepared) -> String {
    let txn = prepared
        .logged
        .as_ref()
        .map(|logged| words(&logged.txn().expect("what was encoded")));
    let txn = txn.unwrap_or_else(|| "no txn".to_owned());
    let refused = prepared
        .refused
        .map(|code| format!(", {code:?}"))
        .unwrap_or_default();
    format!("{} {txn}{refused}", prepared.zxid)
}

fn words(txn: &Txn<'_>) -> String {
    match txn {
        Txn::Create(create) => {
            let kind = if create.ephemeral { "ephemeral " } else { "" };
            format!("create {kind}{} parent {}", create.path, create.parent_cversion)
        }
        Txn::CreateContainer(create) => {
            format!("container {} parent {}", create.path, create.parent_cversion)
        }
        Txn::CreateTtl(create) => format!("ttl {} {}", create.path, create.ttl_ms),
        Txn::DeleteContainer(delete) => format!("delete container {}", delete.path),
        Txn::Delete(delete) => format!("delete {}", delete.path),
        Txn::SetData(set) => format!("set {} version {}", set.path, set.version),
        Txn::SetAcl(set) => format!("setacl {} version {}", set.path, set.version),
        Txn::Check(check) => format!("check {} version {}", check.path, check.version),
        Txn::CreateSession(timeout_ms) => format!("session {timeout_ms}"),
        Txn::CloseSession => "close".to_owned(),
        Txn::Error(code) => format!("error {code}"),
        Txn::Multi(parts) => {
            let parts = parts.iter().map(|part| {
                let record = Txn::decode(part.op, &mut Reader::new(&part.record)).expect("a part");
                words(&record)
            });
            format!("multi[{}]", parts.collect::<Vec<_>>().join("; "))
        }
    }
}

#[test]
fn what_is_in_flight_counts_before_it_is_applied() {
    let mut script = Script::new();
    assert_eq!(script.create("/a", 0), "0x1 create /a parent 1");
    assert_eq!(script.create("/a", 0), "0x2 error -110, NodeExists");
    assert_eq!(script.create("/a/n-", 2), "0x3 create /a/n-0000000000 parent 1");
    assert_eq!(
        script.create("/a/n-", 3),
        "0x4 create ephemeral /a/n-0000000001 parent 2"
    );
    assert_eq!(
        script.create("/a/n-0000000001/x", 0),
        "0x5 error -108, NoChildrenForEphemerals"
    );
    assert_eq!(script.delete("/a", -1), "0x6 error -111, NotEmpty");
    assert_eq!(script.set("/a", 0), "0x7 set /a version 1");
    assert_eq!(script.set("/a", 0), "0x8 error -103, BadVersion");
    assert_eq!(script.set("/a", 1), "0x9 set /a version 2");
    assert_eq!(script.delete("/a/n-0000000000", -1), "0xa delete /a/n-0000000000");
    assert_eq!(script.delete("/a/n-0000000000", -1), "0xb error -101, NoNode");
    assert_eq!(script.create("/a/n-", 2), "0xc create /a/n-0000000002 parent 3");
}

#[test]
fn applied_changes_and_changes_in_flight_give_the_same_answers() {
    let mut script = Script::new();
    let acl = Acl::open();
    let create = CreateRequest {
        path: "/a".into(),
        data: None,
        acl,
        flags: 0,
    };
    let prepared = script.ask(A, OpCode::Create, &create);
    script.apply(&prepared);
    assert_eq!(script.create("/a", 0), "0x2 error -110, NodeExists");
    assert_eq!(script.create("/b", 0), "0x3 create /b parent 2");
    assert_eq!(script.set("/a", 0), "0x4 set /a version 1");
}

#[test]
fn checks_come_in_java_s_order() {
    let mut script = Script::new();
    // The parent is looked up before the path is validated; a path without a slash is bad at once.
    assert_eq!(script.create("/n/", 0), "0x1 error -101, NoNode");
    assert_eq!(script.create("nn", 0), "0x2 error -8, BadArguments");
    assert_eq!(script.create("/./x", 0), "0x3 error -101, NoNode");
    assert_eq!(script.create("/.", 0), "0x4 error -8, BadArguments");
    assert_eq!(script.create("/a", 4), "0x5 error -8, BadArguments");
    assert_eq!(script.create("/", 0), "0x6 error -110, NodeExists");
    assert_eq!(script.delete("/", -1), "0x7 error -8, BadArguments");
    assert_eq!(
        script.delete("/zookeeper/quota", -1),
        "0x8 error -8, BadArguments"
    );
    let empty = CreateRequest {
        path: "/none/a".into(),
        data: None,
        acl: vec![],
        flags: 0,
    };
    assert_eq!(
        shown(&script.ask(A, OpCode::Create, &empty)),
        "0x9 error -114, InvalidAcl"
    );
}

#[test]
fn an_unreadable_write_takes_a_zxid_and_an_unknown_session_is_expired() {
    let mut script = Script::new();
    let torn = script.ask_from(
        Origin::Client(ConnId(1)),
        A,
        OpCode::Create,
        vec![0, 0, 0, 9, b'/'],
    );
    assert_eq!(shown(&torn), "0x1 error -5, MarshallingError");
    let path = PathVersion {
        path: "/a".into(),
        version: -1,
    };
    let unknown = script.ask(SessionId(99), OpCode::Delete, &path);
    assert_eq!(shown(&unknown), "0x2 error -112, SessionExpired");
    let read = script.ask(SessionId(99), OpCode::GetData, &path);
    assert_eq!(shown(&read), "0x2 no txn, SessionExpired");
    let moved = script.ask_from(Origin::Learner(Sid(2)), A, OpCode::Delete, path.to_bytes());
    assert_eq!(shown(&moved), "0x3 error -118, SessionMoved");
    assert_eq!(script.delete("/a", -1), "0x4 error -101, NoNode");
}

#[test]
fn a_failing_multi_leaves_nothing_in_flight() {
    let mut script = Script::new();
    assert_eq!(script.create("/a", 0), "0x1 create /a parent 1");
    let create = |path: &'static str, flags| {
        MultiOp::Create(CreateRequest {
            path: path.into(),
            data: None,
            acl: Acl::open(),
            flags,
        })
    };
    let failing = [
        create("/a/s-", 2),
        create("/b", 0),
        MultiOp::Check(PathVersion {
            path: "/a".into(),
            version: 7,
        }),
        create("/c", 0),
    ];
    let prepared = script.multi(&failing);
    let parts = "create /a/s-0000000000 parent 1; create /b parent 2; error -103; error -2";
    assert_eq!(shown(&prepared), format!("0x2 multi[{parts}]"));
    assert_eq!(script.create("/b", 0), "0x3 create /b parent 2");
    assert_eq!(script.create("/a/s-", 2), "0x4 create /a/s-0000000000 parent 1");

    let whole = script.multi(&[
        create("/c", 0),
        MultiOp::Delete(PathVersion {
            path: "/c".into(),
            version: 0,
        }),
    ]);
    assert_eq!(shown(&whole), "0x5 multi[create /c parent 3; delete /c]");
    assert_eq!(shown(&script.multi(&[])), "0x6 multi[]");
    assert_eq!(script.delete("/c", -1), "0x7 error -101, NoNode");
}

#[test]
fn a_closing_session_takes_its_ephemerals_along_at_once() {
    let mut script = Script::new();
    assert_eq!(script.create("/p", 0), "0x1 create /p parent 1");
    assert_eq!(script.create("/p/e", 1), "0x2 create ephemeral /p/e parent 1");
    assert_eq!(script.delete("/p", -1), "0x3 error -111, NotEmpty");
    let close = script.ask_from(Origin::Server, A, OpCode::CloseSession, vec![]);
    assert_eq!(shown(&close), "0x4 close");
    let delete = PathVersion {
        path: "/p".into(),
        version: -1,
    };
    assert_eq!(
        shown(&script.ask(A, OpCode::Delete, &delete)),
        "0x5 error -112, SessionExpired"
    );
    assert_eq!(shown(&script.ask(B, OpCode::Delete, &delete)), "0x6 delete /p");
}

#[test]
fn a_session_begins_with_its_transaction() {
    let mut script = Script::new();
    let fresh = SessionId(0xc);
    let begin = script.ask_from(
        Origin::Client(ConnId(1)),
        fresh,
        OpCode::CreateSession,
        9_000.to_bytes(),
    );
    assert_eq!(shown(&begin), "0x1 session 9000");
    assert!(script.sessions.touch(fresh, 9_000, 5_000));
}

#[test]
fn a_check_of_its_own_is_answered_and_never_logged() {
    let mut script = Script::new();
    assert_eq!(script.create("/a", 0), "0x1 create /a parent 1");
    let good = PathVersion {
        path: "/a".into(),
        version: 0,
    };
    let prepared = script.ask(A, OpCode::Check, &good);
    assert_eq!((prepared.logged, prepared.refused), (None, None));
    let bad = script.ask(
        A,
        OpCode::Check,
        &PathVersion {
            path: "/a".into(),
            version: 1,
        },
    );
    assert_eq!((bad.logged, bad.refused), (None, Some(ErrorCode::BadVersion)));
    // Neither took a number: a log with a gap refuses the next start.
    assert_eq!(script.create("/b", 0), "0x2 create /b parent 2");
}

#[test]
fn a_transaction_that_java_could_not_read_back_is_refused() {
    let mut script = Script::new();
    let data = vec![7; 60_000];
    let create = |index: usize| {
        let path = format!("/n{index:02}-").into();
        MultiOp::Create(CreateRequest {
            path,
            data: Some(&data),
            acl: Acl::open(),
            flags: 2,
        })
    };
    let ops: Vec<_> = (0..18).map(create).collect();
    assert_eq!(shown(&script.multi(&ops)), "0x1 error -5, MarshallingError");
    assert_eq!(script.create("/n00-", 2), "0x2 create /n00-0000000000 parent 1");
}

#[test]
fn acls_bind_creation_removal_and_change() {
    let mut script = Script::new();
    let acl = vec![
        Acl::new(Perms::READ, "world", "anyone"),
        Acl::new(Perms::ADMIN, "ip", "127.0.0.1"),
    ];
    let create = CreateRequest {
        path: "/a".into(),
        data: None,
        acl,
        flags: 0,
    };
    assert_eq!(
        shown(&script.ask(A, OpCode::Create, &create)),
        "0x1 create /a parent 1"
    );
    assert_eq!(script.create("/a/b", 0), "0x2 error -102, NoAuth");
    assert_eq!(script.set("/a", -1), "0x3 error -102, NoAuth");
    let open = SetAclRequest {
        path: "/a".into(),
        acl: Acl::open(),
        version: 0,
    };
    assert_eq!(
        shown(&script.ask(A, OpCode::SetAcl, &open)),
        "0x4 setacl /a version 1"
    );
    assert_eq!(script.create("/a/b", 0), "0x5 create /a/b parent 1");
}
