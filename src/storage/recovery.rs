//! From files to a tree: the newest valid snapshot, and the transactions behind it. (FileTxnSnapLog.restore)

use std::path::PathBuf;
use std::sync::Arc;

use log::{info, trace, warn};

use super::committed_log::CommittedLog;
use super::error::{At, StorageError};
use super::log_file::{Entry, LogFile};
use super::log_reader::{LogReader, TornEnd, cut, sync_parent};
use super::names::{DataFile, Dirs};
use super::snapshot::read_snapshot;
use crate::proto::{Epoch, SessionId, Zxid};
use crate::runtime::Disk;
use crate::seeded_fault::SeededFault;
use crate::tree::DataTree;

/// What recovery goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryOptions {
    /// The counter of an epoch's first transaction: 1, but in tests that want it near its end, where it is one
    /// more than zookeeper.testingonly.initialZxid. An epoch that begins with any other has a hole.
    pub first_counter: u32,
    /// How many transactions the committed log keeps.
    pub committed_limit: usize,
}

impl Default for RecoveryOptions {
    fn default() -> RecoveryOptions {
        RecoveryOptions {
            first_counter: 1,
            committed_limit: CommittedLog::DEFAULT_LIMIT,
        }
    }
}

/// What was found.
#[derive(Debug)]
pub struct Recovered {
    /// The state after the last transaction.
    pub tree: DataTree,
    /// The last transaction, or the snapshot's zxid if none follows it.
    pub last_zxid: Zxid,
    /// The last of the transactions that were replayed.
    pub committed: CommittedLog,
    /// The snapshot it began with.
    pub snapshot: Option<PathBuf>,
    /// How many transactions were replayed upon it.
    pub replayed: usize,
    /// The sessions that had ephemerals and were not known any more; their ephemerals are gone.
    pub dead_sessions: Vec<SessionId>,
    /// The torn ends that were cut off.
    pub torn_ends: Vec<TornEnd>,
}

/// Loads what the directories hold, and mends what a crash left: torn ends are cut off, so that neither we
/// nor Java meet them again, and half-written snapshots are removed. What is loaded is safe on the disk then.
///
/// # Errors
/// What the disk refuses, or damage. Nothing is changed unless all could be loaded.
pub fn recover(disk: &dyn Disk, dirs: &Dirs, options: &RecoveryOptions) -> Result<Recovered, StorageError> {
    let mut recovered = load(disk, dirs, options, Zxid(i64::MAX))?;
    if SeededFault::LastRecordLost.on() && recovered.replayed > 1 && recovered.last_zxid.counter() > 1 {
        return truncate(disk, dirs, Zxid(recovered.last_zxid.0 - 1), options);
    }
    for end in &recovered.torn_ends {
        end.cut_off(disk)?;
    }
    for leftover in dirs.unfinished_snapshots(disk)? {
        info!("Removing {}, which a crash left", leftover.path.display());
        disk.remove(&leftover.path).at("remove", &leftover.path)?;
    }
    make_safe(disk, dirs)?;
    kill_dead_sessions(&mut recovered);
    Ok(recovered)
}

/// Makes safe what was loaded. A process that was killed may have left what its machine still held in memory
/// only: whoever reads it now votes with it, and counts as having it, before the power may go.
fn make_safe(disk: &dyn Disk, dirs: &Dirs) -> Result<(), StorageError> {
    for log in dirs.logs(disk)? {
        let mut file = disk.open(&log.path).at("open", &log.path)?;
        file.sync().at("sync", &log.path)?;
        let length = file.len().at("read", &log.path)?;
        trace!("{} is safe up to {length} bytes", log.path.display());
    }
    // Names too: of these logs, of the snapshot, and of the files of the epochs.
    for dir in [&dirs.log, &dirs.snapshot] {
        disk.sync_dir(dir).at("sync the directory", dir)?;
    }
    Ok(())
}

/// Goes back to an earlier transaction, for good, and loads the state after it: what a leader that does not
/// know the later ones asks of a learner. (FileTxnLog.truncate, ZKDatabase.truncateLog)
///
/// Unlike in 3.4.14, snapshots that are newer go as well: they hold what never happened (ZOOKEEPER-1549,
/// 4837). A [`LogWriter`](super::LogWriter) of before must not be used any more.
///
/// # Errors
/// [`StorageError::Unreachable`] if what is here does not lead to that transaction, damage, or what the disk
/// refuses. Nothing is changed unless all up to there could be loaded.
pub fn truncate(
    disk: &dyn Disk,
    dirs: &Dirs,
    to: Zxid,
    options: &RecoveryOptions,
) -> Result<Recovered, StorageError> {
    let reached = |reached| StorageError::Unreachable { to, reached };
    let mut recovered = load(disk, dirs, options, to).map_err(|error| match error {
        // All that is here is later: no damage, and the leader has the rest.
        StorageError::NoValidSnapshot { .. } | StorageError::SnapshotNeeded { .. } => reached(Zxid(0)),
        error => error,
    })?;
    if recovered.last_zxid != to {
        return Err(reached(recovered.last_zxid));
    }
    discard_after(disk, dirs, to)?;
    kill_dead_sessions(&mut recovered);
    Ok(recovered)
}

/// Removes all that says more than the state after `last`: newer snapshots and later transactions. For a
/// learner that was sent a whole tree, once its snapshot is safe: the leader does not know what else is here.
///
/// The steps are such that after a crash between any two of them there is still one history, of which only
/// the end is missing.
///
/// # Errors
/// What the disk refuses.
pub fn discard_after(disk: &dyn Disk, dirs: &Dirs, last: Zxid) -> Result<(), StorageError> {
    let newer = |files: Vec<DataFile>| files.into_iter().rev().filter(move |file| file.zxid > last);
    let snapshots = newer(dirs.snapshots(disk)?).chain(newer(dirs.unfinished_snapshots(disk)?));
    let snapshots = snapshots.filter(|_| !SeededFault::KeepNewerSnapshots.on());
    // Of the logs the newest goes first, and each removal is safe before the next: no hole at any time.
    for file in snapshots.chain(newer(dirs.logs(disk)?)) {
        warn!("Removing {}, which goes beyond zxid {last}", file.path.display());
        disk.remove(&file.path).at("remove", &file.path)?;
        sync_parent(disk, &file.path)?;
    }
    match dirs.logs(disk)?.last() {
        Some(log) => cut_after(disk, log, last),
        None => Ok(()),
    }
}

/// Cuts a log behind the last transaction that does not exceed `last`.
fn cut_after(disk: &dyn Disk, log: &DataFile, last: Zxid) -> Result<(), StorageError> {
    let mut file = LogFile::open(disk, &log.path)?;
    let offset = loop {
        match file.next_entry()? {
            Entry::Txn { txn, .. } if txn.zxid() <= last => {}
            Entry::Txn { offset, .. } => break offset,
            Entry::Bad(bad) => break bad.offset,
            Entry::End => return Ok(()),
        }
    };
    warn!(
        "Cutting {} to {offset} bytes, behind zxid {last}",
        log.path.display()
    );
    cut(disk, &log.path, offset)
}

/// Loads the state after the last transaction that does not exceed `limit`, and changes nothing.
///
/// # Errors
/// What the disk refuses, or damage.
pub fn load(
    disk: &dyn Disk,
    dirs: &Dirs,
    options: &RecoveryOptions,
    limit: Zxid,
) -> Result<Recovered, StorageError> {
    let (mut recovered, mut passed_over) = begin(disk, dirs, options, limit)?;
    let mut reader =
        LogReader::open(disk, dirs, recovered.last_zxid)?.with_first_counter(options.first_counter);
    while let Some(txn) = reader.next_txn()? {
        if txn.zxid() > limit {
            break;
        }
        passed_over.retain(|snapshot| snapshot.zxid != txn.zxid());
        let change = txn.txn().map_err(|malformed| reader.malformed(malformed))?;
        recovered.tree.apply(txn.header(), &change, None);
        recovered.committed.push(Arc::new(txn));
        recovered.replayed += 1;
    }
    // A tree that a leader sent stands for transactions that never came here, and for others that did and were
    // given up: the logs around it are no history without it.
    if let Some(snapshot) = passed_over.pop() {
        return Err(StorageError::SnapshotNeeded { path: snapshot.path });
    }
    recovered.torn_ends = reader.torn_ends().to_vec();
    recovered.last_zxid = reader.last_before(limit);
    recovered.tree.set_last_zxid(recovered.last_zxid);
    Ok(recovered)
}

/// The newest valid snapshot that does not exceed `limit`, or a fresh tree if there never was one; and those that
/// are newer and not valid. Of a snapshot that was taken here the log has the last transaction.
fn begin(
    disk: &dyn Disk,
    dirs: &Dirs,
    options: &RecoveryOptions,
    limit: Zxid,
) -> Result<(Recovered, Vec<DataFile>), StorageError> {
    let mut recovered = Recovered {
        tree: DataTree::new(),
        last_zxid: Zxid(0),
        committed: CommittedLog::new(options.committed_limit),
        snapshot: None,
        replayed: 0,
        dead_sessions: Vec::new(),
        torn_ends: Vec::new(),
    };
    let mut snapshots = dirs.snapshots(disk)?;
    let newest = snapshots.last().cloned();
    snapshots.retain(|snapshot| snapshot.zxid <= limit);
    let mut passed_over = Vec::new();
    for snapshot in snapshots.into_iter().rev() {
        info!("Reading snapshot {}", snapshot.path.display());
        match read_snapshot(disk, &snapshot.path) {
            Ok(tree) => {
                recovered.tree = tree;
                recovered.tree.set_last_zxid(snapshot.zxid);
                recovered.last_zxid = snapshot.zxid;
                recovered.snapshot = Some(snapshot.path);
                return Ok((recovered, passed_over));
            }
            Err(why) => warn!("problem reading snap file {}: {why}", snapshot.path.display()),
        }
        // One that was taken before any transaction is no loss.
        if snapshot.zxid != Zxid(0) {
            passed_over.push(snapshot);
        }
    }
    if let Some(newest) = newest {
        must_tell_the_beginning(disk, dirs, options, newest)?;
    }
    Ok((recovered, passed_over))
}

/// There were snapshots, and none is of use. The logs alone will do if they begin with the first transaction
/// of all. One that was taken before any transaction is no loss.
fn must_tell_the_beginning(
    disk: &dyn Disk,
    dirs: &Dirs,
    options: &RecoveryOptions,
    newest: DataFile,
) -> Result<(), StorageError> {
    let first = dirs.logs(disk)?.first().map(|log| log.zxid);
    let whole = match first {
        Some(first) => first == Zxid(1) || first == Zxid::of(Epoch(1), options.first_counter),
        None => newest.zxid == Zxid(0),
    };
    if whole {
        return Ok(());
    }
    Err(StorageError::NoValidSnapshot {
        dir: dirs.snapshot.clone(),
        newest: newest.path,
    })
}

/// Ephemerals of sessions that nobody knows would stay for ever. (ZooKeeperServer.loadData)
fn kill_dead_sessions(recovered: &mut Recovered) {
    let tree = &mut recovered.tree;
    let owners: Vec<SessionId> = tree.sessions_with_ephemerals().collect();
    let dead = owners
        .into_iter()
        .filter(|s| tree.session_timeout_ms(*s).is_none());
    recovered.dead_sessions = dead.collect();
    for session in &recovered.dead_sessions {
        tree.kill_session(*session, recovered.last_zxid, None);
    }
}

#[cfg(test)]
#[path = "recovery_tests.rs"]
mod tests;
