//! The end of the process: why, and with which exit code.

use std::fmt;

/// Exit codes, where 3.4.14 has them with its numbers. (README lists them for operators.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum ExitCode {
    /// An orderly end.
    Ok = 0,
    /// Something that should not happen, or a resource that cannot be had (a port, a directory).
    Unexpected = 1,
    /// Bad arguments or configuration. (QuorumPeerMain)
    BadConfig = 2,
    /// No server could be reached, or the session was lost. (Of the command line client.)
    NoSession = 3,
    /// A snapshot could not be written. (ZooKeeperServer.takeSnapshot)
    Snapshot = 10,
    /// A commit that does not match the proposal that waits. (Follower)
    CommitMismatch = 12,
    /// The transaction log could not be written, or synchronisation failed. (Learner)
    Log = 13,
    /// The data directory holds damage that only an operator can judge.
    DamagedData = 14,
    /// Ended by SIGINT, as shells number it. (Of the command line client.)
    Interrupted = 130,
    /// Ended by SIGTERM, as shells number it. (Of the command line client.)
    Terminated = 143,
}

/// The process must end: an invariant is broken, or the disk no longer keeps what it is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// With which code.
    pub code: ExitCode,
    /// Why, for the last line of the log.
    pub reason: String,
}

impl Halt {
    /// A reason with its code.
    pub fn new(code: ExitCode, reason: impl Into<String>) -> Halt {
        Halt {
            code,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (exit code {})", self.reason, self.code as i32)
    }
}
