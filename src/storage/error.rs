//! Why storage cannot go on. Every one of these ends the server or keeps it from starting.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::proto::{Malformed, Zxid};

/// What is wrong, where, and what to do.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was to be done, as an infinitive.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A snapshot among the logs. (FileTxnSnapLog.checkLogDir)
    #[error(
        "Log directory has snapshot files. Check if dataLogDir and dataDir configuration is correct. \
         ({0} lies in the directory of the logs)"
    )]
    SnapshotInLogDir(PathBuf),
    /// A log among the snapshots. (FileTxnSnapLog.checkSnapDir)
    #[error(
        "Snapshot directory has log files. Check if dataLogDir and dataDir configuration is correct. \
         ({0} lies in the directory of the snapshots)"
    )]
    LogInSnapshotDir(PathBuf),
    /// A file holds what nobody wrote there.
    #[error(
        "{path} is damaged at offset {offset}, behind zxid {after}: {what}. Nothing was changed. If this \
         server is one of an ensemble, move the version-2 directories of its dataDir and dataLogDir away and \
         start it while the others are up: it takes all from the leader. Else restore the file, or give up \
         every transaction behind zxid {after}: cut the file to {offset} bytes and move the logs that follow \
         it away"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first bad record begins, bytes.
        offset: u64,
        /// The last transaction that is good.
        after: Zxid,
        /// What is wrong there.
        what: Flaw,
    },
    /// Transactions that must have been there are not.
    #[error(
        "transactions are missing: {path} goes on with zxid {found}, but what is there before ends with \
         {after}. A log or a snapshot in between was lost or removed. Nothing was changed. Bring the file \
         back; or, if this server is one of an ensemble, move the version-2 directories of its dataDir and \
         dataLogDir away and start it while the others are up: it takes all from the leader"
    )]
    Gap {
        /// The log behind the hole.
        path: PathBuf,
        /// The last transaction before the hole; 0x0 if there is none.
        after: Zxid,
        /// The first behind it.
        found: Zxid,
    },
    /// No snapshot can be read, and the logs do not tell the beginning.
    #[error(
        "no valid snapshot in {dir}, newest of the invalid ones: {newest}, and no log that reaches back to \
         the first transaction. Nothing was changed. Bring a valid snapshot and its logs back; or, if this \
         server is one of an ensemble, move the version-2 directories of its dataDir and dataLogDir away and \
         start it while the others are up: it takes all from the leader"
    )]
    NoValidSnapshot {
        /// The directory of the snapshots.
        dir: PathBuf,
        /// The newest snapshot.
        newest: PathBuf,
    },
    /// A snapshot cannot be read, and the logs do not lead to it.
    #[error(
        "{path} is no valid snapshot, and the logs without it are no history: it is a tree that a leader sent. \
         Nothing was changed. Bring the file back; or move the version-2 directories of dataDir and dataLogDir \
         away and start the server while the others are up: it takes all from the leader"
    )]
    SnapshotNeeded {
        /// The snapshot.
        path: PathBuf,
    },
    /// A snapshot was to be written while the tree was replaced.
    #[error("the tree was replaced while its snapshot {0} was written; it was given up")]
    Replaced(PathBuf),
    /// The log cannot be cut at a point that nothing leads to.
    #[error(
        "the log cannot be truncated to zxid {to}: what can be loaded up to there ends with {reached}. \
         Nothing was changed. Move the version-2 directories of its dataDir and dataLogDir away and start the \
         server while the others are up: it takes all from the leader"
    )]
    Unreachable {
        /// Where the leader wants it cut.
        to: Zxid,
        /// The last transaction at or below that which can be loaded.
        reached: Zxid,
    },
    /// An epoch file that holds no number, or one that no epoch has.
    #[error("{path} should hold an epoch as a decimal number, but holds {text:?}")]
    BadEpoch {
        /// The file.
        path: PathBuf,
        /// Its text.
        text: String,
    },
    /// The epochs contradict the data.
    #[error("{0}")]
    EpochOrder(String),
    /// A transaction whose number is not the next one: a fault of this program, or of the leader.
    #[error("zxid {zxid} of type {op} must not follow zxid {last} in the log")]
    Order {
        /// Its number.
        zxid: Zxid,
        /// Its type.
        op: i32,
        /// The number before.
        last: Zxid,
    },
    /// The log's next file exists and holds transactions.
    #[error("{0} is there already and holds transactions; a new log will not be written over it")]
    LogExists(PathBuf),
    /// Something failed before, so that what the disk holds is not known.
    #[error("the log takes nothing more, since it failed before: {0}")]
    Failed(String),
    /// Fewer than three snapshots were to be kept. (PurgeTxnLog)
    #[error("count should be greater than or equal to 3")]
    PurgeCount,
}

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Flaw {
    /// The file does not begin as a log does.
    #[error("it does not begin with the magic number ZKLG")]
    Magic,
    /// The file ends within its header, or holds zeros in its place, and nothing behind it.
    #[error("its header is cut off")]
    Header,
    /// Zeros, then something else.
    #[error("zeros where a record is due, and data behind them")]
    Zeros,
    /// The record runs past the end of the file.
    #[error("a record that runs past the end of the file")]
    Cut,
    /// No transaction is that short.
    #[error("a record of {0} bytes")]
    Length(i32),
    /// The record does not end with 'B'.
    #[error("a record without its end mark")]
    EndMark,
    /// The checksum is wrong.
    #[error("CRC check failed")]
    Checksum,
    /// A type that is no transaction's.
    #[error("a transaction of the unknown type {0}")]
    UnknownType(i32),
    /// Checksum and all are right, but what it says is not.
    #[error("a transaction that cannot be decoded: {0}")]
    Record(Malformed),
    /// A number that does not rise.
    #[error("zxid {0}, which does not rise")]
    Falling(Zxid),
}

/// Adds to an operating system's error what was to be done, and with what.
pub(super) trait At<T> {
    /// `action` is an infinitive, as "read".
    fn at(self, action: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::Io {
            action,
            path: path.to_owned(),
            source,
        })
    }
}
