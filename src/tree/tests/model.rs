//! The tree beside a naive one: a map from paths to all that a node has.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::workload::Workload;
use super::*;
use crate::proto::txn::LoggedTxn;

/// What 3.4.14 says the tree is, without any cleverness.
#[derive(Default)]
struct Model {
    nodes: BTreeMap<String, NodeDump>,
    sessions: BTreeMap<SessionId, i32>,
}

impl Model {
    fn new() -> Model {
        let mut model = Model::default();
        for path in ["", "/zookeeper", "/zookeeper/quota"] {
            let node = NodeDump {
                path: path.to_owned(),
                data: Some(vec![]),
                acl: Acl::open().into(),
                stat: StatPersisted::default(),
                children: vec![],
            };
            model.nodes.insert(path.to_owned(), node);
        }
        model
    }

    fn apply(&mut self, logged: &LoggedTxn) {
        let header = logged.header();
        match logged.txn().expect("made here") {
            Txn::CreateSession(timeout_ms) => {
                self.sessions.insert(header.session, timeout_ms);
            }
            Txn::CloseSession => {
                self.sessions.remove(&header.session);
                let mut owned: Vec<String> = self.owned_by(header.session);
                owned.drain(..).for_each(|path| self.delete(&path, header.zxid));
            }
            Txn::Multi(parts) if parts.iter().all(|part| part.op != -1) => {
                for part in &parts {
                    let txn = Txn::decode(part.op, &mut Reader::new(&part.record)).expect("made here");
                    self.apply_one(header, &txn);
                }
            }
            txn => self.apply_one(header, &txn),
        }
        self.recount();
    }

    fn apply_one(&mut self, header: &TxnHeader, txn: &Txn<'_>) {
        let list = |acl: &Option<Vec<Acl>>| -> Arc<[Acl]> { acl.clone().unwrap_or_else(Acl::open).into() };
        match txn {
            Txn::Create(txn) => {
                let parent = self.node(path::split(&txn.path).expect("a path").0);
                parent.stat.cversion = txn.parent_cversion;
                parent.stat.pzxid = header.zxid;
                let stat = StatPersisted {
                    czxid: header.zxid,
                    mzxid: header.zxid,
                    pzxid: header.zxid,
                    ctime: header.time_ms,
                    mtime: header.time_ms,
                    ephemeral_owner: if txn.ephemeral { header.session.0 } else { 0 },
                    ..StatPersisted::default()
                };
                let node = NodeDump {
                    path: txn.path.to_string(),
                    data: txn.data.map(<[u8]>::to_vec),
                    acl: list(&txn.acl),
                    stat,
                    children: vec![],
                };
                assert!(self.nodes.insert(txn.path.to_string(), node).is_none());
            }
            Txn::Delete(txn) => self.delete(&txn.path, header.zxid),
            Txn::SetData(txn) => {
                let node = self.node(&txn.path);
                node.data = txn.data.map(<[u8]>::to_vec);
                node.stat.mzxid = header.zxid;
                node.stat.mtime = header.time_ms;
                node.stat.version = txn.version;
            }
            Txn::SetAcl(txn) => {
                let node = self.node(&txn.path);
                node.acl = list(&txn.acl);
                node.stat.aversion = txn.version;
            }
            _ => {}
        }
    }

    fn delete(&mut self, path: &str, zxid: Zxid) {
        self.nodes.remove(path).expect("checked before");
        self.node(path::split(path).expect("a path").0).stat.pzxid = zxid;
    }

    fn node(&mut self, path: &str) -> &mut NodeDump {
        self.nodes.get_mut(path).expect("checked before")
    }

    fn owned_by(&self, session: SessionId) -> Vec<String> {
        let owned = self
            .nodes
            .iter()
            .filter(|(_, node)| node.stat.ephemeral_owner == session.0);
        owned.map(|(path, _)| path.clone()).collect()
    }

    /// The quota of `/a`, counted anew.
    fn recount(&mut self) {
        let limited = |path: &&String| path.starts_with("/a/") || *path == "/a";
        let inside = self.nodes.iter().filter(|(path, _)| limited(path));
        let bytes: usize = inside
            .clone()
            .filter_map(|(_, node)| node.data.as_ref().map(Vec::len))
            .sum();
        let text = format!("count={},bytes={bytes}", inside.count());
        if let Some(stats) = self.nodes.get_mut("/zookeeper/quota/a/zookeeper_stats") {
            stats.data = Some(text.into_bytes());
        }
    }

    fn dump(&self) -> TreeDump {
        let mut nodes: Vec<NodeDump> = self.nodes.values().cloned().collect();
        for node in &mut nodes {
            let children = self.nodes.keys().filter_map(|path| path::split(path));
            let own = children.filter(|(parent, _)| *parent == node.path);
            node.children = own.map(|(_, name)| name.to_owned()).collect();
            node.children.sort_unstable();
        }
        let size =
            |node: &NodeDump| node.path.encode_utf16().count() + node.data.as_ref().map_or(0, Vec::len);
        let root_again = 1 + nodes[0].data.as_ref().map_or(0, Vec::len);
        let bytes = nodes.iter().map(size).sum::<usize>() + root_again;
        let mut owners: Vec<i64> = nodes.iter().map(|node| node.stat.ephemeral_owner).collect();
        owners.retain(|&owner| owner != 0);
        owners.sort_unstable();
        owners.dedup();
        let owned = |owner| (SessionId(owner), self.owned_by(SessionId(owner)));
        TreeDump {
            counts: (nodes.len() + 1, bytes as u64),
            nodes,
            sessions: self
                .sessions
                .iter()
                .map(|(&session, &timeout_ms)| (session, timeout_ms))
                .collect(),
            ephemerals: owners.into_iter().map(owned).collect(),
        }
    }
}

#[test]
fn random_transactions_make_the_tree_that_a_naive_one_makes() {
    for seed in 1..=20 {
        let mut workload = Workload::new(seed);
        let mut model = Model::new();
        let mut seen = 0;
        for _ in 0..400 {
            workload.step();
            workload.log[seen..].iter().for_each(|logged| model.apply(logged));
            seen = workload.log.len();
            if workload.dice.one_in(10) {
                assert_same(
                    &TreeDump::of(&workload.tree),
                    &model.dump(),
                    &format!("seed {seed} at {seen}"),
                );
            }
        }
        assert_same(
            &TreeDump::of(&workload.tree),
            &model.dump(),
            &format!("seed {seed}"),
        );
        assert!(
            model.nodes.len() > 12,
            "seed {seed} made few nodes: {}",
            model.nodes.len()
        );
    }
}

#[test]
fn replaying_the_whole_log_again_changes_nothing() {
    for seed in 1..=20 {
        let mut workload = Workload::new(seed);
        (0..200).for_each(|_| workload.step());
        let mut tree = DataTree::new();
        workload.replay(&mut tree);
        assert_same(
            &TreeDump::of(&tree),
            &TreeDump::of(&workload.tree),
            &format!("seed {seed}"),
        );
        // As if a snapshot held everything and its name said it held nothing.
        tree.set_last_zxid(Zxid(0));
        workload.replay(&mut tree);
        assert_same(
            &TreeDump::of(&tree),
            &TreeDump::of(&workload.tree),
            &format!("seed {seed}, twice"),
        );
    }
}
