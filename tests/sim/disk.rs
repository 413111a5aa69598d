//! A server's disk: `MemDisk` with what the simulation adds: each change goes into the trace, and while a stage
//! waits for the disk others go on.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use oxkeeper::runtime::{Disk, DiskFile, MemDisk};

use super::sched::Sched;
use super::trace::Trace;

/// A disk as one process has it.
#[derive(Clone)]
pub struct SimDisk {
    pub mem: MemDisk,
    pub trace: Trace,
    pub sched: Sched,
}

impl SimDisk {
    fn wrap(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        let disk = self.clone();
        file.map(|file| Box::new(SimFile { file, disk }) as Box<dyn DiskFile>)
    }

    fn note(&self, kind: u64, path: &Path) {
        self.trace.bytes(kind, path.as_os_str().as_encoded_bytes());
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.mem.open(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(self.mem.open_write(path))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.note(1, path);
        self.wrap(self.mem.create_new(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(2, to);
        self.mem.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note(3, path);
        self.mem.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.mem.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.mem.create_dir_all(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.note(4, dir);
        self.mem.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> bool {
        self.mem.exists(path)
    }

    fn lock_dir(&self, dir: &Path) -> io::Result<Box<dyn Send>> {
        self.mem.lock_dir(dir)
    }
}

struct SimFile {
    file: Box<dyn DiskFile>,
    disk: SimDisk,
}

impl Read for SimFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Write for SimFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.disk.trace.bytes(5, bytes);
        let written = self.file.write(bytes);
        self.disk.sched.yield_some();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for SimFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn next_data(&mut self, from: u64) -> io::Result<Option<u64>> {
        self.file.next_data(from)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.trace.bytes(6, &[]);
        let synced = self.file.sync();
        self.disk.sched.yield_some();
        synced
    }
}
