//! What a leader has proposed and not seen decided, and what is decided and not applied.
//! (Leader.outstandingProposals, toBeApplied)

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::ensemble::QuorumVerifier;
use crate::proto::txn::LoggedTxn;
use crate::proto::{Sid, Zxid};

use super::sync_plan::goes_on;

/// The proposals of one reign.
///
/// They are decided in their order, always: 3.4.14 decides each as soon as *it* has a quorum, and only warns
/// when an older one has not ("Commiting zxid ... not first!").
#[derive(Debug)]
pub struct Proposals {
    outstanding: VecDeque<Proposal>,
    decided: VecDeque<Arc<LoggedTxn>>,
    last_proposed: Zxid,
}

#[derive(Debug)]
struct Proposal {
    txn: Arc<LoggedTxn>,
    acks: BTreeSet<Sid>,
}

impl Proposals {
    /// None yet, of an epoch that begins at `beginning`.
    pub fn new(beginning: Zxid) -> Proposals {
        Proposals {
            outstanding: VecDeque::new(),
            decided: VecDeque::new(),
            last_proposed: beginning,
        }
    }

    /// The newest proposal, or where the epoch begins.
    pub fn last_proposed(&self) -> Zxid {
        self.last_proposed
    }

    /// Adds the next proposal.
    ///
    /// # Panics
    /// If it does not follow the last one: a leader that numbers its transactions wrongly must not go on.
    pub fn propose(&mut self, txn: Arc<LoggedTxn>) {
        let zxid = txn.zxid();
        assert!(
            zxid.epoch() == self.last_proposed.epoch() && goes_on(self.last_proposed, zxid),
            "proposal {zxid} does not follow {}",
            self.last_proposed
        );
        self.last_proposed = zxid;
        self.outstanding.push_back(Proposal {
            txn,
            acks: BTreeSet::new(),
        });
    }

    /// A learner has one proposal safely on its disk. One that is decided already, or unknown, is passed over.
    pub fn ack(&mut self, sid: Sid, zxid: Zxid) {
        let found = self.outstanding.binary_search_by_key(&zxid, |p| p.txn.zxid());
        match found {
            Ok(index) => {
                self.outstanding[index].acks.insert(sid);
            }
            Err(_) if zxid > self.last_proposed => {
                log::warn!("Trying to commit future proposal: zxid {zxid} from {sid}");
            }
            Err(_) => {}
        }
    }

    /// A server's log is safe up to here: the leader's own, or that of a learner that comes again.
    pub fn ack_through(&mut self, sid: Sid, zxid: Zxid) {
        let had = self.outstanding.iter_mut().take_while(|p| p.txn.zxid() <= zxid);
        had.for_each(|proposal| {
            proposal.acks.insert(sid);
        });
    }

    /// Whether this one is proposed and not decided.
    pub fn is_outstanding(&self, zxid: Zxid) -> bool {
        self.outstanding
            .binary_search_by_key(&zxid, |p| p.txn.zxid())
            .is_ok()
    }

    /// The oldest proposal, if a quorum has it; then it is decided.
    pub fn decide(&mut self, verifier: &QuorumVerifier) -> Option<Arc<LoggedTxn>> {
        let oldest = self.outstanding.front()?;
        if !verifier.contains_quorum(oldest.acks.iter().copied()) {
            return None;
        }
        let Proposal { txn, .. } = self.outstanding.pop_front()?;
        self.decided.push_back(Arc::clone(&txn));
        Some(txn)
    }

    /// The tree has everything up to here.
    pub fn forget_applied(&mut self, applied: Zxid) {
        while self.decided.front().is_some_and(|txn| txn.zxid() <= applied) {
            self.decided.pop_front();
        }
    }

    /// What is decided beyond `through`, in order.
    pub fn decided_after(&self, through: Zxid) -> impl Iterator<Item = &Arc<LoggedTxn>> {
        self.decided.iter().filter(move |txn| txn.zxid() > through)
    }

    /// The oldest that is not decided.
    pub fn oldest_outstanding(&self) -> Option<Zxid> {
        self.outstanding.front().map(|proposal| proposal.txn.zxid())
    }

    /// What is not decided, in order.
    pub fn outstanding(&self) -> impl Iterator<Item = &Arc<LoggedTxn>> {
        self.outstanding.iter().map(|proposal| &proposal.txn)
    }
}

/// How long a learner has owed the acknowledgement of a proposal. It watches one proposal at a time, and then
/// the newest. (LearnerHandler.SyncLimitCheck)
#[derive(Debug, Default)]
pub struct OwedAck {
    watched: Option<(Zxid, i64)>,
    newest: Option<(Zxid, i64)>,
}

impl OwedAck {
    /// A proposal was sent.
    pub fn proposed(&mut self, zxid: Zxid, now_ms: i64) {
        let slot = if self.watched.is_none() {
            &mut self.watched
        } else {
            &mut self.newest
        };
        *slot = Some((zxid, now_ms));
    }

    /// A proposal was acknowledged, and with it those before it.
    pub fn acked(&mut self, zxid: Zxid) {
        if self.newest.is_some_and(|(newest, _)| newest <= zxid) {
            self.newest = None;
            self.watched = None;
        } else if self.watched.is_some_and(|(watched, _)| watched <= zxid) {
            self.watched = self.newest.take();
        }
    }

    /// Since when the watched one is owed.
    pub fn since_ms(&self) -> Option<i64> {
        self.watched.map(|(_, since_ms)| since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::testing::{txn, zxid};

    fn verifier() -> QuorumVerifier {
        QuorumVerifier::majority((1..=3).map(Sid))
    }

    fn proposals(count: u32) -> Proposals {
        let mut proposals = Proposals::new(zxid(4, 0));
        (1..=count).for_each(|n| proposals.propose(txn(zxid(4, n))));
        proposals
    }

    fn decided(proposals: &mut Proposals) -> Vec<Zxid> {
        let all = std::iter::from_fn(|| proposals.decide(&verifier()));
        all.map(|txn| txn.zxid()).collect()
    }

    #[test]
    fn a_quorum_decides_and_the_order_is_kept() {
        let mut proposals = proposals(3);
        proposals.ack(Sid(2), zxid(4, 2));
        proposals.ack(Sid(3), zxid(4, 2));
        proposals.ack(Sid(2), zxid(4, 1));
        proposals.ack(Sid(2), zxid(4, 1));
        proposals.ack(Sid(9), zxid(4, 1));
        proposals.ack(Sid(8), zxid(4, 1));
        assert_eq!(decided(&mut proposals), []);
        proposals.ack(Sid(3), zxid(4, 1));
        assert_eq!(decided(&mut proposals), [zxid(4, 1), zxid(4, 2)]);
        proposals.ack(Sid(3), zxid(4, 1));
        proposals.ack(Sid(3), zxid(4, 9));
        proposals.ack_through(Sid(1), zxid(4, 3));
        assert_eq!(decided(&mut proposals), []);
        proposals.ack(Sid(3), zxid(4, 3));
        assert_eq!(decided(&mut proposals), [zxid(4, 3)]);
    }

    #[test]
    fn the_leader_s_own_log_acknowledges_all_up_to_a_point() {
        let mut proposals = proposals(4);
        for n in 1..=4 {
            proposals.ack(Sid(2), zxid(4, n));
        }
        proposals.ack_through(Sid(1), zxid(4, 1));
        assert_eq!(decided(&mut proposals), [zxid(4, 1)]);
        proposals.ack_through(Sid(1), zxid(4, 3));
        assert_eq!(decided(&mut proposals), [zxid(4, 2), zxid(4, 3)]);
    }

    #[test]
    #[should_panic(expected = "does not follow")]
    fn a_hole_is_never_proposed() {
        proposals(2).propose(txn(zxid(4, 4)));
    }

    #[test]
    fn what_is_decided_is_kept_until_it_is_applied() {
        let mut proposals = proposals(4);
        for sid in 1..3 {
            proposals.ack_through(Sid(sid), zxid(4, 3));
        }
        decided(&mut proposals);
        proposals.forget_applied(zxid(4, 1));
        let after = |through| {
            proposals
                .decided_after(through)
                .map(|txn| txn.zxid())
                .collect::<Vec<_>>()
        };
        assert_eq!(after(zxid(3, 9)), [zxid(4, 2), zxid(4, 3)]);
        assert_eq!(after(zxid(4, 2)), [zxid(4, 3)]);
        assert_eq!(proposals.outstanding().count(), 1);
    }

    #[test]
    fn the_oldest_owed_acknowledgement_is_watched() {
        let mut owed = OwedAck::default();
        assert_eq!(owed.since_ms(), None);
        owed.proposed(zxid(4, 1), 10);
        owed.proposed(zxid(4, 2), 20);
        owed.proposed(zxid(4, 3), 30);
        assert_eq!(owed.since_ms(), Some(10));
        owed.acked(zxid(4, 1));
        assert_eq!(owed.since_ms(), Some(30));
        owed.acked(zxid(4, 2));
        assert_eq!(owed.since_ms(), Some(30));
        owed.acked(zxid(4, 3));
        assert_eq!(owed.since_ms(), None);
    }
}
