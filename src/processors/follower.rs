//! FollowerRequestProcessor and ObserverRequestProcessor, which differ in name: to the CommitProcessor first, so
//! that it waits for what comes back, and then what changes something, to the leader.

use crate::proto::OpCode;
use crate::proto::multi::without_create2;
use crate::proto::packet::QuorumPacket;
use crate::request::{Prepared, Request};
use crate::runtime::{Address, Flow, Now, Stage};
use crate::seeded_fault::SeededFault;

use super::commit::CommitLetter;

/// The stage.
#[derive(Debug)]
pub struct LearnerRequestProcessor {
    name: &'static str,
    commit: Address<CommitLetter>,
    leader: Address<Vec<QuorumPacket>>,
}

impl LearnerRequestProcessor {
    /// A follower's.
    pub fn of_follower(
        commit: Address<CommitLetter>,
        leader: Address<Vec<QuorumPacket>>,
    ) -> LearnerRequestProcessor {
        let name = "FollowerRequestProcessor";
        LearnerRequestProcessor { name, commit, leader }
    }

    /// An observer's.
    pub fn of_observer(
        commit: Address<CommitLetter>,
        leader: Address<Vec<QuorumPacket>>,
    ) -> LearnerRequestProcessor {
        let name = "ObserverRequestProcessor";
        LearnerRequestProcessor { name, commit, leader }
    }
}

impl Stage for LearnerRequestProcessor {
    type In = Vec<Request>;

    fn step(&mut self, _now: Now, letter: Vec<Request>) -> Flow {
        let forwarded: Vec<QuorumPacket> = letter
            .iter()
            .filter(|r| is_forwarded(r.op))
            .map(forward)
            .collect();
        let requests = letter.into_iter().map(Prepared::from).collect();
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
    use crate::proto::packet::ForwardedRequest;
    use crate::runtime::Inbox;

    #[test]
    fn writes_and_syncs_go_to_the_leader_and_everything_waits_its_turn() {
        let (commit, commits) = Inbox::new();
        let (leader, leaders) = Inbox::new();
        let mut stage = LearnerRequestProcessor::of_follower(commit, leader);
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
}
