//! The transaction log, as it is read back: across its files, in order, and without a hole.
//!
//! What a crash leaves and what only damage leaves are told apart:
//!
//! - A log may end anywhere within an entry, if no intact entry stands behind that point: that is a **torn
//!   end**. What it held was never acknowledged, since it never was wholly on the disk.
//! - A log that is not the last one may have a torn end too (Java begins a new file after a crash and leaves
//!   the old one as it is), if the next file goes on right behind the last intact entry.
//! - A file that a crash left right at its creation, empty or with half a header, holds nothing.
//! - Anything else is **damage**: acknowledged transactions may be missing, and nobody is served from that.
//!
//! Zxids rise by one within an epoch, and every epoch begins with 1: Java's leaders number all they propose,
//! failed writes included. A log that does not go on so behind its snapshot or its previous file has a hole.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use log::warn;

use super::error::{At, Flaw, StorageError};
use super::log_file::{BadEntry, Entry, LogFile};
use super::log_format::FILE_HEADER;
use super::names::{DataFile, Dirs};
use crate::proto::txn::LoggedTxn;
use crate::proto::{Malformed, OpCode, Zxid};
use crate::runtime::Disk;

/// Iterates over the transactions behind a zxid.
pub struct LogReader<'a> {
    disk: &'a dyn Disk,
    /// Not opened yet.
    files: VecDeque<DataFile>,
    current: Option<LogFile>,
    /// Transactions up to here are known from elsewhere and passed over.
    after: Zxid,
    /// The last transaction that is known: passed over, or handed out.
    last: Zxid,
    /// The one before.
    previous: Zxid,
    /// The last one read in any file, to see that they rise.
    last_read: Option<Zxid>,
    /// Whether an entry of the file at hand has been read.
    is_in_file: bool,
    /// The last intact one before the entry at hand.
    before: Zxid,
    /// Where the last transaction handed out begins, and in which file.
    place: (PathBuf, u64),
    /// Ends that are torn if what follows them fits.
    suspects: Vec<TornEnd>,
    torn: Vec<TornEnd>,
    /// The counter with which an epoch begins.
    first_counter: u32,
    /// Transactions of type 13 that were passed over.
    checks: usize,
}

/// The end of a log that a crash left behind the last intact entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornEnd {
    /// The file.
    pub path: PathBuf,
    /// Where the torn entry begins.
    pub offset: u64,
    /// What is wrong there.
    pub flaw: Flaw,
    /// How many bytes of it there are.
    pub dropped_bytes: u64,
    /// The last transaction before it.
    after: Zxid,
}

impl<'a> LogReader<'a> {
    /// A reader of all transactions behind `after`, which is the snapshot's zxid, or what an empty database
    /// stands at.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn open(disk: &'a dyn Disk, dirs: &Dirs, after: Zxid) -> Result<LogReader<'a>, StorageError> {
        let mut files = dirs.logs(disk)?;
        // The last log that begins at or before the first transaction wanted, and all that follow.
        let begin = files.iter().rposition(|file| file.zxid <= successor(after));
        let files = files.split_off(begin.unwrap_or(0));
        Ok(LogReader {
            disk,
            files: files.into(),
            current: None,
            after,
            last: after,
            previous: after,
            last_read: None,
            is_in_file: false,
            before: after,
            place: (dirs.log.clone(), 0),
            suspects: Vec::new(),
            torn: Vec::new(),
            first_counter: 1,
            checks: 0,
        })
    }

    /// Has epochs begin with another counter than 1. (zookeeper.testingonly.initialZxid, plus one)
    #[must_use]
    pub fn with_first_counter(mut self, counter: u32) -> LogReader<'a> {
        self.first_counter = counter;
        self
    }

    /// The next transaction, `None` at the end of the last log.
    ///
    /// A top-level `check`, which a Java server logs by mistake and then does not start from
    /// (ZOOKEEPER-2623), changes nothing and is passed over with a warning.
    ///
    /// # Errors
    /// [`StorageError::Damaged`], [`StorageError::Gap`], or what the disk refuses.
    pub fn next_txn(&mut self) -> Result<Option<LoggedTxn>, StorageError> {
        loop {
            let Some(log) = &mut self.current else {
                if !self.open_next()? {
                    self.settle();
                    return Ok(None);
                }
                continue;
            };
            match log.next_entry()? {
                Entry::Txn { txn, offset, .. } => {
                    if let Some(txn) = self.judge(txn, offset)? {
                        return Ok(Some(txn));
                    }
                }
                Entry::Bad(bad) => self.suspect(bad)?,
                Entry::End => self.current = None,
            }
        }
    }

    /// The last transaction there is, handed out or passed over.
    pub fn last_zxid(&self) -> Zxid {
        self.last
    }

    /// The last transaction there is that does not exceed `limit`, if the one handed out last was the first
    /// to exceed it, or none does.
    pub(super) fn last_before(&self, limit: Zxid) -> Zxid {
        if self.last > limit {
            self.previous
        } else {
            self.last
        }
    }

    /// The error for a transaction, handed out last, whose record makes no sense.
    pub fn malformed(&self, malformed: Malformed) -> StorageError {
        let (path, offset) = self.place.clone();
        StorageError::Damaged {
            path,
            offset,
            after: self.before,
            what: Flaw::Record(malformed),
        }
    }

    /// The torn ends that were met. Complete once [`LogReader::next_txn`] has returned `None`.
    pub fn torn_ends(&self) -> &[TornEnd] {
        &self.torn
    }

    /// Opens the next file, after a look at whether it goes on where the one before ended.
    fn open_next(&mut self) -> Result<bool, StorageError> {
        let Some(file) = self.files.pop_front() else {
            return Ok(false);
        };
        if file.zxid > self.after {
            self.must_follow(&file.path, file.zxid)?;
            self.settle();
        }
        self.place = (file.path.clone(), 0);
        self.is_in_file = false;
        self.current = Some(LogFile::open(self.disk, &file.path)?);
        Ok(true)
    }

    /// Whether a transaction is to be handed out.
    fn judge(&mut self, txn: LoggedTxn, offset: u64) -> Result<Option<LoggedTxn>, StorageError> {
        let (zxid, op) = (txn.zxid(), txn.header().op);
        self.place.1 = offset;
        self.before = self.last_read.unwrap_or(self.last);
        if self.last_read.is_some_and(|last| zxid <= last) {
            return Err(self.damaged(Flaw::Falling(zxid)));
        }
        self.last_read = Some(zxid);
        let within_a_file = std::mem::replace(&mut self.is_in_file, true);
        if zxid <= self.after {
            return Ok(None);
        }
        if within_a_file {
            self.warn_of_hole(zxid);
        } else {
            self.must_follow(&self.place.0, zxid)?;
        }
        if !is_txn(op) {
            return Err(self.damaged(Flaw::UnknownType(op)));
        }
        self.previous = std::mem::replace(&mut self.last, zxid);
        if op == OpCode::Check.number() {
            self.pass_over_check(zxid);
            return Ok(None);
        }
        Ok(Some(txn))
    }

    /// Between two intact entries of one file nothing is lost: a Java server takes a number for a multi with a
    /// null path and logs nothing for it.
    fn warn_of_hole(&self, zxid: Zxid) {
        if zxid != successor(self.last) && zxid.epoch() == self.last.epoch() {
            let (path, last) = (self.place.0.display(), self.last);
            warn!("{path} goes on with zxid {zxid} behind {last}: the numbers between were never logged");
        }
    }

    fn pass_over_check(&mut self, zxid: Zxid) {
        self.checks += 1;
        if self.checks == 1 {
            warn!(
                "{} has a transaction of type 13 (check), zxid {zxid}, which changes nothing; it and any more \
                 of them are passed over",
                self.place.0.display()
            );
        }
    }

    /// Bytes that are no entry: damage for certain, or to be judged by what follows.
    fn suspect(&mut self, bad: BadEntry) -> Result<(), StorageError> {
        self.place.1 = bad.offset;
        self.before = self.last_read.unwrap_or(self.last);
        if bad.more_behind {
            return Err(self.damaged(bad.flaw));
        }
        self.suspects.push(TornEnd {
            path: self.place.0.clone(),
            offset: bad.offset,
            flaw: bad.flaw,
            dropped_bytes: bad.data_end.saturating_sub(bad.offset),
            after: self.before,
        });
        self.current = None;
        Ok(())
    }

    /// `zxid`, in the file at `path`, must be what comes behind the last one known.
    fn must_follow(&self, path: &Path, zxid: Zxid) -> Result<(), StorageError> {
        // A whole entry with a wrong checksum is no torn write where Java went on writing: it would not have
        // started. Only if nothing is missing behind it, it does no harm.
        let rotten = self.suspects.iter().any(|end| end.flaw == Flaw::Checksum);
        let next = zxid == successor(self.last);
        if next || (self.begins_epoch(zxid) && !rotten) || zxid <= self.last {
            return Ok(());
        }
        if let Some(end) = self.suspects.first() {
            return Err(StorageError::Damaged {
                path: end.path.clone(),
                offset: end.offset,
                after: end.after,
                what: end.flaw,
            });
        }
        Err(StorageError::Gap {
            path: path.to_owned(),
            after: self.last,
            found: zxid,
        })
    }

    /// Whether a transaction is the first of a later epoch.
    fn begins_epoch(&self, zxid: Zxid) -> bool {
        zxid.epoch() > self.last.epoch() && (zxid.counter() == 1 || zxid.counter() == self.first_counter)
    }

    /// What was suspected is torn: nothing is missing behind it.
    fn settle(&mut self) {
        self.torn.append(&mut self.suspects);
    }

    fn damaged(&self, what: Flaw) -> StorageError {
        StorageError::Damaged {
            path: self.place.0.clone(),
            offset: self.place.1,
            after: self.before,
            what,
        }
    }
}

impl TornEnd {
    /// Cuts it off, safely. Java does not start from a log whose last entry has a wrong checksum, nor from
    /// one with half a header.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn cut_off(&self, disk: &dyn Disk) -> Result<(), StorageError> {
        let path = &self.path;
        warn!(
            "{} has a torn end at offset {}: {}. {} bytes behind zxid {}, which a crash left unfinished, are \
             dropped",
            path.display(),
            self.offset,
            self.flaw,
            self.dropped_bytes,
            self.after
        );
        cut(disk, path, self.offset)
    }
}

/// Cuts a log, safely. Where not even its header would stay, the file goes: Java does not start from it.
pub(super) fn cut(disk: &dyn Disk, path: &Path, offset: u64) -> Result<(), StorageError> {
    if offset < FILE_HEADER.len() as u64 {
        disk.remove(path).at("remove", path)?;
        return sync_parent(disk, path);
    }
    let mut file = disk.open_write(path).at("open", path)?;
    file.set_len(offset).at("cut", path)?;
    file.sync().at("sync", path)
}

/// The next number. A log may hold any, also the largest of all.
fn successor(zxid: Zxid) -> Zxid {
    Zxid(zxid.0.wrapping_add(1))
}

/// Whether a type stands in logs: of 3.4 (SerializeUtils.deserializeTxn, and `check` by mistake), or of later versions
/// and proposed here.
fn is_txn(op: i32) -> bool {
    use OpCode::{Check, CloseSession, Create, CreateSession, Delete, Error, Multi, SetAcl, SetData};
    OpCode::of(op).is_some_and(|op| {
        let is_of_3_4 = matches!(
            op,
            Create | Delete | SetData | SetAcl | Check | Multi | CreateSession | CloseSession | Error
        );
        is_of_3_4 || op.is_newer_txn()
    })
}

pub(super) fn sync_parent(disk: &dyn Disk, path: &Path) -> Result<(), StorageError> {
    let dir = path.parent().unwrap_or(path);
    disk.sync_dir(dir).at("sync the directory", dir)
}

#[cfg(test)]
#[path = "log_reader_tests.rs"]
mod tests;
