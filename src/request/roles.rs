//! Which role this server has, since when, and which it had before: for those who watch it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::proto::{Epoch, Sid};

/// What a server does in its ensemble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duty {
    /// It stands alone, or has not begun.
    #[default]
    Alone,
    /// It looks for a leader.
    Looking,
    /// It leads.
    Leading,
    /// It follows and votes.
    Following,
    /// It follows without a vote.
    Observing,
}

impl Duty {
    /// In Java's words.
    pub fn name(self) -> &'static str {
        match self {
            Duty::Alone => "standalone",
            Duty::Looking => "looking",
            Duty::Leading => "leading",
            Duty::Following => "following",
            Duty::Observing => "observing",
        }
    }
}

/// One stretch of time in one role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tenure {
    /// The role.
    pub duty: Duty,
    /// Whom this server has for a leader.
    pub leader: Option<Sid>,
    /// The epoch in which it serves, once it does.
    pub epoch: Option<Epoch>,
    /// Since when, wall milliseconds.
    pub since_wall_ms: i64,
    /// Since when, elapsed milliseconds.
    pub since_ms: i64,
    /// How long the election took that made it so, milliseconds.
    pub election_ms: Option<i64>,
    /// When it began to serve, elapsed milliseconds.
    pub serving_since_ms: Option<i64>,
    /// Why it ended.
    pub end: Option<String>,
}

impl Tenure {
    /// The phase of Zab, in Java's words. (QuorumPeer.ZabState)
    pub fn phase(&self) -> &'static str {
        match (self.duty, self.epoch) {
            (Duty::Alone, _) => "",
            (Duty::Looking, _) => "election",
            (_, None) => "discovery",
            (_, Some(_)) => "broadcast",
        }
    }
}

/// The present role and those before it. Changed by the thread of the peer, a few times an hour.
#[derive(Debug, Default)]
pub struct Roles(Mutex<VecDeque<Tenure>>);

impl Roles {
    /// A new role begins. The one before ends for this reason, if there is one to tell.
    pub fn begin(&self, tenure: Tenure, reason: Option<&str>) {
        let mut tenures = self.lock();
        if let Some(before) = tenures.back_mut() {
            before.end = reason.map(str::to_owned);
        }
        if tenures.len() >= MOST_KEPT {
            tenures.pop_front();
        }
        tenures.push_back(tenure);
    }

    /// The present role serves now. Tells how long nothing was served, if the role before had served.
    pub fn established(&self, epoch: Epoch, now_ms: i64) -> Established {
        let mut tenures = self.lock();
        let began_ms = tenures.back().map_or(now_ms, |tenure| tenure.since_ms);
        let was_served = tenures.iter().any(|tenure| tenure.serving_since_ms.is_some());
        let looking = tenures
            .iter()
            .rev()
            .skip(1)
            .take_while(|tenure| tenure.serving_since_ms.is_none());
        let lost_ms = looking.last().map_or(began_ms, |tenure| tenure.since_ms);
        if let Some(tenure) = tenures.back_mut() {
            tenure.epoch = Some(epoch);
            tenure.serving_since_ms = Some(now_ms);
        }
        Established {
            sync_ms: now_ms - began_ms,
            unavailable_ms: was_served.then_some(now_ms - lost_ms),
        }
    }

    /// The present role.
    pub fn present(&self) -> Tenure {
        self.lock().back().cloned().unwrap_or_default()
    }

    /// The present role and those before it, the oldest first; the last few dozen.
    pub fn history(&self) -> Vec<Tenure> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Tenure>> {
        // Nothing panics while it is held; the list is whole in any case.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long it took until a role served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Established {
    /// From the end of the election.
    pub sync_ms: i64,
    /// From the end of the service before, if there was one.
    pub unavailable_ms: Option<i64>,
}

const MOST_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn tenure(duty: Duty, since_ms: i64) -> Tenure {
        Tenure {
            duty,
            since_ms,
            ..Tenure::default()
        }
    }

    #[test]
    fn a_role_knows_how_long_nothing_was_served_before_it() {
        let roles = Roles::default();
        assert_eq!((roles.present().duty, roles.present().phase()), (Duty::Alone, ""));
        roles.begin(tenure(Duty::Looking, 100), None);
        assert_eq!(roles.present().phase(), "election");
        roles.begin(tenure(Duty::Leading, 150), None);
        assert_eq!(roles.present().phase(), "discovery");
        let first = roles.established(Epoch(1), 170);
        assert_eq!((first.sync_ms, first.unavailable_ms), (20, None));
        assert_eq!(roles.present().phase(), "broadcast");
        roles.begin(tenure(Duty::Looking, 1_000), Some("quorum lost"));
        roles.begin(tenure(Duty::Following, 1_200), None);
        roles.begin(tenure(Duty::Looking, 1_300), Some("leader lost"));
        roles.begin(tenure(Duty::Following, 1_400), None);
        let second = roles.established(Epoch(2), 1_450);
        assert_eq!((second.sync_ms, second.unavailable_ms), (50, Some(450)));
        let ends: Vec<_> = roles.history().into_iter().map(|tenure| tenure.end).collect();
        assert_eq!(ends.iter().flatten().count(), 2);
        assert_eq!(ends[1].as_deref(), Some("quorum lost"));
    }

    #[test]
    fn the_oldest_roles_are_forgotten() {
        let roles = Roles::default();
        (0..200).for_each(|since_ms| roles.begin(tenure(Duty::Looking, since_ms), None));
        let history = roles.history();
        assert_eq!((history.len(), history[0].since_ms), (64, 136));
    }
}
