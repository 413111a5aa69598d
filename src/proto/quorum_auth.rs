//! How servers authenticate to each other, before anything else is said on a connection. (QuorumAuth)
//!
//! ```text
//! magic:8  status:4  token: length:4, bytes
//! ```

use super::jute::{Decode, Encode, Malformed, Reader};

/// What one side tells the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumAuthPacket {
    /// How far it is.
    pub status: AuthStatus,
    /// What SASL has to say; null is possible.
    pub token: Option<Vec<u8>>,
}

/// How far two servers are. (QuorumAuth.Status)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthStatus {
    /// Something is still to be said.
    InProgress = 0,
    /// The caller has proved who it is.
    Success = 1,
    /// It has not.
    Error = -1,
}

impl QuorumAuthPacket {
    /// By its first bytes such a packet is told from everything else that a server may begin with.
    pub const MAGIC: [u8; 8] = (-0xa0db_cafe_cafe_1234_i128 as i64).to_be_bytes();
    /// What stands before the token, the magic number and the token's length included.
    pub const HEAD_BYTES: usize = 16;

    /// The token's length by the bytes before it.
    ///
    /// # Errors
    /// [`Malformed`] for other bytes, and for a token that is longer than any.
    pub fn token_bytes(head: &[u8; QuorumAuthPacket::HEAD_BYTES]) -> Result<usize, Malformed> {
        let mut reader = Reader::new(head);
        magic(&mut reader)?;
        status(&mut reader)?;
        let offset = reader.offset();
        match i32::decode(&mut reader)? {
            -1 => Ok(0),
            length => usize::try_from(length)
                .ok()
                .filter(|&bytes| bytes <= MOST_TOKEN_BYTES)
                .ok_or(Malformed::Length { offset, length }),
        }
    }
}

impl Encode for QuorumAuthPacket {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&QuorumAuthPacket::MAGIC);
        (self.status as i32).encode(out);
        self.token.as_deref().encode(out);
    }
}

impl<'a> Decode<'a> for QuorumAuthPacket {
    fn decode(reader: &mut Reader<'a>) -> Result<QuorumAuthPacket, Malformed> {
        magic(reader)?;
        let status = status(reader)?;
        let token = Option::<&[u8]>::decode(reader)?.map(<[u8]>::to_vec);
        Ok(QuorumAuthPacket { status, token })
    }
}

fn magic(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let offset = reader.offset();
    let value = i64::decode(reader)?;
    if value.to_be_bytes() == QuorumAuthPacket::MAGIC {
        return Ok(());
    }
    let what = "the magic number of quorum authentication";
    Err(Malformed::Unknown { what, value, offset })
}

fn status(reader: &mut Reader<'_>) -> Result<AuthStatus, Malformed> {
    let offset = reader.offset();
    match i32::decode(reader)? {
        0 => Ok(AuthStatus::InProgress),
        1 => Ok(AuthStatus::Success),
        -1 => Ok(AuthStatus::Error),
        value => Err(Malformed::Unknown {
            what: "authentication status",
            value: value.into(),
            offset,
        }),
    }
}

/// Tokens are some hundred bytes long.
const MOST_TOKEN_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that a learner of Java 3.4.14 begins with.
    const JAVA_FIRST: [u8; 16] = [
        0x5f, 0x24, 0x35, 0x01, 0x35, 0x01, 0xed, 0xcc, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn a_packet_is_what_java_sends() {
        let first = QuorumAuthPacket {
            status: AuthStatus::InProgress,
            token: Some(Vec::new()),
        };
        assert_eq!(first.to_bytes(), JAVA_FIRST);
        for status in [AuthStatus::InProgress, AuthStatus::Success, AuthStatus::Error] {
            for token in [None, Some(b"token".to_vec())] {
                let packet = QuorumAuthPacket { status, token };
                assert_eq!(QuorumAuthPacket::from_bytes(&packet.to_bytes()), Ok(packet));
            }
        }
    }

    #[test]
    fn other_bytes_and_long_tokens_are_refused_by_the_head() {
        assert_eq!(QuorumAuthPacket::token_bytes(&JAVA_FIRST), Ok(0));
        for (at, byte) in [(0, 0), (11, 2), (12, 0x80), (13, 1)] {
            let mut head = JAVA_FIRST;
            head[at] = byte;
            assert!(QuorumAuthPacket::token_bytes(&head).is_err(), "{at}");
        }
    }
}
