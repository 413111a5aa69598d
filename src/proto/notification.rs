//! The election wire (port 3888): who calls, and what he votes.
//!
//! ```text
//! the caller's first bytes   sid:8                                          3.4
//!                            version:8 (negative) sid:8 length:4 bytes      3.5 and later
//! then, both ways            length:4 state:4 leader:8 zxid:8 round:8       28 bytes, before 3.4.0
//!                                     peerEpoch:8                           36, before 3.4.6
//!                                     version:4                             40, 3.4.6 and later
//!                                     more                                  3.5 and later
//! ```
//! (QuorumCnxManager, FastLeaderElection)

use std::fmt;

use thiserror::Error;

use super::ids::{Epoch, Round, Sid, Zxid};
use super::jute::{Decode, Encode, Malformed, Reader};

/// What a server is doing. (QuorumPeer.ServerState)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerState {
    /// It takes part in an election.
    Looking = 0,
    /// It follows a leader, and votes.
    Following = 1,
    /// It leads, or tries to.
    Leading = 2,
    /// It follows a leader, and does not vote.
    Observing = 3,
}

/// What a server tells the others in an election: whom it votes for, and what it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notification {
    /// The form of the message: [`Notification::VERSION`], or 0 from servers before 3.4.6.
    pub version: i32,
    /// What the sender is doing.
    pub state: ServerState,
    /// For whom it votes.
    pub leader: Sid,
    /// The last transaction of that server.
    pub zxid: Zxid,
    /// The election in which it votes so.
    pub round: Round,
    /// The last reign that server has seen established.
    pub peer_epoch: Epoch,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    /// The caller's number.
    pub sid: Sid,
}

/// How far the first bytes of a caller go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    /// Read on until there are this many bytes in all.
    Needs(usize),
    /// The caller has said who it is.
    Complete(Hello),
}

/// A greeting that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "server {sid} announces {length} bytes about itself; at most {} are taken",
    Hello::MAX_EXTRA_BYTES
)]
pub struct BadGreeting {
    /// Who the caller says it is.
    pub sid: Sid,
    /// The length it announces, bytes.
    pub length: i32,
}

impl Notification {
    /// The form that 3.4.6 to 3.4.14 send.
    pub const VERSION: i32 = 1;
    /// How many bytes of a message are looked at; servers from 3.5 on send more.
    pub const BYTES: usize = 40;
    /// The longest message that is taken, bytes. (QuorumCnxManager.PACKETMAXSIZE)
    pub const MAX_BYTES: usize = 512 * 1024;

    /// Reads a message, without its length before it.
    ///
    /// # Errors
    /// [`Malformed`] if it is too short, or the sender's state is none.
    pub fn from_message(message: &[u8]) -> Result<Notification, Malformed> {
        let reader = &mut Reader::new(message);
        let state = ServerState::decode(reader)?;
        let leader = Sid::decode(reader)?;
        let zxid = Zxid::decode(reader)?;
        let round = Round::decode(reader)?;
        let peer_epoch = match reader.remaining() {
            0 => zxid.epoch(),
            _ => Epoch::decode(reader)?,
        };
        let version = match reader.remaining() {
            0..4 => 0,
            _ => i32::decode(reader)?,
        };
        Ok(Notification {
            version,
            state,
            leader,
            zxid,
            round,
            peer_epoch,
        })
    }

    /// The message, without its length before it.
    pub fn to_message(&self) -> Vec<u8> {
        let mut message = Vec::with_capacity(Notification::BYTES);
        (self.state as i32).encode(&mut message);
        self.leader.encode(&mut message);
        self.zxid.encode(&mut message);
        self.round.encode(&mut message);
        self.peer_epoch.encode(&mut message);
        self.version.encode(&mut message);
        message
    }

    /// The message as operators know it from the log. (FastLeaderElection.Notification.toString)
    pub fn describe(&self, from: Sid) -> String {
        format!(
            "{:x} (message format version), {} (n.leader), {} (n.zxid), {} (n.round), {} (n.state), {from} (n.sid), {} (n.peerEpoch)",
            i64::from(self.version),
            self.leader,
            self.zxid,
            self.round,
            self.state,
            self.peer_epoch,
        )
    }
}

impl Hello {
    /// How many bytes a caller may say about itself besides its number. (QuorumCnxManager.maxBuffer)
    pub const MAX_EXTRA_BYTES: i32 = 2048;

    /// Looks at what a caller has sent so far. What it says besides its number is skipped.
    ///
    /// # Errors
    /// [`BadGreeting`] if it announces more about itself than any server would.
    pub fn read(bytes: &[u8]) -> Result<Greeting, BadGreeting> {
        let reader = &mut Reader::new(bytes);
        match Sid::decode(reader) {
            Err(_) => return Ok(Greeting::Needs(8)),
            Ok(sid) if sid.0 >= 0 => return Ok(Greeting::Complete(Hello { sid })),
            Ok(_version) => {}
        }
        let (Ok(sid), Ok(length)) = (Sid::decode(reader), i32::decode(reader)) else {
            return Ok(Greeting::Needs(20));
        };
        let extra = usize::try_from(length).ok();
        match extra.filter(|_| length <= Hello::MAX_EXTRA_BYTES) {
            None => Err(BadGreeting { sid, length }),
            Some(extra) if reader.remaining() < extra => Ok(Greeting::Needs(20 + extra)),
            Some(_) => Ok(Greeting::Complete(Hello { sid })),
        }
    }

    /// The first bytes of a call, in the form of 3.4, which later servers know as well.
    pub fn to_message(&self) -> Vec<u8> {
        self.sid.to_bytes()
    }
}

impl Decode<'_> for ServerState {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let offset = reader.offset();
        match i32::decode(reader)? {
            0 => Ok(ServerState::Looking),
            1 => Ok(ServerState::Following),
            2 => Ok(ServerState::Leading),
            3 => Ok(ServerState::Observing),
            value => Err(Malformed::Unknown {
                what: "server state",
                value: i64::from(value),
                offset,
            }),
        }
    }
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ServerState::Looking => "LOOKING",
            ServerState::Following => "FOLLOWING",
            ServerState::Leading => "LEADING",
            ServerState::Observing => "OBSERVING",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Notification {
        Notification {
            version: 1,
            state: ServerState::Leading,
            leader: Sid(3),
            zxid: Zxid(0x5_0000_0007),
            round: Round(9),
            peer_epoch: Epoch(6),
        }
    }

    #[test]
    fn the_message_has_the_bytes_of_java() {
        let bytes = sample().to_message();
        let expected = "0000000200000000000000030000000500000007000000000000000900000000000000060000\
                        0001";
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
        assert_eq!(bytes.len(), Notification::BYTES);
    }

    #[test]
    fn all_forms_are_read() {
        let mut bytes = sample().to_message();
        assert_eq!(Notification::from_message(&bytes), Ok(sample()));
        let of_version_0 = Notification {
            version: 0,
            ..sample()
        };
        assert_eq!(Notification::from_message(&bytes[..36]), Ok(of_version_0));
        let without_epoch = Notification {
            peer_epoch: Epoch(5),
            ..of_version_0
        };
        assert_eq!(Notification::from_message(&bytes[..28]), Ok(without_epoch));
        bytes.extend_from_slice(b"version=100000000\nserver.1=...");
        assert_eq!(Notification::from_message(&bytes), Ok(sample()));
    }

    #[test]
    fn short_messages_and_unknown_states_are_errors() {
        let mut bytes = sample().to_message();
        for length in (0..28).chain(29..36) {
            let result = Notification::from_message(&bytes[..length]);
            assert!(
                matches!(result, Err(Malformed::Short { .. })),
                "{length}: {result:?}"
            );
        }
        bytes[3] = 4;
        let unknown = Malformed::Unknown {
            what: "server state",
            value: 4,
            offset: 0,
        };
        assert_eq!(Notification::from_message(&bytes), Err(unknown));
    }

    #[test]
    fn the_log_line_is_that_of_java() {
        assert_eq!(
            sample().describe(Sid(2)),
            "1 (message format version), 3 (n.leader), 0x500000007 (n.zxid), 0x9 (n.round), \
             LEADING (n.state), 2 (n.sid), 0x6 (n.peerEpoch)"
        );
        let observer = Notification {
            leader: Sid(i64::MIN),
            zxid: Zxid(i64::MIN),
            ..sample()
        };
        assert!(
            observer
                .describe(Sid(4))
                .contains("-9223372036854775808 (n.leader), 0x8000000000000000 (n.zxid)")
        );
    }

    fn new_hello(extra: i32) -> Vec<u8> {
        let mut bytes = (-65_536i64).to_bytes();
        Sid(7).encode(&mut bytes);
        extra.encode(&mut bytes);
        bytes
    }

    #[test]
    fn both_greetings_are_understood_as_they_arrive() {
        let complete = Ok(Greeting::Complete(Hello { sid: Sid(7) }));
        let old = Hello { sid: Sid(7) }.to_message();
        assert_eq!((old.len(), Hello::read(&old)), (8, complete));
        let mut new = new_hello(14);
        new.extend_from_slice(b"10.0.0.1:3888\n");
        for length in 0..new.len() {
            let needed = match length {
                0..8 => 8,
                8..20 => 20,
                _ => 34,
            };
            assert_eq!(Hello::read(&new[..length]), Ok(Greeting::Needs(needed)));
        }
        assert_eq!(Hello::read(&new), complete);
        assert_eq!(Hello::read(&new_hello(0)), complete);
    }

    #[test]
    fn an_endless_greeting_is_refused() {
        assert_eq!(Hello::read(&new_hello(2048)), Ok(Greeting::Needs(2068)));
        for length in [2049, i32::MAX, -1, i32::MIN] {
            let bad = BadGreeting { sid: Sid(7), length };
            assert_eq!(Hello::read(&new_hello(length)), Err(bad));
        }
    }
}
