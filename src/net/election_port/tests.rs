//! The election over real sockets and threads, on the loopback address.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Instant;

use super::*;
use crate::ensemble::{Ensemble, Member, QuorumVerifier, Role};
use crate::proto::notification::{Hello, Notification, ServerState};
use crate::proto::{Encode, Epoch, Sid, Zxid};
use crate::quorum::testing::{Elector, ElectorLetter};
use crate::quorum::{LinkId, Mail};
use crate::runtime::{Inbox, OsClock, Runtime};
use crate::zab::{self, FastLeaderElection, Vote};

const PATIENCE: Duration = Duration::from_secs(20);

fn config(port: u16) -> ElectionConfig {
    ElectionConfig {
        host: "127.0.0.1".to_owned(),
        port,
        listen_on_all_ips: false,
        cnx_timeout_ms: 5_000,
        hello_timeout_ms: 60_000,
        tcp_keep_alive: true,
        tls: None,
        auth: None,
    }
}

fn threads() -> Threads {
    // Nobody ends this process on a halt: a thread that panics shows as an election that fails.
    Threads::new(Arc::new(OsClock::new()), crossbeam_channel::unbounded().0)
}

fn ensemble(ports: &[(i64, u16)]) -> Ensemble {
    let member = |&(sid, election_port)| Member {
        sid: Sid(sid),
        host: "127.0.0.1".to_owned(),
        quorum_port: 2888,
        election_port,
        role: Role::Participant,
    };
    let voters = ports.iter().map(|&(sid, _)| Sid(sid));
    Ensemble::new(ports.iter().map(member), QuorumVerifier::majority(voters))
}

/// One server's election with all its threads.
struct Server {
    elector: Address<ElectorLetter>,
    decided: Arc<Mutex<Option<Vote>>>,
    port: RunningPort,
    address: SocketAddr,
    crew: Crew,
}

impl Server {
    fn start(sid: i64, port: ElectionPort, ensemble: &Ensemble) -> Server {
        let threads = threads();
        let address = port.local_address().expect("an address");
        let (elector, inbox) = Inbox::new();
        let election = FastLeaderElection::new(Sid(sid), ensemble.clone());
        let mut crew = Crew::new();
        let mut running = None;
        let connect = |events| {
            let (orders, port) = port.start(&threads, events);
            running = Some(port);
            orders
        };
        let heard = elector.map(ElectorLetter::from);
        let mail = Mail::start(
            &threads,
            &mut crew,
            Sid(sid),
            ensemble,
            election.standing(),
            heard,
            connect,
        );
        let decided = Arc::new(Mutex::new(None));
        let stage = Elector {
            election,
            mail,
            decided: Arc::clone(&decided),
        };
        threads.start(&mut crew, "QuorumPeer", inbox, stage);
        let server = Server {
            elector,
            decided,
            port: running.expect("the port"),
            address,
            crew,
        };
        server.look();
        server
    }

    fn look(&self) {
        let look = zab::Event::Look {
            last_zxid: Zxid(0x1_0000_0001),
            current_epoch: Epoch(1),
        };
        self.elector.post(ElectorLetter::Event(look));
    }

    fn leader(&self) -> Option<i64> {
        self.decided
            .lock()
            .expect("the decision")
            .map(|vote| vote.leader.0)
    }

    fn stop(self) {
        self.elector.post(ElectorLetter::Halt);
        assert_eq!(self.port.stop(PATIENCE), Vec::<String>::new());
        drop(self.elector);
        assert_eq!(self.crew.join(PATIENCE), Vec::<String>::new());
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "{what} did not come in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(sids: &[i64]) -> (Vec<Server>, Ensemble) {
    let bind = |_| ElectionPort::bind(config(0)).expect("a free port");
    let ports: Vec<ElectionPort> = sids.iter().map(bind).collect();
    let number = |port: &ElectionPort| port.local_address().expect("an address").port();
    let numbers: Vec<(i64, u16)> = sids.iter().copied().zip(ports.iter().map(number)).collect();
    let ensemble = ensemble(&numbers);
    let servers = sids.iter().zip(ports);
    let servers = servers.map(|(&sid, port)| Server::start(sid, port, &ensemble));
    (servers.collect(), ensemble)
}

/// The names of this process's threads, cut to 15 bytes by the kernel.
fn thread_names() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.map(|name| name.trim().to_owned()).collect()
}

#[test]
fn three_servers_elect_and_leave_nothing_behind() {
    let (servers, _) = start(&[71, 72, 73]);
    let agree = || servers.iter().all(|server| server.leader() == Some(73));
    wait_for("the election", agree);
    let each_pair = || servers.iter().all(|server| server.port.counts() == (4, 2));
    wait_for("one link for each pair", each_pair);
    let names = thread_names();
    for name in ["SendWorker:71", "RecvWorker:73", "WorkerSender[my"] {
        assert!(names.iter().any(|other| other == name), "{name} in {names:?}");
    }
    servers.into_iter().for_each(Server::stop);
    let left = |sid: i64| {
        let names = thread_names();
        names.iter().any(|name| name.ends_with(&format!("Worker:{sid}")))
    };
    assert!(![71, 72, 73].into_iter().any(left), "{:?}", thread_names());
}

#[test]
fn a_server_that_restarts_finds_back_in() {
    let (mut servers, ensemble) = start(&[81, 82, 83]);
    let all_follow = |servers: &[Server], leader: i64| {
        wait_for("the election", || {
            servers.iter().all(|server| server.leader() == Some(leader))
        });
    };
    let restart = |sid, address: SocketAddr| {
        let port = ElectionPort::bind(config(address.port())).expect("its port");
        Server::start(sid, port, &ensemble)
    };
    all_follow(&servers, 83);
    let smallest = servers.remove(0);
    let address = smallest.address;
    smallest.stop();
    servers.insert(0, restart(81, address));
    all_follow(&servers, 83);
    let leader = servers.remove(2);
    let address = leader.address;
    leader.stop();
    servers.iter().for_each(Server::look);
    all_follow(&servers, 82);
    servers.push(restart(83, address));
    all_follow(&servers, 82);
    servers.into_iter().for_each(Server::stop);
}

/// All that strangers may do to a port, at once.
fn pester(address: SocketAddr) -> Vec<TcpStream> {
    let call = || TcpStream::connect(address).expect("a connection");
    let mut calls: Vec<TcpStream> = (0..60).map(|_| call()).collect();
    let mut say = |bytes: &[u8]| {
        let mut stream = call();
        stream.write_all(bytes).expect("a write");
        calls.push(stream);
    };
    let hello = |sid: i64| Hello { sid: Sid(sid) }.to_message();
    let with = |sid: i64, more: &[u8]| [hello(sid), more.to_vec()].concat();
    say(&[0, 0, 0]);
    say(b"GET / HTTP/1.1\r\n\r\n");
    say(&with(-65_536, &[hello(9), 2_000_000i32.to_bytes()].concat()));
    say(&with(-65_536, &[hello(9), 2_000i32.to_bytes()].concat()));
    say(&with(i64::MAX, &[]));
    for sid in 200..240 {
        say(&hello(sid));
    }
    say(&with(990, &i32::MAX.to_bytes()));
    say(&with(991, &[0, 0, 0, 40, 1]));
    say(&with(992, &[&[0, 0, 0, 1], &[9][..]].concat()));
    let vote = Notification {
        version: 1,
        state: ServerState::Looking,
        leader: Sid(993),
        zxid: Zxid(i64::MAX),
        round: crate::proto::Round(99),
        peer_epoch: Epoch(99),
    };
    let vote = [40i32.to_bytes(), vote.to_message()].concat();
    say(&with(993, &vote.repeat(2_000)));
    calls
}

#[test]
fn strangers_neither_win_nor_hinder_an_election() {
    let ports: Vec<ElectionPort> = (0..3)
        .map(|_| ElectionPort::bind(config(0)).expect("a free port"))
        .collect();
    let address = |port: &ElectionPort| port.local_address().expect("an address");
    let calls: Vec<Vec<TcpStream>> = ports.iter().map(|port| pester(address(port))).collect();
    let numbers: Vec<(i64, u16)> = (91..)
        .zip(ports.iter().map(|port| address(port).port()))
        .collect();
    let ensemble = ensemble(&numbers);
    let servers = (91..)
        .zip(ports)
        .map(|(sid, port)| Server::start(sid, port, &ensemble));
    let servers: Vec<Server> = servers.collect();
    let agree = || servers.iter().all(|server| server.leader() == Some(93));
    wait_for("the election", agree);
    // At most 32 silent ones with a thread each, 16 strangers and 2 peers with two.
    let bounded = || servers.iter().all(|server| server.port.counts().0 <= 32 + 2 * 18);
    wait_for("the end of most strangers", bounded);
    servers.into_iter().for_each(Server::stop);
    drop(calls);
}

/// A port with the manager's side in the test's hands.
fn bare_port(config: ElectionConfig) -> (Address<LinkOrder>, Inbox<LinkEvent>, RunningPort, SocketAddr) {
    let port = ElectionPort::bind(config).expect("a free port");
    let address = port.local_address().expect("an address");
    let (events, inbox) = Inbox::new();
    let (orders, running) = port.start(&threads(), events);
    (orders, inbox, running, address)
}

fn next(inbox: &Inbox<LinkEvent>) -> LinkEvent {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = inbox.try_take() {
            return event;
        }
        assert!(Instant::now() < end, "no event came in time");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn dial(port: u16) -> LinkOrder {
    LinkOrder::Dial(crate::quorum::link::Dial {
        sid: Sid(5),
        host: "127.0.0.1".to_owned(),
        port,
        hello: Hello { sid: Sid(6) }.to_message(),
    })
}

#[test]
fn a_caller_that_is_silent_is_hung_up_on_in_time() {
    let short = ElectionConfig {
        hello_timeout_ms: 50,
        ..config(0)
    };
    let (_orders, inbox, running, address) = bare_port(short);
    let mut silent = TcpStream::connect(address).expect("a connection");
    silent.write_all(&[0; 7]).expect("a write");
    let reason = "the server's id did not come in time".to_owned();
    let from = "/127.0.0.1".to_owned();
    assert_eq!(next(&inbox), LinkEvent::Nuisance { from, reason });
    assert_eq!(silent.read(&mut [0; 1]).ok(), Some(0), "hung up");
    assert_eq!(running.stop(PATIENCE), Vec::<String>::new());
}

#[test]
fn messages_go_both_ways_and_a_broken_link_is_told() {
    let (orders, inbox, running, address) = bare_port(config(0));
    let mut peer = TcpStream::connect(address).expect("a connection");
    peer.write_all(&Hello { sid: Sid(5) }.to_message())
        .expect("a write");
    let called = next(&inbox);
    let LinkEvent::Called { link, sid, from } = called else {
        panic!("{called:?}");
    };
    let local = peer.local_addr().expect("an address");
    assert_eq!((sid, from), (Sid(5), format!("/127.0.0.1:{}", local.port())));
    orders.post(LinkOrder::Keep { link, sid });
    orders.post(LinkOrder::Send {
        link,
        message: b"abc".to_vec(),
    });
    let mut bytes = [0; 7];
    peer.read_exact(&mut bytes).expect("a message");
    assert_eq!(&bytes, b"\0\0\0\x03abc");
    assert_eq!(next(&inbox), LinkEvent::Sent { link });
    peer.write_all(b"\0\0\0\x02xy").expect("a write");
    let message = b"xy".to_vec();
    assert_eq!(next(&inbox), LinkEvent::Received { link, message });
    drop(peer);
    let reason = "the connection was closed".to_owned();
    assert_eq!(next(&inbox), LinkEvent::Down { link, reason });
    orders.post(LinkOrder::Close { link });
    wait_for("the end of its threads", || running.counts() == (0, 0));
    assert_eq!(running.stop(PATIENCE), Vec::<String>::new());
}

#[test]
fn a_call_that_nobody_takes_is_told_with_the_address() {
    let (orders, inbox, running, _) = bare_port(config(0));
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    orders.post(dial(port));
    let failed = next(&inbox);
    let LinkEvent::DialFailed { sid, address, reason } = failed else {
        panic!("{failed:?}");
    };
    assert_eq!((sid, address), (Sid(5), format!("/127.0.0.1:{port}")));
    assert!(reason.contains("refused"), "{reason}");
    assert_eq!(running.stop(PATIENCE), Vec::<String>::new());
}

/// An address where calls get no answer at all: its queue of callers is full.
fn black_hole() -> (Vec<TcpStream>, rustix::fd::OwnedFd, SocketAddr) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    listen(&socket, 0).expect("a queue");
    let address = getsockname(&socket).expect("an address");
    let address = SocketAddr::try_from(address).expect("an IPv4 address");
    let call = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
    let calls: Vec<TcpStream> = (0..8).map_while(call).collect();
    assert!(calls.len() < 8, "the queue is never full");
    (calls, socket, address)
}

#[test]
fn a_call_into_a_black_hole_ends_by_its_timeout_or_at_once_when_the_port_stops() {
    let (_calls, _socket, hole) = black_hole();
    let short = ElectionConfig {
        cnx_timeout_ms: 100,
        ..config(0)
    };
    let (orders, inbox, running, _) = bare_port(short);
    orders.post(dial(hole.port()));
    let failed = next(&inbox);
    assert!(
        matches!(&failed, LinkEvent::DialFailed { reason, .. } if reason == "connect timed out"),
        "{failed:?}"
    );
    assert_eq!(running.stop(PATIENCE), Vec::<String>::new());
    let long = ElectionConfig {
        cnx_timeout_ms: 3_600_000,
        ..config(0)
    };
    let (orders, _inbox, running, _) = bare_port(long);
    orders.post(dial(hole.port()));
    wait_for("the call", || running.counts().0 == 1);
    assert_eq!(running.stop(Duration::from_secs(5)), Vec::<String>::new());
}

#[test]
fn of_many_silent_callers_the_oldest_make_room() {
    let (_orders, _inbox, running, address) = bare_port(config(0));
    let mut silent: Vec<TcpStream> = (0..50)
        .map(|_| TcpStream::connect(address).expect("a connection"))
        .collect();
    assert_eq!(
        silent[0].read(&mut [0; 1]).ok(),
        Some(0),
        "the oldest is hung up on"
    );
    wait_for("the others", || running.counts() == (32, 32));
    let link = LinkId(0);
    running.switchboard.close(link);
    assert_eq!(running.stop(PATIENCE), Vec::<String>::new());
}

#[test]
fn the_port_is_named_as_in_java_and_said_to_be_taken() {
    let port = ElectionPort::bind(config(0)).expect("a free port");
    assert_eq!(
        (port.name.as_str(), port.bound.as_str()),
        ("/127.0.0.1:0", "/127.0.0.1:0")
    );
    let taken = port.local_address().expect("an address").port();
    let error = ElectionPort::bind(config(taken)).expect_err("two on one port");
    let text = error.to_string();
    let expected = format!("cannot listen for the other servers on election port 127.0.0.1:{taken}: ");
    assert!(text.starts_with(&expected), "{text}");
    let everywhere = ElectionConfig {
        host: "localhost".to_owned(),
        listen_on_all_ips: true,
        ..config(0)
    };
    let port = ElectionPort::bind(everywhere).expect("a free port");
    assert!(port.name.starts_with("localhost/"), "{}", port.name);
    assert_eq!(port.bound, "0.0.0.0/0.0.0.0:0");
    let address = port.local_address().expect("an address");
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).is_ok());
}
