//! Between the leader's first word on the history and UPTODATE: what a learner must have on its disk before
//! it says so. (Learner.syncWithLeader)
//!
//! What comes behind DIFF or TRUNC goes to the log as it comes, and is safe there before `currentEpoch` is
//! written, which is before NEWLEADER is acknowledged; 3.4.14 logs it only after UPTODATE (ZOOKEEPER-3023,
//! 3911, 4643, 4646, 4785). The acknowledgements of the proposals themselves wait until UPTODATE all the same:
//! a leader of 3.4 takes the first ACK for that of NEWLEADER (ZOOKEEPER-4685).
//!
//! A snapshot is received into a new tree, brought on by what follows it, written, and only then swapped with
//! the old one: a link that breaks before leaves everything as it was (ZOOKEEPER-3642).

use std::collections::VecDeque;
use std::sync::Arc;

use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::txn::LoggedTxn;
use crate::proto::{Epoch, Zxid};
use crate::seeded_fault::SeededFault;

use super::learner::{LearnerAction, Misled};
use super::sync_plan::goes_on;

/// How the leader brings this learner's history on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By the log: what comes is appended to it.
    Log,
    /// By a snapshot: what comes is applied to the new tree, until that is installed.
    Snapshot,
}

/// A learner that is being synchronised.
#[derive(Debug)]
pub struct LearnerSync {
    way: Way,
    epoch: Epoch,
    /// An observer may be told not to log; a voter always logs.
    logs: bool,
    /// The newest transaction received.
    last: Zxid,
    /// The newest one decided.
    decided_through: Zxid,
    pending: VecDeque<Arc<LoggedTxn>>,
    /// Decided, to be applied when the chain stands.
    decided: Vec<Arc<LoggedTxn>>,
    /// Logged, to be acknowledged after UPTODATE.
    acks: Vec<Zxid>,
    is_marked: bool,
    is_unsafe: bool,
    has_entered: bool,
}

/// What is left when a learner begins to serve.
#[derive(Debug)]
pub struct Synced {
    /// Proposals that are not decided.
    pub pending: VecDeque<Arc<LoggedTxn>>,
    /// The newest transaction received.
    pub last: Zxid,
}

impl LearnerSync {
    /// The history goes on in the log, behind `last`.
    pub fn by_log(epoch: Epoch, logs: bool, last: Zxid) -> LearnerSync {
        LearnerSync::new(Way::Log, epoch, logs, last)
    }

    /// A snapshot that holds everything up to `zxid` was received.
    pub fn by_snapshot(epoch: Epoch, logs: bool, zxid: Zxid) -> LearnerSync {
        LearnerSync::new(Way::Snapshot, epoch, logs, zxid)
    }

    fn new(way: Way, epoch: Epoch, logs: bool, last: Zxid) -> LearnerSync {
        LearnerSync {
            way,
            epoch,
            logs,
            last,
            decided_through: last,
            pending: VecDeque::new(),
            decided: Vec::new(),
            acks: Vec::new(),
            is_marked: false,
            is_unsafe: false,
            has_entered: false,
        }
    }

    /// Takes a packet. At UPTODATE the synchronisation is over.
    ///
    /// # Errors
    /// [`Misled`].
    pub fn hear(
        &mut self,
        packet: &QuorumPacket,
        out: &mut Vec<LearnerAction>,
    ) -> Result<Option<Synced>, Misled> {
        match packet.kind {
            PacketType::Proposal => self.propose(packet, out)?,
            PacketType::Commit => self.commit(packet.zxid, out)?,
            PacketType::Inform => {
                self.propose(packet, out)?;
                self.commit(packet.zxid, out)?;
            }
            PacketType::NewLeader => self.enter_epoch(packet.zxid, out)?,
            PacketType::UpToDate if self.has_entered => return Ok(Some(self.serve(out))),
            PacketType::UpToDate | PacketType::Diff | PacketType::Trunc | PacketType::Snap => {
                return Err(Misled::Unexpected(packet.kind));
            }
            // A leader of 3.4.14 pings whoever is connected.
            _ => {}
        }
        Ok(None)
    }

    fn propose(&mut self, packet: &QuorumPacket, out: &mut Vec<LearnerAction>) -> Result<(), Misled> {
        let txn = packet.txn().map_err(|e| Misled::Malformed(packet.kind, e))?;
        // A leader of 3.4.14 may send again what its list of commits or its snapshot has just taken in.
        if txn.zxid() <= self.last {
            return Ok(());
        }
        if !goes_on(self.last, txn.zxid()) && !SeededFault::DiffWithHole.on() {
            return Err(Misled::Gap {
                got: txn.zxid(),
                expected: self.last.next(),
            });
        }
        self.last = txn.zxid();
        if self.way == Way::Log || self.has_entered {
            self.log(&txn, out);
        }
        self.pending.push_back(txn);
        Ok(())
    }

    fn log(&mut self, txn: &Arc<LoggedTxn>, out: &mut Vec<LearnerAction>) {
        if self.logs {
            self.mark(out);
            out.push(LearnerAction::AppendToLog(Arc::clone(txn)));
            self.is_unsafe = true;
        }
        self.acks.push(txn.zxid());
    }

    /// From here to the new epoch's file, a crash may leave transactions that are newer than that file.
    fn mark(&mut self, out: &mut Vec<LearnerAction>) {
        if !self.is_marked && !self.has_entered {
            self.is_marked = true;
            out.push(LearnerAction::MarkUpdating);
        }
    }

    fn make_safe(&mut self, out: &mut Vec<LearnerAction>) {
        if std::mem::take(&mut self.is_unsafe) {
            out.push(LearnerAction::SyncLog);
        }
    }

    fn commit(&mut self, zxid: Zxid, out: &mut Vec<LearnerAction>) -> Result<(), Misled> {
        if zxid <= self.decided_through {
            return Ok(());
        }
        let next = self.pending.pop_front().filter(|txn| txn.zxid() == zxid);
        let txn = next.ok_or(Misled::CommitOutOfOrder { zxid })?;
        self.decided_through = zxid;
        if self.way == Way::Snapshot && !self.has_entered {
            out.push(LearnerAction::Apply(txn));
        } else {
            self.decided.push(txn);
        }
        Ok(())
    }

    /// NEWLEADER: the history is complete. It is made safe, then the epoch, then both are said.
    fn enter_epoch(&mut self, zxid: Zxid, out: &mut Vec<LearnerAction>) -> Result<(), Misled> {
        if zxid.epoch() != self.epoch || self.has_entered {
            return Err(Misled::Unexpected(PacketType::NewLeader));
        }
        if self.way == Way::Snapshot {
            self.mark(out);
            out.push(LearnerAction::InstallSnapshot(self.decided_through));
            for txn in self.pending.clone() {
                self.log(&txn, out);
            }
        }
        if SeededFault::EpochBeforeSync.on() {
            out.push(LearnerAction::SaveCurrentEpoch(self.epoch));
        }
        if !SeededFault::AckNewLeaderBeforeSync.on() {
            self.make_safe(out);
        }
        out.push(LearnerAction::SaveCurrentEpoch(self.epoch));
        if self.is_marked {
            out.push(LearnerAction::ClearUpdating);
        }
        self.has_entered = true;
        out.push(LearnerAction::Send(ack(Zxid::of(self.epoch, 0))));
        Ok(())
    }

    /// UPTODATE: a quorum has this history.
    fn serve(&mut self, out: &mut Vec<LearnerAction>) -> Synced {
        self.make_safe(out);
        out.push(LearnerAction::Send(ack(Zxid::of(self.epoch, 0))));
        out.push(LearnerAction::Serve(self.epoch));
        if self.logs {
            let acks = self.acks.drain(..);
            out.extend(acks.map(|zxid| LearnerAction::Send(ack(zxid))));
        }
        out.extend(self.decided.drain(..).map(LearnerAction::Commit));
        Synced {
            pending: std::mem::take(&mut self.pending),
            last: self.last,
        }
    }
}

/// A learner's word that something is on its disk.
pub fn ack(zxid: Zxid) -> QuorumPacket {
    QuorumPacket::plain(PacketType::Ack, zxid)
}
