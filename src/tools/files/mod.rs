//! Tools for the files of a server, ours or Java's: they read, and write only what they are told to.

mod compare;
mod java_hash;
mod log_formatter;
mod raw_log;
mod say;
mod snapshot;
mod summary;
mod toolkit;
mod txn_text;

pub use compare::{help_text as compare_help, run as run_compare};
pub use log_formatter::{USAGE as LOG_FORMATTER_HELP, run as run_log_formatter};
pub use snapshot::{help_text as snapshot_help, run as run_snapshot};
pub use toolkit::{HELP as TXNLOG_HELP, run as run_txnlog};
