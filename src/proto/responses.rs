//! What a server sends to clients. (zookeeper.jute, module `org.apache.zookeeper.proto`)

use std::borrow::Cow;

use super::codes::{ErrorCode, EventType, KeeperState};
use super::ids::{SessionId, Xid, Zxid};

record! {
    /// The answer to the first frame. A boolean `readOnly` follows for clients that sent one.
    pub struct ConnectResponse<'a> {
        /// Always 0.
        pub protocol_version: i32,
        /// The session timeout agreed, milliseconds; 0 refuses the session.
        pub timeout_ms: i32,
        /// The session, or 0.
        pub session: SessionId,
        /// Sixteen bytes.
        pub password: &'a [u8],
    }
}

record! {
    /// Stands before every answer and event.
    #[derive(Copy)]
    pub struct ReplyHeader {
        /// The request's number, or one of the protocol's own.
        pub xid: Xid,
        /// The newest change that this server had applied.
        pub zxid: Zxid,
        /// How it went.
        pub error: ErrorCode,
    }
}

record! {
    /// A watch has fired.
    pub struct WatcherEvent<'a> {
        /// What happened.
        pub kind: EventType,
        /// Always connected.
        pub state: KeeperState,
        /// To which node.
        pub path: Cow<'a, str>,
    }
}

record! {
    /// One identity of a connection, as whoAmI tells it.
    pub struct ClientInfo<'a> {
        /// The scheme.
        pub scheme: Cow<'a, str>,
        /// Who, without anything secret.
        pub user: Cow<'a, str>,
    }
}
