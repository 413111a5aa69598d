//! Two servers that authenticate over real sockets, and callers that do something else.

use std::net::TcpListener;
use std::thread;

use super::*;
use crate::sasl::jaas::Jaas;
use crate::sasl::{SECRET_BYTES, Secret};

const LONG: Duration = Duration::from_secs(20);

fn rules(requires: bool, password: Option<&str>) -> QuorumAuth {
    let jaas = Jaas::parse("QuorumServer { m.DigestLoginModule required user_ann=\"secret\"; };");
    let jaas = jaas.expect("a file");
    let users = Users::of_section(jaas.section("QuorumServer").expect("its section"));
    let credentials = password.map(|password| Credentials {
        username: "ann".to_owned(),
        password: Secret::new(password),
    });
    QuorumAuth::new(users, requires, credentials, Nonces::new([9; SECRET_BYTES]))
}

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let caller = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    (caller, listener.accept().expect("accepted").0)
}

/// What both ends come to, if the caller introduces itself and then says `hello`.
fn meet(requires: bool, password: Option<&str>) -> (io::Result<()>, io::Result<Vec<u8>>) {
    let (mut caller, called) = pair();
    let calling = rules(false, password);
    let calling = thread::spawn(move || {
        calling.introduce(&caller, LONG)?;
        caller.write_all(b"hello and more")
    });
    let heard = rules(requires, None).accept(&called, LONG);
    drop(called);
    (calling.join().expect("the caller"), heard)
}

/// What an accepting end comes to, if the caller says this and hangs up.
fn hear(requires: bool, said: &[u8]) -> io::Result<Vec<u8>> {
    let (mut caller, called) = pair();
    caller.write_all(said).expect("said");
    drop(caller);
    rules(requires, None).accept(&called, LONG)
}

#[test]
fn who_knows_the_password_is_believed_and_others_are_not() {
    for requires in [true, false] {
        let (caller, heard) = meet(requires, Some("secret"));
        assert!(caller.is_ok(), "{caller:?}");
        assert_eq!(heard.expect("believed"), b"");
        let (caller, heard) = meet(requires, Some("wrong"));
        let told = caller.expect_err("told").to_string();
        assert!(
            told.contains("does not take this server's name and password"),
            "{told}"
        );
        assert_eq!(heard.is_err(), requires, "{heard:?}");
    }
}

#[test]
fn who_does_not_authenticate_is_let_through_with_all_that_it_has_said_unless_it_must() {
    let (_, heard) = meet(false, None);
    let mut heard = heard.expect("let through");
    assert!(b"hello".starts_with(&heard) && !heard.is_empty(), "{heard:?}");
    heard.clear();
    let (_, refused) = meet(true, None);
    let refused = refused.expect_err("refused").to_string();
    assert!(refused.contains("not trying to authenticate"), "{refused}");
    // The first byte of the magic number alone, and then another one.
    assert_eq!(hear(false, b"\x5fa").expect("let through"), b"\x5fa");
    assert_eq!(hear(false, b"").expect("let through"), b"");
}

#[test]
fn malformed_packets_end_the_attempt_without_much_memory() {
    let begin = |status: i32, length: i32| {
        [
            &QuorumAuthPacket::MAGIC[..],
            &status.to_be_bytes(),
            &length.to_be_bytes(),
        ]
        .concat()
    };
    let empty = begin(0, 0);
    for said in [
        begin(0, i32::MAX),
        begin(0, -2),
        begin(7, 0),
        begin(0, 5),
        [begin(0, 5), b"early".to_vec()].concat(),
        [empty.clone(), begin(0, 3), b"bad".to_vec()].concat(),
        [empty.clone(), empty.clone()].concat(),
        [empty.clone(), b"GET / HTTP/1.1\r\n".to_vec()].concat(),
        empty,
    ] {
        assert!(hear(true, &said).is_err(), "{}", said.escape_ascii());
        assert_eq!(
            hear(false, &said).expect("let through"),
            b"",
            "{}",
            said.escape_ascii()
        );
    }
}

#[test]
fn the_silent_and_the_slow_are_not_waited_for() {
    let soon = Duration::from_millis(50);
    let (_caller, called) = pair();
    let kind = |result: io::Result<Vec<u8>>| result.expect_err("too late").kind();
    assert_eq!(kind(rules(true, None).accept(&called, soon)), ErrorKind::TimedOut);
    let (mut caller, called) = pair();
    caller.write_all(&QuorumAuthPacket::MAGIC[..5]).expect("said");
    assert_eq!(kind(rules(true, None).accept(&called, soon)), ErrorKind::TimedOut);
    // What was read of it is not lost where nobody must authenticate, and reads may take their time again.
    assert_eq!(called.read_timeout().expect("a limit"), None);
    let (mut caller, called) = pair();
    caller.write_all(&QuorumAuthPacket::MAGIC[..5]).expect("said");
    let heard = rules(false, None).accept(&called, soon).expect("let through");
    assert_eq!(heard, QuorumAuthPacket::MAGIC[..5]);
    let (caller, _called) = pair();
    let introduced = rules(false, Some("secret")).introduce(&caller, soon);
    assert_eq!(introduced.expect_err("too late").kind(), ErrorKind::TimedOut);
}
