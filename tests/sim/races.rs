//! Promises that are broken only if two things come together, each as a scenario in which they do.

use oxkeeper::runtime::Crash;

use super::net::FIRST_CLIENT;
use super::plan::{Fault, Ways};
use super::scene::{Scene, keep_promises, lose_power};
use super::shape::{Habit, Shape};

/// All scenarios, for proofs that they would notice.
#[cfg(feature = "seeded-faults")]
pub fn all() -> Vec<(&'static str, Vec<Scene>)> {
    vec![
        ("power of all", power_of_all()),
        ("all starts", starts_of_all()),
        ("old connections", old_connections()),
        ("reads of the past", reads_of_the_past()),
        ("reads among events", reads_among_events()),
    ]
}

/// Nobody is left who could bring back what was not on a disk.
#[test]
fn what_was_acknowledged_outlives_the_power_of_all() {
    keep_promises(power_of_all());
}

fn power_of_all() -> Vec<Scene> {
    let scene = |seed| {
        let all = (1..=3).map(|sid| (2_500 + seed * 200, lose_power(sid, 300)));
        Scene::new(seed, Shape::three(), all.collect(), 4_500)
    };
    (1..=4).map(scene).collect()
}

/// All end and start again at one time: what one of them forgets, all do.
#[test]
fn what_was_acknowledged_outlives_the_start_of_all() {
    keep_promises(starts_of_all());
}

fn starts_of_all() -> Vec<Scene> {
    let scene = |seed| {
        let all = (1..=3).map(|sid| (2_500 + seed * 200, Fault::Kill(sid, Crash::KeepAll, 300)));
        Scene::new(seed, Shape::three(), all.collect(), 4_500)
    };
    (1..=4).map(scene).collect()
}

/// A session moves while its old server cannot reach the leader; what it asked there comes late, after what it asked
/// elsewhere, and must not happen.
#[test]
fn what_comes_late_from_an_old_connection_does_not_happen() {
    keep_promises(old_connections());
}

fn old_connections() -> Vec<Scene> {
    let scene = |seed| {
        let shape = Shape {
            sync_limit: 20,
            clients: 6,
            ..Shape::three()
        };
        let mut faults = Vec::new();
        for turn in 0..6 {
            let at_ms = 2_500 + turn * 1_000;
            faults.push((at_ms, Fault::Cut(1 + turn % 2, 3, Ways::There, 700)));
            let clients = FIRST_CLIENT..FIRST_CLIENT + 6;
            faults.extend(clients.map(|client| (at_ms + 100, Fault::Break(client))));
        }
        Scene::new(seed, shape, faults, 9_000)
    };
    (1..=4).map(scene).collect()
}

/// A leader that is patient does not notice that it was replaced. Who only reads there writes nothing that would tell
/// it.
#[test]
fn a_leader_that_was_replaced_answers_no_sync() {
    keep_promises(reads_of_the_past());
}

fn reads_of_the_past() -> Vec<Scene> {
    let scene = |seed| {
        let shape = Shape {
            sync_limit_of_last: Some(40),
            clients: 4,
            habits: vec![
                Habit::at(3, true),
                Habit::at(3, true),
                Habit::at(1, false),
                Habit::at(2, false),
            ],
            ..Shape::three()
        };
        // Nothing is on its way to be decided when its reign ends.
        let faults = vec![
            (2_900, Fault::Cut(FIRST_CLIENT + 2, 1, Ways::Both, 1_250)),
            (2_900, Fault::Cut(FIRST_CLIENT + 3, 2, Ways::Both, 1_250)),
            (3_000, Fault::Isolate(3, Ways::Both, 4_000)),
        ];
        Scene::new(seed, shape, faults, 8_000)
    };
    (1..=8).map(scene).collect()
}

/// All are at one server, whose loop is in the middle of a round when a change is carried out: who reads it in that
/// round has heard of it before.
#[test]
fn an_event_comes_before_a_read_of_the_same_round() {
    keep_promises(reads_among_events());
}

fn reads_among_events() -> Vec<Scene> {
    let readers = [Habit::at(1, true); 5];
    let scene = |seed| {
        let mut habits = vec![Habit::at(1, false); 2];
        habits.extend(readers);
        let shape = Shape {
            clients: 7,
            habits,
            ..Shape::three()
        };
        Scene::new(seed, shape, Vec::new(), 5_000)
    };
    (1..=6).map(scene).collect()
}
