//! The digest that is kept is that of the tree as it stands, whatever has changed it.

use super::workload::Workload;
use super::*;

fn last_of(tree: &DataTree) -> Option<(Zxid, i64)> {
    tree.digests().last()
}

#[test]
fn what_is_kept_is_what_the_tree_has() {
    for seed in 1..=6 {
        let mut workload = Workload::new(seed);
        workload.tree.keep_digest();
        (0..1_500).for_each(|_| workload.step());
        // Another that walks the tree only now comes to the same at the next number that both note.
        let mut late = DataTree::new();
        workload.replay(&mut late);
        late.keep_digest();
        assert_eq!(last_of(&late), None);
        while workload.tree.last_zxid().0 % 128 != 0 {
            workload.step();
        }
        workload.replay(&mut late);
        assert!(last_of(&late).is_some(), "seed {seed}");
        assert_eq!(last_of(&late), last_of(&workload.tree), "seed {seed}");
    }
}

#[test]
fn it_is_noted_each_128th_transaction_and_1024_times_at_most() {
    let mut server = Server::new();
    assert_eq!(server.make("/a", b""), ErrorCode::Ok);
    server.tree.keep_digest();
    let set = Txn::Error(-101);
    (0..128 * 1_030).for_each(|_| drop(server.run(0, &set)));
    let digests: Vec<_> = server.tree.digests().collect();
    assert_eq!(digests.len(), 1_024);
    assert!(
        digests
            .iter()
            .all(|(zxid, digest)| zxid.0 % 128 == 0 && *digest == digests[0].1)
    );
    assert_eq!(digests.last().map(|(zxid, _)| zxid.0), Some(128 * 1_030));
}

#[test]
fn each_field_counts_but_lists_and_what_is_below_zookeeper() {
    let digest_after = |path: &str, data: &[u8], acl: Option<Vec<Acl>>| {
        let mut server = Server::new();
        server.tree.keep_digest();
        let path = path.to_owned();
        let create = Txn::Create(CreateTxn {
            path: path.into(),
            data: Some(data),
            acl,
            ephemeral: false,
            parent_cversion: 1,
        });
        server.run(0, &create);
        let none = Txn::Error(-101);
        (0..127).for_each(|_| drop(server.run(0, &none)));
        last_of(&server.tree).expect("one is noted").1
    };
    let open = digest_after("/a", b"x", None);
    assert_ne!(open, digest_after("/b", b"x", None));
    assert_ne!(open, digest_after("/a", b"y", None));
    assert_eq!(open, digest_after("/a", b"x", Some(Vec::new())));
    let below = digest_after("/zookeeper/quota/a", b"x", None);
    assert_eq!(below, digest_after("/zookeeper/quota/b", b"y", None));
}
