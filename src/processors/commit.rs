//! CommitProcessor: holds a write until it is decided, and behind it what its session asked later.
//!
//! In 3.4.14 one pending write of any client holds up every other client of the server. What a client is
//! promised is the order of its own requests: here only the session waits that has a write on its way, and what
//! other servers' clients wrote passes at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::proto::requests::{CreateRequest, PathVersion, SetAclRequest, SetDataRequest};
use crate::proto::txn::{LoggedTxn, Txn};
use crate::proto::{Decode, OpCode, SessionId};
use crate::request::{Origin, Prepared, Request};
use crate::runtime::{Address, Flow, Now, Stage};
use crate::seeded_fault::SeededFault;

/// What comes to a CommitProcessor.
#[derive(Debug)]
pub enum CommitLetter {
    /// Requests of this server's clients, and on a leader those that learners forwarded: in their order.
    Requests(Vec<Prepared>),
    /// Decided transactions, in their order. One's request, if it is here, must have come before it.
    Commits(Vec<Arc<LoggedTxn>>),
    /// The leader, which may be this server, has answered the oldest sync.
    SyncAnswered,
}

/// What decides, without a thread.
#[derive(Debug, Default)]
pub struct Commit {
    /// Sessions that wait, each with its requests from the first undecided one on.
    waiting: HashMap<SessionId, VecDeque<Waiting>>,
    /// Whose syncs the leader has yet to answer, in the order in which it will.
    syncs: VecDeque<SessionId>,
}

#[derive(Debug)]
struct Waiting {
    prepared: Prepared,
    is_decided: bool,
}

impl Commit {
    /// A request comes. What may be carried out goes to `out`.
    pub fn request(&mut self, prepared: Prepared, out: &mut Vec<Prepared>) {
        let session = prepared.session();
        let is_sync = prepared.awaits_sync() && !SeededFault::SyncAnsweredAtOnce.on();
        // On a leader a refused write has a transaction, an error, which is decided in its turn like any other.
        let is_refused = prepared.refused.is_some() && prepared.logged.is_none();
        let is_decided = is_refused || (!is_sync && !prepared.request.op.is_write());
        if is_decided && !self.waiting.contains_key(&session) {
            return out.push(prepared);
        }
        if is_sync {
            self.syncs.push_back(session);
        }
        let waiting = Waiting { prepared, is_decided };
        self.waiting.entry(session).or_default().push_back(waiting);
    }

    /// A transaction is decided. What may be carried out goes to `out`.
    pub fn commit(&mut self, txn: Arc<LoggedTxn>, out: &mut Vec<Prepared>) {
        let header = *txn.header();
        let asked = |w: &&mut Waiting| {
            let request = &w.prepared.request;
            !w.is_decided
                && match &w.prepared.logged {
                    // A leader knows which it has made of this request.
                    Some(proposed) => proposed.zxid() == header.zxid,
                    None => request.op.is_write() && request.xid == header.cxid && may_be(&txn, request),
                }
        };
        let waiting = self.waiting.get_mut(&header.session);
        match waiting.and_then(|all| all.iter_mut().find(asked)) {
            Some(waiting) => {
                waiting.prepared.zxid = txn.zxid();
                waiting.prepared.logged = Some(txn);
                waiting.is_decided = true;
                self.release(header.session, out);
            }
            None => out.push(foreign(txn)),
        }
    }

    /// The oldest sync is answered. What may be carried out goes to `out`.
    pub fn sync_answered(&mut self, out: &mut Vec<Prepared>) {
        let Some(session) = self.syncs.pop_front() else {
            log::warn!("Not expecting a sync.");
            return;
        };
        let asked = |w: &&mut Waiting| !w.is_decided && w.prepared.request.op == OpCode::Sync;
        let waiting = self.waiting.get_mut(&session);
        if let Some(waiting) = waiting.and_then(|all| all.iter_mut().find(asked)) {
            waiting.is_decided = true;
        }
        self.release(session, out);
    }

    /// Lets a session go on to its next undecided request.
    fn release(&mut self, session: SessionId, out: &mut Vec<Prepared>) {
        let Some(waiting) = self.waiting.get_mut(&session) else {
            return;
        };
        while let Some(next) = waiting.pop_front_if(|next| next.is_decided) {
            out.push(next.prepared);
        }
        if waiting.is_empty() {
            self.waiting.remove(&session);
        }
    }
}

/// Whether a transaction may be what became of a request of the same session and number.
///
/// Some clients (kazoo) begin to number anew with each connection. What such a client had asked by way of another
/// server, and is decided after it came here, is not the outcome of what it asks here; 3.4.14 takes it for that.
fn may_be(txn: &LoggedTxn, request: &Request) -> bool {
    use OpCode::{CloseSession, Create, Create2, CreateSession, Delete, Multi, SetAcl, SetData};
    let body = &request.body;
    if is_as_asked(txn, request) {
        return true;
    }
    match (txn.txn(), request.op) {
        // An error does not tell of what.
        (Ok(Txn::Error(_)) | Err(_), _) => true,
        (Ok(Txn::Create(made)), Create | Create2) => CreateRequest::from_bytes(body)
            .is_ok_and(|asked| made.path.starts_with(&*asked.path) && made.data == asked.data),
        (Ok(Txn::SetData(set)), SetData) => SetDataRequest::from_bytes(body)
            .is_ok_and(|asked| (asked.path, asked.data) == (set.path, set.data)),
        (Ok(Txn::Delete(removed)), Delete) => {
            PathVersion::from_bytes(body).is_ok_and(|asked| asked.path == removed.path)
        }
        (Ok(Txn::SetAcl(set)), SetAcl) => {
            SetAclRequest::from_bytes(body).is_ok_and(|asked| asked.path == set.path)
        }
        (Ok(Txn::Multi(_)), Multi)
        | (Ok(Txn::CreateSession(_)), CreateSession)
        | (Ok(Txn::CloseSession), CloseSession) => true,
        (_, op) => !matches!(
            op,
            Create | Create2 | SetData | Delete | SetAcl | Multi | CreateSession | CloseSession
        ),
    }
}

/// Whether a transaction says what a request says up to its last four bytes, flags or a version: most do, and need
/// not be taken apart.
fn is_as_asked(txn: &LoggedTxn, request: &Request) -> bool {
    let is_same_op = match request.op {
        OpCode::Create | OpCode::Create2 => txn.header().op == OpCode::Create.number(),
        op @ (OpCode::SetData | OpCode::Delete | OpCode::SetAcl) => txn.header().op == op.number(),
        _ => false,
    };
    let asked = request.body.split_last_chunk::<4>();
    is_same_op && asked.is_some_and(|(asked, _)| txn.record().starts_with(asked))
}

/// A transaction whose client is on another server, or that has none.
pub fn foreign(txn: Arc<LoggedTxn>) -> Prepared {
    let header = txn.header();
    Prepared {
        request: Request {
            session: header.session,
            xid: header.cxid,
            op: OpCode::of(header.op).unwrap_or(OpCode::Error),
            body: Vec::new(),
            origin: Origin::Server,
            identities: Arc::from([]),
            received_us: 0,
        },
        zxid: txn.zxid(),
        logged: Some(txn),
        refused: None,
    }
}

/// The stage.
#[derive(Debug)]
pub struct CommitProcessor {
    commit: Commit,
    next: Address<Vec<Prepared>>,
}

impl CommitProcessor {
    /// A processor that hands on to `next`.
    pub fn new(next: Address<Vec<Prepared>>) -> CommitProcessor {
        CommitProcessor {
            commit: Commit::default(),
            next,
        }
    }
}

impl Stage for CommitProcessor {
    type In = CommitLetter;

    fn step(&mut self, _now: Now, letter: CommitLetter) -> Flow {
        let mut out = Vec::new();
        let commit = &mut self.commit;
        match letter {
            CommitLetter::Requests(all) => all.into_iter().for_each(|p| commit.request(p, &mut out)),
            CommitLetter::Commits(all) => all.into_iter().for_each(|txn| commit.commit(txn, &mut out)),
            CommitLetter::SyncAnswered => commit.sync_answered(&mut out),
        }
        if !out.is_empty() {
            self.next.post(out);
        }
        Flow::Go
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("CommitProcessor exited loop!");
        Flow::Done
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
