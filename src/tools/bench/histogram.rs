//! Latencies, counted in buckets whose width grows with the value, as HdrHistogram does.

/// Counts of values, exact to one part in 64.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    sum: u128,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
            total: 0,
            sum: 0,
            max: 0,
        }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket_of(value)] += 1;
        self.total += 1;
        self.sum += u128::from(value);
        self.max = self.max.max(value);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest value, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The mean, exactly.
    pub fn mean(&self) -> f64 {
        if self.total == 0 {
            return 0.0;
        }
        self.sum as f64 / self.total as f64
    }

    /// The value that `percent` of all values do not exceed; 0 without values.
    pub fn percentile(&self, percent: f64) -> u64 {
        let rank = ((percent / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return highest_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

/// Values below `STEPS` have a bucket each; above, every power of two has `STEPS / 2` of them.
fn bucket_of(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEPS_BITS);
    (shift as usize) * (STEPS / 2) + (value >> shift) as usize
}

/// The largest value of a bucket.
fn highest_of(bucket: usize) -> u64 {
    let shift = (bucket / (STEPS / 2)).saturating_sub(1);
    let step = (bucket - shift * (STEPS / 2)) as u128;
    let end = (step + 1) << shift;
    u64::try_from(end - 1).unwrap_or(u64::MAX)
}

const STEPS_BITS: u32 = 7;
const STEPS: usize = 1 << STEPS_BITS;
const BUCKETS: usize = (u64::BITS - STEPS_BITS) as usize * (STEPS / 2) + STEPS;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_its_bucket_and_buckets_are_narrow() {
        for value in (0..1_000)
            .chain((0..64).map(|bit| 1u64 << bit))
            .chain([u64::MAX, u64::MAX - 1])
        {
            let highest = highest_of(bucket_of(value));
            assert!(highest >= value, "{value} beyond {highest}");
            assert!(highest - value <= value / 64, "{value} far from {highest}");
            assert_eq!(bucket_of(highest), bucket_of(value));
        }
    }

    #[test]
    fn percentiles_of_a_ramp() {
        let mut ramp = Histogram::default();
        (1..=1_000).for_each(|value| ramp.record(value * 1_000));
        for (percent, expected) in [
            (50.0, 500_000u64),
            (99.0, 990_000),
            (99.9, 999_000),
            (100.0, 1_000_000),
        ] {
            let got = ramp.percentile(percent);
            assert!(got.abs_diff(expected) <= expected / 64, "p{percent} is {got}");
        }
        assert_eq!(
            (ramp.max(), ramp.total(), ramp.mean()),
            (1_000_000, 1_000, 500_500.0)
        );
    }

    #[test]
    fn nothing_has_no_latency() {
        let nothing = Histogram::default();
        assert_eq!(
            (nothing.percentile(50.0), nothing.max(), nothing.mean()),
            (0, 0, 0.0)
        );
    }
}
