//! CommitProcessor: what passes, and in which order.
//!
//! ```text
//! > leader   > learner
//! > write a 1     session a asks for a write with its number (xid) 1;  > read a 2   > sync a 3   > close a 4
//! > commit a 1 5.1     the transaction of that write is decided (`commit a 4 5.2 close` for the end of a session);  > answer     the leader has answered a sync
//! ```

use std::sync::Arc;

use oxkeeper::processors::commit::Commit;
use oxkeeper::proto::requests::SetDataRequest;
use oxkeeper::proto::txn::{LoggedTxn, SetDataTxn, Txn, TxnHeader};
use oxkeeper::proto::{ConnId, Encode, OpCode, SessionId, Xid};
use oxkeeper::request::{Origin, Prepared, Request};

use super::runner::play_all;
use super::words::{Words, spell, zxid};

#[test]
fn commit() {
    play_all("commit", 8, || None, obey);
}

fn obey(world: &mut Option<Commit>, command: &str) -> Vec<String> {
    let (verb, words) = Words::of(command);
    let op = match verb {
        "leader" | "learner" => {
            *world = Some(Commit::default());
            return Vec::new();
        }
        "write" => OpCode::SetData,
        "read" => OpCode::GetData,
        "sync" => OpCode::Sync,
        "close" => OpCode::CloseSession,
        _ => OpCode::Error,
    };
    let commit = world.as_mut().expect("leader or learner");
    let mut out = Vec::new();
    match verb {
        "commit" => commit.commit(decided(&words), &mut out),
        "answer" => commit.sync_answered(&mut out),
        _ if op == OpCode::Error => words.unknown(),
        _ => commit.request(Prepared::from(request(&words, op)), &mut out),
    }
    out.iter().map(line).collect()
}

fn session(name: &str) -> SessionId {
    SessionId(i64::from_str_radix(name, 16).expect("sessions are a, b, c..."))
}

fn request(words: &Words<'_>, op: OpCode) -> Request {
    Request {
        session: session(words.at(0)),
        xid: Xid(words.number(1) as i32),
        op,
        body: match op {
            OpCode::SetData => set().to_bytes(),
            _ => Vec::new(),
        },
        origin: Origin::Client(ConnId(1)),
        identities: Arc::from([]),
        received_us: 0,
    }
}

/// What every write of these scripts asks.
fn set() -> SetDataRequest<'static> {
    SetDataRequest {
        path: "/".into(),
        data: None,
        version: 0,
    }
}

fn decided(words: &Words<'_>) -> Arc<LoggedTxn> {
    let txn = match words.has("close") {
        true => Txn::CloseSession,
        false => Txn::SetData(SetDataTxn {
            path: "/".into(),
            data: None,
            version: 1,
        }),
    };
    let header = TxnHeader {
        session: session(words.at(0)),
        cxid: Xid(words.number(1) as i32),
        zxid: zxid(words.at(2)),
        time_ms: 9,
        op: txn.op().number(),
    };
    Arc::new(LoggedTxn::new(header, &txn))
}

fn line(prepared: &Prepared) -> String {
    let request = &prepared.request;
    let whose = match request.origin {
        Origin::Server => "of another server's client",
        _ => "of its own client",
    };
    let (session, xid, op) = (request.session, request.xid.0, format!("{:?}", request.op));
    match prepared.logged {
        Some(_) => format!(
            "  passes: {session} {xid} {op} {whose}, zxid {}",
            spell(prepared.zxid)
        ),
        None => format!("  passes: {session} {xid} {op} {whose}"),
    }
}
