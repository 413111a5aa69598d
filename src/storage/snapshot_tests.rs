use std::io::ErrorKind;

use super::super::testing::empty;
use super::*;
use crate::runtime::MemDisk;
use crate::runtime::mem_disk::{Crash, Fault};

fn take(disk: &MemDisk, dirs: &Dirs, last: i64, pieces: &[&[u8]]) -> Result<PathBuf, StorageError> {
    let mut writer = SnapshotWriter::begin(Arc::new(disk.clone()), dirs, Zxid(last))?;
    for piece in pieces {
        writer.write(piece)?;
    }
    writer.finish()
}

#[test]
fn it_has_the_shape_of_javas_and_its_name_once_it_is_whole() {
    let (disk, dirs) = empty();
    let mut writer = SnapshotWriter::begin(Arc::new(disk.clone()), &dirs, Zxid(0x1f)).expect("begun");
    writer.write(b"the tree").expect("written");
    assert_eq!(dirs.snapshots(&disk).expect("a list"), []);
    let path = writer.finish().expect("finished");
    assert_eq!(path, Path::new("/data/version-2/snapshot.1f"));
    disk.crash(Crash::LoseUnsynced);
    let bytes = disk.contents(&path).expect("a snapshot");
    let body = b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xffthe tree";
    let sum = i64::from(simd_adler32::adler32(body));
    assert_eq!(bytes, [&body[..], &sum.to_be_bytes(), b"\0\0\0\x01/"].concat());
    verify_snapshot(&disk, &path).expect("valid");
}

#[test]
fn one_that_is_given_up_or_fails_leaves_nothing() {
    let (disk, dirs) = empty();
    let writer = SnapshotWriter::begin(Arc::new(disk.clone()), &dirs, Zxid(1)).expect("begun");
    drop(writer);
    assert!(disk.list(&dirs.snapshot).expect("a list").is_empty());
    let begin = disk.operations();
    take(&disk, &dirs, 1, &[b"tree"]).expect("a snapshot");
    let count = disk.operations() - begin;
    for operation in 1..=count {
        let (disk, dirs) = empty();
        let begin = disk.operations();
        disk.fault_at(begin + operation, Fault::Error(ErrorKind::StorageFull));
        take(&disk, &dirs, 1, &[b"tree"]).expect_err("the fault");
        let left = disk.list(&dirs.snapshot).expect("a list");
        // If only the directory's sync failed, it is there, and whole.
        assert_eq!(
            left.len(),
            usize::from(operation == count),
            "operation {operation}"
        );
    }
}

#[test]
fn after_any_crash_it_is_whole_or_not_there() {
    let (disk, dirs) = empty();
    let begin = disk.operations();
    let tree = vec![7; 600 << 10];
    take(&disk, &dirs, 1, &[&tree, &tree]).expect("a snapshot");
    let count = disk.operations() - begin;
    for operation in 1..=count {
        for crash in [Crash::LoseUnsynced, Crash::KeepAll, Crash::Mixed(operation)] {
            let (disk, dirs) = empty();
            disk.fault_at(disk.operations() + operation, Fault::PowerOff);
            assert!(take(&disk, &dirs, 1, &[&tree, &tree]).is_err());
            disk.crash(crash);
            for snapshot in dirs.snapshots(&disk).expect("a list") {
                verify_snapshot(&disk, &snapshot.path).expect("whole");
            }
            take(&disk, &dirs, 1, &[b"tree"]).expect("leftovers are no hindrance");
        }
    }
}

#[test]
fn every_flipped_byte_and_every_cut_is_noticed() {
    let (disk, dirs) = empty();
    let path = take(&disk, &dirs, 1, &[b"the tree"]).expect("a snapshot");
    let whole = disk.contents(&path).expect("a snapshot");
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        disk.put(&path, &bytes);
        verify_snapshot(&disk, &path).expect_err("a flipped byte");
        disk.put(&path, &whole[..at]);
        verify_snapshot(&disk, &path).expect_err("a cut");
    }
    disk.put(&path, &[&whole[..], b"x"].concat());
    verify_snapshot(&disk, &path).expect_err("a byte too many");
}

#[test]
fn a_large_one_is_synced_in_steps() {
    let (disk, dirs) = empty();
    let begin = disk.operations();
    let piece = vec![1; 4 << 20];
    take(&disk, &dirs, 1, &[&piece[..]; 10]).expect("a snapshot");
    // A name, ten writes and the end, two syncs on the way, one at the end, a rename, the directory.
    assert_eq!(disk.operations() - begin, 1 + 11 + 3 + 2);
}
