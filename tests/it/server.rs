//! A whole server as its own process, on a directory and a port of its own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use oxkeeper::tools::client::{Client, Handshake};
use oxkeeper::tools::wire::{ClientError, Wire, four_letter_word};
use tempfile::TempDir;

/// How long anything may take that should take no time.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A running server. It is killed when this is dropped.
pub struct Server {
    dir: TempDir,
    address: SocketAddr,
    child: Child,
}

impl Server {
    /// Starts a server with ticks of 2 s and further lines of zoo.cfg, and waits until it serves.
    pub fn start(config: &[&str]) -> Server {
        Server::start_with(config, &[])
    }

    /// The same, with system properties: `key=value`.
    pub fn start_with(config: &[&str], properties: &[&str]) -> Server {
        let dir = tempfile::tempdir().expect("a directory");
        let address = free_address();
        let data = dir.path().join("data");
        let mut lines = vec![
            "tickTime=2000".to_owned(),
            format!("dataDir={}", data.display()),
            format!("clientPort={}", address.port()),
        ];
        lines.extend(config.iter().map(|&line| line.to_owned()));
        std::fs::create_dir(&data).expect("a data directory");
        std::fs::write(dir.path().join("zoo.cfg"), lines.join("\n") + "\n").expect("a configuration");
        let child = spawn(dir.path(), properties);
        let mut server = Server { dir, address, child };
        server.wait_serving();
        server
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_path(self.dir.path())).expect("a log")
    }

    /// A client with a session of 30 s.
    pub fn client(&self) -> Client {
        self.connect(&Handshake::default()).expect("a session")
    }

    /// A client that begins as it likes.
    pub fn connect(&self, hello: &Handshake) -> Result<Client, ClientError> {
        Client::connect(self.address, hello, LIMIT)
    }

    /// A connection without a handshake.
    pub fn wire(&self) -> Wire {
        Wire::open(self.address, LIMIT).expect("connected")
    }

    /// What it answers to a word, and what follows it.
    pub fn word(&self, word: &[u8]) -> String {
        let answer = four_letter_word(self.address, word, LIMIT).expect("an answer");
        String::from_utf8(answer).expect("text")
    }

    /// A figure of `mntr`.
    pub fn figure(&self, key: &str) -> i64 {
        let text = self.word(b"mntr");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'));
        value
            .unwrap_or_else(|| panic!("{key} in {text}"))
            .parse()
            .expect("a number")
    }

    /// Kills it and starts it again on the same directory and port.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("its end");
        self.child = spawn(self.dir.path(), &[]);
        self.wait_serving();
    }

    /// Asks it to end, as an operator does, and waits for that.
    pub fn terminate(&mut self) -> ExitStatus {
        let sent = Command::new("kill")
            .arg(self.pid().to_string())
            .status()
            .expect("kill runs");
        assert!(sent.success());
        let mut status = None;
        wait_until("the server has ended", || {
            status = self.child.try_wait().expect("a status");
            status.is_some()
        });
        status.expect("it has ended")
    }

    fn wait_serving(&mut self) {
        let address = self.address;
        wait_until("the server serves", || {
            if let Some(status) = self.child.try_wait().expect("a status") {
                panic!("the server has ended: {status}\n{}", self.log());
            }
            four_letter_word(address, b"srvr", LIMIT)
                .is_ok_and(|answer| String::from_utf8_lossy(&answer).contains("Mode:"))
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log());
        }
    }
}

/// Waits for a condition, and fails with its name if it does not come.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LIMIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn spawn(dir: &Path, properties: &[&str]) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log_path(dir))
        .expect("a log file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxkeeper"));
    command.args(properties.iter().map(|property| format!("-D{property}")));
    command
        .arg("server")
        .arg(dir.join("zoo.cfg"))
        .stdin(Stdio::null());
    command
        .stdout(log.try_clone().expect("a copy"))
        .stderr(log)
        .spawn()
        .expect("the server starts")
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// A port that nobody listens on at present.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}
