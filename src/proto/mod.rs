//! The words: the records of the client wire, the quorum wire and the disk, and how they are spelt (jute).
//!
//! This room imports nothing and decides nothing. Every record is declared once, with [`record!`], in the
//! order in which `zookeeper.jute` of 3.4.14 lists its fields; both directions follow from that one list.
//!
//! Invariant: decoding never panics and never allocates more than the bytes at hand justify, whatever they are.

#[macro_use]
pub mod jute;

pub mod codes;
pub mod data;
pub mod ids;
pub mod lifetime;
pub mod multi;
pub mod notification;
pub mod packet;
pub mod quorum_auth;
pub mod requests;
pub mod responses;
pub mod txn;

pub use codes::{ErrorCode, EventType, KeeperState, OpCode};
pub use data::{Acl, Id, Perms, Stat, StatPersisted};
pub use ids::{ConnId, Epoch, LinkId, Round, SessionId, Sid, Xid, Zxid};
pub use jute::{Decode, Encode, Malformed, Reader};
pub use lifetime::Lifetime;
pub use notification::{Hello, Notification, ServerState};
pub use quorum_auth::{AuthStatus, QuorumAuthPacket};
