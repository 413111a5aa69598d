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

pub use compare::run as run_compare;
pub use log_formatter::run as run_log_formatter;
pub use snapshot::run as run_snapshot;
pub use toolkit::run as run_txnlog;
