//! All writes, whatever they are about, happen in the order of their zxids, and that is an order in which they
//! may have happened.

use std::collections::HashMap;

use super::ops::{Op, Ops};
use super::{Violation, violation};

pub fn check(ops: &Ops, found: &mut Vec<Violation>) {
    let answered: Vec<&Op> = ops
        .all
        .iter()
        .filter(|op| op.is_write() && op.returned.is_some() && !op.is_refused())
        .collect();
    let mut by_zxid: HashMap<i64, &Op> = HashMap::new();
    for op in &answered {
        let zxid = op.zxid.unwrap_or_default();
        if let Some(other) = by_zxid.insert(zxid, op) {
            let story = format!("{} and {}", op.story(), other.story());
            violation(found, "a zxid is one write", story);
        }
    }
    // Questions and answers in the order of the history: the newest answer before a question is its floor.
    let mut moments: Vec<(usize, bool, &Op)> = Vec::new();
    for op in answered {
        moments.push((op.invoked, true, op));
        moments.extend(op.returned.map(|at| (at, false, op)));
    }
    moments.sort_by_key(|(at, ..)| *at);
    let mut newest: Option<&Op> = None;
    for (_, is_question, op) in moments {
        if is_question {
            if let Some(last) = newest.filter(|last| last.zxid >= op.zxid) {
                let story = format!("{} has a lesser zxid than {}", op.story(), last.story());
                violation(found, "writes have the order of their zxids", story);
            }
        } else if newest.is_none_or(|last| last.zxid < op.zxid) {
            newest = Some(op);
        }
    }
}
