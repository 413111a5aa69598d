//! Between clients and processors: what walks through the chain, what comes back, sessions, figures, the way in.
//!
//! This room is to connections and processors what ZooKeeperServer is to them in Java. It runs no thread.

use std::sync::Arc;

use crate::proto::requests::PathOnly;
use crate::proto::txn::LoggedTxn;
use crate::proto::{ConnId, Encode, ErrorCode, Id, OpCode, SessionId, Sid, Xid, Zxid};

pub mod connections;
pub mod gate;
pub mod metrics;
pub mod reads;
pub mod reply;
pub mod roles;
pub mod session_tracker;
pub mod sessions;
pub mod status;

pub use gate::{Gate, Serving};
pub use metrics::Metrics;
pub use reply::{ClientLetter, Clients, Outcome, Replies, ReplyEntry};
pub use roles::{Duty, Roles, Tenure};
pub use session_tracker::{SessionTracker, SessionTrouble};
pub use sessions::{Renewal, Revalidation, Sessions};
pub use status::{Learners, ServerState, Status};

/// Everybody that a connection has proved to be. Shared: every request of the connection carries it.
pub type Identities = Arc<[Id]>;

/// Where a request came in, hence where its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A client of this server.
    Client(ConnId),
    /// A learner that forwarded it; its own server answers the client.
    Learner(Sid),
    /// This server itself: a session that expired.
    Server,
}

/// A request as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The session it belongs to.
    pub session: SessionId,
    /// The number that its answer repeats.
    pub xid: Xid,
    /// What it asks.
    pub op: OpCode,
    /// Its record, still encoded: what follows the request header.
    pub body: Vec<u8>,
    /// Where it came in.
    pub origin: Origin,
    /// Who asks.
    pub identities: Identities,
    /// When it came in, elapsed microseconds.
    pub received_us: i64,
}

impl Request {
    /// The end of a session, asked by the server itself. (ZooKeeperServer.close)
    pub fn close_session(session: SessionId, now_ms: i64) -> Request {
        Request {
            session,
            xid: Xid(0),
            op: OpCode::CloseSession,
            body: Vec::new(),
            origin: Origin::Server,
            identities: Arc::from([]),
            received_us: now_ms * 1_000,
        }
    }

    /// The removal of a container, or of a node whose time is over, asked by the server itself.
    /// (ContainerManager of 3.9)
    pub fn delete_container(path: &PathOnly<'_>, now_ms: i64) -> Request {
        Request {
            op: OpCode::DeleteContainer,
            body: path.to_bytes(),
            ..Request::close_session(SessionId(0), now_ms)
        }
    }
}

/// A request that has passed PrepRequestProcessor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The request.
    pub request: Request,
    /// The newest transaction prepared so far: the request's own, if it has one.
    pub zxid: Zxid,
    /// Its transaction: every write has one, the failed ones an error.
    pub logged: Option<Arc<LoggedTxn>>,
    /// Why it is to be answered with an error instead of being carried out.
    pub refused: Option<ErrorCode>,
}

/// A request as it came, to be carried out as a read or to be joined with its transaction later.
impl From<Request> for Prepared {
    fn from(request: Request) -> Prepared {
        Prepared {
            request,
            zxid: Zxid(0),
            logged: None,
            refused: None,
        }
    }
}

impl Prepared {
    /// The session for which a transaction was made, which is the request's.
    pub fn session(&self) -> SessionId {
        self.request.session
    }

    /// Whether it is a sync that the leader has to answer.
    pub fn awaits_sync(&self) -> bool {
        self.request.op == OpCode::Sync && self.refused.is_none()
    }
}
