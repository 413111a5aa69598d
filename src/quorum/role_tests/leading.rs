//! A leader: promises before words, a quorum before service.

use super::*;

/// A leader that has begun, with its world.
struct Leads {
    world: World,
    leading: Leading,
}

impl Leads {
    fn start(mut world: World) -> Leads {
        let (events, _) = Inbox::new();
        let begun = Leading::start(&world.ground, world.now, events, world.to_me.clone());
        let (mut leading, actions) = begun.expect("the port");
        let outcome = leading.carry_out(&mut world.ground, &world.runtime, world.now, actions);
        assert_eq!(outcome.ok(), Some(Outcome::Stays));
        Leads { world, leading }
    }

    fn event(&mut self, event: PortEvent) -> Outcome {
        let World {
            ground, runtime, now, ..
        } = &mut self.world;
        let outcome = self.leading.on_port(ground, runtime, *now, event);
        outcome.expect("no halt")
    }

    fn connect(&mut self, number: u64) -> Inbox<ToPeer> {
        let (link, out) = self.world.link(number);
        assert_eq!(self.event(PortEvent::Connected(link)), Outcome::Stays);
        out
    }

    fn hear(&mut self, number: u64, packet: QuorumPacket) -> Outcome {
        self.event(PortEvent::Packets(LinkId(number), vec![packet]))
    }

    fn chain(&mut self) -> Outcome {
        let letter = self.world.chain_letter();
        let World {
            ground, runtime, now, ..
        } = &mut self.world;
        let outcome = self.leading.on_chain(ground, runtime, *now, letter);
        outcome.expect("no halt")
    }

    /// Server 2 follows by way of link 1.
    fn followed() -> (Leads, Inbox<ToPeer>) {
        let mut leads = Leads::start(World::with(&[]));
        let out = leads.connect(1);
        leads.hear(
            1,
            QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(0), Sid(2), false),
        );
        leads.hear(1, QuorumPacket::ack_epoch(Some(Epoch(0)), Zxid(0)));
        let outcome = leads.hear(1, QuorumPacket::plain(PacketType::Ack, zxid(1, 0)));
        assert_eq!(outcome, Outcome::Established(Epoch(1)));
        (leads, out)
    }
}

#[test]
fn a_leader_promises_on_the_disk_before_it_speaks_and_serves_when_a_quorum_has_its_history() {
    let mut leads = Leads::start(World::with(&[]));
    let out = leads.connect(1);
    assert_eq!(written(&out), [""; 0]);
    assert_eq!(leads.world.file("acceptedEpoch").as_deref(), Some("0"));
    leads.hear(
        1,
        QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(0), Sid(2), false),
    );
    assert_eq!(leads.world.after_a_crash(), (Zxid(0), 1, 0));
    assert_eq!(written(&out), ["LEADERINFO 0x100000000"]);
    leads.hear(1, QuorumPacket::ack_epoch(Some(Epoch(0)), Zxid(0)));
    assert_eq!(leads.world.after_a_crash(), (Zxid(0), 1, 1));
    assert_eq!(written(&out), ["DIFF 0x0", "NEWLEADER 0x100000000"]);
    assert!(leads.world.ground.gate.serving().is_none());
    let outcome = leads.hear(1, QuorumPacket::plain(PacketType::Ack, zxid(1, 0)));
    assert_eq!(outcome, Outcome::Established(Epoch(1)));
    assert_eq!(written(&out), ["UPTODATE 0xffffffffffffffff"]);
    assert!(leads.world.ground.gate.serving().is_some());
    leads.leading.end(&leads.world.ground).expect("an orderly end");
    assert!(leads.world.ground.gate.serving().is_none());
    assert_eq!(leads.world.closed(), ["port", "link 1"]);
}

#[test]
fn a_learners_write_goes_through_the_chain_to_the_learners_and_is_decided_by_two_logs() {
    let (mut leads, out) = Leads::followed();
    written(&out);
    let body = crate::proto::Encode::to_bytes(&30_000i32);
    let asked = QuorumPacket::request(
        SessionId(0x200),
        Xid(0),
        OpCode::CreateSession.number(),
        &body,
        vec![],
    );
    leads.hear(1, asked);
    // The own log and the proposal come in either order, and the follower is still missing.
    while leads.world.ground.database.applied() < zxid(1, 1) && written(&out) != ["PROPOSAL 0x100000001"] {
        leads.chain();
    }
    assert_eq!(leads.world.ground.database.applied(), zxid(1, 0));
    leads.hear(1, QuorumPacket::plain(PacketType::Ack, zxid(1, 1)));
    let mut decided = written(&out);
    while decided.is_empty() {
        leads.chain();
        decided = written(&out);
    }
    assert_eq!(decided, ["COMMIT 0x100000001"]);
    leads.leading.end(&leads.world.ground).expect("an orderly end");
    assert_eq!(leads.world.ground.database.applied(), zxid(1, 1));
    assert_eq!(leads.world.after_a_crash(), (zxid(1, 1), 1, 1));
}

#[test]
fn a_leader_whose_follower_has_gone_gives_up() {
    let (mut leads, _out) = Leads::followed();
    assert_eq!(
        leads.event(PortEvent::Down(LinkId(1), "gone".to_owned())),
        Outcome::Stays
    );
    assert_eq!(leads.world.closed(), ["link 1"]);
    let mut outcome = Outcome::Stays;
    for _ in 0..100 {
        let World {
            ground, runtime, now, ..
        } = &mut leads.world;
        now.elapsed_ms = leads.leading.deadline_ms().expect("a deadline");
        outcome = leads.leading.tick(ground, runtime, *now).expect("no halt");
        if outcome != Outcome::Stays {
            break;
        }
    }
    assert!(
        matches!(&outcome, Outcome::Over(reason) if reason.starts_with("Not sufficient followers synced")),
        "{outcome:?}"
    );
    leads.leading.end(&leads.world.ground).expect("an orderly end");
}

#[test]
fn a_disk_that_refuses_a_promise_ends_the_process_before_a_word_is_said() {
    let mut leads = Leads::start(World::with(&[]));
    let out = leads.connect(1);
    let next = leads.world.disk.operations() + 1;
    leads
        .world
        .disk
        .fault_at(next, Fault::Error(std::io::ErrorKind::Other));
    let info = QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(0), Sid(2), false);
    let World {
        ground, runtime, now, ..
    } = &mut leads.world;
    let outcome = leads
        .leading
        .on_port(ground, runtime, *now, PortEvent::Packets(LinkId(1), vec![info]));
    assert_eq!(outcome.expect_err("a halt").code, ExitCode::Log);
    assert_eq!(written(&out), [""; 0]);
}

#[test]
fn callers_that_say_nothing_or_nonsense_are_hung_up_on_and_a_learner_that_comes_again_replaces_itself() {
    let mut leads = Leads::start(World::with(&[]));
    let _first = leads.connect(1);
    leads.hear(1, QuorumPacket::plain(PacketType::Ack, Zxid(7)));
    assert_eq!(leads.world.closed(), ["link 1"]);
    let info = || QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(0), Sid(2), false);
    let _second = leads.connect(2);
    leads.hear(2, info());
    let silent: Vec<Inbox<ToPeer>> = (100..=164).map(|number| leads.connect(number)).collect();
    assert_eq!(leads.world.closed(), ["link 100"], "of 65 silent ones the oldest");
    let again = leads.connect(200);
    leads.hear(200, info());
    assert_eq!(leads.world.closed(), ["link 101", "link 2"]);
    assert_eq!(written(&again), ["LEADERINFO 0x100000000"]);
    // News of a link that is gone are none.
    assert_eq!(leads.hear(2, info()), Outcome::Stays);
    assert_eq!(
        leads.event(PortEvent::Down(LinkId(2), "late".to_owned())),
        Outcome::Stays
    );
    drop(silent);
    leads.leading.end(&leads.world.ground).expect("an orderly end");
}

#[test]
fn without_a_port_nobody_leads() {
    let mut world = World::with(&[]);
    world.ground.port = Box::new(Port {
        closed: Closed::default(),
        refusal: Some("Couldn't bind"),
    });
    let begun = Leading::start(&world.ground, world.now, Inbox::new().0, world.to_me.clone());
    assert_eq!(begun.err().as_deref(), Some("Couldn't bind"));
}
