//! The figures behind `stat`, `srvr` and `mntr`. (ServerStats)

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::metrics::Metrics;
use super::roles::Roles;

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
    /// When the client loop began a round last, elapsed milliseconds.
    loop_at_ms: AtomicI64,
    /// What is measured besides.
    pub metrics: Metrics,
    /// Which role this server has.
    pub roles: Roles,
}

/// How many learners a leader has. (Leader)
#[derive(Debug, Default)]
struct Following {
    followers: AtomicI64,
    synced_followers: AtomicI64,
    synced_observers: AtomicI64,
    pending_syncs: AtomicI64,
}

/// What `mntr` tells of a leader's learners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Learners {
    /// Learners that are connected.
    pub connected: i64,
    /// Those among them that get what is proposed and decided.
    pub synced: i64,
    /// Observers among the connected that get what is decided.
    pub observers: i64,
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
    /// How many there are.
    pub count: i64,
    /// Their sum.
    pub total_ms: i64,
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

    /// Requests have been answered, all after so long.
    pub fn count_latencies(&self, latency_ms: i64, count: u64) {
        let figures = &self.latency;
        figures.total_ms.fetch_add(latency_ms * count as i64, Relaxed);
        figures.count.fetch_add(count as i64, Relaxed);
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

    /// The client loop is alive at this time, elapsed milliseconds.
    pub fn loop_is_alive(&self, now_ms: i64) {
        self.loop_at_ms.store(now_ms, Relaxed);
    }

    /// When the client loop was known to be alive last, elapsed milliseconds.
    pub fn loop_alive_ms(&self) -> i64 {
        self.loop_at_ms.load(Relaxed)
    }

    /// A leader tells of its learners.
    pub fn set_learners(&self, learners: Learners) {
        let figures = &self.following;
        figures.followers.store(learners.connected, Relaxed);
        figures.synced_followers.store(learners.synced, Relaxed);
        figures.synced_observers.store(learners.observers, Relaxed);
        figures.pending_syncs.store(learners.pending_syncs, Relaxed);
    }

    /// What a leader told last.
    pub fn learners(&self) -> Learners {
        let figures = &self.following;
        Learners {
            connected: figures.followers.load(Relaxed),
            synced: figures.synced_followers.load(Relaxed),
            observers: figures.synced_observers.load(Relaxed),
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
            count,
            total_ms,
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

    fn shown(status: &Status) -> [i64; 5] {
        let Latencies {
            min_ms,
            avg_ms,
            max_ms,
            count,
            total_ms,
        } = status.latencies();
        [min_ms, avg_ms, max_ms, count, total_ms]
    }

    #[test]
    fn latencies_have_a_smallest_a_mean_and_a_largest() {
        let status = Status::new();
        assert_eq!(shown(&status), [0; 5]);
        [5, 2, 4].into_iter().for_each(|ms| status.count_latencies(ms, 1));
        assert_eq!(shown(&status), [2, 3, 5, 3, 11]);
        status.count_latencies(0, 3);
        assert_eq!(shown(&status), [0, 1, 5, 6, 11]);
        status.reset();
        assert_eq!(shown(&status), [0; 5]);
    }
}
