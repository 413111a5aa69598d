//! A small server's life on a disk, and every point at which it can end.

use std::io::ErrorKind;
use std::sync::Arc;

use super::snapshot::write_snapshot;
use super::testing::{create, empty, options};
use super::{Dirs, Epochs, LogWriter, RecoveryOptions, StorageError, purge, recover};
use crate::proto::Epoch;
use crate::runtime::mem_disk::{Crash, Fault};
use crate::runtime::{Disk, MemDisk};
use crate::tree::{DataTree, TreeDump};

/// What a life has promised to its clients and peers.
#[derive(Debug, Default, Clone, Copy)]
struct Promises {
    /// The last transaction acknowledged.
    zxid: i64,
    /// The last epoch accepted.
    epoch: i64,
}

/// Starts on what is there, checks it against the promises, and lives on: batches of transactions, two rolls
/// with snapshots, a purge, an epoch. Ends with the first failure.
fn live(disk: &MemDisk, dirs: &Dirs, promises: &mut Promises) -> Result<(), StorageError> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let found = recover(disk, dirs, &RecoveryOptions::default())?;
    let last = found.last_zxid.0;
    assert!(
        last >= promises.zxid,
        "{last} is there, {} was acknowledged",
        promises.zxid
    );
    assert_eq!(TreeDump::of(&found.tree), TreeDump::of(&tree_of(last)));
    let mut tree = found.tree;
    let mut epochs = Epochs::open(shared.clone(), dirs, found.last_zxid)?;
    assert!(epochs.accepted().0 >= promises.epoch);
    let mut log = LogWriter::open(shared.clone(), dirs.clone(), found.last_zxid, options())?;
    for (batch, size) in [1, 7, 2, 12, 3].into_iter().enumerate() {
        for _ in 0..size {
            let txn = create(log.last_zxid().0 + 1, &DATA);
            log.append(&txn)?;
            tree.apply(txn.header(), &txn.txn().expect("a transaction"), None);
        }
        promises.zxid = log.commit()?.0;
        if batch % 2 == 1 {
            log.roll()?;
            write_snapshot(shared.clone(), dirs, &tree)?;
        }
    }
    let epoch = epochs.accepted().0 + 1;
    epochs.set_accepted(Epoch(epoch))?;
    promises.epoch = epoch;
    purge(disk, dirs, 3)?;
    Ok(())
}

fn tree_of(last: i64) -> DataTree {
    let mut tree = DataTree::new();
    for zxid in 1..=last {
        let txn = create(zxid, &DATA);
        tree.apply(txn.header(), &txn.txn().expect("a transaction"), None);
    }
    tree
}

/// A disk on which a life was lived to its end, twice, so that there is something to purge.
struct Lived {
    disk: MemDisk,
    dirs: Dirs,
    promises: Promises,
}

impl Lived {
    fn new() -> Lived {
        let (disk, dirs) = empty();
        let mut promises = Promises::default();
        for _ in 0..2 {
            live(&disk, &dirs, &mut promises).expect("a life without faults");
        }
        Lived { disk, dirs, promises }
    }

    fn again(&self) -> (MemDisk, &Dirs, Promises) {
        (self.disk.fork(), &self.dirs, self.promises)
    }
}

/// How many operations the third life takes.
fn operations(lived: &Lived) -> u64 {
    let (disk, dirs, mut promises) = lived.again();
    let begin = disk.operations();
    live(&disk, dirs, &mut promises).expect("a life without faults");
    let count = disk.operations() - begin;
    assert!(count > 40, "{count} operations");
    count
}

#[test]
fn whatever_was_acknowledged_survives_a_crash_at_any_operation() {
    let lived = Lived::new();
    for operation in 1..=operations(&lived) {
        for crash in [Crash::LoseUnsynced, Crash::KeepAll] {
            let (disk, dirs, mut promises) = lived.again();
            disk.fault_at(disk.operations() + operation, Fault::PowerOff);
            live(&disk, dirs, &mut promises).expect_err("the power went");
            disk.crash(crash);
            live(&disk, dirs, &mut promises).expect("the next life");
        }
    }
}

#[test]
fn whatever_was_acknowledged_survives_a_torn_crash_too() {
    let lived = Lived::new();
    let (mut refusals, mut lives) = (0, 0);
    for (operation, seed) in
        (1..=operations(&lived)).flat_map(|operation| (0..3).map(move |seed| (operation, seed)))
    {
        let (disk, dirs, mut promises) = lived.again();
        disk.fault_at(disk.operations() + operation, Fault::PowerOff);
        live(&disk, dirs, &mut promises).expect_err("the power went");
        disk.crash(Crash::Mixed(seed * 1_000 + operation));
        match live(&disk, dirs, &mut promises) {
            Ok(()) => lives += 1,
            // An early block of a batch was lost and a later one kept, with intact entries in it. Nobody can
            // tell that from damage; the operator is told, and nothing acknowledged is behind that point.
            Err(StorageError::Damaged { after, .. }) => {
                assert!(after.0 >= promises.zxid);
                refusals += 1;
            }
            Err(error) => panic!("operation {operation}, seed {seed}: {error}"),
        }
    }
    assert!(lives > 5 * refusals, "{refusals} refusals, {lives} lives");
}

#[test]
fn each_failure_surfaces_and_the_next_life_finds_all() {
    let lived = Lived::new();
    for operation in 1..=operations(&lived) {
        let faults = [
            Fault::Torn,
            Fault::Error(ErrorKind::Other),
            Fault::Error(ErrorKind::StorageFull),
        ];
        for (fault, crash) in faults
            .into_iter()
            .zip([Crash::KeepAll, Crash::LoseUnsynced].into_iter().cycle())
        {
            let (disk, dirs, mut promises) = lived.again();
            disk.fault_at(disk.operations() + operation, fault);
            live(&disk, dirs, &mut promises).expect_err("the fault");
            disk.crash(crash);
            live(&disk, dirs, &mut promises).expect("the next life");
        }
    }
}

#[test]
fn a_disk_that_fills_up_costs_nothing_that_was_acknowledged() {
    let lived = Lived::new();
    let mut outcomes = [0, 0];
    for capacity in (20_000..200_000).step_by(7_777) {
        let (disk, dirs, mut promises) = lived.again();
        disk.set_capacity(Some(capacity));
        let full = live(&disk, dirs, &mut promises).is_err();
        outcomes[usize::from(full)] += 1;
        disk.crash(Crash::LoseUnsynced);
        disk.set_capacity(None);
        live(&disk, dirs, &mut promises).expect("the next life");
    }
    assert!(outcomes.iter().all(|count| *count > 3), "{outcomes:?}");
}

/// Some blocks long, so that a batch spans several.
const DATA: [u8; 300] = [b'x'; 300];
