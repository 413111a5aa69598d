//! What a Java 3.4.14 server left on its disk (tests/data/java-3.4.14, with the program that captured it).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::testing::empty;
use super::{Dirs, LogOptions, LogReader, LogWriter, Recovered, RecoveryOptions, recover, verify_snapshot};
use crate::proto::Zxid;
use crate::runtime::{Disk, MemDisk};
use crate::tree::TreeDump;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/java-3.4.14")
        .join(name)
}

fn captured() -> (MemDisk, Dirs) {
    let (disk, dirs) = empty();
    for entry in std::fs::read_dir(fixture("data")).expect("the fixture") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        disk.put(&dirs.log.join(name), &std::fs::read(&path).expect("a file"));
    }
    (disk, dirs)
}

fn found(disk: &MemDisk, dirs: &Dirs) -> Recovered {
    recover(disk, dirs, &RecoveryOptions::default()).expect("recovered")
}

/// One line for each node, as the program writes down what the server told it.
fn told(found: &Recovered) -> Vec<String> {
    let mut lines = Vec::new();
    let mut waiting = vec![String::from("/")];
    while let Some(path) = waiting.pop() {
        let node = found.tree.get(&path).expect("a node");
        let mut names: Vec<&str> = node.children().collect();
        names.sort_unstable();
        let parent = if path == "/" { "" } else { &path };
        waiting.extend(names.iter().rev().map(|name| format!("{parent}/{name}")));
        let data: String = node
            .data()
            .unwrap_or_default()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let s = node.shown_stat();
        let acl = node.acl().iter();
        let acl: Vec<String> = acl
            .map(|acl| format!("{}:{}:{}", acl.perms.0, acl.id.scheme, acl.id.id))
            .collect();
        lines.push(format!(
            "{path}|{data}|{} {} {} {} {} {} {} {} {} {} {}|{}",
            s.czxid.0,
            s.mzxid.0,
            s.ctime,
            s.mtime,
            s.version,
            s.cversion,
            s.aversion,
            s.ephemeral_owner,
            s.data_length,
            s.num_children,
            s.pzxid.0,
            acl.join(",")
        ));
    }
    lines
}

#[test]
fn every_node_is_as_java_told_it() {
    let (disk, dirs) = captured();
    let found = found(&disk, &dirs);
    let expected = std::fs::read_to_string(fixture("expected.txt")).expect("the fixture");
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(told(&found), expected);
    assert!(expected.len() > 40 && found.snapshot.is_some());
    assert_eq!(found.torn_ends, []);
    assert_eq!(found.tree.sessions().count(), 1, "the other one was closed");
}

#[test]
fn each_of_javas_fuzzy_snapshots_leads_to_the_same_tree() {
    let (disk, dirs) = captured();
    let whole = TreeDump::of(&found(&disk, &dirs).tree);
    let snapshots = dirs.snapshots(&disk).expect("a list");
    assert!(snapshots.len() >= 3);
    for snapshot in snapshots.iter().rev() {
        verify_snapshot(&disk, &snapshot.path).expect("valid");
        let found = found(&disk, &dirs);
        assert_eq!(found.snapshot.as_ref(), Some(&snapshot.path));
        assert_eq!(TreeDump::of(&found.tree), whole);
        disk.remove(&snapshot.path).expect("removed");
    }
    let logs_alone = found(&disk, &dirs);
    assert_eq!(logs_alone.snapshot, None);
    assert_eq!(TreeDump::of(&logs_alone.tree), whole);
}

#[test]
fn our_log_of_the_same_transactions_is_javas_to_the_byte() {
    let (java, dirs) = captured();
    let (ours, _) = empty();
    let options = LogOptions {
        prealloc_bytes: 2048,
        force_sync: true,
    };
    let mut log = LogWriter::open(Arc::new(ours.clone()), dirs.clone(), Zxid(0), options).expect("a writer");
    let mut reader = LogReader::open(&java, &dirs, Zxid(0)).expect("a reader");
    let files = dirs.logs(&java).expect("a list");
    while let Some(txn) = reader.next_txn().expect("read") {
        if files.iter().any(|file| file.zxid == txn.zxid()) {
            log.roll().expect("rolled");
        }
        log.append(&txn).expect("appended");
        log.commit().expect("committed");
    }
    assert!(files.len() >= 3);
    for file in files {
        let (java, ours) = (java.contents(&file.path), ours.contents(&file.path));
        let (java, ours) = (java.expect("a log"), ours.expect("a log"));
        let end = java.iter().rposition(|byte| *byte != 0).expect("an entry") + 1;
        assert_eq!(java[..end], ours[..end], "{}", file.path.display());
        assert!(ours[end..].iter().all(|byte| *byte == 0));
        assert_eq!((java.len() - 16) % 2048, (ours.len() - 16) % 2048);
    }
}
