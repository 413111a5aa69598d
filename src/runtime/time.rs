//! Time, handed in: nothing that thinks asks a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::tz::TimeZone;

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

    /// Elapsed time in microseconds, from the same beginning: for measurements alone.
    fn elapsed_us(&self) -> i64 {
        self.now().elapsed_ms * 1_000
    }
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

    fn elapsed_us(&self) -> i64 {
        self.start.elapsed().as_micros() as i64 + 1_000_000
    }
}

/// A wall time as Java's `Date` prints it, in the time zone of the machine or of `TZ`:
/// `Thu Jan 01 00:00:12 UTC 1970`.
pub fn java_date(wall_ms: i64) -> String {
    local(&TimeZone::system(), wall_ms, "%a %b %d %H:%M:%S %Z %Y")
}

/// A wall time as Java's tools print it, in the time zone of the machine or of `TZ`, as Java 9 and later write
/// it in English: `1/31/26, 1:05:00 PM UTC`. (DateFormat.getDateTimeInstance(SHORT, LONG))
pub fn java_short_date(wall_ms: i64) -> String {
    local(&TimeZone::system(), wall_ms, "%-m/%-d/%y, %-I:%M:%S %p %Z")
}

/// A wall time as log4j's ISO8601 prints it, in the time zone of the machine or of `TZ`:
/// `2026-01-31 12:00:00,123`.
pub fn log_date(wall_ms: i64) -> String {
    local(&TimeZone::system(), wall_ms, "%Y-%m-%d %H:%M:%S,%3f")
}

/// A time that no calendar has is printed as its number.
fn local(zone: &TimeZone, wall_ms: i64, format: &str) -> String {
    let zone = if zone.is_unknown() {
        TimeZone::UTC
    } else {
        zone.clone()
    };
    let time = Timestamp::from_millisecond(wall_ms).map(|time| time.to_zoned(zone));
    time.map_or_else(|_| wall_ms.to_string(), |time| time.strftime(format).to_string())
}

/// Nanoseconds since its start: for measurements.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    start: Instant,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Stopwatch {
        Stopwatch {
            start: Instant::now(),
        }
    }

    /// How long it has run. An `u64` of nanoseconds is full after 584 years.
    pub fn elapsed_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_java_writes_them_in_the_local_zone() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a zone");
        let date = "%a %b %d %H:%M:%S %Z %Y";
        assert_eq!(
            local(&TimeZone::UTC, 12_345, date),
            "Thu Jan 01 00:00:12 UTC 1970"
        );
        assert_eq!(
            local(&TimeZone::unknown(), 12_345, date),
            "Thu Jan 01 00:00:12 UTC 1970"
        );
        assert_eq!(
            local(&berlin, 1_782_900_005_007, date),
            "Wed Jul 01 12:00:05 CEST 2026"
        );
        let short = "%-m/%-d/%y, %-I:%M:%S %p %Z";
        assert_eq!(
            local(&berlin, 1_782_900_005_007, short),
            "7/1/26, 12:00:05 PM CEST"
        );
        assert_eq!(local(&TimeZone::UTC, 0, short), "1/1/70, 12:00:00 AM UTC");
        let log = "%Y-%m-%d %H:%M:%S,%3f";
        assert_eq!(local(&berlin, 1_782_900_005_007, log), "2026-07-01 12:00:05,007");
        assert_eq!(local(&berlin, -1, log), "1970-01-01 00:59:59,999");
        assert_eq!(local(&berlin, i64::MAX, log), i64::MAX.to_string());
    }

    #[test]
    fn elapsed_time_never_goes_back() {
        let clock = OsClock::new();
        let first = clock.now();
        let second = clock.now();
        assert!(second.elapsed_ms >= first.elapsed_ms && first.elapsed_ms >= 1_000);
        assert!(first.wall_ms > 1_500_000_000_000);
    }
}
