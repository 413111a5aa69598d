//! How large the subtrees are: a walk over the tree in small steps, so that nobody waits for it.

use crate::auth::Auth;
use crate::proto::Perms;
use crate::tree::DataTree;

/// How large one subtree was when the walk passed it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Subtree {
    /// Its root: at most two names deep.
    pub path: String,
    /// Nodes, the root included.
    pub nodes: u64,
    /// Bytes of paths and data.
    pub bytes: u64,
}

/// The result of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// When it ended, wall milliseconds.
    pub wall_ms: i64,
    /// The largest subtrees by bytes, the largest first.
    pub subtrees: Vec<Subtree>,
    /// How many nodes were seen.
    pub seen: u64,
    /// Whether that is less than all.
    pub is_partial: bool,
}

/// A walk under way.
#[derive(Debug, Default)]
pub(super) struct Surveyor {
    /// Paths to be looked at, and whose sums they belong to.
    pending: Vec<(String, Owners)>,
    sums: Vec<Subtree>,
    seen: u64,
    is_partial: bool,
    under_way: bool,
}

/// The subtrees that a node belongs to, by their place in `sums`.
#[derive(Debug, Clone, Copy, Default)]
struct Owners {
    upper: Option<usize>,
    lower: Option<usize>,
    /// Whether something above it is not for everybody to list.
    is_hidden: bool,
}

impl Surveyor {
    /// Begins at the root, if no walk is under way.
    pub fn begin(&mut self) {
        if !self.under_way {
            *self = Surveyor {
                pending: vec![("/".to_owned(), Owners::default())],
                under_way: true,
                ..Surveyor::default()
            };
        }
    }

    /// Whether there is something left to do.
    pub fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Looks at some nodes. Gives the result when the walk is over.
    pub fn step(&mut self, tree: &DataTree, auth: &Auth, wall_ms: i64) -> Option<Survey> {
        for _ in 0..NODES_A_STEP {
            let Some((path, owners)) = self.pending.pop() else {
                return Some(self.end(wall_ms));
            };
            if self.seen >= MOST_NODES {
                self.is_partial = true;
                return Some(self.end(wall_ms));
            }
            self.look_at(tree, auth, &path, owners);
        }
        None
    }

    fn look_at(&mut self, tree: &DataTree, auth: &Auth, path: &str, mut owners: Owners) {
        // It may have gone since its parent was looked at.
        let Some(node) = tree.get(path) else {
            return;
        };
        self.seen += 1;
        let depth = if path == "/" { 0 } else { path.matches('/').count() };
        let bytes = (path.len() + node.data().map_or(0, <[u8]>::len)) as u64;
        // A name is told if everybody may list what it stands in; what lies below counts all the same.
        match depth {
            1 if !owners.is_hidden => owners.upper = self.new_sum(path),
            2 if !owners.is_hidden => owners.lower = self.new_sum(path),
            _ => {}
        }
        owners.is_hidden |= !auth.allows(node.acl(), Perms::READ, &[]);
        for owner in [owners.upper, owners.lower].into_iter().flatten() {
            if let Some(sum) = self.sums.get_mut(owner) {
                sum.nodes += 1;
                sum.bytes += bytes;
            }
        }
        let parent = if path == "/" { "" } else { path };
        let room = MOST_CHILDREN.min(MOST_PENDING.saturating_sub(self.pending.len()));
        self.is_partial |= node.child_count() > room;
        let children = node.children().take(room);
        self.pending
            .extend(children.map(|name| (format!("{parent}/{name}"), owners)));
    }

    fn new_sum(&mut self, path: &str) -> Option<usize> {
        if self.sums.len() >= MOST_SUMS {
            self.is_partial = true;
            return None;
        }
        self.sums.push(Subtree {
            path: path.to_owned(),
            ..Subtree::default()
        });
        Some(self.sums.len() - 1)
    }

    fn end(&mut self, wall_ms: i64) -> Survey {
        self.under_way = false;
        self.pending = Vec::new();
        let mut subtrees = std::mem::take(&mut self.sums);
        subtrees.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
        subtrees.truncate(MOST_SHOWN);
        Survey {
            wall_ms,
            subtrees,
            seen: self.seen,
            is_partial: self.is_partial,
        }
    }
}

/// So many nodes under one lock of the tree.
const NODES_A_STEP: usize = 256;
/// A walk ends after so many nodes.
const MOST_NODES: u64 = 1_000_000;
/// Of a node with more children, so many are looked at.
const MOST_CHILDREN: usize = 10_000;
const MOST_PENDING: usize = 100_000;
const MOST_SUMS: usize = 20_000;
const MOST_SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::txn::{CreateTxn, Txn, TxnHeader};
    use crate::proto::{Acl, Id, OpCode, SessionId, Xid};

    fn tree(nodes: &[(&str, &[u8], bool)]) -> DataTree {
        let mut tree = DataTree::new();
        for (path, data, open) in nodes {
            let id = |scheme: &str, id: &str| Id {
                scheme: scheme.to_owned(),
                id: id.to_owned(),
            };
            let owner = if *open {
                id("world", "anyone")
            } else {
                id("digest", "bob:x")
            };
            let txn = Txn::Create(CreateTxn {
                path: (*path).into(),
                data: Some(data),
                acl: Some(vec![Acl {
                    perms: Perms::ALL,
                    id: owner,
                }]),
                ephemeral: false,
                parent_cversion: 1,
            });
            let header = TxnHeader {
                session: SessionId(0),
                cxid: Xid(1),
                zxid: tree.last_zxid().next(),
                time_ms: 0,
                op: OpCode::Create.number(),
            };
            tree.apply(&header, &txn, None);
        }
        tree
    }

    fn survey(tree: &DataTree) -> Survey {
        let (mut surveyor, auth) = (Surveyor::default(), Auth::default());
        surveyor.begin();
        loop {
            if let Some(survey) = surveyor.step(tree, &auth, 7) {
                return survey;
            }
        }
    }

    #[test]
    fn subtrees_are_summed_and_names_are_told_where_everybody_may_list_them() {
        let tree = tree(&[
            ("/a", b"12345", true),
            ("/a/b", b"1234567890", true),
            ("/a/b/c", b"x", true),
            ("/s", b"", false),
            ("/s/secret", &[0; 100], true),
        ]);
        let survey = survey(&tree);
        let sums = survey
            .subtrees
            .iter()
            .filter(|sum| !sum.path.starts_with("/zookeeper"));
        let shown: Vec<_> = sums
            .map(|sum| (sum.path.as_str(), sum.nodes, sum.bytes))
            .collect();
        assert_eq!(
            shown,
            [("/s", 2, 2 + 9 + 100), ("/a", 3, 7 + 14 + 7), ("/a/b", 2, 14 + 7)]
        );
        assert!(shown.iter().all(|(path, ..)| !path.contains("secret")));
        assert_eq!((survey.wall_ms, survey.is_partial), (7, false));
        assert_eq!(survey.seen, 8);
    }
}
