//! Sessions on a whole server: order of answers, watches, ephemerals, multis, the server's end.

use oxkeeper::proto::multi::{MultiOp, MultiResult, decode_results};
use oxkeeper::proto::requests::{CreateRequest, PathVersion, PathWatch, SetDataRequest, SetWatches};
use oxkeeper::proto::{Acl, Encode, ErrorCode, EventType, OpCode, Reader, Xid};
use oxkeeper::tools::client::{Client, Event, Handshake, Incoming};

use crate::support::configured::Configured;
use crate::support::{LONG, wait_until};

fn exists(client: &mut Client, path: &str) -> Xid {
    client.send(OpCode::Exists, |out| {
        PathWatch {
            path: path.into(),
            watch: false,
        }
        .encode(out)
    })
}

/// Creates a node, which must go well.
fn create(client: &mut Client, path: &str, flags: i32) -> String {
    client
        .create(path, b"data", &Acl::open(), flags)
        .expect("an answer")
        .expect("created")
}

fn event(kind: EventType, path: &str) -> Event {
    Event {
        kind,
        path: path.to_owned(),
    }
}

#[test]
fn events_come_before_the_reads_that_see_the_change() {
    let server = Configured::start(&[]);
    let (mut writer, mut reader) = (server.client(), server.client());
    create(&mut writer, "/w", 0);
    for round in 0..200 {
        let (_, before) = reader.get_data("/w", true).expect("an answer").expect("the node");
        let xid = writer.send(OpCode::SetData, |out| {
            let data = Some(&b"y"[..]);
            SetDataRequest {
                path: "/w".into(),
                data,
                version: -1,
            }
            .encode(out);
        });
        writer.wire().flush().expect("sent");
        loop {
            let (_, stat) = reader
                .get_data("/w", false)
                .expect("an answer")
                .expect("the node");
            if stat.version > before.version {
                break;
            }
        }
        assert_eq!(
            reader.event(),
            Some(event(EventType::NodeDataChanged, "/w")),
            "round {round}"
        );
        writer.receive_reply(xid).expect("an answer");
    }
}

#[test]
fn watches_are_set_again_and_missed_events_come_first() {
    let server = Configured::start(&[]);
    let mut client = server.client();
    create(&mut client, "/a", 0);
    let seen = client.ping().expect("alive");
    client
        .set_data("/a", b"new", -1)
        .expect("an answer")
        .expect("written");
    let watches = SetWatches {
        relative_zxid: seen,
        data: vec!["/a".into(), "/gone".into()],
        exist: vec!["/a".into(), "/later".into()],
        child: vec!["/a".into()],
    };
    assert_eq!(client.set_watches(&watches).expect("an answer"), Ok(()));
    let missed: Vec<Event> = std::iter::from_fn(|| client.event()).collect();
    let expected = [
        event(EventType::NodeDataChanged, "/a"),
        event(EventType::NodeDeleted, "/gone"),
        event(EventType::NodeCreated, "/a"),
    ];
    assert_eq!(missed, expected);
    create(&mut client, "/later", 0);
    create(&mut client, "/a/child", 0);
    assert_eq!(
        client.wait_event().expect("an event"),
        event(EventType::NodeCreated, "/later")
    );
    assert_eq!(
        client.wait_event().expect("an event"),
        event(EventType::NodeChildrenChanged, "/a")
    );
}

#[test]
fn an_ephemeral_lives_as_long_as_its_session() {
    let mut server = Configured::start(&["tickTime=200"]);
    let mut watcher = server.client();
    let mut leaving = server
        .connect(&Handshake::with_timeout(1_000))
        .expect("a session");
    create(&mut leaving, "/left", 1);
    watcher.exists("/left", true).expect("an answer").expect("there");
    leaving.close().expect("an answer").expect("closed");
    assert_eq!(
        watcher.wait_event().expect("an event"),
        event(EventType::NodeDeleted, "/left")
    );

    let mut silent = server
        .connect(&Handshake::with_timeout(1_000))
        .expect("a session");
    create(&mut silent, "/silent", 1);
    let granted = silent.session().clone();
    watcher
        .exists("/silent", true)
        .expect("an answer")
        .expect("there");
    assert!(
        silent.receive().expect_err("closed").is_closed(),
        "the server closes an expired session"
    );
    wait_event_while_alive(&mut watcher, event(EventType::NodeDeleted, "/silent"));
    assert!(server.log().contains(&format!(
        "Expiring session {}, timeout of 1000ms exceeded",
        granted.session
    )));
    assert!(
        server
            .connect(&Handshake::renew(&granted))
            .expect("an answer")
            .session()
            .is_refusal()
    );

    let mut kept = server
        .connect(&Handshake::with_timeout(4_000))
        .expect("a session");
    create(&mut kept, "/kept", 1);
    let granted = kept.session().clone();
    server.kill_and_restart();
    let mut again = server.connect(&Handshake::renew(&granted)).expect("an answer");
    assert_eq!(again.session(), &granted);
    let stat = again
        .exists("/kept", false)
        .expect("an answer")
        .expect("still there");
    assert_eq!(stat.ephemeral_owner, granted.session.0);
}

#[test]
fn a_multi_is_all_or_nothing() {
    let server = Configured::start(&[]);
    let mut client = server.client();
    let make = |path: &'static str| {
        MultiOp::Create(CreateRequest {
            path: path.into(),
            data: None,
            acl: Acl::open(),
            flags: 0,
        })
    };
    let delete = MultiOp::Delete(PathVersion {
        path: "/none".into(),
        version: -1,
    });
    let reply = client
        .multi(&[make("/m"), delete, make("/m/n")])
        .expect("an answer");
    let results = decode_results(&mut Reader::new(&reply.body)).expect("results");
    let codes = [ErrorCode::Ok, ErrorCode::NoNode, ErrorCode::RuntimeInconsistency];
    assert_eq!(
        (reply.error, results),
        (ErrorCode::Ok, codes.map(MultiResult::Error).to_vec())
    );
    assert_eq!(
        client.exists("/m", false).expect("an answer"),
        Err(ErrorCode::NoNode)
    );
    let reply = client.multi(&[]).expect("an answer");
    assert_eq!(decode_results(&mut Reader::new(&reply.body)), Ok(vec![]));
}

#[test]
fn an_orderly_end_answers_what_it_has_taken() {
    let mut server = Configured::start(&[]);
    let mut client = server.client();
    create(&mut client, "/n", 0);
    let xids: Vec<Xid> = (0..500)
        .map(|number| {
            let path = format!("/n/{number}").into();
            let request = CreateRequest {
                path,
                data: None,
                acl: Acl::open(),
                flags: 0,
            };
            client.send(OpCode::Create, |out| request.encode(out))
        })
        .collect();
    client.wire().flush().expect("sent");
    let first = client.receive_reply(xids[0]).expect("an answer");
    assert_eq!(first.error, ErrorCode::Ok);
    assert_eq!(server.terminate(), Some(0));
    let mut answered = 1;
    while let Ok(Incoming::Reply(reply)) = client.receive() {
        assert_eq!(reply.xid, xids[answered]);
        answered += 1;
    }
    server.start_again();
    let mut reader = server.client();
    let (names, _) = reader
        .get_children2("/n", false)
        .expect("an answer")
        .expect("the node");
    assert!(
        names.len() >= answered,
        "{} kept, {answered} answered",
        names.len()
    );
}

#[test]
fn thousands_of_requests_in_flight_come_back_in_their_order() {
    let server = Configured::start(&["globalOutstandingLimit=10"]);
    let mut client = server.client();
    create(&mut client, "/n", 0);
    let mut xids = Vec::new();
    for number in 0..5_000 {
        xids.push(match number % 3 {
            0 => {
                let path = format!("/n/{number}");
                let acl = Acl::open();
                let request = CreateRequest {
                    path: path.into(),
                    data: None,
                    acl,
                    flags: 0,
                };
                client.send(OpCode::Create, |out| request.encode(out))
            }
            1 => exists(&mut client, &format!("/n/{}", number - 1)),
            _ => exists(&mut client, &format!("/n/{}", number + 1)),
        });
    }
    for (number, xid) in xids.into_iter().enumerate() {
        let expected = if number % 3 == 2 {
            ErrorCode::NoNode
        } else {
            ErrorCode::Ok
        };
        assert_eq!(
            client.receive_reply(xid).expect("an answer").error,
            expected,
            "request {number}"
        );
    }
    assert_eq!(server.figure("zk_outstanding_requests"), 0);
}

/// Waits for an event while the session is kept alive.
fn wait_event_while_alive(client: &mut Client, expected: Event) {
    let mut came = None;
    wait_until("the event", LONG, || {
        client.ping().expect("alive");
        came = client.event();
        came.is_some()
    });
    assert_eq!(came, Some(expected));
}
