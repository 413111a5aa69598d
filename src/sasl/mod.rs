//! SASL with DIGEST-MD5 (RFC 2831), as Java's `javax.security.sasl` speaks it: how a client proves to a server, and
//! one server to another, that it knows a password, without sending it. (package server.auth, quorum.auth)
//!
//! ```text
//! client                                    server
//!   (nothing)                           ─>  ServerExchange::step  ─> a challenge with a fresh nonce
//!   ClientExchange::step  <─ challenge
//!   a response that only the password gives ─> checked against Users ─> Proven, with the server's own proof
//!   ClientExchange::step  <─ the proof: the server knows the password, too
//! ```
//!
//! All of it is plain values: tokens and nonces in, tokens out. [`jaas`] reads the file with the passwords; whoever
//! calls it opens the file.
//!
//! Invariants:
//! - No token makes this room panic, or allocate more than it is. Tokens are bounded by [`MOST_TOKEN_BYTES`].
//! - An exchange is good for one attempt: what fails once, or has succeeded, answers nothing any more.
//! - Proofs are compared in a time that does not depend on them. Unknown users take as long as wrong passwords.
//! - No password can be printed: [`Secret`] hides it.

mod client;
mod digest_md5;
mod directives;
pub mod jaas;
mod nonces;
mod server;
mod users;

pub use client::ClientExchange;
pub use digest_md5::Service;
pub use directives::BadDirectives;
pub use nonces::{Nonces, SECRET_BYTES};
pub use server::{Answer, ServerExchange};
pub use users::{Credentials, Secret, Users};

/// Why an exchange has failed. The text is for this side's log: the other side is told no reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The exchange is over, well or badly.
    #[error("DIGEST-MD5: Server at illegal state")]
    Over,
    /// A token is longer than any that is one.
    #[error("DIGEST-MD5: a token of {0} bytes is too long")]
    Length(usize),
    /// A token is no list of directives.
    #[error("DIGEST-MD5: {0}")]
    Syntax(#[from] BadDirectives),
    /// A directive is missing, or says what it must not say.
    #[error("DIGEST-MD5: digest response format violation. {0}")]
    Violation(&'static str),
    /// Nobody of that name has a password here.
    #[error("DIGEST-MD5: User '{0}' not found in list of DIGEST-MD5 authenticateable users.")]
    UnknownUser(String),
    /// The other side does not know the password.
    #[error("DIGEST-MD5: digest response format violation. Mismatched response.")]
    Mismatch,
}

/// A name that somebody else has chosen, as the log may have it: on one line, and not too long.
fn printable(name: &str) -> String {
    name.chars()
        .take(MOST_NAME_CHARS)
        .flat_map(char::escape_default)
        .collect()
}

/// What RFC 2831 allows a response; a challenge may have half of it.
pub const MOST_TOKEN_BYTES: usize = 4_096;
const MOST_NAME_CHARS: usize = 64;

#[cfg(test)]
mod tests;
