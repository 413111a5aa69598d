//! What is in a snapshot, at a glance.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::proto::Zxid;
use crate::tools::cli::safe_name;
use crate::tree::DataTree;

/// The figures of a tree.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    nodes: usize,
    ephemerals: usize,
    data_bytes: u64,
    path_bytes: u64,
    acls: usize,
    /// Number, timeout, and how many ephemerals; those with most first.
    sessions: Vec<(i64, i32, usize)>,
    session_count: usize,
    /// The newest change that shows, and the node.
    newest: (Zxid, String),
    /// Nodes and bytes of data below each, and of itself; the largest first.
    subtrees: Vec<(String, usize, u64)>,
    largest: Vec<(String, u64)>,
    widest: Vec<(String, u64)>,
}

/// Sums a tree up: the `top` largest of each kind, subtrees down to a depth.
pub fn take(tree: &DataTree, top: usize, depth: usize) -> Summary {
    let mut summary = Summary {
        nodes: tree.node_count() - 1,
        ephemerals: tree.ephemerals_count(),
        data_bytes: 0,
        path_bytes: 0,
        acls: tree.acl_count(),
        sessions: Vec::new(),
        session_count: tree.sessions().count(),
        newest: (Zxid(0), "/".to_owned()),
        subtrees: Vec::new(),
        largest: Vec::new(),
        widest: Vec::new(),
    };
    let mut subtrees: BTreeMap<String, (usize, u64)> = BTreeMap::new();
    let mut waiting = vec![String::new()];
    while let Some(path) = waiting.pop() {
        let Some(node) = tree.get(&path) else {
            continue;
        };
        let bytes = node.data().map_or(0, <[u8]>::len) as u64;
        summary.data_bytes += bytes;
        summary.path_bytes += path.len() as u64;
        let stat = node.stat();
        let newest = stat.czxid.max(stat.mzxid).max(stat.pzxid);
        if newest > summary.newest.0 {
            summary.newest = (newest, shown(&path));
        }
        for above in beginnings(&path, depth) {
            let sums = subtrees.entry(above.to_owned()).or_default();
            *sums = (sums.0 + 1, sums.1 + bytes);
        }
        waiting.extend(node.children().map(|name| format!("{path}/{name}")));
        let children = node.child_count() as u64;
        keep(&mut summary.largest, top, (path.clone(), bytes));
        keep(&mut summary.widest, top, (path, children));
    }
    summary.subtrees = subtrees
        .into_iter()
        .map(|(path, (nodes, bytes))| (path, nodes, bytes))
        .collect();
    summary
        .subtrees
        .sort_by_key(|(_, nodes, bytes)| std::cmp::Reverse((*bytes, *nodes)));
    summary.subtrees.truncate(top);
    summary.sessions = tree
        .sessions()
        .map(|(id, ms)| (id.0, ms, tree.ephemerals_of(id).len()))
        .collect();
    summary
        .sessions
        .sort_by_key(|(id, _, count)| (std::cmp::Reverse(*count), *id));
    summary.sessions.truncate(top);
    summary
}

impl Summary {
    /// For people.
    pub fn text(&self, path: &Path) -> String {
        let mut lines = vec![
            format!("Snapshot {}", path.display()),
            format!(
                "nodes:       {} ({} of them ephemeral)",
                self.nodes, self.ephemerals
            ),
            format!(
                "bytes:       {} of data, {} of paths",
                self.data_bytes, self.path_bytes
            ),
            format!("ACLs:        {}", self.acls),
            format!("sessions:    {}", self.session_count),
            format!(
                "last change: zxid {}, at {}",
                self.newest.0,
                safe_name(&self.newest.1)
            ),
        ];
        lines.push("\nsubtrees (nodes, bytes of data):".to_owned());
        let subtrees = self.subtrees.iter();
        lines.extend(
            subtrees.map(|(path, nodes, bytes)| format!("{nodes:>10} {bytes:>12}  {}", safe_name(path))),
        );
        for (title, list) in [
            ("largest nodes (bytes of data)", &self.largest),
            ("longest lists of children", &self.widest),
        ] {
            lines.push(format!("\n{title}:"));
            lines.extend(
                list.iter()
                    .map(|(path, size)| format!("{size:>23}  {}", safe_name(&shown(path)))),
            );
        }
        lines.push("\nsessions (timeout in ms, ephemerals):".to_owned());
        let sessions = self.sessions.iter();
        lines.extend(sessions.map(|(id, ms, count)| format!("{ms:>10} {count:>12}  0x{id:x}")));
        lines.join("\n") + "\n"
    }

    /// For programs.
    pub fn json(&self, path: &Path) -> Value {
        let sized = |list: &[(String, u64)], key: &str| -> Value {
            list.iter()
                .map(|(path, size)| json!({"path": shown(path), key: size}))
                .collect()
        };
        let subtrees = self.subtrees.iter();
        let subtrees =
            subtrees.map(|(path, nodes, bytes)| json!({"path": path, "nodes": nodes, "bytes": bytes}));
        let sessions = self.sessions.iter();
        let sessions = sessions.map(
            |(id, ms, count)| json!({"session": format!("0x{id:x}"), "timeoutMs": ms, "ephemerals": count}),
        );
        json!({
            "snapshot": path.display().to_string(),
            "nodes": self.nodes,
            "ephemerals": self.ephemerals,
            "dataBytes": self.data_bytes,
            "pathBytes": self.path_bytes,
            "acls": self.acls,
            "sessionCount": self.session_count,
            "lastChange": {"zxid": self.newest.0.to_string(), "path": self.newest.1},
            "subtrees": subtrees.collect::<Vec<_>>(),
            "largestNodes": sized(&self.largest, "bytes"),
            "longestLists": sized(&self.widest, "children"),
            "sessions": sessions.collect::<Vec<_>>(),
        })
    }
}

/// The root has an empty path in a tree.
fn shown(path: &str) -> String {
    if path.is_empty() {
        "/".to_owned()
    } else {
        path.to_owned()
    }
}

/// The beginnings of a path that have 1 to `depth` names.
fn beginnings(path: &str, depth: usize) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').map(|(at, _)| at).skip(1);
    let ends = slashes.chain(Some(path.len()).filter(|length| *length > 0));
    ends.take(depth).map(move |end| &path[..end])
}

/// Keeps the largest, equals by path; what is zero is not worth a line.
fn keep(list: &mut Vec<(String, u64)>, most: usize, item: (String, u64)) {
    if item.1 == 0 {
        return;
    }
    let at = list.partition_point(|(path, size)| *size > item.1 || (*size == item.1 && *path < item.0));
    if at < most {
        list.insert(at, item);
        list.truncate(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings_are_cut_at_the_depth() {
        let all = |path, depth| beginnings(path, depth).collect::<Vec<_>>();
        assert_eq!(all("/a/b/c", 2), ["/a", "/a/b"]);
        assert_eq!(all("/a/b/c", 9), ["/a", "/a/b", "/a/b/c"]);
        assert_eq!(all("", 2), Vec::<&str>::new());
    }

    #[test]
    fn only_the_largest_are_kept() {
        let mut list = Vec::new();
        for (path, size) in [("/a", 3), ("/b", 0), ("/c", 9), ("/d", 5), ("/e", 5), ("/f", 1)] {
            keep(&mut list, 3, (path.to_owned(), size));
        }
        let paths: Vec<(&str, u64)> = list.iter().map(|(path, size)| (path.as_str(), *size)).collect();
        assert_eq!(paths, [("/c", 9), ("/d", 5), ("/e", 5)]);
    }

    #[test]
    fn a_fresh_tree_is_summed_up() {
        let summary = take(&DataTree::new(), 5, 1);
        assert_eq!(
            (summary.nodes, summary.data_bytes, summary.path_bytes),
            (3, 0, 10 + 16)
        );
        assert_eq!(summary.subtrees, [("/zookeeper".to_owned(), 2, 0)]);
        assert_eq!(summary.widest, [(String::new(), 1), ("/zookeeper".to_owned(), 1)]);
        let text = summary.text(Path::new("x"));
        assert!(
            text.contains("\nnodes:       3 (0 of them ephemeral)\n"),
            "{text}"
        );
        assert_eq!(summary.json(Path::new("x"))["longestLists"][0]["path"], "/");
    }
}
