//! Zab: who leads, and how all servers come to log the same transactions in the same order.
//!
//! The protocol has four phases; each has its own files here, as pure state machines of one shape:
//! `on(now_ms, event, &mut Vec<Action>)` and a deadline at which it wants to hear the time. Time is an argument.
//! **The order of the actions is the safety**: whoever drives a machine carries them out one by one, in order.
//! What is to be on the disk stands before what is to be sent, so that at whatever place between two actions the
//! process dies, nothing that was acknowledged is lost.
//!
//! Phase 0, the election ([`FastLeaderElection`]). Every server votes, first for itself, and tells the voters.
//! A vote beats another by (epoch, zxid, number of the server); who hears of a better one adopts it and tells
//! everybody. When a quorum votes as it does, a server waits a little for a better vote, then settles: it leads
//! if the vote is for itself, otherwise it follows. A server that comes late joins the leader whom a quorum
//! follows. Elections are counted in rounds, so that votes of different elections are not mixed.
//!
//! The election is a good guess, no promise: two servers may settle on different leaders. It is the later phases
//! that let only one of them establish an epoch.
//!
//! Phase 1, discovery ([`Discovery`]): a quorum promises to follow no older leader, and the epoch is above all
//! that any of it accepted. Phase 2, synchronisation ([`SyncPlan`], [`LearnerSync`](learner_sync::LearnerSync)):
//! a quorum has the leader's history, safely, before the leader begins. Phase 3, broadcast ([`Proposals`]): one
//! transaction after the other, each decided when a quorum has it on its disks. [`Leader`] and [`Learner`] walk
//! through all three.
//!
//! Invariant: no socket, no clock, no thread, no file; nothing here knows how a message travels.

pub mod discovery;
#[cfg(test)]
mod election_tests;
pub mod fast_leader_election;
#[cfg(test)]
mod harness;
pub mod leader;
pub mod leader_event;
pub mod learner;
pub mod learner_handler;
pub mod learner_sync;
pub mod newer_txns;
pub mod pending_syncs;
pub mod proposals;
pub mod sync_plan;
pub mod tally;
#[cfg(test)]
pub(crate) mod testing;
pub mod vote;

pub use discovery::{Discovery, Summary};
pub use fast_leader_election::{Action, Event, FastLeaderElection};
pub use leader::Leader;
pub use leader_event::{History, LeaderAction, LeaderEvent, LeaderRules};
pub use learner::{Learner, LearnerAction, LearnerEvent, LearnerRules, LearnerStart};
pub use proposals::Proposals;
pub use sync_plan::{SyncKind, SyncPlan};
pub use tally::{Ballot, Tally};
pub use vote::{Standing, Vote};
