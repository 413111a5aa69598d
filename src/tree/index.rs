//! From a hash to a number, in many small tables: growing one of them takes microseconds, not the
//! tenths of a second that one table of millions would stop the server for.

use hashbrown::HashTable;

/// Numbers found by hash; whoever asks compares the values. Each entry takes 9 bytes of a table.
#[derive(Debug)]
pub(super) struct ShardedIndex {
    shards: Box<[HashTable<Entry>]>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    // Kept, so that a growing table need not visit what the numbers stand for.
    hash: u32,
    id: u32,
}

impl ShardedIndex {
    pub(super) fn new() -> ShardedIndex {
        let shards = (0..1usize << SHARD_BITS).map(|_| HashTable::new());
        ShardedIndex {
            shards: shards.collect(),
        }
    }

    /// The number with this hash for which `is_it` says yes.
    pub(super) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let found = |entry: &Entry| entry.hash == hash && is_it(entry.id);
        Some(self.shards[shard(hash)].find(spread(hash), found)?.id)
    }

    /// Adds a number. It must not be there yet.
    pub(super) fn insert(&mut self, hash: u32, id: u32) {
        let entry = Entry { hash, id };
        self.shards[shard(hash)].insert_unique(spread(hash), entry, |entry| spread(entry.hash));
    }

    /// Removes a number if it is there.
    pub(super) fn remove(&mut self, hash: u32, id: u32) {
        let table = &mut self.shards[shard(hash)];
        if let Ok(entry) = table.find_entry(spread(hash), |entry| entry.id == id) {
            entry.remove();
        }
    }
}

/// Folds a hasher's 64 bits.
pub(super) fn fold(hash: u64) -> u32 {
    (hash ^ (hash >> 32)) as u32
}

fn shard(hash: u32) -> usize {
    hash as usize & ((1 << SHARD_BITS) - 1)
}

/// A table takes its place from the low bits and its tag from the high ones; those that chose the shard
/// are the same for all of its entries and must be neither.
fn spread(hash: u32) -> u64 {
    u64::from(hash >> SHARD_BITS) | (u64::from(hash) << 32)
}

/// A thousand tables: 32 KiB when empty, some thousand entries each when the tree holds millions.
const SHARD_BITS: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_are_told_apart_by_the_question() {
        let mut index = ShardedIndex::new();
        (0..5000).for_each(|id| index.insert(id % 3, id));
        assert_eq!(index.find(1, |id| id == 4), Some(4));
        assert_eq!(index.find(1, |id| id == 5), None);
        index.remove(1, 4);
        assert_eq!(index.find(1, |id| id == 4), None);
        assert_eq!(index.find(1, |id| id == 7), Some(7));
    }
}
