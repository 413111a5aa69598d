//! What the page shows, as one value: this server, the other members, the last minutes, the roles so far.

use serde_json::{Value, json};

use crate::clients::word_answers::VERSION;
use crate::ensemble::{Member as Listed, Role};
use crate::proto::Zxid;
use crate::request::Tenure;
use crate::request::connections::ConnectionInfo;
use crate::runtime::Now;

use super::history::{History, Sample};
use super::members::{Member, Members};
use super::monitor;
use super::sources::Sources;
use super::survey::Survey;

/// Everything but the tree.
pub(super) fn overview(
    sources: &Sources,
    members: &Members,
    history: &History,
    survey: Option<&Survey>,
    tree_browser: bool,
    now: Now,
) -> Value {
    json!({
        "now_ms": now.wall_ms,
        "me": me(sources, now),
        "members": listed(sources, members, now),
        "tenures": sources.status.roles.history().iter().map(tenure).collect::<Vec<_>>(),
        "role_changes": members.changes().iter().map(|change| json!({
            "at_ms": change.wall_ms,
            "sid": change.sid.0,
            "from": change.from,
            "to": change.to,
        })).collect::<Vec<_>>(),
        "samples": history.samples().map(sample).collect::<Vec<_>>(),
        "stages": sources.status.metrics.stages.each().iter().map(|(name, meter)| json!({
            "name": name,
            "depth": meter.depth(),
            "batches": meter.posted(),
            "wait_us": meter.wait.read().quantile(0.99),
            "work_us": meter.work.read().quantile(0.99),
        })).collect::<Vec<_>>(),
        "survey": survey.map(surveyed),
        "tree_browser": tree_browser,
    })
}

fn me(sources: &Sources, now: Now) -> Value {
    let facts = &sources.facts;
    let figures = monitor::figures(sources);
    let present = sources.status.roles.present();
    json!({
        "sid": facts.my_id.map(|id| id.0),
        "version": concat!("oxkeeper ", env!("CARGO_PKG_VERSION")),
        "claims": VERSION.split(',').next(),
        "serving": figures.is_some(),
        "mode": figures.as_ref().map(|figures| figures.state.name()),
        "duty": present.duty.name(),
        "phase": present.phase(),
        "leader": present.leader.map(|sid| sid.0),
        "client_port": facts.client_port,
        "uptime_ms": now.elapsed_ms - facts.started_ms,
        "zxid": figures.as_ref().map(|figures| zxid(figures.zxid)),
        "nodes": figures.as_ref().map(|figures| figures.nodes),
        "ephemerals": figures.as_ref().map(|figures| figures.ephemerals),
        "watches": figures.as_ref().map(|figures| figures.watches),
        "data_bytes": figures.as_ref().map(|figures| figures.data_bytes),
        "latencies_ms": figures.as_ref().map(|figures| {
            let latencies = figures.latencies;
            format!("{}/{}/{}", latencies.min_ms, latencies.avg_ms, latencies.max_ms)
        }),
        "connections": sources.status.connections(),
        "outstanding": sources.gate.in_process(),
        "slow_fsyncs": sources.status.slow_fsyncs(),
    })
}

/// The list of servers with what each says; this server's own entry is in `me`.
fn listed(sources: &Sources, members: &Members, now: Now) -> Vec<Value> {
    let Some(ensemble) = &sources.facts.ensemble else {
        return Vec::new();
    };
    let known = members.all();
    let entry = |listed: &Listed| {
        let mut entry = json!({
            "sid": listed.sid.0,
            "host": listed.host,
            "quorum_port": listed.quorum_port,
            "election_port": listed.election_port,
            "votes": listed.role == Role::Participant,
            "is_me": Some(listed.sid) == sources.facts.my_id,
        });
        if let Some(member) = known.get(&listed.sid) {
            entry["view"] = view(member, now);
        }
        entry
    };
    ensemble.members().values().map(entry).collect()
}

fn view(member: &Member, now: Now) -> Value {
    let age_ms = now.wall_ms - member.asked_wall_ms;
    match &member.view {
        Err(reason) => json!({"error": reason, "age_ms": age_ms}),
        Ok(view) => json!({
            "mode": view.mode,
            "version": view.version,
            "zxid": view.zxid.map(|number| zxid(Zxid(number))),
            "latencies_ms": view.latencies_ms,
            "connections": view.connections,
            "outstanding": view.outstanding,
            "nodes": view.nodes,
            "requests_per_s": member.requests_per_s,
            "age_ms": age_ms,
        }),
    }
}

/// In parts, since a browser's numbers end at 2^53.
fn zxid(zxid: Zxid) -> Value {
    json!({"text": zxid.to_string(), "epoch": zxid.epoch().0, "counter": zxid.counter()})
}

fn tenure(tenure: &Tenure) -> Value {
    json!({
        "duty": tenure.duty.name(),
        "leader": tenure.leader.map(|sid| sid.0),
        "epoch": tenure.epoch.map(|epoch| epoch.0),
        "since_ms": tenure.since_wall_ms,
        "election_ms": tenure.election_ms,
        "serving_after_ms": tenure.serving_since_ms.map(|since_ms| since_ms - tenure.since_ms),
        "end": tenure.end,
    })
}

fn sample(sample: &Sample) -> Value {
    json!([
        sample.wall_ms,
        (sample.reads_per_s * 10.0).round() / 10.0,
        (sample.writes_per_s * 10.0).round() / 10.0,
        sample.read_us.map(|[middle, _]| middle),
        sample.read_us.map(|[_, end]| end),
        sample.write_us.map(|[middle, _]| middle),
        sample.write_us.map(|[_, end]| end),
        sample.fsync_us,
        sample.connections,
        sample.outstanding,
    ])
}

fn surveyed(survey: &Survey) -> Value {
    json!({
        "at_ms": survey.wall_ms,
        "seen": survey.seen,
        "is_partial": survey.is_partial,
        "subtrees": survey.subtrees.iter().map(|subtree| json!({
            "path": subtree.path,
            "nodes": subtree.nodes,
            "bytes": subtree.bytes,
        })).collect::<Vec<_>>(),
    })
}

/// The connections, those with the most requests first.
pub(super) fn connections(sources: &Sources) -> Value {
    let (mut connections, is_cut) = sources.connections(MOST_LOOKED_AT);
    connections.sort_by_key(|info| std::cmp::Reverse(info.received));
    let count = connections.len();
    connections.truncate(MOST_SHOWN);
    json!({
        "connections": connections.iter().map(connection).collect::<Vec<_>>(),
        "is_partial": is_cut || count > MOST_SHOWN,
        "total": sources.status.connections(),
    })
}

fn connection(info: &ConnectionInfo) -> Value {
    let session = info.session.as_ref();
    json!({
        "remote": info.remote.to_string(),
        "session": session.map(|session| session.id.to_string()),
        "timeout_ms": session.map(|session| session.timeout_ms),
        "last_operation": session.map(|session| session.last_operation),
        "established_ms": session.map(|session| session.established_ms),
        "avg_latency_ms": session.map(|session| session.avg_latency_ms),
        "max_latency_ms": session.map(|session| session.max_latency_ms),
        "received": info.received,
        "sent": info.sent,
        "outstanding": info.outstanding,
    })
}

const MOST_LOOKED_AT: usize = 10_000;
const MOST_SHOWN: usize = 100;
