//! All that a tree holds, in order, to be compared: two servers at the same zxid must be equal in it.

use std::sync::Arc;

use super::data_tree::DataTree;
use crate::proto::{Acl, SessionId, StatPersisted};

/// A tree as plain lists. Equal trees have equal dumps, however they came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeDump {
    /// The nodes, by path; the root's is empty.
    pub nodes: Vec<NodeDump>,
    /// The sessions and their timeouts in milliseconds, by number.
    pub sessions: Vec<(SessionId, i32)>,
    /// The sessions that own ephemerals, by number, and the paths, sorted.
    pub ephemerals: Vec<(SessionId, Vec<String>)>,
    /// The counters of `mntr`: nodes, and the size of paths and data.
    pub counts: (usize, u64),
}

/// A node of a [`TreeDump`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDump {
    /// Its whole path.
    pub path: String,
    /// Its data.
    pub data: Option<Vec<u8>>,
    /// Its access control list.
    pub acl: Arc<[Acl]>,
    /// Its stat.
    pub stat: StatPersisted,
    /// The names of its children, sorted.
    pub children: Vec<String>,
}

impl TreeDump {
    /// Takes down a whole tree. Costs memory: meant for tests and tools.
    pub fn of(tree: &DataTree) -> TreeDump {
        let mut nodes = Vec::new();
        let mut waiting = vec![String::new()];
        while let Some(path) = waiting.pop() {
            let Some(node) = tree.get(&path) else {
                continue;
            };
            let mut children: Vec<String> = node.children().map(str::to_owned).collect();
            children.sort_unstable();
            waiting.extend(children.iter().map(|name| format!("{path}/{name}")));
            nodes.push(NodeDump {
                path,
                data: node.data().map(<[u8]>::to_vec),
                acl: node.acl().clone(),
                stat: node.stat(),
                children,
            });
        }
        nodes.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let owned = |session| (session, tree.ephemerals_of(session));
        let ephemerals = tree.sessions_with_ephemerals().map(owned);
        TreeDump {
            nodes,
            sessions: tree.sessions().collect(),
            ephemerals: ephemerals.filter(|(_, paths)| !paths.is_empty()).collect(),
            counts: (tree.node_count(), tree.approximate_data_size()),
        }
    }
}
