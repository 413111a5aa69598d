//! The promises of an ensemble's member, as files: which epoch it accepted, and which it is in.
//! (QuorumPeer.acceptedEpoch, currentEpoch, updatingEpoch)

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use log::info;

use super::error::{At, StorageError};
use super::log_reader::sync_parent;
use super::names::Dirs;
use crate::proto::{Epoch, Zxid};
use crate::runtime::Disk;
use crate::seeded_fault::SeededFault;

/// The two epochs, in memory and on disk. A value changes in memory only once it is safe on the disk.
pub struct Epochs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    accepted: Epoch,
    current: Epoch,
}

impl Epochs {
    /// Reads the files of a directory whose data ends with `last`, and mends what a crash may have left.
    ///
    /// A file that is missing is made with the epoch of `last`, as 3.4.14 does for data of 3.3. A crash
    /// between a snapshot of a new epoch and the file that says so is told by `updatingEpoch`. If something
    /// contradicts, no file is touched.
    ///
    /// # Errors
    /// [`StorageError::BadEpoch`], [`StorageError::EpochOrder`], or what the disk refuses.
    pub fn open(disk: Arc<dyn Disk>, dirs: &Dirs, last: Zxid) -> Result<Epochs, StorageError> {
        let of_data = last.epoch();
        let mut epochs = Epochs {
            disk,
            dir: dirs.snapshot.clone(),
            accepted: of_data,
            current: of_data,
        };
        let (current, accepted) = (epochs.read(CURRENT_FILE)?, epochs.read(ACCEPTED_FILE)?);
        epochs.current = current.unwrap_or(of_data);
        epochs.accepted = accepted.unwrap_or(of_data);
        let was_updating = of_data > epochs.current && epochs.disk.exists(&epochs.dir.join(UPDATING_FILE));
        if was_updating {
            epochs.current = of_data;
        }
        epochs.check(last)?;
        if was_updating {
            info!(
                "{UPDATING_FILE} found. The server was terminated after taking a snapshot but before updating \
                 current epoch. Setting current epoch to {}.",
                of_data.0
            );
            epochs.set_current(of_data)?;
        }
        if current.is_none() {
            epochs.make(CURRENT_FILE, of_data)?;
        }
        epochs.end_update()?;
        if accepted.is_none() {
            epochs.make(ACCEPTED_FILE, of_data)?;
        }
        Ok(epochs)
    }

    /// The newest epoch that this server has promised to follow.
    pub fn accepted(&self) -> Epoch {
        self.accepted
    }

    /// The epoch whose leader it last followed, or was.
    pub fn current(&self) -> Epoch {
        self.current
    }

    /// Makes a promise, safe when this returns: to be called before it is sent to anyone.
    ///
    /// # Errors
    /// What the disk refuses; the promise must not be given then.
    pub fn set_accepted(&mut self, epoch: Epoch) -> Result<(), StorageError> {
        let written = self.write(ACCEPTED_FILE, epoch);
        if !SeededFault::AcceptedInMemory.on() {
            written?;
        }
        self.accepted = epoch;
        Ok(())
    }

    /// Enters an epoch, safe when this returns: to be called once all that its leader sent is safe.
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn set_current(&mut self, epoch: Epoch) -> Result<(), StorageError> {
        self.write(CURRENT_FILE, epoch)?;
        self.current = epoch;
        Ok(())
    }

    /// Marks that a snapshot of a new epoch is about to be written, before [`Epochs::set_current`].
    /// (Learner.syncWithLeader)
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn begin_update(&mut self) -> Result<(), StorageError> {
        let path = self.dir.join(UPDATING_FILE);
        if !self.disk.exists(&path) {
            self.disk.create_new(&path).at("create", &path)?;
        }
        sync_parent(&*self.disk, &path)
    }

    /// Takes the mark away, after [`Epochs::set_current`].
    ///
    /// # Errors
    /// What the disk refuses.
    pub fn end_update(&mut self) -> Result<(), StorageError> {
        let path = self.dir.join(UPDATING_FILE);
        if self.disk.exists(&path) {
            self.disk.remove(&path).at("remove", &path)?;
            sync_parent(&*self.disk, &path)?;
        }
        Ok(())
    }

    fn check(&self, last: Zxid) -> Result<(), StorageError> {
        if last.epoch() > self.current {
            return Err(StorageError::EpochOrder(format!(
                "The current epoch, {}, is older than the last zxid, {last}: {} was lost or edited, or the data \
                 is that of another server",
                self.current,
                self.dir.join(CURRENT_FILE).display()
            )));
        }
        if self.accepted < self.current {
            return Err(StorageError::EpochOrder(format!(
                "The accepted epoch, {} is less than the current epoch, {}: {} was lost or edited",
                self.accepted,
                self.current,
                self.dir.join(ACCEPTED_FILE).display()
            )));
        }
        Ok(())
    }

    fn make(&self, name: &str, epoch: Epoch) -> Result<(), StorageError> {
        info!(
            "{name} not found! Creating with a reasonable default of {}. This should only happen when you are \
             upgrading your installation",
            epoch.0
        );
        self.write(name, epoch)
    }

    /// What a file says; `None` if it is not there.
    fn read(&self, name: &str) -> Result<Option<Epoch>, StorageError> {
        let path = self.dir.join(name);
        if !self.disk.exists(&path) {
            return Ok(None);
        }
        let file = self.disk.open(&path).at("open", &path)?;
        let mut bytes = Vec::new();
        file.take(LONGEST_TEXT_BYTES)
            .read_to_end(&mut bytes)
            .at("read", &path)?;
        let text = String::from_utf8_lossy(&bytes);
        match text.trim().parse().ok().map(Epoch) {
            Some(epoch @ Epoch(0..)) if epoch <= Epoch::LAST => Ok(Some(epoch)),
            _ => Err(StorageError::BadEpoch {
                path,
                text: text.into_owned(),
            }),
        }
    }

    /// Puts a number in a file, in one step and safely. (AtomicFileOutputStream)
    fn write(&self, name: &str, epoch: Epoch) -> Result<(), StorageError> {
        let path = self.dir.join(name);
        let unfinished = self.dir.join(format!("{name}.tmp"));
        if self.disk.exists(&unfinished) {
            self.disk.remove(&unfinished).at("remove", &unfinished)?;
        }
        self.write_file(&unfinished, epoch.0.to_string().as_bytes())?;
        self.disk.rename(&unfinished, &path).at("rename to", &path)?;
        sync_parent(&*self.disk, &path)
    }

    fn write_file(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        let mut file = self.disk.create_new(path).at("create", path)?;
        file.write_all(bytes).at("write", path)?;
        file.sync().at("sync", path)
    }
}

const ACCEPTED_FILE: &str = "acceptedEpoch";
const CURRENT_FILE: &str = "currentEpoch";
const UPDATING_FILE: &str = "updatingEpoch";
/// Longer than any number; a file that is longer is none of ours.
const LONGEST_TEXT_BYTES: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::MemDisk;
    use crate::runtime::mem_disk::{Crash, Fault};

    fn dirs(disk: &MemDisk) -> Dirs {
        Dirs::open(disk, Path::new("/data"), Path::new("/data")).expect("directories")
    }

    fn open(disk: &MemDisk, last: Zxid) -> Result<Epochs, StorageError> {
        Epochs::open(Arc::new(disk.clone()), &dirs(disk), last)
    }

    fn text(disk: &MemDisk, name: &str) -> Option<String> {
        let bytes = disk.contents(&dirs(disk).snapshot.join(name))?;
        Some(String::from_utf8(bytes).expect("text"))
    }

    #[test]
    fn missing_files_are_made_from_the_data() {
        let disk = MemDisk::new();
        let epochs = open(&disk, Zxid(0x3_0000_0007)).expect("epochs");
        assert_eq!((epochs.accepted(), epochs.current()), (Epoch(3), Epoch(3)));
        assert_eq!(text(&disk, CURRENT_FILE).as_deref(), Some("3"));
        assert_eq!(text(&disk, ACCEPTED_FILE).as_deref(), Some("3"));
    }

    #[test]
    fn files_may_end_with_a_newline_and_must_hold_a_number() {
        let disk = MemDisk::new();
        disk.put(&dirs(&disk).snapshot.join(CURRENT_FILE), b"2\n");
        disk.put(&dirs(&disk).snapshot.join(ACCEPTED_FILE), b"5\r\n");
        let epochs = open(&disk, Zxid(0)).expect("epochs");
        assert_eq!((epochs.accepted(), epochs.current()), (Epoch(5), Epoch(2)));
        for text in ["two", "-1", "2147483648", "9223372036854775807"] {
            disk.put(&dirs(&disk).snapshot.join(CURRENT_FILE), text.as_bytes());
            let error = open(&disk, Zxid(0)).err().expect("no epoch").to_string();
            assert!(
                error.contains("/data/version-2/currentEpoch") && error.contains(text),
                "{error}"
            );
        }
    }

    #[test]
    fn epochs_that_contradict_the_data_are_refused() {
        let disk = MemDisk::new();
        disk.put(&dirs(&disk).snapshot.join(CURRENT_FILE), b"4");
        disk.put(&dirs(&disk).snapshot.join(ACCEPTED_FILE), b"3");
        let error = open(&disk, Zxid(0x5_0000_0001)).err().expect("old").to_string();
        assert!(
            error.starts_with("The current epoch, 0x4, is older than the last zxid, 0x500000001"),
            "{error}"
        );
        let error = open(&disk, Zxid(0)).err().expect("less").to_string();
        assert!(
            error.starts_with("The accepted epoch, 0x3 is less than the current epoch, 0x4"),
            "{error}"
        );
    }

    #[test]
    fn what_is_refused_is_left_as_it_was() {
        let disk = MemDisk::new();
        disk.put(&dirs(&disk).snapshot.join(ACCEPTED_FILE), b"torn");
        disk.put(&dirs(&disk).snapshot.join(UPDATING_FILE), b"");
        assert!(open(&disk, Zxid(0x3_0000_0001)).is_err());
        assert_eq!(text(&disk, CURRENT_FILE), None);
        assert_eq!(text(&disk, UPDATING_FILE).as_deref(), Some(""));
        disk.put(&dirs(&disk).snapshot.join(ACCEPTED_FILE), b"2");
        assert!(open(&disk, Zxid(0x3_0000_0001)).is_err());
        assert_eq!(text(&disk, CURRENT_FILE), None);
        assert_eq!(text(&disk, ACCEPTED_FILE).as_deref(), Some("2"));
    }

    #[test]
    fn a_crash_between_snapshot_and_epoch_is_mended() {
        let disk = MemDisk::new();
        let mut epochs = open(&disk, Zxid(0)).expect("epochs");
        epochs.set_accepted(Epoch(1)).expect("a promise");
        epochs.begin_update().expect("a mark");
        disk.crash(Crash::LoseUnsynced);
        let epochs = open(&disk, Zxid(0x1_0000_0001)).expect("mended");
        assert_eq!((epochs.accepted(), epochs.current()), (Epoch(1), Epoch(1)));
        assert_eq!(text(&disk, UPDATING_FILE), None);
    }

    #[test]
    fn at_any_crash_or_failure_the_old_value_or_the_new_one_is_there() {
        for fault in [
            Fault::PowerOff,
            Fault::Torn,
            Fault::Error(std::io::ErrorKind::Other),
        ] {
            for crash in [
                Crash::LoseUnsynced,
                Crash::KeepAll,
                Crash::Mixed(1),
                Crash::Mixed(2),
            ] {
                for operation in 1.. {
                    let disk = MemDisk::new();
                    let mut epochs = open(&disk, Zxid(0)).expect("epochs");
                    epochs.set_accepted(Epoch(1)).expect("a promise");
                    disk.fault_at(disk.operations() + operation, fault);
                    let promised = epochs.set_accepted(Epoch(2)).is_ok();
                    assert_eq!(epochs.accepted(), Epoch(if promised { 2 } else { 1 }));
                    disk.crash(crash);
                    let found = open(&disk, Zxid(0)).expect("epochs").accepted();
                    assert!(found == Epoch(2) || (!promised && found == Epoch(1)));
                    if promised {
                        break;
                    }
                }
            }
        }
    }
}
