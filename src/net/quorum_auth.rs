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
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clients::address::JavaAddress;
use crate::proto::{AuthStatus, Decode, Encode, QuorumAuthPacket};
use crate::sasl::{Answer, ClientExchange, Credentials, Nonces, ServerExchange, Service, Users};

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

    /// Hears who calls. Gives what was read and belongs to what comes next: a caller that does not authenticate
    /// begins at once with that.
    ///
    /// # Errors
    /// The caller has proved nothing within `limit`, and must.
    pub fn accept(&self, stream: &TcpStream, limit: Duration) -> io::Result<Vec<u8>> {
        let mut caller = Caller::new(stream, limit)?;
        let mut first = Vec::new();
        let outcome = match caller.begins_with_magic(&mut first) {
            Ok(true) => {
                first.clear();
                self.judge(&mut caller)
            }
            Ok(false) if !self.requires => return caller.done(first),
            Ok(false) => Err(refused(
                "not trying to authenticate and authentication is required".to_owned(),
            )),
            Err(error) => Err(error),
        };
        let before = caller.done(());
        match outcome {
            Ok(()) => {
                let remote = remote(stream);
                log::info!("Successfully completed the authentication using SASL. learner addr: {remote}");
            }
            Err(error) if self.requires => return Err(failed(&error)),
            Err(error) => self.complain(stream, &error),
        }
        before.map(|()| first)
    }

    /// Proves to the server at the other end who this is, if that is wanted.
    ///
    /// # Errors
    /// The other server does not believe it, or is none, or says nothing for `limit`.
    pub fn introduce(&self, stream: &TcpStream, limit: Duration) -> io::Result<()> {
        let Some(credentials) = &self.credentials else {
            log::debug!("Skipping SASL authentication as quorum.auth.learnerRequireSasl=false");
            return Ok(());
        };
        let mut called = Caller::new(stream, limit)?;
        let mut exchange = ClientExchange::new(Service::QUORUM, credentials.clone(), self.fresh_nonce());
        called.send(AuthStatus::InProgress, Some(Vec::new()))?;
        for _ in 0..MOST_ROUNDS {
            let QuorumAuthPacket { status, token } = called.receive()?;
            if status == AuthStatus::Error {
                return Err(refused(
                    "the other server does not take this server's name and password".to_owned(),
                ));
            }
            let said = exchange.step(&token.unwrap_or_default());
            match (status, said.map_err(|refusal| refused(refusal.to_string()))?) {
                (AuthStatus::InProgress, Some(token)) => called.send(AuthStatus::InProgress, Some(token))?,
                (AuthStatus::Success, None) => {
                    let remote = remote(stream);
                    log::info!(
                        "Successfully completed the authentication using SASL. server addr: {remote}, status: SUCCESS"
                    );
                    return called.done(());
                }
                _ => break,
            }
        }
        Err(refused(
            "the other server has ended the authentication too early or too late".to_owned(),
        ))
    }

    fn judge(&self, caller: &mut Caller<'_>) -> io::Result<()> {
        let mut exchange = ServerExchange::new(Service::QUORUM, self.fresh_nonce());
        let mut packet = caller.receive_rest()?;
        for _ in 0..MOST_ROUNDS {
            match exchange.step(&packet.token.unwrap_or_default(), &self.users) {
                Ok(Answer::Challenge(token)) => caller.send(AuthStatus::InProgress, Some(token))?,
                Ok(Answer::Proven { token, .. }) => return caller.send(AuthStatus::Success, Some(token)),
                Err(refusal) => {
                    // It may have gone already; what counts is told below.
                    drop(caller.send(AuthStatus::Error, Some(Vec::new())));
                    return Err(refused(refusal.to_string()));
                }
            }
            packet = caller.receive()?;
        }
        Err(refused("too many attempts".to_owned()))
    }

    /// Whoever calls often, says so often: only the first ones are news.
    fn complain(&self, stream: &TcpStream, error: &io::Error) {
        let told = self.complaints.fetch_add(1, Ordering::Relaxed);
        let level = if told < MOST_COMPLAINTS {
            log::Level::Warn
        } else {
            log::Level::Debug
        };
        let remote = remote(stream);
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

/// The other end of a connection, until a deadline.
struct Caller<'a> {
    stream: &'a TcpStream,
    end: Instant,
    /// What the connection's reads were limited to before.
    before: Option<Duration>,
}

impl<'a> Caller<'a> {
    fn new(stream: &'a TcpStream, limit: Duration) -> io::Result<Caller<'a>> {
        Ok(Caller {
            stream,
            end: Instant::now() + limit,
            before: stream.read_timeout()?,
        })
    }

    /// Leaves the connection as it was.
    fn done<T>(self, value: T) -> io::Result<T> {
        self.stream.set_read_timeout(self.before)?;
        Ok(value)
    }

    /// Reads the first bytes into `first`, and says whether they are those of an authentication. A caller that ends
    /// before is told by what comes next.
    fn begins_with_magic(&mut self, first: &mut Vec<u8>) -> io::Result<bool> {
        while first.len() < QuorumAuthPacket::MAGIC.len() {
            if !QuorumAuthPacket::MAGIC.starts_with(first) {
                return Ok(false);
            }
            let mut byte = [0];
            match self.read(&mut byte) {
                Ok(()) => first.extend_from_slice(&byte),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(*first == QuorumAuthPacket::MAGIC)
    }

    fn receive(&mut self) -> io::Result<QuorumAuthPacket> {
        let mut magic = [0; QuorumAuthPacket::MAGIC.len()];
        self.read(&mut magic)?;
        if magic != QuorumAuthPacket::MAGIC {
            return Err(refused("the other server does not speak SASL".to_owned()));
        }
        self.receive_rest()
    }

    /// Reads a packet whose magic number has been read.
    fn receive_rest(&mut self) -> io::Result<QuorumAuthPacket> {
        let malformed = |error| io::Error::new(ErrorKind::InvalidData, error);
        let mut head = [0; QuorumAuthPacket::HEAD_BYTES];
        let (magic, rest) = head.split_at_mut(QuorumAuthPacket::MAGIC.len());
        magic.copy_from_slice(&QuorumAuthPacket::MAGIC);
        self.read(rest)?;
        let mut token = vec![0; QuorumAuthPacket::token_bytes(&head).map_err(malformed)?];
        self.read(&mut token)?;
        QuorumAuthPacket::from_bytes(&[&head[..], &token].concat()).map_err(malformed)
    }

    fn send(&mut self, status: AuthStatus, token: Option<Vec<u8>>) -> io::Result<()> {
        self.stream
            .write_all(&QuorumAuthPacket { status, token }.to_bytes())
    }

    /// Fills `buffer`, however slowly its bytes come, but until the deadline.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let left = self.end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(too_late());
            }
            self.stream.set_read_timeout(Some(left))?;
            match (&mut self.stream).read(rest) {
                Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof)),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(too_late()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
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

fn too_late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the authentication did not end in time")
}

fn remote(stream: &TcpStream) -> String {
    let address = stream.peer_addr().map(|address| JavaAddress(address).to_string());
    address.unwrap_or_else(|error| error.to_string())
}

/// A challenge and a proof; more is not said. (SaslQuorumAuthServer.MAX_RETRIES is 5)
const MOST_ROUNDS: usize = 3;
/// So many failures are told that change nothing.
const MOST_COMPLAINTS: u64 = 100;

#[cfg(test)]
mod tests;
