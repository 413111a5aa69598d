//! A learner: on the disk before it is acknowledged, the old state until the new one is whole.

use super::*;

/// A learner that has called server 2, with its world.
struct Learns {
    world: World,
    learning: Learning,
    out: Inbox<ToPeer>,
}

impl Learns {
    fn start(world: World) -> Learns {
        let (ground, to_me) = (&world.ground, world.to_me.clone());
        let learning = Learning::start(ground, Role::Participant, Sid(2), None, Inbox::new().0, to_me);
        let (link, out) = world.link(1);
        let learning = learning.expect("a member");
        let mut learns = Learns { world, learning, out };
        assert_eq!(learns.event(PortEvent::Connected(link)), Outcome::Stays);
        learns
    }

    fn event(&mut self, event: PortEvent) -> Outcome {
        let World {
            ground, runtime, now, ..
        } = &mut self.world;
        let outcome = self.learning.on_port(ground, runtime, *now, event);
        outcome.expect("no halt")
    }

    fn hear(&mut self, packet: QuorumPacket) -> Outcome {
        self.event(PortEvent::Packets(LinkId(1), vec![packet]))
    }

    /// Up to the promise of epoch 2.
    fn promised(logged: &[Zxid]) -> Learns {
        let mut learns = Learns::start(World::with(logged));
        assert_eq!(learns.hear(QuorumPacket::leader_info(Epoch(2))), Outcome::Stays);
        written(&learns.out);
        learns
    }
}

fn proposal(zxid: Zxid) -> QuorumPacket {
    let logged: Arc<LoggedTxn> = txn(zxid);
    QuorumPacket::proposal(logged)
}

#[test]
fn a_follower_has_on_its_disk_what_it_acknowledges_and_serves_when_it_is_told() {
    let mut learns = Learns::start(World::with(&[zxid(1, 1)]));
    assert_eq!(written(&learns.out), ["FOLLOWERINFO 0x100000000"]);
    learns.hear(QuorumPacket::leader_info(Epoch(2)));
    assert_eq!(learns.world.after_a_crash(), (zxid(1, 1), 2, 1));
    assert_eq!(written(&learns.out), ["ACKEPOCH 0x100000001"]);
    learns.hear(QuorumPacket::plain(PacketType::Diff, zxid(1, 3)));
    for counter in [2, 3] {
        learns.hear(proposal(zxid(1, counter)));
        learns.hear(QuorumPacket::plain(PacketType::Commit, zxid(1, counter)));
    }
    assert_eq!(written(&learns.out), [""; 0]);
    learns.hear(QuorumPacket::plain(PacketType::NewLeader, zxid(2, 0)));
    assert_eq!(learns.world.after_a_crash(), (zxid(1, 3), 2, 2));
    assert_eq!(written(&learns.out), ["ACK 0x200000000"]);
    assert!(learns.world.ground.gate.serving().is_none());
    let outcome = learns.hear(QuorumPacket::plain(PacketType::UpToDate, Zxid(-1)));
    assert_eq!(outcome, Outcome::Established(Epoch(2)));
    assert!(learns.world.ground.gate.serving().is_some());
    learns.hear(QuorumPacket::plain(PacketType::Ping, zxid(2, 0)));
    let answers = written(&learns.out);
    assert!(answers.contains(&"PING 0x200000000".to_owned()), "{answers:?}");
    assert_eq!(
        learns.learning.end(&learns.world.ground).expect("an orderly end"),
        None
    );
    assert!(learns.world.ground.gate.serving().is_none());
    assert_eq!(learns.world.ground.database.applied(), zxid(1, 3));
    assert_eq!(learns.world.closed(), ["link 1", "call to 2"]);
}

#[test]
fn a_received_tree_takes_the_place_of_the_old_one_when_it_is_whole_and_safe() {
    let snap = || QuorumPacket::plain(PacketType::Snap, zxid(1, 9));
    // The link breaks within the stream: all is as it was.
    let mut broken = Learns::promised(&[zxid(1, 1), zxid(1, 2)]);
    broken.hear(snap());
    let down = PortEvent::Down(LinkId(1), "cut".to_owned());
    assert_eq!(broken.event(down), Outcome::Over("cut".to_owned()));
    assert_eq!(
        broken.learning.end(&broken.world.ground).expect("an orderly end"),
        None
    );
    assert_eq!(broken.world.ground.database.applied(), zxid(1, 2));
    assert_eq!(broken.world.after_a_crash(), (zxid(1, 2), 2, 1));
    // It comes whole.
    let mut whole = Learns::promised(&[zxid(1, 1), zxid(1, 2)]);
    whole.hear(snap());
    let tree = Box::new(DataTree::new());
    assert_eq!(
        whole.event(PortEvent::TreeReceived(LinkId(1), tree)),
        Outcome::Stays
    );
    whole.hear(QuorumPacket::plain(PacketType::NewLeader, zxid(2, 0)));
    assert_eq!(written(&whole.out), ["ACK 0x200000000"]);
    assert_eq!(whole.world.after_a_crash(), (zxid(1, 9), 2, 2));
    assert_eq!(whole.world.file("updatingEpoch"), None);
    assert_eq!(whole.world.ground.database.applied(), zxid(1, 9));
    assert_eq!(
        whole.learning.end(&whole.world.ground).expect("an orderly end"),
        None
    );
}

#[test]
fn a_cut_takes_log_and_tree_back_and_one_that_is_impossible_asks_for_a_snapshot() {
    let mut learns = Learns::promised(&[zxid(1, 1), zxid(1, 2), zxid(1, 3)]);
    learns.hear(QuorumPacket::plain(PacketType::Trunc, zxid(1, 1)));
    assert_eq!(learns.world.ground.database.applied(), zxid(1, 1));
    learns.hear(QuorumPacket::plain(PacketType::NewLeader, zxid(2, 0)));
    assert_eq!(written(&learns.out), ["ACK 0x200000000"]);
    assert_eq!(learns.world.after_a_crash(), (zxid(1, 1), 2, 2));
    // What is there begins behind the point of the cut.
    let mut learns = Learns::promised(&[zxid(1, 1), zxid(1, 2), zxid(1, 3)]);
    let (world, dirs) = (&learns.world, dirs(&learns.world.disk));
    let tree = world.ground.database.read_tree();
    crate::storage::write_snapshot(Arc::clone(&world.ground.disk), &dirs, &tree).expect("a snapshot");
    drop(tree);
    let log = dirs.log.join(format!("log.{:x}", zxid(1, 1).0));
    world.ground.disk.remove(&log).expect("a log to lose");
    let outcome = learns.hear(QuorumPacket::plain(PacketType::Trunc, zxid(1, 1)));
    assert!(
        matches!(&outcome, Outcome::Over(reason) if reason.starts_with("Not able to truncate the log to 0x100000001")),
        "{outcome:?}"
    );
    let refetch = learns.learning.end(&learns.world.ground).expect("an orderly end");
    assert_eq!(refetch, Some(Epoch(2)));
}

#[test]
fn a_disk_that_refuses_at_any_moment_ends_the_process_and_nothing_is_acknowledged() {
    for operation in 1.. {
        let mut learns = Learns::promised(&[zxid(1, 1)]);
        let next = learns.world.disk.operations() + operation;
        learns
            .world
            .disk
            .fault_at(next, Fault::Error(std::io::ErrorKind::Other));
        let words = [
            QuorumPacket::plain(PacketType::Diff, zxid(1, 2)),
            proposal(zxid(1, 2)),
            QuorumPacket::plain(PacketType::Commit, zxid(1, 2)),
            QuorumPacket::plain(PacketType::NewLeader, zxid(2, 0)),
        ];
        let halt = words.into_iter().find_map(|packet| {
            let World {
                ground, runtime, now, ..
            } = &mut learns.world;
            let event = PortEvent::Packets(LinkId(1), vec![packet]);
            learns.learning.on_port(ground, runtime, *now, event).err()
        });
        let Some(halt) = halt else {
            // So many operations there are not.
            assert_eq!(written(&learns.out), ["ACK 0x200000000"]);
            assert!(operation > 5, "{operation} operations");
            return;
        };
        assert_eq!(halt.code, ExitCode::Log, "operation {operation}: {halt}");
        assert_eq!(written(&learns.out), [""; 0], "operation {operation}");
    }
}

#[test]
fn a_leader_that_is_unknown_silent_or_out_of_reach_is_left() {
    let world = World::with(&[]);
    let to_me = world.to_me.clone();
    let nobody = Learning::start(
        &world.ground,
        Role::Participant,
        Sid(9),
        None,
        Inbox::new().0,
        to_me,
    );
    assert_eq!(
        nobody.err().as_deref(),
        Some("Couldn't find the leader with id = 9")
    );
    let mut far = Learns::start(world);
    let unreachable = PortEvent::Unreachable("Connection refused".to_owned());
    assert_eq!(
        far.event(unreachable),
        Outcome::Over("Connection refused".to_owned())
    );
    far.learning.end(&far.world.ground).expect("an orderly end");
    assert_eq!(far.world.closed(), ["link 1", "call to 2"]);
    let mut silent = Learns::start(World::with(&[]));
    let World {
        ground, runtime, now, ..
    } = &mut silent.world;
    now.elapsed_ms = silent.learning.deadline_ms().expect("a deadline");
    assert_eq!(now.elapsed_ms, 10 * TICK_MS);
    let outcome = silent.learning.tick(ground, runtime, *now).expect("no halt");
    assert_eq!(outcome, Outcome::Over("Read timed out".to_owned()));
}
