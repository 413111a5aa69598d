//! A file's bytes: those that are seen, and those that would survive.

use std::ops::Range;
use std::sync::Arc;

use super::Crash;

#[derive(Clone, Default)]
pub(super) struct Inode {
    /// As processes see it.
    pub(super) now: Vec<u8>,
    /// As it survives.
    safe: Vec<u8>,
    /// What was written since the last sync.
    dirty: Vec<Range<usize>>,
    /// Where the furthest byte written ends: so much room it takes. Zeros that it grew by take none.
    pub(super) filled: usize,
    /// Whether the length changed since.
    new_length: bool,
    /// One for each that has the file open, and one.
    pub(super) users: Arc<()>,
}

impl Inode {
    pub(super) fn safe(bytes: Vec<u8>) -> Inode {
        Inode {
            filled: bytes.len(),
            safe: bytes.clone(),
            now: bytes,
            ..Inode::default()
        }
    }

    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if end > self.now.len() {
            self.now.resize(end, 0);
            self.new_length = true;
        }
        self.now[at..end].copy_from_slice(bytes);
        self.filled = self.filled.max(end);
        self.dirty.push(at..end);
    }

    pub(super) fn set_len(&mut self, bytes: usize) {
        self.dirty.push(self.now.len().min(bytes)..bytes);
        self.now.resize(bytes, 0);
        self.filled = self.filled.min(bytes);
        self.new_length = true;
    }

    pub(super) fn sync(&mut self) {
        if self.new_length {
            self.safe.resize(self.now.len(), 0);
        }
        for range in std::mem::take(&mut self.dirty) {
            self.keep(range);
        }
        self.new_length = false;
    }

    pub(super) fn forget_dirty(&mut self) {
        self.dirty.clear();
        self.new_length = false;
    }

    pub(super) fn crash(&mut self, dice: &mut Dice) {
        if self.new_length && dice.keeps() {
            self.safe.resize(self.now.len(), 0);
        }
        for range in std::mem::take(&mut self.dirty) {
            let mut at = range.start;
            while at < range.end {
                let end = range.end.min((at / BLOCK_BYTES + 1) * BLOCK_BYTES);
                if dice.keeps() {
                    self.keep(at..end);
                }
                at = end;
            }
        }
        self.new_length = false;
        self.now = self.safe.clone();
    }

    /// Makes a range safe, as far as both versions of the file reach.
    fn keep(&mut self, range: Range<usize>) {
        let end = range.end.min(self.now.len()).min(self.safe.len());
        if range.start < end {
            self.safe[range.start..end].copy_from_slice(&self.now[range.start..end]);
        }
    }
}

/// Decides what survives. (splitmix64)
pub(super) enum Dice {
    Always(bool),
    Seeded(u64),
}

impl Dice {
    pub(super) fn of(crash: Crash) -> Dice {
        match crash {
            Crash::LoseUnsynced => Dice::Always(false),
            Crash::KeepAll => Dice::Always(true),
            Crash::Mixed(seed) => Dice::Seeded(seed),
        }
    }

    pub(super) fn keeps(&mut self) -> bool {
        match self {
            Dice::Always(keeps) => *keeps,
            Dice::Seeded(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                (mixed ^ (mixed >> 31)) & 1 == 0
            }
        }
    }
}

/// What a disk writes whole or not at all.
pub(super) const BLOCK_BYTES: usize = 512;
