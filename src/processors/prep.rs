//! PrepRequestProcessor: checks a request against the tree and what is in flight, gives it a zxid, makes and
//! encodes its transaction. Every write takes a zxid, also one that fails: its transaction is an error.

use std::sync::Arc;

use crate::auth::Auth;
use crate::proto::multi::{MultiOp, decode_ops};
use crate::proto::requests::CreateRequest;
use crate::proto::txn::{LoggedTxn, SubTxn, Txn, TxnHeader};
use crate::proto::{Decode, Encode, ErrorCode, Malformed, OpCode, Reader, SessionId, Zxid};
use crate::request::{Origin, Prepared, Request, Sessions};
use crate::runtime::{Address, Flow, Now, Stage};
use crate::storage::Database;
use crate::tree::DataTree;

use super::outstanding::Outstanding;
use super::prep_op::{Refusal, View};

/// What prepares requests, without a thread: request in, prepared request out.
#[derive(Debug)]
pub struct Prep {
    auth: Arc<Auth>,
    sessions: Arc<Sessions>,
    outstanding: Outstanding,
    last_zxid: Zxid,
    rules: PrepRules,
    newer_txns: bool,
}

/// What an operator sets of the preparation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrepRules {
    /// The largest transaction: what a server of 3.4.14 could read back (`jute.maxbuffer` + 1024).
    pub max_txn_bytes: usize,
    /// Whether hard quotas are kept to. (`enforceQuota`)
    pub enforce_quota: bool,
}

/// How a request's preparation ended, before it is dressed as a [`Prepared`].
enum Verdict<'a> {
    /// It has a transaction.
    Write(Txn<'a>),
    /// It has none, and is carried out at its turn.
    Read,
    /// It is refused; as a write it is logged as an error.
    Refused(Refusal),
}

impl Prep {
    /// A preparer whose next transaction follows `last_zxid`.
    pub fn new(auth: Arc<Auth>, sessions: Arc<Sessions>, last_zxid: Zxid, rules: PrepRules) -> Prep {
        Prep {
            auth,
            sessions,
            outstanding: Outstanding::new(),
            last_zxid,
            rules,
            newer_txns: false,
        }
    }

    /// Says whether transactions that 3.4 cannot read may be made. At first they may not.
    pub fn allow_newer_txns(&mut self, allowed: bool) {
        self.newer_txns = allowed;
    }

    /// Forgets what is applied by now.
    pub fn forget_applied(&mut self, applied: Zxid) {
        self.outstanding.forget_applied(applied);
    }

    /// Prepares one request. `tree` must hold everything up to the last [`Prep::forget_applied`].
    pub fn prepare(&mut self, now: Now, request: Request, tree: &DataTree) -> Prepared {
        let takes_zxid = request.op.is_write();
        if takes_zxid {
            self.last_zxid = self.last_zxid.next();
        }
        self.outstanding.quota_use.forget(tree.last_zxid());
        self.outstanding.begin();
        let verdict = self.judge(&request, tree, now);
        let (logged, refused) = match verdict {
            Verdict::Read => (None, None),
            Verdict::Write(txn) => match self.encode(&request, &txn, now) {
                Ok(logged) => (Some(logged), None),
                Err(refusal) => self.refuse(&request, &refusal, now),
            },
            Verdict::Refused(refusal) => self.refuse(&request, &refusal, now),
        };
        let logged = logged.map(Arc::new);
        Prepared {
            zxid: self.last_zxid,
            logged,
            refused,
            request,
        }
    }

    fn judge<'a>(&mut self, request: &'a Request, tree: &DataTree, now: Now) -> Verdict<'a> {
        let verdict = match request.op {
            OpCode::Multi => self.multi(request, tree, now).map(Verdict::Write),
            OpCode::CreateSession => self.create_session(request, now).map(Verdict::Write),
            OpCode::CloseSession => Ok(Verdict::Write(self.close_session(request, tree))),
            OpCode::Create
            | OpCode::Create2
            | OpCode::CreateContainer
            | OpCode::CreateTtl
            | OpCode::Delete
            | OpCode::SetData
            | OpCode::SetAcl => self.single(request, tree).map(Verdict::Write),
            OpCode::DeleteContainer => self.delete_container(request, tree).map(Verdict::Write),
            // Java logs a check on its own as a transaction that it cannot read back (ZOOKEEPER-2623).
            OpCode::Check => self.single(request, tree).map(|_| Verdict::Read),
            _ => self.check_session(request).map(|()| Verdict::Read),
        };
        verdict.unwrap_or_else(Verdict::Refused)
    }

    fn single<'a>(&mut self, request: &'a Request, tree: &DataTree) -> Result<Txn<'a>, Refusal> {
        self.check_session(request)?;
        let body = &request.body;
        let mut view = self.view(request, tree);
        match request.op {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer => {
                view.create(request.op, decode::<CreateRequest<'_>>(body)?.into())
            }
            OpCode::CreateTtl => view.create(request.op, decode(body)?),
            OpCode::Delete => view.delete(decode(body)?),
            OpCode::SetData => view.set_data(decode(body)?),
            OpCode::SetAcl => view.set_acl(decode(body)?),
            _ => view.check(decode(body)?),
        }
    }

    /// All parts or none: the first that fails turns the others into errors too. (pRequest, OpCode.multi)
    fn multi<'a>(&mut self, request: &'a Request, tree: &DataTree, now: Now) -> Result<Txn<'a>, Refusal> {
        let ops = decode_ops(&mut Reader::new(&request.body)).map_err(unreadable)?;
        let mut parts = Vec::with_capacity(ops.len());
        let mut failed = false;
        for op in ops {
            let outcome = if failed {
                Err(Refusal::plain(ErrorCode::RuntimeInconsistency))
            } else {
                self.check_session(request)
                    .and_then(|()| self.part(request, tree, op))
            };
            let txn = match outcome {
                Ok(txn) => txn,
                Err(refusal) => {
                    if !failed {
                        failed = true;
                        self.outstanding.roll_back();
                        log_refusal(
                            request,
                            self.header(request, OpCode::Error, now),
                            &refusal,
                            MULTI_NOTE,
                        );
                    }
                    Txn::Error(refusal.code.number())
                }
            };
            parts.push(SubTxn {
                op: txn.op().number(),
                record: txn.to_bytes().into(),
            });
        }
        Ok(Txn::Multi(parts))
    }

    fn part<'a>(&mut self, request: &Request, tree: &DataTree, op: MultiOp<'a>) -> Result<Txn<'a>, Refusal> {
        let mut view = self.view(request, tree);
        match op {
            MultiOp::Create(create) | MultiOp::Create2(create) => view.create(OpCode::Create, create.into()),
            MultiOp::CreateContainer(create) => view.create(OpCode::CreateContainer, create.into()),
            MultiOp::CreateTtl(create) => view.create(OpCode::CreateTtl, create),
            MultiOp::Delete(delete) => view.delete(delete),
            MultiOp::SetData(set) => view.set_data(set),
            MultiOp::Check(check) => view.check(check),
        }
    }

    fn create_session<'a>(&mut self, request: &Request, now: Now) -> Result<Txn<'a>, Refusal> {
        let timeout_ms = decode(&request.body)?;
        self.sessions.add(request.session, timeout_ms, now.elapsed_ms);
        let owned = self.sessions.set_owner(request.session, owner(request));
        owned.map_err(|trouble| Refusal::plain(trouble.code()))?;
        Ok(Txn::CreateSession(timeout_ms))
    }

    fn close_session<'a>(&mut self, request: &Request, tree: &DataTree) -> Txn<'a> {
        self.view(request, tree).close_session();
        self.sessions.set_closing(request.session);
        log::info!("Processed session termination for sessionid: {}", request.session);
        Txn::CloseSession
    }

    /// The server's own request: of no session.
    fn delete_container<'a>(&mut self, request: &'a Request, tree: &DataTree) -> Result<Txn<'a>, Refusal> {
        let asked = decode(&request.body)?;
        self.view(request, tree).delete_container(asked)
    }

    fn check_session(&self, request: &Request) -> Result<(), Refusal> {
        let checked = self.sessions.check(request.session, owner(request));
        checked.map_err(|trouble| Refusal::plain(trouble.code()))
    }

    fn view<'v>(&'v mut self, request: &'v Request, tree: &'v DataTree) -> View<'v> {
        View {
            tree,
            outstanding: &mut self.outstanding,
            auth: &self.auth,
            identities: &request.identities,
            session: request.session,
            zxid: self.last_zxid,
            newer_txns: self.newer_txns,
            enforce_quota: self.rules.enforce_quota,
        }
    }

    fn header(&self, request: &Request, op: OpCode, now: Now) -> TxnHeader {
        TxnHeader {
            session: request.session,
            cxid: request.xid,
            zxid: self.last_zxid,
            time_ms: now.wall_ms,
            op: op.number(),
        }
    }

    /// Encodes a transaction, unless a server of 3.4.14 could not read it back (ZOOKEEPER-2101).
    fn encode(&mut self, request: &Request, txn: &Txn<'_>, now: Now) -> Result<LoggedTxn, Refusal> {
        let logged = LoggedTxn::new(self.header(request, txn.op(), now), txn);
        let bytes = logged.bytes().len();
        if bytes <= self.rules.max_txn_bytes {
            return Ok(logged);
        }
        self.outstanding.roll_back();
        log::error!(
            "Refusing {}: its transaction would take {bytes} bytes, more than the {} that jute.maxbuffer allows",
            describe(request, None),
            self.rules.max_txn_bytes
        );
        Err(Refusal::plain(ErrorCode::MarshallingError))
    }

    /// A refused write becomes an error transaction; a refused read has none.
    fn refuse(
        &self,
        request: &Request,
        refusal: &Refusal,
        now: Now,
    ) -> (Option<LoggedTxn>, Option<ErrorCode>) {
        let code = refusal.code;
        let header = self.header(request, OpCode::Error, now);
        if code == ErrorCode::MarshallingError {
            log::error!("Failed to process {}", describe(request, Some(&header)));
            log::error!("Dumping request buffer: 0x{}", dump(&request.body));
        } else {
            log_refusal(request, header, refusal, "");
        }
        let logged = request
            .op
            .is_write()
            .then(|| LoggedTxn::new(header, &Txn::Error(code.number())));
        (logged, Some(code))
    }
}

/// Which server the request's client is connected to.
fn owner(request: &Request) -> Option<crate::proto::Sid> {
    match request.origin {
        Origin::Learner(sid) => Some(sid),
        Origin::Client(_) | Origin::Server => None,
    }
}

fn decode<'a, T: Decode<'a>>(body: &'a [u8]) -> Result<T, Refusal> {
    T::from_bytes(body).map_err(unreadable)
}

fn unreadable(malformed: Malformed) -> Refusal {
    log::debug!("unreadable request: {malformed}");
    Refusal::plain(ErrorCode::MarshallingError)
}

fn log_refusal(request: &Request, header: TxnHeader, refusal: &Refusal, note: &str) {
    let path = refusal.path.as_deref();
    let of = path.map(|path| format!(" for {path}")).unwrap_or_default();
    log::info!(
        "Got user-level KeeperException when processing {}{note} Error Path:{} Error:KeeperErrorCode = {}{of}",
        describe(request, request.op.is_write().then_some(&header)),
        path.unwrap_or("null"),
        refusal.code.name(),
    );
}

/// A request in the words of Request.toString.
fn describe(request: &Request, header: Option<&TxnHeader>) -> String {
    let zxid = header.map_or(Zxid(-2), |header| header.zxid);
    let kind = header.map_or("unknown".to_owned(), |header| header.op.to_string());
    let path = match request.op {
        OpCode::CreateSession | OpCode::SetWatches | OpCode::SetWatches2 | OpCode::CloseSession => None,
        _ => Reader::new(&request.body).string_prefix(),
    };
    let SessionId(session) = request.session;
    format!(
        "sessionid:0x{session:x} type:{} cxid:0x{:x} zxid:{zxid} txntype:{kind} reqpath:{}",
        request.op.name(),
        request.xid.0,
        path.as_deref().unwrap_or("n/a"),
    )
}

/// The first bytes of a request, in hexadecimal.
fn dump(body: &[u8]) -> String {
    let shown = &body[..body.len().min(DUMP_BYTES)];
    shown.iter().map(|byte| format!("{byte:x}")).collect()
}

/// The stage: one letter is what one poll of a client loop has read.
#[derive(Debug)]
pub struct PrepRequestProcessor {
    prep: Prep,
    database: Arc<Database>,
    next: Address<Vec<Prepared>>,
}

impl PrepRequestProcessor {
    /// A processor that hands on to `next`.
    pub fn new(prep: Prep, database: Arc<Database>, next: Address<Vec<Prepared>>) -> PrepRequestProcessor {
        PrepRequestProcessor { prep, database, next }
    }

    fn prepare_some(&mut self, now: Now, requests: impl Iterator<Item = Request>) -> Vec<Prepared> {
        // The mark is read before the tree: what is forgotten is surely in the tree that is read.
        self.prep.forget_applied(self.database.applied());
        self.prep.allow_newer_txns(self.database.allows_newer_txns());
        let tree = self.database.read_tree();
        requests
            .map(|request| self.prep.prepare(now, request, &tree))
            .collect()
    }
}

impl Stage for PrepRequestProcessor {
    type In = Vec<Request>;

    fn step(&mut self, now: Now, letter: Vec<Request>) -> Flow {
        let mut requests = letter.into_iter().peekable();
        while requests.peek().is_some() {
            let prepared = self.prepare_some(now, requests.by_ref().take(CHUNK));
            self.next.post(prepared);
        }
        Flow::Go
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("PrepRequestProcessor exited loop!");
        Flow::Done
    }
}

/// So many requests are prepared under one read lock of the tree.
const CHUNK: usize = 256;
/// So much of an unreadable request is logged.
const DUMP_BYTES: usize = 256;
/// Stands in the log line of a failing multi.
const MULTI_NOTE: &str = " aborting remaining multi ops.";

#[cfg(test)]
#[path = "prep_tests.rs"]
mod tests;
