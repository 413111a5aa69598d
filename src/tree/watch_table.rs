//! Who watches which path: every watch once, found from its path and from its watcher. One watch can be of
//! several kinds at once, so that a change is told once.
//!
//! A watch is a member of two doubly linked lists, that of its path and that of its watcher, so that adding,
//! firing and a connection's end cost what they touch and nothing more.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;

use super::index::{ShardedIndex, fold};
use super::slab::Slab;
use crate::proto::ConnId;

/// Pairs of a path and a connection.
#[derive(Debug)]
pub(super) struct WatchTable {
    watches: Slab<Watch>,
    paths: Slab<WatchedPath>,
    watchers: Slab<Watcher>,
    watch_index: ShardedIndex,
    path_index: ShardedIndex,
    // A connection stays here without watches until it ends, as `wchs` of 3.4.14 counts it.
    by_conn: BTreeMap<ConnId, u32>,
    /// How many watches are on subtrees.
    subtrees: usize,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Watch {
    path: u32,
    watcher: u32,
    kinds: Kinds,
    of_path: Link,
    of_watcher: Link,
}

/// The kinds that a watch is of. (WatchStats of 3.9)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kinds(u8);

impl Kinds {
    /// Fires once.
    pub(super) const ONCE: Kinds = Kinds(1);
    /// Stays, and is about the path alone.
    pub(super) const NODE: Kinds = Kinds(2);
    /// Stays, and is about everything below the path too.
    pub(super) const SUBTREE: Kinds = Kinds(4);
    /// Any of them.
    pub(super) const ALL: Kinds = Kinds(7);

    fn intersects(self, other: Kinds) -> bool {
        self.0 & other.0 != 0
    }

    fn with(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    fn without(self, other: Kinds) -> Kinds {
        Kinds(self.0 & !other.0)
    }

    fn is_none(self) -> bool {
        self.0 == 0
    }
}

#[derive(Debug)]
struct WatchedPath {
    path: Arc<str>,
    watches: List,
}

#[derive(Debug)]
struct Watcher {
    conn: ConnId,
    watches: List,
}

/// A watch's neighbours in a list.
#[derive(Debug, Clone, Copy)]
struct Link {
    before: u32,
    after: u32,
}

#[derive(Debug, Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

/// A path, and who watched it: whether theirs was to fire once.
pub(super) type WatchersOf = (Arc<str>, Vec<(ConnId, bool)>);

/// Which of a watch's two lists.
type Which = fn(&mut Watch) -> &mut Link;

impl WatchTable {
    pub(super) fn new() -> WatchTable {
        WatchTable {
            watches: Slab::new(),
            paths: Slab::new(),
            watchers: Slab::new(),
            watch_index: ShardedIndex::new(),
            path_index: ShardedIndex::new(),
            by_conn: BTreeMap::new(),
            subtrees: 0,
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Adds a watch. One that is there already stays one.
    pub(super) fn add(&mut self, path: &str, conn: ConnId, kind: Kinds) {
        let path = self.path_number(path);
        let watcher = self.watcher_number(conn);
        let hash = self.watch_hash(path, watcher);
        if let Some(id) = self.find_watch(hash, path, watcher) {
            let kinds = self.watches[id].kinds;
            self.set_kinds(id, kinds.with(kind));
            return;
        }
        let id = self.watches.insert(Watch {
            path,
            watcher,
            kinds: Kinds(0),
            of_path: Link::NONE,
            of_watcher: Link::NONE,
        });
        self.set_kinds(id, kind);
        self.watch_index.insert(hash, id);
        append(&mut self.watches, &mut self.paths[path].watches, id, OF_PATH);
        append(
            &mut self.watches,
            &mut self.watchers[watcher].watches,
            id,
            OF_WATCHER,
        );
    }

    /// Fires the watches of a path: those that fire once are removed. Their owners, in the order in which they
    /// came, and whether theirs was to fire once.
    pub(super) fn fire(&mut self, path: &str) -> Option<WatchersOf> {
        let hash = self.path_hash(path);
        let number = self.find_path(hash, path)?;
        let mut conns = Vec::new();
        let mut next = self.paths[number].watches.first;
        while next != NIL {
            let id = next;
            next = self.watches[id].of_path.after;
            let (conn, kinds) = (
                self.watchers[self.watches[id].watcher].conn,
                self.watches[id].kinds,
            );
            conns.push((conn, kinds.intersects(Kinds::ONCE)));
            let kinds = kinds.without(Kinds::ONCE);
            if kinds.is_none() {
                self.unlink_from_watcher(id);
                unlink(&mut self.watches, &mut self.paths[number].watches, id, OF_PATH);
                self.drop_watch(id);
            } else {
                self.set_kinds(id, kinds);
            }
        }
        let path = Arc::clone(&self.paths[number].path);
        self.drop_path_if_unwatched(number);
        Some((path, conns))
    }

    /// Who watches the whole subtree that begins at a path.
    pub(super) fn of_subtree(&self, path: &str) -> impl Iterator<Item = ConnId> + '_ {
        let number = self.find_path(self.path_hash(path), path);
        let first = number.map_or(NIL, |number| self.paths[number].watches.first);
        let after = |id: u32| self.watches[id].of_path.after;
        let some = |id: u32| (id != NIL).then_some(id);
        std::iter::successors(some(first), move |&id| some(after(id)))
            .map(|id| &self.watches[id])
            .filter(|watch| watch.kinds.intersects(Kinds::SUBTREE))
            .map(|watch| self.watchers[watch.watcher].conn)
    }

    /// Whether anybody watches a subtree.
    pub(super) fn has_subtrees(&self) -> bool {
        self.subtrees > 0
    }

    /// Whether a connection watches a path in one of these ways.
    pub(super) fn has(&self, path: &str, conn: ConnId, kinds: Kinds) -> bool {
        let found = self.find_by_name(path, conn);
        found.is_some_and(|id| self.watches[id].kinds.intersects(kinds))
    }

    /// Forgets these kinds of a watch; gives whether there was one of them.
    pub(super) fn forget(&mut self, path: &str, conn: ConnId, kinds: Kinds) -> bool {
        let found = self.find_by_name(path, conn);
        let Some(id) = found.filter(|&id| self.watches[id].kinds.intersects(kinds)) else {
            return false;
        };
        let left = self.watches[id].kinds.without(kinds);
        if left.is_none() {
            let path = self.watches[id].path;
            self.unlink_from_watcher(id);
            unlink(&mut self.watches, &mut self.paths[path].watches, id, OF_PATH);
            self.drop_watch(id);
            self.drop_path_if_unwatched(path);
        } else {
            self.set_kinds(id, left);
        }
        true
    }

    /// Forgets a connection and its watches.
    pub(super) fn remove(&mut self, conn: ConnId) {
        let Some(number) = self.by_conn.remove(&conn) else {
            return;
        };
        let mut next = self.watchers[number].watches.first;
        while next != NIL {
            let id = next;
            next = self.watches[id].of_watcher.after;
            let path = self.watches[id].path;
            unlink(&mut self.watches, &mut self.paths[path].watches, id, OF_PATH);
            self.drop_path_if_unwatched(path);
            self.drop_watch(id);
        }
        self.watchers.remove(number);
    }

    /// How many watches there are.
    pub(super) fn len(&self) -> usize {
        self.watches.len()
    }

    /// How many paths are watched.
    pub(super) fn path_count(&self) -> usize {
        self.paths.len()
    }

    /// How many connections have watches, or have had some.
    pub(super) fn watcher_count(&self) -> usize {
        self.watchers.len()
    }

    /// Each connection with the paths it watches, sorted.
    pub(super) fn by_connection(&self) -> Vec<(ConnId, Vec<Arc<str>>)> {
        let path = |id: u32| self.paths[self.watches[id].path].path.clone();
        let after = |id: u32| self.watches[id].of_watcher.after;
        let paths = |&number: &u32| {
            let ids = members(self.watchers[number].watches, after);
            let mut paths: Vec<Arc<str>> = ids.map(path).collect();
            paths.sort_unstable();
            paths
        };
        let all = self.by_conn.iter();
        all.map(|(&conn, number)| (conn, paths(number))).collect()
    }

    fn path_number(&mut self, path: &str) -> u32 {
        let hash = self.path_hash(path);
        self.find_path(hash, path).unwrap_or_else(|| {
            let number = self.paths.insert(WatchedPath {
                path: path.into(),
                watches: List::EMPTY,
            });
            self.path_index.insert(hash, number);
            number
        })
    }

    fn watcher_number(&mut self, conn: ConnId) -> u32 {
        *self.by_conn.entry(conn).or_insert_with(|| {
            self.watchers.insert(Watcher {
                conn,
                watches: List::EMPTY,
            })
        })
    }

    fn set_kinds(&mut self, id: u32, kinds: Kinds) {
        let watch = &mut self.watches[id];
        self.subtrees += usize::from(kinds.intersects(Kinds::SUBTREE));
        self.subtrees -= usize::from(watch.kinds.intersects(Kinds::SUBTREE));
        watch.kinds = kinds;
    }

    fn unlink_from_watcher(&mut self, id: u32) {
        let watcher = self.watches[id].watcher;
        unlink(
            &mut self.watches,
            &mut self.watchers[watcher].watches,
            id,
            OF_WATCHER,
        );
    }

    fn drop_path_if_unwatched(&mut self, number: u32) {
        if self.paths[number].watches.first == NIL {
            let hash = self.path_hash(&self.paths[number].path);
            self.path_index.remove(hash, number);
            self.paths.remove(number);
        }
    }

    fn drop_watch(&mut self, id: u32) {
        self.set_kinds(id, Kinds(0));
        if let Some(watch) = self.watches.remove(id) {
            self.watch_index
                .remove(self.watch_hash(watch.path, watch.watcher), id);
        }
    }

    fn find_path(&self, hash: u32, path: &str) -> Option<u32> {
        self.path_index
            .find(hash, |number| *self.paths[number].path == *path)
    }

    fn find_by_name(&self, path: &str, conn: ConnId) -> Option<u32> {
        let path = self.find_path(self.path_hash(path), path)?;
        let watcher = *self.by_conn.get(&conn)?;
        self.find_watch(self.watch_hash(path, watcher), path, watcher)
    }

    fn find_watch(&self, hash: u32, path: u32, watcher: u32) -> Option<u32> {
        let is_it = |id| {
            let watch = &self.watches[id];
            (watch.path, watch.watcher) == (path, watcher)
        };
        self.watch_index.find(hash, is_it)
    }

    fn path_hash(&self, path: &str) -> u32 {
        fold(self.hasher.hash_one(path))
    }

    fn watch_hash(&self, path: u32, watcher: u32) -> u32 {
        fold(self.hasher.hash_one((path, watcher)))
    }
}

impl Link {
    const NONE: Link = Link {
        before: NIL,
        after: NIL,
    };
}

impl List {
    const EMPTY: List = List {
        first: NIL,
        last: NIL,
    };
}

fn append(watches: &mut Slab<Watch>, list: &mut List, id: u32, which: Which) {
    which(&mut watches[id]).before = list.last;
    match list.last {
        NIL => list.first = id,
        last => which(&mut watches[last]).after = id,
    }
    list.last = id;
}

fn unlink(watches: &mut Slab<Watch>, list: &mut List, id: u32, which: Which) {
    let Link { before, after } = *which(&mut watches[id]);
    match before {
        NIL => list.first = after,
        before => which(&mut watches[before]).after = after,
    }
    match after {
        NIL => list.last = before,
        after => which(&mut watches[after]).before = before,
    }
}

fn members(list: List, after: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    let some = |id: u32| (id != NIL).then_some(id);
    std::iter::successors(some(list.first), move |&id| some(after(id)))
}

const OF_PATH: Which = |watch| &mut watch.of_path;
const OF_WATCHER: Which = |watch| &mut watch.of_watcher;

/// No watch: the end of a list.
const NIL: u32 = u32::MAX;
