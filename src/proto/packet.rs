//! The quorum wire, port 2888: one record after the other, without a frame. (QuorumPacket, LearnerInfo)
//!
//! A transaction travels as the bytes it was encoded to once: a packet shares them ([`PacketData::Txn`]), so
//! that a proposal to many learners is one buffer. What comes in from a peer is bounded before it is kept.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use thiserror::Error;

use super::data::Id;
use super::ids::{Epoch, SessionId, Sid, Xid, Zxid};
use super::jute::{Decode, Encode, Malformed, Reader};
use super::txn::LoggedTxn;

macro_rules! packet_types {
    ($($(#[$meta:meta])* $name:ident = $number:literal, $word:literal;)*) => {
        /// What a packet is. (quorum/Leader)
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum PacketType {
            $($(#[$meta])* $name,)*
            /// A number that names none of them: said in the log and passed over, as 3.4.14 does.
            Unknown(i32),
        }

        impl PacketType {
            /// What a number names.
            pub fn of(number: i32) -> PacketType {
                match number {
                    $($number => PacketType::$name,)*
                    other => PacketType::Unknown(other),
                }
            }

            /// Its number on the wire.
            pub fn number(self) -> i32 {
                match self {
                    $(PacketType::$name => $number,)*
                    PacketType::Unknown(number) => number,
                }
            }

            /// Its name in log lines. (Leader.getPacketType)
            pub fn name(self) -> &'static str {
                match self {
                    $(PacketType::$name => $word,)*
                    PacketType::Unknown(_) => "UNKNOWN",
                }
            }
        }
    };
}

packet_types! {
    /// A learner forwards a client's write or sync.
    Request = 1, "REQUEST";
    /// The leader proposes a transaction.
    Proposal = 2, "PROPOSAL";
    /// A learner has a proposal, or a new leader's history, safely on its disk.
    Ack = 3, "ACK";
    /// A proposal is decided.
    Commit = 4, "COMMIT";
    /// The leader asks for a sign of life; the answer carries the sessions that were heard.
    Ping = 5, "PING";
    /// Is this session alive, and may it move here?
    Revalidate = 6, "REVALIDATE";
    /// The answer to a forwarded sync.
    Sync = 7, "SYNC";
    /// A decided transaction, for observers.
    Inform = 8, "INFORM";
    /// The history is complete: enter the epoch and acknowledge.
    NewLeader = 10, "NEWLEADER";
    /// A voter comes: its accepted epoch and [`LearnerInfo`].
    FollowerInfo = 11, "FOLLOWERINFO";
    /// A quorum has the new leader's history: serve.
    UpToDate = 12, "UPTODATE";
    /// What is missing follows as proposals and commits.
    Diff = 13, "DIFF";
    /// Cut the log behind this transaction first.
    Trunc = 14, "TRUNC";
    /// A whole snapshot follows.
    Snap = 15, "SNAP";
    /// An observer comes.
    ObserverInfo = 16, "OBSERVERINFO";
    /// The new epoch, and the protocol's version.
    LeaderInfo = 17, "LEADERINFO";
    /// A learner accepts the epoch and says what it has.
    AckEpoch = 18, "ACKEPOCH";
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PacketType::Unknown(number) => write!(f, "UNKNOWN{number}"),
            known => f.write_str(known.name()),
        }
    }
}

/// What a packet carries besides its zxid.
#[derive(Debug, Clone)]
pub enum PacketData {
    /// Nothing: a null buffer.
    Null,
    /// Bytes of its own.
    Bytes(Vec<u8>),
    /// A transaction's bytes, shared with the log and other packets.
    Txn(Arc<LoggedTxn>),
}

impl PacketData {
    /// The bytes, or `None` for null.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            PacketData::Null => None,
            PacketData::Bytes(bytes) => Some(bytes),
            PacketData::Txn(txn) => Some(txn.bytes()),
        }
    }
}

impl PartialEq for PacketData {
    fn eq(&self, other: &PacketData) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for PacketData {}

/// One packet between a leader and a learner. (quorum/QuorumPacket)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumPacket {
    /// What it is.
    pub kind: PacketType,
    /// The transaction, or epoch, it is about.
    pub zxid: Zxid,
    /// Its payload.
    pub data: PacketData,
    /// Who asks, in a [`PacketType::Request`].
    pub identities: Option<Vec<Id>>,
}

impl Encode for QuorumPacket {
    fn encode(&self, out: &mut Vec<u8>) {
        self.kind.number().encode(out);
        self.zxid.encode(out);
        self.data.bytes().encode(out);
        self.identities.encode(out);
    }
}

impl QuorumPacket {
    /// A packet that is a type and a zxid alone.
    pub fn plain(kind: PacketType, zxid: Zxid) -> QuorumPacket {
        QuorumPacket::with(kind, zxid, PacketData::Null)
    }

    fn with(kind: PacketType, zxid: Zxid, data: PacketData) -> QuorumPacket {
        QuorumPacket {
            kind,
            zxid,
            data,
            identities: None,
        }
    }

    /// A learner's first words: the newest epoch it accepted, and who it is. (Learner.registerWithLeader)
    pub fn learner_info(kind: PacketType, accepted: Epoch, sid: Sid, newer_txns: bool) -> QuorumPacket {
        let info = LearnerInfo {
            sid,
            version: PROTOCOL_VERSION,
            newer_txns,
        };
        QuorumPacket::with(kind, Zxid::of(accepted, 0), PacketData::Bytes(info.to_bytes()))
    }

    /// The leader's answer: the epoch to accept. That this leader knows newer transactions stands behind what
    /// servers of 3.4 read.
    pub fn leader_info(epoch: Epoch) -> QuorumPacket {
        let mut info = PROTOCOL_VERSION.to_bytes();
        info.extend_from_slice(NEWER_TXNS);
        QuorumPacket::with(
            PacketType::LeaderInfo,
            Zxid::of(epoch, 0),
            PacketData::Bytes(info),
        )
    }

    /// Whether the leader that says this knows what to do with requests for newer transactions. One of 3.4 would
    /// not even refuse them.
    pub fn leader_knows_newer_txns(&self) -> bool {
        let payload = self.data.bytes().unwrap_or_default();
        self.kind == PacketType::LeaderInfo && payload.get(4..) == Some(NEWER_TXNS)
    }

    /// A learner's promise. `current` is the epoch it was in, or `None` if the promise was given before and
    /// does not count again.
    pub fn ack_epoch(current: Option<Epoch>, last: Zxid) -> QuorumPacket {
        // Epochs have 31 usable bits: they are the upper half of a signed zxid.
        let current = current.map_or(-1, |epoch| epoch.0 as i32);
        QuorumPacket::with(PacketType::AckEpoch, last, PacketData::Bytes(current.to_bytes()))
    }

    /// A proposal.
    pub fn proposal(txn: Arc<LoggedTxn>) -> QuorumPacket {
        QuorumPacket::with(PacketType::Proposal, txn.zxid(), PacketData::Txn(txn))
    }

    /// A decided transaction for an observer.
    pub fn inform(txn: Arc<LoggedTxn>) -> QuorumPacket {
        QuorumPacket::with(PacketType::Inform, txn.zxid(), PacketData::Txn(txn))
    }

    /// A client's request, forwarded. (Learner.request)
    pub fn request(session: SessionId, xid: Xid, op: i32, body: &[u8], identities: Vec<Id>) -> QuorumPacket {
        let mut bytes = Vec::with_capacity(REQUEST_HEAD_BYTES + body.len());
        session.encode(&mut bytes);
        xid.encode(&mut bytes);
        op.encode(&mut bytes);
        bytes.extend_from_slice(body);
        let mut packet = QuorumPacket::with(PacketType::Request, NO_ZXID, PacketData::Bytes(bytes));
        packet.identities = Some(identities);
        packet
    }

    /// A learner asks whether a session is alive, and takes it over. (Learner.validateSession)
    pub fn revalidate(session: SessionId, timeout_ms: i32) -> QuorumPacket {
        let mut bytes = session.to_bytes();
        timeout_ms.encode(&mut bytes);
        QuorumPacket::with(PacketType::Revalidate, NO_ZXID, PacketData::Bytes(bytes))
    }

    /// The leader's verdict on a session.
    pub fn revalidated(session: SessionId, valid: bool) -> QuorumPacket {
        let mut bytes = session.to_bytes();
        valid.encode(&mut bytes);
        QuorumPacket::with(PacketType::Revalidate, NO_ZXID, PacketData::Bytes(bytes))
    }

    /// A learner's answer to a ping: the sessions it has heard since the last. (Learner.ping)
    pub fn pong(zxid: Zxid, touched: &[(SessionId, i32)]) -> QuorumPacket {
        let mut bytes = Vec::with_capacity(touched.len() * TOUCH_BYTES);
        for (session, timeout_ms) in touched {
            session.encode(&mut bytes);
            timeout_ms.encode(&mut bytes);
        }
        QuorumPacket::with(PacketType::Ping, zxid, PacketData::Bytes(bytes))
    }

    /// The payload; a null one is an error. Where 3.4.14 would fail with a null pointer, the link is closed.
    ///
    /// # Errors
    /// [`Malformed::Null`].
    pub fn payload(&self) -> Result<&[u8], Malformed> {
        self.data.bytes().ok_or(Malformed::Null {
            offset: PAYLOAD_OFFSET,
        })
    }

    /// The transaction that a proposal or an inform carries.
    ///
    /// # Errors
    /// [`Malformed`] if the payload is none, or its zxid is not the packet's.
    pub fn txn(&self) -> Result<Arc<LoggedTxn>, Malformed> {
        let txn = match &self.data {
            PacketData::Txn(txn) => Arc::clone(txn),
            _ => Arc::new(LoggedTxn::from_bytes(self.payload()?.to_vec())?),
        };
        if txn.zxid() == self.zxid {
            return Ok(txn);
        }
        Err(Malformed::Unknown {
            what: "the zxid in a proposal that is not its packet's:",
            value: txn.zxid().0,
            offset: PAYLOAD_OFFSET,
        })
    }
}

/// Who a learner is. (quorum/LearnerInfo)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnerInfo {
    /// Its number.
    pub sid: Sid,
    /// The protocol it speaks: [`PROTOCOL_VERSION`], or less before 3.4.
    pub version: i32,
    /// Whether it takes transactions that 3.4 cannot read.
    pub newer_txns: bool,
}

impl LearnerInfo {
    /// Reads the payload of a learner's first packet: 8 bytes from servers before 3.4, 12 from 3.4, and 20
    /// from 3.5, whose last 8 (the version of its configuration) mean nothing here. Behind them stands what
    /// servers of this kind say of themselves.
    ///
    /// # Errors
    /// [`Malformed::Short`].
    pub fn decode(payload: &[u8]) -> Result<LearnerInfo, Malformed> {
        let mut reader = Reader::new(payload);
        let sid = Sid::decode(&mut reader)?;
        let version = if payload.len() == 8 {
            OLD_VERSION
        } else {
            i32::decode(&mut reader)?
        };
        let newer_txns = payload.get(20..) == Some(NEWER_TXNS);
        Ok(LearnerInfo {
            sid,
            version,
            newer_txns,
        })
    }
}

impl Encode for LearnerInfo {
    fn encode(&self, out: &mut Vec<u8>) {
        self.sid.encode(out);
        self.version.encode(out);
        if self.newer_txns {
            NO_CONFIG.encode(out);
            out.extend_from_slice(NEWER_TXNS);
        }
    }
}

/// A client's request as a learner forwarded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedRequest {
    /// The client's session.
    pub session: SessionId,
    /// The request's number.
    pub xid: Xid,
    /// The operation, as a number: the peer may know more of them.
    pub op: i32,
    /// The request's record.
    pub body: Vec<u8>,
    /// Who asks. The leader takes the learner's word.
    pub identities: Vec<Id>,
}

impl ForwardedRequest {
    /// Reads a [`PacketType::Request`].
    ///
    /// # Errors
    /// [`Malformed`] if the payload is too short for its head.
    pub fn of(packet: QuorumPacket) -> Result<ForwardedRequest, Malformed> {
        let mut reader = Reader::new(packet.payload()?);
        Ok(ForwardedRequest {
            session: SessionId::decode(&mut reader)?,
            xid: Xid::decode(&mut reader)?,
            op: i32::decode(&mut reader)?,
            body: reader.rest().to_vec(),
            identities: packet.identities.unwrap_or_default(),
        })
    }
}

/// The sessions in a learner's answer to a ping, with their timeouts in milliseconds.
///
/// # Errors
/// [`Malformed`] if the payload is null or ends within an entry.
pub fn decode_touched(packet: &QuorumPacket) -> Result<Vec<(SessionId, i32)>, Malformed> {
    let payload = packet.payload()?;
    let mut reader = Reader::new(payload);
    let mut touched = Vec::with_capacity(payload.len() / TOUCH_BYTES);
    while reader.remaining() > 0 {
        touched.push((SessionId::decode(&mut reader)?, i32::decode(&mut reader)?));
    }
    Ok(touched)
}

/// The longest fields that are taken from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketLimits {
    /// Bytes of a payload.
    pub data_bytes: usize,
    /// Bytes of all identities together.
    pub identities_bytes: usize,
}

impl Default for PacketLimits {
    /// Far above what 3.4.14 sends (a payload of `jute.maxbuffer` + 1 KiB): bounds for the memory, not a rule.
    fn default() -> PacketLimits {
        PacketLimits {
            data_bytes: 64 << 20,
            identities_bytes: 1 << 20,
        }
    }
}

/// Why the next packet cannot be had. The link is of no more use.
#[derive(Debug, Error)]
pub enum PacketError {
    /// The connection ended, timed out or failed; [`io::ErrorKind::UnexpectedEof`] is its end.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A length that no peer of ours sends.
    #[error("unreasonable length = {length} of {what} in a packet of type {kind}")]
    Length {
        /// The field.
        what: &'static str,
        /// The length as read.
        length: i32,
        /// The packet's type.
        kind: PacketType,
    },
}

impl QuorumPacket {
    /// Reads the next packet, and not a byte more: a snapshot may stand behind it.
    ///
    /// Memory is taken as bytes arrive, never for a length that is only claimed.
    ///
    /// # Errors
    /// [`PacketError`].
    pub fn read_from(input: &mut impl Read, limits: &PacketLimits) -> Result<QuorumPacket, PacketError> {
        let kind = PacketType::of(read_i32(input)?);
        let mut zxid = [0; 8];
        input.read_exact(&mut zxid)?;
        let data = read_buffer(input, "the payload", limits.data_bytes, kind)?;
        let identities = read_identities(input, limits.identities_bytes, kind)?;
        Ok(QuorumPacket {
            kind,
            zxid: Zxid(i64::from_be_bytes(zxid)),
            data: data.map_or(PacketData::Null, PacketData::Bytes),
            identities,
        })
    }
}

fn read_i32(input: &mut impl Read) -> io::Result<i32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(i32::from_be_bytes(bytes))
}

fn read_buffer(
    input: &mut impl Read,
    what: &'static str,
    most: usize,
    kind: PacketType,
) -> Result<Option<Vec<u8>>, PacketError> {
    let length = read_i32(input)?;
    if length == -1 {
        return Ok(None);
    }
    let wanted = usize::try_from(length).ok().filter(|&wanted| wanted <= most);
    let wanted = wanted.ok_or(PacketError::Length { what, length, kind })?;
    let mut bytes = Vec::with_capacity(wanted.min(FIRST_ALLOCATION_BYTES));
    input.take(wanted as u64).read_to_end(&mut bytes)?;
    if bytes.len() < wanted {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    Ok(Some(bytes))
}

fn read_identities(
    input: &mut impl Read,
    most: usize,
    kind: PacketType,
) -> Result<Option<Vec<Id>>, PacketError> {
    let what = "the identities";
    let count = read_i32(input)?;
    if count == -1 {
        return Ok(None);
    }
    // Every identity takes the lengths of two strings at least.
    let too_many = PacketError::Length {
        what,
        length: count,
        kind,
    };
    if usize::try_from(count).unwrap_or(0) > most / 8 {
        return Err(too_many);
    }
    let mut left = most;
    let mut identities = Vec::new();
    for _ in 0..count {
        let mut text = || -> Result<String, PacketError> {
            let bytes = read_buffer(input, what, left, kind)?.unwrap_or_default();
            left -= bytes.len();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        identities.push(Id {
            scheme: text()?,
            id: text()?,
        });
    }
    Ok(Some(identities))
}

/// What 3.4 speaks: epochs are agreed on before histories. (LearnerHandler)
pub const PROTOCOL_VERSION: i32 = 0x10000;
/// Behind what Java reads: this server knows transactions that 3.4 does not, those of containers and of nodes
/// with a time to live.
const NEWER_TXNS: &[u8] = b"newer txns";
/// Where 3.5 has the version of its configuration: none.
const NO_CONFIG: i64 = 0;
/// What a learner speaks that does not say.
const OLD_VERSION: i32 = 1;
/// The zxid of packets that are about none.
const NO_ZXID: Zxid = Zxid(-1);
/// Session 8, cxid 4, operation 4.
const REQUEST_HEAD_BYTES: usize = 16;
/// Session 8, timeout 4.
const TOUCH_BYTES: usize = 12;
/// Type 4, zxid 8, length 4.
const PAYLOAD_OFFSET: usize = 16;
/// Most packets are shorter.
const FIRST_ALLOCATION_BYTES: usize = 16 << 10;

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
