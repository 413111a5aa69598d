//! How servers authenticate to each other, on a connection that was just made. (SaslQuorumAuthServer,
//! SaslQuorumAuthLearner)
//!
//! ```text
//! who has called       IN_PROGRESS, nothing      IN_PROGRESS, its proof
//! who was called                  IN_PROGRESS, a challenge       SUCCESS, its own proof
//! ```
//!
//! Both ends block, until a deadline at most. What the proofs are is decided in `sasl/`.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clients::address::JavaAddress;
use crate::proto::{AuthStatus, Decode, Encode, QuorumAuthPacket};
use crate::sasl::{Answer, ClientExchange, Credentials, Nonces, ServerExchange, Service, Users};

use super::peer_channel::PeerChannel;

/// How this server authenticates others, and itself to them.
#[derive(Debug)]
pub struct QuorumAuth {
    /// Who has a password.
    users: Users,
    /// Whether callers that do not prove anything are sent away. (`quorum.auth.serverRequireSasl`)
    requires: bool,
    /// What this server proves itself with when it calls, if it does. (`quorum.auth.learnerRequireSasl`)
    credentials: Option<Credentials>,
    nonces: Nonces,
    exchanges: AtomicU64,
    complaints: AtomicU64,
}

impl QuorumAuth {
    /// The rules of one server. Without `credentials` it calls others without proving who it is.
    pub fn new(users: Users, requires: bool, credentials: Option<Credentials>, nonces: Nonces) -> QuorumAuth {
        QuorumAuth {
            users,
            requires,
            credentials,
            nonces,
            exchanges: AtomicU64::new(0),
            complaints: AtomicU64::new(0),
        }
    }

    /// Hears who calls. A caller that does not authenticate begins at once with what comes next, which stays to be
    /// read.
    ///
    /// # Errors
    /// The caller has proved nothing within `limit`, and must.
    pub(super) fn accept(&self, channel: &mut PeerChannel, limit: Duration) -> io::Result<()> {
        channel.within(limit, |channel| self.hear(channel))
    }

    fn hear(&self, channel: &mut PeerChannel) -> io::Result<()> {
        let mut first = Vec::new();
        let outcome = match begins_with_magic(channel, &mut first) {
            Ok(true) => {
                first.clear();
                self.judge(channel)
            }
            Ok(false) if !self.requires => {
                channel.put_back(first);
                return Ok(());
            }
            Ok(false) => Err(refused(
                "not trying to authenticate and authentication is required".to_owned(),
            )),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => {
                let remote = remote(channel);
                log::info!("Successfully completed the authentication using SASL. learner addr: {remote}");
            }
            Err(error) if self.requires => return Err(failed(&error)),
            Err(error) => self.complain(channel, &error),
        }
        channel.put_back(first);
        Ok(())
    }

    /// Proves to the server at the other end who this is, if that is wanted.
    ///
    /// # Errors
    /// The other server does not believe it, or is none, or says nothing for `limit`.
    pub(super) fn introduce(&self, channel: &mut PeerChannel, limit: Duration) -> io::Result<()> {
        let Some(credentials) = &self.credentials else {
            log::debug!("Skipping SASL authentication as quorum.auth.learnerRequireSasl=false");
            return Ok(());
        };
        channel.within(limit, |called| self.prove(called, credentials.clone()))
    }

    fn prove(&self, called: &mut PeerChannel, credentials: Credentials) -> io::Result<()> {
        let mut exchange = ClientExchange::new(Service::QUORUM, credentials, self.fresh_nonce());
        send(called, AuthStatus::InProgress, Some(Vec::new()))?;
        for _ in 0..MOST_ROUNDS {
            let QuorumAuthPacket { status, token } = receive(called)?;
            if status == AuthStatus::Error {
                return Err(refused(
                    "the other server does not take this server's name and password".to_owned(),
                ));
            }
            let said = exchange.step(&token.unwrap_or_default());
            match (status, said.map_err(|refusal| refused(refusal.to_string()))?) {
                (AuthStatus::InProgress, Some(token)) => send(called, AuthStatus::InProgress, Some(token))?,
                (AuthStatus::Success, None) => {
                    let remote = remote(called);
                    log::info!(
                        "Successfully completed the authentication using SASL. server addr: {remote}, status: SUCCESS"
                    );
                    return Ok(());
                }
                _ => break,
            }
        }
        Err(refused(
            "the other server has ended the authentication too early or too late".to_owned(),
        ))
    }

    fn judge(&self, caller: &mut PeerChannel) -> io::Result<()> {
        let mut exchange = ServerExchange::new(Service::QUORUM, self.fresh_nonce());
        let mut packet = receive_rest(caller)?;
        for _ in 0..MOST_ROUNDS {
            match exchange.step(&packet.token.unwrap_or_default(), &self.users) {
                Ok(Answer::Challenge(token)) => send(caller, AuthStatus::InProgress, Some(token))?,
                Ok(Answer::Proven { token, .. }) => return send(caller, AuthStatus::Success, Some(token)),
                Err(refusal) => {
                    // It may have gone already; what counts is told below.
                    drop(send(caller, AuthStatus::Error, Some(Vec::new())));
                    return Err(refused(refusal.to_string()));
                }
            }
            packet = receive(caller)?;
        }
        Err(refused("too many attempts".to_owned()))
    }

    /// Whoever calls often, says so often: only the first ones are news.
    fn complain(&self, channel: &PeerChannel, error: &io::Error) {
        let told = self.complaints.fetch_add(1, Ordering::Relaxed);
        let level = if told < MOST_COMPLAINTS {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        let remote = remote(channel);
        log::log!(
            level,
            "Failed to authenticate using SASL: {error}. Maintaining learner connection despite SASL authentication \
             failure. server addr: {remote}, quorum.auth.serverRequireSasl: false"
        );
    }

    fn fresh_nonce(&self) -> String {
        self.nonces.nonce(self.exchanges.fetch_add(1, Ordering::Relaxed))
    }
}

/// Reads the first bytes into `first`, and says whether they are those of an authentication. A caller that ends
/// before is told by what comes next.
fn begins_with_magic(caller: &mut PeerChannel, first: &mut Vec<u8>) -> io::Result<bool> {
    while first.len() < QuorumAuthPacket::MAGIC.len() {
        if !QuorumAuthPacket::MAGIC.starts_with(first) {
            return Ok(false);
        }
        let mut byte = [0];
        match read(caller, &mut byte) {
            Ok(()) => first.extend_from_slice(&byte),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(*first == QuorumAuthPacket::MAGIC)
}

fn receive(caller: &mut PeerChannel) -> io::Result<QuorumAuthPacket> {
    let mut magic = [0; QuorumAuthPacket::MAGIC.len()];
    read(caller, &mut magic)?;
    if magic != QuorumAuthPacket::MAGIC {
        return Err(refused("the other server does not speak SASL".to_owned()));
    }
    receive_rest(caller)
}

/// Reads a packet whose magic number has been read.
fn receive_rest(caller: &mut PeerChannel) -> io::Result<QuorumAuthPacket> {
    let malformed = |error| io::Error::new(ErrorKind::InvalidData, error);
    let mut head = [0; QuorumAuthPacket::HEAD_BYTES];
    let (magic, rest) = head.split_at_mut(QuorumAuthPacket::MAGIC.len());
    magic.copy_from_slice(&QuorumAuthPacket::MAGIC);
    read(caller, rest)?;
    let mut token = vec![0; QuorumAuthPacket::token_bytes(&head).map_err(malformed)?];
    read(caller, &mut token)?;
    QuorumAuthPacket::from_bytes(&[&head[..], &token].concat()).map_err(malformed)
}

fn send(caller: &mut PeerChannel, status: AuthStatus, token: Option<Vec<u8>>) -> io::Result<()> {
    caller.write_all(&QuorumAuthPacket { status, token }.to_bytes())
}

/// Fills `buffer`.
fn read(caller: &mut PeerChannel, buffer: &mut [u8]) -> io::Result<()> {
    caller.read_exact(buffer).map_err(|error| match error.kind() {
        ErrorKind::TimedOut => io::Error::new(error.kind(), "the authentication did not end in time"),
        _ => error,
    })
}

fn refused(reason: String) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, reason)
}

fn failed(error: &io::Error) -> io::Error {
    io::Error::new(
        error.kind(),
        format!("Failed to authenticate using SASL: {error}"),
    )
}

fn remote(channel: &PeerChannel) -> String {
    let address = channel
        .peer_address()
        .map(|address| JavaAddress(address).to_string());
    address.unwrap_or_else(|error| error.to_string())
}

/// A challenge and a proof; more is not said. (SaslQuorumAuthServer.MAX_RETRIES is 5)
const MOST_ROUNDS: usize = 3;
/// So many failures are told that change nothing.
const MOST_COMPLAINTS: u64 = 100;

#[cfg(test)]
mod tests;
