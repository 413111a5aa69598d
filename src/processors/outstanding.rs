//! Changes that are prepared but not applied yet, so that validation sees what is in flight.
//! (`outstandingChanges` of ZooKeeperServer)
//!
//! PrepRequestProcessor owns the table alone. It forgets what the database says is applied, so no other
//! thread touches it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::proto::{Acl, SessionId, Zxid};

use super::quota_use::QuotaUse;

/// A node as it will be once all prepared changes are applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingNode {
    /// The version of its data.
    pub version: i32,
    /// How many children were ever made under it.
    pub cversion: i32,
    /// The version of its ACL.
    pub aversion: i32,
    /// The session that it lives by, 0 if it is not ephemeral.
    pub ephemeral_owner: i64,
    /// How many children it has.
    pub child_count: i32,
    /// How many bytes of data.
    pub data_len: usize,
    /// Its ACL.
    pub acl: Arc<[Acl]>,
}

/// What is in flight for one path.
#[derive(Debug, Clone)]
struct Pending {
    zxid: Zxid,
    /// `None` for a node that is being removed.
    node: Option<PendingNode>,
}

/// The table of changes in flight.
#[derive(Debug, Default)]
pub struct Outstanding {
    by_path: HashMap<Arc<str>, Pending>,
    /// Every change ever put into the table, oldest first, until it is applied.
    in_order: VecDeque<(Zxid, Arc<str>)>,
    /// What the transaction being prepared has replaced, newest last.
    undo: Vec<(Arc<str>, Option<Pending>)>,
    /// What the changes add to subtrees with a quota.
    pub quota_use: QuotaUse,
}

impl Outstanding {
    /// Nothing in flight.
    pub fn new() -> Outstanding {
        Outstanding::default()
    }

    /// What is in flight for a path: `None` for nothing, `Some(None)` for a removal.
    pub fn get(&self, path: &str) -> Option<Option<&PendingNode>> {
        self.by_path.get(path).map(|pending| pending.node.as_ref())
    }

    /// Begins a transaction: what comes until [`Outstanding::roll_back`] can be undone.
    pub fn begin(&mut self) {
        self.undo.clear();
        self.quota_use.begin();
    }

    /// Notes what a transaction will make of a node; `None` for a removal.
    pub fn put(&mut self, path: &str, zxid: Zxid, node: Option<PendingNode>) {
        let path: Arc<str> = Arc::from(path);
        let before = self.by_path.insert(Arc::clone(&path), Pending { zxid, node });
        self.undo.push((Arc::clone(&path), before));
        self.in_order.push_back((zxid, path));
    }

    /// Takes back everything since [`Outstanding::begin`].
    pub fn roll_back(&mut self) {
        self.quota_use.roll_back();
        while let Some((path, before)) = self.undo.pop() {
            self.in_order.pop_back();
            match before {
                Some(pending) => self.by_path.insert(path, pending),
                None => self.by_path.remove(&path),
            };
        }
    }

    /// Forgets the changes that are in the tree by now: those at or below `applied`.
    pub fn forget_applied(&mut self, applied: Zxid) {
        while let Some((_, path)) = self.in_order.pop_front_if(|(zxid, _)| *zxid <= applied) {
            // A later change of the same path stays until it is applied itself.
            if self
                .by_path
                .get(&path)
                .is_some_and(|pending| pending.zxid <= applied)
            {
                self.by_path.remove(&path);
            }
        }
    }

    /// The paths of ephemerals of a session that are in flight: those to be made, and those to be removed.
    pub fn ephemerals_of(&self, session: SessionId) -> (Vec<Arc<str>>, Vec<Arc<str>>) {
        let (mut made, mut removed) = (Vec::new(), Vec::new());
        for (path, pending) in &self.by_path {
            match &pending.node {
                None => removed.push(Arc::clone(path)),
                Some(node) if node.ephemeral_owner == session.0 => made.push(Arc::clone(path)),
                Some(_) => {}
            }
        }
        // The table's order is no order; what is made of the lists must not depend on it.
        made.sort_unstable();
        removed.sort_unstable();
        (made, removed)
    }

    /// How many changes are in flight.
    pub fn len(&self) -> usize {
        self.in_order.len()
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(version: i32) -> Option<PendingNode> {
        let acl = Arc::from([]);
        Some(PendingNode {
            version,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: 7,
            child_count: 0,
            data_len: 0,
            acl,
        })
    }

    fn version(table: &Outstanding, path: &str) -> Option<Option<i32>> {
        table.get(path).map(|node| node.map(|node| node.version))
    }

    #[test]
    fn a_later_change_outlives_an_earlier_one_of_the_same_path() {
        let mut table = Outstanding::new();
        table.put("/a", Zxid(1), node(1));
        table.put("/a", Zxid(3), node(3));
        table.forget_applied(Zxid(2));
        assert_eq!(version(&table, "/a"), Some(Some(3)));
        table.forget_applied(Zxid(3));
        assert_eq!(version(&table, "/a"), None);
        assert!(table.is_empty());
    }

    #[test]
    fn rolling_back_restores_what_was_before() {
        let mut table = Outstanding::new();
        table.put("/a", Zxid(1), node(1));
        table.begin();
        table.put("/a", Zxid(2), node(2));
        table.put("/a", Zxid(2), None);
        table.put("/b", Zxid(2), node(9));
        table.roll_back();
        assert_eq!(version(&table, "/a"), Some(Some(1)));
        assert_eq!(version(&table, "/b"), None);
        assert_eq!(table.len(), 1);
        table.forget_applied(Zxid(1));
        assert_eq!(version(&table, "/a"), None);
    }

    #[test]
    fn ephemerals_in_flight_are_found_by_session() {
        let mut table = Outstanding::new();
        table.put("/b", Zxid(1), node(0));
        table.put("/a", Zxid(1), node(0));
        table.put("/gone", Zxid(2), None);
        let (made, removed) = table.ephemerals_of(SessionId(7));
        assert_eq!(made, [Arc::from("/a"), Arc::from("/b")] as [Arc<str>; 2]);
        assert_eq!(removed, [Arc::from("/gone")] as [Arc<str>; 1]);
        assert!(table.ephemerals_of(SessionId(8)).0.is_empty());
    }
}
