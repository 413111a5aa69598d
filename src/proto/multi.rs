//! The multi request and its answer: headers and records in turn, and a last header that says done.
//! (MultiTransactionRecord, MultiResponse)

use std::borrow::Cow;

use super::codes::{ErrorCode, OpCode};
use super::data::Stat;
use super::jute::{Decode, Encode, Malformed, Reader};
use super::requests::{CreateRequest, CreateTtlRequest, PathVersion, PathWatch, SetDataRequest};

record! {
    /// Stands before each part of a multi.
    #[derive(Copy)]
    pub struct MultiHeader {
        /// The part's operation, -1 for an error and at the end.
        pub op: i32,
        /// Whether this is the end.
        pub done: bool,
        /// An error code, or -1.
        pub error: i32,
    }
}

/// One part of a multi request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiOp<'a> {
    /// Make a node.
    Create(CreateRequest<'a>),
    /// Make a node, and tell its stat. (3.5)
    Create2(CreateRequest<'a>),
    /// Make a container. (3.5)
    CreateContainer(CreateRequest<'a>),
    /// Make a node with a time to live. (3.5)
    CreateTtl(CreateTtlRequest<'a>),
    /// Remove a node.
    Delete(PathVersion<'a>),
    /// Replace a node's data.
    SetData(SetDataRequest<'a>),
    /// Compare a node's version.
    Check(PathVersion<'a>),
}

/// How one part of a multi went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiResult<'a> {
    /// A node was made; its path.
    Create(Cow<'a, str>),
    /// A node was made; its path and its stat.
    Create2(Cow<'a, str>, Stat),
    /// A node was removed.
    Delete,
    /// Data was replaced; the node's stat.
    SetData(Stat),
    /// The version was right.
    Check,
    /// This part failed, or another did.
    Error(ErrorCode),
}

impl MultiOp<'_> {
    /// The part's operation.
    pub fn op(&self) -> OpCode {
        match self {
            MultiOp::Create(_) => OpCode::Create,
            MultiOp::Create2(_) => OpCode::Create2,
            MultiOp::CreateContainer(_) => OpCode::CreateContainer,
            MultiOp::CreateTtl(_) => OpCode::CreateTtl,
            MultiOp::Delete(_) => OpCode::Delete,
            MultiOp::SetData(_) => OpCode::SetData,
            MultiOp::Check(_) => OpCode::Check,
        }
    }

    /// The node it is about.
    pub fn path(&self) -> &str {
        match self {
            MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
                &create.path
            }
            MultiOp::CreateTtl(create) => &create.path,
            MultiOp::Delete(delete) => &delete.path,
            MultiOp::SetData(set) => &set.path,
            MultiOp::Check(check) => &check.path,
        }
    }
}

/// Reads the parts of a multi request up to its last header.
///
/// # Errors
/// [`Malformed`]; an operation that cannot be part of a multi is one.
pub fn decode_ops<'a>(reader: &mut Reader<'a>) -> Result<Vec<MultiOp<'a>>, Malformed> {
    let mut ops = Vec::new();
    loop {
        let offset = reader.offset();
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(ops);
        }
        ops.push(match OpCode::of(header.op) {
            Some(OpCode::Create) => MultiOp::Create(CreateRequest::decode(reader)?),
            Some(OpCode::Create2) => MultiOp::Create2(CreateRequest::decode(reader)?),
            Some(OpCode::CreateContainer) => MultiOp::CreateContainer(CreateRequest::decode(reader)?),
            Some(OpCode::CreateTtl) => MultiOp::CreateTtl(CreateTtlRequest::decode(reader)?),
            Some(OpCode::Delete) => MultiOp::Delete(PathVersion::decode(reader)?),
            Some(OpCode::SetData) => MultiOp::SetData(SetDataRequest::decode(reader)?),
            Some(OpCode::Check) => MultiOp::Check(PathVersion::decode(reader)?),
            _ => {
                return Err(Malformed::Unknown {
                    what: "part of a multi",
                    value: header.op.into(),
                    offset,
                });
            }
        });
    }
}

/// Whether a multi has parts whose transactions 3.4 cannot read.
pub fn has_newer_txns(body: &[u8]) -> bool {
    let ops = decode_ops(&mut Reader::new(body)).unwrap_or_default();
    ops.iter().any(|op| op.op().is_newer_txn())
}

/// The parts of a multi that a server of 3.4 can read: create2 becomes create. `None` if nothing is to be
/// changed, or if the parts cannot be read: then whoever prepares the request says so.
pub fn without_create2(body: &[u8]) -> Option<Vec<u8>> {
    let mut ops = decode_ops(&mut Reader::new(body)).ok()?;
    let mut is_changed = false;
    for op in &mut ops {
        if let MultiOp::Create2(create) = op {
            *op = MultiOp::Create(create.clone());
            is_changed = true;
        }
    }
    is_changed.then(|| {
        let mut bytes = Vec::with_capacity(body.len());
        encode_ops(&ops, &mut bytes);
        bytes
    })
}

/// Writes a multi request: the parts and the last header.
pub fn encode_ops(ops: &[MultiOp<'_>], out: &mut Vec<u8>) {
    for op in ops {
        MultiHeader {
            op: op.op().number(),
            done: false,
            error: -1,
        }
        .encode(out);
        match op {
            MultiOp::Create(create) | MultiOp::Create2(create) | MultiOp::CreateContainer(create) => {
                create.encode(out);
            }
            MultiOp::CreateTtl(create) => create.encode(out),
            MultiOp::Delete(path) | MultiOp::Check(path) => path.encode(out),
            MultiOp::SetData(set) => set.encode(out),
        }
    }
    LAST.encode(out);
}

/// One part of a multiRead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiReadOp<'a> {
    /// The names of a node's children.
    GetChildren(PathWatch<'a>),
    /// A node's data and stat.
    GetData(PathWatch<'a>),
}

/// Reads the parts of a multiRead up to its last header. Whether they ask for watches has no effect.
///
/// # Errors
/// [`Malformed`]; an operation that cannot be part of a multiRead is one.
pub fn decode_reads<'a>(reader: &mut Reader<'a>) -> Result<Vec<MultiReadOp<'a>>, Malformed> {
    let mut ops = Vec::new();
    loop {
        let offset = reader.offset();
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(ops);
        }
        ops.push(match OpCode::of(header.op) {
            Some(OpCode::GetChildren) => MultiReadOp::GetChildren(PathWatch::decode(reader)?),
            Some(OpCode::GetData) => MultiReadOp::GetData(PathWatch::decode(reader)?),
            _ => {
                return Err(Malformed::Unknown {
                    what: "part of a multiRead",
                    value: header.op.into(),
                    offset,
                });
            }
        });
    }
}

/// Writes one result of a multiRead: what `write` appends, or the error that it gives.
pub fn encode_read_result(
    op: OpCode,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), ErrorCode>,
) {
    let begin = out.len();
    header_of(op).encode(out);
    if let Err(code) = write(out) {
        out.truncate(begin);
        encode_error(code, out);
    }
}

/// Writes the header behind the last result.
pub fn encode_end(out: &mut Vec<u8>) {
    LAST.encode(out);
}

/// Writes the answer to a multi: the results and the last header.
pub fn encode_results(results: &[MultiResult<'_>], out: &mut Vec<u8>) {
    for result in results {
        match result {
            MultiResult::Create(path) => {
                header_of(OpCode::Create).encode(out);
                path.encode(out);
            }
            MultiResult::Create2(path, stat) => {
                header_of(OpCode::Create2).encode(out);
                path.encode(out);
                stat.encode(out);
            }
            MultiResult::Delete => header_of(OpCode::Delete).encode(out),
            MultiResult::SetData(stat) => {
                header_of(OpCode::SetData).encode(out);
                stat.encode(out);
            }
            MultiResult::Check => header_of(OpCode::Check).encode(out),
            MultiResult::Error(code) => encode_error(*code, out),
        }
    }
    LAST.encode(out);
}

/// Reads the answer to a multi, as a client does.
///
/// # Errors
/// [`Malformed`], also for a result that no multi has.
pub fn decode_results<'a>(reader: &mut Reader<'a>) -> Result<Vec<MultiResult<'a>>, Malformed> {
    let mut results = Vec::new();
    loop {
        let offset = reader.offset();
        let header = MultiHeader::decode(reader)?;
        if header.done {
            return Ok(results);
        }
        results.push(match OpCode::of(header.op) {
            Some(OpCode::Create) => MultiResult::Create(Cow::decode(reader)?),
            Some(OpCode::Create2) => MultiResult::Create2(Cow::decode(reader)?, Stat::decode(reader)?),
            Some(OpCode::Delete) => MultiResult::Delete,
            Some(OpCode::SetData) => MultiResult::SetData(Stat::decode(reader)?),
            Some(OpCode::Check) => MultiResult::Check,
            Some(OpCode::Error) => MultiResult::Error(ErrorCode::decode(reader)?),
            _ => {
                return Err(Malformed::Unknown {
                    what: "result of a multi",
                    value: header.op.into(),
                    offset,
                });
            }
        });
    }
}

fn encode_error(code: ErrorCode, out: &mut Vec<u8>) {
    MultiHeader {
        op: OpCode::Error.number(),
        done: false,
        error: code.number(),
    }
    .encode(out);
    code.encode(out);
}

/// The header of a part that went well. Java writes an error of 0 there. (MultiResponse.serialize)
fn header_of(op: OpCode) -> MultiHeader {
    MultiHeader {
        op: op.number(),
        done: false,
        error: 0,
    }
}

/// The header behind the last part.
const LAST: MultiHeader = MultiHeader {
    op: -1,
    done: true,
    error: -1,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_come_back() {
        let ops = vec![
            MultiOp::Create(CreateRequest {
                path: "/a".into(),
                data: Some(b"x"),
                acl: vec![],
                flags: 2,
            }),
            MultiOp::Create2(CreateRequest {
                path: "/a2".into(),
                data: None,
                acl: vec![],
                flags: 0,
            }),
            MultiOp::Delete(PathVersion {
                path: "/b".into(),
                version: -1,
            }),
            MultiOp::SetData(SetDataRequest {
                path: "/c".into(),
                data: None,
                version: 3,
            }),
            MultiOp::Check(PathVersion {
                path: "/d".into(),
                version: 4,
            }),
        ];
        let mut bytes = Vec::new();
        encode_ops(&ops, &mut bytes);
        assert_eq!(decode_ops(&mut Reader::new(&bytes)), Ok(ops));

        let results = vec![
            MultiResult::Create("/a1".into()),
            MultiResult::Create2("/a2".into(), Stat::default()),
            MultiResult::Delete,
            MultiResult::SetData(Stat::default()),
            MultiResult::Check,
            MultiResult::Error(ErrorCode::NoNode),
        ];
        let mut bytes = Vec::new();
        encode_results(&results, &mut bytes);
        assert_eq!(decode_results(&mut Reader::new(&bytes)), Ok(results));
    }

    #[test]
    fn a_server_of_3_4_is_asked_for_plain_creates() {
        let create = CreateRequest {
            path: "/a".into(),
            data: Some(b"x"),
            acl: vec![],
            flags: 1,
        };
        let (mut asked, mut plain) = (Vec::new(), Vec::new());
        encode_ops(&[MultiOp::Create2(create.clone())], &mut asked);
        encode_ops(&[MultiOp::Create(create)], &mut plain);
        assert_eq!(without_create2(&asked), Some(plain.clone()));
        assert_eq!((without_create2(&plain), without_create2(b"?")), (None, None));
    }

    #[test]
    fn an_operation_that_cannot_be_a_part_is_malformed() {
        let bytes = MultiHeader {
            op: 4,
            done: false,
            error: -1,
        }
        .to_bytes();
        let error = decode_ops(&mut Reader::new(&bytes));
        assert_eq!(
            error,
            Err(Malformed::Unknown {
                what: "part of a multi",
                value: 4,
                offset: 0
            })
        );
    }
}
