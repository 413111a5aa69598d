//! What a client loop tells of its connections to those who ask by letter, in pieces: a loop with a hundred
//! thousand of them is not to stop for somebody who is curious.

use std::net::SocketAddr;

use crate::proto::{ConnId, SessionId, Xid, Zxid};

/// A piece of the list of connections.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionReport {
    /// Some connections.
    pub connections: Vec<ConnectionInfo>,
    /// Where the next piece begins; none if this is the last.
    pub next: Option<usize>,
}

/// One connection, as `cons` tells of it. (ServerCnxn.getConnectionInfo)
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectionInfo {
    /// Its number here.
    pub conn: ConnId,
    /// The client.
    pub remote: SocketAddr,
    /// Java's interest operations: 1 to read, 4 to write.
    pub interest_ops: u8,
    /// Requests that are not answered yet.
    pub outstanding: u64,
    /// Frames read.
    pub received: u64,
    /// Frames written.
    pub sent: u64,
    /// The session, if it has one.
    pub session: Option<SessionInfo>,
}

/// What is known of a connection that has a session. Times in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionInfo {
    /// Its number.
    pub id: SessionId,
    /// Its timeout.
    pub timeout_ms: i32,
    /// The last operation, in Java's four letters.
    pub last_operation: &'static str,
    /// When the connection began, wall milliseconds.
    pub established_ms: i64,
    /// The number of the last request.
    pub last_cxid: Xid,
    /// The zxid of the last answer.
    pub last_zxid: Zxid,
    /// When that was, elapsed milliseconds.
    pub last_response_ms: i64,
    /// The latency of the last answer.
    pub last_latency_ms: i64,
    /// The smallest latency, 0 without answers.
    pub min_latency_ms: i64,
    /// The mean latency.
    pub avg_latency_ms: i64,
    /// The largest latency.
    pub max_latency_ms: i64,
}
