//! Three times a new leader waits for a quorum: for promises, for epoch acknowledgements, and for servers that
//! have its history. (Leader.getEpochToPropose, waitForEpochAck, waitForNewLeaderAck)

use std::collections::BTreeSet;

use thiserror::Error;

use crate::ensemble::Ensemble;
use crate::proto::{Epoch, Sid, Zxid};

/// What a server has: the epoch it was in last, and its last transaction. (quorum/StateSummary)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Summary {
    /// The epoch, which is compared first.
    pub current: Epoch,
    /// The transaction.
    pub last: Zxid,
}

impl Summary {
    /// What a disk says. Whoever has a transaction of an epoch has all that the epoch began with, also if it was
    /// cut off before it could write the epoch down: it counts as one of that epoch, or it could win with less
    /// than it has. `currentEpoch` is to follow before anything is said.
    pub fn of_disk(current: Epoch, last: Zxid) -> Summary {
        let current = current.max(last.epoch());
        Summary { current, last }
    }
}

/// A learner has what the leader lacks: it must not follow, or it would be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "Follower is ahead of the leader, leader summary: {} (current epoch), {} (last zxid)",
    leader.current.0, leader.last
)]
pub struct Ahead {
    /// What the leader has.
    pub leader: Summary,
}

/// How far the wait has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Wait on.
    Waiting,
    /// This one made the quorum.
    Reached,
    /// The quorum was there before.
    Past,
}

/// The leader's count of who promised, who acknowledged, and who has its history.
///
/// The leader itself must be among the first two quorums, as in 3.4.14.
#[derive(Debug)]
pub struct Discovery {
    ensemble: Ensemble,
    me: Sid,
    mine: Summary,
    epoch: Epoch,
    promised: Wait,
    acknowledged: Wait,
    synced: Wait,
}

/// Who is there, and whether that was a quorum already.
#[derive(Debug, Default)]
struct Wait {
    sids: BTreeSet<Sid>,
    reached: bool,
}

impl Discovery {
    /// A leader that waits, counted itself nowhere yet.
    pub fn new(ensemble: Ensemble, me: Sid, mine: Summary) -> Discovery {
        Discovery {
            ensemble,
            me,
            mine,
            epoch: Epoch(-1),
            promised: Wait::default(),
            acknowledged: Wait::default(),
            synced: Wait::default(),
        }
    }

    /// A server is there, which has accepted no later epoch than this: the new one will be later.
    pub fn promise(&mut self, sid: Sid, accepted: Epoch) -> Step {
        if self.promised.reached {
            return Step::Past;
        }
        self.epoch = self.epoch.max(Epoch(accepted.0 + 1));
        self.promised.add(sid, Some(self.me), &self.ensemble)
    }

    /// The new epoch, once a quorum was there.
    pub fn epoch(&self) -> Option<Epoch> {
        self.promised.reached.then_some(self.epoch)
    }

    /// A server acknowledges the epoch; `None` for a summary that does not count.
    ///
    /// # Errors
    /// [`Ahead`], as long as the quorum is not complete. Later on 3.4.14 lets everybody in: what a later
    /// server has beyond the leader was never committed.
    pub fn acknowledge(&mut self, sid: Sid, summary: Option<Summary>) -> Result<Step, Ahead> {
        if self.acknowledged.reached {
            return Ok(Step::Past);
        }
        let Some(summary) = summary else {
            return Ok(Step::Waiting);
        };
        if summary > self.mine {
            return Err(Ahead { leader: self.mine });
        }
        Ok(self.acknowledged.add(sid, Some(self.me), &self.ensemble))
    }

    /// Whether a quorum has acknowledged the epoch.
    pub fn is_acknowledged(&self) -> bool {
        self.acknowledged.reached
    }

    /// A server has the leader's history safely on its disk.
    pub fn synced(&mut self, sid: Sid) -> Step {
        if self.synced.reached {
            return Step::Past;
        }
        self.synced.add(sid, None, &self.ensemble)
    }

    /// Whether the leader may begin its reign.
    pub fn is_established(&self) -> bool {
        self.synced.reached
    }

    /// Who has the history, for the log.
    pub fn supporters(&self) -> &BTreeSet<Sid> {
        &self.synced.sids
    }
}

impl Wait {
    /// Counts a voter; `needed` must be among the quorum.
    fn add(&mut self, sid: Sid, needed: Option<Sid>, ensemble: &Ensemble) -> Step {
        if ensemble.is_voter(sid) {
            self.sids.insert(sid);
        }
        let is_there = needed.is_none_or(|needed| self.sids.contains(&needed));
        self.reached = is_there && ensemble.verifier().contains_quorum(self.sids.iter().copied());
        if self.reached {
            Step::Reached
        } else {
            Step::Waiting
        }
    }
}

/// Numbers as 3.4.14 joins them for the log: `1,2,3`. (Leader.getSidSetString)
pub fn join_sids<'a>(sids: impl IntoIterator<Item = &'a Sid>) -> String {
    let words: Vec<String> = sids.into_iter().map(Sid::to_string).collect();
    words.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::testing::{ensemble, zxid};

    fn discovery() -> Discovery {
        let mine = Summary {
            current: Epoch(3),
            last: zxid(3, 5),
        };
        Discovery::new(ensemble(3, 1), Sid(1), mine)
    }

    fn summary(current: i64, last: Zxid) -> Option<Summary> {
        Some(Summary {
            current: Epoch(current),
            last,
        })
    }

    #[test]
    fn the_epoch_is_above_all_that_the_quorum_accepted() {
        let mut discovery = discovery();
        assert_eq!(discovery.promise(Sid(2), Epoch(7)), Step::Waiting);
        assert_eq!(discovery.promise(Sid(3), Epoch(4)), Step::Waiting);
        assert_eq!(discovery.epoch(), None);
        assert_eq!(discovery.promise(Sid(1), Epoch(3)), Step::Reached);
        assert_eq!(discovery.epoch(), Some(Epoch(8)));
        assert_eq!(discovery.promise(Sid(3), Epoch(12)), Step::Past);
        assert_eq!(discovery.epoch(), Some(Epoch(8)));
    }

    #[test]
    fn observers_and_strangers_raise_the_epoch_but_do_not_count() {
        let mut discovery = discovery();
        discovery.promise(Sid(1), Epoch(3));
        assert_eq!(discovery.promise(Sid(4), Epoch(9)), Step::Waiting);
        assert_eq!(discovery.promise(Sid(77), Epoch(1)), Step::Waiting);
        assert_eq!(discovery.promise(Sid(1), Epoch(1)), Step::Waiting);
        assert_eq!(discovery.promise(Sid(2), Epoch(1)), Step::Reached);
        assert_eq!(discovery.epoch(), Some(Epoch(10)));
        assert_eq!(
            discovery.acknowledge(Sid(1), summary(3, zxid(3, 5))),
            Ok(Step::Waiting)
        );
        assert_eq!(
            discovery.acknowledge(Sid(4), summary(3, zxid(3, 5))),
            Ok(Step::Waiting)
        );
        assert_eq!(discovery.synced(Sid(1)), Step::Waiting);
        assert_eq!(discovery.synced(Sid(4)), Step::Waiting);
        assert_eq!(discovery.synced(Sid(3)), Step::Reached);
        assert_eq!(join_sids(discovery.supporters()), "1,3");
    }

    #[test]
    fn who_is_ahead_is_sent_away_until_a_quorum_has_acknowledged() {
        let mut discovery = discovery();
        assert!(discovery.acknowledge(Sid(2), summary(3, zxid(3, 6))).is_err());
        assert!(discovery.acknowledge(Sid(2), summary(4, zxid(3, 1))).is_err());
        assert_eq!(discovery.acknowledge(Sid(2), None), Ok(Step::Waiting));
        assert_eq!(
            discovery.acknowledge(Sid(1), summary(3, zxid(3, 5))),
            Ok(Step::Waiting)
        );
        assert_eq!(
            discovery.acknowledge(Sid(3), summary(2, zxid(2, 99))),
            Ok(Step::Reached)
        );
        assert_eq!(
            discovery.acknowledge(Sid(2), summary(4, zxid(4, 1))),
            Ok(Step::Past)
        );
    }

    #[test]
    fn a_leader_waits_for_itself_too() {
        let mut discovery = discovery();
        assert_eq!(
            discovery.acknowledge(Sid(2), summary(3, zxid(3, 5))),
            Ok(Step::Waiting)
        );
        assert_eq!(
            discovery.acknowledge(Sid(3), summary(3, zxid(3, 5))),
            Ok(Step::Waiting)
        );
        assert_eq!(
            discovery.acknowledge(Sid(1), summary(3, zxid(3, 5))),
            Ok(Step::Reached)
        );
    }
}
