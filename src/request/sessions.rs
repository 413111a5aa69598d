//! The sessions of this server: ids, passwords, and who is alive.
//!
//! A server that stands alone or leads judges sessions by its [`SessionTracker`]. A learner judges nobody: it
//! collects which sessions were heard, tells the leader with each ping, and asks the leader whether a session
//! that a client renews is alive. (LearnerSessionTracker)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use subtle::ConstantTimeEq;

use crate::proto::{ConnId, SessionId};
use crate::runtime::{Address, Now};

use super::session_tracker::{Owner, SessionTracker, SessionTrouble};

/// What all threads ask about sessions. One small lock; no other lock is taken while it is held.
#[derive(Debug)]
pub struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Empty on a learner.
    tracker: SessionTracker,
    learner: Option<LearnerSessions>,
    next_id: i64,
    /// Ids from `next_id` on that are in use: somebody has set the clock back.
    taken: BTreeSet<i64>,
}

/// What a learner knows of sessions.
#[derive(Debug)]
struct LearnerSessions {
    /// Heard since the leader was told last, with their timeouts in milliseconds.
    touched: BTreeMap<SessionId, i32>,
    leader: Address<Revalidation>,
}

/// A learner's question to its leader: a client renews this session here, is it alive?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revalidation {
    /// The connection that waits for the answer.
    pub conn: ConnId,
    /// The session.
    pub session: SessionId,
    /// The timeout agreed on with the client, milliseconds.
    pub timeout_ms: i32,
}

/// What becomes of a client's wish to renew a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The session is alive, and this server's from now on.
    Alive,
    /// The session is over.
    Over,
    /// The leader is asked; its answer comes as a letter to the client loop.
    Asked,
}

impl Sessions {
    /// The sessions that the database knows, each with a fresh timeout, and ids for new ones.
    ///
    /// `server_byte` is the upper byte of the ids that are made here (standalone: 1, as in Java).
    /// Ids derive from the wall clock, not from the time since the machine's start as in 3.4.14: there, the
    /// ids of a server repeat after a reboot. If the clock was set back, they pass over those in use. (They do
    /// not go on behind these: there are ids of sessions that are over, of which a client that slept may still tell.)
    pub fn new(
        server_byte: u8,
        tick_ms: i64,
        known: impl IntoIterator<Item = (SessionId, i32)>,
        now: Now,
    ) -> Sessions {
        let mut tracker = SessionTracker::new(tick_ms, now.elapsed_ms);
        let next_id = first_session_id(server_byte, now.wall_ms);
        let mut taken = BTreeSet::new();
        for (id, timeout_ms) in known {
            tracker.add(id, timeout_ms, now.elapsed_ms);
            if id.0 >= next_id && (id.0 >> 56) as u8 == server_byte {
                taken.insert(id.0);
            }
        }
        Sessions {
            inner: Mutex::new(Inner {
                tracker,
                learner: None,
                next_id,
                taken,
            }),
        }
    }

    /// The sessions of a learner whose questions go to `leader`. Ids are made as in [`Sessions::new`].
    pub fn of_learner(
        server_byte: u8,
        known: impl IntoIterator<Item = (SessionId, i32)>,
        now: Now,
        leader: Address<Revalidation>,
    ) -> Sessions {
        let ids = Sessions::new(server_byte, 1, known, now);
        let mut inner = ids.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        inner.tracker = SessionTracker::new(1, now.elapsed_ms);
        let touched = BTreeMap::new();
        inner.learner = Some(LearnerSessions { touched, leader });
        Sessions {
            inner: Mutex::new(inner),
        }
    }

    /// A client that has proved to know the session's password goes on with it here.
    pub fn renew(&self, conn: ConnId, session: SessionId, timeout_ms: i32, now_ms: i64) -> Renewal {
        let mut inner = self.lock();
        if let Some(learner) = &mut inner.learner {
            learner.touched.insert(session, timeout_ms);
            learner.leader.post(Revalidation {
                conn,
                session,
                timeout_ms,
            });
            return Renewal::Asked;
        }
        let is_alive = inner.tracker.touch(session, timeout_ms, now_ms)
            && inner.tracker.set_owner(session, None).is_ok();
        if is_alive { Renewal::Alive } else { Renewal::Over }
    }

    /// A learner's client goes on with a session: the leader's part. True if the session is alive, and the
    /// learner's from now on. (LearnerHandler.run, REVALIDATE)
    pub fn hand_over(&self, session: SessionId, timeout_ms: i32, to: Owner, now_ms: i64) -> bool {
        let mut inner = self.lock();
        inner.tracker.touch(session, timeout_ms, now_ms) && inner.tracker.set_owner(session, to).is_ok()
    }

    /// What a learner has heard since it was asked last: sessions with their timeouts in milliseconds.
    pub fn take_touched(&self) -> Vec<(SessionId, i32)> {
        let mut inner = self.lock();
        let touched = inner
            .learner
            .as_mut()
            .map(|learner| std::mem::take(&mut learner.touched));
        touched.unwrap_or_default().into_iter().collect()
    }

    /// Begins a session with an id that was never used.
    pub fn create(&self, timeout_ms: i32, now_ms: i64) -> SessionId {
        let mut inner = self.lock();
        let id = inner.next_id();
        inner.add(id, timeout_ms, now_ms);
        id
    }

    /// Begins a session whose id another server chose, or touches it.
    pub fn add(&self, id: SessionId, timeout_ms: i32, now_ms: i64) {
        self.lock().add(id, timeout_ms, now_ms);
    }

    /// The session's client was heard. False if the session is over; a learner does not know that.
    pub fn touch(&self, id: SessionId, timeout_ms: i32, now_ms: i64) -> bool {
        let mut inner = self.lock();
        match &mut inner.learner {
            Some(learner) => {
                learner.touched.insert(id, timeout_ms);
                true
            }
            None => inner.tracker.touch(id, timeout_ms, now_ms),
        }
    }

    /// See [`SessionTracker::check`]. A learner lets everything pass: the leader checks.
    ///
    /// # Errors
    /// As there.
    pub fn check(&self, id: SessionId, owner: Owner) -> Result<(), SessionTrouble> {
        let mut inner = self.lock();
        match inner.learner {
            Some(_) => Ok(()),
            None => inner.tracker.check(id, owner),
        }
    }

    /// See [`SessionTracker::set_owner`].
    ///
    /// # Errors
    /// As there.
    pub fn set_owner(&self, id: SessionId, owner: Owner) -> Result<(), SessionTrouble> {
        self.lock().tracker.set_owner(id, owner)
    }

    /// See [`SessionTracker::set_closing`].
    pub fn set_closing(&self, id: SessionId) {
        self.lock().tracker.set_closing(id);
    }

    /// Forgets a session.
    pub fn remove(&self, id: SessionId) {
        let mut inner = self.lock();
        inner.tracker.remove(id);
        if let Some(learner) = &mut inner.learner {
            learner.touched.remove(&id);
        }
    }

    /// See [`SessionTracker::expire`].
    pub fn expire(&self, now_ms: i64) -> Vec<(SessionId, i32)> {
        self.lock().tracker.expire(now_ms)
    }

    /// See [`SessionTracker::next_expiry_ms`].
    pub fn next_expiry_ms(&self) -> i64 {
        self.lock().tracker.next_expiry_ms()
    }

    /// Looks at the tracker, for `dump`.
    pub fn with_tracker<R>(&self, look: impl FnOnce(&SessionTracker) -> R) -> R {
        look(&self.lock().tracker)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while it was held has already ended the process by way of its thread.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn next_id(&mut self) -> SessionId {
        loop {
            let id = self.next_id;
            self.next_id += 1;
            if !self.taken.remove(&id) {
                return SessionId(id);
            }
        }
    }

    fn add(&mut self, id: SessionId, timeout_ms: i32, now_ms: i64) {
        match &mut self.learner {
            Some(learner) => drop(learner.touched.insert(id, timeout_ms)),
            None => self.tracker.add(id, timeout_ms, now_ms),
        }
    }
}

/// The first id of a server's reign: its number, 40 bits of time, 16 bits to count. (initializeNextSession)
fn first_session_id(server_byte: u8, wall_ms: i64) -> i64 {
    let time = ((wall_ms << 24) as u64 >> 8) as i64;
    time | (i64::from(server_byte) << 56)
}

/// The password that belongs to a session: what `java.util.Random` gives for it. (ZooKeeperServer.generatePasswd)
///
/// Every server can compute it, so that a session moves between servers, Java's and ours.
pub fn password_of(session: SessionId) -> [u8; 16] {
    let mut state = ((session.0 ^ PASSWORD_SEED) ^ LCG_MULTIPLIER) & LCG_MASK;
    let mut password = [0; 16];
    for draw in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(LCG_MULTIPLIER).wrapping_add(LCG_INCREMENT) & LCG_MASK;
        draw.copy_from_slice(&((state >> 16) as i32).to_le_bytes());
    }
    password
}

/// Whether a client may renew the session. Session 0 never passes. (ZooKeeperServer.checkPasswd)
pub fn password_matches(session: SessionId, password: &[u8]) -> bool {
    session.0 != 0 && password_of(session).ct_eq(password).into()
}

/// ZooKeeperServer.superSecret.
const PASSWORD_SEED: i64 = 0xB341_5C00;
/// The linear congruential generator of java.util.Random, as its documentation gives it.
const LCG_MULTIPLIER: i64 = 0x5_DEEC_E66D;
const LCG_INCREMENT: i64 = 0xB;
const LCG_MASK: i64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now {
        elapsed_ms: 5_000,
        wall_ms: 1_700_000_000_000,
    };

    #[test]
    fn passwords_are_those_of_java() {
        // From jshell: new Random(0x100012345670000L ^ 0xB3415C00L).nextBytes(new byte[16]).
        let expected = [
            75, 228, 148, 210, 124, 199, 57, 186, 161, 35, 36, 74, 37, 26, 116, 21,
        ];
        assert_eq!(password_of(SessionId(0x0100_0123_4567_0000)), expected);
        assert!(password_matches(SessionId(0x0100_0123_4567_0000), &expected));
        assert!(!password_matches(
            SessionId(0x0100_0123_4567_0000),
            &expected[..15]
        ));
        assert!(!password_matches(SessionId(0x0100_0123_4567_0001), &expected));
        assert!(!password_matches(SessionId(0), &password_of(SessionId(0))));
    }

    #[test]
    fn ids_carry_the_server_and_rise() {
        let fresh = Sessions::new(1, 2_000, [], NOW);
        let first = fresh.create(4_000, 5_000);
        assert_eq!(first.0 >> 56, 1);
        assert_eq!(fresh.create(4_000, 5_000).0, first.0 + 1);
    }

    #[test]
    fn ids_of_a_clock_that_was_set_back_are_neither_in_use_nor_those_of_sessions_that_are_over() {
        let first = Sessions::new(1, 2_000, [], NOW).create(4_000, 5_000);
        let later = |by| (SessionId(first.0 + by), 4_000);
        let restarted = Sessions::new(1, 2_000, [later(1), later(500)], NOW);
        let made = [(); 3].map(|()| restarted.create(4_000, 5_000).0 - first.0);
        // The 501st may have been the one that was made last and closed.
        assert_eq!(made, [0, 2, 3]);
    }

    #[test]
    fn a_learner_collects_who_was_heard_and_asks_its_leader() {
        let (leader, questions) = crate::runtime::Inbox::new();
        let sessions = Sessions::of_learner(3, [(SessionId(7), 4_000)], NOW, leader);
        assert_eq!(sessions.take_touched(), []);
        let made = sessions.create(5_000, 0);
        assert_eq!(made.0 >> 56, 3);
        assert!(sessions.touch(SessionId(7), 4_000, 0) && sessions.touch(SessionId(8), 6_000, 0));
        sessions.remove(SessionId(8));
        assert_eq!(sessions.renew(ConnId(1), SessionId(9), 7_000, 0), Renewal::Asked);
        let asked = questions
            .try_take()
            .map(|question| (question.conn, question.session));
        assert_eq!(asked, Some((ConnId(1), SessionId(9))));
        let touched = [(SessionId(7), 4_000), (SessionId(9), 7_000), (made, 5_000)];
        assert_eq!(sessions.take_touched(), touched);
        assert_eq!(sessions.take_touched(), []);
        assert_eq!(sessions.expire(100_000), []);
    }

    #[test]
    fn a_leader_hands_living_sessions_over() {
        let sessions = Sessions::new(1, 2_000, [(SessionId(7), 4_000)], NOW);
        let to = Some(crate::proto::Sid(2));
        assert!(sessions.hand_over(SessionId(7), 4_000, to, 5_000));
        assert_eq!(sessions.check(SessionId(7), None), Err(SessionTrouble::Moved));
        assert!(!sessions.hand_over(SessionId(8), 4_000, to, 5_000));
        assert_eq!(
            sessions.renew(ConnId(1), SessionId(7), 4_000, 5_000),
            Renewal::Alive
        );
        assert_eq!(sessions.check(SessionId(7), None), Ok(()));
        assert_eq!(
            sessions.renew(ConnId(1), SessionId(8), 4_000, 5_000),
            Renewal::Over
        );
    }

    #[test]
    fn known_sessions_start_with_their_whole_timeout() {
        let sessions = Sessions::new(1, 2_000, [(SessionId(7), 4_000)], NOW);
        assert_eq!(sessions.expire(9_999), []);
        assert_eq!(sessions.expire(10_000), [(SessionId(7), 4_000)]);
    }
}
