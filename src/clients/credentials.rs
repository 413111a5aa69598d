//! How a connection proves to be somebody. (ZooKeeperServer.processPacket, processSasl)

use crate::auth::AuthRefusal;
use crate::proto::requests::AuthPacket;
use crate::proto::{Decode, ErrorCode, Id, Xid, Zxid};
use crate::request::Identities;

use super::Round;
use super::address::JavaAddress;
use super::ask::Asked;
use super::cnxn::{Cnxn, State};
use super::hangup::Hangup;
use super::quiet::Line;

impl Cnxn {
    /// Credentials. (ZooKeeperServer.processPacket)
    pub(super) fn on_auth(&mut self, xid: Xid, body: &[u8], round: &mut Round<'_>) -> Result<(), Hangup> {
        let now_ms = round.now.elapsed_ms;
        let remote = JavaAddress(self.remote);
        round.quiet.say(
            Line::Auth,
            log::Level::Info,
            now_ms,
            format_args!("got auth packet {remote}"),
        );
        let packet = AuthPacket::from_bytes(body)?;
        let scheme = packet.scheme.as_deref().unwrap_or("null");
        match self.prove(scheme, packet.auth, round) {
            Ok(identities) => {
                self.identities = identities;
                round.quiet.say(
                    Line::Auth,
                    log::Level::Info,
                    now_ms,
                    format_args!("auth success {remote}"),
                );
                self.ask(xid, Asked::Header(Zxid(0), ErrorCode::Ok), round);
            }
            Err(refusal) => {
                round
                    .quiet
                    .say(Line::Auth, log::Level::Warn, now_ms, format_args!("{refusal}"));
                self.ask(xid, Asked::Header(Zxid(0), ErrorCode::AuthFailed), round);
                self.state = State::Closing;
            }
        }
        Ok(())
    }

    /// Who this connection is with these credentials, too. Null credentials prove nothing but an address.
    fn prove(&self, scheme: &str, auth: Option<&[u8]>, round: &Round<'_>) -> Result<Identities, AuthRefusal> {
        let failed = || AuthRefusal::Failed {
            scheme: scheme.to_owned(),
        };
        if auth.is_none() && scheme == "digest" {
            return Err(failed());
        }
        let proven = round
            .rules
            .auth
            .authenticate(scheme, auth.unwrap_or_default(), self.remote.ip())?;
        let fresh: Vec<Id> = proven
            .into_iter()
            .filter(|id| !self.identities.contains(id))
            .collect();
        if self.identities.len() + fresh.len() > MOST_IDENTITIES {
            return Err(failed());
        }
        Ok(self.identities.iter().cloned().chain(fresh).collect())
    }

    /// A SASL token. Without a login context 3.4.14 says so in its log, and answers a null token.
    pub(super) fn on_sasl(&mut self, xid: Xid, body: &[u8], round: &mut Round<'_>) -> Result<(), Hangup> {
        <&[u8]>::from_bytes(body)?;
        let text = "cnxn.saslServer is null: cnxn object did not initialize its saslServer properly.";
        round.quiet.say(
            Line::Unknown,
            log::Level::Error,
            round.now.elapsed_ms,
            format_args!("{text}"),
        );
        self.ask(xid, Asked::SaslToken, round);
        Ok(())
    }
}

/// More identities are not taken on: every request carries them.
pub(super) const MOST_IDENTITIES: usize = 256;
