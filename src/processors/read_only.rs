//! ReadOnlyRequestProcessor: what a server does that has lost its quorum and may still be read from.

use std::sync::Arc;

use crate::proto::{ErrorCode, OpCode};
use crate::request::{ClientLetter, Clients, Origin, Prepared, Request, Sessions};
use crate::runtime::{Address, Flow, Now, Stage};

/// The stage: everything goes on in its order, what would change something with a refusal. Sessions begin and end
/// here in memory alone. 3.4.14 sends them through its PrepRequestProcessor, so that each takes a zxid that the
/// quorum never gave out, and is kept in the tree and in the list for learners when the quorum is back.
#[derive(Debug)]
pub struct ReadOnlyRequestProcessor {
    sessions: Arc<Sessions>,
    clients: Clients,
    last: Address<Vec<Prepared>>,
}

impl ReadOnlyRequestProcessor {
    /// A processor that hands on to `last`.
    pub fn new(
        sessions: Arc<Sessions>,
        clients: Clients,
        last: Address<Vec<Prepared>>,
    ) -> ReadOnlyRequestProcessor {
        ReadOnlyRequestProcessor {
            sessions,
            clients,
            last,
        }
    }

    fn judge(&self, request: Request) -> Prepared {
        if request.op == OpCode::CloseSession {
            self.end_session(&request);
        }
        let is_session_s = matches!(request.op, OpCode::CreateSession | OpCode::CloseSession);
        let changes = request.op.is_write() || matches!(request.op, OpCode::Sync | OpCode::Check);
        let mut prepared = Prepared::from(request);
        prepared.refused = (changes && !is_session_s).then_some(ErrorCode::NotReadOnly);
        prepared
    }

    /// A session is closed by its client, or has expired.
    fn end_session(&self, request: &Request) {
        let session = request.session;
        self.sessions.remove(session);
        if request.origin == Origin::Server {
            self.clients.post_all(|| ClientLetter::CloseSession(session));
        }
    }
}

impl Stage for ReadOnlyRequestProcessor {
    type In = Vec<Request>;

    fn step(&mut self, _now: Now, letter: Vec<Request>) -> Flow {
        let judged = letter.into_iter().map(|request| self.judge(request));
        self.last.post(judged.collect());
        Flow::Go
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("ReadOnlyRequestProcessor exited loop!");
        Flow::Done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processors::testing::request;
    use crate::proto::SessionId;
    use crate::runtime::Inbox;

    #[test]
    fn what_would_change_something_is_refused_in_its_turn() {
        let (last, lasts) = Inbox::new();
        let (to_clients, _letters) = Inbox::new();
        let sessions = Arc::new(Sessions::new(1, 1_000, [(SessionId(7), 4_000)], Now::default()));
        let mut stage =
            ReadOnlyRequestProcessor::new(Arc::clone(&sessions), Clients::new(vec![to_clients]), last);
        let refused = [
            OpCode::Create,
            OpCode::Delete,
            OpCode::SetData,
            OpCode::SetAcl,
            OpCode::Multi,
            OpCode::Check,
            OpCode::Sync,
        ];
        let others = [
            OpCode::CreateSession,
            OpCode::GetData,
            OpCode::Ping,
            OpCode::SetWatches,
            OpCode::Auth,
            OpCode::CloseSession,
        ];
        let ops = [&refused[..], &others].concat();
        let requests = ops.iter().zip(1..).map(|(op, xid)| request(7, xid, *op));
        assert!(sessions.touch(SessionId(7), 4_000, 0));
        stage.step(Now::default(), requests.collect());
        let verdicts = lasts.try_take().expect("a letter");
        assert!(verdicts.iter().all(|p| p.logged.is_none()));
        let verdicts: Vec<_> = verdicts.iter().map(|p| (p.request.op, p.refused)).collect();
        assert_eq!(
            verdicts[..7],
            refused.map(|op| (op, Some(ErrorCode::NotReadOnly)))
        );
        assert_eq!(verdicts[7..], others.map(|op| (op, None)));
        assert!(!sessions.touch(SessionId(7), 4_000, 0));
    }

    #[test]
    fn a_session_that_expires_ends_with_its_connection() {
        let (last, _lasts) = Inbox::new();
        let (to_clients, letters) = Inbox::new();
        let sessions = Arc::new(Sessions::new(1, 1_000, [(SessionId(7), 4_000)], Now::default()));
        let mut stage = ReadOnlyRequestProcessor::new(sessions, Clients::new(vec![to_clients]), last);
        stage.step(Now::default(), vec![Request::close_session(SessionId(7), 0)]);
        let letter = letters.try_take();
        assert!(matches!(letter, Some(ClientLetter::CloseSession(SessionId(7)))));
    }
}
