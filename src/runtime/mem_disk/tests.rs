//! What a crash may do to the disk in memory, and what it may not.

use super::inode::BLOCK_BYTES;
use super::*;

fn path(name: &str) -> PathBuf {
    Path::new("/d").join(name)
}

/// A disk with the directory `/d`, safe.
fn disk() -> MemDisk {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new("/d")).expect("a directory");
    disk.sync_dir(Path::new("/")).expect("synced");
    disk
}

#[test]
fn what_was_not_synced_is_lost_or_kept_as_the_crash_wishes() {
    for (crash, file_left, text) in [
        (Crash::LoseUnsynced, false, "safe"),
        (Crash::KeepAll, true, "safe, not"),
    ] {
        let disk = disk();
        let mut file = disk.create_new(&path("named")).expect("a file");
        file.write_all(b"safe")
            .and_then(|()| file.sync())
            .expect("safe bytes");
        disk.sync_dir(Path::new("/d")).expect("a safe name");
        file.write_all(b", not").expect("written");
        disk.create_new(&path("unnamed")).expect("a file");
        disk.crash(crash);
        assert_eq!(disk.contents(&path("named")).as_deref(), Some(text.as_bytes()));
        assert_eq!(disk.exists(&path("unnamed")), file_left);
        assert!(file.write(b"x").is_err(), "a handle outlived the crash");
    }
}

#[test]
fn a_rename_that_is_lost_brings_the_old_name_back() {
    let disk = disk();
    disk.put(&path("old"), b"1");
    disk.put(&path("new"), b"2");
    disk.rename(&path("old"), &path("new")).expect("renamed");
    assert_eq!(disk.contents(&path("new")).as_deref(), Some(&b"1"[..]));
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(disk.contents(&path("old")).as_deref(), Some(&b"1"[..]));
    assert_eq!(disk.contents(&path("new")).as_deref(), Some(&b"2"[..]));
}

#[test]
fn a_mixed_crash_tears_by_blocks_and_is_the_same_for_the_same_seed() {
    let torn = |seed| {
        let disk = disk();
        disk.put(&path("f"), &[0; 8 * BLOCK_BYTES]);
        let mut file = disk.open_write(&path("f")).expect("a file");
        file.write_all(&[1; 8 * BLOCK_BYTES]).expect("written");
        disk.crash(Crash::Mixed(seed));
        disk.contents(&path("f")).expect("a file")
    };
    let blocks = torn(1);
    assert_eq!(blocks, torn(1));
    assert!(blocks.contains(&0) && blocks.contains(&1));
    assert!(
        blocks
            .chunks(BLOCK_BYTES)
            .all(|block| block.iter().all(|b| *b == block[0]))
    );
}

#[test]
fn a_failed_sync_forgets_what_it_was_to_keep() {
    let disk = disk();
    disk.put(&path("f"), b"----");
    let mut file = disk.open_write(&path("f")).expect("a file");
    file.write_all(b"lost").expect("written");
    disk.fault_at(disk.operations() + 1, Fault::Error(io::ErrorKind::Other));
    assert!(file.sync().is_err());
    file.sync().expect("a sync that lies, as Linux's does");
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(disk.contents(&path("f")).as_deref(), Some(&b"----"[..]));
}

#[test]
fn a_torn_write_leaves_half_and_a_full_disk_takes_what_fits() {
    let disk = disk();
    let mut file = disk.create_new(&path("f")).expect("a file");
    disk.fault_at(disk.operations() + 1, Fault::Torn);
    assert!(file.write(b"abcd").is_err());
    assert_eq!(disk.contents(&path("f")).as_deref(), Some(&b"ab"[..]));
    disk.set_capacity(Some(5));
    assert_eq!(file.write(b"123456").expect("a short write"), 5);
    let full = file.write(b"7").expect_err("a full disk");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn nothing_works_while_the_power_is_off() {
    let disk = disk();
    disk.fault_at(disk.operations() + 1, Fault::PowerOff);
    assert!(disk.create_new(&path("f")).is_err());
    assert!(disk.list(Path::new("/d")).is_err());
    disk.crash(Crash::KeepAll);
    assert_eq!(disk.list(Path::new("/d")).expect("a list"), [path("f")]);
}

#[test]
fn a_fork_goes_its_own_way() {
    let disk = disk();
    disk.put(&path("f"), b"same");
    let fork = disk.fork();
    disk.remove(&path("f")).expect("removed");
    assert_eq!(fork.contents(&path("f")).as_deref(), Some(&b"same"[..]));
}

#[test]
fn what_nobody_can_find_or_has_open_gives_its_bytes_back() {
    let disk = disk();
    disk.put(&path("old"), b"old");
    disk.put(&path("new"), b"new");
    disk.put(&path("gone"), b"gone");
    let count = || disk.lock().files.len();
    let mut open = disk.open(&path("gone")).expect("open");
    disk.remove(&path("gone")).expect("removed");
    disk.rename(&path("new"), &path("old")).expect("renamed");
    assert_eq!(count(), 3, "a loss of power would bring all of them back");
    disk.sync_dir(Path::new("/d")).expect("synced");
    assert_eq!(count(), 2);
    let mut text = String::new();
    open.read_to_string(&mut text).expect("it is open");
    assert_eq!(text, "gone");
    drop(open);
    assert_eq!(disk.fork().lock().files.len(), 1);
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(count(), 1);
}
