//! The commands of the documents: those that can run here are run as they stand, the others are read.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::{Kind, Server};

const DOCUMENTS: [&str; 6] = [
    "README.md",
    "MIGRATION.md",
    "COMPAT.md",
    "ARCHITECTURE.md",
    "tests/README.md",
    "tests/interop/README.md",
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(document: &str) -> String {
    fs::read_to_string(repository().join(document)).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// The commands of the blocks of a document that are for a shell, without their remarks.
fn commands(document: &str) -> Vec<String> {
    let text = text(document);
    let blocks = text.split("\n```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.strip_prefix("sh")?.split_once('\n'));
    let lines = blocks.flat_map(|(_, block)| block.lines().map(without_remark).collect::<Vec<_>>());
    lines.filter(|line| !line.is_empty()).collect()
}

fn without_remark(line: &str) -> String {
    line.split("  #").next().unwrap_or_default().trim_end().to_owned()
}

/// A directory with the scripts in it, as a reader has who has just fetched the sources.
fn scratch() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    symlink(repository().join("scripts"), dir.path().join("scripts")).expect("a link");
    dir
}

fn bash(dir: &Path, command: &str) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-o", "pipefail", "-c", command]).current_dir(dir);
    bash.env("OXKEEPER_BIN", env!("CARGO_BIN_EXE_oxkeeper"));
    bash
}

/// Those of the README that ask servers are asked of one; those of an ensemble run in `ensemble_script`.
#[test]
fn the_readme_s_command_line_works_as_it_stands() {
    let dir = scratch();
    let data = tempfile::tempdir().expect("a directory");
    let server = Server::start(Kind::Oxkeeper, data.path(), &[]);
    let address = server.address().to_string();
    let run = |command: &str| {
        let output = bash(dir.path(), command).output().expect("bash runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command}: {said}");
        output.stdout
    };
    for node in [
        "/app",
        "/app/config theirs",
        "/config ours",
        "/binary 01",
        "/queue",
        "/queue/1",
    ] {
        run(&format!("scripts/zkCli.sh -server {address} create {node}"));
    }
    let mut found = Vec::new();
    for command in commands("README.md") {
        if !command.starts_with("scripts/zkCli.sh") {
            continue;
        }
        // The reader's own servers, and a program that not every machine has.
        let mut command = match command.contains("a:2181,b:2181") {
            true => command.replace("a:2181,b:2181", &format!("{address},{address}")),
            false => command.replace("zkCli.sh ", &format!("zkCli.sh -server {address} ")),
        };
        if Command::new("jq").arg("--version").output().is_err() {
            command = command.replace(
                "| jq .stat.dataVersion",
                "| sed -E 's/.*\"dataVersion\":([0-9]+).*/\\1/'",
            );
        }
        found.push(String::from_utf8_lossy(&run(&command)).into_owned());
    }
    let [theirs, queue, version, binary] = &found[..] else {
        panic!("the README has other commands: {found:?}");
    };
    assert!(theirs.contains("theirs\n"), "{theirs}");
    assert_eq!(
        (queue.as_str(), version.as_str(), binary.as_str()),
        ("/queue\n/queue/1\n", "0\n", "")
    );
    assert_eq!(fs::read(dir.path().join("file")).expect("a file"), b"01");
}

/// Every script, program and option that is named is there. (Those of MIGRATION.md are run by `migration.py`.)
#[test]
fn what_the_documents_call_is_there() {
    let mut complaints = Vec::new();
    let mut seen = 0;
    for document in DOCUMENTS {
        let text = text(document);
        // What stands between backquotes, and the blocks.
        let spans = text.split('`').map(str::to_owned);
        for span in spans.chain(commands(document)) {
            let words: Vec<&str> = span.split_whitespace().collect();
            if let Some(why) = complaint(&words, document) {
                complaints.push(format!("{document}: {span}: {why}"));
            }
            seen += usize::from(called(&words, document).is_some());
        }
    }
    assert!(seen > 60, "only {seen} calls found");
    assert_eq!(complaints, Vec::<String>::new());
}

/// The file that a span calls, if it calls one of ours.
fn called(words: &[&str], document: &str) -> Option<PathBuf> {
    let first = words.first()?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "./-_".contains(c);
    let is_file = first.ends_with(".sh") || first.ends_with(".py");
    if !is_file || !first.chars().all(is_name) || first.starts_with('/') {
        return None;
    }
    let beside = repository().join(document).parent()?.join(first);
    let places = [
        repository().join(first),
        beside,
        repository().join("scripts").join(first),
    ];
    let places = places
        .into_iter()
        .chain([repository().join("tests/interop").join(first)]);
    Some(
        places
            .clone()
            .find(|place| place.exists())
            .unwrap_or_else(|| repository().join(first)),
    )
}

fn complaint(words: &[&str], document: &str) -> Option<String> {
    if let Some(file) = called(words, document) {
        let Ok(meta) = fs::metadata(&file) else {
            // Java's own scripts have the names that ours have.
            return Some("there is no such file".to_owned());
        };
        let is_script = words[0].contains('/') && words[0].ends_with(".sh");
        let runs = meta.permissions().mode() & 0o111 != 0;
        return (is_script && !runs).then(|| "cannot be run".to_owned());
    }
    match words {
        ["oxkeeper", command, rest @ ..] if !command.starts_with('-') => unknown_option(command, rest),
        // Variables may stand before it.
        _ if words.contains(&"cargo") => {
            let behind = words.iter().skip_while(|word| **word != "cargo");
            let behind: Vec<&str> = behind.copied().collect();
            behind.strip_prefix(&["cargo", "test"]).and_then(unknown_test)
        }
        _ => None,
    }
}

fn unknown_option(command: &str, rest: &[&str]) -> Option<String> {
    let help = Command::new(env!("CARGO_BIN_EXE_oxkeeper"))
        .args([command, "--help"])
        .output();
    let help = help.expect("the program runs");
    let own = Command::new(env!("CARGO_BIN_EXE_oxkeeper"))
        .arg("--help")
        .output()
        .expect("it runs");
    if !String::from_utf8_lossy(&own.stdout).contains(&format!("\n    {command} ")) {
        return Some(format!("there is no command {command}"));
    }
    let said = String::from_utf8_lossy(&help.stdout).into_owned() + &String::from_utf8_lossy(&help.stderr);
    let unknown = rest
        .iter()
        .find(|word| word.starts_with("--") && !said.contains(**word));
    unknown.map(|word| format!("there is no option {word}"))
}

/// A filter that fits no test would pass with nothing done.
fn unknown_test(words: &[&str]) -> Option<String> {
    let words: Vec<&str> = words.iter().copied().take_while(|word| *word != "--").collect();
    let target = words
        .iter()
        .position(|word| *word == "--test")
        .map(|at| words[at + 1]);
    let filter = words
        .iter()
        .rev()
        .find(|word| !word.starts_with('-') && Some(**word) != target)?;
    let names = source_names(&repository().join(if words.contains(&"--lib") { "src" } else { "tests" }));
    let wanted: Vec<&str> = filter.split("::").filter(|part| !part.is_empty()).collect();
    let fits = |part: &&str| names.iter().any(|name| name.contains(*part));
    (!wanted.iter().all(fits)).then(|| format!("no test fits {filter}"))
}

/// The names of source files, of directories of them, and of the tests they hold.
fn source_names(dir: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(path) = waiting.pop() {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        names.insert(stem.into_owned());
        if path.is_dir() {
            let entries = fs::read_dir(&path).expect("a directory");
            waiting.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let source = fs::read_to_string(&path).expect("source");
            let functions = source.lines().filter_map(|line| line.trim().strip_prefix("fn "));
            names.extend(functions.filter_map(|line| Some(line.split_once('(')?.0.to_owned())));
        }
    }
    names
}
