use std::io::ErrorKind;
use std::path::Path;

use super::super::testing::{create, empty, options, read, writer};
use super::*;
use crate::runtime::MemDisk;
use crate::runtime::mem_disk::{Crash, Fault};

#[test]
fn a_file_is_named_after_its_first_transaction_and_begins_as_javas() {
    let (disk, dirs) = empty();
    let mut log = writer(&disk, &dirs, 0x1_0000_0000);
    assert_eq!(
        dirs.logs(&disk).expect("a list"),
        [],
        "no file before a transaction"
    );
    let txn = create(0x1_0000_0001, b"x");
    log.append(&txn).expect("appended");
    assert_eq!(log.commit().expect("committed"), Zxid(0x1_0000_0001));
    let bytes = disk
        .contents(Path::new("/data/version-2/log.100000001"))
        .expect("the file");
    assert_eq!(&bytes[..16], b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0");
    let length = txn.bytes().len();
    let sum = i64::from(simd_adler32::adler32(&txn.bytes()));
    assert_eq!(bytes[16..24], sum.to_be_bytes());
    assert_eq!(bytes[24..28], (length as i32).to_be_bytes());
    assert_eq!(&bytes[28..28 + length], txn.bytes());
    assert_eq!(bytes[28 + length], 0x42);
    assert!(bytes[29 + length..].iter().all(|byte| *byte == 0));
}

#[test]
fn files_grow_in_steps_when_less_than_4_kib_are_left() {
    let step = 64 << 20;
    assert_eq!(
        padded_size(16, 16, step),
        67_108_880,
        "as seen on a fresh log of 3.4.14"
    );
    assert_eq!(padded_size(67_108_880 - 4097, 67_108_880, step), 67_108_880);
    assert_eq!(
        padded_size(67_108_880 - 4096, 67_108_880, step),
        67_108_880 + step
    );
    assert_eq!(padded_size(step + 1, 100, step), 2 * step);
    assert_eq!(padded_size(70_000, 60_000, 0), 60_000);

    let (disk, dirs) = empty();
    let mut log = writer(&disk, &dirs, 0);
    for zxid in 1..=100 {
        log.append(&create(zxid, &[b'x'; 300])).expect("appended");
        log.commit().expect("committed");
        let size = disk.contents(&dirs.log_file(Zxid(1))).expect("the file").len() as u64;
        let (end, step) = (
            log.file.as_ref().expect("open").written_bytes,
            options().prealloc_bytes,
        );
        assert!(
            size > end + SPARE_BYTES && size <= end + SPARE_BYTES + step,
            "{end} of {size}"
        );
    }
    drop(log);
    assert_eq!(read(&disk, &dirs, 0).0, (1..=100).collect::<Vec<i64>>());
}

#[test]
fn without_preallocation_a_file_ends_with_its_last_entry() {
    let (disk, dirs) = empty();
    let none = LogOptions {
        prealloc_bytes: 0,
        ..options()
    };
    let mut log = LogWriter::open(Arc::new(disk.clone()), dirs.clone(), Zxid(0), none).expect("a writer");
    log.append(&create(1, b"x")).expect("appended");
    log.commit().expect("committed");
    let bytes = disk.contents(&dirs.log_file(Zxid(1))).expect("the file");
    assert_eq!(bytes.last(), Some(&0x42));
    drop(log);
    assert_eq!(read(&disk, &dirs, 0).0, [1]);
}

#[test]
fn a_batch_is_one_write_and_one_sync() {
    let (disk, dirs) = empty();
    let mut log = writer(&disk, &dirs, 0);
    log.append(&create(1, b"x")).expect("appended");
    log.commit().expect("committed");
    let before = disk.operations();
    for zxid in 2..=1001 {
        log.append(&create(zxid, &[b'x'; 200])).expect("appended");
    }
    log.commit().expect("committed");
    assert_eq!(disk.operations() - before, 3, "growth, write, sync");
    log.commit().expect("committed");
    assert_eq!(disk.operations() - before, 3, "nothing to do");
}

#[test]
fn what_commit_answers_survives_the_worst_crash_and_its_file_name_too() {
    let (disk, dirs) = empty();
    let mut log = writer(&disk, &dirs, 0);
    for zxid in 1..=4 {
        log.append(&create(zxid, b"x")).expect("appended");
        if zxid == 2 {
            log.roll().expect("rolled");
        }
    }
    assert_eq!(log.commit().expect("committed"), Zxid(4));
    log.append(&create(5, b"x")).expect("appended");
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(read(&disk, &dirs, 0).0, [1, 2, 3, 4]);
    assert_eq!(dirs.logs(&disk).expect("a list").len(), 2);
}

#[test]
fn no_forced_sync_means_no_sync() {
    let (disk, dirs) = empty();
    let lax = LogOptions {
        force_sync: false,
        ..options()
    };
    let mut log = LogWriter::open(Arc::new(disk.clone()), dirs.clone(), Zxid(0), lax).expect("a writer");
    log.append(&create(1, b"x")).expect("appended");
    log.commit().expect("committed");
    assert_eq!(read(&disk, &dirs, 0).0, [1]);
    disk.crash(Crash::LoseUnsynced);
    assert_eq!(read(&disk, &dirs, 0).0, [0i64; 0]);
}

#[test]
fn a_number_that_does_not_rise_is_refused_and_final() {
    for (last, zxid, op) in [(7, 7, "0x7"), (7, 6, "0x6"), (0x1_0000_0007, 8, "0x8")] {
        let (disk, dirs) = empty();
        let mut log = writer(&disk, &dirs, last);
        let error = log.append(&create(zxid, b"x")).expect_err("not above the last");
        assert_eq!(
            error.to_string(),
            format!(
                "zxid {op} of type 1 must not follow zxid {} in the log",
                Zxid(last)
            )
        );
        let error = log.append(&create(last + 1, b"x")).expect_err("failed before");
        assert!(matches!(error, StorageError::Failed(_)), "{error}");
    }
    let (disk, dirs) = empty();
    let mut log = writer(&disk, &dirs, 7);
    for zxid in [8, 10, 0x1_0000_0001, 0x1_0000_0002, 0x2_ffff_fff1] {
        log.append(&create(zxid, b"x")).expect("above the last");
    }
}

#[test]
fn a_file_that_a_crash_left_at_its_creation_is_made_anew() {
    for left in [&b""[..], b"ZKL", &FILE_HEADER, &[0; 5000]] {
        let (disk, dirs) = empty();
        disk.put(&dirs.log_file(Zxid(5)), left);
        let mut log = writer(&disk, &dirs, 4);
        log.append(&create(5, b"x")).expect("appended");
        log.commit().expect("committed");
        drop(log);
        assert_eq!(read(&disk, &dirs, 4).0, [5]);
    }
}

#[test]
fn a_file_with_transactions_is_never_written_over() {
    let (disk, dirs) = empty();
    let mut log = writer(&disk, &dirs, 4);
    log.append(&create(5, b"x")).expect("appended");
    log.commit().expect("committed");
    let before = disk.contents(&dirs.log_file(Zxid(5)));
    let again = LogWriter::open(Arc::new(disk.clone()), dirs.clone(), Zxid(3), options());
    assert!(matches!(again, Err(StorageError::LogExists(path)) if path == dirs.log_file(Zxid(5))));
    assert_eq!(disk.contents(&dirs.log_file(Zxid(5))), before);
}

/// Appends three batches, the second behind a roll, and tells up to where commits returned.
fn run(disk: &MemDisk, dirs: &Dirs) -> (i64, bool) {
    let mut log = writer(disk, dirs, 0);
    let mut safe = 0;
    let mut failed = false;
    for batch in [1..=3, 4..=5, 6..=9] {
        for zxid in batch {
            failed |= log.append(&create(zxid, &[b'x'; 2000])).is_err();
        }
        match log.commit() {
            Ok(zxid) => safe = zxid.0,
            Err(_) => failed = true,
        }
        if safe == 3 {
            failed |= log.roll().is_err();
        }
    }
    (safe, failed)
}

#[test]
fn each_failure_surfaces_and_costs_nothing_that_was_acknowledged() {
    let (disk, dirs) = empty();
    let begin = disk.operations();
    assert_eq!(run(&disk, &dirs), (9, false));
    let count = disk.operations() - begin;
    assert!(count > 10, "{count} operations");
    let faults = [
        Fault::Torn,
        Fault::Error(ErrorKind::Other),
        Fault::Error(ErrorKind::StorageFull),
    ];
    for (operation, fault) in (1..=count).flat_map(|operation| faults.map(|fault| (operation, fault))) {
        for crash in [Crash::KeepAll, Crash::LoseUnsynced] {
            let (disk, dirs) = empty();
            disk.fault_at(disk.operations() + operation, fault);
            let (safe, failed) = run(&disk, &dirs);
            assert!(failed, "operation {operation} failed unnoticed");
            disk.crash(crash);
            let (found, end) = read(&disk, &dirs, 0);
            end.expect("what a failure leaves can be read");
            assert!(
                found.len() as i64 >= safe,
                "{safe} were acknowledged, {found:?} are there"
            );
            assert_eq!(found, (1..=found.len() as i64).collect::<Vec<i64>>());
        }
    }
}

#[test]
fn a_full_disk_is_a_failure() {
    let (disk, dirs) = empty();
    let mut log = writer(&disk, &dirs, 0);
    log.append(&create(1, b"x")).expect("appended");
    log.commit().expect("committed");
    disk.set_capacity(Some(9_000));
    log.append(&create(2, &[b'x'; 20_000])).expect("held in memory");
    let error = log.commit().expect_err("a full disk");
    assert!(error.to_string().contains("/data/version-2/log.1"), "{error}");
    disk.set_capacity(None);
    assert!(matches!(log.commit(), Err(StorageError::Failed(_))));
    drop(log);
    assert_eq!(read(&disk, &dirs, 0).0, [1]);
}

#[test]
fn a_record_far_longer_than_java_reads_goes_through() {
    let (disk, dirs) = empty();
    let mut log = writer(&disk, &dirs, 0);
    let long = vec![b'x'; 5 << 20];
    for zxid in 1..=2 {
        log.append(&create(zxid, &long)).expect("appended");
    }
    log.commit().expect("committed");
    drop(log);
    assert_eq!(read(&disk, &dirs, 0).0, [1, 2]);
}
