//! Why a configuration is refused. The process ends with [`ExitCode::BadConfig`](crate::runtime::ExitCode).

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a setting was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In a file.
    File {
        /// Which one.
        path: PathBuf,
        /// On which line, from 1.
        line: usize,
    },
    /// With `-D`, or as an argument.
    CommandLine,
    /// With `-D` in an environment variable of this name.
    Environment(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line } => write!(f, "{}, line {line}", path.display()),
            Origin::CommandLine => f.write_str("command line"),
            Origin::Environment(name) => write!(f, "environment variable {name}"),
        }
    }
}

/// A configuration with which no server starts.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("{}: cannot be read: {error}{hint}", path.display())]
    Unreadable {
        /// The configuration or myid.
        path: PathBuf,
        /// Why.
        error: io::Error,
        /// What to do; may be empty.
        hint: &'static str,
    },
    /// A file that is not in Java's properties syntax.
    #[error("{}, {error}", path.display())]
    Syntax {
        /// The configuration.
        path: PathBuf,
        /// Where and why.
        error: super::properties::BadEscape,
    },
    /// A value that its key does not take.
    #[error("{origin}: {key}={value}: allowed is {allowed}")]
    Value {
        /// Where it was set.
        origin: Origin,
        /// The key or property.
        key: String,
        /// What was set.
        value: String,
        /// What could have been.
        allowed: String,
    },
    /// A key of a list that is set twice, to different values: one of them is a mistake.
    #[error("{second}: {first}")]
    Twice {
        /// The second setting, with its place.
        second: String,
        /// The first one, with its place.
        first: String,
    },
    /// A key that must be there and is not.
    #[error("{place}: {key} is not set{why}")]
    Missing {
        /// The file, or the command line.
        place: String,
        /// Which one.
        key: &'static str,
        /// When it is needed; may be empty.
        why: &'static str,
    },
    /// Settings that do not go together.
    #[error("{place}: {reason}")]
    Conflict {
        /// The file, or the command line.
        place: String,
        /// Which and why.
        reason: String,
    },
    /// A file with names and passwords that cannot be used.
    #[error("{}, line {line}: {reason}", path.display())]
    Login {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong, and what to do. No password is in it.
        reason: String,
    },
    /// A myid that is none.
    #[error("{}: {reason}", path.display())]
    MyId {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
