//! Time, handed in: nothing that thinks asks a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// Milliseconds that only grow, from some beginning: for timeouts and latencies. (Time.currentElapsedTime)
    pub elapsed_ms: i64,
    /// Milliseconds since 1970, which an operator may set back: for stats of nodes. (Time.currentWallTime)
    pub wall_ms: i64,
}

/// Where [`Now`] comes from.
pub trait Clock: Send + Sync {
    /// Reads both clocks.
    fn now(&self) -> Now;
}

/// The clocks of the operating system.
#[derive(Debug, Clone)]
pub struct OsClock {
    start: Instant,
}

impl OsClock {
    /// Elapsed time counts from here, one second on: zero stays free to mean "never".
    pub fn new() -> OsClock {
        OsClock {
            start: Instant::now(),
        }
    }
}

impl Default for OsClock {
    fn default() -> OsClock {
        OsClock::new()
    }
}

impl Clock for OsClock {
    fn now(&self) -> Now {
        // Neither cast can cut: milliseconds fill an i64 after 292 million years.
        let elapsed_ms = self.start.elapsed().as_millis() as i64 + 1_000;
        let wall_ms = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |age| age.as_millis() as i64);
        Now { elapsed_ms, wall_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elapsed_time_never_goes_back() {
        let clock = OsClock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(second.elapsed_ms >= first.elapsed_ms && first.elapsed_ms >= 1_000);
        assert!(first.wall_ms > 1_500_000_000_000);
    }
}
