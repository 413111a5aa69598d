//! Watches: an event comes before the change that it announces can be seen, and only to who asked for it.

use std::collections::HashMap;

use super::ops::{Ops, read_of, writes_of};
use super::{Answer, Call, History, Violation, What, violation};

pub fn check(history: &History, ops: &Ops, found: &mut Vec<Violation>) {
    // Answers by where they stand.
    let answers: HashMap<usize, usize> = ops
        .all
        .iter()
        .enumerate()
        .filter_map(|(index, op)| Some((op.returned?, index)))
        .collect();
    // Of each client: the watched paths, with the zxid of the state in which each was seen.
    let mut armed: HashMap<usize, HashMap<&str, i64>> = HashMap::new();
    let mut last_session: HashMap<usize, i64> = HashMap::new();
    for (at, entry) in history.entries().iter().enumerate() {
        let of_client = armed.entry(entry.client).or_default();
        match &entry.what {
            What::Connected { session, .. } => {
                if last_session.insert(entry.client, *session) != Some(*session) {
                    of_client.clear();
                }
            }
            What::Ended => of_client.clear(),
            What::Event { path } => {
                if of_client.remove(path.as_str()).is_none() {
                    let story = format!("client {} heard of {path} at entry {at}", entry.client);
                    violation(found, "an event comes to who watches, once", story);
                }
            }
            What::Return { .. } => {
                let Some(op) = answers.get(&at).map(|index| &ops.all[*index]) else {
                    continue;
                };
                let read = read_of(op).map(|read| (read.path, read.seen.mzxid));
                let written = writes_of(op);
                let written = written.iter().filter_map(|w| Some((w.path, w.seen?.mzxid)));
                for (path, mzxid) in read.into_iter().chain(written) {
                    if let Some(watched) = of_client.get(path).filter(|watched| **watched < mzxid) {
                        let story = format!("{}, and no event since 0x{watched:x}", op.story());
                        violation(found, "an event comes before its change is seen", story);
                        of_client.remove(path);
                    }
                }
                if let (
                    Call::Get {
                        path, watch: true, ..
                    },
                    Some(Answer::Got(seen, _)),
                ) = (&op.call, &op.answer)
                {
                    of_client.insert(path, seen.mzxid);
                }
            }
            What::Disconnected | What::Invoke { .. } | What::Broken(_) => {}
        }
    }
}
