//! Which nodes this client watches, to arm them again on another server. (ZooKeeper.ZKWatchManager)

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::proto::codes::WatcherType;
use crate::proto::requests::{SetWatches, SetWatches2};
use crate::proto::{Encode, ErrorCode, EventType, OpCode, Zxid};

/// What a watch waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchKind {
    /// Set by `get`: the node's data.
    Data,
    /// Set by `stat`: the node's data, or its creation if it is not there.
    Exists,
    /// Set by `ls`: the node's children.
    Children,
    /// Set by `addWatch -m PERSISTENT`: all of these, until it is taken back.
    Node,
    /// Set by `addWatch`: the node and all below it, until it is taken back.
    Subtree,
}

/// What a request changes of the watches, once the server has carried it out. Paths are as the server knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchChange {
    /// One more.
    Set(WatchKind, String),
    /// Some less.
    Forget {
        /// Which.
        kind: WatcherType,
        /// Of which node.
        path: String,
        /// Whether also without the server, if the connection is gone.
        local: bool,
    },
}

/// The watches of a session.
#[derive(Debug, Default)]
pub struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
    node: BTreeSet<String>,
    subtree: BTreeSet<String>,
}

impl Watches {
    /// Notes a watch when the answer to its request says that the server has it.
    pub fn register(&mut self, kind: WatchKind, path: &str, outcome: ErrorCode) {
        let set = match (kind, outcome) {
            (WatchKind::Children, ErrorCode::Ok) => &mut self.child,
            (WatchKind::Node, ErrorCode::Ok) => &mut self.node,
            (WatchKind::Subtree, ErrorCode::Ok) => &mut self.subtree,
            (_, ErrorCode::Ok) => &mut self.data,
            (WatchKind::Exists, ErrorCode::NoNode) => &mut self.exist,
            _ => return,
        };
        set.insert(path.to_owned());
    }

    /// Forgets what an event ends. False if nobody waited for it.
    pub fn fire(&mut self, event: EventType, path: &str) -> bool {
        let sets: &mut [&mut BTreeSet<String>] = match event {
            EventType::NodeCreated | EventType::NodeDataChanged => &mut [&mut self.data, &mut self.exist],
            EventType::NodeChildrenChanged => &mut [&mut self.child],
            EventType::NodeDeleted => &mut [&mut self.data, &mut self.exist, &mut self.child],
            _ => return true,
        };
        // Each set is looked at, also behind a hit.
        let hits = sets.iter_mut().map(|set| set.remove(path)).filter(|hit| *hit);
        hits.count() > 0 || self.node.contains(path) || self.is_in_subtree(path)
    }

    /// Forgets watches of a node; gives the events by which Java's client tells of it.
    /// (ZKWatchManager.removeWatcher)
    pub fn forget(&mut self, kind: WatcherType, path: &str) -> Vec<EventType> {
        let any = kind == WatcherType::Any;
        let mut take = |which: WatcherType, set: fn(&mut Watches) -> &mut BTreeSet<String>| {
            (any || kind == which) && set(self).remove(path)
        };
        let children = take(WatcherType::Children, |all| &mut all.child);
        let data = take(WatcherType::Data, |all| &mut all.data);
        let exist = take(WatcherType::Data, |all| &mut all.exist);
        let node = take(WatcherType::Persistent, |all| &mut all.node);
        let subtree = take(WatcherType::PersistentRecursive, |all| &mut all.subtree);
        let told = [
            (children, EventType::ChildWatchRemoved),
            (data || exist, EventType::DataWatchRemoved),
            (node || subtree, EventType::PersistentWatchRemoved),
        ];
        told.into_iter()
            .filter(|(gone, _)| *gone)
            .map(|(_, event)| event)
            .collect()
    }

    /// Forgets all watches that stay, and gives their paths: the server that serves now has none.
    pub fn forget_lasting(&mut self) -> BTreeSet<String> {
        let mut all = std::mem::take(&mut self.node);
        all.append(&mut self.subtree);
        all
    }

    /// The requests that arm everything again, none longer than a server reads. A server of 3.4 is not asked what it
    /// does not know, unless there are watches that stay.
    pub fn requests(&self, last_zxid: Zxid) -> Vec<(OpCode, Vec<u8>)> {
        let all = [&self.data, &self.exist, &self.child, &self.node, &self.subtree];
        let all = all.into_iter().enumerate();
        let all = all.flat_map(|(kind, set)| set.iter().map(move |path| (kind, path.as_str())));
        let mut requests = Vec::new();
        let (mut lists, mut bytes) = (Lists::default(), 0);
        for (kind, path) in all {
            if bytes > 0 && bytes + path.len() > MOST_BYTES {
                requests.push(request(last_zxid, &mut lists));
                bytes = 0;
            }
            bytes += path.len();
            lists[kind].push(Cow::Borrowed(path));
        }
        if bytes > 0 {
            requests.push(request(last_zxid, &mut lists));
        }
        requests
    }

    fn is_in_subtree(&self, path: &str) -> bool {
        std::iter::successors(Some(path), |path| above(path)).any(|path| self.subtree.contains(path))
    }
}

fn above(path: &str) -> Option<&str> {
    let (above, _) = path.rsplit_once('/').filter(|_| path.len() > 1)?;
    Some(if above.is_empty() { "/" } else { above })
}

/// Paths by what is watched: data, existence, children, nodes, subtrees.
type Lists<'a> = [Vec<Cow<'a, str>>; 5];

fn request(relative_zxid: Zxid, lists: &mut Lists<'_>) -> (OpCode, Vec<u8>) {
    let [data, exist, child, persistent, recursive] = std::mem::take(lists);
    let once = SetWatches {
        relative_zxid,
        data,
        exist,
        child,
    };
    if persistent.is_empty() && recursive.is_empty() {
        return (OpCode::SetWatches, once.to_bytes());
    }
    let all = SetWatches2 {
        once,
        persistent,
        recursive,
    };
    (OpCode::SetWatches2, all.to_bytes())
}

/// The kind of watch that a read sets.
pub fn kind_of(op: OpCode) -> WatchKind {
    match op {
        OpCode::GetData => WatchKind::Data,
        OpCode::GetChildren | OpCode::GetChildren2 => WatchKind::Children,
        _ => WatchKind::Exists,
    }
}

/// Paths of so many bytes go into one request. (ClientCnxn.SET_WATCHES_MAX_LENGTH)
const MOST_BYTES: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Decode;

    #[test]
    fn a_watch_is_noted_by_what_the_server_answers_and_ends_with_its_event() {
        let mut watches = Watches::default();
        watches.register(WatchKind::Data, "/d", ErrorCode::Ok);
        watches.register(WatchKind::Data, "/gone", ErrorCode::NoNode);
        watches.register(WatchKind::Exists, "/later", ErrorCode::NoNode);
        watches.register(WatchKind::Exists, "/e", ErrorCode::Ok);
        watches.register(WatchKind::Children, "/d", ErrorCode::Ok);
        let requests = watches.requests(Zxid(7));
        let sent = SetWatches::from_bytes(&requests[0].1).expect("a record");
        assert_eq!(sent.data, ["/d", "/e"]);
        assert_eq!(
            (sent.exist, sent.child),
            (vec!["/later".into()], vec!["/d".into()])
        );
        assert!(!watches.fire(EventType::NodeDataChanged, "/gone"));
        assert!(watches.fire(EventType::NodeCreated, "/later"));
        assert!(watches.fire(EventType::NodeDeleted, "/d"));
        assert!(
            !watches.fire(EventType::NodeChildrenChanged, "/d"),
            "the deletion ended it"
        );
        assert!(watches.fire(EventType::NodeDataChanged, "/e"));
        assert_eq!(watches.requests(Zxid(8)), vec![]);
    }

    #[test]
    fn many_watches_go_in_several_requests() {
        let mut watches = Watches::default();
        for number in 0..100 {
            watches.register(
                WatchKind::Data,
                &format!("/{number:04}{}", "x".repeat(4000)),
                ErrorCode::Ok,
            );
        }
        let requests = watches.requests(Zxid(1));
        assert_eq!(requests.len(), 4);
        let count =
            |(_, bytes): &(OpCode, Vec<u8>)| SetWatches::from_bytes(bytes).expect("a record").data.len();
        assert_eq!(requests.iter().map(count).sum::<usize>(), 100);
    }

    #[test]
    fn watches_that_stay_are_set_again_until_they_are_taken_back() {
        let mut watches = Watches::default();
        watches.register(WatchKind::Node, "/n", ErrorCode::Ok);
        watches.register(WatchKind::Subtree, "/s", ErrorCode::Ok);
        watches.register(WatchKind::Data, "/n", ErrorCode::Ok);
        for (path, told) in [
            ("/s", true),
            ("/s/a/b", true),
            ("/sa", false),
            ("/", false),
            ("/n", true),
            ("/n/a", false),
        ] {
            assert_eq!(watches.fire(EventType::NodeCreated, path), told, "{path}");
            assert_eq!(watches.fire(EventType::NodeCreated, path), told, "{path} again");
        }
        let requests = watches.requests(Zxid(7));
        let [(OpCode::SetWatches2, record)] = &requests[..] else {
            panic!("one request: {requests:?}");
        };
        let sent = SetWatches2::from_bytes(record).expect("a record");
        assert_eq!(
            (sent.persistent, sent.recursive),
            (vec!["/n".into()], vec!["/s".into()])
        );
        assert!(sent.once.data.is_empty(), "it has fired");
        assert_eq!(watches.forget(WatcherType::Data, "/n"), []);
        watches.register(WatchKind::Exists, "/n", ErrorCode::NoNode);
        watches.register(WatchKind::Children, "/n", ErrorCode::Ok);
        let gone = [
            EventType::ChildWatchRemoved,
            EventType::DataWatchRemoved,
            EventType::PersistentWatchRemoved,
        ];
        assert_eq!(watches.forget(WatcherType::Any, "/n"), gone);
        assert_eq!(watches.forget(WatcherType::PersistentRecursive, "/n"), []);
        assert_eq!(watches.forget_lasting(), BTreeSet::from(["/s".to_owned()]));
        assert!(watches.requests(Zxid(9)).is_empty());
    }
}
