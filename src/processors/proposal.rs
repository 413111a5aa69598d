//! ProposalRequestProcessor: from the leader's PrepRequestProcessor to the three that wait for a write: the
//! CommitProcessor first, so that no decision can overtake its request, then the leader, then the log.

use std::sync::Arc;

use crate::proto::txn::LoggedTxn;
use crate::proto::{OpCode, Sid};
use crate::request::{Origin, Prepared};
use crate::runtime::{Address, Flow, Now, Stage};

use super::commit::CommitLetter;

/// What the leader is told, in the order of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForLeader {
    /// Propose this.
    Propose(Arc<LoggedTxn>),
    /// A sync of a client of this learner has come through.
    Sync(Sid),
    /// A sync of a client of this server has.
    OwnSync,
}

/// The stage.
#[derive(Debug)]
pub struct ProposalRequestProcessor {
    commit: Address<CommitLetter>,
    leader: Address<Vec<ForLeader>>,
    sync: Address<Vec<Prepared>>,
    is_used_up: bool,
}

impl ProposalRequestProcessor {
    /// A processor that hands on to `commit`, then to `leader`, then to `sync`.
    pub fn new(
        commit: Address<CommitLetter>,
        leader: Address<Vec<ForLeader>>,
        sync: Address<Vec<Prepared>>,
    ) -> ProposalRequestProcessor {
        ProposalRequestProcessor {
            commit,
            leader,
            sync,
            is_used_up: false,
        }
    }

    /// Drops what comes behind the last number of an epoch. The leader is told of the first that it cannot
    /// propose, and ends the reign; nobody logs it. (Leader.propose, XidRolloverException)
    fn stop_at_the_last_number(&mut self, letter: &mut Vec<Prepared>, for_leader: &mut Vec<ForLeader>) {
        let is_last = |p: &Prepared| {
            p.logged
                .as_ref()
                .is_some_and(|txn| txn.zxid().counter() == u32::MAX)
        };
        if let Some(last) = letter.iter().position(is_last) {
            self.is_used_up = true;
            for_leader.extend(letter[last].logged.clone().map(ForLeader::Propose));
            letter.truncate(last);
        }
    }
}

impl Stage for ProposalRequestProcessor {
    type In = Vec<Prepared>;

    fn step(&mut self, _now: Now, mut letter: Vec<Prepared>) -> Flow {
        if self.is_used_up {
            return Flow::Go;
        }
        let mut last_words = Vec::new();
        self.stop_at_the_last_number(&mut letter, &mut last_words);
        let (mut for_commit, mut for_leader) = (Vec::with_capacity(letter.len()), Vec::new());
        let mut for_sync = Vec::new();
        for prepared in letter {
            if let (OpCode::Sync, Origin::Learner(sid)) = (prepared.request.op, prepared.request.origin) {
                for_leader.push(ForLeader::Sync(sid));
                continue;
            }
            if prepared.awaits_sync() {
                for_leader.push(ForLeader::OwnSync);
            }
            if let Some(txn) = &prepared.logged {
                for_leader.push(ForLeader::Propose(Arc::clone(txn)));
                for_sync.push(prepared.clone());
            }
            for_commit.push(prepared);
        }
        for_leader.extend(last_words);
        if !for_commit.is_empty() {
            self.commit.post(CommitLetter::Requests(for_commit));
        }
        if !for_leader.is_empty() {
            self.leader.post(for_leader);
        }
        if !for_sync.is_empty() {
            self.sync.post(for_sync);
        }
        Flow::Go
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processors::testing::{error_txn, request};
    use crate::proto::ErrorCode;
    use crate::runtime::Inbox;

    fn write(xid: i32, zxid: i64) -> Prepared {
        let mut prepared = Prepared::from(request(1, xid, OpCode::Create));
        prepared.logged = Some(error_txn(1, xid, zxid));
        prepared
    }

    #[test]
    fn each_gets_its_part_in_order() {
        let (commit, commits) = Inbox::new();
        let (leader, leaders) = Inbox::new();
        let (sync, syncs) = Inbox::new();
        let mut stage = ProposalRequestProcessor::new(commit, leader, sync);
        let own_sync = Prepared::from(request(1, 2, OpCode::Sync));
        let mut their_sync = own_sync.clone();
        their_sync.request.origin = Origin::Learner(Sid(3));
        let letter = vec![write(1, 10), their_sync, own_sync.clone(), write(3, 11)];
        stage.step(Now::default(), letter);
        let Some(CommitLetter::Requests(requests)) = commits.try_take() else {
            panic!("requests for the CommitProcessor")
        };
        assert_eq!(requests, [write(1, 10), own_sync.clone(), write(3, 11)]);
        let expected = [
            ForLeader::Propose(error_txn(1, 1, 10)),
            ForLeader::Sync(Sid(3)),
            ForLeader::OwnSync,
            ForLeader::Propose(error_txn(1, 3, 11)),
        ];
        assert_eq!(leaders.try_take().as_deref(), Some(&expected[..]));
        assert_eq!(
            syncs.try_take().as_deref(),
            Some(&[write(1, 10), write(3, 11)][..])
        );
        // One that is refused needs no answer of the leader.
        let mut refused = own_sync;
        refused.refused = Some(ErrorCode::SessionMoved);
        stage.step(Now::default(), vec![refused]);
        assert!(leaders.try_take().is_none() && syncs.try_take().is_none());
    }

    #[test]
    fn nothing_is_logged_from_the_last_number_on() {
        let (commit, _commits) = Inbox::new();
        let (leader, leaders) = Inbox::new();
        let (sync, syncs) = Inbox::new();
        let mut stage = ProposalRequestProcessor::new(commit, leader, sync);
        let letter = [0xffff_fffe, 0xffff_ffff, 0x1_0000_0000].map(|zxid| write(1, zxid));
        stage.step(Now::default(), letter.into());
        assert_eq!(leaders.try_take().map(|all| all.len()), Some(2));
        assert_eq!(syncs.try_take().as_deref(), Some(&[write(1, 0xffff_fffe)][..]));
        stage.step(Now::default(), vec![write(2, 0x1_0000_0001)]);
        assert!(leaders.try_take().is_none() && syncs.try_take().is_none());
    }
}
