//! One history: what servers apply while they serve are prefixes of one sequence, and whoever leads has all of it.
//!
//! A leader's epoch goes on where its own history ended. So the epochs make a tree, and the history of the newest
//! one, from its root, is the only one that counts. A server may have more on its disk: what it logged, nobody decided,
//! and a tree that a later leader sent has passed over. It may never lead with that.

use std::collections::BTreeMap;
use std::sync::Arc;

use oxkeeper::proto::txn::LoggedTxn;
use oxkeeper::proto::{Epoch, Zxid};
use oxkeeper::storage::{Database, LogReader};

use super::super::net::Host;
use super::super::rng::mixed;
use super::super::server::{SimServer, data_dirs};
use super::super::trace::Trace;
use super::requests::Requests;

pub struct Sequence {
    /// Where the history of each epoch's leader ended when it began to serve.
    bases: BTreeMap<Epoch, Zxid>,
    /// What is decided, by number, as whoever showed it first had it: somebody has had it in the tree while it served.
    txns: BTreeMap<Zxid, u64>,
    /// The newest of that; nobody need have shown it yet, if a tree was sent.
    newest: Zxid,
    /// The last transaction that each server has applied.
    last: BTreeMap<Host, Zxid>,
    /// So many of the newest transactions a server keeps.
    kept: usize,
    /// The counter of an epoch's first transaction.
    first_counter: u32,
    requests: Requests,
}

impl Sequence {
    pub fn new(kept: usize, first_counter: u32) -> Sequence {
        Sequence {
            bases: BTreeMap::new(),
            txns: BTreeMap::new(),
            newest: Zxid(0),
            last: BTreeMap::new(),
            kept,
            first_counter,
            requests: Requests::default(),
        }
    }

    /// Nothing more will be decided.
    pub fn end(&self, trace: &Trace) {
        self.requests.end(trace);
    }

    pub fn decided(&self) -> usize {
        self.txns.len()
    }

    /// A server begins to lead an epoch, or to serve alone: its history is everybody's from now on. What counts is
    /// what its disk would bring back.
    pub fn lead(&mut self, server: &SimServer, epoch: Epoch, trace: &Trace) {
        match kept_by(server, self.first_counter) {
            Ok(kept) => self.lead_with(server.sid, epoch, kept, trace),
            Err(error) => trace.fail("a leader's log", &error),
        }
    }

    fn lead_with(
        &mut self,
        sid: Host,
        epoch: Epoch,
        (snapshot, txns): (Zxid, Vec<LoggedTxn>),
        trace: &Trace,
    ) {
        let reach = txns.last().map_or(snapshot, |txn| txn.zxid());
        if reach < self.newest || !self.leads_to(reach, self.newest) {
            let story = format!("server {sid} leads with {reach} and {} is decided", self.newest);
            return trace.fail("nothing decided is lost", &story);
        }
        self.must_lead_to(sid, reach, trace);
        let mut before = self.txn_at(snapshot);
        for txn in &txns {
            let zxid = txn.zxid();
            if self.before(zxid) != before {
                let story = format!("server {sid} leads with {zxid} behind {before}");
                trace.fail("nothing decided is lost", &story);
            }
            if !self.is_one(txn) {
                trace.fail("one history", &format!("server {sid} leads with another {zxid}"));
            }
            before = zxid;
        }
        // A server that stands alone goes on with its epoch.
        if reach.epoch() < epoch {
            self.bases.insert(epoch, reach);
        }
        self.last.insert(sid, self.txn_at(reach));
    }

    /// A server begins to serve what a leader has sent. The leader's own tree may lag behind what it has decided:
    /// then this one is the first to have that in its tree, without having applied it before our eyes.
    pub fn learn(&mut self, sid: Host, database: &Arc<Database>, trace: &Trace) {
        let applied = database.applied();
        let ring: Vec<Arc<LoggedTxn>> = database.committed().iter().cloned().collect();
        let begin = ring.first().map_or(applied, |txn| self.before(txn.zxid()));
        self.must_lead_to(sid, begin, trace);
        self.last.insert(sid, self.txn_at(begin));
        self.apply(sid, &ring, false, trace);
        self.must_lead_to(sid, applied, trace);
        self.last.insert(sid, self.txn_at(applied));
    }

    /// A server's tree has gone on.
    pub fn applied(&mut self, sid: Host, database: &Arc<Database>, trace: &Trace) {
        let last = self.last.get(&sid).copied().unwrap_or_default();
        let mut new: Vec<Arc<LoggedTxn>> = {
            let committed = database.committed();
            let new = committed.iter().rev().take_while(|txn| txn.zxid() > last);
            new.cloned().collect()
        };
        new.reverse();
        // The newest few are kept; what is dropped because there are more than that cannot be looked at. A hole drops
        // what stands before it, too: that is no excuse.
        let is_short = new.len() >= self.kept;
        self.apply(sid, &new, is_short, trace);
    }

    /// A server has applied these, one after the other; the first one need not follow what it had before if they are
    /// not all there were.
    fn apply(&mut self, sid: Host, txns: &[Arc<LoggedTxn>], is_short: bool, trace: &Trace) {
        for (index, txn) in txns.iter().enumerate() {
            let zxid = txn.zxid();
            let last = self.last.get(&sid).copied().unwrap_or_default();
            let before = self.before(zxid);
            if before != last && !(index == 0 && is_short) {
                let story = format!("server {sid} has applied {zxid} after {last}, not {before}");
                trace.fail("one history", &story);
            }
            self.must_lead_to(sid, zxid, trace);
            if !self.is_one(txn) {
                trace.fail("one history", &format!("server {sid} has applied another {zxid}"));
            }
            self.last.insert(sid, zxid);
        }
    }

    /// What a server has in its tree while it serves is decided, and stays so.
    fn must_lead_to(&mut self, sid: Host, zxid: Zxid, trace: &Trace) {
        let zxid = self.txn_at(zxid);
        let end = match self.bases.last_key_value() {
            Some((&epoch, _)) if epoch >= zxid.epoch() => Zxid::of(epoch, u32::MAX),
            Some((&epoch, _)) => {
                let story = format!(
                    "server {sid} has applied {zxid}, and the newest epoch is {}",
                    epoch.0
                );
                return trace.fail("one history", &story);
            }
            None => zxid,
        };
        if !self.leads_to(end, zxid) {
            let story = format!(
                "server {sid} has applied {zxid}, which the leader of {} has not",
                end.epoch().0
            );
            trace.fail("one history", &story);
        }
        self.newest = self.newest.max(zxid);
    }

    /// Whether a history that ends here has a transaction.
    fn leads_to(&self, end: Zxid, zxid: Zxid) -> bool {
        let mut end = end;
        while end.epoch() > zxid.epoch() {
            match self.bases.get(&end.epoch()) {
                Some(base) => end = *base,
                None => return false,
            }
        }
        zxid <= end
    }

    /// The last transaction of a history that ends here: an epoch's beginning is none.
    fn txn_at(&self, end: Zxid) -> Zxid {
        let mut end = end;
        while end.counter() < self.first_counter {
            match self.bases.get(&end.epoch()) {
                Some(base) => end = *base,
                None => return end,
            }
        }
        end
    }

    /// The transaction before this one, or 0.
    fn before(&self, zxid: Zxid) -> Zxid {
        self.txn_at(Zxid(zxid.0 - 1))
    }

    /// Whether this is the transaction that everybody has under this number. The first who shows it says so.
    fn is_one(&mut self, txn: &LoggedTxn) -> bool {
        let hash = hash_of(txn);
        self.requests.note(txn);
        *self.txns.entry(txn.zxid()).or_insert(hash) == hash
    }
}

/// The newest snapshot, and the transactions behind it.
fn kept_by(server: &SimServer, first_counter: u32) -> Result<(Zxid, Vec<LoggedTxn>), String> {
    let dirs = data_dirs();
    let snapshots = dirs.snapshots(&server.disk).unwrap_or_default();
    let newest = snapshots.iter().map(|file| file.zxid).max().unwrap_or_default();
    let reader = LogReader::open(&server.disk, &dirs, newest).map_err(|error| error.to_string())?;
    let mut reader = reader.with_first_counter(first_counter);
    let mut txns = Vec::new();
    while let Some(txn) = reader.next_txn().map_err(|error| error.to_string())? {
        txns.push(txn);
    }
    Ok((newest, txns))
}

fn hash_of(txn: &LoggedTxn) -> u64 {
    let words = txn.bytes().chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    words.fold(1, |hash, word| mixed(hash ^ word))
}

#[cfg(test)]
mod tests {
    use oxkeeper::proto::txn::{Txn, TxnHeader};
    use oxkeeper::proto::{OpCode, SessionId, Xid};
    use oxkeeper::storage::CommittedLog;
    use oxkeeper::tree::DataTree;

    use self::Step::{Applies, Begins};
    use super::super::super::time::Time;
    use super::*;

    /// Servers apply what is named, one after the other; tells which cries there were.
    fn cries(steps: &[(Host, Step)]) -> Vec<String> {
        let trace = Trace::new(Time::default(), false);
        let mut sequence = Sequence::new(10, 1);
        let mut databases = BTreeMap::new();
        for (sid, step) in steps {
            let begin = |counter| {
                let mut tree = DataTree::new();
                tree.set_last_zxid(Zxid(counter));
                Arc::new(Database::new(tree, CommittedLog::new(10)))
            };
            if let Step::Begins(counter) = step {
                databases.insert(*sid, begin(*counter));
                sequence.learn(*sid, &databases[sid], &trace);
            }
            if let Step::Applies(counter) = step {
                databases[sid].push_committed(Arc::new(txn(Zxid(*counter))));
                sequence.applied(*sid, &databases[sid], &trace);
            }
        }
        trace.failures()
    }

    fn txn(zxid: Zxid) -> LoggedTxn {
        let header = TxnHeader {
            session: SessionId(1),
            cxid: Xid(1),
            zxid,
            time_ms: 0,
            op: OpCode::CloseSession.number(),
        };
        LoggedTxn::new(header, &Txn::CloseSession)
    }

    enum Step {
        /// To serve, with a tree that is so far.
        Begins(i64),
        Applies(i64),
    }

    #[test]
    fn a_tree_that_was_sent_may_be_ahead_of_all_others() {
        let steps = [
            (2, Begins(0)),
            (2, Applies(1)),
            (1, Begins(3)),
            (1, Applies(4)),
            (2, Applies(2)),
            (2, Applies(3)),
            (2, Applies(4)),
            (2, Applies(5)),
            (1, Applies(5)),
        ];
        assert_eq!(cries(&steps), Vec::<String>::new());
    }

    #[test]
    fn a_hole_is_noticed_whoever_applies_first() {
        let first = [(2, Begins(0)), (2, Applies(1)), (2, Applies(3))];
        assert_ne!(cries(&first), Vec::<String>::new());
        let begin = [(2, Begins(0)), (1, Begins(0)), (2, Applies(1)), (2, Applies(2))];
        let later = begin
            .into_iter()
            .chain([(2, Applies(3)), (1, Applies(1)), (1, Applies(3))]);
        assert_ne!(cries(&later.collect::<Vec<_>>()), Vec::<String>::new());
        let sent = [(1, Begins(3)), (2, Begins(0)), (2, Applies(1)), (2, Applies(3))];
        assert_ne!(cries(&sent), Vec::<String>::new());
    }

    /// An epoch, and with which snapshot and which transactions behind it its leader begins; zxids as epoch and counter.
    type Reign<'a> = (i64, (i64, u32), &'a [(i64, u32)]);

    /// Servers lead epochs, one after the other.
    fn cries_at(reigns: &[Reign<'_>]) -> usize {
        let trace = Trace::new(Time::default(), false);
        let mut sequence = Sequence::new(10, 1);
        let zxid = |(epoch, counter): (i64, u32)| Zxid::of(Epoch(epoch), counter);
        for (epoch, snapshot, logged) in reigns {
            let txns = logged.iter().map(|&at| txn(zxid(at))).collect();
            sequence.lead_with(1, Epoch(*epoch), (zxid(*snapshot), txns), &trace);
        }
        trace.failures().len()
    }

    #[test]
    fn a_leader_brings_along_what_nobody_has_had() {
        let first: Reign<'_> = (1, (0, 0), &[]);
        let second: Reign<'_> = (2, (0, 0), &[(1, 1), (1, 2)]);
        assert_eq!(cries_at(&[first, second, (3, (1, 1), &[(1, 2), (2, 1)])]), 0);
        assert_eq!(cries_at(&[first, second, (3, (2, 7), &[(2, 8)])]), 0);
        assert_eq!(cries_at(&[first, second, (3, (2, 0), &[(2, 1)])]), 0);
    }

    #[test]
    fn a_leader_that_lacks_or_invents_something_is_noticed() {
        let first: Reign<'_> = (1, (0, 0), &[]);
        let second: Reign<'_> = (2, (0, 0), &[(1, 1), (1, 2)]);
        for third in [
            (3, (0, 0), [(1, 1)].as_slice()),
            (3, (0, 0), &[(1, 2)]),
            (3, (0, 0), &[(1, 1), (1, 2), (1, 3)]),
            (3, (1, 1), &[(2, 1)]),
            (3, (2, 0), &[(2, 2)]),
            (3, (1, 3), &[]),
        ] {
            assert_ne!(cries_at(&[first, second, third]), 0, "{third:?}");
        }
    }
}
