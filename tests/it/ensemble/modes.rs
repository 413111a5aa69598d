//! What a member does seldom: it serves reads without a quorum, leads without clients, or uses up an epoch.

use oxkeeper::proto::{ErrorCode, Zxid};
use oxkeeper::tools::client::{Client, Granted, Handshake};
use oxkeeper::tools::wire::four_letter_word;

use super::{Load, create, create_soon, open, renew};
use crate::support::cluster::{Cluster, Layout};
use crate::support::{LONG, wait_until};

fn word(cluster: &Cluster, number: usize, word: &[u8; 4]) -> String {
    let answer = four_letter_word(cluster.address(number), word, LONG).unwrap_or_default();
    String::from_utf8_lossy(&answer).into_owned()
}

fn read_only_client(cluster: &Cluster, number: usize, session: Option<&Granted>) -> Client {
    let hello = Handshake {
        read_only: Some(true),
        ..session.map_or_else(Handshake::default, Handshake::renew)
    };
    let client = Client::connect(cluster.address(number), &hello, LONG).expect("a session");
    assert_eq!(client.session().read_only, Some(true));
    client
}

#[test]
fn a_server_without_a_quorum_can_be_read_by_those_who_allow_it() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 3,
        properties: &["readonlymode.enabled=true"],
        ..Layout::default()
    });
    cluster.start_all();
    let alone = cluster.follower();
    let others: Vec<usize> = (1..=3).filter(|&number| number != alone).collect();
    let mut client = cluster.client(alone);
    create(&mut client, "/a");
    let made = client.create("/e", b"", &open(), 1).expect("an answer");
    assert_eq!(made.as_deref(), Ok("/e"));
    assert_eq!(client.session().read_only, Some(false));
    assert_eq!(word(&cluster, alone, b"isro"), "rw");
    others.iter().for_each(|&number| cluster.kill(number));
    wait_until("read-only mode", LONG, || word(&cluster, alone, b"isro") == "ro");
    let srvr = word(&cluster, alone, b"srvr");
    assert!(
        srvr.contains("READ-ONLY mode; serving only read-only clients\n"),
        "{srvr}"
    );
    assert!(srvr.contains("Mode: read-only\n"), "{srvr}");
    assert!(word(&cluster, alone, b"mntr").contains("zk_server_state\tread-only\n"));
    for read_only in [Some(false), None] {
        let hello = Handshake {
            read_only,
            ..Handshake::default()
        };
        assert!(Client::connect(cluster.address(alone), &hello, LONG).is_err());
    }
    let mut reader = read_only_client(&cluster, alone, None);
    let (data, stat) = reader.get_data("/a", true).expect("an answer").expect("a node");
    assert_eq!(data.as_deref(), Some(&b"/a"[..]));
    let refused = reader.create("/b", b"", &open(), 0).expect("an answer");
    assert_eq!(refused, Err(ErrorCode::NotReadOnly));
    let refused = reader.delete("/a", -1).expect("an answer");
    assert_eq!(refused, Err(ErrorCode::NotReadOnly));
    assert_eq!(reader.sync("/").expect("an answer"), Err(ErrorCode::NotReadOnly));
    assert!(reader.exists("/e", false).expect("an answer").is_ok());
    // A session from before goes on, and one that is closed is answered.
    let known = read_only_client(&cluster, alone, Some(client.session()));
    assert_eq!(known.session().session, client.session().session);
    let brief = read_only_client(&cluster, alone, None);
    brief.close().expect("an answer").expect("closed");
    let here = reader.session().clone();
    cluster.start_these(&others);
    wait_until("a leader", LONG, || word(&cluster, alone, b"isro") == "rw");
    // Its connections are closed with the mode, its own sessions are nobody's, and those of the quorum live.
    assert!(reader.exists("/a", false).is_err());
    let lost = Client::connect(cluster.address(alone), &Handshake::renew(&here), LONG).expect("an answer");
    assert!(lost.session().is_refusal());
    let mut again = renew(&cluster, alone, client.session());
    again.sync("/").expect("an answer").expect("a sync");
    assert!(again.exists("/e", false).expect("an answer").is_ok());
    create(&mut again, "/b");
    let tree = cluster.same_trees();
    assert!(tree["/a"].2 == stat && tree.contains_key("/b"));
}

#[test]
fn a_leader_may_take_no_clients() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 3,
        lines: &["leaderServes=no"],
        ..Layout::default()
    });
    cluster.spawn_these(&[1, 2, 3]);
    let followers = |cluster: &Cluster| -> Vec<usize> {
        (1..=3)
            .filter(|&number| cluster.mode(number).as_deref() == Some("follower"))
            .collect()
    };
    let leader_of = |cluster: &Cluster| {
        wait_until("two followers", LONG, || followers(cluster).len() == 2);
        6 - followers(cluster).iter().sum::<usize>()
    };
    let leader = leader_of(&cluster);
    assert!(word(&cluster, leader, b"srvr").contains("not currently serving requests"));
    assert_eq!(
        (word(&cluster, leader, b"isro"), word(&cluster, leader, b"ruok")),
        ("null".to_owned(), "imok".to_owned())
    );
    assert!(Client::connect(cluster.address(leader), &Handshake::default(), LONG).is_err());
    let mut client = cluster.client(followers(&cluster)[0]);
    create(&mut client, "/by-a-follower");
    // Whoever led serves once another one leads.
    cluster.kill(leader);
    cluster.start_one(leader);
    assert_ne!(leader_of(&cluster), leader);
    create_soon(&cluster, leader, "/by-the-former-leader");
}

#[test]
fn an_epoch_that_is_used_up_is_followed_by_the_next_and_nothing_is_lost() {
    let mut cluster = Cluster::lay_out(&Layout {
        count: 3,
        // 255 transactions in each epoch.
        lines: &["testingonly.initialZxid=4294967040"],
        ..Layout::default()
    });
    cluster.start_all();
    let mut client = cluster.client(cluster.follower());
    let made = client.create("/e", b"", &open(), 1).expect("an answer");
    assert_eq!(made.as_deref(), Ok("/e"));
    let first = epoch(&cluster);
    let load = Load::start(&cluster.addresses());
    wait_until("three more epochs", LONG, || epoch(&cluster) >= first + 3);
    load.wait_for_more(100);
    let acknowledged = load.end();
    let again = renew(&cluster, cluster.follower(), client.session());
    drop(again);
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
    assert!(tree.contains_key("/e"));
    // Also from the disk.
    (1..=3).for_each(|number| cluster.kill(number));
    cluster.start_all();
    let reloaded = cluster.same_trees();
    assert!(tree.keys().all(|path| reloaded.contains_key(path)));
    let logs: String = (1..=3).map(|number| cluster.log(number)).collect();
    assert!(logs.matches("zxid lower 32 bits have rolled over").count() >= 3);
}

/// The newest epoch that a server tells of.
fn epoch(cluster: &Cluster) -> i64 {
    let zxid = |number| {
        let srvr = word(cluster, number, b"srvr");
        let line = srvr.lines().find_map(|line| line.strip_prefix("Zxid: 0x"));
        line.and_then(|hex| i64::from_str_radix(hex, 16).ok())
    };
    (1..=3)
        .filter_map(zxid)
        .map(|zxid| Zxid(zxid).epoch().0)
        .max()
        .unwrap_or(0)
}
