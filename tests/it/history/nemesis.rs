//! Faults, out of a seed: who is killed, stopped, cut off, and for how long.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::ensemble::{Ensemble, Tail};
use crate::support::random::Random;

/// One that does harm.
pub struct Nemesis {
    random: Random,
    /// How often each fault was done.
    pub done: BTreeMap<&'static str, usize>,
    /// What losses of power have cost.
    pub lost_bytes: u64,
}

impl Nemesis {
    pub fn new(seed: u64) -> Nemesis {
        Nemesis {
            random: Random::new(seed),
            done: BTreeMap::new(),
            lost_bytes: 0,
        }
    }

    /// Lets the servers be for a while, does harm, waits, mends it.
    pub fn strike(&mut self, servers: &mut Ensemble) {
        self.pause(50, 1_200);
        let is_short = self.harm(servers);
        if self.random.chance(30) {
            self.pause(20, 1_000);
            self.harm(servers);
        }
        // Short of a time-out, or long enough for another leader.
        self.pause(50, if is_short { 2_000 } else { 4_000 });
        self.mend(servers);
    }

    /// Everybody runs, everything passes.
    pub fn mend(&mut self, servers: &mut Ensemble) {
        servers.network.mend();
        servers.wake_all();
        for number in servers.numbers() {
            if !servers.is_running(number) {
                servers.start(number);
                // One after another or all at once.
                if self.random.chance(30) {
                    self.pause(10, 500);
                }
            }
        }
    }

    /// Does one kind of harm, and tells whether it shows at once.
    fn harm(&mut self, servers: &mut Ensemble) -> bool {
        match self.random.below(100) {
            0..40 => self.kill(servers),
            40..58 => self.stop(servers),
            58..72 => self.depose(servers),
            kind => {
                self.partition(servers);
                return kind < 78;
            }
        }
        self.random.chance(60)
    }

    /// The leader is cut off until there is another: what it proposed meanwhile must be forgotten.
    fn depose(&mut self, servers: &mut Ensemble) {
        let Some(leader) = servers.leader() else {
            return self.partition(servers);
        };
        self.count("depose the leader");
        let others: Vec<usize> = servers.numbers().into_iter().filter(|n| *n != leader).collect();
        for other in &others {
            servers.network.cut(leader, *other);
            servers.network.cut(*other, leader);
        }
        let end = Instant::now() + Duration::from_secs(8);
        let leads = |number: &usize| servers.mode(*number).as_deref() == Some("leader");
        while Instant::now() < end && !others.iter().any(leads) {
            self.pause(20, 100);
        }
    }

    fn kill(&mut self, servers: &mut Ensemble) {
        let all = servers.numbers();
        let (fault, victims) = match self.random.below(10) {
            0..2 => ("kill the leader", vec![self.leader_or_any(servers)]),
            2..5 => ("kill one", vec![self.any(servers)]),
            5..7 => {
                let count = all.len() / 2 + 1;
                (
                    "kill a majority",
                    self.shuffled(servers).split_off(all.len() - count),
                )
            }
            _ => ("kill all", self.shuffled(servers)),
        };
        let tail = if self.random.chance(60) {
            Tail::Torn
        } else {
            Tail::Kept
        };
        self.count(fault);
        if tail == Tail::Torn {
            self.count("with a loss of power");
        }
        for victim in victims {
            self.lost_bytes += servers.kill(victim, tail, &mut self.random);
        }
    }

    fn stop(&mut self, servers: &mut Ensemble) {
        let (fault, victims) = match self.random.below(10) {
            0..4 => ("stop the leader", vec![self.leader_or_any(servers)]),
            4..9 => ("stop one", vec![self.any(servers)]),
            _ => ("stop all", servers.numbers()),
        };
        self.count(fault);
        victims.into_iter().for_each(|victim| servers.stop(victim));
    }

    fn partition(&mut self, servers: &mut Ensemble) {
        let order = self.shuffled(servers);
        let both = |servers: &Ensemble, a: usize, b: usize| {
            servers.network.cut(a, b);
            servers.network.cut(b, a);
        };
        let others = |of: usize| order.iter().copied().filter(move |other| *other != of);
        match self.random.below(10) {
            0..3 => {
                self.count("cut off the leader");
                let leader = self.leader_or_any(servers);
                others(leader).for_each(|other| both(servers, leader, other));
            }
            3..5 => {
                self.count("halves");
                let (left, right) = order.split_at(order.len() / 2);
                left.iter()
                    .for_each(|a| right.iter().for_each(|b| both(servers, *a, *b)));
            }
            5..7 => {
                self.count("one hears nobody");
                let deaf = self.any(servers);
                others(deaf).for_each(|other| servers.network.cut(other, deaf));
            }
            7..9 => {
                self.count("nobody hears one");
                let mute = self.leader_or_any(servers);
                others(mute).for_each(|other| servers.network.cut(mute, other));
            }
            _ => {
                // All see the first one, which sees all; of the others each half sees itself only.
                self.count("bridge");
                let (left, right) = order[1..].split_at(order.len() / 2);
                left.iter()
                    .for_each(|a| right.iter().for_each(|b| both(servers, *a, *b)));
            }
        }
    }

    fn count(&mut self, fault: &'static str) {
        *self.done.entry(fault).or_default() += 1;
    }

    fn any(&mut self, servers: &Ensemble) -> usize {
        let all = servers.numbers();
        all[self.random.below(all.len())]
    }

    fn leader_or_any(&mut self, servers: &Ensemble) -> usize {
        servers.leader().unwrap_or_else(|| self.any(servers))
    }

    fn shuffled(&mut self, servers: &Ensemble) -> Vec<usize> {
        let mut all = servers.numbers();
        for index in (1..all.len()).rev() {
            all.swap(index, self.random.below(index + 1));
        }
        all
    }

    fn pause(&mut self, from_ms: u64, to_ms: u64) {
        let ms = from_ms + self.random.next() % (to_ms - from_ms);
        thread::sleep(Duration::from_millis(ms));
    }
}
