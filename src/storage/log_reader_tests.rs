use super::super::log_format::put_entry;
use super::super::testing::{create, empty, header, logged, read, write};
use super::*;
use crate::proto::Encode;
use crate::proto::txn::{CheckVersionTxn, Txn};
use crate::runtime::MemDisk;

/// Where each entry of a file begins, and where the last one ends.
fn offsets(disk: &MemDisk, path: &Path) -> Vec<u64> {
    let mut file = LogFile::open(disk, path).expect("a log");
    let mut offsets = vec![16];
    while let Entry::Txn { end, .. } = file.next_entry().expect("read") {
        offsets.push(end);
    }
    offsets
}

fn torn_ends(disk: &MemDisk, dirs: &Dirs) -> Vec<TornEnd> {
    let mut reader = LogReader::open(disk, dirs, Zxid(0)).expect("a reader");
    while reader.next_txn().expect("read").is_some() {}
    reader.torn_ends().to_vec()
}

/// A file of these entries, without zeros.
fn put(disk: &MemDisk, path: &Path, txns: &[LoggedTxn]) {
    let mut bytes = FILE_HEADER.to_vec();
    txns.iter().for_each(|txn| put_entry(txn.bytes(), &mut bytes));
    disk.put(path, &bytes);
}

#[test]
fn it_reads_across_files_from_any_point() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=3);
    write(&disk, &dirs, 4..=6);
    write(&disk, &dirs, 0x1_0000_0001..=0x1_0000_0002);
    let all = [1, 2, 3, 4, 5, 6, 0x1_0000_0001, 0x1_0000_0002];
    for skipped in 0..all.len() {
        let after = if skipped == 0 { 0 } else { all[skipped - 1] };
        let (found, end) = read(&disk, &dirs, after);
        assert_eq!(found, all[skipped..]);
        end.expect("a clean end");
    }
    assert_eq!(torn_ends(&disk, &dirs), []);
    assert_eq!(
        read(&disk, &dirs, 0x1_0000_0000).0,
        all[6..],
        "a new leader's zxid"
    );
    assert_eq!(read(&disk, &dirs, 0x2_0000_0000).0, [0i64; 0]);
}

#[test]
fn a_log_may_be_cut_at_every_byte_of_its_last_entry() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=3);
    let path = dirs.log_file(Zxid(1));
    let (whole, offsets) = (disk.contents(&path).expect("a log"), offsets(&disk, &path));
    for cut in offsets[2]..offsets[3] {
        for zeros in [false, true] {
            let mut bytes = whole.clone();
            bytes.truncate(cut as usize);
            bytes.resize(if zeros { whole.len() } else { cut as usize }, 0);
            disk.put(&path, &bytes);
            let (found, end) = read(&disk, &dirs, 0);
            end.expect("a torn end is an end");
            assert_eq!(found, [1, 2], "cut at {cut}");
            let torn = torn_ends(&disk, &dirs);
            assert_eq!(
                torn.len(),
                usize::from(bytes[offsets[2] as usize..].iter().any(|b| *b != 0))
            );
            for end in torn {
                assert_eq!((end.offset, end.path.as_path()), (offsets[2], path.as_path()));
                end.cut_off(&disk).expect("cut off");
                let length = disk.contents(&path).expect("a log").len() as u64;
                assert_eq!(length, offsets[2]);
            }
            assert_eq!(torn_ends(&disk, &dirs), []);
        }
    }
}

#[test]
fn a_flipped_byte_of_the_last_entry_costs_that_entry_only() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=3);
    let path = dirs.log_file(Zxid(1));
    let (whole, offsets) = (disk.contents(&path).expect("a log"), offsets(&disk, &path));
    for at in offsets[2]..offsets[3] {
        let mut bytes = whole.clone();
        bytes[at as usize] ^= 0x55;
        disk.put(&path, &bytes);
        let (found, end) = read(&disk, &dirs, 0);
        end.expect("a torn end is an end");
        assert_eq!(found, [1, 2], "flipped at {at}");
    }
}

#[test]
fn a_flipped_byte_before_the_last_entry_is_refused_with_file_and_offset() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=4);
    let path = dirs.log_file(Zxid(1));
    let (whole, offsets) = (disk.contents(&path).expect("a log"), offsets(&disk, &path));
    for entry in 0..3 {
        for at in offsets[entry]..offsets[entry + 1] {
            for flip in [1u8, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at as usize] ^= flip;
                disk.put(&path, &bytes);
                let (found, end) = read(&disk, &dirs, 0);
                assert_eq!(found, (1..=entry as i64).collect::<Vec<i64>>());
                let text = end.expect_err("damage").to_string();
                let place = format!(
                    "/data/version-2/log.1 is damaged at offset {}, behind zxid 0x{entry:x}: ",
                    offsets[entry]
                );
                assert!(text.starts_with(&place), "flipped {at} by {flip}: {text}");
            }
        }
    }
}

#[test]
fn zeros_over_a_middle_entry_are_refused() {
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=4);
    let path = dirs.log_file(Zxid(1));
    let offsets = offsets(&disk, &path);
    let mut bytes = disk.contents(&path).expect("a log");
    bytes[offsets[1] as usize..offsets[2] as usize].fill(0);
    disk.put(&path, &bytes);
    let (found, end) = read(&disk, &dirs, 0);
    assert_eq!(found, [1]);
    assert!(matches!(
        end,
        Err(StorageError::Damaged { offset, after: Zxid(1), what: Flaw::Zeros, .. }) if offset == offsets[1]
    ));
}

#[test]
fn an_older_file_may_have_a_torn_end_if_nothing_is_missing_behind_it() {
    for (next, accepted) in [
        (3, true),
        (0x1_0000_0001, true),
        (4, false),
        (0x1_0000_0002, false),
    ] {
        let (disk, dirs) = empty();
        write(&disk, &dirs, 1..=3);
        let path = dirs.log_file(Zxid(1));
        let offsets = offsets(&disk, &path);
        let mut bytes = disk.contents(&path).expect("a log");
        bytes[offsets[2] as usize + 20..].fill(0);
        disk.put(&path, &bytes);
        write(&disk, &dirs, [next]);
        let (found, end) = read(&disk, &dirs, 0);
        match end {
            Ok(()) => {
                assert!(accepted && found == [1, 2, next]);
                assert_eq!(torn_ends(&disk, &dirs).len(), 1);
            }
            Err(StorageError::Damaged {
                path: at,
                offset,
                after,
                ..
            }) => {
                assert!(!accepted);
                assert_eq!((at, offset, after), (path, offsets[2], Zxid(2)));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_wrong_checksum_at_the_end_of_an_older_file_is_damage_if_a_new_epoch_follows() {
    // Java would not have started from it, so it was whole when the next file was begun.
    let (disk, dirs) = empty();
    write(&disk, &dirs, 1..=3);
    let path = dirs.log_file(Zxid(1));
    let offsets = offsets(&disk, &path);
    let mut bytes = disk.contents(&path).expect("a log");
    bytes[offsets[2] as usize + 40] ^= 1;
    disk.put(&path, &bytes);
    write(&disk, &dirs, [0x1_0000_0001]);
    assert!(matches!(
        read(&disk, &dirs, 0).1,
        Err(StorageError::Damaged {
            what: Flaw::Checksum,
            after: Zxid(2),
            ..
        })
    ));
}

/// ZOOKEEPER-1621: 3.4.14 does not start.
#[test]
fn a_file_cut_within_its_header_holds_nothing_and_is_removed() {
    for (length, zeros) in (0..16).flat_map(|length| [(length, false), (length, true)]) {
        let (disk, dirs) = empty();
        write(&disk, &dirs, 1..=2);
        let path = dirs.log_file(Zxid(3));
        let mut bytes = FILE_HEADER[..length].to_vec();
        bytes.resize(if zeros { 5000 } else { length }, 0);
        disk.put(&path, &bytes);
        let (found, end) = read(&disk, &dirs, 0);
        end.expect("a torn end is an end");
        assert_eq!(found, [1, 2]);
        for end in torn_ends(&disk, &dirs) {
            end.cut_off(&disk).expect("cut off");
        }
        let left = disk.contents(&path);
        assert!(
            left.is_none() || left.is_some_and(|bytes| bytes.starts_with(b"ZKLG")),
            "Java does not start from a log of {length} bytes"
        );
    }
}

#[test]
fn a_file_that_is_no_log_is_refused() {
    let (disk, dirs) = empty();
    disk.put(&dirs.log_file(Zxid(1)), b"remember the milk, and the bread");
    assert!(matches!(
        read(&disk, &dirs, 0).1,
        Err(StorageError::Damaged {
            what: Flaw::Magic,
            offset: 0,
            ..
        })
    ));
}

#[test]
fn a_hole_is_refused() {
    let gap = |after, found| move |error: &StorageError| matches!(error, StorageError::Gap { after: a, found: f, .. } if (a.0, f.0) == (after, found));
    let (disk, dirs) = empty();
    write(&disk, &dirs, 5..=6);
    assert!(
        read(&disk, &dirs, 0).1.is_err_and(|e| gap(0, 5)(&e)),
        "no beginning"
    );
    assert!(
        read(&disk, &dirs, 3).1.is_err_and(|e| gap(3, 5)(&e)),
        "behind a snapshot"
    );
    assert_eq!(read(&disk, &dirs, 4).0, [5, 6]);
    assert_eq!(read(&disk, &dirs, 5).0, [6]);
    write(&disk, &dirs, 8..=9);
    let (found, end) = read(&disk, &dirs, 4);
    assert_eq!(found, [5, 6]);
    assert!(end.is_err_and(|e| gap(6, 8)(&e)), "between files");
    assert_eq!(read(&disk, &dirs, 7).0, [8, 9], "a snapshot covers it");
    write(&disk, &dirs, [0x2_0000_0002]);
    assert!(
        read(&disk, &dirs, 7).1.is_err_and(|e| gap(9, 0x2_0000_0002)(&e)),
        "an epoch's first"
    );
}

#[test]
fn a_number_left_out_between_intact_entries_of_a_file_is_no_hole() {
    let (disk, dirs) = empty();
    let entries = [create(1, b""), create(3, b""), create(4, b"")];
    put(&disk, &dirs.log_file(Zxid(1)), &entries);
    for (after, left) in [(0, &[1, 3, 4][..]), (1, &[3, 4]), (2, &[3, 4]), (3, &[4])] {
        let (found, end) = read(&disk, &dirs, after);
        assert_eq!(found, left);
        assert!(end.is_ok());
    }
}

#[test]
fn numbers_that_do_not_rise_are_refused() {
    let (disk, dirs) = empty();
    put(
        &disk,
        &dirs.log_file(Zxid(1)),
        &[create(1, b""), create(2, b""), create(2, b"")],
    );
    let (found, end) = read(&disk, &dirs, 0);
    assert_eq!(found, [1, 2]);
    assert!(matches!(
        end,
        Err(StorageError::Damaged {
            what: Flaw::Falling(Zxid(2)),
            ..
        })
    ));
    put(
        &disk,
        &dirs.log_file(Zxid(1)),
        &[create(i64::MAX, b""), create(1, b"")],
    );
    assert!(read(&disk, &dirs, 0).1.is_err());
}

#[test]
fn a_logged_check_is_passed_over_and_counted() {
    let (disk, dirs) = empty();
    let check = Txn::Check(CheckVersionTxn {
        path: "/a".into(),
        version: 1,
    });
    put(
        &disk,
        &dirs.log_file(Zxid(1)),
        &[
            create(1, b""),
            logged(2, &check),
            create(3, b""),
            logged(4, &check),
        ],
    );
    let mut reader = LogReader::open(&disk, &dirs, Zxid(0)).expect("a reader");
    let mut zxids = Vec::new();
    while let Some(txn) = reader.next_txn().expect("read") {
        zxids.push(txn.zxid().0);
    }
    assert_eq!((zxids, reader.last_zxid()), (vec![1, 3], Zxid(4)));
}

#[test]
fn an_unknown_type_is_refused_with_its_place() {
    let (disk, dirs) = empty();
    let mut header = header(2, OpCode::Create);
    header.op = 77;
    let strange = LoggedTxn::from_bytes(header.to_bytes()).expect("a header");
    put(
        &disk,
        &dirs.log_file(Zxid(1)),
        &[create(1, b""), strange, create(3, b"")],
    );
    let offset = offsets(&disk, &dirs.log_file(Zxid(1)))[1];
    let text = read(&disk, &dirs, 0).1.expect_err("a strange type").to_string();
    let place =
        format!("log.1 is damaged at offset {offset}, behind zxid 0x1: a transaction of the unknown type 77");
    assert!(text.contains(&place), "{text}");
}

#[test]
fn any_bytes_at_all_are_answered_in_order() {
    // Lengths of every size, at the end of every kind of file: nothing panics, nothing is allocated for them.
    for length in [i32::MIN, -1, 0, 1, 31, 32, 100, i32::MAX] {
        for tail in [0, 1, 40, 5000] {
            let (disk, dirs) = empty();
            let mut bytes = FILE_HEADER.to_vec();
            bytes.extend_from_slice(&7i64.to_be_bytes());
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.resize(bytes.len() + tail, b'B');
            disk.put(&dirs.log_file(Zxid(1)), &bytes);
            assert_eq!(read(&disk, &dirs, 0).0, [0i64; 0]);
        }
    }
}
