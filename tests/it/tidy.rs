//! The rules of the house that a machine can check: floors, lengths, who may touch the machine, leftovers.
//! Each finding names file and line, and what to do instead.

mod named;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// The rooms, their floors, and those of lower floors that they may not use.
///
/// A room uses rooms of lower floors only: neither its own neighbours nor anything above.
const ROOMS: &[(&str, u8, &[&str])] = &[
    ("seeded_fault", 0, &[]),
    ("proto", 1, &[]),
    ("runtime", 1, &[]),
    ("tls", 1, &[]),
    ("tree", 2, &["runtime"]),
    ("auth", 2, &["runtime"]),
    ("ensemble", 2, &["runtime"]),
    ("sasl", 2, &["proto", "runtime"]),
    ("storage", 3, &["auth", "ensemble"]),
    ("zab", 3, &["runtime", "tree", "auth"]),
    ("config", 3, &["tree", "auth"]),
    ("request", 4, &["zab", "config"]),
    ("tools", 4, &["zab", "config"]),
    ("clients", 5, &["tools", "config", "zab"]),
    ("processors", 5, &["tools", "config"]),
    ("quorum", 6, &["tools", "config", "clients"]),
    ("admin", 6, &["tools", "config", "zab", "processors", "quorum"]),
    ("net", 7, &["tools", "config"]),
    ("server", 8, &["tools"]),
    ("args", 9, &[]),
    ("main", 10, &[]),
    ("lib", 10, &[]),
];

/// A word, where it may stand (beginnings of paths), and what to do elsewhere.
const BANNED: &[(&str, &[&str], &str)] = &[
    (
        "mio",
        SOCKETS,
        "sockets belong to net/; a core takes bytes and gives bytes",
    ),
    (
        "TcpStream",
        SOCKETS,
        "sockets belong to net/; a core takes bytes and gives bytes",
    ),
    (
        "TcpListener",
        SOCKETS,
        "sockets belong to net/; a core takes bytes and gives bytes",
    ),
    (
        "UdpSocket",
        SOCKETS,
        "sockets belong to net/; a core takes bytes and gives bytes",
    ),
    ("ToSocketAddrs", SOCKETS, "names are resolved in net/"),
    (
        "std::fs",
        FILES,
        "use runtime::Disk, which a simulator can make fail",
    ),
    (
        "Instant::now",
        CLOCKS,
        "take `now: Now` as an argument, or a runtime::Clock",
    ),
    (
        "SystemTime::now",
        CLOCKS,
        "take `now: Now` as an argument, or a runtime::Clock",
    ),
    (
        "thread::spawn",
        CLOCKS,
        "use runtime::Threads::spawn, which names, watches and joins the thread",
    ),
    (
        "thread::Builder",
        CLOCKS,
        "use runtime::Threads::spawn, which names, watches and joins the thread",
    ),
    (
        "thread::sleep",
        CLOCKS,
        "wait for a letter or a deadline, not for a guess",
    ),
    (
        "thread::scope",
        CLOCKS,
        "use runtime::Threads::spawn, which names, watches and joins the thread",
    ),
    (
        "rustix",
        MACHINE,
        "the machine is asked in runtime/, sockets are set in net/",
    ),
    (
        "signal_hook",
        &["src/server/signals.rs", "src/tools/cli/"],
        "signals come to server/signals.rs",
    ),
    (
        "process::exit",
        &["src/main.rs"],
        "return a Halt, which ends the process in order",
    ),
    (
        "env::var",
        ENVIRONMENT,
        "take it as an argument: the environment is read where a process begins",
    ),
    ("RandomState", &[], "take random numbers from what is handed in"),
    ("dbg!", &[], "use log"),
    ("todo!", &[], "finish it"),
    ("unimplemented!", &[], "finish it"),
];
/// Tools are programs of their own, with clients and load generators in them.
const SOCKETS: &[&str] = &["src/net/", "src/tools/"];
const FILES: &[&str] = &[
    "src/runtime/os_disk.rs",
    "src/config/",
    "src/server/logging.rs",
    // The logs of others, and a page: nothing that a server lives on.
    "src/tools/rounds/",
    // /proc, where the processor time of a load generator and its servers stands.
    "src/tools/bench/cpu.rs",
];
/// What no library room below net/ may ask the kernel.
const MACHINE: &[&str] = &["src/runtime/", "src/net/", "src/tools/"];
const ENVIRONMENT: &[&str] = &[
    "src/main.rs",
    "src/seeded_fault.rs",
    "src/server/logging.rs",
    "src/runtime/machine.rs",
    "src/tools/",
];
const CLOCKS: &[&str] = &["src/runtime/", "src/net/", "src/tools/"];

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;

/// A file of the house.
struct HouseFile {
    /// Its path from the top.
    path: String,
    source: Source,
    /// Whether only a test build has it.
    is_test: bool,
}

#[test]
fn the_house_is_tidy() {
    let files = house();
    let findings = files
        .iter()
        .flat_map(|file| check(&file.path, &file.source, file.is_test));
    complain(&findings.collect::<Vec<_>>());
}

#[test]
fn every_old_fault_that_is_listed_has_its_test() {
    let mut tests = String::new();
    for file in house()
        .iter()
        .filter(|file| file.path != "tests/it/tidy/named.rs")
    {
        tests += &file.source.lines.join("\n");
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/sim/README.md")).expect("the table");
    assert!(table.matches("| ZOOKEEPER-").count() > 15, "the table is gone");
    complain(&named::unproven(&table, &tests));
}

#[test]
fn every_word_of_the_protocol_and_the_configuration_is_named_in_some_test() {
    let mut tests = String::new();
    for file in house() {
        // This test names none itself.
        let lines = file.source.lines.iter().zip(&file.source.is_test);
        let lines = lines.filter(|(_, is_test)| file.is_test || **is_test);
        for (line, _) in lines.filter(|_| file.path != "tests/it/tidy/named.rs") {
            tests += line;
            tests += "\n";
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    named::scripts(&root.join("tests"), &mut tests);
    complain(&named::unnamed(&tests));
}

fn complain(findings: &[String]) {
    let count = findings.len();
    assert!(findings.is_empty(), "{count} findings:\n{}", findings.join("\n"));
}

/// All files of Rust.
fn house() -> Vec<HouseFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for top in ["src", "tests"] {
        rust_files(&root.join(top), &mut paths);
    }
    assert!(
        paths.len() > 20,
        "the files of the house are not where they should be: {paths:?}"
    );
    paths.sort();
    // A file stands above its modules, so that a module for tests is known before it is looked at.
    paths.sort_by_key(|path| {
        (
            path.components().count(),
            path.file_stem() != Some("mod".as_ref()),
        )
    });
    let mut test_only = BTreeSet::new();
    let mut files = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let source = Source::new(&text);
        let relative = path.strip_prefix(root).unwrap_or(&path);
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let named_so = stem.is_some_and(|stem| stem.ends_with("tests"));
        let is_test = named_so
            || relative.starts_with("tests")
            || test_only.iter().any(|stem: &PathBuf| path.starts_with(stem));
        for module in &source.test_modules {
            let dir = match stem {
                Some("mod" | "lib" | "main") => path.with_file_name(""),
                _ => path.with_extension(""),
            };
            test_only.insert(dir.join(module));
            test_only.insert(dir.join(module).with_extension("rs"));
        }
        files.push(HouseFile {
            path: relative.display().to_string(),
            source,
            is_test,
        });
    }
    files
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension() == Some("rs".as_ref()) {
            files.push(path);
        }
    }
}

/// What is wrong with one file, one line for each finding.
fn check(path: &str, source: &Source, is_test: bool) -> Vec<String> {
    let mut findings = lengths(path, source, is_test);
    for (index, line) in source.lines.iter().enumerate() {
        let code = &source.code[index];
        let mut found = |what: String| findings.push(format!("{path}:{}: {what}", index + 1));
        for leftover in LEFTOVERS.iter().filter(|word| line.contains(**word)) {
            found(format!(
                "{leftover} is left: do it, or say in a sentence how things are"
            ));
        }
        if code.contains("#[ignore") {
            found("a test that is not run proves nothing: mend it or remove it".to_owned());
        }
        if (code.contains("#[allow") || code.contains("#![allow")) && !has_reason(source, index) {
            found("an allow needs its reason in a comment on the line or above it".to_owned());
        }
        if is_test || source.is_test[index] {
            continue;
        }
        let may_panic = code.contains(".unwrap()") || code.contains(".expect(") && !says_why(line);
        if may_panic && !has_reason(source, index) {
            found("return an error, or say on the line or above it why this cannot fail".to_owned());
        }
        for (word, places, instead) in BANNED {
            if has_word(code, word) && !places.iter().any(|place| path.starts_with(place)) {
                found(format!("{word} may not stand here: {instead}"));
            }
        }
    }
    if !is_test {
        findings.extend(imports(path, source));
    }
    findings
}

/// Tests may be long: tables are.
fn lengths(path: &str, source: &Source, is_test: bool) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = source.lines.len();
    if lines > MAX_FILE_LINES {
        findings.push(format!(
            "{path}:{lines}: the file has {lines} lines, more than {MAX_FILE_LINES}: cut it by noun, or put long \
             tests into tests.rs beside it"
        ));
    }
    for function in source.functions() {
        let lines = function.last - function.first + 1;
        if lines > MAX_FUNCTION_LINES && !is_test && !source.is_test[function.first] {
            findings.push(format!(
                "{path}:{}: {} has {lines} lines, more than {MAX_FUNCTION_LINES}: keep the branching, move \
                 straight work into helpers",
                function.first + 1,
                function.name
            ));
        }
    }
    findings
}

/// Whether a comment says why, on the line or in the lines right above it.
fn has_reason(source: &Source, index: usize) -> bool {
    let statement_begins = (0..=index).rev().find(|&line| {
        // A call in a chain belongs to the line with which the statement begins.
        !source.code[line].trim_start().starts_with('.')
    });
    let first = statement_begins.unwrap_or(index);
    let above = first.checked_sub(1);
    let above = above.is_some_and(|above| source.lines[above].trim_start().starts_with("//"));
    above || source.has_comment[first..=index].contains(&true)
}

/// Whether the text of an `expect` is a sentence that says why it cannot fail.
fn says_why(line: &str) -> bool {
    let text = line.split(".expect(\"").nth(1).unwrap_or_default();
    text.split('"')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .count()
        >= 4
}

/// Imports that go up, sideways, or where the room has no business.
fn imports(path: &str, source: &Source) -> Vec<String> {
    let Some(room) = room_of(path) else {
        return vec![format!(
            "{path}:1: this room is on no floor: enter it into the table of tests/it/tidy.rs"
        )];
    };
    let (name, floor, not_these) = room;
    let mut findings = Vec::new();
    let text = source.code.join("\n");
    for (line, used) in used_rooms(&text) {
        let verdict = match ROOMS.iter().find(|(other, ..)| *other == used) {
            _ if source.is_test[line] || used == *name => continue,
            Some((_, used_floor, _)) if used_floor >= floor => format!("is on floor {used_floor}"),
            Some(_) if not_these.contains(&used.as_str()) => "is none of its business".to_owned(),
            Some(_) => continue,
            None => "is on no floor".to_owned(),
        };
        findings.push(format!(
            "{path}:{}: {name} (floor {floor}) uses {used}, which {verdict}: hand the value in from above, or move \
             the type down",
            line + 1
        ));
    }
    findings
}

fn room_of(path: &str) -> Option<&'static (&'static str, u8, &'static [&'static str])> {
    let inner = path.strip_prefix("src/")?;
    let room = inner.split('/').next()?.trim_end_matches(".rs");
    ROOMS.iter().find(|(name, ..)| *name == room)
}

/// The rooms behind each `crate::`, with the line, braces included.
fn used_rooms(text: &str) -> Vec<(usize, String)> {
    let mut used = Vec::new();
    for (at, path) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count();
        let rest = &text[at + path.len()..];
        match rest.strip_prefix('{') {
            None => used.push((line, first_word(rest))),
            Some(group) => {
                let mut depth = 0_i32;
                let ends = |c: char| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth < 0
                };
                let group = group.split(ends).next().unwrap_or_default();
                used.extend(top_level_names(group).map(|name| (line, name)));
            }
        }
    }
    used.retain(|(_, name)| !name.is_empty());
    used
}

fn top_level_names(group: &str) -> impl Iterator<Item = String> + '_ {
    let mut depth = 0_i32;
    let parts = group.split(move |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    parts.map(|part| first_word(part.trim_start()))
}

fn first_word(text: &str) -> String {
    text.chars()
        .take_while(|&c| c.is_alphanumeric() || c == '_')
        .collect()
}

fn has_word(code: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && (word.ends_with('!') || !after.is_some_and(is_word))
    })
}

/// Cut in two, since this file is looked at as well.
const LEFTOVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];

#[test]
fn each_rule_finds_its_fault_and_leaves_the_rest_alone() {
    let long_file = "\n".repeat(601);
    let long_function = format!("fn f() {{\n{}}}\n", "    g();\n".repeat(69));
    let leftover = format!("// {}: later", LEFTOVERS[0]);
    for (path, text, finding) in [
        (
            "src/zab/vote.rs",
            long_file.as_str(),
            Some(":601: the file has 601 lines"),
        ),
        ("src/zab/vote.rs", &long_function, Some(":1: f has 71 lines")),
        ("src/zab/vote.rs", &leftover, Some(":1: ")),
        (
            "src/zab/vote.rs",
            "\nlet a = b.unwrap();",
            Some(":2: return an error"),
        ),
        ("src/zab/vote.rs", "// b is 1\nlet a = b.unwrap();", None),
        (
            "src/zab/vote.rs",
            "// b is 1\nlet a = b\n    .c()\n    .expect(\"d\");",
            None,
        ),
        (
            "src/zab/vote.rs",
            "let a = b\n    .expect(\"http://d\");",
            Some(":2: return an error"),
        ),
        (
            "src/zab/vote.rs",
            "#[cfg(test)]\nmod tests {\n    fn f() { b.unwrap(); }\n}",
            None,
        ),
        (
            "src/zab/vote.rs",
            "#[allow(dead_code)]",
            Some(":1: an allow needs its reason"),
        ),
        (
            "src/zab/vote.rs",
            "#[allow(dead_code)] // for the simulator",
            None,
        ),
        (
            "src/zab/vote.rs",
            "#[test]\n#[ignore]",
            Some(":2: a test that is not run"),
        ),
        (
            "src/zab/vote.rs",
            "let now = Instant::now();",
            Some(":1: Instant::now may not stand here"),
        ),
        ("src/runtime/time.rs", "let now = Instant::now();", None),
        (
            "src/storage/log.rs",
            "use std::fs::File;",
            Some("use runtime::Disk"),
        ),
        (
            "src/zab/vote.rs",
            "use mio::Poll;",
            Some("sockets belong to net/"),
        ),
        ("src/zab/vote.rs", "use std::net::SocketAddr; // mio", None),
        (
            "src/zab/vote.rs",
            "use crate::quorum::Peer;",
            Some("zab (floor 3) uses quorum, which is on floor 6"),
        ),
        (
            "src/zab/vote.rs",
            "use crate::storage::Log;",
            Some("which is on floor 3"),
        ),
        (
            "src/zab/vote.rs",
            "use crate::tree::Tree;",
            Some("none of its business"),
        ),
        ("src/zab/vote.rs", "use crate::{proto::{a, server}, zab};", None),
        (
            "src/zab/vote.rs",
            "use crate::{proto::{a, b}, server::run};",
            Some("uses server"),
        ),
        ("src/cellar/rat.rs", "", Some("on no floor")),
        (
            "src/zab/vote.rs",
            "let home = std::env::var(name);",
            Some("the environment is read where a process begins"),
        ),
        (
            "src/quorum/link.rs",
            "use rustix::net::sockopt;",
            Some("the machine is asked in runtime/"),
        ),
        (
            "src/quorum/link.rs",
            "std::process::exit(1);",
            Some("return a Halt"),
        ),
    ] {
        let findings = check(path, &Source::new(text), false);
        match finding {
            None => assert_eq!(findings, Vec::<String>::new(), "of {text:?}"),
            Some(part) => assert!(
                findings.len() == 1 && findings[0].contains(part) && findings[0].starts_with(path),
                "{text:?} gives {findings:?}"
            ),
        }
    }
}
