//! A transaction as one line, as Java's tools print it. (LogFormatter, TraceFormatter, jute's CSV)

use std::fmt::Write;

use crate::proto::txn::{LoggedTxn, Txn};
use crate::proto::{Acl, Malformed, OpCode};
use crate::runtime::time::java_short_date;
use crate::tools::cli::{csv_text, safe_name};

/// The line of a transaction. It ends with a line's end, unless the record is Java's `null`.
///
/// # Errors
/// [`Malformed`] if the bytes hold no transaction.
pub fn line(bytes: &[u8]) -> Result<String, Malformed> {
    let logged = LoggedTxn::from_bytes(bytes.to_vec())?;
    let header = logged.header();
    let record = record(&logged.txn()?);
    Ok(format!(
        "{} session 0x{:x} cxid 0x{:x} zxid 0x{:x} {} {record}",
        java_short_date(header.time_ms),
        header.session.0,
        header.cxid.0,
        header.zxid.0,
        op_name(header.op),
    ))
}

/// A record as its `toString` writes it.
fn record(txn: &Txn<'_>) -> String {
    let text = match txn {
        Txn::Create(create) => {
            let ephemeral = if create.ephemeral { "T" } else { "F" };
            let (path, data, acl) = (
                name(&create.path),
                buffer(create.data),
                acl_text(create.acl.as_deref()),
            );
            format!("{path},{data},{acl},{ephemeral},{}", create.parent_cversion)
        }
        Txn::CreateContainer(create) => format!(
            "{},{},{},{}",
            name(&create.path),
            buffer(create.data),
            acl_text(create.acl.as_deref()),
            create.parent_cversion
        ),
        Txn::CreateTtl(create) => format!(
            "{},{},{},{},{}",
            name(&create.path),
            buffer(create.data),
            acl_text(create.acl.as_deref()),
            create.parent_cversion,
            create.ttl_ms
        ),
        Txn::Delete(delete) | Txn::DeleteContainer(delete) => name(&delete.path),
        Txn::SetData(set) => format!("{},{},{}", name(&set.path), buffer(set.data), set.version),
        Txn::SetAcl(set) => format!(
            "{},{},{}",
            name(&set.path),
            acl_text(set.acl.as_deref()),
            set.version
        ),
        Txn::Check(check) => format!("{},{}", name(&check.path), check.version),
        Txn::CreateSession(number) | Txn::Error(number) => number.to_string(),
        Txn::CloseSession => return "null".to_owned(),
        Txn::Multi(parts) => {
            let parts = parts
                .iter()
                .map(|part| format!("s{{{},{}}}", part.op, buffer(Some(&part.record))));
            format!("v{{{}}}", parts.collect::<Vec<_>>().join(","))
        }
    };
    text + "\n"
}

/// 3.4.14 spells one of them so. (TraceFormatter.op2String)
fn op_name(op: i32) -> String {
    match OpCode::of(op) {
        Some(OpCode::GetData) => "getDate".to_owned(),
        Some(
            op @ (OpCode::Notification
            | OpCode::Create
            | OpCode::Delete
            | OpCode::Exists
            | OpCode::SetData
            | OpCode::Multi
            | OpCode::GetAcl
            | OpCode::SetAcl
            | OpCode::GetChildren
            | OpCode::GetChildren2
            | OpCode::Ping
            | OpCode::CreateSession
            | OpCode::CloseSession
            | OpCode::Error),
        ) => op.name().to_owned(),
        Some(op) if op.is_newer_txn() => op.name().to_owned(),
        _ => format!("unknown {op}"),
    }
}

fn name(text: &str) -> String {
    safe_name(&csv_text(text)).into_owned()
}

/// Java writes a byte above 127 as the int it becomes: `ffffffc3`. One below 16 has one digit.
fn buffer(bytes: Option<&[u8]>) -> String {
    let bytes = bytes.unwrap_or_default();
    let mut text = String::with_capacity(2 * bytes.len() + 1);
    if !bytes.is_empty() {
        text.push('#');
    }
    for byte in bytes {
        let number = i32::from(byte.cast_signed());
        // Writing to a string does not fail.
        let _infallible = write!(text, "{number:x}");
    }
    text
}

fn acl_text(list: Option<&[Acl]>) -> String {
    let entry = |acl: &Acl| {
        format!(
            "s{{{},s{{{},{}}}}}",
            acl.perms.0,
            name(&acl.id.scheme),
            name(&acl.id.id)
        )
    };
    let entries: Vec<String> = list.unwrap_or_default().iter().map(entry).collect();
    format!("v{{{}}}", entries.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::txn::{CreateTxn, SubTxn, TxnHeader};
    use crate::proto::{SessionId, Xid, Zxid};

    fn shown(txn: &Txn<'_>) -> String {
        let header = TxnHeader {
            session: SessionId(-1),
            cxid: Xid(16),
            zxid: Zxid(0x1_0000_0001),
            time_ms: 0,
            op: txn.op().number(),
        };
        let line = line(LoggedTxn::new(header, txn).bytes()).expect("a line");
        let (date, rest) = line.split_once(" session ").expect("a session");
        assert!(
            date.starts_with("1/1/70, ") || date.starts_with("12/31/69, "),
            "{date}"
        );
        rest.to_owned()
    }

    #[test]
    fn records_are_written_as_jute_writes_them() {
        let create = Txn::Create(CreateTxn {
            path: "/a,b%".into(),
            data: Some(b"a\x05\xc3"),
            acl: Some(Acl::open()),
            ephemeral: true,
            parent_cversion: 3,
        });
        let head = "0xffffffffffffffff cxid 0x10 zxid 0x100000001";
        let wanted = format!("{head} create '/a%2Cb%25,#615ffffffc3,v{{s{{31,s{{'world,'anyone}}}}}},T,3\n");
        assert_eq!(shown(&create), wanted);
        assert_eq!(shown(&Txn::CloseSession), format!("{head} closeSession null"));
        assert_eq!(shown(&Txn::Error(-101)), format!("{head} error -101\n"));
        let part = SubTxn {
            op: -1,
            record: [0, 0, 0, 0].as_slice().into(),
        };
        let multi = Txn::Multi(vec![part.clone(), part]);
        assert_eq!(
            shown(&multi),
            format!("{head} multi v{{s{{-1,#0000}},s{{-1,#0000}}}}\n")
        );
    }

    #[test]
    fn bytes_that_are_no_transaction_are_told() {
        assert!(line(b"short").is_err());
    }
}
