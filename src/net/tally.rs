//! What a round of the client loop has done, added up on the spot and counted once for the round.

use crate::proto::OpCode;
use crate::request::Status;
use crate::request::metrics::Operation;

/// The loop's notes. Answers that came in together and leave together are one figure, however many they are.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub bytes_received: u64,
    pub bytes_sent: u64,
    pub events: u64,
    pub dropped: u64,
    answers: [u32; Operation::ALL.len()],
    /// When the requests came in that are noted in `answers`, elapsed microseconds.
    received_us: i64,
    noted: u64,
}

impl Tally {
    /// A request is answered that came in at this time.
    pub fn answered(&mut self, op: OpCode, received_us: i64, now_us: i64, status: &Status) {
        if received_us != self.received_us {
            self.count_answers(now_us, status);
            self.received_us = received_us;
        }
        if let Some(count) = self.answers.get_mut(Operation::of(op) as usize) {
            *count += 1;
            self.noted += 1;
        }
    }

    /// The answers noted so far leave now.
    pub fn count_answers(&mut self, now_us: i64, status: &Status) {
        if self.noted == 0 {
            return;
        }
        let took_us = now_us - self.received_us;
        status.count_latencies(took_us / 1_000, self.noted);
        for (&operation, count) in Operation::ALL.iter().zip(&mut self.answers) {
            if *count > 0 {
                status
                    .metrics
                    .answered(operation, took_us, u64::from(std::mem::take(count)));
            }
        }
        self.noted = 0;
    }

    /// The round is over.
    pub fn end_round(&mut self, status: &Status) {
        let counters = &status.metrics.counters;
        for (noted, counter) in [
            (&mut self.bytes_received, &counters.bytes_received),
            (&mut self.bytes_sent, &counters.bytes_sent),
            (&mut self.events, &counters.watch_events),
            (&mut self.dropped, &counters.dropped),
        ] {
            if *noted > 0 {
                counter.add(std::mem::take(noted));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_in_at_one_time_is_counted_at_one_time() {
        let (mut tally, status) = (Tally::default(), Status::new());
        for op in [OpCode::GetData, OpCode::GetData, OpCode::Exists] {
            tally.answered(op, 1_000, 2_000, &status);
        }
        tally.answered(OpCode::GetData, 5_000, 6_000, &status);
        tally.count_answers(8_000, &status);
        tally.count_answers(9_000, &status);
        let figures: Vec<_> = status
            .metrics
            .operations()
            .into_iter()
            .filter(|(_, reading)| reading.total() > 0)
            .map(|(operation, reading)| (operation, reading.total(), reading.sum()))
            .collect();
        assert_eq!(
            figures,
            [
                (Operation::Exists, 1, 5_000),
                (Operation::GetData, 3, 5_000 * 2 + 3_000)
            ]
        );
        let latencies = status.latencies();
        assert_eq!((latencies.min_ms, latencies.avg_ms, latencies.max_ms), (3, 4, 5));
    }

    #[test]
    fn a_round_s_bytes_are_counted_once() {
        let (mut tally, status) = (Tally::default(), Status::new());
        tally.bytes_received = 10;
        tally.events = 2;
        tally.end_round(&status);
        tally.end_round(&status);
        let counters = &status.metrics.counters;
        assert_eq!(
            (counters.bytes_received.get(), counters.watch_events.get()),
            (10, 2)
        );
    }
}
