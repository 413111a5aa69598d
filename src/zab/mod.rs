//! Zab: who leads, and how all servers come to log the same transactions in the same order.
//!
//! The protocol has four phases; each has its own files here, as pure state machines of one shape:
//! `on(now_ms, event, &mut Vec<Action>)` and `deadline_ms()`. Time is an argument. **The order of the actions is
//! the safety**: whoever drives a machine carries them out one by one, in order.
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
//! Invariant: no socket, no clock, no thread, no file; nothing here knows how a message travels.

#[cfg(test)]
mod election_tests;
pub mod fast_leader_election;
pub mod tally;
pub mod vote;

pub use fast_leader_election::{Action, Event, FastLeaderElection};
pub use tally::{Ballot, Tally};
pub use vote::{Standing, Vote};
