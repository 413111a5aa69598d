//! What is measured, under the names that Java's exporter has for it. (ServerMetrics of 3.6 and later)
//!
//! A plain value that stages are handed in [`super::Status`]. Counting takes no lock; who reads, adds up.
//! Times are counted in microseconds and told in milliseconds where Java tells milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::proto::OpCode;
use crate::runtime::meter::Reading;
use crate::runtime::{Meter, StageMeter};

/// Everything that is measured.
#[derive(Debug, Default)]
pub struct Metrics {
    /// From the moment in which a request is read to that in which its answer is written down, by operation.
    operations: [Meter; Operation::ALL.len()],
    /// Things that are counted one by one.
    pub counters: Counters,
    /// Things that have a size or take a time.
    pub summaries: Summaries,
    /// The threads that take letters.
    pub stages: Stages,
}

/// What kind of request was answered, in one word for a label.
macro_rules! operations {
    ($($name:ident = $label:literal, $update:literal, [$($op:ident),*];)*) => {
        /// An operation, as figures tell them apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Operation {
            $(#[doc = concat!("`", $label, "`.")] $name,)*
            /// All that has no name here.
            Other,
        }

        impl Operation {
            /// All of them.
            pub const ALL: &'static [Operation] = &[$(Operation::$name,)* Operation::Other];

            /// What a request was.
            pub fn of(op: OpCode) -> Operation {
                match op {
                    $($(OpCode::$op)|* => Operation::$name,)*
                    // Later versions add operations.
                    #[allow(unreachable_patterns)] // until they do
                    _ => Operation::Other,
                }
            }

            /// Its name in a label.
            pub fn label(self) -> &'static str {
                match self { $(Operation::$name => $label,)* Operation::Other => "other" }
            }

            /// Whether it has a transaction.
            pub fn is_update(self) -> bool {
                match self { $(Operation::$name => $update,)* Operation::Other => false }
            }
        }
    };
}

operations! {
    Create = "create", true, [Create];
    Delete = "delete", true, [Delete];
    SetData = "setData", true, [SetData];
    SetAcl = "setACL", true, [SetAcl];
    Multi = "multi", true, [Multi];
    CreateSession = "createSession", true, [CreateSession];
    CloseSession = "closeSession", true, [CloseSession];
    Exists = "exists", false, [Exists];
    GetData = "getData", false, [GetData];
    GetAcl = "getACL", false, [GetAcl];
    GetChildren = "getChildren", false, [GetChildren, GetChildren2];
    SetWatches = "setWatches", false, [SetWatches];
    Sync = "sync", false, [Sync];
    Ping = "ping", false, [Ping];
    Refused = "refused", false, [Error];
}

macro_rules! counters {
    ($($field:ident = $name:literal, $help:literal;)*) => {
        /// Counts since the start.
        #[derive(Debug, Default)]
        pub struct Counters { $(#[doc = $help] pub $field: Counter,)* }

        impl Counters {
            /// Name, meaning and value of each.
            pub fn each(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($name, $help, self.$field.get())),*]
            }
        }
    };
}

counters! {
    bytes_received = "bytes_received_count", "Bytes read from clients";
    bytes_sent = "response_bytes", "Bytes written to clients";
    accepted = "connection_accepted_count", "Connections of clients taken in";
    rejected = "connection_rejected", "Connections refused, since their address, or the server, has too many";
    throttled = "request_throttle_wait_count", "Rounds in which requests of clients waited for request_throttle_max_requests";
    stale_dropped = "stale_requests_dropped", "Requests that waited for it until their connection had ended";
    dropped = "connection_drop_count", "Connections of clients that have ended";
    expired = "stale_sessions_expired", "Sessions that expired here";
    watch_events = "watch_event_count", "Watch events sent to clients";
    looking = "looking_count", "How often this server began to look for a leader";
    diff = "diff_count", "Synchronisations by DIFF, of this server's learners or by its leader";
    snap = "snap_count", "Synchronisations by SNAP, of this server's learners or by its leader";
    trunc = "trunc_count", "Synchronisations by TRUNC, of this server's learners or by its leader";
    proposals = "proposal_count", "Transactions that this server, as a leader, has proposed";
    commits = "commit_count", "Transactions that this server, as a leader, has decided";
    proposals_received = "learner_proposal_received_count", "Transactions that this server's leader has proposed to it";
    commits_received = "learner_commit_received_count", "Decisions that this server has heard of from its leader";
    revalidations = "revalidate_count", "Sessions that learners have asked this server, as a leader, about";
}

macro_rules! summaries {
    ($($field:ident = $name:literal, $scale:expr, $help:literal;)*) => {
        /// Distributions since the start.
        #[derive(Debug, Default)]
        pub struct Summaries { $(#[doc = $help] pub $field: Meter,)* }

        impl Summaries {
            fn each(&self, out: &mut Vec<Summary>) {
                $(out.push(Summary { name: $name, help: $help, scale: $scale, reading: self.$field.read() });)*
            }
        }
    };
}

summaries! {
    fsync = "fsynctime", MS, "Syncs of the transaction log, milliseconds";
    batch = "sync_processor_batch_size", 1.0, "Transactions made safe by one sync of the log";
    db_init = "dbinittime", MS, "Loading of snapshot and log at the start, milliseconds";
    startup_txns = "startup_txns_loaded", 1.0, "Transactions replayed at the start";
    election = "election_time", MS, "From the beginning of an election to its end, milliseconds";
    follower_sync = "follower_sync_time", MS, "From the end of an election to serving as a learner, milliseconds";
    unavailable = "unavailable_time", MS, "From the end of one role to the service in the next, milliseconds";
    client_loop = "client_loop_round_ms", MS, "Rounds of the loop that serves the clients, milliseconds";
}

macro_rules! stages {
    ($($field:ident = $label:literal;)*) => {
        /// The threads that take letters.
        #[derive(Debug, Default)]
        pub struct Stages { $(#[doc = concat!("`", $label, "`.")] pub $field: Arc<StageMeter>,)* }

        impl Stages {
            /// Each with its name in labels.
            pub fn each(&self) -> Vec<(&'static str, &StageMeter)> {
                vec![$(($label, &*self.$field)),*]
            }
        }
    };
}

stages! {
    prep = "prep";
    learner = "learner";
    proposal = "proposal";
    sync = "sync";
    commit = "commit";
    last = "final";
    snapshot = "snapshot";
}

/// A distribution with its name.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its name.
    pub name: &'static str,
    /// What it tells.
    pub help: &'static str,
    /// What a counted value is to be multiplied with.
    pub scale: f64,
    /// What was counted.
    pub reading: Reading,
}

/// A number that grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    /// What it has grown to.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Metrics {
    /// Requests of a kind were answered, each after so many microseconds.
    pub fn answered(&self, operation: Operation, took_us: i64, count: u64) {
        if let Some(meter) = self.operations.get(operation as usize) {
            meter.count_many(took_us, count);
        }
    }

    /// The latencies of each operation, in microseconds.
    pub fn operations(&self) -> Vec<(Operation, Reading)> {
        let readings = self.operations.iter().map(Meter::read);
        Operation::ALL.iter().copied().zip(readings).collect()
    }

    /// All distributions that have no label, those among them that are Java's under Java's names.
    pub fn summaries(&self) -> Vec<Summary> {
        let mut out = Vec::new();
        self.summaries.each(&mut out);
        let operations = self.operations();
        let latency = |updates: bool| {
            let of_kind = operations
                .iter()
                .filter(|(operation, _)| operation.is_update() == updates);
            of_kind.fold(Reading::empty(), |sum, (_, reading)| sum.plus(reading))
        };
        let stages = &self.stages;
        let more: [(&str, &str, Reading); 9] = [
            (
                "readlatency",
                "Requests without a transaction, from reading to answer, milliseconds",
                latency(false),
            ),
            (
                "updatelatency",
                "Requests with a transaction, from reading to answer, milliseconds",
                latency(true),
            ),
            (
                "snapshottime",
                "Writing of snapshots, milliseconds",
                stages.snapshot.work.read(),
            ),
            (
                "prep_processor_queue_time_ms",
                "Waiting for the preparation, milliseconds",
                stages.prep.wait.read(),
            ),
            (
                "prep_process_time",
                "Preparation of a batch, milliseconds",
                stages.prep.work.read(),
            ),
            (
                "proposal_process_time",
                "Handing on of a batch of proposals, milliseconds",
                stages.proposal.work.read(),
            ),
            (
                "sync_processor_queue_time_ms",
                "Waiting for the log, milliseconds",
                stages.sync.wait.read(),
            ),
            (
                "sync_process_time",
                "Appending of a batch to the log, milliseconds",
                stages.sync.work.read(),
            ),
            (
                "commit_process_time",
                "Work of the commit processor on a batch, milliseconds",
                stages.commit.work.read(),
            ),
        ];
        out.extend(more.map(|(name, help, reading)| Summary {
            name,
            help,
            scale: MS,
            reading,
        }));
        out
    }
}

/// Microseconds as milliseconds.
const MS: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_operation_is_counted_for_itself_and_in_its_kind() {
        let metrics = Metrics::default();
        metrics.answered(Operation::of(OpCode::GetData), 100, 3);
        metrics.answered(Operation::of(OpCode::Create), 5_000, 1);
        metrics.answered(Operation::of(OpCode::Sasl), 1, 1);
        let by_label = |label| {
            let operations = metrics.operations();
            let found = operations
                .iter()
                .find(|(operation, _)| operation.label() == label);
            found.map(|(_, reading)| (reading.total(), reading.sum()))
        };
        assert_eq!(by_label("getData"), Some((3, 300)));
        assert_eq!(by_label("create"), Some((1, 5_000)));
        assert_eq!(by_label("other"), Some((1, 1)));
        let summaries = metrics.summaries();
        let total = |name| {
            let found = summaries.iter().find(|summary| summary.name == name);
            found.map(|summary| (summary.reading.total(), summary.reading.sum()))
        };
        assert_eq!(total("readlatency"), Some((4, 301)));
        assert_eq!(total("updatelatency"), Some((1, 5_000)));
    }

    #[test]
    fn names_are_unique() {
        let metrics = Metrics::default();
        let mut names: Vec<&str> = metrics.summaries().iter().map(|summary| summary.name).collect();
        names.extend(metrics.counters.each().iter().map(|(name, ..)| *name));
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(metrics.stages.each().len(), 7);
    }
}
