//! Watches: who waits for which change, and whom a change concerns. (WatchManager, DataTree)
//!
//! A watch fires once. Watches on data and on existence are one kind, watches on children another. They
//! belong to a connection and end with it. They name paths as the client wrote them: a watch on the empty
//! path never fires, although that path names the root.
//!
//! Memory, measured: 50 bytes for each watch when 1,000 connections watch the same 1,000 paths; 156 bytes when
//! a million paths of 25 bytes have one watch each, the path included.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::apply::Change;
use super::data_tree::DataTree;
use super::path::split;
use super::watch_table::WatchTable;
use crate::proto::requests::SetWatches;
use crate::proto::{ConnId, EventType};
use crate::seeded_fault::SeededFault;

/// All watches of a server's clients.
#[derive(Debug)]
pub struct WatchManager {
    data: WatchTable,
    children: WatchTable,
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
            return self.data.add(&format!("late {path}"), watcher);
        }
        self.data.add(path, watcher);
    }

    /// Waits for a child more or less, and for the removal of the node itself.
    pub fn watch_children(&mut self, path: &str, watcher: ConnId) {
        self.children.add(path, watcher);
    }

    /// Forgets a connection.
    pub fn remove(&mut self, watcher: ConnId) {
        self.data.remove(watcher);
        self.children.remove(watcher);
    }

    /// Takes the watches that a change fires, in the order in which events are due: of the node, then of its
    /// parent; the older watch first.
    pub fn trigger(&mut self, change: &Change, fired: &mut Vec<Fired>) {
        match change {
            Change::Created(path) => {
                fire(self.data.take(path), EventType::NodeCreated, fired);
                self.children_changed(path, fired);
            }
            Change::Deleted(path) => {
                let told_from = fired.len();
                fire(self.data.take(path), EventType::NodeDeleted, fired);
                let mut told: Vec<ConnId> = fired[told_from..].iter().map(|event| event.watcher).collect();
                told.sort_unstable();
                let mut of_children = self.children.take(path);
                if let Some((_, watchers)) = &mut of_children {
                    // Who watched both hears of the removal once.
                    watchers.retain(|watcher| told.binary_search(watcher).is_err());
                }
                fire(of_children, EventType::NodeDeleted, fired);
                self.children_changed(path, fired);
            }
            Change::DataChanged(path) => {
                let taken = self.data.take(path).filter(|_| !SeededFault::WatchLost.on());
                fire(taken, EventType::NodeDataChanged, fired);
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
            fired.push(Fired { watcher, kind, path });
        };
        for path in &request.data {
            match tree.get(path).map(|node| node.stat().mzxid) {
                None => tell(EventType::NodeDeleted, path),
                Some(mzxid) if mzxid > since => tell(EventType::NodeDataChanged, path),
                Some(_) => self.data.add(path, watcher),
            }
        }
        for path in &request.exist {
            match tree.contains(path) {
                true => tell(EventType::NodeCreated, path),
                false => self.data.add(path, watcher),
            }
        }
        for path in &request.child {
            match tree.get(path).map(|node| node.stat().pzxid) {
                None => tell(EventType::NodeDeleted, path),
                Some(pzxid) if pzxid > since => tell(EventType::NodeChildrenChanged, path),
                Some(_) => self.children.add(path, watcher),
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
        let late = self.data.take(&format!("late {path}"));
        let watchers = late.into_iter().flat_map(|(_, watchers)| watchers);
        watchers.for_each(|watcher| self.data.add(path, watcher));
    }

    fn children_changed(&mut self, path: &str, fired: &mut Vec<Fired>) {
        let parent = match split(path) {
            Some(("", _)) => "/",
            Some((parent, _)) => parent,
            None => return,
        };
        fire(self.children.take(parent), EventType::NodeChildrenChanged, fired);
    }
}

fn fire(taken: Option<(Arc<str>, Vec<ConnId>)>, kind: EventType, fired: &mut Vec<Fired>) {
    if let Some((path, watchers)) = taken {
        fired.extend(watchers.into_iter().map(|watcher| Fired {
            watcher,
            kind,
            path: path.clone(),
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
        watches.trigger(&change, &mut fired);
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
