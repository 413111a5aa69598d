use super::*;
use crate::ensemble::{Member, QuorumVerifier, Role};

/// Server 2 of servers 1, 2 and 3.
struct Bench {
    manager: QuorumCnxManager,
    now_ms: i64,
}

fn ensemble() -> Ensemble {
    let member = |sid| Member {
        sid: Sid(sid),
        host: format!("host{sid}"),
        quorum_port: 2888,
        election_port: 3888,
        role: Role::Participant,
    };
    Ensemble::new(
        [1, 2, 3].map(member),
        QuorumVerifier::majority([1, 2, 3].map(Sid)),
    )
}

impl Bench {
    fn new() -> Bench {
        Bench {
            manager: QuorumCnxManager::new(Sid(2), ensemble()),
            now_ms: 0,
        }
    }

    /// What an event leads to: orders and messages in short, and warnings.
    fn on(&mut self, event: Event) -> Vec<String> {
        let mut actions = Vec::new();
        self.manager.on(self.now_ms, event, &mut actions);
        actions.iter().filter_map(shown).collect()
    }

    fn link(&mut self, event: LinkEvent) -> Vec<String> {
        self.on(Event::Link(event))
    }

    fn send(&mut self, to: i64, message: &str) -> Vec<String> {
        let message = message.as_bytes().to_vec();
        self.on(Event::Send { to: Sid(to), message })
    }

    fn called(&mut self, sid: i64, link: u64) -> Vec<String> {
        let from = "/10.0.0.9:5".to_owned();
        self.link(LinkEvent::Called {
            link: LinkId(link),
            sid: Sid(sid),
            from,
        })
    }

    fn dialed(&mut self, sid: i64, link: u64) -> Vec<String> {
        self.link(LinkEvent::Dialed {
            link: LinkId(link),
            sid: Sid(sid),
        })
    }

    fn dial_failed(&mut self, sid: i64, reason: &str) -> Vec<String> {
        self.link(LinkEvent::DialFailed {
            sid: Sid(sid),
            address: format!("host{sid}/10.0.0.{sid}:3888"),
            reason: reason.to_owned(),
        })
    }

    fn sent(&mut self, link: u64) -> Vec<String> {
        self.link(LinkEvent::Sent { link: LinkId(link) })
    }

    fn down(&mut self, link: u64) -> Vec<String> {
        let reason = "reset".to_owned();
        self.link(LinkEvent::Down {
            link: LinkId(link),
            reason,
        })
    }
}

fn shown(action: &Action) -> Option<String> {
    let text = |message: &[u8]| String::from_utf8_lossy(message).into_owned();
    Some(match action {
        Action::Order(LinkOrder::Dial(dial)) => {
            assert_eq!(dial.hello, Hello { sid: Sid(2) }.to_message());
            format!("dial {} at {}:{}", dial.sid, dial.host, dial.port)
        }
        Action::Order(LinkOrder::Keep { link, sid }) => format!("keep {} of {sid}", link.0),
        Action::Order(LinkOrder::Send { link, message }) => format!("send {} {}", link.0, text(message)),
        Action::Order(LinkOrder::Close { link }) => format!("close {}", link.0),
        Action::Deliver { from, message } => format!("from {from}: {}", text(message)),
        Action::Log {
            level: log::Level::Warn,
            text,
        } => format!("! {text}"),
        Action::Log { .. } | Action::Reach { .. } => return None,
    })
}

#[test]
fn who_can_be_reached_is_told() {
    let mut bench = Bench::new();
    let reach = |bench: &mut Bench, event| {
        let mut actions = Vec::new();
        bench.manager.on(bench.now_ms, Event::Link(event), &mut actions);
        let told = actions.into_iter().filter_map(|action| match action {
            Action::Reach { sid, is_up } => Some((sid.0, is_up)),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let failed = LinkEvent::DialFailed {
        sid: Sid(1),
        address: "host1/10.0.0.1:3888".to_owned(),
        reason: "refused".to_owned(),
    };
    let (link, reason) = (LinkId(7), "reset".to_owned());
    bench.send(1, "a");
    assert_eq!(reach(&mut bench, failed.clone()), [(1, false)]);
    assert_eq!(
        reach(&mut bench, LinkEvent::Dialed { link, sid: Sid(1) }),
        [(1, true)]
    );
    // A second call that fails says nothing about the link that stands.
    assert_eq!(reach(&mut bench, failed), []);
    assert_eq!(reach(&mut bench, LinkEvent::Down { link, reason }), [(1, false)]);
}

#[test]
fn a_smaller_server_is_dialed_and_kept() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(1, "a"), ["dial 1 at host1:3888"]);
    assert_eq!(bench.send(1, "b"), [""; 0], "one call at a time");
    assert_eq!(bench.dialed(1, 7), ["keep 7 of 1", "send 7 b"]);
    assert_eq!(bench.send(1, "c"), [""; 0], "one message at a time");
    assert_eq!(bench.send(1, "d"), [""; 0]);
    assert_eq!(bench.sent(7), ["send 7 d"], "the newest wins");
    assert_eq!(bench.sent(7), [""; 0]);
}

#[test]
fn a_larger_server_is_knocked_at_and_calls_back() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(3, "a"), ["dial 3 at host3:3888"]);
    let mut actions = Vec::new();
    let knocked = Event::Link(LinkEvent::Dialed {
        link: LinkId(7),
        sid: Sid(3),
    });
    bench.manager.on(0, knocked, &mut actions);
    let text = "Have smaller server identifier, so dropping the connection: (3, 2)".to_owned();
    let level = log::Level::Info;
    let close = Action::Order(LinkOrder::Close { link: LinkId(7) });
    assert_eq!(actions, [Action::Log { level, text }, close]);
    assert_eq!(bench.called(3, 8), ["keep 8 of 3", "send 8 a"]);
}

#[test]
fn a_smaller_server_that_calls_is_called_back() {
    let mut bench = Bench::new();
    assert_eq!(bench.called(1, 7), ["close 7", "dial 1 at host1:3888"]);
    assert_eq!(bench.called(1, 8), ["close 8"], "the call is under way");
    assert_eq!(bench.dialed(1, 9), ["keep 9 of 1"]);
    let again = bench.called(1, 10);
    assert_eq!(again, ["close 9", "close 10", "dial 1 at host1:3888"]);
}

#[test]
fn a_smaller_server_that_hangs_up_without_a_word_is_called_ever_more_rarely_until_it_speaks() {
    let mut bench = Bench::new();
    let call = "dial 1 at host1:3888";
    bench.send(1, "a");
    bench.dialed(1, 1);
    let down = bench.down(1);
    assert_eq!(
        down.last().map(String::as_str),
        Some(call),
        "it may have gone for once"
    );
    for (link, patience_ms) in [(2, 250), (3, 500), (4, 1_000)] {
        bench.dialed(1, link);
        assert_eq!(bench.down(link).last(), Some(&format!("close {link}")));
        bench.now_ms += patience_ms - 1;
        assert_eq!(bench.on(Event::Time), [""; 0]);
        bench.now_ms += 1;
        assert_eq!(bench.on(Event::Time), [call]);
    }
    bench.dialed(1, 5);
    let (link, message) = (LinkId(5), b"b".to_vec());
    assert_eq!(bench.link(LinkEvent::Received { link, message }), ["from 1: b"]);
    let down = bench.down(5);
    assert_eq!(down.last().map(String::as_str), Some(call), "{down:?}");
}

#[test]
fn the_last_message_is_sent_again_on_a_new_link() {
    let mut bench = Bench::new();
    bench.called(3, 7);
    assert_eq!(bench.send(3, "a"), ["send 7 a"]);
    bench.sent(7);
    assert_eq!(bench.called(3, 8), ["close 7", "keep 8 of 3", "send 8 a"]);
    bench.sent(8);
    assert_eq!(bench.down(7), [""; 0], "the old link is forgotten");
    let broken = "! Connection broken for id 3, my id = 2, error = reset";
    assert_eq!(bench.down(8), [broken, "close 8"]);
    bench.send(3, "b");
    assert_eq!(
        bench.called(3, 9),
        ["keep 9 of 3", "send 9 b"],
        "but a newer one wins"
    );
}

#[test]
fn a_message_that_a_broken_link_took_along_calls_the_peer_again() {
    let mut bench = Bench::new();
    bench.send(1, "a");
    bench.dialed(1, 7);
    assert_eq!(bench.down(7)[1..], ["close 7", "dial 1 at host1:3888"]);
    // A larger peer may be calling already: it gets a moment.
    bench.called(3, 8);
    bench.send(3, "a");
    assert_eq!(bench.down(8)[1..], ["close 8"]);
    assert_eq!(bench.manager.deadline_ms(), Some(250));
    bench.now_ms = 250;
    assert_eq!(bench.on(Event::Time), ["dial 3 at host3:3888"]);
}

#[test]
fn who_cannot_be_reached_is_called_ever_more_rarely_and_warned_of_once() {
    let mut bench = Bench::new();
    let refused = "! Cannot open channel to 1 at election address host1/10.0.0.1:3888: refused";
    assert_eq!(bench.send(1, "a"), ["dial 1 at host1:3888"]);
    assert_eq!(bench.dial_failed(1, "refused"), [refused]);
    let mut waits = Vec::new();
    for _ in 0..7 {
        let at_ms = bench.manager.deadline_ms().expect("another call");
        waits.push(at_ms - bench.now_ms);
        bench.now_ms = at_ms - 1;
        assert_eq!(bench.on(Event::Time), [""; 0]);
        assert_eq!(bench.send(1, "b"), [""; 0]);
        bench.now_ms = at_ms;
        assert_eq!(bench.on(Event::Time), ["dial 1 at host1:3888"]);
        assert_eq!(bench.dial_failed(1, "refused"), [""; 0], "told already");
    }
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]);
    assert_eq!(bench.dial_failed(1, "no route").len(), 1, "that is news");
    bench.dialed(1, 7);
    bench.sent(7);
    bench.down(7);
    assert_eq!(bench.manager.deadline_ms(), None, "nothing waits for it");
    assert_eq!(bench.send(1, "c"), ["dial 1 at host1:3888"]);
    assert_eq!(
        bench.dial_failed(1, "no route").len(),
        1,
        "it was reachable in between"
    );
}

#[test]
fn messages_are_delivered_with_their_sender_and_one_s_own_at_once() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(2, "me"), ["from 2: me"]);
    bench.called(3, 7);
    let received = |link| LinkEvent::Received {
        link: LinkId(link),
        message: b"x".to_vec(),
    };
    assert_eq!(bench.link(received(7)), ["from 3: x"]);
    assert_eq!(bench.link(received(8)), [""; 0], "a link that is not kept");
    bench.called(3, 9);
    assert_eq!(bench.link(received(7)), [""; 0], "a link that was replaced");
}

#[test]
fn strangers_are_heard_if_larger_but_few_and_never_called() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(9, "a"), ["! Invalid server id: 9"]);
    assert_eq!(bench.send(9, "a"), [""; 0]);
    assert_eq!(bench.called(0, 1), ["close 1", "! Invalid server id: 0"]);
    assert_eq!(bench.called(-7, 2)[0], "close 2");
    for sid in 4..20 {
        let link = u64::try_from(sid).expect("a number");
        assert_eq!(bench.called(sid, link), [format!("keep {link} of {sid}")]);
    }
    let refused = bench.called(20, 20);
    assert!(refused[0].starts_with("! More than 16 servers"), "{refused:?}");
    assert_eq!(refused[1..], ["close 20"]);
    assert_eq!(bench.called(21, 21), ["close 21"], "told once");
    assert_eq!(bench.send(4, "answer"), ["send 4 answer"]);
    assert_eq!(bench.down(4)[1..], ["close 4"]);
    assert_eq!(
        bench.manager.peers.len(),
        2 + 15,
        "a stranger that left is forgotten"
    );
    assert_eq!(bench.called(22, 22), ["keep 22 of 22"]);
    assert_eq!(bench.called(3, 23), ["keep 23 of 3"], "members have their places");
}

#[test]
fn callers_without_a_number_are_given_one() {
    let mut bench = Bench::new();
    assert_eq!(bench.called(i64::MAX, 1), ["keep 1 of -1"]);
    assert_eq!(bench.called(i64::MAX, 2), ["keep 2 of -2"]);
    assert_eq!(bench.send(-2, "a"), ["send 2 a"]);
}

#[test]
fn a_server_with_this_one_s_id_is_refused_by_its_address() {
    let mut bench = Bench::new();
    let refused = bench.called(2, 1);
    assert!(refused[0].contains("The server at /10.0.0.9 says it has this server's id 2"));
    assert_eq!(refused[1..], ["close 1"]);
    assert_eq!(bench.called(2, 2), ["close 2"]);
}

#[test]
fn nuisances_are_told_once_for_each_address() {
    let mut bench = Bench::new();
    let nuisance = |from: &str| LinkEvent::Nuisance {
        from: from.to_owned(),
        reason: "it says nothing".to_owned(),
    };
    assert_eq!(bench.link(nuisance("/10.0.0.9")).len(), 1);
    assert_eq!(bench.link(nuisance("/10.0.0.9")).len(), 0);
    assert_eq!(bench.link(nuisance("/10.0.0.8")).len(), 1);
}
