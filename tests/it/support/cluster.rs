//! Ensembles of our own servers on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use oxkeeper::proto::{Acl, Stat};
use oxkeeper::tools::client::{Client, Handshake};
use oxkeeper::tools::wire::four_letter_word;
use tempfile::TempDir;

use super::process::{Kind, Server, free_port};
use super::{LONG, wait_until};

/// Servers with the numbers 1 to n. All are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: BTreeMap<usize, Node>,
    /// Goes after the servers, which show the ends of their logs when a test fails.
    dir: TempDir,
}

#[derive(Debug)]
struct Node {
    port: u16,
    server: Option<Server>,
}

/// A tree as clients see it: of each path the data, the ACL and the stat.
pub type Tree = BTreeMap<String, (Option<Vec<u8>>, Vec<Acl>, Stat)>;

impl Cluster {
    /// Lays out `count` servers, of which the last `observers` do not vote, and starts all.
    pub fn start(count: usize, observers: usize) -> Cluster {
        let mut cluster = Cluster::lay_out(count, observers);
        cluster.start_all();
        cluster
    }

    fn lay_out(count: usize, observers: usize) -> Cluster {
        let dir = tempfile::tempdir().expect("a directory");
        let role = |number| {
            if number > count - observers {
                ":observer"
            } else {
                ""
            }
        };
        let servers: String = (1..=count)
            .map(|n| {
                format!(
                    "server.{n}=127.0.0.1:{}:{}{}\n",
                    free_port(),
                    free_port(),
                    role(n)
                )
            })
            .collect();
        let mut nodes = BTreeMap::new();
        for number in 1..=count {
            let (home, port) = (dir.path().join(number.to_string()), free_port());
            let data = home.join("data");
            fs::create_dir_all(&data).expect("a directory");
            fs::write(data.join("myid"), format!("{number}\n")).expect("myid");
            let peer_type = if role(number).is_empty() {
                "participant"
            } else {
                "observer"
            };
            let text = format!(
                "tickTime=500\ninitLimit=40\nsyncLimit=20\nclientPort={port}\npeerType={peer_type}\n\
                 minSessionTimeout=1000\nmaxSessionTimeout=60000\ndataDir={}\n{servers}",
                data.display()
            );
            fs::write(home.join("zoo.cfg"), text).expect("zoo.cfg");
            nodes.insert(number, Node { port, server: None });
        }
        Cluster { dir, nodes }
    }

    /// Starts those that do not run, and waits until all serve.
    pub fn start_all(&mut self) {
        let idle: Vec<usize> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.server.is_none())
            .map(|(n, _)| *n)
            .collect();
        self.start_these(&idle);
    }

    /// Starts some, and waits until they serve.
    pub fn start_these(&mut self, numbers: &[usize]) {
        numbers.iter().for_each(|&number| self.spawn(number));
        numbers.iter().for_each(|&number| self.wait_until_serving(number));
    }

    /// Starts one, and waits until it serves.
    pub fn start_one(&mut self, number: usize) {
        self.spawn(number);
        self.wait_until_serving(number);
    }

    fn spawn(&mut self, number: usize) {
        let home = self.home(number);
        let mut command = Command::new(env!("CARGO_BIN_EXE_oxkeeper"));
        command.arg("server").arg(home.join("zoo.cfg"));
        let node = self.nodes.get_mut(&number).expect("a server");
        node.server = Some(Server::spawn(Kind::Oxkeeper, node.port, &home, &mut command));
    }

    /// Waits until a server that runs serves in some role.
    fn wait_until_serving(&mut self, number: usize) {
        let node = self.nodes.get_mut(&number).expect("a server");
        node.server
            .as_mut()
            .expect("a server that runs")
            .wait_until_serving();
    }

    /// Kills a server with SIGKILL.
    pub fn kill(&mut self, number: usize) {
        let node = self.nodes.get_mut(&number).expect("a server");
        node.server.take().expect("a server that runs").kill();
    }

    /// Ends a server by SIGTERM, and gives its exit code.
    pub fn terminate(&mut self, number: usize) -> Option<i32> {
        let node = self.nodes.get_mut(&number).expect("a server");
        node.server.take().expect("a server that runs").terminate()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, number: usize, name: &str) {
        self.server(number).signal(name);
    }

    /// What a server that runs has printed, of all its lives.
    pub fn log(&self, number: usize) -> String {
        self.server(number).log()
    }

    /// The file of that.
    pub fn log_path(&self, number: usize) -> PathBuf {
        self.server(number).log_path().to_path_buf()
    }

    /// Where a server's clients connect.
    pub fn address(&self, number: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.nodes[&number].port))
    }

    /// Where a server's learners connect while it leads.
    pub fn quorum_address(&self, number: usize) -> SocketAddr {
        let text = fs::read_to_string(self.home(number).join("zoo.cfg")).expect("zoo.cfg");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("server.{number}=127.0.0.1:")));
        let port = line
            .and_then(|line| line.split(':').next())
            .and_then(|port| port.parse().ok());
        SocketAddr::from(([127, 0, 0, 1], port.expect("a quorum port")))
    }

    /// All client addresses.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.keys().map(|&number| self.address(number)).collect()
    }

    /// The server's `Mode:`, if it serves.
    pub fn mode(&self, number: usize) -> Option<String> {
        let answer = four_letter_word(self.address(number), b"srvr", Duration::from_secs(5)).ok()?;
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.lines()
            .find_map(|line| line.strip_prefix("Mode: ").map(str::to_owned))
    }

    /// The leader, once there is one among the servers that run.
    pub fn leader(&self) -> usize {
        let mut leader = None;
        wait_until("a leader", LONG, || {
            let running = self.nodes.iter().filter(|(_, node)| node.server.is_some());
            let mut modes = running.map(|(&number, _)| (number, self.mode(number)));
            leader = modes
                .find(|(_, mode)| mode.as_deref() == Some("leader"))
                .map(|(number, _)| number);
            leader.is_some()
        });
        leader.expect("waited for")
    }

    /// A server that runs and follows.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        let mut running = self.nodes.iter().filter(|(_, node)| node.server.is_some());
        *running
            .find(|(number, _)| **number != leader)
            .expect("a follower")
            .0
    }

    /// A client of one server.
    pub fn client(&self, number: usize) -> Client {
        connect(self.address(number)).unwrap_or_else(|| panic!("no session with server {number}"))
    }

    /// What a server shows, once it has caught up with the leader.
    pub fn tree(&self, number: usize) -> Tree {
        let mut client = self.client(number);
        client.sync("/").expect("an answer").expect("a sync");
        let mut tree = Tree::new();
        walk(&mut client, "/", &mut tree);
        tree
    }

    /// Fails unless all servers that run show the same tree; gives it.
    pub fn same_trees(&self) -> Tree {
        let running = self.nodes.iter().filter(|(_, node)| node.server.is_some());
        let mut trees = running.map(|(&number, _)| (number, self.tree(number)));
        let (first, expected) = trees.next().expect("a server that runs");
        for (number, tree) in trees {
            for (path, node) in &expected {
                assert_eq!(
                    tree.get(path),
                    Some(node),
                    "{path} on servers {number} and {first}"
                );
            }
            assert_eq!(
                tree.len(),
                expected.len(),
                "nodes on servers {number} and {first}"
            );
        }
        expected
    }

    /// Where a server's log and snapshots are.
    pub fn data(&self, number: usize) -> PathBuf {
        self.home(number).join("data").join("version-2")
    }

    fn home(&self, number: usize) -> PathBuf {
        self.dir.path().join(number.to_string())
    }

    fn server(&self, number: usize) -> &Server {
        self.nodes[&number].server.as_ref().expect("a server that runs")
    }
}

/// A client that may fail to connect.
fn connect(address: SocketAddr) -> Option<Client> {
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        let client = Client::connect(address, &Handshake::with_timeout(30_000), LONG);
        if let Some(client) = client.ok().filter(|client| !client.session().is_refusal()) {
            return Some(client);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

fn walk(client: &mut Client, path: &str, tree: &mut Tree) {
    let (data, stat) = client.get_data(path, false).expect("an answer").expect("a node");
    let (acl, _) = client.get_acl(path).expect("an answer").expect("a node");
    let children = client
        .get_children(path, false)
        .expect("an answer")
        .expect("a node");
    tree.insert(path.to_owned(), (data, acl, stat));
    for name in children {
        let child = if path == "/" {
            format!("/{name}")
        } else {
            format!("{path}/{name}")
        };
        walk(client, &child, tree);
    }
}
