//! A disk in memory with honest crash semantics, for tests and simulation.
//!
//! It keeps apart what processes see and what would survive a loss of power: bytes survive after
//! [`DiskFile::sync`], names after [`Disk::sync_dir`] of their directory. What is in between is lost, kept or
//! torn at a crash, as the caller of [`MemDisk::crash`] wishes. Every change counts as one operation, and a
//! [`Fault`] can be laid on any of them, so that a test can go through all of them one by one.

mod inode;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};
use inode::{Dice, Inode};

/// A file system in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct MemDisk {
    state: Arc<Mutex<State>>,
}

/// What befalls one operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and changes nothing. A failed sync also forgets what was to be synced, as Linux does: a later
    /// sync of the file succeeds and does not make those bytes safe.
    Error(io::ErrorKind),
    /// A write puts half of its bytes in place and fails; other operations fail as by `Error`.
    Torn,
    /// The power goes while it is under way: it may have happened or not, and nothing works until
    /// [`MemDisk::crash`].
    PowerOff,
}

/// What a loss of power leaves of the changes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    LoseUnsynced,
    /// All of them: the machine went on, only the process died.
    KeepAll,
    /// Any of them, block by block of 512 bytes and name by name, chosen by this seed.
    Mixed(u64),
}

impl MemDisk {
    /// An empty disk.
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// Another disk in the same state: many runs can begin with one history.
    pub fn fork(&self) -> MemDisk {
        let mut state = self.lock().clone();
        // Whoever has a file open has it open on the first disk.
        state
            .files
            .values_mut()
            .for_each(|file| file.users = Arc::default());
        state.forget_unused();
        MemDisk {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// How many changes were asked for so far: each write, length, sync, name and directory is one.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lays a fault on the operation with this number; the first one ever is 1.
    pub fn fault_at(&self, operation: u64, fault: Fault) {
        self.lock().faults.insert(operation, fault);
    }

    /// Lifts all faults that are laid.
    pub fn lift_faults(&self) {
        self.lock().faults.clear();
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        self.lock().power_off
    }

    /// Bounds how many bytes all files may hold together. Writes beyond it fail as on a full disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.lock().capacity = bytes;
    }

    /// The power goes, if it has not yet, and comes back. Open files are closed, laid faults are lifted.
    pub fn crash(&self, crash: Crash) {
        let mut state = self.lock();
        let mut dice = Dice::of(crash);
        for file in state.files.values_mut() {
            file.crash(&mut dice);
        }
        let mut names = std::mem::take(&mut state.safe_names);
        for change in std::mem::take(&mut state.unsynced) {
            if dice.keeps() {
                change.apply(&mut names);
            }
        }
        // A file or directory is lost with the directory above it.
        let lost = |path: &Path| path.ancestors().skip(1).any(|dir| !is_dir(&names, dir));
        let kept = names.iter().filter(|(path, _)| !lost(path));
        let kept: BTreeMap<PathBuf, Entry> = kept.map(|(path, entry)| (path.clone(), *entry)).collect();
        state.safe_names = kept.clone();
        state.names = kept;
        state.generation += 1;
        state.power_off = false;
        state.faults.clear();
        state.forget_unused();
    }

    /// The process dies, the machine goes on: open files are closed, and what was not synced stays so, to be lost
    /// when the power goes.
    pub fn kill(&self) {
        self.lock().generation += 1;
    }

    /// The bytes of a file as a process would read them.
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.lock();
        match state.names.get(path) {
            Some(Entry::File(number)) => state.files.get(number).map(|file| file.now.clone()),
            _ => None,
        }
    }

    /// Puts a file in place, safe at once, with the directories above it: the beginning of a test.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.lock();
        let number = state.new_file();
        state.files.insert(number, Inode::safe(bytes.to_vec()));
        for dir in path.ancestors().skip(1).filter(|dir| !is_root(dir)) {
            state.names.insert(dir.to_owned(), Entry::Dir);
            state.safe_names.insert(dir.to_owned(), Entry::Dir);
        }
        state.names.insert(path.to_owned(), Entry::File(number));
        state.safe_names.insert(path.to_owned(), Entry::File(number));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements: a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, number: u64, writable: bool) -> Box<dyn DiskFile> {
        let state = self.lock();
        let generation = state.generation;
        let user = state.files.get(&number).map(|file| Arc::clone(&file.users));
        Box::new(MemFile {
            disk: self.clone(),
            number,
            _user: user,
            generation,
            writable,
            position: 0,
        })
    }

    fn open_as(&self, path: &Path, writable: bool) -> io::Result<Box<dyn DiskFile>> {
        let number = {
            let state = self.lock();
            state.powered()?;
            state.file(path)?
        };
        Ok(self.handle(number, writable))
    }
}

impl Disk for MemDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_as(path, false)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.open_as(path, true)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let number = {
            let mut state = self.lock();
            let outcome = state.begin()?;
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.in_dir(path)?;
            let number = state.new_file();
            state.files.insert(number, Inode::default());
            state.change(NameChange::Put(path.to_owned(), Entry::File(number)));
            outcome.end()?;
            number
        };
        Ok(self.handle(number, true))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = state.begin()?;
        let number = state.file(from)?;
        state.in_dir(to)?;
        state.change(NameChange::Move(
            from.to_owned(),
            to.to_owned(),
            Entry::File(number),
        ));
        outcome.end()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = state.begin()?;
        state.file(path)?;
        state.change(NameChange::Remove(path.to_owned()));
        outcome.end()
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.lock();
        state.powered()?;
        if !is_dir(&state.names, dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let files = state.names.iter().filter(|(path, entry)| {
            path.parent() == Some(dir) && matches!(entry, Entry::File(_)) // BTreeMap: by name already
        });
        Ok(files.map(|(path, _)| path.clone()).collect())
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = state.begin()?;
        let missing: Vec<&Path> = dir.ancestors().filter(|dir| !is_root(dir)).collect();
        for dir in missing.into_iter().rev() {
            match state.names.get(dir) {
                Some(Entry::Dir) => {}
                Some(Entry::File(_)) => return Err(io::ErrorKind::AlreadyExists.into()),
                None => state.change(NameChange::Put(dir.to_owned(), Entry::Dir)),
            }
        }
        outcome.end()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let outcome = state.begin()?;
        if !is_dir(&state.names, dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        outcome.end()?;
        let unsynced = std::mem::take(&mut state.unsynced);
        let (synced, rest) = unsynced.into_iter().partition(|change| change.is_in(dir));
        state.unsynced = rest;
        let synced: Vec<NameChange> = synced;
        let removes = synced.iter().any(|change| !matches!(change, NameChange::Put(..)));
        for change in synced {
            change.apply(&mut state.safe_names);
        }
        if removes {
            state.forget_unused();
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> bool {
        let state = self.lock();
        state.names.contains_key(path) || is_root(path)
    }

    /// Always free: a disk in memory belongs to one server.
    fn lock_dir(&self, _dir: &Path) -> io::Result<Box<dyn Send>> {
        Ok(Box::new(()))
    }
}

#[derive(Clone, Default)]
struct State {
    /// Names as processes see them.
    names: BTreeMap<PathBuf, Entry>,
    /// Names as they survive.
    safe_names: BTreeMap<PathBuf, Entry>,
    /// What leads from the second to the first, in order.
    unsynced: Vec<NameChange>,
    /// Files by number; one without a name may still be open.
    files: BTreeMap<u64, Inode>,
    last_file: u64,
    operations: u64,
    faults: BTreeMap<u64, Fault>,
    power_off: bool,
    /// How many crashes there were; a handle of an earlier generation is dead.
    generation: u64,
    capacity: Option<u64>,
}

impl State {
    fn powered(&self) -> io::Result<()> {
        if self.power_off {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    /// Counts an operation and says how it is to end.
    fn begin(&mut self) -> io::Result<Outcome> {
        self.powered()?;
        self.operations += 1;
        match self.faults.remove(&self.operations) {
            None => Ok(Outcome::Well),
            Some(Fault::Error(kind)) => Err(kind.into()),
            Some(Fault::Torn) => Err(io::ErrorKind::Other.into()),
            Some(Fault::PowerOff) => {
                self.power_off = true;
                Ok(Outcome::PowerOff)
            }
        }
    }

    /// Files that nobody can find or has open give their bytes back.
    fn forget_unused(&mut self) {
        let mut named: BTreeSet<u64> = BTreeSet::new();
        let changed = self.unsynced.iter().filter_map(|change| match change {
            NameChange::Put(_, entry) | NameChange::Move(_, _, entry) => Some(*entry),
            NameChange::Remove(_) => None,
        });
        let known = self.names.values().chain(self.safe_names.values()).copied();
        named.extend(known.chain(changed).filter_map(|entry| match entry {
            Entry::File(number) => Some(number),
            Entry::Dir => None,
        }));
        self.files
            .retain(|number, file| named.contains(number) || Arc::strong_count(&file.users) > 1);
    }

    fn file(&self, path: &Path) -> io::Result<u64> {
        match self.names.get(path) {
            Some(Entry::File(number)) => Ok(*number),
            Some(Entry::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn in_dir(&self, path: &Path) -> io::Result<()> {
        match path.parent() {
            Some(dir) if is_dir(&self.names, dir) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn new_file(&mut self) -> u64 {
        self.last_file += 1;
        self.last_file
    }

    fn change(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.unsynced.push(change);
    }

    /// How many bytes of `wanted` the disk has room for, beside what it holds.
    fn room(&self, wanted: u64) -> u64 {
        let Some(capacity) = self.capacity else {
            return wanted;
        };
        let named = self.names.values().filter_map(|entry| match entry {
            Entry::File(number) => self.files.get(number),
            Entry::Dir => None,
        });
        let held: u64 = named.map(|file| file.filled as u64).sum();
        wanted.min(capacity.saturating_sub(held))
    }
}

/// How an operation that is carried out ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Well,
    PowerOff,
}

impl Outcome {
    fn end(self) -> io::Result<()> {
        match self {
            Outcome::Well => Ok(()),
            Outcome::PowerOff => Err(io::Error::other("the power went off")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    File(u64),
    Dir,
}

#[derive(Debug, Clone)]
enum NameChange {
    Put(PathBuf, Entry),
    Remove(PathBuf),
    Move(PathBuf, PathBuf, Entry),
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            NameChange::Put(path, entry) => {
                names.insert(path, entry);
            }
            NameChange::Remove(path) => {
                names.remove(&path);
            }
            NameChange::Move(from, to, entry) => {
                names.remove(&from);
                names.insert(to, entry);
            }
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        match self {
            NameChange::Put(path, _) | NameChange::Remove(path) | NameChange::Move(_, path, _) => {
                path.parent() == Some(dir)
            }
        }
    }
}

struct MemFile {
    disk: MemDisk,
    number: u64,
    /// Counts as long as it lives: the file is in use.
    #[allow(dead_code)] // It is there to be counted.
    _user: Option<Arc<()>>,
    generation: u64,
    writable: bool,
    position: u64,
}

impl MemFile {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.disk.lock();
        state.powered()?;
        if state.generation != self.generation {
            return Err(io::Error::other("the file was opened before the crash"));
        }
        act(&mut state)
    }

    /// As [`MemFile::with`], for a change of the file.
    fn change<T>(&self, act: impl FnOnce(&mut State, Outcome) -> io::Result<T>) -> io::Result<T> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.with(|state| {
            let outcome = state.begin()?;
            act(state, outcome)
        })
    }

    /// Puts bytes at the position, as many as the disk has room for.
    fn put(&self, state: &mut State, bytes: &[u8]) -> io::Result<usize> {
        let at = to_usize(self.position)?;
        let filled = inode(state, self.number)?.filled;
        let grows = (at + bytes.len()).saturating_sub(filled);
        let room = to_usize(state.room(grows as u64))?;
        let fits = bytes.len() - (grows - room);
        if fits == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        inode(state, self.number)?.write(at, &bytes[..fits]);
        Ok(fits)
    }
}

impl Read for MemFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.with(|state| {
            let file = inode(state, self.number)?;
            let rest = file.now.get(to_usize(self.position)?..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for MemFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let torn = self.with(|state| {
            let next = state.operations + 1;
            Ok(state.faults.get(&next) == Some(&Fault::Torn))
        })?;
        if torn && self.writable {
            self.with(|state| self.put(state, &bytes[..bytes.len() / 2]))?;
        }
        let written = self.change(|state, outcome| {
            let written = self.put(state, bytes)?;
            outcome.end().map(|()| written)
        })?;
        self.position += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for MemFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => i128::from(at),
            SeekFrom::End(by) => i128::from(self.len()?) + i128::from(by),
            SeekFrom::Current(by) => i128::from(self.position) + i128::from(by),
        };
        self.position = u64::try_from(target).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

impl DiskFile for MemFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|state| Ok(inode(state, self.number)?.now.len() as u64))
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.change(|state, outcome| {
            inode(state, self.number)?.set_len(to_usize(bytes)?);
            outcome.end()
        })
    }

    /// All zeros are holes here.
    fn next_data(&mut self, from: u64) -> io::Result<Option<u64>> {
        let begin = to_usize(from)?;
        self.with(|state| {
            let bytes = &inode(state, self.number)?.now;
            let mut rest = bytes.iter().skip(begin);
            Ok(rest.position(|byte| *byte != 0).map(|zeros| from + zeros as u64))
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.with(|state| match state.begin() {
            Ok(outcome) => {
                outcome.end()?;
                inode(state, self.number)?.sync();
                Ok(())
            }
            Err(error) => {
                inode(state, self.number)?.forget_dirty();
                Err(error)
            }
        })
    }
}

fn inode(state: &mut State, number: u64) -> io::Result<&mut Inode> {
    state
        .files
        .get_mut(&number)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none()
}

fn is_dir(names: &BTreeMap<PathBuf, Entry>, path: &Path) -> bool {
    is_root(path) || names.get(path) == Some(&Entry::Dir)
}

fn to_usize(number: u64) -> io::Result<usize> {
    usize::try_from(number).map_err(|_| io::ErrorKind::InvalidInput.into())
}

#[cfg(test)]
mod tests;
