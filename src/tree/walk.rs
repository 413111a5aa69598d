//! The tree as the stream that snapshots hold and learners are sent, taken at one moment while the tree goes
//! on changing. (SerializeUtils.serializeSnapshot, DataTree.serialize; read back by `read.rs`)
//!
//! Sessions, then ACL lists, then each node before its children, then the path `/` as the end. 3.4.14 writes
//! what it finds while it walks: its snapshots hold a bit of everything that was applied meanwhile. Here a
//! walk shows the tree as it was when it began: a change first saves the old node for the walks that have
//! not come by. Lists of children are shared with them, and copied by blocks as they change.
//!
//! A walk is begun, and each step made, under a shared borrow of the tree; between steps the tree may change
//! in any way. What is saved is freed as the walk passes, and all of it when the walk is dropped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use thiserror::Error;

use super::children::Children;
use super::data_tree::{DataTree, ROOT};
use super::node::Node;
use crate::proto::{Encode, Zxid};

/// A walk over a tree as it was at one moment.
#[derive(Debug)]
pub struct Walk {
    zxid: Zxid,
    identity: Arc<()>,
    frozen: Arc<Mutex<Frozen>>,
    // Sessions and ACL lists, encoded when the walk began; empty once they are written.
    head: Vec<u8>,
    // The way from the root to where the walk stands, and the path of that place.
    way: Vec<Place>,
    path: Vec<u8>,
    is_done: bool,
}

/// The tree in hand is not the one in which the walk began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the tree was replaced while it was walked; begin again")]
pub struct TreeReplaced;

/// The walks over a tree, as the tree knows them.
#[derive(Debug, Default)]
pub(super) struct Walks {
    identity: Arc<()>,
    active: Mutex<Vec<Weak<Mutex<Frozen>>>>,
}

/// What a walk shares with the tree.
#[derive(Debug)]
struct Frozen {
    // One bit a number: the node was walked, saved, or made after the walk began. Numbers beyond are new.
    settled: Vec<u64>,
    // Ordered, since a hash table of this size would stop the server when it grows.
    saved: BTreeMap<u32, Arc<Saved>>,
    is_done: bool,
}

/// A node as it was when walks began.
#[derive(Debug)]
struct Saved {
    node: Node,
    acl_id: i64,
}

/// A node whose children are being walked.
#[derive(Debug)]
struct Place {
    children: Children,
    next: usize,
    // How long the path is without the name of the child that is being walked.
    path_len: usize,
}

impl Walk {
    /// The transaction up to which the stream shows the tree.
    pub fn zxid(&self) -> Zxid {
        self.zxid
    }

    /// Appends the next part of the stream to `out`: at most `limit` nodes, and not many more than a
    /// mebibyte. True if that was the last part.
    ///
    /// # Errors
    /// [`TreeReplaced`] if `tree` is another one.
    pub fn walk_some(
        &mut self,
        tree: &DataTree,
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, TreeReplaced> {
        if !Arc::ptr_eq(&self.identity, &tree.walks.identity) {
            return Err(TreeReplaced);
        }
        let shared = self.frozen.clone();
        let mut frozen = lock(&shared);
        let bytes_end = out.len() + STEP_BYTES;
        let mut left = limit;
        if !self.head.is_empty() {
            out.append(&mut std::mem::take(&mut self.head));
            self.visit(tree, &mut frozen, ROOT, out);
            left = left.saturating_sub(1);
        }
        while !self.is_done && left > 0 && out.len() < bytes_end {
            match self.next_node() {
                Some(id) => self.visit(tree, &mut frozen, id, out),
                None => {
                    "/".encode(out);
                    self.is_done = true;
                    frozen.is_done = true;
                }
            }
            left -= 1;
        }
        Ok(self.is_done)
    }

    /// How many old nodes are kept for this walk.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        lock(&self.frozen).saved.len()
    }

    /// The next child of the deepest place that has one left.
    fn next_node(&mut self) -> Option<u32> {
        loop {
            let place = self.way.last_mut()?;
            self.path.truncate(place.path_len);
            if let Some(id) = place.children.get(place.next) {
                place.next += 1;
                return Some(id);
            }
            self.way.pop();
        }
    }

    fn visit(&mut self, tree: &DataTree, frozen: &mut Frozen, id: u32, out: &mut Vec<u8>) {
        frozen.settle(id);
        match frozen.saved.remove(&id) {
            Some(saved) => self.write(&saved.node, saved.acl_id, out),
            None => {
                let node = &tree.nodes[id];
                self.write(node, tree.acls.id(node.acl), out);
            }
        }
    }

    fn write(&mut self, node: &Node, acl_id: i64, out: &mut Vec<u8>) {
        if !self.way.is_empty() {
            self.path.push(b'/');
            self.path.extend_from_slice(node.name_bytes());
        }
        self.path.as_slice().encode(out);
        node.data().encode(out);
        acl_id.encode(out);
        node.stat().encode(out);
        self.way.push(Place {
            children: node.children().clone(),
            next: 0,
            path_len: self.path.len(),
        });
    }
}

impl DataTree {
    /// Begins a walk over the tree as it is now. Costs as much as there are sessions and ACL lists, and one
    /// bit a node.
    pub fn begin_walk(&self) -> Walk {
        let frozen = Arc::new(Mutex::new(Frozen {
            settled: vec![0; self.nodes.bound().div_ceil(64)],
            saved: BTreeMap::new(),
            is_done: false,
        }));
        lock(&self.walks.active).push(Arc::downgrade(&frozen));
        Walk {
            zxid: self.last_zxid,
            identity: self.walks.identity.clone(),
            frozen,
            head: self.encode_head(),
            way: Vec::new(),
            path: Vec::new(),
            is_done: false,
        }
    }

    /// Says that a node is about to change or to go.
    pub(super) fn save_for_walks(&mut self, id: u32) {
        let active = self
            .walks
            .active
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if active.is_empty() {
            return;
        }
        let node = &self.nodes[id];
        let acl_id = self.acls.id(node.acl);
        let mut saved = None;
        for_each(active, |frozen| {
            if frozen.settle(id) {
                let saved = saved.get_or_insert_with(|| {
                    let node = node.clone();
                    Arc::new(Saved { node, acl_id })
                });
                frozen.saved.insert(id, saved.clone());
            }
        });
    }

    /// Says that a number was given to a new node, which no walk is to show.
    pub(super) fn hide_from_walks(&mut self, id: u32) {
        let active = self
            .walks
            .active
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for_each(active, |frozen| {
            frozen.settle(id);
        });
    }

    fn encode_head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        (self.sessions.len() as i32).encode(&mut head);
        for (session, timeout_ms) in self.sessions() {
            session.encode(&mut head);
            timeout_ms.encode(&mut head);
        }
        let lists = self.acls.lists();
        (lists.len() as i32).encode(&mut head);
        for (id, list) in lists {
            id.encode(&mut head);
            list[..].encode(&mut head);
        }
        head
    }
}

impl Frozen {
    /// Marks a number. True if it was not marked and the walk is to show its node.
    fn settle(&mut self, id: u32) -> bool {
        let bit = 1 << (id % 64);
        match self.settled.get_mut(id as usize / 64) {
            Some(word) if *word & bit == 0 => {
                *word |= bit;
                true
            }
            _ => false,
        }
    }
}

/// Calls for each walk that is under way, and forgets the others.
fn for_each(active: &mut Vec<Weak<Mutex<Frozen>>>, mut call: impl FnMut(&mut Frozen)) {
    active.retain(|walk| {
        let Some(frozen) = walk.upgrade() else {
            return false;
        };
        let mut frozen = lock(&frozen);
        if !frozen.is_done {
            call(&mut frozen);
        }
        !frozen.is_done
    });
}

/// A panic of another thread leaves nothing half-done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// After so many bytes a step ends, however few nodes it took.
const STEP_BYTES: usize = 1 << 20;
