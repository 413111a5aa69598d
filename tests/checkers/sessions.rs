//! What a session is promised, also when it moves between servers: its requests happen in the order in which
//! they were sent, and it never sees the past again.

use std::collections::{BTreeMap, HashMap};

use super::ops::{Op, Ops, read_of, writes_of};
use super::{Answer, Call, Violation, violation};

pub fn check(ops: &Ops, found: &mut Vec<Violation>) {
    let mut by_session: BTreeMap<i64, Vec<&Op>> = BTreeMap::new();
    for op in &ops.all {
        by_session.entry(op.session).or_default().push(op);
    }
    let removals = removals(ops);
    for sent in by_session.values() {
        in_order(ops, sent, found);
        let mut answered: Vec<&Op> = sent.iter().copied().filter(|op| op.returned.is_some()).collect();
        answered.sort_by_key(|op| op.returned);
        never_back(&answered, found);
        own_nodes_stay(&answered, &removals, found);
    }
}

/// Writes take effect in the order in which they were sent, those without an answer too, if they do.
fn in_order(ops: &Ops, sent: &[&Op], found: &mut Vec<Violation>) {
    let mut newest: Option<(i64, &Op)> = None;
    for op in sent.iter().filter(|op| op.is_write() && !op.is_refused()) {
        let Some(zxid) = effect_of(ops, op) else {
            continue;
        };
        if let Some((_, last)) = newest.filter(|(last, _)| *last > zxid) {
            let story = format!(
                "{} took place, at 0x{zxid:x}, before {}",
                op.story(),
                last.story()
            );
            violation(found, "a session's writes keep their order", story);
        }
        newest = Some((zxid, op));
    }
}

/// The zxid of a write, if anybody knows that it happened.
fn effect_of(ops: &Ops, op: &Op) -> Option<i64> {
    if op.answer.is_some() {
        return op.zxid;
    }
    writes_of(op)
        .iter()
        .find_map(|write| ops.state_of(write.value))
        .map(|seen| seen.mzxid)
}

/// Neither the zxids of answers nor the states of a node go back.
fn never_back(answered: &[&Op], found: &mut Vec<Violation>) {
    let mut last_zxid: Option<&Op> = None;
    let mut states: HashMap<&str, (i64, &Op)> = HashMap::new();
    for op in answered {
        if let Some(last) = last_zxid.filter(|last| last.zxid > op.zxid) {
            let story = format!("{} after {}", op.story(), last.story());
            violation(found, "zxids do not go back within a session", story);
        }
        last_zxid = Some(op);
        let read = read_of(op).map(|read| (read.path, read.seen.mzxid));
        let written = writes_of(op);
        let written = written.iter().filter_map(|w| Some((w.path, w.seen?.mzxid)));
        for (path, mzxid) in read.into_iter().chain(written) {
            match states.insert(path, (mzxid, op)) {
                Some((before, earlier)) if before > mzxid => {
                    let story = format!("{} after {}", op.story(), earlier.story());
                    violation(found, "a session does not see the past again", story);
                }
                _ => {}
            }
        }
    }
}

/// Where each path that anybody may have removed was asked to be removed first.
fn removals(ops: &Ops) -> HashMap<&str, usize> {
    let mut removals = HashMap::new();
    for op in ops.all.iter().filter(|op| !op.is_refused()) {
        if let Call::Delete { path } = &op.call {
            removals.entry(path.as_str()).or_insert(op.invoked);
        }
    }
    removals
}

/// What a session has made it sees until somebody removes it; so also its ephemerals.
fn own_nodes_stay(answered: &[&Op], removals: &HashMap<&str, usize>, found: &mut Vec<Violation>) {
    let mut own: HashMap<&str, &Op> = HashMap::new();
    for op in answered {
        let missing = match (&op.call, &op.answer) {
            (Call::Create { .. }, Some(Answer::Created(path))) => {
                own.insert(path, op);
                continue;
            }
            (Call::Delete { path }, Some(Answer::Refused(NO_NODE))) => path,
            (Call::Get { path, .. }, Some(Answer::Missing)) => path,
            _ => continue,
        };
        let may_be_gone = removals.get(missing.as_str()).copied() < op.returned;
        let may_be_gone = may_be_gone && removals.contains_key(missing.as_str());
        if let Some(made) = own.get(missing.as_str()).filter(|_| !may_be_gone) {
            let story = format!("{} after {}", op.story(), made.story());
            violation(found, "a node stays while its session lives", story);
        }
    }
}

const NO_NODE: i32 = -101;
