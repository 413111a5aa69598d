//! Each node's data is a register: its writes happen one after another, each at one moment between its question
//! and its answer, and a read after a sync shows the last one.
//!
//! Stats make it cheap: a state's zxid says where in the order it stands. So the search of Wing and Gong for an
//! order that fits is only a look at whether the one that is known does.

use std::collections::{BTreeMap, HashMap};

use super::ops::{Op, Ops, Read, Write};
use super::{Seen, Violation, violation};

pub fn check(ops: &Ops, found: &mut Vec<Violation>) {
    one_history(ops, found);
    no_value_from_nowhere(ops, found);
    one_after_another(ops, found);
}

/// A version is one value and one zxid, whoever looks, and later versions have later zxids.
fn one_history(ops: &Ops, found: &mut Vec<Violation>) {
    let mut states: HashMap<&str, BTreeMap<i64, (i32, &str, &Op)>> = HashMap::new();
    let told = ops
        .writes()
        .filter_map(|w| Some((w.path, w.value, w.seen?, w.op)));
    let read = ops.reads().map(|r| (r.path, r.value, r.seen, r.op));
    for (path, value, seen, op) in told.chain(read) {
        let of_path = states.entry(path).or_default();
        let (version, known, first) = of_path.entry(seen.mzxid).or_insert((seen.version, value, op));
        if (*version, *known) != (seen.version, value) {
            let story = format!("{path}: {} and {}", op.story(), first.story());
            violation(found, "a zxid is one state", story);
        }
    }
    for (path, of_path) in states {
        let mut values: HashMap<&str, i64> = HashMap::new();
        let mut before: Option<(i64, i32)> = None;
        for (mzxid, (version, value, op)) in of_path {
            if let Some(earlier) = values.insert(value, mzxid) {
                let story = format!("{path} had {value:?} at 0x{earlier:x}, and again: {}", op.story());
                violation(found, "a write happens once", story);
            }
            if let Some((zxid, _)) = before.filter(|(_, last)| *last >= version && version > 0) {
                let story = format!("{path} at 0x{zxid:x} had at least the version of {}", op.story());
                violation(found, "versions rise with zxids", story);
            }
            before = Some((mzxid, version));
        }
    }
}

/// What is read was written by somebody who had asked for it, and was not refused.
fn no_value_from_nowhere(ops: &Ops, found: &mut Vec<Violation>) {
    let writers: HashMap<&str, Write<'_>> = ops.writes().map(|write| (write.value, write)).collect();
    for read in ops.reads() {
        let returned = read.op.returned.unwrap_or(usize::MAX);
        match writers.get(read.value) {
            Some(write) if write.is_refused => {
                let story = format!("{}, yet {}", write.op.story(), read.op.story());
                violation(found, "what is refused does not happen", story);
            }
            Some(write) if write.op.invoked < returned && is_of(write, read.path) => {
                let off = write
                    .version
                    .is_some_and(|version| read.seen.version != version + 1);
                if off {
                    let story = format!("{}, yet {}", write.op.story(), read.op.story());
                    violation(found, "a condition on the version holds", story);
                }
            }
            _ => violation(found, "nothing is read that nobody wrote", read.op.story()),
        }
    }
}

/// Whether a write may be about a node: what has no answer may have got any number.
fn is_of(write: &Write<'_>, path: &str) -> bool {
    write.path == path || (!write.is_acknowledged && path.starts_with(write.path))
}

/// Who has an answer comes before whoever asks later.
fn one_after_another(ops: &Ops, found: &mut Vec<Violation>) {
    let mut by_path: HashMap<&str, Vec<Moment<'_>>> = HashMap::new();
    for write in ops.writes().filter(|write| !write.is_refused) {
        let moments = by_path.entry(write.path).or_default();
        moments.extend(Moment::of_write(ops, write));
    }
    for read in ops.reads() {
        by_path
            .entry(read.path)
            .or_default()
            .extend(Moment::of_read(read));
    }
    for (path, mut moments) in by_path {
        moments.sort_by_key(|moment| moment.at);
        let mut newest: Option<(Seen, &Op)> = None;
        for Moment { seen, kind, op, .. } in moments {
            let newer = newest.filter(|(last, _)| *last >= seen);
            match (kind, newer) {
                // Whoever asks from now on comes after this state.
                (Kind::Answer, None) => newest = Some((seen, op)),
                (Kind::Write, Some((_, last))) => {
                    let story = format!("{path}: {} takes place before {}", op.story(), last.story());
                    violation(found, "a write comes after all that was answered before", story);
                }
                (Kind::SyncedRead, Some((last_seen, last))) if last_seen > seen => {
                    let story = format!("{path}: {} misses {}", op.story(), last.story());
                    violation(found, "a read after a sync shows the last write", story);
                }
                _ => {}
            }
        }
    }
}

/// A question or an answer, and the state that it makes or shows.
struct Moment<'a> {
    at: usize,
    seen: Seen,
    kind: Kind,
    op: &'a Op,
}

#[derive(Clone, Copy)]
enum Kind {
    /// A question that makes a state, which must be newer than all that is known.
    Write,
    /// A question after a sync, which must not be answered with an older one.
    SyncedRead,
    /// A state is known.
    Answer,
}

impl<'a> Moment<'a> {
    fn of_write(ops: &Ops, write: Write<'a>) -> Vec<Moment<'a>> {
        // If nobody has ever seen its value, it may not have happened.
        let Some(seen) = write.seen.or_else(|| ops.state_of(write.value)) else {
            return Vec::new();
        };
        let op = write.op;
        let moment = |at, kind| Moment { at, seen, kind, op };
        let mut moments = vec![moment(op.invoked, Kind::Write)];
        let answered = op.returned.filter(|_| write.is_acknowledged);
        moments.extend(answered.map(|at| moment(at, Kind::Answer)));
        moments
    }

    fn of_read(read: Read<'a>) -> Vec<Moment<'a>> {
        let Read { op, seen, .. } = read;
        let moment = |at, kind| Moment { at, seen, kind, op };
        let mut moments = Vec::new();
        if read.is_synced {
            moments.push(moment(op.invoked, Kind::SyncedRead));
        }
        // What anybody has read is decided, so who asks later must know it.
        moments.extend(op.returned.map(|at| moment(at, Kind::Answer)));
        moments
    }
}
