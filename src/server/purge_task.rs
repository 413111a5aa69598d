//! PurgeTask: removes old snapshots and logs every so often, the first time at the start.
//! (DatadirCleanupManager)

use std::convert::Infallible;
use std::sync::Arc;

use crate::runtime::{Disk, Flow, Now, Stage};
use crate::storage::{Dirs, purge};

/// The stage. Nobody writes to it; closing its inbox ends it.
pub struct PurgeTask {
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    snap_retain_count: u32,
    interval_ms: i64,
    next_ms: i64,
}

impl PurgeTask {
    /// Keeps `snap_retain_count` snapshots, every `interval_hours`.
    pub fn new(disk: Arc<dyn Disk>, dirs: Dirs, snap_retain_count: u32, interval_hours: u32) -> PurgeTask {
        let interval_ms = i64::from(interval_hours) * 3_600_000;
        PurgeTask {
            disk,
            dirs,
            snap_retain_count,
            interval_ms,
            next_ms: 0,
        }
    }
}

impl Stage for PurgeTask {
    type In = Infallible;

    fn step(&mut self, _now: Now, letter: Infallible) -> Flow {
        match letter {}
    }

    fn quiet(&mut self, now: Now) -> Flow {
        if now.elapsed_ms < self.next_ms {
            return Flow::Go;
        }
        self.next_ms = now.elapsed_ms + self.interval_ms;
        log::info!("Purge task started.");
        match purge(&*self.disk, &self.dirs, self.snap_retain_count as usize) {
            Ok(removed) => log::debug!("{} files removed", removed.len()),
            Err(error) => log::error!("Error occurred while purging: {error}"),
        }
        log::info!("Purge task completed.");
        Flow::Go
    }

    fn wake_at(&self) -> Option<i64> {
        Some(self.next_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::proto::Zxid;
    use crate::runtime::MemDisk;
    use crate::storage::write_snapshot;
    use crate::tree::DataTree;

    #[test]
    fn old_snapshots_go_at_the_start_and_then_once_an_interval() {
        let disk: Arc<dyn Disk> = Arc::new(MemDisk::new());
        let dirs = Dirs::open(&*disk, Path::new("/data"), Path::new("/data")).expect("directories");
        let snapshot = |zxid| {
            let mut tree = DataTree::new();
            tree.set_last_zxid(Zxid(zxid));
            write_snapshot(Arc::clone(&disk), &dirs, &tree).expect("written");
        };
        let left = || dirs.snapshots(&*disk).expect("a list").len();
        let mut task = PurgeTask::new(Arc::clone(&disk), dirs.clone(), 3, 1);
        let mut at = |elapsed_ms| {
            task.quiet(Now {
                elapsed_ms,
                wall_ms: 0,
            })
        };
        (1..=5).for_each(snapshot);
        assert_eq!((at(1_000), left()), (Flow::Go, 3));
        snapshot(6);
        assert_eq!((at(3_600_999), left()), (Flow::Go, 4));
        assert_eq!((at(3_601_000), left()), (Flow::Go, 3));
        assert_eq!(task.wake_at(), Some(7_201_000));
    }
}
