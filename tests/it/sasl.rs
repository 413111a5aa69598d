//! SASL of clients with the real server: who proves to be somebody, who does not, and who tries it otherwise.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use oxkeeper::proto::{Acl, Decode, Encode, ErrorCode, OpCode, Perms, QuorumAuthPacket};
use oxkeeper::sasl::{ClientExchange, Credentials, Secret, Service};
use oxkeeper::tools::client::{Client, Reply};
use oxkeeper::tools::wire::ClientError;
use tempfile::TempDir;

use crate::support::cluster::{Cluster, Layout};
use crate::support::configured::Configured;
use crate::support::{LONG, wait_until};

const LOGINS: &str = "// who may\nServer {\n    org.apache.zookeeper.server.auth.DigestLoginModule required\n    \
                      user_super=\"the super secret\"\n    user_bob=\"bob's \\\"secret\\\"\";\n};\n";

/// A server with passwords for bob and for super, and the directory of their file.
fn start(more: &[&str]) -> (Configured, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("jaas.conf");
    std::fs::write(&file, LOGINS).expect("the file of passwords");
    let login = format!("java.security.auth.login.config={}", file.display());
    let provider = "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider";
    let lines: Vec<&str> = [login.as_str(), provider]
        .into_iter()
        .chain(more.iter().copied())
        .collect();
    (Configured::start(&lines), dir)
}

fn exchange(user: &str, password: &str) -> ClientExchange {
    let credentials = Credentials {
        username: user.to_owned(),
        password: Secret::new(password),
    };
    ClientExchange::new(Service::CLIENTS, credentials, "a client's nonce".to_owned())
}

fn say(client: &mut Client, token: &[u8]) -> Result<Reply, ClientError> {
    client.call(OpCode::Sasl, |out| token.encode(out))
}

fn token_of(reply: &Reply) -> Option<Vec<u8>> {
    assert_eq!(reply.error, ErrorCode::Ok);
    Option::<&[u8]>::from_bytes(&reply.body)
        .expect("a token")
        .map(<[u8]>::to_vec)
}

/// Says who it is; the answer to that.
fn prove(client: &mut Client, user: &str, password: &str) -> Result<Option<Vec<u8>>, ClientError> {
    let mut exchange = exchange(user, password);
    let challenge = token_of(&say(client, b"")?).expect("a challenge");
    let response = exchange.step(&challenge).expect("a response").expect("a token");
    let proof = token_of(&say(client, &response)?);
    if let Some(proof) = &proof {
        assert_eq!(exchange.step(proof), Ok(None), "the server's own proof");
    }
    Ok(proof)
}

fn bobs() -> [Acl; 1] {
    [Acl::new(Perms::ALL, "sasl", "bob")]
}

#[test]
fn who_proves_to_be_bob_may_what_bob_may() {
    let (server, _dir) = start(&[]);
    let mut bob = server.client();
    assert!(
        prove(&mut bob, "bob", "bob's \"secret\"")
            .expect("an answer")
            .is_some()
    );
    bob.create("/bob", b"x", &bobs(), 0)
        .expect("an answer")
        .expect("created");
    bob.create("/mine", b"y", &[Acl::new(Perms::ALL, "auth", "")], 0)
        .expect("an answer")
        .expect("created");
    let mut other = server.client();
    for path in ["/bob", "/mine"] {
        assert_eq!(
            other.get_data(path, false).expect("an answer"),
            Err(ErrorCode::NoAuth)
        );
        assert!(bob.get_data(path, false).expect("an answer").is_ok());
    }
    let mut super_user = server.client();
    assert!(
        prove(&mut super_user, "super", "the super secret")
            .expect("an answer")
            .is_some()
    );
    assert!(super_user.get_data("/bob", false).expect("an answer").is_ok());
    // Said once more on a connection where it has been said, it proves nothing.
    assert!(say(&mut bob, b"").expect_err("closed").is_closed());
    let log = server.log();
    assert!(
        log.contains("adding SASL authorization for authorizationID: bob"),
        "{log}"
    );
    no_secrets(&log);
}

#[test]
fn wrong_unknown_malformed_and_replayed_are_closed_and_nobody_else_suffers() {
    let (server, _dir) = start(&[]);
    let mut bystander = server.client();
    for (user, password) in [
        ("bob", "wrong"),
        ("eve", ""),
        ("eve", "the super secret"),
        ("super", "bob's \"secret\""),
    ] {
        let mut client = server.client();
        assert!(
            prove(&mut client, user, password)
                .expect_err("closed")
                .is_closed(),
            "{user}"
        );
    }
    let malformed: [&[u8]; 5] = [b"username", b"=", b"\xff\xfe", b"username=\"bob", &[b','; 10_000]];
    for token in malformed {
        let mut client = server.client();
        say(&mut client, b"").expect("a challenge");
        assert!(say(&mut client, token).expect_err("closed").is_closed());
    }
    // What one connection was answered with is worth nothing on another one.
    let mut first = server.client();
    let challenge = token_of(&say(&mut first, b"").expect("an answer")).expect("a challenge");
    let response = exchange("bob", "bob's \"secret\"").step(&challenge);
    let response = response.expect("a response").expect("a token");
    let mut second = server.client();
    let another = token_of(&say(&mut second, b"").expect("an answer")).expect("a challenge");
    assert_ne!(challenge, another);
    assert!(say(&mut second, &response).expect_err("closed").is_closed());
    assert!(say(&mut first, &response).is_ok());
    assert!(bystander.exists("/zookeeper", false).expect("an answer").is_ok());
    no_secrets(&server.log());
}

#[test]
fn half_messages_and_a_flood_of_attempts_cost_little() {
    let (server, _dir) = start(&["maxClientCnxns=0"]);
    let mut halves: Vec<Client> = (0..50).map(|_| server.client()).collect();
    for client in &mut halves {
        let header = [
            200i32.to_bytes(),
            1i32.to_bytes(),
            OpCode::Sasl.number().to_bytes(),
        ]
        .concat();
        client.wire().send_bytes(&header).expect("sent");
    }
    let before_kib = server.resident_kib();
    for round in 0..300 {
        let mut client = server.client();
        say(&mut client, b"").expect("a challenge");
        let long = vec![b'x'; 1 + 1_000 * (round % 100)];
        assert!(say(&mut client, &long).expect_err("closed").is_closed());
    }
    assert!(server.resident_kib() < before_kib + 32 * 1024);
    let mut bob = server.client();
    assert!(
        prove(&mut bob, "bob", "bob's \"secret\"")
            .expect("an answer")
            .is_some()
    );
    drop(halves);
    wait_until("the halves to be closed", Duration::from_secs(30), || {
        server.figure("zk_num_alive_connections") <= 2
    });
}

#[test]
fn who_fails_may_stay_and_who_does_not_try_may_be_sent_away() {
    let (server, _dir) = start(&["allowSaslFailedClients=true"]);
    let mut client = server.client();
    assert_eq!(prove(&mut client, "bob", "wrong").expect("an answer"), None);
    assert!(client.exists("/zookeeper", false).expect("an answer").is_ok());
    let acl = bobs();
    assert_eq!(
        client.create("/bob", b"x", &acl, 0).expect("an answer"),
        Ok("/bob".to_owned())
    );
    assert_eq!(
        client.get_data("/bob", false).expect("an answer"),
        Err(ErrorCode::NoAuth)
    );

    let (server, _dir) = start(&["enforce.auth.enabled=true", "enforce.auth.schemes=digest, SASL"]);
    let mut digest = server.client();
    assert_eq!(digest.add_auth("digest", b"u:p").expect("an answer"), Ok(()));
    assert!(digest.exists("/zookeeper", false).expect("an answer").is_ok());
    let mut stranger = server.client();
    assert!(stranger.exists("/zookeeper", false).expect("an answer").is_err());

    let (server, _dir) = start(&["sessionRequireClientSASLAuth=true"]);
    let mut stranger = server.client();
    assert_eq!(
        stranger.exists("/zookeeper", false).expect("an answer"),
        Err(ErrorCode::SessionClosedRequireSaslAuth)
    );
    assert!(stranger.receive().expect_err("closed").is_closed());
    let mut bob = server.client();
    assert!(
        prove(&mut bob, "bob", "bob's \"secret\"")
            .expect("an answer")
            .is_some()
    );
    assert!(bob.exists("/zookeeper", false).expect("an answer").is_ok());
}

#[test]
fn no_word_tells_a_secret() {
    let (server, _dir) = start(&["SASLAuthenticationProvider.superPassword=another secret"]);
    let mut client = server.client();
    assert!(
        prove(&mut client, "super", "another secret")
            .expect("an answer")
            .is_some()
    );
    for word in [&b"conf"[..], b"envi", b"mntr", b"cons", b"stat", b"dump"] {
        no_secrets(&server.word(word));
    }
    no_secrets(&server.log());
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_its_name_line_and_cure() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("jaas.conf");
    let digest = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    for (text, more, expected) in [
        (None, "", "jaas.conf: cannot be read: "),
        (
            Some("Server {\n x required\n".to_owned()),
            "",
            "jaas.conf, line 3: the file ends where",
        ),
        (
            Some("\nServer {\n com.sun.security.auth.module.Krb5LoginModule required;\n};".to_owned()),
            "",
            "jaas.conf, line 3: section Server: com.sun.security.auth.module.Krb5LoginModule: Kerberos (GSSAPI) is not \
             offered, see COMPAT.md; use org.apache.zookeeper.server.auth.DigestLoginModule required",
        ),
        (
            Some("Other { x required; };".to_owned()),
            "sasl.serverconfig=Mine",
            "there is no section Mine: write one",
        ),
        (
            Some(format!(
                "QuorumServer {{ {digest} user_a=\"zebra\"; }};\nQuorumLearner {{ {digest}; }};"
            )),
            "quorum",
            "jaas.conf, line 2: section QuorumLearner: username=\"...\" and password=\"...\" are needed",
        ),
    ] {
        let path: PathBuf = match &text {
            Some(text) => {
                std::fs::write(&file, text).expect("the file");
                file.clone()
            }
            None => dir.path().join("missing/jaas.conf"),
        };
        let quorum = "initLimit=10\nsyncLimit=5\nserver.1=127.0.0.1:2888:3888\nserver.2=127.0.0.1:2889:3889\n\
                      quorum.auth.enableSasl=true";
        std::fs::write(dir.path().join("myid"), "1\n").expect("myid");
        let more = if more == "quorum" { quorum } else { more };
        let config = format!(
            "dataDir={}\nclientPort=2181\njava.security.auth.login.config={}\n{more}\n",
            dir.path().display(),
            path.display()
        );
        let cfg = dir.path().join("zoo.cfg");
        std::fs::write(&cfg, config).expect("zoo.cfg");
        let server = std::process::Command::new(env!("CARGO_BIN_EXE_oxkeeper"))
            .arg("server")
            .arg(&cfg)
            .output()
            .expect("the program");
        let said = String::from_utf8_lossy(&server.stderr).into_owned();
        assert_eq!(server.status.code(), Some(2), "{said}");
        assert!(said.contains(expected), "{expected} in {said}");
        assert!(!said.contains("zebra"), "{said}");
    }
}

fn member_logins(password: &str) -> String {
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    format!(
        "QuorumServer {{ {module} user_member=\"members only\"; }};\n\
         QuorumLearner {{ {module} username=\"member\" password=\"{password}\"; }};\n"
    )
}

/// All that strangers may say to a port where servers authenticate.
fn pester(address: SocketAddr) -> Vec<TcpStream> {
    let magic = QuorumAuthPacket::MAGIC;
    let empty = [&magic[..], &[0; 8]].concat();
    let hello = 1i64.to_be_bytes();
    let sayings = [
        Vec::new(),
        magic[..5].to_vec(),
        [&magic[..], &[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]].concat(),
        empty.clone(),
        [empty.clone(), empty.clone()].concat(),
        [&hello[..], &magic[..5]].concat(),
        [&hello[..], &empty, &empty].concat(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    let say = |saying: &Vec<u8>| {
        let mut stream = TcpStream::connect(address).ok()?;
        // It may have been hung up on already.
        drop(stream.write_all(saying));
        Some(stream)
    };
    sayings.iter().cycle().take(80).filter_map(say).collect()
}

#[test]
fn members_prove_who_they_are_whatever_strangers_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str, password: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, member_logins(password)).expect("a file of passwords");
        format!("java.security.auth.login.config={}", path.display())
    };
    let (right, wrong) = (file("right", "members only"), file("wrong", "zebra"));
    let lines = [
        right.as_str(),
        "quorum.auth.enableSasl=true",
        "quorum.auth.learnerRequireSasl=true",
        "quorum.auth.serverRequireSasl=true",
    ];
    let mut cluster = Cluster::lay_out(&Layout {
        count: 3,
        lines: &lines,
        ..Layout::default()
    });
    cluster.start_all();
    let mut strangers = Vec::new();
    for number in 1..=3 {
        strangers.extend(pester(cluster.quorum_address(number)));
        strangers.extend(pester(cluster.election_address(number)));
    }
    // Elections and synchronisations go on beside them.
    let leader = cluster.leader();
    cluster.kill(leader);
    cluster.leader();
    cluster.start_these(&[leader]);
    cluster
        .client(leader)
        .create("/made", b"x", &Acl::open(), 0)
        .expect("an answer")
        .expect("created");
    drop(strangers);
    // Who does not know the password does not come in, and keeps nobody from anything.
    let away = cluster.follower();
    cluster.kill(away);
    cluster.add_lines(away, &wrong);
    cluster.spawn_these(&[away]);
    let others: Vec<usize> = (1..=3).filter(|number| *number != away).collect();
    wait_until("a word about the wrong password", LONG, || {
        others
            .iter()
            .any(|number| cluster.log(*number).contains("Mismatched response"))
    });
    assert_eq!(cluster.mode(away), None);
    let mut client = cluster.client(others[0]);
    client
        .create("/more", b"x", &Acl::open(), 0)
        .expect("an answer")
        .expect("created");
    for number in 1..=3 {
        let log = cluster.log(number);
        assert!(!log.contains("members only") && !log.contains("zebra"), "{log}");
    }
}

fn no_secrets(text: &str) {
    for secret in ["the super secret", "bob's", "another secret"] {
        assert!(!text.contains(secret), "{secret:?} is told: {text}");
    }
}
