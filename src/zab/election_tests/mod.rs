//! Whole elections in one thread: several cores, a virtual clock, messages that take their time or get lost.

mod scripts;
mod seeds;

use std::collections::{BTreeMap, BTreeSet};

use super::fast_leader_election::{Action, Event, FastLeaderElection};
use super::vote::{Standing, Vote};
use crate::ensemble::{Ensemble, Hierarchy, Member, QuorumVerifier, Role};
use crate::proto::notification::{Notification, ServerState};
use crate::proto::{Epoch, Sid, Zxid};

/// Numbers that look random and are the same for the same seed. (xorshift)
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What the net does to messages.
#[derive(Clone, Copy)]
struct Weather {
    least_delay_ms: u64,
    most_delay_ms: u64,
    loss_percent: u64,
}

struct Server {
    /// None while it is down.
    election: Option<FastLeaderElection>,
    last_zxid: Zxid,
    current_epoch: Epoch,
    /// The form of its messages: 0 for a server before 3.4.6.
    version: i32,
    /// What it settled on, and when.
    decided: Option<(ServerState, Sid, i64)>,
}

impl Server {
    /// What it votes with.
    fn credentials(&self, sid: Sid) -> Vote {
        Vote {
            peer_epoch: self.current_epoch,
            zxid: self.last_zxid,
            leader: sid,
        }
    }
}

/// A room full of servers.
struct Hall {
    now_ms: i64,
    ensemble: Ensemble,
    servers: BTreeMap<Sid, Server>,
    /// Messages on their way: by time of arrival, then by number.
    wire: BTreeMap<(i64, u64), (Sid, Sid, Notification)>,
    sent: u64,
    /// When the last message of each pair arrives: none overtakes another.
    last_arrivals: BTreeMap<(Sid, Sid), i64>,
    weather: Weather,
    random: Random,
    /// Pairs that cannot reach each other, smaller number first.
    cuts: BTreeSet<(Sid, Sid)>,
    /// What could be seen, one line an event.
    seen: Vec<String>,
}

/// The hierarchical quorums of `groups` as (sid, group, weight), or the majority of `voters`.
fn ensemble(voters: &[i64], observers: &[i64], groups: &[(i64, i64, u32)]) -> Ensemble {
    let member = |&sid: &i64, role| Member {
        sid: Sid(sid),
        host: format!("host{sid}"),
        quorum_port: 2888,
        election_port: 3888,
        role,
    };
    let mut hierarchy = Hierarchy::new();
    for &(sid, group, weight) in groups {
        hierarchy.add(Sid(sid), group, weight);
    }
    let verifier = match groups {
        [] => QuorumVerifier::majority(voters.iter().copied().map(Sid)),
        _ => QuorumVerifier::Hierarchical(hierarchy),
    };
    let voters = voters.iter().map(|sid| member(sid, Role::Participant));
    let observers = observers.iter().map(|sid| member(sid, Role::Observer));
    Ensemble::new(voters.chain(observers), verifier)
}

impl Hall {
    /// All servers of an ensemble, none of them up.
    fn new(ensemble: Ensemble, weather: Weather, seed: u64) -> Hall {
        let down = |&sid: &Sid| {
            let server = Server {
                election: None,
                last_zxid: Zxid(0),
                current_epoch: Epoch(0),
                version: Notification::VERSION,
                decided: None,
            };
            (sid, server)
        };
        Hall {
            now_ms: 0,
            servers: ensemble.members().keys().map(down).collect(),
            ensemble,
            wire: BTreeMap::new(),
            sent: 0,
            last_arrivals: BTreeMap::new(),
            weather,
            random: Random::new(seed),
            cuts: BTreeSet::new(),
            seen: Vec::new(),
        }
    }

    fn server(&mut self, sid: Sid) -> &mut Server {
        self.servers.get_mut(&sid).expect("a member")
    }

    fn election(&self, sid: Sid) -> Option<&FastLeaderElection> {
        self.servers[&sid].election.as_ref()
    }

    fn standing(&self, sid: Sid) -> Option<Standing> {
        self.election(sid).map(FastLeaderElection::standing)
    }

    fn up(&self) -> impl Iterator<Item = Sid> + '_ {
        let up = self
            .servers
            .iter()
            .filter(|(_, server)| server.election.is_some());
        up.map(|(&sid, _)| sid)
    }

    fn is_reachable(&self, a: Sid, b: Sid) -> bool {
        !self.cuts.contains(&(a.min(b), a.max(b)))
    }

    /// A server has no leader; one that is down starts first.
    fn look(&mut self, sid: Sid) {
        let ensemble = self.ensemble.clone();
        let server = self.server(sid);
        server
            .election
            .get_or_insert_with(|| FastLeaderElection::new(sid, ensemble));
        server.decided = None;
        let look = Event::Look {
            last_zxid: server.last_zxid,
            current_epoch: server.current_epoch,
        };
        self.give(sid, look);
    }

    /// A server dies. What it has sent is still on its way.
    fn crash(&mut self, sid: Sid) {
        let server = self.server(sid);
        server.election = None;
        server.decided = None;
    }

    fn give(&mut self, sid: Sid, event: Event) {
        let now_ms = self.now_ms;
        let Some(election) = &mut self.server(sid).election else {
            return;
        };
        let before = election.standing();
        let mut actions = Vec::new();
        election.on(now_ms, event, &mut actions);
        let announced = actions.iter().rev().find_map(|action| match action {
            Action::Announce(standing) => Some(*standing),
            _ => None,
        });
        let after = election.standing();
        assert_eq!(
            announced.unwrap_or(before),
            after,
            "what is announced is what is so"
        );
        let count = actions
            .iter()
            .filter(|a| matches!(a, Action::Send { .. }))
            .count();
        if count > 1 {
            let (round, vote) = (after.round, after.vote);
            self.see(format!("{sid} tells {count} in round {round}: {vote}"));
        }
        actions.into_iter().for_each(|action| self.carry_out(sid, action));
    }

    fn carry_out(&mut self, sid: Sid, action: Action) {
        match action {
            Action::Announce(_) => {}
            Action::Send { to, notification } => self.send(sid, to, notification),
            Action::Decided { state, vote } => {
                let now_ms = self.now_ms;
                self.server(sid).decided = Some((state, vote.leader, now_ms));
                self.see(format!("{sid} is {state}, its leader is {}", vote.leader));
            }
            Action::Overruled { leader } => {
                self.see(format!("{sid} is overruled: a quorum votes for {leader}"));
                self.look(sid);
            }
        }
    }

    fn send(&mut self, from: Sid, to: Sid, notification: Notification) {
        let Weather {
            least_delay_ms,
            most_delay_ms,
            loss_percent,
        } = self.weather;
        let delay_ms = least_delay_ms + self.random.below(most_delay_ms - least_delay_ms + 1);
        let lost = from != to && (self.random.percent(loss_percent) || !self.is_reachable(from, to));
        if !lost {
            let delay_ms = if from == to { 0 } else { delay_ms };
            self.sent += 1;
            let last_ms = self.last_arrivals.entry((from, to)).or_default();
            *last_ms = (self.now_ms + i64::try_from(delay_ms).expect("a delay")).max(*last_ms);
            let arrival = (*last_ms, self.sent);
            let version = self.servers[&from].version;
            let notification = Notification {
                version,
                ..notification
            };
            self.wire.insert(arrival, (from, to, notification));
        }
    }

    /// What WorkerReceiver does with a message.
    fn deliver(&mut self, from: Sid, to: Sid, notification: Notification) {
        let Some(standing) = self.standing(to) else { return };
        let is_voter = self.ensemble.is_voter(from);
        if let Some(answer) = standing.answer(to, &self.ensemble, from, &notification) {
            let (state, round, vote) = (answer.state, answer.round, Vote::from(&answer));
            self.see(format!("{to} answers {from}: {state} in round {round}: {vote}"));
            self.send(to, from, answer);
        }
        if is_voter && standing.state == ServerState::Looking {
            self.give(to, Event::Heard { from, notification });
        } else if is_voter && standing.is_tentative() && notification.state == ServerState::Looking {
            self.give(to, Event::Overheard { from, notification });
        }
    }

    /// The next thing that happens, if it does by `end_ms`.
    fn step(&mut self, end_ms: i64) -> bool {
        let alarms = self.servers.iter().filter_map(|(&sid, server)| {
            let deadline_ms = server.election.as_ref()?.deadline_ms()?;
            Some((deadline_ms, sid))
        });
        let alarm = alarms.min();
        let arrival = self.wire.keys().next().copied();
        match (alarm, arrival) {
            (alarm, Some((at_ms, number)))
                if at_ms <= end_ms && alarm.is_none_or(|(alarm_ms, _)| at_ms <= alarm_ms) =>
            {
                self.now_ms = self.now_ms.max(at_ms);
                if let Some((from, to, notification)) = self.wire.remove(&(at_ms, number)) {
                    self.deliver(from, to, notification);
                }
                true
            }
            (Some((at_ms, sid)), _) if at_ms <= end_ms => {
                self.now_ms = self.now_ms.max(at_ms);
                self.give(sid, Event::Time);
                true
            }
            _ => false,
        }
    }

    fn run_until(&mut self, end_ms: i64) {
        while self.step(end_ms) {}
        self.now_ms = end_ms;
    }

    fn see(&mut self, what: String) {
        self.seen.push(format!("{:>6}  {what}", self.now_ms));
    }
}
