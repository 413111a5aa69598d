//! One process in many roles, one after the other: no thread, no socket, no file may be left behind.
//!
//! `OXKEEPER_ROLE_CHANGES=200` in the environment makes it last longer.

use std::collections::BTreeMap;
use std::fs;

use super::create_soon;
use crate::support::cluster::{Cluster, Layout};
use crate::support::{LONG, wait_until};

/// What a process holds: threads by their (cut) names, open files by their kinds; how many of each.
type Belongings = BTreeMap<String, usize>;

/// The server that stays. Those with larger and smaller numbers let it lead and follow in turn.
const STAYS: usize = 2;

#[test]
fn many_role_changes_leave_nothing_behind() {
    let wanted = wanted();
    let mut cluster = Cluster::start(3, 0);
    let mut first_seen = FirstSeen::new();
    let mut round = 0;
    while roles(&cluster, STAYS) < wanted + WARM_UP {
        change_role(&mut cluster);
        round += 1;
        create_soon(&cluster, STAYS, &format!("/round-{round}"));
        if roles(&cluster, STAYS) > WARM_UP {
            compare(&cluster, STAYS, &mut first_seen);
        }
    }
    assert_eq!(first_seen.len(), 2, "it has led and followed: {first_seen:?}");
    assert_eq!(
        cluster
            .same_trees()
            .keys()
            .filter(|path| path.starts_with("/round-"))
            .count(),
        round
    );
    assert!(!cluster.log(STAYS).contains("has not ended in time"));
    println!(
        "{} roles in {round} rounds; {first_seen:#?}",
        roles(&cluster, STAYS)
    );
}

/// Here leaders end with all their learners connected, and nobody is killed.
#[test]
fn epochs_that_are_used_up_leave_nothing_behind() {
    let wanted = wanted();
    let mut cluster = Cluster::lay_out(&Layout {
        count: 3,
        // 15 transactions in each epoch.
        lines: &["testingonly.initialZxid=4294967280"],
        ..Layout::default()
    });
    cluster.start_all();
    let mut first_seen = FirstSeen::new();
    let mut writes = 0;
    while roles(&cluster, 3) < wanted + WARM_UP {
        let before = roles(&cluster, 3);
        while roles(&cluster, 3) == before {
            writes += 1;
            create_soon(&cluster, 3, &format!("/write-{writes}"));
        }
        // All of them have a log again in their new roles.
        writes += 1;
        create_soon(&cluster, 3, &format!("/write-{writes}"));
        cluster.same_trees();
        for number in (1..=3).filter(|&number| roles(&cluster, number) > WARM_UP) {
            compare(&cluster, number, &mut first_seen);
        }
    }
    println!("{} roles, {writes} writes", roles(&cluster, 3));
}

fn wanted() -> usize {
    std::env::var("OXKEEPER_ROLE_CHANGES").map_or(20, |text| text.parse().expect("a number"))
}

/// What each server held when it was first looked at in each role.
type FirstSeen = BTreeMap<(usize, String), Belongings>;

/// A server holds what it held before in the same role. What is about to end has time for it.
fn compare(cluster: &Cluster, number: usize, first_seen: &mut FirstSeen) {
    let mode = cluster.mode(number).expect("a role");
    match first_seen.get(&(number, mode.clone())) {
        None => drop(first_seen.insert((number, mode), settled_belongings(cluster, number))),
        Some(before) => wait_for(cluster, number, before, &mode),
    }
}

/// Takes the leader away, or the leader's quorum.
fn change_role(cluster: &mut Cluster) {
    let before = roles(cluster, STAYS);
    let leader = cluster.leader();
    if leader == STAYS {
        [1, 3].into_iter().for_each(|number| cluster.kill(number));
        wait_until("the end of a reign", LONG, || cluster.mode(STAYS).is_none());
        cluster.spawn_these(&[1, 3]);
    } else {
        cluster.kill(leader);
        cluster.wait_until_serving(4 - leader);
        wait_until("the next role", LONG, || {
            roles(cluster, STAYS) > before && cluster.mode(STAYS).is_some()
        });
        cluster.spawn_these(&[leader]);
    }
    (1..=3).for_each(|number| cluster.wait_until_serving(number));
    wait_until("a new role", LONG, || roles(cluster, STAYS) > before);
}

/// How many roles the server has had.
fn roles(cluster: &Cluster, number: usize) -> usize {
    cluster.log(number).matches("LEADER ELECTION TOOK").count()
}

/// What it holds once that does not change any more.
fn settled_belongings(cluster: &Cluster, number: usize) -> Belongings {
    let mut last = Belongings::new();
    let mut same = 0;
    wait_until("calm", LONG, || {
        let now = belongings(cluster, number);
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == 20
    });
    last
}

fn wait_for(cluster: &Cluster, number: usize, before: &Belongings, mode: &str) {
    let mut now = Belongings::new();
    for _ in 0..1_000 {
        now = belongings(cluster, number);
        if now == *before {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("as {mode} server {number} holds {now:#?}\ninstead of {before:#?}");
}

fn belongings(cluster: &Cluster, number: usize) -> Belongings {
    let process = format!("/proc/{}", cluster.pid(number));
    let mut found = Belongings::new();
    for task in fs::read_dir(format!("{process}/task"))
        .expect("the threads")
        .flatten()
    {
        // It may end at this moment.
        if let Ok(name) = fs::read_to_string(task.path().join("comm")) {
            *found.entry(format!("thread {}", name.trim())).or_default() += 1;
        }
    }
    for file in fs::read_dir(format!("{process}/fd"))
        .expect("the files")
        .flatten()
    {
        if let Ok(target) = fs::read_link(file.path()) {
            let target = target.to_string_lossy().into_owned();
            let kind = target.split([':', '[']).next().unwrap_or_default();
            let name = kind.rsplit('/').next().unwrap_or_default();
            // A log's name is another one in each epoch.
            let name = if name.starts_with("log.") { "log" } else { name };
            *found.entry(format!("file {name}")).or_default() += 1;
        }
    }
    found
}

/// After so many roles every lazily made thing has been made.
const WARM_UP: usize = 4;
