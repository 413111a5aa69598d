//! The list of a node's children, which may be very long and is shared with walks.
//!
//! A copy costs next to nothing; a change of a list that is shared copies no more than one block of it. So a
//! node with a million children neither stops a writer while a snapshot is taken nor is ever copied whole.

use std::sync::Arc;

/// Numbers of nodes, each at a slot. A clone shares the numbers until one of both changes.
#[derive(Debug, Clone)]
pub(super) struct Children {
    list: Option<Arc<List>>,
}

#[derive(Debug, Clone)]
enum List {
    Short(Vec<u32>),
    // All blocks but the last are full.
    Long(Vec<Arc<Vec<u32>>>),
}

impl Children {
    pub(super) const fn new() -> Children {
        Children { list: None }
    }

    pub(super) fn len(&self) -> usize {
        match self.list.as_deref() {
            None => 0,
            Some(List::Short(ids)) => ids.len(),
            Some(List::Long(blocks)) => match blocks.split_last() {
                Some((last, full)) => full.len() * BLOCK + last.len(),
                None => 0,
            },
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_none()
    }

    /// The number at a slot.
    pub(super) fn get(&self, slot: usize) -> Option<u32> {
        match self.list.as_deref()? {
            List::Short(ids) => ids.get(slot).copied(),
            List::Long(blocks) => blocks.get(slot / BLOCK)?.get(slot % BLOCK).copied(),
        }
    }

    /// All numbers, by slot.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len()).filter_map(|slot| self.get(slot))
    }

    /// Adds a number and says at which slot.
    pub(super) fn push(&mut self, id: u32) -> u32 {
        let slot = self.len() as u32;
        let list = self.list.get_or_insert_with(|| Arc::new(List::Short(Vec::new())));
        let list = Arc::make_mut(list);
        if let List::Short(ids) = list {
            if ids.len() < BLOCK {
                ids.push(id);
                return slot;
            }
            *list = List::Long(vec![Arc::new(std::mem::take(ids))]);
        }
        if let List::Long(blocks) = list {
            match blocks.last_mut() {
                Some(last) if last.len() < BLOCK => Arc::make_mut(last).push(id),
                _ => blocks.push(Arc::new(vec![id])),
            }
        }
        slot
    }

    /// Removes the number at a slot. The last one takes the slot and is told, unless it was the one.
    pub(super) fn swap_remove(&mut self, slot: u32) -> Option<u32> {
        let slot = slot as usize;
        let last = self.len().checked_sub(1)?;
        if last == 0 {
            self.list = None;
            return None;
        }
        let moved = match Arc::make_mut(self.list.as_mut()?) {
            List::Short(ids) => ids.pop()?,
            List::Long(blocks) => pop(blocks)?,
        };
        if slot == last {
            return None;
        }
        match Arc::make_mut(self.list.as_mut()?) {
            List::Short(ids) => *ids.get_mut(slot)? = moved,
            List::Long(blocks) => {
                *Arc::make_mut(blocks.get_mut(slot / BLOCK)?).get_mut(slot % BLOCK)? = moved
            }
        }
        Some(moved)
    }
}

fn pop(blocks: &mut Vec<Arc<Vec<u32>>>) -> Option<u32> {
    let last = Arc::make_mut(blocks.last_mut()?);
    let id = last.pop();
    if last.is_empty() {
        blocks.pop();
    }
    id
}

/// A block takes 16 KiB: microseconds to copy.
const BLOCK: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Grows and shrinks beside a plain vector, across the borders of blocks, while copies are held.
    #[test]
    fn a_list_does_what_a_vector_does_and_its_copies_stay() {
        let (mut list, mut plain) = (Children::new(), Vec::new());
        let mut copies = Vec::new();
        let mut next = 0;
        for turn in 0..60_000usize {
            if turn % 5 < 3 || turn < 3 * BLOCK {
                assert_eq!(list.push(next) as usize, plain.len());
                plain.push(next);
                next += 1;
            } else {
                let slot = turn * 7919 % plain.len();
                plain.swap_remove(slot);
                assert_eq!(list.swap_remove(slot as u32), plain.get(slot).copied());
            }
            if turn % 9000 == 0 {
                copies.push((list.clone(), plain.clone()));
            }
        }
        copies.push((list.clone(), plain.clone()));
        for (list, plain) in &copies {
            assert_eq!(
                (list.iter().collect::<Vec<_>>(), list.len()),
                (plain.clone(), plain.len())
            );
        }
        while !plain.is_empty() {
            plain.pop();
            assert_eq!(list.swap_remove(plain.len() as u32), None);
        }
        assert!(list.list.is_none());
        assert_eq!(list.swap_remove(0), None);
    }
}
