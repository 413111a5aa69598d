//! FinalRequestProcessor: applies what is safe, fires watches, answers. (`final` is a reserved word, hence the
//! file's name.)
//!
//! Order is the contract: answers and events of one batch leave in the order in which they arose, and they are
//! posted before the tree's lock is let go. A client loop that reads the tree itself drains its inbox after it
//! has the lock, so no client reads a change before the event that announces it.

use std::sync::Arc;

use crate::auth::Auth;
use crate::proto::multi::{MultiOp, MultiResult, decode_ops, encode_results};
use crate::proto::txn::{LoggedTxn, Txn};
use crate::proto::{ConnId, Encode, ErrorCode, OpCode, Reader, SessionId, Xid, Zxid};
use crate::request::reads::Reading;
use crate::request::reply::{write_event, write_frame};
use crate::request::{
    ClientLetter, Clients, Origin, Outcome, Prepared, Replies, ReplyEntry, Request, Sessions,
};
use crate::runtime::{ExitCode, Flow, Halt, Now, Stage};
use crate::storage::Database;
use crate::tree::{Applied, DataTree, Fired, Guarded};

/// The stage.
#[derive(Debug)]
pub struct FinalRequestProcessor {
    links: FinalLinks,
    /// One batch for each client loop.
    batches: Vec<Replies>,
    /// Sessions whose connections are to be closed after the batch.
    ended: Vec<SessionId>,
    changes: Vec<Guarded>,
    fired: Vec<Fired>,
}

/// What a final stage is connected to.
#[derive(Debug, Clone)]
pub struct FinalLinks {
    /// The tree and what belongs to it.
    pub database: Arc<Database>,
    /// Who lives.
    pub sessions: Arc<Sessions>,
    /// The rules of access.
    pub auth: Arc<Auth>,
    /// Where answers go.
    pub clients: Clients,
}

impl FinalRequestProcessor {
    /// A processor that applies to the database of `links`.
    pub fn new(links: FinalLinks) -> FinalRequestProcessor {
        let batches = (0..links.clients.count()).map(|_| Replies::new()).collect();
        FinalRequestProcessor {
            links,
            batches,
            ended: Vec::new(),
            changes: Vec::new(),
            fired: Vec::new(),
        }
    }

    fn carry_out(&mut self, now: Now, chunk: Vec<Prepared>) -> Result<(), Halt> {
        let database = Arc::clone(&self.links.database);
        if chunk.iter().all(|prepared| prepared.logged.is_none()) {
            let tree = database.read_tree();
            chunk
                .iter()
                .for_each(|prepared| self.answer(&tree, prepared, None));
            self.post_batches();
            return Ok(());
        }
        let mut tree = database.write_tree();
        for prepared in &chunk {
            match &prepared.logged {
                Some(logged) => self.apply(now, &mut tree, prepared, logged)?,
                None => self.answer(&tree, prepared, None),
            }
        }
        database.publish(tree.last_zxid());
        self.post_batches();
        Ok(())
    }

    fn apply(
        &mut self,
        now: Now,
        tree: &mut DataTree,
        prepared: &Prepared,
        logged: &Arc<LoggedTxn>,
    ) -> Result<(), Halt> {
        let header = logged.header();
        let txn = logged.txn().map_err(|malformed| {
            let reason = format!("transaction {} cannot be read: {malformed}", header.zxid);
            Halt::new(ExitCode::Unexpected, reason)
        })?;
        let applied = tree.apply(header, &txn, Some(&mut self.changes));
        match txn {
            Txn::CreateSession(timeout_ms) => {
                self.links
                    .sessions
                    .add(header.session, timeout_ms, now.elapsed_ms);
            }
            Txn::CloseSession => {
                self.links.sessions.remove(header.session);
                if !matches!(prepared.request.origin, Origin::Client(_)) {
                    self.ended.push(header.session);
                }
            }
            _ => {}
        }
        self.links.database.push_committed(Arc::clone(logged));
        if !self.changes.is_empty() {
            let mut watches = self.links.database.watches();
            self.changes
                .drain(..)
                .for_each(|change| watches.trigger(&change, &mut self.fired));
            drop(watches);
            post_fired(&mut self.fired, &mut self.batches);
        }
        self.answer(tree, prepared, Some(applied));
        Ok(())
    }

    fn answer(&mut self, tree: &DataTree, prepared: &Prepared, applied: Option<Applied<'_>>) {
        let request = &prepared.request;
        let Origin::Client(conn) = request.origin else {
            return;
        };
        let mut entry = entry(
            conn,
            outcome_of(request),
            request.xid,
            request.op,
            request.received_us,
        );
        entry.zxid = tree.last_zxid();
        // The answer to a multi says how each part went; its header says that all is well.
        let whole = applied.as_ref().filter(|_| request.op != OpCode::Multi);
        let failed = whole
            .map(|applied| applied.error)
            .filter(|&error| error != ErrorCode::Ok);
        let mut refused = prepared.refused.or(failed);
        if refused == Some(ErrorCode::SessionMoved) {
            entry.outcome = Outcome::Close;
        }
        if refused.is_some() {
            // What is refused before it is carried out has no name in `cons`. (lop=NA)
            entry.op = OpCode::Error;
            if entry.outcome == Outcome::SessionCreated {
                // Only a client's own createSession can be refused; the handshake's is made here.
                entry.outcome = Outcome::Answer;
            }
        }
        let reading = Reading {
            tree,
            database: &self.links.database,
            auth: &self.links.auth,
            identities: &request.identities,
            conn,
            session: request.session,
        };
        if matches!(request.op, OpCode::SetWatches | OpCode::SetWatches2) && refused.is_none() {
            // Its events stand before its answer, which is a header alone.
            refused = reading
                .set_watches(request.op, &request.body, &mut self.fired)
                .err();
            post_fired(&mut self.fired, &mut self.batches);
        }
        let Some(batch) = self.batches.get_mut(Clients::index_of(conn)) else {
            return;
        };
        if matches!(entry.outcome, Outcome::Close | Outcome::SessionCreated) {
            return batch.push_empty(entry);
        }
        let xid = if request.op == OpCode::Ping {
            Xid::PING
        } else {
            request.xid
        };
        batch.push_answer(entry, xid, |out| match (refused, applied) {
            (Some(code), _) => Err(code),
            (None, Some(mut applied)) => {
                write_applied(request, &mut applied, out);
                Ok(())
            }
            (None, None) => reading.answer(request.op, &request.body, out),
        });
    }

    fn post_batches(&mut self) {
        for (index, batch) in self.batches.iter_mut().enumerate() {
            if !batch.is_empty() {
                self.links
                    .clients
                    .post(index, ClientLetter::Replies(std::mem::take(batch)));
            }
        }
        for session in self.ended.drain(..) {
            self.links
                .clients
                .post_all(|| ClientLetter::CloseSession(session));
        }
    }
}

impl Stage for FinalRequestProcessor {
    type In = Vec<Prepared>;

    fn step(&mut self, now: Now, mut letter: Vec<Prepared>) -> Flow {
        while !letter.is_empty() {
            let rest = letter.split_off(letter.len().min(CHUNK));
            if let Err(halt) = self.carry_out(now, std::mem::replace(&mut letter, rest)) {
                return Flow::Halt(halt);
            }
        }
        Flow::Go
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("shutdown of request processor complete");
        Flow::Done
    }
}

/// Turns what fired into events, each for its connection's loop. The zxid of their header is always -1.
fn post_fired(fired: &mut Vec<Fired>, batches: &mut [Replies]) {
    let mut frame = Vec::new();
    let mut framed: Option<Fired> = None;
    for event in fired.drain(..) {
        // Watchers of one node follow each other: their event is encoded once.
        let same = framed
            .as_ref()
            .is_some_and(|f| f.kind == event.kind && Arc::ptr_eq(&f.path, &event.path));
        if !same {
            frame.clear();
            write_frame(&mut frame, |out| write_event(&event, out));
        }
        let entry = entry(
            event.watcher,
            Outcome::Event,
            Xid::NOTIFICATION,
            OpCode::Notification,
            0,
        );
        if let Some(batch) = batches.get_mut(Clients::index_of(event.watcher)) {
            match &event.readers {
                Some(readers) => batch.push_guarded(entry, &frame, readers),
                None => batch.push_encoded(entry, &frame),
            }
        }
        framed = Some(event);
    }
}

/// The record of an answer to a write.
fn write_applied(request: &Request, applied: &mut Applied<'_>, out: &mut Vec<u8>) {
    match request.op {
        OpCode::Create => applied.path.unwrap_or_default().encode(out),
        OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => {
            applied.path.unwrap_or_default().encode(out);
            applied.stat.unwrap_or_default().encode(out);
        }
        OpCode::SetData | OpCode::SetAcl => applied.stat.unwrap_or_default().encode(out),
        OpCode::Multi => {
            leave_out_stats(&request.body, &mut applied.multi);
            encode_results(&applied.multi, out);
        }
        _ => {}
    }
}

/// A part that asked for a create alone is not told the stat.
fn leave_out_stats(body: &[u8], results: &mut [MultiResult<'_>]) {
    if !results
        .iter()
        .any(|result| matches!(result, MultiResult::Create2(..)))
    {
        return;
    }
    // What was carried out could be read: it was prepared from these bytes.
    let asked = decode_ops(&mut Reader::new(body)).unwrap_or_default();
    for (result, op) in results.iter_mut().zip(&asked) {
        if let (MultiResult::Create2(path, _), MultiOp::Create(_)) = (&mut *result, op) {
            *result = MultiResult::Create(std::mem::take(path));
        }
    }
}

fn outcome_of(request: &Request) -> Outcome {
    match request.op {
        OpCode::CreateSession => Outcome::SessionCreated,
        OpCode::CloseSession => Outcome::AnswerAndClose,
        _ => Outcome::Answer,
    }
}

fn entry(conn: ConnId, outcome: Outcome, xid: Xid, op: OpCode, received_us: i64) -> ReplyEntry {
    ReplyEntry {
        conn,
        outcome,
        xid,
        zxid: Zxid(-1),
        op,
        received_us,
        frame: 0..0,
        readers: None,
    }
}

/// So many requests are carried out under one lock of the tree.
const CHUNK: usize = 256;
