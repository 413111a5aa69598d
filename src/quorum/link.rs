//! The seam to the net: what the manager of connections orders, and what it hears.
//!
//! Whoever takes the orders never makes the manager wait; everything that takes time comes back as an event.
//! A dial is answered by [`LinkEvent::Dialed`] or [`LinkEvent::DialFailed`], a message by [`LinkEvent::Sent`]
//! unless its link goes down. A link is told to be down once at least, and is then still to be closed.

use crate::proto::Sid;

/// One connection. The number is never used again while the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dial {
    /// The peer.
    pub sid: Sid,
    /// Its name or address, which is resolved at each call.
    pub host: String,
    /// Its election port.
    pub port: u16,
    /// The first bytes to send.
    pub hello: Vec<u8>,
}

/// What the manager wants of the net.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkOrder {
    /// Call a peer and say the first words.
    Dial(Dial),
    /// Keep a link that was called or dialed: from now on its messages are read and sent.
    Keep {
        /// The link.
        link: LinkId,
        /// The peer.
        sid: Sid,
    },
    /// Send a message; at most one is on its way on a link.
    Send {
        /// The link.
        link: LinkId,
        /// The message, without its length before it.
        message: Vec<u8>,
    },
    /// Close a link.
    Close {
        /// The link.
        link: LinkId,
    },
}

/// What the manager hears from the net.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// Somebody has called and said who it is.
    Called {
        /// The new link.
        link: LinkId,
        /// Who it says it is.
        sid: Sid,
        /// Its address.
        from: String,
    },
    /// Somebody has called and was hung up on, since it did not say who it is as servers do.
    Nuisance {
        /// Its address, without a port.
        from: String,
        /// What was wrong.
        reason: String,
    },
    /// A peer has taken the call, and was told the first words.
    Dialed {
        /// The new link.
        link: LinkId,
        /// The peer.
        sid: Sid,
    },
    /// A peer could not be reached.
    DialFailed {
        /// The peer.
        sid: Sid,
        /// Where it was tried.
        address: String,
        /// Why.
        reason: String,
    },
    /// A message has been handed to the system.
    Sent {
        /// The link.
        link: LinkId,
    },
    /// A message has come.
    Received {
        /// The link.
        link: LinkId,
        /// The message, without its length; of long ones only the beginning that is looked at.
        message: Vec<u8>,
    },
    /// A link is broken.
    Down {
        /// The link.
        link: LinkId,
        /// Why.
        reason: String,
    },
}
