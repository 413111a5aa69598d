//! The faults that ZooKeeper 3.4.14 is known for, each as a scenario in which it would show. tests/README.md lists all
//! of them, those too that are proven elsewhere.

use oxkeeper::proto::packet::PacketType;
use oxkeeper::runtime::Crash;

use super::net::FIRST_CLIENT;
use super::plan::{Fault, Trouble, Ways};
use super::scene::{Scene, catch_up, heard, keep_promises, lose_power, reigns, snapshots};
use super::shape::{Habit, Shape};

/// All scenarios, for proofs that they would notice.
#[cfg(feature = "seeded-faults")]
pub fn all() -> Vec<(&'static str, Vec<Scene>)> {
    vec![
        ("cuts", cuts()),
        ("cut trees", cut_trees()),
        ("early acknowledgements", early_acknowledgements()),
        ("early epochs", early_epochs()),
        ("trees under load", trees_under_load()),
        ("half a tree", half_a_tree()),
        ("passing errors", passing_errors()),
        ("full disks", full_disks()),
        ("epoch files", epoch_files()),
        ("many roles", many_roles()),
        ("counters used up", counters_used_up()),
        ("snapshots and replay", snapshots_and_replay()),
        ("flipped bits", flipped_bits()),
    ]
}

/// ZOOKEEPER-1549, ZOOKEEPER-4837: a leader that is alone has logged what nobody else has, starts anew with that in
/// its tree and in snapshots, and is told to cut it. The snapshots of 3.4.14 stay, ephemerals of sessions that ended
/// elsewhere among them.
#[test]
fn what_is_cut_from_the_log_does_not_live_on_in_a_snapshot() {
    let outcomes = keep_promises(cuts());
    assert!(
        heard(&outcomes, PacketType::Trunc) > 0,
        "nobody was told to cut anything"
    );
}

fn cuts() -> Vec<Scene> {
    let scene = |seed| {
        let faults = vec![
            (3_000, Fault::Isolate(3, Ways::Both, 4_000)),
            (3_000 + seed * 40, Fault::Kill(3, Crash::KeepAll, 300)),
            (7_600, Fault::Kill(3, Crash::KeepAll, 200)),
        ];
        Scene::new(seed, snapshots(), faults, 9_000)
    };
    (1..=8).map(scene).collect()
}

/// ZOOKEEPER-1549, ZOOKEEPER-4837, with a tree that was sent: what only the leader has logged goes to an observer in a
/// snapshot, before a quorum has it; the next leader lets the observer cut its log.
#[test]
fn what_is_cut_does_not_live_on_in_a_tree_that_was_sent() {
    let outcomes = keep_promises(cut_trees());
    for packet in [PacketType::Snap, PacketType::Trunc] {
        assert!(heard(&outcomes, packet) > 0, "nobody has heard {packet}");
    }
}

fn cut_trees() -> Vec<Scene> {
    let scene = |seed| {
        let shape = Shape {
            servers: 4,
            observers: 1,
            committed_limit: 6,
            snap_count: 100_000,
            clients: 5,
            habits: vec![
                Habit::at(3, false),
                Habit::at(3, false),
                Habit::at(3, false),
                Habit::at(3, false),
                Habit::at(2, true),
            ],
            ..Shape::three()
        };
        // All that is decided is everywhere; then only 3 has what its clients ask for.
        let quiet = (0..5).map(|client| (2_850, Fault::Cut(FIRST_CLIENT + client, 3, Ways::Both, 155)));
        let mut faults = vec![
            (3_000, lose_power(1, 800)),
            (3_000, lose_power(2, 4_500)),
            (8_600, Fault::Kill(4, Crash::KeepAll, 100)),
            // Sessions have ended by then: there is more in its log than what was cut.
            (12_500, Fault::Kill(4, Crash::KeepAll, 200)),
        ];
        faults.extend(quiet);
        // It leads again, with 1 as long as that takes; 1 gets nothing of it, the observer all.
        let away = [lose_power(1, 2_500)];
        let over = [Fault::Kill(3, Crash::KeepAll, 9_500)];
        Scene::new(seed, shape, faults, 13_200)
            .when(3_900, (1, PacketType::Snap), away)
            .when(3_900, (4, PacketType::NewLeader), over)
    };
    (1..=6).map(scene).collect()
}

/// ZOOKEEPER-3023, ZOOKEEPER-3911, ZOOKEEPER-4646: a learner acknowledges NEWLEADER, which makes what the leader has a
/// quorum's, before that is on its disk; then both lose their power, and the third one has never had it.
#[test]
fn newleader_is_not_acknowledged_before_the_diff_is_on_the_disk() {
    keep_promises(early_acknowledgements());
}

fn early_acknowledgements() -> Vec<Scene> {
    // What 3 has logged alone becomes the history of its next reign, which 1 makes possible.
    let alone = |seed, power: Vec<(u64, Fault)>| {
        let mut faults = catch_up(vec![
            (2_500, Fault::Isolate(2, Ways::Both, 4_500)),
            (3_600, Fault::Kill(3, Crash::KeepAll, 400)),
        ]);
        faults.extend(power);
        Scene::new(seed, Shape::three(), faults, 9_000)
    };
    let both = [lose_power(1, 800), lose_power(3, 5_000)];
    let at_packet = |packets| {
        let power = vec![
            (3_899, Fault::KillAtPacket(1, packets)),
            (4_600 + packets * 5, lose_power(3, 4_000)),
        ];
        alone(packets, power)
    };
    let when = |seed| alone(seed, Vec::new()).when(3_900, (1, PacketType::UpToDate), both);
    (1..=12).map(at_packet).chain((13..=18).map(when)).collect()
}

/// ZOOKEEPER-4643, ZOOKEEPER-4785: currentEpoch is written before what the leader has sent, the power goes, and the
/// learner wins the next election with a short log.
#[test]
fn a_new_epoch_with_a_short_log_wins_no_election() {
    keep_promises(early_epochs());
}

fn early_epochs() -> Vec<Scene> {
    // 2 has all that was decided, and stays in the old epoch; 1 lacks some of it when it is led into the new one.
    let scene = |operations| {
        let faults = catch_up(vec![
            (3_700, Fault::Isolate(2, Ways::Both, 3_300)),
            (3_750, Fault::Kill(3, Crash::KeepAll, 250)),
        ]);
        let power = [
            Fault::Disk(1, Trouble::PowerOff, operations),
            lose_power(3, 5_000),
        ];
        // No snapshot: the leader, which starts anew, knows all from its log.
        let shape = Shape {
            snap_count: 100_000,
            committed_limit: 100_000,
            ..Shape::three()
        };
        Scene::new(operations, shape, faults, 9_000).when(3_900, (1, PacketType::NewLeader), power)
    };
    (1..=20).map(scene).collect()
}

/// ZOOKEEPER-3104, ZOOKEEPER-3589: a tree that is sent under load holds more than it says, and the learner's next start
/// replays that upon it.
#[test]
fn a_tree_that_is_sent_under_load_is_the_one_it_says() {
    let outcomes = keep_promises(trees_under_load());
    assert!(heard(&outcomes, PacketType::Snap) > 0, "no tree was sent");
}

fn trees_under_load() -> Vec<Scene> {
    let scene = |seed| {
        let shape = Shape {
            committed_limit: 2,
            clients: 6,
            ..snapshots()
        };
        let faults = catch_up(vec![(4_000 + seed * 30, lose_power(1, 300))]);
        Scene::new(seed, shape, faults, 7_000)
    };
    (1..=6).map(scene).collect()
}

/// ZOOKEEPER-3642: the connection breaks while a tree is sent, and the learner goes on with a mixture.
#[test]
fn a_tree_that_came_half_way_leaves_the_old_one() {
    keep_promises(half_a_tree());
}

fn half_a_tree() -> Vec<Scene> {
    let scene = |number| {
        let shape = Shape {
            committed_limit: 20,
            habits: vec![Habit::at(3, false); 3],
            ..Shape::three()
        };
        // What was missed takes a tree. Then all are silent: next time the few that the leader remembers would do.
        let quiet = (0..3).map(|client| (3_930, Fault::Cut(FIRST_CLIENT + client, 3, Ways::Both, 5_000)));
        let faults = catch_up(quiet.collect());
        let breaks = [Fault::BreakBetween(1, 3)];
        Scene::new(number, shape, faults, 9_500).when(3_900, (1, PacketType::Snap), breaks)
    };
    (1..=12).map(scene).collect()
}

/// ZOOKEEPER-4882: one write fails and the next one succeeds, so the log has a hole, and its server leads later.
#[test]
fn a_passing_error_of_the_disk_leaves_no_hole_in_a_log() {
    keep_promises(passing_errors());
}

fn passing_errors() -> Vec<Scene> {
    let scene = |operations| {
        let faults = vec![
            (3_000, Fault::Disk(2, Trouble::Fails, operations)),
            (3_000, Fault::Disk(3, Trouble::Torn, 20 + operations)),
            (4_500, lose_power(3, 2_000)),
        ];
        Scene::new(operations, snapshots(), faults, 8_000)
    };
    (1..=12).map(scene).collect()
}

/// ZOOKEEPER-3701: the disk is full, errors of cutting and saving are swallowed, and the server goes on with the wrong
/// tree.
#[test]
fn a_full_disk_is_not_swallowed() {
    keep_promises(full_disks());
}

fn full_disks() -> Vec<Scene> {
    let scene = |seed| {
        let faults = vec![
            (3_000, Fault::Isolate(3, Ways::Both, 3_000)),
            (5_900 + seed * 30, Fault::Full(3, 900)),
            (6_500, Fault::Full(1, 500)),
            (6_000, Fault::Disk(3, Trouble::NoSpace, seed * 3)),
        ];
        Scene::new(seed, snapshots(), faults, 9_000)
    };
    (1..=6).map(scene).collect()
}

/// ZOOKEEPER-4269, ZOOKEEPER-1653, ZOOKEEPER-2354: the renaming of acceptedEpoch.tmp fails, or the power goes between
/// the two files of epochs, and the server never starts again.
#[test]
fn a_crash_or_failure_at_the_files_of_the_epochs_keeps_nobody_down() {
    keep_promises(epoch_files());
}

fn epoch_files() -> Vec<Scene> {
    let scene = |number: u64| {
        let trouble = if number.is_multiple_of(2) {
            Trouble::Fails
        } else {
            Trouble::PowerOff
        };
        let faults = vec![
            (3_000, lose_power(3, 1_500)),
            (3_001, Fault::Disk(1, trouble, 1 + number / 2)),
            (3_001, Fault::Disk(2, trouble, 4 + number / 2)),
        ];
        Scene::new(number, Shape::three(), faults, 6_000)
    };
    (0..28).map(scene).collect()
}

/// ZOOKEEPER-4541, ZOOKEEPER-4712, ZOOKEEPER-3598: what is left of a role's threads writes into the next one's log and
/// tree, or answers for what was not applied.
#[test]
fn nothing_of_a_role_that_is_over_reaches_into_the_next() {
    let reigns = reigns(&keep_promises(many_roles()));
    assert!(reigns > 3, "only {reigns} reigns");
}

fn many_roles() -> Vec<Scene> {
    let scene = |seed| {
        let sids = [3, 2, 1, 3, 2, 3, 1, 2, 3, 2];
        let cuts = sids.into_iter().zip(0..).map(|(sid, index)| {
            let sid = 1 + (sid + seed) % 3;
            (2_000 + index * 2_000, Fault::Isolate(sid, Ways::Both, 1_500))
        });
        let breaks = (0..10).map(|index| (2_900 + index * 2_000, Fault::Break(1 + index % 3)));
        Scene::new(seed, snapshots(), cuts.chain(breaks).collect(), 22_000)
    };
    (1..=4).map(scene).collect()
}

/// ZOOKEEPER-4883: the counter of an epoch is used up under load, and that costs an outage.
#[test]
fn a_counter_that_is_used_up_costs_one_election_each_time() {
    let reigns = reigns(&keep_promises(counters_used_up()));
    assert!(reigns > 3, "only {reigns} reigns");
}

fn counters_used_up() -> Vec<Scene> {
    let scene = |seed| {
        let shape = Shape {
            initial_counter: u32::MAX - 150,
            ..Shape::three()
        };
        Scene::new(seed, shape, Vec::new(), 8_000)
    };
    (1..=3).map(scene).collect()
}

/// ZOOKEEPER-3125, ZOOKEEPER-3249, ZOOKEEPER-3145, ZOOKEEPER-3306, ZOOKEEPER-4689: a snapshot that is taken under load,
/// and the log replayed upon it, make another tree: pzxid and cversion go back, access lists are unknown.
#[test]
fn a_snapshot_under_load_and_its_replay_are_the_living_tree() {
    keep_promises(snapshots_and_replay());
}

fn snapshots_and_replay() -> Vec<Scene> {
    let scene = |seed| {
        let shape = Shape {
            snap_count: 3,
            clients: 6,
            ..Shape::three()
        };
        let kills = (0..24).map(|index| {
            (
                2_000 + index * 410,
                Fault::Kill(1 + index % 3, Crash::KeepAll, 150),
            )
        });
        Scene::new(seed, shape, kills.collect(), 13_000)
    };
    (1..=4).map(scene).collect()
}

/// A flipped bit, wherever it is: the server refuses to start and names the file, or what it serves is right. (3.4.14
/// passes over a snapshot that it cannot read, and with it over what only that told.)
#[test]
fn a_flipped_bit_is_named_or_does_no_harm() {
    let outcomes = keep_promises(flipped_bits());
    let names_it = |line: &&String| line.contains("ends at its start") && line.contains("/data/version-2");
    let refused = outcomes
        .iter()
        .flat_map(|outcome| &outcome.lines)
        .filter(names_it);
    assert!(refused.count() > 0, "no bit mattered");
}

fn flipped_bits() -> Vec<Scene> {
    let scene = |seed| {
        let shape = Shape {
            committed_limit: if seed % 2 == 0 { 2 } else { 500 },
            snap_count: if seed % 4 < 2 { 8 } else { 1_000 },
            ..Shape::three()
        };
        let faults = catch_up(vec![(5_000, Fault::Flip(1 + seed % 3, seed))]);
        Scene::new(seed, shape, faults, 7_000)
    };
    (1..=24).map(scene).collect()
}
