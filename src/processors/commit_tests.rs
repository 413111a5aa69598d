//! What waits in a CommitProcessor and what passes.

use super::*;
use crate::processors::testing::{error_txn, request};
use crate::proto::txn::{SetDataTxn, TxnHeader};
use crate::proto::{Encode, ErrorCode, Xid, Zxid};
use crate::runtime::Inbox;

/// A commit core, and what it let go, as (session, xid).
#[derive(Default)]
struct Script {
    commit: Commit,
    out: Vec<Prepared>,
}

impl Script {
    fn asks(&mut self, session: i64, xid: i32, op: OpCode) -> Vec<(i64, i32)> {
        let prepared = Prepared::from(request(session, xid, op));
        self.commit.request(prepared, &mut self.out);
        self.gone()
    }

    fn decided(&mut self, session: i64, xid: i32, zxid: i64) -> Vec<(i64, i32)> {
        self.commit.commit(error_txn(session, xid, zxid), &mut self.out);
        self.gone()
    }

    fn synced(&mut self) -> Vec<(i64, i32)> {
        self.commit.sync_answered(&mut self.out);
        self.gone()
    }

    fn gone(&mut self) -> Vec<(i64, i32)> {
        let gone = self.out.drain(..).map(|p| p.request);
        gone.map(|request| (request.session.0, request.xid.0)).collect()
    }
}

#[test]
fn a_session_waits_for_its_own_write_alone() {
    let mut script = Script::default();
    assert_eq!(script.asks(1, 1, OpCode::GetData), [(1, 1)]);
    assert_eq!(script.asks(1, 2, OpCode::Create), []);
    assert_eq!(script.asks(1, 3, OpCode::GetData), []);
    assert_eq!(script.asks(1, 4, OpCode::SetData), []);
    assert_eq!(script.asks(1, 5, OpCode::GetData), []);
    assert_eq!(script.asks(2, 1, OpCode::GetData), [(2, 1)]);
    assert_eq!(script.decided(9, 2, 10), [(9, 2)]);
    assert_eq!(script.decided(1, 2, 11), [(1, 2), (1, 3)]);
    assert_eq!(script.decided(1, 4, 12), [(1, 4), (1, 5)]);
    assert_eq!(script.asks(1, 6, OpCode::GetData), [(1, 6)]);
    assert!(script.commit.waiting.is_empty());
}

#[test]
fn a_decision_is_joined_with_the_request_that_waits_for_it() {
    let mut script = Script::default();
    script.asks(1, 2, OpCode::Create);
    let txn = error_txn(1, 2, 11);
    script.commit.commit(Arc::clone(&txn), &mut script.out);
    let [own] = script.out.as_slice() else {
        panic!("one request")
    };
    assert_eq!((own.zxid, own.logged.as_ref()), (txn.zxid(), Some(&txn)));
    assert_eq!(own.request, request(1, 2, OpCode::Create));
    script.out.clear();
    // The session was moved: another of its writes, made elsewhere, is nobody's here.
    script.asks(1, 4, OpCode::Create);
    script.commit.commit(error_txn(1, 3, 12), &mut script.out);
    assert_eq!(script.out[0].request.origin, Origin::Server);
    assert_eq!(script.gone(), [(1, 3)]);
    assert_eq!(script.decided(1, 4, 13), [(1, 4)]);
}

#[test]
fn syncs_are_answered_in_the_order_in_which_they_were_asked() {
    let mut script = Script::default();
    assert_eq!(script.asks(1, 1, OpCode::Create), []);
    assert_eq!(script.asks(1, 2, OpCode::Sync), []);
    assert_eq!(script.asks(2, 1, OpCode::Sync), []);
    assert_eq!(script.asks(2, 2, OpCode::GetData), []);
    assert_eq!(script.synced(), []);
    assert_eq!(script.synced(), [(2, 1), (2, 2)]);
    assert_eq!(script.decided(1, 1, 10), [(1, 1), (1, 2)]);
    assert_eq!(script.synced(), []);
}

/// Whatever the interleaving: all come out, each session in its order, and decisions in theirs.
#[test]
fn orders_are_kept_and_nothing_is_forgotten() {
    let mut random = 3u64;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    for _ in 0..500 {
        let mut script = Script::default();
        let (mut forwarded, mut gone, mut zxid) = (VecDeque::new(), vec![], 0);
        let mut xids = [0; 4];
        for _ in 0..60 {
            let session = draw(4) as i64;
            if draw(2) == 0 {
                xids[session as usize] += 1;
                let xid = xids[session as usize];
                let op = [OpCode::GetData, OpCode::Create, OpCode::Sync][draw(3) as usize];
                gone.extend(script.asks(session, xid, op));
                if op != OpCode::GetData {
                    forwarded.push_back((session, xid, op));
                }
            } else if let Some((session, xid, op)) = forwarded.pop_front() {
                zxid += 1;
                gone.extend(match op {
                    OpCode::Sync => script.synced(),
                    _ => script.decided(session, xid, zxid),
                });
            }
        }
        while let Some((session, xid, op)) = forwarded.pop_front() {
            zxid += 1;
            gone.extend(match op {
                OpCode::Sync => script.synced(),
                _ => script.decided(session, xid, zxid),
            });
        }
        for session in 0..4 {
            let own: Vec<i32> = gone
                .iter()
                .filter(|(s, _)| *s == session)
                .map(|(_, xid)| *xid)
                .collect();
            assert_eq!(own, (1..=xids[session as usize]).collect::<Vec<_>>());
        }
        assert!(script.commit.waiting.is_empty() && script.commit.syncs.is_empty());
    }
}

#[test]
fn a_letter_in_is_at_most_one_letter_out() {
    let (next, inbox) = Inbox::new();
    let mut stage = CommitProcessor::new(next);
    let requests = [(1, OpCode::Create), (2, OpCode::GetData)];
    let requests = requests.map(|(xid, op)| Prepared::from(request(1, xid, op)));
    stage.step(Now::default(), CommitLetter::Requests(requests.into()));
    assert!(inbox.try_take().is_none());
    let txns = vec![error_txn(7, 1, 10), error_txn(1, 1, 11)];
    stage.step(Now::default(), CommitLetter::Commits(txns));
    let letter = inbox.try_take().expect("a letter");
    let xids: Vec<Xid> = letter.iter().map(|prepared| prepared.request.xid).collect();
    assert_eq!(xids, [Xid(1), Xid(1), Xid(2)]);
    assert!(inbox.try_take().is_none());
}

/// The same session and number: what was asked elsewhere is decided while the same number waits here.
#[test]
fn another_request_of_the_same_number_is_not_the_one_that_waits() {
    let set = |path: &'static str, data: &'static [u8]| {
        let mut body = Vec::new();
        let (path, data) = (path.into(), Some(data));
        SetDataRequest {
            path,
            data,
            version: -1,
        }
        .encode(&mut body);
        let mut asked = request(1, 1, OpCode::SetData);
        asked.body = body;
        asked
    };
    let txn = |zxid: i64, path: &'static str, data: &'static [u8]| {
        let txn = Txn::SetData(SetDataTxn {
            path: path.into(),
            data: Some(data),
            version: 7,
        });
        let header = TxnHeader {
            zxid: Zxid(zxid),
            op: OpCode::SetData.number(),
            ..*error_txn(1, 1, 1).header()
        };
        Arc::new(LoggedTxn::new(header, &txn))
    };
    let mut script = Script::default();
    script
        .commit
        .request(Prepared::from(set("/here", b"new")), &mut script.out);
    for other in [txn(10, "/there", b"new"), txn(11, "/here", b"old")] {
        script.commit.commit(other, &mut script.out);
        let foreign = script.out.pop().expect("it passes");
        assert_eq!(foreign.request.origin, Origin::Server);
    }
    let mut session_ends = *error_txn(1, 1, 12).header();
    session_ends.op = OpCode::CloseSession.number();
    let ends = Arc::new(LoggedTxn::new(session_ends, &Txn::CloseSession));
    script.commit.commit(ends, &mut script.out);
    assert_eq!(script.out.pop().map(|p| p.request.origin), Some(Origin::Server));
    script.commit.commit(txn(13, "/here", b"new"), &mut script.out);
    let own = script.out.pop().expect("it is answered");
    assert_eq!((own.zxid, own.request.op), (Zxid(13), OpCode::SetData));
    assert_ne!(own.request.origin, Origin::Server);
    assert!(script.commit.waiting.is_empty());
}

#[test]
fn a_write_that_the_leader_refuses_waits_for_its_turn() {
    let mut script = Script::default();
    let mut refused = Prepared::from(request(1, 1, OpCode::SetData));
    refused.refused = Some(ErrorCode::BadVersion);
    refused.logged = Some(error_txn(1, 1, 11));
    script.commit.request(refused.clone(), &mut script.out);
    assert_eq!(script.gone(), []);
    assert_eq!(script.decided(2, 1, 10), [(2, 1)]);
    assert_eq!(script.decided(1, 1, 11), [(1, 1)]);
    // What is refused without a transaction will never be decided.
    refused.logged = None;
    script.commit.request(refused, &mut script.out);
    assert_eq!(script.gone(), [(1, 1)]);
}
