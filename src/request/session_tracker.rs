//! Who lives until when. Sessions wait in buckets of one tick, so that a touch costs nothing most of the time.
//! (SessionTrackerImpl)

use std::collections::{BTreeMap, BTreeSet, HashMap};

use thiserror::Error;

use crate::proto::{ErrorCode, SessionId, Sid};
use crate::seeded_fault::SeededFault;

/// Why a request of a session is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SessionTrouble {
    /// The session is over, or never was.
    #[error("Session expired")]
    Expired,
    /// Another server has it now.
    #[error("Session moved")]
    Moved,
}

impl SessionTrouble {
    /// What the client is told.
    pub fn code(self) -> ErrorCode {
        match self {
            SessionTrouble::Expired => ErrorCode::SessionExpired,
            SessionTrouble::Moved => ErrorCode::SessionMoved,
        }
    }
}

/// On which server a session's client is: `None` is this server.
pub type Owner = Option<Sid>;

/// The sessions of an ensemble, as the server that expires them knows them.
#[derive(Debug)]
pub struct SessionTracker {
    tick_ms: i64,
    sessions: HashMap<SessionId, Session>,
    /// Sessions by the time at which they expire, a multiple of the tick.
    buckets: BTreeMap<i64, BTreeSet<SessionId>>,
    next_expiry_ms: i64,
}

#[derive(Debug)]
struct Session {
    timeout_ms: i32,
    expires_ms: i64,
    closing: bool,
    /// Unknown until the first request.
    owner: Option<Owner>,
}

impl SessionTracker {
    /// A tracker without sessions, with buckets of `tick_ms` (at least 1).
    pub fn new(tick_ms: i64, now_ms: i64) -> SessionTracker {
        let tick_ms = tick_ms.max(1);
        let next_expiry_ms = round_up(now_ms, tick_ms);
        SessionTracker {
            tick_ms,
            sessions: HashMap::new(),
            buckets: BTreeMap::new(),
            next_expiry_ms,
        }
    }

    /// Begins a session, or touches one that is known.
    pub fn add(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) {
        self.sessions.entry(id).or_insert(Session {
            timeout_ms,
            expires_ms: 0,
            closing: false,
            owner: None,
        });
        self.touch(id, timeout_ms, now_ms);
    }

    /// The session's client was heard. False if the session is over.
    pub fn touch(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) -> bool {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.closing) else {
            return false;
        };
        let expires_ms = round_up(now_ms + i64::from(timeout_ms), self.tick_ms);
        if session.expires_ms < expires_ms {
            let before_ms = std::mem::replace(&mut session.expires_ms, expires_ms);
            self.leave_bucket(before_ms, id);
            self.buckets.entry(expires_ms).or_default().insert(id);
        }
        true
    }

    /// Whether a request of this session that came in at `owner` may be carried out.
    ///
    /// # Errors
    /// If the session is over, or somebody else has it.
    pub fn check(&mut self, id: SessionId, owner: Owner) -> Result<(), SessionTrouble> {
        let session = self.sessions.get_mut(&id).filter(|session| !session.closing);
        let session = session.ok_or(SessionTrouble::Expired)?;
        if *session.owner.get_or_insert(owner) == owner || SeededFault::MoveUnnoticed.on() {
            Ok(())
        } else {
            Err(SessionTrouble::Moved)
        }
    }

    /// The session's client is at `owner` from now on.
    ///
    /// # Errors
    /// If the session is over.
    pub fn set_owner(&mut self, id: SessionId, owner: Owner) -> Result<(), SessionTrouble> {
        let session = self.sessions.get_mut(&id).filter(|session| !session.closing);
        session.ok_or(SessionTrouble::Expired)?.owner = Some(owner);
        Ok(())
    }

    /// No request of the session passes from now on; its end is on its way.
    pub fn set_closing(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.closing = true;
        }
    }

    /// Forgets a session.
    pub fn remove(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            self.leave_bucket(session.expires_ms, id);
        }
    }

    /// The sessions whose time has come, with their timeouts in milliseconds. They are closing from now on.
    pub fn expire(&mut self, now_ms: i64) -> Vec<(SessionId, i32)> {
        let mut expired = Vec::new();
        while self.next_expiry_ms <= now_ms {
            for id in self.buckets.remove(&self.next_expiry_ms).unwrap_or_default() {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.closing = true;
                    expired.push((id, session.timeout_ms));
                }
            }
            self.next_expiry_ms += self.tick_ms;
        }
        expired
    }

    /// When [`SessionTracker::expire`] is due next, elapsed milliseconds.
    pub fn next_expiry_ms(&self) -> i64 {
        self.next_expiry_ms
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// The buckets with their sessions, in order, for `dump`.
    pub fn buckets(&self) -> impl Iterator<Item = (i64, impl Iterator<Item = SessionId>)> {
        self.buckets
            .iter()
            .map(|(&at_ms, ids)| (at_ms, ids.iter().copied()))
    }

    fn leave_bucket(&mut self, at_ms: i64, id: SessionId) {
        if let Some(bucket) = self.buckets.get_mut(&at_ms) {
            bucket.remove(&id);
            if bucket.is_empty() {
                self.buckets.remove(&at_ms);
            }
        }
    }
}

/// The next multiple of the tick, one more if it is one already: a grace of up to a tick.
fn round_up(time_ms: i64, tick_ms: i64) -> i64 {
    (time_ms / tick_ms + 1) * tick_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: SessionId = SessionId(1);
    const B: SessionId = SessionId(2);

    fn tracker() -> SessionTracker {
        let mut tracker = SessionTracker::new(1_000, 10_500);
        tracker.add(A, 2_000, 10_500);
        tracker.add(B, 4_000, 10_500);
        tracker
    }

    #[test]
    fn a_session_expires_at_the_end_of_its_bucket_and_once() {
        let mut tracker = tracker();
        assert_eq!(tracker.next_expiry_ms(), 11_000);
        assert_eq!(tracker.expire(12_999), []);
        assert_eq!(tracker.expire(13_000), [(A, 2_000)]);
        assert_eq!(tracker.check(A, None), Err(SessionTrouble::Expired));
        assert!(!tracker.touch(A, 2_000, 13_001));
        assert_eq!(tracker.expire(20_000), [(B, 4_000)]);
        assert_eq!(tracker.expire(60_000), []);
    }

    #[test]
    fn a_touch_moves_a_session_to_a_later_bucket_only() {
        let mut tracker = tracker();
        assert!(tracker.touch(A, 5_000, 10_600));
        assert!(tracker.touch(A, 100, 10_700));
        assert_eq!(tracker.expire(15_000), [(B, 4_000)]);
        assert_eq!(tracker.expire(16_000), [(A, 2_000)]);
    }

    #[test]
    fn the_first_request_fixes_the_owner_until_it_is_set_anew() {
        let mut tracker = tracker();
        assert_eq!(tracker.check(A, None), Ok(()));
        assert_eq!(tracker.check(A, Some(Sid(2))), Err(SessionTrouble::Moved));
        assert_eq!(tracker.set_owner(A, Some(Sid(2))), Ok(()));
        assert_eq!(tracker.check(A, Some(Sid(2))), Ok(()));
        assert_eq!(tracker.check(A, None), Err(SessionTrouble::Moved));
    }

    #[test]
    fn a_removed_session_leaves_nothing_behind() {
        let mut tracker = tracker();
        tracker.remove(A);
        tracker.remove(B);
        assert!(tracker.is_empty() && tracker.buckets.is_empty());
        assert_eq!(tracker.check(A, None), Err(SessionTrouble::Expired));
    }
}
