//! Each access control list once, however many nodes have it. (ReferenceCountedACLCache)

use std::sync::Arc;

use hashbrown::HashMap;

use crate::proto::{Acl, Perms};

/// The lists in use, with the long numbers by which snapshots name them.
#[derive(Debug)]
pub(super) struct AclCache {
    entries: Vec<Entry>,
    free: Vec<AclRef>,
    by_list: HashMap<Arc<[Acl]>, AclRef>,
    by_id: HashMap<i64, AclRef>,
    last_id: i64,
}

/// A list's place in the cache: what a node stores. Whoever holds one is counted as a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct AclRef(u32);

#[derive(Debug)]
struct Entry {
    id: i64,
    list: Arc<[Acl]>,
    uses: u32,
    known: bool,
}

impl AclCache {
    pub(super) fn new() -> AclCache {
        let open = Entry {
            id: OPEN_ID,
            list: Acl::open().into(),
            uses: 0,
            known: true,
        };
        AclCache {
            entries: vec![open],
            free: Vec::new(),
            by_list: HashMap::new(),
            by_id: HashMap::new(),
            last_id: 0,
        }
    }

    /// Counts a user of a list, which gets the next number if it is new. Null is the open list.
    pub(super) fn intern(&mut self, list: Option<&[Acl]>) -> AclRef {
        let Some(list) = list else {
            return AclRef::OPEN;
        };
        let place = match self.by_list.get(list) {
            Some(&place) => place,
            None => {
                let id = self.unused_id();
                self.add(id, list.into(), true)
            }
        };
        self.entry_mut(place).uses += 1;
        place
    }

    /// A user is gone; with the last one goes the list.
    pub(super) fn release(&mut self, place: AclRef) {
        if place == AclRef::OPEN {
            return;
        }
        let entry = self.entry_mut(place);
        entry.uses = entry.uses.saturating_sub(1);
        if entry.uses == 0 {
            self.forget(place);
        }
    }

    /// The list itself.
    pub(super) fn list(&self, place: AclRef) -> &Arc<[Acl]> {
        &self.entries[place.0 as usize].list
    }

    /// The number by which a snapshot names the list.
    pub(super) fn id(&self, place: AclRef) -> i64 {
        self.entries[place.0 as usize].id
    }

    /// Whether the list is what was once asked for, not a stand-in for a lost one.
    pub(super) fn is_known(&self, place: AclRef) -> bool {
        self.entries[place.0 as usize].known
    }

    /// The lists and their numbers, in the order of the numbers. The open list is not among them.
    pub(super) fn lists(&self) -> Vec<(i64, Arc<[Acl]>)> {
        let used = self.entries.iter().filter(|entry| entry.uses > 0);
        let mut lists: Vec<_> = used.map(|entry| (entry.id, entry.list.clone())).collect();
        lists.sort_unstable_by_key(|&(id, _)| id);
        lists
    }

    /// How many lists there are, besides the open one.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// A list out of a snapshot, not used by anybody yet.
    pub(super) fn load(&mut self, id: i64, list: Vec<Acl>) {
        // The open list's number means null to every reader; an entry for it could never be meant.
        if id != OPEN_ID {
            if let Some(old) = self.by_id.get(&id).copied() {
                self.forget(old);
            }
            self.add(id, list.into(), true);
        }
    }

    /// Counts a user of the list with this number. If there is none, a stand-in takes its place that lets
    /// nobody do anything: the safe side of a snapshot that lost a list (ZOOKEEPER-3306).
    pub(super) fn use_id(&mut self, id: i64) -> AclRef {
        if id == OPEN_ID {
            return AclRef::OPEN;
        }
        let place = match self.by_id.get(&id) {
            Some(&place) => place,
            None => self.add(id, nobody(), false),
        };
        self.entry_mut(place).uses += 1;
        place
    }

    /// Drops the loaded lists that no node uses.
    pub(super) fn purge_unused(&mut self) {
        let places = (1..self.entries.len() as u32).map(AclRef);
        let unused = |place: &AclRef| self.entries[place.0 as usize].uses == 0;
        for place in places.filter(unused).collect::<Vec<_>>() {
            self.forget(place);
        }
    }

    fn add(&mut self, id: i64, list: Arc<[Acl]>, known: bool) -> AclRef {
        let entry = Entry {
            id,
            list: list.clone(),
            uses: 0,
            known,
        };
        let place = match self.free.pop() {
            Some(place) => {
                *self.entry_mut(place) = entry;
                place
            }
            None => {
                self.entries.push(entry);
                AclRef(self.entries.len() as u32 - 1)
            }
        };
        if known {
            self.by_list.insert(list, place);
        }
        self.by_id.insert(id, place);
        self.last_id = self.last_id.max(id);
        place
    }

    fn forget(&mut self, place: AclRef) {
        let entry = &self.entries[place.0 as usize];
        // A snapshot may hold a list under two numbers, or this place may be free already.
        if self.by_list.get(&entry.list) == Some(&place) {
            self.by_list.remove(&entry.list);
        }
        if self.by_id.get(&entry.id) == Some(&place) {
            self.by_id.remove(&entry.id);
            self.free.push(place);
            // The free place holds on to nothing.
            self.entries[place.0 as usize].list = self.list(AclRef::OPEN).clone();
        }
    }

    /// The number after the largest; from 1 again should a snapshot have held the very largest.
    fn unused_id(&self) -> i64 {
        let start = self.last_id.checked_add(1).unwrap_or(1);
        (start..=i64::MAX)
            .find(|id| !self.by_id.contains_key(id))
            .unwrap_or(i64::MAX)
    }

    fn entry_mut(&mut self, place: AclRef) -> &mut Entry {
        &mut self.entries[place.0 as usize]
    }
}

impl AclRef {
    /// The list of those that have none: open to everybody.
    pub(super) const OPEN: AclRef = AclRef(0);
}

/// An entry without permissions. (An empty list would let everybody do everything.)
fn nobody() -> Arc<[Acl]> {
    [Acl::new(Perms(0), "world", "anyone")].into()
}

/// What a snapshot says of a node without a list. (OPEN_UNSAFE_ACL_ID)
const OPEN_ID: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    fn list(name: &str) -> Vec<Acl> {
        vec![Acl::new(Perms::READ, "digest", name)]
    }

    #[test]
    fn a_list_lives_as_long_as_its_users_and_numbers_are_not_used_again() {
        let mut cache = AclCache::new();
        let first = cache.intern(Some(&list("a")));
        assert_eq!((cache.id(first), cache.intern(Some(&list("a")))), (1, first));
        cache.release(first);
        assert_eq!(cache.lists().len(), 1);
        cache.release(first);
        assert_eq!(cache.lists().len(), 0);
        let again = cache.intern(Some(&list("a")));
        assert_eq!((cache.id(again), &cache.list(again)[..]), (2, &list("a")[..]));
    }

    #[test]
    fn null_is_the_open_list_and_is_never_stored() {
        let mut cache = AclCache::new();
        let open = cache.intern(None);
        assert_eq!((cache.id(open), &cache.list(open)[..]), (-1, &Acl::open()[..]));
        cache.release(open);
        // The same list, asked for by name, is an ordinary one.
        let named = cache.intern(Some(&Acl::open()));
        assert_eq!((cache.id(named), cache.lists().len()), (1, 1));
    }

    /// ZOOKEEPER-2808.
    #[test]
    fn loading_counts_afresh_and_drops_what_nobody_uses() {
        let mut cache = AclCache::new();
        cache.load(7, list("a"));
        cache.load(3, list("b"));
        cache.load(-1, list("c"));
        let used = cache.use_id(3);
        cache.purge_unused();
        assert_eq!(cache.lists(), [(3, list("b").into())]);
        let fresh = cache.intern(Some(&list("a")));
        assert_eq!(cache.id(fresh), 8);
        cache.release(used);
        assert_eq!(cache.lists(), [(8, list("a").into())]);
    }

    #[test]
    fn an_unknown_number_shuts_everybody_out() {
        let mut cache = AclCache::new();
        let lost = cache.use_id(5);
        assert!(!cache.is_known(lost));
        assert_eq!(cache.list(lost)[0].perms, Perms(0));
        assert_eq!(cache.use_id(5), lost);
        // Nobody who asks for such a list by name gets the stand-in.
        let named = cache.intern(Some(&nobody()));
        assert_ne!(named, lost);
    }

    #[test]
    fn the_largest_number_in_a_snapshot_does_not_overflow() {
        let mut cache = AclCache::new();
        cache.load(i64::MAX, list("a"));
        cache.load(1, list("b"));
        cache.use_id(i64::MAX);
        let fresh = cache.intern(Some(&list("c")));
        assert_eq!(cache.id(fresh), 2);
    }
}
