//! Requests with their answers, out of a history's entries.

use std::collections::HashMap;

use super::{Answer, Call, History, Seen, Violation, What, violation};

/// A request and what became of it.
#[derive(Debug, Clone)]
pub struct Op {
    pub client: usize,
    /// The session in which it was sent.
    pub session: i64,
    /// Where in the history it was sent.
    pub invoked: usize,
    /// When.
    pub at_ms: u64,
    /// Where it was answered.
    pub returned: Option<usize>,
    pub call: Call,
    pub answer: Option<Answer>,
    /// The zxid of the answer's header.
    pub zxid: Option<i64>,
}

/// All requests, in the order in which they were sent.
#[derive(Debug)]
pub struct Ops {
    pub all: Vec<Op>,
    /// The state that each value belongs to, as far as anybody has seen it.
    states: HashMap<String, Seen>,
}

/// One write of data: a set, a create, or a part of a multi.
#[derive(Debug, Clone, Copy)]
pub struct Write<'a> {
    pub op: &'a Op,
    /// Of a sequential node without an answer, the path without its number.
    pub path: &'a str,
    pub value: &'a str,
    /// The condition.
    pub version: Option<i32>,
    /// What its answer tells.
    pub seen: Option<Seen>,
    /// False if it may have happened or not.
    pub is_acknowledged: bool,
    pub is_refused: bool,
}

/// What a get has shown.
#[derive(Debug, Clone, Copy)]
pub struct Read<'a> {
    pub op: &'a Op,
    pub path: &'a str,
    pub value: &'a str,
    pub seen: Seen,
    pub is_synced: bool,
}

impl Ops {
    pub fn of(history: &History, found: &mut Vec<Violation>) -> Ops {
        let mut all: Vec<Op> = Vec::new();
        let mut by_number: HashMap<u64, usize> = HashMap::new();
        let mut sessions: HashMap<usize, i64> = HashMap::new();
        for (at, entry) in history.entries().iter().enumerate() {
            let client = entry.client;
            let session = sessions.get(&client).copied().unwrap_or(0);
            match &entry.what {
                What::Connected { session, .. } => drop(sessions.insert(client, *session)),
                What::Invoke { op, call } => {
                    by_number.insert(*op, all.len());
                    all.push(Op {
                        client,
                        session,
                        invoked: at,
                        at_ms: entry.at_ms,
                        returned: None,
                        call: call.clone(),
                        answer: None,
                        zxid: None,
                    });
                }
                What::Return { op, zxid, answer } => {
                    if let Some(op) = by_number.get(op).and_then(|index| all.get_mut(*index)) {
                        op.returned = Some(at);
                        op.answer = Some(answer.clone());
                        op.zxid = Some(*zxid);
                    }
                }
                What::Broken(story) => {
                    violation(found, "the protocol is kept", format!("client {client}: {story}"));
                }
                What::Disconnected | What::Ended | What::Event { .. } => {}
            }
        }
        let states = HashMap::new();
        let mut ops = Ops { all, states };
        ops.states = ops.seen_states();
        ops
    }

    /// The state that a value belongs to, by the word of its writer or of any reader.
    pub fn state_of(&self, value: &str) -> Option<Seen> {
        self.states.get(value).copied()
    }

    fn seen_states(&self) -> HashMap<String, Seen> {
        let told = self.writes().filter_map(|write| Some((write.value, write.seen?)));
        let read = self.reads().map(|read| (read.value, read.seen));
        let mut states = HashMap::new();
        for (value, seen) in told.chain(read) {
            states.entry(value.to_owned()).or_insert(seen);
        }
        states
    }

    /// All writes of data.
    pub fn writes(&self) -> impl Iterator<Item = Write<'_>> {
        self.all.iter().flat_map(writes_of)
    }

    /// All gets that have shown a node.
    pub fn reads(&self) -> impl Iterator<Item = Read<'_>> {
        self.all.iter().filter_map(read_of)
    }
}

impl Op {
    pub fn is_refused(&self) -> bool {
        matches!(self.answer, Some(Answer::Refused(_)))
    }

    pub fn is_write(&self) -> bool {
        !matches!(self.call, Call::Get { .. })
    }

    /// Who asked what, for a story.
    pub fn story(&self) -> String {
        format!(
            "{:?} of client {} in session 0x{:x} ({} ms, entry {}) answered {:?}, zxid {}",
            self.call,
            self.client,
            self.session,
            self.at_ms,
            self.invoked,
            self.answer,
            self.zxid
                .map_or("unknown".to_owned(), |zxid| format!("0x{zxid:x}")),
        )
    }
}

pub fn read_of(op: &Op) -> Option<Read<'_>> {
    let (Call::Get { path, synced, .. }, Some(Answer::Got(seen, value))) = (&op.call, &op.answer) else {
        return None;
    };
    Some(Read {
        op,
        path,
        value,
        seen: *seen,
        is_synced: *synced,
    })
}

pub fn writes_of(op: &Op) -> Vec<Write<'_>> {
    match (&op.call, &op.answer) {
        (Call::Multi(calls), Some(Answer::Multi(answers))) => calls
            .iter()
            .zip(answers)
            .filter_map(|(call, answer)| write_of(op, call, Some(answer)))
            .collect(),
        (Call::Multi(calls), answer) => calls
            .iter()
            .filter_map(|call| write_of(op, call, answer.as_ref()))
            .collect(),
        (call, answer) => write_of(op, call, answer.as_ref()).into_iter().collect(),
    }
}

fn write_of<'a>(op: &'a Op, call: &'a Call, answer: Option<&'a Answer>) -> Option<Write<'a>> {
    let (path, value, version, seen) = match (call, answer) {
        (Call::Set { path, value, version }, Some(Answer::Set(seen))) => (path, value, *version, Some(*seen)),
        (Call::Set { path, value, version }, _) => (path, value, *version, None),
        (Call::Create { value, .. }, Some(Answer::Created(path))) => {
            let seen = op.zxid.map(|mzxid| Seen { mzxid, version: 0 });
            (path, value, None, seen)
        }
        (Call::Create { path, value, .. }, _) => (path, value, None, None),
        _ => return None,
    };
    Some(Write {
        op,
        path,
        value,
        version,
        seen,
        is_acknowledged: seen.is_some(),
        is_refused: matches!(answer, Some(Answer::Refused(_))),
    })
}
