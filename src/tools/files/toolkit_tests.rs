//! The toolkit on logs in memory.

use super::*;
use crate::proto::txn::{LoggedTxn, Txn, TxnHeader};
use crate::proto::{SessionId, Xid, Zxid};
use crate::runtime::MemDisk;
use simd_adler32::adler32;

const LOG: &str = "/d/log.1";

fn entry(zxid: i64) -> Vec<u8> {
    let txn = Txn::Error(-101);
    let header = TxnHeader {
        session: SessionId(7),
        cxid: Xid(1),
        zxid: Zxid(zxid),
        time_ms: 0,
        op: txn.op().number(),
    };
    let logged = LoggedTxn::new(header, &txn);
    let bytes = logged.bytes();
    let mut entry = i64::from(adler32(&bytes)).to_be_bytes().to_vec();
    entry.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    entry.extend_from_slice(bytes);
    entry.push(b'B');
    entry
}

/// A log of the parts, and room for more.
fn disk(parts: &[Vec<u8>]) -> MemDisk {
    let disk = MemDisk::new();
    disk.create_dir_all(Path::new("/d")).expect("a directory");
    let mut bytes = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0".to_vec();
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes.extend_from_slice(&[0; 64]);
    disk.put(Path::new(LOG), &bytes);
    disk
}

/// With its checksum spoilt.
fn spoilt(zxid: i64) -> Vec<u8> {
    let mut entry = entry(zxid);
    entry[7] ^= 0xff;
    entry
}

fn read(disk: &MemDisk, path: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut disk.open(Path::new(path)).ok()?, &mut bytes).expect("read");
    Some(bytes)
}

/// What it prints, without the dates, and how it ends.
fn run_on(disk: &MemDisk, words: &str, answers: &str) -> (String, Result<ExitCode, String>) {
    let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
    let plan = Plan::parse(&words).expect("good words").expect("no help");
    let before = read(disk, LOG);
    let mut out = Vec::new();
    let outcome = plan.carry_out(disk, &mut out, answers.as_bytes());
    assert_eq!(read(disk, LOG), before, "the log itself is never changed");
    assert_eq!(read(disk, "/d/log.1.fixed.part"), None);
    let text = String::from_utf8(out).expect("text");
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line.split_once(" session ") {
            Some((before, after)) => {
                let prefix = before.split_once(" - ").map_or("", |(prefix, _)| prefix);
                format!("{prefix}>{}", after.split(' ').nth(4).unwrap_or_default())
            }
            None => line.to_owned(),
        })
        .skip(1)
        .collect();
    let outcome = outcome.map_err(|trouble| match trouble {
        Trouble::Told(code, why) => format!("{}: {why}", code as i32),
        Trouble::Output(error) => error.to_string(),
    });
    (lines.join("\n"), outcome)
}

#[test]
fn a_dump_shows_every_record_and_which_sums_are_wrong() {
    let disk = disk(&[entry(1), spoilt(2), entry(3)]);
    let (text, outcome) = run_on(&disk, LOG, "");
    assert_eq!(text, ">0x1\nCRC ERROR>0x2\n>0x2\n>0x3\nEOF reached after 3 txns.");
    assert_eq!(outcome, Ok(ExitCode::Ok));
    assert_eq!(read(&disk, "/d/log.1.fixed"), None);
}

#[test]
fn recovery_without_questions_mends_all() {
    let disk = disk(&[entry(1), spoilt(2), entry(3), spoilt(4)]);
    let (text, outcome) = run_on(&disk, "-r -y /d/log.1", "");
    assert_eq!(
        text,
        "CRC FIXED>0x2\nCRC FIXED>0x4\nEOF reached after 4 txns.\nRecovery file /d/log.1.fixed has been written \
         with 2 fixed CRC error(s)"
    );
    assert_eq!(outcome, Ok(ExitCode::Ok));
    let fixed = read(&disk, "/d/log.1.fixed").expect("a copy");
    assert_eq!(fixed[16..], [entry(1), entry(2), entry(3), entry(4)].concat());
    let (_, outcome) = run_on(&disk, "-r -y /d/log.1", "");
    let why = "1: Recovery file /d/log.1.fixed already exists or not writable";
    assert_eq!(outcome, Err(why.to_owned()), "nothing is overwritten");
}

#[test]
fn recovery_asks_and_takes_yes_no_and_abort() {
    let disk = disk(&[spoilt(1), spoilt(2)]);
    let (text, outcome) = run_on(&disk, "-r /d/log.1", "what?\nyes\nNo\n");
    assert_eq!(
        text.matches("Would you like to fix it (Yes/No/Abort) ? ").count(),
        3
    );
    assert!(text.ends_with("with 1 fixed CRC error(s)"), "{text}");
    assert_eq!(outcome, Ok(ExitCode::Ok));
    assert_eq!(
        read(&disk, "/d/log.1.fixed").expect("a copy")[16..],
        [entry(1), spoilt(2)].concat()
    );
    for answers in ["y\nabort\n", ""] {
        let disk = self::disk(&[spoilt(1), spoilt(2)]);
        let (_, outcome) = run_on(&disk, "-r /d/log.1", answers);
        assert_eq!(outcome, Err("0: Recovery aborted.".to_owned()));
        assert_eq!(read(&disk, "/d/log.1.fixed"), None);
    }
}

#[test]
fn what_is_no_record_ends_it_or_is_left_out() {
    let mut unmarked = entry(2);
    *unmarked.last_mut().expect("a mark") = b'X';
    let disk = disk(&[entry(1), unmarked, entry(3)]);
    let (text, outcome) = run_on(&disk, LOG, "");
    assert_eq!(text, ">0x1\n>0x2", "it is shown before its end is looked at");
    assert!(outcome.is_err_and(|why| why.starts_with("1: Last transaction was partial. (offset ")));
    let (text, outcome) = run_on(&disk, "-r -s /d/log.1", "");
    assert!(text.starts_with("SKIPPED - 49 bytes at offset 65"), "{text}");
    assert_eq!(outcome, Ok(ExitCode::Unexpected));
    assert_eq!(
        read(&disk, "/d/log.1.fixed").expect("a copy")[16..],
        [entry(1), entry(3)].concat()
    );
}

#[test]
fn files_that_are_no_logs_and_words_that_are_none() {
    let disk = disk(&[]);
    disk.put(Path::new("/d/other"), b"hello, I am not a log file");
    let (_, outcome) = run_on(&disk, "-r /d/other", "");
    assert_eq!(outcome, Err("2: Invalid magic number for other".to_owned()));
    let (_, outcome) = run_on(&disk, "/d/none", "");
    assert_eq!(
        outcome,
        Err("1: File doesn't exist or not readable: /d/none".to_owned())
    );
    for (line, why) in [
        ("-x log", "Invalid argument: x"),
        ("--nonsense log", "Invalid argument: nonsense"),
        ("a b", "Invalid arguments: more than one TXN log file given"),
        ("-r", "Invalid arguments: TXN log file name missing"),
    ] {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(Plan::parse(&words), Err(why.to_owned()));
    }
    assert_eq!(Plan::parse(&["-H".to_owned()]), Ok(None));
}
