//! The numbers of the protocol: operations, errors, events. (ZooDefs.OpCode, KeeperException.Code, Watcher.Event)

use super::jute::{Decode, Encode, Malformed, Reader};

/// Declares an enum of wire numbers with conversions both ways.
macro_rules! codes {
    ($(#[$meta:meta])* pub enum $name:ident ($what:literal) {
        $($(#[$vmeta:meta])* $variant:ident = $value:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i32)]
        pub enum $name { $($(#[$vmeta])* $variant = $value,)* }

        impl $name {
            /// All of them, in the order of this list.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The number on the wire.
            pub fn number(self) -> i32 {
                self as i32
            }

            /// What a number names, if anything.
            pub fn of(number: i32) -> Option<$name> {
                match number {
                    $($value => Some($name::$variant),)*
                    _ => None,
                }
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.number().encode(out);
            }
        }

        impl Decode<'_> for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                let offset = reader.offset();
                let value = i32::decode(reader)?;
                let unknown = Malformed::Unknown { what: $what, value: i64::from(value), offset };
                $name::of(value).ok_or(unknown)
            }
        }
    };
}

codes! {
    /// What a request asks, and what kind a transaction is.
    pub enum OpCode ("operation") {
        /// Never a request: the type of nothing.
        Notification = 0,
        /// Make a node.
        Create = 1,
        /// Remove a node.
        Delete = 2,
        /// The stat of a node that may be missing.
        Exists = 3,
        /// A node's data and stat.
        GetData = 4,
        /// Replace a node's data.
        SetData = 5,
        /// A node's ACL and stat.
        GetAcl = 6,
        /// Replace a node's ACL.
        SetAcl = 7,
        /// The names of a node's children.
        GetChildren = 8,
        /// Wait until this server has applied what the leader had committed.
        Sync = 9,
        /// Keep the session alive.
        Ping = 11,
        /// The names of a node's children, and its stat.
        GetChildren2 = 12,
        /// Compare a node's version; part of a multi.
        Check = 13,
        /// Several writes, all or none.
        Multi = 14,
        /// Make a node, and tell its stat. (3.5; logged and proposed as a create)
        Create2 = 15,
        /// Change the members of the ensemble; refused. (3.5)
        Reconfig = 16,
        /// Whether the connection has a watch. (3.5)
        CheckWatches = 17,
        /// Forget watches of the connection. (3.5)
        RemoveWatches = 18,
        /// Make a node that goes when its last child has gone. (3.5)
        CreateContainer = 19,
        /// Remove such a node, or one whose time is over; the server's own. (3.5)
        DeleteContainer = 20,
        /// Make a node that goes when it was not changed for a time. (3.5)
        CreateTtl = 21,
        /// Several reads, each with its own outcome. (3.6)
        MultiRead = 22,
        /// Add an identity to the connection.
        Auth = 100,
        /// Arm watches again after a reconnect.
        SetWatches = 101,
        /// A SASL token.
        Sasl = 102,
        /// The ephemerals of the session. (3.6)
        GetEphemerals = 103,
        /// How many nodes a subtree has below its root. (3.6)
        GetAllChildrenNumber = 104,
        /// Arm watches again, persistent ones too. (3.6)
        SetWatches2 = 105,
        /// Set a watch that stays. (3.6)
        AddWatch = 106,
        /// Everybody that the connection is. (3.7)
        WhoAmI = 107,
        /// A session begins; the server's own.
        CreateSession = -10,
        /// A session ends.
        CloseSession = -11,
        /// The transaction of a write that failed.
        Error = -1,
    }
}

codes! {
    /// What a reply's header says of the request.
    pub enum ErrorCode ("error code") {
        /// Done.
        Ok = 0,
        /// A fault of the server.
        SystemError = -1,
        /// Another part of the same multi failed.
        RuntimeInconsistency = -2,
        /// Data that contradicts itself.
        DataInconsistency = -3,
        /// Known to clients only.
        ConnectionLoss = -4,
        /// The request cannot be read.
        MarshallingError = -5,
        /// The operation does not exist here.
        Unimplemented = -6,
        /// Known to clients only.
        OperationTimeout = -7,
        /// An argument that can never be right.
        BadArguments = -8,
        /// The boundary of the errors of the interface.
        ApiError = -100,
        /// The node does not exist.
        NoNode = -101,
        /// The ACL says no.
        NoAuth = -102,
        /// The version given is not the node's.
        BadVersion = -103,
        /// An ephemeral cannot have children.
        NoChildrenForEphemerals = -108,
        /// The node exists already.
        NodeExists = -110,
        /// The node has children.
        NotEmpty = -111,
        /// The session is over.
        SessionExpired = -112,
        /// Known to clients only.
        InvalidCallback = -113,
        /// The ACL given is not one.
        InvalidAcl = -114,
        /// The credentials are wrong.
        AuthFailed = -115,
        /// The session has moved to another server.
        SessionMoved = -118,
        /// A write on a read-only server.
        NotReadOnly = -119,
        /// The connection has no such watch. (3.5)
        NoWatcher = -121,
        /// The members of the ensemble cannot be changed. (3.5)
        ReconfigDisabled = -123,
        /// The client has not authenticated as the server demands. (3.6)
        SessionClosedRequireSaslAuth = -124,
        /// The subtree would hold more than its hard limit. (3.7)
        QuotaExceeded = -125,
    }
}

codes! {
    /// What a watch event tells.
    pub enum EventType ("event type") {
        /// Nothing of a node: the session's state.
        None = -1,
        /// The node was made.
        NodeCreated = 1,
        /// The node was removed.
        NodeDeleted = 2,
        /// The node's data was replaced.
        NodeDataChanged = 3,
        /// A child was made or removed.
        NodeChildrenChanged = 4,
        /// Known to clients only: watches on data were taken back. (3.5)
        DataWatchRemoved = 5,
        /// Known to clients only: watches on children were taken back. (3.5)
        ChildWatchRemoved = 6,
        /// Known to clients only: watches that stay were taken back. (3.6)
        PersistentWatchRemoved = 7,
    }
}

codes! {
    /// The state of the session, as an event tells it. A server always says connected.
    pub enum KeeperState ("keeper state") {
        /// Connected.
        SyncConnected = 3,
    }
}

codes! {
    /// Which watches on a path are meant. (Watcher.WatcherType of 3.9; 3.5 knows the first three)
    pub enum WatcherType ("watcher type") {
        /// On its children, to fire once.
        Children = 1,
        /// On its data or existence, to fire once.
        Data = 2,
        /// All of them.
        Any = 3,
        /// Those that stay, on the node and its children.
        Persistent = 4,
        /// Those that stay, on the whole subtree.
        PersistentRecursive = 5,
    }
}

impl OpCode {
    /// Whether a client's request of this kind is logged and proposed. (Request.isQuorum of 3.4.14, but for a
    /// check outside a multi, whose transaction no server can read back: ZOOKEEPER-2623)
    pub fn is_write(self) -> bool {
        use OpCode::*;
        matches!(
            self,
            Create | Create2 | Delete | SetData | SetAcl | Multi | CreateSession | CloseSession | Error
        ) || self.is_newer_txn()
    }

    /// Whether its transaction is of a kind that 3.4 cannot read.
    pub fn is_newer_txn(self) -> bool {
        matches!(
            self,
            OpCode::CreateContainer | OpCode::DeleteContainer | OpCode::CreateTtl
        )
    }

    /// Whether carrying it out may set a watch.
    pub fn sets_watches(self) -> bool {
        use OpCode::*;
        matches!(
            self,
            Exists | GetData | GetChildren | GetChildren2 | SetWatches | SetWatches2 | AddWatch
        )
    }

    /// Whether the tree and the watches of this server alone answer it. (A sync asks the leader, and a check
    /// on its own goes the way of writes.)
    pub fn is_read(self) -> bool {
        use OpCode::*;
        matches!(
            self,
            GetAcl
                | Reconfig
                | MultiRead
                | CheckWatches
                | RemoveWatches
                | GetEphemerals
                | GetAllChildrenNumber
                | WhoAmI
        ) || self.sets_watches()
    }

    /// The four letters by which `cons` names it. (FinalRequestProcessor)
    pub fn short_name(self) -> &'static str {
        match self {
            OpCode::Create | OpCode::Create2 | OpCode::CreateContainer | OpCode::CreateTtl => "CREA",
            OpCode::Delete | OpCode::DeleteContainer => "DELE",
            OpCode::Exists => "EXIS",
            OpCode::GetData => "GETD",
            OpCode::SetData => "SETD",
            OpCode::GetAcl => "GETA",
            OpCode::SetAcl => "SETA",
            OpCode::GetChildren | OpCode::GetChildren2 => "GETC",
            OpCode::Sync => "SYNC",
            OpCode::Ping => "PING",
            OpCode::Check => "CHEC",
            OpCode::Multi => "MULT",
            OpCode::SetWatches => "SETW",
            OpCode::Reconfig => "RECO",
            OpCode::CheckWatches => "CHKW",
            OpCode::RemoveWatches => "REMW",
            OpCode::MultiRead => "MLTR",
            OpCode::GetEphemerals => "GETE",
            OpCode::GetAllChildrenNumber => "GETACN",
            OpCode::SetWatches2 => "STW2",
            OpCode::AddWatch => "ADDW",
            OpCode::WhoAmI => "HOMI",
            OpCode::CreateSession => "SESS",
            OpCode::CloseSession => "CLOS",
            OpCode::Notification | OpCode::Auth | OpCode::Sasl | OpCode::Error => "NA",
        }
    }

    /// The name that log lines give it. (Request.op2String)
    pub fn name(self) -> &'static str {
        match self {
            OpCode::Notification => "notification",
            OpCode::Create => "create",
            OpCode::Delete => "delete",
            OpCode::Exists => "exists",
            OpCode::GetData => "getData",
            OpCode::SetData => "setData",
            OpCode::GetAcl => "getACL",
            OpCode::SetAcl => "setACL",
            OpCode::GetChildren => "getChildren",
            OpCode::Sync => "sync:",
            OpCode::Ping => "ping",
            OpCode::GetChildren2 => "getChildren2",
            OpCode::Check => "check",
            OpCode::Multi => "multi",
            OpCode::Create2 => "create2",
            OpCode::CreateContainer => "createContainer",
            OpCode::DeleteContainer => "deleteContainer",
            OpCode::CreateTtl => "createTtl",
            OpCode::Reconfig => "reconfig",
            OpCode::CheckWatches => "checkWatches",
            OpCode::RemoveWatches => "removeWatches",
            OpCode::MultiRead => "multiRead",
            OpCode::GetEphemerals => "getEphemerals",
            OpCode::GetAllChildrenNumber => "getAllChildrenNumber",
            OpCode::SetWatches2 => "setWatches2",
            OpCode::AddWatch => "addWatch",
            OpCode::WhoAmI => "whoAmI",
            OpCode::Auth => "auth",
            OpCode::SetWatches => "setWatches",
            OpCode::Sasl => "sasl",
            OpCode::CreateSession => "createSession",
            OpCode::CloseSession => "closeSession",
            OpCode::Error => "error",
        }
    }
}

impl ErrorCode {
    /// The words that Java's exceptions use for it, as in `KeeperErrorCode = NoNode`.
    pub fn name(self) -> &'static str {
        match self {
            ErrorCode::Ok => "ok",
            ErrorCode::SystemError => "SystemError",
            ErrorCode::RuntimeInconsistency => "RuntimeInconsistency",
            ErrorCode::DataInconsistency => "DataInconsistency",
            ErrorCode::ConnectionLoss => "ConnectionLoss",
            ErrorCode::MarshallingError => "MarshallingError",
            ErrorCode::Unimplemented => "Unimplemented",
            ErrorCode::OperationTimeout => "OperationTimeout",
            ErrorCode::BadArguments => "BadArguments",
            ErrorCode::ApiError => "APIError",
            ErrorCode::NoNode => "NoNode",
            ErrorCode::NoAuth => "NoAuth",
            ErrorCode::BadVersion => "BadVersion",
            ErrorCode::NoChildrenForEphemerals => "NoChildrenForEphemerals",
            ErrorCode::NodeExists => "NodeExists",
            ErrorCode::NotEmpty => "Directory not empty",
            ErrorCode::SessionExpired => "Session expired",
            ErrorCode::InvalidCallback => "Invalid callback",
            ErrorCode::InvalidAcl => "InvalidACL",
            ErrorCode::AuthFailed => "AuthFailed",
            ErrorCode::SessionMoved => "Session moved",
            ErrorCode::NotReadOnly => "Not a read-only call",
            ErrorCode::NoWatcher => "No such watcher",
            ErrorCode::ReconfigDisabled => "Reconfig is disabled",
            ErrorCode::QuotaExceeded => "Quota has exceeded",
            ErrorCode::SessionClosedRequireSaslAuth => "Session closed because client failed to authenticate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_agree_both_ways() {
        for &op in OpCode::ALL {
            assert_eq!(OpCode::of(op.number()), Some(op));
        }
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::of(code.number()), Some(code));
        }
        assert_eq!((OpCode::of(10), OpCode::of(-3)), (None, None));
        assert_eq!(EventType::of(4), Some(EventType::NodeChildrenChanged));
        assert_eq!(KeeperState::SyncConnected.number(), 3);
    }

    /// The second spelling of what the protocol fixes. (ZooDefs.OpCode of 3.4.14, and of 3.9 from `Create2` on)
    #[test]
    fn operations_have_the_numbers_of_the_protocol() {
        let numbers = [
            (OpCode::Notification, 0),
            (OpCode::Create, 1),
            (OpCode::Delete, 2),
            (OpCode::Exists, 3),
            (OpCode::GetData, 4),
            (OpCode::SetData, 5),
            (OpCode::GetAcl, 6),
            (OpCode::SetAcl, 7),
            (OpCode::GetChildren, 8),
            (OpCode::Sync, 9),
            (OpCode::Ping, 11),
            (OpCode::GetChildren2, 12),
            (OpCode::Check, 13),
            (OpCode::Multi, 14),
            (OpCode::Auth, 100),
            (OpCode::SetWatches, 101),
            (OpCode::Sasl, 102),
            (OpCode::CreateSession, -10),
            (OpCode::CloseSession, -11),
            (OpCode::Error, -1),
            (OpCode::Create2, 15),
            (OpCode::Reconfig, 16),
            (OpCode::CheckWatches, 17),
            (OpCode::RemoveWatches, 18),
            (OpCode::CreateContainer, 19),
            (OpCode::DeleteContainer, 20),
            (OpCode::CreateTtl, 21),
            (OpCode::MultiRead, 22),
            (OpCode::GetEphemerals, 103),
            (OpCode::GetAllChildrenNumber, 104),
            (OpCode::SetWatches2, 105),
            (OpCode::AddWatch, 106),
            (OpCode::WhoAmI, 107),
        ];
        assert_eq!(numbers.len(), OpCode::ALL.len());
        for (op, number) in numbers {
            assert_eq!(op.number(), number, "{op:?}");
        }
    }
}
