//! TLS between servers, on a connection that was just made: before anything else is said. (UnifiedServerSocket,
//! QuorumX509Util of 3.9)
//!
//! The first byte tells whether a caller speaks TLS. Both ends block, until a deadline at most. Whom to believe is
//! decided in `tls/`.

use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::Connection;

use crate::clients::address::JavaAddress;
use crate::tls::{TlsContext, agreed, begins_handshake, shake_hands};

use super::peer_channel::PeerChannel;

/// How this server speaks TLS with the others.
#[derive(Debug)]
pub struct QuorumTls {
    /// Key, trust and rules.
    pub context: Arc<TlsContext>,
    /// Whether it speaks TLS when it calls. (`sslQuorum`)
    pub calls: bool,
    /// Whether it hears those who speak plainly. (`portUnification`)
    pub takes_plain: bool,
    /// The hosts of the server list: a caller's certificate must name one of them, or where it calls from.
    pub hosts: Vec<String>,
}

/// Hears whether a caller speaks TLS, and shakes hands with it if it is to. `limit` is how long a caller may take to
/// say its first word.
///
/// # Errors
/// The caller is not to be heard, for a reason that tells what to do.
pub(super) fn welcome(
    tls: Option<&QuorumTls>,
    socket: TcpStream,
    limit: Duration,
) -> io::Result<PeerChannel> {
    let mut channel = PeerChannel::new(socket);
    let limit = tls.map_or(limit, |tls| tls.limit().min(limit));
    let mut first = [0; FIRST_BYTES];
    let looked = channel.within(limit, |channel| channel.look(&mut first));
    let is_tls = match (looked, tls) {
        (Ok(0), Some(tls)) if !tls.takes_plain => return Err(refused("it has hung up without a word")),
        (Ok(count), _) => speaks_tls(first.get(..count).unwrap_or_default(), tls.is_some()),
        // Whoever reads next says what is wrong with it.
        (Err(_), None) => false,
        (Err(error), Some(_)) => return Err(explained(error, "")),
    };
    match (tls, is_tls) {
        (None, false) => Ok(channel),
        (None, true) => Err(refused(
            "it speaks TLS, and this server does not: set portUnification=true or sslQuorum=true here",
        )),
        (Some(tls), true) => tls.accept(channel, limit),
        (Some(tls), false) if tls.takes_plain => Ok(channel),
        (Some(_), false) => Err(refused(
            "it does not speak TLS, and this server wants it: set sslQuorum=true there, or portUnification=true here \
             while the ensemble changes over",
        )),
    }
}

impl QuorumTls {
    /// Shakes hands with a server that was called by this name, if this server speaks TLS when it calls.
    ///
    /// # Errors
    /// The other server does not speak TLS, is not believed, does not believe this one, or takes longer than `limit`.
    pub(super) fn call(
        &self,
        mut channel: PeerChannel,
        host: &str,
        limit: Duration,
    ) -> io::Result<PeerChannel> {
        if !self.calls {
            return Ok(channel);
        }
        let address = channel.peer_address()?;
        let names = [host.to_owned(), address.ip().to_string()];
        let mut connection = Connection::from(self.context.connect(&names)?);
        let limit = limit.min(self.limit());
        let shaken = channel.within(limit, |channel| shake_hands(&mut connection, channel));
        shaken.map_err(|error| {
            explained(
                error,
                "does it speak TLS (sslQuorum=true or portUnification=true)?",
            )
        })?;
        let (to, agreed) = (JavaAddress(address), agreed(&connection));
        log::info!("SSL handshake complete with {to} - {agreed}");
        Ok(channel.under_tls(connection))
    }

    fn accept(&self, mut channel: PeerChannel, limit: Duration) -> io::Result<PeerChannel> {
        let address = channel.peer_address()?;
        let mut connection = Connection::from(self.context.accept()?);
        let shaken = channel.within(limit, |channel| shake_hands(&mut connection, channel));
        shaken.map_err(|error| explained(error, ""))?;
        let mut hosts = self.hosts.clone();
        hosts.push(address.ip().to_string());
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        if certificate.is_some_and(|certificate| !self.context.is_from(certificate, &hosts)) {
            return Err(refused(
                "its certificate names no host of the server list, and not the address that it calls from \
                 (ssl.quorum.hostnameVerification=false lets it in)",
            ));
        }
        let (from, agreed) = (JavaAddress(address), agreed(&connection));
        log::info!("Accepted TLS connection from {from} - {agreed}");
        Ok(channel.under_tls(connection))
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.context.handshake_ms().into())
    }
}

/// Whether these are the first bytes of TLS. Where both may be said one byte decides, since no server's number begins
/// so; where TLS is not spoken at all, numbers are told apart from a greeting of TLS to the last.
fn speaks_tls(first: &[u8], by_one_byte: bool) -> bool {
    match *first {
        [byte, ..] if by_one_byte => begins_handshake(byte),
        [byte, 3, _, _, _, 1] => begins_handshake(byte),
        _ => false,
    }
}

/// What has become of a handshake, in words that tell what to do. `hint` stands behind what may
/// be because the other side does not speak TLS at all.
fn explained(error: io::Error, hint: &str) -> io::Error {
    let kind = error.kind();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    let text = match (inner, kind) {
        (Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented), _) => {
            format!("its certificate is not believed: {error}; see ssl.quorum.trustStore.location here")
        }
        (Some(rustls::Error::AlertReceived(_)), _) => {
            format!("it refuses the TLS handshake: {error}; its log says why")
        }
        (_, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            format!("it has hung up in the TLS handshake{hint}")
        }
        (_, ErrorKind::TimedOut) => format!("the TLS handshake did not end in time{hint}"),
        _ => format!("the TLS handshake has failed: {error}{hint}"),
    };
    io::Error::new(kind, text)
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(ErrorKind::PermissionDenied, reason)
}

/// The head of a record, and the kind of its message.
const FIRST_BYTES: usize = 6;

#[cfg(test)]
mod tests;
