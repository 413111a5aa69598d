//! Conversations with a whole server over its port, in bytes and frames: what 3.4.14 answers, or whether it
//! closes. The facts were seen on the running Java server.

use oxkeeper::proto::requests::PathWatch;
use oxkeeper::proto::{Acl, Encode, ErrorCode, OpCode, SessionId, Xid, Zxid};
use oxkeeper::tools::client::{Client, Granted, Handshake, Incoming};
use oxkeeper::tools::wire::Wire;

use crate::support::configured::Configured;
use crate::support::{LONG, wait_until};

#[test]
fn handshakes_of_all_kinds_get_their_answers() {
    let server = Configured::start(&[]);
    let usual = Handshake::default();
    let odd = Handshake {
        protocol_version: -7,
        password: Some(vec![1; 3]),
        ..usual.clone()
    };
    let null = Handshake {
        password: None,
        ..usual.clone()
    };
    let old = Handshake {
        read_only: None,
        ..usual.clone()
    };
    let read_only = Handshake {
        read_only: Some(true),
        ..usual.clone()
    };
    for (hello, byte) in [
        (usual, Some(false)),
        (odd, Some(false)),
        (null, Some(false)),
        (old, None),
        (read_only, Some(false)),
    ] {
        let mut client = server.connect(&hello).expect("a session");
        let granted = client.session().clone();
        assert_eq!(
            (granted.protocol_version, granted.read_only, granted.timeout_ms),
            (0, byte, 30_000)
        );
        assert_eq!((granted.session.0 >> 56, granted.password.len()), (1, 16));
        client.ping().expect("a working session");
    }
    for (wish, granted) in [(0, 4_000), (-5, 4_000), (5_000, 5_000), (i32::MAX, 40_000)] {
        let client = server.connect(&Handshake::with_timeout(wish)).expect("a session");
        assert_eq!(client.session().timeout_ms, granted);
    }
}

#[test]
fn a_client_that_has_seen_the_future_is_closed_without_an_answer() {
    let server = Configured::start(&[]);
    let hello = Handshake {
        last_zxid_seen: Zxid(1_000),
        ..Handshake::default()
    };
    assert!(server.connect(&hello).expect_err("closed").is_closed());
    assert!(
        server
            .log()
            .contains("as it has seen zxid 0x3e8 our last zxid is 0x")
    );
}

#[test]
fn a_session_is_renewed_with_its_password_only() {
    let server = Configured::start(&[]);
    let mut first = server.client();
    let granted = first.session().clone();
    let refusal = Granted {
        protocol_version: 0,
        timeout_ms: 0,
        session: SessionId(0),
        password: vec![0; 16],
        read_only: Some(false),
    };
    for password in [
        Some(vec![0; 16]),
        Some(vec![]),
        Some(granted.password[..15].to_vec()),
        None,
    ] {
        let hello = Handshake {
            password,
            ..Handshake::renew(&granted)
        };
        let mut refused = server.connect(&hello).expect("an answer");
        assert_eq!(refused.session(), &refusal);
        assert!(refused.receive().expect_err("closed").is_closed());
    }
    first.ping().expect("nobody has disturbed it");
    let mut second = server.connect(&Handshake::renew(&granted)).expect("an answer");
    assert_eq!(second.session(), &granted);
    assert!(first.ping().expect_err("closed").is_closed());
    second.ping().expect("a working session");
    assert_eq!(second.close().expect("an answer"), Ok(()));
    let gone = server.connect(&Handshake::renew(&granted)).expect("an answer");
    assert_eq!(gone.session(), &refusal);
}

#[test]
fn frames_are_bounded_as_in_java() {
    let server = Configured::start(&[]);
    let mut client = server.client();
    // The header takes 8 bytes, path and lengths 4 + 2 + 4 + 4.
    let data = vec![b'x'; 1_048_575 - 8 - 14];
    assert!(client.set_data("/a", &data, -1).expect("an answer").is_err());
    client.ping().expect("a frame of 1048575 bytes is taken");
    let longer = vec![b'x'; data.len() + 1];
    assert!(
        client
            .set_data("/a", &longer, -1)
            .expect_err("closed")
            .is_closed()
    );
    assert!(server.log().contains("Len error 1048576"));
    for length in [-1, i32::MIN, i32::MAX] {
        let mut wire = server.wire();
        wire.send_bytes(&length.to_be_bytes()).expect("sent");
        assert!(wire.receive_rest().expect("closed").is_empty());
    }
}

#[test]
fn bytes_may_come_one_by_one() {
    let server = Configured::start(&[]);
    let mut wire = server.wire();
    let mut bytes = 45i32.to_bytes();
    Handshake::default().encode(&mut bytes);
    bytes.extend([0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11]);
    for byte in bytes {
        wire.send_bytes(&[byte]).expect("sent");
    }
    assert_eq!(wire.receive_frame().expect("the session").len(), 37);
    assert_eq!(
        wire.receive_frame().expect("the ping's answer")[..4],
        [0xff, 0xff, 0xff, 0xfe]
    );
}

#[test]
fn words_share_the_port() {
    let server = Configured::start(&["maxClientCnxns=10"]);
    assert_eq!(server.word(b"ruok"), "imok");
    assert_eq!(server.word(b"ruok and much more\r\n"), "imok");
    assert_eq!(server.word(b"isro"), "rw");
    assert_eq!(
        server.word(b"wchc"),
        "wchc is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(server.word(b"hash"), "");
    assert!(server.word(b"dirs").starts_with("datadir_size: "));
    let mut finished = server.wire();
    finished
        .send_bytes(b"ruok")
        .and_then(|()| finished.finish())
        .expect("sent");
    assert_eq!(finished.receive_rest().expect("an answer"), b"imok");
    let conf = server.word(b"conf");
    assert!(
        conf.starts_with(&format!("clientPort={}\ndataDir=/", server.address().port())),
        "{conf}"
    );
    assert!(
        conf.ends_with("maxClientCnxns=10\nminSessionTimeout=4000\nmaxSessionTimeout=40000\nserverId=0\n"),
        "{conf}"
    );
}

#[test]
fn the_white_list_is_the_operator_s() {
    let server = Configured::start(&["4lw.commands.whitelist=wchc, mntr"]);
    assert_eq!(
        server.word(b"ruok"),
        "ruok is not executed because it is not in the whitelist.\n"
    );
    assert_eq!(server.word(b"wchc"), "\n");
    let mut client = server.client();
    client
        .exists("/w", true)
        .expect("an answer")
        .expect_err("no such node");
    assert_eq!(
        server.word(b"wchc"),
        format!("{}\n\t/w\n\n", client.session().session)
    );
}

#[test]
fn one_address_has_its_share_of_connections() {
    let server = Configured::start(&["maxClientCnxns=3"]);
    let clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    assert!(
        server
            .connect(&Handshake::default())
            .expect_err("closed")
            .is_closed()
    );
    assert!(
        server
            .log()
            .contains("Too many connections from /127.0.0.1 - max is 3")
    );
    clients.into_iter().for_each(|client| drop(client.close()));
    wait_until("there is room again", LONG, || {
        server.connect(&Handshake::default()).is_ok()
    });
}

#[test]
fn unknown_operations_are_refused_and_closed() {
    let server = Configured::start(&[]);
    for op in [0, -1, -10, 10, 20, 23, 99, i32::MAX] {
        let mut client = server.client();
        client.send_as(Xid(77), op, |out| out.extend_from_slice(b"anything"));
        let reply = client.receive_reply(Xid(77)).expect("an answer");
        assert_eq!(
            (reply.zxid, reply.error, reply.body),
            (Zxid(-1), ErrorCode::Unimplemented, vec![]),
            "{op}"
        );
        assert!(client.receive().expect_err("closed").is_closed(), "{op}");
    }
}

#[test]
fn unreadable_requests_are_answered_and_the_connection_stays() {
    let server = Configured::start(&[]);
    let mut client = server.client();
    let ops = [1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14, 101].map(|op| OpCode::of(op).expect("an operation"));
    for op in ops {
        for body in [
            &b""[..],
            &[0xff; 4],
            &[0x7f, 0xff, 0xff, 0xff, 0],
            &[0x80, 0, 0, 0, 0],
        ] {
            let xid = client.send(op, |out| out.extend_from_slice(body));
            let reply = client.receive_reply(xid).expect("an answer");
            assert_eq!(
                (reply.error, reply.body),
                (ErrorCode::MarshallingError, vec![]),
                "{op:?} {body:?}"
            );
        }
    }
    client.ping().expect("a working session");
}

#[test]
fn a_null_acl_is_an_error_of_form_and_an_empty_one_of_content() {
    let server = Configured::start(&[]);
    let mut client = server.client();
    let mut body = Vec::new();
    "/a".encode(&mut body);
    b"".as_slice().encode(&mut body);
    let null = [&body[..], &(-1).to_bytes(), &0.to_bytes()].concat();
    let reply = client
        .call(OpCode::Create, |out| out.extend_from_slice(&null))
        .expect("an answer");
    assert_eq!(reply.error, ErrorCode::MarshallingError);
    assert_eq!(
        client.create("/a", b"", &[], 0).expect("an answer"),
        Err(ErrorCode::InvalidAcl)
    );
}

#[test]
fn malformed_headers_close() {
    let server = Configured::start(&[]);
    for frame in [&b""[..], b"\0\0\0", b"\0\0\0\x01\0\0\0"] {
        let mut client = server.client();
        client.wire().queue_frame(|out| out.extend_from_slice(frame));
        assert!(client.receive().expect_err("closed").is_closed());
        let mut wire = server.wire();
        wire.queue_frame(|out| out.extend_from_slice(frame));
        assert!(wire.receive_rest().expect("closed").is_empty());
    }
}

#[test]
fn credentials_are_answered_at_once_and_wrong_ones_close() {
    let server = Configured::start(&[]);
    let mut client = server.client();
    assert_eq!(
        client.add_auth("digest", b"user:secret").expect("an answer"),
        Ok(())
    );
    let mine = [Acl::new(oxkeeper::proto::Perms::ALL, "auth", "")];
    client
        .create("/mine", b"x", &mine, 0)
        .expect("an answer")
        .expect("created");
    let mut other = server.client();
    assert_eq!(
        other.get_data("/mine", false).expect("an answer"),
        Err(ErrorCode::NoAuth)
    );
    assert_eq!(
        other.add_auth("nobody", b"x").expect("an answer"),
        Err(ErrorCode::AuthFailed)
    );
    assert!(other.receive().expect_err("closed").is_closed());
    let token = client
        .call(OpCode::Sasl, |out| b"token".as_slice().encode(out))
        .expect("an answer");
    assert_eq!(
        (token.zxid, token.error, token.body),
        (Zxid(0), ErrorCode::Ok, (-1).to_bytes())
    );
}

#[test]
fn who_does_not_read_is_bounded_and_others_are_served() {
    let server = Configured::start(&["maxClientCnxns=0"]);
    let mut deaf = server.client();
    let data = vec![b'x'; 1_000_000];
    deaf.create("/big", &data, &Acl::open(), 0)
        .expect("an answer")
        .expect("created");
    let before_kib = server.resident_kib();
    for _ in 0..5_000 {
        let request = PathWatch {
            path: "/big".into(),
            watch: false,
        };
        deaf.send(OpCode::GetData, |out| request.encode(out));
    }
    deaf.wire().flush().expect("all requests fit the buffers");
    let mut other = server.client();
    for _ in 0..100 {
        other.ping().expect("served");
    }
    let grown_kib = server.resident_kib().saturating_sub(before_kib);
    assert!(
        grown_kib < 200_000,
        "{grown_kib} KiB for 5 GB of answers that nobody reads"
    );
    for number in 0..50 {
        match deaf.receive().expect("an answer") {
            Incoming::Reply(reply) => assert_eq!(reply.body.len(), 1_000_000 + 4 + 68, "{number}"),
            Incoming::Event(event) => panic!("{event:?}"),
        }
    }
}

#[test]
fn connections_leave_the_server_files_for_its_own_work() {
    let server = Configured::start_limited(&["maxClientCnxns=0", "snapCount=10"], Some(80));
    let mut client = server.client();
    let crowd: Vec<Wire> = (0..100).map(|_| server.wire()).collect();
    wait_until("the server has said so", LONG, || {
        server.log().contains("cannot accept a connection")
    });
    for number in 0..100 {
        let path = format!("/n{number}");
        // New logs and snapshots take files.
        client
            .create(&path, b"x", &Acl::open(), 0)
            .expect("an answer")
            .expect("created");
    }
    drop(crowd);
    assert_eq!(server.word(b"ruok"), "imok");
}

#[test]
fn a_flood_of_bad_connections_disturbs_nobody_and_fills_no_log() {
    let server = Configured::start(&["maxClientCnxns=0"]);
    let mut client = server.client();
    for number in 0..3_000u32 {
        let mut wire = server.wire();
        let garbage = [number.to_be_bytes(), [0xff; 4]].concat();
        // The server may have closed already.
        drop(wire.send_bytes(&garbage[..1 + number as usize % 8]));
    }
    client.ping().expect("served");
    wait_until("all are gone", LONG, || {
        server.figure("zk_num_alive_connections") == 2
    });
    let log = server.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("causing close of session 0x0"))
        .count();
    assert!(lines <= 1_500, "{lines} lines");
    client.close().expect("an answer").expect("closed");
}
