//! The disk: transaction log, snapshots, epoch files, recovery, and the database that they restore.
//!
//! All of it goes through [`Disk`](crate::runtime::Disk): no thread, no clock, no file of its own. Both file
//! formats are those of 3.4.14 to the byte, so that either server starts from what the other left.
//!
//! Three rules are kept everywhere:
//!
//! - **Nothing is acknowledged before it is safe**: the bytes, and the name of the file they are in.
//! - **A failed write is final.** Whoever met one takes nothing more, and the server ends.
//! - **Damage is refused, never guessed around.** What a crash can leave is mended, and said; what it cannot
//!   leave stops the start with file, offset and advice, and nothing is changed.

pub mod committed_log;
pub mod database;
pub mod epochs;
pub mod error;
pub mod log_file;
mod log_format;
pub mod log_reader;
pub mod log_writer;
pub mod names;
pub mod purge;
pub mod recovery;
pub mod snapshot;

#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod testing;

pub use committed_log::CommittedLog;
pub use database::{CONFIG_PATH, Database};
pub use epochs::Epochs;
pub use error::{Flaw, StorageError};
pub use log_file::{Entry, LogFile};
pub use log_reader::{LogReader, TornEnd};
pub use log_writer::{LogOptions, LogWriter};
pub use names::{DataFile, Dirs};
pub use purge::purge;
pub use recovery::{Recovered, RecoveryOptions, discard_after, load, recover, truncate};
pub use snapshot::{
    InvalidSnapshot, SnapshotInput, SnapshotWriter, read_snapshot, verify_snapshot, write_snapshot,
};
