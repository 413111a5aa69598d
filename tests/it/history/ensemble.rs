//! The servers under test: real processes, which can be killed, stopped, cut off, and robbed of what their disk
//! had not promised to keep.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oxkeeper::tools::wire::four_letter_word;
use tempfile::TempDir;

use super::network::Network;
use crate::support::process::{Kind, Server, free_port};
use crate::support::random::Random;

/// Servers with the numbers 1 to n.
#[derive(Debug)]
pub struct Ensemble {
    nodes: BTreeMap<usize, Node>,
    pub network: Network,
    _dir: TempDir,
}

#[derive(Debug)]
struct Node {
    home: PathBuf,
    port: u16,
    server: Option<Server>,
    is_stopped: bool,
    /// How much of each log file is surely on the disk, as far as the server's own log was read.
    safe_bytes: HashMap<String, u64>,
    read_bytes: u64,
}

/// What a loss of power leaves of what was written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// All of it: the process was killed, the machine went on.
    Kept,
    /// Any beginning of it, and something else behind.
    Torn,
}

impl Ensemble {
    pub fn lay_out(count: usize) -> Ensemble {
        let dir = tempfile::tempdir().expect("a directory");
        let network = Network::new(count);
        let ports: BTreeMap<usize, [u16; 3]> = (1..=count)
            .map(|number| (number, [free_port(), free_port(), free_port()]))
            .collect();
        let mut nodes = BTreeMap::new();
        for (&number, &[client, ..]) in &ports {
            let home = dir.path().join(number.to_string());
            let data = home.join("data");
            fs::create_dir_all(&data).expect("a directory");
            fs::write(data.join("myid"), format!("{number}\n")).expect("myid");
            let servers: String = ports
                .iter()
                .map(|(&other, &[_, quorum, election])| {
                    let (host, quorum) = network.way(number, other, quorum);
                    let (_, election) = network.way(number, other, election);
                    format!("server.{other}={host}:{quorum}:{election}\n")
                })
                .collect();
            let text = format!(
                "tickTime={TICK_MS}\ninitLimit=40\nsyncLimit=5\nclientPort={client}\nminSessionTimeout=1000\n\
                 maxSessionTimeout=60000\nmaxClientCnxns=0\ndataDir={}\n{servers}",
                data.display()
            );
            fs::write(home.join("zoo.cfg"), text).expect("zoo.cfg");
            nodes.insert(
                number,
                Node {
                    home,
                    port: client,
                    server: None,
                    is_stopped: false,
                    safe_bytes: HashMap::new(),
                    read_bytes: 0,
                },
            );
        }
        Ensemble {
            nodes,
            network,
            _dir: dir,
        }
    }

    pub fn numbers(&self) -> Vec<usize> {
        self.nodes.keys().copied().collect()
    }

    pub fn address(&self, number: usize) -> SocketAddr {
        SocketAddr::from((self.network.address(number), self.nodes[&number].port))
    }

    pub fn is_running(&self, number: usize) -> bool {
        self.nodes[&number].server.is_some()
    }

    /// Starts a server that does not run.
    pub fn start(&mut self, number: usize) {
        let mut command = self.network.command(number, env!("CARGO_BIN_EXE_oxkeeper"));
        let node = self.node(number);
        if node.server.is_some() {
            return;
        }
        // Snapshots and new log files come often, so that faults meet them.
        command.args(["-Dzookeeper.snapCount=400", "-Dzookeeper.preAllocSize=256"]);
        command.arg("server").arg(node.home.join("zoo.cfg"));
        command.env("RUST_LOG", LOG_LEVELS);
        let (home, port) = (node.home.clone(), node.port);
        node.server = Some(Server::spawn(Kind::Oxkeeper, port, &home, &mut command));
    }

    /// SIGKILL, and what then happens to the disk. Tells how many bytes were lost.
    pub fn kill(&mut self, number: usize, tail: Tail, random: &mut Random) -> u64 {
        let node = self.node(number);
        node.is_stopped = false;
        let Some(server) = node.server.take() else {
            return 0;
        };
        let log = server.log_path().to_owned();
        server.kill();
        node.learn_what_is_safe(&log);
        match tail {
            Tail::Kept => 0,
            Tail::Torn => node.tear(random),
        }
    }

    /// SIGSTOP.
    pub fn stop(&mut self, number: usize) {
        let node = self.node(number);
        if let Some(server) = &node.server {
            server.signal("STOP");
            node.is_stopped = true;
        }
    }

    /// SIGCONT for all that were stopped.
    pub fn wake_all(&mut self) {
        for node in self.nodes.values_mut() {
            if let (Some(server), true) = (&node.server, std::mem::take(&mut node.is_stopped)) {
                server.signal("CONT");
            }
        }
    }

    /// A server that has ended although nobody killed it, and why.
    pub fn dead(&mut self) -> Option<String> {
        for (number, node) in &mut self.nodes {
            let Some(status) = node.server.as_mut().and_then(Server::has_ended) else {
                continue;
            };
            let log = node.server.as_ref().map(Server::log).unwrap_or_default();
            let lines: Vec<&str> = log
                .lines()
                .filter(|line| {
                    line.contains(" ERROR ") || line.contains("panicked") || line.contains(" FATAL ")
                })
                .collect();
            let last = lines[lines.len().saturating_sub(4)..].join("\n");
            return Some(format!("server {number} ended by itself with {status}:\n{last}"));
        }
        None
    }

    /// The server that leads, if one says so at once.
    pub fn leader(&self) -> Option<usize> {
        let awake = self
            .nodes
            .iter()
            .filter(|(_, node)| node.server.is_some() && !node.is_stopped);
        awake
            .map(|(&number, _)| number)
            .find(|&number| self.mode(number).as_deref() == Some("leader"))
    }

    /// In which mode a server serves, if it does.
    pub fn mode(&self, number: usize) -> Option<String> {
        let answer = four_letter_word(self.address(number), b"srvr", Duration::from_secs(1)).ok()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.lines()
            .find_map(|line| line.strip_prefix("Mode: ").map(str::to_owned))
    }

    /// How often a text stands in the servers' logs.
    pub fn count_in_logs(&self, text: &str) -> usize {
        let servers = self.nodes.values().filter_map(|node| node.server.as_ref());
        servers.map(|server| server.log().matches(text).count()).sum()
    }

    /// Where everything is, to be kept for whoever looks for a fault.
    pub fn keep(self) -> PathBuf {
        let Ensemble { nodes, _dir, .. } = self;
        drop(nodes);
        _dir.keep()
    }

    fn node(&mut self, number: usize) -> &mut Node {
        self.nodes.get_mut(&number).expect("a server")
    }
}

impl Node {
    /// Reads on in the server's log, which tells after each sync how much of which file is safe.
    fn learn_what_is_safe(&mut self, log: &Path) {
        let mut file = File::open(log).expect("the server's log");
        let mut text = String::new();
        file.seek(SeekFrom::Start(self.read_bytes)).expect("its end");
        self.read_bytes += file.read_to_string(&mut text).expect("text") as u64;
        for line in text.lines() {
            if let Some((_, name)) = line.split_once("Creating new log file: ") {
                self.safe_bytes.insert(name.to_owned(), 0);
            } else if let Some((path, bytes)) = line.split_once(" is safe up to ") {
                let name = path.rsplit('/').next().unwrap_or_default().to_owned();
                let bytes = bytes.split(' ').next().and_then(|bytes| bytes.parse().ok());
                self.safe_bytes.insert(name, bytes.expect("a number of bytes"));
            }
        }
    }

    /// Does to each log file what a loss of power may do.
    fn tear(&mut self, random: &mut Random) -> u64 {
        let dir = self.home.join("data").join("version-2");
        let mut lost = 0;
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with("log.") {
                continue;
            }
            let safe = self.safe_bytes.get(&name).copied().unwrap_or(0);
            let file = OpenOptions::new().read(true).write(true).open(entry.path());
            let file = file.expect("a log");
            lost += tear_file(&file, safe, random);
            // What is there after a loss of power is on the disk.
            self.safe_bytes
                .insert(name, file.metadata().expect("a length").len());
        }
        lost
    }
}

/// Leaves what is safe, and of the rest some beginning, with nothing, zeros or rubbish behind.
fn tear_file(file: &File, safe: u64, random: &mut Random) -> u64 {
    let length = file.metadata().expect("a length").len();
    if length <= safe {
        return 0;
    }
    let mut rest = vec![0; (length - safe) as usize];
    file.read_exact_at(&mut rest, safe).expect("the rest");
    let written = rest
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    let kept = match random.below(3) {
        0 => 0,
        _ => random.below(written + 1),
    };
    let lost = (written - kept) as u64;
    rest.truncate(kept);
    // No disk writes half of a file's first bytes, which come in one sector.
    if random.chance(30) && safe as usize + kept >= 16 {
        rest.extend((0..random.below(64)).map(|_| random.next() as u8));
    }
    file.set_len(safe).expect("cut");
    file.write_all_at(&rest, safe).expect("written");
    if random.chance(60) {
        // The file was grown ahead of what is written.
        file.set_len(length.max(safe + rest.len() as u64)).expect("grown");
    }
    lost
}

/// Short, so that a run sees many elections.
pub const TICK_MS: u64 = 400;

/// Says after each sync how much of which log file is safe.
const LOG_LEVELS: &str = "info,oxkeeper::storage::log_writer=trace,oxkeeper::storage::recovery=trace";
