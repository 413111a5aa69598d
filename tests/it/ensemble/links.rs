//! Links that are dead without being closed, and peers that take every call and never say a word.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::{Load, create, create_soon};
use crate::support::cluster::{Cluster, Layout};
use crate::support::{LONG, wait_until};

fn with_ways() -> Cluster {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 3,
        lines: &["initLimit=10", "syncLimit=5"],
        has_ways: true,
        ..Layout::default()
    });
    cluster.start_all();
    cluster
}

#[test]
fn a_leader_that_nobody_reaches_stops_serving_and_follows_when_the_links_are_back() {
    let cluster = with_ways();
    let alone = cluster.leader();
    let others: Vec<usize> = (1..=3).filter(|&number| number != alone).collect();
    let load = Load::start(&cluster.addresses());
    load.wait_for_more(100);
    cluster.block(alone, &others, true);
    let next = cluster.leader_among(&others);
    create_soon(&cluster, next, "/in-the-majority");
    wait_until("the end of the old reign", LONG, || cluster.mode(alone).is_none());
    load.wait_for_more(100);
    cluster.block(alone, &others, false);
    wait_until("the old leader as a follower", LONG, || {
        cluster.mode(alone).as_deref() == Some("follower")
    });
    load.wait_for_more(100);
    let acknowledged = load.end();
    let tree = cluster.same_trees();
    assert!(tree.contains_key("/in-the-majority"));
    assert!(acknowledged.iter().all(|path| tree.contains_key(path)));
}

#[test]
fn a_follower_behind_dead_links_comes_back_and_hinders_nobody_meanwhile() {
    let mut cluster = with_ways();
    let leader = cluster.leader();
    let far = cluster.follower();
    let third = 6 - leader - far;
    // First the link to the leader alone, then all, in the middle of a new life.
    cluster.block(far, &[leader], true);
    let mut client = cluster.client(leader);
    (0..50).for_each(|count| create(&mut client, &format!("/one-link-{count}")));
    wait_until("the follower's end of service", LONG, || {
        cluster.mode(far).is_none()
    });
    cluster.block(far, &[leader, third], true);
    cluster.kill(far);
    cluster.spawn_these(&[far]);
    (0..50).for_each(|count| create(&mut client, &format!("/no-link-{count}")));
    assert_eq!(cluster.leader_among(&[leader]), leader);
    assert_eq!(cluster.mode(far), None);
    cluster.block(far, &[leader, third], false);
    cluster.wait_until_serving(far);
    let tree = cluster.same_trees();
    assert!(tree.contains_key("/one-link-49") && tree.contains_key("/no-link-49"));
}

/// Takes every call on two ports, and never says or reads anything.
struct Mute {
    addresses: [SocketAddr; 2],
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Mute {
    fn on(addresses: [SocketAddr; 2]) -> Mute {
        let ended = Arc::new(AtomicBool::new(false));
        let listen = |address: SocketAddr| {
            let listener = TcpListener::bind(address).expect("the port of a server that does not run");
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                let mut calls = Vec::new();
                while !ended.load(Ordering::SeqCst) {
                    calls.extend(listener.accept());
                }
            })
        };
        let threads = addresses.map(listen).into();
        Mute {
            addresses,
            ended,
            threads,
        }
    }
}

impl Drop for Mute {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the threads; whoever has ended needs no waking.
        self.addresses
            .iter()
            .for_each(|address| drop(TcpStream::connect(address)));
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

#[test]
fn a_peer_that_takes_calls_and_never_answers_does_not_hold_an_election_up() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 5,
        lines: &["initLimit=10", "syncLimit=5"],
        ..Layout::default()
    });
    // Both larger and smaller numbers than those who can talk.
    let mute =
        [1, 5].map(|number| Mute::on([cluster.quorum_address(number), cluster.election_address(number)]));
    cluster.start_these(&[2, 3, 4]);
    create(&mut cluster.client(2), "/among-the-mute");
    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.start_one(leader);
    create_soon(&cluster, leader, "/a-new-leader");
    for number in [2, 3, 4] {
        let log = cluster.log(number);
        for peer in [1, 5] {
            let about = |line: &&str| {
                line.contains(&format!("Cannot open channel to {peer} "))
                    || line.contains(&format!("Connection broken for id {peer},"))
            };
            let told = log.lines().filter(about).count();
            assert!(
                told <= 4,
                "server {number} has told {told} times of {peer}:\n{log}"
            );
        }
    }
    drop(mute);
    cluster.start_these(&[1, 5]);
    assert!(cluster.same_trees().contains_key("/a-new-leader"));
}
