//! At one zxid all trees are equal, in every field.

use std::collections::BTreeMap;
use std::sync::Arc;

use oxkeeper::storage::Database;
use oxkeeper::tree::TreeDump;

use super::super::net::Host;
use super::super::server::SimServer;
use super::super::trace::Trace;

#[derive(Default)]
pub struct Trees {
    /// The newest trees, by zxid, and who has had them.
    known: BTreeMap<i64, (Host, TreeDump)>,
}

impl Trees {
    pub fn compare(&mut self, server: &SimServer, database: &Arc<Database>, trace: &Trace) {
        let tree = database.read_tree();
        let (zxid, dump) = (tree.last_zxid().0, TreeDump::of(&tree));
        drop(tree);
        orphans(server.sid, &dump, trace);
        match self.known.get(&zxid) {
            Some((first, known)) if *known != dump => {
                let story = format!(
                    "servers {first} and {} at zxid {zxid:#x}: {}",
                    server.sid,
                    difference(known, &dump)
                );
                trace.fail("equal trees", &story);
            }
            Some(_) => {}
            None => {
                self.known.insert(zxid, (server.sid, dump));
                if self.known.len() > KEPT {
                    self.known.pop_first();
                }
            }
        }
    }
}

/// Who owns an ephemeral is alive.
fn orphans(sid: Host, dump: &TreeDump, trace: &Trace) {
    for (session, paths) in &dump.ephemerals {
        if !dump.sessions.iter().any(|(known, _)| known == session) {
            let story = format!("server {sid}: session {session} is over and owns {paths:?}");
            trace.fail("ephemerals die with their session", &story);
        }
    }
}

fn difference(a: &TreeDump, b: &TreeDump) -> String {
    let nodes = a.nodes.iter().find(|node| !b.nodes.contains(node));
    let more = b.nodes.iter().find(|node| !a.nodes.contains(node));
    if nodes.is_some() || more.is_some() {
        return format!("{nodes:?} is not {more:?}");
    }
    if a.sessions != b.sessions {
        return format!("sessions {:?} are not {:?}", a.sessions, b.sessions);
    }
    format!(
        "{:?} {:?} are not {:?} {:?}",
        a.ephemerals, a.counts, b.ephemerals, b.counts
    )
}

/// So many are remembered.
const KEPT: usize = 64;
