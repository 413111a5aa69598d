//! The request processors: one file for each, and the chains that they form.
//!
//! A request walks as a letter from stage to stage; a letter holds many requests, so that a hot queue is
//! crossed once for a batch. What decides is a plain value inside the stage (`Prep`, `DataTree`); the stage
//! carries letters to and from it.

pub mod ack;
pub mod chains;
pub mod commit;
pub mod containers;
pub mod expiry;
pub mod final_processor;
pub mod follower;
pub mod outstanding;
pub mod prep;
pub mod prep_op;
pub mod proposal;
pub mod quota_use;
pub mod read_only;
pub mod snapshot;
pub mod sync;

pub use chains::{
    Chain, ChainParts, LeaderChain, LeaderLinks, LearnerChain, start_follower, start_leader, start_observer,
    start_read_only, start_standalone,
};
pub use containers::ContainerRules;
pub use prep::PrepRules;
pub use sync::SyncRules;

#[cfg(test)]
mod stage_tests;
#[cfg(test)]
mod testing;
