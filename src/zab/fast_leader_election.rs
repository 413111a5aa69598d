//! The election: a server's search for a leader, round by round. (FastLeaderElection.lookForLeader)
//!
//! ```text
//!            Look                 a quorum votes as I do             200 ms without a better vote
//!  settled ────────> looking ──────────────────────────────> grace ──────────────────────────────> settled
//!     ^                ^  └── a later round, a better vote: adopt it, tell everybody
//!     │                └───────────── a better vote ────────────┘
//!     └── a quorum of settled servers names a leader, who says so too
//! ```
//!
//! It decides as 3.4.14 does, except in two waits, which a chattering peer could prolong for ever there: the
//! grace ends 200 ms after it began, and the next reminder comes at its time, whatever is heard meanwhile.
//!
//! And the grace is for those who might still come with a better vote. It ends at once when there is nobody left
//! who could: every voter votes the same, or, after a leader was lost, cannot be reached. No promise rests on the
//! grace. A quorum has chosen either way, and what a better candidate may have that the chosen one lacks, no
//! quorum has.
//!
//! Whoever settles early may be left alone: the voter that could not be reached starts, votes for itself, and the
//! others, still in their grace, turn to it. In 3.4.14 such a leader waits for `initLimit` ticks for nobody, and a
//! follower knocks for seconds at a door that is shut. Here the votes of a round are counted until its leader's epoch
//! is established, and who is overruled by a quorum is told so a little later, if nothing has come of its choice.

use std::collections::BTreeSet;

use super::tally::{Ballot, Tally};
use super::vote::{Standing, Vote};
use crate::ensemble::{Ensemble, Role};
use crate::proto::notification::{Notification, ServerState};
use crate::proto::{Epoch, Round, Sid, Zxid};

/// What happens to an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// This server has no leader: a new round begins.
    Look {
        /// Its last logged transaction.
        last_zxid: Zxid,
        /// Its current epoch.
        current_epoch: Epoch,
    },
    /// A voter has told its vote, maybe this server itself.
    Heard {
        /// The voter.
        from: Sid,
        /// What it told.
        notification: Notification,
    },
    /// A voter that looks has told its vote, and was answered already, as this server has settled.
    Overheard {
        /// The voter.
        from: Sid,
        /// What it told.
        notification: Notification,
    },
    /// The deadline has come.
    Time,
    /// The connection to another voter is up, or broken, or cannot be made.
    Reach {
        /// The voter.
        sid: Sid,
        /// Whether messages can go there and come from there.
        is_up: bool,
    },
    /// The leader's new epoch is established: answers name it from now on. (QuorumPeer.updateElectionVote)
    EpochEstablished(Epoch),
}

/// What is to be done, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Whoever answers others for this server shall say this from now on.
    Announce(Standing),
    /// A vote for a voter, maybe this server itself. It need not arrive; a later one takes its place.
    Send {
        /// The voter.
        to: Sid,
        /// The vote.
        notification: Notification,
    },
    /// The search is over.
    Decided {
        /// What this server is to do: lead, follow or observe.
        state: ServerState,
        /// Whom it settled on.
        vote: Vote,
    },
    /// A quorum has turned to another leader since, in the same round. Unless its own choice is about to stand, this
    /// server has to look again.
    Overruled {
        /// The other one.
        leader: Sid,
    },
}

/// One server's part in all its elections.
#[derive(Debug)]
pub struct FastLeaderElection {
    my_id: Sid,
    ensemble: Ensemble,
    standing: Standing,
    search: Option<Search>,
    /// The votes of the round in which this server has settled.
    settled_by: Tally,
    /// Whom a quorum prefers since, and when this server is told so.
    rival: Option<(Sid, i64)>,
    /// Those that were last known to be out of reach.
    absent: BTreeSet<Sid>,
}

/// A search for a leader.
#[derive(Debug)]
struct Search {
    /// The vote for oneself, with which each round begins.
    own: Vote,
    tally: Tally,
    wait_ms: i64,
    reminder_at_ms: i64,
    /// When the vote becomes the decision, once a quorum has cast it.
    decision_at_ms: Option<i64>,
    /// Whether this server had a leader before. If not, all may be about to start, and those that cannot be
    /// reached yet are waited for.
    had_leader: bool,
}

impl FastLeaderElection {
    /// A server that has not voted yet.
    pub fn new(my_id: Sid, ensemble: Ensemble) -> FastLeaderElection {
        let standing = Standing {
            state: ServerState::Looking,
            round: Round(0),
            vote: Vote::NOBODY,
            vote_before_epoch: None,
        };
        FastLeaderElection {
            my_id,
            ensemble,
            standing,
            search: None,
            settled_by: Tally::default(),
            rival: None,
            absent: BTreeSet::new(),
        }
    }

    /// What this server says of itself now.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// When to come back with [`Event::Time`], in elapsed milliseconds.
    pub fn deadline_ms(&self) -> Option<i64> {
        match &self.search {
            Some(search) => Some(search.decision_at_ms.unwrap_or(search.reminder_at_ms)),
            None => self.rival.map(|(_, at_ms)| at_ms),
        }
    }

    /// Takes what has happened at `now_ms` of elapsed time, and adds what is to be done.
    pub fn on(&mut self, now_ms: i64, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Look {
                last_zxid,
                current_epoch,
            } => self.look(now_ms, last_zxid, current_epoch, actions),
            Event::Heard { from, notification } => self.heard(now_ms, from, &notification, actions),
            Event::Overheard { from, notification } if self.search.is_none() => {
                self.doubt(now_ms, from, &notification);
            }
            Event::Overheard { from, notification } => self.heard(now_ms, from, &notification, actions),
            Event::Time => self.time(now_ms, actions),
            Event::Reach { sid, is_up } => self.reach(now_ms, sid, is_up),
            Event::EpochEstablished(epoch) => self.epoch_established(epoch, actions),
        }
    }

    fn look(&mut self, now_ms: i64, last_zxid: Zxid, current_epoch: Epoch, actions: &mut Vec<Action>) {
        let own = match self.role() {
            Role::Participant => Vote {
                peer_epoch: current_epoch,
                zxid: last_zxid,
                leader: self.my_id,
            },
            Role::Observer => Vote::NOBODY,
        };
        self.search = Some(Search {
            own,
            tally: Tally::default(),
            wait_ms: FIRST_WAIT_MS,
            reminder_at_ms: now_ms,
            decision_at_ms: None,
            had_leader: self.standing.state != ServerState::Looking,
        });
        self.standing = Standing {
            state: ServerState::Looking,
            // As in Java the count begins anew, from below, after the largest number.
            round: Round(self.standing.round.0.wrapping_add(1)),
            vote: own,
            vote_before_epoch: None,
        };
        log::info!(
            "New election. My id =  {}, proposed zxid={}",
            self.my_id,
            own.zxid
        );
        self.tell_everybody(now_ms, actions);
    }

    fn heard(&mut self, now_ms: i64, from: Sid, notification: &Notification, actions: &mut Vec<Action>) {
        if self.search.is_none() {
            // It was on its way while this server settled: the sender still waits for an answer.
            let answer = self
                .standing
                .answer(self.my_id, &self.ensemble, from, notification);
            if let Some(notification) = answer {
                actions.push(Action::Send {
                    to: from,
                    notification,
                });
            }
            return self.doubt(now_ms, from, notification);
        }
        if !self.is_among_voters(from, notification) {
            return;
        }
        let vote = Vote::from(notification);
        let better = vote.beats(&self.standing.vote, self.ensemble.verifier());
        if self.in_grace() && !better {
            return self.heard_in_grace(now_ms, from, notification);
        }
        match notification.state {
            ServerState::Looking => self.heard_looking(now_ms, from, notification, actions),
            ServerState::Following | ServerState::Leading => self.heard_settled(from, notification, actions),
            ServerState::Observing => log::debug!("Notification from observer: {from}"),
        }
    }

    /// Counts a vote of the round in which this server has settled, until the epoch of its leader is established.
    fn doubt(&mut self, now_ms: i64, from: Sid, heard: &Notification) {
        let is_of_round = heard.state == ServerState::Looking && heard.round == self.standing.round;
        if !self.standing.is_tentative() || !is_of_round || !self.is_among_voters(from, heard) {
            return;
        }
        let vote = Vote::from(heard);
        self.settled_by.add_to_round(from, heard.round, vote);
        let other = Ballot::looking(heard.round, vote);
        let is_other = vote.leader != self.standing.vote.leader;
        if is_other && self.settled_by.round_has_quorum(&other, self.ensemble.verifier()) {
            self.rival.get_or_insert((vote.leader, now_ms + RIVALRY_MS));
        }
    }

    /// The grace is not for votes that are no better, but one more of the same may make it unnecessary.
    fn heard_in_grace(&mut self, now_ms: i64, from: Sid, heard: &Notification) {
        let (vote, round) = (Vote::from(heard), self.standing.round);
        let is_same = vote == self.standing.vote && heard.round == round;
        if let Some(search) = &mut self.search
            && is_same
            && heard.state == ServerState::Looking
        {
            search.tally.add_to_round(from, round, vote);
            self.hasten(now_ms);
        }
    }

    fn heard_looking(&mut self, now_ms: i64, from: Sid, heard: &Notification, actions: &mut Vec<Action>) {
        let vote = Vote::from(heard);
        let verifier = self.ensemble.verifier();
        let Some(search) = &mut self.search else { return };
        if heard.round < self.standing.round {
            log::debug!(
                "Notification election epoch is smaller than logicalclock. n.electionEpoch = {}, logicalclock={}",
                heard.round,
                self.standing.round
            );
            if let Some(at_ms) = &mut search.decision_at_ms {
                // A better candidate lags behind: it is told the round, and may come back in time.
                *at_ms = now_ms + GRACE_MS;
            }
            return;
        }
        if heard.round > self.standing.round {
            self.standing.round = heard.round;
            self.standing.vote = match vote.beats(&search.own, verifier) {
                true => vote,
                false => search.own,
            };
            self.tell_everybody(now_ms, actions);
        } else if vote.beats(&self.standing.vote, verifier) {
            self.standing.vote = vote;
            self.tell_everybody(now_ms, actions);
        }
        self.count(now_ms, from, vote);
    }

    /// Counts a vote of this round. With a quorum behind this server's own vote the grace begins.
    fn count(&mut self, now_ms: i64, from: Sid, vote: Vote) {
        let Some(search) = &mut self.search else { return };
        let round = self.standing.round;
        search.tally.add_to_round(from, round, vote);
        let mine = Ballot::looking(round, self.standing.vote);
        let quorum = search.tally.round_has_quorum(&mine, self.ensemble.verifier());
        search.decision_at_ms = quorum.then_some(now_ms + GRACE_MS);
        self.hasten(now_ms);
    }

    /// Ends the grace if nobody is left who could come with a better vote.
    fn hasten(&mut self, now_ms: i64) {
        let Some(search) = &mut self.search else { return };
        let mine = Ballot::looking(self.standing.round, self.standing.vote);
        let could_object = |&sid: &Sid| {
            let is_gone = search.had_leader && self.absent.contains(&sid);
            !is_gone && !search.tally.votes_in_round(sid, &mine)
        };
        if search.decision_at_ms.is_some() && !self.ensemble.voters().any(|sid| could_object(&sid)) {
            search.decision_at_ms = Some(now_ms);
        }
    }

    /// Joins the leader of a server that has settled, if a quorum and the leader itself say the same.
    fn heard_settled(&mut self, from: Sid, heard: &Notification, actions: &mut Vec<Action>) {
        let verifier = self.ensemble.verifier();
        let Some(search) = &mut self.search else { return };
        let ballot = Ballot::from(heard);
        let tally = &mut search.tally;
        // If all others hold this server for the leader of this very round, it is the leader.
        let same_round = heard.round == self.standing.round;
        let confirmed = |tally: &Tally| match heard.leader == self.my_id {
            true => same_round,
            false => tally.says_it_leads(heard.leader),
        };
        let mut joined = false;
        if same_round {
            tally.add_to_round(from, heard.round, ballot.vote);
            joined = tally.round_has_quorum(&ballot, verifier) && confirmed(tally);
        }
        if !joined {
            tally.add_settled(from, ballot);
            joined = tally.settled_has_quorum(&ballot, verifier) && confirmed(tally);
        }
        if joined {
            self.standing.round = heard.round;
            self.decide(ballot.vote, actions);
        }
    }

    fn reach(&mut self, now_ms: i64, sid: Sid, is_up: bool) {
        if is_up {
            self.absent.remove(&sid);
        } else if self.ensemble.is_voter(sid) {
            self.absent.insert(sid);
            self.hasten(now_ms);
        }
    }

    fn time(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
        let Some(search) = &mut self.search else {
            let due = self.rival.take_if(|(_, at_ms)| now_ms >= *at_ms);
            actions.extend(due.map(|(leader, _)| Action::Overruled { leader }));
            return;
        };
        match search.decision_at_ms {
            Some(at_ms) if now_ms >= at_ms => self.decide(self.standing.vote, actions),
            None if now_ms >= search.reminder_at_ms => {
                search.wait_ms = (search.wait_ms * 2).min(LONGEST_WAIT_MS);
                log::info!("Notification time out: {}", search.wait_ms);
                self.tell_everybody(now_ms, actions);
            }
            _ => {}
        }
    }

    fn epoch_established(&mut self, epoch: Epoch, actions: &mut Vec<Action>) {
        if self.search.is_none() {
            self.rival = None;
            self.standing.vote_before_epoch = Some(self.standing.vote);
            self.standing.vote.peer_epoch = epoch;
            actions.push(Action::Announce(self.standing));
        }
    }

    fn decide(&mut self, vote: Vote, actions: &mut Vec<Action>) {
        self.rival = None;
        self.settled_by = self.search.take().map(|search| search.tally).unwrap_or_default();
        self.standing.vote = vote;
        self.standing.state = match self.role() {
            _ if vote.leader == self.my_id => ServerState::Leading,
            Role::Participant => ServerState::Following,
            Role::Observer => ServerState::Observing,
        };
        actions.push(Action::Announce(self.standing));
        actions.push(Action::Decided {
            state: self.standing.state,
            vote,
        });
    }

    /// Tells all voters the vote, itself included if it is one: its own is counted when it comes back.
    fn tell_everybody(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
        if let Some(search) = &mut self.search {
            search.reminder_at_ms = now_ms + search.wait_ms;
        }
        actions.push(Action::Announce(self.standing));
        let notification = self.standing.notification();
        actions.extend(self.ensemble.voters().map(|to| Action::Send { to, notification }));
    }

    fn in_grace(&self) -> bool {
        self.search.as_ref().is_some_and(|s| s.decision_at_ms.is_some())
    }

    /// Whether a voter votes for a voter; says so in the log if not. (FastLeaderElection.validVoter)
    fn is_among_voters(&self, from: Sid, notification: &Notification) -> bool {
        let leader = notification.leader;
        let (votes, may_lead) = (self.ensemble.is_voter(from), self.ensemble.is_voter(leader));
        if !may_lead {
            log::warn!("Ignoring notification for non-cluster member sid {leader} from sid {from}");
        }
        if !votes {
            log::warn!("Ignoring notification for sid {leader} from non-quorum member sid {from}");
        }
        votes && may_lead
    }

    fn role(&self) -> Role {
        let me = self.ensemble.member(self.my_id);
        me.map_or(Role::Observer, |member| member.role)
    }
}

/// How long to wait for a better vote once a quorum agrees. (FastLeaderElection.finalizeWait)
const GRACE_MS: i64 = 200;
/// How long a choice that a quorum has turned from may still come to something.
const RIVALRY_MS: i64 = 2 * GRACE_MS;
/// After this time without a decision the votes are told again; then after twice that, and so on.
const FIRST_WAIT_MS: i64 = 200;
/// Reminders never come more rarely. (FastLeaderElection.maxNotificationInterval)
const LONGEST_WAIT_MS: i64 = 60_000;
