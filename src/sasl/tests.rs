//! Both sides of an exchange, with each other and with tokens captured from Java 17.

use super::*;

const NONCE: &str = "Y6PDv3oYmNZIFL/ETqbiHK4pU8vvUdVqT8BxJpX7";
const CNONCE: &str = "Qwyq2bxzsO4b3P7lTQYSYZehmaV1kZu5MucYGDSU";
const JAVA_CHALLENGE: &str = "realm=\"zk-sasl-md5\",nonce=\"Y6PDv3oYmNZIFL/ETqbiHK4pU8vvUdVqT8BxJpX7\",\
                              charset=utf-8,algorithm=md5-sess";
const JAVA_RESPONSE: &str = "charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\",\
                             nonce=\"Y6PDv3oYmNZIFL/ETqbiHK4pU8vvUdVqT8BxJpX7\",nc=00000001,\
                             cnonce=\"Qwyq2bxzsO4b3P7lTQYSYZehmaV1kZu5MucYGDSU\",\
                             digest-uri=\"zookeeper/zk-sasl-md5\",maxbuf=65536,\
                             response=8f60f4ee0b53bedb075e570390d59c04,qop=auth,authzid=\"bob\"";
const JAVA_PROOF: &str = "rspauth=3bbb72d3d0cacd499392fa9740605fc2";

fn users(pairs: &str) -> Users {
    let text = format!("Server {{ m.DigestLoginModule required {pairs}; }};");
    let jaas = jaas::Jaas::parse(&text).expect("a file");
    Users::of_section(jaas.section("Server").expect("the section"))
}

fn bob() -> Users {
    users("user_bob=\"bobsecret\" user_ann=\"annsecret\"")
}

fn challenged() -> ServerExchange {
    let mut server = ServerExchange::new(Service::CLIENTS, NONCE.to_owned());
    let answer = server.step(b"", &bob()).expect("a challenge");
    assert_eq!(answer, Answer::Challenge(JAVA_CHALLENGE.into()));
    server
}

fn client(username: &str, password: &str) -> ClientExchange {
    let credentials = Credentials {
        username: username.to_owned(),
        password: Secret::new(password),
    };
    ClientExchange::new(Service::CLIENTS, credentials, CNONCE.to_owned())
}

#[test]
fn every_token_is_that_of_java() {
    let mut client = client("bob", "bobsecret");
    let response = client
        .step(JAVA_CHALLENGE.as_bytes())
        .expect("a response")
        .expect("a token");
    assert_eq!(String::from_utf8_lossy(&response), JAVA_RESPONSE);
    let proven = challenged().step(&response, &bob());
    let (token, user) = (JAVA_PROOF.into(), "bob".to_owned());
    assert_eq!(proven, Ok(Answer::Proven { token, user }));
    assert_eq!(client.step(JAVA_PROOF.as_bytes()), Ok(None));
    assert_eq!(client.step(JAVA_PROOF.as_bytes()), Err(Refusal::Over));
}

#[test]
fn names_and_passwords_beyond_ascii_pass() {
    for (user, password) in [
        ("m\u{fc}ller", "gr\u{fc}\u{df}\"\\"),
        ("\u{416}", "\u{1f511}"),
        ("a,b=\"c", ","),
    ] {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let known = users(&format!("\"user_{}\"=\"{}\"", quoted(user), quoted(password)));
        let mut client = client(user, password);
        let response = client
            .step(JAVA_CHALLENGE.as_bytes())
            .expect("a response")
            .expect("a token");
        match challenged().step(&response, &known) {
            Ok(Answer::Proven { token, user: proven }) => {
                assert_eq!(proven, user);
                assert_eq!(client.step(&token), Ok(None));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn wrong_and_unknown_and_foreign_are_refused() {
    let judged = |from: &str, to: &str| {
        assert!(JAVA_RESPONSE.contains(from), "{from}");
        challenged().step(JAVA_RESPONSE.replace(from, to).as_bytes(), &bob())
    };
    assert!(judged(",maxbuf=65536", "").is_ok());
    assert!(judged("qop=auth,", "").is_ok());
    assert_eq!(
        judged("username=\"bob\"", "username=\"ann\""),
        Err(Refusal::Mismatch)
    );
    assert_eq!(judged("8f60", "8F60"), Err(Refusal::Mismatch));
    assert_eq!(judged("8f60", "8f6"), Err(Refusal::Mismatch));
    assert_eq!(
        judged("authzid=\"bob\"", "authzid=\"super\""),
        Err(Refusal::Mismatch)
    );
    assert_eq!(
        judged("username=\"bob\"", "username=\"eve\\\n\""),
        Err(Refusal::UnknownUser("eve\\n".to_owned()))
    );
    for (from, to, reason) in [
        ("\"Y6P", "\"Y6Q", "Mismatched nonce"),
        ("nc=00000001", "nc=00000002", "Nonce count"),
        ("zk-sasl-md5\",nonce", "elsewhere\",nonce", "Nonexistent realm"),
        ("zookeeper/zk", "zookeeper-quorum/zk", "Mismatched URI"),
        ("md5\",maxbuf", "md5x\",maxbuf", "Mismatched URI"),
        ("qop=auth,", "qop=auth-int,", "Incompatible qop"),
        ("utf-8", "latin", "Incompatible charset"),
        ("username=\"bob\",", "", "Missing username"),
        (
            "response=8f60f4ee0b53bedb075e570390d59c04,",
            "",
            "Missing response",
        ),
    ] {
        let refusal = judged(from, to).expect_err(reason).to_string();
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn an_exchange_is_good_for_one_attempt() {
    let mut server = challenged();
    assert_eq!(
        server
            .step(b"username", &bob())
            .map_err(|r| matches!(r, Refusal::Syntax(_))),
        Err(true)
    );
    assert_eq!(server.step(JAVA_RESPONSE.as_bytes(), &bob()), Err(Refusal::Over));
    assert_eq!(server.step(b"", &bob()), Err(Refusal::Over));
    let mut server = challenged();
    assert!(server.step(JAVA_RESPONSE.as_bytes(), &bob()).is_ok());
    assert_eq!(server.step(JAVA_RESPONSE.as_bytes(), &bob()), Err(Refusal::Over));
    let mut server = ServerExchange::new(Service::CLIENTS, NONCE.to_owned());
    let early = server.step(JAVA_RESPONSE.as_bytes(), &bob());
    assert_eq!(early, Ok(Answer::Challenge(JAVA_CHALLENGE.into())));
    let mut server = challenged();
    let long = vec![b','; MOST_TOKEN_BYTES + 1];
    assert_eq!(server.step(&long, &bob()), Err(Refusal::Length(long.len())));
}

#[test]
fn a_client_trusts_no_server_that_does_not_know_the_password() {
    let mut trusting = client("bob", "bobsecret");
    trusting.step(JAVA_CHALLENGE.as_bytes()).expect("a response");
    assert_eq!(
        trusting.step(b"rspauth=3bbb72d3d0cacd499392fa9740605fc3"),
        Err(Refusal::Mismatch)
    );
    for challenge in [
        "",
        "nonce=\"x\"",
        "algorithm=md5-sess",
        "nonce=\"x\",algorithm=md5",
        "nonce=\"x\",algorithm=md5-sess,qop=\"auth-int,auth-conf\"",
    ] {
        assert!(
            client("bob", "x").step(challenge.as_bytes()).is_err(),
            "{challenge}"
        );
    }
    let offers_more = "nonce=\"x\",algorithm=md5-sess,qop=\"auth-int, auth\"";
    assert!(client("bob", "x").step(offers_more.as_bytes()).is_ok());
}
