//! The database: the tree and what belongs to it, as all threads of a server share it. (ZKDatabase)

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use log::info;

use super::committed_log::CommittedLog;
use super::error::StorageError;
use super::log_reader::LogReader;
use super::names::Dirs;
use super::recovery::Recovered;
use super::snapshot::SnapshotWriter;
use crate::proto::Zxid;
use crate::proto::txn::LoggedTxn;
use crate::runtime::Disk;
use crate::tree::{DataTree, WatchManager};

/// The tree, its watches, and the newest transactions.
///
/// Lock order: the tree, then the watches or the committed log, never the other way.
#[derive(Debug)]
pub struct Database {
    tree: RwLock<DataTree>,
    applied: AtomicI64,
    watches: Mutex<WatchManager>,
    committed: Mutex<CommittedLog>,
}

impl Database {
    /// What recovery has brought back, without watches.
    pub fn new(tree: DataTree, committed: CommittedLog) -> Database {
        let applied = AtomicI64::new(tree.last_zxid().0);
        let (watches, committed) = (Mutex::new(WatchManager::new()), Mutex::new(committed));
        Database {
            tree: RwLock::new(tree),
            applied,
            watches,
            committed,
        }
    }

    /// The tree, to read.
    pub fn read_tree(&self) -> RwLockReadGuard<'_, DataTree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tree, to write. FinalRequestProcessor alone does, while a chain runs.
    pub fn write_tree(&self) -> RwLockWriteGuard<'_, DataTree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to which transaction the tree is, without its lock.
    pub fn applied(&self) -> Zxid {
        Zxid(self.applied.load(Ordering::Acquire))
    }

    /// Says up to which transaction the tree is; called after all else that the transaction changed.
    pub fn publish(&self, zxid: Zxid) {
        self.applied.store(zxid.0, Ordering::Release);
    }

    /// The watches.
    pub fn watches(&self) -> MutexGuard<'_, WatchManager> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a transaction that was applied.
    pub fn push_committed(&self, txn: Arc<LoggedTxn>) {
        self.committed().push(txn);
    }

    /// The newest transactions.
    pub fn committed(&self) -> MutexGuard<'_, CommittedLog> {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts another state in place of this one: what a leader sent, or what is left after a truncation.
    /// Watches stay.
    pub fn replace(&self, recovered: Recovered) {
        *self.write_tree() = recovered.tree;
        *self.committed() = recovered.committed;
        self.publish(recovered.last_zxid);
    }

    /// Applies what the log holds beyond the tree, and tells how many transactions that were: between two chains,
    /// when nobody is served. (ZKDatabase.fastForwardDataBase)
    ///
    /// # Errors
    /// What the disk refuses, or damage.
    pub fn fast_forward(&self, disk: &dyn Disk, dirs: &Dirs) -> Result<usize, StorageError> {
        let mut reader = LogReader::open(disk, dirs, self.applied())?;
        let mut replayed = 0;
        let mut tree = self.write_tree();
        while let Some(txn) = reader.next_txn()? {
            let change = txn.txn().map_err(|malformed| reader.malformed(malformed))?;
            tree.apply(txn.header(), &change, None);
            self.push_committed(Arc::new(txn));
            replayed += 1;
        }
        self.publish(tree.last_zxid());
        Ok(replayed)
    }

    /// Writes a snapshot of the tree as it is now, while it goes on changing, and tells where it lies.
    ///
    /// # Errors
    /// What the disk refuses, or [`StorageError::Replaced`]; nothing is left then.
    pub fn snapshot(&self, disk: Arc<dyn Disk>, dirs: &Dirs) -> Result<PathBuf, StorageError> {
        let mut walk = self.read_tree().begin_walk();
        let path = dirs.snapshot_file(walk.zxid());
        info!("Snapshotting: {} to {}", walk.zxid(), path.display());
        let mut writer = SnapshotWriter::begin(disk, dirs, walk.zxid())?;
        let mut piece = Vec::new();
        loop {
            // The tree is free again before the disk is waited for.
            let step = walk.walk_some(&self.read_tree(), STEP_NODES, &mut piece);
            let done = step.map_err(|_| StorageError::Replaced(path.clone()))?;
            writer.write(&piece)?;
            piece.clear();
            if done {
                return writer.finish();
            }
        }
    }
}

/// So many nodes are read under one lock: some tens of microseconds.
const STEP_NODES: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::recovery::{RecoveryOptions, recover};
    use super::super::testing::{create, empty};
    use super::*;
    use crate::tree::TreeDump;

    #[test]
    fn a_snapshot_shows_the_tree_as_it_was_and_brings_it_back() {
        let (disk, dirs) = empty();
        let database = Database::new(DataTree::new(), CommittedLog::new(10));
        for zxid in 1..=600 {
            let txn = create(zxid, b"data");
            let change = txn.txn().expect("a transaction");
            database.write_tree().apply(txn.header(), &change, None);
            database.publish(txn.zxid());
        }
        assert_eq!(database.applied(), Zxid(600));
        let path = database
            .snapshot(Arc::new(disk.clone()), &dirs)
            .expect("a snapshot");
        assert_eq!(path, dirs.snapshot_file(Zxid(600)));
        let found = recover(&disk, &dirs, &RecoveryOptions::default()).expect("recovered");
        assert_eq!(found.snapshot, Some(path));
        assert_eq!(TreeDump::of(&found.tree), TreeDump::of(&database.read_tree()));
        database.replace(found);
        assert_eq!(database.read_tree().node_count(), 604);
        assert_eq!(database.applied(), Zxid(600));
    }
}
