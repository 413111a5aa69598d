//! The loop on real sockets, before a chain that answers at once.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::*;
use crate::auth::Auth;
use crate::clients::{TokenRules, WhiteList};
use crate::proto::requests::PathWatch;
use crate::proto::{ConnId, Encode, ErrorCode, EventType, OpCode, Xid, Zxid};
use crate::request::reply::{write_event, write_frame, write_header};
use crate::request::{Gate, Status};
use crate::request::{Origin, Outcome, Replies, ReplyEntry, Request, ServerState, Serving, Sessions};
use crate::runtime::{Clock, Crew, MemDisk, OsClock, Post, Threads};
use crate::storage::{CommittedLog, Database, Dirs};
use crate::tools::client::{Client, Granted, Handshake};
use crate::tools::wire::{Wire, four_letter_word};
use crate::tree::{DataTree, Fired};

const LIMIT: Duration = Duration::from_secs(20);

/// A chain that answers every request as soon as it is posted. A create fires an event first.
struct Echo(Arc<OnceLock<Address<ClientLetter>>>);

impl Post<Vec<Request>> for Echo {
    fn post(&self, requests: Vec<Request>) {
        let mut replies = Replies::new();
        for request in requests {
            let Origin::Client(conn) = request.origin else {
                continue;
            };
            let mut frame = Vec::new();
            if request.op == OpCode::Create {
                let event = Fired {
                    watcher: conn,
                    kind: EventType::NodeCreated,
                    path: "/event".into(),
                    readers: None,
                };
                write_frame(&mut frame, |out| write_event(&event, out));
                replies.push_encoded(entry(conn, Outcome::Event, &request), &frame);
            }
            match request.op {
                OpCode::CreateSession => replies.push_empty(entry(conn, Outcome::SessionCreated, &request)),
                op => {
                    let last = op == OpCode::CloseSession;
                    let outcome = if last {
                        Outcome::AnswerAndClose
                    } else {
                        Outcome::Answer
                    };
                    frame.clear();
                    write_header(&mut frame, request.xid, Zxid(5), ErrorCode::Ok);
                    replies.push_encoded(entry(conn, outcome, &request), &frame);
                }
            }
        }
        if let Some(address) = self.0.get() {
            address.post(ClientLetter::Replies(replies));
        }
    }
}

fn entry(conn: ConnId, outcome: Outcome, request: &Request) -> ReplyEntry {
    let (xid, op, received_us) = (request.xid, request.op, request.received_us);
    ReplyEntry {
        conn,
        outcome,
        xid,
        zxid: Zxid(5),
        op,
        received_us,
        frame: 0..0,
        readers: None,
    }
}

struct Server {
    at: SocketAddr,
    gate: Arc<Gate>,
    status: Arc<Status>,
    sessions: Arc<Sessions>,
    address: Address<ClientLetter>,
    crew: Option<Crew>,
}

impl Server {
    fn start(change: impl FnOnce(&mut PortConfig)) -> Server {
        let rules = Rules {
            max_frame_bytes: 1_048_575,
            min_timeout_ms: 4_000,
            max_timeout_ms: 40_000,
            words: WhiteList::new(crate::config::FOUR_LETTER_WORDS),
            auth: Arc::new(Auth::default()),
            sasl: None,
            required_schemes: Vec::new(),
        };
        let mut config = PortConfig {
            host: Some("127.0.0.1".to_owned()),
            port: Some(0),
            tls: None,
            max_per_address: 0,
            limits: PortLimits::default(),
            patience_ms: 60_000,
            rules,
            conf: "dataDir=/d\n".to_owned(),
        };
        change(&mut config);
        let clock: Arc<dyn Clock> = Arc::new(OsClock::new());
        let (gate, status) = (Arc::new(Gate::new(1_000)), Arc::new(Status::new()));
        let serves = Serves {
            gate: Arc::clone(&gate),
            status: Arc::clone(&status),
            clock: Arc::clone(&clock),
            disk: Arc::new(MemDisk::new()),
            dirs: Dirs::of(Path::new("/d"), Path::new("/d")),
        };
        let bound = ClientPort::bind(config, serves);
        let (port, address) = bound.expect("a free port");
        let at = port.local_address();
        let (halts, _) = crossbeam_channel::unbounded();
        let threads = Threads::new(Arc::clone(&clock), halts);
        let mut crew = Crew::new();
        let name = port.thread_name();
        threads.spawn(&mut crew, &name, move || port.run());
        let sessions = Arc::new(Sessions::new(1, 2_000, [], clock.now()));
        let crew = Some(crew);
        let server = Server {
            at,
            gate,
            status,
            sessions,
            address,
            crew,
        };
        server.open();
        server
    }

    fn open(&self) {
        let clients = Arc::new(OnceLock::new());
        clients.set(self.address.clone()).expect("set once");
        self.gate.open(Serving {
            chain: Address::new(Echo(clients)),
            database: Arc::new(Database::new(DataTree::new(), CommittedLog::new(500))),
            sessions: Arc::clone(&self.sessions),
            state: ServerState::Standalone,
        });
    }

    fn client(&self) -> Client {
        Client::connect(self.at, &Handshake::default(), LIMIT).expect("a session")
    }

    fn word(&self, word: &[u8]) -> String {
        String::from_utf8(four_letter_word(self.at, word, LIMIT).expect("an answer")).expect("text")
    }

    /// What `mntr` says of a key.
    fn figure(&self, key: &str) -> i64 {
        let text = self.word(b"mntr");
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('\t'));
        line.expect("the key").parse().expect("a number")
    }

    /// Waits until the server has this many connections, the one that asks included.
    fn wait_connections(&self, count: i64) {
        let start = std::time::Instant::now();
        while self.figure("zk_num_alive_connections") != count {
            assert!(start.elapsed() < LIMIT, "never {count} connections");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gate.close();
        self.address.post(ClientLetter::Stop);
        let late = self.crew.take().map(|crew| crew.join(LIMIT));
        assert_eq!(late, Some(vec![]), "the loop ends when it is told to");
    }
}

fn exists(client: &mut Client, path: &str) -> Xid {
    client.send(OpCode::Exists, |out| {
        PathWatch {
            path: path.into(),
            watch: false,
        }
        .encode(out)
    })
}

#[test]
fn a_thousand_requests_in_one_packet_are_answered_in_their_order() {
    let server = Server::start(|_| {});
    let mut client = server.client();
    let mut xids = Vec::new();
    for number in 0..1_000 {
        xids.push(exists(&mut client, "/"));
        if number % 7 == 0 {
            xids.push(client.send(OpCode::Create, |_| {}));
        }
    }
    for xid in xids {
        client.receive_reply(xid).expect("its answer");
    }
    assert_eq!(std::iter::from_fn(|| client.event()).count(), 143);
    assert_eq!(client.ping().expect("alive"), Zxid(0));
    assert_eq!(client.close().expect("closed"), Ok(()));
}

#[test]
fn a_taken_session_leaves_its_old_connection() {
    let server = Server::start(|_| {});
    let mut first = server.client();
    let granted = first.session().clone();
    let wrong = Granted {
        password: vec![7; 16],
        ..granted.clone()
    };
    let refused = Client::connect(server.at, &Handshake::renew(&wrong), LIMIT).expect("an answer");
    assert!(refused.session().is_refusal());
    first.ping().expect("the wrong password has disturbed nobody");
    let mut second = Client::connect(server.at, &Handshake::renew(&granted), LIMIT).expect("the session");
    assert_eq!(second.session(), &granted);
    assert!(first.ping().expect_err("closed").is_closed());
    second.ping().expect("alive");
    server.address.post(ClientLetter::CloseSession(granted.session));
    assert!(second.ping().expect_err("the session is over").is_closed());
}

#[test]
fn one_address_may_have_so_many_connections_and_gets_them_back() {
    let server = Server::start(|config| config.max_per_address = 2);
    let first = server.client();
    let _second = server.client();
    assert!(
        four_letter_word(server.at, b"ruok", LIMIT)
            .expect("closed")
            .is_empty()
    );
    first.close().expect("closed").expect("in order");
    assert_eq!(server.word(b"ruok"), "imok");
}

#[test]
fn all_addresses_together_may_have_so_many_connections() {
    let server = Server::start(|config| config.limits.connections = Some(2));
    let first = server.client();
    let _second = server.client();
    let none = four_letter_word(server.at, b"ruok", LIMIT).expect("closed");
    assert!(none.is_empty());
    assert_eq!(server.status.metrics.counters.rejected.get(), 1);
    first.close().expect("closed").expect("in order");
    assert_eq!(server.word(b"ruok"), "imok");
}

#[test]
fn what_is_too_much_for_the_chain_waits_and_keeps_its_order() {
    let server = Server::start(|config| config.limits.requests = Some(1));
    let mut clients = [server.client(), server.client()];
    let all: Vec<Vec<Xid>> = clients
        .iter_mut()
        .map(|client| {
            let create = |_| client.send(OpCode::Create, |_| {});
            (0..300).map(create).collect()
        })
        .collect();
    for (client, xids) in clients.iter_mut().zip(all) {
        for xid in xids {
            client.receive_reply(xid).expect("its answer");
        }
    }
    let counters = &server.status.metrics.counters;
    assert!(counters.throttled.get() > 0 && counters.stale_dropped.get() == 0);
    // The end of a session is not dropped with its connection.
    let [first, second] = clients;
    first.close().expect("closed").expect("in order");
    second.close().expect("closed").expect("in order");
}

#[test]
fn sessions_are_asked_for_as_fast_as_tokens_come_back() {
    let rules = TokenRules {
        most: 2,
        fill_time_ms: 3_600_000,
        fill_count: 1,
    };
    let server = Server::start(|config| config.limits.sessions = Some(rules));
    let mut clients = [server.client(), server.client()];
    let refused = Client::connect(server.at, &Handshake::default(), LIMIT);
    assert!(refused.is_err());
    for client in &mut clients {
        client.ping().expect("others stay");
    }
    assert_eq!(server.word(b"ruok"), "imok");
    assert_eq!(server.status.metrics.counters.rejected.get(), 1);
}

#[test]
fn the_word_dirs_tells_how_large_the_directories_are() {
    let server = Server::start(|_| {});
    assert_eq!(server.word(b"dirs"), "datadir_size: 0\nlogdir_size: 0\n");
}

#[test]
fn the_word_hash_lists_nothing_unless_a_digest_is_kept() {
    let server = Server::start(|_| {});
    assert_eq!(server.word(b"hash"), "");
}

#[test]
fn silence_and_half_a_handshake_end_after_a_while() {
    let server = Server::start(|config| config.patience_ms = 300);
    let mut silent = Wire::open(server.at, LIMIT).expect("connected");
    let mut half = Wire::open(server.at, LIMIT).expect("connected");
    half.send_bytes(&[0, 0, 0, 44, 0, 0]).expect("sent");
    let mut client = server.client();
    assert!(silent.receive_rest().expect("closed").is_empty());
    assert!(half.receive_rest().expect("closed").is_empty());
    client.ping().expect("a session has other limits");
}

#[test]
fn who_does_not_read_keeps_nobody_waiting_and_is_bounded() {
    let server = Server::start(|_| {});
    let mut deaf = server.client();
    deaf.wire().limit_reads(LIMIT).expect("a limit");
    let children = vec![0; 200_000];
    // Each of these requests is refused with a short answer; the creates carry much, so the input is what counts.
    for _ in 0..50 {
        deaf.send(OpCode::Create, |out| out.extend_from_slice(&children));
    }
    for _ in 0..20_000 {
        exists(&mut deaf, "/");
    }
    deaf.wire().flush().expect("all is taken");
    let mut other = server.client();
    other.ping().expect("served");
    let mut answers = 0;
    while answers < 20_050 {
        match deaf.receive().expect("an answer") {
            crate::tools::client::Incoming::Reply(_) => answers += 1,
            crate::tools::client::Incoming::Event(_) => {}
        }
    }
}

#[test]
fn without_a_role_handshakes_are_closed_and_words_say_so() {
    let server = Server::start(|_| {});
    let mut client = server.client();
    server.gate.close();
    server.address.post(ClientLetter::CloseAll);
    assert!(client.ping().expect_err("closed").is_closed());
    let refused = Client::connect(server.at, &Handshake::default(), LIMIT).expect_err("closed");
    assert!(refused.is_closed());
    let words = [b"ruok", b"isro", b"srvr"].map(|word| server.word(word));
    let closed = "This ZooKeeper instance is not currently serving requests\n";
    assert_eq!(words, ["imok", "null", closed]);
    server.open();
    server.client().ping().expect("served again");
}

#[test]
fn words_answer_and_count_themselves() {
    let server = Server::start(|_| {});
    let conf = server.word(b"conf");
    assert_eq!(conf, format!("clientPort={}\ndataDir=/d\n", server.at.port()));
    assert_eq!(server.word(b"gtmk\n"), "306");
    assert_eq!(server.word(b"stmk\0\0\0\0\0\0\x01\0"), "256");
    assert_eq!(server.word(b"gtmk"), "256");
    assert_eq!(server.word(b"srst"), "Server stats reset.\n");
    let client = server.client();
    let session = client.session().session;
    let stat = server.word(b"stat");
    assert!(
        stat.contains("\nReceived: 2\nSent: 2\nConnections: 2\nOutstanding: 0\n"),
        "{stat}"
    );
    assert!(stat.contains("[0](queued=0,recved=1,sent=0)\n"), "{stat}");
    let cons = server.word(b"cons");
    let mine = format!("[1](queued=0,recved=1,sent=1,sid={session},lop=SESS,est=");
    assert!(cons.contains(&mine) && cons.ends_with(")\n\n"), "{cons}");
    assert_eq!(server.word(b"crst"), "Connection stats reset.\n");
    assert!(
        server
            .word(b"cons")
            .contains(&format!("recved=0,sent=0,sid={session},lop=NA"))
    );
    assert!(server.word(b"dump").contains(&format!("\t{session}\n")));
    assert_eq!(
        server.word(b"wchs"),
        "0 connections watching 0 paths\nTotal watches:0\n"
    );
    assert!(server.figure("zk_max_file_descriptor_count") >= server.figure("zk_open_file_descriptor_count"));
}

#[test]
fn bad_bytes_close_their_own_connection_only() {
    let server = Server::start(|_| {});
    let mut good = server.client();
    for bytes in [
        &b"hash"[..],
        &[0x80, 0, 0, 0],
        &[0, 0x10, 0, 0],
        &[0, 0, 0, 0],
        b"\0\0\0\x01x",
    ] {
        let mut wire = Wire::open(server.at, LIMIT).expect("connected");
        wire.send_bytes(bytes).expect("sent");
        assert!(wire.receive_rest().expect("closed").is_empty(), "{bytes:?}");
    }
    let mut bad = server.client();
    bad.send_as(Xid(9), 55, |_| {});
    let reply = bad.receive_reply(Xid(9)).expect("an answer");
    assert_eq!((reply.zxid, reply.error), (Zxid(-1), ErrorCode::Unimplemented));
    assert!(bad.receive().expect_err("closed").is_closed());
    good.ping().expect("alive");
    server.wait_connections(2);
    assert_eq!(server.status.connections(), 1);
}

#[test]
fn a_port_in_use_is_said_before_anything_runs() {
    let server = Server::start(|_| {});
    let rules = Rules {
        max_frame_bytes: 1,
        min_timeout_ms: 1,
        max_timeout_ms: 1,
        words: WhiteList::new([]),
        auth: Arc::new(Auth::default()),
        sasl: None,
        required_schemes: Vec::new(),
    };
    let config = PortConfig {
        host: Some("localhost".to_owned()),
        port: Some(server.at.port()),
        tls: None,
        max_per_address: 0,
        limits: PortLimits::default(),
        patience_ms: 1,
        rules,
        conf: String::new(),
    };
    let serves = || Serves {
        gate: Arc::clone(&server.gate),
        status: Arc::clone(&server.status),
        clock: Arc::new(OsClock::new()),
        disk: Arc::new(MemDisk::new()),
        dirs: Dirs::of(Path::new("/d"), Path::new("/d")),
    };
    let bind = |config| ClientPort::bind(config, serves());
    let name = format!("localhost/127.0.0.1:{}", server.at.port());
    let error = bind(config.clone()).expect_err("in use").to_string();
    assert!(
        error.starts_with(&format!("Address already in use: {name};")),
        "{error}"
    );
    let nowhere = PortConfig {
        host: Some("no.such.host.invalid".to_owned()),
        ..config.clone()
    };
    assert!(matches!(bind(nowhere), Err(BindError::Resolve { .. })));
    let (any, _) = bind(PortConfig {
        host: None,
        port: Some(0),
        tls: None,
        ..config
    })
    .expect("a free port");
    assert_eq!(any.thread_name(), "NIOServerCxn.Factory:0.0.0.0/0.0.0.0:0");
}
