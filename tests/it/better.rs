//! Requests by which a client ends or harms a Java 3.4.14, left out of the comparison: here they are answered or
//! refused, everybody else is served on, and the next start succeeds.

use std::time::Duration;

use oxkeeper::proto::multi::{MultiHeader, MultiOp, encode_ops};
use oxkeeper::proto::requests::{ConnectRequest, CreateRequest};
use oxkeeper::proto::{Acl, Encode, ErrorCode, OpCode, SessionId, Zxid};
use oxkeeper::tools::client::{Client, Handshake};
use oxkeeper::tools::wire::Wire;

use crate::support::process::{Kind, Server, with_java};

/// 3.4.14 logs it as a transaction that its next start cannot read. (ZOOKEEPER-2623,
/// ZOOKEEPER-4680)
#[test]
fn a_check_outside_a_multi_is_answered_and_not_logged() {
    survives(|client| {
        assert_eq!(client.check("/", -1).expect("an answer"), Ok(()));
        assert_eq!(
            client.check("/", 7).expect("an answer"),
            Err(ErrorCode::BadVersion)
        );
        assert_eq!(
            client.check("/none", -1).expect("an answer"),
            Err(ErrorCode::NoNode)
        );
    });
}

/// 3.4.14 makes session after session out of the one frame.
#[test]
fn a_handshake_with_a_null_password_makes_one_session_at_most() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(Kind::Oxkeeper, dir.path(), &[]);
    let mut client = connect(&server);
    let before = client.ping().expect("an answer");
    let mut wire = Wire::open(server.address(), LIMIT).expect("a connection");
    let hello = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: Zxid(0),
        timeout_ms: 4_000,
        session: SessionId(0),
        password: None,
    };
    wire.queue_frame(|out| hello.encode(out));
    // Granted or closed: both are safe.
    drop(wire.receive_frame());
    let after = client.ping().expect("an answer");
    assert!(after.0 - before.0 <= 1, "from {before} to {after}");
}

/// 3.4.14 logs a record that it cannot read again. (BinaryInputArchive.checkLength;
/// ZOOKEEPER-2101, ZOOKEEPER-3496, ZOOKEEPER-4306)
#[test]
fn a_transaction_that_no_peer_could_read_is_refused() {
    survives(|client| {
        let data = vec![b'x'; 4_096];
        let create = |number: usize| {
            let path = format!("/s{}", "a".repeat(number % 3)).into();
            MultiOp::Create(CreateRequest {
                path,
                data: Some(&data),
                acl: Acl::open(),
                flags: 2,
            })
        };
        let mut ops = Vec::new();
        let mut bytes = 0;
        while bytes < 1_048_575 - 8_300 {
            ops.push(create(ops.len()));
            let mut out = Vec::new();
            encode_ops(&ops[ops.len() - 1..], &mut out);
            bytes += out.len() - 9;
        }
        // Fill the frame up to its limit: the record is longer by ten digits for each node.
        let rest = vec![b'x'; 1_048_575 - bytes - 9 - 8 - 9 - 60];
        let last = CreateRequest {
            path: "/s".into(),
            data: Some(&rest),
            acl: Acl::open(),
            flags: 2,
        };
        ops.push(MultiOp::Create(last));
        let reply = client.multi(&ops).expect("an answer");
        assert_ne!((reply.error, reply.body.is_empty()), (ErrorCode::Ok, true));
    });
}

/// 3.4.14's process ends: it cannot read the numbers. (StatsTrack)
#[test]
fn nonsense_below_the_quotas_ends_nobody() {
    survives(|client| {
        let limits = "/zookeeper/quota/a/zookeeper_limits";
        let stats = "/zookeeper/quota/a/zookeeper_stats";
        for (path, data) in [
            ("/a", b"".as_slice()),
            ("/zookeeper/quota/a", b""),
            (limits, b"nonsense"),
            (stats, b"more nonsense"),
            ("/a/b", b"counted"),
        ] {
            let made = client.create(path, data, &Acl::open(), 0).expect("an answer");
            assert_eq!(made, Ok(path.to_owned()));
        }
        client
            .set_data("/a", b"xyz", -1)
            .expect("an answer")
            .expect("set");
        client.delete("/a/b", -1).expect("an answer").expect("deleted");
    });
}

/// 3.4.14 takes a number for such a multi and logs nothing: what it leaves is no hole, and must be taken over.
#[test]
fn a_number_missing_from_a_log_of_javas_is_no_hole() {
    if !with_java() {
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(Kind::Java, dir.path(), &[]);
    let mut client = connect(&server);
    for path in ["/before", "/after"] {
        let made = client.create(path, b"", &Acl::open(), 0).expect("an answer");
        assert_eq!(made.as_deref(), Ok(path));
        let nothing: Option<&[u8]> = None;
        let reply = client.call(OpCode::Multi, |out| {
            let header = |op, done| MultiHeader { op, done, error: -1 };
            header(OpCode::Delete.number(), false).encode(out);
            nothing.encode(out);
            (-1).encode(out);
            header(-1, true).encode(out);
        });
        assert_eq!(reply.expect("an answer").error, ErrorCode::MarshallingError);
    }
    server.kill();
    let server = Server::start(Kind::Oxkeeper, dir.path(), &[]);
    let after = connect(&server)
        .exists("/after", false)
        .expect("an answer")
        .expect("the node");
    assert_eq!(after.czxid, Zxid(4));
}

/// Does something to a server, which must serve on, and again after a kill and a start.
fn survives(harm: impl FnOnce(&mut Client)) {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(Kind::Oxkeeper, dir.path(), &[]);
    let mut client = connect(&server);
    harm(&mut client);
    let made = connect(&server)
        .create("/after", b"", &Acl::open(), 0)
        .expect("an answer");
    assert_eq!(made.as_deref(), Ok("/after"));
    server.kill();
    let server = Server::start(Kind::Oxkeeper, dir.path(), &[]);
    let found = connect(&server).call(OpCode::Exists, |out| {
        "/after".encode(out);
        false.encode(out);
    });
    assert_eq!(found.expect("an answer").error, ErrorCode::Ok);
}

fn connect(server: &Server) -> Client {
    Client::connect(server.address(), &Handshake::default(), LIMIT).expect("a session")
}

const LIMIT: Duration = Duration::from_secs(30);
