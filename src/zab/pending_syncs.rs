//! Syncs that a leader has yet to answer. (Leader.pendingSyncs)
//!
//! Whoever has the answer to a sync knows all that anybody was told before it asked. The leader knows what it has
//! decided itself, and the learner hears of that before the answer. What a leader cannot know is whether it is the
//! leader still: 3.4.14 answers from what it has, and one that was replaced without noticing answers with the past.
//! Here a quorum must first have answered a PING that left after the sync came. Each of them followed this leader
//! when it answered, so no quorum had promised to follow another one when the sync came, and nobody else had
//! decided anything.
//!
//! The acknowledgement of a proposal that left after the sync proves the same. So a sync never holds a decision up,
//! and is always answered before what was proposed later is decided. A learner needs that: what a session writes
//! behind its own sync must not be decided first.
//!
//! Learners of any version answer each PING once, in order, so counting tells which PING an answer is for. One
//! round of pings serves all syncs that came before it; those that come meanwhile wait for the next.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ensemble::QuorumVerifier;
use crate::proto::{LinkId, Sid, Zxid};
use crate::seeded_fault::SeededFault;

/// Whose client waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A learner's.
    Learner(LinkId),
    /// The leader's own.
    Own,
}

/// The syncs of one reign, and who has proven what.
#[derive(Debug, Default)]
pub struct PendingSyncs {
    waiting: VecDeque<PendingSync>,
    /// Rounds are numbered from 1; one at most is under way.
    begun: u64,
    concluded: u64,
    /// Who has answered a ping of the round that is under way.
    supporters: BTreeSet<Sid>,
    pings: BTreeMap<LinkId, Pings>,
}

#[derive(Debug)]
struct PendingSync {
    asker: Asker,
    /// The newest proposal when it came: it waits for the decision.
    behind: Zxid,
    /// The first round that began after it came.
    round: u64,
}

/// The pings of one link.
#[derive(Debug, Default)]
struct Pings {
    unanswered: u64,
    /// How many answers are due until the first ping of the newest round is answered; none: it has not been sent.
    until_proof: Option<u64>,
}

impl PendingSyncs {
    /// A sync comes; `last_proposed` is the newest proposal.
    pub fn ask(&mut self, asker: Asker, last_proposed: Zxid) {
        self.waiting.push_back(PendingSync {
            asker,
            behind: last_proposed,
            round: self.begun + 1,
        });
    }

    /// Begins a round if a sync waits for one and none is under way: true if so, and all who vote are to be pinged.
    pub fn begin_round(&mut self, me: Sid) -> bool {
        let is_due = self.waiting.back().is_some_and(|sync| sync.round > self.begun);
        if !is_due || self.is_under_way() {
            return false;
        }
        self.begun += 1;
        self.supporters = BTreeSet::from([me]);
        self.pings.values_mut().for_each(|pings| pings.until_proof = None);
        true
    }

    /// A ping goes to a learner, for whatever reason.
    pub fn pinged(&mut self, link: LinkId) {
        let is_under_way = self.is_under_way();
        let pings = self.pings.entry(link).or_default();
        pings.unanswered += 1;
        if is_under_way && pings.until_proof.is_none() {
            pings.until_proof = Some(pings.unanswered);
        }
    }

    /// A learner answers the oldest ping that it has not answered; `voter` is its number, if it votes.
    pub fn ponged(&mut self, link: LinkId, voter: Option<Sid>) {
        let Some(pings) = self.pings.get_mut(&link).filter(|pings| pings.unanswered > 0) else {
            return;
        };
        pings.unanswered -= 1;
        pings.until_proof = pings.until_proof.map(|answers| answers.saturating_sub(1));
        if pings.until_proof == Some(0) {
            self.supporters.extend(voter);
        }
    }

    /// Ends the round that is under way, if a quorum has answered.
    pub fn conclude(&mut self, verifier: &QuorumVerifier) {
        if self.is_under_way() && verifier.contains_quorum(self.supporters.iter().copied()) {
            self.concluded = self.begun;
        }
    }

    /// The oldest sync, if its round is over and what was proposed before it is decided; `undecided` is the oldest
    /// proposal that is not.
    pub fn next_answer(&mut self, undecided: Option<Zxid>) -> Option<Asker> {
        let concluded = self.concluded;
        let is_due = |sync: &mut PendingSync| {
            let is_proven = sync.round <= concluded || SeededFault::SyncUnproven.on();
            is_proven && undecided.is_none_or(|zxid| zxid > sync.behind)
        };
        self.waiting.pop_front_if(is_due).map(|sync| sync.asker)
    }

    /// The oldest sync, if it came before this proposal, which a quorum has just acknowledged, as all before it.
    pub fn next_before(&mut self, decided: Zxid) -> Option<Asker> {
        let is_before = |sync: &mut PendingSync| sync.behind < decided;
        self.waiting.pop_front_if(is_before).map(|sync| sync.asker)
    }

    /// How many wait.
    pub fn count(&self) -> usize {
        self.waiting.len()
    }

    /// A learner is gone, and its syncs with it. What it has proven stands.
    pub fn forget(&mut self, link: LinkId) {
        self.waiting.retain(|sync| sync.asker != Asker::Learner(link));
        self.pings.remove(&link);
    }

    fn is_under_way(&self) -> bool {
        self.begun > self.concluded
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::testing::zxid;

    const ME: Sid = Sid(1);

    fn verifier() -> QuorumVerifier {
        QuorumVerifier::majority((1..=5).map(Sid))
    }

    fn next_answers(syncs: &mut PendingSyncs, undecided: Option<Zxid>) -> usize {
        syncs.conclude(&verifier());
        std::iter::from_fn(|| syncs.next_answer(undecided)).count()
    }

    /// Begins a round with pings to servers 2 to 5, each over the link of its number.
    fn round(syncs: &mut PendingSyncs) {
        assert!(syncs.begin_round(ME));
        (2..=5).for_each(|link| syncs.pinged(LinkId(link)));
    }

    fn pong(syncs: &mut PendingSyncs, link: u64) {
        syncs.ponged(LinkId(link), Some(Sid(link as i64)));
    }

    #[test]
    fn a_round_serves_all_that_came_before_it_and_nobody_else() {
        let mut syncs = PendingSyncs::default();
        assert!(!syncs.begin_round(ME));
        syncs.ask(Asker::Own, zxid(5, 0));
        syncs.ask(Asker::Learner(LinkId(2)), zxid(5, 0));
        round(&mut syncs);
        syncs.ask(Asker::Own, zxid(5, 0));
        assert!(!syncs.begin_round(ME));
        pong(&mut syncs, 2);
        pong(&mut syncs, 2);
        assert_eq!(next_answers(&mut syncs, None), 0);
        pong(&mut syncs, 3);
        assert_eq!(next_answers(&mut syncs, None), 2);
        // The late answers of the first round are none of the second.
        round(&mut syncs);
        pong(&mut syncs, 4);
        pong(&mut syncs, 5);
        assert_eq!(next_answers(&mut syncs, None), 0);
        pong(&mut syncs, 4);
        pong(&mut syncs, 5);
        assert_eq!(next_answers(&mut syncs, None), 1);
        assert!(!syncs.begin_round(ME));
    }

    #[test]
    fn the_order_of_the_syncs_is_kept_behind_what_is_not_decided() {
        let mut syncs = PendingSyncs::default();
        syncs.ask(Asker::Own, zxid(5, 1));
        syncs.ask(Asker::Learner(LinkId(2)), zxid(5, 2));
        round(&mut syncs);
        pong(&mut syncs, 2);
        pong(&mut syncs, 3);
        assert_eq!(next_answers(&mut syncs, Some(zxid(5, 1))), 0);
        assert_eq!(next_answers(&mut syncs, Some(zxid(5, 2))), 1);
        assert_eq!(next_answers(&mut syncs, Some(zxid(5, 3))), 1);
        assert_eq!(syncs.count(), 0);
    }

    #[test]
    fn what_is_proposed_later_and_has_a_quorum_proves_what_came_before_it() {
        let mut syncs = PendingSyncs::default();
        syncs.ask(Asker::Own, zxid(5, 1));
        round(&mut syncs);
        syncs.ask(Asker::Learner(LinkId(2)), zxid(5, 2));
        assert_eq!(syncs.next_before(zxid(5, 1)), None);
        assert_eq!(syncs.next_before(zxid(5, 2)), Some(Asker::Own));
        assert_eq!(syncs.next_before(zxid(5, 2)), None);
        assert_eq!(syncs.next_before(zxid(5, 3)), Some(Asker::Learner(LinkId(2))));
    }

    #[test]
    fn who_was_lost_is_asked_anew_over_the_next_link() {
        let mut syncs = PendingSyncs::default();
        syncs.ask(Asker::Own, zxid(5, 0));
        syncs.ask(Asker::Learner(LinkId(2)), zxid(5, 0));
        round(&mut syncs);
        pong(&mut syncs, 2);
        (2..=5).for_each(|link| syncs.forget(LinkId(link)));
        assert_eq!(syncs.count(), 1);
        // Nobody has pinged this link yet.
        syncs.ponged(LinkId(33), Some(Sid(3)));
        assert_eq!(next_answers(&mut syncs, None), 0);
        syncs.pinged(LinkId(33));
        syncs.pinged(LinkId(33));
        syncs.ponged(LinkId(33), None);
        assert_eq!(next_answers(&mut syncs, None), 0);
        syncs.pinged(LinkId(44));
        syncs.ponged(LinkId(44), Some(Sid(4)));
        assert_eq!(next_answers(&mut syncs, None), 1);
    }
}
