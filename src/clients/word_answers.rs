//! What the four-letter words answer, letter by letter as 3.4.14 does: tools parse it. Pure text; who asks
//! gathers the figures. (NIOServerCnxn, ServerStats, SessionTrackerImpl, DataTree, WatchManager)

use std::fmt::{Display, Write};

use crate::proto::{SessionId, Zxid};
use crate::request::ServerState;
use crate::request::status::{Latencies, Learners};

/// The version that clients and tools are told. They parse it, so it is that of the server replaced.
pub const VERSION: &str = "3.4.14-4c25d480e66aadd371de8bd2fd8da255ac140bcf, built on 03/06/2019 16:18 GMT";
/// What most words answer while no role serves.
pub const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// The figures of a serving server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// The role.
    pub state: ServerState,
    /// Latencies of requests.
    pub latencies: Latencies,
    /// Frames and words received.
    pub received: u64,
    /// Frames and words sent.
    pub sent: u64,
    /// Open connections.
    pub connections: i64,
    /// Requests inside the chain.
    pub outstanding: i64,
    /// The newest change applied.
    pub zxid: Zxid,
    /// Nodes, as Java counts them.
    pub nodes: usize,
    /// Watches of all kinds.
    pub watches: usize,
    /// Ephemeral nodes.
    pub ephemerals: usize,
    /// Bytes of paths and data.
    pub data_bytes: u64,
    /// Files that the process has open, and how many it may.
    pub open_files: Option<(u64, u64)>,
    /// Fsyncs of the log that took too long.
    pub slow_fsyncs: u64,
    /// The learners, of a leader.
    pub learners: Learners,
}

/// A word that the white list lacks.
pub fn not_listed(name: &str) -> String {
    format!("{name} is not executed because it is not in the whitelist.\n")
}

/// `isro`.
pub fn isro(state: Option<ServerState>) -> &'static str {
    match state {
        None => "null",
        Some(ServerState::ReadOnly) => "ro",
        Some(_) => "rw",
    }
}

/// `envi`.
pub fn envi(entries: &[(&str, String)]) -> String {
    let mut out = "Environment:\n".to_owned();
    for (key, value) in entries {
        push(&mut out, format_args!("{key}={value}\n"));
    }
    out
}

/// `srvr`, and `stat` if clients are given: a brief line of each. (ServerStats.toString)
pub fn srvr(figures: &Figures, clients: Option<&[String]>) -> String {
    let mut out = format!("Zookeeper version: {VERSION}\n");
    if figures.state == ServerState::ReadOnly {
        out.push_str("READ-ONLY mode; serving only read-only clients\n");
    }
    if let Some(clients) = clients {
        out.push_str("Clients:\n");
        out.push_str(&cons(clients));
    }
    let latencies = figures.latencies;
    let (min, avg, max) = (latencies.min_ms, latencies.avg_ms, latencies.max_ms);
    let lines: [(&str, &dyn Display); 8] = [
        ("Latency min/avg/max", &format!("{min}/{avg}/{max}")),
        ("Received", &figures.received),
        ("Sent", &figures.sent),
        ("Connections", &figures.connections),
        ("Outstanding", &figures.outstanding),
        ("Zxid", &figures.zxid),
        ("Mode", &figures.state.name()),
        ("Node count", &figures.nodes),
    ];
    push_lines(&mut out, "", ": ", &lines);
    out
}

/// `cons`: a line of each connection, and an empty one.
pub fn cons(clients: &[String]) -> String {
    let mut out = String::new();
    for client in clients {
        out.push_str(client);
        out.push('\n');
    }
    out.push('\n');
    out
}

/// `dirs`: the bytes of the two data directories. (DirsCommand of 3.9)
pub fn dirs((data, log): (u64, u64)) -> String {
    format!("datadir_size: {data}\nlogdir_size: {log}\n")
}

/// `hash`: the digest of the tree after transactions, by their numbers. (DigestCommand of 3.9)
pub fn hash(digests: impl Iterator<Item = (Zxid, i64)>) -> String {
    digests
        .map(|(zxid, digest)| format!("{:x}: {digest}\n", zxid.0))
        .collect()
}

/// `mntr`.
pub fn mntr(figures: &Figures) -> String {
    let mut out = String::new();
    let lines: [(&str, &dyn Display); 13] = [
        ("version", &VERSION),
        ("avg_latency", &figures.latencies.avg_ms),
        ("max_latency", &figures.latencies.max_ms),
        ("min_latency", &figures.latencies.min_ms),
        ("packets_received", &figures.received),
        ("packets_sent", &figures.sent),
        ("num_alive_connections", &figures.connections),
        ("outstanding_requests", &figures.outstanding),
        ("server_state", &figures.state.name()),
        ("znode_count", &figures.nodes),
        ("watch_count", &figures.watches),
        ("ephemerals_count", &figures.ephemerals),
        ("approximate_data_size", &figures.data_bytes),
    ];
    push_lines(&mut out, "zk_", "\t", &lines);
    if let Some((open, most)) = figures.open_files {
        let lines: [(&str, &dyn Display); 2] = [
            ("open_file_descriptor_count", &open),
            ("max_file_descriptor_count", &most),
        ];
        push_lines(&mut out, "zk_", "\t", &lines);
    }
    push_lines(
        &mut out,
        "zk_",
        "\t",
        &[("fsync_threshold_exceed_count", &figures.slow_fsyncs)],
    );
    if figures.state == ServerState::Leader {
        let lines: [(&str, &dyn Display); 3] = [
            ("followers", &figures.learners.connected),
            ("synced_followers", &figures.learners.synced),
            ("pending_syncs", &figures.learners.pending_syncs),
        ];
        push_lines(&mut out, "zk_", "\t", &lines);
    }
    out
}

/// `dump`: the buckets of the session tracker, each with its date, and the ephemerals of each session.
pub fn dump(buckets: &[(String, Vec<SessionId>)], ephemerals: &[(SessionId, Vec<String>)]) -> String {
    let mut out = format!("SessionTracker dump:\nSession Sets ({}):\n", buckets.len());
    for (date, sessions) in buckets {
        push(&mut out, format_args!("{} expire at {date}:\n", sessions.len()));
        for session in sessions {
            push(&mut out, format_args!("\t{session}\n"));
        }
    }
    let count = ephemerals.len();
    push(
        &mut out,
        format_args!("ephemeral nodes dump:\nSessions with Ephemerals ({count}):\n"),
    );
    for (session, paths) in ephemerals {
        push(&mut out, format_args!("{session}:\n"));
        for path in paths {
            push(&mut out, format_args!("\t{path}\n"));
        }
    }
    out
}

/// `wchs`: connections that watch, paths that are watched, and watches; of data and existence only.
pub fn wchs(connections: usize, paths: usize, watches: usize) -> String {
    format!("{connections} connections watching {paths} paths\nTotal watches:{watches}\n")
}

/// `wchc`: the paths that each session watches.
pub fn wchc(watches: &[(SessionId, Vec<String>)]) -> String {
    let mut out = String::new();
    for (session, paths) in watches {
        push(&mut out, format_args!("{session}\n"));
        for path in paths {
            push(&mut out, format_args!("\t{path}\n"));
        }
    }
    out.push('\n');
    out
}

/// `wchp`: the sessions that watch each path.
pub fn wchp(watches: &[(String, Vec<SessionId>)]) -> String {
    let mut out = String::new();
    for (path, sessions) in watches {
        push(&mut out, format_args!("{path}\n"));
        for session in sessions {
            push(&mut out, format_args!("\t{session}\n"));
        }
    }
    out.push('\n');
    out
}

fn push_lines(out: &mut String, prefix: &str, separator: &str, lines: &[(&str, &dyn Display)]) {
    for (key, value) in lines {
        push(out, format_args!("{prefix}{key}{separator}{value}\n"));
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Figures {
        Figures {
            state: ServerState::Standalone,
            latencies: Latencies {
                min_ms: 1,
                avg_ms: 2,
                max_ms: 3,
                count: 1,
                total_ms: 1,
            },
            received: 4,
            sent: 5,
            connections: 6,
            outstanding: 7,
            zxid: Zxid(0x1f),
            nodes: 8,
            watches: 9,
            ephemerals: 10,
            data_bytes: 11,
            open_files: Some((12, 13)),
            slow_fsyncs: 14,
            learners: Learners {
                connected: 15,
                synced: 16,
                pending_syncs: 17,
                observers: 0,
            },
        }
    }

    #[test]
    fn stat_is_srvr_with_clients_after_the_version() {
        let rest = "Latency min/avg/max: 1/2/3\nReceived: 4\nSent: 5\nConnections: 6\nOutstanding: 7\n\
                    Zxid: 0x1f\nMode: standalone\nNode count: 8\n";
        let version = format!("Zookeeper version: {VERSION}\n");
        assert_eq!(srvr(&figures(), None), format!("{version}{rest}"));
        let clients = [" /1.2.3.4:5[1](queued=0,recved=1,sent=0)".to_owned()];
        let stat = format!("{version}Clients:\n{}\n\n{rest}", clients[0]);
        assert_eq!(srvr(&figures(), Some(&clients)), stat);
        let cut_off = Figures {
            state: ServerState::ReadOnly,
            ..figures()
        };
        let note = "READ-ONLY mode; serving only read-only clients\n";
        assert!(srvr(&cut_off, None).contains(note) && !stat.contains(note));
    }

    #[test]
    fn mntr_has_java_s_keys_in_java_s_order() {
        let text = mntr(&figures());
        let keys: Vec<&str> = text.lines().filter_map(|line| line.split('\t').next()).collect();
        let expected = "zk_version zk_avg_latency zk_max_latency zk_min_latency zk_packets_received zk_packets_sent \
            zk_num_alive_connections zk_outstanding_requests zk_server_state zk_znode_count zk_watch_count \
            zk_ephemerals_count zk_approximate_data_size zk_open_file_descriptor_count \
            zk_max_file_descriptor_count zk_fsync_threshold_exceed_count";
        assert_eq!(keys.join(" "), expected);
        assert!(text.starts_with("zk_version\t3.4.14-") && text.ends_with("\t14\n"));
        assert!(text.contains("zk_open_file_descriptor_count\t12\n"));
        let leader = Figures {
            state: ServerState::Leader,
            ..figures()
        };
        assert!(
            mntr(&leader)
                .ends_with("\t14\nzk_followers\t15\nzk_synced_followers\t16\nzk_pending_syncs\t17\n")
        );
    }

    #[test]
    fn lists_look_as_in_java() {
        let (one, two) = (SessionId(1), SessionId(2));
        let buckets = [("Thu Jan 01 00:00:12 GMT 1970".to_owned(), vec![one, two])];
        let text = dump(&buckets, &[(one, vec!["/e".to_owned()])]);
        assert_eq!(
            text,
            "SessionTracker dump:\nSession Sets (1):\n2 expire at Thu Jan 01 00:00:12 GMT 1970:\n\t0x1\n\t0x2\n\
             ephemeral nodes dump:\nSessions with Ephemerals (1):\n0x1:\n\t/e\n"
        );
        assert_eq!(wchs(1, 2, 3), "1 connections watching 2 paths\nTotal watches:3\n");
        assert_eq!(wchc(&[(two, vec!["/a".to_owned()])]), "0x2\n\t/a\n\n");
        assert_eq!(wchp(&[("/a".to_owned(), vec![two])]), "/a\n\t0x2\n\n");
        assert_eq!(
            envi(&[("os.name", "Linux".to_owned())]),
            "Environment:\nos.name=Linux\n"
        );
        assert_eq!([isro(None), isro(Some(ServerState::Follower))], ["null", "rw"]);
    }
}
