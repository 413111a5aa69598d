//! Nodes that come and go: sequential names, ephemerals, and what is there in the end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ops::{Op, Ops};
use super::{Answer, Call, Violation, violation};

/// A node as all servers show it in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndNode {
    /// The session that owns it, or 0.
    pub owner: i64,
    /// The change that made it.
    pub czxid: i64,
    /// The last change of the list of its children.
    pub pzxid: i64,
}

pub fn check(ops: &Ops, found: &mut Vec<Violation>) {
    sequential_names(ops, found);
    ephemerals_last(ops, found);
}

/// No number comes twice, and numbers rise with time. Those without an answer have an unknown name.
fn sequential_names(ops: &Ops, found: &mut Vec<Violation>) {
    let mut by_prefix: BTreeMap<&str, Vec<(&Op, u64)>> = BTreeMap::new();
    for op in &ops.all {
        let Call::Create {
            path,
            sequential: true,
            ..
        } = &op.call
        else {
            continue;
        };
        match &op.answer {
            Some(Answer::Created(name)) => {
                match name.strip_prefix(path.as_str()).and_then(|n| n.parse().ok()) {
                    Some(number) => by_prefix.entry(path).or_default().push((op, number)),
                    None => violation(found, "a sequential node has its number", op.story()),
                }
            }
            Some(Answer::Refused(NODE_EXISTS)) => {
                violation(found, "no number is given twice", op.story());
            }
            _ => {}
        }
    }
    for made in by_prefix.values() {
        let mut by_number: HashMap<u64, &Op> = HashMap::new();
        let mut moments: Vec<(usize, bool, &Op, u64)> = Vec::new();
        for (op, number) in made {
            if let Some(other) = by_number.insert(*number, op) {
                let story = format!("{} and {}", op.story(), other.story());
                violation(found, "no number is given twice", story);
            }
            moments.push((op.invoked, true, op, *number));
            moments.extend(op.returned.map(|at| (at, false, *op, *number)));
        }
        moments.sort_by_key(|(at, ..)| *at);
        let mut newest: Option<(u64, &Op)> = None;
        for (_, is_question, op, number) in moments {
            if !is_question {
                newest = newest.filter(|(last, _)| *last >= number).or(Some((number, op)));
            } else if let Some((_, last)) = newest.filter(|(last, _)| *last >= number) {
                let story = format!("{} after {}", op.story(), last.story());
                violation(found, "numbers rise with time", story);
            }
        }
    }
}

/// Whoever finds an ephemeral gone, after a sync, never hears of its session's being well afterwards.
fn ephemerals_last(ops: &Ops, found: &mut Vec<Violation>) {
    // Where each session asked last for a write that was carried out: reads are answered by servers that may not
    // know yet that it is over.
    let mut well: HashMap<i64, usize> = HashMap::new();
    let carried_out = |op: &&Op| op.is_write() && op.answer.is_some() && !op.is_refused();
    for op in ops.all.iter().filter(carried_out) {
        let last = well.entry(op.session).or_default();
        *last = (*last).max(op.invoked);
    }
    let mut made: HashMap<&str, &Op> = HashMap::new();
    let mut removed: BTreeSet<&str> = BTreeSet::new();
    for op in &ops.all {
        match (&op.call, &op.answer) {
            (Call::Create { ephemeral: true, .. }, Some(Answer::Created(path))) => {
                made.insert(path, op);
            }
            (Call::Delete { path }, answer) if !matches!(answer, Some(Answer::Refused(_))) => {
                removed.insert(path);
            }
            _ => {}
        }
    }
    for op in &ops.all {
        let (
            Call::Get {
                path, synced: true, ..
            },
            Some(Answer::Missing),
        ) = (&op.call, &op.answer)
        else {
            continue;
        };
        let Some(maker) = made
            .get(path.as_str())
            .filter(|_| !removed.contains(path.as_str()))
        else {
            continue;
        };
        let was_there = maker.returned < Some(op.invoked);
        let lives_on = well.get(&maker.session) > op.returned.as_ref();
        if was_there && lives_on {
            let story = format!("{}, made by {}, whose session went on", op.story(), maker.story());
            violation(found, "an ephemeral lives as long as its session", story);
        }
    }
}

/// What was acknowledged and not removed is there; what was removed or refused is not; ephemerals have owners.
pub fn check_end(
    ops: &Ops,
    nodes: &BTreeMap<String, EndNode>,
    is_alive: impl Fn(i64) -> bool,
    found: &mut Vec<Violation>,
) {
    let mut removed: HashMap<&str, bool> = HashMap::new();
    for op in &ops.all {
        if let Call::Delete { path } = &op.call {
            let is_certain = matches!(op.answer, Some(Answer::Done));
            if !op.is_refused() {
                *removed.entry(path).or_default() |= is_certain;
            }
        }
    }
    for op in &ops.all {
        let (Call::Create { ephemeral, .. }, Some(Answer::Created(path))) = (&op.call, &op.answer) else {
            continue;
        };
        let is_there = nodes.contains_key(path);
        match removed.get(path.as_str()) {
            None if !is_there && (!ephemeral || is_alive(op.session)) => {
                violation(found, "no acknowledged write is lost", op.story());
            }
            Some(true) if is_there => {
                let story = format!("{} is there, though removed", op.story());
                violation(found, "no acknowledged write is lost", story);
            }
            _ => {}
        }
    }
    for (path, node) in nodes.iter().filter(|(_, node)| node.owner != 0) {
        if !is_alive(node.owner) {
            let story = format!("{path} of session 0x{:x}, which is over", node.owner);
            violation(found, "an ephemeral goes with its session", story);
        }
    }
    for (path, node) in nodes {
        let parent = path.rsplit_once('/').and_then(|(parent, _)| nodes.get(parent));
        if parent.is_some_and(|parent| parent.pzxid < node.czxid) {
            let story = format!(
                "{path} was made at 0x{:x}, and its parent is {parent:?}",
                node.czxid
            );
            violation(found, "a parent knows when its last child came", story);
        }
    }
    nothing_from_nowhere(ops, nodes, found);
}

/// Each node below a place where nodes were made was asked for, and not refused.
fn nothing_from_nowhere(ops: &Ops, nodes: &BTreeMap<String, EndNode>, found: &mut Vec<Violation>) {
    let mut asked: BTreeSet<&str> = BTreeSet::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    let mut parents: BTreeSet<&str> = BTreeSet::new();
    for op in &ops.all {
        let Call::Create { path, sequential, .. } = &op.call else {
            continue;
        };
        parents.extend(path.rsplit_once('/').map(|(parent, _)| parent));
        match &op.answer {
            Some(Answer::Created(name)) => drop(asked.insert(name)),
            None if *sequential => *open.entry(path).or_default() += 1,
            None => drop(asked.insert(path)),
            Some(_) => {}
        }
    }
    for path in nodes.keys() {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if !parents.contains(parent) || asked.contains(path.as_str()) {
            continue;
        }
        // A create without an answer may have made one.
        let prefix = path.trim_end_matches(|c: char| c.is_ascii_digit());
        match open.get_mut(prefix) {
            Some(left) if *left > 0 => *left -= 1,
            _ => violation(found, "nothing is there that nobody made", path.clone()),
        }
    }
}

const NODE_EXISTS: i32 = -110;
