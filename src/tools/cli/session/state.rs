//! Where a session stands, and what it tells.

use std::fmt;

use crate::proto::EventType;

/// Where the session stands; printed as Java names it. (ZooKeeper.States)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No server serves it now.
    Connecting,
    /// A server does.
    Connected,
    /// A server without a quorum does.
    ReadOnly,
    /// It is over.
    Closed,
    /// It is over, since an identity was refused.
    AuthFailed,
}

/// What the session or a watch tells the user. (WatchedEvent)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedEvent {
    /// The session's state, in Java's words: `SyncConnected`, `Disconnected`, ...
    pub state: &'static str,
    /// What happened.
    pub kind: EventType,
    /// To which node, as the server knows it.
    pub path: Option<String>,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lost {
    /// The connection broke, or none came about; a write may have been done.
    Connection(String),
    /// The session is over; its ephemerals and watches are gone.
    Expired,
    /// An identity was refused.
    AuthFailed,
    /// The session was closed.
    Closed,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Connecting => "CONNECTING",
            State::Connected => "CONNECTED",
            State::ReadOnly => "CONNECTEDREADONLY",
            State::Closed => "CLOSED",
            State::AuthFailed => "AUTH_FAILED",
        })
    }
}
