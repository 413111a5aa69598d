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
    /// What is decided: somebody has applied it while it served.
    decided: BTreeMap<i64, u64>,
    /// The last transaction that each server has applied.
    last: BTreeMap<Host, i64>,
}

impl Sequence {
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
        for (&zxid, txn) in &txns {
            let hash = hash_of(txn);
            if zxid > last {
                self.decided.insert(zxid, hash);
            } else if self.decided.get(&zxid) != Some(&hash) {
                let story = format!("server {} leads with another {}", server.sid, Zxid(zxid));
                trace.fail("one history", &story);
            }
        }
        let begin = txns.keys().next().copied().unwrap_or(i64::MAX);
        let missing = self
            .decided
            .range(begin..)
            .find(|(zxid, _)| !txns.contains_key(*zxid));
        if let Some((&zxid, _)) = missing.filter(|(zxid, _)| **zxid <= reach) {
            let story = format!("server {} leads without {}", server.sid, Zxid(zxid));
            trace.fail("nothing decided is lost", &story);
        }
        self.last.insert(server.sid, self.last_decided());
    }

    /// A server begins to serve what a leader has sent. The leader's own tree may lag behind what it has decided.
    pub fn learn(&mut self, sid: Host, database: &Arc<Database>, trace: &Trace) {
        let applied = database.applied();
        let last = self.decided.range(..=applied.0).next_back();
        self.last.insert(sid, last.map_or(0, |(&zxid, _)| zxid));
        self.applied(sid, database, trace);
    }

    /// A server's tree has gone on.
    pub fn applied(&mut self, sid: Host, database: &Arc<Database>, trace: &Trace) {
        let mut last = self.last.get(&sid).copied().unwrap_or(0);
        let new: Vec<Arc<LoggedTxn>> = {
            let committed = database.committed();
            let new = committed.iter().rev().take_while(|txn| txn.zxid().0 > last);
            new.cloned().collect()
        };
        let is_short = database.committed().min_zxid().is_some_and(|min| min.0 > last);
        for (index, txn) in new.iter().rev().enumerate() {
            let (zxid, hash) = (txn.zxid().0, hash_of(txn));
            // The committed log keeps a few only: what it has dropped is not looked at.
            let is_known_gap = index == 0 && is_short;
            self.take(sid, (last, zxid, hash), is_known_gap, trace);
            last = zxid;
        }
        self.last.insert(sid, last);
    }

    fn take(&mut self, sid: Host, (before, zxid, hash): (i64, i64, u64), is_gap: bool, trace: &Trace) {
        let expected = self
            .decided
            .range(..zxid)
            .next_back()
            .map_or(0, |(&zxid, _)| zxid);
        if expected != before && !is_gap {
            let story = format!(
                "server {sid} has applied {} after {}, not {}",
                Zxid(zxid),
                Zxid(before),
                Zxid(expected)
            );
            trace.fail("one history", &story);
        }
        let first = *self.decided.entry(zxid).or_insert(hash);
        if first != hash {
            let story = format!("server {sid} has applied another {}", Zxid(zxid));
            trace.fail("one history", &story);
        }
    }

    fn last_decided(&self) -> i64 {
        self.decided.keys().next_back().copied().unwrap_or(0)
    }
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
