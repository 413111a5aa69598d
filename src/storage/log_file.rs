//! One log file, entry by entry, telling its end from damage.

use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::{At, Flaw, StorageError};
use super::log_format::{
    END_MARK, ENTRY_HEAD_BYTES, FILE_HEADER, MAGIC_BYTES, SHORTEST_TXN_BYTES, is_sum_of,
};
use crate::proto::txn::LoggedTxn;
use crate::proto::{Malformed, Zxid};
use crate::runtime::{Disk, DiskFile};

/// A log file that is being read.
pub struct LogFile {
    path: PathBuf,
    input: BufReader<Box<dyn DiskFile>>,
    /// Where the next entry begins.
    offset: u64,
    /// How long the file is.
    length: u64,
    /// The last transaction read.
    last: Zxid,
    done: bool,
}

/// What comes next in a log file.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry {
    /// A transaction, framed and summed correctly.
    Txn {
        /// Its header and bytes.
        txn: LoggedTxn,
        /// Where its entry begins.
        offset: u64,
        /// Where the next one begins.
        end: u64,
    },
    /// No more: the file ends here, or goes on with nothing but zeros.
    End,
    /// Bytes that are no entry.
    Bad(BadEntry),
}

/// Where entries stop making sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadEntry {
    /// Where the bad entry begins.
    pub offset: u64,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// Whether an intact entry stands somewhere behind it. Then this is no torn end.
    pub more_behind: bool,
    /// Behind this offset the file holds zeros only.
    pub data_end: u64,
}

impl LogFile {
    /// Opens a log. Its own header is judged by the first [`LogFile::next_entry`].
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<LogFile, StorageError> {
        let file = disk.open(path).at("open", path)?;
        Ok(LogFile {
            path: path.to_owned(),
            length: file.len().at("read", path)?,
            input: BufReader::with_capacity(BUFFER_BYTES, file),
            offset: 0,
            last: Zxid(0),
            done: false,
        })
    }

    /// Whether a log has no transaction, nor anything that might be a damaged one: it is empty, or ends
    /// within its header, or holds its header and zeros, or zeros only.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn holds_nothing(disk: &dyn Disk, path: &Path) -> Result<bool, StorageError> {
        let mut file = LogFile::open(disk, path)?;
        Ok(match file.next_entry()? {
            Entry::Txn { .. } => false,
            Entry::End => true,
            Entry::Bad(bad) => bad.flaw == Flaw::Header,
        })
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next transaction, or why there is none. After `End` or `Bad` comes `End`.
    ///
    /// # Errors
    /// What the disk refuses: never a matter of the bytes.
    pub fn next_entry(&mut self) -> Result<Entry, StorageError> {
        if self.done {
            return Ok(Entry::End);
        }
        let entry = self.read_entry();
        let entry = entry.at("read", &self.path)?;
        self.done = !matches!(entry, Entry::Txn { .. });
        Ok(entry)
    }

    fn read_entry(&mut self) -> io::Result<Entry> {
        if self.offset == 0
            && let Some(entry) = self.read_header()?
        {
            return Ok(entry);
        }
        let mut head = [0; ENTRY_HEAD_BYTES];
        let head = &mut head[..ENTRY_HEAD_BYTES.min(to_usize(self.left()))];
        self.input.read_exact(head)?;
        if head.iter().all(|byte| *byte == 0) {
            return self.zeros();
        }
        let (Some(checksum), Some(length)) = (number(head, 0), number(head, 8)) else {
            return self.bad(Flaw::Cut);
        };
        let (checksum, length) = (i64::from_be_bytes(checksum), i32::from_be_bytes(length));
        let Some(length) = usize::try_from(length).ok().filter(|l| *l >= SHORTEST_TXN_BYTES) else {
            return self.bad(Flaw::Length(length));
        };
        let end = self.offset + (ENTRY_HEAD_BYTES + length + 1) as u64;
        if end > self.length {
            return self.bad(Flaw::Cut);
        }
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        let mut mark = [0];
        self.input.read_exact(&mut mark)?;
        if mark[0] != END_MARK {
            return self.bad(Flaw::EndMark);
        }
        match is_sum_of(checksum, &bytes).then(|| LoggedTxn::from_bytes(bytes)) {
            None => self.bad(Flaw::Checksum),
            Some(Err(malformed)) => self.bad(Flaw::Record(malformed)),
            Some(Ok(txn)) => {
                let offset = std::mem::replace(&mut self.offset, end);
                self.last = txn.zxid();
                Ok(Entry::Txn { txn, offset, end })
            }
        }
    }

    /// Reads the file's header; an entry if no transaction can follow it.
    fn read_header(&mut self) -> io::Result<Option<Entry>> {
        let mut header = [0; FILE_HEADER.len()];
        let held = header.len().min(to_usize(self.length));
        self.input.read_exact(&mut header[..held])?;
        if held == header.len() && header[..MAGIC_BYTES] == FILE_HEADER[..MAGIC_BYTES] {
            self.offset = FILE_HEADER.len() as u64;
            return Ok(None);
        }
        let same = header
            .iter()
            .zip(FILE_HEADER)
            .take_while(|(a, b)| **a == *b)
            .count();
        let torn = header[same..].iter().all(|byte| *byte == 0);
        if !torn {
            let foreign = BadEntry {
                offset: 0,
                flaw: Flaw::Magic,
                more_behind: true,
                data_end: self.length,
            };
            return Ok(Some(Entry::Bad(foreign)));
        }
        let entry = self.bad(Flaw::Header)?;
        Ok(Some(match entry {
            Entry::Bad(bad) if bad.data_end > FILE_HEADER.len() as u64 => Entry::Bad(BadEntry {
                flaw: Flaw::Magic,
                ..bad
            }),
            entry => entry,
        }))
    }

    /// Zeros stand where an entry is due: the end, unless something else follows them.
    fn zeros(&mut self) -> io::Result<Entry> {
        Ok(match self.bad(Flaw::Zeros)? {
            Entry::Bad(bad) if bad.data_end <= bad.offset => Entry::End,
            entry => entry,
        })
    }

    /// The entry at hand is bad: looks at what stands behind its beginning.
    fn bad(&mut self, flaw: Flaw) -> io::Result<Entry> {
        let mut search = Search {
            file: self.input.get_mut(),
            length: self.length,
            last: self.last,
        };
        let (more_behind, data_end) = search.run(self.offset)?;
        Ok(Entry::Bad(BadEntry {
            offset: self.offset,
            flaw,
            more_behind,
            data_end,
        }))
    }

    fn left(&self) -> u64 {
        self.length.saturating_sub(self.offset)
    }
}

/// Looks for intact entries where none can be expected.
struct Search<'a> {
    file: &'a mut Box<dyn DiskFile>,
    length: u64,
    /// An entry that does not exceed this one is none of this log.
    last: Zxid,
}

impl Search<'_> {
    /// Whether an intact entry begins behind `from`, and where the last byte ends that is not zero.
    fn run(&mut self, from: u64) -> io::Result<(bool, u64)> {
        let mut found = false;
        let mut data_end = from;
        let mut at = from;
        let mut window = Vec::new();
        let zeros = vec![0; WINDOW_BYTES];
        while let Some(data) = self.file.next_data(at)?.filter(|&data| data < self.length) {
            // A head may begin with zeros, in the hole before its data.
            at = at.max(data.saturating_sub(ENTRY_HEAD_BYTES as u64 - 1));
            let size = (self.length - at).min(WINDOW_BYTES as u64);
            window.resize(to_usize(size), 0);
            self.file.seek(SeekFrom::Start(at))?;
            self.file.read_exact(&mut window)?;
            // Comparing slices is a matter of microseconds; the zeros ahead are many.
            if window != zeros[..window.len()]
                && let Some(last) = window.iter().rposition(|byte| *byte != 0)
            {
                data_end = at + last as u64 + 1;
                found = found || self.window(&window, at, from)?;
            }
            if at + size >= self.length {
                break;
            }
            // The next window begins early enough for a head that spans the two.
            at += size - (ENTRY_HEAD_BYTES as u64 - 1);
        }
        Ok((found, data_end))
    }

    fn window(&mut self, window: &[u8], at: u64, from: u64) -> io::Result<bool> {
        for (index, head) in window.windows(ENTRY_HEAD_BYTES).enumerate() {
            let offset = at + index as u64;
            // Adler-32 fills the lower half of its eight bytes, and is never 0.
            let likely = head[..4] == [0; 4] && head[4..8] != [0; 4];
            if likely && offset > from && self.is_entry(head, offset)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_entry(&mut self, head: &[u8], offset: u64) -> io::Result<bool> {
        let (Some(checksum), Some(length)) = (number(head, 0), number(head, 8)) else {
            return Ok(false);
        };
        let length = i64::from(i32::from_be_bytes(length));
        let start = offset + ENTRY_HEAD_BYTES as u64;
        let fits = length >= SHORTEST_TXN_BYTES as i64 && start + length.unsigned_abs() < self.length;
        if !fits {
            return Ok(false);
        }
        let mut mark = [0];
        self.file.seek(SeekFrom::Start(start + length.unsigned_abs()))?;
        self.file.read_exact(&mut mark)?;
        if mark[0] != END_MARK {
            return Ok(false);
        }
        let mut bytes = vec![0; to_usize(length.unsigned_abs())];
        self.file.seek(SeekFrom::Start(start))?;
        self.file.read_exact(&mut bytes)?;
        let intact = is_sum_of(i64::from_be_bytes(checksum), &bytes);
        let txn: Result<LoggedTxn, Malformed> = LoggedTxn::from_bytes(bytes);
        Ok(intact && txn.is_ok_and(|txn| txn.zxid() > self.last))
    }
}

/// The `N` bytes at an offset.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// A length that is bounded by what the file holds; on a machine of 32 bits by its memory.
fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

const BUFFER_BYTES: usize = 256 << 10;
const WINDOW_BYTES: usize = 1 << 20;
