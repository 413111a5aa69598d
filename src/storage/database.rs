//! The database: the tree and what belongs to it, as all threads of a server share it. (ZKDatabase)

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use log::info;

use super::committed_log::CommittedLog;
use super::error::StorageError;
use super::names::Dirs;
use super::recovery::Recovered;
use super::snapshot::SnapshotWriter;
use crate::proto::txn::{CreateTxn, LoggedTxn, SetAclTxn, Txn, TxnHeader};
use crate::proto::{Acl, Malformed, OpCode, Perms, SessionId, Xid, Zxid};
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
    /// What is in the log and may not be in the tree yet, in order.
    logged: Mutex<VecDeque<Arc<LoggedTxn>>>,
    newer_txns: AtomicBool,
    keeps_digest: bool,
    /// A tree of one node, which is read where the other has none: `/zookeeper/config`.
    config: DataTree,
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
            logged: Mutex::new(VecDeque::new()),
            newer_txns: AtomicBool::new(false),
            keeps_digest: false,
            config: config_tree(""),
        }
    }

    /// Has `/zookeeper/config` say this. Clients of 3.5 read that node; no snapshot and no list of children
    /// shows it, so that servers of 3.4 do not miss it.
    pub fn with_config(self, text: &str) -> Database {
        let config = config_tree(text);
        Database { config, ..self }
    }

    /// Keeps a digest of the tree, whichever tree comes, if so asked.
    pub fn with_digest(mut self, keeps_digest: bool) -> Database {
        self.keeps_digest = keeps_digest;
        if keeps_digest {
            self.write_tree().keep_digest();
        }
        self
    }

    /// The tree that has `/zookeeper/config` alone.
    pub fn config(&self) -> &DataTree {
        &self.config
    }

    /// Whether transactions that 3.4 cannot read may be asked for: those of containers and of nodes with a
    /// time to live. On a learner: whether its leader prepares them.
    pub fn allows_newer_txns(&self) -> bool {
        self.newer_txns.load(Ordering::Acquire)
    }

    /// Says so. At first they may not.
    pub fn allow_newer_txns(&self, allowed: bool) {
        self.newer_txns.store(allowed, Ordering::Release);
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
        let mut logged = self.logged();
        while logged.pop_front_if(|txn| txn.zxid() <= zxid).is_some() {}
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
    pub fn replace(&self, mut recovered: Recovered) {
        if self.keeps_digest {
            recovered.tree.keep_digest();
        }
        *self.write_tree() = recovered.tree;
        *self.committed() = recovered.committed;
        self.logged().clear();
        self.publish(recovered.last_zxid);
    }

    /// Remembers transactions that have gone to the log, in their order, until they are applied.
    pub fn note_logged(&self, txns: impl IntoIterator<Item = Arc<LoggedTxn>>) {
        self.logged().extend(txns);
    }

    /// Applies what is in the log and not in the tree, and tells how many transactions that were: between two
    /// chains, when nobody is served. 3.4.14 reads the log again for that, which takes the longer the more
    /// there is. (ZKDatabase.fastForwardDataBase)
    ///
    /// # Errors
    /// Which transaction makes no sense.
    pub fn catch_up(&self) -> Result<usize, (Zxid, Malformed)> {
        let logged = std::mem::take(&mut *self.logged());
        let mut tree = self.write_tree();
        let mut count = 0;
        for txn in logged {
            if txn.zxid() > tree.last_zxid() {
                let change = txn.txn().map_err(|malformed| (txn.zxid(), malformed))?;
                tree.apply(txn.header(), &change, None);
                self.push_committed(Arc::clone(&txn));
                count += 1;
            }
        }
        self.publish(tree.last_zxid());
        Ok(count)
    }

    /// Writes a snapshot of the tree as it is now, while it goes on changing, and tells where it lies; `None` if
    /// it was not wanted any more before it was whole. Then nothing is left of it.
    ///
    /// # Errors
    /// What the disk refuses, or [`StorageError::Replaced`]; nothing is left then either.
    pub fn snapshot(
        &self,
        disk: Arc<dyn Disk>,
        dirs: &Dirs,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Option<PathBuf>, StorageError> {
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
            if !is_wanted() {
                return Ok(None);
            }
            if done {
                return writer.finish().map(Some);
            }
        }
    }

    fn logged(&self) -> MutexGuard<'_, VecDeque<Arc<LoggedTxn>>> {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// So many nodes are read under one lock: some tens of microseconds.
const STEP_NODES: usize = 256;

/// The node is everybody's to read, and nobody's to write. (DataTree.addConfigNode of 3.9)
fn config_tree(text: &str) -> DataTree {
    let header = TxnHeader {
        session: SessionId(0),
        cxid: Xid(0),
        zxid: Zxid(0),
        time_ms: 0,
        op: OpCode::Create.number(),
    };
    let acl = Acl {
        perms: Perms::READ,
        ..Acl::open().remove(0)
    };
    let create = Txn::Create(CreateTxn {
        path: CONFIG_PATH.into(),
        data: Some(text.as_bytes()),
        acl: None,
        ephemeral: false,
        parent_cversion: 0,
    });
    let protect = Txn::SetAcl(SetAclTxn {
        path: CONFIG_PATH.into(),
        acl: Some(vec![acl]),
        version: -1,
    });
    let mut tree = DataTree::new();
    tree.apply(&header, &create, None);
    tree.apply(&header, &protect, None);
    tree
}

/// Where clients of 3.5 read who is in the ensemble.
pub const CONFIG_PATH: &str = "/zookeeper/config";

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
            .snapshot(Arc::new(disk.clone()), &dirs, || true)
            .expect("a snapshot")
            .expect("wanted");
        assert_eq!(path, dirs.snapshot_file(Zxid(600)));
        let found = recover(&disk, &dirs, &RecoveryOptions::default()).expect("recovered");
        assert_eq!(found.snapshot, Some(path));
        assert_eq!(TreeDump::of(&found.tree), TreeDump::of(&database.read_tree()));
        database.replace(found);
        assert_eq!(database.read_tree().node_count(), 604);
        assert_eq!(database.applied(), Zxid(600));
    }

    #[test]
    fn a_snapshot_that_is_not_wanted_any_more_leaves_nothing() {
        let (disk, dirs) = empty();
        let database = Database::new(DataTree::new(), CommittedLog::new(10));
        let written = database.snapshot(Arc::new(disk.clone()), &dirs, || false);
        assert_eq!(written.expect("no error"), None);
        assert_eq!(dirs.snapshots(&disk).expect("a list").len(), 0);
        assert_eq!(dirs.unfinished_snapshots(&disk).expect("a list").len(), 0);
    }

    #[test]
    fn what_was_logged_beyond_the_tree_is_applied_once() {
        let database = Database::new(DataTree::new(), CommittedLog::new(10));
        let txns: Vec<_> = (1..=5).map(|zxid| Arc::new(create(zxid, b"data"))).collect();
        let apply = |txn: &LoggedTxn| {
            let change = txn.txn().expect("a transaction");
            database.write_tree().apply(txn.header(), &change, None);
            database.publish(txn.zxid());
        };
        database.note_logged(txns[..2].iter().cloned());
        apply(&txns[0]);
        // The tree may be faster than the log.
        apply(&txns[1]);
        apply(&txns[2]);
        database.note_logged(txns[2..].iter().cloned());
        assert_eq!(database.catch_up(), Ok(2));
        assert_eq!(
            (database.applied(), database.read_tree().last_zxid()),
            (Zxid(5), Zxid(5))
        );
        let committed: Vec<_> = database.committed().iter().map(|txn| txn.zxid()).collect();
        assert_eq!(committed, [Zxid(4), Zxid(5)]);
        assert_eq!(database.catch_up(), Ok(0));
    }
}
