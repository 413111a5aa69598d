//! The words between a leader and whoever drives it.

use std::sync::Arc;

use crate::ensemble::{Ensemble, NewerTxns};
use crate::proto::packet::{ForwardedRequest, QuorumPacket};
use crate::proto::txn::LoggedTxn;
use crate::proto::{Epoch, LinkId, SessionId, Sid, Zxid};

/// What a leader is told of itself and its ensemble.
#[derive(Debug, Clone)]
pub struct LeaderRules {
    /// Everybody.
    pub ensemble: Ensemble,
    /// This server.
    pub me: Sid,
    /// A tick, milliseconds.
    pub tick_ms: i64,
    /// `initLimit`.
    pub init_limit_ticks: i64,
    /// `syncLimit`.
    pub sync_limit_ticks: i64,
    /// Whether transactions that 3.4 cannot read may be made.
    pub newer_txns: NewerTxns,
    /// Whether there are such transactions in the own history.
    pub has_newer_txns: bool,
}

/// What a leader must be able to look up when a learner comes: its own database.
pub trait History {
    /// Up to where the tree is.
    fn applied(&self) -> Zxid;
    /// The newest committed transactions, the oldest first. Asked after [`History::applied`].
    fn committed(&self) -> Vec<Arc<LoggedTxn>>;
}

/// What happens to a leader.
#[derive(Debug)]
pub enum LeaderEvent {
    /// A learner has connected.
    Connected(LinkId),
    /// It sent a packet.
    Packet(LinkId, QuorumPacket),
    /// The whole snapshot is written to it.
    SnapshotSent(LinkId),
    /// Its connection is gone.
    Down(LinkId),
    /// The next transaction. (Leader.propose)
    Propose(Arc<LoggedTxn>),
    /// A sync of a client of this learner has come through the chain, in its order. (Leader.processSync)
    Sync(Sid),
    /// One of a client of the leader itself has.
    OwnSync,
    /// The own log is safe up to here.
    Logged(Zxid),
    /// Whether a session that a learner asked for is alive.
    Revalidated(LinkId, SessionId, bool),
    /// The deadline has come, or may have.
    Tick,
}

/// What a leader wants done, in this order.
#[derive(Debug, PartialEq, Eq)]
pub enum LeaderAction {
    /// Write the promise to the disk.
    SaveAcceptedEpoch(Epoch),
    /// Write the epoch to the disk.
    SaveCurrentEpoch(Epoch),
    /// Whether transactions that 3.4 cannot read may be prepared from now on.
    AllowNewerTxns(bool),
    /// Queue a packet for a learner.
    Send(LinkId, QuorumPacket),
    /// Queue the packet SNAP, with the zxid that is applied when it is written, and behind it the tree and
    /// the signature. What is queued later comes behind them. [`LeaderEvent::SnapshotSent`] is due then.
    SendSnapshot(LinkId),
    /// Close a learner's connection, for this reason. [`LeaderEvent::Down`] is not needed any more.
    HangUp(LinkId, String),
    /// The reign begins: name the tree by this zxid, renew the vote, start the chain, open the gate.
    Lead(Zxid),
    /// A proposal is decided: apply it when its turn comes.
    Commit(Arc<LoggedTxn>),
    /// Answer the oldest sync of the leader's own clients, behind what is decided.
    SyncAnswered,
    /// Put a learner's request into the chain.
    Submit(Sid, ForwardedRequest),
    /// A learner has heard this session.
    Touch(SessionId, i32),
    /// Touch the session with this timeout, make the learner its owner, and answer by
    /// [`LeaderEvent::Revalidated`].
    Revalidate(LinkId, Sid, SessionId, i32),
    /// The reign is over, for this reason: close everything and look for a leader.
    Over(String),
}
