//! What is counted while the load runs.

use std::collections::BTreeMap;

use crate::proto::ErrorCode;

use super::histogram::Histogram;

/// Latencies in nanoseconds and counts, of everything between the warm-up and the end.
#[derive(Debug)]
pub struct Tally {
    /// Reads that went well.
    pub reads: Histogram,
    /// Writes that went well.
    pub writes: Histogram,
    /// The windows that have passed.
    pub windows: Vec<Window>,
    /// What went wrong, and how often.
    pub errors: BTreeMap<String, u64>,
    begin_ns: u64,
    end_ns: u64,
    last_ns: u64,
    window_ns: u64,
    window: Histogram,
}

/// One line of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Operations that ended in it.
    pub operations: u64,
    /// Their 99th percentile, nanoseconds.
    pub p99_ns: u64,
    /// The slowest of them, nanoseconds.
    pub max_ns: u64,
}

/// An operation that has been answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered {
    /// When it was sent.
    pub sent_ns: u64,
    /// When its answer came.
    pub now_ns: u64,
    /// Whether it only read.
    pub is_read: bool,
    /// How it went.
    pub error: ErrorCode,
}

impl Tally {
    /// Counts from `begin_ns` until `end_ns`, in windows of `window_ns`.
    pub fn new(begin_ns: u64, end_ns: u64, window_ns: u64) -> Tally {
        Tally {
            reads: Histogram::default(),
            writes: Histogram::default(),
            windows: Vec::new(),
            errors: BTreeMap::new(),
            begin_ns,
            end_ns,
            last_ns: begin_ns,
            window_ns: window_ns.max(1),
            window: Histogram::default(),
        }
    }

    /// Counts an answer, unless it came too early or too late.
    pub fn record(&mut self, answered: Answered) {
        if answered.now_ns < self.begin_ns || answered.now_ns >= self.end_ns {
            return;
        }
        self.turn_windows(answered.now_ns);
        self.last_ns = answered.now_ns;
        if answered.error != ErrorCode::Ok {
            self.fault(format!("{} ({})", answered.error.name(), answered.error.number()));
            return;
        }
        let latency_ns = answered.now_ns.saturating_sub(answered.sent_ns);
        let kind = if answered.is_read {
            &mut self.reads
        } else {
            &mut self.writes
        };
        kind.record(latency_ns);
        self.window.record(latency_ns);
    }

    /// Counts something that went wrong.
    pub fn fault(&mut self, what: String) {
        *self.errors.entry(what).or_default() += 1;
    }

    /// Ends the last window; seconds from the beginning to the last answer.
    pub fn finish(&mut self) -> f64 {
        if self.window.total() > 0 {
            self.turn_window();
        }
        (self.last_ns - self.begin_ns) as f64 / 1e9
    }

    /// Ends all windows that lie before `now_ns`: also those in which nothing came.
    fn turn_windows(&mut self, now_ns: u64) {
        while now_ns >= self.begin_ns + self.window_ns * (self.windows.len() as u64 + 1) {
            self.turn_window();
        }
    }

    fn turn_window(&mut self) {
        let window = std::mem::take(&mut self.window);
        self.windows.push(Window {
            operations: window.total(),
            p99_ns: window.percentile(99.0),
            max_ns: window.max(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(sent_ns: u64, now_ns: u64) -> Answered {
        Answered {
            sent_ns,
            now_ns,
            is_read: now_ns.is_multiple_of(2),
            error: ErrorCode::Ok,
        }
    }

    #[test]
    fn windows_hold_what_ended_in_them_and_silence_is_seen() {
        let mut tally = Tally::new(1_000, 1_400, 100);
        tally.record(answer(900, 950));
        tally.record(answer(950, 1_000));
        tally.record(answer(1_000, 1_041));
        tally.record(answer(1_000, 1_320));
        tally.record(answer(1_000, 1_400));
        assert_eq!(tally.finish(), 320e-9);
        let operations: Vec<u64> = tally.windows.iter().map(|window| window.operations).collect();
        assert_eq!(operations, [2, 0, 0, 1]);
        assert_eq!((tally.windows[0].max_ns, tally.windows[3].max_ns), (50, 320));
        assert_eq!((tally.reads.total(), tally.writes.total()), (2, 1));
    }

    #[test]
    fn errors_are_counted_apart() {
        let mut tally = Tally::new(0, u64::MAX, 100);
        tally.record(Answered {
            error: ErrorCode::NoNode,
            ..answer(1, 2)
        });
        tally.record(Answered {
            error: ErrorCode::NoNode,
            ..answer(1, 3)
        });
        assert_eq!(tally.errors, BTreeMap::from([("NoNode (-101)".to_owned(), 2)]));
        assert_eq!(tally.reads.total() + tally.writes.total(), 0);
    }
}
