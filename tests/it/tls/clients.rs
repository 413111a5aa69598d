//! Who is let in, and as whom.

use std::net::SocketAddr;
use std::process::Command;

use oxkeeper::proto::requests::PathWatch;
use oxkeeper::proto::{Acl, Encode, ErrorCode, OpCode, Perms};
use oxkeeper::tools::client::{Client, Handshake};
use oxkeeper::tools::stream::Caller;
use oxkeeper::tools::wire::{Wire, four_letter_word};

use super::{LIMIT, Secured, connect, word};
use crate::support::certificates::{Authority, Flaw, caller, write};
use crate::support::process::{Kind, Server, free_port};
use crate::support::{LONG, wait_until};

fn open() -> [Acl; 1] {
    [Acl::new(Perms::ALL, "world", "anyone")]
}

#[test]
fn a_client_with_a_certificate_is_served_on_the_secure_port_and_the_plain_port_goes_on() {
    let secured = Secured::start(&[]);
    let somebody = secured.caller("somebody");
    let mut client = secured.connect(&somebody).expect("a session");
    let data = vec![b'x'; 900_000];
    client
        .create("/large", &data, &open(), 0)
        .expect("an answer")
        .expect("made");
    let mut plain = secured.server.client();
    let (read, _) = plain.get_data("/large", false).expect("an answer").expect("read");
    assert_eq!(read.as_ref(), Some(&data));
    // Many large answers at once: more than a socket takes.
    let xids: Vec<_> = (0..40)
        .map(|_| {
            client.send(OpCode::GetData, |out| {
                let path = "/large".into();
                PathWatch { path, watch: false }.encode(out);
            })
        })
        .collect();
    for xid in xids {
        let reply = client.receive_reply(xid).expect("an answer");
        assert!(reply.body.len() > data.len());
    }
    assert_eq!(word(&somebody, secured.secure_address(), b"ruok"), "imok");
    let conf = word(&somebody, secured.secure_address(), b"conf");
    assert!(
        conf.contains(&format!("\nsecureClientPort={}\n", secured.port)),
        "{conf}"
    );
    assert!(
        conf.contains(&format!("clientPort={}\n", secured.server.address().port())),
        "{conf}"
    );
}

#[test]
fn the_plain_port_may_be_missing() {
    let dir = tempfile::tempdir().expect("a directory");
    let authority = Authority::new("authority");
    let key = write(
        dir.path(),
        "server.pem",
        &authority.identity("server", &["localhost"], Flaw::None),
    );
    let trust = write(dir.path(), "trust.pem", &authority.pem());
    let port = free_port();
    let config = write(
        dir.path(),
        "zoo.cfg",
        &format!(
            "dataDir={}\nsecureClientPort={port}\nssl.keyStore.location={}\nssl.trustStore.location={}\n\
             ssl.clientAuth=none\n",
            dir.path().join("data").display(),
            key.display(),
            trust.display()
        ),
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxkeeper"));
    command.arg("server").arg(&config);
    let server = Server::spawn(Kind::Oxkeeper, port, &dir.path().join("log"), &mut command);
    let nobody = caller(None, &trust);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_until("it serves", LONG, || connect(&nobody, address).is_ok());
    assert!(word(&nobody, address, b"conf").starts_with("clientPort=-1\nsecureClientPort="));
    drop(server);
}

#[test]
fn certificates_that_are_wrong_are_refused_and_the_log_says_why() {
    let secured = Secured::start(&[]);
    let expired = secured.authority.identity("late", &[], Flaw::Expired);
    let foreign = Authority::new("somebody else").identity("intruder", &[], Flaw::None);
    for (key, why) in [
        (Some(expired), "certificate expired"),
        (Some(foreign), "UnknownIssuer"),
        (None, "peer sent no certificates"),
    ] {
        let stranger = secured.caller_with(key.as_deref());
        assert!(secured.connect(&stranger).is_err(), "{why}");
        wait_until(why, LONG, || secured.server.log().contains(why));
    }
    // The others are served on.
    assert!(secured.connect(&secured.caller("somebody")).is_ok());
}

#[test]
fn a_server_of_another_name_or_another_authority_is_not_believed() {
    let secured = Secured::start(&["ssl.clientAuth=none"]);
    let nobody = secured.caller_with(None);
    assert!(connect(&nobody, secured.secure_address()).is_ok());
    let elsewhere = Client::connect_by(
        &nobody,
        secured.secure_address(),
        Some("elsewhere"),
        &Handshake::default(),
        LIMIT,
    );
    let text = elsewhere.expect_err("another name").to_string();
    assert!(
        text.contains("NotValidForName") || text.contains("not valid for name"),
        "{text}"
    );
    let other = write(secured.path(), "other.pem", &Authority::new("other").pem());
    let text = connect(&caller(None, &other), secured.secure_address()).expect_err("another authority");
    assert!(text.to_string().contains("UnknownIssuer"), "{text}");
}

#[test]
fn plain_text_on_the_secure_port_and_tls_on_the_plain_one_are_hung_up_on_with_a_line() {
    let secured = Secured::start(&[]);
    let answer = four_letter_word(secured.secure_address(), b"ruok", LIMIT).unwrap_or_default();
    assert_eq!(answer, b"");
    let refused = Client::connect(secured.secure_address(), &Handshake::default(), LIMIT);
    assert!(refused.is_err());
    let somebody = secured.caller("somebody");
    assert!(connect(&somebody, secured.server.address()).is_err());
    for line in [
        "this port speaks TLS, and the client does not",
        "the client speaks TLS, and this port does not",
    ] {
        wait_until(line, LONG, || secured.server.log().contains(line));
    }
}

#[test]
fn one_port_takes_both_if_it_is_told_to() {
    let secured = Secured::start(&["client.portUnification=true"]);
    let somebody = secured.caller("somebody");
    let mut client = connect(&somebody, secured.server.address()).expect("a session");
    client
        .create("/a", b"1", &open(), 0)
        .expect("an answer")
        .expect("made");
    let mut plain = secured.server.client();
    assert!(plain.exists("/a", false).expect("an answer").is_ok());
    assert_eq!(word(&somebody, secured.server.address(), b"ruok"), "imok");
    assert_eq!(secured.server.word(b"ruok"), "imok");
}

#[test]
fn a_certificate_s_owner_stands_in_acls_and_may_be_the_super_user() {
    let secured = Secured::start(&[
        "X509AuthenticationProvider.superUser=CN=admin,O=Tests",
        "ssl.clientAuth=want",
    ]);
    let (alice, admin, nobody) = (
        secured.caller("alice"),
        secured.caller("admin"),
        secured.caller_with(None),
    );
    let mut client = secured.connect(&alice).expect("a session");
    let own = [Acl::new(Perms::ALL, "x509", "CN=alice,O=Tests")];
    client
        .create("/own", b"", &own, 0)
        .expect("an answer")
        .expect("made");
    let mine = [Acl::new(Perms::ALL, "auth", "")];
    client
        .create("/mine", b"", &mine, 0)
        .expect("an answer")
        .expect("made");
    let (list, _) = client.get_acl("/mine").expect("an answer").expect("a list");
    assert_eq!(list, own);
    assert_eq!(client.add_auth("x509", b"").expect("an answer"), Ok(()));
    let nonsense = [Acl::new(Perms::ALL, "x509", "nobody")];
    let refused = client.create("/bad", b"", &nonsense, 0).expect("an answer");
    assert_eq!(refused, Err(ErrorCode::InvalidAcl));
    for stranger in [&nobody, &Caller::default()] {
        let mut client = if std::ptr::eq(stranger, &nobody) {
            secured.connect(stranger).expect("a session")
        } else {
            secured.server.client()
        };
        let read = client.get_data("/own", false).expect("an answer");
        assert_eq!(read.map(|_| ()), Err(ErrorCode::NoAuth));
    }
    let mut client = secured.connect(&admin).expect("a session");
    assert!(client.get_data("/own", false).expect("an answer").is_ok());
    let mut stranger = secured.connect(&nobody).expect("a session");
    assert_eq!(
        stranger.add_auth("x509", b"").expect("an answer"),
        Err(ErrorCode::AuthFailed)
    );
}

#[test]
fn a_renewed_key_is_used_by_new_connections_and_a_broken_one_is_not() {
    let secured = Secured::start(&["client.certReload=true", "ssl.clientAuth=none"]);
    let nobody = secured.caller_with(None);
    let mut before = secured.connect(&nobody).expect("a session");
    write(
        secured.path(),
        "server.pem",
        "-----BEGIN CERTIFICATE-----\nrubbish\n",
    );
    let refused = "what was read before stays in use";
    wait_until(refused, LONG, || secured.server.log().contains(refused));
    assert!(secured.connect(&nobody).is_ok());
    let other = Authority::new("next");
    write(
        secured.path(),
        "server.pem",
        &other.identity("server", &["localhost"], Flaw::None),
    );
    let next = caller(None, &write(secured.path(), "next.pem", &other.pem()));
    wait_until("the new key", LONG, || secured.connect(&next).is_ok());
    assert!(secured.connect(&nobody).is_err());
    assert!(
        before.exists("/", false).expect("an answer").is_ok(),
        "who was there stays"
    );
    assert_eq!(secured.server.log().matches(refused).count(), 1);
}

#[test]
fn secrets_are_shown_nowhere() {
    let secured = Secured::start(&[
        "ssl.keyStore.password=sesame-open",
        "ssl.trustStore.password=sesame-open",
    ]);
    for asked in [&b"conf"[..], b"envi", b"stat", b"mntr"] {
        assert!(!secured.server.word(asked).contains("sesame"));
    }
    assert!(!secured.server.log().contains("sesame"));
}

#[test]
fn a_frame_in_many_records_and_many_frames_in_one_are_the_same() {
    let secured = Secured::start(&["ssl.clientAuth=none"]);
    let nobody = secured.caller_with(None);
    let mut wire =
        Wire::call(&nobody, secured.secure_address(), Some("localhost"), LIMIT).expect("a connection");
    let hello = Handshake::default().to_bytes();
    let length = (hello.len() as u32).to_be_bytes();
    for byte in length.iter().chain(&hello) {
        wire.send_bytes(&[*byte]).expect("sent");
    }
    assert!(!wire.receive_frame().expect("an answer").is_empty());
    let mut pings = Vec::new();
    for _ in 0..2_000 {
        pings.extend([0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11]);
    }
    wire.send_bytes(&pings).expect("sent");
    for _ in 0..2_000 {
        assert_eq!(wire.receive_frame().expect("an answer").len(), 16);
    }
}
