//! Watches: who waits for which change, and whom a change concerns. (WatchManager, DataTree)
//!
//! A watch fires once, but for those of 3.6 that stay until they are taken back. Watches on data and on existence are one kind, watches on children another. They
//! belong to a connection and end with it. They name paths as the client wrote them: a watch on the empty
//! path never fires, although that path names the root.
//!
//! Memory, measured: 50 bytes for each watch when 1,000 connections watch the same 1,000 paths; 156 bytes when
//! a million paths of 25 bytes have one watch each, the path included.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::apply::{Change, Guarded};
use super::data_tree::DataTree;
use super::path::split;
use super::watch_table::{Kinds, WatchTable, WatchersOf};
use crate::proto::codes::WatcherType;
use crate::proto::requests::SetWatches;
use crate::proto::{Acl, ConnId, EventType};
use crate::seeded_fault::SeededFault;

/// All watches of a server's clients.
#[derive(Debug)]
pub struct WatchManager {
    data: WatchTable,
    children: WatchTable,
}

/// What a watch that stays is about. (AddWatchMode)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// The node and its children: all that watches which fire once could tell.
    Node,
    /// The node and everything below, each node by itself.
    Subtree,
}

/// An event for one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fired {
    /// Whom to tell.
    pub watcher: ConnId,
    /// What happened.
    pub kind: EventType,
    /// To which node; all watchers of a node share the text.
    pub path: Arc<str>,
    /// Who may hear of it, if not everybody who watches: 3.4.14 asks no list for watches that fire once.
    pub readers: Option<Arc<[Acl]>>,
}

/// The figures of `wchs`. They are about watches on data and existence only, as in 3.4.14.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchFigures {
    /// Connections that have, or have had, such a watch.
    pub connections: usize,
    /// Paths that are watched.
    pub paths: usize,
    /// Watches.
    pub watches: usize,
}

impl Default for WatchManager {
    fn default() -> WatchManager {
        WatchManager::new()
    }
}

impl WatchManager {
    /// No watches.
    pub fn new() -> WatchManager {
        WatchManager {
            data: WatchTable::new(),
            children: WatchTable::new(),
        }
    }

    /// Waits for the creation, removal or new data of a node.
    pub fn watch_data(&mut self, path: &str, watcher: ConnId) {
        if SeededFault::WatchSetAfterRead.on() {
            // No client can name such a path.
            return self.data.add(&format!("late {path}"), watcher, Kinds::ONCE);
        }
        self.data.add(path, watcher, Kinds::ONCE);
    }

    /// Waits for a child more or less, and for the removal of the node itself.
    pub fn watch_children(&mut self, path: &str, watcher: ConnId) {
        self.children.add(path, watcher, Kinds::ONCE);
    }

    /// Sets a watch that stays. (DataTree.addWatch of 3.6)
    pub fn watch_lastingly(&mut self, path: &str, lasting: Lasting, watcher: ConnId) {
        match lasting {
            Lasting::Node => {
                self.data.add(path, watcher, Kinds::NODE);
                self.children.add(path, watcher, Kinds::NODE);
            }
            // Who hears of each node of a subtree needs no word of its parent.
            Lasting::Subtree => self.data.add(path, watcher, Kinds::SUBTREE),
        }
    }

    /// Whether a connection has such a watch. (DataTree.containsWatcher of 3.9)
    pub fn has(&self, path: &str, kind: WatcherType, watcher: ConnId) -> bool {
        let [data, children] = kinds_of(kind);
        let in_data = data.is_some_and(|kinds| self.data.has(path, watcher, kinds));
        in_data || children.is_some_and(|kinds| self.children.has(path, watcher, kinds))
    }

    /// Takes such watches of a connection back; gives whether there were any. (DataTree.removeWatch of 3.9)
    pub fn forget(&mut self, path: &str, kind: WatcherType, watcher: ConnId) -> bool {
        let [data, children] = kinds_of(kind);
        let in_data = data.is_some_and(|kinds| self.data.forget(path, watcher, kinds));
        let in_children = children.is_some_and(|kinds| self.children.forget(path, watcher, kinds));
        in_data || in_children
    }

    /// Forgets a connection.
    pub fn remove(&mut self, watcher: ConnId) {
        self.data.remove(watcher);
        self.children.remove(watcher);
    }

    /// Takes the watches that a change fires, in the order in which events are due: of the node, then of its
    /// parent; the older watch first.
    pub fn trigger(&mut self, guarded: &Guarded, fired: &mut Vec<Fired>) {
        let Guarded {
            change,
            acl,
            parent_acl,
        } = guarded;
        match change {
            Change::Created(path) => {
                self.data_changed(path, EventType::NodeCreated, acl, fired);
                self.children_changed(path, parent_acl, fired);
            }
            Change::Deleted(path) => {
                let told_from = fired.len();
                self.data_changed(path, EventType::NodeDeleted, acl, fired);
                let of_children = self.children.fire(path);
                let of_children = of_children.map(|(path, watchers)| {
                    let told = &mut fired[told_from..];
                    (path, without_told(watchers, told))
                });
                fire(of_children, EventType::NodeDeleted, acl, fired);
                self.children_changed(path, parent_acl, fired);
            }
            Change::DataChanged(path) => {
                self.data_changed(path, EventType::NodeDataChanged, acl, fired);
                if SeededFault::WatchLost.on() {
                    fired.clear();
                }
                if SeededFault::WatchSetAfterRead.on() {
                    self.set_what_is_late(path);
                }
            }
        }
    }

    /// What a client that comes from another server has missed; the rest of its watches is set again.
    /// (DataTree.setWatches)
    pub fn set_watches(
        &mut self,
        tree: &DataTree,
        watcher: ConnId,
        request: &SetWatches<'_>,
        fired: &mut Vec<Fired>,
    ) {
        let since = request.relative_zxid;
        let mut tell = |kind, path: &str| {
            let path = path.into();
            fired.push(Fired {
                watcher,
                kind,
                path,
                readers: None,
            });
        };
        for path in &request.data {
            match tree.get(path).map(|node| node.stat().mzxid) {
                None => tell(EventType::NodeDeleted, path),
                Some(mzxid) if mzxid > since => tell(EventType::NodeDataChanged, path),
                Some(_) => self.data.add(path, watcher, Kinds::ONCE),
            }
        }
        for path in &request.exist {
            match tree.contains(path) {
                true => tell(EventType::NodeCreated, path),
                false => self.data.add(path, watcher, Kinds::ONCE),
            }
        }
        for path in &request.child {
            match tree.get(path).map(|node| node.stat().pzxid) {
                None => tell(EventType::NodeDeleted, path),
                Some(pzxid) if pzxid > since => tell(EventType::NodeChildrenChanged, path),
                Some(_) => self.children.add(path, watcher, Kinds::ONCE),
            }
        }
    }

    /// How many watches there are, of both kinds: `zk_watch_count`.
    pub fn count(&self) -> usize {
        self.data.len() + self.children.len()
    }

    /// The figures of `wchs`.
    pub fn figures(&self) -> WatchFigures {
        WatchFigures {
            connections: self.data.watcher_count(),
            paths: self.data.path_count(),
            watches: self.data.len(),
        }
    }

    /// What `wchc` shows: connections and the paths they watch, both sorted. A connection whose watches have
    /// all fired has an empty list.
    pub fn by_connection(&self) -> Vec<(ConnId, Vec<Arc<str>>)> {
        self.data.by_connection()
    }

    /// What `wchp` shows: paths and the connections that watch them, both sorted.
    pub fn by_path(&self) -> Vec<(Arc<str>, Vec<ConnId>)> {
        let mut paths: BTreeMap<Arc<str>, Vec<ConnId>> = BTreeMap::new();
        for (conn, watched) in self.data.by_connection() {
            for path in watched {
                paths.entry(path).or_default().push(conn);
            }
        }
        paths.into_iter().collect()
    }

    /// See [`SeededFault::WatchSetAfterRead`].
    fn set_what_is_late(&mut self, path: &str) {
        let late = self.data.fire(&format!("late {path}"));
        let watchers = late.into_iter().flat_map(|(_, watchers)| watchers);
        watchers.for_each(|(watcher, _)| self.data.add(path, watcher, Kinds::ONCE));
    }

    /// Tells those who watch the node, then those who watch a subtree that it is in.
    fn data_changed(&mut self, path: &Arc<str>, kind: EventType, acl: &Arc<[Acl]>, fired: &mut Vec<Fired>) {
        let told_from = fired.len();
        fire(self.data.fire(path), kind, acl, fired);
        if !self.data.has_subtrees() {
            return;
        }
        let mut told = sorted(&fired[told_from..]);
        for above in ancestors(path) {
            for watcher in self.data.of_subtree(above) {
                if let Err(place) = told.binary_search(&watcher) {
                    told.insert(place, watcher);
                    fired.push(Fired {
                        watcher,
                        kind,
                        path: Arc::clone(path),
                        readers: Some(Arc::clone(acl)),
                    });
                }
            }
        }
    }

    fn children_changed(&mut self, path: &str, parent_acl: &Arc<[Acl]>, fired: &mut Vec<Fired>) {
        let parent = match split(path) {
            Some(("", _)) => "/",
            Some((parent, _)) => parent,
            None => return,
        };
        let watchers = self.children.fire(parent);
        fire(watchers, EventType::NodeChildrenChanged, parent_acl, fired);
    }
}

/// In which table which kinds of watches are meant: of data, of children.
fn kinds_of(kind: WatcherType) -> [Option<Kinds>; 2] {
    match kind {
        WatcherType::Data => [Some(Kinds::ONCE), None],
        WatcherType::Children => [None, Some(Kinds::ONCE)],
        WatcherType::Persistent => [Some(Kinds::NODE), Some(Kinds::NODE)],
        WatcherType::PersistentRecursive => [Some(Kinds::SUBTREE), None],
        WatcherType::Any => [Some(Kinds::ALL), Some(Kinds::ALL)],
    }
}

/// The nodes above one, the nearest first, the root last.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(parent_of(path), |above| parent_of(above))
}

fn parent_of(path: &str) -> Option<&str> {
    match path.rfind('/')? {
        0 if path.len() > 1 => Some("/"),
        0 => None,
        slash => Some(&path[..slash]),
    }
}

fn sorted(told: &[Fired]) -> Vec<ConnId> {
    let mut told: Vec<ConnId> = told.iter().map(|event| event.watcher).collect();
    told.sort_unstable();
    told
}

/// Who watches a node and its children hears of its removal once; without being asked if either watch was to fire once.
fn without_told(watchers: Vec<(ConnId, bool)>, told: &mut [Fired]) -> Vec<(ConnId, bool)> {
    let mut places: Vec<(ConnId, usize)> = told.iter().map(|event| event.watcher).zip(0..).collect();
    places.sort_unstable();
    let is_new = |&(watcher, once): &(ConnId, bool)| {
        let found = places.binary_search_by_key(&watcher, |(told, _)| *told);
        if let (Ok(found), true) = (found, once) {
            told[places[found].1].readers = None;
        }
        found.is_err()
    };
    watchers.into_iter().filter(is_new).collect()
}

fn fire(taken: Option<WatchersOf>, kind: EventType, acl: &Arc<[Acl]>, fired: &mut Vec<Fired>) {
    if let Some((path, watchers)) = taken {
        fired.extend(watchers.into_iter().map(|(watcher, once)| Fired {
            watcher,
            kind,
            path: path.clone(),
            readers: (!once).then(|| Arc::clone(acl)),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::txn::{CreateTxn, Txn, TxnHeader};
    use crate::proto::{OpCode, SessionId, Xid, Zxid};

    const A: ConnId = ConnId(1);
    const B: ConnId = ConnId(2);

    fn trigger(watches: &mut WatchManager, change: Change) -> Vec<(u64, EventType, String)> {
        let mut fired = Vec::new();
        let acl: Arc<[Acl]> = Acl::open().into();
        let (acl, parent_acl) = (Arc::clone(&acl), acl);
        let guarded = Guarded {
            change,
            acl,
            parent_acl,
        };
        watches.trigger(&guarded, &mut fired);
        tuples(&fired)
    }

    fn tuples(fired: &[Fired]) -> Vec<(u64, EventType, String)> {
        let tuple = |event: &Fired| (event.watcher.0, event.kind, event.path.to_string());
        fired.iter().map(tuple).collect()
    }

    fn event(watcher: ConnId, kind: EventType, path: &str) -> (u64, EventType, String) {
        (watcher.0, kind, path.to_owned())
    }

    #[test]
    fn watches_that_stay_ask_the_list_of_the_node_they_tell_of() {
        let (acl, parent_acl): (Arc<[Acl]>, Arc<[Acl]>) = (Acl::open().into(), Acl::open().into());
        let mut watches = WatchManager::new();
        let mut asked = |set: &dyn Fn(&mut WatchManager), change: Change| {
            set(&mut watches);
            let (acl, parent_acl) = (Arc::clone(&acl), Arc::clone(&parent_acl));
            let (mut fired, of_node) = (Vec::new(), Arc::clone(&acl));
            let guarded = Guarded {
                change,
                acl,
                parent_acl,
            };
            watches.trigger(&guarded, &mut fired);
            watches.remove(A);
            let list = |event: &Fired| match &event.readers {
                None => "none",
                Some(list) if Arc::ptr_eq(list, &of_node) => "node",
                Some(_) => "parent",
            };
            fired.iter().map(list).collect::<Vec<_>>()
        };
        let deleted = || Change::Deleted("/a/b".into());
        let node = |path: &'static str| {
            move |watches: &mut WatchManager| watches.watch_lastingly(path, Lasting::Node, A)
        };
        assert_eq!(asked(&node("/a/b"), deleted()), ["node"]);
        assert_eq!(asked(&node("/a"), deleted()), ["parent"]);
        let subtree = |watches: &mut WatchManager| watches.watch_lastingly("/", Lasting::Subtree, A);
        assert_eq!(asked(&subtree, deleted()), ["node"]);
        // A watch that was to fire once is owed its event, whatever else is there.
        let both = |watches: &mut WatchManager| {
            watches.watch_lastingly("/a/b", Lasting::Node, A);
            watches.watch_children("/a/b", A);
        };
        assert_eq!(asked(&both, deleted()), ["none"]);
    }

    #[test]
    fn a_creation_tells_the_node_then_its_parent_and_each_once() {
        let mut watches = WatchManager::new();
        watches.watch_data("/a/b", B);
        watches.watch_data("/a/b", B);
        watches.watch_data("/a/b", A);
        watches.watch_children("/a", A);
        watches.watch_data("/a", A);
        assert_eq!(watches.count(), 4);
        let created = Change::Created("/a/b".into());
        let expected = [
            event(B, EventType::NodeCreated, "/a/b"),
            event(A, EventType::NodeCreated, "/a/b"),
            event(A, EventType::NodeChildrenChanged, "/a"),
        ];
        assert_eq!(trigger(&mut watches, created.clone()), expected);
        assert_eq!(trigger(&mut watches, created), []);
        assert_eq!(watches.count(), 1);
    }

    #[test]
    fn a_removal_is_told_once_to_who_watched_both() {
        let mut watches = WatchManager::new();
        watches.watch_data("/a", A);
        watches.watch_children("/a", A);
        watches.watch_children("/a", B);
        watches.watch_children("/", B);
        let expected = [
            event(A, EventType::NodeDeleted, "/a"),
            event(B, EventType::NodeDeleted, "/a"),
            event(B, EventType::NodeChildrenChanged, "/"),
        ];
        assert_eq!(trigger(&mut watches, Change::Deleted("/a".into())), expected);
        assert_eq!(watches.count(), 0);
    }

    #[test]
    fn new_data_concerns_data_watches_only() {
        let mut watches = WatchManager::new();
        watches.watch_data("/a", A);
        watches.watch_children("/a", B);
        watches.watch_children("/", B);
        watches.watch_data("", A);
        let expected = [event(A, EventType::NodeDataChanged, "/a")];
        assert_eq!(trigger(&mut watches, Change::DataChanged("/a".into())), expected);
        assert_eq!(trigger(&mut watches, Change::DataChanged("/".into())), []);
        assert_eq!(watches.count(), 3);
    }

    #[test]
    fn a_connection_takes_its_watches_along() {
        let mut watches = WatchManager::new();
        for path in ["/a", "/b", "/c"] {
            watches.watch_data(path, A);
            watches.watch_data(path, B);
        }
        watches.watch_children("/a", A);
        watches.remove(A);
        let figures = |connections, paths, watches| WatchFigures {
            connections,
            paths,
            watches,
        };
        assert_eq!(watches.figures(), figures(1, 3, 3));
        let paths: Vec<Arc<str>> = ["/a", "/b", "/c"].map(Arc::from).into();
        assert_eq!(watches.by_connection(), [(B, paths)]);
        trigger(&mut watches, Change::Deleted("/b".into()));
        let by_path = [("/a".into(), vec![B]), ("/c".into(), vec![B])];
        assert_eq!(watches.by_path(), by_path);
        // 3.4.14 still counts a connection whose watches have all fired.
        trigger(&mut watches, Change::Deleted("/a".into()));
        trigger(&mut watches, Change::Deleted("/c".into()));
        assert_eq!(watches.figures(), figures(1, 0, 0));
        watches.remove(B);
        assert_eq!(watches.figures(), figures(0, 0, 0));
    }

    #[test]
    fn a_lasting_watch_on_a_node_tells_all_that_happens_to_it_and_its_children() {
        let mut watches = WatchManager::new();
        watches.watch_lastingly("/a", Lasting::Node, A);
        watches.watch_data("/a", A);
        watches.watch_children("/a", A);
        for _ in 0..2 {
            let told = trigger(&mut watches, Change::DataChanged("/a".into()));
            assert_eq!(told, [event(A, EventType::NodeDataChanged, "/a")]);
            let told = trigger(&mut watches, Change::Created("/a/b".into()));
            assert_eq!(told, [event(A, EventType::NodeChildrenChanged, "/a")]);
            let told = trigger(&mut watches, Change::Deleted("/a".into()));
            assert_eq!(told, [event(A, EventType::NodeDeleted, "/a")]);
        }
        assert_eq!(watches.count(), 2);
        watches.remove(A);
        assert_eq!(watches.count(), 0);
    }

    #[test]
    fn a_watch_on_a_subtree_tells_of_each_node_in_it_once() {
        let mut watches = WatchManager::new();
        watches.watch_lastingly("/a", Lasting::Subtree, A);
        watches.watch_lastingly("/", Lasting::Subtree, A);
        watches.watch_lastingly("/", Lasting::Subtree, B);
        watches.watch_data("/a/b", B);
        for _ in 0..2 {
            let mut told = trigger(&mut watches, Change::Created("/a/b".into()));
            told.sort_by_key(|event| event.0);
            let created = |watcher| event(watcher, EventType::NodeCreated, "/a/b");
            assert_eq!(told, [created(A), created(B)]);
        }
        let told = trigger(&mut watches, Change::Deleted("/ab".into()));
        assert_eq!(told.len(), 2);
        watches.remove(A);
        assert!(watches.forget("/", WatcherType::PersistentRecursive, B));
        assert_eq!(trigger(&mut watches, Change::Created("/a/b".into())), []);
        assert_eq!(watches.count(), 0);
    }

    #[test]
    fn watches_are_found_and_taken_back_by_kind() {
        use WatcherType::*;
        let mut watches = WatchManager::new();
        watches.watch_data("/a", A);
        watches.watch_lastingly("/a", Lasting::Node, A);
        watches.watch_lastingly("/a", Lasting::Subtree, A);
        let has = |watches: &WatchManager| {
            WatcherType::ALL
                .iter()
                .copied()
                .filter(|&kind| watches.has("/a", kind, A))
                .collect::<Vec<_>>()
        };
        assert_eq!(has(&watches), [Data, Any, Persistent, PersistentRecursive]);
        assert!(!watches.has("/a", Any, B) && !watches.has("/b", Any, A));
        assert!(!watches.forget("/a", Children, A));
        assert!(watches.forget("/a", Persistent, A));
        assert!(!watches.forget("/a", Persistent, A));
        assert_eq!(has(&watches), [Data, Any, PersistentRecursive]);
        watches.watch_children("/a", A);
        assert!(watches.forget("/a", Any, A));
        assert_eq!((has(&watches), watches.count()), (vec![], 0));
        assert!(!watches.data.has_subtrees());
    }

    #[test]
    fn set_watches_tells_what_was_missed_and_sets_the_rest() {
        let mut tree = DataTree::new();
        for (zxid, path) in [(5, "/old"), (6, "/new"), (7, "/old/child")] {
            let header = TxnHeader {
                session: SessionId(1),
                cxid: Xid(1),
                zxid: Zxid(zxid),
                time_ms: 0,
                op: OpCode::Create.number(),
            };
            let txn = Txn::Create(CreateTxn {
                path: path.into(),
                data: None,
                acl: None,
                ephemeral: false,
                parent_cversion: 1,
            });
            tree.apply(&header, &txn, None);
        }
        let request = SetWatches {
            relative_zxid: Zxid(5),
            data: vec!["/gone".into(), "/new".into(), "/old".into()],
            exist: vec!["/old".into(), "/gone".into()],
            child: vec![
                "/gone".into(),
                "/old".into(),
                "/old/child".into(),
                "/zookeeper".into(),
            ],
        };
        let (mut watches, mut fired) = (WatchManager::new(), Vec::new());
        watches.set_watches(&tree, A, &request, &mut fired);
        let expected = [
            event(A, EventType::NodeDeleted, "/gone"),
            event(A, EventType::NodeDataChanged, "/new"),
            event(A, EventType::NodeCreated, "/old"),
            event(A, EventType::NodeDeleted, "/gone"),
            event(A, EventType::NodeChildrenChanged, "/old"),
            event(A, EventType::NodeChildrenChanged, "/old/child"),
        ];
        assert_eq!(tuples(&fired), expected);
        let paths: Vec<Arc<str>> = ["/gone", "/old"].map(Arc::from).into();
        assert_eq!((watches.by_connection(), watches.count()), (vec![(A, paths)], 3));
    }
}
