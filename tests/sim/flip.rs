//! A bit on a disk that nobody wrote.

use std::path::{Path, PathBuf};

use oxkeeper::runtime::{Disk, MemDisk};
use oxkeeper::storage::{Entry, LogFile};

use super::rng::Rng;
use super::server::data_dirs;

/// Which bit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flip {
    pub path: PathBuf,
    offset: usize,
    mask: u8,
}

impl Flip {
    /// Changes a bit of any log, snapshot or file of an epoch. What no checksum of these formats could tell from a
    /// crash or from another number is left alone: the last record of a log, the digits of an epoch.
    pub fn any(disk: &MemDisk, rng: &mut Rng) -> Option<Flip> {
        let dirs = data_dirs();
        let mut files = disk.list(&dirs.snapshot).ok()?;
        files.retain(|path| !path.to_string_lossy().contains("tmp"));
        if files.is_empty() {
            return None;
        }
        let path = rng.pick(&files).clone();
        let is_epoch = path.to_string_lossy().ends_with("Epoch");
        let is_log = dirs.logs(disk).ok()?.iter().any(|log| log.path == path);
        let length = if is_log {
            last_record(disk, &path)?
        } else {
            disk.contents(&path)?.len()
        };
        let offset = (length > 0).then(|| rng.below(length as u64) as usize)?;
        let mask = if is_epoch { 0x80 } else { 1 << rng.below(8) };
        let flip = Flip { path, offset, mask };
        flip.change(disk);
        Some(flip)
    }

    /// Somebody brings the file back, if it is still there.
    pub fn undo(&self, disk: &MemDisk) {
        self.change(disk);
    }

    fn change(&self, disk: &MemDisk) {
        if let Some(mut bytes) = disk
            .contents(&self.path)
            .filter(|bytes| bytes.len() > self.offset)
        {
            bytes[self.offset] ^= self.mask;
            disk.put(&self.path, &bytes);
        }
    }
}

/// Where the last record of a log begins.
fn last_record(disk: &MemDisk, path: &Path) -> Option<usize> {
    let mut log = LogFile::open(disk, path).ok()?;
    let mut last = None;
    while let Ok(Entry::Txn { offset, .. }) = log.next_entry() {
        last = Some(offset as usize);
    }
    last
}
