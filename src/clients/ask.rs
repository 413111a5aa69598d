//! What the loop answers by itself, without the chain.

use std::ops::Range;

use crate::proto::{ConnId, ErrorCode, OpCode, Xid, Zxid};

/// One answer that the loop owes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// To whom.
    pub conn: ConnId,
    /// The request's number.
    pub xid: Xid,
    /// What it is.
    pub asked: Asked,
    /// When the request came in, elapsed milliseconds.
    pub received_ms: i64,
}

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// To read the tree, or to set watches; the record stands there in `Wishes::ask_bytes`.
    Read(OpCode, Range<usize>),
    /// Whether somebody is here.
    Ping,
    /// Nothing that needs the tree: the answer is a header.
    Header(Zxid, ErrorCode),
    /// A SASL token: the answer is another one, or null if there is nothing to say. (ZooKeeperServer.processSasl)
    SaslToken(Option<Vec<u8>>),
}
