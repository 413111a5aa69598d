//! The client's side of the wire: requests to bytes, bytes to answers.

use std::borrow::Cow;

use oxkeeper::proto::data::{Acl, Perms, Stat};
use oxkeeper::proto::multi::{MultiOp, MultiResult, decode_results, encode_ops};
use oxkeeper::proto::requests::{
    AuthPacket, ConnectRequest, CreateRequest, CreateTtlRequest, PathOnly, PathVersion, PathWatch,
    RequestHeader, SetAclRequest, SetDataRequest, SetWatches,
};
use oxkeeper::proto::responses::{ConnectResponse, ReplyHeader, WatcherEvent};
use oxkeeper::proto::{Decode, Encode, ErrorCode, EventType, OpCode, Reader, SessionId, Xid, Zxid};

use super::checkers::{Answer, Call, Seen};

/// What the history knows nothing of.
#[derive(Debug, Clone)]
pub enum Side {
    Exists(String),
    GetAcl(String),
    SetAcl(String, Vec<Acl>),
    Children(String, bool),
    Any(Call),
    Container(String),
    /// A node that is gone when it has not changed for so many milliseconds.
    Brief(String, i64),
    Auth(String),
}

/// A frame of the handshake.
pub fn connect(session: i64, password: &[u8], timeout_ms: i32, last: Zxid) -> Vec<u8> {
    frame(|out| {
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: last,
            timeout_ms,
            session: SessionId(session),
            password: Some(password),
        }
        .encode(out);
        false.encode(out);
    })
}

/// What the server says to that: session, timeout, password. A timeout of 0 refuses.
pub fn connected(frame: &[u8]) -> Option<(i64, i32, Vec<u8>)> {
    let response = ConnectResponse::decode(&mut Reader::new(frame)).ok()?;
    Some((
        response.session.0,
        response.timeout_ms,
        response.password.to_vec(),
    ))
}

pub fn ping() -> Vec<u8> {
    request(Xid::PING, OpCode::Ping, |_| {})
}

pub fn close(xid: Xid) -> Vec<u8> {
    request(xid, OpCode::CloseSession, |_| {})
}

pub fn sync(xid: Xid, path: &str) -> Vec<u8> {
    request(xid, OpCode::Sync, |out| {
        PathOnly { path: path.into() }.encode(out)
    })
}

pub fn set_watches(last: Zxid, data: &[String]) -> Vec<u8> {
    request(Xid::SET_WATCHES, OpCode::SetWatches, |out| {
        SetWatches {
            relative_zxid: last,
            data: data.iter().map(|path| Cow::from(path.as_str())).collect(),
            exist: Vec::new(),
            child: Vec::new(),
        }
        .encode(out);
    })
}

pub fn call(xid: Xid, call: &Call) -> Vec<u8> {
    match call {
        Call::Get { path, watch, .. } => request(xid, OpCode::GetData, |out| {
            PathWatch {
                path: path.into(),
                watch: *watch,
            }
            .encode(out);
        }),
        Call::Multi(parts) => request(xid, OpCode::Multi, |out| {
            let ops: Vec<MultiOp<'_>> = parts.iter().map(part).collect();
            encode_ops(&ops, out);
        }),
        single => {
            let op = part(single);
            request(xid, op.op(), |out| match op {
                MultiOp::Create(create) => create.encode(out),
                MultiOp::Delete(path) | MultiOp::Check(path) => path.encode(out),
                MultiOp::SetData(set) => set.encode(out),
                other => panic!("{other:?} is nothing that clients of 3.4 ask"),
            })
        }
    }
}

pub fn side(xid: Xid, side: &Side) -> Vec<u8> {
    match side {
        Side::Any(any) => call(xid, any),
        Side::Exists(path) => request(xid, OpCode::Exists, |out| watched(path, false, out)),
        Side::Children(path, watch) => request(xid, OpCode::GetChildren2, |out| watched(path, *watch, out)),
        Side::GetAcl(path) => request(xid, OpCode::GetAcl, |out| {
            PathOnly { path: path.into() }.encode(out)
        }),
        Side::SetAcl(path, acl) => request(xid, OpCode::SetAcl, |out| {
            SetAclRequest {
                path: path.into(),
                acl: acl.clone(),
                version: -1,
            }
            .encode(out);
        }),
        Side::Container(path) => request(xid, OpCode::CreateContainer, |out| {
            CreateRequest {
                path: path.into(),
                data: Some(b"of many"),
                acl: Acl::open(),
                flags: 4,
            }
            .encode(out);
        }),
        Side::Brief(path, ttl_ms) => request(xid, OpCode::CreateTtl, |out| {
            CreateTtlRequest {
                path: path.into(),
                data: None,
                acl: Acl::open(),
                flags: 5,
                ttl_ms: *ttl_ms,
            }
            .encode(out);
        }),
        Side::Auth(credentials) => request(Xid::AUTH, OpCode::Auth, |out| {
            AuthPacket {
                kind: 0,
                scheme: Some("digest".into()),
                auth: Some(credentials.as_bytes()),
            }
            .encode(out);
        }),
    }
}

/// An access control list of a few.
pub fn acl(kind: u64) -> Vec<Acl> {
    let mut acl = Acl::open();
    if kind > 0 {
        acl.push(Acl::new(
            Perms(1 + kind as i32 % 15),
            "ip",
            format!("10.9.8.{kind}"),
        ));
    }
    acl
}

/// A frame from the server.
pub enum Said {
    /// None for what the history knows nothing of.
    Event(Option<String>),
    Reply(ReplyHeader, usize),
}

/// Reads the head of a frame; the answer's record begins at the number given.
pub fn head(frame: &[u8]) -> Option<Said> {
    let mut reader = Reader::new(frame);
    let header = ReplyHeader::decode(&mut reader).ok()?;
    if header.xid == Xid::NOTIFICATION {
        let event = WatcherEvent::decode(&mut reader).ok()?;
        let is_known = event.kind != EventType::NodeChildrenChanged;
        return Some(Said::Event(is_known.then(|| event.path.into_owned())));
    }
    Some(Said::Reply(header, reader.offset()))
}

/// Reads an answer. None if it cannot be read.
pub fn answer(call: &Call, error: ErrorCode, record: &[u8]) -> Option<Answer> {
    let mut reader = Reader::new(record);
    if error == ErrorCode::NoNode && matches!(call, Call::Get { .. }) {
        return Some(Answer::Missing);
    }
    if error != ErrorCode::Ok {
        return Some(Answer::Refused(error.number()));
    }
    Some(match call {
        Call::Set { .. } => Answer::Set(seen(&Stat::decode(&mut reader).ok()?)),
        Call::Create { .. } => Answer::Created(String::decode(&mut reader).ok()?),
        Call::Delete { .. } | Call::Check { .. } => Answer::Done,
        Call::Get { .. } => {
            let data = Option::<&[u8]>::decode(&mut reader).ok()?.unwrap_or_default();
            let stat = Stat::decode(&mut reader).ok()?;
            Answer::Got(seen(&stat), String::from_utf8_lossy(data).into_owned())
        }
        Call::Multi(_) => {
            let results = decode_results(&mut reader).ok()?;
            let refused = results.iter().find_map(|result| match result {
                MultiResult::Error(code) if *code != ErrorCode::Ok => Some(code.number()),
                _ => None,
            });
            if let Some(code) = refused {
                return Some(Answer::Refused(code));
            }
            Answer::Multi(results.into_iter().map(part_answer).collect())
        }
    })
}

fn part_answer(result: MultiResult<'_>) -> Answer {
    match result {
        MultiResult::Create(path) | MultiResult::Create2(path, _) => Answer::Created(path.into_owned()),
        MultiResult::SetData(stat) => Answer::Set(seen(&stat)),
        MultiResult::Delete | MultiResult::Check => Answer::Done,
        MultiResult::Error(code) => Answer::Refused(code.number()),
    }
}

fn seen(stat: &Stat) -> Seen {
    Seen {
        mzxid: stat.mzxid.0,
        version: stat.version,
    }
}

fn part(call: &Call) -> MultiOp<'_> {
    match call {
        Call::Set { path, value, version } => MultiOp::SetData(SetDataRequest {
            path: path.into(),
            data: Some(value.as_bytes()),
            version: version.unwrap_or(-1),
        }),
        Call::Create {
            path,
            value,
            ephemeral,
            sequential,
        } => MultiOp::Create(CreateRequest {
            path: path.into(),
            data: Some(value.as_bytes()),
            acl: acl(value.len() as u64 % 3),
            flags: i32::from(*ephemeral) + 2 * i32::from(*sequential),
        }),
        Call::Delete { path } => MultiOp::Delete(PathVersion {
            path: path.into(),
            version: -1,
        }),
        Call::Check { path, version } => MultiOp::Check(PathVersion {
            path: path.into(),
            version: *version,
        }),
        Call::Get { .. } | Call::Multi(_) => panic!("{call:?} is no part of a multi"),
    }
}

fn watched(path: &str, watch: bool, out: &mut Vec<u8>) {
    PathWatch {
        path: path.into(),
        watch,
    }
    .encode(out);
}

fn request(xid: Xid, op: OpCode, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    frame(|out| {
        RequestHeader { xid, op: op.number() }.encode(out);
        write(out);
    })
}

fn frame(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 4];
    write(&mut out);
    let length = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&length.to_be_bytes());
    out
}
