//! The snapshot stream: taken at one moment while the tree changes, read back, mended by replays.

use super::workload::Workload;
use super::*;

/// A walk under way, with what it must come to.
struct Expected {
    walk: Walk,
    stream: Vec<u8>,
    dump: TreeDump,
}

fn whole_stream(tree: &DataTree) -> Vec<u8> {
    let (mut walk, mut stream) = (tree.begin_walk(), Vec::new());
    while !walk.walk_some(tree, 7, &mut stream).expect("the same tree") {}
    stream
}

fn read(mut stream: &[u8]) -> DataTree {
    let tree = DataTree::read_from(&mut stream).expect("a tree");
    assert!(stream.is_empty(), "not a byte is left, and none too many is read");
    tree
}

#[test]
fn a_fresh_tree_is_written_as_java_writes_it() {
    let mut expected = vec![0, 0, 0, 0, 0, 0, 0, 0];
    for (path, zeros) in [("", 60), ("/zookeeper", 60), ("/zookeeper/quota", 60)] {
        path.encode(&mut expected);
        expected.extend([0; 4]);
        expected.extend([0xff; 8]);
        expected.extend(vec![0; zeros]);
    }
    "/".encode(&mut expected);
    assert_eq!(whole_stream(&DataTree::new()), expected);
}

#[test]
fn what_is_written_is_what_is_read() {
    for seed in 1..=10 {
        let mut workload = Workload::new(seed);
        (0..300).for_each(|_| workload.step());
        let stream = whole_stream(&workload.tree);
        let tree = read(&stream);
        assert_same(
            &TreeDump::of(&tree),
            &TreeDump::of(&workload.tree),
            &format!("seed {seed}"),
        );
        assert_eq!(tree.acl_count(), workload.tree.acl_count());
        assert_eq!(whole_stream(&tree).len(), stream.len());
        // The users of each list were counted: with the last node goes the last list.
        let mut tree = tree;
        for name in ["/a", "/b", "/x", "/yy", "/z€", "/zookeeper"] {
            let header = workload.log.last().expect("a log").header();
            tree.apply(header, &Txn::Delete(DeleteTxn { path: name.into() }), None);
        }
        assert_eq!(
            (tree.acl_count(), tree.node_count(), tree.ephemerals_count()),
            (0, 2, 0)
        );
        assert_eq!(tree.approximate_data_size(), 1);
    }
}

/// The tree changes between any two steps of a walk: nothing stands still while it is written, as all does in 3.4.14
/// while the access lists are (ZOOKEEPER-3531).
#[test]
fn walks_show_the_tree_as_it_was_when_they_began() {
    for seed in 1..=60 {
        let mut workload = Workload::new(seed);
        let mut walks: Vec<Expected> = Vec::new();
        for _ in 0..400 {
            workload.step();
            if workload.dice.one_in(20) && walks.len() < 4 {
                walks.push(Expected {
                    walk: workload.tree.begin_walk(),
                    stream: Vec::new(),
                    dump: TreeDump::of(&workload.tree),
                });
            }
            let Some(at) = workload
                .dice
                .below(8)
                .checked_sub(4)
                .filter(|at| *at < walks.len())
            else {
                continue;
            };
            let limit = 1 + workload.dice.below(6);
            let Expected { walk, stream, dump } = &mut walks[at];
            if walk
                .walk_some(&workload.tree, limit, stream)
                .expect("the same tree")
            {
                assert_same(&TreeDump::of(&read(stream)), dump, &format!("seed {seed}"));
                assert_eq!(walk.kept(), 0, "what was kept for the walk was freed on the way");
                walks.swap_remove(at);
            } else if workload.dice.one_in(30) {
                // Abandoned, as when a learner's link breaks.
                walks.swap_remove(at);
            }
        }
        for Expected {
            mut walk,
            mut stream,
            dump,
        } in walks
        {
            while !walk
                .walk_some(&workload.tree, 50, &mut stream)
                .expect("the same tree")
            {}
            assert_same(&TreeDump::of(&read(&stream)), &dump, &format!("seed {seed}"));
        }
    }
}

#[test]
fn a_snapshot_and_the_log_behind_it_make_the_same_tree() {
    for seed in 1..=10 {
        let mut workload = Workload::new(seed);
        (0..150).for_each(|_| workload.step());
        let mut walk = workload.tree.begin_walk();
        assert_eq!(walk.zxid(), workload.tree.last_zxid());
        let mut stream = Vec::new();
        while !walk
            .walk_some(&workload.tree, 2, &mut stream)
            .expect("the same tree")
        {
            (0..5).for_each(|_| workload.step());
        }
        let mut tree = read(&stream);
        tree.set_last_zxid(walk.zxid());
        workload.replay(&mut tree);
        assert_same(
            &TreeDump::of(&tree),
            &TreeDump::of(&workload.tree),
            &format!("seed {seed}"),
        );
    }
}

#[test]
fn a_walk_belongs_to_its_tree() {
    let (one, other) = (DataTree::new(), DataTree::new());
    let mut walk = one.begin_walk();
    assert_eq!(walk.walk_some(&other, 9, &mut Vec::new()), Err(TreeReplaced));
    let mut stream = Vec::new();
    assert_eq!(walk.walk_some(&one, 9, &mut stream), Ok(true));
    let len = stream.len();
    assert_eq!(
        (walk.walk_some(&one, 9, &mut stream), stream.len()),
        (Ok(true), len)
    );
}

/// Java's way: the lists of ACLs and sessions first, then each node as it is when its turn comes; between
/// them the tree changes. A node that is gone by then is left out.
fn fuzzy_stream(workload: &mut Workload) -> Vec<u8> {
    let mut stream = Vec::new();
    let tree = &workload.tree;
    (tree.sessions().count() as i32).encode(&mut stream);
    for (session, timeout_ms) in tree.sessions() {
        session.encode(&mut stream);
        timeout_ms.encode(&mut stream);
    }
    let lists = tree.acls.lists();
    (lists.len() as i32).encode(&mut stream);
    for (id, list) in lists {
        id.encode(&mut stream);
        list[..].encode(&mut stream);
    }
    let mut waiting = vec![String::new()];
    while let Some(path) = waiting.pop() {
        let steps = workload.dice.below(6);
        (0..steps).for_each(|_| workload.step());
        let tree = &workload.tree;
        let Some(node) = tree.get(&path) else {
            continue;
        };
        let id = tree.find(&path).expect("just seen");
        path.encode(&mut stream);
        node.data().encode(&mut stream);
        tree.acls.id(tree.nodes[id].acl).encode(&mut stream);
        node.stat().encode(&mut stream);
        waiting.extend(node.children().map(|name| format!("{path}/{name}")));
    }
    "/".encode(&mut stream);
    stream
}

#[test]
fn replay_mends_a_fuzzy_snapshot_in_every_field() {
    for seed in 1..=200 {
        let mut workload = Workload::new(seed);
        workload.sessions_end = false;
        (0..150).for_each(|_| workload.step());
        let zxid = workload.tree.last_zxid();
        let stream = fuzzy_stream(&mut workload);
        let mut tree = read(&stream);
        tree.set_last_zxid(zxid);
        workload.replay(&mut tree);
        assert_same(
            &TreeDump::of(&tree),
            &TreeDump::of(&workload.tree),
            &format!("seed {seed}"),
        );
        assert_eq!(tree.acl_count(), workload.tree.acl_count(), "seed {seed}");
    }
}

/// When a session ends, 3.4.14 does not log which ephemerals end with it. A parent that was written before,
/// and its ephemeral child that was not written any more, leave no trace of the last change of the parent
/// (ZOOKEEPER-3145): its pzxid alone may stay behind.
#[test]
fn replay_mends_all_but_the_pzxid_of_parents_of_ephemerals() {
    for seed in 1..=100 {
        let mut workload = Workload::new(seed);
        (0..150).for_each(|_| workload.step());
        let zxid = workload.tree.last_zxid();
        let stream = fuzzy_stream(&mut workload);
        let mut tree = read(&stream);
        tree.set_last_zxid(zxid);
        workload.replay(&mut tree);
        let (mut mended, live) = (TreeDump::of(&tree), TreeDump::of(&workload.tree));
        for (mended, live) in mended.nodes.iter_mut().zip(&live.nodes) {
            assert!(mended.stat.pzxid <= live.stat.pzxid);
            mended.stat.pzxid = live.stat.pzxid;
        }
        assert_eq!(mended, live, "seed {seed}");
    }
}

#[test]
fn every_cut_of_a_stream_is_an_error() {
    let mut workload = Workload::new(3);
    (0..60).for_each(|_| workload.step());
    let stream = whole_stream(&workload.tree);
    for cut in 0..stream.len() {
        let error = DataTree::read_from(&mut &stream[..cut]).expect_err("a cut stream");
        assert!(
            matches!(error, ReadTreeError::Io { offset, .. } if offset <= cut as u64),
            "{error}"
        );
    }
}

#[test]
fn no_byte_of_a_stream_makes_reading_or_using_the_tree_panic() {
    let mut workload = Workload::new(4);
    (0..40).for_each(|_| workload.step());
    let stream = whole_stream(&workload.tree);
    for at in 0..stream.len() {
        for byte in [0, 1, 0x2f, 0x7f, 0x80, 0xff] {
            let mut wrong = stream.clone();
            wrong[at] = byte;
            if let Ok(mut tree) = DataTree::read_from(&mut &wrong[..]) {
                workload.replay(&mut tree);
                TreeDump::of(&tree);
            }
        }
    }
}

fn head(sessions: i32, lists: i32) -> Vec<u8> {
    [sessions.to_be_bytes(), lists.to_be_bytes()].concat()
}

fn node(path: &str, acl_id: i64, stream: &mut Vec<u8>) {
    path.encode(stream);
    Some(&b"data"[..]).encode(stream);
    acl_id.encode(stream);
    StatPersisted::default().encode(stream);
}

#[test]
fn what_no_server_writes_is_refused_by_name() {
    let refuse = |paths: &[&str], words: &str| {
        let mut stream = head(0, 0);
        paths.iter().for_each(|path| node(path, -1, &mut stream));
        "/".encode(&mut stream);
        let error = DataTree::read_from(&mut &stream[..])
            .expect_err(words)
            .to_string();
        assert!(error.contains(words), "{error}");
    };
    refuse(&[], "no root");
    refuse(&["/a"], "unable to find parent \"\" of path \"/a\"");
    refuse(&["", "/a/b"], "unable to find parent \"/a\" of path \"/a/b\"");
    refuse(&["", "/a", "/a"], "\"/a\" at byte 252 of the tree comes twice");
    refuse(&["", ""], "comes twice");
    refuse(&["", "a"], "not under the root");
    refuse(&["", "/a", "/a/"], "empty name");
    refuse(&["", "//a"], "empty name");
}

#[test]
fn huge_lengths_and_counts_take_no_memory() {
    for huge in [head(i32::MAX, 0), head(0, i32::MAX)] {
        assert!(DataTree::read_from(&mut &huge[..]).is_err());
    }
    let mut stream = head(0, 0);
    i32::MAX.encode(&mut stream);
    assert!(DataTree::read_from(&mut &stream[..]).is_err());
    let mut stream = head(0, 0);
    "".encode(&mut stream);
    i32::MAX.encode(&mut stream);
    assert!(DataTree::read_from(&mut &stream[..]).is_err());
}

#[test]
fn a_node_whose_list_was_lost_is_shut_until_its_transaction_comes() {
    let mut stream = head(0, 0);
    node("", -1, &mut stream);
    node("/a", 77, &mut stream);
    "/".encode(&mut stream);
    let mut tree = read(&stream);
    let acl = |tree: &DataTree| tree.get("/a").expect("a node").acl().to_vec();
    assert_eq!(acl(&tree), [Acl::new(Perms(0), "world", "anyone")]);
    let header = TxnHeader {
        session: SessionId(1),
        cxid: Xid(1),
        zxid: Zxid(0),
        time_ms: 0,
        op: OpCode::Create.number(),
    };
    // Another node of that path, made earlier: its list is not this node's.
    let earlier = TxnHeader {
        zxid: Zxid(-1),
        ..header
    };
    tree.apply(&earlier, &create("/a", b"", false, 1), None);
    assert_eq!(acl(&tree)[0].perms, Perms(0));
    tree.apply(&header, &create("/a", b"", false, 1), None);
    assert_eq!(acl(&tree), Acl::open());
    assert_eq!(tree.acl_count(), 1);
}
