//! What commands say, as 3.4.14 prints it and as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::acl;
use super::safe::{safe_data, safe_name};
use super::session::WatchedEvent;
use crate::proto::{Acl, EventType, Stat};
use crate::runtime::time::java_date;

/// The lines of a stat. (ZooKeeperMain.printStat)
pub fn stat_lines(stat: &Stat) -> String {
    [
        format!("cZxid = {}", stat.czxid),
        format!("ctime = {}", java_date(stat.ctime)),
        format!("mZxid = {}", stat.mzxid),
        format!("mtime = {}", java_date(stat.mtime)),
        format!("pZxid = {}", stat.pzxid),
        format!("cversion = {}", stat.cversion),
        format!("dataVersion = {}", stat.version),
        format!("aclVersion = {}", stat.aversion),
        format!("ephemeralOwner = 0x{:x}", stat.ephemeral_owner),
        format!("dataLength = {}", stat.data_length),
        format!("numChildren = {}", stat.num_children),
    ]
    .join("\n")
}

/// A stat for programs: zxids as the text shows them, times in milliseconds.
pub fn stat_json(stat: &Stat) -> Value {
    json!({
        "cZxid": stat.czxid.to_string(),
        "ctime": stat.ctime,
        "mZxid": stat.mzxid.to_string(),
        "mtime": stat.mtime,
        "pZxid": stat.pzxid.to_string(),
        "cversion": stat.cversion,
        "dataVersion": stat.version,
        "aclVersion": stat.aversion,
        "ephemeralOwner": format!("0x{:x}", stat.ephemeral_owner),
        "dataLength": stat.data_length,
        "numChildren": stat.num_children,
    })
}

/// A node's data as text; null is the word.
pub fn data_text(data: Option<&[u8]>) -> String {
    data.map_or_else(|| "null".to_owned(), safe_data)
}

/// A node's data for programs: text if it is text, else base64.
pub fn data_json(data: Option<&[u8]>, into: &mut Map<String, Value>) {
    let (value, encoding) = match data.map(|data| (data, std::str::from_utf8(data))) {
        None => (Value::Null, "null"),
        Some((_, Ok(text))) => (Value::from(text), "utf-8"),
        Some((data, Err(_))) => (Value::from(STANDARD.encode(data)), "base64"),
    };
    into.insert("data".to_owned(), value);
    into.insert("encoding".to_owned(), Value::from(encoding));
}

/// Names as Java prints a list.
pub fn list_text(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| safe_name(name)).collect();
    format!("[{}]", names.join(", "))
}

/// An ACL: two lines for each entry. Java prints a record of jute, which ends its line.
pub fn acl_lines(list: &[Acl]) -> String {
    let lines: Vec<String> = list
        .iter()
        .map(|entry| {
            let (scheme, id) = (csv_text(&entry.id.scheme), csv_text(&entry.id.id));
            format!(
                "{},{}\n: {}",
                safe_name(&scheme),
                safe_name(&id),
                acl::letters(entry.perms)
            )
        })
        .collect();
    lines.join("\n")
}

/// An ACL for programs.
pub fn acl_json(list: &[Acl]) -> Value {
    let entry =
        |acl: &Acl| json!({"scheme": acl.id.scheme, "id": acl.id.id, "perms": acl::letters(acl.perms)});
    list.iter().map(entry).collect()
}

/// An event, as Java's watcher prints it, blank lines included.
pub fn event_text(event: &WatchedEvent) -> String {
    let path = event.path.as_ref().map_or("null".into(), |path| safe_name(path));
    let (state, kind) = (event.state, event_name(event.kind));
    format!("\nWATCHER::\n\nWatchedEvent state:{state} type:{kind} path:{path}\n")
}

/// An event for programs.
pub fn event_json(event: &WatchedEvent) -> Value {
    json!({"event": {"state": event.state, "type": event_name(event.kind), "path": event.path}})
}

/// A text as jute's CSV writes it. (Utils.toCSVString)
pub fn csv_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\0' => out.push_str("%00"),
            '\n' => out.push_str("%0A"),
            '\r' => out.push_str("%0D"),
            ',' => out.push_str("%2C"),
            '}' => out.push_str("%7D"),
            '%' => out.push_str("%25"),
            c => out.push(c),
        }
    }
    out
}

fn event_name(kind: EventType) -> &'static str {
    match kind {
        EventType::None => "None",
        EventType::NodeCreated => "NodeCreated",
        EventType::NodeDeleted => "NodeDeleted",
        EventType::NodeDataChanged => "NodeDataChanged",
        EventType::NodeChildrenChanged => "NodeChildrenChanged",
        EventType::DataWatchRemoved => "DataWatchRemoved",
        EventType::ChildWatchRemoved => "ChildWatchRemoved",
        EventType::PersistentWatchRemoved => "PersistentWatchRemoved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Perms, Zxid};

    #[test]
    fn a_stat_is_printed_field_by_field() {
        let stat = Stat {
            czxid: Zxid(0x1_0000_000a),
            ephemeral_owner: 0x0100_0000_0000_0001,
            cversion: -1,
            num_children: 3,
            ..Stat::default()
        };
        let text = stat_lines(&stat);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 11);
        assert_eq!((lines[0], lines[5]), ("cZxid = 0x10000000a", "cversion = -1"));
        assert!(
            lines[1].starts_with("ctime = ") && lines[1].ends_with(" 1970"),
            "{}",
            lines[1]
        );
        assert_eq!(
            (lines[8], lines[10]),
            ("ephemeralOwner = 0x100000000000001", "numChildren = 3")
        );
        assert_eq!(stat_json(&stat)["cZxid"], "0x10000000a");
    }

    #[test]
    fn lists_acls_and_events_are_javas() {
        assert_eq!(list_text(&[]), "[]");
        assert_eq!(list_text(&["a".into(), "b\n".into()]), "[a, b\\n]");
        let list = [
            Acl::new(Perms::ALL, "world", "anyone"),
            Acl::new(Perms::READ, "x509", "CN=a,O=b"),
        ];
        assert_eq!(
            acl_lines(&list),
            "'world,'anyone\n: cdrwa\n'x509,'CN=a%2CO=b\n: r"
        );
        let event = WatchedEvent {
            state: "SyncConnected",
            kind: EventType::NodeDeleted,
            path: Some("/a\x1b".to_owned()),
        };
        let wanted = "\nWATCHER::\n\nWatchedEvent state:SyncConnected type:NodeDeleted path:/a\\x1b\n";
        assert_eq!(event_text(&event), wanted);
        let session = WatchedEvent {
            kind: EventType::None,
            path: None,
            ..event
        };
        assert!(event_text(&session).ends_with("type:None path:null\n"));
    }

    #[test]
    fn data_that_is_no_text_is_base64_for_programs() {
        let mut map = Map::new();
        data_json(Some(b"\xff\x00"), &mut map);
        assert_eq!(
            (&map["data"], &map["encoding"]),
            (&json!("/wA="), &json!("base64"))
        );
        data_json(Some("ä".as_bytes()), &mut map);
        assert_eq!((&map["data"], &map["encoding"]), (&json!("ä"), &json!("utf-8")));
        data_json(None, &mut map);
        assert_eq!((&map["data"], data_text(None).as_str()), (&Value::Null, "null"));
    }
}
