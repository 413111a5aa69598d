//! The figures behind `stat`, `srvr` and `mntr`. (ServerStats)

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// In which role a server serves, in the words of the four-letter words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// Alone.
    Standalone,
    /// Leads an ensemble.
    Leader,
    /// Follows the leader and votes.
    Follower,
    /// Follows the leader without a vote.
    Observer,
    /// Cut off, serves what it knows.
    ReadOnly,
}

impl ServerState {
    /// As `Mode:` and `zk_server_state` print it.
    pub fn name(self) -> &'static str {
        match self {
            ServerState::Standalone => "standalone",
            ServerState::Leader => "leader",
            ServerState::Follower => "follower",
            ServerState::Observer => "observer",
            ServerState::ReadOnly => "read-only",
        }
    }
}

/// Counters that many threads add to. Each figure is exact; figures read together may differ by what
/// happened in between.
#[derive(Debug, Default)]
pub struct Status {
    packets_received: AtomicU64,
    packets_sent: AtomicU64,
    latency: LatencyFigures,
    connections: AtomicI64,
    slow_fsyncs: AtomicU64,
    following: Following,
}

/// How many learners a leader has. (Leader)
#[derive(Debug, Default)]
struct Following {
    followers: AtomicI64,
    synced_followers: AtomicI64,
    pending_syncs: AtomicI64,
}

/// What `mntr` tells of a leader's learners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learners {
    /// Learners that are connected.
    pub connected: i64,
    /// Those among them that get what is proposed and decided.
    pub synced: i64,
    /// Syncs of their clients that wait for a decision.
    pub pending_syncs: i64,
}

#[derive(Debug, Default)]
struct LatencyFigures {
    total_ms: AtomicI64,
    count: AtomicI64,
    /// One more than the smallest; 0 while there is none.
    min_plus_one_ms: AtomicI64,
    max_ms: AtomicI64,
}

/// Latencies in whole milliseconds, as the words print them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latencies {
    /// The smallest, 0 before the first request.
    pub min_ms: i64,
    /// Total through count, cut to a whole number.
    pub avg_ms: i64,
    /// The largest.
    pub max_ms: i64,
}

impl Status {
    /// All zero.
    pub fn new() -> Status {
        Status::default()
    }

    /// Requests have come in, or four-letter words.
    pub fn count_received(&self, packets: u64) {
        self.packets_received.fetch_add(packets, Relaxed);
    }

    /// Buffers have been written completely.
    pub fn count_sent(&self, packets: u64) {
        self.packets_sent.fetch_add(packets, Relaxed);
    }

    /// A request has been answered.
    pub fn count_latency(&self, latency_ms: i64) {
        let figures = &self.latency;
        figures.total_ms.fetch_add(latency_ms, Relaxed);
        figures.count.fetch_add(1, Relaxed);
        figures.max_ms.fetch_max(latency_ms, Relaxed);
        let smaller =
            |min_plus_one| (min_plus_one == 0 || latency_ms < min_plus_one - 1).then_some(latency_ms + 1);
        // An error says that the smallest known is as small; nothing to do.
        let _ = figures.min_plus_one_ms.fetch_update(Relaxed, Relaxed, smaller);
    }

    /// A connection came (+1) or went (-1).
    pub fn count_connections(&self, difference: i64) {
        self.connections.fetch_add(difference, Relaxed);
    }

    /// An fsync of the log took longer than `fsync.warningthresholdms`.
    pub fn count_slow_fsync(&self) {
        self.slow_fsyncs.fetch_add(1, Relaxed);
    }

    /// A leader tells of its learners.
    pub fn set_learners(&self, learners: Learners) {
        let figures = &self.following;
        figures.followers.store(learners.connected, Relaxed);
        figures.synced_followers.store(learners.synced, Relaxed);
        figures.pending_syncs.store(learners.pending_syncs, Relaxed);
    }

    /// What a leader told last.
    pub fn learners(&self) -> Learners {
        let figures = &self.following;
        Learners {
            connected: figures.followers.load(Relaxed),
            synced: figures.synced_followers.load(Relaxed),
            pending_syncs: figures.pending_syncs.load(Relaxed),
        }
    }

    /// Packets received.
    pub fn packets_received(&self) -> u64 {
        self.packets_received.load(Relaxed)
    }

    /// Packets sent.
    pub fn packets_sent(&self) -> u64 {
        self.packets_sent.load(Relaxed)
    }

    /// Open client connections.
    pub fn connections(&self) -> i64 {
        self.connections.load(Relaxed)
    }

    /// Slow fsyncs of the log.
    pub fn slow_fsyncs(&self) -> u64 {
        self.slow_fsyncs.load(Relaxed)
    }

    /// Latencies since the start or the last reset.
    pub fn latencies(&self) -> Latencies {
        let figures = &self.latency;
        let count = figures.count.load(Relaxed);
        let total_ms = figures.total_ms.load(Relaxed);
        Latencies {
            min_ms: (figures.min_plus_one_ms.load(Relaxed) - 1).max(0),
            avg_ms: if count == 0 { 0 } else { total_ms / count },
            max_ms: figures.max_ms.load(Relaxed),
        }
    }

    /// Zero for latencies and packets, as `srst` asks. (ServerStats.reset)
    pub fn reset(&self) {
        let figures = &self.latency;
        for figure in [
            &figures.total_ms,
            &figures.count,
            &figures.min_plus_one_ms,
            &figures.max_ms,
        ] {
            figure.store(0, Relaxed);
        }
        self.packets_received.store(0, Relaxed);
        self.packets_sent.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_a_smallest_a_mean_and_a_largest() {
        let status = Status::new();
        assert_eq!(
            status.latencies(),
            Latencies {
                min_ms: 0,
                avg_ms: 0,
                max_ms: 0
            }
        );
        [5, 2, 4].into_iter().for_each(|ms| status.count_latency(ms));
        assert_eq!(
            status.latencies(),
            Latencies {
                min_ms: 2,
                avg_ms: 3,
                max_ms: 5
            }
        );
        status.count_latency(0);
        assert_eq!(status.latencies().min_ms, 0);
        status.reset();
        assert_eq!(
            status.latencies(),
            Latencies {
                min_ms: 0,
                avg_ms: 0,
                max_ms: 0
            }
        );
    }
}
