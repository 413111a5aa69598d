//! The real disk. The only file of the server that opens data files.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind::{InvalidInput, Unsupported};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use super::disk::{Disk, DiskFile};

/// The file system of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsDisk;

impl Disk for OsDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile(File::open(path)?)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OsFile(
            OpenOptions::new().read(true).write(true).open(path)?,
        )))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        Ok(Box::new(OsFile(
            options.read(true).write(true).create_new(true).open(path)?,
        )))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                files.push(entry.path());
            }
        }
        files.sort();
        Ok(files)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match File::open(dir)?.sync_all() {
            // Some network and user-space file systems know no sync of a directory. Their names are as safe as
            // they get; Java syncs none anywhere.
            Err(error) if matches!(error.kind(), InvalidInput | Unsupported) => Ok(()),
            synced => synced,
        }
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn modified_ms(&self, path: &Path) -> io::Result<i64> {
        let changed = fs::metadata(path)?.modified()?;
        Ok(changed
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_millis() as i64))
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<Box<dyn Send>> {
        let file = File::open(dir)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

struct OsFile(File);

impl Read for OsFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for OsFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Seek for OsFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl DiskFile for OsFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn next_data(&mut self, from: u64) -> io::Result<Option<u64>> {
        match rustix::fs::seek(&self.0, rustix::fs::SeekFrom::Data(from)) {
            Ok(at) => Ok(Some(at)),
            Err(rustix::io::Errno::NXIO) => Ok(None),
            // What cannot be asked is read.
            Err(_) => Ok(Some(from)),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_owner() {
        let dir = tempfile::tempdir().expect("a directory");
        let lock = OsDisk.lock_dir(dir.path()).expect("free");
        let taken = OsDisk.lock_dir(dir.path()).err().map(|error| error.kind());
        assert_eq!(taken, Some(io::ErrorKind::WouldBlock));
        drop(lock);
        assert!(OsDisk.lock_dir(dir.path()).is_ok());
    }

    #[test]
    fn what_a_file_has_grown_by_is_no_data() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut file = OsDisk.create_new(&dir.path().join("a")).expect("a new file");
        let written = file.write_all(&[7; 10]).and_then(|()| file.set_len(64 << 20));
        written.expect("written");
        assert_eq!(file.next_data(3).expect("an answer"), Some(3));
        // A file system without holes may say otherwise, but never more.
        let behind = file.next_data(32 << 20).expect("an answer");
        assert!(behind.is_none_or(|at| at == 32 << 20), "{behind:?}");
        assert_eq!(file.next_data(64 << 20).expect("an answer"), None);
    }

    #[test]
    fn files_are_made_once_renamed_and_listed_by_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let (first, second) = (dir.path().join("b"), dir.path().join("a"));
        let mut file = OsDisk.create_new(&first).expect("a new file");
        file.write_all(b"text")
            .and_then(|()| file.sync())
            .expect("written");
        assert_eq!(
            OsDisk.create_new(&first).err().map(|e| e.kind()),
            Some(io::ErrorKind::AlreadyExists)
        );
        OsDisk
            .rename(&first, &second)
            .and_then(|()| OsDisk.sync_dir(dir.path()))
            .expect("renamed");
        assert!(!OsDisk.exists(&first));
        assert_eq!(
            OsDisk.list(dir.path()).expect("a list"),
            std::slice::from_ref(&second)
        );
        assert_eq!(OsDisk.open(&second).and_then(|f| f.len()).expect("its length"), 4);
    }
}
