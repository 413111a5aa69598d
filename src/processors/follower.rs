//! FollowerRequestProcessor and ObserverRequestProcessor, which differ in name: to the CommitProcessor first, so
//! that it waits for what comes back, and then what changes something, to the leader.

use std::sync::Arc;

use crate::proto::multi::{has_newer_txns, without_create2};
use crate::proto::packet::QuorumPacket;
use crate::proto::{ErrorCode, OpCode};
use crate::request::{Prepared, Request};
use crate::runtime::{Address, Flow, Now, Stage};
use crate::seeded_fault::SeededFault;

use crate::storage::Database;

use super::commit::CommitLetter;

/// The stage.
#[derive(Debug)]
pub struct LearnerRequestProcessor {
    name: &'static str,
    commit: Address<CommitLetter>,
    leader: Address<Vec<QuorumPacket>>,
    database: Arc<Database>,
}

impl LearnerRequestProcessor {
    /// A follower's.
    pub fn of_follower(
        commit: Address<CommitLetter>,
        leader: Address<Vec<QuorumPacket>>,
        database: Arc<Database>,
    ) -> LearnerRequestProcessor {
        let name = "FollowerRequestProcessor";
        LearnerRequestProcessor {
            name,
            commit,
            leader,
            database,
        }
    }

    /// What its thread is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// An observer's.
    pub fn of_observer(
        commit: Address<CommitLetter>,
        leader: Address<Vec<QuorumPacket>>,
        database: Arc<Database>,
    ) -> LearnerRequestProcessor {
        let name = "ObserverRequestProcessor";
        LearnerRequestProcessor {
            name,
            commit,
            leader,
            database,
        }
    }
}

impl Stage for LearnerRequestProcessor {
    type In = Vec<Request>;

    fn step(&mut self, _now: Now, letter: Vec<Request>) -> Flow {
        let knows_newer = self.database.allows_newer_txns();
        let requests: Vec<Prepared> = letter.into_iter().map(|r| judge(r, knows_newer)).collect();
        let forwarded: Vec<QuorumPacket> = requests
            .iter()
            .filter(|prepared| prepared.refused.is_none() && is_forwarded(prepared.request.op))
            .map(|prepared| forward(&prepared.request))
            .collect();
        self.commit.post(CommitLetter::Requests(requests));
        if !forwarded.is_empty() {
            if SeededFault::RequestForwardedTwice.on() {
                self.leader.post(forwarded.clone());
            }
            self.leader.post(forwarded);
        }
        Flow::Go
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("{} exited loop!", self.name);
        Flow::Done
    }
}

/// What the leader would not understand is refused here: one of 3.4 says nothing to it, and the client would wait
/// for ever.
fn judge(request: Request, knows_newer: bool) -> Prepared {
    let is_newer = match request.op {
        OpCode::Multi => !knows_newer && has_newer_txns(&request.body),
        op => op.is_newer_txn(),
    };
    let mut prepared = Prepared::from(request);
    prepared.refused = (is_newer && !knows_newer).then_some(ErrorCode::Unimplemented);
    prepared
}

fn is_forwarded(op: OpCode) -> bool {
    op.is_write() || op == OpCode::Sync
}

fn forward(request: &Request) -> QuorumPacket {
    let Request { session, xid, op, .. } = *request;
    // A leader of 3.4 knows no create2, and says nothing to what it does not know. Here alone is the stat told.
    let plain = (op == OpCode::Multi)
        .then(|| without_create2(&request.body))
        .flatten();
    let op = if op == OpCode::Create2 { OpCode::Create } else { op };
    QuorumPacket::request(
        session,
        xid,
        op.number(),
        plain.as_deref().unwrap_or(&request.body),
        request.identities.to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processors::testing::request;
    use crate::proto::multi::{MultiOp, encode_ops};
    use crate::proto::packet::ForwardedRequest;
    use crate::proto::requests::CreateRequest;
    use crate::runtime::Inbox;
    use crate::storage::CommittedLog;
    use crate::tree::DataTree;

    #[test]
    fn writes_and_syncs_go_to_the_leader_and_everything_waits_its_turn() {
        let (commit, commits) = Inbox::new();
        let (leader, leaders) = Inbox::new();
        let database = Arc::new(Database::new(DataTree::new(), CommittedLog::new(1)));
        let mut stage = LearnerRequestProcessor::of_follower(commit, leader, database);
        let ops = [
            OpCode::GetData,
            OpCode::Create,
            OpCode::Sync,
            OpCode::Ping,
            OpCode::CreateSession,
            OpCode::CloseSession,
            OpCode::Multi,
            OpCode::Check,
            OpCode::Create2,
            OpCode::RemoveWatches,
        ];
        let letter: Vec<Request> = ops
            .iter()
            .zip(1..)
            .map(|(op, xid)| request(7, xid, *op))
            .collect();
        stage.step(Now::default(), letter.clone());
        let Some(CommitLetter::Requests(requests)) = commits.try_take() else {
            panic!("requests for the CommitProcessor")
        };
        assert!(requests.into_iter().map(|prepared| prepared.request).eq(letter));
        let forwarded = leaders.try_take().expect("packets for the leader").into_iter();
        let forwarded = forwarded.map(|packet| ForwardedRequest::of(packet).expect("a request"));
        let forwarded: Vec<(i32, i32)> = forwarded.map(|request| (request.xid.0, request.op)).collect();
        assert_eq!(forwarded, [(2, 1), (3, 9), (5, -10), (6, -11), (7, 14), (9, 1)]);
    }

    #[test]
    fn what_a_leader_of_3_4_does_not_know_is_refused_here() {
        let (commit, commits) = Inbox::new();
        let (leader, leaders) = Inbox::new();
        let database = Arc::new(Database::new(DataTree::new(), CommittedLog::new(1)));
        let mut stage = LearnerRequestProcessor::of_follower(commit, leader, Arc::clone(&database));
        let refused = |commits: &Inbox<CommitLetter>| match commits.try_take() {
            Some(CommitLetter::Requests(requests)) => requests[0].refused,
            _ => panic!("requests for the CommitProcessor"),
        };
        let mut multi = request(7, 2, OpCode::Multi);
        let create = CreateRequest {
            path: "/c".into(),
            data: None,
            acl: vec![],
            flags: 4,
        };
        multi.body.clear();
        encode_ops(&[MultiOp::CreateContainer(create)], &mut multi.body);
        for request in [request(7, 1, OpCode::CreateTtl), multi] {
            stage.step(Now::default(), vec![request.clone()]);
            assert_eq!(
                (refused(&commits), leaders.try_take().is_some()),
                (Some(ErrorCode::Unimplemented), false)
            );
            database.allow_newer_txns(true);
            stage.step(Now::default(), vec![request]);
            assert_eq!((refused(&commits), leaders.try_take().is_some()), (None, true));
            database.allow_newer_txns(false);
        }
    }
}
