//! The multi request and its answer: headers and records in turn, and a last header that says done.
//! (MultiTransactionRecord, MultiResponse)

use std::borrow::Cow;

use super::codes::{ErrorCode, OpCode};
use super::data::Stat;
use super::jute::{Decode, Encode, Malformed, Reader};
use super::requests::{CreateRequest, PathVersion, SetDataRequest};

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
            MultiOp::Delete(_) => OpCode::Delete,
            MultiOp::SetData(_) => OpCode::SetData,
            MultiOp::Check(_) => OpCode::Check,
        }
    }

    /// The node it is about.
    pub fn path(&self) -> &str {
        match self {
            MultiOp::Create(create) => &create.path,
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
            MultiOp::Create(create) => create.encode(out),
            MultiOp::Delete(path) | MultiOp::Check(path) => path.encode(out),
            MultiOp::SetData(set) => set.encode(out),
        }
    }
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
            MultiResult::Delete => header_of(OpCode::Delete).encode(out),
            MultiResult::SetData(stat) => {
                header_of(OpCode::SetData).encode(out);
                stat.encode(out);
            }
            MultiResult::Check => header_of(OpCode::Check).encode(out),
            MultiResult::Error(code) => {
                MultiHeader {
                    op: OpCode::Error.number(),
                    done: false,
                    error: code.number(),
                }
                .encode(out);
                code.encode(out);
            }
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
