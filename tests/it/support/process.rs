//! Servers as processes of their own, ours and Java's, driven alike.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use oxkeeper::tools::wire::four_letter_word;

use super::{LONG, wait_until};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A real Java ZooKeeper 3.4.14.
    Java,
    /// The one under test.
    Oxkeeper,
}

/// A standalone server on a data directory. It is killed when it is dropped.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    child: Child,
    port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts a server on a port of its own and waits until it serves. `properties` are `key=value`.
    pub fn start(kind: Kind, data_dir: &Path, properties: &[&str]) -> Server {
        Server::start_on(kind, free_port(), data_dir, properties)
    }

    /// The same on a given port.
    pub fn start_on(kind: Kind, port: u16, data_dir: &Path, properties: &[&str]) -> Server {
        let mut command = command(kind, port, data_dir, properties);
        let mut server = Server::spawn(kind, port, data_dir, &mut command);
        server.wait_until_serving();
        server
    }

    /// Starts a command that is such a server, without waiting.
    pub fn spawn(kind: Kind, port: u16, data_dir: &Path, command: &mut Command) -> Server {
        let log = data_dir.with_extension(format!("{port}.log"));
        let out = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let errors = out.try_clone().expect("the log file twice");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        Server {
            kind,
            child,
            port,
            log,
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The number of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with what it has printed.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGKILL: it cannot write anything more.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; gives the exit code.
    pub fn terminate(mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait_for_end().code()
    }

    /// Waits until the process ends by itself.
    pub fn wait_for_end(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the server's end", LONG, || {
            status = self.child.try_wait().expect("a child");
            status.is_some()
        });
        status.expect("waited for")
    }

    /// How it has ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Sends a signal by its name. After `STOP` nothing of it runs any more: a busy machine takes its time.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -s {name}");
        if name == "STOP" {
            wait_until("a stopped process", LONG, || self.is_stopped());
        }
    }

    fn is_stopped(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the threads");
        let states = tasks.map(|task| fs::read_to_string(task.expect("a thread").path().join("stat")));
        // Behind the name in brackets stands the state.
        let is_stopped = |stat: &str| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"));
        states.flatten().all(|stat| is_stopped(&stat))
    }

    /// Waits until it says which mode it is in.
    pub fn wait_until_serving(&mut self) {
        let address = self.address();
        wait_until(&format!("{:?} on {address}", self.kind), LONG, || {
            if let Some(status) = self.child.try_wait().expect("a child") {
                panic!("the {:?} server ended with {status}:\n{}", self.kind, self.log());
            }
            let answer = four_letter_word(address, b"srvr", Duration::from_secs(5));
            answer.is_ok_and(|text| String::from_utf8_lossy(&text).contains("Mode:"))
        });
    }

    fn end(&mut self) {
        // An error here means that it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- {:?} on port {}, the end of its log:", self.kind, self.port);
            let log = self.log();
            let mut last: Vec<&str> = log.lines().rev().take(LOG_LINES).collect();
            last.reverse();
            for line in last {
                eprintln!("{}", line.chars().take(LOG_COLUMNS).collect::<String>());
            }
        }
    }
}

/// The command that runs a standalone server, with `properties` as `-D` words.
pub fn command(kind: Kind, port: u16, data_dir: &Path, properties: &[&str]) -> Command {
    let defines = properties.iter().map(|property| format!("-D{property}"));
    let mut command = match kind {
        Kind::Oxkeeper => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_oxkeeper"));
            command.args(defines).arg("server");
            command
        }
        Kind::Java => {
            let mut command = Command::new(java_script());
            command.env("JVMFLAGS", defines.collect::<Vec<_>>().join(" "));
            command
        }
    };
    command.arg(port.to_string()).arg(data_dir);
    command
}

/// Whether tests against Java are to run: always, unless `OXKEEPER_NO_JAVA` says that there is none.
pub fn with_java() -> bool {
    if std::env::var_os("OXKEEPER_NO_JAVA").is_some() {
        eprintln!("SKIPPED, as OXKEEPER_NO_JAVA demands: nothing was compared with Java 3.4.14");
        return false;
    }
    let found = Command::new(java_script())
        .arg("--classpath")
        .stdout(Stdio::null())
        .status();
    let is_there = found.is_ok_and(|status| status.success());
    assert!(
        is_there,
        "no Java ZooKeeper 3.4.14 to compare with: run tests/interop/install.sh, or set OXKEEPER_NO_JAVA=1 to skip"
    );
    true
}

/// A port that nobody listens on, from below the range of outgoing ones: no client's socket takes it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Runs that begin together have numbers that follow each other.
    let begin = (u64::from(std::process::id()) * 257 % 16_000) as u16;
    for _ in 0..1_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 12_000 + (begin + step) % 20_000;
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// How much of a log is shown when a test fails.
const LOG_LINES: usize = 8;
const LOG_COLUMNS: usize = 240;

fn java_script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/java-server.sh")
}
