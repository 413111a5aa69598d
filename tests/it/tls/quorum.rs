//! TLS between the servers of an ensemble: who is let in, who is not, and how an ensemble is brought there at work.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use oxkeeper::proto::Acl;
use tempfile::TempDir;

use super::LIMIT;
use crate::support::certificates::{Authority, Flaw, write};
use crate::support::cluster::{Cluster, Layout};
use crate::support::{LONG, wait_until};

/// An ensemble whose servers have keys, and who vouches for them.
struct Members {
    cluster: Cluster,
    authority: Authority,
    dir: TempDir,
}

impl Members {
    /// Lays out three servers with keys and these lines in each zoo.cfg.
    fn lay_out(lines: &str) -> Members {
        let dir = tempfile::tempdir().expect("a directory");
        let authority = Authority::new("authority");
        write(dir.path(), "trust.pem", &authority.pem());
        let layout = Layout {
            count: 3,
            ..Layout::default()
        };
        let cluster = Cluster::lay_out(&layout);
        let mut members = Members {
            cluster,
            authority,
            dir,
        };
        for number in 1..=3 {
            let key = members.identity(number, Flaw::None);
            members.give(number, &key);
            members.cluster.add_lines(number, lines);
        }
        members
    }

    /// Three servers at work that speak nothing but TLS, with more lines.
    fn start(lines: &str) -> Members {
        let mut members = Members::lay_out(&format!("sslQuorum=true\n{lines}"));
        members.cluster.start_all();
        members
    }

    fn identity(&self, number: usize, flaw: Flaw) -> String {
        let name = format!("server {number}");
        self.authority.identity(&name, &["127.0.0.1"], flaw)
    }

    /// Gives a server a key, for its next start.
    fn give(&mut self, number: usize, key: &str) {
        let key = write(self.path(), &format!("{number}.pem"), key);
        let lines = format!(
            "ssl.quorum.keyStore.location={}\nssl.quorum.trustStore.location={}\n",
            key.display(),
            self.path().join("trust.pem").display()
        );
        self.cluster.add_lines(number, &lines);
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a node through one server.
    fn make(&self, number: usize, path: &str, data: &[u8]) {
        let made = self.cluster.client(number).create(path, data, &Acl::open(), 0);
        made.expect("an answer").expect("made");
    }

    /// Waits until one of these servers has said this.
    fn wait_for_word(&self, numbers: &[usize], word: &str) {
        wait_until(word, LONG, || {
            numbers
                .iter()
                .any(|&number| self.cluster.log(number).contains(word))
        });
    }
}

#[test]
fn members_elect_serve_and_come_back_over_tls_and_with_sasl_upon_it() {
    let mut members = Members::lay_out("sslQuorum=true\n");
    let lines = with_sasl(members.path());
    (1..=3).for_each(|number| members.cluster.add_lines(number, &lines));
    members.cluster.start_all();
    for number in 1..=3 {
        members.make(number, &format!("/by-{number}"), &vec![b'x'; 300_000]);
    }
    let leader = members.cluster.leader();
    members.cluster.kill(leader);
    let next = members.cluster.leader();
    members.make(next, "/without", b"1");
    // It comes back to nothing: the leader sends it the whole tree.
    std::fs::remove_dir_all(members.cluster.data(leader)).expect("a directory");
    members.cluster.start_one(leader);
    let follower = members.cluster.follower();
    members.cluster.kill(follower);
    members.make(members.cluster.leader(), "/again", b"2");
    members.cluster.start_one(follower);
    assert_eq!(members.cluster.same_trees().len(), 8);
    for number in 1..=3 {
        let log = members.cluster.log(number);
        assert!(log.contains("Using TLS encrypted quorum communication"), "{log}");
        assert!(log.contains("TLSv1.3 - TLS_AES_256_GCM_SHA384"), "{log}");
        assert!(
            log.contains("completed the authentication using SASL. server addr"),
            "{log}"
        );
    }
}

/// Lines that let servers authenticate to each other as well, with a file of passwords in this directory.
fn with_sasl(dir: &Path) -> String {
    let module = "org.apache.zookeeper.server.auth.DigestLoginModule required";
    let text = format!(
        "QuorumServer {{ {module} user_member=\"secret\"; }};\n\
         QuorumLearner {{ {module} username=\"member\" password=\"secret\"; }};\n"
    );
    format!(
        "java.security.auth.login.config={}\nquorum.auth.enableSasl=true\nquorum.auth.learnerRequireSasl=true\n\
         quorum.auth.serverRequireSasl=true\n",
        write(dir, "jaas.conf", &text).display()
    )
}

#[test]
fn who_has_a_wrong_certificate_stays_outside_and_the_others_go_on() {
    let mut members = Members::start("");
    let away = members.cluster.follower();
    let others: Vec<usize> = (1..=3).filter(|&number| number != away).collect();
    let expired = members.identity(away, Flaw::Expired);
    let foreign = Authority::new("somebody else").identity("server", &["127.0.0.1"], Flaw::None);
    let elsewhere = members
        .authority
        .identity("elsewhere", &["elsewhere.example"], Flaw::None);
    for (key, why) in [
        (expired, "certificate expired"),
        (foreign, "UnknownIssuer"),
        (elsewhere, "its certificate names no host of the server list"),
    ] {
        members.cluster.kill(away);
        members.give(away, &key);
        members.cluster.spawn_these(&[away]);
        members.wait_for_word(&others, why);
        assert_eq!(members.cluster.mode(away), None, "{why}");
        members.make(others[0], &format!("/beside{}", why.len()), b"x");
    }
    let log = members.cluster.log(others[0]) + &members.cluster.log(others[1]);
    assert!(log.contains("see ssl.quorum.trustStore.location here"), "{log}");
    members.cluster.kill(away);
    let right = members.identity(away, Flaw::None);
    members.give(away, &right);
    members.cluster.start_one(away);
    members.cluster.same_trees();
}

#[test]
fn plain_text_to_a_member_with_tls_and_the_reverse_are_told_on_both_sides() {
    let mut members = Members::lay_out("sslQuorum=true\n");
    members.cluster.add_lines(3, "sslQuorum=false\n");
    members.cluster.spawn_these(&[3]);
    members.cluster.start_these(&[1, 2]);
    members.wait_for_word(&[1, 2], "it does not speak TLS, and this server wants it");
    members.wait_for_word(&[1, 2], "does it speak TLS (sslQuorum=true or");
    members.wait_for_word(&[3], "it speaks TLS, and this server does not");
    assert_eq!(members.cluster.mode(3), None);
    members.make(1, "/beside", b"x");
    for number in 1..=3 {
        let log = members.cluster.log(number);
        for word in ["it does not speak TLS", "it speaks TLS", "does it speak TLS"] {
            let told = log.matches(word).count();
            assert!(told <= 2, "{word} {told} times: {log}");
        }
    }
    // The way back is as short.
    members.cluster.kill(3);
    members.cluster.add_lines(3, "sslQuorum=true\n");
    members.cluster.start_one(3);
    members.cluster.same_trees();
}

/// Connections to a port that say nothing, or the half of a greeting.
fn pester(address: SocketAddr) -> Vec<TcpStream> {
    // A record of 512 bytes that are not there.
    const HALF_A_RECORD: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    let open = |number: usize| {
        let mut stream = TcpStream::connect(address).ok()?;
        let said = if number.is_multiple_of(2) {
            HALF_A_RECORD
        } else {
            b""
        };
        // It may have been hung up on already.
        drop(stream.write_all(said));
        stream.set_read_timeout(Some(LIMIT)).ok()?;
        Some(stream)
    };
    (0..150).filter_map(open).collect()
}

fn threads_of(pid: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    tasks.expect("a process").count()
}

#[test]
fn a_flood_of_slow_handshakes_keeps_no_member_out_and_leaves_no_thread() {
    let mut members = Members::start("ssl.quorum.handshakeDetectionTimeoutMillis=2000\n");
    let leader = members.cluster.leader();
    let before = threads_of(members.cluster.pid(leader));
    let mut slow = pester(members.cluster.quorum_address(leader));
    slow.extend(pester(members.cluster.election_address(leader)));
    assert!(slow.len() > 200, "{}", slow.len());
    let away = members.cluster.follower();
    members.cluster.kill(away);
    members.make(leader, "/meanwhile", b"x");
    members.cluster.start_one(away);
    for mut stream in slow {
        let mut rest = Vec::new();
        // An alert may come first; what matters is the end.
        drop(stream.read_to_end(&mut rest));
    }
    // The same learner has come back, perhaps by one election link more.
    wait_until("the end of the threads", LONG, || {
        threads_of(members.cluster.pid(leader)) <= before + 2
    });
    members.wait_for_word(&[leader], "the TLS handshake did not end in time");
    let log = members.cluster.log(leader);
    let told = log.matches("the TLS handshake did not end in time").count();
    assert!(told <= 4, "{told} times: {log}");
    members.cluster.same_trees();
}

#[test]
fn an_ensemble_at_work_is_brought_to_tls_step_by_step() {
    let mut members = Members::lay_out("");
    members.cluster.start_all();
    let steps = [
        "portUnification=true\n",
        "sslQuorum=true\n",
        "portUnification=false\n",
    ];
    for (step, lines) in steps.iter().enumerate() {
        for number in 1..=3 {
            members.cluster.terminate(number);
            members.cluster.add_lines(number, lines);
            // The others serve while it is away, in an election's time.
            let other = members.cluster.leader();
            members.make(other, &format!("/without-{step}-{number}"), b"x");
            members.cluster.start_one(number);
        }
        members.cluster.same_trees();
    }
    let mut stream = TcpStream::connect(members.cluster.election_address(1)).expect("connected");
    stream.write_all(&2i64.to_be_bytes()).expect("said");
    members.wait_for_word(&[1], "it does not speak TLS, and this server wants it");
}

#[test]
fn renewed_keys_of_members_are_used_without_a_restart() {
    let mut members = Members::start("sslQuorumReloadCertFiles=true\n");
    let next = Authority::new("next");
    // Whom to believe comes first, then the keys, then the old authority goes.
    let both = members.authority.pem() + &next.pem();
    write(members.path(), "trust.pem", &both);
    let renewed = "ssl.quorum.*: key and certificates have changed";
    let wait_for_all = |members: &Members, times: usize| {
        wait_until("new files", LONG, || {
            (1..=3).all(|number| members.cluster.log(number).matches(renewed).count() >= times)
        });
    };
    wait_for_all(&members, 1);
    for number in 1..=3 {
        let key = next.identity(&format!("server {number}"), &["127.0.0.1"], Flaw::None);
        write(members.path(), &format!("{number}.pem"), &key);
    }
    wait_for_all(&members, 2);
    write(members.path(), "trust.pem", &next.pem());
    wait_for_all(&members, 3);
    members.make(1, "/renewed", b"x");
    let leader = members.cluster.leader();
    members.cluster.kill(leader);
    let second = members.cluster.leader();
    members.make(second, "/more", b"x");
    members.cluster.start_one(leader);
    members.cluster.same_trees();
}

#[test]
fn a_member_without_key_or_trust_does_not_start_and_says_what_to_set() {
    let mut members = Members::lay_out("sslQuorum=true\n");
    for (line, why) in [
        (
            "ssl.quorum.keyStore.location=\n",
            "ssl.quorum.keyStore.location is not set",
        ),
        (
            "ssl.quorum.trustStore.location=\nssl.quorum.clientAuth=none\n",
            "ssl.quorum.trustStore.location is not set",
        ),
    ] {
        members.cluster.add_lines(1, line);
        // A server that is not refused would run for ever.
        let said = std::process::Command::new("timeout")
            .args(["--kill-after=1", "20", env!("CARGO_BIN_EXE_oxkeeper"), "server"])
            .arg(members.cluster.home(1).join("zoo.cfg"))
            .output()
            .expect("timeout of coreutils");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(2), "{text}");
        assert!(text.contains(why), "{text}");
        let key = members.identity(1, Flaw::None);
        members.give(1, &key);
    }
}
