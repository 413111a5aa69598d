//! What a learner does, packet by packet, as lists of actions in their order.

use super::*;
use crate::zab::testing::{lines, txn, zxid};

struct Script {
    learner: Learner,
    out: Vec<LearnerAction>,
    now_ms: i64,
}

impl Script {
    /// A learner of epoch 3 with (3, 5) last, connected.
    fn new(role: Role) -> Script {
        Script::with(role, None)
    }

    fn with(role: Role, refetch: Option<Epoch>) -> Script {
        let rules = LearnerRules {
            me: Sid(2),
            role,
            logs: true,
            init_ms: 1_000,
            sync_ms: 100,
            newer_txns: true,
        };
        let start = LearnerStart {
            accepted: Epoch(4),
            current: Epoch(3),
            last: zxid(3, 5),
            refetch,
        };
        let mut script = Script {
            learner: Learner::new(rules, start),
            out: Vec::new(),
            now_ms: 10,
        };
        script.on(LearnerEvent::Connected);
        script
    }

    fn on(&mut self, event: LearnerEvent) -> Vec<String> {
        self.learner.on(self.now_ms, event, &mut self.out);
        lines(&mut self.out)
    }

    fn packet(&mut self, packet: QuorumPacket) -> Vec<String> {
        self.on(LearnerEvent::Packet(packet))
    }

    fn plain(&mut self, kind: PacketType, zxid: Zxid) -> Vec<String> {
        self.packet(QuorumPacket::plain(kind, zxid))
    }

    fn proposal(&mut self, zxid: Zxid) -> Vec<String> {
        self.packet(QuorumPacket::proposal(txn(zxid)))
    }

    fn commit(&mut self, zxid: Zxid) -> Vec<String> {
        self.plain(PacketType::Commit, zxid)
    }

    /// Accepts epoch 5 and gets this first word on the history.
    fn begin(mut self, kind: PacketType, zxid: Zxid) -> Script {
        self.packet(QuorumPacket::leader_info(Epoch(5)));
        self.plain(kind, zxid);
        self
    }

    /// As above, by an empty difference, up to the point where it serves.
    fn serving(role: Role) -> Script {
        let mut script = Script::new(role).begin(PacketType::Diff, zxid(3, 5));
        script.plain(PacketType::NewLeader, zxid(5, 0));
        script.plain(PacketType::UpToDate, Zxid(-1));
        script
    }
}

const NONE: [String; 0] = [];

#[test]
fn a_promise_is_on_the_disk_before_it_is_given() {
    let mut script = Script::new(Role::Participant);
    assert_eq!(
        script.packet(QuorumPacket::leader_info(Epoch(5))),
        ["accepted 5", "-> ACKEPOCH 0x300000005"]
    );
    assert!(matches!(script.learner.phase, Phase::Head(Epoch(5), false)));
}

/// It was cut off between the first proposal of epoch 4 and NEWLEADER: others may count what it has.
#[test]
fn who_has_a_transaction_of_an_epoch_is_in_it() {
    let rules = Script::new(Role::Participant).learner.rules;
    let start = LearnerStart {
        accepted: Epoch(4),
        current: Epoch(3),
        last: zxid(4, 2),
        refetch: None,
    };
    let mut learner = Learner::new(rules, start);
    let mut out = Vec::new();
    learner.on(0, LearnerEvent::Connected, &mut out);
    learner.on(
        0,
        LearnerEvent::Packet(QuorumPacket::leader_info(Epoch(5))),
        &mut out,
    );
    let promise = LearnerAction::Send(QuorumPacket::ack_epoch(Some(Epoch(4)), zxid(4, 2)));
    assert_eq!(out.first(), Some(&LearnerAction::SaveCurrentEpoch(Epoch(4))));
    assert_eq!(out.last(), Some(&promise));
}

#[test]
fn a_promise_counts_once_and_is_never_taken_back() {
    let mut again = Script::new(Role::Participant);
    again.learner.on(
        0,
        LearnerEvent::Packet(QuorumPacket::leader_info(Epoch(4))),
        &mut again.out,
    );
    let uncounted = QuorumPacket::ack_epoch(None, zxid(3, 5));
    assert_eq!(again.out, [LearnerAction::Send(uncounted)]);
    let mut old = Script::new(Role::Participant);
    assert_eq!(old.packet(QuorumPacket::leader_info(Epoch(3))), NONE);
    assert_eq!(old.packet(QuorumPacket::leader_info(Epoch(9))), NONE);
    // Nothing will come of it until the leader hangs up; pings do not put the end off.
    let deadline_ms = old.learner.deadline().expect("a deadline");
    old.learner.on(
        deadline_ms - 1,
        LearnerEvent::Packet(QuorumPacket::plain(PacketType::Ping, zxid(3, 5))),
        &mut old.out,
    );
    old.learner.on(deadline_ms - 1, LearnerEvent::Tick, &mut old.out);
    assert_eq!(old.out, []);
    old.learner.on(deadline_ms, LearnerEvent::Tick, &mut old.out);
    assert_eq!(
        old.out,
        [LearnerAction::Leave("its epoch is still too old".to_owned())]
    );
    let mut strange = Script::new(Role::Participant);
    assert_eq!(
        strange.plain(PacketType::NewLeader, zxid(5, 0)),
        ["leave: Got unexpected packet from leader: NEWLEADER"]
    );
}

#[test]
fn first_words_tell_the_role() {
    for (role, line) in [
        (Role::Participant, "-> FOLLOWERINFO 0x400000000"),
        (Role::Observer, "-> OBSERVERINFO 0x400000000"),
    ] {
        let mut script = Script::new(role);
        assert_eq!(script.on(LearnerEvent::Connected), [line]);
    }
}

/// ZOOKEEPER-3023, 3911, 4643, 4646, 4685, 4785: log, epoch, ack of NEWLEADER, and after UPTODATE the others.
#[test]
fn a_difference_is_safe_before_the_epoch_and_the_epoch_before_the_ack() {
    let mut script = Script::new(Role::Participant).begin(PacketType::Diff, zxid(3, 7));
    assert_eq!(script.proposal(zxid(3, 6)), ["mark", "append 0x300000006"]);
    assert_eq!(script.commit(zxid(3, 6)), NONE);
    assert_eq!(script.proposal(zxid(5, 1)), ["append 0x500000001"]);
    assert_eq!(
        script.plain(PacketType::NewLeader, zxid(5, 0)),
        ["sync", "current 5", "unmark", "-> ACK 0x500000000"]
    );
    assert_eq!(script.proposal(zxid(5, 2)), ["append 0x500000002"]);
    // ZOOKEEPER-4394: the commit of a proposal that came before NEWLEADER.
    assert_eq!(script.commit(zxid(5, 1)), NONE);
    assert_eq!(
        script.plain(PacketType::UpToDate, Zxid(-1)),
        [
            "sync",
            "-> ACK 0x500000000",
            "serve 5",
            "-> ACK 0x300000006",
            "-> ACK 0x500000001",
            "-> ACK 0x500000002",
            "commit 0x300000006",
            "commit 0x500000001",
        ]
    );
    assert_eq!(script.commit(zxid(5, 2)), ["commit 0x500000002"]);
}

#[test]
fn a_snapshot_is_brought_on_apart_and_installed_whole() {
    let mut script = Script::new(Role::Participant).begin(PacketType::Snap, zxid(4, 3));
    assert_eq!(script.learner.deadline(), None);
    assert_eq!(script.on(LearnerEvent::SnapshotReceived), NONE);
    assert_eq!(script.proposal(zxid(4, 4)), NONE);
    assert_eq!(script.commit(zxid(4, 4)), ["apply 0x400000004"]);
    assert_eq!(script.proposal(zxid(4, 5)), NONE);
    assert_eq!(
        script.plain(PacketType::NewLeader, zxid(5, 0)),
        [
            "mark",
            "install 0x400000004",
            "append 0x400000005",
            "sync",
            "current 5",
            "unmark",
            "-> ACK 0x500000000"
        ]
    );
    assert_eq!(script.commit(zxid(4, 5)), NONE);
    assert_eq!(
        script.plain(PacketType::UpToDate, Zxid(-1)),
        [
            "-> ACK 0x500000000",
            "serve 5",
            "-> ACK 0x400000005",
            "commit 0x400000005"
        ]
    );
}

#[test]
fn what_a_snapshot_holds_already_is_not_applied_again() {
    let mut script = Script::new(Role::Participant).begin(PacketType::Snap, zxid(4, 3));
    script.on(LearnerEvent::SnapshotReceived);
    assert_eq!(script.proposal(zxid(4, 2)), NONE);
    assert_eq!(script.proposal(zxid(4, 3)), NONE);
    assert_eq!(script.proposal(zxid(4, 4)), NONE);
    assert_eq!(script.commit(zxid(4, 2)), NONE);
    assert_eq!(script.commit(zxid(4, 3)), NONE);
    assert_eq!(script.commit(zxid(4, 4)), ["apply 0x400000004"]);
}

#[test]
fn a_cut_comes_first_and_the_log_goes_on_behind_it() {
    let mut script = Script::new(Role::Participant);
    script.packet(QuorumPacket::leader_info(Epoch(5)));
    assert_eq!(
        script.plain(PacketType::Trunc, zxid(3, 2)),
        ["truncate 0x300000002"]
    );
    assert_eq!(script.proposal(zxid(4, 1)), ["mark", "append 0x400000001"]);
    assert_eq!(script.commit(zxid(4, 1)), NONE);
    assert_eq!(
        script.plain(PacketType::NewLeader, zxid(5, 0)),
        ["sync", "current 5", "unmark", "-> ACK 0x500000000"]
    );
    let mut beyond = Script::new(Role::Participant);
    beyond.packet(QuorumPacket::leader_info(Epoch(5)));
    assert_eq!(
        beyond.plain(PacketType::Trunc, zxid(3, 6)),
        ["leave: Got unexpected packet from leader: TRUNC"]
    );
}

#[test]
fn after_a_cut_that_cannot_be_made_only_a_snapshot_will_do() {
    let mut script = Script::with(Role::Participant, Some(Epoch(4)));
    assert_eq!(
        script.packet(QuorumPacket::leader_info(Epoch(4))),
        ["-> ACKEPOCH 0x0"]
    );
    assert_eq!(
        script.plain(PacketType::Diff, zxid(3, 5)),
        ["leave: Got unexpected packet from leader: DIFF"]
    );
    // Another leader hears the truth.
    let mut other = Script::with(Role::Participant, Some(Epoch(4)));
    assert_eq!(
        other.packet(QuorumPacket::leader_info(Epoch(5))),
        ["accepted 5", "-> ACKEPOCH 0x300000005"]
    );
}

#[test]
fn while_it_is_synchronised_it_believes_nothing_strange() {
    let diff = || Script::new(Role::Participant).begin(PacketType::Diff, zxid(3, 7));
    assert_eq!(
        diff().proposal(zxid(3, 7)),
        ["leave: Got zxid 0x300000007 expected 0x300000006"]
    );
    assert_eq!(diff().proposal(zxid(3, 5)), NONE);
    let mut committed_too_early = diff();
    committed_too_early.proposal(zxid(3, 6));
    assert_eq!(
        committed_too_early.commit(zxid(3, 7)),
        ["leave: Committing 0x300000007, but that is not the next proposal"]
    );
    assert_eq!(
        diff().plain(PacketType::NewLeader, zxid(6, 0)),
        ["leave: Got unexpected packet from leader: NEWLEADER"]
    );
    assert_eq!(
        diff().plain(PacketType::UpToDate, Zxid(-1)),
        ["leave: Got unexpected packet from leader: UPTODATE"]
    );
    assert_eq!(diff().plain(PacketType::Ping, zxid(5, 0)), NONE);
}

#[test]
fn a_follower_logs_proposals_and_commits_the_oldest() {
    let mut script = Script::serving(Role::Participant);
    assert_eq!(script.proposal(zxid(5, 1)), ["log 0x500000001"]);
    assert_eq!(script.proposal(zxid(5, 2)), ["log 0x500000002"]);
    assert_eq!(script.proposal(zxid(5, 2)), NONE);
    assert_eq!(script.commit(zxid(5, 1)), ["commit 0x500000001"]);
    assert_eq!(script.packet(QuorumPacket::inform(txn(zxid(5, 3)))), NONE);
    assert_eq!(script.plain(PacketType::Ping, zxid(5, 2)), ["ping 0x500000002"]);
    assert_eq!(script.plain(PacketType::Sync, Zxid(0)), ["sync answered"]);
    assert_eq!(script.commit(zxid(5, 2)), ["commit 0x500000002"]);
    assert_eq!(script.commit(zxid(5, 2)), NONE);
    assert_eq!(
        script.commit(zxid(5, 3)),
        ["leave: Committing 0x500000003, but that is not the next proposal"]
    );
}

#[test]
fn a_commit_out_of_order_ends_the_process() {
    let mut script = Script::serving(Role::Participant);
    script.proposal(zxid(5, 1));
    script.proposal(zxid(5, 2));
    assert_eq!(
        script.commit(zxid(5, 2)),
        ["halt: Committing zxid 0x500000002 but next pending txn 0x500000001"]
    );
    assert_eq!(script.commit(zxid(5, 1)), NONE);
}

#[test]
fn a_gap_in_broadcast_is_never_logged() {
    let mut script = Script::serving(Role::Participant);
    script.proposal(zxid(5, 1));
    assert_eq!(
        script.proposal(zxid(5, 3)),
        ["leave: Got zxid 0x500000003 expected 0x500000002"]
    );
}

#[test]
fn an_observer_takes_what_is_decided() {
    let mut script = Script::new(Role::Observer).begin(PacketType::Diff, zxid(3, 6));
    assert_eq!(
        script.packet(QuorumPacket::inform(txn(zxid(3, 6)))),
        ["mark", "append 0x300000006"]
    );
    script.plain(PacketType::NewLeader, zxid(5, 0));
    assert_eq!(
        script.plain(PacketType::UpToDate, Zxid(-1)),
        [
            "-> ACK 0x500000000",
            "serve 5",
            "-> ACK 0x300000006",
            "commit 0x300000006"
        ]
    );
    assert_eq!(
        script.packet(QuorumPacket::inform(txn(zxid(5, 1)))),
        ["log 0x500000001", "commit 0x500000001"]
    );
    assert_eq!(script.proposal(zxid(5, 2)), NONE);
    assert_eq!(script.commit(zxid(5, 2)), NONE);
}

#[test]
fn the_leader_must_be_heard_in_time() {
    let mut script = Script::new(Role::Participant).begin(PacketType::Diff, zxid(3, 5));
    assert_eq!(script.learner.deadline(), Some(1_010));
    script.now_ms = 900;
    script.plain(PacketType::NewLeader, zxid(5, 0));
    script.now_ms = 1_800;
    assert_eq!(script.on(LearnerEvent::Tick), NONE);
    script.plain(PacketType::UpToDate, Zxid(-1));
    assert_eq!(script.learner.deadline(), Some(1_900));
    script.now_ms = 1_900;
    assert_eq!(script.on(LearnerEvent::Tick), ["leave: Read timed out"]);
    assert_eq!(script.learner.deadline(), None);
}

#[test]
fn the_leader_s_verdict_goes_to_the_connection_that_asked() {
    let mut script = Script::serving(Role::Participant);
    let ask = |conn| LearnerEvent::Revalidate(ConnId(conn), SessionId(8), 400);
    assert_eq!(script.on(ask(1)), ["-> REVALIDATE 0xffffffffffffffff"]);
    script.on(ask(2));
    let verdict = |valid| QuorumPacket::revalidated(SessionId(8), valid);
    assert_eq!(script.packet(verdict(true)), ["revalidated 1 0x8 true"]);
    assert_eq!(script.packet(verdict(false)), ["revalidated 2 0x8 false"]);
    assert_eq!(script.packet(verdict(true)), NONE);
    assert!(script.learner.revalidations.is_empty());
    let empty = QuorumPacket::plain(PacketType::Revalidate, Zxid(-1));
    assert!(script.packet(empty)[0].starts_with("leave: a packet of type REVALIDATE cannot be read"));
}
