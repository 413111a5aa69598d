//! The scripts, with a program of a few lines in the server's place: what they say, what they start and what
//! they leave alone.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use oxkeeper::config::{Config, SystemProperties};
use tempfile::TempDir;

/// Notes its arguments and flags, and then does what $FAKE says.
const FAKE_SERVER: &str = r#"#!/usr/bin/env bash
printf '%s\n' "$@" >"$FAKE_ARGS"
echo "flags: $SERVER_JVMFLAGS / $JVMFLAGS"
case "$FAKE" in
die) echo "the port is in use"; exit 3 ;;
deaf) trap '' TERM ;;
*) trap 'echo ended; exit 0' TERM ;;
esac
[ "$1" = server ] || exit 0
while :; do sleep 0.05; done
"#;

/// A directory with a configuration, a data directory and a stand-in for the program.
struct Place {
    dir: TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().expect("a directory");
        let fake = dir.path().join("fake-oxkeeper");
        fs::write(&fake, FAKE_SERVER).expect("written");
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).expect("executable");
        let place = Place {
            variables: vec![
                ("OXKEEPER_BIN", fake.display().to_string()),
                ("FAKE_ARGS", dir.path().join("args").display().to_string()),
                ("ZOOCFGDIR", dir.path().join("conf").display().to_string()),
                ("ZOO_LOG_DIR", dir.path().join("log").display().to_string()),
            ],
            dir,
        };
        fs::create_dir(place.path("conf")).expect("a directory");
        place.configure("zoo.cfg", "clientPort=1\n");
        place
    }

    fn with(mut self, name: &'static str, value: &str) -> Place {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// With the real program on a free port.
    fn real() -> (Place, u16) {
        let place = Place::new().with("OXKEEPER_BIN", env!("CARGO_BIN_EXE_oxkeeper"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        place.configure(
            "zoo.cfg",
            &format!("clientPortAddress=127.0.0.1\nclientPort={port}\n"),
        );
        (place, port)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, name: &str, more: &str) {
        let text = format!(
            "dataDir=/nowhere\n  dataDir = {}  \n{more}",
            self.path("data").display()
        );
        fs::write(self.path("conf").join(name), text).expect("written");
    }

    fn run(&self, script: &str, arguments: &[&str]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
        self.run_at(&script, arguments)
    }

    fn run_at(&self, script: &Path, arguments: &[&str]) -> Output {
        let mut command = Command::new("bash");
        for name in [
            "SERVER_JVMFLAGS",
            "JVMFLAGS",
            "ZOOCFG",
            "ZOOPIDFILE",
            "ZOO_LOG4J_PROP",
            "FAKE",
        ] {
            command.env_remove(name);
        }
        command.envs(self.variables.clone()).current_dir(self.dir.path());
        command.arg(script).args(arguments).output().expect("bash runs")
    }

    /// Runs `zkServer.sh`, and gives its exit code and what it says on stdout.
    fn server(&self, arguments: &[&str]) -> (i32, String) {
        said(&self.run("zkServer.sh", arguments))
    }

    fn pid(&self) -> Option<u32> {
        let text = fs::read_to_string(self.path("data/zookeeper_server.pid")).ok()?;
        text.parse().ok()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log/zookeeper.out")).expect("a log")
    }

    fn arguments(&self) -> Vec<String> {
        let text = fs::read_to_string(self.path("args")).expect("the program ran");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Place {
    /// Nothing is left running, whatever failed.
    fn drop(&mut self) {
        if let Some(pid) = self.pid().filter(|&pid| pid != std::process::id()) {
            kill(pid);
        }
    }
}

fn kill(pid: u32) {
    // It may have ended by itself.
    drop(Command::new("kill").args(["-KILL", &pid.to_string()]).output());
}

fn said(output: &Output) -> (i32, String) {
    let code = output.status.code().expect("no signal");
    (code, String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Zombies do not count: their parent is gone, and who inherits them may be slow.
fn is_alive(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty())
}

#[test]
fn start_and_stop_work_from_anywhere_and_through_links() {
    let place = Place::new();
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    symlink(scripts.join("zkServer.sh"), place.path("first")).expect("a link");
    symlink("first", place.path("zk")).expect("a link to it");
    let script = place.path("zk");
    let output = place.run_at(&script, &["start"]);
    assert_eq!(said(&output), (0, "Starting zookeeper ... STARTED\n".to_owned()));
    let config = place.path("conf/zoo.cfg").display().to_string();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("Using config: {config}\n")
    );
    let log_dir = format!("-Dzookeeper.log.dir={}", place.path("log").display());
    assert_eq!(
        place.arguments(),
        [
            "server",
            &log_dir,
            "-Dzookeeper.root.logger=INFO,CONSOLE",
            &config
        ]
    );
    let pid = place.pid().expect("a pid file");
    assert!(is_alive(pid));
    let again = said(&place.run_at(&script, &["start"]));
    assert_eq!(
        again,
        (
            0,
            format!("Starting zookeeper ... already running as process {pid}.\n")
        )
    );
    assert_eq!(
        said(&place.run_at(&script, &["stop"])),
        (0, "Stopping zookeeper ... STOPPED\n".to_owned())
    );
    assert!(!is_alive(pid) && place.pid().is_none());
    assert!(
        place.log().ends_with("ended\n"),
        "an orderly end: {}",
        place.log()
    );
    let (code, text) = said(&place.run_at(&script, &["stop"]));
    let file = place.path("data/zookeeper_server.pid");
    let expected = format!(
        "Stopping zookeeper ... no zookeeper to stop (could not find file {})\n",
        file.display()
    );
    assert_eq!((code, text), (0, expected));
}

#[test]
fn restart_ends_one_server_and_starts_another() {
    let place = Place::new();
    place.server(&["start"]);
    let first = place.pid().expect("a pid file");
    let expected = "Stopping zookeeper ... STOPPED\nStarting zookeeper ... STARTED\n";
    assert_eq!(place.server(&["restart"]), (0, expected.to_owned()));
    let second = place.pid().expect("a pid file");
    assert!(first != second && !is_alive(first) && is_alive(second));
    place.server(&["stop"]);
}

#[test]
fn a_server_that_does_not_start_is_told_with_the_end_of_its_log() {
    let place = Place::new().with("FAKE", "die");
    let (code, text) = place.server(&["start"]);
    assert_eq!(code, 1);
    assert!(
        text.starts_with("Starting zookeeper ... SERVER DID NOT START (exit code 3)"),
        "{text}"
    );
    assert!(text.ends_with("the port is in use\n"), "{text}");
    assert_eq!(place.pid(), None);
}

#[test]
fn a_server_that_does_not_end_is_killed_after_a_while() {
    let place = Place::new().with("FAKE", "deaf").with("ZOO_STOP_SECONDS", "1");
    place.server(&["start"]);
    let pid = place.pid().expect("a pid file");
    let expected = "Stopping zookeeper ... still running after 1 s, killed ... STOPPED\n";
    assert_eq!(place.server(&["stop"]), (0, expected.to_owned()));
    assert!(!is_alive(pid));
}

#[test]
fn a_process_that_took_over_the_number_is_left_alone() {
    let place = Place::new();
    fs::create_dir(place.path("data")).expect("a directory");
    let mut other = Command::new("sleep").arg("600").spawn().expect("a process");
    fs::write(place.path("data/zookeeper_server.pid"), other.id().to_string()).expect("written");
    let (code, text) = place.server(&["stop"]);
    assert!(
        code == 0 && text.contains(&format!("no zookeeper to stop (process {} is gone", other.id())),
        "{text}"
    );
    assert_eq!(place.pid(), None);
    fs::write(place.path("data/zookeeper_server.pid"), other.id().to_string()).expect("written");
    assert_eq!(
        place.server(&["start"]),
        (0, "Starting zookeeper ... STARTED\n".to_owned())
    );
    place.server(&["stop"]);
    assert!(is_alive(other.id()), "the other program was killed");
    other.kill().and_then(|()| other.wait()).expect("ended");
}

#[test]
fn status_asks_the_server_for_its_mode() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let place = Place::new();
    place.configure(
        "zoo.cfg",
        &format!("clientPortAddress=127.0.0.1\nclientPort={port}\n"),
    );
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("a client");
        let mut word = [0; 4];
        client.read_exact(&mut word).expect("a word");
        client
            .write_all(b"Zookeeper version: 3.4.14\nMode: standalone\nNode count: 4\n")
            .expect("sent");
        word
    });
    assert_eq!(place.server(&["status"]), (0, "Mode: standalone\n".to_owned()));
    assert_eq!(server.join().expect("served"), *b"srvr");
    // The listener is gone.
    let expected = "Error contacting service. It is probably not running.\n";
    assert_eq!(place.server(&["status"]), (1, expected.to_owned()));
}

#[test]
fn start_foreground_is_the_server_itself_and_keeps_its_exit_code() {
    let place = Place::new().with("FAKE", "die").with("SERVER_JVMFLAGS", "-Da=b");
    let (code, text) = place.server(&["start-foreground"]);
    assert_eq!(
        (code, text.as_str()),
        (3, "flags: -Da=b / \nthe port is in use\n")
    );
    let place = place.with("ZOO_NOEXEC", "1");
    assert_eq!(place.server(&["start-foreground"]).0, 3);
}

#[test]
fn flags_win_over_the_script_s_own_and_may_come_from_the_configuration_directory() {
    let place = Place::new()
        .with("FAKE", "die")
        .with("SERVER_JVMFLAGS", "-Dzookeeper.log.dir=/l");
    fs::write(
        place.path("conf/java.env"),
        "JVMFLAGS='-Dzookeeper.root.logger=DEBUG,CONSOLE'\n",
    )
    .expect("written");
    let (_, text) = place.server(&["start-foreground"]);
    let flags = "flags: -Dzookeeper.log.dir=/l / -Dzookeeper.root.logger=DEBUG,CONSOLE\n";
    assert!(text.starts_with(flags), "{text}");
    assert_eq!(
        place.arguments(),
        [
            "server".to_owned(),
            place.path("conf/zoo.cfg").display().to_string()
        ]
    );
}

#[test]
fn print_cmd_prints_what_start_would_run() {
    let place = Place::new().with("ZOO_LOG4J_PROP", "DEBUG,ROLLINGFILE");
    let (code, text) = place.server(&["print-cmd", "zoo.cfg"]);
    let [program, log, config] = ["fake-oxkeeper", "log", "conf/zoo.cfg"].map(|name| place.path(name));
    let (program, log, config) = (program.display(), log.display(), config.display());
    let expected = format!(
        "\"{program}\" server \"-Dzookeeper.log.dir={log}\" \"-Dzookeeper.root.logger=DEBUG,ROLLINGFILE\" \
         \"{config}\" > \"{log}/zookeeper.out\" 2>&1 < /dev/null\n"
    );
    assert_eq!((code, text), (0, expected));
}

#[test]
fn the_configuration_is_a_name_a_path_or_the_sample() {
    let used = |place: &Place, argument: &[&str]| {
        let mut arguments = vec!["print-cmd"];
        arguments.extend(argument);
        let output = place.run("zkServer.sh", &arguments);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let place = Place::new();
    let conf = place.path("conf").display().to_string();
    assert_eq!(
        used(&place, &["other.cfg"]),
        format!("Using config: {conf}/other.cfg\n")
    );
    assert_eq!(used(&place, &["./other.cfg"]), "Using config: ./other.cfg\n");
    fs::rename(place.path("conf/zoo.cfg"), place.path("conf/zoo_sample.cfg")).expect("renamed");
    let sample = format!(
        "There is no {conf}/zoo.cfg; the sample beside it is used\nUsing config: {conf}/zoo_sample.cfg\n"
    );
    assert_eq!(used(&place, &[]), sample);
    let place = place.with("ZOOCFG", "mine.cfg");
    assert_eq!(used(&place, &[]), format!("Using config: {conf}/mine.cfg\n"));
    for verb in ["start", "start-foreground", "stop", "status"] {
        let output = place.run("zkServer.sh", &[verb]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{verb}");
        assert!(
            error.contains(&format!("Cannot read the configuration {conf}/mine.cfg")),
            "{error}"
        );
    }
}

#[test]
fn a_pid_file_of_one_s_own_choice_needs_no_data_directory() {
    let place = Place::new();
    let pid_file = place.path("run/zk.pid");
    let place = place.with("ZOOPIDFILE", &pid_file.display().to_string());
    assert_eq!(place.server(&["start"]).0, 0);
    let pid: u32 = fs::read_to_string(&pid_file)
        .expect("a pid file")
        .parse()
        .expect("a number");
    let stopped = place.server(&["stop"]);
    if is_alive(pid) {
        kill(pid);
    }
    assert_eq!(stopped, (0, "Stopping zookeeper ... STOPPED\n".to_owned()));
    assert!(!pid_file.exists() && !place.path("data").exists());
}

#[test]
fn unknown_verbs_get_the_usage_and_upgrade_has_nothing_to_do() {
    let place = Place::new();
    for arguments in [&[][..], &["begin"]] {
        let output = place.run("zkServer.sh", arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("Usage: "));
    }
    assert_eq!(place.server(&["upgrade"]).0, 0);
    let place = place.with("OXKEEPER_BIN", "/nowhere/oxkeeper");
    assert_eq!(place.server(&["start"]).0, 1);
}

#[test]
fn the_real_server_starts_serves_and_ends_in_order() {
    let (place, port) = Place::real();
    assert_eq!(
        place.server(&["start"]),
        (0, "Starting zookeeper ... STARTED\n".to_owned())
    );
    // It has a second to open its port before the script says STARTED, and a busy machine may need more.
    let deadline = Instant::now() + Duration::from_secs(30);
    while place.server(&["status"]) != (0, "Mode: standalone\n".to_owned()) {
        assert!(Instant::now() < deadline, "{}", place.log());
    }
    let pid = place.pid().expect("a pid file");
    assert_eq!(
        place.server(&["stop"]),
        (0, "Stopping zookeeper ... STOPPED\n".to_owned())
    );
    assert!(!is_alive(pid));
    let log = place.log();
    for part in [
        "Reading configuration from: ",
        " [myid:] - INFO  [main:",
        &format!("binding to port /127.0.0.1:{port}"),
        "Exiting normally",
    ] {
        assert!(log.contains(part), "{part:?} is not in the log:\n{log}");
    }
    assert!(place.run("zkCleanup.sh", &["-n", "3"]).status.success());
}

#[test]
fn a_port_in_use_and_a_bad_configuration_are_told_by_start() {
    let (place, port) = Place::real();
    let taken = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let (code, text) = place.server(&["start"]);
    assert!(
        code == 1 && text.contains("SERVER DID NOT START (exit code 1)"),
        "{text}"
    );
    assert!(
        text.contains("Address already in use") && place.pid().is_none(),
        "{text}"
    );
    drop(taken);
    place.configure("zoo.cfg", "clientPort=many\n");
    let (code, text) = place.server(&["start"]);
    assert!(
        code == 1 && text.contains("SERVER DID NOT START (exit code 2)"),
        "{text}"
    );
    assert!(
        text.contains("zoo.cfg, line 3: clientPort=many: allowed is a whole number"),
        "{text}"
    );
}

#[test]
fn clean_up_names_both_directories() {
    let place = Place::new();
    let data = place.path("data").display().to_string();
    assert!(place.run("zkCleanup.sh", &["-n", "3"]).status.success());
    assert_eq!(place.arguments(), ["purge", &data, &data, "-n", "3"]);
    place.configure("zoo.cfg", "dataLogDir:/log\n");
    assert!(place.run("zkCleanup.sh", &["-n", "3"]).status.success());
    assert_eq!(place.arguments(), ["purge", "/log", &data, "-n", "3"]);
}

#[test]
fn the_client_and_the_toolkit_get_their_words_untouched() {
    let place = Place::new();
    assert!(
        place
            .run("zkCli.sh", &["-server", "a:1/x", "set", "/a", "two  words"])
            .status
            .success()
    );
    assert_eq!(
        place.arguments(),
        ["cli", "-server", "a:1/x", "set", "/a", "two  words"]
    );
    assert!(
        place
            .run("zkTxnLogToolkit.sh", &["-r", "-y", "log.1"])
            .status
            .success()
    );
    assert_eq!(place.arguments(), ["txnlog", "-r", "-y", "log.1"]);
}

#[test]
fn tools_tell_what_is_wrong_with_their_words() {
    let place = Place::new().with("OXKEEPER_BIN", env!("CARGO_BIN_EXE_oxkeeper"));
    for (script, words, code, why) in [
        (
            "zkCli.sh",
            &["-timeout", "x", "ls", "/"][..],
            2,
            "-timeout is \"x\"",
        ),
        (
            "zkCli.sh",
            &["-server", "127.0.0.1:1", "ls", "/"],
            3,
            "KeeperErrorCode = ConnectionLoss for /",
        ),
        (
            "zkTxnLogToolkit.sh",
            &["none"],
            1,
            "File doesn't exist or not readable: none",
        ),
        ("zkTxnLogToolkit.sh", &[], 1, "TXN log file name missing"),
    ] {
        let output = place.run(script, words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(code) && said.contains(why),
            "{script} {words:?}: {said}"
        );
    }
}

#[test]
fn what_cannot_be_written_is_told_with_a_code() {
    let place = tempfile::tempdir().expect("a directory");
    let data = place.path().join("version-2");
    fs::create_dir(&data).expect("a directory");
    let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/java-3.4.14/data/snapshot.1d");
    for number in 1..=5 {
        fs::copy(&snapshot, data.join(format!("snapshot.{number}"))).expect("a file");
    }
    let dir = place.path().to_str().expect("a name");
    for words in [
        &["options"][..],
        &["man"],
        &["completion", "zsh"],
        &["bench", "--help"],
        &["purge", dir, "-n", "3"],
    ] {
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .expect("a device");
        let mut command = Command::new(env!("CARGO_BIN_EXE_oxkeeper"));
        let output = command.args(words).stdout(full).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let told = said.contains("cannot write the output: ") && !said.contains("panicked");
        assert!(output.status.code() == Some(1) && told, "{words:?}: {said}");
    }
    assert_eq!(
        fs::read_dir(&data).expect("a directory").count(),
        3,
        "the purge has gone on"
    );
}

#[test]
fn the_sample_configuration_is_one_that_a_server_takes() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/zoo_sample.cfg");
    let text = fs::read(&sample).expect("the sample");
    let config = Config::parse(&sample, &text, SystemProperties::default(), |_| {
        unreachable!("it stands alone")
    });
    let config = config.expect("good");
    assert_eq!((config.client_port, config.tick_time_ms), (Some(2181), 2_000));
    assert_eq!(config.notes, []);
}
