//! What prepared changes add to subtrees with a quota, until the tree has counted them itself. So a burst of writes
//! gets no further over a hard limit than one write would.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::proto::Zxid;
use crate::tree::Amount;

/// The changes in flight, and their sums. Empty unless quotas are kept to.
#[derive(Debug, Default)]
pub struct QuotaUse {
    in_order: VecDeque<(Zxid, Arc<str>, Amount)>,
    sums: HashMap<Arc<str>, Amount>,
    /// So many changes are the newest transaction's.
    newest: usize,
}

impl QuotaUse {
    /// Begins a transaction: what is added until [`QuotaUse::roll_back`] can be taken back.
    pub fn begin(&mut self) {
        self.newest = 0;
    }

    /// A change of this transaction adds so much to the subtree of this path.
    pub fn add(&mut self, zxid: Zxid, limited: &str, added: Amount) {
        let limited: Arc<str> = Arc::from(limited);
        self.change(&limited, added, 1);
        self.in_order.push_back((zxid, limited, added));
        self.newest += 1;
    }

    /// Takes back everything since [`QuotaUse::begin`].
    pub fn roll_back(&mut self) {
        for _ in 0..std::mem::take(&mut self.newest) {
            if let Some((_, limited, added)) = self.in_order.pop_back() {
                self.change(&limited, added, -1);
            }
        }
    }

    /// Forgets what the tree has counted: all up to this transaction.
    pub fn forget(&mut self, counted: Zxid) {
        while let Some((_, limited, added)) = self.in_order.pop_front_if(|(zxid, ..)| *zxid <= counted) {
            self.change(&limited, added, -1);
        }
    }

    /// What the changes in flight add to the subtree of this path.
    pub fn of(&self, limited: &str) -> Amount {
        self.sums.get(limited).copied().unwrap_or_default()
    }

    fn change(&mut self, limited: &Arc<str>, added: Amount, sign: i64) {
        let sum = self.sums.entry(Arc::clone(limited)).or_default();
        sum.count += sign * added.count;
        sum.bytes += sign * added.bytes;
        if *sum == Amount::default() {
            self.sums.remove(limited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(count: i64, bytes: i64) -> Amount {
        Amount { count, bytes }
    }

    #[test]
    fn changes_count_until_the_tree_has_them() {
        let mut uses = QuotaUse::default();
        uses.begin();
        uses.add(Zxid(1), "/a", amount(1, 10));
        uses.add(Zxid(1), "/b", amount(1, 1));
        uses.begin();
        uses.add(Zxid(2), "/a", amount(-1, -4));
        assert_eq!(uses.of("/a"), amount(0, 6));
        uses.forget(Zxid(1));
        assert_eq!((uses.of("/a"), uses.of("/b")), (amount(-1, -4), amount(0, 0)));
        uses.forget(Zxid(2));
        assert!(uses.sums.is_empty() && uses.in_order.is_empty());
    }

    #[test]
    fn a_transaction_that_fails_leaves_nothing() {
        let mut uses = QuotaUse::default();
        uses.begin();
        uses.add(Zxid(1), "/a", amount(1, 10));
        uses.begin();
        uses.add(Zxid(2), "/a", amount(1, 1));
        uses.add(Zxid(2), "/a", amount(1, 1));
        uses.roll_back();
        uses.roll_back();
        assert_eq!(uses.of("/a"), amount(1, 10));
    }
}
