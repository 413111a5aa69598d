//! A whole ensemble of cores in one thread, from one seed: disks that lose what was not synced, links that
//! break, servers that die between any two actions, elections that choose badly. What must hold is watched
//! all the while; and so that the watch is worth something, it must cry when an action is left out or moved.

mod drive;
mod node;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ensemble::{Ensemble, NewerTxns, QuorumVerifier, Role as Kind};
use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::{Epoch, LinkId, Sid, Zxid};
use crate::zab::testing::ensemble;
use crate::zab::{
    Leader, LeaderEvent, LeaderRules, Learner, LearnerEvent, LearnerRules, LearnerStart, Summary,
};

use self::node::{Disk, Fault, Link, Node, Role, Wire};

struct World {
    random: u64,
    fault: Fault,
    /// Behind them stands one observer.
    voters: usize,
    calm: bool,
    now_ms: i64,
    nodes: Vec<Node>,
    links: BTreeMap<LinkId, Link>,
    next_link: u64,
    ring_limit: usize,
    crash_once_in: usize,
    /// Of each leader the syncs on their way, with the last proposal when they came: its own, and those by link.
    asked: BTreeMap<(usize, Option<LinkId>), VecDeque<Zxid>>,
    // What is watched.
    leaders: BTreeMap<Epoch, (Sid, Vec<Zxid>)>,
    acks: BTreeMap<Zxid, BTreeSet<Sid>>,
    history: Vec<Zxid>,
    wrong: Vec<String>,
    seen: BTreeSet<&'static str>,
}

/// A history in few words.
fn brief(history: &[Zxid]) -> String {
    let words: Vec<String> = history
        .iter()
        .map(|z| format!("{}.{}", z.epoch().0, z.counter()))
        .collect();
    words.join(" ")
}

fn sid(node: usize) -> Sid {
    Sid(node as i64 + 1)
}

impl World {
    fn new(seed: u64, fault: Fault) -> World {
        let node = || Node {
            disk: Disk::default(),
            life: 0,
            role: Role::Looking,
            refetch: None,
            serves: false,
            applied: vec![],
            label: Zxid(0),
            ring: VecDeque::new(),
            commits: VecDeque::new(),
            unacked: VecDeque::new(),
            incoming: None,
        };
        let voters = if seed.is_multiple_of(4) { 5 } else { 3 };
        World {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            fault,
            voters,
            calm: false,
            now_ms: 0,
            nodes: (0..=voters).map(|_| node()).collect(),
            links: BTreeMap::new(),
            next_link: 0,
            ring_limit: 2 + (seed % 6) as usize,
            crash_once_in: [60, 150, 400][(seed % 3) as usize],
            asked: BTreeMap::new(),
            leaders: BTreeMap::new(),
            acks: BTreeMap::new(),
            history: vec![],
            wrong: vec![],
            seen: BTreeSet::new(),
        }
    }

    fn draw(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20) as usize % below
    }

    /// True once in so many times, and never in calm times.
    fn strikes(&mut self, once_in: usize) -> bool {
        !self.calm && self.draw(once_in) == 0
    }

    fn blame(&mut self, what: String) {
        self.wrong.push(what);
    }

    // What is watched.

    fn acked(&mut self, node: usize, zxid: Zxid) {
        if zxid.counter() != 0 {
            self.acks.entry(zxid).or_default().insert(sid(node));
        }
    }

    fn led(&mut self, node: usize, zxid: Zxid) {
        let log = self.nodes[node].disk.log.clone();
        if let Some((other, _)) = self.leaders.insert(zxid.epoch(), (sid(node), log.clone())) {
            self.blame(format!("{other} and {} lead epoch {}", sid(node), zxid.epoch()));
        }
        if !log.starts_with(&self.history) {
            self.blame(format!(
                "leader of {zxid} has {}, and decided is {}",
                brief(&log),
                brief(&self.history)
            ));
        }
        self.history = log;
    }

    fn check_acks(&mut self) {
        let verifier = QuorumVerifier::majority((0..self.voters).map(sid));
        let quorums = self
            .acks
            .iter()
            .filter(|(_, sids)| verifier.contains_quorum(sids.iter().copied()));
        for (zxid, _) in quorums {
            let later = self.leaders.iter().filter(|(epoch, _)| **epoch > zxid.epoch());
            for (epoch, (sid, log)) in later {
                if !log.contains(zxid) {
                    self.wrong.push(format!(
                        "leader {sid} of {epoch} lacks {zxid}, which a quorum has"
                    ));
                }
            }
        }
    }

    fn check_tree(&mut self, node: usize) {
        let applied = &self.nodes[node].applied;
        if !self.history.starts_with(applied) {
            let (applied, decided) = (brief(applied), brief(&self.history));
            let what = format!("{} applied {applied}, and decided is {decided}", sid(node));
            self.blame(what);
        }
    }

    /// What was proposed behind a sync is decided behind its answer.
    pub(super) fn check_order(&mut self, leader: usize, link: Option<LinkId>) {
        self.seen.insert("sync");
        let asked = self.asked.get_mut(&(leader, link));
        let behind = asked.and_then(VecDeque::pop_front).unwrap_or_default();
        let node = &self.nodes[leader];
        let decided = node.commits.back().or(node.applied.last()).copied();
        if let Some(decided) = decided.filter(|zxid| zxid.epoch() == behind.epoch() && *zxid > behind) {
            let leader = sid(leader);
            self.blame(format!("{leader} answers a sync of {behind} behind {decided}"));
        }
    }

    // What happens.

    fn deliver_down(&mut self, id: LinkId) {
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let (leader, learner) = (link.leader, link.learner);
        match link.down.pop_front() {
            None => {}
            Some(Wire::Packet(packet)) => {
                if packet.kind == PacketType::Diff {
                    self.seen.insert("diff");
                }
                self.learner_event(learner, LearnerEvent::Packet(packet));
            }
            Some(Wire::Snapshot) => {
                let label = self.nodes[leader].label;
                link.down.push_front(Wire::Writing);
                let packet = QuorumPacket::plain(PacketType::Snap, label);
                self.learner_event(learner, LearnerEvent::Packet(packet));
            }
            Some(Wire::Writing) => {
                self.nodes[learner].incoming = Some(self.nodes[leader].applied.clone());
                self.learner_event(learner, LearnerEvent::SnapshotReceived);
                self.leader_event(leader, LeaderEvent::SnapshotSent(id));
            }
        }
    }

    fn deliver_up(&mut self, id: LinkId) {
        let link = self.links.get_mut(&id);
        let Some((leader, packet)) = link.and_then(|l| Some((l.leader, l.up.pop_front()?))) else {
            return;
        };
        self.leader_event(leader, LeaderEvent::Packet(id, packet));
    }

    fn elect(&mut self) {
        let is_looking = |n: &Node| matches!(n.role, Role::Looking);
        let looking: Vec<usize> = (0..self.nodes.len())
            .filter(|&n| is_looking(&self.nodes[n]))
            .collect();
        let standing: Vec<usize> = (0..self.voters)
            .filter(|&n| matches!(self.nodes[n].role, Role::Leading(_)))
            .collect();
        let leader = if standing.is_empty() || self.strikes(8) {
            let voters: Vec<usize> = looking.iter().copied().filter(|&n| n < self.voters).collect();
            if voters.len() <= self.voters / 2 {
                return;
            }
            let best = voters.iter().copied().max_by_key(|&n| {
                let disk = &self.nodes[n].disk;
                (Summary::of_disk(Epoch(disk.current), disk.last()), n)
            });
            let leader = if self.strikes(3) {
                voters[self.draw(voters.len())]
            } else {
                best.unwrap_or(0)
            };
            self.begin_to_lead(leader);
            leader
        } else {
            standing[self.draw(standing.len())]
        };
        for learner in looking {
            if learner != leader && !self.strikes(5) {
                self.join(leader, learner);
            }
        }
    }

    fn begin_to_lead(&mut self, node: usize) {
        let all = ensemble(self.voters as i64, 1);
        let members = all.members().values().cloned();
        let disk = &self.nodes[node].disk;
        let rules = LeaderRules {
            ensemble: if self.fault == Fault::Minority {
                Ensemble::new(members, QuorumVerifier::majority([sid(node)]))
            } else {
                all
            },
            me: sid(node),
            tick_ms: 100,
            init_limit_ticks: 10,
            sync_limit_ticks: 5,
            newer_txns: NewerTxns::Auto,
            has_newer_txns: false,
        };
        let mine = Summary {
            current: Epoch(if self.fault == Fault::Boaster {
                i64::MAX
            } else {
                disk.current
            }),
            last: disk.last(),
        };
        let mut out = Vec::new();
        let leader = Leader::start(rules, Epoch(disk.accepted), mine, self.now_ms, &mut out);
        self.nodes[node].role = Role::Leading(Box::new(leader));
        self.lead(node, out);
    }

    fn join(&mut self, leader: usize, learner: usize) {
        if !matches!(self.nodes[leader].role, Role::Leading(_)) {
            return;
        }
        self.next_link += 1;
        let id = LinkId(self.next_link);
        let disk = &self.nodes[learner].disk;
        let rules = LearnerRules {
            me: sid(learner),
            role: if learner < self.voters {
                Kind::Participant
            } else {
                Kind::Observer
            },
            logs: true,
            init_ms: 1_000,
            sync_ms: 500,
            newer_txns: true,
        };
        let start = LearnerStart {
            accepted: Epoch(disk.accepted),
            current: Epoch(disk.current),
            last: disk.last(),
            refetch: self.nodes[learner].refetch,
        };
        self.nodes[learner].role = Role::Learning(Box::new(Learner::new(rules, start)), id);
        let (down, up) = (VecDeque::new(), VecDeque::new());
        self.links.insert(
            id,
            Link {
                leader,
                learner,
                down,
                up,
            },
        );
        self.leader_event(leader, LeaderEvent::Connected(id));
        self.learner_event(learner, LearnerEvent::Connected);
    }

    fn pass_time(&mut self) {
        let deadlines = self.nodes.iter().filter_map(|node| match &node.role {
            Role::Leading(leader) => leader.deadline(),
            Role::Learning(learner, _) => learner.deadline(),
            _ => None,
        });
        let Some(next_ms) = deadlines.min() else { return };
        self.now_ms = self.now_ms.max(next_ms);
        for node in 0..self.nodes.len() {
            self.leader_event(node, LeaderEvent::Tick);
            self.learner_event(node, LearnerEvent::Tick);
        }
    }

    fn step(&mut self) {
        let node = self.draw(self.nodes.len());
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        match self.draw(100) {
            0..70 if !links.is_empty() => {
                let link = links[self.draw(links.len())];
                if self.draw(2) == 0 {
                    self.deliver_down(link)
                } else {
                    self.deliver_up(link)
                }
            }
            0..80 => self.sync_chain(node),
            80..88 => self.apply(node),
            88..92 if !self.calm => (0..self.nodes.len()).for_each(|n| self.propose(n)),
            92..95 => self.elect(),
            95 if links.len() < 2 || self.draw(20) == 0 => self.pass_time(),
            96 if !links.is_empty() && self.strikes(10) => {
                let link = links[self.draw(links.len())];
                self.cut(link);
            }
            97 if self.strikes(20) && !matches!(self.nodes[node].role, Role::Down) => self.crash(node),
            98 | 99 if matches!(self.nodes[node].role, Role::Down) => self.restart(node),
            95 | 96 if !self.calm => (0..self.nodes.len()).for_each(|n| self.ask_sync(n)),
            _ => {}
        }
    }

    fn is_settled(&self) -> bool {
        let is_idle = |link: &Link| link.down.is_empty() && link.up.is_empty();
        self.links.values().all(is_idle) && self.nodes.iter().all(|n| n.serves && n.applied == self.history)
    }

    /// Whoever has accepted a later epoch from a leader that came to nothing cannot join a standing one, as in
    /// 3.4.14, until that is restarted.
    fn restart_left_behind(&mut self) {
        let accepted = self.nodes.iter().map(|n| n.disk.accepted).max().unwrap_or(0);
        for node in 0..self.voters {
            if matches!(self.nodes[node].role, Role::Leading(_)) && self.nodes[node].disk.accepted < accepted
            {
                self.end_role(node);
            }
        }
    }

    /// Storm, then calm. Everything that is wrong, and what was seen on the way.
    fn run(mut self) -> (Vec<String>, BTreeSet<&'static str>) {
        for _ in 0..STORM_STEPS {
            self.step();
            if !self.wrong.is_empty() {
                return (self.wrong, self.seen);
            }
        }
        self.calm = true;
        self.restart_left_behind();
        let mut left = 60_000;
        while !self.is_settled() && left > 0 && self.wrong.is_empty() {
            self.step();
            left -= 1;
        }
        if left == 0 {
            self.blame("it never settled".to_owned());
        }
        self.check_acks();
        (self.wrong, self.seen)
    }
}

fn first_wrong(fault: Fault, seeds: u64) -> Option<(u64, String)> {
    (1..=seeds).find_map(|seed| {
        let (wrong, _) = World::new(seed, fault).run();
        wrong.into_iter().next().map(|what| (seed, what))
    })
}

#[test]
fn nothing_acknowledged_is_ever_lost_and_all_see_one_history() {
    let mut seen = BTreeSet::new();
    for seed in 1..=seeds() {
        let (wrong, more) = World::new(seed, Fault::None).run();
        assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
        seen.extend(more);
    }
    for what in ["crash", "diff", "trunc", "snap", "mended", "refetch", "sync"] {
        assert!(seen.contains(what), "no {what} in any seed");
    }
}

#[test]
fn a_driver_that_does_not_keep_to_the_list_is_found_out() {
    for fault in [
        Fault::AckBeforeLog,
        Fault::NoSync,
        Fault::AckBeforeSync,
        Fault::NoTruncate,
        Fault::OldLogBehindSnapshot,
        Fault::ForgottenPromise,
        Fault::Minority,
        Fault::Boaster,
        Fault::Hole,
    ] {
        let found = first_wrong(fault, 20 * 200);
        println!("{fault:?}: {found:?}");
        assert!(found.is_some(), "{fault:?} was not noticed");
    }
}

/// More than the usual by `OXKEEPER_SEEDS`.
fn seeds() -> u64 {
    let more = std::env::var("OXKEEPER_SEEDS").ok();
    more.and_then(|text| text.parse().ok()).unwrap_or(200)
}

const STORM_STEPS: usize = 3_000;
