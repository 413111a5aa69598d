//! What clients send. (zookeeper.jute, module `org.apache.zookeeper.proto`)

use std::borrow::Cow;

use super::data::Acl;
use super::ids::{SessionId, Xid, Zxid};

record! {
    /// The first frame of a connection. A boolean `readOnly` may follow; its absence marks an old client.
    pub struct ConnectRequest<'a> {
        /// Not checked by anybody.
        pub protocol_version: i32,
        /// The newest change the client has seen.
        pub last_zxid_seen: Zxid,
        /// The session timeout it wishes for, milliseconds.
        pub timeout_ms: i32,
        /// The session to renew, or 0 for a new one.
        pub session: SessionId,
        /// The session's password.
        pub password: Option<&'a [u8]>,
    }
}

record! {
    /// Stands before every request but the first.
    #[derive(Copy)]
    pub struct RequestHeader {
        /// The request's number.
        pub xid: Xid,
        /// The operation, known or not.
        pub op: i32,
    }
}

record! {
    /// Auth: credentials to add to the connection. Nulls end as a refusal, not as an error of form.
    pub struct AuthPacket<'a> {
        /// Always 0.
        pub kind: i32,
        /// The scheme.
        pub scheme: Option<Cow<'a, str>>,
        /// What the scheme asks for, such as `user:password`.
        pub auth: Option<&'a [u8]>,
    }
}

record! {
    /// Reconfig. (3.5)
    pub struct ReconfigRequest<'a> {
        /// Servers to add or to change, in the words of zoo.cfg.
        pub joining: Option<Cow<'a, str>>,
        /// Numbers of servers to leave out.
        pub leaving: Option<Cow<'a, str>>,
        /// All servers, in place of the two before.
        pub members: Option<Cow<'a, str>>,
        /// The version of the configuration that is to be changed; -1 for any.
        pub version: i64,
    }
}

record! {
    /// Create, create2 and createContainer.
    pub struct CreateRequest<'a> {
        /// The node, or its beginning if sequential.
        pub path: Cow<'a, str>,
        /// Its data.
        pub data: Option<&'a [u8]>,
        /// Its ACL.
        pub acl: Vec<Acl>,
        /// 1 ephemeral, 2 sequential; 4 for a container.
        pub flags: i32,
    }
}

record! {
    /// CreateTTL. (3.5)
    pub struct CreateTtlRequest<'a> {
        /// The node, or its beginning if sequential.
        pub path: Cow<'a, str>,
        /// Its data.
        pub data: Option<&'a [u8]>,
        /// Its ACL.
        pub acl: Vec<Acl>,
        /// 5, or 6 if sequential.
        pub flags: i32,
        /// How long it stays unchanged, milliseconds.
        pub ttl_ms: i64,
    }
}

record! {
    /// Delete, and check: a path and the version it must have, -1 for any.
    pub struct PathVersion<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// The version of its data.
        pub version: i32,
    }
}

record! {
    /// Exists, getData, getChildren, getChildren2: a path, and whether to set a watch.
    pub struct PathWatch<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// Whether its next change is to be told.
        pub watch: bool,
    }
}

record! {
    /// GetACL, sync, getAllChildrenNumber: a path alone.
    pub struct PathOnly<'a> {
        /// The node.
        pub path: Cow<'a, str>,
    }
}

record! {
    /// SetData.
    pub struct SetDataRequest<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// Its new data.
        pub data: Option<&'a [u8]>,
        /// The version it must have, -1 for any.
        pub version: i32,
    }
}

record! {
    /// SetACL.
    pub struct SetAclRequest<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// Its new ACL.
        pub acl: Vec<Acl>,
        /// The version of the ACL that it must have, -1 for any.
        pub version: i32,
    }
}

record! {
    /// SetWatches: the watches that a client had on another connection.
    pub struct SetWatches<'a> {
        /// The newest change the client has seen.
        pub relative_zxid: Zxid,
        /// Nodes whose data it watches.
        pub data: Vec<Cow<'a, str>>,
        /// Nodes whose creation it waits for.
        pub exist: Vec<Cow<'a, str>>,
        /// Nodes whose children it watches.
        pub child: Vec<Cow<'a, str>>,
    }
}

record! {
    /// SetWatches2: the watches that a client of 3.6 had on another connection.
    pub struct SetWatches2<'a> {
        /// The watches that fire once.
        pub once: SetWatches<'a>,
        /// Nodes that it watches until it says otherwise.
        pub persistent: Vec<Cow<'a, str>>,
        /// Subtrees that it watches until it says otherwise.
        pub recursive: Vec<Cow<'a, str>>,
    }
}

record! {
    /// CheckWatches and removeWatches: of which kind. ([`super::codes::WatcherType`])
    pub struct PathWatcherType<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// The kind's number.
        pub kind: i32,
    }
}

record! {
    /// AddWatch.
    pub struct AddWatchRequest<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// 0 the node and its children, 1 the whole subtree.
        pub mode: i32,
    }
}

record! {
    /// GetEphemerals.
    pub struct GetEphemeralsRequest<'a> {
        /// What the paths begin with; nothing, blanks and `/` are every path.
        pub prefix: Option<Cow<'a, str>>,
    }
}

impl<'a> From<CreateRequest<'a>> for CreateTtlRequest<'a> {
    fn from(request: CreateRequest<'a>) -> CreateTtlRequest<'a> {
        let CreateRequest {
            path,
            data,
            acl,
            flags,
        } = request;
        CreateTtlRequest {
            path,
            data,
            acl,
            flags,
            ttl_ms: -1,
        }
    }
}
