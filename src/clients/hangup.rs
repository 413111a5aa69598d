//! Why a connection is closed by this server, or found closed. Its fate is always the same: this connection
//! ends, the server goes on.

use std::io;

use thiserror::Error;

use crate::proto::{Malformed, SessionId};

/// The end of one connection.
#[derive(Debug, Error)]
pub enum Hangup {
    /// A frame's length is negative, or above `jute.maxbuffer`.
    #[error("Len error {0}")]
    Length(i32),
    /// This server has no role at present.
    #[error("ZooKeeperServer not running")]
    NotServing,
    /// What should be a handshake, a request's header or an auth packet is none.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The socket failed.
    #[error("{0}")]
    Io(io::Error),
    /// The client is gone.
    #[error("likely client has closed socket")]
    EndOfStream,
    /// The client does not read what it is sent.
    #[error("the client does not read: {0} bytes of answers and events wait to be sent")]
    Unread(usize),
    /// The client has asked for no session.
    #[error("no session was asked for within {0} ms")]
    Silent(i64),
    /// Sessions are asked for faster than the operator allows.
    #[error("more sessions are asked for than connection_throttle_tokens allows")]
    Throttled,
    /// The client speaks TLS where nobody understands it.
    #[error("the client speaks TLS, and this port does not: see secureClientPort and client.portUnification")]
    UnexpectedTls,
    /// The client has not shaken hands in time, or was the slowest of too many.
    #[error("no TLS handshake within {0} ms")]
    NoGreeting(i64),
    /// The client's certificate is not to be believed.
    #[error("{0}")]
    Certificate(&'static str),
    /// The server refuses the session and has said so already.
    #[error("refused")]
    Refused,
}

impl Hangup {
    /// The line for the log, if there is one to write. (NIOServerCnxn.doIO)
    pub fn line(&self, session: SessionId) -> Option<String> {
        match self {
            Hangup::Refused => None,
            Hangup::EndOfStream => Some(format!(
                "Unable to read additional data from client sessionid {session}, {self}"
            )),
            _ => Some(format!("Exception causing close of session {session}: {self}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_that_operators_grep() {
        let session = SessionId(0x1a);
        assert_eq!(
            Hangup::Length(-5).line(session).as_deref(),
            Some("Exception causing close of session 0x1a: Len error -5")
        );
        assert_eq!(
            Hangup::EndOfStream.line(SessionId(0)).as_deref(),
            Some("Unable to read additional data from client sessionid 0x0, likely client has closed socket")
        );
        assert_eq!(Hangup::Refused.line(session), None);
    }
}
