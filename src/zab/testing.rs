//! What the tests of this room share.

use std::sync::Arc;

use crate::ensemble::{Ensemble, Member, QuorumVerifier, Role};
use crate::proto::packet::QuorumPacket;
use crate::proto::txn::{LoggedTxn, Txn, TxnHeader};
use crate::proto::{Epoch, OpCode, SessionId, Sid, Xid, Zxid};
use crate::zab::{LeaderAction, LearnerAction};

/// A zxid by its two halves.
pub fn zxid(epoch: i64, counter: u32) -> Zxid {
    Zxid::of(Epoch(epoch), counter)
}

/// Some transaction of that number.
pub fn txn(zxid: Zxid) -> Arc<LoggedTxn> {
    let header = TxnHeader {
        session: SessionId(7),
        cxid: Xid(1),
        zxid,
        time_ms: 9,
        op: OpCode::CloseSession.number(),
    };
    Arc::new(LoggedTxn::new(header, &Txn::CloseSession))
}

/// Voters 1 to `voters`, then as many observers.
pub fn ensemble(voters: i64, observers: i64) -> Ensemble {
    let member = |sid| Member {
        sid: Sid(sid),
        host: "localhost".to_owned(),
        quorum_port: 2888,
        election_port: 3888,
        role: if sid <= voters {
            Role::Participant
        } else {
            Role::Observer
        },
    };
    let verifier = QuorumVerifier::majority((1..=voters).map(Sid));
    Ensemble::new((1..=voters + observers).map(member), verifier)
}

/// Actions as lines that a test can compare.
pub trait Line {
    /// One line.
    fn line(&self) -> String;
}

impl Line for QuorumPacket {
    fn line(&self) -> String {
        format!("{} {}", self.kind, self.zxid)
    }
}

impl Line for LeaderAction {
    fn line(&self) -> String {
        match self {
            LeaderAction::Send(link, packet) => format!("{} <- {}", link.0, packet.line()),
            LeaderAction::SendSnapshot(link) => format!("{} <- snapshot", link.0),
            LeaderAction::HangUp(link, _) => format!("hang up {}", link.0),
            LeaderAction::SaveAcceptedEpoch(epoch) => format!("accepted {}", epoch.0),
            LeaderAction::SaveCurrentEpoch(epoch) => format!("current {}", epoch.0),
            LeaderAction::AllowNewerTxns(allowed) => format!("newer txns {allowed}"),
            LeaderAction::Lead(zxid) => format!("lead {zxid}"),
            LeaderAction::Commit(txn) => format!("commit {}", txn.zxid()),
            LeaderAction::SyncAnswered => "own sync answered".to_owned(),
            LeaderAction::Submit(sid, request) => format!("submit {sid} {}", request.xid.0),
            LeaderAction::Touch(session, ms) => format!("touch {session} {ms}"),
            LeaderAction::Revalidate(link, sid, session, ms) => {
                format!("revalidate {} {sid} {session} {ms}", link.0)
            }
            LeaderAction::Over(reason) => format!("over: {reason}"),
        }
    }
}

impl Line for LearnerAction {
    fn line(&self) -> String {
        match self {
            LearnerAction::SaveAcceptedEpoch(epoch) => format!("accepted {}", epoch.0),
            LearnerAction::SaveCurrentEpoch(epoch) => format!("current {}", epoch.0),
            LearnerAction::Send(packet) => format!("-> {}", packet.line()),
            LearnerAction::Truncate(zxid) => format!("truncate {zxid}"),
            LearnerAction::Apply(txn) => format!("apply {}", txn.zxid()),
            LearnerAction::MarkUpdating => "mark".to_owned(),
            LearnerAction::ClearUpdating => "unmark".to_owned(),
            LearnerAction::InstallSnapshot(zxid) => format!("install {zxid}"),
            LearnerAction::AppendToLog(txn) => format!("append {}", txn.zxid()),
            LearnerAction::SyncLog => "sync".to_owned(),
            LearnerAction::Serve(epoch) => format!("serve {}", epoch.0),
            LearnerAction::Log(txn) => format!("log {}", txn.zxid()),
            LearnerAction::Commit(txn) => format!("commit {}", txn.zxid()),
            LearnerAction::SyncAnswered => "sync answered".to_owned(),
            LearnerAction::AnswerPing(zxid) => format!("ping {zxid}"),
            LearnerAction::Revalidated(conn, session, valid) => {
                format!("revalidated {} {session} {valid}", conn.0)
            }
            LearnerAction::Halt(reason) => format!("halt: {reason}"),
            LearnerAction::Leave(reason) => format!("leave: {reason}"),
        }
    }
}

/// Takes the actions as lines.
pub fn lines<A: Line>(actions: &mut Vec<A>) -> Vec<String> {
    actions.drain(..).map(|action| action.line()).collect()
}
