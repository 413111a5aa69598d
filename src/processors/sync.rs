//! SyncRequestProcessor: appends what is prepared to the log, and hands on what is safe on the disk.
//!
//! One fsync serves all that wait for it: the log is synced when the inbox runs dry, or when 1,000
//! transactions wait. A failed write or sync ends the process before anything is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::request::{Prepared, Status};
use crate::runtime::{Address, Clock, ExitCode, Flow, Halt, Now, Stage};
use crate::storage::{Database, LogWriter, StorageError};

/// Asks the snapshot stage for a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeSnapshot;

/// When and how loudly the log is rolled and synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncRules {
    /// About so many transactions go into one log file (`snapCount`).
    pub snap_count: u32,
    /// Or about so many bytes, if that is less (`snapSizeLimitInKb`).
    pub snap_size_bytes: Option<u64>,
    /// A sync that takes longer is worth a WARN (`fsync.warningthresholdms`).
    pub fsync_warning_ms: i64,
    /// The server's number, for log lines.
    pub server_id: i64,
    /// Where the random part of the rolls begins.
    pub seed: u64,
}

/// The stage.
pub struct SyncRequestProcessor {
    rules: SyncRules,
    log: LogWriter,
    database: Arc<Database>,
    next: Address<Vec<Prepared>>,
    snapshots: Address<TakeSnapshot>,
    snapshot_busy: Arc<AtomicBool>,
    clock: Arc<dyn Clock>,
    status: Arc<Status>,
    waiting: Vec<Prepared>,
    unsafe_txns: usize,
    since_roll: Logged,
    roll_after: Logged,
    random: u64,
}

/// What has gone to a log file, or may.
#[derive(Debug, Clone, Copy)]
struct Logged {
    txns: u32,
    bytes: u64,
}

/// What a sync stage is connected to.
pub struct SyncLinks {
    /// Is told what has gone to the log.
    pub database: Arc<Database>,
    /// Takes what is safe.
    pub next: Address<Vec<Prepared>>,
    /// Takes snapshots.
    pub snapshots: Address<TakeSnapshot>,
    /// Set while a snapshot is being written; cleared by the snapshot stage.
    pub snapshot_busy: Arc<AtomicBool>,
    /// Times the syncs.
    pub clock: Arc<dyn Clock>,
    /// Counts the slow ones.
    pub status: Arc<Status>,
}

impl SyncRequestProcessor {
    /// A processor that writes to `log`.
    pub fn new(rules: SyncRules, log: LogWriter, links: SyncLinks) -> SyncRequestProcessor {
        let SyncLinks {
            database,
            next,
            snapshots,
            snapshot_busy,
            clock,
            status,
        } = links;
        let mut processor = SyncRequestProcessor {
            rules,
            log,
            database,
            next,
            snapshots,
            snapshot_busy,
            clock,
            status,
            waiting: Vec::new(),
            unsafe_txns: 0,
            since_roll: NOTHING,
            roll_after: NOTHING,
            random: rules.seed | 1,
        };
        processor.roll_after = processor.draw_roll();
        processor
    }

    fn take(&mut self, prepared: Prepared) -> Result<(), StorageError> {
        if let Some(txn) = &prepared.logged {
            self.log.append(txn)?;
            self.unsafe_txns += 1;
            self.since_roll.txns += 1;
            self.since_roll.bytes += txn.bytes().len() as u64;
            let (since, after) = (self.since_roll, self.roll_after);
            if since.txns > after.txns || since.bytes > after.bytes {
                self.roll()?;
            }
        }
        self.waiting.push(prepared);
        if self.unsafe_txns >= MOST_UNSAFE {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// A new log file, and a snapshot so that the old ones can go one day.
    fn roll(&mut self) -> Result<(), StorageError> {
        self.since_roll = NOTHING;
        self.roll_after = self.draw_roll();
        self.log.roll()?;
        if self.snapshot_busy.swap(true, Ordering::AcqRel) {
            log::warn!("Too busy to snap, skipping");
        } else {
            self.snapshots.post(TakeSnapshot);
        }
        Ok(())
    }

    /// Makes all that waits safe, then hands it on.
    fn flush(&mut self) -> Result<(), StorageError> {
        if self.unsafe_txns > 0 {
            let before_us = self.clock.elapsed_us();
            self.log.commit()?;
            let took_us = self.clock.elapsed_us() - before_us;
            let summaries = &self.status.metrics.summaries;
            summaries.fsync.count(took_us);
            summaries.batch.count(self.unsafe_txns as i64);
            self.unsafe_txns = 0;
            self.warn_of_slow_fsync(took_us / 1_000);
        }
        if !self.waiting.is_empty() {
            self.next.post(std::mem::take(&mut self.waiting));
        }
        Ok(())
    }

    fn warn_of_slow_fsync(&self, took_ms: i64) {
        if took_ms > self.rules.fsync_warning_ms {
            self.status.count_slow_fsync();
            log::warn!(
                "fsync-ing the write ahead log in SyncThread:{} took {took_ms}ms which will adversely effect \
                 operation latency. See the ZooKeeper troubleshooting guide",
                self.rules.server_id
            );
        }
    }

    /// Half of each limit, and a random part of the other half: not all servers snapshot at one time.
    fn draw_roll(&mut self) -> Logged {
        // Xorshift: any spread will do.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let draw = |limit: u64| {
            let half = (limit / 2).max(1);
            half + self.random % half
        };
        Logged {
            txns: draw(self.rules.snap_count.into()) as u32,
            bytes: self.rules.snap_size_bytes.map_or(u64::MAX, draw),
        }
    }
}

impl Stage for SyncRequestProcessor {
    type In = Vec<Prepared>;

    fn step(&mut self, _now: Now, letter: Vec<Prepared>) -> Flow {
        if self.unsafe_txns == 0 && self.waiting.is_empty() && letter.iter().all(|p| p.logged.is_none()) {
            self.next.post(letter);
            return Flow::Go;
        }
        let logged = letter.iter().filter_map(|prepared| prepared.logged.clone());
        self.database.note_logged(logged);
        letter
            .into_iter()
            .try_for_each(|prepared| self.take(prepared))
            .map_or_else(halt, |()| Flow::Go)
    }

    fn quiet(&mut self, _now: Now) -> Flow {
        self.flush().map_or_else(halt, |()| Flow::Go)
    }

    fn end(&mut self, _now: Now) -> Flow {
        let flow = self.flush().map_or_else(halt, |()| Flow::Done);
        log::info!("SyncRequestProcessor exited!");
        flow
    }
}

/// The log no longer keeps what it is given: the process ends before anything is answered.
fn halt(error: StorageError) -> Flow {
    Flow::Halt(Halt::new(ExitCode::Log, error.to_string()))
}

const NOTHING: Logged = Logged { txns: 0, bytes: 0 };
/// A sync is due when so many transactions wait for one. (SyncRequestProcessor)
const MOST_UNSAFE: usize = 1_000;
