//! Two servers that shake hands over real sockets, and callers that do something else.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::thread;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;
use crate::tls::{ClientAuth, Secret, Store, TlsOptions};

const LONG: Duration = Duration::from_secs(20);

/// Rules with a key for the address of all ends.
fn rules(calls: bool, takes_plain: bool, handshake_ms: u32) -> QuorumTls {
    QuorumTls {
        calls,
        takes_plain,
        ..rules_of("127.0.0.1", handshake_ms)
    }
}

/// Rules with a key for this host, which is trusted in as well.
fn rules_of(host: &str, handshake_ms: u32) -> QuorumTls {
    let params = CertificateParams::new(vec![host.to_owned()]);
    let mut params = params.expect("a name");
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key"));
    let own = own.expect("a certificate");
    let pem = own.key().serialize_pem() + &own.pem();
    let store = Store {
        path: "own.pem".into(),
        password: Secret::default(),
        password_path: None,
        kind: None,
    };
    let options = TlsOptions {
        prefix: "ssl.quorum.",
        key_store: Some(store.clone()),
        trust_store: Some(store),
        client_auth: ClientAuth::Need,
        verify_server_host: true,
        verify_client_host: true,
        tls_1_2: true,
        tls_1_3: true,
        cipher_suites: Vec::new(),
        handshake_ms,
    };
    let read_file = Arc::new(move |_: &Path| Ok(pem.clone().into_bytes()));
    QuorumTls {
        context: Arc::new(TlsContext::of_peer(options, read_file).expect("usable files")),
        calls: true,
        takes_plain: false,
        hosts: Vec::new(),
    }
}

/// Both ends of a connection.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let caller = TcpStream::connect(listener.local_addr().expect("an address")).expect("connected");
    (caller, listener.accept().expect("accepted").0)
}

/// Both ends, once they have shaken hands by the same rules.
fn shaken(rules: &Arc<QuorumTls>) -> (PeerChannel, PeerChannel) {
    let (caller, called) = pair();
    let calling = Arc::clone(rules);
    let calling = thread::spawn(move || calling.call(PeerChannel::new(caller), "127.0.0.1", LONG));
    let called = welcome(Some(rules), called, LONG).expect("let in");
    (calling.join().expect("the caller").expect("believed"), called)
}

/// What a caller is told that begins so.
fn said(tls: Option<&QuorumTls>, first: &[u8]) -> Result<Vec<u8>, String> {
    let (mut caller, called) = pair();
    caller.write_all(first).expect("said");
    drop(caller);
    let mut channel = welcome(tls, called, LONG).map_err(|error| error.to_string())?;
    let mut rest = Vec::new();
    channel
        .read_to_end(&mut rest)
        .map_err(|error| error.to_string())?;
    Ok(rest)
}

#[test]
fn much_goes_both_ways_at_once_and_one_byte_as_well() {
    let (one, other) = shaken(&Arc::new(rules(true, false, 20_000)));
    let bytes: Vec<u8> = (0..3_000_000u32).map(|number| number as u8).collect();
    let mut ends = Vec::new();
    for channel in [one, other] {
        let (mut reading, mut writing) = channel.part().expect("two handles");
        let said = bytes.clone();
        ends.push(thread::spawn(move || {
            writing.write_all(&said[..1]).expect("said");
            writing.write_all(&said[1..]).expect("said");
            Vec::new()
        }));
        let count = bytes.len();
        ends.push(thread::spawn(move || {
            let mut heard = vec![0; count];
            reading.read_exact(&mut heard).expect("heard");
            heard
        }));
    }
    let heard: Vec<Vec<u8>> = ends.into_iter().map(|end| end.join().expect("an end")).collect();
    assert!(heard[0].is_empty() && heard[2].is_empty());
    assert!(heard[1] == bytes && heard[3] == bytes);
}

/// As Java's servers do after many bytes.
#[test]
fn a_change_of_keys_that_the_other_end_asks_for_is_answered() {
    let rules = rules(true, false, 20_000);
    let (caller, called) = pair();
    let connection = rules.context.connect(&["127.0.0.1".to_owned()]);
    let mut connection = Connection::from(connection.expect("a connection"));
    let calling = thread::spawn(move || {
        let mut caller = PeerChannel::new(caller);
        shake_hands(&mut connection, &mut caller).expect("believed");
        connection.refresh_traffic_keys().expect("asked for");
        caller.under_tls(connection)
    });
    let called = welcome(Some(&rules), called, LONG).expect("let in");
    let mut caller = calling.join().expect("the caller");
    let (mut reading, mut writing) = called.part().expect("two handles");
    let mut heard = [0; 4];
    for said in [b"one ", b"two ", b"more"] {
        caller.write_all(said).expect("said");
        reading.read_exact(&mut heard).expect("heard");
        writing.write_all(&heard).expect("said");
        caller.read_exact(&mut heard).expect("heard");
        assert_eq!(&heard, said);
    }
}

#[test]
fn what_is_plain_and_what_is_tls_is_told_by_the_first_bytes() {
    let (strict, both) = (rules(true, false, 20_000), rules(false, true, 20_000));
    let hello = 1i64.to_be_bytes();
    let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    assert_eq!(said(None, &hello), Ok(hello.to_vec()));
    assert_eq!(said(Some(&both), &hello), Ok(hello.to_vec()));
    assert_eq!(said(None, b""), Ok(Vec::new()));
    assert_eq!(said(Some(&both), b""), Ok(Vec::new()));
    // A number that begins like TLS is a number, where TLS is not spoken.
    let number = [0x16, 3, 1, 2, 0, 2, 0, 1];
    assert_eq!(said(None, &number), Ok(number.to_vec()));
    for (tls_rules, first, why) in [
        (None, &tls[..], "it speaks TLS, and this server does not"),
        (
            Some(&strict),
            &hello[..],
            "it does not speak TLS, and this server wants it",
        ),
        (Some(&strict), &b""[..], "it has hung up without a word"),
        (Some(&strict), &tls[..], "it has hung up in the TLS handshake"),
        (Some(&both), &tls[..], "it has hung up in the TLS handshake"),
        (
            Some(&both),
            &[0x16, 9, 9, 9, 9, 9, 9][..],
            "the TLS handshake has failed",
        ),
    ] {
        let told = said(tls_rules, first).expect_err(why);
        assert!(told.starts_with(why), "{told}");
    }
}

#[test]
fn a_handshake_that_comes_drop_by_drop_ends_in_time() {
    let (mut caller, called) = pair();
    let limit_ms = 300;
    let dripping = thread::spawn(move || {
        let record = [0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3];
        // Each byte comes long before a single read is given up.
        for byte in record.iter().copied().chain([0; 500]) {
            if caller.write_all(&[byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    });
    let error = welcome(Some(&rules(true, true, limit_ms)), called, LONG).expect_err("too slow");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    dripping.join().expect("the caller");
}

#[test]
fn a_silent_end_is_not_waited_for_and_the_socket_s_own_limits_stay() {
    let (_caller, called) = pair();
    let same = called.try_clone().expect("a handle");
    same.set_write_timeout(Some(LONG)).expect("a limit");
    let error = welcome(Some(&rules(true, true, 50)), called, LONG).expect_err("silent");
    assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    let limits = (
        same.read_timeout().expect("a limit"),
        same.write_timeout().expect("a limit"),
    );
    assert_eq!(limits, (None, Some(LONG)));
    let (caller, _called) = pair();
    let error = rules(true, true, 50).call(PeerChannel::new(caller), "127.0.0.1", LONG);
    let error = error.expect_err("silent");
    assert!(
        error
            .to_string()
            .ends_with("does it speak TLS (sslQuorum=true or portUnification=true)?"),
        "{error}"
    );
}

#[test]
fn a_caller_s_certificate_may_name_a_host_of_the_server_list_instead_of_its_address() {
    let mut rules = rules_of("b", 20_000);
    for (hosts, is_let_in) in [(["a", "b"], true), (["a", "c"], false)] {
        rules.hosts = hosts.map(str::to_owned).to_vec();
        let rules = Arc::new(rules_of_same(&rules));
        let (caller, called) = pair();
        let calling = Arc::clone(&rules);
        let calling = thread::spawn(move || calling.call(PeerChannel::new(caller), "b", LONG).is_ok());
        let heard = welcome(Some(&rules), called, LONG);
        assert!(
            calling.join().expect("the caller"),
            "it believes whom it has called"
        );
        assert_eq!(heard.is_ok(), is_let_in, "{heard:?}");
    }
}

/// The same rules once more.
fn rules_of_same(rules: &QuorumTls) -> QuorumTls {
    QuorumTls {
        context: Arc::clone(&rules.context),
        hosts: rules.hosts.clone(),
        ..*rules
    }
}
