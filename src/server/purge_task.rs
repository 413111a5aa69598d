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
