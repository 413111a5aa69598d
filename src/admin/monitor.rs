//! The gauges of `mntr` under the names that Java's exporter has. (ZooKeeperServer.registerMetrics and its kin)

use crate::clients::word_answers::Figures;
use crate::ensemble::Role;
use crate::request::{Duty, ServerState};
use crate::runtime::machine::{max_open_files, open_files};

use super::sources::Sources;

/// One figure that goes up and down.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Gauge {
    pub name: &'static str,
    pub help: &'static str,
    pub value: f64,
}

/// The figures of what serves, if anything does.
pub(super) fn figures(sources: &Sources) -> Option<Figures> {
    let serving = sources.gate.serving()?;
    Some(Figures::gather(&serving, &sources.gate, &sources.status))
}

/// All gauges. Those of the tree are missing while nothing is served, as in Java.
pub(super) fn gauges(sources: &Sources, figures: Option<&Figures>, now_ms: i64) -> Vec<Gauge> {
    let mut out = of_process(sources, now_ms);
    if let Some(figures) = figures {
        out.extend(of_tree(figures));
        let sessions = sources.gate.serving();
        let sessions = sessions.map_or(0, |serving| serving.database.read_tree().session_count());
        out.push(gauge(
            "global_sessions",
            "Sessions of the whole ensemble",
            sessions as f64,
        ));
    }
    if let Some(ensemble) = &sources.facts.ensemble {
        let voters = ensemble.voters().count();
        out.push(gauge("quorum_size", "Members with a vote", voters as f64));
        let has_observer = ensemble
            .members()
            .values()
            .any(|member| member.role == Role::Observer);
        if figures.is_some_and(|figures| figures.state == ServerState::Leader) {
            out.extend(of_leader(sources, has_observer, now_ms));
        }
    }
    out
}

fn of_process(sources: &Sources, now_ms: i64) -> Vec<Gauge> {
    let status = &sources.status;
    let latencies = status.latencies();
    let mean = match latencies.count {
        0 => 0.0,
        // To four digits, as Java tells it.
        count => (latencies.total_ms as f64 / count as f64 * 10_000.0).round() / 10_000.0,
    };
    let mut out = vec![
        gauge("avg_latency", "Mean latency of requests, milliseconds", mean),
        gauge(
            "max_latency",
            "Largest latency of a request, milliseconds",
            latencies.max_ms as f64,
        ),
        gauge(
            "min_latency",
            "Smallest latency of a request, milliseconds",
            latencies.min_ms as f64,
        ),
        gauge(
            "packets_received",
            "Requests and words received",
            status.packets_received() as f64,
        ),
        gauge(
            "packets_sent",
            "Answers and events sent",
            status.packets_sent() as f64,
        ),
        gauge(
            "num_alive_connections",
            "Open connections of clients",
            status.connections() as f64,
        ),
        gauge(
            "outstanding_requests",
            "Requests that are not answered yet",
            sources.gate.in_process() as f64,
        ),
        gauge(
            "uptime",
            "Since the start of the server, milliseconds",
            (now_ms - sources.facts.started_ms) as f64,
        ),
        gauge(
            "fsync_threshold_exceed_count",
            "Syncs of the log that took longer than fsync.warningthresholdms",
            status.slow_fsyncs() as f64,
        ),
    ];
    if let Some(open) = open_files() {
        out.push(gauge(
            "open_file_descriptor_count",
            "Open files and sockets",
            open as f64,
        ));
        let most = max_open_files() as f64;
        out.push(gauge(
            "max_file_descriptor_count",
            "Files and sockets that may be open",
            most,
        ));
    }
    out
}

fn of_tree(figures: &Figures) -> [Gauge; 4] {
    [
        gauge("znode_count", "Nodes of the tree", figures.nodes as f64),
        gauge(
            "watch_count",
            "Watches that clients have set here",
            figures.watches as f64,
        ),
        gauge("ephemerals_count", "Ephemeral nodes", figures.ephemerals as f64),
        gauge(
            "approximate_data_size",
            "Bytes of paths and data",
            figures.data_bytes as f64,
        ),
    ]
}

fn of_leader(sources: &Sources, has_observer: bool, now_ms: i64) -> Vec<Gauge> {
    let learners = sources.status.learners();
    let followers = learners.synced - learners.observers;
    let mut out = vec![
        gauge(
            "learners",
            "Connected followers and observers",
            learners.connected as f64,
        ),
        gauge(
            "followers",
            "The same under the name of 3.4",
            learners.connected as f64,
        ),
        gauge(
            "synced_followers",
            "Followers that are up to date",
            followers as f64,
        ),
        gauge(
            "pending_syncs",
            "Syncs of clients that wait for a decision",
            learners.pending_syncs as f64,
        ),
    ];
    if has_observer {
        let help = "Observers that are up to date";
        out.push(gauge("synced_observers", help, learners.observers as f64));
    }
    let tenure = sources.status.roles.present();
    if let (Duty::Leading, Some(since_ms)) = (tenure.duty, tenure.serving_since_ms) {
        let help = "Since this server leads, milliseconds";
        out.push(gauge("leader_uptime", help, (now_ms - since_ms) as f64));
    }
    out
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Gauge {
    Gauge { name, help, value }
}
