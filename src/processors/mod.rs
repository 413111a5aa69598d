//! The request processors: one file for each, and the chains that they form.
//!
//! A request walks as a letter from stage to stage; a letter holds many requests, so that a hot queue is
//! crossed once for a batch. What decides is a plain value inside the stage (`Prep`, `DataTree`); the stage
//! carries letters to and from it.

pub mod chains;
pub mod expiry;
pub mod final_processor;
pub mod outstanding;
pub mod prep;
pub mod prep_op;
pub mod snapshot;
pub mod sync;

pub use chains::{Chain, ChainParts, start_standalone};
pub use sync::SyncRules;

#[cfg(test)]
mod stage_tests;
