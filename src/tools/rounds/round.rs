//! What the logs tell, put in order: parts of the ensemble's life in which something changed.

use std::collections::BTreeMap;

use crate::proto::notification::ServerState;
use crate::proto::{Epoch, Round, Sid, Zxid};

use super::event::{Sync, Vote};
use super::stamp::Stamp;

/// A time in which something changed: from the first loss, look or start until all have settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// When it began.
    pub began: Stamp,
    /// The last that happened in it.
    pub ended: Stamp,
    /// Who led before, and since when.
    pub before: Option<Reign>,
    /// What came of it.
    pub outcome: Outcome,
    /// What each server knew when it first voted for itself.
    pub candidates: BTreeMap<Sid, Vote>,
    /// The servers that took part.
    pub members: BTreeMap<Sid, Member>,
    /// What happened, in order.
    pub items: Vec<Item>,
    /// How many more things happened than are kept.
    pub left_out: usize,
}

/// What came of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A leader was elected.
    Elected(Elected),
    /// Servers joined the leader there was.
    Joined,
    /// Some still look for a leader.
    Undecided,
    /// Connections or servers were lost, and the leader stayed.
    Losses,
}

/// An election that made a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elected {
    /// How many elections the logs have told of, with this one.
    pub number: usize,
    /// Who won.
    pub leader: Sid,
    /// The reign, if the leader's log tells it.
    pub epoch: Option<Epoch>,
    /// From the first candidate's look to the decision.
    pub elect_ms: i64,
    /// From there until a quorum was in sync and the leader served, if the leader's log tells it.
    pub serve_ms: Option<i64>,
    /// What the winner had and the others had not.
    pub because: Option<Why>,
}

/// What makes a vote better than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Its candidate has seen a later reign: this one, not that.
    Epoch(Epoch, Epoch),
    /// Its candidate has seen more transactions: up to this one, not that.
    Zxid(Zxid, Zxid),
    /// All else is equal, up to this transaction: this number is larger than that.
    Id(Zxid, Sid, Sid),
}

impl Why {
    /// Why one vote is better than another; none if it is not.
    pub fn better(vote: &Vote, other: &Vote) -> Option<Why> {
        if vote <= other {
            return None;
        }
        Some(match (vote.epoch == other.epoch, vote.zxid == other.zxid) {
            (false, _) => Why::Epoch(vote.epoch, other.epoch),
            (_, false) => Why::Zxid(vote.zxid, other.zxid),
            _ => Why::Id(vote.zxid, vote.leader, other.leader),
        })
    }
}

/// The time of one leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reign {
    /// Who.
    pub leader: Sid,
    /// Which.
    pub epoch: Option<Epoch>,
    /// When it began to serve.
    pub since: Stamp,
}

/// What a server went through in a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Member {
    /// What it was at the end.
    pub lane: Lane,
    /// Whom it follows.
    pub leader: Option<Sid>,
    /// From LOOKING to the state that came of it.
    pub settled_ms: Option<i64>,
    /// The same by its own count.
    pub took_ms: Option<i64>,
    /// How it was brought up to the leader's state.
    pub sync: Option<Sync>,
    /// From the first of that to the last.
    pub sync_ms: Option<i64>,
    /// Whether it went through anything itself.
    pub moved: bool,
}

/// What a server is doing, as far as its log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lane {
    /// Nothing is known.
    #[default]
    Unknown,
    /// It begins.
    Starting,
    /// It looks for a leader.
    Looking,
    /// It follows.
    Following,
    /// It leads.
    Leading,
    /// It observes.
    Observing,
    /// It has left its role.
    Stopping,
    /// It led, and others have elected another: it is dead, stopped or cut off.
    Silent,
    /// It has ended.
    Down,
}

impl From<ServerState> for Lane {
    fn from(state: ServerState) -> Lane {
        match state {
            ServerState::Looking => Lane::Looking,
            ServerState::Following => Lane::Following,
            ServerState::Leading => Lane::Leading,
            ServerState::Observing => Lane::Observing,
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// When.
    pub at: Stamp,
    /// In whose log.
    pub node: Sid,
    /// What each server is doing after it.
    pub lanes: BTreeMap<Sid, Lane>,
    /// What.
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// The process has begun.
    Started,
    /// It has ended.
    Ended,
    /// It looks for a leader.
    Looks,
    /// It votes.
    Votes {
        /// For whom, and what it knows of that server.
        vote: Vote,
        /// In which election, as the servers count them.
        round: Round,
        /// The vote before, in this part.
        before: Option<Vote>,
    },
    /// It waits longer for votes, in milliseconds.
    Waits(i64),
    /// It has found its role.
    Settles {
        /// Which.
        state: ServerState,
        /// Its leader, if that is another.
        leader: Option<Sid>,
        /// From LOOKING to here.
        ms: Option<i64>,
        /// Who told it of a leader that stood already.
        told_by: Vec<Sid>,
    },
    /// The leader sends a learner what it misses; the learner had so much.
    Sends(Sid, Sync, Option<Zxid>),
    /// A learner gets what it misses, up to here.
    Gets(Sync, Zxid),
    /// A learner has all, so many milliseconds after the leader began to send.
    InSync(Sid, Option<i64>),
    /// The leader has a quorum, and serves.
    Serves(Epoch, Vec<Sid>),
    /// It has lost its leader.
    LosesLeader(Option<Sid>, String),
    /// It has left its role.
    Stops(String),
    /// The connection for votes with that server broke.
    Loses(Sid, String),
    /// That server cannot be reached for votes.
    CannotReach(Sid),
    /// A learner's connection has ended: whose, if that is known, and from where.
    Goodbye(Option<Sid>, String),
    /// The leader does not listen yet.
    Retries(String),
}

impl Fact {
    /// The other server that this is about.
    pub fn other(&self) -> Option<Sid> {
        match self {
            Fact::Votes { vote, .. } => Some(vote.leader),
            Fact::Settles { leader, .. } | Fact::LosesLeader(leader, _) | Fact::Goodbye(leader, _) => *leader,
            Fact::Sends(sid, ..) | Fact::InSync(sid, _) | Fact::Loses(sid, _) | Fact::CannotReach(sid) => {
                Some(*sid)
            }
            _ => None,
        }
    }
}
