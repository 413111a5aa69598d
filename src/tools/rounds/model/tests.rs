use std::collections::HashMap;

use super::*;
use crate::proto::Epoch;
use crate::tools::rounds::reader::LogReader;
use crate::tools::rounds::words;

/// Events in the shape of log lines: `MS NODE TEXT`, where `vote R FROM STATE LEADER EPOCH ZXID` is a notification.
fn events(script: &str) -> Vec<Event> {
    let mut out = Vec::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.splitn(3, ' ');
        let mut next = || words.next().expect("three words");
        let (ms, node, text) = (next(), next(), next());
        let ms: i64 = ms.parse().expect("milliseconds");
        let text = match text
            .strip_prefix("vote ")
            .map(|rest| rest.split(' ').collect::<Vec<_>>())
        {
            Some(v) => format!(
                "Notification: 1 (message format version), {} (n.leader), {} (n.zxid), {} (n.round), {} (n.state), \
                 {} (n.sid), {} (n.peerEpoch) LOOKING (my state)",
                v[3], v[5], v[0], v[2], v[1], v[4]
            ),
            None => text.to_owned(),
        };
        let mut reader = LogReader::new(Some(Sid(node.parse().expect("a number"))), &HashMap::new());
        let at = Stamp(0)
            .plus_ms(1_000_000_000_000 + ms)
            .to_string()
            .replace('.', ",");
        let thread = "[QuorumPeer:X@1]";
        // A leader names the learner, and then says what it sends.
        for text in text.split(" | ") {
            reader.feed(format!("{at} - INFO  {thread} - {text}\n").as_bytes(), &mut out);
        }
        reader.finish(&mut out);
    }
    out
}

fn parts(script: &str) -> Vec<Part> {
    let (mut model, mut notes) = (Model::default(), Vec::new());
    for event in events(script) {
        model.on(event, &mut notes);
    }
    model.end(&mut notes);
    let over = notes.into_iter().filter_map(|note| match note {
        Note::Ends(part) => Some(*part),
        _ => None,
    });
    over.collect()
}

fn headlines(script: &str) -> Vec<String> {
    parts(script)
        .iter()
        .map(|part| format!("{}: {}", words::title(part), words::headline(part)))
        .collect()
}

/// Server 2 wins over server 1, which knows less; then all is told as a leader tells it.
fn election(at: i64, votes: [(&str, &str); 2], epoch: u32) -> String {
    let [(one_epoch, one_zxid), (two_epoch, two_zxid)] = votes;
    format!(
        "{at} 1 LOOKING
         {at} 2 LOOKING
         {} 1 vote 0x1 1 LOOKING 1 {one_epoch} {one_zxid}
         {} 2 vote 0x1 2 LOOKING 2 {two_epoch} {two_zxid}
         {} 1 vote 0x1 1 LOOKING 2 {two_epoch} {two_zxid}
         {} 2 LEADING
         {} 1 FOLLOWING
         {} 2 Synchronizing with Follower sid: 1 maxCommittedLog=0x0 minCommittedLog=0x0 peerLastZxid=0x7 | Sending SNAP
         {} 2 Received NEWLEADER-ACK message from 1
         {} 2 Have quorum of supporters, sids: [ 1,2 ]; starting up and setting last processed zxid: 0x{epoch:x}00000000
        ",
        at + 1, at + 2, at + 3, at + 203, at + 204, at + 300, at + 310, at + 312,
    )
}

#[test]
fn the_winner_is_told_with_the_reason() {
    for (votes, reason) in [
        (
            [("0x4", "0x400000001"), ("0x5", "0x40000001f")],
            "its last epoch 5 was the highest",
        ),
        (
            [("0x4", "0x400000001"), ("0x4", "0x40000001f")],
            "its zxid 0x40000001f was the highest",
        ),
        (
            [("0x4", "0x40000001f"), ("0x4", "0x40000001f")],
            "its id was the highest of those with zxid 0x40000001f",
        ),
    ] {
        assert_eq!(
            headlines(&election(0, votes, 5)),
            [format!(
                "Round 1: server 2 leads epoch 5 after 312 ms, because {reason}"
            )]
        );
    }
}

const EQUAL: [(&str, &str); 2] = [("0x1", "0x100000001"), ("0x1", "0x100000001")];

#[test]
fn votes_states_and_synchronisation_are_told_in_order() {
    let parts = parts(&election(0, EQUAL, 2));
    let told: Vec<String> = parts[0]
        .items
        .iter()
        .map(|item| format!("{} {}", item.node, words::fact(item)))
        .collect();
    assert_eq!(
        told,
        [
            "1 LOOKING",
            "2 LOOKING",
            "1 votes for itself (epoch 1, zxid 0x100000001)",
            "2 votes for itself (epoch 1, zxid 0x100000001)",
            "1 votes for 2 instead of itself: same epoch and zxid, id 2 > 1",
            "2 LEADING after 203 ms",
            "1 FOLLOWING 2 after 204 ms",
            "2 sends SNAP to 1, which has 0x7",
            "2 has 1 in sync after 10 ms",
            "2 serves epoch 2, supported by 1 and 2",
        ]
    );
    let member = parts[0].members[&Sid(1)];
    assert_eq!((member.lane, member.leader), (Lane::Following, Some(Sid(2))));
    assert_eq!(
        (member.settled_ms, member.sync, member.sync_ms),
        (Some(204), Some(Sync::Snap), Some(10))
    );
}

#[test]
fn a_vote_is_told_once_whoever_hears_it_and_late_echoes_change_nothing() {
    let script = "0 1 LOOKING
        1 1 vote 0x1 1 LOOKING 1 0x0 0x0
        2 1 vote 0x1 3 LOOKING 3 0x0 0x0
        3 1 vote 0x1 1 LOOKING 3 0x0 0x0
        4 1 vote 0x1 3 LOOKING 3 0x0 0x0
        5 1 vote 0x1 1 LOOKING 1 0x0 0x0";
    let parts = parts(script);
    let votes: Vec<i64> = parts[0]
        .items
        .iter()
        .filter(|item| matches!(item.fact, Fact::Votes { .. }))
        .map(|item| item.at.0 % 1000)
        .collect();
    assert_eq!(votes, [1, 2, 3]);
    assert_eq!(parts[0].outcome, Outcome::Undecided);
}

#[test]
fn a_leader_that_falls_silent_and_comes_back_is_told() {
    let script = election(0, EQUAL, 2)
        + "1000 1 Exception when following the leader: the peer has closed the connection
           1001 1 shutdown called
           1002 1 Connection broken for id 2, my id = 1, error = EOF
           1003 1 LOOKING
           1004 1 vote 0x2 1 LOOKING 1 0x2 0x200000001
           1005 3 LOOKING
           1006 3 vote 0x2 3 LOOKING 3 0x2 0x200000001
           1007 1 vote 0x2 1 LOOKING 3 0x2 0x200000001
           1207 3 LEADING
           1208 1 FOLLOWING
           1209 3 Received NEWLEADER-ACK message from 1
           1210 3 Have quorum of supporters, sids: [ 1,3 ]; starting up and setting last processed zxid: 0x300000000
           1300 2 Starting quorum peer
           1301 2 LOOKING
           1302 2 vote 0x3 2 LOOKING 2 0x2 0x200000001
           1303 2 vote 0x2 3 LEADING 3 0x3 0x300000000
           1304 2 vote 0x2 1 FOLLOWING 3 0x3 0x300000000
           1305 2 FOLLOWING
           1306 3 Follower sid: 2 : info : x | Sending DIFF
           1307 3 Received NEWLEADER-ACK message from 2";
    let parts = parts(&script);
    let titles: Vec<String> = parts
        .iter()
        .map(|part| format!("{}: {}", words::title(part), words::headline(part)))
        .collect();
    assert_eq!(
        titles[1..],
        [
            "Round 2: server 3 leads epoch 3 after 207 ms, because its id was the highest of those with zxid 0x200000001",
            "Join: server 2 follows 3 after 4 ms, by DIFF",
        ]
    );
    let last = parts[1].items.last().expect("items");
    assert_eq!(
        (last.lanes[&Sid(2)], last.lanes[&Sid(3)]),
        (Lane::Silent, Lane::Leading)
    );
    let reign = parts[1].before.expect("a reign");
    assert_eq!(
        words::before(&reign, parts[1].began),
        "server 2 had led epoch 2 for 688 ms"
    );
}

#[test]
fn losses_that_lead_to_nothing_are_a_part_of_their_own() {
    let script = election(0, EQUAL, 2)
        + "9000 2 Connection broken for id 1, my id = 2, error = EOF
           9001 2 ******* GOODBYE /127.0.0.1:5 ********";
    assert_eq!(
        headlines(&script)[1..],
        ["Loss: server 1 lost; server 2 leads on"]
    );
}

#[test]
fn an_attempt_that_fails_belongs_to_the_round_that_succeeds() {
    let script = "0 2 LOOKING
        1 2 vote 0x1 2 LOOKING 2 0x0 0x0
        200 2 LEADING
        5000 2 Shutdown called: Timeout while waiting for epoch from quorum
        5001 2 LOOKING
        "
    .to_owned()
        + &election(5002, EQUAL, 1);
    let parts = parts(&script);
    assert_eq!(parts.len(), 1);
    let Outcome::Elected(elected) = &parts[0].outcome else {
        panic!("an election")
    };
    assert_eq!(
        (elected.leader, elected.epoch, elected.serve_ms),
        (Sid(2), Some(Epoch(1)), Some(5314))
    );
}

#[test]
fn numbers_without_end_cost_no_memory() {
    let mut model = Model::default();
    let mut notes = Vec::new();
    for n in 0..20_000 {
        let event = Event {
            at: Stamp(n),
            node: Sid(n % 1_000),
            what: What::Entered(ServerState::Looking),
        };
        model.on(event, &mut notes);
    }
    model.end(&mut notes);
    let Some(Note::Ends(part)) = notes.pop() else {
        panic!("a part")
    };
    assert_eq!(
        (model.nodes.len(), part.items.len()),
        (MOST_NODES, MOST_ITEMS.min(20 * MOST_NODES))
    );
}
