//! `oxkeeper compare`: which transaction and which node two data directories first differ in. Reads only.

use std::io::Write;
use std::path::{Path, PathBuf};

use getopts::Options;

use super::say::{Done, Trouble, speak};
use super::txn_text;
use crate::proto::txn::LoggedTxn;
use crate::proto::{StatPersisted, Zxid};
use crate::runtime::{ExitCode, OsDisk};
use crate::storage::{Dirs, LogReader, RecoveryOptions, StorageError, load};
use crate::tools::cli::safe_name;
use crate::tree::DataTree;

/// The text of `--help`.
pub fn help_text() -> String {
    options().usage(BRIEF)
}

/// Runs the tool with the words behind `compare`.
pub fn run(words: &[String]) -> ExitCode {
    let options = options();
    speak("compare", |out| {
        let wrong =
            |why: String| Trouble::Told(ExitCode::BadConfig, format!("{why}\n{}", options.usage(BRIEF)));
        let matches = options.parse(words).map_err(|error| wrong(error.to_string()))?;
        if matches.opt_present("help") {
            write!(out, "{}", help_text())?;
            return Ok(ExitCode::Ok);
        }
        let [one, other] = matches.free.as_slice() else {
            return Err(wrong("two data directories are wanted".to_owned()));
        };
        let most = match matches.opt_str("nodes") {
            None => 10,
            Some(text) => text
                .parse()
                .map_err(|_| wrong(format!("--nodes is {text:?}, but must be a number")))?,
        };
        let one = Side::open("first", one, matches.opt_str("log-dir-1"))?;
        let other = Side::open("second", other, matches.opt_str("log-dir-2"))?;
        let same = compare_logs(&one, &other, out)?;
        let same = compare_trees(&one, &other, most, out)? && same;
        writeln!(
            out,
            "{}",
            if same {
                "No difference found."
            } else {
                "They differ."
            }
        )?;
        Ok(if same { ExitCode::Ok } else { ExitCode::Unexpected })
    })
}

fn options() -> Options {
    let mut options = Options::new();
    options
        .optopt(
            "",
            "log-dir-1",
            "where the logs of the first one are, if elsewhere",
            "DIR",
        )
        .optopt(
            "",
            "log-dir-2",
            "where the logs of the second one are, if elsewhere",
            "DIR",
        )
        .optopt("n", "nodes", "how many nodes to name (10)", "N")
        .optflag("h", "help", "print this");
    options
}

/// One of the two.
struct Side {
    name: &'static str,
    dirs: Dirs,
    /// The first transaction of its logs, if it has any.
    first: Option<Zxid>,
    last: Zxid,
}

impl Side {
    fn open(name: &'static str, data_dir: &str, log_dir: Option<String>) -> Done<Side> {
        let data_dir = without_version(Path::new(data_dir));
        let log_dir = log_dir.map_or_else(|| data_dir.clone(), |dir| without_version(Path::new(&dir)));
        let dirs = Dirs::of(&log_dir, &data_dir);
        let first = dirs.logs(&OsDisk).map_err(trouble)?.first().map(|log| log.zxid);
        let state = load(&OsDisk, &dirs, &RecoveryOptions::default(), Zxid(i64::MAX)).map_err(trouble)?;
        Ok(Side {
            name,
            dirs,
            first,
            last: state.last_zxid,
        })
    }

    fn tree_at(&self, zxid: Zxid) -> Result<DataTree, StorageError> {
        Ok(load(&OsDisk, &self.dirs, &RecoveryOptions::default(), zxid)?.tree)
    }
}

/// A `version-2` directory stands for the one that holds it.
fn without_version(dir: &Path) -> PathBuf {
    let inner = dir.ends_with("version-2").then(|| dir.parent()).flatten();
    inner.unwrap_or(dir).to_owned()
}

fn trouble(why: StorageError) -> Trouble {
    Trouble::Told(ExitCode::DamagedData, why.to_string())
}

/// Whether the transactions that both have logs of are the same.
fn compare_logs(one: &Side, other: &Side, out: &mut impl Write) -> Done<bool> {
    for side in [one, other] {
        let first = side
            .first
            .map_or("none".to_owned(), |zxid| format!("from {zxid}"));
        let (name, dir) = (side.name, side.dirs.snapshot.display());
        writeln!(out, "The {name}: {dir}, logs {first}, last zxid {}", side.last)?;
    }
    let (Some(first), Some(second)) = (one.first, other.first) else {
        writeln!(out, "Logs: not compared, since one side has none.")?;
        return Ok(true);
    };
    let after = Zxid(first.max(second).0.wrapping_sub(1));
    let mut left = LogReader::open(&OsDisk, &one.dirs, after).map_err(trouble)?;
    let mut right = LogReader::open(&OsDisk, &other.dirs, after).map_err(trouble)?;
    let mut count = 0u64;
    loop {
        match (
            left.next_txn().map_err(trouble)?,
            right.next_txn().map_err(trouble)?,
        ) {
            (Some(a), Some(b)) if a == b => count += 1,
            (Some(a), Some(b)) => {
                let zxid = a.zxid().min(b.zxid());
                writeln!(
                    out,
                    "Logs: {count} transactions are equal; the first difference is zxid {zxid}:"
                )?;
                for (side, txn) in [(one, &a), (other, &b)] {
                    writeln!(out, "  {}: {}", side.name, text(txn))?;
                }
                return Ok(false);
            }
            (None, None) => {
                writeln!(out, "Logs: all {count} transactions that both have are equal.")?;
                return Ok(true);
            }
            (more, fewer) => {
                let longer = if more.is_some() { one.name } else { other.name };
                let next = more.or(fewer).map_or(Zxid(0), |txn| txn.zxid());
                writeln!(
                    out,
                    "Logs: {count} transactions are equal; then only the {longer} goes on, with zxid {next}."
                )?;
                return Ok(false);
            }
        }
    }
}

fn text(txn: &LoggedTxn) -> String {
    let line = txn_text::line(txn.bytes()).unwrap_or_else(|why| format!("zxid {}: {why}", txn.zxid()));
    line.trim_end().to_owned()
}

/// Whether both hold the same at the last transaction that both have.
fn compare_trees(one: &Side, other: &Side, most: usize, out: &mut impl Write) -> Done<bool> {
    let zxid = one.last.min(other.last);
    let trees = one
        .tree_at(zxid)
        .and_then(|tree| Ok((tree, other.tree_at(zxid)?)));
    let (left, right, moment) = match trees {
        Ok((left, right)) => (left, right, format!("at zxid {zxid}")),
        Err(_) => {
            // The older snapshots are purged: what there is, is compared.
            let newest = Zxid(i64::MAX);
            let left = one.tree_at(newest).map_err(trouble)?;
            (
                left,
                other.tree_at(newest).map_err(trouble)?,
                "at each side's end".to_owned(),
            )
        }
    };
    let found = differences(&left, &right);
    if found.is_empty() && sessions(&left) == sessions(&right) {
        writeln!(out, "Trees {moment}: equal, {} nodes.", left.node_count() - 1)?;
        return Ok(true);
    }
    writeln!(out, "Trees {moment}: {} nodes differ.", found.len())?;
    if let Some(first) = found.iter().min_by_key(|difference| difference.zxid) {
        let path = safe_name(&first.path);
        writeln!(
            out,
            "  The oldest change that only one side has made: zxid {}, at {path}",
            first.zxid
        )?;
    }
    for difference in found.iter().take(most) {
        let (path, what) = (safe_name(&difference.path), &difference.what);
        writeln!(out, "  {path}: {what}")?;
    }
    if found.len() > most {
        writeln!(out, "  ... and {} more", found.len() - most)?;
    }
    if sessions(&left) != sessions(&right) {
        let (left, right) = (left.sessions().count(), right.sessions().count());
        writeln!(out, "  The sessions differ: {left} and {right}")?;
    }
    Ok(false)
}

/// A node that is not the same on both sides.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    path: String,
    what: String,
    /// The older of the two sides' newest changes of the node.
    zxid: Zxid,
}

/// By path, parents first. A subtree that one side lacks is one difference.
fn differences(left: &DataTree, right: &DataTree) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut waiting = vec![String::new()];
    while let Some(path) = waiting.pop() {
        let (a, b) = match (left.get(&path), right.get(&path)) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => {
                let side = if a.is_some() { "first" } else { "second" };
                let zxid = a.or(b).map_or(Zxid(0), |node| node.stat().czxid);
                let what = format!("only the {side} has it, made by zxid {zxid}");
                found.push(Difference { path, what, zxid });
                continue;
            }
        };
        let mut what = stat_differences(&a.stat(), &b.stat());
        if a.data() != b.data() {
            let length =
                |data: Option<&[u8]>| data.map_or("null".to_owned(), |data| format!("{} bytes", data.len()));
            what.push(format!("data: {} and {}", length(a.data()), length(b.data())));
        }
        if a.acl() != b.acl() {
            what.push("the ACL".to_owned());
        }
        let mut names: Vec<&str> = a.children().chain(b.children()).collect();
        names.sort_unstable();
        names.dedup();
        waiting.extend(names.iter().rev().map(|name| format!("{path}/{name}")));
        if !what.is_empty() {
            let newest = |stat: StatPersisted| stat.czxid.max(stat.mzxid).max(stat.pzxid);
            found.push(Difference {
                zxid: newest(a.stat()).min(newest(b.stat())),
                path: if path.is_empty() { "/".to_owned() } else { path },
                what: what.join("; "),
            });
        }
    }
    found
}

fn stat_differences(a: &StatPersisted, b: &StatPersisted) -> Vec<String> {
    let fields = |stat: &StatPersisted| {
        [
            ("cZxid", stat.czxid.to_string()),
            ("mZxid", stat.mzxid.to_string()),
            ("pZxid", stat.pzxid.to_string()),
            ("ctime", stat.ctime.to_string()),
            ("mtime", stat.mtime.to_string()),
            ("dataVersion", stat.version.to_string()),
            ("cversion", stat.cversion.to_string()),
            ("aclVersion", stat.aversion.to_string()),
            ("ephemeralOwner", format!("0x{:x}", stat.ephemeral_owner)),
        ]
    };
    let pairs = fields(a).into_iter().zip(fields(b));
    let differing = pairs.filter(|((_, a), (_, b))| a != b);
    differing
        .map(|((name, a), (_, b))| format!("{name}: {a} and {b}"))
        .collect()
}

fn sessions(tree: &DataTree) -> Vec<(i64, i32)> {
    tree.sessions()
        .map(|(id, timeout_ms)| (id.0, timeout_ms))
        .collect()
}

const BRIEF: &str = "Usage: oxkeeper compare [options] DATADIR DATADIR

Compares two data directories, ours or Java's: the transactions that both have logs of, and the trees at the last
transaction that both have. Ends with 0 if no difference is found, with 1 if there is one, and with 14 if one of
them is damaged. Nothing is changed.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::txn::{SetDataTxn, Txn, TxnHeader};
    use crate::proto::{Acl, SessionId, Xid};

    fn apply(tree: &mut DataTree, zxid: i64, txn: &Txn<'_>) {
        let header = TxnHeader {
            session: SessionId(1),
            cxid: Xid(1),
            zxid: Zxid(zxid),
            time_ms: 5,
            op: txn.op().number(),
        };
        tree.apply(&header, txn, None);
    }

    fn create(tree: &mut DataTree, zxid: i64, path: &str) {
        let txn = Txn::Create(crate::proto::txn::CreateTxn {
            path: path.into(),
            data: Some(b"x"),
            acl: Some(Acl::open()),
            ephemeral: false,
            parent_cversion: 1,
        });
        apply(tree, zxid, &txn);
    }

    #[test]
    fn nodes_that_differ_are_named_with_what_differs() {
        let (mut one, mut other) = (DataTree::new(), DataTree::new());
        for tree in [&mut one, &mut other] {
            create(tree, 1, "/a");
            create(tree, 2, "/b");
        }
        assert_eq!(differences(&one, &other), []);
        create(&mut one, 3, "/a/only");
        create(&mut one, 4, "/a/only/below");
        let set = Txn::SetData(SetDataTxn {
            path: "/b".into(),
            data: Some(b"longer"),
            version: 1,
        });
        apply(&mut other, 3, &set);
        let found = differences(&one, &other);
        let paths: Vec<&str> = found.iter().map(|difference| difference.path.as_str()).collect();
        assert_eq!(paths, ["/a", "/a/only", "/b"]);
        assert_eq!(found[1].what, "only the first has it, made by zxid 0x3");
        assert!(
            found[2].what.contains("mZxid: 0x2 and 0x3")
                && found[2].what.ends_with("data: 1 bytes and 6 bytes")
        );
    }

    #[test]
    fn a_version_directory_stands_for_its_parent() {
        assert_eq!(without_version(Path::new("/d/version-2")), Path::new("/d"));
        assert_eq!(without_version(Path::new("/d")), Path::new("/d"));
    }
}
