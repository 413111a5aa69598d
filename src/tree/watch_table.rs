//! Who watches which path: every watch once, found from its path and from its watcher.
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
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct Watch {
    path: u32,
    watcher: u32,
    of_path: Link,
    of_watcher: Link,
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
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Adds a watch. One that is there already stays one.
    pub(super) fn add(&mut self, path: &str, conn: ConnId) {
        let path = self.path_number(path);
        let watcher = self.watcher_number(conn);
        let hash = self.watch_hash(path, watcher);
        if self.find_watch(hash, path, watcher) {
            return;
        }
        let id = self.watches.insert(Watch {
            path,
            watcher,
            of_path: Link::NONE,
            of_watcher: Link::NONE,
        });
        self.watch_index.insert(hash, id);
        append(&mut self.watches, &mut self.paths[path].watches, id, OF_PATH);
        append(
            &mut self.watches,
            &mut self.watchers[watcher].watches,
            id,
            OF_WATCHER,
        );
    }

    /// Removes all watches of a path. Their owners, in the order in which they came.
    pub(super) fn take(&mut self, path: &str) -> Option<(Arc<str>, Vec<ConnId>)> {
        let hash = self.path_hash(path);
        let number = self.find_path(hash, path)?;
        let mut conns = Vec::new();
        let mut next = self.paths[number].watches.first;
        while next != NIL {
            let id = next;
            next = self.watches[id].of_path.after;
            let watcher = &mut self.watchers[self.watches[id].watcher];
            conns.push(watcher.conn);
            unlink(&mut self.watches, &mut watcher.watches, id, OF_WATCHER);
            self.drop_watch(id);
        }
        self.path_index.remove(hash, number);
        let path = self.paths.remove(number)?.path;
        Some((path, conns))
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
            let list = &mut self.paths[path].watches;
            unlink(&mut self.watches, list, id, OF_PATH);
            if list.first == NIL {
                let hash = self.path_hash(&self.paths[path].path);
                self.path_index.remove(hash, path);
                self.paths.remove(path);
            }
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

    fn drop_watch(&mut self, id: u32) {
        if let Some(watch) = self.watches.remove(id) {
            self.watch_index
                .remove(self.watch_hash(watch.path, watch.watcher), id);
        }
    }

    fn find_path(&self, hash: u32, path: &str) -> Option<u32> {
        self.path_index
            .find(hash, |number| *self.paths[number].path == *path)
    }

    fn find_watch(&self, hash: u32, path: u32, watcher: u32) -> bool {
        let is_it = |id| {
            let watch = &self.watches[id];
            (watch.path, watch.watcher) == (path, watcher)
        };
        self.watch_index.find(hash, is_it).is_some()
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
