//! The last minutes, as samples; and distributions over the last minutes, as differences of readings.

use std::collections::VecDeque;

use crate::request::metrics::Summary;
use crate::request::{Metrics, Status};
use crate::runtime::Now;
use crate::runtime::meter::Reading;

/// What happened between two looks.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// When the stretch ended, wall milliseconds.
    pub wall_ms: i64,
    /// Reads a second.
    pub reads_per_s: f64,
    /// Writes a second.
    pub writes_per_s: f64,
    /// The median latency of reads and of writes, and that which one in a hundred exceeds; microseconds.
    pub read_us: Option<[u64; 2]>,
    pub write_us: Option<[u64; 2]>,
    /// The largest fsync, microseconds.
    pub fsync_us: Option<u64>,
    pub connections: i64,
    pub outstanding: i64,
}

/// A sample every two seconds, for ten minutes.
#[derive(Debug, Default)]
pub(super) struct History {
    samples: VecDeque<Sample>,
    last: Option<(i64, Readings)>,
}

#[derive(Debug)]
struct Readings {
    reads: Reading,
    writes: Reading,
    fsyncs: Reading,
}

impl History {
    /// Takes a sample if one is due. Tells when the next one is, elapsed milliseconds.
    pub fn look(&mut self, now: Now, status: &Status, outstanding: i64) -> i64 {
        let next_ms = |last_ms: i64| last_ms + SAMPLE_MS;
        if let Some((last_ms, _)) = &self.last
            && now.elapsed_ms < next_ms(*last_ms)
        {
            return next_ms(*last_ms);
        }
        let readings = Readings::of(&status.metrics);
        if let Some((last_ms, before)) = &self.last {
            let seconds = (now.elapsed_ms - last_ms) as f64 / 1_000.0;
            let reads = readings.reads.since(&before.reads);
            let writes = readings.writes.since(&before.writes);
            let middle_and_end = |reading: &Reading| Some([reading.quantile(0.5)?, reading.quantile(0.99)?]);
            if self.samples.len() >= MOST_SAMPLES {
                self.samples.pop_front();
            }
            self.samples.push_back(Sample {
                wall_ms: now.wall_ms,
                reads_per_s: reads.total() as f64 / seconds,
                writes_per_s: writes.total() as f64 / seconds,
                read_us: middle_and_end(&reads),
                write_us: middle_and_end(&writes),
                fsync_us: readings.fsyncs.since(&before.fsyncs).max(),
                connections: status.connections(),
                outstanding,
            });
        }
        self.last = Some((now.elapsed_ms, readings));
        next_ms(now.elapsed_ms)
    }

    /// The samples, the oldest first.
    pub fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.samples.iter()
    }
}

impl Readings {
    fn of(metrics: &Metrics) -> Readings {
        let operations = metrics.operations();
        let of_kind = |updates| {
            let of_kind = operations
                .iter()
                .filter(|(operation, _)| operation.is_update() == updates);
            of_kind.fold(Reading::empty(), |sum, (_, reading)| sum.plus(reading))
        };
        Readings {
            reads: of_kind(false),
            writes: of_kind(true),
            fsyncs: metrics.summaries.fsync.read(),
        }
    }
}

/// Distributions over the last minutes: what Java's exporter tells as quantiles covers ten minutes.
#[derive(Debug, Default)]
pub(super) struct Window {
    edges: VecDeque<(i64, Vec<Summary>)>,
}

impl Window {
    /// Remembers the present if that is due. Tells when it is due again, elapsed milliseconds.
    pub fn look(&mut self, now: Now, metrics: &Metrics) -> i64 {
        let due_ms = self
            .edges
            .back()
            .map_or(now.elapsed_ms, |(at_ms, _)| at_ms + EDGE_MS);
        if now.elapsed_ms < due_ms {
            return due_ms;
        }
        if self.edges.len() >= EDGES {
            self.edges.pop_front();
        }
        self.edges.push_back((now.elapsed_ms, metrics.summaries()));
        now.elapsed_ms + EDGE_MS
    }

    /// All distributions, each with what of it was counted in the last minutes.
    pub fn summaries(&self, metrics: &Metrics) -> Vec<(Summary, Reading)> {
        let begin = self.edges.front().map(|(_, summaries)| summaries.as_slice());
        let with_recent = |(index, summary): (usize, Summary)| {
            let before = begin.and_then(|summaries| summaries.get(index));
            let recent = before.map_or_else(
                || summary.reading.clone(),
                |before| summary.reading.since(&before.reading),
            );
            (summary, recent)
        };
        metrics
            .summaries()
            .into_iter()
            .enumerate()
            .map(with_recent)
            .collect()
    }
}

const SAMPLE_MS: i64 = 2_000;
const MOST_SAMPLES: usize = 300;
const EDGE_MS: i64 = 120_000;
const EDGES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::OpCode;
    use crate::request::metrics::Operation;

    fn at(elapsed_ms: i64) -> Now {
        Now {
            elapsed_ms,
            wall_ms: elapsed_ms + 1_000_000,
        }
    }

    #[test]
    fn a_sample_tells_what_happened_since_the_last_one() {
        let (mut history, status) = (History::default(), Status::new());
        status.metrics.answered(Operation::of(OpCode::GetData), 10, 1_000);
        assert_eq!(history.look(at(1_000), &status, 0), 3_000);
        status.metrics.answered(Operation::of(OpCode::GetData), 100, 10);
        status.metrics.answered(Operation::of(OpCode::Create), 3_000, 4);
        assert_eq!(history.look(at(2_000), &status, 0), 3_000);
        assert_eq!(history.samples().count(), 0);
        assert_eq!(history.look(at(3_000), &status, 7), 5_000);
        let sample = history.samples().next().expect("a sample");
        assert_eq!(
            (sample.reads_per_s, sample.writes_per_s, sample.outstanding),
            (5.0, 2.0, 7)
        );
        assert!(
            sample
                .read_us
                .is_some_and(|[middle, end]| middle >= 100 && end < 110)
        );
        assert_eq!((sample.fsync_us, sample.wall_ms), (None, 1_003_000));
        for round in 2..500 {
            history.look(at(round * 2_000), &status, 0);
        }
        assert_eq!(history.samples().count(), 300);
    }

    #[test]
    fn a_window_forgets_what_is_ten_minutes_old() {
        let (mut window, metrics) = (Window::default(), Metrics::default());
        let recent = |window: &Window, metrics: &Metrics| {
            let summaries = window.summaries(metrics);
            let fsync = summaries.iter().find(|(summary, _)| summary.name == "fsynctime");
            fsync.map(|(summary, recent)| (summary.reading.total(), recent.total()))
        };
        metrics.summaries.fsync.count(1);
        assert_eq!(recent(&window, &metrics), Some((1, 1)));
        for minute in 0..8 {
            window.look(at(minute * 120_000), &metrics);
            metrics.summaries.fsync.count(1);
        }
        assert_eq!(recent(&window, &metrics), Some((9, 5)));
    }
}
