//! What other servers say, to the values that decide what to do about it: whatever they hear, their promises hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use oxkeeper::ensemble::{Ensemble, Member, NewerTxns, QuorumVerifier, Role};
use oxkeeper::proto::packet::{LearnerInfo, PacketLimits, PacketType, QuorumPacket};
use oxkeeper::proto::txn::{LoggedTxn, Txn, TxnHeader};
use oxkeeper::proto::{Epoch, LinkId, Notification, OpCode, SessionId, Sid, Xid, Zxid};
use oxkeeper::zab::discovery::Summary;
use oxkeeper::zab::fast_leader_election::{Action, Event};
use oxkeeper::zab::{
    FastLeaderElection, History, Leader, LeaderAction, LeaderEvent, LeaderRules, Learner, LearnerAction,
    LearnerEvent, LearnerRules, LearnerStart,
};

use super::frugal;

/// Voters 1 to 3, observer 4.
fn ensemble() -> Ensemble {
    let member = |sid| Member {
        sid: Sid(sid),
        host: "localhost".to_owned(),
        quorum_port: 2888,
        election_port: 3888,
        role: if sid <= 3 {
            Role::Participant
        } else {
            Role::Observer
        },
    };
    Ensemble::new((1..=4).map(member), QuorumVerifier::majority((1..=3).map(Sid)))
}

/// Votes, each behind a byte that says whose it is; a byte above 0xf0 is the deadline.
pub fn election(bytes: &[u8]) {
    let me = Sid(2);
    let mut election = FastLeaderElection::new(me, ensemble());
    let mut now_ms = 1_000;
    let look = Event::Look {
        last_zxid: Zxid(0x1_0000_0003),
        current_epoch: Epoch(1),
    };
    let mut actions = Vec::new();
    election.on(now_ms, look, &mut actions);
    for message in bytes.chunks(1 + Notification::BYTES) {
        actions.clear();
        now_ms += 1;
        match (message[0], Notification::from_message(&message[1..])) {
            (0xf0.., _) => {
                now_ms = election.deadline_ms().unwrap_or(now_ms).max(now_ms);
                election.on(now_ms, Event::Time, &mut actions);
            }
            (from, Ok(notification)) => {
                let from = Sid(i64::from(from % 5));
                frugal(64, || {
                    election.on(now_ms, Event::Heard { from, notification }, &mut actions)
                });
            }
            (_, Err(_)) => continue,
        }
        assert!(actions.len() <= 6, "{actions:?}");
        for action in &actions {
            let Action::Decided { state, vote } = action else {
                continue;
            };
            assert!(ensemble().is_voter(vote.leader), "{vote:?}");
            assert_eq!(state.to_string() == "LEADING", vote.leader == me);
            election.on(now_ms, look, &mut Vec::new());
        }
    }
}

/// Packets from what says to be a leader.
pub fn learner(bytes: &[u8]) {
    for (me, role, logs) in [
        (1, Role::Participant, true),
        (4, Role::Observer, true),
        (4, Role::Observer, false),
    ] {
        follow(bytes, me, role, logs);
    }
}

fn follow(bytes: &[u8], me: i64, role: Role, logs: bool) {
    let rules = LearnerRules {
        me: Sid(me),
        role,
        logs,
        init_ms: 1_000,
        sync_ms: 100,
        newer_txns: logs,
    };
    let packets = packets(bytes);
    let start = LearnerStart {
        accepted: Epoch(0),
        current: Epoch(0),
        last: last_before(&packets),
        refetch: None,
    };
    let mut learner = Learner::new(rules, start);
    let mut witness = Witness {
        logs,
        last: start.last,
        ..Witness::default()
    };
    let mut out = Vec::new();
    learner.on(0, LearnerEvent::Connected, &mut out);
    for (now_ms, packet) in (1..).zip(packets) {
        witness.hear(&mut out);
        if witness.is_over {
            return;
        }
        let (kind, weight) = (packet.kind, packet.data.bytes().map_or(0, <[u8]>::len));
        frugal(weight, || {
            learner.on(now_ms, LearnerEvent::Packet(packet), &mut out)
        });
        let waits_for_tree = learner.deadline().is_none() && kind == PacketType::Snap;
        if waits_for_tree && !matches!(out.last(), Some(LearnerAction::Leave(_))) {
            learner.on(now_ms, LearnerEvent::SnapshotReceived, &mut out);
        }
    }
    witness.hear(&mut out);
}

/// A last transaction of the learner's with which the leader's first word makes sense.
fn last_before(packets: &[QuorumPacket]) -> Zxid {
    let proposal = packets.iter().find(|packet| packet.kind == PacketType::Proposal);
    match (
        packets.iter().find(|packet| packet.kind == PacketType::Diff),
        proposal,
    ) {
        (Some(_), Some(proposal)) => Zxid(proposal.zxid.0.saturating_sub(1).max(0)),
        (Some(diff), None) => Zxid(diff.zxid.0.max(0)),
        (None, _) => Zxid(1 << 32 | 5),
    }
}

/// Somebody who holds a learner to its order.
#[derive(Debug, Default)]
struct Witness {
    logs: bool,
    last: Zxid,
    unsafe_bytes: bool,
    safe: BTreeSet<Zxid>,
    appended: Vec<Zxid>,
    accepted: Epoch,
    current: Epoch,
    committed: Option<Zxid>,
    serves: bool,
    is_over: bool,
}

impl Witness {
    fn hear(&mut self, actions: &mut Vec<LearnerAction>) {
        for action in actions.drain(..) {
            assert!(!self.is_over, "{action:?} comes behind the end");
            match action {
                LearnerAction::SaveAcceptedEpoch(epoch) => {
                    assert!(epoch > self.accepted);
                    self.accepted = epoch;
                }
                LearnerAction::SaveCurrentEpoch(epoch) => {
                    assert!(!self.unsafe_bytes, "the epoch is on the disk before the log");
                    self.current = epoch;
                }
                LearnerAction::Truncate(zxid) => {
                    assert!(zxid <= self.last && self.appended.is_empty());
                    self.last = zxid;
                }
                LearnerAction::AppendToLog(txn) => self.append(txn.zxid()),
                LearnerAction::InstallSnapshot(zxid) => self.last = zxid,
                LearnerAction::SyncLog => {
                    self.unsafe_bytes = false;
                    self.safe.extend(self.appended.drain(..));
                }
                LearnerAction::Send(packet) => self.sent(&packet),
                LearnerAction::Serve(epoch) => {
                    assert!(!self.serves && epoch == self.current);
                    self.serves = true;
                }
                LearnerAction::Log(txn) => assert!(self.serves && txn.zxid() > Zxid(0)),
                LearnerAction::Commit(txn) => {
                    assert!(self.serves && self.committed < Some(txn.zxid()));
                    self.committed = Some(txn.zxid());
                }
                LearnerAction::Halt(_) | LearnerAction::Leave(_) => self.is_over = true,
                LearnerAction::Apply(_)
                | LearnerAction::MarkUpdating
                | LearnerAction::ClearUpdating
                | LearnerAction::SyncAnswered
                | LearnerAction::AnswerPing(_)
                | LearnerAction::Revalidated(..) => {}
            }
        }
    }

    fn append(&mut self, zxid: Zxid) {
        assert!(self.logs && zxid > self.last, "{zxid} behind {}", self.last);
        self.last = zxid;
        self.unsafe_bytes = true;
        self.appended.push(zxid);
    }

    fn sent(&mut self, packet: &QuorumPacket) {
        match packet.kind {
            PacketType::AckEpoch => assert!(self.accepted.0 > 0 || packet.payload() == Ok(&[0xff; 4])),
            PacketType::Ack if packet.zxid.counter() == 0 => {
                assert!(packet.zxid.epoch() == self.current && !self.unsafe_bytes);
            }
            PacketType::Ack => assert!(self.safe.contains(&packet.zxid), "{}", packet.zxid),
            _ => {}
        }
    }
}

/// Packets from what say to be learners: the upper byte of a packet's type says which of four.
pub fn leader(bytes: &[u8]) {
    let packets = packets(bytes);
    let new_leader_ack = packets
        .iter()
        .find(|p| p.kind == PacketType::Ack && p.zxid.counter() == 0);
    let epoch = new_leader_ack
        .map_or(1, |packet| packet.zxid.epoch().0)
        .clamp(1, 1 << 20);
    let written = Summary {
        current: Epoch(0),
        last: Zxid(0),
    };
    let rules = LeaderRules {
        ensemble: ensemble(),
        me: Sid(3),
        tick_ms: 100,
        init_limit_ticks: 10,
        sync_limit_ticks: 5,
        newer_txns: NewerTxns::Auto,
        has_newer_txns: false,
    };
    let mut reign = Reign::default();
    let mut out = Vec::new();
    let mut leader = Leader::start(rules, Epoch(epoch - 1), written, 0, &mut out);
    for (now_ms, mut packet) in (1..).zip(packets) {
        let number = packet.kind.number();
        let link = LinkId(u64::from(number as u32 >> 24) % 4 + 1);
        packet.kind = PacketType::of(number & 0xff_ffff);
        reign.carry_out(&mut out);
        if reign.is_over {
            return;
        }
        let mut event = |event, out: &mut Vec<LeaderAction>| leader.on(now_ms, event, &reign.history, out);
        if reign.links.insert(link) {
            event(LeaderEvent::Connected(link), &mut out);
        }
        reign.promises.hear(link, &packet);
        let is_ping = packet.kind == PacketType::Ping;
        let weight = packet.data.bytes().map_or(0, <[u8]>::len);
        frugal(weight, || event(LeaderEvent::Packet(link, packet), &mut out));
        let next = Zxid(leader.last_proposed().0 + 1);
        let leads = reign.leads || out.iter().any(|action| matches!(action, LeaderAction::Lead(_)));
        if is_ping && leads && !out.iter().any(|action| matches!(action, LeaderAction::Over(_))) {
            leader.on(
                now_ms,
                LeaderEvent::Propose(close_session(next)),
                &reign.history,
                &mut out,
            );
            leader.on(now_ms, LeaderEvent::Logged(next), &reign.history, &mut out);
        }
    }
    reign.carry_out(&mut out);
}

/// Somebody who holds a leader to its order.
#[derive(Default)]
struct Reign {
    history: Decided,
    promises: Promises,
    links: BTreeSet<LinkId>,
    accepted: Option<Epoch>,
    leads: bool,
    is_over: bool,
}

/// What is decided, as the database would show it.
#[derive(Default)]
struct Decided(Vec<Arc<LoggedTxn>>);

impl History for Decided {
    fn applied(&self) -> Zxid {
        self.0.last().map_or(Zxid(0), |txn| txn.zxid())
    }

    fn committed(&self) -> Vec<Arc<LoggedTxn>> {
        self.0.clone()
    }
}

/// What the learners have said to have.
#[derive(Default)]
struct Promises {
    sids: BTreeMap<LinkId, Sid>,
    acks: BTreeMap<Zxid, BTreeSet<Sid>>,
    through: BTreeMap<Sid, Zxid>,
}

impl Promises {
    fn hear(&mut self, link: LinkId, packet: &QuorumPacket) {
        match packet.kind {
            PacketType::FollowerInfo | PacketType::ObserverInfo => {
                let info = packet
                    .data
                    .bytes()
                    .and_then(|payload| LearnerInfo::decode(payload).ok());
                self.sids
                    .entry(link)
                    .or_insert(info.map_or(Sid(-1), |info| info.sid));
            }
            PacketType::Ack => {
                if let Some(sid) = self.sids.get(&link) {
                    self.acks.entry(packet.zxid).or_default().insert(*sid);
                }
            }
            PacketType::AckEpoch => {
                if let Some(sid) = self.sids.get(&link) {
                    let through = self.through.entry(*sid).or_default();
                    *through = packet.zxid.max(*through);
                }
            }
            _ => {}
        }
    }

    /// Whether one of the other two voters has said to have it.
    fn is_backed(&self, zxid: Zxid) -> bool {
        [1, 2].map(Sid).iter().any(|sid| {
            self.acks.get(&zxid).is_some_and(|acks| acks.contains(sid))
                || self.through.get(sid).is_some_and(|through| *through >= zxid)
        })
    }
}

impl Reign {
    fn carry_out(&mut self, actions: &mut Vec<LeaderAction>) {
        for action in actions.drain(..) {
            assert!(!self.is_over, "{action:?} comes behind the end");
            match action {
                LeaderAction::SaveAcceptedEpoch(epoch) => {
                    assert!(epoch.0 > 0 && self.accepted.is_none());
                    self.accepted = Some(epoch);
                }
                LeaderAction::Send(_, packet) => match packet.kind {
                    PacketType::LeaderInfo => assert_eq!(Some(packet.zxid.epoch()), self.accepted),
                    PacketType::UpToDate => assert!(self.leads),
                    _ => {}
                },
                LeaderAction::HangUp(link, _) => {
                    self.links.remove(&link);
                    self.promises.sids.remove(&link);
                }
                LeaderAction::Lead(zxid) => {
                    assert!(
                        !self.leads && self.promises.is_backed(zxid),
                        "{zxid} has no quorum"
                    );
                    self.leads = true;
                }
                LeaderAction::Commit(txn) => {
                    assert!(self.leads && self.promises.is_backed(txn.zxid()));
                    assert!(self.history.applied() < txn.zxid());
                    self.history.0.push(txn);
                }
                LeaderAction::Over(_) => self.is_over = true,
                LeaderAction::SaveCurrentEpoch(_)
                | LeaderAction::AllowNewerTxns(_)
                | LeaderAction::SendSnapshot(_)
                | LeaderAction::SyncAnswered
                | LeaderAction::Submit(..)
                | LeaderAction::Touch(..)
                | LeaderAction::Revalidate(..) => {}
            }
        }
    }
}

fn close_session(zxid: Zxid) -> Arc<LoggedTxn> {
    let header = TxnHeader {
        session: SessionId(7),
        cxid: Xid(1),
        zxid,
        time_ms: 9,
        op: OpCode::CloseSession.number(),
    };
    Arc::new(LoggedTxn::new(header, &Txn::CloseSession))
}

/// The packets of a stream, as far as it is one. What a number behind the stream's end says is not asked.
fn packets(bytes: &[u8]) -> Vec<QuorumPacket> {
    let mut left = bytes;
    let limits = PacketLimits::default();
    let mut packets = Vec::new();
    while let Ok(packet) = QuorumPacket::read_from(&mut left, &limits) {
        packets.push(packet);
    }
    packets
}
