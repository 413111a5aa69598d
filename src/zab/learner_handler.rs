//! One learner as the leader sees it: what it said, what it is due to say, and until when. (LearnerHandler)

use thiserror::Error;

use crate::ensemble::Role;
use crate::proto::packet::{
    ForwardedRequest, LearnerInfo, PROTOCOL_VERSION, PacketType, QuorumPacket, decode_touched,
};
use crate::proto::{Decode, Epoch, Malformed, Reader, SessionId, Sid, Zxid};

use super::discovery::Summary;
use super::proposals::OwedAck;

/// How far a learner has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// It is due to say who it is.
    Info,
    /// It waits for a quorum of promises.
    Promised,
    /// It is due to acknowledge the epoch.
    AckEpoch,
    /// It waits for a quorum of acknowledgements; this is its last transaction.
    Acknowledged(Zxid),
    /// A snapshot is being sent to it.
    Snapshot,
    /// It is due to have the leader's history on its disk.
    NewLeaderAck,
    /// It has, and waits for a quorum of its kind.
    Synced,
    /// It serves, and takes what is proposed.
    Broadcast,
}

/// What a packet means to the leader.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A learner comes, whose newest accepted epoch is this, and whether it takes what 3.4 cannot read.
    Info(Epoch, bool),
    /// It acknowledges the epoch; `None` if that does not count. Its last transaction.
    AckEpoch(Option<Summary>, Zxid),
    /// It has the leader's history.
    NewLeaderAck,
    /// It has a proposal.
    Ack(Zxid),
    /// It has heard these sessions, with their timeouts in milliseconds.
    Touched(Vec<(SessionId, i32)>),
    /// May this session move there, with this timeout in milliseconds?
    Revalidate(SessionId, i32),
    /// A client's request.
    Request(ForwardedRequest),
    /// Nothing that matters.
    Nothing,
}

/// Why a learner is sent away. It will come again.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HangUp {
    /// It said something else than was due.
    #[error("{got} is not {due}")]
    Unexpected {
        /// What it said.
        got: PacketType,
        /// What was due.
        due: &'static str,
    },
    /// It speaks the protocol of before 3.4, which 3.4.14 still took for upgrades from there.
    #[error("sid {0} is a server of before ZooKeeper 3.4: upgrade it to 3.4 first")]
    TooOld(Sid),
    /// It has accepted an epoch behind which there is none: its acceptedEpoch is wrong, or it is no server of ours.
    #[error("sid {sid} has accepted epoch {accepted}, which leaves none for a leader")]
    NoEpochLeft {
        /// Who.
        sid: Sid,
        /// What it says it has accepted.
        accepted: Epoch,
    },
    /// A payload is none.
    #[error("a packet of type {0} cannot be read: {1}")]
    Malformed(PacketType, Malformed),
    /// It acknowledges a leader that is not this one.
    #[error("NEWLEADER ACK from sid: {sid} is from a different epoch - current {current} receieved {got}")]
    OtherEpoch {
        /// Who.
        sid: Sid,
        /// This leader's.
        current: Zxid,
        /// What it said.
        got: Zxid,
    },
}

/// Limits in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until a learner is synchronised, between any two of its packets (`initLimit` ticks).
    pub init_ms: i64,
    /// Afterwards (`syncLimit` ticks).
    pub sync_ms: i64,
}

/// One learner.
#[derive(Debug)]
pub struct LearnerHandler {
    phase: Phase,
    sid: Sid,
    role: Role,
    read_deadline_ms: Option<i64>,
    /// It counts as synced until this tick is over. (tickOfNextAckDeadline)
    pub synced_until_tick: i64,
    owed: OwedAck,
}

impl LearnerHandler {
    /// A learner that has just connected. `nobody` is its number until it says another; negative.
    pub fn new(nobody: Sid, now_ms: i64, patience: Patience, synced_until_tick: i64) -> LearnerHandler {
        LearnerHandler {
            phase: Phase::Info,
            sid: nobody,
            role: Role::Participant,
            read_deadline_ms: Some(now_ms + patience.init_ms),
            synced_until_tick,
            owed: OwedAck::default(),
        }
    }

    /// Its number.
    pub fn sid(&self) -> Sid {
        self.sid
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether it came as one that votes. What it counts for is the ensemble's to say.
    pub fn is_participant(&self) -> bool {
        self.role == Role::Participant
    }

    /// Whether it is sent what is proposed and decided.
    pub fn is_forwarded_to(&self) -> bool {
        matches!(
            self.phase,
            Phase::Snapshot | Phase::NewLeaderAck | Phase::Synced | Phase::Broadcast
        )
    }

    /// By when its next packet must come.
    pub fn deadline_ms(&self) -> Option<i64> {
        self.read_deadline_ms
    }

    /// It goes on. Who waits for others, or for a snapshot to be sent, is not waited for.
    pub fn enter(&mut self, phase: Phase, now_ms: i64, patience: Patience) {
        self.phase = phase;
        self.read_deadline_ms = match phase {
            Phase::Info | Phase::AckEpoch | Phase::NewLeaderAck => Some(now_ms + patience.init_ms),
            Phase::Promised | Phase::Acknowledged(_) | Phase::Snapshot | Phase::Synced => None,
            Phase::Broadcast => Some(now_ms + patience.sync_ms),
        };
    }

    /// A proposal goes to it.
    pub fn proposed(&mut self, zxid: Zxid, now_ms: i64) {
        // What goes out before it is synchronised is acknowledged when it serves: the clock starts then.
        if matches!(self.phase, Phase::Synced | Phase::Broadcast) {
            self.owed.proposed(zxid, now_ms);
        }
    }

    /// Whether it has owed the acknowledgement of a proposal for too long.
    pub fn is_late(&self, now_ms: i64, patience: Patience) -> bool {
        self.owed
            .since_ms()
            .is_some_and(|since_ms| now_ms - since_ms >= patience.sync_ms)
    }

    /// Takes a packet. `beginning` is the first zxid of the leader's epoch.
    ///
    /// # Errors
    /// [`HangUp`].
    pub fn hear(
        &mut self,
        packet: QuorumPacket,
        now_ms: i64,
        patience: Patience,
        beginning: Zxid,
    ) -> Result<Heard, HangUp> {
        let kind = packet.kind;
        let malformed = |error| HangUp::Malformed(kind, error);
        match self.phase {
            Phase::Info => self.hear_info(&packet),
            Phase::AckEpoch => hear_ack_epoch(&packet),
            Phase::NewLeaderAck => self.hear_new_leader_ack(&packet, beginning),
            Phase::Promised | Phase::Acknowledged(_) | Phase::Snapshot => Err(HangUp::Unexpected {
                got: kind,
                due: "due: the leader has not answered yet",
            }),
            Phase::Synced | Phase::Broadcast => {
                if self.phase == Phase::Broadcast {
                    self.read_deadline_ms = Some(now_ms + patience.sync_ms);
                }
                self.hear_broadcast(packet).map_err(malformed)
            }
        }
    }

    fn hear_info(&mut self, packet: &QuorumPacket) -> Result<Heard, HangUp> {
        self.role = match packet.kind {
            PacketType::FollowerInfo => Role::Participant,
            PacketType::ObserverInfo => Role::Observer,
            got => {
                let due = "FOLLOWERINFO or OBSERVERINFO!";
                return Err(HangUp::Unexpected { got, due });
            }
        };
        let (mut version, mut newer_txns) = (0, false);
        if let Some(payload) = packet.data.bytes() {
            let info = LearnerInfo::decode(payload).map_err(|e| HangUp::Malformed(packet.kind, e))?;
            self.sid = info.sid;
            (version, newer_txns) = (info.version, info.newer_txns);
        }
        if version < PROTOCOL_VERSION {
            return Err(HangUp::TooOld(self.sid));
        }
        let accepted = packet.zxid.epoch();
        if accepted >= Epoch::LAST {
            let sid = self.sid;
            return Err(HangUp::NoEpochLeft { sid, accepted });
        }
        Ok(Heard::Info(accepted, newer_txns))
    }

    fn hear_new_leader_ack(&mut self, packet: &QuorumPacket, beginning: Zxid) -> Result<Heard, HangUp> {
        match packet.kind {
            PacketType::Ack if packet.zxid == beginning => Ok(Heard::NewLeaderAck),
            // A server of 3.6 to 3.8.4 may acknowledge a proposal first (ZOOKEEPER-4685).
            PacketType::Ack if packet.zxid.counter() != 0 => Ok(Heard::Ack(packet.zxid)),
            PacketType::Ack => Err(HangUp::OtherEpoch {
                sid: self.sid,
                current: beginning,
                got: packet.zxid,
            }),
            got => Err(HangUp::Unexpected { got, due: "an ACK" }),
        }
    }

    fn hear_broadcast(&mut self, packet: QuorumPacket) -> Result<Heard, Malformed> {
        Ok(match packet.kind {
            // The learner acknowledges the epoch once more when it serves.
            PacketType::Ack if packet.zxid.counter() == 0 => Heard::Nothing,
            PacketType::Ack => {
                self.owed.acked(packet.zxid);
                Heard::Ack(packet.zxid)
            }
            PacketType::Ping => Heard::Touched(decode_touched(&packet)?),
            PacketType::Revalidate => {
                let mut reader = Reader::new(packet.payload()?);
                Heard::Revalidate(SessionId::decode(&mut reader)?, i32::decode(&mut reader)?)
            }
            PacketType::Request => Heard::Request(ForwardedRequest::of(packet)?),
            other => {
                log::warn!("unexpected quorum packet, type: {other}");
                Heard::Nothing
            }
        })
    }
}

fn hear_ack_epoch(packet: &QuorumPacket) -> Result<Heard, HangUp> {
    if packet.kind != PacketType::AckEpoch {
        let (got, due) = (packet.kind, "ACKEPOCH");
        return Err(HangUp::Unexpected { got, due });
    }
    let malformed = |error| HangUp::Malformed(packet.kind, error);
    let current = i32::from_bytes(packet.payload().map_err(malformed)?).map_err(malformed)?;
    let summary = Summary {
        current: Epoch(current.into()),
        last: packet.zxid,
    };
    Ok(Heard::AckEpoch((current != -1).then_some(summary), packet.zxid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zab::testing::zxid;

    const PATIENCE: Patience = Patience {
        init_ms: 1_000,
        sync_ms: 100,
    };

    fn handler(phase: Phase) -> LearnerHandler {
        let mut handler = LearnerHandler::new(Sid(-1), 0, PATIENCE, 15);
        handler.enter(phase, 0, PATIENCE);
        handler
    }

    fn hear(handler: &mut LearnerHandler, packet: QuorumPacket) -> Result<Heard, HangUp> {
        handler.hear(packet, 50, PATIENCE, zxid(5, 0))
    }

    fn ack(zxid: Zxid) -> QuorumPacket {
        QuorumPacket::plain(PacketType::Ack, zxid)
    }

    #[test]
    fn the_first_packet_says_who_comes() {
        let mut follower = handler(Phase::Info);
        let info = QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(4), Sid(3), false);
        assert_eq!(hear(&mut follower, info), Ok(Heard::Info(Epoch(4), false)));
        assert_eq!((follower.sid(), follower.is_participant()), (Sid(3), true));
        let mut observer = handler(Phase::Info);
        let info = QuorumPacket::learner_info(PacketType::ObserverInfo, Epoch(4), Sid(3), true);
        assert!(hear(&mut observer, info).is_ok() && !observer.is_participant());
        let mut nobody = handler(Phase::Info);
        let info = QuorumPacket::plain(PacketType::FollowerInfo, zxid(4, 7));
        assert_eq!(hear(&mut nobody, info), Err(HangUp::TooOld(Sid(-1))));
        let mut last = handler(Phase::Info);
        let info = QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch::LAST, Sid(3), false);
        let error = hear(&mut last, info).expect_err("no epoch is left");
        assert_eq!(
            error.to_string(),
            "sid 3 has accepted epoch 0x7fffffff, which leaves none for a leader"
        );
        let error = hear(&mut handler(Phase::Info), ack(zxid(4, 1))).expect_err("an ACK");
        assert_eq!(error.to_string(), "ACK is not FOLLOWERINFO or OBSERVERINFO!");
    }

    #[test]
    fn an_epoch_is_acknowledged_once() {
        let last = zxid(4, 9);
        let mut learner = handler(Phase::AckEpoch);
        let summary = Summary {
            current: Epoch(4),
            last,
        };
        let counts = QuorumPacket::ack_epoch(Some(Epoch(4)), last);
        assert_eq!(
            hear(&mut learner, counts),
            Ok(Heard::AckEpoch(Some(summary), last))
        );
        let again = QuorumPacket::ack_epoch(None, last);
        assert_eq!(hear(&mut learner, again), Ok(Heard::AckEpoch(None, last)));
        let empty = QuorumPacket::plain(PacketType::AckEpoch, last);
        assert!(matches!(hear(&mut learner, empty), Err(HangUp::Malformed(..))));
        assert!(matches!(
            hear(&mut learner, ack(last)),
            Err(HangUp::Unexpected { .. })
        ));
    }

    #[test]
    fn the_history_is_acknowledged_by_its_own_epoch_alone() {
        let mut learner = handler(Phase::NewLeaderAck);
        assert_eq!(hear(&mut learner, ack(zxid(5, 3))), Ok(Heard::Ack(zxid(5, 3))));
        assert!(matches!(
            hear(&mut learner, ack(zxid(4, 0))),
            Err(HangUp::OtherEpoch { .. })
        ));
        assert_eq!(hear(&mut learner, ack(zxid(5, 0))), Ok(Heard::NewLeaderAck));
        let ping = QuorumPacket::pong(zxid(5, 0), &[]);
        assert!(hear(&mut learner, ping).is_err());
    }

    #[test]
    fn in_broadcast_each_packet_has_its_meaning() {
        let mut learner = handler(Phase::Broadcast);
        assert_eq!(learner.deadline_ms(), Some(100));
        assert_eq!(hear(&mut learner, ack(zxid(5, 0))), Ok(Heard::Nothing));
        assert_eq!(learner.deadline_ms(), Some(150));
        assert_eq!(hear(&mut learner, ack(zxid(5, 1))), Ok(Heard::Ack(zxid(5, 1))));
        let touched = vec![(SessionId(8), 400)];
        let pong = QuorumPacket::pong(zxid(5, 1), &touched);
        assert_eq!(hear(&mut learner, pong), Ok(Heard::Touched(touched)));
        let revalidate = QuorumPacket::revalidate(SessionId(8), 400);
        assert_eq!(
            hear(&mut learner, revalidate),
            Ok(Heard::Revalidate(SessionId(8), 400))
        );
        let strange = QuorumPacket::plain(PacketType::Unknown(99), zxid(0, 0));
        assert_eq!(hear(&mut learner, strange), Ok(Heard::Nothing));
        let empty = QuorumPacket::plain(PacketType::Request, zxid(0, 0));
        assert!(hear(&mut learner, empty).is_err());
    }

    #[test]
    fn acknowledgements_are_owed_from_when_it_is_synced() {
        let mut learner = handler(Phase::NewLeaderAck);
        learner.proposed(zxid(5, 1), 10);
        assert!(!learner.is_late(9_999, PATIENCE));
        learner.enter(Phase::Synced, 10, PATIENCE);
        learner.proposed(zxid(5, 2), 20);
        assert!(!learner.is_late(119, PATIENCE));
        assert!(learner.is_late(120, PATIENCE));
        assert!(hear(&mut learner, ack(zxid(5, 2))).is_ok());
        assert!(!learner.is_late(9_999, PATIENCE));
    }

    #[test]
    fn nobody_talks_out_of_turn() {
        for phase in [Phase::Promised, Phase::Acknowledged(zxid(1, 1)), Phase::Snapshot] {
            let mut learner = handler(phase);
            assert!(hear(&mut learner, ack(zxid(5, 0))).is_err());
            assert_eq!(learner.deadline_ms(), None);
        }
    }
}
