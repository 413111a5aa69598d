//! AckRequestProcessor and SendAckRequestProcessor: what is safe in the log is acknowledged to the leader, by
//! the leader's own chain with a word, by a follower's on the wire.
//!
//! As in 3.4.14 they have no thread: SyncThread hands them what is safe, and they only translate it. A thread for
//! each cost a write two more wake-ups on its way.

use crate::proto::Zxid;
use crate::proto::packet::{PacketType, QuorumPacket};
use crate::request::Prepared;
use crate::runtime::{Address, Post};

/// The leader's own: one word for a whole letter.
#[derive(Debug)]
pub struct AckRequestProcessor {
    leader: Address<Zxid>,
}

impl AckRequestProcessor {
    /// A processor that tells the leader up to where its log is safe.
    pub fn new(leader: Address<Zxid>) -> AckRequestProcessor {
        AckRequestProcessor { leader }
    }
}

impl Post<Vec<Prepared>> for AckRequestProcessor {
    fn post(&self, letter: Vec<Prepared>) {
        if let Some(zxid) = zxids(&letter).last() {
            self.leader.post(zxid);
        }
    }
}

/// A follower's: a leader of 3.4.14 wants an ACK for each.
#[derive(Debug)]
pub struct SendAckRequestProcessor {
    leader: Address<Vec<QuorumPacket>>,
}

impl SendAckRequestProcessor {
    /// A processor that sends to the leader.
    pub fn new(leader: Address<Vec<QuorumPacket>>) -> SendAckRequestProcessor {
        SendAckRequestProcessor { leader }
    }
}

impl Post<Vec<Prepared>> for SendAckRequestProcessor {
    fn post(&self, letter: Vec<Prepared>) {
        let acks = zxids(&letter).map(|zxid| QuorumPacket::plain(PacketType::Ack, zxid));
        let acks: Vec<QuorumPacket> = acks.collect();
        if !acks.is_empty() {
            self.leader.post(acks);
        }
    }
}

fn zxids(letter: &[Prepared]) -> impl Iterator<Item = Zxid> {
    letter
        .iter()
        .filter_map(|prepared| prepared.logged.as_ref())
        .map(|txn| txn.zxid())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processors::commit::foreign;
    use crate::processors::testing::error_txn;
    use crate::runtime::Inbox;

    fn letter() -> Vec<Prepared> {
        (10..13).map(|zxid| foreign(error_txn(1, 1, zxid))).collect()
    }

    #[test]
    fn a_leader_s_log_is_safe_up_to_the_last() {
        let (leader, inbox) = Inbox::new();
        let processor = AckRequestProcessor::new(leader);
        processor.post(letter());
        assert_eq!((inbox.try_take(), inbox.try_take()), (Some(Zxid(12)), None));
        processor.post(vec![]);
        assert_eq!(inbox.try_take(), None);
    }

    #[test]
    fn a_follower_acknowledges_each() {
        let (leader, inbox) = Inbox::new();
        let processor = SendAckRequestProcessor::new(leader);
        processor.post(letter());
        let ack = |zxid| QuorumPacket::plain(PacketType::Ack, Zxid(zxid));
        assert_eq!(inbox.try_take(), Some(vec![ack(10), ack(11), ack(12)]));
    }
}
