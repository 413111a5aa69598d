//! What an ensemble owes its clients, checked on the history of what they asked and heard.
//!
//! Pure: a [`History`] goes in, a list of broken promises comes out. Whoever drives clients, against real
//! processes or in a simulation, records the entries in the order in which they happened; an invocation before
//! the first byte is sent, an answer after the last byte is read. What was never answered may have happened, at
//! any later time, or not at all.
//!
//! Zxids name the one order in which changes happened, so each check is one pass: what an answer tells of that
//! order is compared with what was known when the question was asked. A history that is cut off anywhere is one
//! as well, so the checks may run while it grows.

mod nodes;
mod ops;
mod order;
mod registers;
mod sessions;
pub mod trees;
mod watches;

use std::fmt;

/// What clients did and heard, in the order in which it happened.
#[derive(Debug, Default, Clone)]
pub struct History {
    entries: Vec<Entry>,
}

/// One moment of one client.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When, in milliseconds of whatever clock: for readers only, the order of entries counts.
    pub at_ms: u64,
    /// The client, by its number.
    pub client: usize,
    /// What happened.
    pub what: What,
}

/// What happens to a client. It waits for nothing between two requests, so several may be on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A server has granted a new session or renewed the last one; watches that wait are set again.
    Connected { session: i64, server: usize },
    /// The connection is gone, and with it the answers that have not come.
    Disconnected,
    /// The session is over: closed by the client, or a server said so.
    Ended,
    /// A request is about to be sent. Numbers are never used twice in a history.
    Invoke { op: u64, call: Call },
    /// Its answer, with the zxid of its header.
    Return { op: u64, zxid: i64, answer: Answer },
    /// A watch fired.
    Event { path: String },
    /// The server broke the protocol in a way that the client itself noticed.
    Broken(String),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// New data. No two writes of a history have the same.
    Set {
        path: String,
        value: String,
        version: Option<i32>,
    },
    Create {
        path: String,
        value: String,
        ephemeral: bool,
        sequential: bool,
    },
    Delete {
        path: String,
    },
    /// Data and stat; `synced` with a sync right before it on the same connection, as one request.
    Get {
        path: String,
        watch: bool,
        synced: bool,
    },
    /// All or none of these writes. `Check` is a part that only compares.
    Multi(Vec<Call>),
    Check {
        path: String,
        version: i32,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To a set.
    Set(Seen),
    /// To a create: the path of the node.
    Created(String),
    /// To a delete or a check.
    Done,
    /// To a get.
    Got(Seen, String),
    /// To a get: no such node.
    Missing,
    /// To a multi that was carried out.
    Multi(Vec<Answer>),
    /// A definite no: nothing has changed, nor will.
    Refused(i32),
}

/// What a stat tells of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// The change that made it.
    pub mzxid: i64,
    /// How many there were before, on this node.
    pub version: i32,
}

/// A promise that was broken: which, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// Who saw what.
    pub story: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.story)
    }
}

impl History {
    /// Adds what has just happened.
    pub fn push(&mut self, at_ms: u64, client: usize, what: What) {
        self.entries.push(Entry { at_ms, client, what });
    }

    /// All of it.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// All promises that a history, finished or not, shows broken.
pub fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let ops = ops::Ops::of(history, &mut found);
    registers::check(&ops, &mut found);
    order::check(&ops, &mut found);
    sessions::check(&ops, &mut found);
    watches::check(history, &ops, &mut found);
    nodes::check(&ops, &mut found);
    found
}

/// What must hold when nothing is on its way any more: `nodes` is the tree that all servers show, and
/// `is_alive` tells which sessions are not over.
pub fn check_end(
    history: &History,
    nodes: &std::collections::BTreeMap<String, nodes::EndNode>,
    is_alive: impl Fn(i64) -> bool,
) -> Vec<Violation> {
    let mut found = Vec::new();
    let ops = ops::Ops::of(history, &mut found);
    nodes::check_end(&ops, nodes, is_alive, &mut found);
    found
}

pub use nodes::EndNode;

fn violation(found: &mut Vec<Violation>, promise: &'static str, story: String) {
    if found.len() < MOST_VIOLATIONS {
        found.push(Violation { promise, story });
    }
}

/// One broken promise is enough to know; a hundred are unreadable.
const MOST_VIOLATIONS: usize = 20;

#[cfg(test)]
mod tests;
