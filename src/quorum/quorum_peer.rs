//! QuorumPeer: one server in its roles, one after the other. (QuorumPeer.run)
//!
//! ```text
//! LOOKING ── decided ──> LEADING    ── quorum lost ──┐
//!    ^  └──────────────> FOLLOWING  ── leader lost ──┤
//!    │  └──────────────> OBSERVING  ── leader lost ──┤
//!    └───────────────────────────────────────────────┘
//! ```
//!
//! A server that has looked in vain for some time may be read from while it goes on, if the operator allows it.
//!
//! All rules are values that this thread owns: the election, and the leader or the learner of the present role.
//! Everybody else writes letters. Each role has a number, and the letters of a role that is over are dropped:
//! no link, chain or thread of an old reign can speak into a new one.

use crate::ensemble::Role;
use crate::processors::proposal::ForLeader;
use crate::proto::notification::ServerState;
use crate::proto::{Epoch, Sid, Zxid};
use crate::request::{Duty as RoleDuty, Revalidation, Tenure};
use crate::runtime::{Address, Flow, Halt, Now, Runtime, Stage};
use crate::zab::{Action, Event, FastLeaderElection};

use super::ground::Ground;
use super::leading::Leading;
use super::learning::Learning;
use super::messenger::{Heard, Mail, Outgoing};
use super::peer_link::PortEvent;
use super::read_only::ReadOnly;

/// What the peer's inbox holds.
#[derive(Debug)]
pub enum PeerLetter {
    /// Look for a leader for the first time.
    Begin,
    /// A vote, or that a voter has come or gone.
    Heard(Heard),
    /// News of the quorum port, for the role with this number.
    Port(u64, PortEvent),
    /// A word from the chain of the role with this number.
    Chain(u64, ChainLetter),
    /// The process ends.
    Stop,
}

/// What a role's chain has to say to the role.
#[derive(Debug)]
pub enum ChainLetter {
    /// To a leader: what has come through the chain, in its order.
    ForLeader(Vec<ForLeader>),
    /// To a leader: the own log is safe up to here.
    Logged(Zxid),
    /// To a learner: is this session alive?
    Revalidate(Revalidation),
}

/// What has become of a role after an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It goes on.
    Stays,
    /// It serves in this epoch now.
    Established(Epoch),
    /// It is over, for this reason.
    Over(String),
}

/// The stage.
pub struct QuorumPeer<R: Runtime> {
    ground: Ground,
    runtime: R,
    me: Address<PeerLetter>,
    election: FastLeaderElection,
    mail: Option<Mail>,
    duty: Duty,
    role_number: u64,
    looking_since_ms: i64,
    read_only: Waiting,
    refetch: Option<Epoch>,
}

/// What serves while this server looks for a leader.
enum Waiting {
    /// Nothing.
    Closed,
    /// Nothing, until this time.
    ClosedUntil(i64),
    /// Reads.
    ReadOnly(ReadOnly),
}

enum Duty {
    Looking,
    Leading(Box<Leading>),
    Learning(Box<Learning>),
}

impl<R: Runtime> QuorumPeer<R> {
    /// A peer that waits for [`PeerLetter::Begin`]. `me` leads to its own inbox.
    pub fn new(
        ground: Ground,
        runtime: R,
        me: Address<PeerLetter>,
        election: FastLeaderElection,
        mail: Mail,
    ) -> QuorumPeer<R> {
        QuorumPeer {
            ground,
            runtime,
            me,
            election,
            mail: Some(mail),
            duty: Duty::Looking,
            role_number: 0,
            looking_since_ms: 0,
            read_only: Waiting::Closed,
            refetch: None,
        }
    }

    fn take(&mut self, now: Now, letter: PeerLetter) -> Result<(), Halt> {
        match letter {
            PeerLetter::Begin => self.look(now, None),
            PeerLetter::Heard(heard) => self.elect(now, heard.into()),
            PeerLetter::Port(number, event) if number == self.role_number => {
                let (ground, runtime) = (&mut self.ground, &self.runtime);
                let outcome = match &mut self.duty {
                    Duty::Leading(leading) => leading.on_port(ground, runtime, now, event)?,
                    Duty::Learning(learning) => learning.on_port(ground, runtime, now, event)?,
                    Duty::Looking => Outcome::Stays,
                };
                self.follow_up(now, outcome)
            }
            PeerLetter::Port(_, PortEvent::Connected(link)) => {
                link.close();
                Ok(())
            }
            PeerLetter::Chain(number, letter) if number == self.role_number => {
                let (ground, runtime) = (&mut self.ground, &self.runtime);
                let outcome = match &mut self.duty {
                    Duty::Leading(leading) => leading.on_chain(ground, runtime, now, letter)?,
                    Duty::Learning(learning) => learning.on_chain(ground, runtime, now, letter)?,
                    Duty::Looking => Outcome::Stays,
                };
                self.follow_up(now, outcome)
            }
            PeerLetter::Port(..) | PeerLetter::Chain(..) | PeerLetter::Stop => Ok(()),
        }
    }

    fn tick(&mut self, now: Now) -> Result<(), Halt> {
        let (ground, runtime) = (&mut self.ground, &self.runtime);
        let outcome = match &mut self.duty {
            Duty::Looking => {
                self.open_to_readers(now);
                return self.elect(now, Event::Time);
            }
            _ if self
                .election
                .deadline_ms()
                .is_some_and(|at_ms| at_ms <= now.elapsed_ms) =>
            {
                return self.elect(now, Event::Time);
            }
            Duty::Leading(leading) => leading.tick(ground, runtime, now)?,
            Duty::Learning(learning) => learning.tick(ground, runtime, now)?,
        };
        self.follow_up(now, outcome)
    }

    fn follow_up(&mut self, now: Now, outcome: Outcome) -> Result<(), Halt> {
        match outcome {
            Outcome::Stays => Ok(()),
            Outcome::Established(epoch) => {
                self.tell_service(now, epoch);
                self.elect(now, Event::EpochEstablished(epoch))
            }
            Outcome::Over(reason) => {
                self.end_role(&reason)?;
                // The end has taken its time.
                self.look(self.ground.clock.now(), Some(&reason))
            }
        }
    }

    /// A new search for a leader.
    fn look(&mut self, now: Now, reason: Option<&str>) -> Result<(), Halt> {
        log::info!("LOOKING");
        self.looking_since_ms = now.elapsed_ms;
        if let Some(after_ms) = self.ground.rules.read_only_after_ms {
            log::info!("Attempting to start ReadOnlyZooKeeperServer");
            self.read_only = Waiting::ClosedUntil(now.elapsed_ms + after_ms);
        }
        self.ground.status.metrics.counters.looking.add(1);
        self.tell_role(now, RoleDuty::Looking, None, reason);
        let summary = self.ground.summary();
        self.elect(
            now,
            Event::Look {
                last_zxid: summary.last,
                current_epoch: summary.current,
            },
        )
    }

    fn elect(&mut self, now: Now, event: Event) -> Result<(), Halt> {
        let mut actions = Vec::new();
        self.election.on(now.elapsed_ms, event, &mut actions);
        for action in actions {
            match action {
                Action::Announce(standing) => {
                    if let Some(mail) = &self.mail {
                        mail.standing.post(standing);
                    }
                }
                Action::Send { to, notification } => {
                    if let Some(mail) = &self.mail {
                        mail.outgoing.post(Outgoing { to, notification });
                    }
                }
                Action::Decided { state, vote } => self.begin_role(now, state, vote.leader)?,
                Action::Overruled { leader } if self.is_alone() => {
                    let reason = format!("a quorum votes for server {leader} now");
                    self.follow_up(now, Outcome::Over(reason))?;
                }
                Action::Overruled { .. } => {}
            }
        }
        Ok(())
    }

    /// Whether nobody has come to lead or to follow yet.
    fn is_alone(&self) -> bool {
        match &self.duty {
            Duty::Looking => false,
            Duty::Leading(leading) => leading.is_alone(),
            Duty::Learning(learning) => learning.is_alone(),
        }
    }

    fn open_to_readers(&mut self, now: Now) {
        if matches!(self.read_only, Waiting::ClosedUntil(at_ms) if at_ms <= now.elapsed_ms) {
            self.read_only = Waiting::ReadOnly(ReadOnly::start(&self.ground, &self.runtime, now));
        }
    }

    fn close_to_readers(&mut self) -> Result<(), Halt> {
        match std::mem::replace(&mut self.read_only, Waiting::Closed) {
            Waiting::ReadOnly(read_only) => read_only.end(&self.ground),
            Waiting::Closed | Waiting::ClosedUntil(_) => Ok(()),
        }
    }

    fn begin_role(&mut self, now: Now, state: ServerState, leader: Sid) -> Result<(), Halt> {
        self.close_to_readers()?;
        log::info!("{state}");
        self.tell_role(now, duty_of(state), Some(leader), None);
        self.role_number += 1;
        let number = self.role_number;
        let events = self.me.map(move |event| PeerLetter::Port(number, event));
        let to_me = self.me.map(move |letter| PeerLetter::Chain(number, letter));
        if state != ServerState::Observing {
            let took_ms = now.elapsed_ms - self.looking_since_ms;
            log::info!("{state} - LEADER ELECTION TOOK - {took_ms}");
        }
        let begun = if state == ServerState::Leading {
            Leading::start(&self.ground, now, events, to_me)
                .map(|(leading, actions)| (Duty::Leading(Box::new(leading)), actions))
        } else {
            let role = match state {
                ServerState::Observing => Role::Observer,
                _ => Role::Participant,
            };
            let refetch = self.refetch.take();
            Learning::start(&self.ground, role, leader, refetch, events, to_me)
                .map(|learning| (Duty::Learning(Box::new(learning)), Vec::new()))
        };
        let outcome = match begun {
            Ok((mut duty, actions)) => {
                let outcome = match &mut duty {
                    Duty::Leading(leading) => {
                        leading.carry_out(&mut self.ground, &self.runtime, now, actions)?
                    }
                    Duty::Learning(_) | Duty::Looking => Outcome::Stays,
                };
                self.duty = duty;
                outcome
            }
            Err(reason) => Outcome::Over(reason),
        };
        self.follow_up(now, outcome)
    }

    /// For those who watch: a role begins, the one before has ended for this reason.
    fn tell_role(&self, now: Now, duty: RoleDuty, leader: Option<Sid>, reason: Option<&str>) {
        let took_ms = leader.map(|_| now.elapsed_ms - self.looking_since_ms);
        let status = &self.ground.status;
        if let Some(took_ms) = took_ms {
            status.metrics.summaries.election.count(took_ms * 1_000);
        }
        let tenure = Tenure {
            duty,
            leader,
            since_wall_ms: now.wall_ms,
            since_ms: now.elapsed_ms,
            election_ms: took_ms,
            ..Tenure::default()
        };
        status.roles.begin(tenure, reason);
    }

    /// For those who watch: the role serves.
    fn tell_service(&self, now: Now, epoch: Epoch) {
        let status = &self.ground.status;
        let established = status.roles.established(epoch, now.elapsed_ms);
        let summaries = &status.metrics.summaries;
        if matches!(self.duty, Duty::Learning(_)) {
            summaries.follower_sync.count(established.sync_ms * 1_000);
        }
        if let Some(lost_ms) = established.unavailable_ms {
            summaries.unavailable.count(lost_ms * 1_000);
        }
    }

    /// Ends the present role: afterwards nothing of it runs, and the tree holds what the log holds.
    fn end_role(&mut self, reason: &str) -> Result<(), Halt> {
        // What is still on its way from the role is not meant for anybody any more.
        self.role_number += 1;
        match std::mem::replace(&mut self.duty, Duty::Looking) {
            Duty::Looking => {
                log::warn!("Unexpected exception: {reason}");
                Ok(())
            }
            Duty::Leading(leading) => {
                log::info!("Shutdown called: {reason}");
                leading.end(&self.ground)
            }
            Duty::Learning(learning) => {
                log::warn!("Exception when following the leader: {reason}");
                self.refetch = learning.end(&self.ground)?;
                Ok(())
            }
        }
    }

    fn stop(&mut self) -> Flow {
        let ended = match self.duty {
            Duty::Looking => self.close_to_readers(),
            _ => self.end_role("this server stops"),
        };
        if let Some(mail) = self.mail.take() {
            mail.halt();
        }
        log::warn!("QuorumPeer main thread exited");
        ended.map_or_else(Flow::Halt, |()| Flow::Done)
    }
}

fn duty_of(state: ServerState) -> RoleDuty {
    match state {
        ServerState::Looking => RoleDuty::Looking,
        ServerState::Leading => RoleDuty::Leading,
        ServerState::Following => RoleDuty::Following,
        ServerState::Observing => RoleDuty::Observing,
    }
}

impl<R: Runtime> Stage for QuorumPeer<R> {
    type In = PeerLetter;

    fn step(&mut self, now: Now, letter: PeerLetter) -> Flow {
        if matches!(letter, PeerLetter::Stop) {
            return self.stop();
        }
        self.take(now, letter).map_or_else(Flow::Halt, |()| Flow::Go)
    }

    fn quiet(&mut self, now: Now) -> Flow {
        if self.wake_at().is_some_and(|at_ms| now.elapsed_ms >= at_ms) {
            return self.tick(now).map_or_else(Flow::Halt, |()| Flow::Go);
        }
        Flow::Go
    }

    fn wake_at(&self) -> Option<i64> {
        let of_duty = match &self.duty {
            Duty::Looking => match self.read_only {
                Waiting::ClosedUntil(at_ms) => Some(at_ms),
                Waiting::Closed | Waiting::ReadOnly(_) => None,
            },
            Duty::Leading(leading) => leading.deadline_ms(),
            Duty::Learning(learning) => learning.deadline_ms(),
        };
        self.election.deadline_ms().into_iter().chain(of_duty).min()
    }
}
