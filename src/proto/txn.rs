//! What is logged and proposed: a header and the change itself. (module `org.apache.zookeeper.txn`)
//!
//! A transaction is encoded once, by the processor that prepares it ([`LoggedTxn`]); log, quorum and tree
//! work on those bytes. So what is applied is what was logged, to the byte.

use std::borrow::Cow;

use super::codes::OpCode;
use super::data::Acl;
use super::ids::{SessionId, Xid, Zxid};
use super::jute::{Decode, Encode, Malformed, Reader};

record! {
    /// Stands before every transaction.
    #[derive(Copy)]
    pub struct TxnHeader {
        /// The session that asked for it.
        pub session: SessionId,
        /// The request's number in that session.
        pub cxid: Xid,
        /// The transaction's number.
        pub zxid: Zxid,
        /// When it was prepared, wall milliseconds.
        pub time_ms: i64,
        /// What it is. Kept as a number: a log may hold what this server does not know.
        pub op: i32,
    }
}

record! {
    /// A node is made.
    pub struct CreateTxn<'a> {
        /// Its whole path.
        pub path: Cow<'a, str>,
        /// Its data.
        pub data: Option<&'a [u8]>,
        /// Its ACL; null is open.
        pub acl: Option<Vec<Acl>>,
        /// Whether it lives by the session of the header.
        pub ephemeral: bool,
        /// The parent's count of creations after this one; -1 (a log of 3.3) for one more than it was.
        pub parent_cversion: i32,
    }
}

record! {
    /// A container is made. (3.5)
    pub struct CreateContainerTxn<'a> {
        /// Its whole path.
        pub path: Cow<'a, str>,
        /// Its data.
        pub data: Option<&'a [u8]>,
        /// Its ACL; null is open.
        pub acl: Option<Vec<Acl>>,
        /// The parent's count of creations after this one.
        pub parent_cversion: i32,
    }
}

record! {
    /// A node with a time to live is made. (3.5)
    pub struct CreateTtlTxn<'a> {
        /// Its whole path.
        pub path: Cow<'a, str>,
        /// Its data.
        pub data: Option<&'a [u8]>,
        /// Its ACL; null is open.
        pub acl: Option<Vec<Acl>>,
        /// The parent's count of creations after this one.
        pub parent_cversion: i32,
        /// How long it stays unchanged, milliseconds.
        pub ttl_ms: i64,
    }
}

record! {
    /// A node is removed.
    pub struct DeleteTxn<'a> {
        /// The node.
        pub path: Cow<'a, str>,
    }
}

record! {
    /// A node's data is replaced.
    pub struct SetDataTxn<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// Its new data.
        pub data: Option<&'a [u8]>,
        /// Its new version.
        pub version: i32,
    }
}

record! {
    /// A node's ACL is replaced.
    pub struct SetAclTxn<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// Its new ACL; null is open.
        pub acl: Option<Vec<Acl>>,
        /// The ACL's new version.
        pub version: i32,
    }
}

record! {
    /// A version was compared; changes nothing.
    pub struct CheckVersionTxn<'a> {
        /// The node.
        pub path: Cow<'a, str>,
        /// The version it had, plus one.
        pub version: i32,
    }
}

record! {
    /// One part of a multi, still encoded.
    pub struct SubTxn<'a> {
        /// What it is.
        pub op: i32,
        /// Its record.
        pub record: Cow<'a, [u8]>,
    }
}

/// The change that a transaction makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Txn<'a> {
    /// A node is made.
    Create(CreateTxn<'a>),
    /// A container is made. (3.5)
    CreateContainer(CreateContainerTxn<'a>),
    /// A node with a time to live is made. (3.5)
    CreateTtl(CreateTtlTxn<'a>),
    /// A container is removed that has lost its last child, or a node whose time is over. (3.5)
    DeleteContainer(DeleteTxn<'a>),
    /// A node is removed.
    Delete(DeleteTxn<'a>),
    /// A node's data is replaced.
    SetData(SetDataTxn<'a>),
    /// A node's ACL is replaced.
    SetAcl(SetAclTxn<'a>),
    /// A version was compared.
    Check(CheckVersionTxn<'a>),
    /// A session begins, with this timeout in milliseconds.
    CreateSession(i32),
    /// A session ends, and its ephemerals with it.
    CloseSession,
    /// A write failed, with this error code.
    Error(i32),
    /// All of these, or none if one of them is an error.
    Multi(Vec<SubTxn<'a>>),
}

impl<'a> Txn<'a> {
    /// Reads the record that belongs to a header's operation. (SerializeUtils.deserializeTxn)
    ///
    /// # Errors
    /// [`Malformed`], also for an operation that is no transaction.
    pub fn decode(op: i32, reader: &mut Reader<'a>) -> Result<Txn<'a>, Malformed> {
        let offset = reader.offset();
        Ok(match OpCode::of(op) {
            Some(OpCode::Create) => Txn::Create(decode_create(reader)?),
            Some(OpCode::CreateContainer) => Txn::CreateContainer(CreateContainerTxn::decode(reader)?),
            Some(OpCode::CreateTtl) => Txn::CreateTtl(CreateTtlTxn::decode(reader)?),
            Some(OpCode::DeleteContainer) => Txn::DeleteContainer(DeleteTxn::decode(reader)?),
            Some(OpCode::Delete) => Txn::Delete(DeleteTxn::decode(reader)?),
            Some(OpCode::SetData) => Txn::SetData(SetDataTxn::decode(reader)?),
            Some(OpCode::SetAcl) => Txn::SetAcl(SetAclTxn::decode(reader)?),
            Some(OpCode::Check) => Txn::Check(CheckVersionTxn::decode(reader)?),
            Some(OpCode::CreateSession) => Txn::CreateSession(i32::decode(reader)?),
            Some(OpCode::CloseSession) => Txn::CloseSession,
            Some(OpCode::Error) => Txn::Error(i32::decode(reader)?),
            Some(OpCode::Multi) => Txn::Multi(Vec::decode(reader)?),
            _ => {
                return Err(Malformed::Unknown {
                    what: "transaction type",
                    value: op.into(),
                    offset,
                });
            }
        })
    }

    /// The operation that a header names it by.
    pub fn op(&self) -> OpCode {
        match self {
            Txn::Create(_) => OpCode::Create,
            Txn::CreateContainer(_) => OpCode::CreateContainer,
            Txn::CreateTtl(_) => OpCode::CreateTtl,
            Txn::DeleteContainer(_) => OpCode::DeleteContainer,
            Txn::Delete(_) => OpCode::Delete,
            Txn::SetData(_) => OpCode::SetData,
            Txn::SetAcl(_) => OpCode::SetAcl,
            Txn::Check(_) => OpCode::Check,
            Txn::CreateSession(_) => OpCode::CreateSession,
            Txn::CloseSession => OpCode::CloseSession,
            Txn::Error(_) => OpCode::Error,
            Txn::Multi(_) => OpCode::Multi,
        }
    }
}

impl Encode for Txn<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Txn::Create(txn) => txn.encode(out),
            Txn::CreateContainer(txn) => txn.encode(out),
            Txn::CreateTtl(txn) => txn.encode(out),
            Txn::Delete(txn) | Txn::DeleteContainer(txn) => txn.encode(out),
            Txn::SetData(txn) => txn.encode(out),
            Txn::SetAcl(txn) => txn.encode(out),
            Txn::Check(txn) => txn.encode(out),
            Txn::CreateSession(number) | Txn::Error(number) => number.encode(out),
            Txn::CloseSession => {}
            Txn::Multi(parts) => parts.encode(out),
        }
    }
}

/// A create, in today's form or in that of 3.3, which lacks the parent's count. (CreateTxnV0)
fn decode_create<'a>(reader: &mut Reader<'a>) -> Result<CreateTxn<'a>, Malformed> {
    let path = Cow::decode(reader)?;
    let data = Option::decode(reader)?;
    let acl = Option::decode(reader)?;
    let ephemeral = bool::decode(reader)?;
    let parent_cversion = if reader.remaining() == 0 {
        -1
    } else {
        i32::decode(reader)?
    };
    Ok(CreateTxn {
        path,
        data,
        acl,
        ephemeral,
        parent_cversion,
    })
}

/// A transaction as the log and the quorum carry it: its header, read, and all of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedTxn {
    header: TxnHeader,
    bytes: Vec<u8>,
}

impl LoggedTxn {
    /// Encodes a transaction. The header's operation must be the transaction's.
    pub fn new(header: TxnHeader, txn: &Txn<'_>) -> LoggedTxn {
        debug_assert_eq!(header.op, txn.op().number());
        let mut bytes = Vec::with_capacity(HEADER_BYTES + 64);
        header.encode(&mut bytes);
        txn.encode(&mut bytes);
        LoggedTxn { header, bytes }
    }

    /// Takes the bytes of a transaction from a log or a peer. Only the header is read now.
    ///
    /// # Errors
    /// [`Malformed`] if they do not hold a header.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<LoggedTxn, Malformed> {
        let header = TxnHeader::from_bytes(&bytes)?;
        Ok(LoggedTxn { header, bytes })
    }

    /// Who, when, and what kind.
    pub fn header(&self) -> &TxnHeader {
        &self.header
    }

    /// The transaction's number.
    pub fn zxid(&self) -> Zxid {
        self.header.zxid
    }

    /// Header and record, as they stand in the log.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The record behind the header.
    pub fn record(&self) -> &[u8] {
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// Whether 3.4 could not read it. (It is one of a container or of a node with a time to live, or has such a
    /// part.)
    pub fn is_newer(&self) -> bool {
        let is_newer = |op| OpCode::of(op).is_some_and(OpCode::is_newer_txn);
        match OpCode::of(self.header.op) {
            Some(OpCode::Multi) => {
                let parts = self.txn();
                matches!(parts, Ok(Txn::Multi(parts)) if parts.iter().any(|part| is_newer(part.op)))
            }
            _ => is_newer(self.header.op),
        }
    }

    /// The change, borrowed from the bytes.
    ///
    /// # Errors
    /// [`Malformed`] if the record is not what the header says.
    pub fn txn(&self) -> Result<Txn<'_>, Malformed> {
        let mut reader = Reader::new(&self.bytes);
        reader.take(HEADER_BYTES)?;
        Txn::decode(self.header.op, &mut reader)
    }
}

/// Session 8, cxid 4, zxid 8, time 8, operation 4.
const HEADER_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(op: OpCode) -> TxnHeader {
        TxnHeader {
            session: SessionId(7),
            cxid: Xid(1),
            zxid: Zxid(0x1_0000_0001),
            time_ms: 9,
            op: op.number(),
        }
    }

    fn create() -> CreateTxn<'static> {
        CreateTxn {
            path: "/a".into(),
            data: Some(b"x"),
            acl: Some(Acl::open()),
            ephemeral: true,
            parent_cversion: 4,
        }
    }

    #[test]
    fn every_kind_comes_back_from_its_bytes() {
        let part = SubTxn {
            op: OpCode::Error.number(),
            record: [0, 0, 0, 0].as_slice().into(),
        };
        let kinds = [
            Txn::Create(create()),
            Txn::Delete(DeleteTxn { path: "/a".into() }),
            Txn::SetData(SetDataTxn {
                path: "/a".into(),
                data: None,
                version: 2,
            }),
            Txn::SetAcl(SetAclTxn {
                path: "/a".into(),
                acl: None,
                version: 2,
            }),
            Txn::Check(CheckVersionTxn {
                path: "/a".into(),
                version: 2,
            }),
            Txn::CreateSession(30_000),
            Txn::CloseSession,
            Txn::Error(-101),
            Txn::Multi(vec![part]),
        ];
        for txn in kinds {
            let logged = LoggedTxn::new(header(txn.op()), &txn);
            let read = LoggedTxn::from_bytes(logged.bytes().to_vec()).expect("a header");
            assert_eq!(read, logged);
            assert_eq!(read.txn(), Ok(txn));
        }
    }

    #[test]
    fn a_create_of_3_3_has_no_parent_cversion() {
        let mut bytes = LoggedTxn::new(header(OpCode::Create), &Txn::Create(create())).bytes;
        bytes.truncate(bytes.len() - 4);
        let logged = LoggedTxn::from_bytes(bytes).expect("a header");
        let old = CreateTxn {
            parent_cversion: -1,
            ..create()
        };
        assert_eq!(logged.txn(), Ok(Txn::Create(old)));
    }

    #[test]
    fn a_type_that_is_no_transaction_is_named() {
        let bytes = header(OpCode::GetData).to_bytes();
        let logged = LoggedTxn::from_bytes(bytes).expect("a header");
        let unknown = Malformed::Unknown {
            what: "transaction type",
            value: 4,
            offset: 32,
        };
        assert_eq!(logged.txn(), Err(unknown));
    }
}
