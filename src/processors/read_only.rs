//! ReadOnlyRequestProcessor: what a server does that has lost its quorum and may still be read from.

use crate::proto::{ErrorCode, OpCode};
use crate::request::{Prepared, Request};
use crate::runtime::{Address, Flow, Now, Stage};

/// The stage. Sessions begin and end by way of the PrepRequestProcessor, in memory alone; everything else goes
/// to the FinalRequestProcessor in its order, what would change something with a refusal.
#[derive(Debug)]
pub struct ReadOnlyRequestProcessor {
    prep: Address<Vec<Request>>,
    last: Address<Vec<Prepared>>,
}

impl ReadOnlyRequestProcessor {
    /// A processor that hands on sessions to `prep` and the rest to `last`.
    pub fn new(prep: Address<Vec<Request>>, last: Address<Vec<Prepared>>) -> ReadOnlyRequestProcessor {
        ReadOnlyRequestProcessor { prep, last }
    }
}

impl Stage for ReadOnlyRequestProcessor {
    type In = Vec<Request>;

    fn step(&mut self, _now: Now, letter: Vec<Request>) -> Flow {
        let is_of_session = |r: &Request| matches!(r.op, OpCode::CreateSession | OpCode::CloseSession);
        let (sessions, others): (Vec<_>, Vec<_>) = letter.into_iter().partition(is_of_session);
        let others: Vec<Prepared> = others.into_iter().map(judge).collect();
        if !others.is_empty() {
            self.last.post(others);
        }
        if !sessions.is_empty() {
            self.prep.post(sessions);
        }
        Flow::Go
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("ReadOnlyRequestProcessor exited loop!");
        Flow::Done
    }
}

fn judge(request: Request) -> Prepared {
    let refused = request.op.is_write() || matches!(request.op, OpCode::Sync | OpCode::Check);
    let mut prepared = Prepared::from(request);
    prepared.refused = refused.then_some(ErrorCode::NotReadOnly);
    prepared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processors::testing::request;
    use crate::runtime::Inbox;

    #[test]
    fn what_would_change_something_is_refused_in_its_turn() {
        let (prep, preps) = Inbox::new();
        let (last, lasts) = Inbox::new();
        let mut stage = ReadOnlyRequestProcessor::new(prep, last);
        let refused = [
            OpCode::Create,
            OpCode::Delete,
            OpCode::SetData,
            OpCode::SetAcl,
            OpCode::Multi,
            OpCode::Check,
            OpCode::Sync,
        ];
        let read = [OpCode::GetData, OpCode::Ping, OpCode::SetWatches, OpCode::Auth];
        let session = [OpCode::CreateSession, OpCode::CloseSession];
        let ops = [&refused[..], &read, &session].concat();
        let letter = ops
            .iter()
            .zip(1..)
            .map(|(op, xid)| request(7, xid, *op))
            .collect();
        stage.step(Now::default(), letter);
        let verdicts = lasts.try_take().expect("a letter").into_iter();
        let verdicts: Vec<_> = verdicts.map(|p| (p.request.op, p.refused)).collect();
        let refused = refused.map(|op| (op, Some(ErrorCode::NotReadOnly)));
        assert_eq!(verdicts[..7], refused);
        assert_eq!(verdicts[7..], read.map(|op| (op, None)));
        let sessions = preps.try_take().expect("a letter").into_iter();
        assert!(sessions.map(|request| request.op).eq(session));
    }
}
