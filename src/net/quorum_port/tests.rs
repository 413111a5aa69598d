//! A leader's port and a learner's call, over real sockets on the loopback address.

use std::io::{Read, Write};
use std::time::Instant;

use super::*;
use crate::ensemble::Role;
use crate::net::quorum_streams::tests::tree_of;
use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::{Encode, Epoch, Sid, Zxid};
use crate::quorum::peer_link::ToPeer;
use crate::runtime::OsClock;
use crate::storage::{CommittedLog, Database};

const PATIENCE: Duration = Duration::from_secs(20);
const NOBODY: Vec<String> = Vec::new();

fn member(quorum_port: u16) -> Member {
    Member {
        sid: Sid(1),
        host: "127.0.0.1".to_owned(),
        quorum_port,
        election_port: 3888,
        role: Role::Participant,
    }
}

fn port(quorum_port: u16, init_ms: u64) -> TcpQuorumPort {
    // Nobody ends this process on a halt: a thread that panics shows as a test that fails.
    let threads = Threads::new(Arc::new(OsClock::new()), crossbeam_channel::unbounded().0);
    let rules = QuorumPortRules {
        me: member(quorum_port),
        listen_on_all_ips: false,
        init_ms,
        sync_ms: init_ms,
        leader_nodelay: true,
        follower_nodelay: true,
        tls: None,
        auth: None,
    };
    TcpQuorumPort::new(threads, rules)
}

/// A port that listens, where, and what happens there.
fn listening(init_ms: u64) -> (Box<dyn Closer>, u16, Inbox<PortEvent>) {
    // The port is free a moment later too, or another is tried.
    for _ in 0..100 {
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
        let number = free.expect("a free port").port();
        let (events, inbox) = Inbox::new();
        if let Ok(closer) = port(number, init_ms).listen(events) {
            return (closer, number, inbox);
        }
    }
    panic!("no port stays free");
}

fn next(inbox: &Inbox<PortEvent>) -> PortEvent {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = inbox.try_take() {
            return event;
        }
        assert!(Instant::now() < end, "nothing happens");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn connected(inbox: &Inbox<PortEvent>) -> PeerLink {
    match next(inbox) {
        PortEvent::Connected(link) => link,
        other => panic!("not connected: {other:?}"),
    }
}

/// So many packets, in however many letters they come.
fn packets<const COUNT: usize>(inbox: &Inbox<PortEvent>) -> [QuorumPacket; COUNT] {
    let mut all = Vec::new();
    while all.len() < COUNT {
        match next(inbox) {
            PortEvent::Packets(_, more) => all.extend(more),
            other => panic!("no packets: {other:?}"),
        }
    }
    all.try_into().expect("no packet more")
}

fn down(inbox: &Inbox<PortEvent>) -> String {
    match next(inbox) {
        PortEvent::Down(_, reason) => reason,
        other => panic!("not down: {other:?}"),
    }
}

#[test]
fn a_learner_and_a_leader_talk_and_part_and_leave_no_thread() {
    let (acceptor, number, of_leader) = listening(20_000);
    let (events, of_learner) = Inbox::new();
    let call = port(0, 20_000).dial(&member(number), events);
    let (to_learner, to_leader) = (connected(&of_leader), connected(&of_learner));
    let info = QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(4), Sid(2), false);
    to_leader.send(info.clone());
    assert_eq!(packets(&of_leader), [info]);
    let answer = QuorumPacket::leader_info(Epoch(5));
    to_learner
        .out
        .post(ToPeer::Packets(vec![answer.clone(), answer.clone()]));
    assert_eq!(packets(&of_learner), [answer.clone(), answer]);
    let tree = Arc::new(Database::new(tree_of(3_000), CommittedLog::new(1)));
    to_learner.out.post(ToPeer::Tree(tree));
    assert!(matches!(next(&of_leader), PortEvent::TreeSent(_)));
    let [snap] = packets(&of_learner);
    assert_eq!(snap.kind, PacketType::Snap);
    match next(&of_learner) {
        PortEvent::TreeReceived(_, tree) => assert_eq!(tree.node_count(), tree_of(3_000).node_count()),
        other => panic!("no tree: {other:?}"),
    }
    drop(to_learner.out);
    assert_eq!(to_learner.closer.close(), NOBODY);
    assert_eq!(down(&of_learner), "the peer has closed the connection");
    to_leader.close();
    assert_eq!(call.close(), NOBODY);
    assert_eq!(acceptor.close(), NOBODY);
}

#[test]
fn each_way_of_breaking_off_is_told_with_its_reason() {
    let (acceptor, number, events) = listening(20_000);
    let gone: &[&str] = &["reset", "the peer has closed the connection"];
    let length: &[&str] = &["unreasonable length"];
    let ends = [
        (vec![], gone),
        (vec![0, 0, 0], gone),
        (
            [&11i32.to_be_bytes()[..], &[0; 8], &i32::MAX.to_be_bytes()].concat(),
            length,
        ),
        (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(), length),
    ];
    for (bytes, reasons) in ends {
        let mut stream = TcpStream::connect(("127.0.0.1", number)).expect("a connection");
        stream.write_all(&bytes).expect("written");
        let link = connected(&events);
        drop(stream);
        let reason = down(&events);
        assert!(
            reasons.iter().any(|words| reason.contains(words)),
            "{bytes:?}: {reason}"
        );
        link.close();
    }
    assert_eq!(acceptor.close(), NOBODY);
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let (acceptor, number, events) = listening(100);
    let stream = TcpStream::connect(("127.0.0.1", number)).expect("a connection");
    let link = connected(&events);
    let large = QuorumPacket {
        data: crate::proto::packet::PacketData::Bytes(vec![7; 1 << 18]),
        ..QuorumPacket::plain(PacketType::Proposal, Zxid(1))
    };
    link.out.post(ToPeer::Packets(vec![large; 64]));
    let reasons = [down(&events), down(&events)];
    assert!(
        reasons.iter().any(|reason| reason == "Write timed out"),
        "{reasons:?}"
    );
    link.close();
    drop(stream);
    assert_eq!(acceptor.close(), NOBODY);
}

#[test]
fn a_silent_leader_is_given_up_in_time_and_a_call_can_be_ended_before() {
    // Its callers are taken by the system, and by nobody else.
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let number = silent.local_addr().expect("an address").port();
    let (events, inbox) = Inbox::new();
    let call = port(0, 100).dial(&member(number), events);
    let link = connected(&inbox);
    assert_eq!(down(&inbox), "Read timed out");
    link.close();
    assert_eq!(call.close(), NOBODY);
    let (events, inbox) = Inbox::new();
    let call = port(0, 3_600_000).dial(&member(number), events);
    let link = connected(&inbox);
    link.close();
    assert_eq!(call.close(), NOBODY);
    // Nobody listens at all: it would try for seconds.
    drop(silent);
    let (events, inbox) = Inbox::new();
    let call = port(0, 20_000).dial(&member(number), events);
    assert_eq!(call.close(), NOBODY);
    let last = inbox.try_take();
    assert!(matches!(last, None | Some(PortEvent::Unreachable(_))), "{last:?}");
}

#[test]
fn a_leader_that_cannot_be_reached_is_told_after_a_few_attempts() {
    let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    let number = free.expect("a free port").port();
    let (events, inbox) = Inbox::new();
    let call = port(0, 20_000).dial(&member(number), events);
    match next(&inbox) {
        PortEvent::Unreachable(reason) => assert!(reason.contains("refused"), "{reason}"),
        other => panic!("reached: {other:?}"),
    }
    assert_eq!(call.close(), NOBODY);
}

#[test]
fn a_port_that_is_taken_is_named_and_one_that_was_closed_is_free_again() {
    let (acceptor, number, _events) = listening(20_000);
    let (events, _inbox) = Inbox::new();
    let refusal = port(number, 20_000).listen(events).err().expect("taken");
    assert!(
        refusal.starts_with(&format!("Couldn't bind to /127.0.0.1:{number}: ")),
        "{refusal}"
    );
    // Callers that were taken in go with the port's owner, not with the port.
    let mut stream = TcpStream::connect(("127.0.0.1", number)).expect("a connection");
    assert_eq!(acceptor.close(), NOBODY);
    let (events, inbox) = Inbox::new();
    let again = port(number, 20_000).listen(events).expect("free again");
    let mut late = TcpStream::connect(("127.0.0.1", number)).expect("a connection");
    late.write_all(&QuorumPacket::leader_info(Epoch(1)).to_bytes())
        .expect("written");
    let link = connected(&inbox);
    assert_eq!(packets(&inbox), [QuorumPacket::leader_info(Epoch(1))]);
    link.close();
    assert_eq!(late.read(&mut [0; 1]).ok(), Some(0), "a closed link is shut");
    assert_eq!(again.close(), NOBODY);
    drop(stream.write(&[0]));
}
