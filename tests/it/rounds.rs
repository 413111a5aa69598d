//! `oxkeeper rounds` and `scripts/follow-election.sh`: captured logs against what they are to look like, broken
//! logs, and a real ensemble that is followed while it elects.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;

use crate::support::LONG;
use crate::support::cluster::Cluster;

fn rounds(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxkeeper"));
    command
        .arg("rounds")
        .args(arguments)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm");
    command
}

fn output(arguments: &[&str]) -> Output {
    rounds(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs")
}

/// Exit code, stdout, stderr.
fn said(arguments: &[&str]) -> (i32, String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = output(arguments);
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code().expect("no signal"), text(stdout), text(stderr))
}

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/election-logs")
}

fn logs(story: &str) -> Vec<String> {
    (1..=4)
        .map(|n| {
            captures()
                .join(story)
                .join(format!("{n}.log"))
                .display()
                .to_string()
        })
        .collect()
}

/// With OXKEEPER_BLESS=1 what came out becomes what is expected; the difference is for the one who commits it.
fn compare(name: &str, text: &str) {
    let path = captures().join(name);
    if std::env::var_os("OXKEEPER_BLESS").is_some() {
        fs::write(&path, text).expect("written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let first = expected.lines().zip(text.lines()).position(|(a, b)| a != b);
    assert!(
        expected == text,
        "{name} differs, first in line {:?}:\n{text}",
        first.map(|line| line + 1)
    );
}

#[test]
fn captured_elections_look_as_expected() {
    for story in ["ours", "java", "mixed"] {
        let logs = logs(story);
        let words: Vec<&str> = logs.iter().map(String::as_str).collect();
        let (code, text, error) = said(&words);
        assert_eq!((code, error.as_str()), (0, ""), "{story}");
        compare(&format!("{story}/expected.txt"), &text);
        // The order in which logs are named makes no difference.
        let backwards: Vec<&str> = words.iter().rev().copied().collect();
        assert_eq!(said(&backwards).1, text, "{story} backwards");
        let mut with_json = vec!["--json"];
        with_json.extend(&words);
        compare(&format!("{story}/expected.jsonl"), &said(&with_json).1);
    }
}

#[test]
fn one_log_alone_tells_what_it_knows() {
    let logs = logs("java");
    let (code, text, _) = said(&[&logs[1]]);
    assert_eq!(code, 0);
    for part in ["leads epoch 2", "loses leader 3", "votes for 3 instead of itself"] {
        assert!(text.contains(part), "{part}:\n{text}");
    }
}

#[test]
fn a_page_is_whole_and_brings_everything_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let (page, evil) = (dir.path().join("page.html"), dir.path().join("evil.log"));
    let head = "2030-01-01 00:00:00,000 [myid:7] - WARN  [QuorumPeer[myid=7]/x:X@1] - ";
    fs::write(
        &evil,
        format!("{head}Exception when following the leader: <script>alert(1)</script>\n"),
    )
    .expect("written");
    let mut words = logs("ours");
    words.extend([
        evil.display().to_string(),
        "--html".to_owned(),
        page.display().to_string(),
    ]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    assert_eq!(said(&words), (0, String::new(), String::new()));
    let html = fs::read_to_string(&page).expect("a page");
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n"));
    assert!(
        html.contains("&lt;script&gt;alert(1)") && !html.contains("<script"),
        "it is escaped"
    );
    for outside in ["http:", "https:", "src=", "url(", "@import", "<link"] {
        assert!(!html.contains(outside), "{outside}");
    }
    for tag in [
        "article", "ol", "ul", "li", "table", "svg", "details", "figure", "div", "span", "a",
    ] {
        let count = |text: String| html.matches(&text).count();
        let opened = count(format!("<{tag} ")) + count(format!("<{tag}>"));
        assert_eq!(opened, count(format!("</{tag}>")), "<{tag}>");
    }
    let none = dir.path().join("no/such/page.html").display().to_string();
    let (code, _, error) = said(&["--html", &none, words[0]]);
    assert!(code == 1 && error.contains(&none), "{code}: {error}");
}

#[test]
fn colours_come_when_they_are_wanted() {
    let log = &logs("ours")[0];
    let escape = |output: Output| output.stdout.contains(&0x1b);
    assert!(!escape(output(&[log])), "not into a pipe");
    assert!(escape(output(&["--color=always", log])));
    let no_colour = rounds(&["--color=always", log])
        .env("NO_COLOR", "1")
        .output()
        .expect("it runs");
    assert!(escape(no_colour), "who says always means it");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let good = &logs("ours")[2];
    let (code, text, error) = said(&[good, &path("missing"), &dir.path().display().to_string()]);
    assert!(code == 1 && text.contains("leads epoch 1"), "{code}");
    assert!(
        error.contains("missing: No such file") && error.contains("directory"),
        "{error}"
    );
    let (code, text, error) = said(&[&path("missing")]);
    assert!(
        code == 1 && text.is_empty() && error.lines().count() == 1,
        "{error}"
    );
    let garbage: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    fs::write(path("garbage"), garbage).expect("written");
    fs::write(path("endless"), vec![b'x'; 3_000_000]).expect("written");
    let (code, text, error) = said(&[&path("garbage"), &path("endless")]);
    assert!(
        code == 0 && text.is_empty() && error.contains("no election"),
        "{code} {text} {error}"
    );
    for words in [&[][..], &["--last", "x", good], &["--what"]] {
        let (code, text, error) = said(words);
        assert!(
            code == 2 && text.is_empty() && error.starts_with("oxkeeper rounds: "),
            "{words:?}: {error}"
        );
    }
}

#[test]
fn logs_of_different_years_and_one_cut_anywhere_are_told() {
    let dir = tempfile::tempdir().expect("a directory");
    let old = fs::read_to_string(&logs("ours")[2])
        .expect("a log")
        .replace("2026-", "2019-");
    let path = dir.path().join("old.log").display().to_string();
    fs::write(&path, &old).expect("written");
    let (_, text, _) = said(&[&logs("java")[2], &path]);
    let days: Vec<&str> = text.lines().filter(|line| line.len() == 10).collect();
    assert!(
        days.len() == 2 && days[0].starts_with("2019-") && days[1].starts_with("2026-"),
        "{days:?}"
    );
    for cut in (0..old.len()).step_by(997) {
        fs::write(&path, &old.as_bytes()[..cut]).expect("written");
        assert_eq!(said(&[&path]).0, 0, "cut at {cut}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let logs = logs("java");
    let log = logs.first().expect("a log");
    let mut child = rounds(&[log])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &[][..]));
}

#[test]
fn standard_input_may_hold_the_lines_of_all() {
    let all: Vec<String> = logs("mixed")
        .iter()
        .map(|path| fs::read_to_string(path).expect("a log"))
        .collect();
    let mut lines: Vec<&str> = all
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.starts_with("20"))
        .collect();
    lines.sort_unstable();
    let mut child = rounds(&["-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let text = lines.join("\n");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("joined").expect("written");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("Round 4"), "{text}");
}

/// A program whose lines are read as they come; it is killed at the end.
struct Follower {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: String,
}

impl Follower {
    fn start(command: &mut Command) -> Follower {
        let mut child = command
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .expect("it runs");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        Follower {
            child,
            lines,
            seen: String::new(),
        }
    }

    /// Waits for a line with these words in what comes from now on; gives it.
    fn wait_for(&mut self, words: &str) -> String {
        let end = std::time::Instant::now() + LONG;
        loop {
            let left = end.saturating_duration_since(std::time::Instant::now());
            let line = self.lines.recv_timeout(left);
            let line = line.unwrap_or_else(|_| panic!("no {words:?} in:\n{}", self.seen));
            self.seen.push_str(&line);
            self.seen.push('\n');
            if line.contains(words) {
                return line;
            }
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn an_ensemble_is_followed_while_it_loses_its_leader_and_takes_it_back() {
    let mut cluster = Cluster::start(3, 0);
    let logs: Vec<String> = (1..=3)
        .map(|n| cluster.log_path(n).display().to_string())
        .collect();
    let mut words = vec!["--follow"];
    words.extend(logs.iter().map(String::as_str));
    let mut follower = Follower::start(&mut rounds(&words));
    follower.wait_for("=> Round 1: server");
    let first = cluster.leader();
    cluster.kill(first);
    follower.wait_for("LOOKING");
    let second = cluster.leader();
    follower.wait_for(&format!("=> Round 2: server {second} leads epoch 2"));
    cluster.start_one(first);
    follower.wait_for(&format!("=> Join: server {first} follows {second}"));
    // The log is rolled: its writer keeps the old file, a new one takes the name.
    let log = Path::new(&logs[0]);
    let text = fs::read_to_string(log).expect("a log");
    // Another year, and the same time of the day.
    let text = text.replace("\n20", "\n30");
    fs::rename(log, log.with_extension("1")).expect("moved");
    fs::write(log, text).expect("written");
    follower.wait_for("-- 30");
}

#[test]
fn the_script_finds_the_ensemble_of_the_other_script() {
    let dir = tempfile::tempdir().expect("a directory");
    let home = dir.path().join("with a blank");
    fs::create_dir(&home).expect("a directory");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/follow-election.sh");
    let command = |arguments: &[&str]| {
        let mut command = Command::new("bash");
        command
            .arg(&script)
            .args(arguments)
            .env("OXKEEPER_BIN", env!("CARGO_BIN_EXE_oxkeeper"));
        command.env_remove("ENSEMBLE_DIR").current_dir(&home);
        command
    };
    let empty = command(&[]).output().expect("bash runs");
    let error = String::from_utf8_lossy(&empty.stderr).into_owned();
    assert_eq!(empty.status.code(), Some(2));
    assert!(
        error.contains("there is no server in") && error.contains("with a blank/ensemble"),
        "{error}"
    );
    for n in 1..=2 {
        fs::create_dir_all(home.join(format!("ensemble/{n}"))).expect("a directory");
    }
    // The second log is not there yet.
    let target = |n: usize| home.join(format!("ensemble/{n}/log"));
    fs::copy(&logs("ours")[0], target(1)).expect("copied");
    let mut follower = Follower::start(&mut command(&[]));
    follower.wait_for("=> Round 1");
    fs::copy(&logs("ours")[1], target(2)).expect("copied");
    follower.wait_for("2 starts");
    drop(follower);
    let once = command(&["--once", "--last", "1"]).output().expect("bash runs");
    let text = String::from_utf8_lossy(&once.stdout).into_owned();
    assert!(
        once.status.success() && text.matches("=> ").count() == 1,
        "{text}"
    );
}
