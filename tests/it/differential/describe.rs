//! Frames in words, without what may differ: times, session numbers, passwords, the order of children.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;

use oxkeeper::proto::multi::{MultiResult, decode_results};
use oxkeeper::proto::responses::ConnectResponse;
use oxkeeper::proto::{Acl, Decode, Malformed, OpCode, Reader, SessionId, Stat, Xid};

/// What sessions are called, by their numbers.
pub type Names = BTreeMap<i64, String>;

/// The answer to a handshake; the session and its password.
pub fn granted(frame: &[u8]) -> (String, SessionId, Vec<u8>) {
    let mut reader = Reader::new(frame);
    let Ok(answer) = ConnectResponse::decode(&mut reader) else {
        return (format!("unreadable handshake {frame:02x?}"), SessionId(0), vec![]);
    };
    let is_granted = answer.session != SessionId(0);
    let line = format!(
        "handshake version={} timeout={} granted={is_granted} password={} bytes, zeros={}, rest={:02x?}",
        answer.protocol_version,
        answer.timeout_ms,
        answer.password.len(),
        answer.password.iter().all(|byte| *byte == 0),
        reader.rest(),
    );
    (line, answer.session, answer.password.to_vec())
}

/// An answer to an operation, or an event.
pub fn frame(op: i32, frame: &[u8], names: &Names) -> String {
    let mut reader = Reader::new(frame);
    let line = header(&mut reader).and_then(|(xid, zxid, error)| {
        let mut line = format!("xid={xid} zxid={zxid:#x} error={error}");
        if xid == Xid::NOTIFICATION.0 {
            let (kind, state) = (i32::decode(&mut reader)?, i32::decode(&mut reader)?);
            let _infallible = write!(line, " event {kind} state {state} {:?}", text(&mut reader)?);
        } else if error == 0 {
            let _infallible = write!(line, " {}", body(op, &mut reader, names)?);
        }
        Ok(line)
    });
    match line {
        Ok(line) if reader.remaining() == 0 => line,
        Ok(line) => format!("{line} and {:02x?}", reader.rest()),
        Err(error) => format!("unreadable ({error}): {frame:02x?}"),
    }
}

fn header(reader: &mut Reader<'_>) -> Result<(i32, i64, i32), Malformed> {
    Ok((i32::decode(reader)?, i64::decode(reader)?, i32::decode(reader)?))
}

fn body(op: i32, reader: &mut Reader<'_>, names: &Names) -> Result<String, Malformed> {
    Ok(match OpCode::of(op) {
        Some(OpCode::Create | OpCode::Sync) => text(reader)?,
        Some(OpCode::Exists | OpCode::SetData | OpCode::SetAcl) => stat(reader, names)?,
        Some(OpCode::GetData) => format!("{} {}", data(reader)?, stat(reader, names)?),
        Some(OpCode::GetAcl) => format!("{:?} {}", Vec::<Acl>::decode(reader)?, stat(reader, names)?),
        Some(OpCode::GetChildren) => children(reader)?,
        Some(OpCode::GetChildren2) => format!("{} {}", children(reader)?, stat(reader, names)?),
        Some(OpCode::Multi) => {
            let results = decode_results(reader)?;
            results
                .iter()
                .map(|part| result(part, names))
                .collect::<Vec<_>>()
                .join("; ")
        }
        _ => String::new(),
    })
}

fn result(result: &MultiResult<'_>, names: &Names) -> String {
    match result {
        MultiResult::SetData(stat) => format!("SetData({})", stat_text(stat, names)),
        other => format!("{other:?}"),
    }
}

/// A string, byte for byte.
fn text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(<&[u8]>::decode(reader)?.escape_ascii().to_string())
}

fn data(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(match Option::<&[u8]>::decode(reader)? {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() > 64 => {
            let sum = bytes.iter().fold(0u64, |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
            });
            format!("{} bytes {sum:x}", bytes.len())
        }
        Some(bytes) => format!("{:?}", bytes.escape_ascii().to_string()),
    })
}

fn children(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    let mut names: Vec<Cow<'_, str>> = Decode::decode(reader)?;
    names.sort();
    Ok(format!("{names:?}"))
}

fn stat(reader: &mut Reader<'_>, names: &Names) -> Result<String, Malformed> {
    Ok(stat_text(&Stat::decode(reader)?, names))
}

/// Times are told only as "never" and "some time"; a session by its name.
fn stat_text(stat: &Stat, names: &Names) -> String {
    let owner = match stat.ephemeral_owner {
        0 => "none",
        number => names.get(&number).map_or("somebody unknown", String::as_str),
    };
    format!(
        "czxid={} mzxid={} pzxid={} ctime={} mtime={} version={} cversion={} aversion={} owner={owner} \
         length={} children={}",
        stat.czxid,
        stat.mzxid,
        stat.pzxid,
        stat.ctime != 0,
        stat.mtime != 0,
        stat.version,
        stat.cversion,
        stat.aversion,
        stat.data_length,
        stat.num_children,
    )
}
