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
use super::way::Way;
use super::{LONG, wait_until};

/// Servers with the numbers 1 to n. All are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    nodes: BTreeMap<usize, Node>,
    /// Words before the sub-command.
    defines: Vec<String>,
    /// From the first to the second, if a test wants to block them.
    ways: BTreeMap<(usize, usize), [Way; 2]>,
    /// Goes after the servers, which show the ends of their logs when a test fails.
    dir: TempDir,
}

#[derive(Debug)]
struct Node {
    port: u16,
    quorum_port: u16,
    election_port: u16,
    server: Option<Server>,
}

/// How servers are laid out.
#[derive(Debug, Default)]
pub struct Layout<'a> {
    /// How many.
    pub count: usize,
    /// How many of these do not vote: the last ones.
    pub observers: usize,
    /// More lines of each zoo.cfg, which may contradict the usual ones.
    pub lines: &'a [&'a str],
    /// Properties of each, `key=value`.
    pub properties: &'a [&'a str],
    /// Whether ways between them can be blocked.
    pub has_ways: bool,
}

/// A tree as clients see it: of each path the data, the ACL and the stat.
pub type Tree = BTreeMap<String, (Option<Vec<u8>>, Vec<Acl>, Stat)>;

impl Cluster {
    /// Lays out `count` servers, of which the last `observers` do not vote, and starts all.
    pub fn start(count: usize, observers: usize) -> Cluster {
        let mut cluster = Cluster::lay_out(&Layout {
            count,
            observers,
            ..Layout::default()
        });
        cluster.start_all();
        cluster
    }

    /// Makes directories and configurations.
    pub fn lay_out(layout: &Layout) -> Cluster {
        let node = |number| {
            let node = Node {
                port: free_port(),
                quorum_port: free_port(),
                election_port: free_port(),
                server: None,
            };
            (number, node)
        };
        let nodes: BTreeMap<usize, Node> = (1..=layout.count).map(node).collect();
        let mut ways = BTreeMap::new();
        for from in nodes.keys().filter(|_| layout.has_ways) {
            for (to, node) in nodes.iter().filter(|(to, _)| *to != from) {
                ways.insert(
                    (*from, *to),
                    [Way::to(node.quorum_port), Way::to(node.election_port)],
                );
            }
        }
        let dir = tempfile::tempdir().expect("a directory");
        let defines = layout.properties.iter().map(|property| format!("-D{property}"));
        let cluster = Cluster {
            nodes,
            defines: defines.collect(),
            ways,
            dir,
        };
        (1..=layout.count).for_each(|number| cluster.configure(number, layout));
        cluster
    }

    fn configure(&self, number: usize, layout: &Layout) {
        let is_observer = |number| number > layout.count - layout.observers;
        let (home, port) = (self.home(number), self.nodes[&number].port);
        let data = home.join("data");
        fs::create_dir_all(&data).expect("a directory");
        fs::write(data.join("myid"), format!("{number}\n")).expect("myid");
        let peer_type = if is_observer(number) {
            "observer"
        } else {
            "participant"
        };
        let mut text = format!(
            "tickTime=500\ninitLimit=40\nsyncLimit=20\nclientPort={port}\npeerType={peer_type}\n\
             minSessionTimeout=1000\nmaxSessionTimeout=60000\ndataDir={}\n",
            data.display()
        );
        for (other, node) in &self.nodes {
            let [quorum_port, election_port] = match self.ways.get(&(number, *other)) {
                Some(ways) => [ways[0].port(), ways[1].port()],
                None => [node.quorum_port, node.election_port],
            };
            let role = if is_observer(*other) { ":observer" } else { "" };
            text += &format!("server.{other}=127.0.0.1:{quorum_port}:{election_port}{role}\n");
        }
        layout.lines.iter().for_each(|line| text += &format!("{line}\n"));
        fs::write(home.join("zoo.cfg"), text).expect("zoo.cfg");
    }

    /// Blocks all ways between a server and some others, both ways, or opens them.
    pub fn block(&self, number: usize, others: &[usize], blocked: bool) {
        for other in others {
            for pair in [(number, *other), (*other, number)] {
                self.ways[&pair].iter().for_each(|way| way.block(blocked));
            }
        }
    }

    /// Adds lines to a server's zoo.cfg, for its next start.
    pub fn add_lines(&mut self, number: usize, lines: &str) {
        let path = self.home(number).join("zoo.cfg");
        let text = fs::read_to_string(&path).expect("zoo.cfg");
        fs::write(path, text + lines).expect("zoo.cfg");
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

    /// Starts some, without waiting: they may be too few to serve.
    pub fn spawn_these(&mut self, numbers: &[usize]) {
        numbers.iter().for_each(|&number| self.spawn(number));
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
        command
            .args(&self.defines)
            .arg("server")
            .arg(home.join("zoo.cfg"));
        let node = self.nodes.get_mut(&number).expect("a server");
        node.server = Some(Server::spawn(Kind::Oxkeeper, node.port, &home, &mut command));
    }

    /// Waits until a server that runs serves in some role.
    pub fn wait_until_serving(&mut self, number: usize) {
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
        SocketAddr::from(([127, 0, 0, 1], self.nodes[&number].quorum_port))
    }

    /// Where the other servers connect for the election.
    pub fn election_address(&self, number: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.nodes[&number].election_port))
    }

    /// The number of a server's process.
    pub fn pid(&self, number: usize) -> u32 {
        self.server(number).pid()
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

    /// The servers that run.
    pub fn running(&self) -> Vec<usize> {
        let running = self.nodes.iter().filter(|(_, node)| node.server.is_some());
        running.map(|(&number, _)| number).collect()
    }

    /// The leader, once there is one among the servers that run.
    pub fn leader(&self) -> usize {
        self.leader_among(&self.running())
    }

    /// The leader, once there is one among these.
    pub fn leader_among(&self, numbers: &[usize]) -> usize {
        let mut leader = None;
        wait_until("a leader", LONG, || {
            let mut numbers = numbers.iter().copied();
            leader = numbers.find(|&number| self.mode(number).as_deref() == Some("leader"));
            leader.is_some()
        });
        leader.expect("waited for")
    }

    /// A server that runs and follows.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        let mut running = self.running().into_iter();
        running.find(|&number| number != leader).expect("a follower")
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
        let mut trees = self
            .running()
            .into_iter()
            .map(|number| (number, self.tree(number)));
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

    /// A server's own directory, with its zoo.cfg.
    pub fn home(&self, number: usize) -> PathBuf {
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
