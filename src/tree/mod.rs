//! The state that ZooKeeper keeps: znodes with their data, stats and ACLs, sessions, ephemerals, quotas;
//! and the watches upon it.
//!
//! [`DataTree`] holds the state, [`DataTree::apply`] changes it by one transaction at a time and tells what
//! the reply and the watches need. Everything is a plain value: no lock, clock or file; the owner puts the
//! tree under a lock and hands in transactions in the order of their numbers.
//!
//! Invariants:
//! - What a transaction does depends on the tree and the transaction alone, so that all servers agree. No
//!   result depends on the order of a hash table.
//! - Replaying transactions that the tree has seen already (a snapshot of Java's is taken while the tree
//!   changes) ends in the state in which each was applied once. Counters never go back in it.
//! - No data out of a transaction or a snapshot makes this room panic.

mod acl_cache;
pub mod apply;
mod children;
pub mod data_tree;
pub mod digest;
pub mod dump;
mod index;
mod node;
pub mod path;
mod quota;
pub mod read;
mod slab;
pub mod walk;
mod watch_table;
pub mod watches;

pub use apply::{Applied, Change, Guarded};
pub use data_tree::{DataTree, NodeRef};
pub use dump::{NodeDump, TreeDump};
pub use path::InvalidPath;
pub use quota::{Amount, HardQuota};
pub use read::ReadTreeError;
pub use walk::{TreeReplaced, Walk};
pub use watches::{Fired, Lasting, WatchFigures, WatchManager};

#[cfg(test)]
mod tests;
