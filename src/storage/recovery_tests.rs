use super::super::snapshot::{read_snapshot, write_snapshot};
use super::super::testing::{create, empty, logged, options, read, write, writer};
use super::super::{LogOptions, LogWriter, purge};
use super::*;
use crate::proto::txn::{CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, LoggedTxn, Txn};
use crate::runtime::mem_disk::{Crash, Fault};
use crate::runtime::{MemDisk, OsDisk};
use crate::tree::TreeDump;

fn found(disk: &MemDisk, dirs: &Dirs) -> Recovered {
    recover(disk, dirs, &RecoveryOptions::default()).expect("recovered")
}

fn refused(disk: &MemDisk, dirs: &Dirs) -> StorageError {
    let before = files(disk, dirs);
    let error = recover(disk, dirs, &RecoveryOptions::default()).expect_err("refused");
    assert_eq!(files(disk, dirs), before, "a refusal changes nothing");
    error
}

fn files(disk: &MemDisk, dirs: &Dirs) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let paths = disk.list(&dirs.log).expect("a list").into_iter();
    paths.map(|path| (path.clone(), disk.contents(&path))).collect()
}

/// The tree after these transactions of [`write`].
fn tree(zxids: impl IntoIterator<Item = i64>) -> DataTree {
    let mut tree = DataTree::new();
    for zxid in zxids {
        apply(&mut tree, &create(zxid, b"some data"));
    }
    tree
}

fn apply(tree: &mut DataTree, txn: &LoggedTxn) {
    tree.apply(txn.header(), &txn.txn().expect("a transaction"), None);
}

fn snapshot(disk: &MemDisk, dirs: &Dirs, tree: &DataTree) {
    write_snapshot(Arc::new(disk.clone()), dirs, tree).expect("a snapshot");
}

fn same(found: &DataTree, expected: &DataTree) {
    assert_eq!(TreeDump::of(found), TreeDump::of(expected));
    assert_eq!(found.last_zxid(), expected.last_zxid());
}

#[test]
fn an_empty_directory_is_a_fresh_tree() {
    let (disk, dirs) = empty();
    let found = found(&disk, &dirs);
    same(&found.tree, &DataTree::new());
    assert_eq!((found.last_zxid, found.replayed), (Zxid(0), 0));
}

#[test]
fn epochs_begin_with_1_unless_a_test_has_them_begin_elsewhere() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 0x1_ffff_fff1..=0x1_ffff_fff3);
    write(&disk, &dirs, [0x2_ffff_fff1]);
    write(&disk, &dirs, [0x3_0000_0001]);
    assert!(matches!(refused(&disk, &dirs), StorageError::Gap { .. }));
    let options = RecoveryOptions {
        first_counter: 0xffff_fff1,
        ..RecoveryOptions::default()
    };
    let late = recover(&disk, &dirs, &options).expect("recovered");
    assert_eq!((late.replayed, late.last_zxid), (5, Zxid(0x3_0000_0001)));
}

#[test]
fn logs_alone_are_enough_if_they_tell_the_beginning() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=5);
    write(&disk, &dirs, 6..=9);
    let whole = found(&disk, &dirs);
    same(&whole.tree, &tree(1..=9));
    assert_eq!((whole.last_zxid, whole.replayed), (Zxid(9), 9));
    assert_eq!(whole.committed.min_zxid(), Some(Zxid(1)));
    disk.remove(&dirs.log_file(Zxid(1))).expect("removed");
    let error = refused(&disk, &dirs).to_string();
    assert!(
        error.starts_with("transactions are missing: /data/version-2/log.6 goes on with zxid 0x6"),
        "{error}"
    );
}

#[test]
fn transactions_that_3_4_cannot_read_come_back_from_the_log() {
    let (disk, dirs) = empty();
    let container = |path: &'static str, parent_cversion| {
        Txn::CreateContainer(CreateContainerTxn {
            path: path.into(),
            data: Some(b"of many"),
            acl: None,
            parent_cversion,
        })
    };
    let brief = Txn::CreateTtl(CreateTtlTxn {
        path: "/brief".into(),
        data: None,
        acl: None,
        parent_cversion: 3,
        ttl_ms: 60_000,
    });
    let gone = Txn::DeleteContainer(DeleteTxn {
        path: "/empty".into(),
    });
    let txns = [container("/full", 1), container("/empty", 2), brief, gone];
    let (mut log, mut living) = (writer(&disk, &dirs, 0), DataTree::new());
    for (txn, zxid) in txns.iter().zip(1..) {
        log.append(&logged(zxid, txn)).expect("appended");
        apply(&mut living, &logged(zxid, txn));
    }
    log.commit().expect("committed");
    let recovered = found(&disk, &dirs);
    same(&recovered.tree, &living);
    assert!(recovered.tree.contains("/full") && recovered.tree.contains("/brief"));
    assert!(!recovered.tree.contains("/empty"));
}

#[test]
fn the_newest_valid_snapshot_counts_and_older_ones_stand_in_for_it() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=3);
    snapshot(&disk, &dirs, &tree(1..=3));
    write(&disk, &dirs, 4..=6);
    snapshot(&disk, &dirs, &tree(1..=6));
    write(&disk, &dirs, 7..=8);
    let newest = found(&disk, &dirs);
    assert_eq!(newest.snapshot, Some(dirs.snapshot_file(Zxid(6))));
    assert_eq!((newest.replayed, newest.last_zxid), (2, Zxid(8)));
    same(&newest.tree, &tree(1..=8));

    let path = dirs.snapshot_file(Zxid(6));
    let whole = disk.contents(&path).expect("a snapshot");
    for damaged in [&whole[..whole.len() / 2], &[], &[&whole[..], b"/"].concat()] {
        disk.put(&path, damaged);
        let older = found(&disk, &dirs);
        assert_eq!(older.snapshot, Some(dirs.snapshot_file(Zxid(3))));
        assert_eq!(older.replayed, 5);
        same(&older.tree, &tree(1..=8));
        assert_eq!(disk.contents(&path).as_deref(), Some(damaged), "it is kept");
    }
    disk.remove(&dirs.log_file(Zxid(4))).expect("removed");
    assert!(matches!(
        refused(&disk, &dirs),
        StorageError::Gap {
            after: Zxid(3),
            found: Zxid(7),
            ..
        }
    ));
}

/// ZOOKEEPER-2325: 3.4.14 begins with an empty or partial tree.
#[test]
fn snapshots_of_which_none_is_valid_are_refused_unless_the_logs_tell_all() {
    let (disk, dirs) = empty();
    disk.put(&dirs.snapshot_file(Zxid(0)), b"");
    same(&found(&disk, &dirs).tree, &DataTree::new());
    disk.put(&dirs.snapshot_file(Zxid(5)), b"ZKSN");
    let error = refused(&disk, &dirs).to_string();
    assert!(
        error.contains("no valid snapshot in /data/version-2") && error.contains("snapshot.5"),
        "{error}"
    );
    write(&disk, &dirs, [0x3_0000_0001]);
    assert!(matches!(
        refused(&disk, &dirs),
        StorageError::NoValidSnapshot { .. }
    ));
    disk.remove(&dirs.log_file(Zxid(0x3_0000_0001))).expect("removed");
    write(&disk, &dirs, 1..=6);
    same(&found(&disk, &dirs).tree, &tree(1..=6));
}

/// What the log had when a leader sent its tree instead was given up, and what the tree stands for never came: without
/// it the log would tell of both wrongly. (Found by the simulator: 0x100000004 was decided by nobody.)
#[test]
fn a_tree_from_a_leader_cannot_be_passed_over() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 0x1_0000_0001..=0x1_0000_0002);
    snapshot(&disk, &dirs, &tree(0x1_0000_0001..=0x1_0000_0002));
    write(&disk, &dirs, 0x1_0000_0003..=0x1_0000_0004);
    for sent in [0x2_0000_0000, 0x2_0000_0007] {
        let mut whole = tree(0x1_0000_0001..=0x1_0000_0003);
        whole.set_last_zxid(Zxid(sent));
        snapshot(&disk, &dirs, &whole);
        assert_eq!(found(&disk, &dirs).last_zxid, Zxid(sent));
        let path = dirs.snapshot_file(Zxid(sent));
        let bytes = disk.contents(&path).expect("a snapshot");
        disk.put(&path, &bytes[..bytes.len() - 9]);
        let error = refused(&disk, &dirs);
        assert!(
            matches!(&error, StorageError::SnapshotNeeded { path: named } if *named == path),
            "{error}"
        );
        write(&disk, &dirs, [0x3_0000_0001]);
        assert!(matches!(
            refused(&disk, &dirs),
            StorageError::SnapshotNeeded { .. }
        ));
        disk.remove(&dirs.log_file(Zxid(0x3_0000_0001))).expect("removed");
        disk.remove(&path).expect("removed");
    }
    assert_eq!(found(&disk, &dirs).last_zxid, Zxid(0x1_0000_0004));
}

#[test]
fn a_torn_end_is_cut_off_once_and_the_next_start_sees_nothing_of_it() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=3);
    let path = dirs.log_file(Zxid(1));
    let mut bytes = disk.contents(&path).expect("a log");
    let end = bytes.iter().rposition(|b| *b != 0).expect("an entry");
    bytes[end - 4] ^= 1;
    disk.put(&path, &bytes);
    // Java went on from there, and its next file was torn at once.
    disk.put(&dirs.log_file(Zxid(3)), b"ZKL");
    let mended = found(&disk, &dirs);
    assert_eq!((mended.last_zxid, mended.torn_ends.len()), (Zxid(2), 2));
    disk.crash(Crash::LoseUnsynced);
    assert!(!disk.exists(&dirs.log_file(Zxid(3))));
    let again = found(&disk, &dirs);
    assert_eq!((again.last_zxid, again.torn_ends.len()), (Zxid(2), 0));
    write(&disk, &dirs, [3]);
    assert_eq!(found(&disk, &dirs).last_zxid, Zxid(3));
}

#[test]
fn half_written_snapshots_are_removed() {
    let (disk, dirs) = empty();
    disk.put(&dirs.snapshot.join("tmp.snapshot.7"), b"ZKSN");
    found(&disk, &dirs);
    assert!(!disk.exists(&dirs.snapshot.join("tmp.snapshot.7")));
}

#[test]
fn ephemerals_of_unknown_sessions_go_without_a_transaction() {
    let (disk, dirs) = empty();
    let mut tree = DataTree::new();
    let ephemeral = Txn::Create(CreateTxn {
        path: "/e".into(),
        data: None,
        acl: None,
        ephemeral: true,
        parent_cversion: 1,
    });
    apply(&mut tree, &logged(1, &ephemeral));
    snapshot(&disk, &dirs, &tree);
    let lost = found(&disk, &dirs);
    assert!(!lost.tree.contains("/e"));
    assert_eq!((lost.dead_sessions.len(), lost.last_zxid), (1, Zxid(1)));

    apply(&mut tree, &logged(2, &Txn::CreateSession(30_000)));
    snapshot(&disk, &dirs, &tree);
    let kept = found(&disk, &dirs);
    assert!(kept.tree.contains("/e") && kept.dead_sessions.is_empty());
}

#[test]
fn what_a_fuzzy_snapshot_of_javas_holds_already_may_be_replayed() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=9);
    let mut early = tree(1..=6);
    early.set_last_zxid(Zxid(3));
    snapshot(&disk, &dirs, &early);
    let found = found(&disk, &dirs);
    assert_eq!((found.replayed, found.last_zxid), (6, Zxid(9)));
    same(&found.tree, &tree(1..=9));
}

fn truncated(disk: &MemDisk, dirs: &Dirs, to: i64) -> Result<Recovered, StorageError> {
    truncate(disk, dirs, Zxid(to), &RecoveryOptions::default())
}

/// Three logs of 1 to 9, and snapshots after 3, 5 and 8.
fn history() -> (MemDisk, Dirs) {
    let (disk, dirs) = empty();
    for range in [1..=3, 4..=6, 7..=9] {
        write(&disk, &dirs, range);
    }
    for last in [3, 5, 8] {
        snapshot(&disk, &dirs, &tree(1..=last));
    }
    (disk, dirs)
}

#[test]
fn a_truncation_goes_back_in_logs_and_snapshots() {
    for to in 0..=9 {
        let (disk, dirs) = history();
        let state = truncated(&disk, &dirs, to).expect("truncated");
        same(&state.tree, &tree(1..=to));
        disk.crash(Crash::LoseUnsynced);
        let again = found(&disk, &dirs);
        assert_eq!(again.last_zxid, Zxid(to));
        same(&again.tree, &tree(1..=to));
        for snapshot in dirs.snapshots(&disk).expect("a list") {
            assert!(snapshot.zxid <= Zxid(to));
            read_snapshot(&disk, &snapshot.path).expect("valid");
        }
        write(&disk, &dirs, to + 1..=to + 2);
        assert_eq!(read(&disk, &dirs, 0).0, (1..=to + 2).collect::<Vec<i64>>());
    }
}

#[test]
fn a_truncation_that_nothing_leads_to_changes_nothing() {
    let (disk, dirs) = history();
    disk.remove(&dirs.log_file(Zxid(1))).expect("removed");
    disk.remove(&dirs.snapshot_file(Zxid(3))).expect("removed");
    for to in [2, 4, 10, 0x1_0000_0001] {
        let before = files(&disk, &dirs);
        let error = truncated(&disk, &dirs, to).expect_err("nothing leads there");
        assert_eq!(files(&disk, &dirs), before, "{error}");
    }
    truncated(&disk, &dirs, 5).expect("a snapshot leads there");
}

#[test]
fn a_crash_in_a_truncation_leaves_one_history() {
    let (disk, dirs) = history();
    let begin = disk.operations();
    truncated(&disk, &dirs, 4).expect("truncated");
    let count = disk.operations() - begin;
    assert!(count >= 8, "{count} operations");
    for operation in 1..=count {
        for crash in [Crash::LoseUnsynced, Crash::KeepAll, Crash::Mixed(operation)] {
            let (disk, dirs) = history();
            disk.fault_at(disk.operations() + operation, Fault::PowerOff);
            truncated(&disk, &dirs, 4).expect_err("the power went");
            disk.crash(crash);
            let left = found(&disk, &dirs);
            assert!((4..=9).contains(&left.last_zxid.0));
            same(&left.tree, &tree(1..=left.last_zxid.0));
            truncated(&disk, &dirs, 4).expect("truncated");
            same(&found(&disk, &dirs).tree, &tree(1..=4));
        }
    }
}

#[test]
fn a_whole_tree_from_a_leader_replaces_what_goes_beyond_it() {
    let (disk, dirs) = history();
    // The leader's history branched off long ago: what is here above 5 never happened, nor did all below.
    let mut sent = DataTree::new();
    apply(&mut sent, &create(2, b"other data"));
    sent.set_last_zxid(Zxid(5));
    snapshot(&disk, &dirs, &sent);
    discard_after(&disk, &dirs, Zxid(5)).expect("discarded");
    disk.crash(Crash::LoseUnsynced);
    let state = found(&disk, &dirs);
    same(&state.tree, &sent);
    write(&disk, &dirs, 6..=7);
    let state = found(&disk, &dirs);
    assert_eq!((state.last_zxid, state.replayed), (Zxid(7), 2));
}

#[test]
fn the_real_disk_does_the_same() {
    let temporary = tempfile::tempdir().expect("a directory");
    let (log_dir, data_dir) = (temporary.path().join("log"), temporary.path().join("a/data"));
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let dirs = Dirs::open(&*disk, &log_dir, &data_dir).expect("directories");
    let mut log = LogWriter::open(disk.clone(), dirs.clone(), Zxid(0), options()).expect("a writer");
    for zxid in 1..=40 {
        log.append(&create(zxid, b"some data")).expect("appended");
        log.commit().expect("committed");
        if zxid % 10 == 0 {
            log.roll().expect("rolled");
            write_snapshot(disk.clone(), &dirs, &tree(1..=zxid)).expect("a snapshot");
        }
    }
    log.append(&create(41, b"some data")).expect("appended");
    log.commit().expect("committed");
    let path = dirs.log_file(Zxid(41));
    let mut bytes = std::fs::read(&path).expect("a log");
    bytes[50] ^= 1;
    std::fs::write(&path, bytes).expect("damaged");

    let recover = || recover(&OsDisk, &dirs, &RecoveryOptions::default()).expect("recovered");
    let found = recover();
    same(&found.tree, &tree(1..=40));
    assert_eq!(
        (found.snapshot, found.torn_ends.len()),
        (Some(dirs.snapshot_file(Zxid(40))), 1)
    );
    assert_eq!(std::fs::metadata(&path).expect("a log").len(), 16);
    truncate(&OsDisk, &dirs, Zxid(35), &RecoveryOptions::default()).expect("truncated");
    same(&recover().tree, &tree(1..=35));
    let removed = purge(&OsDisk, &dirs, 3).expect("purged");
    assert_eq!(removed, [] as [PathBuf; 0], "three snapshots are left");
    same(&recover().tree, &tree(1..=35));
}

/// A killed process leaves what its machine holds in memory only. Who starts on it says that he has it.
#[test]
fn what_was_loaded_outlives_a_later_loss_of_power() {
    let (disk, dirs) = empty();
    let unsafe_options = LogOptions {
        force_sync: false,
        ..options()
    };
    for zxids in [1..=3, 4..=5] {
        let after = Zxid(zxids.start() - 1);
        let log = LogWriter::open(Arc::new(disk.clone()), dirs.clone(), after, unsafe_options);
        let mut log = log.expect("a writer");
        for zxid in zxids {
            log.append(&create(zxid, b"some data")).expect("appended");
        }
        log.commit().expect("written");
    }
    disk.kill();
    let before = found(&disk, &dirs);
    assert_eq!(before.last_zxid, Zxid(5));
    disk.crash(Crash::LoseUnsynced);
    same(&found(&disk, &dirs).tree, &before.tree);
}
