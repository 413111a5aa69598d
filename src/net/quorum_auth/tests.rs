//! Two servers that authenticate over real sockets, and callers that do something else.

use std::net::{TcpListener, TcpStream};
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
    let (caller, called) = pair();
    let calling = rules(false, password);
    let calling = thread::spawn(move || {
        let mut caller = PeerChannel::new(caller);
        calling.introduce(&mut caller, LONG)?;
        caller.write_all(b"hello and more")
    });
    let heard = accept(&rules(requires, None), called, LONG);
    (calling.join().expect("the caller"), heard)
}

/// What was read of what comes next when the caller is heard, if it is let through.
fn accept(rules: &QuorumAuth, called: TcpStream, limit: Duration) -> io::Result<Vec<u8>> {
    let mut called = PeerChannel::new(called);
    rules.accept(&mut called, limit)?;
    Ok(called.early().to_vec())
}

/// What an accepting end comes to, if the caller says this and hangs up.
fn hear(requires: bool, said: &[u8]) -> io::Result<Vec<u8>> {
    let (mut caller, called) = pair();
    caller.write_all(said).expect("said");
    drop(caller);
    accept(&rules(requires, None), called, LONG)
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
    assert_eq!(
        kind(accept(&rules(true, None), called, soon)),
        ErrorKind::TimedOut
    );
    let (mut caller, called) = pair();
    let same = called.try_clone().expect("a handle");
    caller.write_all(&QuorumAuthPacket::MAGIC[..5]).expect("said");
    assert_eq!(
        kind(accept(&rules(true, None), called, soon)),
        ErrorKind::TimedOut
    );
    // Reads may take their time again, and what was read is not lost where nobody must authenticate.
    assert_eq!(same.read_timeout().expect("a limit"), None);
    let (mut caller, called) = pair();
    caller.write_all(&QuorumAuthPacket::MAGIC[..5]).expect("said");
    let heard = accept(&rules(false, None), called, soon).expect("let through");
    assert_eq!(heard, QuorumAuthPacket::MAGIC[..5]);
    let (caller, _called) = pair();
    let introduced = rules(false, Some("secret")).introduce(&mut PeerChannel::new(caller), soon);
    assert_eq!(introduced.expect_err("too late").kind(), ErrorKind::TimedOut);
}
