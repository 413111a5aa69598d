//! Ensembles of our own servers, over real sockets, with the real binary.

mod bad_input;
mod five;
mod groups;
mod links;
mod modes;
mod role_changes;
mod strangers;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use oxkeeper::proto::requests::{PathOnly, PathWatch};
use oxkeeper::proto::{Acl, Encode, ErrorCode, OpCode};
use oxkeeper::tools::client::{Client, Granted, Handshake};

use crate::support::cluster::Cluster;
use crate::support::{LONG, wait_until};

fn open() -> Vec<Acl> {
    Acl::open()
}

fn create(client: &mut Client, path: &str) {
    let made = client
        .create(path, path.as_bytes(), &open(), 0)
        .expect("an answer");
    assert_eq!(made.as_deref(), Ok(path));
}

#[test]
fn three_servers_elect_a_leader_serve_writes_through_each_and_come_back_after_a_restart() {
    let mut cluster = Cluster::start(3, 0);
    let mut modes: Vec<String> = (1..=3).filter_map(|number| cluster.mode(number)).collect();
    modes.sort();
    assert_eq!(modes, ["follower", "follower", "leader"]);
    for number in 1..=3 {
        let mut client = cluster.client(number);
        assert_eq!(client.session().session.0 >> 56, number as i64);
        create(&mut client, &format!("/by-{number}"));
        let made = client.create("/s-", b"", &open(), 2).expect("an answer");
        assert_eq!(made, Ok(format!("/s-{:010}", 2 * number - 1)));
        assert_eq!(
            client.create("/by-1", b"", &open(), 0).expect("an answer"),
            Err(ErrorCode::NodeExists)
        );
        client.close().expect("an answer").expect("closed");
    }
    let before = cluster.same_trees();
    for number in 1..=3 {
        assert_eq!(cluster.terminate(number), Some(0));
    }
    cluster.start_all();
    assert_eq!(cluster.same_trees(), before);
    let mut client = cluster.client(2);
    create(&mut client, "/after");
    assert_eq!(cluster.same_trees().len(), before.len() + 1);
}

/// Clients that write one node after the other, each to a server of its own as long as that is there.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    writers: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(addresses: &[SocketAddr]) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged = Arc::new(AtomicUsize::new(0));
        let writers = addresses.iter().enumerate().map(|(writer, &home)| {
            let (stop, acknowledged, all) = (stop.clone(), acknowledged.clone(), addresses.to_vec());
            std::thread::spawn(move || write_until(&stop, &acknowledged, writer, home, &all))
        });
        Load {
            writers: writers.collect(),
            stop,
            acknowledged,
        }
    }

    /// Waits until so many more writes are acknowledged: that the ensemble serves again.
    fn wait_for_more(&self, count: usize) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + count;
        wait_until("more writes", LONG, || {
            self.acknowledged.load(Ordering::Relaxed) >= wanted
        });
    }

    /// Ends it; gives what was acknowledged.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let all = self
            .writers
            .into_iter()
            .map(|writer| writer.join().expect("a writer"));
        all.flatten().collect()
    }
}

fn write_until(
    stop: &AtomicBool,
    acknowledged: &AtomicUsize,
    writer: usize,
    home: SocketAddr,
    all: &[SocketAddr],
) -> Vec<String> {
    let mut done = Vec::new();
    let mut client = None;
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(open_client) = client.as_mut() else {
            let order = std::iter::once(&home).chain(all);
            let hello = Handshake::with_timeout(10_000);
            let limit = Duration::from_secs(5);
            client = order
                .filter_map(|at| Client::connect(*at, &hello, limit).ok())
                .next();
            continue;
        };
        number += 1;
        let path = format!("/w{writer}-{number}");
        match open_client.create(&path, b"data", &open(), 0) {
            Ok(Ok(_)) => {
                done.push(path);
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            // Whether it was carried out is unknown: nobody was promised anything.
            Ok(Err(_)) | Err(_) => client = None,
        }
    }
    done
}

#[test]
fn no_acknowledged_write_is_lost_when_servers_are_killed_under_load() {
    let mut cluster = Cluster::start(3, 0);
    let load = Load::start(&cluster.addresses());
    load.wait_for_more(200);
    for _ in 0..2 {
        let leader = cluster.leader();
        cluster.kill(leader);
        load.wait_for_more(200);
        cluster.start_one(leader);
        load.wait_for_more(100);
        let follower = cluster.follower();
        cluster.kill(follower);
        load.wait_for_more(200);
        cluster.start_one(follower);
        load.wait_for_more(100);
    }
    let acknowledged = load.end();
    let tree = cluster.same_trees();
    let lost: Vec<&String> = acknowledged
        .iter()
        .filter(|path| !tree.contains_key(*path))
        .collect();
    assert_eq!(
        lost,
        Vec::<&String>::new(),
        "of {} acknowledged",
        acknowledged.len()
    );
}

#[test]
fn nothing_is_lost_when_all_are_killed_at_once() {
    let mut cluster = Cluster::start(3, 0);
    let load = Load::start(&cluster.addresses());
    load.wait_for_more(300);
    (1..=3).for_each(|number| cluster.kill(number));
    cluster.start_all();
    load.wait_for_more(100);
    let acknowledged = load.end();
    let tree = cluster.same_trees();
    assert!(acknowledged.iter().all(|path| tree.contains_key(path)));
}

#[test]
fn a_server_that_was_away_comes_back_by_diff_or_by_snapshot() {
    let mut cluster = Cluster::start(3, 0);
    let away = cluster.follower();
    let leader = cluster.leader();
    let mut client = cluster.client(leader);
    for (round, (count, words)) in [
        (20, "Getting a diff from the leader"),
        (600, "Getting a snapshot from leader"),
    ]
    .into_iter()
    .enumerate()
    {
        create(&mut client, &format!("/round-{round}"));
        cluster.kill(away);
        (0..count).for_each(|n| create(&mut client, &format!("/round-{round}/{n}")));
        let before = cluster_log_of_next_life(&mut cluster, away, words);
        assert!(before, "{words}: not in the log of server {away}");
        cluster.same_trees();
    }
}

/// Starts a server; whether it logs these words in its new life.
fn cluster_log_of_next_life(cluster: &mut Cluster, number: usize, words: &str) -> bool {
    cluster.start_one(number);
    let log = cluster.log(number);
    let life = log.rfind("Starting quorum peer").unwrap_or(0);
    log[life..].contains(words)
}

#[test]
fn what_a_leader_logged_alone_is_cut_off_when_it_comes_back() {
    let mut cluster = Cluster::start(3, 0);
    let leader = cluster.leader();
    let mut client = cluster.client(leader);
    create(&mut client, "/known");
    let others: Vec<usize> = (1..=3).filter(|&number| number != leader).collect();
    others.iter().for_each(|&number| cluster.signal(number, "STOP"));
    // Nobody answers: the leader logs what nobody else has.
    client.send(OpCode::Create, |out| {
        let (path, data) = ("/alone".into(), Some(&b""[..]));
        let request = oxkeeper::proto::requests::CreateRequest {
            path,
            data,
            acl: open(),
            flags: 0,
        };
        request.encode(out);
    });
    client.wire().flush().expect("sent");
    wait_until("the leader's log", LONG, || {
        let log = std::fs::read_dir(cluster.data(leader)).expect("a directory");
        log.filter_map(|entry| std::fs::read(entry.ok()?.path()).ok())
            .any(|bytes| bytes.windows(6).any(|part| part == b"/alone"))
    });
    // What the leader has sent waits in the sockets of the others: they must not hear it.
    (1..=3).for_each(|number| cluster.kill(number));
    cluster.start_these(&others);
    let next = cluster.leader();
    create_soon(&cluster, next, "/later");
    let cut = cluster_log_of_next_life(
        &mut cluster,
        leader,
        "Truncating log to get in sync with the leader",
    );
    let tree = cluster.same_trees();
    assert!(tree.contains_key("/known") && tree.contains_key("/later"));
    assert!(cut && !tree.contains_key("/alone"));
}

/// 3.4.14 answers from what it has: a read behind the sync misses what the next leader has acknowledged.
#[test]
fn a_leader_that_was_replaced_while_it_stood_still_answers_no_sync_from_the_past() {
    let cluster = Cluster::start(3, 0);
    let stopped = cluster.leader();
    let others: Vec<usize> = (1..=3).filter(|&number| number != stopped).collect();
    let mut client = cluster.client(stopped);
    create(&mut client, "/before");
    client.sync("/").expect("an answer").expect("a sync");
    cluster.signal(stopped, "STOP");
    let next = cluster.leader_among(&others);
    create_soon(&cluster, next, "/meanwhile");
    let sync = client.send(OpCode::Sync, |out| PathOnly { path: "/".into() }.encode(out));
    let read = client.send(OpCode::Exists, |out| {
        let (path, watch) = ("/meanwhile".into(), false);
        PathWatch { path, watch }.encode(out);
    });
    client.wire().flush().expect("sent");
    cluster.signal(stopped, "CONT");
    let synced = client.receive_reply(sync).map(|reply| reply.outcome());
    let seen = client.receive_reply(read).map(|reply| reply.outcome());
    let is_of_the_past = matches!((&synced, &seen), (Ok(Ok(())), Ok(Err(_))));
    assert!(!is_of_the_past, "{synced:?}, then {seen:?}");
    cluster.same_trees();
}

#[test]
fn an_observer_serves_and_its_silence_hinders_nobody() {
    let mut cluster = Cluster::start(4, 1);
    assert_eq!(cluster.mode(4).as_deref(), Some("observer"));
    let mut client = cluster.client(4);
    create(&mut client, "/by-the-observer");
    let made = client.create("/e", b"", &open(), 1).expect("an answer");
    assert_eq!(made.as_deref(), Ok("/e"));
    cluster.same_trees();
    cluster.signal(4, "STOP");
    let mut other = cluster.client(cluster.follower());
    create(&mut other, "/without-the-observer");
    cluster.signal(4, "CONT");
    cluster.same_trees();
    let leader = cluster.leader();
    cluster.kill(leader);
    create_soon(&cluster, 4, "/with-a-new-leader");
    cluster.start_one(leader);
    assert!(cluster.same_trees().contains_key("/with-a-new-leader"));
}

#[test]
fn a_session_moves_between_servers_lives_through_a_new_leader_and_ends_when_nobody_is_heard() {
    let mut cluster = Cluster::start(3, 0);
    let leader = cluster.leader();
    let others: Vec<usize> = (1..=3).filter(|&number| number != leader).collect();
    let mut client = cluster.client(others[0]);
    let made = client.create("/e", b"", &open(), 1).expect("an answer");
    assert_eq!(made.as_deref(), Ok("/e"));
    let granted = client.session().clone();
    let mut moved = renew(&cluster, others[1], &granted);
    create(&mut moved, "/moved");
    // The old connection is not the session's any more.
    let late = client.create("/late", b"", &open(), 0);
    assert!(!matches!(late, Ok(Ok(_))), "{late:?}");
    drop(moved);
    cluster.kill(leader);
    create_soon(&cluster, others[0], "/with-a-new-leader");
    let mut again = renew(&cluster, others[0], &granted);
    again.sync("/").expect("an answer").expect("a sync");
    assert!(again.exists("/e", false).expect("an answer").is_ok());
    again.close().expect("an answer").expect("closed");
    // A short session that nobody keeps alive ends, and its ephemeral with it.
    let hello = Handshake::with_timeout(1_000);
    let mut short = Client::connect(cluster.address(others[1]), &hello, LONG).expect("a session");
    let made = short.create("/short", b"", &open(), 1).expect("an answer");
    assert_eq!(made.as_deref(), Ok("/short"));
    drop(short);
    let mut watcher = cluster.client(others[0]);
    wait_until("the end of a session", LONG, || {
        watcher.sync("/").expect("an answer").expect("a sync");
        watcher.exists("/short", false).expect("an answer") == Err(ErrorCode::NoNode)
    });
    assert_eq!(
        watcher.exists("/e", false).expect("an answer"),
        Err(ErrorCode::NoNode)
    );
}

#[test]
fn strangers_on_the_quorum_port_are_hung_up_on_and_hinder_nobody() {
    let cluster = Cluster::start(3, 0);
    let leader = cluster.leader();
    let packet = |kind: i32, length: i32| {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes
    };
    let info = [packet(11, 12), 9i64.to_be_bytes().to_vec(), vec![0; 8]].concat();
    let greetings = [
        // Lengths that nobody sends, an ACK of nobody, an HTTP request, a server of before 3.4.
        packet(11, i32::MAX),
        packet(11, -2),
        [packet(3, -1), (-1i32).to_be_bytes().to_vec()].concat(),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        info,
    ];
    for greeting in greetings {
        let mut stream = TcpStream::connect(cluster.quorum_address(leader)).expect("a connection");
        stream.set_read_timeout(Some(LONG)).expect("a limit");
        stream.write_all(&greeting).expect("written");
        let mut answer = Vec::new();
        // The connection may be reset, as there was more to read; what counts is that it ends.
        let ended = stream.read_to_end(&mut answer);
        let timed_out = ended.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        assert!(!timed_out && answer.is_empty(), "{greeting:?}: {answer:?}");
    }
    // One that says nothing, and one in mid-packet.
    let silent = TcpStream::connect(cluster.quorum_address(leader)).expect("a connection");
    let mut half = TcpStream::connect(cluster.quorum_address(leader)).expect("a connection");
    half.write_all(&packet(11, 12)).expect("written");
    create(&mut cluster.client(leader), "/undisturbed");
    assert_eq!(cluster.leader(), leader);
    assert!(cluster.same_trees().contains_key("/undisturbed"));
    drop((silent, half));
}

/// Goes on with a session on a server, as soon as that serves.
fn renew(cluster: &Cluster, number: usize, granted: &Granted) -> Client {
    let mut renewed = None;
    wait_until("the renewal of a session", LONG, || {
        renewed = Client::connect(cluster.address(number), &Handshake::renew(granted), LONG).ok();
        renewed.is_some()
    });
    let client = renewed.expect("waited for");
    assert_eq!(
        client.session().session,
        granted.session,
        "renewed on server {number}"
    );
    client
}

/// Makes a node by way of a server that may still be about to notice that its leader is gone.
fn create_soon(cluster: &Cluster, number: usize, path: &str) {
    wait_until(path, LONG, || {
        let made = cluster.client(number).create(path, b"", &open(), 0);
        matches!(made, Ok(Ok(_) | Err(ErrorCode::NodeExists)))
    });
}
