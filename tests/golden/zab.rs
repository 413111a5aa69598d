//! A leader with its learners, or a learner with its leader: packets in, actions out, in their order.
//!
//! ```text
//! > leader me=1 accepted=4 current=3 last=3.5 [voters=3] [observers=3]
//! > database applied=3.5 ring=3.1,3.2,3.5       what the leader's database holds
//! > connect 2   > info 2 accepted=4 [observer] [version=1]   > ackepoch 2 current=3 last=3.5 [again]
//! > ack 2 5.0   > request 2 op=9   > sync 2     > sync (of an own client)   > pong 2 5.0
//! > down 2      > sent 2 (a snapshot)
//! > propose 5.1 > logged 5.1       > at 100     > tick
//! > learner [observer] [logless] accepted=4 current=3 last=3.5 [refetch=5]
//! > hear DIFF 3.7   > hear PROPOSAL 3.6   > hear LEADERINFO 5.0   > tree   > revalidate 7
//! ```

use std::sync::Arc;

use oxkeeper::ensemble::{Ensemble, Member, NewerTxns, QuorumVerifier, Role};
use oxkeeper::proto::packet::{LearnerInfo, PROTOCOL_VERSION, PacketData, PacketType, QuorumPacket};
use oxkeeper::proto::txn::{LoggedTxn, Txn, TxnHeader};
use oxkeeper::proto::{ConnId, Encode, Epoch, LinkId, OpCode, SessionId, Sid, Xid, Zxid};
use oxkeeper::zab::discovery::Summary;
use oxkeeper::zab::{
    History, Leader, LeaderAction, LeaderEvent, LeaderRules, Learner, LearnerAction, LearnerEvent,
    LearnerRules, LearnerStart,
};

use super::runner::play_all;
use super::words::{Words, spell, zxid};

#[test]
fn discovery() {
    play_all("discovery", 8, World::default, World::obey);
}

#[test]
fn synchronisation() {
    play_all("synchronisation", 14, World::default, World::obey);
}

#[test]
fn broadcast() {
    play_all("broadcast", 12, World::default, World::obey);
}

#[derive(Default)]
struct World {
    leader: Option<Leader>,
    learner: Option<Learner>,
    database: Database,
    now_ms: i64,
}

#[derive(Default)]
struct Database {
    applied: Zxid,
    ring: Vec<Arc<LoggedTxn>>,
}

impl History for Database {
    fn applied(&self) -> Zxid {
        self.applied
    }

    fn committed(&self) -> Vec<Arc<LoggedTxn>> {
        self.ring.clone()
    }
}

impl World {
    fn obey(&mut self, command: &str) -> Vec<String> {
        let (verb, words) = Words::of(command);
        match verb {
            "leader" => self.begin_leader(&words),
            "database" => {
                self.database.applied = words.zxid_of("applied").expect("applied=");
                let ring = words
                    .get("ring")
                    .unwrap_or_default()
                    .split(',')
                    .filter(|word| !word.is_empty());
                self.database.ring = ring.map(|word| txn(zxid(word))).collect();
                Vec::new()
            }
            "learner" => self.begin_learner(&words),
            "hear" => self.learner_hears(&words),
            "tree" => self.learner_on(LearnerEvent::SnapshotReceived),
            "revalidate" => self.learner_on(LearnerEvent::Revalidate(
                ConnId(1),
                SessionId(words.number(0)),
                4_000,
            )),
            "at" => {
                self.now_ms = words.number(0);
                Vec::new()
            }
            "tick" if self.learner.is_some() => self.learner_on(LearnerEvent::Tick),
            "tick" => self.leader_on(LeaderEvent::Tick),
            _ => {
                let event = leader_event(verb, &words);
                self.leader_on(event)
            }
        }
    }

    fn begin_leader(&mut self, words: &Words<'_>) -> Vec<String> {
        let number = |name, default| words.number_of(name).unwrap_or(default);
        let rules = LeaderRules {
            ensemble: ensemble(number("voters", 3), number("observers", 3)),
            me: Sid(number("me", 1)),
            tick_ms: 100,
            init_limit_ticks: 10,
            sync_limit_ticks: 5,
            newer_txns: NewerTxns::Never,
            has_newer_txns: false,
        };
        let written = Summary {
            current: Epoch(number("current", 0)),
            last: words.zxid_of("last").unwrap_or_default(),
        };
        self.database.applied = written.last;
        let mut out = Vec::new();
        let accepted = Epoch(number("accepted", 0));
        self.leader = Some(Leader::start(rules, accepted, written, self.now_ms, &mut out));
        out.into_iter().map(leader_line).collect()
    }

    fn begin_learner(&mut self, words: &Words<'_>) -> Vec<String> {
        let is_observer = words.has("observer");
        let rules = LearnerRules {
            me: Sid(2),
            role: if is_observer {
                Role::Observer
            } else {
                Role::Participant
            },
            logs: !words.has("logless"),
            init_ms: 1_000,
            sync_ms: 500,
            newer_txns: false,
        };
        let start = LearnerStart {
            accepted: Epoch(words.number_of("accepted").unwrap_or(0)),
            current: Epoch(words.number_of("current").unwrap_or(0)),
            last: words.zxid_of("last").unwrap_or_default(),
            refetch: words.number_of("refetch").map(Epoch),
        };
        self.learner = Some(Learner::new(rules, start));
        self.learner_on(LearnerEvent::Connected)
    }

    fn learner_hears(&mut self, words: &Words<'_>) -> Vec<String> {
        let zxid = if words.count() > 1 {
            zxid(words.at(1))
        } else {
            Zxid(-1)
        };
        let packet = match words.at(0) {
            "PROPOSAL" => QuorumPacket::proposal(txn(zxid)),
            "INFORM" => QuorumPacket::inform(txn(zxid)),
            "LEADERINFO" => QuorumPacket::leader_info(zxid.epoch()),
            "REVALIDATE" => QuorumPacket::revalidated(SessionId(zxid.0), words.has("valid")),
            name => QuorumPacket::plain(kind(name), zxid),
        };
        self.learner_on(LearnerEvent::Packet(packet))
    }

    fn learner_on(&mut self, event: LearnerEvent) -> Vec<String> {
        let mut out = Vec::new();
        let learner = self.learner.as_mut().expect("a learner");
        learner.on(self.now_ms, event, &mut out);
        out.into_iter().map(learner_line).collect()
    }

    fn leader_on(&mut self, event: LeaderEvent) -> Vec<String> {
        let mut out = Vec::new();
        let leader = self.leader.as_mut().expect("a leader");
        leader.on(self.now_ms, event, &self.database, &mut out);
        out.into_iter().map(leader_line).collect()
    }
}

/// What a command makes happen to a leader; a server's link has its number.
fn leader_event(verb: &str, words: &Words<'_>) -> LeaderEvent {
    let link = || LinkId(words.number(0).unsigned_abs());
    let packet = |packet| LeaderEvent::Packet(link(), packet);
    let last = || words.zxid_of("last").unwrap_or_default();
    match verb {
        "connect" => LeaderEvent::Connected(link()),
        "info" => packet(first_words(words)),
        "ackepoch" if words.has("again") => packet(QuorumPacket::ack_epoch(None, last())),
        "ackepoch" => packet(QuorumPacket::ack_epoch(
            words.number_of("current").map(Epoch),
            last(),
        )),
        "ack" => packet(QuorumPacket::plain(PacketType::Ack, zxid(words.at(1)))),
        "request" => {
            let op = words.number_of("op").unwrap_or_default() as i32;
            packet(QuorumPacket::request(SessionId(7), Xid(1), op, b"", Vec::new()))
        }
        "pong" => packet(QuorumPacket::pong(zxid(words.at(1)), &[])),
        "says" => packet(QuorumPacket::plain(kind(words.at(1)), zxid(words.at(2)))),
        "sync" if words.count() == 0 => LeaderEvent::OwnSync,
        "sync" => LeaderEvent::Sync(Sid(words.number(0))),
        "down" => LeaderEvent::Down(link()),
        "sent" => LeaderEvent::SnapshotSent(link()),
        "propose" => LeaderEvent::Propose(txn(zxid(words.at(0)))),
        "logged" => LeaderEvent::Logged(zxid(words.at(0))),
        _ => words.unknown(),
    }
}

fn first_words(words: &Words<'_>) -> QuorumPacket {
    let kind = if words.has("observer") {
        PacketType::ObserverInfo
    } else {
        PacketType::FollowerInfo
    };
    let info = LearnerInfo {
        sid: Sid(words.number_of("sid").unwrap_or(words.number(0))),
        version: words
            .number_of("version")
            .map_or(PROTOCOL_VERSION, |version| version as i32),
        newer_txns: words.has("newer"),
    };
    let accepted = Epoch(words.number_of("accepted").unwrap_or(0));
    let mut packet = QuorumPacket::plain(kind, Zxid::of(accepted, 0));
    packet.data = PacketData::Bytes(info.to_bytes());
    packet
}

fn kind(name: &str) -> PacketType {
    let found = (0..20).map(PacketType::of).find(|kind| kind.to_string() == name);
    found.unwrap_or_else(|| panic!("no packet is called {name}"))
}

fn packet_line(packet: &QuorumPacket) -> String {
    format!("{} {}", packet.kind, spell(packet.zxid))
}

fn leader_line(action: LeaderAction) -> String {
    match action {
        LeaderAction::Send(link, packet) => format!("  to {}: {}", link.0, packet_line(&packet)),
        LeaderAction::SendSnapshot(link) => format!("  to {}: SNAP and the tree", link.0),
        LeaderAction::HangUp(link, reason) => format!("  hangs up on {}: {reason}", link.0),
        LeaderAction::SaveAcceptedEpoch(epoch) => format!("  acceptedEpoch := {}", epoch.0),
        LeaderAction::AllowNewerTxns(allowed) => format!("  transactions that 3.4 cannot read: {allowed}"),
        LeaderAction::SaveCurrentEpoch(epoch) => format!("  currentEpoch := {}", epoch.0),
        LeaderAction::Lead(zxid) => format!("  leads from {}", spell(zxid)),
        LeaderAction::Commit(txn) => format!("  decided {}", spell(txn.zxid())),
        LeaderAction::SyncAnswered => "  chain answers a sync".to_owned(),
        LeaderAction::Submit(sid, request) => format!("  into the chain: operation {} of {sid}", request.op),
        LeaderAction::Touch(session, timeout_ms) => format!("  heard session {session} ({timeout_ms} ms)"),
        LeaderAction::Revalidate(link, _, session, _) => {
            format!("  asked by {} for session {session}", link.0)
        }
        LeaderAction::Over(reason) => format!("  over: {reason}"),
    }
}

fn learner_line(action: LearnerAction) -> String {
    match action {
        LearnerAction::SaveAcceptedEpoch(epoch) => format!("  acceptedEpoch := {}", epoch.0),
        LearnerAction::SaveCurrentEpoch(epoch) => format!("  currentEpoch := {}", epoch.0),
        LearnerAction::Send(packet) => format!("  to the leader: {}", packet_line(&packet)),
        LearnerAction::Truncate(zxid) => format!("  cuts log and snapshots behind {}", spell(zxid)),
        LearnerAction::Apply(txn) => format!("  new tree := {}", spell(txn.zxid())),
        LearnerAction::MarkUpdating => "  marks updatingEpoch".to_owned(),
        LearnerAction::ClearUpdating => "  unmarks updatingEpoch".to_owned(),
        LearnerAction::InstallSnapshot(zxid) => {
            format!("  new tree, snapshot and no log, at {}", spell(zxid))
        }
        LearnerAction::AppendToLog(txn) => format!("  log + {}", spell(txn.zxid())),
        LearnerAction::SyncLog => "  fsync".to_owned(),
        LearnerAction::Serve(epoch) => format!("  serves in epoch {}", epoch.0),
        LearnerAction::Log(txn) => format!("  chain logs {}", spell(txn.zxid())),
        LearnerAction::Commit(txn) => format!("  chain commits {}", spell(txn.zxid())),
        LearnerAction::SyncAnswered => "  chain answers a sync".to_owned(),
        LearnerAction::AnswerPing(zxid) => format!("  to the leader: PING {} and the sessions", spell(zxid)),
        LearnerAction::Revalidated(_, session, valid) => format!("  session {session} is valid: {valid}"),
        LearnerAction::Halt(reason) => format!("  process ends: {reason}"),
        LearnerAction::Leave(reason) => format!("  leaves: {reason}"),
    }
}

/// Voters 1 to `voters`, then as many observers.
fn ensemble(voters: i64, observers: i64) -> Ensemble {
    let member = |sid| Member {
        sid: Sid(sid),
        host: "localhost".to_owned(),
        quorum_port: 2888,
        election_port: 3888,
        role: if sid <= voters {
            Role::Participant
        } else {
            Role::Observer
        },
    };
    let verifier = QuorumVerifier::majority((1..=voters).map(Sid));
    Ensemble::new((1..=voters + observers).map(member), verifier)
}

/// Some transaction of that number.
fn txn(zxid: Zxid) -> Arc<LoggedTxn> {
    let header = TxnHeader {
        session: SessionId(7),
        cxid: Xid(1),
        zxid,
        time_ms: 9,
        op: OpCode::CloseSession.number(),
    };
    Arc::new(LoggedTxn::new(header, &Txn::CloseSession))
}
