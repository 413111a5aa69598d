//! Clients that authenticate with SASL, and those that should have.

use super::*;
use crate::clients::SaslRules;
use crate::sasl::jaas::Jaas;
use crate::sasl::{ClientExchange, Credentials, Nonces, SECRET_BYTES, Secret, Service, Users};

fn open_with(keeps_failed: bool, required: &[&str]) -> Bench {
    let text = "Server { m.DigestLoginModule required user_bob=\"secret\"; };";
    let jaas = Jaas::parse(text).expect("a file");
    let mut bench = Bench::open();
    bench.rules.sasl = Some(Arc::new(SaslRules {
        users: Users::of_section(jaas.section("Server").expect("the section")),
        keeps_failed,
        nonces: Nonces::new([3; SECRET_BYTES]),
    }));
    bench.rules.required_schemes = required.iter().map(|&scheme| scheme.to_owned()).collect();
    bench
}

fn token(xid: i32, token: &[u8]) -> Vec<u8> {
    request(xid, OpCode::Sasl.number(), &token.to_bytes())
}

fn bob(password: &str) -> ClientExchange {
    let credentials = Credentials {
        username: "bob".to_owned(),
        password: Secret::new(password),
    };
    ClientExchange::new(Service::CLIENTS, credentials, "cnonce".to_owned())
}

/// The token that the server has answered last, if it has answered with one.
fn answered(bench: &Bench) -> Option<Vec<u8>> {
    match &bench.wishes.asks.last()?.asked {
        Asked::SaslToken(token) => token.clone(),
        other => panic!("{other:?}"),
    }
}

/// Begins, and gives the client's answer to the challenge.
fn response(bench: &mut Bench, client: &mut ClientExchange) -> Vec<u8> {
    bench.feed(&token(1, b""));
    let challenge = answered(bench).expect("a challenge");
    client.step(&challenge).expect("a response").expect("a token")
}

fn is_bob(bench: &Bench) -> bool {
    bench
        .cnxn
        .identities()
        .contains(&crate::proto::Id::new("sasl", "bob"))
}

#[test]
fn who_knows_the_password_gets_the_identity_and_the_server_s_proof() {
    let mut bench = open_with(false, &[]);
    let mut client = bob("secret");
    let response = response(&mut bench, &mut client);
    assert!(!is_bob(&bench));
    bench.feed(&token(2, &response));
    assert!(is_bob(&bench));
    let proof = answered(&bench).expect("a proof");
    assert_eq!(client.step(&proof), Ok(None));
    assert_eq!(bench.cnxn.fate(), Fate::Stay);
    // What succeeded once proves nothing a second time.
    bench.feed(&token(3, &response));
    assert_eq!(bench.cnxn.fate(), Fate::Close);
}

#[test]
fn who_does_not_is_closed_without_an_answer_or_kept_with_a_null_token() {
    for keeps_failed in [false, true] {
        let mut bench = open_with(keeps_failed, &[]);
        let response = response(&mut bench, &mut bob("wrong"));
        bench.feed(&token(2, &response));
        assert!(!is_bob(&bench));
        let asks = bench.asked().len();
        if keeps_failed {
            assert_eq!((bench.cnxn.fate(), asks, answered(&bench)), (Fate::Stay, 2, None));
            bench.feed(&read(3));
            assert_eq!(bench.asked().len(), 3);
        } else {
            assert_eq!((bench.cnxn.fate(), asks), (Fate::Close, 1));
        }
    }
}

#[test]
fn tokens_are_answered_between_the_requests_around_them() {
    let mut bench = open_with(false, &[]);
    bench.feed(&[read(1), token(2, b""), read(3)].concat());
    let xids: Vec<i32> = bench.asked().iter().map(|(xid, _)| *xid).collect();
    assert_eq!(xids, [1, 2, 3]);
}

#[test]
fn strangers_are_sent_away_where_an_identity_is_required() {
    let mut bench = open_with(true, &["sasl"]);
    bench.feed(&read(1));
    let refusal = Asked::Header(Zxid(0), ErrorCode::SessionClosedRequireSaslAuth);
    assert_eq!(bench.asked(), [(1, &refusal)]);
    assert_eq!(bench.cnxn.fate(), Fate::CloseWhenWritten);

    let mut bench = open_with(true, &["digest", "sasl"]);
    bench.feed(&auth(Some("digest"), Some(b"u:p")));
    bench.feed(&read(1));
    assert_eq!(bench.cnxn.fate(), Fate::Stay);

    let mut bench = open_with(true, &["sasl"]);
    let response = response(&mut bench, &mut bob("secret"));
    bench.feed(&[token(2, &response), read(3)].concat());
    assert_eq!((bench.asked().len(), bench.cnxn.fate()), (3, Fate::Stay));
    // Who fails is not kept there: it could ask for nothing.
    let mut bench = open_with(true, &["sasl"]);
    bench.feed(&[token(1, b""), token(2, b"nonsense")].concat());
    assert_eq!(bench.cnxn.fate(), Fate::Close);
}
