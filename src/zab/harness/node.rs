//! What a server and a connection are in this world.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::proto::packet::QuorumPacket;
use crate::proto::txn::LoggedTxn;
use crate::proto::{Epoch, LinkId, Zxid};
use crate::zab::testing::txn;
use crate::zab::{History, Leader, Learner};

/// What a driver of the cores may do wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The acknowledgement of NEWLEADER and the epoch come before the log, as in 3.4.14.
    AckBeforeLog,
    /// What was appended is not made safe.
    NoSync,
    /// Proposals are acknowledged before they are safe.
    AckBeforeSync,
    /// The word to cut the log is not heeded.
    NoTruncate,
    /// A snapshot leaves the old log behind it.
    OldLogBehindSnapshot,
    /// Promises are not written.
    ForgottenPromise,
    /// The leader decides alone.
    Minority,
    /// The leader claims to have everything.
    Boaster,
    /// A proposal is dropped on the way, and its commit.
    Hole,
}

#[derive(Debug, Clone, Default)]
pub struct Disk {
    pub accepted: i64,
    pub current: i64,
    pub updating: bool,
    pub log: Vec<Zxid>,
    pub synced: usize,
    /// What stands before is in a snapshot of this name: it cannot be cut.
    pub floor: usize,
    pub snapshot: Zxid,
}

impl Disk {
    pub fn last(&self) -> Zxid {
        self.log.last().copied().unwrap_or(Zxid(0)).max(self.snapshot)
    }
}

pub enum Role {
    Down,
    Looking,
    Leading(Box<Leader>),
    Learning(Box<Learner>, LinkId),
}

pub struct Node {
    pub disk: Disk,
    /// Counts roles: what a role wanted done is over with it.
    pub life: u64,
    pub role: Role,
    pub refetch: Option<Epoch>,
    pub serves: bool,
    /// The tree: every transaction that was applied to it.
    pub applied: Vec<Zxid>,
    /// What the tree is named by.
    pub label: Zxid,
    pub ring: VecDeque<Zxid>,
    /// Decided, not applied.
    pub commits: VecDeque<Zxid>,
    /// Appended by the chain, not acknowledged.
    pub unacked: VecDeque<Zxid>,
    pub incoming: Option<Vec<Zxid>>,
}

impl History for Node {
    fn applied(&self) -> Zxid {
        self.label
    }

    fn committed(&self) -> Vec<Arc<LoggedTxn>> {
        self.ring.iter().map(|&zxid| txn(zxid)).collect()
    }
}

pub enum Wire {
    Packet(QuorumPacket),
    /// Not begun.
    Snapshot,
    /// Begun: its name is sent. What is in it is known when it ends.
    Writing,
}

pub struct Link {
    pub leader: usize,
    pub learner: usize,
    pub down: VecDeque<Wire>,
    pub up: VecDeque<QuorumPacket>,
}
