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
//! [`quorum_peer`] is the server itself: it drives the election, and the role that the election gives it, by
//! letters. Its seam to the net is [`peer_link`]:
//!
//! ```text
//!  election ──> QuorumPeer ──ToPeer───> net: Sender-/ip:port, LearnerSender-/ip:port
//!     chain <──>            <─PortEvent─ net: LearnerHandler-/ip:port, Learner-/ip:port
//! ```
//!
//! Invariant: no socket here. What a peer sends is bytes, and may be anything.

pub mod cnxn_manager;
pub mod ground;
mod leading;
mod learning;
pub mod link;
mod log_once;
pub mod messenger;
pub mod peer_link;
pub mod quorum_peer;
mod read_only;
#[cfg(test)]
mod role_tests;
mod strangers;
#[cfg(test)]
pub(crate) mod testing;

pub use cnxn_manager::QuorumCnxManager;
pub use ground::{Ground, PeerRules};
pub use link::{LinkEvent, LinkId, LinkOrder};
pub use messenger::{Heard, Mail, Outgoing};
pub use quorum_peer::{PeerLetter, QuorumPeer};
