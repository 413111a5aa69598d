//! The room as a whole: transactions in order, twice, and against a model.

mod digests;
mod model;
mod walks;
mod workload;

use super::*;
use crate::proto::multi::MultiResult;
use crate::proto::txn::*;
use crate::proto::*;

/// Compares whole trees and shows the first node that differs, not all of them.
fn assert_same(one: &TreeDump, other: &TreeDump, when: &str) {
    for (one, other) in one.nodes.iter().zip(&other.nodes) {
        assert_eq!(one, other, "{when}");
    }
    assert_eq!(one, other, "{when}");
}

/// Applies transactions with numbers that rise by one.
struct Server {
    tree: DataTree,
    changes: Vec<Guarded>,
}

impl Server {
    fn new() -> Server {
        Server {
            tree: DataTree::new(),
            changes: Vec::new(),
        }
    }

    /// What watches may wait for of the last transaction.
    fn told(&self) -> Vec<Change> {
        self.changes
            .iter()
            .map(|guarded| guarded.change.clone())
            .collect()
    }

    fn header(&self, session: i64, op: OpCode) -> TxnHeader {
        let zxid = self.tree.last_zxid().next();
        TxnHeader {
            session: SessionId(session),
            cxid: Xid(1),
            zxid,
            time_ms: zxid.0 * 10,
            op: op.number(),
        }
    }

    fn run<'a>(&mut self, session: i64, txn: &'a Txn<'a>) -> Applied<'a> {
        self.changes.clear();
        let header = self.header(session, txn.op());
        self.tree.apply(&header, txn, Some(&mut self.changes))
    }

    fn make(&mut self, path: &str, data: &[u8]) -> ErrorCode {
        self.run(0, &create(path, data, false, self.cversion_of_parent(path) + 1))
            .error
    }

    fn make_ephemeral(&mut self, session: i64, path: &str) -> ErrorCode {
        self.run(
            session,
            &create(path, b"", true, self.cversion_of_parent(path) + 1),
        )
        .error
    }

    fn cversion_of_parent(&self, path: &str) -> i32 {
        let parent = path::split(path).and_then(|(parent, _)| self.tree.get(parent));
        parent.map_or(0, |parent| parent.stat().cversion)
    }

    fn delete(&mut self, path: &str) -> ErrorCode {
        self.run(0, &Txn::Delete(DeleteTxn { path: path.into() })).error
    }

    fn set(&mut self, path: &str, data: &[u8], version: i32) -> Option<Stat> {
        self.run(0, &set_data(path, data, version)).stat
    }

    fn text(&self, path: &str) -> String {
        let node = self.tree.get(path).unwrap_or_else(|| panic!("{path} is missing"));
        String::from_utf8_lossy(node.data().unwrap_or(b"(null)")).into_owned()
    }
}

fn create<'a>(path: &'a str, data: &'a [u8], ephemeral: bool, parent_cversion: i32) -> Txn<'a> {
    Txn::Create(CreateTxn {
        path: path.into(),
        data: Some(data),
        acl: Some(Acl::open()),
        ephemeral,
        parent_cversion,
    })
}

fn set_data<'a>(path: &'a str, data: &'a [u8], version: i32) -> Txn<'a> {
    Txn::SetData(SetDataTxn {
        path: path.into(),
        data: Some(data),
        version,
    })
}

fn part(txn: &Txn<'_>) -> SubTxn<'static> {
    SubTxn {
        op: txn.op().number(),
        record: txn.to_bytes().into(),
    }
}

#[test]
fn stats_tell_the_life_of_a_node() {
    let mut server = Server::new();
    server.make("/a", b"xy");
    server.make("/a/b", b"");
    let stat = server.set("/a", b"xyz", 1).expect("a stat");
    let expected = Stat {
        czxid: Zxid(1),
        mzxid: Zxid(3),
        ctime: 10,
        mtime: 30,
        version: 1,
        cversion: 1,
        data_length: 3,
        num_children: 1,
        pzxid: Zxid(2),
        ..Stat::default()
    };
    assert_eq!(stat, expected);
    server.delete("/a/b");
    let stat = server.tree.get("/a").expect("a node").shown_stat();
    assert_eq!((stat.cversion, stat.pzxid, stat.num_children), (2, Zxid(4), 0));
    let acl = Txn::SetAcl(SetAclTxn {
        path: "/a".into(),
        acl: Some(vec![Acl::new(Perms::READ, "ip", "1.2.3.4")]),
        version: 1,
    });
    let stat = server.run(0, &acl).stat.expect("a stat");
    assert_eq!((stat.aversion, stat.version, stat.mzxid), (1, 1, Zxid(3)));
    assert_eq!(server.tree.get("/a").expect("a node").acl()[0].perms, Perms::READ);
    assert_eq!(server.tree.last_zxid(), Zxid(5));
}

#[test]
fn the_root_has_two_names_and_cannot_be_removed() {
    let mut server = Server::new();
    server.make("/a", b"");
    server.set("/", b"root", 1);
    assert_eq!(server.text(""), "root");
    // Both names of the root count its data.
    assert_eq!(server.tree.approximate_data_size(), 27 + 2 + 4 + 4);
    assert_eq!(server.delete("/"), ErrorCode::BadArguments);
    assert_eq!(server.delete(""), ErrorCode::BadArguments);
    assert_eq!(server.make("/", b""), ErrorCode::NodeExists);
    for invalid in ["a", "//a", "/a/", "/b/c/d"] {
        assert_ne!(server.make(invalid, b""), ErrorCode::Ok, "{invalid}");
    }
    assert_eq!(server.tree.node_count(), 5);
}

#[test]
fn ephemerals_end_with_their_session_in_the_order_of_their_paths() {
    let mut server = Server::new();
    server.run(7, &Txn::CreateSession(4000));
    assert_eq!(server.tree.session_timeout_ms(SessionId(7)), Some(4000));
    server.make("/p", b"");
    for path in ["/p/c", "/b", "/p/a"] {
        server.make_ephemeral(7, path);
    }
    server.make_ephemeral(8, "/other");
    assert_eq!(server.tree.ephemerals_count(), 4);
    server.run(7, &Txn::CloseSession);
    let deleted = ["/b", "/p/a", "/p/c"].map(|path| Change::Deleted(path.into()));
    assert_eq!(server.told(), deleted);
    let pzxid = server.tree.get("/p").expect("a node").stat().pzxid;
    assert_eq!(pzxid, server.tree.last_zxid());
    assert_eq!(server.tree.sessions().count(), 0);
    assert_eq!(
        server.tree.sessions_with_ephemerals().collect::<Vec<_>>(),
        [SessionId(8)]
    );
    // As dump of 3.4.14 shows it: the session is still listed when its last ephemeral is deleted.
    server.delete("/other");
    assert_eq!(
        (
            server.tree.sessions_with_ephemerals().len(),
            server.tree.ephemerals_count()
        ),
        (1, 0)
    );
}

#[test]
fn a_multi_is_applied_part_by_part() {
    let mut server = Server::new();
    let check = Txn::Check(CheckVersionTxn {
        path: "/a".into(),
        version: 1,
    });
    let multi = Txn::Multi(vec![
        part(&create("/a", b"", false, 1)),
        part(&check),
        part(&set_data("/a", b"x", 1)),
        part(&Txn::Delete(DeleteTxn { path: "/a".into() })),
    ]);
    let applied = server.run(0, &multi);
    assert_eq!(applied.error, ErrorCode::Ok);
    let [create, check, set, delete] = &applied.multi[..] else {
        panic!("four results: {applied:?}");
    };
    assert!(matches!(create, MultiResult::Create2(path, stat) if path == "/a" && stat.version == 0));
    assert_eq!((check, delete), (&MultiResult::Check, &MultiResult::Delete));
    assert!(matches!(set, MultiResult::SetData(stat) if stat.version == 1 && stat.data_length == 1));
    let path = || "/a".into();
    let changes = [
        Change::Created(path()),
        Change::DataChanged(path()),
        Change::Deleted(path()),
    ];
    assert_eq!(server.told(), changes);
}

#[test]
fn a_multi_with_an_error_changes_nothing() {
    let mut server = Server::new();
    let multi = Txn::Multi(vec![
        part(&create("/a", b"", false, 1)),
        part(&Txn::Error(ErrorCode::NoNode.number())),
        part(&create("/b", b"", false, 1)),
    ]);
    let applied = server.run(0, &multi);
    let errors = [ErrorCode::Ok, ErrorCode::NoNode, ErrorCode::RuntimeInconsistency];
    assert_eq!(applied.multi, errors.map(MultiResult::Error));
    assert_eq!((applied.error, server.tree.node_count()), (ErrorCode::NoNode, 4));
    assert_eq!((server.changes.len(), server.tree.last_zxid()), (0, Zxid(1)));
}

#[test]
fn a_multi_that_cannot_be_read_changes_nothing() {
    let mut server = Server::new();
    let good = part(&create("/a", b"", false, 1));
    for bad in [(2, &b"\0\0"[..]), (7, b""), (14, b"\0\0\0\0"), (99, b"")] {
        let (op, record) = (bad.0, bad.1.into());
        let multi = Txn::Multi(vec![good.clone(), SubTxn { op, record }]);
        assert_eq!(server.run(0, &multi).error, ErrorCode::MarshallingError);
        assert_eq!(server.tree.node_count(), 4);
    }
}

#[test]
fn an_error_takes_a_number_and_changes_nothing_else() {
    let mut server = Server::new();
    assert_eq!(server.run(0, &Txn::Error(-103)).error, ErrorCode::BadVersion);
    assert_eq!(server.run(0, &Txn::Error(-9999)).error, ErrorCode::SystemError);
    assert_eq!((server.tree.last_zxid(), server.changes.len()), (Zxid(2), 0));
}

#[test]
fn counts_of_a_parent_never_go_back_in_a_replay() {
    let mut server = Server::new();
    server.make("/p", b"");
    let mut txns = Vec::new();
    for (name, cversion) in [("/p/a", 1), ("/p/b", 2), ("/p/c", 3)] {
        txns.push((
            server.header(0, OpCode::Create),
            create(name, b"", false, cversion),
        ));
        server.make(name, b"");
    }
    txns.push((
        server.header(0, OpCode::Delete),
        Txn::Delete(DeleteTxn { path: "/p/a".into() }),
    ));
    server.delete("/p/a");
    server.make("/p/d", b"");
    let before = server.tree.get("/p").expect("a node").stat();
    for (header, txn) in &txns {
        server.tree.apply(header, txn, None);
        let stat = server.tree.get("/p").expect("a node").stat();
        assert_eq!((stat.cversion, stat.pzxid), (before.cversion, before.pzxid));
    }
    // The other way round: a parent from before, whose child came and went while the snapshot was written.
    let mut old = Server::new();
    old.make("/p", b"");
    let header = TxnHeader {
        zxid: Zxid(9),
        ..txns[3].0
    };
    assert_eq!(old.tree.apply(&header, &txns[3].1, None).error, ErrorCode::NoNode);
    assert_eq!(old.tree.get("/p").expect("a node").stat().pzxid, Zxid(9));
}

#[test]
fn a_replayed_delete_takes_along_what_came_later() {
    let mut server = Server::new();
    server.make("/p", b"");
    server.make("/p/a", b"");
    server.make("/p/a/b", b"xyz");
    server.make_ephemeral(5, "/p/a/e");
    let (nodes, size) = (server.tree.node_count(), server.tree.approximate_data_size());
    assert_eq!(server.delete("/p/a"), ErrorCode::Ok);
    assert_eq!(server.tree.node_count(), nodes - 3);
    assert_eq!(server.tree.approximate_data_size(), size - 4 - 6 - 6 - 3);
    assert_eq!((server.tree.ephemerals_count(), server.tree.acl_count()), (0, 1));
    assert!(!server.tree.contains("/p/a/b"));
}

#[test]
fn quotas_are_counted_in_place_and_counted_again_when_made() {
    let mut server = Server::new();
    server.make("/a", b"12");
    server.make("/a/b", b"345");
    for path in ["/zookeeper/quota/a", "/zookeeper/quota/a/x"] {
        server.make(path, b"");
    }
    server.make("/zookeeper/quota/a/zookeeper_limits", b"count=2,bytes=6");
    server.make("/zookeeper/quota/a/zookeeper_stats", b"whatever");
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    assert_eq!(server.text(stats), "count=2,bytes=5");
    let size = server.tree.approximate_data_size();
    server.make("/a/c", b"6789012345");
    assert_eq!(server.text(stats), "count=3,bytes=15");
    assert_eq!(server.tree.approximate_data_size(), size + 4 + 10 + 1);
    server.set("/a/b", b"", 1);
    assert_eq!(server.text(stats), "count=3,bytes=12");
    server.delete("/a/c");
    assert_eq!(server.text(stats), "count=2,bytes=2");
    let stat = server.tree.get(stats).expect("a node").stat();
    assert_eq!((stat.version, stat.mzxid), (0, stat.czxid));
    // Without its limit the subtree is not counted any more.
    server.delete("/zookeeper/quota/a/zookeeper_limits");
    server.delete("/a/b");
    assert_eq!(server.text(stats), "count=2,bytes=2");
}

#[test]
fn quota_nodes_with_nonsense_do_no_harm() {
    let mut server = Server::new();
    server.make("/zookeeper/zookeeper_limits", b"");
    server.delete("/zookeeper/zookeeper_limits");
    server.make("/zookeeper/quota/zookeeper_limits", b"count=0,bytes=0");
    server.make("/zookeeper/quota/zookeeper_stats", b"");
    assert_eq!(
        server.text("/zookeeper/quota/zookeeper_stats"),
        "count=5,bytes=15"
    );
    server.make("/zookeeper/quota/a", b"");
    server.make("/zookeeper/quota/a/zookeeper_limits", b"nonsense");
    server.make("/a", b"");
    server.make("/zookeeper/quota/a/zookeeper_stats", b"");
    server.make("/a/b", b"");
    assert_eq!(
        server.text("/zookeeper/quota/a/zookeeper_stats"),
        "count=2,bytes=0"
    );
    server.set("/zookeeper/quota/a/zookeeper_stats", b"nonsense", 1);
    assert_eq!(server.make("/a/c", b"x"), ErrorCode::Ok);
    assert_eq!(server.text("/zookeeper/quota/a/zookeeper_stats"), "nonsense");
}

#[test]
fn a_multi_that_makes_a_node_anew_can_be_replayed() {
    let mut server = Server::new();
    server.make("/p", b"");
    let remade = Txn::Multi(vec![
        part(&Txn::Delete(DeleteTxn { path: "/p".into() })),
        part(&create("/p", b"new", false, 2)),
    ]);
    let mut log = vec![(server.header(0, OpCode::Multi), remade)];
    server.run(0, &log[0].1);
    log.push((server.header(0, OpCode::Create), create("/p/x", b"", false, 1)));
    server.make("/p/x", b"");
    let before = TreeDump::of(&server.tree);
    for (header, txn) in &log {
        server.tree.apply(header, txn, None);
    }
    assert_same(&TreeDump::of(&server.tree), &before, "again");
}

#[test]
fn a_transaction_does_not_touch_a_later_node_of_the_same_path() {
    let mut server = Server::new();
    server.make_ephemeral(7, "/e");
    let set = (server.header(0, OpCode::SetData), set_data("/e", b"old", 1));
    server.run(0, &set.1);
    let close = (server.header(7, OpCode::CloseSession), Txn::CloseSession);
    server.run(7, &close.1);
    server.make_ephemeral(7, "/e");
    server.make("/e/child", b"");
    let before = TreeDump::of(&server.tree);
    let delete = Txn::Delete(DeleteTxn { path: "/e".into() });
    let acl = Txn::SetAcl(SetAclTxn {
        path: "/e".into(),
        acl: None,
        version: 1,
    });
    let child = create("/e/other", b"", false, 9);
    let child_gone = Txn::Delete(DeleteTxn {
        path: "/e/child".into(),
    });
    for (header, txn) in [&set, &close] {
        server.tree.apply(header, txn, None);
    }
    for txn in [&delete, &acl, &child, &child_gone] {
        assert_eq!(server.tree.apply(&set.0, txn, None).error, ErrorCode::NoNode);
    }
    assert_same(&TreeDump::of(&server.tree), &before, "after older transactions");
}
