//! One run: a world from a seed, faults for a while, then peace, in which everything must come right.

use std::collections::BTreeSet;

use oxkeeper::proto::Lifetime;

use super::checkers::{self, EndNode};
use super::faults::Hand;
use super::plan::Plan;
use super::rng::Rng;
use super::shape::Shape;
use super::world::World;

/// What a run has come to.
pub struct Outcome {
    pub seed: u64,
    pub shape: Shape,
    pub plan: Plan,
    pub failures: Vec<String>,
    pub lines: Vec<String>,
    pub hash: u64,
    pub steps: u64,
    pub virtual_ms: u64,
    pub decided: usize,
    /// All kinds of packets that were heard.
    pub packets: BTreeSet<&'static str>,
}

/// Runs a world that the seed draws.
pub fn run(seed: u64, loud: bool) -> Outcome {
    let mut rng = Rng::new(seed, "shape");
    let shape = Shape::drawn(&mut rng);
    let span_ms = rng.between(10, 60) * 1_000;
    let plan = Plan::drawn(&mut rng, &shape, span_ms);
    run_plan(seed, shape, plan, span_ms, loud)
}

/// Runs a world with these faults.
pub fn run_plan(seed: u64, shape: Shape, plan: Plan, span_ms: u64, loud: bool) -> Outcome {
    let mut world = World::new(seed, &shape, loud);
    let mut rng = Rng::new(seed, "pauses");
    for server in &mut world.servers {
        server.pauses = (*rng.pick(&[0, 1, 1, 10]), *rng.pick(&[1_000, 20_000, 200_000]));
    }
    let mut hand = Hand::new(&plan, shape.servers);
    for sid in 1..=shape.servers {
        hand.start(&mut world, sid);
    }
    go(&mut world, &mut hand, span_ms * 1_000, |_| false);
    hand.make_peace(&mut world);
    come_right(&mut world, &mut hand);
    if !world.trace.has_failed() {
        check_history(&world);
    }
    let mut outcome = Outcome {
        seed,
        shape,
        plan,
        failures: world.trace.failures(),
        lines: world.trace.lines(),
        hash: world.trace.hash(),
        steps: world.trace.steps(),
        virtual_ms: world.time.ms(),
        decided: world.checkers.decided(),
        packets: std::mem::take(&mut world.kinds),
    };
    let time = world.time.clone();
    drop(world);
    if time.knowers() > 1 {
        let story = format!("nothing is left of a world: {} clocks are", time.knowers() - 1);
        outcome.failures.push(story);
    }
    outcome
}

/// Lets the world go on until a time, or until something is so; tells whether it was.
fn go(world: &mut World, hand: &mut Hand, until_us: u64, is_so: impl Fn(&World) -> bool) -> bool {
    let mut checked_us = world.time.us();
    loop {
        let now_us = world.time.us();
        if world.trace.has_failed() || now_us >= until_us {
            return false;
        }
        if now_us >= checked_us + 20_000 {
            checked_us = now_us;
            if is_so(world) {
                return true;
            }
        }
        let next_us = hand.act(world).min(until_us).min(checked_us + 20_000);
        world.step(next_us);
    }
}

/// Within a bound everybody serves, every client is answered, and all trees are one.
fn come_right(world: &mut World, hand: &mut Hand) {
    let until_us = world.time.us() + PEACE_US;
    let serve = |world: &World| world.servers.iter().all(|server| server.serves().is_some());
    let soon_us = world.time.us() + STRANDED_US;
    let all_serve =
        go(world, hand, soon_us, serve) || (hand.relieve_stranded(world) && go(world, hand, until_us, serve));
    if !all_serve {
        return late(world, "everybody serves");
    }
    let connected = |world: &World| world.clients.iter().all(|client| client.is_connected());
    if !go(world, hand, until_us, connected) {
        return late(world, "every client has a session");
    }
    world.clients.iter_mut().for_each(|client| client.fall_silent());
    let idle = |world: &World| world.clients.iter().all(|client| client.is_idle());
    if !go(world, hand, until_us, idle) {
        return late(world, "every question is answered");
    }
    let equal = |world: &World| {
        let mut applied = world
            .servers
            .iter()
            .map(|server| server.database().map(|d| d.applied()));
        let first = applied.next();
        applied.all(|other| Some(other) == first)
    };
    loop {
        let now_us = world.time.us();
        for client in &mut world.clients {
            client.probe(now_us, &mut world.history);
        }
        if !go(world, hand, until_us, idle) {
            return late(world, "every probe is answered");
        }
        // A leader that came after the probes is alone in its epoch until somebody writes again.
        let soon_us = until_us.min(world.time.us() + PROBE_US);
        if go(world, hand, soon_us, equal) {
            break;
        }
        if world.time.us() >= until_us || world.trace.has_failed() {
            return late(world, "all servers are at one zxid");
        }
    }
    world.checkers.end(&world.servers);
}

fn late(world: &World, what: &str) {
    if !world.trace.has_failed() {
        let roles: Vec<_> = world
            .servers
            .iter()
            .map(|s| (s.sid, s.serves(), s.database().map(|d| d.applied())))
            .collect();
        let story = format!("not so within {} s: {what}; {roles:?}", PEACE_US / 1_000_000);
        world.trace.fail("liveness", &story);
    }
}

/// What clients were promised.
fn check_history(world: &World) {
    let mut found = checkers::check(&world.history);
    if let Some(database) = world.servers.first().and_then(|server| server.database()) {
        let tree = database.read_tree();
        let dump = oxkeeper::tree::TreeDump::of(&tree);
        // What the servers make themselves is nobody's.
        let made = |path: &str| !path.is_empty() && !path.starts_with("/zookeeper");
        let nodes = dump.nodes.iter().filter(|node| made(&node.path));
        let nodes = nodes.map(|node| {
            let owner = Lifetime::of(node.stat.ephemeral_owner)
                .session()
                .map_or(0, |session| session.0);
            let (czxid, pzxid) = (node.stat.czxid.0, node.stat.pzxid.0);
            (node.path.clone(), EndNode { owner, czxid, pzxid })
        });
        let alive: Vec<i64> = dump.sessions.iter().map(|(session, _)| session.0).collect();
        let nodes = nodes.collect();
        found.extend(checkers::check_end(&world.history, &nodes, |session| {
            alive.contains(&session)
        }));
    }
    for violation in found {
        world.trace.fail("history", &violation.to_string());
    }
}

/// After the last fault everything must be right within so much virtual time.
const PEACE_US: u64 = 120_000_000;
/// Who does not follow after so long has accepted a newer epoch than the leader's, or something is wrong.
const STRANDED_US: u64 = 20_000_000;
/// What is probed and does not come right is probed again after so long.
const PROBE_US: u64 = 10_000_000;
