//! What a leader does, event by event, as lists of actions in their order.

use super::*;
use crate::ensemble::NewerTxns;
use crate::proto::{SessionId, Xid};
use crate::zab::testing::{ensemble, lines, txn, zxid};

/// The database as the script says it is.
struct Database {
    applied: Zxid,
    committed: Vec<Zxid>,
}

impl History for Database {
    fn applied(&self) -> Zxid {
        self.applied
    }

    fn committed(&self) -> Vec<Arc<LoggedTxn>> {
        self.committed.iter().map(|&zxid| txn(zxid)).collect()
    }
}

struct Script {
    leader: Leader,
    database: Database,
    out: Vec<LeaderAction>,
    now_ms: i64,
}

/// A tick of 100 ms, initLimit 10, syncLimit 5; voters 1 to 3, observers 4 to 6; this is server 1.
fn rules() -> LeaderRules {
    LeaderRules {
        ensemble: ensemble(3, 3),
        me: Sid(1),
        tick_ms: 100,
        init_limit_ticks: 10,
        sync_limit_ticks: 5,
        newer_txns: NewerTxns::Auto,
        has_newer_txns: false,
    }
}

const MINE: Summary = Summary {
    current: Epoch(3),
    last: Zxid(0x3_0000_0005),
};

impl Script {
    fn new() -> Script {
        let mut out = Vec::new();
        let leader = Leader::start(rules(), Epoch(4), MINE, 0, &mut out);
        assert_eq!(out, []);
        let database = Database {
            applied: MINE.last,
            committed: (1..=5).map(|n| zxid(3, n)).collect(),
        };
        Script {
            leader,
            database,
            out,
            now_ms: 0,
        }
    }

    fn on(&mut self, event: LeaderEvent) -> Vec<String> {
        self.leader.on(self.now_ms, event, &self.database, &mut self.out);
        lines(&mut self.out)
    }

    fn packet(&mut self, link: u64, packet: QuorumPacket) -> Vec<String> {
        self.on(LeaderEvent::Packet(LinkId(link), packet))
    }

    /// Server `link` connects over the link of its number.
    fn join(&mut self, link: u64) -> Vec<String> {
        let kind = if link <= 3 {
            PacketType::FollowerInfo
        } else {
            PacketType::ObserverInfo
        };
        assert_eq!(self.on(LeaderEvent::Connected(LinkId(link))), [""; 0]);
        self.packet(
            link,
            QuorumPacket::learner_info(kind, Epoch(4), Sid(link as i64), false),
        )
    }

    fn ack_epoch(&mut self, link: u64, last: Zxid) -> Vec<String> {
        self.packet(link, QuorumPacket::ack_epoch(Some(Epoch(3)), last))
    }

    fn ack(&mut self, link: u64, zxid: Zxid) -> Vec<String> {
        self.packet(link, QuorumPacket::plain(PacketType::Ack, zxid))
    }

    fn pong(&mut self, link: u64) -> Vec<String> {
        self.packet(link, QuorumPacket::pong(zxid(5, 0), &[]))
    }

    /// A client of that server asks for a sync, which comes through the chain at once.
    fn ask(&mut self, link: u64) -> Vec<String> {
        let submitted = self.packet(link, sync_request());
        assert_eq!(submitted, [format!("submit {link} 1")]);
        self.on(LeaderEvent::Sync(Sid(link as i64)))
    }

    fn propose(&mut self, counter: u32) -> Vec<String> {
        self.on(LeaderEvent::Propose(txn(zxid(5, counter))))
    }

    /// Leads, with server 2.
    fn reigning() -> Script {
        let mut script = Script::new();
        script.join(2);
        script.ack_epoch(2, MINE.last);
        script.ack(2, zxid(5, 0));
        script.database.applied = zxid(5, 0);
        script
    }

    /// One more learner, synchronised, by the link of its number.
    fn and(mut self, link: u64) -> Script {
        self.join(link);
        self.ack_epoch(link, MINE.last);
        self.ack(link, zxid(5, 0));
        self
    }

    fn tick(&mut self) -> Vec<String> {
        self.now_ms = self.leader.deadline().expect("a deadline");
        self.on(LeaderEvent::Tick)
    }
}

#[test]
fn from_election_to_reign_each_promise_is_on_the_disk_first() {
    let mut script = Script::new();
    assert_eq!(script.join(2), ["accepted 5", "2 <- LEADERINFO 0x500000000"]);
    assert_eq!(
        script.ack_epoch(2, zxid(3, 4)),
        [
            "current 5",
            "2 <- DIFF 0x300000005",
            "2 <- PROPOSAL 0x300000005",
            "2 <- COMMIT 0x300000005",
            "2 <- NEWLEADER 0x500000000",
        ]
    );
    assert_eq!(
        script.ack(2, zxid(5, 0)),
        ["lead 0x500000000", "2 <- UPTODATE 0xffffffffffffffff"]
    );
    assert_eq!(script.ack(2, zxid(5, 0)), [""; 0]);
}

#[test]
fn a_leader_with_a_transaction_of_an_epoch_is_in_it() {
    let written = Summary {
        current: Epoch(3),
        last: zxid(4, 2),
    };
    let mut out = Vec::new();
    let leader = Leader::start(rules(), Epoch(4), written, 0, &mut out);
    assert_eq!(lines(&mut out), ["current 4"]);
    assert_eq!(leader.mine.current, Epoch(4));
}

#[test]
fn all_that_wait_are_told_when_the_quorum_is_there() {
    let mut script = Script::new();
    assert_eq!(script.join(4), [""; 0]);
    assert_eq!(script.join(5), [""; 0]);
    assert_eq!(
        script.join(3),
        [
            "accepted 5",
            "3 <- LEADERINFO 0x500000000",
            "4 <- LEADERINFO 0x500000000",
            "5 <- LEADERINFO 0x500000000",
        ]
    );
    assert_eq!(script.ack_epoch(4, MINE.last), [""; 0]);
    let lines = script.ack_epoch(3, MINE.last);
    assert_eq!(
        lines,
        [
            "current 5",
            "3 <- DIFF 0x300000005",
            "3 <- NEWLEADER 0x500000000",
            "4 <- DIFF 0x300000005",
            "4 <- NEWLEADER 0x500000000",
        ]
    );
    assert_eq!(script.ack(4, zxid(5, 0)), [""; 0]);
    assert_eq!(
        script.ack(3, zxid(5, 0)),
        [
            "lead 0x500000000",
            "3 <- UPTODATE 0xffffffffffffffff",
            "4 <- UPTODATE 0xffffffffffffffff",
        ]
    );
}

#[test]
fn a_server_alone_leads_at_once() {
    let mut out = Vec::new();
    let rules = LeaderRules {
        ensemble: ensemble(1, 1),
        ..rules()
    };
    Leader::start(rules, Epoch(4), MINE, 0, &mut out);
    assert_eq!(lines(&mut out), ["accepted 5", "current 5", "lead 0x500000000"]);
}

#[test]
fn who_is_ahead_is_sent_away_and_does_not_count() {
    let mut script = Script::new();
    script.join(2);
    script.join(3);
    assert_eq!(script.ack_epoch(2, zxid(3, 6)), ["hang up 2"]);
    assert_eq!(
        script.packet(3, QuorumPacket::ack_epoch(None, MINE.last)),
        [""; 0]
    );
    script.now_ms = 1_000;
    assert_eq!(
        script.on(LeaderEvent::Tick),
        ["over: Timeout while waiting for epoch to be acked by quorum"]
    );
    assert_eq!(script.leader.deadline(), None);
}

#[test]
fn each_wait_has_an_end() {
    let mut lonely = Script::new();
    assert_eq!(
        lonely.tick(),
        ["over: Timeout while waiting for epoch from quorum"]
    );
    assert_eq!(lonely.now_ms, 1_000);
    let mut unsynced = Script::new();
    unsynced.now_ms = 900;
    unsynced.join(2);
    unsynced.now_ms = 1_800;
    unsynced.ack_epoch(2, MINE.last);
    unsynced.now_ms = 2_799;
    assert_eq!(unsynced.on(LeaderEvent::Tick), [""; 0]);
    unsynced.now_ms = 2_800;
    assert_eq!(
        unsynced.on(LeaderEvent::Tick),
        [
            "hang up 2",
            "over: Waiting for a quorum of followers, only synced with sids: [ 1 ]"
        ]
    );
}

#[test]
fn a_snapshot_is_followed_by_new_leader_once_it_is_written() {
    let mut script = Script::reigning();
    script.join(3);
    assert_eq!(script.ack_epoch(3, zxid(2, 9)), ["3 <- snapshot"]);
    assert_eq!(
        script.propose(1),
        ["2 <- PROPOSAL 0x500000001", "3 <- PROPOSAL 0x500000001"]
    );
    script.on(LeaderEvent::Logged(zxid(5, 1)));
    assert_eq!(
        script.ack(2, zxid(5, 1)),
        [
            "2 <- COMMIT 0x500000001",
            "3 <- COMMIT 0x500000001",
            "commit 0x500000001"
        ]
    );
    assert_eq!(
        script.on(LeaderEvent::SnapshotSent(LinkId(3))),
        ["3 <- NEWLEADER 0x500000000"]
    );
    assert_eq!(script.on(LeaderEvent::SnapshotSent(LinkId(3))), [""; 0]);
    assert_eq!(script.ack(3, zxid(5, 0)), ["3 <- UPTODATE 0xffffffffffffffff"]);
}

/// Nothing twice and nothing left out: decided and applied, decided and not applied, not decided.
#[test]
fn who_comes_late_gets_everything_once() {
    let mut script = Script::reigning();
    for n in 1..=4 {
        script.propose(n);
    }
    script.on(LeaderEvent::Logged(zxid(5, 4)));
    for n in 1..=3 {
        script.ack(2, zxid(5, n));
    }
    script.database.applied = zxid(5, 1);
    script.database.committed.extend([zxid(5, 1), zxid(5, 2)]);
    script.join(3);
    let expected = [
        "DIFF 0x500000003",
        "PROPOSAL 0x500000001",
        "COMMIT 0x500000001",
        "PROPOSAL 0x500000002",
        "COMMIT 0x500000002",
        "PROPOSAL 0x500000003",
        "COMMIT 0x500000003",
        "PROPOSAL 0x500000004",
        "NEWLEADER 0x500000000",
    ];
    assert_eq!(
        script.ack_epoch(3, MINE.last),
        expected.map(|line| format!("3 <- {line}"))
    );
    // An observer is not told what is not decided.
    script.join(4);
    let lines = script.ack_epoch(4, zxid(5, 2));
    assert_eq!(
        lines,
        [
            "4 <- DIFF 0x500000003",
            "4 <- PROPOSAL 0x500000003",
            "4 <- COMMIT 0x500000003",
            "4 <- NEWLEADER 0x500000000",
        ]
    );
    assert_eq!(
        script.ack(2, zxid(5, 4)),
        [
            "2 <- COMMIT 0x500000004",
            "3 <- COMMIT 0x500000004",
            "4 <- INFORM 0x500000004",
            "commit 0x500000004",
        ]
    );
}

/// 3.4.14 has it cut them off although they may count for a quorum, and sends them again.
#[test]
fn who_comes_with_proposals_that_are_not_decided_waits_for_them() {
    let mut script = Script::reigning();
    (1..=3).for_each(|n| drop(script.propose(n)));
    script.ack(2, zxid(5, 1));
    script.on(LeaderEvent::Down(LinkId(2)));
    script.on(LeaderEvent::Logged(zxid(5, 1)));
    script.on(LeaderEvent::Connected(LinkId(22)));
    let info = QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(5), Sid(2), false);
    script.packet(22, info);
    // Its log goes to (5, 2); so does the leader's own soon.
    assert_eq!(
        script.packet(22, QuorumPacket::ack_epoch(None, zxid(5, 2))),
        [""; 0]
    );
    assert_eq!(
        script.on(LeaderEvent::Logged(zxid(5, 2))),
        [
            "commit 0x500000002",
            "22 <- DIFF 0x500000002",
            "22 <- PROPOSAL 0x500000003",
            "22 <- NEWLEADER 0x500000000",
        ]
    );
}

/// Its own log was the last that was missing: it is told the outcome once.
#[test]
fn who_decides_by_coming_is_synchronised_once() {
    let mut script = Script::reigning();
    script.propose(1);
    script.on(LeaderEvent::Logged(zxid(5, 1)));
    script.on(LeaderEvent::Down(LinkId(2)));
    script.on(LeaderEvent::Connected(LinkId(22)));
    let info = QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(5), Sid(2), false);
    script.packet(22, info);
    assert_eq!(
        script.packet(22, QuorumPacket::ack_epoch(None, zxid(5, 1))),
        [
            "commit 0x500000001",
            "22 <- DIFF 0x500000001",
            "22 <- NEWLEADER 0x500000000"
        ]
    );
}

#[test]
fn decisions_keep_their_order() {
    let mut script = Script::reigning().and(3);
    script.propose(1);
    script.propose(2);
    assert_eq!(script.ack(2, zxid(5, 2)), [""; 0]);
    assert_eq!(script.ack(3, zxid(5, 2)), [""; 0]);
    assert_eq!(script.ack(2, zxid(5, 1)), [""; 0]);
    let lines = script.on(LeaderEvent::Logged(zxid(5, 1)));
    assert_eq!(
        lines,
        [
            "2 <- COMMIT 0x500000001",
            "3 <- COMMIT 0x500000001",
            "commit 0x500000001",
            "2 <- COMMIT 0x500000002",
            "3 <- COMMIT 0x500000002",
            "commit 0x500000002",
        ]
    );
}

#[test]
fn an_observer_s_ack_decides_nothing() {
    let mut script = Script::reigning().and(4);
    script.propose(1);
    assert_eq!(script.ack(4, zxid(5, 1)), [""; 0]);
    assert_eq!(script.on(LeaderEvent::Logged(zxid(5, 1))), [""; 0]);
    assert_eq!(
        script.ack(2, zxid(5, 1)).last().map(String::as_str),
        Some("commit 0x500000001")
    );
}

#[test]
fn syncs_are_answered_behind_what_was_proposed() {
    let mut script = Script::reigning();
    assert_eq!(script.ask(2), ["2 <- PING 0x500000000"]);
    assert_eq!(script.pong(2), ["2 <- SYNC 0x0"]);
    script.propose(1);
    assert_eq!(script.ask(2), ["2 <- PING 0x500000001"]);
    assert_eq!(script.pong(2), [""; 0]);
    script.on(LeaderEvent::Logged(zxid(5, 1)));
    assert_eq!(
        script.ack(2, zxid(5, 1)),
        ["2 <- COMMIT 0x500000001", "commit 0x500000001", "2 <- SYNC 0x0"]
    );
    // One that is still in the chain when the server comes again is not answered to the new connection.
    script.packet(2, sync_request());
    script.on(LeaderEvent::Connected(LinkId(22)));
    let info = QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(5), Sid(2), false);
    assert_eq!(
        script.packet(22, info),
        ["hang up 2", "22 <- LEADERINFO 0x500000000"]
    );
    assert_eq!(script.on(LeaderEvent::Sync(Sid(2))), [""; 0]);
}

/// A learner that hears first of what a session wrote behind its sync takes that for another's write.
#[test]
fn what_is_proposed_behind_a_sync_is_not_decided_before_its_answer() {
    let mut script = Script::reigning();
    script.ask(2);
    script.on(LeaderEvent::OwnSync);
    script.propose(1);
    script.on(LeaderEvent::Logged(zxid(5, 1)));
    assert_eq!(
        script.ack(2, zxid(5, 1)),
        [
            "2 <- SYNC 0x0",
            "own sync answered",
            "2 <- COMMIT 0x500000001",
            "commit 0x500000001",
        ]
    );
}

/// It may have been replaced by those who do not answer.
#[test]
fn a_leader_whom_nobody_answers_answers_no_sync() {
    let mut script = Script::reigning();
    // The answer to a ping that left before the sync came proves nothing.
    script.tick();
    assert_eq!(script.on(LeaderEvent::OwnSync), ["2 <- PING 0x500000000"]);
    assert_eq!(script.pong(2), [""; 0]);
    assert_eq!(script.leader.pending_syncs(), 1);
    let mut all = vec![];
    while script.leader.deadline().is_some() {
        all.extend(script.tick());
    }
    assert!(!all.iter().any(|line| line.contains("answered")), "{all:?}");
}

#[test]
fn a_sync_needs_a_quorum_of_voters_of_this_very_leader() {
    let mut script = Script::reigning().and(4);
    script.join(3);
    script.ack_epoch(3, MINE.last);
    script.ask(4);
    // An observer, one that is not synchronised yet, and a pong that nobody asked for.
    assert_eq!(script.pong(4), [""; 0]);
    assert_eq!(script.ack(3, zxid(5, 0)), ["3 <- UPTODATE 0xffffffffffffffff"]);
    assert_eq!(script.pong(3), [""; 0]);
    script.on(LeaderEvent::Down(LinkId(2)));
    // The next ping of the pulse takes part in the round.
    assert_eq!(script.tick(), ["3 <- PING 0x500000000", "4 <- PING 0x500000000"]);
    assert_eq!(script.pong(3), ["4 <- SYNC 0x0"]);
    // Who is gone is answered nothing; what it has proven still counts.
    script.ask(4);
    assert_eq!(script.on(LeaderEvent::OwnSync), [""; 0]);
    script.on(LeaderEvent::Down(LinkId(4)));
    assert_eq!(script.leader.pending_syncs(), 1);
    assert_eq!(script.pong(3), ["3 <- PING 0x500000000"]);
    assert_eq!(script.pong(3), ["own sync answered"]);
}

#[test]
fn a_leader_alone_is_a_quorum_for_syncs() {
    let mut out = Vec::new();
    let rules = LeaderRules {
        ensemble: ensemble(1, 1),
        ..rules()
    };
    let mut leader = Leader::start(rules, Epoch(4), MINE, 0, &mut out);
    let database = Script::new().database;
    out.clear();
    leader.on(0, LeaderEvent::OwnSync, &database, &mut out);
    assert_eq!(lines(&mut out), ["own sync answered"]);
}

fn sync_request() -> QuorumPacket {
    QuorumPacket::request(SessionId(7), Xid(1), OpCode::Sync.number(), b"", vec![])
}

#[test]
fn sessions_are_touched_and_judged() {
    let mut script = Script::reigning();
    let pong = QuorumPacket::pong(zxid(5, 0), &[(SessionId(8), 400), (SessionId(9), 500)]);
    assert_eq!(script.packet(2, pong), ["touch 0x8 400", "touch 0x9 500"]);
    let ask = QuorumPacket::revalidate(SessionId(8), 400);
    assert_eq!(script.packet(2, ask), ["revalidate 2 2 0x8 400"]);
    script.on(LeaderEvent::Revalidated(LinkId(2), SessionId(8), true));
    assert_eq!(
        script.on(LeaderEvent::Revalidated(LinkId(9), SessionId(8), true)),
        [""; 0]
    );
}

#[test]
fn learners_are_pinged_twice_a_tick_and_counted_once() {
    let mut script = Script::reigning();
    script.propose(1);
    for expected_ms in [50, 100, 150] {
        assert_eq!(script.tick(), ["2 <- PING 0x500000001"]);
        assert_eq!(script.now_ms, expected_ms);
    }
    // Silent for syncLimit ticks: its connection is closed, and with it goes the quorum, at the next full tick.
    let mut all = vec![];
    while script.leader.deadline().is_some() {
        all.extend(script.tick());
    }
    assert_eq!(
        all[all.len() - 2..],
        [
            "hang up 2",
            "over: Not sufficient followers synced, only synced with sids: [ 1 ]"
        ]
    );
    assert_eq!(script.now_ms, 500);
}

#[test]
fn who_answers_pings_but_not_proposals_is_sent_away() {
    let mut script = Script::reigning();
    script.propose(1);
    loop {
        let lines = script.tick();
        if lines.iter().any(|line| line == "hang up 2") {
            break;
        }
        script.packet(2, QuorumPacket::pong(zxid(5, 1), &[]));
    }
    assert_eq!(script.now_ms, 500);
}

#[test]
fn a_counter_that_is_used_up_ends_the_reign() {
    let mut script = Script::reigning();
    script.propose(u32::MAX - 1);
    let lines = script.propose(u32::MAX);
    assert_eq!(
        lines,
        ["over: zxid lower 32 bits have rolled over, forcing re-election, and therefore new epoch start"]
    );
    assert_eq!(script.propose(1), [""; 0]);
}

#[test]
fn learners_that_go_or_talk_nonsense_are_forgotten() {
    let mut script = Script::reigning().and(3);
    assert_eq!(
        script.packet(3, QuorumPacket::plain(PacketType::Ping, zxid(5, 0))),
        ["hang up 3"]
    );
    assert_eq!(script.ack(3, zxid(5, 0)), [""; 0]);
    script.on(LeaderEvent::Down(LinkId(2)));
    assert_eq!(script.propose(1), [""; 0]);
    assert_eq!(script.leader.forwarded_to().count(), 0);
    let mut silent = Script::reigning();
    silent.on(LeaderEvent::Connected(LinkId(9)));
    silent.now_ms = 999;
    assert!(!silent.on(LeaderEvent::Tick).contains(&"hang up 9".to_owned()));
    silent.now_ms = 1_000;
    assert!(silent.on(LeaderEvent::Tick).contains(&"hang up 9".to_owned()));
}
