//! Ensembles of five: kills of a majority and of all, logs of different lengths, a leader that stands still.

use oxkeeper::proto::{Encode, OpCode, Xid, requests::CreateRequest};
use oxkeeper::tools::client::Client;

use super::{Load, create, create_soon, open};
use crate::support::cluster::{Cluster, Layout};
use crate::support::{LONG, wait_until};

/// Asks for a node, without waiting for the answer.
fn ask_for(client: &mut Client, path: &str) -> Xid {
    let request = CreateRequest {
        path: path.into(),
        data: Some(b""),
        acl: open(),
        flags: 0,
    };
    let xid = client.send(OpCode::Create, |out| request.encode(out));
    client.wire().flush().expect("sent");
    xid
}

fn wait_until_logged(cluster: &Cluster, number: usize, words: &str) {
    wait_until(words, LONG, || {
        let log = std::fs::read_dir(cluster.data(number)).expect("a directory");
        log.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok())
            .any(|bytes| bytes.windows(words.len()).any(|part| part == words.as_bytes()))
    });
}

#[test]
fn a_minority_serves_nobody_and_a_majority_that_comes_back_has_all() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 5,
        lines: &["syncLimit=6"],
        ..Layout::default()
    });
    cluster.start_all();
    let load = Load::start(&cluster.addresses());
    load.wait_for_more(200);
    let leader = cluster.leader();
    let others = (1..=5).filter(|&number| number != leader);
    let dead: Vec<usize> = std::iter::once(leader).chain(others).take(3).collect();
    dead.iter().for_each(|&number| cluster.kill(number));
    let left = cluster.running();
    wait_until("the end of service", LONG, || {
        left.iter().all(|&number| cluster.mode(number).is_none())
    });
    cluster.start_one(dead[0]);
    load.wait_for_more(100);
    cluster.start_these(&dead[1..]);
    load.wait_for_more(100);
    (1..=5).for_each(|number| cluster.kill(number));
    cluster.start_all();
    load.wait_for_more(100);
    let acknowledged = load.end();
    let tree = cluster.same_trees();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|path| !tree.contains_key(*path))
        .collect();
    assert_eq!(lost, Vec::<&String>::new(), "of {}", acknowledged.len());
}

#[test]
fn of_different_logs_the_longest_wins_whatever_the_numbers_are() {
    let mut cluster = Cluster::start(5, 0);
    let write = |cluster: &Cluster, name: &str| {
        let mut client = cluster.client(cluster.leader());
        (0..20).for_each(|count| create(&mut client, &format!("/{name}-{count}")));
    };
    write(&cluster, "all");
    // The larger number is to have the shorter log.
    let shortest = 5;
    cluster.kill(shortest);
    create_soon(&cluster, 1, "/without-one");
    let leader = cluster.leader();
    write(&cluster, "four");
    let short = cluster.follower();
    cluster.kill(short);
    write(&cluster, "three");
    assert_eq!(cluster.leader(), leader);
    // The leader alone logs one more.
    let others: Vec<usize> = cluster.running().into_iter().filter(|&n| n != leader).collect();
    let mut client = cluster.client(leader);
    others.iter().for_each(|&number| cluster.signal(number, "STOP"));
    ask_for(&mut client, "/longest");
    wait_until_logged(&cluster, leader, "/longest");
    cluster
        .running()
        .into_iter()
        .for_each(|number| cluster.kill(number));
    cluster.start_these(&[shortest, short, leader]);
    assert_eq!(
        cluster.leader(),
        leader,
        "{shortest} and {short} have shorter logs"
    );
    cluster.start_these(&others);
    let tree = cluster.same_trees();
    for path in ["/all-19", "/without-one", "/four-19", "/three-19", "/longest"] {
        assert!(tree.contains_key(path), "{path} is lost");
    }
}

#[test]
fn a_leader_that_stood_still_comes_back_as_a_follower_and_has_acknowledged_nothing_meanwhile() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 5,
        lines: &["syncLimit=4"],
        ..Layout::default()
    });
    cluster.start_all();
    let stopped = cluster.leader();
    let others: Vec<usize> = (1..=5).filter(|&number| number != stopped).collect();
    let mut client = cluster.client(stopped);
    create(&mut client, "/before");
    let load = Load::start(&[cluster.address(stopped)]);
    load.wait_for_more(50);
    cluster.signal(stopped, "STOP");
    let late = ask_for(&mut client, "/stale");
    let next = cluster.leader_among(&others);
    create_soon(&cluster, next, "/meanwhile");
    cluster.signal(stopped, "CONT");
    let answer = client.receive_reply(late).map(|reply| reply.outcome());
    assert!(!matches!(answer, Ok(Ok(()))), "{answer:?}");
    wait_until("the stopped leader as a follower", LONG, || {
        cluster.mode(stopped).as_deref() == Some("follower")
    });
    load.wait_for_more(50);
    let acknowledged = load.end();
    let tree = cluster.same_trees();
    assert!(tree.contains_key("/before") && tree.contains_key("/meanwhile") && !tree.contains_key("/stale"));
    assert!(acknowledged.iter().all(|path| tree.contains_key(path)));
}
