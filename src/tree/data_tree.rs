//! The tree of nodes: what it holds, how it is read, and the few steps by which it changes. (DataTree)
//!
//! A node stores its parent's number and its own name only. A path is found by one hash of the whole, in an
//! index that holds no paths; a hit is verified by walking from the node up to the root. A million nodes
//! with 100 bytes of data take about 200 MB, data included.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::acl_cache::{AclCache, AclRef};
use super::digest::TreeDigest;
use super::index::{ShardedIndex, fold};
use super::node::Node;
use super::path::{split, utf16_len};
use super::quota::{LimitedPaths, QUOTA_PATH};
use super::slab::Slab;
use super::walk::Walks;
use crate::proto::{Acl, Lifetime, SessionId, Stat, StatPersisted, Zxid};

/// All that a server remembers of its clients' writes.
#[derive(Debug)]
pub struct DataTree {
    pub(super) nodes: Slab<Node>,
    index: ShardedIndex,
    // Seeded by chance: clients that choose paths cannot know which of them collide.
    hasher: DefaultHashBuilder,
    pub(super) acls: AclCache,
    // A session stays here with an empty set after its last ephemeral is deleted, as `dump` shows it.
    pub(super) ephemerals: BTreeMap<SessionId, BTreeSet<u32>>,
    pub(super) sessions: BTreeMap<SessionId, i32>,
    /// Containers and nodes with a time to live.
    looked_after: BTreeSet<u32>,
    /// Whether there was ever a transaction or a node that 3.4 cannot read.
    pub(super) is_beyond_3_4: bool,
    pub(super) quotas: LimitedPaths,
    pub(super) last_zxid: Zxid,
    pub(super) walks: Walks,
    /// Kept on demand.
    pub(super) digest: Option<TreeDigest>,
    path_units: u64,
    data_bytes: u64,
}

/// A node, as it is now.
#[derive(Debug, Clone, Copy)]
pub struct NodeRef<'a> {
    tree: &'a DataTree,
    node: &'a Node,
}

impl Default for DataTree {
    fn default() -> DataTree {
        DataTree::new()
    }
}

impl DataTree {
    /// The tree of a server that was never written to: the root, `/zookeeper` and `/zookeeper/quota`.
    pub fn new() -> DataTree {
        let fresh = |name| Node::new(name, Some(b""), AclRef::OPEN, &StatPersisted::default());
        let mut tree = DataTree::with_root(fresh(""));
        let zookeeper = tree.insert_leaf(ROOT, "/zookeeper", fresh("zookeeper"));
        tree.insert_leaf(zookeeper, QUOTA_PATH, fresh("quota"));
        tree
    }

    /// The node of a path. The root has two: `/` and the empty one.
    pub fn get(&self, path: &str) -> Option<NodeRef<'_>> {
        self.find(path).map(|id| self.node_ref(id))
    }

    /// Whether the path names a node.
    pub fn contains(&self, path: &str) -> bool {
        self.find(path).is_some()
    }

    /// How many nodes there are. The root counts twice, as in 3.4.14: a fresh tree has 4.
    pub fn node_count(&self) -> usize {
        self.nodes.len() + 1
    }

    /// The lengths of all paths (in UTF-16 units) and of all data together; the root's paths are `/` and
    /// the empty one. A fresh tree has 27. (DataTree.approximateDataSize)
    pub fn approximate_data_size(&self) -> u64 {
        let root_again = 1 + self.nodes[ROOT].data_len() as u64;
        self.path_units + self.data_bytes + root_again
    }

    /// The newest transaction that was applied.
    pub fn last_zxid(&self) -> Zxid {
        self.last_zxid
    }

    /// Says up to which transaction the tree is: the number in a snapshot's name, or a new epoch's first.
    pub fn set_last_zxid(&mut self, zxid: Zxid) {
        self.last_zxid = zxid;
    }

    /// The sessions that have begun and not ended, with their timeouts in milliseconds, by number.
    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, i32)> + '_ {
        self.sessions
            .iter()
            .map(|(&session, &timeout_ms)| (session, timeout_ms))
    }

    /// The timeout of a session in milliseconds, if it is alive.
    pub fn session_timeout_ms(&self, session: SessionId) -> Option<i32> {
        self.sessions.get(&session).copied()
    }

    /// The paths of a session's ephemerals, sorted.
    pub fn ephemerals_of(&self, session: SessionId) -> Vec<String> {
        let ids = self.ephemerals.get(&session).into_iter().flatten();
        let mut paths: Vec<String> = ids.map(|&id| self.path_of(id)).collect();
        paths.sort_unstable();
        paths
    }

    /// Whether a server of 3.4 could not read all that led to this tree: it has, or has had, containers or nodes
    /// with a time to live.
    pub fn is_beyond_3_4(&self) -> bool {
        self.is_beyond_3_4
    }

    /// Of at most `count` containers and nodes with a time to live from number `from` on, the paths of those
    /// that may go; and the number to go on from, if there are more. A container must have had a child, unless
    /// it is older than `never_used_ms` and that is not 0. (ContainerManager.getCandidates of 3.9)
    pub fn overdue(
        &self,
        from: u32,
        count: usize,
        wall_ms: i64,
        never_used_ms: i64,
    ) -> (Vec<String>, Option<u32>) {
        let mut ids = self.looked_after.range(from..).copied();
        let is_overdue = |&id: &u32| {
            let stat = self.nodes[id].stat();
            let unchanged_ms = wall_ms.saturating_sub(stat.mtime);
            self.nodes[id].children().is_empty()
                && match Lifetime::of(stat.ephemeral_owner) {
                    Lifetime::Container if stat.cversion > 0 => true,
                    Lifetime::Container => never_used_ms != 0 && unchanged_ms > never_used_ms,
                    Lifetime::Ttl(ttl_ms) => unchanged_ms > ttl_ms,
                    Lifetime::Persistent | Lifetime::Ephemeral(_) => false,
                }
        };
        let paths = ids
            .by_ref()
            .take(count)
            .filter(is_overdue)
            .map(|id| self.path_of(id))
            .collect();
        (paths, ids.next())
    }

    /// How many nodes are below one; `None` if it does not exist. It visits each of them. (getAllChildrenNumber
    /// of 3.6, which visits every node of the tree)
    pub fn count_below(&self, path: &str) -> Option<u32> {
        let mut waiting = vec![self.find(path)?];
        let mut count = 0;
        while let Some(id) = waiting.pop() {
            let before = waiting.len();
            waiting.extend(self.nodes[id].children().iter());
            // A node's number is 32 bits wide, and so is every count of nodes.
            count += (waiting.len() - before) as u32;
        }
        Some(count)
    }

    /// The sessions that own or have owned ephemerals here, by number. (DataTree.getSessions)
    pub fn sessions_with_ephemerals(&self) -> impl ExactSizeIterator<Item = SessionId> + '_ {
        self.ephemerals.keys().copied()
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many ephemerals there are.
    pub fn ephemerals_count(&self) -> usize {
        self.ephemerals.values().map(BTreeSet::len).sum()
    }

    /// How many different access control lists nodes have, besides the null one.
    pub fn acl_count(&self) -> usize {
        self.acls.len()
    }
}

impl<'a> NodeRef<'a> {
    /// Its data; null and empty are different.
    pub fn data(&self) -> Option<&'a [u8]> {
        self.node.data()
    }

    /// Its stat as snapshots and requests know it: `cversion` counts creations.
    pub fn stat(&self) -> StatPersisted {
        self.node.stat()
    }

    /// Its stat as clients are told it.
    pub fn shown_stat(&self) -> Stat {
        self.node.stat().shown(self.node.data_len(), self.child_count())
    }

    /// Its access control list; the open one if it has none.
    pub fn acl(&self) -> &'a Arc<[Acl]> {
        self.tree.acls.list(self.node.acl)
    }

    /// How many children it has.
    pub fn child_count(&self) -> usize {
        self.node.children().len()
    }

    /// The names of its children, without a useful order: by creation, but for gaps filled by the last.
    pub fn children(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let tree = self.tree;
        self.node.children().iter().map(move |id| tree.nodes[id].name())
    }
}

/// The steps by which the tree changes. They keep index, counters, ephemerals and ACL counts in step.
impl DataTree {
    /// A tree of a root alone.
    pub(super) fn with_root(root: Node) -> DataTree {
        let mut tree = DataTree {
            nodes: Slab::new(),
            index: ShardedIndex::new(),
            hasher: DefaultHashBuilder::default(),
            acls: AclCache::new(),
            ephemerals: BTreeMap::new(),
            sessions: BTreeMap::new(),
            looked_after: BTreeSet::new(),
            is_beyond_3_4: false,
            quotas: LimitedPaths::default(),
            last_zxid: Zxid(0),
            walks: Walks::default(),
            digest: None,
            path_units: 0,
            data_bytes: root.data_len() as u64,
        };
        tree.nodes.insert(root);
        tree
    }

    pub(super) fn find(&self, path: &str) -> Option<u32> {
        if path.is_empty() || path == "/" {
            return Some(ROOT);
        }
        self.index.find(self.hash(path), |id| self.is_path_of(path, id))
    }

    pub(super) fn node_ref(&self, id: u32) -> NodeRef<'_> {
        let node = &self.nodes[id];
        NodeRef { tree: self, node }
    }

    /// A node that is about to change.
    pub(super) fn node_mut(&mut self, id: u32) -> &mut Node {
        self.save_for_walks(id);
        &mut self.nodes[id]
    }

    /// A node's path; the root's is empty.
    pub(super) fn path_of(&self, mut id: u32) -> String {
        let mut names = Vec::new();
        while id != ROOT {
            names.push(self.nodes[id].name());
            id = self.nodes[id].parent;
        }
        let mut path = String::new();
        for name in names.iter().rev() {
            path.push('/');
            path.push_str(name);
        }
        path
    }

    /// Puts a node under its parent. `path` is the node's, and no node has it yet.
    pub(super) fn insert_leaf(&mut self, parent: u32, path: &str, mut node: Node) -> u32 {
        self.path_units += utf16_len(path) as u64;
        self.data_bytes += node.data_len() as u64;
        let owner = node.ephemeral_owner();
        node.parent = parent;
        let id = self.nodes.insert(node);
        self.hide_from_walks(id);
        self.nodes[id].slot = self.node_mut(parent).push_child(id);
        self.index.insert(self.hash(path), id);
        let lifetime = self.lifetime_of(owner);
        if let Some(session) = lifetime.session() {
            self.ephemerals.entry(session).or_default().insert(id);
        } else if lifetime.is_looked_after() {
            self.looked_after.insert(id);
            self.is_beyond_3_4 = true;
        }
        id
    }

    /// Takes a node without children from the tree. `path` is the node's; it is not the root's.
    pub(super) fn remove_leaf(&mut self, id: u32, path: &str) {
        self.save_for_walks(id);
        let Some(node) = self.nodes.remove(id) else {
            return;
        };
        self.index.remove(self.hash(path), id);
        if let Some(moved) = self.node_mut(node.parent).remove_child(node.slot) {
            // The slot is no part of what walks show.
            self.nodes[moved].slot = node.slot;
        }
        self.looked_after.remove(&id);
        if let Some(own) = self.ephemerals.get_mut(&SessionId(node.ephemeral_owner())) {
            own.remove(&id);
        }
        self.acls.release(node.acl);
        self.path_units -= utf16_len(path) as u64;
        self.data_bytes -= node.data_len() as u64;
    }

    pub(super) fn replace_data(&mut self, id: u32, data: Option<&[u8]>) {
        self.data_bytes -= self.nodes[id].data_len() as u64;
        self.node_mut(id).set_data(data);
        self.data_bytes += self.nodes[id].data_len() as u64;
    }

    /// Gives the root what a snapshot says of it.
    pub(super) fn replace_root(&mut self, root: Node) {
        self.data_bytes += root.data_len() as u64;
        self.data_bytes -= self.nodes[ROOT].data_len() as u64;
        self.nodes[ROOT] = root;
    }

    pub(super) fn replace_acl(&mut self, id: u32, acl: Option<&[Acl]>) {
        // The new list is counted first: should it be the old one, it stays.
        let acl = self.acls.intern(acl);
        let old = std::mem::replace(&mut self.node_mut(id).acl, acl);
        self.acls.release(old);
    }

    /// What an owner says here. A server with the number 255 may have given out session numbers that look like
    /// a time to live.
    fn lifetime_of(&self, owner: i64) -> Lifetime {
        let session = SessionId(owner);
        match Lifetime::of(owner) {
            Lifetime::Ttl(_) if self.sessions.contains_key(&session) => Lifetime::Ephemeral(session),
            lifetime => lifetime,
        }
    }

    fn hash(&self, path: &str) -> u32 {
        fold(self.hasher.hash_one(path))
    }

    /// Compares from the end, name by name, up to the root.
    fn is_path_of(&self, path: &str, mut id: u32) -> bool {
        let mut rest = path;
        while id != ROOT {
            let node = &self.nodes[id];
            match split(rest) {
                Some((before, name)) if name.as_bytes() == node.name_bytes() => rest = before,
                _ => return false,
            }
            id = node.parent;
        }
        rest.is_empty()
    }
}

/// The root's number.
pub(super) const ROOT: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_tree_is_that_of_3_4_14() {
        let tree = DataTree::new();
        assert_eq!((tree.node_count(), tree.approximate_data_size()), (4, 27));
        assert_eq!(tree.get("/").map(|root| root.shown_stat().cversion), Some(-1));
        let names: Vec<_> = tree.get("").expect("the root").children().collect();
        assert_eq!(names, ["zookeeper"]);
        assert!(tree.contains("/zookeeper/quota"));
        for missing in [
            "zookeeper",
            "/zookeeper/",
            "//zookeeper",
            "/quota",
            "//",
            "/zookeeper/quota/x",
        ] {
            assert!(!tree.contains(missing), "{missing}");
        }
    }

    #[test]
    fn the_last_child_takes_the_place_of_the_removed_one() {
        let mut tree = DataTree::new();
        for name in ["a", "b", "c"] {
            let node = Node::new(name, None, AclRef::OPEN, &StatPersisted::default());
            tree.insert_leaf(ROOT, &format!("/{name}"), node);
        }
        let id = tree.find("/a").expect("made above");
        tree.remove_leaf(id, "/a");
        let id = tree.find("/c").expect("made above");
        tree.remove_leaf(id, "/c");
        let names: Vec<_> = tree.get("/").expect("the root").children().collect();
        assert_eq!(names, ["zookeeper", "b"]);
        assert_eq!((tree.node_count(), tree.approximate_data_size()), (5, 29));
    }
}
