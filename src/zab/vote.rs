//! A vote, which of two is better, and what a server tells others about its own.

use std::fmt;

use crate::ensemble::{Ensemble, QuorumVerifier};
use crate::proto::notification::{Notification, ServerState};
use crate::proto::{Epoch, Round, Sid, Zxid};

/// A candidate and what it knows. The better vote is the larger one: the order of the fields is the order of
/// the comparison, so that whoever has seen more of the last reign wins. (FastLeaderElection.totalOrderPredicate)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// The last reign that the candidate has seen established.
    pub peer_epoch: Epoch,
    /// The candidate's last transaction.
    pub zxid: Zxid,
    /// The candidate.
    pub leader: Sid,
}

impl Vote {
    /// The vote of a server that does not vote: any other is better.
    pub const NOBODY: Vote = Vote {
        peer_epoch: Epoch(i64::MIN),
        zxid: Zxid(i64::MIN),
        leader: Sid(i64::MIN),
    };

    /// Whether one should vote like this instead of like `other`. A candidate without weight never wins anybody.
    pub fn beats(&self, other: &Vote, verifier: &QuorumVerifier) -> bool {
        verifier.weight(self.leader) != 0 && self > other
    }
}

impl From<&Notification> for Vote {
    fn from(notification: &Notification) -> Vote {
        Vote {
            peer_epoch: notification.peer_epoch,
            zxid: notification.zxid,
            leader: notification.leader,
        }
    }
}

/// `(leader, zxid, epoch)`, the last two in hexadecimal. (Vote.toString)
impl fmt::Display for Vote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {:x}, {:x})", self.leader, self.zxid.0, self.peer_epoch.0)
    }
}

/// What a server says of itself to those that ask: all that is needed to answer them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What it is doing.
    pub state: ServerState,
    /// The election it is in, or was in last.
    pub round: Round,
    /// Its vote: while it looks the one it proposes, afterwards the one it settled on.
    pub vote: Vote,
    /// The vote that was settled on, as it was before the leader's new epoch went into it.
    pub vote_before_epoch: Option<Vote>,
}

impl Standing {
    /// Whether it has settled on a leader whose epoch is not established yet.
    pub fn is_tentative(&self) -> bool {
        self.state != ServerState::Looking && self.vote_before_epoch.is_none()
    }

    /// Its vote as others hear it.
    ///
    /// While it looks for a leader, 3.4.14 tells those that do not vote its vote of the *last* election, so that
    /// its observers join dead leaders; here they hear the vote of this election.
    pub fn notification(&self) -> Notification {
        self.telling(self.vote)
    }

    /// What this server, `my_id`, answers a server `from` that has sent `heard`, if anything: only those that
    /// look for a leader ask for an answer. (FastLeaderElection.WorkerReceiver)
    ///
    /// Servers that do not vote answer nobody. In 3.4.14 they do, although nobody counts it, and voters answer
    /// whatever does not vote: the two never stop then.
    pub fn answer(
        &self,
        my_id: Sid,
        ensemble: &Ensemble,
        from: Sid,
        heard: &Notification,
    ) -> Option<Notification> {
        let asks = heard.state == ServerState::Looking && from != my_id && ensemble.is_voter(my_id);
        if !asks {
            return None;
        }
        match self.state {
            _ if !ensemble.is_voter(from) => Some(self.notification()),
            ServerState::Looking => self.knows_better(from, heard).then(|| self.notification()),
            _ => Some(self.telling(self.vote_for(heard.version))),
        }
    }

    /// Whether the sender of a vote lags behind in rounds, or begins this one with less. The latter 3.4.14 leaves
    /// to the next reminder; but who begins late, since it lost its leader late, has missed the others' votes.
    fn knows_better(&self, from: Sid, notification: &Notification) -> bool {
        let begins = notification.leader == from;
        let is_less = Vote::from(notification) < self.vote;
        notification.round < self.round || notification.round == self.round && begins && is_less
    }

    /// Servers before 3.4.6 compare whole votes, and theirs keep the old epoch: they are told the old one.
    fn vote_for(&self, version: i32) -> Vote {
        match self.vote_before_epoch {
            Some(before) if version <= 0 => before,
            _ => self.vote,
        }
    }

    fn telling(&self, vote: Vote) -> Notification {
        Notification {
            version: Notification::VERSION,
            state: self.state,
            leader: vote.leader,
            zxid: vote.zxid,
            round: self.round,
            peer_epoch: vote.peer_epoch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ensemble::{Hierarchy, Member, Role};

    fn vote(peer_epoch: i64, zxid: i64, leader: i64) -> Vote {
        Vote {
            peer_epoch: Epoch(peer_epoch),
            zxid: Zxid(zxid),
            leader: Sid(leader),
        }
    }

    #[test]
    fn the_epoch_counts_before_the_zxid_and_the_zxid_before_the_number() {
        let ascending = [
            Vote::NOBODY,
            vote(1, 9, 9),
            vote(2, 1, 3),
            vote(2, 2, 1),
            vote(2, 2, 2),
        ];
        let verifier = QuorumVerifier::majority((1..=9).map(Sid));
        for (a, left) in ascending.iter().enumerate() {
            for (b, right) in ascending.iter().enumerate() {
                assert_eq!(left.beats(right, &verifier), a > b, "{left} {right}");
            }
        }
    }

    #[test]
    fn a_candidate_without_weight_wins_nobody() {
        let mut hierarchy = Hierarchy::new();
        hierarchy.add(Sid(1), 1, 1);
        hierarchy.add(Sid(2), 1, 0);
        let verifier = QuorumVerifier::Hierarchical(hierarchy);
        assert!(!vote(1, 9, 2).beats(&vote(1, 1, 1), &verifier));
        assert!(vote(1, 9, 1).beats(&vote(1, 1, 2), &verifier));
    }

    /// Voters 1, 2, 3 and observer 4.
    fn ensemble() -> Ensemble {
        let member = |sid, role| Member {
            sid: Sid(sid),
            host: String::new(),
            quorum_port: 2888,
            election_port: 3888,
            role,
        };
        let voters = [1, 2, 3].map(|sid| member(sid, Role::Participant));
        let members = voters.into_iter().chain([member(4, Role::Observer)]);
        Ensemble::new(members, QuorumVerifier::majority([1, 2, 3].map(Sid)))
    }

    /// What server 3 answers.
    fn answer(standing: &Standing, from: i64, heard: &Notification) -> Option<Notification> {
        standing.answer(Sid(3), &ensemble(), Sid(from), heard)
    }

    fn asking(version: i32, state: ServerState, round: i64) -> Notification {
        Notification {
            version,
            state,
            leader: Sid(2),
            zxid: Zxid(0),
            round: Round(round),
            peer_epoch: Epoch(0),
        }
    }

    #[test]
    fn a_looking_server_answers_those_that_lag_behind_or_vote_for_less() {
        let standing = |leader| Standing {
            state: ServerState::Looking,
            round: Round(4),
            vote: vote(0, 0, leader),
            vote_before_epoch: None,
        };
        for (leader, state, round, answered) in [
            (1, ServerState::Looking, 3, true),
            (3, ServerState::Looking, 3, true),
            (1, ServerState::Looking, 4, false),
            (2, ServerState::Looking, 4, false),
            (3, ServerState::Looking, 4, true),
            (3, ServerState::Looking, 5, false),
            (3, ServerState::Following, 3, false),
        ] {
            let standing = standing(leader);
            let told = answer(&standing, 2, &asking(1, state, round));
            let expected = answered.then(|| standing.notification());
            assert_eq!(told, expected, "{leader} {state} {round}");
        }
        // Server 1 votes for another: it hears the votes of this round.
        assert_eq!(answer(&standing(3), 1, &asking(1, ServerState::Looking, 4)), None);
        let own = asking(1, ServerState::Looking, 3);
        assert_eq!(answer(&standing(3), 3, &own), None, "one does not ask oneself");
    }

    #[test]
    fn a_settled_server_answers_all_that_look_and_old_ones_with_the_old_epoch() {
        let mut standing = Standing {
            state: ServerState::Following,
            round: Round(4),
            vote: vote(2, 2, 3),
            vote_before_epoch: Some(vote(1, 2, 3)),
        };
        let looking = |version| asking(version, ServerState::Looking, 9);
        let epoch =
            |standing: &Standing, version| answer(standing, 2, &looking(version)).map(|n| n.peer_epoch);
        assert_eq!(epoch(&standing, 1), Some(Epoch(2)));
        assert_eq!(epoch(&standing, 0), Some(Epoch(1)));
        assert_eq!(answer(&standing, 2, &asking(1, ServerState::Leading, 9)), None);
        standing.vote_before_epoch = None;
        assert_eq!(epoch(&standing, 0), Some(Epoch(2)));
        let told = answer(&standing, 2, &looking(1)).expect("an answer");
        assert_eq!((told.version, told.round), (1, Round(4)));
    }

    #[test]
    fn whoever_does_not_vote_is_answered_and_answers_nobody() {
        for state in [ServerState::Looking, ServerState::Leading, ServerState::Observing] {
            let standing = Standing {
                state,
                round: Round(4),
                vote: vote(2, 2, 3),
                vote_before_epoch: None,
            };
            let looking = asking(1, ServerState::Looking, 9);
            for stranger in [4, 99] {
                assert_eq!(
                    answer(&standing, stranger, &looking),
                    Some(standing.notification())
                );
                let settled = asking(1, ServerState::Following, 9);
                assert_eq!(answer(&standing, stranger, &settled), None);
                assert_eq!(
                    standing.answer(Sid(stranger), &ensemble(), Sid(1), &looking),
                    None
                );
            }
        }
    }
}
