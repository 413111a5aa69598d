//! What must hold at every step, seen from outside the servers.

mod epochs;
mod requests;
mod sequence;
mod trees;

use oxkeeper::proto::Zxid;
use oxkeeper::proto::packet::PacketType;
use oxkeeper::request::ServerState;

use super::net::Host;
use super::server::SimServer;
use super::shape::Shape;
use super::trace::Trace;

/// All checkers.
pub struct Checkers {
    trace: Trace,
    epochs: epochs::Epochs,
    sequence: sequence::Sequence,
    trees: trees::Trees,
    /// Of each server: its life, its role, and how far its tree was, when it was looked at last.
    seen: Vec<Seen>,
}

#[derive(Default, Clone, PartialEq, Eq)]
struct Seen {
    life: u64,
    role: Option<ServerState>,
    applied: Zxid,
}

impl Checkers {
    pub fn new(trace: Trace, shape: &Shape) -> Checkers {
        Checkers {
            epochs: epochs::Epochs::default(),
            sequence: sequence::Sequence::new(shape.committed_limit, shape.first_counter()),
            trees: trees::Trees::default(),
            seen: vec![Seen::default(); shape.servers as usize],
            trace,
        }
    }

    /// A server has taken a step.
    pub fn look(&mut self, server: &SimServer) {
        let Some(database) = server.database() else {
            return;
        };
        let seen = &mut self.seen[server.sid as usize - 1];
        let now = Seen {
            life: server.lives,
            role: server.serves(),
            applied: database.applied(),
        };
        if *seen == now {
            return;
        }
        let who = format!("s{}", server.sid);
        if seen.role != now.role || seen.life != now.life {
            let role = now.role.map_or("-".to_owned(), |role| format!("{role:?}"));
            self.trace.line(
                &who,
                &format!("life {} {role:<10} applied {}", now.life, now.applied),
            );
            if now.role == Some(ServerState::Leader) {
                self.epochs.leads(server.sid, now.applied.epoch(), &self.trace);
                self.sequence.lead(server, now.applied.epoch(), &self.trace);
            } else if now.role == Some(ServerState::Standalone) {
                self.sequence.lead(server, now.applied.epoch(), &self.trace);
            } else if now.role.is_some() {
                self.sequence.learn(server.sid, database, &self.trace);
            }
            self.epochs.look(server, &self.trace);
            if now.role.is_some() {
                self.trees.compare(server, database, &self.trace);
            }
        } else if now.role.is_some() && now.applied > seen.applied {
            self.sequence.applied(server.sid, database, &self.trace);
            if now.applied.0 % COMPARED_EACH == 0 {
                self.trees.compare(server, database, &self.trace);
            }
        }
        *seen = now;
    }

    /// A packet has come from a server to another.
    pub fn hear(&mut self, from: Host, to: Host, packet: PacketType, zxid: Zxid, servers: &[SimServer]) {
        self.epochs.hear((from, to), packet, zxid, servers, &self.trace);
    }

    /// A server is about to start: what its disk has kept.
    pub fn begins(&mut self, server: &SimServer) {
        self.epochs.look(server, &self.trace);
    }

    /// Nothing happens any more: all trees are one, and what happened was asked for.
    pub fn end(&mut self, servers: &[SimServer]) {
        for server in servers {
            if let Some(database) = server.database() {
                self.trees.compare(server, database, &self.trace);
            }
        }
        self.sequence.end(&self.trace);
    }

    /// How many transactions were decided.
    pub fn decided(&self) -> usize {
        self.sequence.decided()
    }
}

/// Trees are compared at each transaction whose number can be divided by this, and at the beginning of each role.
const COMPARED_EACH: i64 = 8;
