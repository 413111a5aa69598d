//! A server among its peers: the roles it takes, and how election messages travel.
//!
//! Three stages carry the election's letters, each on its own thread:
//!
//! ```text
//!  election ──Outgoing──> WorkerSender ──bytes──> QuorumCnxManager ──LinkOrder──> net: SendWorker:<sid>
//!  election <───Heard──── WorkerReceiver <─bytes─ QuorumCnxManager <─LinkEvent─── net: RecvWorker:<sid>
//! ```
//!
//! [`link`] is the seam to the net: a simulator that takes orders and tells events stands in for all sockets.
//!
//! Invariant: no socket here. What a peer sends is bytes, and may be anything.

pub mod cnxn_manager;
pub mod link;
mod log_once;
pub mod messenger;
#[cfg(test)]
pub(crate) mod testing;

pub use cnxn_manager::QuorumCnxManager;
pub use link::{LinkEvent, LinkId, LinkOrder};
pub use messenger::{Heard, Mail, Outgoing};
