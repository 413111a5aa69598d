//! What the tests of this room share.

use std::sync::Arc;

use crate::proto::txn::{LoggedTxn, Txn, TxnHeader};
use crate::proto::{ConnId, ErrorCode, OpCode, SessionId, Xid, Zxid};
use crate::request::{Origin, Request};

/// A request of a client of this server, without a body.
pub fn request(session: i64, xid: i32, op: OpCode) -> Request {
    Request {
        session: SessionId(session),
        xid: Xid(xid),
        op,
        body: Vec::new(),
        origin: Origin::Client(ConnId(session as u64)),
        identities: Arc::from([]),
        received_us: 0,
    }
}

/// The transaction of a write that failed.
pub fn error_txn(session: i64, xid: i32, zxid: i64) -> Arc<LoggedTxn> {
    let header = TxnHeader {
        session: SessionId(session),
        cxid: Xid(xid),
        zxid: Zxid(zxid),
        time_ms: 0,
        op: OpCode::Error.number(),
    };
    Arc::new(LoggedTxn::new(header, &Txn::Error(ErrorCode::NoNode.number())))
}
