//! A follower or an observer, from its first word to the leader until it leaves it. One machine: an observer
//! differs in its first packet, and in that it hears of transactions when they are decided.
//! (quorum/Learner, Follower, Observer)

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use thiserror::Error;

use crate::ensemble::Role;
use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::txn::LoggedTxn;
use crate::proto::{ConnId, Decode, Epoch, Malformed, Reader, SessionId, Sid, Zxid};
use crate::seeded_fault::SeededFault;

use super::discovery::Summary;
use super::learner_sync::{LearnerSync, Synced};
use super::sync_plan::goes_on;

/// What a learner is told of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerRules {
    /// This server.
    pub me: Sid,
    /// Follower or observer.
    pub role: Role,
    /// Whether it keeps a log: always for one that votes, `syncEnabled` for an observer.
    pub logs: bool,
    /// Until it serves, the leader must be heard this often (`initLimit` ticks), milliseconds.
    pub init_ms: i64,
    /// Afterwards (`syncLimit` ticks).
    pub sync_ms: i64,
    /// Whether this server tells the leader that it takes transactions that 3.4 cannot read.
    pub newer_txns: bool,
}

/// What a learner's disk says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerStart {
    /// `acceptedEpoch`.
    pub accepted: Epoch,
    /// `currentEpoch`.
    pub current: Epoch,
    /// The last transaction in the log, or that of the snapshot.
    pub last: Zxid,
    /// The leader of this epoch has asked for a cut that this server's files do not allow
    /// ([`LearnerAction::Truncate`]): it is to send a snapshot instead.
    pub refetch: Option<Epoch>,
}

/// What happens to a learner.
#[derive(Debug)]
pub enum LearnerEvent {
    /// The connection to the leader stands.
    Connected,
    /// The leader sent a packet.
    Packet(QuorumPacket),
    /// The stream behind SNAP is complete, signature included, and stands as a tree of its own.
    SnapshotReceived,
    /// A client of this server wants to go on with a session that lives elsewhere; timeout in milliseconds.
    Revalidate(ConnId, SessionId, i32),
    /// The deadline has come, or may have. What has arrived is handed in first.
    Tick,
}

/// What a learner wants done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum LearnerAction {
    /// Write the promise to the disk.
    SaveAcceptedEpoch(Epoch),
    /// Queue a packet for the leader.
    Send(QuorumPacket),
    /// Cut the log behind this transaction, drop every snapshot that is newer (ZOOKEEPER-1549), and rebuild the
    /// tree: it must then end with exactly this one. If files are missing for that, change nothing, leave the
    /// leader, and come again with [`LearnerStart::refetch`].
    Truncate(Zxid),
    /// Apply to the tree that was received.
    Apply(Arc<LoggedTxn>),
    /// Write the mark `updatingEpoch`.
    MarkUpdating,
    /// Make the tree that was received, which ends with this transaction, the history: on the disk, in one
    /// step as seen by a crash, with nothing of the old log behind it; then in memory.
    InstallSnapshot(Zxid),
    /// Append to the log.
    AppendToLog(Arc<LoggedTxn>),
    /// Make safe what was appended.
    SyncLog,
    /// Write the epoch to the disk.
    SaveCurrentEpoch(Epoch),
    /// Take the mark `updatingEpoch` away.
    ClearUpdating,
    /// The history stands: renew the vote with this epoch, start the chain, open the gate.
    Serve(Epoch),
    /// To the chain's SyncRequestProcessor; a voter's acknowledges it when it is safe.
    Log(Arc<LoggedTxn>),
    /// To the chain's CommitProcessor: it is decided.
    Commit(Arc<LoggedTxn>),
    /// To the chain's CommitProcessor: the oldest sync is answered.
    SyncAnswered,
    /// Answer a ping: this zxid, and the sessions touched since the last.
    AnswerPing(Zxid),
    /// The leader's verdict on a session that a client wants to renew.
    Revalidated(ConnId, SessionId, bool),
    /// What the tree of this server is can no longer be known: end the process (code 12).
    Halt(String),
    /// Leave this leader and look for one.
    Leave(String),
}

/// The leader said what no leader says. The learner leaves it; nothing of what it has is touched.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Misled {
    /// A packet at a time when it means nothing.
    #[error("Got unexpected packet from leader: {0}")]
    Unexpected(PacketType),
    /// A payload is none.
    #[error("a packet of type {0} cannot be read: {1}")]
    Malformed(PacketType, Malformed),
    /// A transaction is missing between the last one and this.
    #[error("Got zxid {got} expected {expected}")]
    Gap {
        /// The proposal.
        got: Zxid,
        /// The one that is due.
        expected: Zxid,
    },
    /// A commit for something else than the oldest proposal.
    #[error("Committing {zxid}, but that is not the next proposal")]
    CommitOutOfOrder {
        /// The transaction.
        zxid: Zxid,
    },
}

/// A learner.
#[derive(Debug)]
pub struct Learner {
    rules: LearnerRules,
    start: LearnerStart,
    phase: Phase,
    heard_ms: i64,
    revalidations: BTreeMap<SessionId, VecDeque<ConnId>>,
    leader_knows_newer_txns: bool,
}

#[derive(Debug)]
enum Phase {
    Connecting,
    LeaderInfo,
    /// The leader's epoch, and whether nothing but a snapshot will do.
    Head(Epoch, bool),
    Snapshot(Epoch, Zxid),
    Sync(LearnerSync),
    Broadcast(Synced),
    /// The leader will not do before it begins another epoch, and then it hangs up. 3.4.14 leaves at once, comes
    /// again at once, and fills the log.
    Stranded {
        until_ms: i64,
    },
    Over,
}

impl Learner {
    /// A learner that waits for its connection.
    pub fn new(rules: LearnerRules, start: LearnerStart) -> Learner {
        Learner {
            rules,
            start,
            phase: Phase::Connecting,
            heard_ms: 0,
            revalidations: BTreeMap::new(),
            leader_knows_newer_txns: false,
        }
    }

    /// Whether requests for transactions that 3.4 cannot read may be sent to this leader: one of 3.4 would not even
    /// refuse them. Known when it serves.
    pub fn leader_knows_newer_txns(&self) -> bool {
        self.leader_knows_newer_txns
    }

    /// Whether the leader has not been reached yet.
    pub fn is_connecting(&self) -> bool {
        matches!(self.phase, Phase::Connecting)
    }

    /// When a [`LearnerEvent::Tick`] is due. While it connects and while a snapshot arrives, whoever does that
    /// keeps the time.
    pub fn deadline(&self) -> Option<i64> {
        match self.phase {
            Phase::Connecting | Phase::Snapshot(..) | Phase::Over => None,
            Phase::LeaderInfo | Phase::Head(..) | Phase::Sync(_) => Some(self.heard_ms + self.rules.init_ms),
            Phase::Broadcast(_) => Some(self.heard_ms + self.rules.sync_ms),
            Phase::Stranded { until_ms } => Some(until_ms),
        }
    }

    /// Takes an event.
    pub fn on(&mut self, now_ms: i64, event: LearnerEvent, out: &mut Vec<LearnerAction>) {
        let outcome = match event {
            LearnerEvent::Connected => {
                self.heard_ms = now_ms;
                self.introduce(out);
                Ok(())
            }
            LearnerEvent::Packet(packet) => {
                self.heard_ms = now_ms;
                self.packet(&packet, out)
            }
            LearnerEvent::SnapshotReceived => {
                self.heard_ms = now_ms;
                self.snapshot_received()
            }
            LearnerEvent::Revalidate(conn, session, timeout_ms) => {
                self.revalidate(conn, session, timeout_ms, out);
                Ok(())
            }
            LearnerEvent::Tick => {
                if self.deadline().is_some_and(|deadline_ms| now_ms >= deadline_ms) {
                    let reason = match &self.phase {
                        Phase::Stranded { .. } => "its epoch is still too old",
                        _ => "Read timed out",
                    };
                    self.leave(reason.to_owned(), out);
                }
                Ok(())
            }
        };
        if let Err(misled) = outcome {
            self.leave(misled.to_string(), out);
        }
    }

    fn leave(&mut self, reason: String, out: &mut Vec<LearnerAction>) {
        self.phase = Phase::Over;
        out.push(LearnerAction::Leave(reason));
    }

    fn introduce(&mut self, out: &mut Vec<LearnerAction>) {
        let summary = Summary::of_disk(self.start.current, self.start.last);
        if summary.current != self.start.current {
            self.start.current = summary.current;
            out.push(LearnerAction::SaveCurrentEpoch(summary.current));
        }
        let kind = match self.rules.role {
            Role::Participant => PacketType::FollowerInfo,
            Role::Observer => PacketType::ObserverInfo,
        };
        let packet =
            QuorumPacket::learner_info(kind, self.start.accepted, self.rules.me, self.rules.newer_txns);
        out.push(LearnerAction::Send(packet));
        self.phase = Phase::LeaderInfo;
    }

    fn packet(&mut self, packet: &QuorumPacket, out: &mut Vec<LearnerAction>) -> Result<(), Misled> {
        match &mut self.phase {
            Phase::Over | Phase::Stranded { .. } => Ok(()),
            Phase::Connecting | Phase::Snapshot(..) => Err(Misled::Unexpected(packet.kind)),
            Phase::LeaderInfo => self.leader_info(packet, out),
            &mut Phase::Head(epoch, needs_snapshot) => self.head(packet, epoch, needs_snapshot, out),
            Phase::Sync(sync) => {
                if let Some(synced) = sync.hear(packet, out)? {
                    self.phase = Phase::Broadcast(synced);
                }
                Ok(())
            }
            Phase::Broadcast(synced) => {
                if packet.kind == PacketType::Revalidate {
                    return self.revalidated(packet, out);
                }
                let is_fatal = broadcast(self.rules, synced, packet, out)?;
                if is_fatal {
                    self.phase = Phase::Over;
                }
                Ok(())
            }
        }
    }

    /// LEADERINFO: the promise is on the disk before it is given.
    fn leader_info(&mut self, packet: &QuorumPacket, out: &mut Vec<LearnerAction>) -> Result<(), Misled> {
        if packet.kind != PacketType::LeaderInfo {
            return Err(Misled::Unexpected(packet.kind));
        }
        let malformed = |error| Misled::Malformed(packet.kind, error);
        i32::from_bytes(packet.payload().map_err(malformed)?).map_err(malformed)?;
        self.leader_knows_newer_txns = packet.leader_knows_newer_txns();
        let (leader, start) = (packet.zxid.epoch(), &mut self.start);
        let is_refetch = leader == start.accepted && start.refetch == Some(leader);
        let answer = if leader > start.accepted {
            out.push(LearnerAction::SaveAcceptedEpoch(leader));
            start.accepted = leader;
            QuorumPacket::ack_epoch(Some(start.current), start.last)
        } else if leader == start.accepted {
            // The promise was given before, and counts once. So this is no lie about what is here: the leader
            // has judged that already.
            QuorumPacket::ack_epoch(None, if is_refetch { Zxid(0) } else { start.last })
        } else {
            let accepted = start.accepted;
            log::warn!(
                "Leaders epoch, {} is less than accepted epoch, {}, which the file acceptedEpoch holds: this server \
                 can follow when the others elect a leader anew",
                leader.0,
                accepted.0
            );
            let until_ms = self.heard_ms + self.rules.init_ms;
            self.phase = Phase::Stranded { until_ms };
            return Ok(());
        };
        out.push(LearnerAction::Send(answer));
        self.phase = Phase::Head(leader, is_refetch);
        Ok(())
    }

    fn head(
        &mut self,
        packet: &QuorumPacket,
        epoch: Epoch,
        needs_snapshot: bool,
        out: &mut Vec<LearnerAction>,
    ) -> Result<(), Misled> {
        let (logs, zxid) = (self.rules.logs, packet.zxid);
        self.phase = match packet.kind {
            PacketType::Diff if !needs_snapshot => {
                log::info!("Getting a diff from the leader {zxid}");
                Phase::Sync(LearnerSync::by_log(epoch, logs, self.start.last))
            }
            PacketType::Trunc if !needs_snapshot && zxid <= self.start.last => {
                log::warn!("Truncating log to get in sync with the leader {zxid}");
                if !SeededFault::SkipTruncate.on() {
                    out.push(LearnerAction::Truncate(zxid));
                }
                Phase::Sync(LearnerSync::by_log(epoch, logs, zxid))
            }
            PacketType::Snap => {
                log::info!("Getting a snapshot from leader {zxid}");
                Phase::Snapshot(epoch, zxid)
            }
            // A leader of 3.4.14 pings whoever is connected.
            PacketType::Ping => return Ok(()),
            other => return Err(Misled::Unexpected(other)),
        };
        Ok(())
    }

    fn snapshot_received(&mut self) -> Result<(), Misled> {
        let Phase::Snapshot(epoch, zxid) = self.phase else {
            return Err(Misled::Unexpected(PacketType::Snap));
        };
        self.phase = Phase::Sync(LearnerSync::by_snapshot(epoch, self.rules.logs, zxid));
        Ok(())
    }

    fn revalidate(
        &mut self,
        conn: ConnId,
        session: SessionId,
        timeout_ms: i32,
        out: &mut Vec<LearnerAction>,
    ) {
        if matches!(self.phase, Phase::Broadcast(_)) {
            log::info!("Revalidating client: {session}");
            self.revalidations.entry(session).or_default().push_back(conn);
            out.push(LearnerAction::Send(QuorumPacket::revalidate(session, timeout_ms)));
        }
    }

    fn revalidated(&mut self, packet: &QuorumPacket, out: &mut Vec<LearnerAction>) -> Result<(), Misled> {
        let malformed = |error| Misled::Malformed(packet.kind, error);
        let mut reader = Reader::new(packet.payload().map_err(malformed)?);
        let session = SessionId::decode(&mut reader).map_err(malformed)?;
        let valid = bool::decode(&mut reader).map_err(malformed)?;
        let waiting = self.revalidations.get_mut(&session);
        let Some(conn) = waiting.and_then(VecDeque::pop_front) else {
            log::warn!("Missing session {session} for validation");
            return Ok(());
        };
        self.revalidations.retain(|_, waiting| !waiting.is_empty());
        out.push(LearnerAction::Revalidated(conn, session, valid));
        Ok(())
    }
}

/// Takes a packet while serving. True if the process must end.
fn broadcast(
    rules: LearnerRules,
    synced: &mut Synced,
    packet: &QuorumPacket,
    out: &mut Vec<LearnerAction>,
) -> Result<bool, Misled> {
    let is_voter = rules.role == Role::Participant;
    match packet.kind {
        PacketType::Proposal if is_voter => {
            if let Some(txn) = next_txn(synced, packet)? {
                synced.pending.push_back(Arc::clone(&txn));
                out.push(LearnerAction::Log(txn));
            }
        }
        PacketType::Commit if is_voter => return commit(synced, packet.zxid, out),
        PacketType::Inform if !is_voter => {
            if let Some(txn) = next_txn(synced, packet)? {
                if rules.logs {
                    out.push(LearnerAction::Log(Arc::clone(&txn)));
                }
                out.push(LearnerAction::Commit(txn));
            }
        }
        PacketType::Ping => out.push(LearnerAction::AnswerPing(packet.zxid)),
        PacketType::Sync => out.push(LearnerAction::SyncAnswered),
        PacketType::UpToDate => log::error!("Received an UPTODATE message after Follower started"),
        PacketType::Proposal => log::warn!("Ignoring proposal"),
        PacketType::Commit => log::warn!("Ignoring commit"),
        other => log::error!("Invalid packet type: {other} received by Observer"),
    }
    Ok(false)
}

/// The transaction of a proposal or an inform, if it is new; the next one it must be.
fn next_txn(synced: &mut Synced, packet: &QuorumPacket) -> Result<Option<Arc<LoggedTxn>>, Misled> {
    let txn = packet.txn().map_err(|e| Misled::Malformed(packet.kind, e))?;
    let (got, expected) = (txn.zxid(), synced.last.next());
    if got <= synced.last {
        log::warn!("Got zxid {got} expected {expected}");
        return Ok(None);
    }
    if !goes_on(synced.last, got) {
        return Err(Misled::Gap { got, expected });
    }
    synced.last = got;
    Ok(Some(txn))
}

/// A commit is for the oldest proposal. For any other, this server and its leader disagree on what happened:
/// 3.4.14 ends the process, and so do we. (FollowerZooKeeperServer.commit)
fn commit(synced: &mut Synced, zxid: Zxid, out: &mut Vec<LearnerAction>) -> Result<bool, Misled> {
    if SeededFault::CommitsSwapped.on() && synced.pending.len() > 1 {
        synced.pending.swap(0, 1);
    }
    match synced.pending.pop_front() {
        Some(txn) if txn.zxid() == zxid || SeededFault::CommitsSwapped.on() => {
            out.push(LearnerAction::Commit(txn));
            Ok(false)
        }
        Some(txn) => {
            out.push(LearnerAction::Halt(format!(
                "Committing zxid {zxid} but next pending txn {}",
                txn.zxid()
            )));
            Ok(true)
        }
        None if zxid <= synced.last => {
            log::warn!("Committing {zxid} without seeing txn");
            Ok(false)
        }
        // 3.4.14 only warns, and goes on with a hole in its tree.
        None => Err(Misled::CommitOutOfOrder { zxid }),
    }
}

#[cfg(test)]
#[path = "learner_tests.rs"]
mod tests;
