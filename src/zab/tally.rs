//! Who votes for whom, and whether that is enough.

use std::collections::BTreeMap;

use super::vote::Vote;
use crate::ensemble::QuorumVerifier;
use crate::proto::notification::{Notification, ServerState};
use crate::proto::{Round, Sid};

/// A vote as a server cast it. (Vote)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ballot {
    /// The form of the message it came in.
    pub version: i32,
    /// What the server was doing.
    pub state: ServerState,
    /// The round it was in.
    pub round: Round,
    /// The vote.
    pub vote: Vote,
}

impl From<&Notification> for Ballot {
    fn from(notification: &Notification) -> Ballot {
        Ballot {
            version: notification.version,
            state: notification.state,
            round: notification.round,
            vote: Vote::from(notification),
        }
    }
}

impl Ballot {
    /// The vote of a server that looks, or is to be counted with those.
    pub fn looking(round: Round, vote: Vote) -> Ballot {
        Ballot {
            version: 0,
            state: ServerState::Looking,
            round,
            vote,
        }
    }

    /// Whether two ballots choose the same. (Vote.equals)
    ///
    /// Among servers that have settled, those that joined late know another zxid and round of their leader, and
    /// those before 3.4.6 another epoch: these do not tell votes apart.
    fn agrees(&self, other: &Ballot) -> bool {
        let either_looks = self.state == ServerState::Looking || other.state == ServerState::Looking;
        if either_looks {
            return self.vote == other.vote && self.round == other.round;
        }
        let same_form = (self.version > 0) == (other.version > 0);
        let same_epoch = self.vote.peer_epoch == other.vote.peer_epoch;
        self.vote.leader == other.vote.leader && (same_epoch || !same_form)
    }
}

/// The last ballot of each server in one election.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Of servers that look, and of those that settled in their round. Ballots of earlier rounds, which Java
    /// forgets here, agree with none of this round. (recvset)
    round: BTreeMap<Sid, Ballot>,
    /// Of servers that have settled, whenever that was. (outofelection)
    settled: BTreeMap<Sid, Ballot>,
}

impl Tally {
    /// Notes a vote of this round; whatever the server is doing, it is compared in full.
    pub fn add_to_round(&mut self, from: Sid, round: Round, vote: Vote) {
        self.round.insert(from, Ballot::looking(round, vote));
    }

    /// Notes what a server says that follows or leads.
    pub fn add_settled(&mut self, from: Sid, ballot: Ballot) {
        self.settled.insert(from, ballot);
    }

    /// Whether a quorum votes so in this round.
    pub fn round_has_quorum(&self, ballot: &Ballot, verifier: &QuorumVerifier) -> bool {
        has_quorum(&self.round, ballot, verifier)
    }

    /// Whether this server votes so in this round.
    pub fn votes_in_round(&self, sid: Sid, ballot: &Ballot) -> bool {
        self.round.get(&sid).is_some_and(|vote| ballot.agrees(vote))
    }

    /// Whether a quorum of the settled servers chose so.
    pub fn settled_has_quorum(&self, ballot: &Ballot, verifier: &QuorumVerifier) -> bool {
        has_quorum(&self.settled, ballot, verifier)
    }

    /// Whether a server says itself that it leads. Without this, servers would go on electing one that is dead.
    /// (FastLeaderElection.checkLeader)
    pub fn says_it_leads(&self, sid: Sid) -> bool {
        let ballot = self.settled.get(&sid);
        ballot.is_some_and(|ballot| ballot.state == ServerState::Leading)
    }
}

/// (FastLeaderElection.termPredicate)
fn has_quorum(votes: &BTreeMap<Sid, Ballot>, ballot: &Ballot, verifier: &QuorumVerifier) -> bool {
    let supporters = votes.iter().filter(|(_, vote)| ballot.agrees(vote));
    verifier.contains_quorum(supporters.map(|(&sid, _)| sid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Epoch, Zxid};

    fn ballot(version: i32, state: ServerState, leader: i64, zxid: i64, round: i64, epoch: i64) -> Ballot {
        let vote = Vote {
            peer_epoch: Epoch(epoch),
            zxid: Zxid(zxid),
            leader: Sid(leader),
        };
        Ballot {
            version,
            state,
            round: Round(round),
            vote,
        }
    }

    /// The cases of Vote.equals, one by one.
    #[test]
    fn ballots_are_compared_as_java_does() {
        use ServerState::{Following, Leading, Looking};
        let looking = ballot(1, Looking, 3, 7, 2, 1);
        for (other, agrees) in [
            (ballot(0, Looking, 3, 7, 2, 1), true),
            (ballot(1, Leading, 3, 7, 2, 1), true),
            (ballot(1, Looking, 2, 7, 2, 1), false),
            (ballot(1, Looking, 3, 8, 2, 1), false),
            (ballot(1, Looking, 3, 7, 3, 1), false),
            (ballot(1, Looking, 3, 7, 2, 2), false),
            (ballot(1, Leading, 3, 7, 3, 1), false),
        ] {
            assert_eq!(looking.agrees(&other), agrees, "{other:?}");
            assert_eq!(other.agrees(&looking), agrees, "{other:?}");
        }
        let settled = ballot(1, Following, 3, 7, 2, 1);
        for (other, agrees) in [
            (ballot(1, Leading, 3, 9, 5, 1), true),
            (ballot(1, Leading, 3, 7, 2, 2), false),
            (ballot(1, Leading, 2, 7, 2, 1), false),
            (ballot(0, Leading, 3, 9, 5, 2), true),
            (ballot(0, Leading, 2, 7, 2, 1), false),
        ] {
            assert_eq!(settled.agrees(&other), agrees, "{other:?}");
            assert_eq!(other.agrees(&settled), agrees, "{other:?}");
        }
        let old = ballot(0, Following, 3, 7, 2, 1);
        assert!(!old.agrees(&ballot(0, Leading, 3, 7, 2, 2)));
    }

    #[test]
    fn the_last_vote_of_each_server_counts() {
        let verifier = QuorumVerifier::majority([1, 2, 3].map(Sid));
        let for_3 = ballot(0, ServerState::Looking, 3, 7, 2, 1);
        let for_2 = ballot(0, ServerState::Looking, 2, 7, 2, 1);
        let mut tally = Tally::default();
        tally.add_to_round(Sid(1), Round(2), for_3.vote);
        assert!(!tally.round_has_quorum(&for_3, &verifier));
        tally.add_to_round(Sid(2), Round(2), for_3.vote);
        assert!(tally.round_has_quorum(&for_3, &verifier));
        tally.add_to_round(Sid(2), Round(2), for_2.vote);
        assert!(!tally.round_has_quorum(&for_3, &verifier));
        tally.add_to_round(Sid(1), Round(1), for_2.vote);
        assert!(!tally.round_has_quorum(&for_2, &verifier));
    }

    #[test]
    fn only_the_leader_itself_can_say_that_it_leads() {
        let verifier = QuorumVerifier::majority([1, 2, 3].map(Sid));
        let following = ballot(1, ServerState::Following, 3, 7, 2, 1);
        let leading = ballot(1, ServerState::Leading, 3, 7, 2, 1);
        let mut tally = Tally::default();
        tally.add_settled(Sid(1), following);
        tally.add_settled(Sid(3), following);
        assert!(tally.settled_has_quorum(&following, &verifier) && !tally.says_it_leads(Sid(3)));
        tally.add_settled(Sid(3), leading);
        assert!(tally.settled_has_quorum(&following, &verifier) && tally.says_it_leads(Sid(3)));
        assert!(!tally.says_it_leads(Sid(2)));
    }
}
