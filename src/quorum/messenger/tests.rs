//! The whole post of several servers in one thread: the stages as they are, a seeded scheduler instead of threads,
//! links that take their time, break and cannot be made instead of sockets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::*;
use crate::ensemble::{Member, QuorumVerifier, Role};
use crate::proto::{Epoch, Zxid};
use crate::quorum::link::LinkId;
use crate::quorum::testing::{Elector, ElectorLetter};
use crate::zab::{self, FastLeaderElection, Vote};

/// A stage with its inbox, as the scheduler sees it.
trait Work: Send {
    /// Takes one letter, or says that none is there.
    fn step(&mut self, now: Now) -> bool;
    fn wake_at(&self) -> Option<i64>;
    fn quiet(&mut self, now: Now);
}

struct Desk<S: Stage> {
    inbox: Inbox<S::In>,
    stage: S,
}

impl<S: Stage> Work for Desk<S> {
    fn step(&mut self, now: Now) -> bool {
        let letter = self.inbox.try_take();
        letter.is_some_and(|letter| self.stage.step(now, letter) == Flow::Go)
    }

    fn wake_at(&self) -> Option<i64> {
        self.stage.wake_at()
    }

    fn quiet(&mut self, now: Now) {
        assert_eq!(self.stage.quiet(now), Flow::Go);
    }
}

/// Where the stages of all servers are put.
#[derive(Clone, Default)]
struct Scheduler(Arc<Mutex<Vec<Box<dyn Work>>>>);

impl Runtime for Scheduler {
    fn start<S: Stage>(&self, _crew: &mut Crew, _name: &str, inbox: Inbox<S::In>, stage: S) {
        self.0
            .lock()
            .expect("the desks")
            .push(Box::new(Desk { inbox, stage }));
    }
}

struct Server {
    elector: Address<ElectorLetter>,
    orders: Inbox<LinkOrder>,
    events: Address<LinkEvent>,
    decided: Arc<Mutex<Option<Vote>>>,
}

/// One end of a link.
type End = (Sid, LinkId);

/// Servers 1 to n, all voters.
struct World {
    now_ms: i64,
    scheduler: Scheduler,
    servers: BTreeMap<Sid, Server>,
    /// The other end of each end of a link.
    links: BTreeMap<End, End>,
    /// News on their way, by time and number.
    wire: BTreeMap<(i64, u64), (Sid, LinkEvent)>,
    count: u64,
    random: u64,
    /// Of a hundred calls so many fail, of a thousand messages so many meet a link that breaks.
    trouble: u64,
}

impl World {
    fn new(size: i64, seed: u64) -> World {
        let member = |sid| Member {
            sid: Sid(sid),
            host: format!("host{sid}"),
            quorum_port: 2888,
            election_port: 3888,
            role: Role::Participant,
        };
        let verifier = QuorumVerifier::majority((1..=size).map(Sid));
        let ensemble = Ensemble::new((1..=size).map(member), verifier);
        let scheduler = Scheduler::default();
        let servers = (1..=size).map(|sid| (Sid(sid), server(&scheduler, Sid(sid), &ensemble)));
        World {
            now_ms: 0,
            servers: servers.collect(),
            scheduler,
            links: BTreeMap::new(),
            wire: BTreeMap::new(),
            count: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            trouble: 0,
        }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % end
    }

    /// Puts news on their way; those of one link keep their order, since all take the same time.
    fn tell(&mut self, to: Sid, event: LinkEvent) {
        self.count += 1;
        self.wire.insert((self.now_ms + 3, self.count), (to, event));
    }

    fn break_link(&mut self, end: End) {
        if let Some(far) = self.links.remove(&end) {
            self.links.remove(&far);
            for (sid, link) in [end, far] {
                let reason = "broken".to_owned();
                self.tell(sid, LinkEvent::Down { link, reason });
            }
        }
    }

    fn obey(&mut self, me: Sid, order: LinkOrder) {
        match order {
            LinkOrder::Dial(dial) if self.below(100) < self.trouble => {
                let (sid, address, reason) = (dial.sid, dial.host, "refused".to_owned());
                self.tell(me, LinkEvent::DialFailed { sid, address, reason });
            }
            LinkOrder::Dial(dial) => {
                self.count += 2;
                let (near, far) = (LinkId(self.count - 1), LinkId(self.count));
                self.links.insert((me, near), (dial.sid, far));
                self.links.insert((dial.sid, far), (me, near));
                let (sid, from) = (dial.sid, format!("/10.0.0.{me}:50000"));
                self.tell(me, LinkEvent::Dialed { link: near, sid });
                self.tell(
                    sid,
                    LinkEvent::Called {
                        link: far,
                        sid: me,
                        from,
                    },
                );
            }
            LinkOrder::Keep { .. } => {}
            LinkOrder::Send { link, .. } if self.below(1_000) < self.trouble => {
                self.break_link((me, link));
            }
            LinkOrder::Send { link, message } => {
                self.tell(me, LinkEvent::Sent { link });
                if let Some(&(sid, link)) = self.links.get(&(me, link)) {
                    self.tell(sid, LinkEvent::Received { link, message });
                }
            }
            LinkOrder::Close { link } => self.break_link((me, link)),
        }
    }

    /// Lets all stages work until nothing is to be done at this moment.
    fn settle(&mut self) {
        loop {
            let scheduler = self.scheduler.clone();
            let mut desks = scheduler.0.lock().expect("the desks");
            let now = Now {
                elapsed_ms: self.now_ms,
                wall_ms: 0,
            };
            let first = self.below(desks.len() as u64) as usize;
            let count = desks.len();
            let mut idle = true;
            for number in 0..count {
                idle &= !desks[(first + number) % count].step(now);
            }
            for desk in desks.iter_mut() {
                desk.quiet(now);
            }
            let mut orders = Vec::new();
            for (&sid, server) in &self.servers {
                orders.extend(std::iter::from_fn(|| server.orders.try_take()).map(|order| (sid, order)));
            }
            idle &= orders.is_empty();
            drop(desks);
            orders.into_iter().for_each(|(sid, order)| self.obey(sid, order));
            if idle {
                return;
            }
        }
    }

    fn run_until(&mut self, end_ms: i64) {
        self.settle();
        loop {
            let wakes = self.scheduler.0.lock().expect("the desks");
            let wake_ms = wakes.iter().filter_map(|desk| desk.wake_at()).min();
            drop(wakes);
            let arrival_ms = self.wire.keys().next().map(|&(at_ms, _)| at_ms);
            let next_ms = wake_ms.into_iter().chain(arrival_ms).min();
            let Some(next_ms) = next_ms.filter(|&at_ms| at_ms <= end_ms) else {
                break;
            };
            self.now_ms = self.now_ms.max(next_ms);
            while let Some(entry) = self.wire.first_entry().filter(|e| e.key().0 <= self.now_ms) {
                let (to, event) = entry.remove();
                self.servers[&to].events.post(event);
            }
            self.settle();
        }
        self.now_ms = end_ms;
    }

    fn look(&self, sid: Sid) {
        let look = zab::Event::Look {
            last_zxid: Zxid(0x1_0000_0001),
            current_epoch: Epoch(1),
        };
        self.servers[&sid].elector.post(ElectorLetter::Event(look));
    }

    /// Those that follow a server that does not lead, and leaders without a quorum.
    fn forsaken(&self) -> Vec<Sid> {
        let decisions: BTreeMap<Sid, Option<Sid>> =
            self.servers.keys().copied().zip(self.decisions()).collect();
        let followers = |leader| decisions.values().filter(|&&of| of == Some(leader)).count();
        let reigns = |leader| decisions[&leader] == Some(leader) && followers(leader) > decisions.len() / 2;
        let forsaken = decisions
            .iter()
            .filter(|(_, leader)| leader.is_some_and(|leader| !reigns(leader)));
        forsaken.map(|(&sid, _)| sid).collect()
    }

    fn decisions(&self) -> Vec<Option<Sid>> {
        let decided = |server: &Server| {
            server
                .decided
                .lock()
                .expect("the decision")
                .map(|vote| vote.leader)
        };
        self.servers.values().map(decided).collect()
    }
}

fn server(scheduler: &Scheduler, sid: Sid, ensemble: &Ensemble) -> Server {
    let (elector, inbox) = Inbox::new();
    let (to_net, orders) = Inbox::new();
    let election = FastLeaderElection::new(sid, ensemble.clone());
    let heard = elector.map(ElectorLetter::from);
    let mut events = None;
    let mail = Mail::start(
        scheduler,
        &mut Crew::new(),
        sid,
        ensemble,
        election.standing(),
        heard,
        |address| {
            events = Some(address);
            to_net
        },
    );
    let decided = Arc::new(Mutex::new(None));
    let stage = Elector {
        election,
        mail,
        decided: Arc::clone(&decided),
    };
    scheduler.start(&mut Crew::new(), "QuorumPeer", inbox, stage);
    Server {
        elector,
        orders,
        events: events.expect("the address for news"),
        decided,
    }
}

#[test]
fn servers_that_start_together_elect_the_largest_over_links_made_by_themselves() {
    for size in [1, 3, 5] {
        let mut world = World::new(size, 7);
        (1..=size).for_each(|sid| world.look(Sid(sid)));
        world.run_until(500);
        assert!(
            world.decisions().iter().all(|&leader| leader == Some(Sid(size))),
            "{:?}",
            world.decisions()
        );
        let pairs = size * (size - 1);
        let links = i64::try_from(world.links.len()).expect("a count");
        assert_eq!(links, pairs, "each pair has one link, of two ends");
    }
}

#[test]
fn with_links_that_break_and_calls_that_fail_all_agree_in_the_end() {
    for seed in 0..60 {
        let size = 3 + 2 * i64::from(seed % 2 == 0);
        let mut world = World::new(size, seed);
        world.trouble = 50;
        (1..=size).for_each(|sid| world.look(Sid(sid)));
        for _ in 0..20 {
            let sid = Sid(1 + i64::try_from(world.below(size as u64)).expect("a number"));
            world.look(sid);
            let end_ms = world.now_ms + i64::try_from(world.below(1_000)).expect("a span");
            world.run_until(end_ms);
        }
        world.trouble = 0;
        // The longest time between two calls is 5 s; then who has settled in vain looks again.
        for _ in 0..4 {
            let end_ms = world.now_ms + 6_000;
            world.run_until(end_ms);
            world.forsaken().into_iter().for_each(|sid| world.look(sid));
        }
        let decisions = world.decisions();
        let agreed = decisions
            .iter()
            .all(|&leader| leader.is_some() && leader == decisions[0]);
        assert!(
            agreed && world.forsaken().is_empty(),
            "seed {seed}: {decisions:?}"
        );
    }
}

/// The receiver alone, with what it posts.
struct Bench {
    receiver: WorkerReceiver,
    answers: Inbox<Outgoing>,
    heard: Inbox<Heard>,
}

fn bench(state: ServerState) -> Bench {
    let member = |sid, role| Member {
        sid: Sid(sid),
        host: String::new(),
        quorum_port: 2888,
        election_port: 3888,
        role,
    };
    let members = [
        member(1, Role::Participant),
        member(2, Role::Participant),
        member(4, Role::Observer),
    ];
    let (sender, answers) = Inbox::new();
    let (election, heard) = Inbox::new();
    let standing = Standing {
        state,
        round: crate::proto::Round(5),
        vote: Vote {
            peer_epoch: Epoch(1),
            zxid: Zxid(9),
            leader: Sid(2),
        },
        vote_before_epoch: None,
    };
    let receiver = WorkerReceiver {
        my_id: Sid(1),
        ensemble: Ensemble::new(members, QuorumVerifier::majority([1, 2].map(Sid))),
        standing,
        sender,
        election,
        answered: BTreeMap::new(),
        told: LogOnce::default(),
    };
    Bench {
        receiver,
        answers,
        heard,
    }
}

impl Bench {
    /// Whom the message is answered, and whether the election hears it.
    fn receive(&mut self, from: i64, state: ServerState, round: i64) -> (Option<Sid>, bool) {
        let notification = Notification {
            version: 1,
            state,
            leader: Sid(2),
            zxid: Zxid(1),
            round: crate::proto::Round(round),
            peer_epoch: Epoch(1),
        };
        let from = Sid(from);
        let message = notification.to_message();
        self.receiver
            .step(Now::default(), ReceiverLetter::Message { from, message });
        let answer = self.answers.try_take();
        let is_mine = |answer: &Outgoing| answer.notification == self.receiver.standing.notification();
        assert!(answer.iter().all(is_mine));
        (answer.map(|answer| answer.to), self.heard.try_take().is_some())
    }
}

#[test]
fn who_looks_is_answered_and_heard_as_the_state_demands() {
    use ServerState::{Following, Leading, Looking};
    for (state, from, their_state, round, answered, heard) in [
        (Looking, 2, Looking, 6, false, true),
        (Looking, 2, Looking, 5, true, true),
        (Looking, 2, Looking, 4, true, true),
        (Looking, 2, Leading, 4, false, true),
        (Looking, 1, Looking, 4, false, true),
        (Following, 2, Looking, 9, true, true),
        (Following, 2, Leading, 5, false, false),
        (Leading, 4, Looking, 1, true, false),
        (Looking, 4, Looking, 1, true, false),
        (Looking, 4, Following, 1, false, false),
        (Following, 99, Looking, 1, true, false),
    ] {
        let (answer, was_heard) = bench(state).receive(from, their_state, round);
        let case = format!("{state} hears {their_state} in round {round} from {from}");
        assert_eq!(answer, answered.then_some(Sid(from)), "{case}");
        assert_eq!(was_heard, heard, "{case}");
    }
    let mut established = bench(Following);
    established.receiver.standing.vote_before_epoch = Some(established.receiver.standing.vote);
    assert_eq!(established.receive(2, Looking, 9), (Some(Sid(2)), false));
}

#[test]
fn an_observer_that_answers_answers_is_told_the_same_only_now_and_then() {
    let mut bench = bench(ServerState::Looking);
    let mut ask = |elapsed_ms| {
        let now = Now {
            elapsed_ms,
            wall_ms: 0,
        };
        let message = Notification {
            version: 1,
            state: ServerState::Looking,
            ..bench.receiver.standing.notification()
        };
        let letter = ReceiverLetter::Message {
            from: Sid(4),
            message: message.to_message(),
        };
        bench.receiver.step(now, letter);
        bench.answers.try_take().is_some()
    };
    assert_eq!(
        [0, 1, 99, 100, 101].map(&mut ask),
        [true, false, false, true, false]
    );
    bench.receiver.standing.round = crate::proto::Round(6);
    assert_eq!(
        bench.receive(4, ServerState::Looking, 1).0,
        Some(Sid(4)),
        "that is news"
    );
}

#[test]
fn garbage_is_neither_answered_nor_heard() {
    let mut bench = bench(ServerState::Following);
    for length in [0, 1, 27, 30, 35] {
        let message = vec![0; length];
        let from = Sid(2);
        bench
            .receiver
            .step(Now::default(), ReceiverLetter::Message { from, message });
    }
    assert_eq!((bench.answers.depth(), bench.heard.depth()), (0, 0));
}
