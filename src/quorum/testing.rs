//! For tests: the election as a stage of its own.

use std::sync::{Arc, Mutex};

use super::messenger::{Heard, Mail, Outgoing};
use crate::runtime::{Flow, Now, Stage};
use crate::zab::{self, FastLeaderElection, Vote};

/// The election as QuorumPeer drives it while it looks.
pub struct Elector {
    pub election: FastLeaderElection,
    pub mail: Mail,
    pub decided: Arc<Mutex<Option<Vote>>>,
}

pub enum ElectorLetter {
    Event(zab::Event),
    /// The post ends, and with it the election.
    Halt,
}

impl From<Heard> for ElectorLetter {
    fn from(heard: Heard) -> ElectorLetter {
        ElectorLetter::Event(heard.into())
    }
}

impl Elector {
    fn give(&mut self, now: Now, event: zab::Event) {
        let mut actions = Vec::new();
        self.election.on(now.elapsed_ms, event, &mut actions);
        for action in actions {
            match action {
                zab::Action::Announce(standing) => self.mail.standing.post(standing),
                zab::Action::Send { to, notification } => {
                    self.mail.outgoing.post(Outgoing { to, notification });
                }
                zab::Action::Decided { vote, .. } => {
                    *self.decided.lock().expect("the decision") = Some(vote);
                }
                zab::Action::Overruled { .. } => {}
            }
        }
    }
}

impl Stage for Elector {
    type In = ElectorLetter;

    fn step(&mut self, now: Now, letter: ElectorLetter) -> Flow {
        let ElectorLetter::Event(event) = letter else {
            self.mail.clone().halt();
            return Flow::Done;
        };
        if matches!(event, zab::Event::Look { .. }) {
            *self.decided.lock().expect("the decision") = None;
        }
        self.give(now, event);
        Flow::Go
    }

    fn quiet(&mut self, now: Now) -> Flow {
        if self.wake_at().is_some_and(|at_ms| now.elapsed_ms >= at_ms) {
            self.give(now, zab::Event::Time);
        }
        Flow::Go
    }

    fn wake_at(&self) -> Option<i64> {
        self.election.deadline_ms()
    }
}
