//! SessionTracker, the thread: wakes at the next bucket and asks for the end of the sessions in it.

use std::convert::Infallible;
use std::sync::Arc;

use crate::request::{Request, Sessions, Status};
use crate::runtime::{Address, Flow, Now, Stage};

/// The stage. Nobody writes to it; closing its inbox ends it.
#[derive(Debug)]
pub struct ExpiryStage {
    sessions: Arc<Sessions>,
    status: Arc<Status>,
    chain: Address<Vec<Request>>,
}

impl ExpiryStage {
    /// A stage that posts the ends of sessions to the first processor of the chain.
    pub fn new(sessions: Arc<Sessions>, status: Arc<Status>, chain: Address<Vec<Request>>) -> ExpiryStage {
        ExpiryStage {
            sessions,
            status,
            chain,
        }
    }
}

impl Stage for ExpiryStage {
    type In = Infallible;

    fn step(&mut self, _now: Now, letter: Infallible) -> Flow {
        match letter {}
    }

    fn quiet(&mut self, now: Now) -> Flow {
        let expired = self.sessions.expire(now.elapsed_ms);
        for (session, timeout_ms) in &expired {
            log::info!("Expiring session {session}, timeout of {timeout_ms}ms exceeded");
        }
        if !expired.is_empty() {
            self.status.metrics.counters.expired.add(expired.len() as u64);
            let ends = expired
                .iter()
                .map(|&(session, _)| Request::close_session(session, now.elapsed_ms));
            self.chain.post(ends.collect());
        }
        Flow::Go
    }

    fn wake_at(&self) -> Option<i64> {
        Some(self.sessions.next_expiry_ms())
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("SessionTrackerImpl exited loop!");
        Flow::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{OpCode, SessionId};
    use crate::request::Origin;
    use crate::runtime::Inbox;

    #[test]
    fn a_session_that_is_not_heard_is_asked_to_end_once() {
        let at = |elapsed_ms| Now {
            elapsed_ms,
            wall_ms: 0,
        };
        let sessions = Arc::new(Sessions::new(1, 1_000, [(SessionId(7), 1_500)], at(10_000)));
        let (chain, inbox) = Inbox::new();
        let status = Arc::new(Status::new());
        let mut stage = ExpiryStage::new(Arc::clone(&sessions), Arc::clone(&status), chain);
        assert_eq!(stage.wake_at(), Some(11_000));
        stage.quiet(at(11_999));
        assert_eq!(inbox.try_take(), None);
        stage.quiet(at(12_000));
        let ends = inbox.try_take().expect("the end of the session");
        assert_eq!(
            (ends[0].session, ends[0].op, ends[0].origin),
            (SessionId(7), OpCode::CloseSession, Origin::Server)
        );
        stage.quiet(at(60_000));
        assert_eq!(inbox.try_take(), None);
        assert_eq!(status.metrics.counters.expired.get(), 1);
    }
}
