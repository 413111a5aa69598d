//! A store of values under small numbers, which grows in chunks: growing never moves what is stored.

use std::ops::{Index, IndexMut};

/// Values under `u32` numbers. A number is used again after its value is removed.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Vec<Slot<T>>>,
    first_free: Option<u32>,
    len: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Used(T),
    Free { next: Option<u32> },
}

impl<T> Slab<T> {
    pub(super) fn new() -> Slab<T> {
        Slab {
            chunks: Vec::new(),
            first_free: None,
            len: 0,
        }
    }

    /// How many values are stored.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// One more than the largest number ever given.
    pub(super) fn bound(&self) -> usize {
        match self.chunks.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Stores a value and says under which number.
    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if let Some(id) = self.first_free {
            let slot = &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK];
            if let Slot::Free { next } = *slot {
                self.first_free = next;
            }
            *slot = Slot::Used(value);
            return id;
        }
        let id = u32::try_from(self.bound()).expect("memory ends long before the numbers do");
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(Slot::Used(value)),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(Slot::Used(value));
                self.chunks.push(chunk);
            }
        }
        id
    }

    /// Takes a value out. `None` if the number is free.
    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let slot = self
            .chunks
            .get_mut(id as usize / CHUNK)?
            .get_mut(id as usize % CHUNK)?;
        if matches!(slot, Slot::Free { .. }) {
            return None;
        }
        let free = Slot::Free {
            next: self.first_free,
        };
        let Slot::Used(value) = std::mem::replace(slot, free) else {
            return None;
        };
        self.first_free = Some(id);
        self.len -= 1;
        Some(value)
    }

    pub(super) fn get(&self, id: u32) -> Option<&T> {
        match self.chunks.get(id as usize / CHUNK)?.get(id as usize % CHUNK)? {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        match self
            .chunks
            .get_mut(id as usize / CHUNK)?
            .get_mut(id as usize % CHUNK)?
        {
            Slot::Used(value) => Some(value),
            Slot::Free { .. } => None,
        }
    }
}

/// A number that is not in use is a bug of this room: numbers never come from outside.
impl<T> Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, id: u32) -> &T {
        self.get(id).expect("the number is in use")
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, id: u32) -> &mut T {
        self.get_mut(id).expect("the number is in use")
    }
}

/// Small enough that a fresh chunk costs microseconds, large enough that their list stays short.
const CHUNK: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_used_again() {
        let mut slab = Slab::new();
        let ids: Vec<u32> = (0..2500).map(|value| slab.insert(value)).collect();
        assert_eq!((ids[2499], slab.len(), slab.bound()), (2499, 2500, 2500));
        assert_eq!(
            (slab.remove(7), slab.remove(7), slab.remove(9999)),
            (Some(7), None, None)
        );
        assert_eq!(slab.remove(1030), Some(1030));
        assert_eq!((slab.insert(1), slab.insert(2), slab.insert(3)), (1030, 7, 2500));
        assert_eq!((slab[7], slab.get(2501), slab.len()), (2, None, 2501));
    }
}
