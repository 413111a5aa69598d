//! The commands of Java's admin server, with its names, aliases and keys. (Commands of 3.5 to 3.9)
//!
//! Left out are those that would tell secrets (`system_properties`, `initial_configuration`) or tell of what is
//! not here (`hash`, `get_trace_mask`, `set_trace_mask`, `observer_connection_stat_reset`).

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::clients::word_answers::{Figures, VERSION};
use crate::ensemble::Role;
use crate::proto::{ConnId, SessionId, Zxid};
use crate::request::connections::ConnectionInfo;
use crate::request::{ClientLetter, Duty, ServerState, Serving};
use crate::runtime::Now;
use crate::tree::WatchFigures;

use super::monitor;
use super::sources::Sources;

type Fields = Map<String, Value>;

/// A command that was run: the status, and what it answers.
pub(super) struct Answer {
    pub status: u16,
    pub body: Value,
}

/// One command: its names, the first of which is its own; whether it needs a server that serves.
struct Command {
    names: &'static [&'static str],
    run: Run,
}

enum Run {
    /// Works always.
    Always(fn(&Sources, Now) -> Fields),
    /// Works while something is served.
    Serving(fn(&Sources, &Serving, Now) -> Fields),
}

/// The names of all commands, sorted.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<&str> = COMMANDS
        .iter()
        .filter_map(|command| command.names.first().copied())
        .collect();
    names.sort_unstable();
    names
}

/// Runs a command. `error` is null, or says what is wrong.
pub(super) fn run(name: &str, sources: &Sources, now: Now) -> Answer {
    let found = COMMANDS.iter().find(|command| command.names.contains(&name));
    let Some(command) = found else {
        let error = format!("Unknown command: {name}");
        return answer(404, Map::new(), name, Some(error));
    };
    let primary = command.names.first().copied().unwrap_or(name);
    let fields = match command.run {
        Run::Always(run) => run(sources, now),
        Run::Serving(run) => match sources.gate.serving() {
            Some(serving) => run(sources, &serving, now),
            None => {
                let error = "This ZooKeeper instance is not currently serving requests".to_owned();
                return answer(503, Map::new(), primary, Some(error));
            }
        },
    };
    answer(200, fields, primary, None)
}

fn answer(status: u16, mut fields: Fields, command: &str, error: Option<String>) -> Answer {
    fields.insert("command".to_owned(), json!(command));
    if !fields.contains_key("error") {
        fields.insert("error".to_owned(), json!(error));
    }
    let body = Value::Object(fields);
    Answer { status, body }
}

const COMMANDS: &[Command] = &[
    Command {
        names: &["configuration", "conf", "config"],
        run: Run::Serving(configuration),
    },
    Command {
        names: &["connection_stat_reset", "crst"],
        run: Run::Serving(|sources, _, _| {
            sources.clients.post_all(|| ClientLetter::ResetStats);
            Map::new()
        }),
    },
    Command {
        names: &["connections", "cons"],
        run: Run::Serving(|sources, _, _| connections(sources, false)),
    },
    Command {
        names: &["dirs"],
        run: Run::Serving(|sources, _, _| {
            let (data, log) = sources.dirs.sizes(&*sources.disk);
            fields([("datadir_size", json!(data)), ("logdir_size", json!(log))])
        }),
    },
    Command {
        names: &["dump"],
        run: Run::Serving(dump),
    },
    Command {
        names: &["environment", "env", "envi"],
        run: Run::Always(|sources, _| {
            let entries = sources.facts.environment.iter();
            entries
                .map(|(key, value)| ((*key).to_owned(), json!(value)))
                .collect()
        }),
    },
    Command {
        names: &["hash"],
        run: Run::Serving(|_, serving, _| {
            let tree = serving.database.read_tree();
            let one =
                |(zxid, digest): (Zxid, i64)| json!({"zxid": zxid.0, "digestVersion": 2, "digest": digest});
            fields([("digests", tree.digests().map(one).collect())])
        }),
    },
    Command {
        names: &["is_read_only", "isro"],
        run: Run::Serving(|_, serving, _| {
            fields([("read_only", json!(serving.state == ServerState::ReadOnly))])
        }),
    },
    Command {
        names: &["last_snapshot", "lsnp"],
        run: Run::Serving(|sources, _, _| last_snapshot(sources)),
    },
    Command {
        names: &["leader", "lead"],
        run: Run::Serving(|sources, _, _| leader(sources)),
    },
    Command {
        names: &["monitor", "mntr"],
        run: Run::Always(monitor_values),
    },
    Command {
        names: &["observers", "obsr"],
        run: Run::Serving(|sources, _, _| {
            let observers = sources.status.learners().observers;
            fields([("synced_observers", json!(observers)), ("observers", json!([]))])
        }),
    },
    Command {
        names: &["ruok"],
        run: Run::Serving(|_, _, _| Map::new()),
    },
    Command {
        names: &["server_stats", "srvr"],
        run: Run::Serving(server_stats),
    },
    Command {
        names: &["stat_reset", "srst"],
        run: Run::Serving(|sources, _, _| {
            sources.status.reset();
            Map::new()
        }),
    },
    Command {
        names: &["stats", "stat"],
        run: Run::Serving(|sources, serving, now| {
            let mut out = server_stats(sources, serving, now);
            out.extend(connections(sources, true));
            out
        }),
    },
    Command {
        names: &["voting_view"],
        run: Run::Serving(|sources, _, _| voting_view(sources)),
    },
    Command {
        names: &["watch_summary", "wchs"],
        run: Run::Serving(|_, serving, _| {
            let WatchFigures {
                connections,
                paths,
                watches,
            } = serving.database.watches().figures();
            fields([
                ("num_connections", json!(connections)),
                ("num_paths", json!(paths)),
                ("num_total_watches", json!(watches)),
            ])
        }),
    },
    Command {
        names: &["watches", "wchc"],
        run: Run::Serving(|sources, serving, _| watches(sources, serving)),
    },
    Command {
        names: &["watches_by_path", "wchp"],
        run: Run::Serving(|sources, serving, _| watches_by_path(sources, serving)),
    },
    Command {
        names: &["zabstate"],
        run: Run::Always(|sources, _| zab_state(sources)),
    },
];

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn configuration(sources: &Sources, _: &Serving, _: Now) -> Fields {
    let facts = &sources.facts;
    let mut out = fields([
        ("client_port", json!(facts.client_port)),
        ("data_dir", json!(facts.data_dir)),
        ("data_log_dir", json!(facts.data_log_dir)),
        ("tick_time", json!(facts.tick_ms)),
        ("max_client_cnxns", json!(facts.max_client_cnxns)),
        ("min_session_timeout", json!(facts.min_session_timeout_ms)),
        ("max_session_timeout", json!(facts.max_session_timeout_ms)),
        ("server_id", json!(facts.my_id.map_or(0, |id| id.0))),
        ("client_port_listen_backlog", json!(-1)),
    ]);
    if let (Some((init, sync)), Some(me)) = (facts.limits, facts.me()) {
        out.extend(fields([
            ("init_limit", json!(init)),
            ("sync_limit", json!(sync)),
            ("election_alg", json!(3)),
            ("election_port", json!(me.election_port)),
            ("quorum_port", json!(me.quorum_port)),
            ("peer_type", json!(i32::from(me.role == Role::Observer))),
        ]));
    }
    out
}

fn connections(sources: &Sources, brief: bool) -> Fields {
    let (connections, is_cut) = sources.connections(MOST_LISTED);
    let mut out = fields([
        (
            "connections",
            connections.iter().map(|info| connection(info, brief)).collect(),
        ),
        ("secure_connections", json!([])),
    ]);
    note_cut(&mut out, is_cut);
    out
}

fn connection(info: &ConnectionInfo, brief: bool) -> Value {
    let mut out = fields([
        ("remote_socket_address", json!(info.remote.to_string())),
        ("interest_ops", json!(info.interest_ops)),
        ("outstanding_requests", json!(info.outstanding)),
        ("packets_received", json!(info.received)),
        ("packets_sent", json!(info.sent)),
    ]);
    if let Some(session) = info.session.as_ref().filter(|_| !brief) {
        out.extend(fields([
            ("session_id", json!(session.id.0)),
            ("last_operation", json!(session.last_operation)),
            ("established", json!(session.established_ms)),
            ("session_timeout", json!(session.timeout_ms)),
            ("last_cxid", json!(session.last_cxid.0)),
            ("last_zxid", json!(session.last_zxid.0)),
            ("last_response_time", json!(session.last_response_ms)),
            ("last_latency", json!(session.last_latency_ms)),
            ("min_latency", json!(session.min_latency_ms)),
            ("avg_latency", json!(session.avg_latency_ms)),
            ("max_latency", json!(session.max_latency_ms)),
        ]));
    }
    Value::Object(out)
}

fn dump(_: &Sources, serving: &Serving, _: Now) -> Fields {
    let mut listed = 0;
    let expiries: Map<String, Value> = serving.sessions.with_tracker(|tracker| {
        let buckets = tracker.buckets().map(|(at_ms, sessions)| {
            let room = MOST_LISTED.saturating_sub(listed);
            let ids: Vec<i64> = sessions.take(room).map(|session| session.0).collect();
            listed += ids.len();
            (at_ms.to_string(), json!(ids))
        });
        buckets.take(MOST_LISTED).collect()
    });
    let tree = serving.database.read_tree();
    let owners: Vec<SessionId> = tree.sessions_with_ephemerals().take(MOST_LISTED).collect();
    drop(tree);
    let mut paths = 0;
    let mut ephemerals = Map::new();
    for owner in owners {
        if paths >= MOST_LISTED {
            break;
        }
        let mut of_owner = serving.database.read_tree().ephemerals_of(owner);
        of_owner.truncate(MOST_LISTED - paths);
        paths += of_owner.len();
        ephemerals.insert(owner.0.to_string(), json!(of_owner));
    }
    let mut out = fields([
        ("expiry_time_to_session_ids", Value::Object(expiries)),
        ("session_id_to_ephemeral_paths", Value::Object(ephemerals)),
    ]);
    note_cut(&mut out, listed >= MOST_LISTED || paths >= MOST_LISTED);
    out
}

fn last_snapshot(sources: &Sources) -> Fields {
    let snapshots = sources.dirs.snapshots(&*sources.disk).unwrap_or_default();
    let newest = snapshots.last();
    let changed_s = newest.and_then(|file| sources.disk.modified_ms(&file.path).ok());
    fields([
        (
            "zxid",
            json!(format!("{:x}", newest.map_or(-1, |file| file.zxid.0))),
        ),
        ("timestamp", json!(changed_s.map_or(-1, |ms| ms / 1_000))),
    ])
}

fn leader(sources: &Sources) -> Fields {
    let tenure = sources.status.roles.present();
    let Some(ensemble) = &sources.facts.ensemble else {
        return fields([("error", json!("server is not initialized"))]);
    };
    let leader = tenure.leader.and_then(|sid| ensemble.member(sid));
    fields([
        ("is_leader", json!(tenure.duty == Duty::Leading)),
        ("leader_id", json!(tenure.leader.map_or(-1, |sid| sid.0))),
        (
            "leader_ip",
            json!(leader.map_or("", |leader| leader.host.as_str())),
        ),
    ])
}

fn monitor_values(sources: &Sources, now: Now) -> Fields {
    let figures = monitor::figures(sources);
    let tenure = sources.status.roles.present();
    let mut out = fields([("version", json!(VERSION))]);
    if let Some(figures) = &figures {
        out.insert("server_state".to_owned(), json!(figures.state.name()));
    }
    if sources.facts.ensemble.is_some() {
        let state = format!("{} - {}", tenure.duty.name(), tenure.phase());
        out.insert("peer_state".to_owned(), json!(state));
    }
    for gauge in monitor::gauges(sources, figures.as_ref(), now.elapsed_ms) {
        let value = match gauge.name {
            "avg_latency" => json!(gauge.value),
            _ => json!(gauge.value as i64),
        };
        out.insert(gauge.name.to_owned(), value);
    }
    let metrics = &sources.status.metrics;
    for (name, _, value) in metrics.counters.each() {
        out.insert(name.to_owned(), json!(value));
    }
    for summary in metrics.summaries() {
        let reading = &summary.reading;
        let total = reading.total();
        let scaled = |value: u64| json!((value as f64 * summary.scale * 1_000.0).round() / 1_000.0);
        let quantile = |part| reading.quantile(part).map_or(json!(0), scaled);
        let mean = reading.sum().checked_div(total).unwrap_or(0);
        out.insert(format!("avg_{}", summary.name), scaled(mean));
        out.insert(format!("min_{}", summary.name), quantile(0.0));
        out.insert(format!("max_{}", summary.name), quantile(1.0));
        out.insert(format!("cnt_{}", summary.name), json!(total));
        out.insert(format!("sum_{}", summary.name), scaled(reading.sum()));
        for (part, label) in [(0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (0.999, "p999")] {
            out.insert(format!("{label}_{}", summary.name), quantile(part));
        }
    }
    out
}

fn server_stats(sources: &Sources, serving: &Serving, now: Now) -> Fields {
    let figures = Figures::gather(serving, &sources.gate, &sources.status);
    let gauges = monitor::gauges(sources, Some(&figures), now.elapsed_ms);
    let mean = gauges.iter().find(|gauge| gauge.name == "avg_latency");
    let (data, log) = sources.dirs.sizes(&*sources.disk);
    // Java tells -1 before the first answer; how long answers are is not measured here.
    let sizes = json!({"last_buffer_size": -1, "min_buffer_size": -1, "max_buffer_size": -1});
    let stats = json!({
        "packets_sent": figures.sent,
        "packets_received": figures.received,
        "fsync_threshold_exceed_count": figures.slow_fsyncs,
        "client_response_stats": sizes,
        "data_dir_size": data,
        "log_dir_size": log,
        "provider_null": false,
        "server_state": figures.state.name(),
        "last_processed_zxid": figures.zxid.0,
        "outstanding_requests": figures.outstanding,
        "avg_latency": mean.map_or(0.0, |gauge| gauge.value),
        "max_latency": figures.latencies.max_ms,
        "min_latency": figures.latencies.min_ms,
        "num_alive_client_connections": figures.connections,
        "auth_failed_count": 0,
        "non_mtlsremote_conn_count": 0,
        "non_mtlslocal_conn_count": 0,
        "uptime": now.elapsed_ms - sources.facts.started_ms,
    });
    fields([
        ("version", json!(VERSION)),
        ("read_only", json!(figures.state == ServerState::ReadOnly)),
        ("server_stats", stats),
        ("client_response", sizes),
        ("node_count", json!(figures.nodes)),
    ])
}

fn voting_view(sources: &Sources) -> Fields {
    let members = sources
        .facts
        .ensemble
        .iter()
        .flat_map(|ensemble| ensemble.members().values());
    let voters = members.filter(|member| member.role == Role::Participant);
    let view = voters.map(|member| {
        let entry = json!({
            "server_addresses": [format!("{}:{}", member.host, member.quorum_port)],
            "election_addresses": [format!("{}:{}", member.host, member.election_port)],
            "client_address": "",
            "learner_type": "participant",
        });
        (member.sid.to_string(), entry)
    });
    fields([("current_config", Value::Object(view.collect()))])
}

fn watches(sources: &Sources, serving: &Serving) -> Fields {
    if let Some(refusal) = too_many_watches(serving) {
        return refusal;
    }
    let sessions = session_ids(sources);
    let watches = serving.database.watches().by_connection();
    let watches = watches.into_iter().filter_map(|(conn, paths)| {
        let paths: Vec<String> = paths.iter().map(|path| path.to_string()).collect();
        (!paths.is_empty()).then_some(())?;
        Some((sessions.get(&conn)?.to_string(), json!(paths)))
    });
    fields([("session_id_to_watched_paths", Value::Object(watches.collect()))])
}

fn watches_by_path(sources: &Sources, serving: &Serving) -> Fields {
    if let Some(refusal) = too_many_watches(serving) {
        return refusal;
    }
    let sessions = session_ids(sources);
    let watches = serving.database.watches().by_path();
    let watches = watches.into_iter().map(|(path, conns)| {
        let ids: Vec<i64> = conns
            .iter()
            .filter_map(|conn| sessions.get(conn).copied())
            .collect();
        (path.to_string(), json!(ids))
    });
    fields([("path_to_session_ids", Value::Object(watches.collect()))])
}

/// Listing takes the lock that every watch needs, so it is not done without bounds.
fn too_many_watches(serving: &Serving) -> Option<Fields> {
    let count = serving.database.watches().count();
    let error = format!("{count} watches are too many to list; watch_summary counts them");
    (count > MOST_LISTED).then(|| fields([("error", json!(error))]))
}

fn session_ids(sources: &Sources) -> HashMap<ConnId, i64> {
    let (connections, _) = sources.connections(usize::MAX);
    let known = connections
        .into_iter()
        .filter_map(|info| Some((info.conn, info.session?.id.0)));
    known.collect()
}

fn zab_state(sources: &Sources) -> Fields {
    let facts = &sources.facts;
    let (Some(me), Some(serving)) = (facts.me(), sources.gate.serving()) else {
        let phase = sources.status.roles.present().phase();
        return fields([("voting", json!(facts.votes())), ("zabstate", json!(phase))]);
    };
    let tenure = sources.status.roles.present();
    let zxid = serving.database.applied();
    fields([
        ("myid", json!(me.sid.0)),
        ("is_leader", json!(tenure.duty == Duty::Leading)),
        ("quorum_address", json!(format!("{}:{}", me.host, me.quorum_port))),
        (
            "election_address",
            json!(format!("{}:{}", me.host, me.election_port)),
        ),
        (
            "client_address",
            json!(format!("{}:{}", me.host, facts.client_port)),
        ),
        ("voting", json!(facts.votes())),
        ("last_zxid", json!(format!("0x{:x}", zxid.0))),
        ("zab_epoch", json!(zxid.epoch().0)),
        ("zab_counter", json!(zxid.counter())),
        ("zabstate", json!(tenure.phase())),
    ])
}

fn note_cut(out: &mut Fields, is_cut: bool) {
    if is_cut {
        out.insert("truncated".to_owned(), json!(true));
    }
}

/// So many entries of a list are told.
const MOST_LISTED: usize = 10_000;
