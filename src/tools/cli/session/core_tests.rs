//! The session, driven by what happens to it.

use super::super::watches::{WatchKind, kind_of};
use super::*;
use crate::proto::KeeperState;
use crate::proto::codes::WatcherType;
use crate::proto::responses::ConnectResponse;
use crate::sasl::jaas::Jaas;
use crate::sasl::{Answer, Credentials, Nonces, SECRET_BYTES, Secret, ServerExchange, Service, Users};

fn config(servers: usize) -> SessionConfig {
    SessionConfig {
        servers,
        first: 0,
        timeout_ms: 6_000,
        read_only: false,
        wait: false,
        login: None,
    }
}

fn granted(timeout_ms: i32) -> Vec<u8> {
    let response = ConnectResponse {
        protocol_version: 0,
        timeout_ms,
        session: SessionId(if timeout_ms == 0 { 0 } else { 7 }),
        password: &[9; 16],
    };
    let mut frame = response.to_bytes();
    false.encode(&mut frame);
    frame
}

fn reply(xid: i32, zxid: i64, error: ErrorCode) -> Vec<u8> {
    let header = ReplyHeader {
        xid: Xid(xid),
        zxid: Zxid(zxid),
        error,
    };
    header.to_bytes()
}

fn event(kind: EventType, path: &str) -> Vec<u8> {
    let mut frame = reply(-1, -1, ErrorCode::Ok);
    let event = WatcherEvent {
        kind,
        state: KeeperState::SyncConnected,
        path: path.into(),
    };
    event.encode(&mut frame);
    frame
}

/// The operations and request numbers of what was sent.
fn sent(actions: &[Action]) -> Vec<(i32, i32)> {
    let mut found = Vec::new();
    for action in actions {
        if let Action::Send(bytes) = action {
            let header = RequestHeader::decode(&mut Reader::new(&bytes[4..])).expect("a header");
            assert_eq!(
                bytes.len() - 4,
                i32::from_bytes(&bytes[..4]).expect("a length") as usize
            );
            found.push((header.xid.0, header.op));
        }
    }
    found
}

fn ask(ticket: u64, op: OpCode, watch: Option<&str>) -> Ask {
    Ask {
        ticket,
        op,
        record: Vec::new(),
        watch: watch.map(|path| WatchChange::Set(kind_of(op), path.to_owned())),
    }
}

fn states(actions: &[Action]) -> Vec<&'static str> {
    let of = |action: &Action| match action {
        Action::Event(event) => Some(event.state),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

/// A session that stands, at time 0.
fn up(servers: usize) -> SessionCore {
    let mut core = SessionCore::new(config(servers), 0);
    assert_eq!(core.take_actions(), [Action::Dial(0)]);
    core.connected(0);
    core.take_actions();
    core.frame(0, &granted(6_000));
    assert_eq!(states(&core.take_actions()), ["SyncConnected"]);
    core
}

#[test]
fn a_request_waits_for_the_connection_and_its_answer_finds_it() {
    let mut core = SessionCore::new(config(1), 0);
    core.ask(0, ask(1, OpCode::Exists, None));
    core.connected(0);
    assert!(
        !core
            .take_actions()
            .iter()
            .any(|action| matches!(action, Action::Answer(..)))
    );
    core.frame(5, &granted(6_000));
    assert_eq!(sent(&core.take_actions()), [(1, OpCode::Exists.number())]);
    assert_eq!(core.state(), State::Connected);
    core.frame(9, &reply(1, 42, ErrorCode::NoNode));
    let [Action::Answer(1, Ok(answer))] = &core.take_actions()[..] else {
        panic!("no answer");
    };
    assert_eq!(answer.error, ErrorCode::NoNode);
}

#[test]
fn identities_and_watches_go_to_the_next_server_before_anything_else() {
    let mut core = up(2);
    core.add_auth(1, 50, "digest", b"ann:secret");
    core.frame(2, &reply(-4, 0, ErrorCode::Ok));
    core.ask(3, ask(1, OpCode::GetData, Some("/a")));
    core.frame(4, &reply(1, 77, ErrorCode::Ok));
    core.ask(5, ask(2, OpCode::Create, None));
    core.take_actions();
    core.lost(6, "reset");
    let actions = core.take_actions();
    let lost = Lost::Connection("reset".to_owned());
    assert_eq!(actions[0], Action::Answer(2, Err(lost)));
    assert_eq!(states(&actions), ["Disconnected"]);
    assert_eq!(actions.last(), Some(&Action::Dial(1)), "the next server, at once");
    core.ask(7, ask(3, OpCode::Exists, None));
    core.connected(8);
    let Some(Action::Send(hello)) = core.take_actions().pop() else {
        panic!("no handshake");
    };
    // Version 4, zxid 8, timeout 4, session 8 behind the length.
    assert_eq!(hello[4 + 4..4 + 12], 77i64.to_be_bytes());
    assert_eq!(hello[4 + 16..4 + 24], 7i64.to_be_bytes());
    core.frame(9, &granted(6_000));
    let ops: Vec<i32> = sent(&core.take_actions())
        .into_iter()
        .map(|(xid, _)| xid)
        .collect();
    assert_eq!(ops, [-4, -8, 3]);
    core.frame(10, &reply(-4, 0, ErrorCode::Ok));
    core.frame(10, &event(EventType::NodeDataChanged, "/a"));
    core.frame(10, &event(EventType::NodeDataChanged, "/a"));
    let told = core.take_actions();
    assert_eq!(states(&told).len(), 1, "a watch fires once: {told:?}");
}

#[test]
fn a_session_that_is_over_says_so_to_everybody() {
    let mut core = up(1);
    core.lost(1, "reset");
    core.tick(1_001);
    core.ask(1_002, ask(1, OpCode::Exists, None));
    core.connected(1_002);
    core.take_actions();
    core.frame(1_003, &granted(0));
    let actions = core.take_actions();
    assert_eq!(states(&actions), ["Expired"]);
    assert!(actions.contains(&Action::Answer(1, Err(Lost::Expired))));
    assert_eq!((core.state(), core.wake_at_ms()), (State::Closed, None));
    core.ask(2_000, ask(2, OpCode::Exists, None));
    assert_eq!(core.take_actions(), [Action::Answer(2, Err(Lost::Closed))]);
}

#[test]
fn an_identity_that_is_refused_ends_the_session() {
    let mut core = up(1);
    core.add_auth(1, 5, "nonsense", b"x");
    core.frame(2, &reply(-4, 0, ErrorCode::AuthFailed));
    let actions = core.take_actions();
    assert_eq!(states(&actions), ["AuthFailed"]);
    assert!(matches!(&actions[2], Action::Answer(5, Ok(reply)) if reply.error == ErrorCode::AuthFailed));
    assert_eq!(
        (core.state(), core.state().to_string().as_str()),
        (State::AuthFailed, "AUTH_FAILED")
    );
}

#[test]
fn an_identity_given_before_the_connection_is_answered_by_the_server() {
    let mut core = SessionCore::new(config(1), 0);
    core.add_auth(0, 5, "nonsense", b"x");
    core.connected(0);
    core.take_actions();
    core.frame(1, &granted(6_000));
    assert!(
        !core
            .take_actions()
            .iter()
            .any(|action| matches!(action, Action::Answer(..)))
    );
    core.frame(2, &reply(-4, 0, ErrorCode::AuthFailed));
    assert!(
        core.take_actions()
            .iter()
            .any(|action| matches!(action, Action::Answer(5, Ok(_))))
    );

    let mut unreachable = SessionCore::new(config(1), 0);
    unreachable.add_auth(0, 5, "digest", b"x");
    unreachable.take_actions();
    unreachable.lost(1, "refused");
    let lost = Lost::Connection("refused".to_owned());
    assert_eq!(unreachable.take_actions(), [Action::Answer(5, Err(lost))]);
}

/// A session that watches the subtree of `/s`, whose first server is gone; the second has greeted it.
fn moved_with_a_lasting_watch() -> (SessionCore, Vec<Action>) {
    let mut core = up(2);
    let watch = WatchChange::Set(WatchKind::Subtree, "/s".to_owned());
    core.ask(
        1,
        Ask {
            watch: Some(watch),
            ..ask(1, OpCode::AddWatch, None)
        },
    );
    core.frame(2, &reply(1, 5, ErrorCode::Ok));
    core.lost(3, "reset");
    core.connected(4);
    core.take_actions();
    core.frame(5, &granted(6_000));
    let actions = core.take_actions();
    (core, actions)
}

/// Events of nodes.
fn told_of(actions: &[Action]) -> Vec<(EventType, String)> {
    let of = |action: &Action| match action {
        Action::Event(event) => Some((event.kind, event.path.clone()?)),
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

#[test]
fn watches_that_stay_come_along_to_the_next_server() {
    let (mut core, actions) = moved_with_a_lasting_watch();
    assert_eq!(
        sent(&actions),
        [(Xid::SET_WATCHES.0, OpCode::SetWatches2.number())]
    );
    core.frame(6, &reply(Xid::SET_WATCHES.0, 5, ErrorCode::Ok));
    core.frame(7, &event(EventType::NodeCreated, "/s/a"));
    core.frame(8, &event(EventType::NodeCreated, "/s/b"));
    assert_eq!(told_of(&core.take_actions()).len(), 2);
}

#[test]
fn a_server_of_3_4_is_asked_for_lasting_watches_once_and_the_user_is_told() {
    let (mut core, _) = moved_with_a_lasting_watch();
    core.frame(6, &reply(Xid::SET_WATCHES.0, -1, ErrorCode::Unimplemented));
    assert_eq!(
        told_of(&core.take_actions()),
        [(EventType::PersistentWatchRemoved, "/s".to_owned())]
    );
    core.lost(7, "closed");
    core.connected(8);
    core.take_actions();
    core.frame(9, &granted(6_000));
    assert_eq!(sent(&core.take_actions()), []);
}

#[test]
fn without_a_server_watches_are_taken_back_if_that_was_asked_for() {
    let mut core = up(1);
    core.ask(1, ask(1, OpCode::GetData, Some("/s")));
    core.frame(2, &reply(1, 5, ErrorCode::Ok));
    core.lost(3, "reset");
    core.take_actions();
    let forget = |ticket, local| Ask {
        watch: Some(WatchChange::Forget {
            kind: WatcherType::Data,
            path: "/s".to_owned(),
            local,
        }),
        ..ask(ticket, OpCode::RemoveWatches, None)
    };
    core.ask(4, forget(2, false));
    assert_eq!(core.take_actions(), [], "it waits for a server");
    core.ask(4, forget(3, true));
    let actions = core.take_actions();
    assert_eq!(
        told_of(&actions),
        [(EventType::DataWatchRemoved, "/s".to_owned())]
    );
    assert!(matches!(actions.last(), Some(Action::Answer(3, Ok(_)))));
}

#[test]
fn behind_an_operation_that_is_not_known_the_connection_is_made_anew() {
    let mut core = up(1);
    core.ask(1, ask(1, OpCode::WhoAmI, None));
    core.take_actions();
    core.frame(2, &reply(1, 5, ErrorCode::Unimplemented));
    let actions = core.take_actions();
    assert!(matches!(&actions[0], Action::Answer(1, Ok(_))));
    assert_eq!(
        (&actions[1], actions.last()),
        (&Action::HangUp, Some(&Action::Dial(0)))
    );
    core.ask(3, ask(2, OpCode::Create, None));
    assert_eq!(core.take_actions(), [], "it waits for the new connection");
}

#[test]
fn pings_keep_the_session_and_silence_ends_the_connection() {
    let mut core = up(2);
    assert_eq!(core.wake_at_ms(), Some(2_000));
    core.tick(1_999);
    assert_eq!(core.take_actions(), []);
    core.tick(2_000);
    assert_eq!(sent(&core.take_actions()), [(-2, OpCode::Ping.number())]);
    core.frame(2_001, &reply(-2, 5, ErrorCode::Ok));
    core.tick(4_000);
    core.take_actions();
    core.tick(6_001);
    let actions = core.take_actions();
    assert_eq!(actions[0], Action::HangUp);
    assert_eq!(states(&actions), ["Disconnected"]);
    assert!(actions.contains(&Action::Dial(1)));
}

#[test]
fn without_any_server_the_first_round_decides_unless_it_is_to_wait() {
    for wait in [false, true] {
        let mut core = SessionCore::new(SessionConfig { wait, ..config(2) }, 0);
        core.ask(0, ask(1, OpCode::Exists, None));
        core.take_actions();
        core.lost(1, "a: refused");
        assert_eq!(core.take_actions(), [Action::Dial(1)]);
        core.lost(2, "b: refused");
        let answers = core.take_actions();
        if wait {
            assert_eq!(answers, []);
            core.tick(6_000);
            assert!(
                core.take_actions()
                    .iter()
                    .any(|action| matches!(action, Action::Answer(1, Err(_))))
            );
        } else {
            assert_eq!(
                answers,
                [Action::Answer(1, Err(Lost::Connection("b: refused".to_owned())))]
            );
            assert_eq!(core.wake_at_ms(), Some(1_002), "a pause between two rounds");
        }
    }
}

#[test]
fn closing_is_told_to_the_server_if_there_is_one() {
    let mut core = up(1);
    core.close(1, 9);
    assert_eq!(sent(&core.take_actions()), [(1, OpCode::CloseSession.number())]);
    core.frame(2, &reply(1, 3, ErrorCode::Ok));
    let actions = core.take_actions();
    assert!(matches!(&actions[..], [Action::Answer(9, Ok(_)), Action::HangUp]));
    assert_eq!(core.state(), State::Closed);
    core.lost(3, "closed");
    assert_eq!(core.take_actions(), [], "a closed session does not dial");

    let mut alone = SessionCore::new(config(1), 0);
    alone.close(1, 9);
    assert!(
        alone
            .take_actions()
            .contains(&Action::Answer(9, Err(Lost::Closed)))
    );
}

#[test]
fn nonsense_from_the_server_breaks_the_connection_and_nothing_else() {
    for frame in [
        &b"\x01"[..],
        &reply(99, 1, ErrorCode::Ok),
        &event(EventType::NodeCreated, "/a")[..20],
        b"",
    ] {
        let mut core = up(1);
        core.ask(1, ask(1, OpCode::Exists, None));
        core.take_actions();
        core.frame(2, frame);
        let actions = core.take_actions();
        assert_eq!(actions[0], Action::HangUp);
        assert!(
            matches!(&actions[1], Action::Answer(1, Err(Lost::Connection(_)))),
            "{actions:?}"
        );
    }
}

/// A session that has begun to prove that it is bob's, and the token that it has sent last.
fn proving() -> SessionCore {
    let login = Login {
        credentials: Credentials {
            username: "bob".to_owned(),
            password: Secret::new("secret"),
        },
        nonces: Nonces::new([5; SECRET_BYTES]),
    };
    let login = Some(login);
    let mut core = SessionCore::new(SessionConfig { login, ..config(1) }, 0);
    core.ask(0, ask(1, OpCode::Exists, None));
    core.connected(0);
    core.take_actions();
    core.frame(0, &granted(6_000));
    let actions = core.take_actions();
    assert_eq!(sent(&actions), [(1, OpCode::Sasl.number())]);
    assert_eq!(token_in(&actions), b"");
    core
}

fn token_in(actions: &[Action]) -> Vec<u8> {
    let bytes = actions.iter().find_map(|action| match action {
        Action::Send(bytes) => Some(&bytes[12..]),
        _ => None,
    });
    Vec::from(<&[u8]>::from_bytes(bytes.expect("something sent")).expect("a token"))
}

fn token(xid: i32, token: Option<&[u8]>) -> Vec<u8> {
    [reply(xid, 0, ErrorCode::Ok), token.to_bytes()].concat()
}

#[test]
fn a_session_proves_whose_it_is_before_anything_else_is_sent() {
    let mut core = proving();
    let text = "Server { m.DigestLoginModule required user_bob=\"secret\"; };";
    let jaas = Jaas::parse(text).expect("a file");
    let users = Users::of_section(jaas.section("Server").expect("the section"));
    let mut server = ServerExchange::new(Service::CLIENTS, "a nonce".to_owned());
    let Ok(Answer::Challenge(challenge)) = server.step(b"", &users) else {
        panic!("no challenge");
    };
    core.frame(1, &token(1, Some(&challenge)));
    let actions = core.take_actions();
    assert_eq!(sent(&actions), [(2, OpCode::Sasl.number())]);
    let Ok(Answer::Proven { token: proof, .. }) = server.step(&token_in(&actions), &users) else {
        panic!("not proved");
    };
    core.frame(2, &token(2, Some(&proof)));
    let actions = core.take_actions();
    assert_eq!(states(&actions), ["SyncConnected", "SaslAuthenticated"]);
    assert_eq!(sent(&actions), [(3, OpCode::Exists.number())]);
}

#[test]
fn a_session_that_is_not_believed_is_over() {
    let refused = |act: fn(&mut SessionCore)| {
        let mut core = proving();
        act(&mut core);
        assert_eq!(core.state(), State::AuthFailed);
        let actions = core.take_actions();
        assert_eq!(states(&actions), ["AuthFailed"]);
        assert!(
            actions.contains(&Action::Answer(1, Err(Lost::AuthFailed))),
            "{actions:?}"
        );
    };
    refused(|core| core.lost(1, "closed"));
    refused(|core| core.frame(1, &token(1, None)));
    refused(|core| core.frame(1, &reply(1, 0, ErrorCode::AuthFailed)));
    refused(|core| core.frame(1, &token(1, Some(b"no challenge"))));
    refused(|core| core.tick(core.wake_at_ms().expect("a limit")));
}
