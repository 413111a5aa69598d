//! The last transactions that were committed, from which learners catch up. (ZKDatabase.committedLog)

use std::collections::VecDeque;
use std::sync::Arc;

use crate::proto::Zxid;
use crate::proto::txn::LoggedTxn;

/// A ring of transactions whose zxids rise without a hole.
///
/// What stands before a hole is dropped when the hole shows, so that no learner is ever handed one
/// (ZOOKEEPER-4925).
#[derive(Debug, Clone)]
pub struct CommittedLog {
    txns: VecDeque<Arc<LoggedTxn>>,
    limit: usize,
}

impl CommittedLog {
    /// An empty ring for so many transactions. (3.4.14: [`CommittedLog::DEFAULT_LIMIT`])
    pub fn new(limit: usize) -> CommittedLog {
        CommittedLog {
            txns: VecDeque::new(),
            limit,
        }
    }

    /// How many 3.4.14 keeps. (ZKDatabase.commitLogCount)
    pub const DEFAULT_LIMIT: usize = 500;

    /// Adds the newest.
    pub fn push(&mut self, txn: Arc<LoggedTxn>) {
        if self.max_zxid().is_some_and(|max| !goes_on(max, txn.zxid())) {
            self.txns.clear();
        }
        self.txns.push_back(txn);
        while self.txns.len() > self.limit {
            self.txns.pop_front();
        }
    }

    /// Forgets all: the tree was replaced.
    pub fn clear(&mut self) {
        self.txns.clear();
    }

    /// The oldest. (minCommittedLog)
    pub fn min_zxid(&self) -> Option<Zxid> {
        self.txns.front().map(|txn| txn.zxid())
    }

    /// The newest. (maxCommittedLog)
    pub fn max_zxid(&self) -> Option<Zxid> {
        self.txns.back().map(|txn| txn.zxid())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.txns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.txns.is_empty()
    }

    /// All of them, the oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<LoggedTxn>> {
        self.txns.iter()
    }
}

/// Whether a transaction may stand behind another: the next one, or one of a later epoch.
fn goes_on(max: Zxid, zxid: Zxid) -> bool {
    zxid.0.checked_sub(1) == Some(max.0) || zxid.epoch() > max.epoch()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::txn::{Txn, TxnHeader};
    use crate::proto::{OpCode, SessionId, Xid};

    fn ring(limit: usize, zxids: &[i64]) -> CommittedLog {
        let mut ring = CommittedLog::new(limit);
        for zxid in zxids {
            let header = TxnHeader {
                session: SessionId(1),
                cxid: Xid(1),
                zxid: Zxid(*zxid),
                time_ms: 0,
                op: OpCode::CloseSession.number(),
            };
            ring.push(Arc::new(LoggedTxn::new(header, &Txn::CloseSession)));
        }
        ring
    }

    fn zxids(ring: &CommittedLog) -> Vec<i64> {
        ring.iter().map(|txn| txn.zxid().0).collect()
    }

    #[test]
    fn it_keeps_the_newest() {
        let ring = ring(3, &[1, 2, 3, 4, 5]);
        assert_eq!(zxids(&ring), [3, 4, 5]);
        assert_eq!((ring.min_zxid(), ring.max_zxid()), (Some(Zxid(3)), Some(Zxid(5))));
        assert_eq!(CommittedLog::new(3).max_zxid(), None);
    }

    #[test]
    fn it_never_holds_a_hole() {
        assert_eq!(zxids(&ring(9, &[1, 2, 4, 5])), [4, 5]);
        assert_eq!(zxids(&ring(9, &[4, 5, 3])), [3]);
        let epochs = [7, 8, 0x1_0000_0001, 0x1_0000_0002];
        assert_eq!(zxids(&ring(9, &epochs)), epochs);
    }
}
