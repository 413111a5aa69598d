//! The tree: transactions in, replies, events, stats and quotas out.
//!
//! ```text
//! > zxid 0x20              the next transaction's number
//! > create /a [data=x] [session=7] [cversion=3]   > set /a data=x version=1   > delete /a   > close 7   > error -101
//! > setacl /a acl=read version=1                  > multi create /a; set /b version=1; error -103
//! > again                  the last transaction comes once more, as in a replay
//! > stat /a                > children /a          > data /a                   > ephemerals 7   > sessions
//! > watch 1 data /a        > watch 1 children /a  > watches 1 zxid=0x3 data=/a,/b exist=/c child=/a    > gone 1
//! > reload                 the tree is written as a snapshot and read again
//! ```

use oxkeeper::proto::requests::SetWatches;
use oxkeeper::proto::txn::{CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn, SubTxn, Txn, TxnHeader};
use oxkeeper::proto::{Acl, ConnId, Encode, Perms, SessionId, Xid, Zxid};
use oxkeeper::tree::{DataTree, Fired, Guarded, WatchManager};

use super::runner::play_all;
use super::words::Words;

#[test]
fn tree() {
    play_all("tree", 10, World::new, World::obey);
}

#[test]
fn quota() {
    play_all("quota", 5, World::new, World::obey);
}

struct World {
    tree: DataTree,
    watches: WatchManager,
    next: i64,
    last: Option<String>,
}

impl World {
    fn new() -> World {
        World {
            tree: DataTree::new(),
            watches: WatchManager::new(),
            next: 1,
            last: None,
        }
    }

    fn obey(&mut self, command: &str) -> Vec<String> {
        let (verb, words) = Words::of(command);
        match verb {
            "zxid" => self.next = hex(words.at(0)),
            "again" => {
                let last = self.last.clone().expect("a transaction before");
                self.next -= 1;
                return self.apply(&last);
            }
            "stat" | "children" | "data" | "acl" => return self.node(verb, words.at(0)),
            "ephemerals" => {
                let mut paths = self.tree.ephemerals_of(SessionId(words.number(0)));
                paths.sort();
                return vec![list(&paths)];
            }
            "sessions" => {
                let all = self
                    .tree
                    .sessions()
                    .map(|(id, timeout_ms)| format!("{id} ({timeout_ms} ms)"));
                return vec![list(&all.collect::<Vec<_>>())];
            }
            "watch" => self.watch(&words),
            "watches" => return self.set_watches(&words),
            "gone" => self.watches.remove(ConnId(words.number(0) as u64)),
            "reload" => self.reload(),
            _ => return self.apply(command),
        }
        Vec::new()
    }

    fn apply(&mut self, command: &str) -> Vec<String> {
        self.last = Some(command.to_owned());
        let (verb, words) = Words::of(command);
        let txn = match verb {
            "multi" => Txn::Multi(parts(command)),
            _ => single(verb, &words),
        };
        let session = match verb {
            "session" | "close" => words.number(0),
            _ => words.number_of("session").unwrap_or(0),
        };
        let header = TxnHeader {
            session: SessionId(session),
            cxid: Xid(1),
            zxid: Zxid(self.next),
            time_ms: 1_000 + self.next,
            op: txn.op().number(),
        };
        self.next += 1;
        let mut changes = Vec::new();
        let applied = self.tree.apply(&header, &txn, Some(&mut changes));
        let stat = applied
            .stat
            .map(|stat| format!(", version {}", stat.version))
            .unwrap_or_default();
        let mut lines = vec![format!("  {}: {:?}{stat}", header.zxid, applied.error)];
        lines.extend(
            applied
                .multi
                .iter()
                .map(|result| format!("    {}", brief(&format!("{result:?}")))),
        );
        lines.extend(self.fire(&changes));
        lines
    }

    fn fire(&mut self, changes: &[Guarded]) -> Vec<String> {
        let mut fired = Vec::new();
        for change in changes {
            self.watches.trigger(change, &mut fired);
        }
        fired.iter().map(event).collect()
    }

    fn node(&self, verb: &str, path: &str) -> Vec<String> {
        let Some(node) = self.tree.get(path) else {
            return vec!["  no such node".to_owned()];
        };
        let stat = node.shown_stat();
        vec![match verb {
            "data" => {
                let data = node.data().map(String::from_utf8_lossy);
                format!("  {}", data.as_deref().unwrap_or("null"))
            }
            "children" => {
                let mut names: Vec<&str> = node.children().collect();
                names.sort_unstable();
                format!("  {}", names.join(" "))
            }
            "acl" => {
                let entries = node
                    .acl()
                    .iter()
                    .map(|entry| format!("{}:{:x}", entry.id.scheme, entry.perms.0));
                format!("  {}", entries.collect::<Vec<_>>().join(" "))
            }
            _ => format!(
                "  czxid {} mzxid {} pzxid {} version {} cversion {} aversion {} owner {} data {} children {}",
                stat.czxid,
                stat.mzxid,
                stat.pzxid,
                stat.version,
                stat.cversion,
                stat.aversion,
                stat.ephemeral_owner,
                stat.data_length,
                stat.num_children
            ),
        }]
    }

    fn watch(&mut self, words: &Words<'_>) {
        let conn = ConnId(words.number(0) as u64);
        match words.at(1) {
            "data" => self.watches.watch_data(words.at(2), conn),
            "children" => self.watches.watch_children(words.at(2), conn),
            _ => words.unknown(),
        }
    }

    fn set_watches(&mut self, words: &Words<'_>) -> Vec<String> {
        let paths = |name| {
            let list = words
                .get(name)
                .unwrap_or_default()
                .split(',')
                .filter(|path| !path.is_empty());
            list.map(Into::into).collect()
        };
        let request = SetWatches {
            relative_zxid: Zxid(words.get("zxid").map_or(0, hex)),
            data: paths("data"),
            exist: paths("exist"),
            child: paths("child"),
        };
        let mut fired = Vec::new();
        self.watches
            .set_watches(&self.tree, ConnId(words.number(0) as u64), &request, &mut fired);
        fired.iter().map(event).collect()
    }

    fn reload(&mut self) {
        let mut walk = self.tree.begin_walk();
        let mut stream = Vec::new();
        while !walk
            .walk_some(&self.tree, 100, &mut stream)
            .expect("the same tree")
        {}
        self.tree = DataTree::read_from(&mut stream.as_slice()).expect("what was written");
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() {
        "  none".to_owned()
    } else {
        format!("  {}", words.join(" "))
    }
}

fn hex(word: &str) -> i64 {
    i64::from_str_radix(word.trim_start_matches("0x"), 16).expect("a zxid in hexadecimal")
}

fn event(fired: &Fired) -> String {
    format!("    {} hears {:?} {}", fired.watcher.0, fired.kind, fired.path)
}

/// A result without what `stat` shows better.
fn brief(result: &str) -> &str {
    result.split("(Stat").next().unwrap_or(result)
}

fn single<'a>(verb: &str, words: &Words<'a>) -> Txn<'a> {
    let data = words.get("data").map(str::as_bytes);
    let version = words.number_of("version").unwrap_or(0) as i32;
    match verb {
        "create" => Txn::Create(CreateTxn {
            path: words.at(0).into(),
            data,
            acl: acl(words),
            ephemeral: words.number_of("session").is_some(),
            parent_cversion: words.number_of("cversion").unwrap_or(-1) as i32,
        }),
        "delete" => Txn::Delete(DeleteTxn {
            path: words.at(0).into(),
        }),
        "set" => Txn::SetData(SetDataTxn {
            path: words.at(0).into(),
            data,
            version,
        }),
        "setacl" => Txn::SetAcl(SetAclTxn {
            path: words.at(0).into(),
            acl: acl(words),
            version,
        }),
        "session" => Txn::CreateSession(words.number(1) as i32),
        "close" => Txn::CloseSession,
        "error" => Txn::Error(words.number(0) as i32),
        _ => words.unknown(),
    }
}

fn acl(words: &Words<'_>) -> Option<Vec<Acl>> {
    match words.get("acl") {
        None => Some(Acl::open()),
        Some("null") => None,
        Some("read") => Some(vec![Acl::new(Perms::READ, "world", "anyone")]),
        Some(other) => panic!("no such ACL: {other}"),
    }
}

fn parts(command: &str) -> Vec<SubTxn<'static>> {
    let rest = command.split_once(' ').map_or("", |(_, rest)| rest);
    let part = |text: &str| {
        let (verb, words) = Words::of(text);
        let txn = single(verb, &words);
        SubTxn {
            op: txn.op().number(),
            record: txn.to_bytes().into(),
        }
    };
    rest.split(';').map(str::trim).map(part).collect()
}
