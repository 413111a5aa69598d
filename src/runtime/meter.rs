//! Measuring without getting in the way: values that any thread counts without a lock, and that others read.
//!
//! Counting is two additions to atomics that one thread writes as a rule. A stage counts once for a batch, not
//! once for each request in it. What is read at one time may differ by what happened in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use histogram::{AtomicHistogram, Config, Histogram};

use super::time::Clock;

/// Counts values, as microseconds or as they are, in buckets that are exact to one part in 16.
#[derive(Debug)]
pub struct Meter {
    buckets: AtomicHistogram,
    sum: AtomicU64,
}

/// What a meter has counted.
#[derive(Debug, Clone)]
pub struct Reading {
    buckets: Histogram,
    sum: u64,
}

impl Meter {
    /// Nothing counted.
    pub fn new() -> Meter {
        Meter {
            buckets: AtomicHistogram::with_config(&config()),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts one value. A negative one counts as 0: clocks of two moments may disagree.
    pub fn count(&self, value: i64) {
        self.count_many(value, 1);
    }

    /// Counts a value several times.
    pub fn count_many(&self, value: i64, times: u64) {
        let value = value.clamp(0, MOST).unsigned_abs();
        // No value is outside of the bounds after this clamp; an error would say that one is.
        let _ = self.buckets.add(value, times);
        self.sum.fetch_add(value * times, Relaxed);
    }

    /// What has been counted since the start.
    pub fn read(&self) -> Reading {
        Reading {
            buckets: self.buckets.load(),
            sum: self.sum.load(Relaxed),
        }
    }
}

impl Default for Meter {
    fn default() -> Meter {
        Meter::new()
    }
}

impl Reading {
    /// How many values.
    pub fn total(&self) -> u64 {
        self.buckets.as_slice().iter().sum()
    }

    /// The sum of the values.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// The value that this part of all values (0 to 1) does not exceed, to one part in 16; none without values.
    pub fn quantile(&self, part: f64) -> Option<u64> {
        let bucket = self.buckets.quantile_bucket(part).ok().flatten()?;
        Some(bucket.end())
    }

    /// How many values were below `bound`, if that is a power of two: those are edges of buckets.
    pub fn below(&self, bound: u64) -> u64 {
        let buckets = self.buckets.iter();
        buckets
            .take_while(|bucket| bucket.end() < bound)
            .map(|bucket| bucket.count())
            .sum()
    }

    /// The largest value, to one part in 16.
    pub fn max(&self) -> Option<u64> {
        self.quantile(1.0)
    }

    /// What was counted since an earlier reading of the same meter.
    pub fn since(&self, earlier: &Reading) -> Reading {
        let buckets = self.buckets.wrapping_sub(&earlier.buckets);
        Reading {
            // Both have the bounds of `config`: what comes from one can be taken from the other.
            buckets: buckets.unwrap_or_else(|_| self.buckets.clone()),
            sum: self.sum.wrapping_sub(earlier.sum),
        }
    }

    /// Both together.
    pub fn plus(&self, other: &Reading) -> Reading {
        let buckets = self.buckets.wrapping_add(&other.buckets);
        Reading {
            buckets: buckets.unwrap_or_else(|_| self.buckets.clone()),
            sum: self.sum.wrapping_add(other.sum),
        }
    }

    /// Nothing.
    pub fn empty() -> Reading {
        Reading {
            buckets: Histogram::with_config(&config()),
            sum: 0,
        }
    }
}

/// Measures one stage: how long letters wait for it, how long it takes for one, how many wait.
///
/// The wait is sampled: one letter at a time carries the moment of its posting, so that a queue of a million
/// costs no more than an empty one.
#[derive(Debug, Default)]
pub struct StageMeter {
    /// How long a letter waited in the inbox, microseconds.
    pub wait: Meter,
    /// How long the stage took for a letter, microseconds.
    pub work: Meter,
    posted: AtomicU64,
    taken: AtomicU64,
    /// Which letter is being sampled, and when it was posted, elapsed microseconds; 0 for none.
    sampled: AtomicU64,
    sampled_at_us: AtomicI64,
}

impl StageMeter {
    /// How many letters wait at present.
    pub fn depth(&self) -> u64 {
        let taken = self.taken.load(Relaxed);
        self.posted.load(Relaxed).saturating_sub(taken)
    }

    /// How many letters have been posted since the start.
    pub fn posted(&self) -> u64 {
        self.posted.load(Relaxed)
    }

    /// A new inbox is in use, or the stage has ended: what the old one held is gone.
    pub(super) fn forget(&self) {
        self.taken.store(self.posted.load(Relaxed), Relaxed);
        self.sampled.store(0, Relaxed);
    }

    /// A letter is about to be posted.
    pub(super) fn post(&self, clock: &dyn Clock) {
        let number = self.posted.fetch_add(1, Relaxed) + 1;
        if self.sampled.load(Relaxed) == 0 {
            self.sampled_at_us.store(clock.elapsed_us(), Relaxed);
            self.sampled.store(number, Relaxed);
        }
    }

    /// A letter has been taken.
    pub(super) fn take(&self, now_us: i64) {
        let number = self.taken.load(Relaxed) + 1;
        // Only the stage's thread takes letters.
        self.taken.store(number, Relaxed);
        let sampled = self.sampled.load(Relaxed);
        if sampled != 0 && sampled <= number {
            self.wait.count(now_us - self.sampled_at_us.load(Relaxed));
            self.sampled.store(0, Relaxed);
        }
    }
}

/// A meter and the clock that it goes by, for an inbox.
#[derive(Clone)]
pub struct Metered {
    /// What counts.
    pub meter: Arc<StageMeter>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Metered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.meter.fmt(f)
    }
}

fn config() -> Config {
    // Constants within the documented bounds of the crate, which a test below asks for.
    Config::new(GROUPING_POWER, MOST_POWER).expect("the bounds of the histogram are constants")
}

/// Sixteen buckets for each power of two.
const GROUPING_POWER: u8 = 4;
/// Values up to 2^36: 19 hours of microseconds.
const MOST_POWER: u8 = 36;
const MOST: i64 = (1 << MOST_POWER) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::time::Now;

    #[test]
    fn a_meter_tells_how_many_how_much_and_where_most_are() {
        let meter = Meter::new();
        assert_eq!((meter.read().total(), meter.read().quantile(0.5)), (0, None));
        (1..=100).for_each(|value| meter.count(value));
        meter.count_many(1_000_000, 2);
        meter.count(-5);
        meter.count(i64::MAX);
        let reading = meter.read();
        assert_eq!(reading.total(), 104);
        assert_eq!(reading.sum(), 5_050 + 2_000_000 + MOST.unsigned_abs());
        let median = reading.quantile(0.5).expect("a median");
        assert!((48..=56).contains(&median), "{median}");
        assert_eq!(reading.max(), Some(MOST.unsigned_abs()));
        assert_eq!(
            [1, 64, 128, 1 << 20].map(|bound| reading.below(bound)),
            [1, 64, 101, 103]
        );
    }

    #[test]
    fn readings_are_told_apart_and_joined() {
        let meter = Meter::new();
        meter.count(10);
        let before = meter.read();
        meter.count(1_000);
        let since = meter.read().since(&before);
        assert_eq!((since.total(), since.sum(), since.below(512)), (1, 1_000, 0));
        let both = since.plus(&before).plus(&Reading::empty());
        assert_eq!((both.total(), both.sum()), (2, 1_010));
    }

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Now {
            Now {
                elapsed_ms: self.0.load(Relaxed),
                wall_ms: 0,
            }
        }
    }

    #[test]
    fn a_stage_s_meter_samples_one_letter_at_a_time() {
        let (meter, clock) = (StageMeter::default(), Hand(AtomicI64::new(1)));
        meter.post(&clock);
        clock.0.store(5, Relaxed);
        meter.post(&clock);
        assert_eq!((meter.depth(), meter.posted()), (2, 2));
        meter.take(clock.elapsed_us());
        let reading = meter.wait.read();
        assert_eq!((reading.total(), reading.sum()), (1, 4_000));
        meter.take(clock.elapsed_us());
        assert_eq!((meter.depth(), meter.wait.read().total()), (0, 1));
        meter.post(&clock);
        meter.forget();
        assert_eq!(meter.depth(), 0);
        meter.post(&clock);
        clock.0.store(6, Relaxed);
        meter.take(clock.elapsed_us());
        let reading = meter.wait.read();
        assert_eq!((reading.total(), reading.sum()), (2, 5_000));
    }
}
