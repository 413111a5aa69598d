//! What tests of whole servers share: processes, random numbers from a seed, and waiting for a condition.

pub mod certificates;
pub mod cluster;
pub mod configured;
pub mod process;
pub mod random;
pub mod way;

use std::time::{Duration, Instant};

/// Asks until `condition` holds, and fails the test if it does not within `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How long anything may take on a machine that is busy with other tests.
pub const LONG: Duration = Duration::from_secs(60);
