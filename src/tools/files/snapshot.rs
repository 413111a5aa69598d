//! `oxkeeper snapshot`: a snapshot as Java's SnapshotFormatter prints it, or its summary.

use std::io::Write;
use std::path::{Path, PathBuf};

use getopts::Options;

use super::java_hash;
use super::say::{Done, Trouble, speak};
use super::summary;
use crate::proto::{SessionId, StatPersisted};
use crate::runtime::time::java_date;
use crate::runtime::{Disk, ExitCode, OsDisk};
use crate::storage::{Dirs, InvalidSnapshot, SnapshotInput};
use crate::tools::cli::safe_name;
use crate::tree::{DataTree, NodeRef};

/// The text of `--help`.
pub fn help_text() -> String {
    options().usage(BRIEF)
}

/// Runs the tool with the words behind `snapshot`.
pub fn run(words: &[String]) -> ExitCode {
    let options = options();
    speak("snapshot", |out| {
        let wrong =
            |why: String| Trouble::Told(ExitCode::BadConfig, format!("{why}\n{}", options.usage(BRIEF)));
        let matches = options.parse(words).map_err(|error| wrong(error.to_string()))?;
        if matches.opt_present("help") {
            write!(out, "{}", help_text())?;
            return Ok(ExitCode::Ok);
        }
        let [path] = matches.free.as_slice() else {
            return Err(wrong("USAGE: oxkeeper snapshot snapshot_file".to_owned()));
        };
        let number = |name: &str, default: usize| match matches.opt_str(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| wrong(format!("--{name} is {text:?}, but must be a number"))),
        };
        let (top, depth) = (number("top", 10)?, number("depth", 1)?);
        let path = newest_in(Path::new(path))?;
        let (tree, sum) = read(&path)?;
        if matches.opt_present("json") {
            writeln!(out, "{}", summary::take(&tree, top, depth).json(&path))?;
        } else if matches.opt_present("summary") {
            write!(out, "{}", summary::take(&tree, top, depth).text(&path))?;
        } else {
            print(&tree, out)?;
        }
        match sum {
            Ok(()) => Ok(ExitCode::Ok),
            Err(why) => {
                out.flush()?;
                let shown = path.display();
                Err(Trouble::Told(
                    ExitCode::DamagedData,
                    format!("{shown} is not as it was written: {why}"),
                ))
            }
        }
    })
}

fn options() -> Options {
    let mut options = Options::new();
    options
        .optflag(
            "s",
            "summary",
            "what is in it instead: counts, bytes, the largest of all",
        )
        .optflag("j", "json", "the summary as JSON")
        .optopt("n", "top", "how many of the largest (10)", "N")
        .optopt("", "depth", "how deep the subtrees are told apart (1)", "N")
        .optflag("h", "help", "print this");
    options
}

/// A snapshot's tree, and whether its bytes are those that were written. Java's formatter does not look at
/// that; what can be read is shown all the same.
fn read(path: &Path) -> Done<(DataTree, Result<(), InvalidSnapshot>)> {
    let shown = path.display();
    let unreadable = |why: InvalidSnapshot| {
        Trouble::Told(
            ExitCode::DamagedData,
            format!("{shown} is no snapshot that can be read: {why}"),
        )
    };
    let mut input = SnapshotInput::open(&OsDisk, path).map_err(unreadable)?;
    let tree = DataTree::read_from(&mut input).map_err(|why| unreadable(why.into()))?;
    Ok((tree, input.finish()))
}

/// The newest snapshot if a data directory is named, else the file itself.
fn newest_in(path: &Path) -> Done<PathBuf> {
    let inner = path.join("version-2");
    let data_dir = if OsDisk.exists(&inner) {
        path
    } else if path.ends_with("version-2") {
        path.parent().unwrap_or(path)
    } else {
        return Ok(path.to_owned());
    };
    let snapshots = Dirs::of(data_dir, data_dir)
        .snapshots(&OsDisk)
        .map_err(|why| Trouble::new(why.to_string()))?;
    let newest = snapshots.last().map(|file| file.path.clone());
    newest.ok_or_else(|| Trouble::new(format!("there is no snapshot in {}", path.display())))
}

/// Line for line what SnapshotFormatter prints.
fn print(tree: &DataTree, out: &mut impl Write) -> Done<()> {
    writeln!(out, "ZNode Details (count={}):", tree.node_count())?;
    let mut waiting = vec!["/".to_owned()];
    while let Some(path) = waiting.pop() {
        let Some(node) = tree.get(&path) else {
            continue;
        };
        writeln!(out, "----\n{}", safe_name(&path))?;
        print_node(&node, out)?;
        let above = if path == "/" { "" } else { path.as_str() };
        let children = java_hash::in_order(node.children().collect(), SET_CAPACITY, |name| {
            java_hash::of_text(name)
        });
        waiting.extend(children.iter().rev().map(|name| format!("{above}/{name}")));
    }
    writeln!(out, "----\nSession Details (sid, timeout, ephemeralCount):")?;
    print_sessions(tree, out)
}

fn print_node(node: &NodeRef<'_>, out: &mut impl Write) -> Done<()> {
    let StatPersisted {
        czxid,
        mzxid,
        pzxid,
        ctime,
        mtime,
        version,
        cversion,
        aversion,
        ephemeral_owner,
    } = node.stat();
    writeln!(out, "  cZxid = {:#016x}", czxid.0)?;
    writeln!(out, "  ctime = {}", java_date(ctime))?;
    writeln!(out, "  mZxid = {:#016x}", mzxid.0)?;
    writeln!(out, "  mtime = {}", java_date(mtime))?;
    writeln!(out, "  pZxid = {:#016x}", pzxid.0)?;
    writeln!(out, "  cversion = {cversion}")?;
    writeln!(out, "  dataVersion = {version}")?;
    writeln!(out, "  aclVersion = {aversion}")?;
    writeln!(out, "  ephemeralOwner = {ephemeral_owner:#016x}")?;
    match node.data() {
        Some(data) => writeln!(out, "  dataLength = {}", data.len())?,
        None => writeln!(out, "  no data")?,
    }
    Ok(())
}

/// The file has them in the order of a hash table of Java's, or of ours by number; Java puts them into another.
fn print_sessions(tree: &DataTree, out: &mut impl Write) -> Done<()> {
    let sessions: Vec<(SessionId, i32)> = tree.sessions().collect();
    let sessions = java_hash::in_order(sessions, MAP_CAPACITY, |(id, _)| java_hash::of_number(id.0));
    for (id, timeout_ms) in sessions {
        let ephemerals = tree.ephemerals_of(id).len();
        writeln!(out, "{:#016x}, {timeout_ms}, {ephemerals}", id.0)?;
    }
    Ok(())
}

const BRIEF: &str = "Usage: oxkeeper snapshot [options] SNAPSHOT

Prints a snapshot as Java's SnapshotFormatter does. SNAPSHOT is a file, or a data directory, of which the newest
one is taken. Nothing is changed.";
/// A node's set of children begins so. (DataNode.addChild)
const SET_CAPACITY: usize = 8;
/// And any other table.
const MAP_CAPACITY: usize = 16;
