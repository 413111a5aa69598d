//! The seam to the quorum port: what a role wants of the net, and what it hears from there.
//!
//! A leader listens and gets a [`PeerLink`] for each learner that calls; a learner dials and gets one to its
//! leader. A link takes letters ([`ToPeer`]) and is heard by events ([`PortEvent`]), until it is closed or told
//! to be down. Whoever is behind the seam never makes a role wait, but for the end of threads whose sockets are
//! shut.

use std::sync::Arc;

use crate::ensemble::Member;
use crate::proto::LinkId;
use crate::proto::packet::QuorumPacket;
use crate::runtime::Address;
use crate::storage::Database;
use crate::tree::DataTree;

/// A letter to the thread that writes to a peer.
#[derive(Debug)]
pub enum ToPeer {
    /// A packet.
    Packet(QuorumPacket),
    /// Packets, one behind the other.
    Packets(Vec<QuorumPacket>),
    /// The packet SNAP, the tree as it is when the letter's turn comes, and the signature.
    Tree(Arc<Database>),
}

/// What a role hears from the quorum port.
#[derive(Debug)]
pub enum PortEvent {
    /// A learner has called, or the leader has taken the call.
    Connected(PeerLink),
    /// Packets have come, at least one: those that were there at one time, in their order.
    Packets(LinkId, Vec<QuorumPacket>),
    /// All of a [`ToPeer::Tree`] is handed to the system.
    TreeSent(LinkId),
    /// The tree behind a packet SNAP has come, signature included.
    TreeReceived(LinkId, Box<DataTree>),
    /// A link is of no more use, for this reason.
    Down(LinkId, String),
    /// The leader could not be reached, for this reason.
    Unreachable(String),
}

/// Something with threads that can be ended.
pub trait Closer: Send {
    /// Shuts the sockets, waits for the threads, and names those that did not end in time.
    fn close(self: Box<Self>) -> Vec<String>;
}

/// A connection between a leader and a learner, as one of them holds it.
pub struct PeerLink {
    /// Its number.
    pub id: LinkId,
    /// The peer's address, as Java writes one.
    pub remote: String,
    /// Takes what is to be written. What is posted before the link is closed need not be written.
    pub out: Address<ToPeer>,
    /// Its sockets and threads.
    pub closer: Box<dyn Closer>,
}

impl PeerLink {
    /// Queues a packet.
    pub fn send(&self, packet: QuorumPacket) {
        self.out.post(ToPeer::Packet(packet));
    }

    /// Ends it; says in the log if one of its threads does not.
    pub fn close(self) {
        drop(self.out);
        report_late(self.closer.close());
    }
}

impl std::fmt::Debug for PeerLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PeerLink({:?}, {})", self.id, self.remote)
    }
}

/// The quorum port.
pub trait QuorumPort: Send {
    /// Accepts learners until the closer is called.
    ///
    /// # Errors
    /// Why the port cannot be had.
    fn listen(&self, events: Address<PortEvent>) -> Result<Box<dyn Closer>, String>;

    /// Calls the leader. [`PortEvent::Connected`] or [`PortEvent::Unreachable`] comes back.
    fn dial(&self, leader: &Member, events: Address<PortEvent>) -> Box<dyn Closer>;
}

/// A thread that does not end is a bug, and no reason to hang.
pub fn report_late(names: Vec<String>) {
    for name in names {
        log::error!("thread {name} has not ended in time");
    }
}
