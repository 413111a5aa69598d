//! Strangers on the ports that servers keep for each other: they are hung up on, told of once, and cost nothing that
//! lasts.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};

use super::{create, create_soon};
use crate::support::cluster::{Cluster, Layout};
use crate::support::{LONG, wait_until};

/// How many entries a server's process has in one of these lists: `task`, its threads, or `fd`, its open files.
fn count(cluster: &Cluster, number: usize, list: &str) -> usize {
    let path = format!("/proc/{}/{list}", cluster.pid(number));
    std::fs::read_dir(path).expect("a living process").count()
}

fn call(address: SocketAddr) -> Option<TcpStream> {
    // It is refused while nobody leads.
    TcpStream::connect(address).ok()
}

fn say(address: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = call(address)?;
    // It may be hung up on already.
    drop(stream.write_all(bytes));
    Some(stream)
}

fn hello(sid: i64, more: &[u8]) -> Vec<u8> {
    [&sid.to_be_bytes()[..], more].concat()
}

/// The head of a packet on the quorum port, and a length of data.
fn packet(kind: i32, length: i32) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &[0; 8], &length.to_be_bytes()].concat()
}

/// One round of everything that nobody sends who belongs there.
fn pester(election: SocketAddr, quorum: SocketAddr) -> Vec<TcpStream> {
    let on_election = [
        vec![],
        vec![0, 0, 0],
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
        hello(-65_536, &hello(9, &2_000_000i32.to_be_bytes())),
        hello(-65_536, &hello(9, &2_000i32.to_be_bytes())),
        hello(990, &i32::MAX.to_be_bytes()),
        hello(991, &(-1i32).to_be_bytes()),
        hello(992, &[0, 0, 0, 40, 1]),
        hello(993, &[]),
        hello(i64::MAX, &[]),
    ];
    let on_quorum = [
        vec![],
        vec![0, 0],
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(),
        packet(11, i32::MAX),
        packet(11, -2),
        packet(11, 1 << 20),
        [packet(3, -1), (-1i32).to_be_bytes().to_vec()].concat(),
        packet(99, 0),
    ];
    let election = on_election.iter().map(|bytes| say(election, bytes));
    let quorum = on_quorum.iter().map(|bytes| say(quorum, bytes));
    election.chain(quorum).flatten().collect()
}

#[test]
fn strangers_on_both_ports_hinder_no_election_and_leave_no_thread_file_or_flood_of_lines() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 3,
        lines: &["initLimit=6", "syncLimit=4"],
        ..Layout::default()
    });
    let addresses: Vec<_> = (1..=3)
        .map(|number| (cluster.election_address(number), cluster.quorum_address(number)))
        .collect();
    cluster.start_all();
    create(&mut cluster.client(1), "/before");
    let before: Vec<_> = (1..=3)
        .map(|number| (count(&cluster, number, "task"), count(&cluster, number, "fd")))
        .collect();
    let mut strangers = Vec::new();
    for _ in 0..60 {
        for (election, quorum) in &addresses {
            strangers.extend(pester(*election, *quorum));
        }
    }
    create(&mut cluster.client(2), "/among-strangers");
    for number in 1..=3 {
        let (threads, files) = (count(&cluster, number, "task"), count(&cluster, number, "fd"));
        let (threads_before, files_before) = before[number - 1];
        // 32 silent ones on either port, 16 of unknown number, a few that are about to end.
        assert!(
            threads < threads_before + 250,
            "server {number}: {threads} threads"
        );
        assert!(files < files_before + 400, "server {number}: {files} files");
    }
    // A new leader is found among them.
    let leader = cluster.leader();
    cluster.kill(leader);
    let others: Vec<usize> = (1..=3).filter(|&number| number != leader).collect();
    cluster.leader_among(&others);
    create_soon(&cluster, others[0], "/a-new-leader");
    cluster.start_one(leader);
    // Once they are gone, nothing of them is left.
    drop(strangers);
    for number in 1..=3 {
        let (threads, files) = before[number - 1];
        // Who leads now has a few more than who followed before.
        wait_until("the end of all threads and files of strangers", LONG, || {
            count(&cluster, number, "task") <= threads + 10 && count(&cluster, number, "fd") <= files + 20
        });
    }
    for number in 1..=3 {
        // What the clients' port says of those who ask for the mode is none of it.
        let log = cluster.log(number);
        let about_peers = |line: &&str| !line.contains("NIOServerCxn.Factory");
        let lines = log.lines().filter(about_peers).count();
        assert!(lines < 250, "server {number} has written {lines} lines:\n{log}");
    }
    assert!(cluster.same_trees().contains_key("/a-new-leader"));
}
