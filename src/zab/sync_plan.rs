//! How a learner is brought to the leader's history: what it is sent, decided from three facts.
//!
//! The rule beneath: **a zxid names a history.** Whoever has the transaction `(epoch, n)` last, has what the
//! leader of that epoch began with and its first `n` transactions. So a learner whose last zxid is in the
//! leader's history has a beginning of it, and lacks only the rest. A learner whose last zxid is not in it
//! has something to forget: down to the leader's newest transaction *of the same epoch*, which it surely has.
//! 3.4.14 also cuts down to one of an older epoch; the learner need not have that one, and would then count
//! itself complete with a hole. Such a learner gets a snapshot here. (LearnerHandler.run)

use std::sync::Arc;

use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::txn::LoggedTxn;
use crate::proto::{Epoch, Sid, Zxid};
use crate::seeded_fault::SeededFault;

/// What a leader knows of its own history when a learner comes.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The epoch it leads.
    pub epoch: Epoch,
    /// Its last transaction when the epoch began.
    pub inherited: Zxid,
    /// Up to where its tree is. Must be read before [`Known::committed`].
    pub applied: Zxid,
    /// Its newest committed transactions, the oldest first.
    pub committed: &'a [Arc<LoggedTxn>],
}

/// What a learner is sent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// What it lacks.
    Diff,
    /// The word to cut its log behind this transaction, then what it lacks.
    Trunc(Zxid),
    /// The whole tree.
    Snap,
}

/// How one learner is brought up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncPlan {
    /// What comes first.
    pub kind: SyncKind,
    /// The committed transactions that follow, each with its commit. None behind a snapshot.
    pub txns: Vec<Arc<LoggedTxn>>,
    /// Up to where the learner is then: what the leader has committed or proposed beyond is to follow.
    pub through: Zxid,
}

impl SyncPlan {
    /// Plans for a learner whose last logged transaction is `peer_last`.
    pub fn new(peer_last: Zxid, known: &Known<'_>) -> SyncPlan {
        let ring = gapless_end(joining(known));
        if peer_last == known.applied {
            return SyncPlan::after(SyncKind::Diff, peer_last, &[]);
        }
        if let Some(next) = position_after(peer_last, ring, known) {
            let first = next + usize::from(SeededFault::DiffWithHole.on() && next + 1 < ring.len());
            return SyncPlan::after(SyncKind::Diff, peer_last, &ring[first..]);
        }
        match newest_below(peer_last, ring, known) {
            Some((cut, next)) if cut.epoch() == peer_last.epoch() => {
                SyncPlan::after(SyncKind::Trunc(cut), cut, &ring[next..])
            }
            _ => SyncPlan::after(SyncKind::Snap, known.applied, &[]),
        }
    }

    fn after(kind: SyncKind, peer: Zxid, txns: &[Arc<LoggedTxn>]) -> SyncPlan {
        SyncPlan {
            kind,
            through: txns.last().map_or(peer, |txn| txn.zxid()),
            txns: txns.to_vec(),
        }
    }

    /// The packet that announces the kind; `None` for a snapshot, whose zxid is known when it begins.
    pub fn head(&self) -> Option<QuorumPacket> {
        match self.kind {
            SyncKind::Diff => Some(QuorumPacket::plain(PacketType::Diff, self.through)),
            SyncKind::Trunc(zxid) => Some(QuorumPacket::plain(PacketType::Trunc, zxid)),
            SyncKind::Snap => None,
        }
    }

    /// Tells the log what a learner is to get, in the words of 3.4.14.
    pub fn log(&self, sid: Sid, last: Zxid, committed: &[Arc<LoggedTxn>]) {
        let zxid = |txn: Option<&Arc<LoggedTxn>>| txn.map_or(Zxid(0), |txn| txn.zxid());
        log::info!(
            "Synchronizing with Follower sid: {sid} maxCommittedLog={} minCommittedLog={} peerLastZxid={last}",
            zxid(committed.last()),
            zxid(committed.first()),
        );
        if self.kind == SyncKind::Diff && self.txns.is_empty() {
            log::info!("leader and follower are in sync, zxid={last}");
        }
        log::info!("Sending {}", self.name());
    }

    /// The kind's name in the log. (Leader.getPacketType)
    pub fn name(&self) -> &'static str {
        match self.kind {
            SyncKind::Diff => PacketType::Diff.name(),
            SyncKind::Trunc(_) => PacketType::Trunc.name(),
            SyncKind::Snap => PacketType::Snap.name(),
        }
    }
}

/// Where in the ring a learner goes on that has exactly what `zxid` names; `None` if that is not known.
fn position_after(zxid: Zxid, ring: &[Arc<LoggedTxn>], known: &Known<'_>) -> Option<usize> {
    if let Ok(index) = ring.binary_search_by_key(&zxid, |txn| txn.zxid()) {
        return Some(index + 1);
    }
    let first = ring.partition_point(|txn| txn.zxid() < zxid);
    let begins_here = match ring.get(first) {
        // Nothing of the ring is newer: only what the epoch began with is then known to be equal.
        None => {
            return is_inherited(zxid, known)
                .then(|| after_inherited(ring, known))
                .flatten();
        }
        Some(txn) => txn.zxid(),
    };
    let is_beginning = zxid.counter() == 0 && begins_here.epoch() == zxid.epoch();
    if is_beginning && (first > 0 || begins_here.counter() == 1) {
        return Some(first);
    }
    is_inherited(zxid, known)
        .then(|| after_inherited(ring, known))
        .flatten()
}

/// Whether a zxid names what the leader's epoch began with: by the last transaction, or by the epoch's own
/// number, which no transaction has and which a leader's tree bears until the first one.
fn is_inherited(zxid: Zxid, known: &Known<'_>) -> bool {
    zxid == known.inherited || zxid == Zxid::of(known.epoch, 0)
}

/// The first transaction of the leader's own epoch in the ring, if no earlier one of the epoch is missing.
fn after_inherited(ring: &[Arc<LoggedTxn>], known: &Known<'_>) -> Option<usize> {
    let own = ring.partition_point(|txn| txn.zxid().epoch() < known.epoch);
    let is_whole = match ring.get(own) {
        Some(txn) => own > 0 || txn.zxid().counter() == 1,
        None => known.applied.epoch() < known.epoch || known.applied.counter() == 0,
    };
    is_whole.then_some(own)
}

/// The newest transaction below `zxid` that the leader has, and where the ring goes on behind it.
fn newest_below(zxid: Zxid, ring: &[Arc<LoggedTxn>], known: &Known<'_>) -> Option<(Zxid, usize)> {
    let next = ring.partition_point(|txn| txn.zxid() < zxid);
    match next.checked_sub(1) {
        Some(index) => Some((ring[index].zxid(), next)),
        None if known.inherited < zxid => Some((known.inherited, after_inherited(ring, known)?)),
        None => None,
    }
}

/// The ring, if it goes on where the leader's epoch began: transactions that were logged without being seen
/// committed may be missing in it before that, and no number tells.
fn joining<'a>(known: &Known<'a>) -> &'a [Arc<LoggedTxn>] {
    let ring = known.committed;
    let own = ring.partition_point(|txn| txn.zxid().epoch() < known.epoch);
    match ring[..own].last() {
        Some(txn) if txn.zxid() != known.inherited => &ring[own..],
        _ => ring,
    }
}

/// The ring from behind its last hole, so that nobody is handed one (ZOOKEEPER-4925).
fn gapless_end(ring: &[Arc<LoggedTxn>]) -> &[Arc<LoggedTxn>] {
    let is_hole = |pair: &[Arc<LoggedTxn>]| !goes_on(pair[0].zxid(), pair[1].zxid());
    let begin = ring.windows(2).rposition(is_hole).map_or(0, |index| index + 1);
    &ring[begin..]
}

/// Whether a transaction may stand directly behind another: the next one, or one of a later epoch, or the
/// first one behind a snapshot that is named by its epoch alone.
pub fn goes_on(last: Zxid, zxid: Zxid) -> bool {
    if zxid.epoch() == last.epoch() {
        return zxid == last.next() || (last.counter() == 0 && zxid > last);
    }
    zxid.epoch() > last.epoch()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::testing::{txn, zxid};

    fn ring(zxids: &[(i64, u32)]) -> Vec<Arc<LoggedTxn>> {
        zxids.iter().map(|&(epoch, n)| txn(zxid(epoch, n))).collect()
    }

    /// Of a leader of epoch 9 that began with the last of `ring` that is older, or with (3, 7).
    fn plan(peer: Zxid, applied: Zxid, ring: &[Arc<LoggedTxn>]) -> SyncPlan {
        let older = ring.iter().rfind(|txn| txn.zxid().epoch() < Epoch(9));
        let known = Known {
            epoch: Epoch(9),
            inherited: older.map_or(zxid(3, 7), |txn| txn.zxid()),
            applied,
            committed: ring,
        };
        SyncPlan::new(peer, &known)
    }

    fn zxids(plan: &SyncPlan) -> Vec<Zxid> {
        plan.txns.iter().map(|txn| txn.zxid()).collect()
    }

    #[test]
    fn each_case_of_java_and_where_we_differ() {
        let ring = ring(&[(2, 8), (2, 9), (3, 1), (3, 2), (3, 3)]);
        let last = zxid(3, 3);
        let plan = |peer| plan(peer, last, &ring);
        // In sync; behind, but in the list; at the oldest one.
        assert_eq!(plan(last).kind, SyncKind::Diff);
        assert!(plan(last).txns.is_empty());
        assert_eq!(zxids(&plan(zxid(2, 9))), [zxid(3, 1), zxid(3, 2), last]);
        assert_eq!(plan(zxid(2, 8)).txns.len(), 4);
        // Ahead of all: cut. Beside the list: cut, then go on.
        assert_eq!(plan(zxid(3, 5)).kind, SyncKind::Trunc(last));
        assert!(plan(zxid(3, 5)).txns.is_empty());
        let beside = plan(zxid(2, 11));
        assert_eq!(beside.kind, SyncKind::Trunc(zxid(2, 9)));
        assert_eq!(zxids(&beside), [zxid(3, 1), zxid(3, 2), last]);
        assert_eq!(beside.through, last);
        // Too far behind.
        assert_eq!(plan(zxid(2, 7)).kind, SyncKind::Snap);
        // Java cuts these two to (3, 3), which the learner may not have.
        assert_eq!(plan(zxid(4, 1)).kind, SyncKind::Snap);
        assert_eq!(plan(zxid(4, 0)).kind, SyncKind::Snap);
        // A learner that got a snapshot before the first transaction of an epoch has what precedes it.
        let fresh = plan(zxid(3, 0));
        assert_eq!((fresh.kind, fresh.txns.len()), (SyncKind::Diff, 3));
    }

    #[test]
    fn without_recent_transactions_only_an_equal_history_needs_no_snapshot() {
        for (peer, kind) in [
            (zxid(3, 7), SyncKind::Diff),
            (zxid(9, 0), SyncKind::Diff),
            (zxid(3, 9), SyncKind::Trunc(zxid(3, 7))),
            (zxid(3, 6), SyncKind::Snap),
            (zxid(4, 1), SyncKind::Snap),
        ] {
            assert_eq!(plan(peer, zxid(9, 0), &[]).kind, kind, "{peer}");
        }
        assert_eq!(plan(zxid(3, 7), zxid(9, 4), &[]).kind, SyncKind::Snap);
        let own = ring(&[(9, 1), (9, 2)]);
        assert_eq!(plan(zxid(3, 7), zxid(9, 2), &own).txns.len(), 2);
        assert_eq!(plan(zxid(9, 0), zxid(9, 2), &own).txns.len(), 2);
        assert_eq!(
            plan(zxid(9, 0), zxid(9, 3), &ring(&[(9, 2), (9, 3)])).kind,
            SyncKind::Snap
        );
    }

    #[test]
    fn a_hole_is_never_handed_on() {
        let ring = ring(&[(3, 1), (3, 2), (3, 4), (3, 5)]);
        assert_eq!(plan(zxid(3, 1), zxid(3, 5), &ring).kind, SyncKind::Snap);
        assert_eq!(plan(zxid(3, 4), zxid(3, 5), &ring).txns.len(), 1);
    }

    #[test]
    fn a_ring_that_lacks_what_the_epoch_began_with_is_used_from_there() {
        let ring = ring(&[(3, 1), (3, 2), (9, 1), (9, 2)]);
        let plan = |peer| {
            let known = Known {
                epoch: Epoch(9),
                inherited: zxid(3, 4),
                applied: zxid(9, 2),
                committed: &ring,
            };
            SyncPlan::new(peer, &known)
        };
        assert_eq!(plan(zxid(3, 2)).kind, SyncKind::Snap);
        assert_eq!(zxids(&plan(zxid(3, 4))), [zxid(9, 1), zxid(9, 2)]);
        assert_eq!(plan(zxid(3, 5)).kind, SyncKind::Trunc(zxid(3, 4)));
    }

    #[test]
    fn heads_are_the_packets_of_java() {
        let ring = ring(&[(3, 1), (3, 2)]);
        let head = |peer| plan(peer, zxid(3, 2), &ring).head();
        let packet = |kind, zxid| Some(QuorumPacket::plain(kind, zxid));
        assert_eq!(head(zxid(3, 1)), packet(PacketType::Diff, zxid(3, 2)));
        assert_eq!(head(zxid(3, 3)), packet(PacketType::Trunc, zxid(3, 2)));
        assert_eq!(head(zxid(2, 9)), None);
    }

    /// Histories as trees: each epoch begins with a beginning of some older history and adds to it.
    #[test]
    fn every_learner_ends_with_the_leader_s_history() {
        let mut random = 7u64;
        let mut draw = move |below: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) as usize % below
        };
        let (mut diffs, mut cuts, mut snaps) = (0, 0, 0);
        for _ in 0..20_000 {
            let mut histories: Vec<Vec<Zxid>> = vec![vec![]];
            for epoch in 1..5 {
                let mut history = histories[draw(histories.len())].clone();
                history.truncate(history.len().saturating_sub(draw(3)));
                (1..=draw(4) as u32).for_each(|n| history.push(zxid(epoch, n)));
                histories.push(history);
            }
            let inherited = histories[draw(histories.len())].clone();
            let own = draw(3) as u32;
            let leader: Vec<Zxid> = inherited
                .iter()
                .copied()
                .chain((1..=own).map(|n| zxid(9, n)))
                .collect();
            let peer_history = &histories[draw(histories.len())];
            let peer = &peer_history[..peer_history.len() - draw(peer_history.len() + 1)];
            let ring: Vec<_> = leader[draw(leader.len() + 1)..].iter().map(|&z| txn(z)).collect();
            let last = |history: &[Zxid]| history.last().copied().unwrap_or(Zxid(0));
            let known = Known {
                epoch: Epoch(9),
                inherited: last(&inherited),
                applied: if own == 0 { zxid(9, 0) } else { last(&leader) },
                committed: &ring,
            };
            let plan = SyncPlan::new(last(peer), &known);
            let mut result = peer.to_vec();
            match plan.kind {
                SyncKind::Snap => {
                    snaps += 1;
                    continue;
                }
                SyncKind::Diff => diffs += 1,
                SyncKind::Trunc(cut) => {
                    cuts += 1;
                    result.retain(|&z| z <= cut);
                    assert_eq!(last(&result), cut, "{peer:?} has not {cut}");
                }
            }
            result.extend(zxids(&plan));
            assert_eq!(result, leader, "{peer:?} by {plan:?} of {known:?}");
        }
        assert!(
            diffs > 1_000 && cuts > 50 && snaps > 1_000,
            "{diffs} {cuts} {snaps}"
        );
    }
}
