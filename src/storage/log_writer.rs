//! The transaction log, as it is written. (FileTxnLog, FilePadding)

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use log::{info, trace, warn};

use super::error::{At, StorageError};
use super::log_file::LogFile;
use super::log_format::{FILE_HEADER, put_entry};
use super::names::Dirs;
use crate::proto::Zxid;
use crate::proto::txn::LoggedTxn;
use crate::runtime::{Disk, DiskFile};
use crate::seeded_fault::SeededFault;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogOptions {
    /// By how many bytes of zeros a file grows ahead of what is written; 0 for none. (preAllocSize)
    pub prealloc_bytes: u64,
    /// Whether [`LogWriter::commit`] waits for the disk. Without it a loss of power loses what was
    /// acknowledged. (forceSync)
    pub force_sync: bool,
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            prealloc_bytes: 64 << 20,
            force_sync: true,
        }
    }
}

/// Appends transactions to the newest log. One at a time may exist for a directory.
///
/// What [`LogWriter::append`] takes is held in memory; [`LogWriter::commit`] writes all of it at once and
/// makes it safe. After any failure the writer takes nothing more, since nobody can say then what the disk
/// holds: the server must end, and recovery will tell. (Java goes on after some failures, ZOOKEEPER-4882.)
pub struct LogWriter {
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    options: LogOptions,
    /// The last transaction appended.
    last: Zxid,
    /// Entries that are not in the file yet.
    buffer: Vec<u8>,
    file: Option<OpenLog>,
    failed: Option<String>,
}

/// The file at hand.
struct OpenLog {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// How much of it is written.
    written_bytes: u64,
    /// How long it is, with the zeros ahead.
    size_bytes: u64,
    /// Whether all that is written is safe.
    synced: bool,
    /// Whether its name is safe.
    named: bool,
}

impl LogWriter {
    /// A writer behind `last`, the last transaction that recovery found. No file is made yet.
    ///
    /// # Errors
    /// [`StorageError::LogExists`] if a log is there that begins behind `last` and holds transactions.
    pub fn open(
        disk: Arc<dyn Disk>,
        dirs: Dirs,
        last: Zxid,
        options: LogOptions,
    ) -> Result<LogWriter, StorageError> {
        for log in dirs.logs(&*disk)?.into_iter().filter(|log| log.zxid > last) {
            if !LogFile::holds_nothing(&*disk, &log.path)? {
                return Err(StorageError::LogExists(log.path));
            }
        }
        Ok(LogWriter {
            disk,
            dirs,
            options,
            last,
            buffer: Vec::new(),
            file: None,
            failed: None,
        })
    }

    /// Takes a transaction. It is not safe before [`LogWriter::commit`] has returned.
    ///
    /// Its zxid must exceed the last one's: Java warns of a lesser one and writes it all the same, and what
    /// such a log says at the next start is anyone's guess.
    ///
    /// # Errors
    /// [`StorageError::Order`], or what the disk refuses; the writer has failed then.
    pub fn append(&mut self, txn: &LoggedTxn) -> Result<(), StorageError> {
        self.attempt(|log| {
            let zxid = txn.zxid();
            if zxid <= log.last {
                let (op, last) = (txn.header().op, log.last);
                return Err(StorageError::Order { zxid, op, last });
            }
            if log.file.is_none() {
                log.file = Some(log.begin_file(zxid)?);
                log.buffer.extend_from_slice(&FILE_HEADER);
            }
            put_entry(txn.bytes(), &mut log.buffer);
            log.last = zxid;
            if log.buffer.len() >= WRITE_AT_BYTES {
                log.write_out()?;
            }
            Ok(())
        })
    }

    /// Makes all that was appended safe, and says up to which transaction the log is.
    ///
    /// # Errors
    /// What the disk refuses; nothing appended since the last commit may be acknowledged then, ever.
    pub fn commit(&mut self) -> Result<Zxid, StorageError> {
        self.attempt(|log| {
            log.write_out()?;
            log.sync()?;
            Ok(log.last)
        })
    }

    /// Ends the file at hand, safely; the next transaction begins a new one.
    ///
    /// The old file is synced before the new one exists, so that no crash can keep the newer and lose the
    /// older. (Java syncs both at the next commit.)
    ///
    /// # Errors
    /// As [`LogWriter::commit`].
    pub fn roll(&mut self) -> Result<(), StorageError> {
        self.commit()?;
        self.file = None;
        Ok(())
    }

    /// The last transaction appended, safe or not.
    pub fn last_zxid(&self) -> Zxid {
        self.last
    }

    /// Does something unless something failed before, and remembers if this fails.
    fn attempt<T>(
        &mut self,
        act: impl FnOnce(&mut LogWriter) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        if let Some(failure) = &self.failed {
            return Err(StorageError::Failed(failure.clone()));
        }
        act(self).inspect_err(|error| self.failed = Some(error.to_string()))
    }

    /// Makes the file whose first transaction is `first`.
    fn begin_file(&self, first: Zxid) -> Result<OpenLog, StorageError> {
        let path = self.dirs.log_file(first);
        info!("Creating new log file: log.{:x}", first.0);
        let file = match self.disk.create_new(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // A crash right after its creation left it. Java would write over it whatever it holds.
                if !LogFile::holds_nothing(&*self.disk, &path)? {
                    return Err(StorageError::LogExists(path));
                }
                warn!("{} holds no transaction and is made anew", path.display());
                self.disk.remove(&path).at("remove", &path)?;
                self.disk.create_new(&path)
            }
            made => made,
        };
        Ok(OpenLog {
            file: file.at("create", &path)?,
            path,
            written_bytes: 0,
            size_bytes: 0,
            synced: true,
            named: false,
        })
    }

    /// Hands what is held in memory to the file.
    fn write_out(&mut self) -> Result<(), StorageError> {
        let Some(log) = &mut self.file else {
            return Ok(());
        };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = log.written_bytes + self.buffer.len() as u64;
        let step = self.options.prealloc_bytes;
        let size = match log.size_bytes {
            // Java grows a new file by a whole step right behind its header.
            0 => FILE_HEADER.len() as u64 + step,
            size => size,
        };
        let size = padded_size(end, size, step);
        log.synced = false;
        if size > log.size_bytes && size > end {
            log.file.set_len(size).at("grow", &log.path)?;
        }
        log.file.write_all(&self.buffer).at("write", &log.path)?;
        log.written_bytes = end;
        log.size_bytes = size.max(end);
        self.buffer.clear();
        self.buffer.shrink_to(KEEP_BYTES);
        Ok(())
    }

    /// Waits until the disk has the file and its name.
    fn sync(&mut self) -> Result<(), StorageError> {
        let Some(log) = &mut self.file else {
            return Ok(());
        };
        if !self.options.force_sync || log.synced || SeededFault::AckBeforeSync.on() {
            return Ok(());
        }
        log.file.sync().at("sync", &log.path)?;
        if !log.named {
            let dir = &self.dirs.log;
            self.disk.sync_dir(dir).at("sync the directory", dir)?;
        }
        log.synced = true;
        log.named = true;
        trace!("{} is safe up to {} bytes", log.path.display(), log.written_bytes);
        Ok(())
    }
}

/// How long the file is to be when `end` bytes of it are written: grown by `step` once less than 4 KiB of
/// zeros are left. (FilePadding.calculateFileSizeWithPadding)
fn padded_size(end: u64, size: u64, step: u64) -> u64 {
    if step == 0 || end + SPARE_BYTES < size {
        return size;
    }
    if end > size {
        let grown = end + step;
        return grown - grown % step;
    }
    size + step
}

/// The file grows when fewer zeros than these are left.
const SPARE_BYTES: u64 = 4096;
/// So much is held in memory at most between commits, beside the last transaction.
const WRITE_AT_BYTES: usize = 1 << 20;
/// So much memory is kept for the next batch after an outsized one.
const KEEP_BYTES: usize = 2 << 20;

#[cfg(test)]
#[path = "log_writer_tests.rs"]
mod tests;
