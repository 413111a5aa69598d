//! One history: what servers apply while they serve are prefixes of one sequence, and whoever leads has all of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use oxkeeper::proto::Zxid;
use oxkeeper::proto::txn::LoggedTxn;
use oxkeeper::storage::{Database, Dirs, LogReader};

use super::super::net::Host;
use super::super::rng::mixed;
use super::super::server::SimServer;
use super::super::trace::Trace;

#[derive(Default)]
pub struct Sequence {
    /// What is decided: somebody has had it in the tree while it served. No hash if nobody was seen to apply it yet:
    /// a tree that a leader has sent, or one that a server has brought back from a snapshot, shows a number alone.
    decided: BTreeMap<i64, Option<u64>>,
    /// The last transaction that each server has applied.
    last: BTreeMap<Host, i64>,
    /// So many of the newest transactions a server keeps.
    kept: usize,
}

impl Sequence {
    pub fn new(kept: usize) -> Sequence {
        Sequence {
            kept,
            ..Sequence::default()
        }
    }

    pub fn decided(&self) -> usize {
        self.decided.len()
    }

    /// A server begins to lead: its history is everybody's from now on.
    pub fn lead(&mut self, server: &SimServer, trace: &Trace) {
        let last = self.last_decided();
        let dirs = Dirs::of(Path::new("/data"), Path::new("/data"));
        let snapshots = dirs.snapshots(&server.disk).unwrap_or_default();
        // A tree that a leader has sent stands for what is missing in the log before it.
        let mut begins: Vec<i64> = snapshots.iter().map(|file| file.zxid.0).collect();
        begins.push(0);
        begins.sort_unstable();
        let mut txns = Err("nothing to begin with".to_owned());
        for begin in begins {
            txns = logged(server, &dirs, Zxid(begin));
            if txns.is_ok() {
                break;
            }
        }
        let txns = match txns {
            Ok(txns) => txns,
            Err(error) => return trace.fail("a leader's log", &error),
        };
        let reach = txns.keys().last().copied().unwrap_or(0);
        let newest = snapshots.iter().map(|file| file.zxid.0).max().unwrap_or(0);
        if reach.max(newest) < last {
            let story = format!(
                "server {} leads with {} and {} is decided",
                server.sid,
                Zxid(reach.max(newest)),
                Zxid(last)
            );
            return trace.fail("nothing decided is lost", &story);
        }
        self.fill(txns.keys().next().map_or(newest, |first| first - 1));
        for (&zxid, txn) in &txns {
            if zxid <= last && !self.decided.contains_key(&zxid) {
                let story = format!(
                    "server {} leads with {}, which nobody has had",
                    server.sid,
                    Zxid(zxid)
                );
                trace.fail("one history", &story);
            }
            if !self.is_one(zxid, hash_of(txn)) {
                let story = format!("server {} leads with another {}", server.sid, Zxid(zxid));
                trace.fail("one history", &story);
            }
        }
        let begin = txns.keys().next().copied().unwrap_or(i64::MAX);
        // What a snapshot stands for need not be in the log: a leader may have sent the tree, and the next epoch's
        // log goes on behind the old one without a hole that its numbers would show.
        let missing = self
            .decided
            .range(begin.max(newest.saturating_add(1))..)
            .find(|(zxid, _)| !txns.contains_key(*zxid));
        if let Some((&zxid, _)) = missing.filter(|(zxid, _)| **zxid <= reach) {
            let story = format!("server {} leads without {}", server.sid, Zxid(zxid));
            trace.fail("nothing decided is lost", &story);
        }
        self.last.insert(server.sid, self.last_decided());
    }

    /// A server begins to serve what a leader has sent. The leader's own tree may lag behind what it has decided:
    /// then this one is the first to have that in its tree, without having applied it before our eyes.
    pub fn learn(&mut self, sid: Host, database: &Arc<Database>, trace: &Trace) {
        let applied = database.applied();
        let last = self.before(applied.0 + 1);
        if applied.counter() > 0 && last < applied.0 && applied.0 < self.last_decided() {
            let story = format!("server {sid} begins with {applied}, which nobody has had");
            trace.fail("one history", &story);
        }
        // What stands before the newest transactions was never applied here, but read.
        let ring_begins = database.committed().min_zxid().unwrap_or_default();
        self.fill(ring_begins.0 - 1);
        self.last.insert(sid, last.max(self.before(ring_begins.0)));
        self.applied(sid, database, trace);
        self.fill(applied.0);
        self.last.insert(sid, self.before(applied.0 + 1));
    }

    /// A server's tree has gone on.
    pub fn applied(&mut self, sid: Host, database: &Arc<Database>, trace: &Trace) {
        let mut last = self.last.get(&sid).copied().unwrap_or(0);
        let new: Vec<Arc<LoggedTxn>> = {
            let committed = database.committed();
            let new = committed.iter().rev().take_while(|txn| txn.zxid().0 > last);
            new.cloned().collect()
        };
        // The newest few are kept; what is dropped because there are more than that cannot be looked at. A hole drops
        // what stands before it, too: that is no excuse.
        let is_short = new.len() >= self.kept;
        for (index, txn) in new.iter().rev().enumerate() {
            let (zxid, hash) = (txn.zxid().0, hash_of(txn));
            if index == 0 && is_short {
                self.fill(zxid - 1);
                last = self.before(zxid);
            }
            self.take(sid, (last, zxid, hash), trace);
            last = zxid;
        }
        self.last.insert(sid, last);
    }

    fn take(&mut self, sid: Host, (before, zxid, hash): (i64, i64, u64), trace: &Trace) {
        let expected = self.before(zxid);
        if expected != before || is_hole(before, zxid) {
            let story = format!(
                "server {sid} has applied {} after {}, not {}",
                Zxid(zxid),
                Zxid(before),
                Zxid(expected.max(zxid - 1))
            );
            trace.fail("one history", &story);
        }
        let newest = self.last_decided();
        if zxid < newest && !self.decided.contains_key(&zxid) {
            let story = format!(
                "server {sid} has applied {}, and whoever applied {} first has not",
                Zxid(zxid),
                Zxid(newest)
            );
            trace.fail("one history", &story);
        }
        if !self.is_one(zxid, hash) {
            let story = format!("server {sid} has applied another {}", Zxid(zxid));
            trace.fail("one history", &story);
        }
    }

    /// Somebody has all up to here, and was not seen to apply it. Within an epoch the numbers have no hole; what is
    /// left of an older one was in the log of the server that has led since.
    fn fill(&mut self, through: i64) {
        let begin = (self.last_decided() + 1).max(Zxid::of(Zxid(through).epoch(), 1).0);
        for zxid in begin..=through {
            self.decided.insert(zxid, None);
        }
    }

    /// Whether this is the transaction that everybody has under this number. The first who shows it says so.
    fn is_one(&mut self, zxid: i64, hash: u64) -> bool {
        let known = self.decided.entry(zxid).or_default();
        *known.get_or_insert(hash) == hash
    }

    /// The decided transaction before this one, or 0.
    fn before(&self, zxid: i64) -> i64 {
        let before = self.decided.range(..zxid).next_back();
        before.map_or(0, |(&before, _)| before)
    }

    fn last_decided(&self) -> i64 {
        self.decided.keys().next_back().copied().unwrap_or(0)
    }
}

/// Whether a number is left out: they rise by one, and begin with 1 in each epoch.
fn is_hole(before: i64, zxid: i64) -> bool {
    let (before, zxid) = (Zxid(before), Zxid(zxid));
    let first = if before.epoch() == zxid.epoch() {
        before.next()
    } else {
        Zxid::of(zxid.epoch(), 1)
    };
    zxid != first
}

/// All that a server's logs hold beyond a zxid.
fn logged(server: &SimServer, dirs: &Dirs, after: Zxid) -> Result<BTreeMap<i64, LoggedTxn>, String> {
    let mut reader = LogReader::open(&server.disk, dirs, after).map_err(|error| error.to_string())?;
    let mut txns = BTreeMap::new();
    while let Some(txn) = reader.next_txn().map_err(|error| error.to_string())? {
        txns.insert(txn.zxid().0, txn);
    }
    Ok(txns)
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
        let mut sequence = Sequence::new(10);
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
                let header = TxnHeader {
                    session: SessionId(1),
                    cxid: Xid(1),
                    zxid: Zxid(*counter),
                    time_ms: 0,
                    op: OpCode::CloseSession.number(),
                };
                let txn = LoggedTxn::new(header, &Txn::CloseSession);
                databases[sid].push_committed(Arc::new(txn));
                sequence.applied(*sid, &databases[sid], &trace);
            }
        }
        trace.failures()
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
}
