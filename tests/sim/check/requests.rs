//! What a session asks for happens once, and in the order in which it asked: also when it moves, and what it asked
//! at its old server comes late.

use std::collections::BTreeMap;

use oxkeeper::proto::txn::{LoggedTxn, SubTxn, Txn};
use oxkeeper::proto::{OpCode, SessionId, Xid, Zxid};

use super::super::trace::Trace;

/// Who asked for what is decided.
#[derive(Default)]
pub struct Requests {
    asked: BTreeMap<Zxid, (SessionId, Xid)>,
}

impl Requests {
    /// A transaction is decided.
    pub fn note(&mut self, txn: &LoggedTxn) {
        let header = txn.header();
        // A session's begin and end may be the servers' own doing, and what is refused changes nothing.
        let others = [OpCode::CreateSession, OpCode::CloseSession, OpCode::Error];
        let is_other = others.iter().any(|op| op.number() == header.op);
        if header.cxid.0 > 0 && !is_other && !is_refused_multi(txn) {
            self.asked.insert(header.zxid, (header.session, header.cxid));
        }
    }

    /// A client's numbers rise.
    pub fn end(&self, trace: &Trace) {
        let mut last: BTreeMap<SessionId, Xid> = BTreeMap::new();
        for (zxid, &(session, xid)) in &self.asked {
            let before = last.insert(session, xid);
            if let Some(before) = before.filter(|before| *before >= xid) {
                let story = format!(
                    "session 0x{:x}: request {} is {zxid}, after request {}",
                    session.0, xid.0, before.0
                );
                trace.fail("requests happen once and in order", &story);
            }
        }
    }
}

fn is_refused_multi(txn: &LoggedTxn) -> bool {
    let is_error = |part: &SubTxn<'_>| part.op == OpCode::Error.number();
    matches!(txn.txn(), Ok(Txn::Multi(parts)) if parts.iter().any(is_error))
}

#[cfg(test)]
mod tests {
    use oxkeeper::proto::txn::TxnHeader;

    use super::super::super::time::Time;
    use super::*;

    fn cries(txns: &[(i64, i32, OpCode)]) -> usize {
        let trace = Trace::new(Time::default(), false);
        let mut requests = Requests::default();
        for (zxid, &(session, xid, op)) in (1..).zip(txns) {
            let header = TxnHeader {
                session: SessionId(session),
                cxid: Xid(xid),
                zxid: Zxid(zxid),
                time_ms: 0,
                op: op.number(),
            };
            requests.note(&LoggedTxn::new(header, &Txn::Error(0)));
        }
        requests.end(&trace);
        trace.failures().len()
    }

    #[test]
    fn a_late_or_second_request_is_noticed() {
        let (set, error, close) = (OpCode::SetData, OpCode::Error, OpCode::CloseSession);
        assert_eq!(cries(&[(1, 1, set), (2, 1, set), (1, 3, set), (2, 2, set)]), 0);
        assert_eq!(cries(&[(1, 3, set), (1, 2, error), (1, 0, close)]), 0);
        assert_eq!(cries(&[(1, 3, set), (1, 2, set), (1, 4, set)]), 1);
        assert_eq!(cries(&[(1, 3, set), (1, 3, set)]), 1);
    }
}
