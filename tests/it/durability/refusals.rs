//! What cannot be served: a clear word, a documented exit code, and nothing overwritten.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::process::{Kind, Server, command, free_port};

#[test]
fn a_port_in_use_is_named() {
    let holder = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = holder.local_addr().expect("its address").port();
    let dir = tempfile::tempdir().expect("a directory");
    refuses(port, dir.path(), 1, &[&port.to_string()]);
}

#[test]
fn a_file_where_a_directory_should_be_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("data");
    fs::write(&file, b"somebody's notes").expect("a file");
    refuses(free_port(), &file, 1, &[&file.display().to_string()]);
    refuses(
        free_port(),
        &file.join("below"),
        1,
        &[&file.display().to_string()],
    );
    assert_eq!(fs::read(&file).expect("the file"), b"somebody's notes");

    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("version-2"), b"more notes").expect("a file");
    refuses(free_port(), dir.path(), 1, &["version-2"]);
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    // Not even root makes directories here.
    refuses(
        free_port(),
        Path::new("/proc/oxkeeper/data"),
        1,
        &["/proc/oxkeeper"],
    );
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    let output = run(Command::new(env!("CARGO_BIN_EXE_oxkeeper")).args(["server", "/nowhere/zoo.cfg"]));
    assert_refusal(&output, 2, &["/nowhere/zoo.cfg"]);
}

#[test]
fn damage_in_the_middle_of_a_log_is_named_with_its_offset() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(Kind::Oxkeeper, dir.path(), &[]);
    let mut history = super::History::new("/home", 20);
    history.prepare(server.address());
    history.write(server.address(), 3);
    assert_eq!(server.terminate(), Some(0));
    let version = dir.path().join("version-2");
    let log = fs::read_dir(&version)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path());
    let log = log
        .filter(|path| path.display().to_string().contains("log."))
        .min()
        .expect("a log");
    let mut bytes = fs::read(&log).expect("the log");
    bytes[300] ^= 1;
    fs::write(&log, bytes).expect("the log");
    let name = log.file_name().expect("a name").to_string_lossy().into_owned();
    refuses(free_port(), dir.path(), 14, &[&name, "offset"]);
}

/// Starts a server that must end by itself with `code` and all of `words`, and leave the directory as it is.
fn refuses(port: u16, dir: &Path, code: i32, words: &[&str]) {
    let before = contents(dir);
    let output = run(&mut command(Kind::Oxkeeper, port, dir, &[]));
    assert_refusal(&output, code, words);
    assert_eq!(contents(dir), before, "files have changed");
}

fn run(command: &mut Command) -> Output {
    // A server that is not refused would run for ever.
    let mut limited = Command::new("timeout");
    limited
        .args(["--kill-after=1", "20"])
        .arg(command.get_program())
        .args(command.get_args());
    limited.output().expect("timeout of coreutils")
}

fn assert_refusal(output: &Output, code: i32, words: &[&str]) {
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is not in:\n{text}");
    }
}

/// All files below a directory with what they hold.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return all;
    };
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            all.insert(path.display().to_string(), fs::read(&path).expect("a file"));
        }
    }
    all
}
