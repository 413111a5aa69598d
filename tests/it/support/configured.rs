//! An oxkeeper with a zoo.cfg and a directory of its own, and what a test says to it most often.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use oxkeeper::tools::client::{Client, Handshake};
use oxkeeper::tools::wire::{ClientError, Wire, four_letter_word};
use tempfile::TempDir;

use super::process::{Kind, Server, free_port};

/// A server with its directory, which goes when this is dropped.
pub struct Configured {
    server: Option<Server>,
    port: u16,
    dir: TempDir,
    open_files: Option<u32>,
}

impl Configured {
    /// Starts a server with ticks of 2 s and further lines of zoo.cfg, which may contradict, and waits until it
    /// serves.
    pub fn start(config: &[&str]) -> Configured {
        Configured::start_limited(config, None)
    }

    /// The same for a server that may open so many files only.
    pub fn start_limited(config: &[&str], open_files: Option<u32>) -> Configured {
        let dir = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).expect("a data directory");
        let mut lines = vec![
            "tickTime=2000".to_owned(),
            format!("dataDir={}", data.display()),
            format!("clientPort={port}"),
        ];
        lines.extend(config.iter().map(|&line| line.to_owned()));
        std::fs::write(dir.path().join("zoo.cfg"), lines.join("\n") + "\n").expect("a configuration");
        let mut configured = Configured {
            server: None,
            port,
            dir,
            open_files,
        };
        configured.start_again();
        configured
    }

    /// Starts it again on the same directory and port.
    pub fn start_again(&mut self) {
        let limit = self
            .open_files
            .map_or(String::new(), |count| format!("ulimit -n {count} && "));
        let mut command = Command::new("bash");
        command.args([
            "-c",
            &format!("{limit}exec \"$@\""),
            "bash",
            env!("CARGO_BIN_EXE_oxkeeper"),
            "server",
        ]);
        command.arg(self.dir.path().join("zoo.cfg"));
        let data = self.dir.path().join("data");
        let mut server = Server::spawn(Kind::Oxkeeper, self.port, &data, &mut command);
        server.wait_until_serving();
        self.server = Some(server);
    }

    /// Kills it and starts it again.
    pub fn kill_and_restart(&mut self) {
        if let Some(server) = self.server.take() {
            server.kill();
        }
        self.start_again();
    }

    /// Asks it to end, as an operator does, and waits for that; gives the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.server.take().expect("a running server").terminate()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        self.server.as_ref().expect("a running server").log()
    }

    /// How much memory it has, KiB.
    pub fn resident_kib(&self) -> u64 {
        let pid = self.server.as_ref().expect("a running server").pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a living process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let text = line.expect("a line of its memory").trim().trim_end_matches(" kB");
        text.parse().expect("a number")
    }

    /// A client with a session of 30 s.
    pub fn client(&self) -> Client {
        self.connect(&Handshake::default()).expect("a session")
    }

    /// A client that begins as it likes.
    pub fn connect(&self, hello: &Handshake) -> Result<Client, ClientError> {
        Client::connect(self.address(), hello, LIMIT)
    }

    /// A connection without a handshake.
    pub fn wire(&self) -> Wire {
        Wire::open(self.address(), LIMIT).expect("connected")
    }

    /// What it answers to a word, and to what follows it.
    pub fn word(&self, word: &[u8]) -> String {
        let answer = four_letter_word(self.address(), word, LIMIT).expect("an answer");
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
}

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(30);
