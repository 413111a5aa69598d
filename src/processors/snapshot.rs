//! The snapshot thread: writes the tree to the disk while the server serves.
//!
//! The snapshot shows one moment. What changes while it is written is kept aside by the tree until the walk
//! has passed it, so the tree's lock is held for a few hundred nodes at a time only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::runtime::{Disk, ExitCode, Flow, Halt, Now, Stage};
use crate::storage::{Database, Dirs};

use super::sync::TakeSnapshot;

/// The stage.
pub struct SnapshotStage {
    database: Arc<Database>,
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    busy: Arc<AtomicBool>,
    /// Set when the chain ends: nobody waits for a snapshot of gigabytes then.
    ended: Arc<AtomicBool>,
}

impl SnapshotStage {
    /// A stage that writes `database` to `dirs`, and clears `busy` after each snapshot. Once `ended` is set it
    /// leaves off.
    pub fn new(
        database: Arc<Database>,
        disk: Arc<dyn Disk>,
        dirs: Dirs,
        busy: Arc<AtomicBool>,
        ended: Arc<AtomicBool>,
    ) -> SnapshotStage {
        SnapshotStage {
            database,
            disk,
            dirs,
            busy,
            ended,
        }
    }
}

impl Stage for SnapshotStage {
    type In = TakeSnapshot;

    fn step(&mut self, _now: Now, TakeSnapshot: TakeSnapshot) -> Flow {
        let is_wanted = || !self.ended.load(Ordering::Acquire);
        let written = self
            .database
            .snapshot(Arc::clone(&self.disk), &self.dirs, is_wanted);
        self.busy.store(false, Ordering::Release);
        match written {
            Ok(Some(path)) => {
                log::debug!("Snapshot written: {}", path.display());
                Flow::Go
            }
            Ok(None) => {
                log::info!("The snapshot is given up, as this server's role ends");
                Flow::Go
            }
            Err(error) => Flow::Halt(Halt::new(ExitCode::Snapshot, error.to_string())),
        }
    }
}
