//! The calls of the history as requests, and replies as their answers.

use oxkeeper::proto::multi::{MultiOp, MultiResult, decode_results, encode_ops};
use oxkeeper::proto::requests::{CreateRequest, PathVersion, PathWatch, SetDataRequest};
use oxkeeper::proto::{Acl, Decode, Encode, ErrorCode, Malformed, OpCode, Reader, Stat, Xid};
use oxkeeper::tools::client::{Client, Reply};

use crate::checkers::{Answer, Call, Seen};

/// Queues a request.
pub fn send(conn: &mut Client, call: &Call) -> Xid {
    match call {
        Call::Set { path, value, version } => {
            let request = SetDataRequest {
                path: path.as_str().into(),
                data: Some(value.as_bytes()),
                version: version.unwrap_or(-1),
            };
            conn.send(OpCode::SetData, |out| request.encode(out))
        }
        Call::Create {
            path,
            value,
            ephemeral,
            sequential,
        } => {
            let request = CreateRequest {
                path: path.as_str().into(),
                data: Some(value.as_bytes()),
                acl: Acl::open(),
                flags: i32::from(*ephemeral) | (i32::from(*sequential) << 1),
            };
            conn.send(OpCode::Create, |out| request.encode(out))
        }
        Call::Delete { path } => {
            let request = PathVersion {
                path: path.as_str().into(),
                version: -1,
            };
            conn.send(OpCode::Delete, |out| request.encode(out))
        }
        Call::Get { path, watch, .. } => {
            let request = PathWatch {
                path: path.as_str().into(),
                watch: *watch,
            };
            conn.send(OpCode::GetData, |out| request.encode(out))
        }
        Call::Multi(calls) => {
            let ops: Vec<MultiOp<'_>> = calls.iter().map(part_of).collect();
            conn.send(OpCode::Multi, |out| encode_ops(&ops, out))
        }
        Call::Check { path, version } => {
            let request = PathVersion {
                path: path.as_str().into(),
                version: *version,
            };
            conn.send(OpCode::Check, |out| request.encode(out))
        }
    }
}

fn part_of(call: &Call) -> MultiOp<'_> {
    match call {
        Call::Set { path, value, version } => MultiOp::SetData(SetDataRequest {
            path: path.as_str().into(),
            data: Some(value.as_bytes()),
            version: version.unwrap_or(-1),
        }),
        Call::Check { path, version } => MultiOp::Check(PathVersion {
            path: path.as_str().into(),
            version: *version,
        }),
        other => panic!("{other:?} is no part of this test's multis"),
    }
}

/// What a reply says; an error if it is no answer to that call.
pub fn answer_of(call: &Call, reply: &Reply) -> Result<Answer, String> {
    if reply.error != ErrorCode::Ok {
        return Ok(match (call, reply.error) {
            (Call::Get { .. }, ErrorCode::NoNode) => Answer::Missing,
            _ => Answer::Refused(reply.error.number()),
        });
    }
    let unreadable = |error: Malformed| format!("the answer to {call:?}: {error}");
    let seen = |stat: Stat| Seen {
        mzxid: stat.mzxid.0,
        version: stat.version,
    };
    let answer = match call {
        Call::Set { .. } => Answer::Set(seen(record(reply).map_err(unreadable)?)),
        Call::Create { .. } => Answer::Created(record(reply).map_err(unreadable)?),
        Call::Delete { .. } | Call::Check { .. } => Answer::Done,
        Call::Get { .. } => {
            let (data, stat) = reply
                .pair::<Option<&[u8]>, Stat>()
                .map_err(unreadable)?
                .expect("checked");
            let value = String::from_utf8_lossy(data.unwrap_or_default()).into_owned();
            Answer::Got(seen(stat), value)
        }
        Call::Multi(_) => {
            let results = decode_results(&mut Reader::new(&reply.body)).map_err(unreadable)?;
            let refusal = results.iter().find_map(|result| match result {
                MultiResult::Error(code) if *code != ErrorCode::Ok => Some(code.number()),
                _ => None,
            });
            match refusal {
                Some(code) => Answer::Refused(code),
                None => Answer::Multi(
                    results
                        .into_iter()
                        .map(|result| match result {
                            MultiResult::SetData(stat) => Answer::Set(seen(stat)),
                            _ => Answer::Done,
                        })
                        .collect(),
                ),
            }
        }
    };
    Ok(answer)
}

fn record<'a, T: Decode<'a>>(reply: &'a Reply) -> Result<T, Malformed> {
    T::from_bytes(&reply.body)
}
