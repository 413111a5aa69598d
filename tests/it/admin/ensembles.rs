//! What the members of an ensemble tell over HTTP of themselves and of each other.

use std::collections::BTreeMap;

use serde_json::Value;

use super::get;
use crate::support::cluster::{Cluster, Layout};
use crate::support::process::free_port;
use crate::support::{LONG, wait_until};

/// Three servers with an admin port each, which know where the others' clients connect.
fn watched() -> (Cluster, BTreeMap<usize, u16>) {
    let ports: BTreeMap<usize, u16> = (1..=3).map(|number| (number, free_port())).collect();
    let mut cluster = Cluster::lay_out(&Layout {
        count: 3,
        ..Layout::default()
    });
    let members: Vec<String> = (1..=3).map(|n| format!("{n}={}", cluster.address(n))).collect();
    for (&number, port) in &ports {
        let lines = format!("admin.serverPort={port}\nadmin.members={}\n", members.join(","));
        cluster.add_lines(number, &lines);
    }
    cluster.start_all();
    (cluster, ports)
}

fn views(overview: &Value) -> Vec<(i64, String)> {
    let members = overview["members"].as_array().expect("members");
    let view = |member: &Value| {
        let view = &member["view"];
        let said = view["mode"].as_str().or(view["error"].as_str()).unwrap_or("");
        (member["sid"].as_i64().expect("a number"), said.to_owned())
    };
    members
        .iter()
        .filter(|member| member["is_me"] == false)
        .map(view)
        .collect()
}

#[test]
fn the_page_shows_each_member_by_its_own_view_and_elections_as_they_come() {
    let (mut cluster, ports) = watched();
    let leader = cluster.leader();
    let watcher = cluster.follower();
    let overview = || get(ports[&watcher], "/view/overview").json();
    wait_until("a view of the others", LONG, || {
        views(&overview())
            .iter()
            .filter(|(_, said)| said == "leader" || said == "follower")
            .count()
            == 2
    });
    let seen = views(&overview());
    assert!(seen.contains(&(leader as i64, "leader".to_owned())), "{seen:?}");
    let said = get(ports[&watcher], "/commands/leader").json();
    assert_eq!(
        (&said["is_leader"], &said["leader_id"]),
        (&Value::Bool(false), &Value::from(leader))
    );
    assert_eq!(get(ports[&leader], "/commands/leader").json()["is_leader"], true);
    let state = get(ports[&leader], "/commands/zabstate").json();
    assert_eq!(
        (state["zabstate"].as_str(), state["voting"].as_bool()),
        (Some("broadcast"), Some(true))
    );
    let voters = get(ports[&leader], "/commands/voting_view").json();
    assert_eq!(
        voters["current_config"].as_object().map(serde_json::Map::len),
        Some(3)
    );
    let monitor = get(ports[&leader], "/commands/monitor").json();
    assert_eq!(
        (
            monitor["synced_followers"].as_i64(),
            monitor["quorum_size"].as_i64()
        ),
        (Some(2), Some(3))
    );
    assert!(monitor["election_time"].is_null() && monitor["cnt_election_time"].as_i64() >= Some(1));

    cluster.kill(leader);
    wait_until("the loss of the leader", LONG, || {
        views(&overview()).contains(&(leader as i64, "nobody listens".to_owned()))
    });
    wait_until("the next leader", LONG, || {
        get(ports[&watcher], "/ready").status == 200
    });
    let tenures = overview()["tenures"].as_array().expect("tenures").len();
    assert!(tenures >= 4, "looking, following, looking, and a role: {tenures}");
    let changes = overview()["role_changes"].to_string();
    assert!(changes.contains("nobody listens"), "{changes}");
}

#[test]
fn a_member_without_a_quorum_is_healthy_and_not_ready() {
    let (mut cluster, ports) = watched();
    let last = cluster.follower();
    for number in (1..=3).filter(|&number| number != last) {
        cluster.kill(number);
    }
    wait_until("the end of the service", LONG, || {
        get(ports[&last], "/ready").status == 503
    });
    let ready = get(ports[&last], "/ready").json();
    assert_eq!(ready["ready"], false);
    assert_eq!(get(ports[&last], "/health").status, 200);
    let refused = get(ports[&last], "/commands/srvr");
    assert_eq!(refused.status, 503);
    assert_eq!(
        refused.json()["error"],
        "This ZooKeeper instance is not currently serving requests"
    );
    assert_eq!(get(ports[&last], "/commands/monitor").status, 200);
}
