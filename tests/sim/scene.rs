//! Worlds that are set up for something to happen in them, and what scenarios have in common.
//!
//! Server 3 leads first in these worlds: it has the largest number.

use oxkeeper::proto::packet::PacketType;
use oxkeeper::runtime::Crash;

use super::net::Host;
use super::plan::{Fault, Moment, Plan};
use super::report;
use super::run::{Outcome, run_plan};
use super::shape::Shape;

/// A world of a scenario.
pub struct Scene {
    seed: u64,
    shape: Shape,
    plan: Plan,
    span_ms: u64,
}

impl Scene {
    pub fn new(seed: u64, shape: Shape, mut faults: Vec<(u64, Fault)>, span_ms: u64) -> Scene {
        faults.sort_by_key(|(at_ms, _)| *at_ms);
        let moments = Vec::new();
        Scene {
            seed,
            shape,
            plan: Plan { faults, moments },
            span_ms,
        }
    }

    /// From a time on, these faults come when a server hears such a packet.
    pub fn when<const N: usize>(
        mut self,
        from_ms: u64,
        (hearer, packet): (Host, PacketType),
        faults: [Fault; N],
    ) -> Scene {
        let moment = |fault| Moment {
            from_ms,
            hearer,
            packet,
            fault,
        };
        self.plan.moments.extend(faults.map(moment));
        self
    }

    pub fn play(self) -> Outcome {
        run_plan(self.seed, self.shape, self.plan, self.span_ms, false)
    }
}

/// No promise may be broken in any of these worlds.
pub fn keep_promises(scenes: Vec<Scene>) -> Vec<Outcome> {
    let outcomes = scenes.into_iter().map(|scene| {
        let outcome = scene.play();
        assert!(outcome.failures.is_empty(), "{}", report::story(&outcome));
        outcome
    });
    outcomes.collect()
}

/// In how many worlds such a packet was heard.
pub fn heard(outcomes: &[Outcome], packet: PacketType) -> usize {
    let has_it = |outcome: &&Outcome| outcome.packets.contains(packet.name());
    outcomes.iter().filter(has_it).count()
}

/// The least number of reigns in any of these worlds.
pub fn reigns(outcomes: &[Outcome]) -> usize {
    let reigns = |outcome: &Outcome| {
        outcome
            .lines
            .iter()
            .filter(|line| line.contains("Leader"))
            .count()
    };
    outcomes.iter().map(reigns).min().unwrap_or(0)
}

/// Many snapshots.
pub fn snapshots() -> Shape {
    Shape {
        snap_count: 8,
        ..Shape::three()
    }
}

pub fn lose_power(sid: Host, for_ms: u64) -> Fault {
    Fault::Kill(sid, Crash::LoseUnsynced, for_ms)
}

/// Server 1 is away for a while and catches up at 3,900 ms.
pub fn catch_up(mut faults: Vec<(u64, Fault)>) -> Vec<(u64, Fault)> {
    faults.push((3_000, lose_power(1, 900)));
    faults
}
