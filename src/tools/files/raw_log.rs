//! A transaction log record by record, whatever is wrong with it. (`storage::LogFile` stops at the first flaw.)

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use simd_adler32::adler32;

use crate::runtime::{Disk, DiskFile};

/// A log that is being read.
pub struct RawLog {
    input: BufReader<Box<dyn DiskFile>>,
    /// The next byte.
    offset: u64,
    length: u64,
}

/// The beginning of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its first sixteen bytes.
    pub bytes: [u8; 16],
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// A record, framed as it should be.
    Record(RawRecord),
    /// The end, or the room for more.
    End,
    /// A length that no record has.
    Length(i32),
    /// A record without its end mark.
    Partial(RawRecord),
}

/// A record's bytes, and what the file says their sum is.
#[derive(Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Where it begins.
    pub offset: u64,
    /// As the file has it.
    pub checksum: i64,
    /// The transaction.
    pub bytes: Vec<u8>,
}

impl Header {
    /// Whether it is that of a log.
    pub fn is_log(&self) -> bool {
        self.bytes.starts_with(b"ZKLG")
    }

    /// The line that Java's tools begin with.
    pub fn line(&self) -> String {
        let [_, _, _, _, version @ .., _, _, _, _, _, _, _, _] = self.bytes;
        let [.., a, b, c, d, e, f, g, h] = self.bytes;
        let dbid = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let version = i32::from_be_bytes(version);
        format!("ZooKeeper Transactional Log File with dbid {dbid} txnlog format version {version}")
    }
}

impl RawRecord {
    /// What the sum of its bytes is.
    pub fn computed(&self) -> i64 {
        i64::from(adler32(&self.bytes.as_slice()))
    }

    /// Whether its bytes are those that were written.
    pub fn is_intact(&self) -> bool {
        self.checksum == self.computed()
    }
}

impl RawLog {
    /// Opens a log.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<RawLog> {
        let file = disk.open(path)?;
        Ok(RawLog {
            length: file.len()?,
            input: BufReader::with_capacity(BUFFER_BYTES, file),
            offset: 0,
        })
    }

    /// Reads the file's header; `None` if it is too short for one.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn header(&mut self) -> io::Result<Option<Header>> {
        let mut bytes = [0; 16];
        if self.length < bytes.len() as u64 {
            return Ok(None);
        }
        self.input.read_exact(&mut bytes)?;
        self.offset = bytes.len() as u64;
        Ok(Some(Header { bytes }))
    }

    /// Where the next record begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record. As in Java's tools an end within a record's head or bytes is the end of the log.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn next_piece(&mut self) -> io::Result<Piece> {
        let Some(head) = self.take::<12>()? else {
            return Ok(Piece::End);
        };
        let [a, b, c, d, e, f, g, h, length @ ..] = head;
        let checksum = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let length = i32::from_be_bytes(length);
        let Ok(wanted) = u64::try_from(length) else {
            return Ok(Piece::Length(length));
        };
        if wanted == 0 {
            return Ok(Piece::End);
        }
        let offset = self.offset;
        let behind = offset + HEAD_BYTES + wanted;
        if behind > self.length {
            // A length beyond all reason is a flaw; one that ends in the dark is a torn end.
            let torn = wanted <= LONGEST_BYTES;
            return Ok(if torn { Piece::End } else { Piece::Length(length) });
        }
        let mut bytes = Vec::new();
        Read::by_ref(&mut self.input)
            .take(wanted)
            .read_to_end(&mut bytes)?;
        let mut mark = [0];
        let marked = behind < self.length && self.input.read_exact(&mut mark).is_ok() && mark == *b"B";
        let record = RawRecord {
            offset,
            checksum,
            bytes,
        };
        if !marked {
            return Ok(Piece::Partial(record));
        }
        self.offset = behind + 1;
        Ok(Piece::Record(record))
    }

    /// Goes to the next intact record behind what cannot be read, and says how many bytes were left out;
    /// `None` if there is no other.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn skip(&mut self) -> io::Result<Option<u64>> {
        let from = self.offset + 1;
        let mut rest = Vec::new();
        self.input.seek(SeekFrom::Start(from.min(self.length)))?;
        self.input.read_to_end(&mut rest)?;
        let found = (0..rest.len()).find(|at| begins_record(&rest[*at..]));
        let Some(found) = found else {
            return Ok(None);
        };
        let skipped = found as u64 + 1;
        self.offset += skipped;
        self.input.seek(SeekFrom::Start(self.offset))?;
        Ok(Some(skipped))
    }

    fn take<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        if self.length.saturating_sub(self.offset) < N as u64 {
            return Ok(None);
        }
        self.input.read_exact(&mut bytes)?;
        Ok(Some(bytes))
    }
}

/// Whether an intact record stands here.
fn begins_record(bytes: &[u8]) -> bool {
    // The upper half of the sum's eight bytes is always empty.
    let Some(([0, 0, 0, 0, sum @ .., l0, l1, l2, l3], rest)) = bytes.split_first_chunk::<12>() else {
        return false;
    };
    let length = i32::from_be_bytes([*l0, *l1, *l2, *l3]);
    let Some((record, [b'B', ..])) = usize::try_from(length)
        .ok()
        .and_then(|length| rest.split_at_checked(length))
    else {
        return false;
    };
    record.len() >= SHORTEST_BYTES && adler32(&record) == u32::from_be_bytes(*sum)
}

const HEAD_BYTES: u64 = 12;
/// A transaction's header alone.
const SHORTEST_BYTES: usize = 32;
/// Far above what `jute.maxbuffer` is ever set to.
const LONGEST_BYTES: u64 = 1 << 30;
const BUFFER_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::MemDisk;

    fn entry(bytes: &[u8]) -> Vec<u8> {
        let mut entry = i64::from(adler32(&bytes)).to_be_bytes().to_vec();
        entry.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
        entry.extend_from_slice(bytes);
        entry.push(b'B');
        entry
    }

    fn log(parts: &[&[u8]]) -> RawLog {
        let disk = MemDisk::new();
        let mut bytes = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\x07".to_vec();
        parts.iter().for_each(|part| bytes.extend_from_slice(part));
        disk.create_dir_all(Path::new("/d")).expect("a directory");
        disk.put(Path::new("/d/log.1"), &bytes);
        let mut log = RawLog::open(&disk, Path::new("/d/log.1")).expect("opened");
        let header = log.header().expect("read").expect("a header");
        assert!(header.is_log());
        let line = "ZooKeeper Transactional Log File with dbid 7 txnlog format version 2";
        assert_eq!(header.line(), line);
        log
    }

    #[test]
    fn records_come_with_wrong_sums_too() {
        let mut wrong = entry(&[7; 40]);
        wrong[20] ^= 1;
        let mut log = log(&[&entry(&[1; 33]), &wrong, &entry(&[2; 34]), &[0; 100]]);
        let mut intact = Vec::new();
        while let Piece::Record(record) = log.next_piece().expect("read") {
            intact.push(record.is_intact());
        }
        assert_eq!(intact, [true, false, true]);
        assert_eq!(log.next_piece().expect("read"), Piece::End);
    }

    #[test]
    fn what_is_no_record_is_told_and_can_be_left_out() {
        let mut unmarked = entry(&[7; 40]);
        unmarked[52] = b'X';
        let mut log = log(&[&unmarked, b"\0\0\0\0\0\0\0\x01\xff\xff\xff\xff", &entry(&[2; 34])]);
        assert!(matches!(log.next_piece().expect("read"), Piece::Partial(_)));
        assert_eq!(log.skip().expect("read"), Some(53 + 12));
        assert!(matches!(log.next_piece().expect("read"), Piece::Record(record) if record.is_intact()));
        assert_eq!(log.next_piece().expect("read"), Piece::End);
        assert_eq!(log.skip().expect("read"), None);
    }

    #[test]
    fn ends_within_a_record_and_lengths_that_cannot_be() {
        let whole = entry(&[7; 40]);
        for cut in [1, 11, 12, 20, 51] {
            assert_eq!(
                log(&[&whole[..cut]]).next_piece().expect("read"),
                Piece::End,
                "{cut}"
            );
        }
        let piece = log(&[&whole[..52]]).next_piece().expect("read");
        assert!(matches!(piece, Piece::Partial(_)));
        let negative = b"\0\0\0\0\0\0\0\x01\xff\xff\xff\xfe";
        assert_eq!(log(&[negative]).next_piece().expect("read"), Piece::Length(-2));
        let huge = b"\0\0\0\0\0\0\0\x01\x7f\xff\xff\xff";
        assert_eq!(log(&[huge]).next_piece().expect("read"), Piece::Length(i32::MAX));
    }
}
