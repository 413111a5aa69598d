//! Virtual time. It stands still while stages work, but for a few microseconds a step, and jumps when all sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use oxkeeper::runtime::{Clock, Now};

/// The time of the world, microseconds since its beginning.
#[derive(Debug, Clone, Default)]
pub struct Time(Arc<AtomicU64>);

impl Time {
    pub fn us(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub fn ms(&self) -> u64 {
        self.us() / 1_000
    }

    /// Never back.
    pub fn advance_to(&self, us: u64) {
        self.0.fetch_max(us, Relaxed);
    }

    /// How many clocks and others know of this time.
    pub fn knowers(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    pub fn pass(&self, us: u64) {
        self.0.fetch_add(us, Relaxed);
    }
}

/// The clocks of one server: the elapsed time is the world's, the wall clock may be wrong.
#[derive(Debug)]
pub struct SimClock {
    time: Time,
    /// By how much the wall clock is wrong, milliseconds.
    wrong_by_ms: AtomicI64,
}

impl SimClock {
    pub fn new(time: Time, wrong_by_ms: i64) -> SimClock {
        SimClock {
            time,
            wrong_by_ms: AtomicI64::new(wrong_by_ms),
        }
    }

    /// Somebody sets the wall clock.
    pub fn set(&self, wrong_by_ms: i64) {
        self.wrong_by_ms.store(wrong_by_ms, Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Now {
        let elapsed_ms = self.time.ms() as i64 + 1_000;
        Now {
            elapsed_ms,
            wall_ms: WALL_MS + elapsed_ms + self.wrong_by_ms.load(Relaxed),
        }
    }
}

/// When the world begins, by the calendar.
const WALL_MS: i64 = 1_700_000_000_000;
