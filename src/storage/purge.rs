//! Removes what no recovery needs any more. (PurgeTxnLog)
//!
//! Java keeps the newest snapshots by name, valid or not (ZOOKEEPER-3231). Here only valid ones count.

use std::path::PathBuf;

use log::{info, warn};

use super::error::{At, StorageError};
use super::names::{DataFile, Dirs};
use super::snapshot::verify_snapshot;
use crate::proto::Zxid;
use crate::runtime::Disk;

/// Keeps the newest `keep` valid snapshots and all that is needed to go on from each of them: the log that
/// may hold the transaction behind the oldest of them, and all later logs. Older snapshots and logs go, and
/// what crashes left of older snapshots. Tells what it removed. Without a valid snapshot nothing is removed.
///
/// It may run beside a server: what a running server writes is newer than all that is removed.
///
/// # Errors
/// [`StorageError::PurgeCount`] if `keep` is less than 3, or what the disk refuses.
pub fn purge(disk: &dyn Disk, dirs: &Dirs, keep: usize) -> Result<Vec<PathBuf>, StorageError> {
    if keep < FEWEST_KEPT {
        return Err(StorageError::PurgeCount);
    }
    let snapshots = dirs.snapshots(disk)?;
    let Some(oldest_kept) = oldest_kept(disk, &snapshots, keep) else {
        return Ok(Vec::new());
    };
    let logs = dirs.logs(disk)?;
    // The log that may hold the transaction behind the snapshot is the last that begins at or before it.
    let first_log = logs.iter().rposition(|log| log.zxid <= oldest_kept);
    let old_logs = logs.into_iter().take(first_log.unwrap_or(0));
    let old = snapshots.into_iter().chain(dirs.unfinished_snapshots(disk)?);
    let old_snapshots = old.filter(|snapshot| snapshot.zxid < oldest_kept);

    let mut removed = Vec::new();
    for file in old_snapshots.chain(old_logs) {
        disk.remove(&file.path).at("remove", &file.path)?;
        info!("Removing file: {}", file.path.display());
        removed.push(file.path);
    }
    if !removed.is_empty() {
        disk.sync_dir(&dirs.log).at("sync the directory", &dirs.log)?;
        disk.sync_dir(&dirs.snapshot)
            .at("sync the directory", &dirs.snapshot)?;
    }
    Ok(removed)
}

/// The zxid of the oldest of the newest `keep` valid snapshots; of the oldest valid one if there are fewer.
fn oldest_kept(disk: &dyn Disk, snapshots: &[DataFile], keep: usize) -> Option<Zxid> {
    let valid = snapshots.iter().rev().filter(|snapshot| {
        let verified = verify_snapshot(disk, &snapshot.path);
        if let Err(why) = &verified {
            warn!(
                "{} is no valid snapshot and does not count: {why}",
                snapshot.path.display()
            );
        }
        verified.is_ok()
    });
    valid.take(keep).last().map(|snapshot| snapshot.zxid)
}

/// Fewer are refused, as in 3.4.14.
const FEWEST_KEPT: usize = 3;

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::snapshot::SnapshotWriter;
    use super::super::testing::empty;
    use super::*;
    use crate::runtime::MemDisk;

    /// A directory with these snapshots (valid but for the negated ones), logs and other files.
    fn directory(snapshots: &[i64], logs: &[i64]) -> (MemDisk, Dirs) {
        let (disk, dirs) = empty();
        for zxid in snapshots {
            if *zxid < 0 {
                disk.put(&dirs.snapshot_file(Zxid(-zxid)), b"ZKSN half of one");
                continue;
            }
            let writer = SnapshotWriter::begin(Arc::new(disk.clone()), &dirs, Zxid(*zxid));
            writer.and_then(SnapshotWriter::finish).expect("a snapshot");
        }
        for zxid in logs {
            disk.put(&dirs.log_file(Zxid(*zxid)), b"ZKLG");
        }
        for other in ["acceptedEpoch", "currentEpoch", "log", "snapshot.x", "log.1.bak"] {
            disk.put(&dirs.snapshot.join(other), b"1");
        }
        (disk, dirs)
    }

    fn removed(snapshots: &[i64], logs: &[i64]) -> Vec<String> {
        let (disk, dirs) = directory(snapshots, logs);
        let before = disk.list(&dirs.log).expect("a list");
        let removed = purge(&disk, &dirs, 3).expect("purged");
        let after = disk.list(&dirs.log).expect("a list");
        let gone: Vec<_> = before.iter().filter(|path| !after.contains(path)).collect();
        assert_eq!(gone.len(), removed.len());
        assert!(gone.iter().all(|path| removed.contains(path)));
        let names = removed.iter().map(|path| path.file_name().expect("a name"));
        names.map(|name| name.to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn the_newest_three_and_what_follows_them_stay() {
        assert_eq!(
            removed(&[5, 10, 15, 20, 25], &[1, 6, 11, 14, 16, 21, 26]),
            ["snapshot.5", "snapshot.a", "log.1", "log.6", "log.b"]
        );
        // A log that begins with the snapshot's own zxid may hold the next one; the log before it cannot.
        assert_eq!(removed(&[5, 15, 20, 25], &[1, 15, 16]), ["snapshot.5", "log.1"]);
        assert_eq!(removed(&[15, 20, 25], &[1, 26]), [""; 0]);
        assert_eq!(removed(&[15, 20, 25], &[16, 26]), [""; 0]);
        assert_eq!(removed(&[], &[1, 26]), [""; 0]);
    }

    /// ZOOKEEPER-3231.
    #[test]
    fn snapshots_that_are_not_valid_do_not_count() {
        assert_eq!(removed(&[3, 5, 10, 15, -20, -25, -30], &[1, 6]), ["snapshot.3"]);
        assert_eq!(
            removed(&[5, 10, -12, 15, 20], &[1, 6, 11]),
            ["snapshot.5", "log.1"]
        );
        assert_eq!(removed(&[-5, -10, -15, -20], &[1, 6, 11]), [""; 0]);
    }

    #[test]
    fn old_leftovers_go_and_one_in_the_making_stays() {
        let (disk, dirs) = directory(&[5, 10, 15, 20], &[1]);
        disk.put(&dirs.unfinished_snapshot_file(Zxid(7)), b"");
        disk.put(&dirs.unfinished_snapshot_file(Zxid(25)), b"");
        let removed = purge(&disk, &dirs, 3).expect("purged");
        let in_dir = |name: &str| Path::new("/data/version-2").join(name);
        assert_eq!(removed, [in_dir("snapshot.5"), in_dir("tmp.snapshot.7")]);
    }

    #[test]
    fn fewer_than_three_are_refused() {
        let (disk, dirs) = directory(&[5, 10, 15, 20], &[1]);
        let error = purge(&disk, &dirs, 2).expect_err("two").to_string();
        assert_eq!(error, "count should be greater than or equal to 3");
    }
}
