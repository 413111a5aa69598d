//! A client's connection without its socket: handshake, frames, answers, four-letter words.
//!
//! ```text
//! bytes ──> Cnxn::on_bytes ──┬─> Wishes::chain    requests that walk through the processors
//!                            ├─> Wishes::asks     what the loop answers by itself: reads, pings, refusals
//!                            ├─> Wishes::words    four-letter words
//!                            └─> Wishes::taken    sessions that this connection has taken over
//! letters ─> Cnxn::on_reply ───> Outbox ──> bytes
//! ```
//!
//! A [`Cnxn`] is a plain value: bytes in, wishes and bytes out. It knows no socket, no clock and no thread;
//! the loop that drives it (`net/client_port.rs`) hands in the time and what serves as a [`Round`].
//!
//! Invariants:
//! - Answers leave in the order of their requests. A read is answered by the loop only while its connection
//!   has nothing inside the chain; else it goes the same way as what is before it.
//! - No bytes of a client make this room panic, or allocate more than they are.
//! - What a connection holds is bounded: input by one frame and one read, output by [`MOST_UNSENT_BYTES`].

use std::sync::Arc;

use crate::auth::Auth;
use crate::proto::{ConnId, SessionId, Zxid};
use crate::request::{Request, Sessions};
use crate::runtime::Now;
use crate::sasl::{Nonces, Users};

pub mod address;
pub mod ask;
pub mod cnxn;
mod cnxn_stats;
mod credentials;
pub mod environment;
mod figures;
pub mod four_letter_words;
mod handshake;
pub mod hangup;
pub mod outbox;
pub mod quiet;
pub mod token_bucket;
pub mod word_answers;

pub use ask::{Ask, Asked};
pub use cnxn::{Cnxn, Fate, MOST_UNSENT_BYTES, Pause};
pub use four_letter_words::{WhiteList, Word, WordCall};
pub use hangup::Hangup;
pub use quiet::{Line, Quiet};
pub use token_bucket::{TokenBucket, TokenRules};

/// What the operator has set for connections.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The longest frame that is taken, bytes. (`jute.maxbuffer`)
    pub max_frame_bytes: usize,
    /// The shortest session timeout that is granted, milliseconds.
    pub min_timeout_ms: i32,
    /// The longest session timeout that is granted, milliseconds.
    pub max_timeout_ms: i32,
    /// Which four-letter words are answered.
    pub words: WhiteList,
    /// Who may say who they are.
    pub auth: Arc<Auth>,
    /// How clients authenticate with SASL, if they can.
    pub sasl: Option<Arc<SaslRules>>,
    /// A connection needs an identity of one of these schemes before its first request; any if there is none.
    pub required_schemes: Vec<String>,
}

/// How clients authenticate with SASL.
#[derive(Debug)]
pub struct SaslRules {
    /// Who has a password.
    pub users: Users,
    /// Whether a client that fails keeps its connection. (`zookeeper.allowSaslFailedClients`)
    pub keeps_failed: bool,
    /// The nonces, one for each connection.
    pub nonces: Nonces,
}

/// What serves, as a connection needs to know it.
#[derive(Debug, Clone, Copy)]
pub struct Hosting<'a> {
    /// Who lives.
    pub sessions: &'a Sessions,
    /// The newest change that this server has applied.
    pub applied: Zxid,
    /// Whether this server is cut off and serves reads only.
    pub read_only: bool,
}

/// One round of the loop, as a connection sees it.
#[derive(Debug)]
pub struct Round<'a> {
    /// The time.
    pub now: Now,
    /// The same time as elapsed microseconds, for measurements.
    pub now_us: i64,
    /// What the operator has set.
    pub rules: &'a Rules,
    /// What serves, if anything does.
    pub hosting: Option<Hosting<'a>>,
    /// How many more requests may go inside; below zero, connections that wait for answers read no more.
    pub room: i64,
    /// What connections wish for in this round.
    pub wishes: &'a mut Wishes,
    /// How many lines the log may still take.
    pub quiet: &'a mut Quiet,
    /// How many sessions may still be asked for.
    pub tokens: &'a mut TokenBucket,
}

/// What the connections of one round wish for, in order.
#[derive(Debug, Default)]
pub struct Wishes {
    /// Requests for the first processor.
    pub chain: Vec<Request>,
    /// What the loop answers by itself.
    pub asks: Vec<Ask>,
    /// The records of those, still encoded.
    pub ask_bytes: Vec<u8>,
    /// Four-letter words.
    pub words: Vec<WordCall>,
    /// Sessions that a connection has taken: any other connection of theirs is to be closed.
    pub taken: Vec<(SessionId, ConnId)>,
    /// How many frames and words have come whole.
    pub received: u64,
}
