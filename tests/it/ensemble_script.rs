//! `scripts/ensemble.sh` with the real program: what it refuses, what it starts, and what it finds dead.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use crate::support::{LONG, wait_until};

/// A place for one ensemble, with a blank in its name. What runs in it is killed at the end.
struct Place {
    dir: TempDir,
    port: u16,
    observers: usize,
}

impl Place {
    fn new(observers: usize) -> Place {
        // Each place has a block of its own, below the ports of all other tests.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let next_block =
            || 2_000 + (std::process::id() as u16 % 30 + NEXT.fetch_add(1, Ordering::Relaxed)) % 30 * 300;
        let is_free = |base: &u16| {
            let mut ports = (1..=5).flat_map(|k| [0, 100, 200].map(|above| base + above + k));
            ports.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
        };
        let port = std::iter::repeat_with(next_block)
            .take(30)
            .find(is_free)
            .expect("free ports");
        let dir = tempfile::tempdir().expect("a directory");
        Place { dir, port, observers }
    }

    fn ensemble(&self) -> PathBuf {
        self.dir.path().join("an ensemble")
    }

    /// Runs the script from a directory of no importance; gives exit code, stdout and stderr.
    fn run(&self, words: &str) -> (i32, String, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/ensemble.sh");
        let mut command = Command::new("bash");
        command
            .arg(script)
            .args(words.split_whitespace())
            .current_dir("/");
        command
            .env("OXKEEPER_BIN", env!("CARGO_BIN_EXE_oxkeeper"))
            .env("ENSEMBLE_DIR", self.ensemble());
        command.env("ENSEMBLE_PORT", self.port.to_string());
        command.env("ENSEMBLE_OBSERVERS", self.observers.to_string());
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().expect("bash runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (status.code().expect("no signal"), text(stdout), text(stderr))
    }

    /// Waits until the script finds servers in these roles, in their order.
    fn wait_for_roles(&self, roles: &[&str]) {
        let mut seen = String::new();
        wait_until("the roles", LONG, || {
            seen = self.run("status").1;
            let mut found: Vec<&str> = seen.lines().filter_map(|line| line.split(", ").nth(1)).collect();
            found.sort_unstable();
            found == roles
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.run("clean");
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let place = Place::new(0);
    for (words, part) in [
        ("", "Exit codes:"),
        ("fly", "there is no command 'fly'"),
        ("up many", "up 'many': must be a number from 1 to 99"),
        ("up 0", "up 0: must be"),
        ("up 3 4", "too many arguments"),
        ("down", "there are no servers in "),
        ("status", "there are no servers in "),
        ("logs", "there are no servers in "),
        ("kill", "which server?"),
        ("kill 7", "there is no server 7 in "),
        ("kill ../7", "there is no server ../7"),
        ("status 1", "too many arguments"),
    ] {
        let (code, out, error) = place.run(words);
        assert!(
            code == 2 && out.is_empty() && error.contains(part),
            "{words:?}: {code} {out} {error}"
        );
    }
    assert!(
        !place.ensemble().exists(),
        "nothing is written for what is refused"
    );
    let watched = Place::new(3);
    let (code, _, error) = watched.run("up 3");
    assert!(
        code == 2 && error.contains("ENSEMBLE_OBSERVERS 3: must be a number from 0 to 2"),
        "{error}"
    );
}

#[test]
fn an_ensemble_goes_up_loses_a_server_and_goes_down() {
    let place = Place::new(1);
    let (code, out, error) = place.run("up 4");
    assert_eq!(
        (code, out.matches(": started").count(), error.as_str()),
        (0, 4, ""),
        "{out}"
    );
    place.wait_for_roles(&["follower", "follower", "leader", "observer"]);
    assert_eq!(place.run("status").0, 0);
    assert_eq!(
        place.run("up").1.matches(": already running as process").count(),
        4
    );
    let (code, _, error) = place.run("up 5");
    assert!(code == 2 && error.contains("4 servers are laid out"), "{error}");
    let leader = place
        .run("status")
        .1
        .lines()
        .position(|line| line.contains("leader"))
        .expect("a leader")
        + 1;
    assert_eq!(
        place.run(&format!("kill {leader}")),
        (0, format!("server {leader}: ended\n"), String::new())
    );
    assert_eq!(
        place.run(&format!("kill {leader}")).1,
        format!("server {leader}: is not running\n")
    );
    place.wait_for_roles(&["follower", "leader", "not serving", "observer"]);
    assert_eq!(place.run("status").0, 1);
    // Its number has gone to another program, which is left alone.
    let mut other = Command::new("sleep").arg("600").spawn().expect("a process");
    fs::write(
        place.ensemble().join(format!("{leader}/pid")),
        other.id().to_string(),
    )
    .expect("written");
    let stopped = place.run(&format!("stop {leader}")).1;
    let is_alive = other.try_wait().expect("a child").is_none();
    other.kill().and_then(|()| other.wait()).expect("ended");
    assert!(is_alive && stopped.contains("is not running"), "{stopped}");
    assert_eq!(place.run("up").1.matches(": started").count(), 1);
    place.wait_for_roles(&["follower", "follower", "leader", "observer"]);
    assert_eq!(place.run("down").1.matches(": ended").count(), 4);
    assert_eq!(place.run("clean").0, 0);
    assert!(!place.ensemble().exists());
}

#[test]
fn one_server_stands_alone_and_a_taken_port_is_told() {
    let place = Place::new(0);
    let taken = TcpListener::bind(("127.0.0.1", place.port + 1)).expect("free a moment ago");
    let (code, _, error) = place.run("up 1");
    assert!(
        code == 1 && error.contains("server 1: did not start (exit code 1)"),
        "{code}: {error}"
    );
    assert!(
        error.contains(&(place.port + 1).to_string()),
        "the end of the log names the port: {error}"
    );
    drop(taken);
    assert_eq!(place.run("up 1").0, 0);
    place.wait_for_roles(&["standalone"]);
    assert_eq!(place.run("restart 1").1.lines().count(), 2);
}
