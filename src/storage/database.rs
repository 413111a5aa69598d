//! The database: the tree and what belongs to it, as all threads of a server share it. (ZKDatabase)

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::CommittedLog;
use crate::proto::Zxid;
use crate::proto::txn::LoggedTxn;
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
}
