//! Snapshots: the whole tree in one file. (FileSnap)
//!
//! ```text
//! file = "ZKSN" | version 2: i32 | database -1: i64 | tree | Adler-32 of all before: i64 | "/": string
//! ```
//!
//! Java writes a snapshot under its final name and does not sync it, so that a crash leaves half of one. Here
//! it gets its name once it is whole and safe. A half one of Java's is told by its checksum and passed over.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use simd_adler32::Adler32;
use thiserror::Error;

use super::error::{At, StorageError};
use super::log_reader::sync_parent;
use super::names::Dirs;
use crate::proto::Zxid;
use crate::runtime::{Disk, DiskFile};
use crate::tree::{DataTree, ReadTreeError};

/// A snapshot that is being written. Dropped before its end, it leaves nothing.
pub struct SnapshotWriter {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    /// Where it lies until it is whole.
    unfinished: PathBuf,
    path: PathBuf,
    sum: Adler32,
    /// What is summed but not written yet.
    buffer: Vec<u8>,
    unsynced_bytes: usize,
    finished: bool,
}

impl SnapshotWriter {
    /// Begins a snapshot. `last` is the last transaction that the tree has now, before its first node is
    /// read: those that follow may or may not be in it, and are replayed from the log.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn begin(disk: Arc<dyn Disk>, dirs: &Dirs, last: Zxid) -> Result<SnapshotWriter, StorageError> {
        let unfinished = dirs.unfinished_snapshot_file(last);
        if disk.exists(&unfinished) {
            disk.remove(&unfinished).at("remove", &unfinished)?;
        }
        let file = disk.create_new(&unfinished).at("create", &unfinished)?;
        let mut writer = SnapshotWriter {
            disk,
            file,
            unfinished,
            path: dirs.snapshot_file(last),
            sum: Adler32::new(),
            buffer: Vec::with_capacity(WRITE_AT_BYTES),
            unsynced_bytes: 0,
            finished: false,
        };
        writer.write(&FILE_HEADER)?;
        Ok(writer)
    }

    /// Adds a piece of the tree's stream.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        self.sum.write(piece);
        self.buffer.extend_from_slice(piece);
        if self.buffer.len() >= WRITE_AT_BYTES {
            self.write_out()?;
        }
        // In small steps, so that the log's sync never waits behind hundreds of megabytes.
        if self.unsynced_bytes >= SYNC_AT_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    /// Ends the snapshot and gives it its name, safely.
    ///
    /// # Errors
    /// What the disk refuses; there is no such snapshot then, unless its directory alone could not be synced.
    pub fn finish(mut self) -> Result<PathBuf, StorageError> {
        let sum = i64::from(self.sum.finish());
        self.buffer.extend_from_slice(&sum.to_be_bytes());
        self.buffer.extend_from_slice(&TRAILER);
        self.write_out()?;
        self.sync()?;
        self.disk
            .rename(&self.unfinished, &self.path)
            .at("rename to", &self.path)?;
        self.finished = true;
        sync_parent(&*self.disk, &self.path)?;
        Ok(self.path.clone())
    }

    fn write_out(&mut self) -> Result<(), StorageError> {
        self.file.write_all(&self.buffer).at("write", &self.unfinished)?;
        self.unsynced_bytes += self.buffer.len();
        self.buffer.clear();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.file.sync().at("sync", &self.unfinished)?;
        self.unsynced_bytes = 0;
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed now is removed at the next start.
            drop(self.disk.remove(&self.unfinished));
        }
    }
}

/// Why a file is no valid snapshot.
#[derive(Debug, Error)]
pub enum InvalidSnapshot {
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    Io(#[from] io::Error),
    /// It does not begin as a snapshot does.
    #[error("it does not begin with the magic number ZKSN")]
    Magic,
    /// It is of another format.
    #[error("it has the version {0}, not 2")]
    Version(i32),
    /// Its bytes are not those that were written.
    #[error("CRC corruption: its checksum is {found:#x}, its bytes give {computed:#x}")]
    Checksum {
        /// As the file says.
        found: i64,
        /// As its bytes say.
        computed: i64,
    },
    /// It does not end as a snapshot does.
    #[error("it does not end as a snapshot does")]
    Trailer,
    /// What it holds is no tree.
    #[error("it holds no tree: {0}")]
    Tree(#[from] ReadTreeError),
}

/// Reads a snapshot whole: header, tree, checksum, end.
///
/// # Errors
/// [`InvalidSnapshot`]
pub fn read_snapshot(disk: &dyn Disk, path: &Path) -> Result<DataTree, InvalidSnapshot> {
    let mut input = SnapshotInput::open(disk, path)?;
    let tree = DataTree::read_from(&mut input)?;
    input.finish()?;
    Ok(tree)
}

/// Writes a snapshot of a tree that nobody changes meanwhile.
///
/// # Errors
/// What the disk refuses.
pub fn write_snapshot(disk: Arc<dyn Disk>, dirs: &Dirs, tree: &DataTree) -> Result<PathBuf, StorageError> {
    let mut walk = tree.begin_walk();
    let mut writer = SnapshotWriter::begin(disk, dirs, walk.zxid())?;
    let mut piece = Vec::new();
    // The tree is the one in which the walk began, so a step cannot fail.
    while let Ok(done) = walk.walk_some(tree, STEP_NODES, &mut piece) {
        writer.write(&piece)?;
        piece.clear();
        if done {
            break;
        }
    }
    writer.finish()
}

/// The bytes of a snapshot's tree, summed as they are read.
pub struct SnapshotInput {
    file: Box<dyn DiskFile>,
    sum: Adler32,
    buffer: Vec<u8>,
    /// How much of the buffer is filled.
    filled: usize,
    /// How much of that is read.
    read: usize,
    /// How much of that is summed.
    summed: usize,
}

impl SnapshotInput {
    /// Opens a snapshot and reads its header.
    ///
    /// # Errors
    /// [`InvalidSnapshot`]
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<SnapshotInput, InvalidSnapshot> {
        let mut input = SnapshotInput {
            file: disk.open(path)?,
            sum: Adler32::new(),
            buffer: vec![0; BUFFER_BYTES],
            filled: 0,
            read: 0,
            summed: 0,
        };
        let mut header = [0; FILE_HEADER.len()];
        input.read_exact(&mut header)?;
        let [m0, m1, m2, m3, v0, v1, v2, v3, ..] = header;
        if [m0, m1, m2, m3] != *b"ZKSN" {
            return Err(InvalidSnapshot::Magic);
        }
        match i32::from_be_bytes([v0, v1, v2, v3]) {
            2 => Ok(input),
            version => Err(InvalidSnapshot::Version(version)),
        }
    }

    /// Checks, behind the tree, the checksum and the end.
    ///
    /// # Errors
    /// [`InvalidSnapshot`]
    pub fn finish(mut self) -> Result<(), InvalidSnapshot> {
        self.add_up();
        let computed = i64::from(self.sum.finish());
        let mut found = [0; 8];
        self.read_exact(&mut found)?;
        let found = i64::from_be_bytes(found);
        if found != computed {
            return Err(InvalidSnapshot::Checksum { found, computed });
        }
        let mut end = Vec::new();
        self.take(TRAILER.len() as u64 + 1).read_to_end(&mut end)?;
        if end != TRAILER {
            return Err(InvalidSnapshot::Trailer);
        }
        Ok(())
    }

    fn refill(&mut self) -> io::Result<()> {
        self.add_up();
        self.filled = self.file.read(&mut self.buffer)?;
        self.read = 0;
        self.summed = 0;
        Ok(())
    }

    /// Sums what was read since the last time: in large pieces, which is what makes it fast.
    fn add_up(&mut self) {
        self.sum.write(&self.buffer[self.summed..self.read]);
        self.summed = self.read;
    }
}

impl Read for SnapshotInput {
    #[inline]
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.filled {
            self.refill()?;
        }
        let count = out.len().min(self.filled - self.read);
        out[..count].copy_from_slice(&self.buffer[self.read..self.read + count]);
        self.read += count;
        Ok(count)
    }

    /// The tree reads millions of small fields: almost all of them lie in the buffer.
    #[inline]
    fn read_exact(&mut self, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            match self.read(out)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => out = &mut out[count..],
            }
        }
        Ok(())
    }
}

/// Whether a file is a whole snapshot, by its header, its checksum and its end, without making a tree of it.
///
/// # Errors
/// [`InvalidSnapshot`]
pub fn verify_snapshot(disk: &dyn Disk, path: &Path) -> Result<(), InvalidSnapshot> {
    let length = disk.open(path)?.len()?;
    let tail = (TRAILER.len() + size_of::<i64>()) as u64;
    let mut input = SnapshotInput::open(disk, path)?;
    let Some(mut left) = length.checked_sub(FILE_HEADER.len() as u64 + tail) else {
        return Err(InvalidSnapshot::Trailer);
    };
    let mut piece = vec![0; BUFFER_BYTES];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES);
        input.read_exact(&mut piece[..wanted])?;
        left -= wanted as u64;
    }
    input.finish()
}

/// What every snapshot begins with.
const FILE_HEADER: [u8; 16] = *b"ZKSN\0\0\0\x02\xff\xff\xff\xff\xff\xff\xff\xff";
/// What it ends with: the string "/".
const TRAILER: [u8; 5] = *b"\0\0\0\x01/";
const WRITE_AT_BYTES: usize = 1 << 20;
const SYNC_AT_BYTES: usize = 16 << 20;
const BUFFER_BYTES: usize = 1 << 20;
/// How many nodes are read in one step, at most.
const STEP_NODES: usize = 4096;

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
