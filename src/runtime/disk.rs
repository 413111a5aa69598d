//! The seam to files. A simulator's disk implements it with crashes, torn writes and lost directory entries.

use std::io;
use std::path::{Path, PathBuf};

/// A directory tree.
///
/// The promises are those of a POSIX file system and no more: bytes written are safe after
/// [`DiskFile::sync`] of the file; a file made, renamed or removed is safe after [`Disk::sync_dir`] of its
/// directory.
pub trait Disk: Send + Sync {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// Those of the operating system, as of all methods here.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Makes a new file, and fails if the name is taken.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in one step, over whatever had that name.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The files of a directory, sorted by name.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;

    /// Makes a directory and those above it.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// Makes the directory's entries safe.
    ///
    /// # Errors
    /// As [`Disk::open`].
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether the name is taken.
    fn exists(&self, path: &Path) -> bool;

    /// When a file was changed last, wall milliseconds: for people to look at.
    ///
    /// # Errors
    /// As [`Disk::open`]; a disk without a clock says that it has none.
    fn modified_ms(&self, _path: &Path) -> io::Result<i64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes a directory for this process alone, until what is returned is dropped. Nothing is written.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process has it.
    fn lock_dir(&self, dir: &Path) -> io::Result<Box<dyn Send>>;
}

/// An open file. Reading and writing share one position.
pub trait DiskFile: io::Read + io::Write + io::Seek + Send {
    /// How long the file is, bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len(&self) -> io::Result<u64>;

    /// Whether it holds nothing.
    ///
    /// # Errors
    /// As [`DiskFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file, or grows it by zeros.
    ///
    /// # Errors
    /// As [`DiskFile::len`].
    fn set_len(&mut self, bytes: u64) -> io::Result<()>;

    /// Where, at `from` or behind it, bytes begin that are not part of a hole; `None` if only a hole follows.
    /// Holes read as zeros, and a file that has grown ahead of its content is full of them. A file system that
    /// knows no holes gives `from`. The position is anywhere afterwards.
    ///
    /// # Errors
    /// As [`DiskFile::len`].
    fn next_data(&mut self, from: u64) -> io::Result<Option<u64>>;

    /// Makes what was written safe: the data, and as much of the metadata as reading it back takes (fdatasync).
    ///
    /// # Errors
    /// As [`DiskFile::len`].
    fn sync(&mut self) -> io::Result<()>;
}
