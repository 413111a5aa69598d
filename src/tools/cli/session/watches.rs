//! Which nodes this client watches, to arm them again on another server. (ZooKeeper.ZKWatchManager)

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::proto::requests::SetWatches;
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
}

/// The watches of a session.
#[derive(Debug, Default)]
pub struct Watches {
    data: BTreeSet<String>,
    exist: BTreeSet<String>,
    child: BTreeSet<String>,
}

impl Watches {
    /// Notes a watch when the answer to its request says that the server has it.
    pub fn register(&mut self, kind: WatchKind, path: &str, outcome: ErrorCode) {
        let set = match (kind, outcome) {
            (WatchKind::Children, ErrorCode::Ok) => &mut self.child,
            (_, ErrorCode::Ok) => &mut self.data,
            (WatchKind::Exists, ErrorCode::NoNode) => &mut self.exist,
            _ => return,
        };
        set.insert(path.to_owned());
    }

    /// Forgets what an event ends. False if nobody waited for it.
    pub fn fire(&mut self, event: EventType, path: &str) -> bool {
        let sets: &mut [&mut BTreeSet<String>] = match event {
            EventType::None => return true,
            EventType::NodeCreated | EventType::NodeDataChanged => &mut [&mut self.data, &mut self.exist],
            EventType::NodeChildrenChanged => &mut [&mut self.child],
            EventType::NodeDeleted => &mut [&mut self.data, &mut self.exist, &mut self.child],
        };
        // Each set is looked at, also behind a hit.
        sets.iter_mut()
            .map(|set| set.remove(path))
            .filter(|hit| *hit)
            .count()
            > 0
    }

    /// The records of the requests that arm everything again, none longer than a server reads.
    pub fn requests(&self, last_zxid: Zxid) -> Vec<Vec<u8>> {
        let all = [(&self.data, 0), (&self.exist, 1), (&self.child, 2)];
        let all = all
            .into_iter()
            .flat_map(|(set, kind)| set.iter().map(move |path| (kind, path.as_str())));
        let mut requests = Vec::new();
        let (mut lists, mut bytes) = ([vec![], vec![], vec![]], 0);
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
}

fn request<'a>(relative_zxid: Zxid, lists: &mut [Vec<Cow<'a, str>>; 3]) -> Vec<u8> {
    let [data, exist, child] = std::mem::take(lists);
    SetWatches {
        relative_zxid,
        data,
        exist,
        child,
    }
    .to_bytes()
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
        let sent = SetWatches::from_bytes(&requests[0]).expect("a record");
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
        assert_eq!(watches.requests(Zxid(8)), Vec::<Vec<u8>>::new());
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
        let count = |bytes: &Vec<u8>| SetWatches::from_bytes(bytes).expect("a record").data.len();
        assert_eq!(requests.iter().map(count).sum::<usize>(), 100);
    }
}
