//! A number that stands for the whole tree: servers that are at the same transaction with different numbers have
//! different trees. (DigestCalculator, AdHash and DataTree.digestLog of 3.9)
//!
//! Each node has a checksum of its path, data and stat; the tree has their sum, so that a change costs the checksums
//! of the nodes that it touches, before and after. Lists of access are not part of it, nor is anything below
//! `/zookeeper`, as in 3.9.

use std::collections::VecDeque;

use byteorder::{BigEndian, ByteOrder};
use crc32fast::Hasher;

use super::data_tree::{DataTree, NodeRef};
use crate::proto::Zxid;

/// The sum, and what it was at earlier transactions.
#[derive(Debug, Default)]
pub(super) struct TreeDigest {
    sum: i64,
    history: VecDeque<(Zxid, i64)>,
}

/// What is different if a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It is about to change.
    Before,
    /// It has changed.
    After,
}

impl DataTree {
    /// Keeps a digest of the tree from now on. It takes one walk, and then a little with each change.
    pub fn keep_digest(&mut self) {
        let ids = (0..self.nodes.bound() as u32).filter(|&id| self.nodes.get(id).is_some());
        let sums = ids.map(|id| checksum(&self.path_of(id), self.node_ref(id)));
        let sum = sums.fold(0, i64::wrapping_add);
        let history = VecDeque::new();
        self.digest = Some(TreeDigest { sum, history });
    }

    /// The tree's digest after each 128th transaction, the newest last, 1,024 at most; none if none is kept.
    pub fn digests(&self) -> impl Iterator<Item = (Zxid, i64)> + '_ {
        self.digest
            .iter()
            .flat_map(|digest| digest.history.iter().copied())
    }

    /// A node is about to change, or has changed.
    pub(super) fn digest_node(&mut self, side: Side, id: u32, path: &str) {
        if self.digest.is_none() {
            return;
        }
        let own = checksum(path, self.node_ref(id));
        if let Some(digest) = &mut self.digest {
            digest.sum = match side {
                Side::Before => digest.sum.wrapping_sub(own),
                Side::After => digest.sum.wrapping_add(own),
            };
        }
    }

    /// The tree is at this transaction.
    pub(super) fn note_digest(&mut self, zxid: Zxid) {
        let Some(digest) = &mut self.digest else { return };
        if zxid.0 % INTERVAL == 0 {
            digest.history.push_back((zxid, digest.sum));
            if digest.history.len() > LONGEST {
                digest.history.pop_front();
            }
        }
    }
}

/// (DigestCalculator.calculateDigest)
fn checksum(path: &str, node: NodeRef<'_>) -> i64 {
    if path.starts_with("/zookeeper/") {
        return 0;
    }
    let stat = node.stat();
    let mut fields = [0; 60];
    let longs = [stat.czxid.0, stat.mzxid.0, stat.pzxid.0, stat.ctime, stat.mtime];
    for (place, long) in fields.chunks_exact_mut(8).zip(longs) {
        BigEndian::write_i64(place, long);
    }
    BigEndian::write_i32_into(&[stat.version, stat.cversion, stat.aversion], &mut fields[40..52]);
    BigEndian::write_i64(&mut fields[52..], stat.ephemeral_owner);
    let mut crc = Hasher::new();
    crc.update(if path == "/" { b"" } else { path.as_bytes() });
    crc.update(node.data().unwrap_or_default());
    crc.update(&fields);
    i64::from(crc.finalize())
}

/// A digest is noted after each transaction whose number is a multiple of this. (DataTree.DIGEST_LOG_INTERVAL)
const INTERVAL: i64 = 128;
/// So many are kept. (DataTree.DIGEST_LOG_LIMIT)
const LONGEST: usize = 1_024;
