//! What was acknowledged is kept: through SIGKILL, SIGTERM and a full disk. And what cannot be served is refused
//! with a word and an exit code, and nothing is overwritten.

mod history;
mod refusals;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use history::History;

use crate::support::configured::Configured;
use crate::support::process::{Kind, Server, command, free_port};
use crate::support::random::Random;

/// Small enough that files are rolled and snapshots written all the time.
const SMALL: &[&str] = &["zookeeper.snapCount=500", "zookeeper.preAllocSize=256"];

#[test]
fn fifty_kills_under_load_lose_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut random = Random::new(50);
    let mut histories = histories(dir.path(), 4);
    let written = (0..50).map(|_| {
        let server = Server::start(Kind::Oxkeeper, dir.path(), SMALL);
        let moment = Duration::from_millis(random.below(250) as u64);
        load(&mut histories, server, moment, Server::kill)
    });
    let written: u64 = written.sum();
    check(&mut histories, dir.path());
    assert!(
        written > 5_000,
        "only {written} writes were acknowledged in all rounds"
    );
}

#[test]
fn an_orderly_end_under_load_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut histories = histories(dir.path(), 2);
    for round in 0..5 {
        let server = Server::start(Kind::Oxkeeper, dir.path(), SMALL);
        let moment = Duration::from_millis(100);
        load(&mut histories, server, moment, |server| {
            assert_eq!(server.terminate(), Some(0), "round {round}");
        });
    }
    check(&mut histories, dir.path());
}

#[test]
fn containers_and_nodes_with_a_time_to_live_outlive_a_kill() {
    let mut server = Configured::start(&[]);
    let ask = |server: &Configured, words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_oxkeeper"));
        command.args(["cli", "-server", &server.address().to_string()]);
        let output = command.args(words).output().expect("the command line runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{words:?}: {said}\n{output:?}");
        said
    };
    ask(&server, &["create", "-c", "/jobs"]);
    ask(&server, &["create", "-t", "600000", "/brief", "of them"]);
    server.kill_and_restart();
    let listed = ask(&server, &["ls", "/"]);
    assert!(listed.contains("[brief, jobs, zookeeper]"), "{listed}");
}

#[test]
fn a_full_disk_ends_the_server_before_it_answers() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut histories = histories(dir.path(), 2);
    // The log meets the limit: it has no snapshot that would end it before.
    let code = fill(&mut histories, dir.path(), &["zookeeper.preAllocSize=64"]);
    assert_eq!(code, Some(13));
    check(&mut histories, dir.path());
}

#[test]
fn a_disk_without_room_for_a_snapshot_ends_the_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut histories = vec![History::new("/big", 2_000)];
    let server = Server::start(Kind::Oxkeeper, dir.path(), &[]);
    histories[0].prepare(server.address());
    assert_eq!(server.terminate(), Some(0));
    // Every tenth write makes a node of 2 kB: many short logs, and a snapshot that grows with the tree.
    let code = fill(
        &mut histories,
        dir.path(),
        &["zookeeper.preAllocSize=64", "zookeeper.snapCount=200"],
    );
    assert_eq!(code, Some(10));
    check(&mut histories, dir.path());
}

#[test]
fn a_lost_write_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data_dir, old) = (dir.path().join("data"), dir.path().join("old"));
    std::fs::create_dir(&data_dir).expect("a directory");
    let server = Server::start(Kind::Oxkeeper, &data_dir, SMALL);
    let mut history = History::new("/home", 20);
    history.prepare(server.address());
    history.write(server.address(), 1);
    server.kill();
    let copied = Command::new("cp").arg("-a").args([&data_dir, &old]).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp -a");

    let server = Server::start(Kind::Oxkeeper, &data_dir, SMALL);
    history.write(server.address(), 1);
    history.clone().check_all(server.address());
    server.kill();
    let server = Server::start(Kind::Oxkeeper, &old, SMALL);
    let verdict = catch_unwind(AssertUnwindSafe(|| history.check_all(server.address())));
    assert!(
        verdict.is_err(),
        "a window of writes is missing and nobody noticed"
    );
}

/// Clients with homes of their own on a new data directory.
fn histories(dir: &Path, count: usize) -> Vec<History> {
    let server = Server::start(Kind::Oxkeeper, dir, &[]);
    let histories: Vec<History> = (0..count)
        .map(|n| History::new(&format!("/home{n}"), 20))
        .collect();
    for history in &histories {
        history.prepare(server.address());
    }
    assert_eq!(server.terminate(), Some(0));
    histories
}

/// Checks what the server has, and ends it while all write; how many writes were acknowledged.
fn load(histories: &mut [History], server: Server, moment: Duration, end: impl FnOnce(Server)) -> u64 {
    let address = server.address();
    histories.iter_mut().for_each(|history| history.check(address));
    let before: u64 = histories.iter().map(History::acknowledged).sum();
    std::thread::scope(|scope| {
        for history in histories.iter_mut() {
            scope.spawn(|| history.write_until_broken(address));
        }
        // Any moment will do: this waits for nothing.
        std::thread::sleep(moment);
        end(server);
    });
    histories.iter().map(History::acknowledged).sum::<u64>() - before
}

fn check(histories: &mut [History], dir: &Path) {
    let server = Server::start(Kind::Oxkeeper, dir, &[]);
    histories
        .iter_mut()
        .for_each(|history| history.check_all(server.address()));
}

/// Writes until the server has ended by itself, since no file of its own may grow over a limit; its exit code.
fn fill(histories: &mut [History], dir: &Path, properties: &[&str]) -> Option<i32> {
    let port = free_port();
    let server = command(Kind::Oxkeeper, port, dir, properties);
    // The limit's signal would kill the process; ignored, it makes the write fail.
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        &format!("trap '' XFSZ; ulimit -f {LIMIT_BLOCKS}; exec \"$@\""),
        "sh",
    ]);
    limited.arg(server.get_program()).args(server.get_args());
    let mut server = Server::spawn(Kind::Oxkeeper, port, dir, &mut limited);
    server.wait_until_serving();
    let address = server.address();
    std::thread::scope(|scope| {
        for history in histories.iter_mut() {
            scope.spawn(|| history.write_until_broken(address));
        }
        server.wait_for_end().code()
    })
}

/// One MiB, in the blocks of the shell.
const LIMIT_BLOCKS: u32 = 2_048;
