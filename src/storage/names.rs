//! Where the files lie and how they are called: `<dir>/version-2/log.<hex>` and `snapshot.<hex>`.
//! (FileTxnSnapLog, persistence/Util)

use std::path::{Path, PathBuf};

use super::error::{At, StorageError};
use crate::proto::Zxid;
use crate::runtime::Disk;

/// The two directories of a server's data, each with its `version-2`. They may be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dirs {
    /// Holds the logs.
    pub log: PathBuf,
    /// Holds the snapshots and the epoch files.
    pub snapshot: PathBuf,
}

impl Dirs {
    /// Names the directories without touching the disk. (dataLogDir, dataDir)
    pub fn of(data_log_dir: &Path, data_dir: &Path) -> Dirs {
        Dirs {
            log: data_log_dir.join(VERSION_DIR),
            snapshot: data_dir.join(VERSION_DIR),
        }
    }

    /// Makes the directories if they are not there, safely, and refuses a mix-up of the two.
    ///
    /// # Errors
    /// What the disk refuses; a log among the snapshots or the reverse, if the directories differ.
    pub fn open(disk: &dyn Disk, data_log_dir: &Path, data_dir: &Path) -> Result<Dirs, StorageError> {
        let dirs = Dirs::of(data_log_dir, data_dir);
        create_safely(disk, &dirs.log)?;
        create_safely(disk, &dirs.snapshot)?;
        if dirs.log != dirs.snapshot {
            let strays = files_named(disk, &dirs.log, SNAPSHOT_PREFIX)?;
            if let Some(stray) = strays.into_iter().next() {
                return Err(StorageError::SnapshotInLogDir(stray));
            }
            let strays = files_named(disk, &dirs.snapshot, LOG_PREFIX)?;
            if let Some(stray) = strays.into_iter().next() {
                return Err(StorageError::LogInSnapshotDir(stray));
            }
        }
        Ok(dirs)
    }

    /// How many bytes the files of snapshots and epochs have, and those of logs; the same if they lie together. What
    /// cannot be looked at counts nothing.
    pub fn sizes(&self, disk: &dyn Disk) -> (u64, u64) {
        let size = |dir: &Path| -> u64 {
            let files = disk.list(dir).unwrap_or_default();
            let files = files.iter().take(MOST_COUNTED);
            files.filter_map(|file| disk.open(file).ok()?.len().ok()).sum()
        };
        let data = size(&self.snapshot);
        let together = self.log == self.snapshot;
        (data, if together { data } else { size(&self.log) })
    }

    /// The log that begins with this transaction.
    pub fn log_file(&self, first: Zxid) -> PathBuf {
        self.log.join(format!("{LOG_PREFIX}{:x}", first.0))
    }

    /// The snapshot that was begun when this transaction was the last one applied.
    pub fn snapshot_file(&self, last: Zxid) -> PathBuf {
        self.snapshot.join(format!("{SNAPSHOT_PREFIX}{:x}", last.0))
    }

    /// What that snapshot is called while it is written. Neither Java nor we take it for a snapshot.
    pub(super) fn unfinished_snapshot_file(&self, last: Zxid) -> PathBuf {
        self.snapshot.join(format!("{UNFINISHED_PREFIX}{:x}", last.0))
    }

    /// All logs, the oldest first.
    ///
    /// # Errors
    /// Those of reading the directory.
    pub fn logs(&self, disk: &dyn Disk) -> Result<Vec<DataFile>, StorageError> {
        sorted(disk, &self.log, LOG_PREFIX)
    }

    /// All snapshots by name, valid or not, the oldest first.
    ///
    /// # Errors
    /// Those of reading the directory.
    pub fn snapshots(&self, disk: &dyn Disk) -> Result<Vec<DataFile>, StorageError> {
        sorted(disk, &self.snapshot, SNAPSHOT_PREFIX)
    }

    /// What crashes left of snapshots that were being written.
    pub(super) fn unfinished_snapshots(&self, disk: &dyn Disk) -> Result<Vec<DataFile>, StorageError> {
        sorted(disk, &self.snapshot, UNFINISHED_PREFIX)
    }
}

/// A file whose name says a zxid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Of a log the first transaction, of a snapshot the last one when it was begun.
    pub zxid: Zxid,
    /// Where it lies.
    pub path: PathBuf,
}

/// The zxid that stands behind `prefix` in a file's name, if it is such a name.
fn zxid_of(path: &Path, prefix: &str) -> Option<Zxid> {
    let hex = path.file_name()?.to_str()?.strip_prefix(prefix)?;
    // from_str_radix would take a sign.
    let digits = hex.bytes().all(|b| b.is_ascii_hexdigit());
    digits.then(|| i64::from_str_radix(hex, 16).ok())?.map(Zxid)
}

fn sorted(disk: &dyn Disk, dir: &Path, prefix: &str) -> Result<Vec<DataFile>, StorageError> {
    let paths = disk.list(dir).at("list", dir)?.into_iter();
    let mut files: Vec<DataFile> = paths
        .filter_map(|path| zxid_of(&path, prefix).map(|zxid| DataFile { zxid, path }))
        .collect();
    files.sort_by_key(|file| file.zxid);
    Ok(files)
}

fn files_named(disk: &dyn Disk, dir: &Path, prefix: &str) -> Result<Vec<PathBuf>, StorageError> {
    let named = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    Ok(disk
        .list(dir)
        .at("list", dir)?
        .into_iter()
        .filter(named)
        .collect())
}

/// Makes a directory and those above it, and makes each new one safe in the one that holds it.
fn create_safely(disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !is_there(disk, dir)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    disk.create_dir_all(dir).at("create the directory", dir)?;
    for made in missing {
        let parent = match made.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => continue,
        };
        disk.sync_dir(parent).at("sync the directory", parent)?;
    }
    Ok(())
}

/// Whether a directory is there; the empty path is the working directory.
fn is_there(disk: &dyn Disk, dir: &Path) -> bool {
    dir.as_os_str().is_empty() || disk.exists(dir)
}

/// What 3.4.14 appends to both directories.
const VERSION_DIR: &str = "version-2";
const LOG_PREFIX: &str = "log.";
const SNAPSHOT_PREFIX: &str = "snapshot.";
const UNFINISHED_PREFIX: &str = "tmp.snapshot.";

/// So many files of a directory are looked at to say how large it is.
const MOST_COUNTED: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::MemDisk;
    use crate::runtime::mem_disk::Crash;

    #[test]
    fn files_are_sorted_by_number_and_strange_names_left_out() {
        let disk = MemDisk::new();
        let dirs = Dirs::open(&disk, Path::new("/data"), Path::new("/data")).expect("directories");
        for name in [
            "log.a",
            "log.100000001",
            "log.9",
            "log.x",
            "log.",
            "log.1.2",
            "log.+1",
            "logs",
        ] {
            disk.put(&dirs.log.join(name), b"");
        }
        let logs = dirs.logs(&disk).expect("a list");
        let zxids: Vec<i64> = logs.iter().map(|file| file.zxid.0).collect();
        assert_eq!(zxids, [9, 10, 0x1_0000_0001]);
        assert_eq!(dirs.log_file(Zxid(0x1_0000_0001)), logs[2].path);
        assert_eq!(
            dirs.snapshot_file(Zxid(0x1f)),
            Path::new("/data/version-2/snapshot.1f")
        );
    }

    #[test]
    fn a_mix_up_of_the_two_directories_is_refused() {
        let disk = MemDisk::new();
        let open = || Dirs::open(&disk, Path::new("/logs"), Path::new("/data"));
        open().expect("empty directories");
        disk.put(Path::new("/data/version-2/log.1"), b"");
        let error = open().expect_err("a log among the snapshots").to_string();
        assert!(
            error.starts_with("Snapshot directory has log files. Check if dataLogDir"),
            "{error}"
        );
        assert!(error.contains("/data/version-2/log.1"), "{error}");
        disk.remove(Path::new("/data/version-2/log.1")).expect("removed");
        disk.put(Path::new("/logs/version-2/snapshot.1"), b"");
        let error = open().expect_err("a snapshot among the logs").to_string();
        assert!(error.starts_with("Log directory has snapshot files."), "{error}");
        Dirs::open(&disk, Path::new("/logs"), Path::new("/logs")).expect("one directory holds both");
    }

    #[test]
    fn sizes_are_those_of_the_files() {
        let disk = MemDisk::new();
        let apart = Dirs::open(&disk, Path::new("/logs"), Path::new("/data")).expect("directories");
        disk.put(&apart.log_file(Zxid(1)), b"12345");
        disk.put(&apart.snapshot_file(Zxid(1)), b"12");
        disk.put(&apart.snapshot.join("currentEpoch"), b"1");
        assert_eq!(apart.sizes(&disk), (3, 5));
        assert_eq!(
            Dirs::of(Path::new("/data"), Path::new("/data")).sizes(&disk),
            (3, 3)
        );
        assert_eq!(
            Dirs::of(Path::new("/none"), Path::new("/none")).sizes(&disk),
            (0, 0)
        );
    }

    #[test]
    fn new_directories_survive_a_crash() {
        let disk = MemDisk::new();
        let dirs = Dirs::open(&disk, Path::new("/a/b/logs"), Path::new("/a/data")).expect("directories");
        disk.crash(Crash::LoseUnsynced);
        assert!(disk.exists(&dirs.log) && disk.exists(&dirs.snapshot));
    }
}
