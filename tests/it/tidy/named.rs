//! Every word of the protocol and of the configuration stands in some test: one that nobody tests may be spelt wrongly,
//! and nobody would know.

use std::fs;
use std::path::Path;

use oxkeeper::clients::Word;
use oxkeeper::config::options;
use oxkeeper::proto::packet::PacketType;
use oxkeeper::proto::{EventType, OpCode};

/// What tests say: test code, scripts of all kinds, and their data.
pub fn unnamed(tests: &str) -> Vec<String> {
    let mut unnamed = Vec::new();
    let mut demand = |what: &str, spellings: &[String]| {
        if !spellings.iter().any(|spelling| stands_in(tests, spelling)) {
            unnamed.push(format!("no test names {what} ({})", spellings.join(", ")));
        }
    };
    for op in OpCode::ALL {
        demand("the operation", &[format!("OpCode::{op:?}")]);
    }
    for event in EventType::ALL {
        demand(
            "the event",
            &[format!("EventType::{event:?}"), format!("hears {event:?}")],
        );
    }
    for kind in (0..=20)
        .map(PacketType::of)
        .filter(|kind| !matches!(kind, PacketType::Unknown(_)))
    {
        demand("the packet", &[format!("PacketType::{kind:?}"), kind.to_string()]);
    }
    for word in Word::ALL {
        demand("the four-letter word", &[word.name()]);
    }
    for option in options::ALL {
        // `server.N` stands in tests as server.1, group.G as group.1 and so on.
        let (name, key) = (option.name, option.key().unwrap_or(option.name));
        let digit = |name: &str| match name.strip_suffix(".N").or(name.strip_suffix(".G")) {
            Some(start) => format!("{start}.1"),
            None => name.to_owned(),
        };
        demand("the option", &[digit(name), digit(key)]);
    }
    unnamed
}

/// Whether a word stands in a text, alone.
fn stands_in(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// The texts below a directory that are no Rust: scripts, and programs in other languages.
pub fn scripts(dir: &Path, text: &mut String) {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    for entry in entries {
        let path = entry.expect("an entry").path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if path.is_dir() {
            scripts(&path, text);
        } else if matches!(ending, Some("txt" | "py" | "sh" | "java" | "c")) {
            *text += &fs::read_to_string(&path).unwrap_or_default();
        }
    }
}

#[test]
fn a_word_is_found_only_alone() {
    assert!(stands_in("a tickTime=2000", "tickTime") && !stands_in("tickTimes mytickTime", "tickTime"));
    assert!(unnamed("").len() > 80);
    assert!(
        !unnamed("OpCode::Create, ruok, PacketType::Diff")
            .iter()
            .any(|line| line.contains("ruok"))
    );
}

/// Old faults that a table lists and no test proves: each row names a test, which exists and whose comment names every
/// fault of the row.
pub fn unproven(table: &str, tests: &str) -> Vec<String> {
    let rows = table.lines().filter(|row| row.starts_with("| ZOOKEEPER-"));
    let mut unproven = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let test = cells
            .get(3)
            .and_then(|cell| cell.trim_matches('`').rsplit(' ').next());
        let Some(comment) = test.and_then(|test| comment_of(tests, test)) else {
            unproven.push(format!("no test is called {}: {row}", test.unwrap_or_default()));
            continue;
        };
        for fault in cells[1].split(", ").filter(|fault| !stands_in(&comment, fault)) {
            unproven.push(format!(
                "the comment of {} does not name {fault}",
                test.unwrap_or_default()
            ));
        }
    }
    unproven
}

/// The lines of comment above a test.
fn comment_of(tests: &str, test: &str) -> Option<String> {
    let at = tests.find(&format!("fn {test}()"))?;
    let above = tests[..at]
        .lines()
        .rev()
        .skip_while(|line| !line.contains("#[test]"))
        .skip(1);
    let comment = above.take_while(|line| line.trim_start().starts_with("///"));
    Some(comment.collect::<Vec<_>>().join("\n"))
}

#[test]
fn a_fault_that_no_test_names_is_found() {
    let tests = "/// ZOOKEEPER-12.\n#[test]\nfn a_test() {\n}\n";
    let row = |fault: &str, test: &str| unproven(&format!("| {fault} | what | `sim: {test}` |"), tests).len();
    assert_eq!(row("ZOOKEEPER-12", "a_test"), 0);
    assert_eq!(row("ZOOKEEPER-12, ZOOKEEPER-1", "a_test"), 1);
    assert_eq!(row("ZOOKEEPER-12", "no_test"), 1);
}
