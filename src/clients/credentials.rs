//! How a connection proves to be somebody. (ZooKeeperServer.processPacket, processSasl)

use std::sync::Arc;

use crate::auth::AuthRefusal;
use crate::proto::requests::AuthPacket;
use crate::proto::{Decode, ErrorCode, Id, Xid, Zxid};
use crate::request::Identities;
use crate::sasl::{Answer, Refusal, ServerExchange, Service};

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

    /// The client has shown a certificate that is believed, of this owner. (X509AuthenticationProvider)
    pub fn on_certificate(&mut self, subject: &str, round: &mut Round<'_>) {
        let proven = round.rules.auth.certificate_identities(subject);
        self.identities = self.identities.iter().cloned().chain(proven).collect();
        let text = format_args!("Authenticated Id '{subject}' for scheme 'x509'");
        let now_ms = round.now.elapsed_ms;
        round.quiet.say(Line::Auth, log::Level::Info, now_ms, text);
    }

    /// Who this connection is with these credentials, too. Null credentials prove nothing but an address.
    fn prove(&self, scheme: &str, auth: Option<&[u8]>, round: &Round<'_>) -> Result<Identities, AuthRefusal> {
        let failed = || AuthRefusal::Failed {
            scheme: scheme.to_owned(),
        };
        if auth.is_none() && scheme == "digest" {
            return Err(failed());
        }
        // The certificate was shown before the first request; what is sent with the packet is not looked at.
        if scheme == "x509" && self.identities.iter().any(|id| id.scheme == scheme) {
            return Ok(Arc::clone(&self.identities));
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

    /// A SASL token, answered outside of the chain as 3.4.14 does. (ZooKeeperServer.processSasl)
    pub(super) fn on_sasl(&mut self, xid: Xid, body: &[u8], round: &mut Round<'_>) -> Result<(), Hangup> {
        let token = <&[u8]>::from_bytes(body)?;
        let all_rules = round.rules;
        let Some(rules) = &all_rules.sasl else {
            let text = "cnxn.saslServer is null: cnxn object did not initialize its saslServer properly.";
            say(round, log::Level::Error, format_args!("{text}"));
            self.ask(xid, Asked::SaslToken(None), round);
            return Ok(());
        };
        let nonce = || rules.nonces.nonce(self.id.0);
        let begin = || Box::new(ServerExchange::new(Service::CLIENTS, nonce()));
        let exchange = self.sasl.get_or_insert_with(begin);
        match exchange.step(token, &rules.users) {
            Ok(Answer::Challenge(token)) => self.ask(xid, Asked::SaslToken(Some(token)), round),
            Ok(Answer::Proven { token, user }) => {
                self.add_sasl_identity(user, round);
                self.ask(xid, Asked::SaslToken(Some(token)), round);
            }
            Err(refusal) => {
                let keeps_failed = rules.keeps_failed && all_rules.required_schemes.is_empty();
                self.on_sasl_failure(xid, &refusal, keeps_failed, round);
            }
        }
        Ok(())
    }

    fn add_sasl_identity(&mut self, user: String, round: &mut Round<'_>) {
        say(
            round,
            log::Level::Info,
            format_args!(
                "Successfully authenticated client: authenticationID={user};  authorizationID={user}."
            ),
        );
        say(
            round,
            log::Level::Info,
            format_args!("adding SASL authorization for authorizationID: {user}"),
        );
        let id = Id::new("sasl", user);
        if !self.identities.contains(&id) {
            self.identities = self.identities.iter().cloned().chain([id]).collect();
        }
    }

    /// The client is told no reason: its connection ends, or stays as it was before.
    fn on_sasl_failure(&mut self, xid: Xid, refusal: &Refusal, keeps_failed: bool, round: &mut Round<'_>) {
        say(
            round,
            log::Level::Warn,
            format_args!("Client failed to SASL authenticate: {refusal}"),
        );
        if keeps_failed {
            let text = "Maintaining client connection despite SASL authentication failure.";
            say(round, log::Level::Warn, format_args!("{text}"));
            self.ask(xid, Asked::SaslToken(None), round);
        } else {
            let text = "Closing client connection due to SASL authentication failure.";
            say(round, log::Level::Warn, format_args!("{text}"));
            self.state = State::Dead;
        }
    }

    /// Whether requests of this connection are heard yet. (AuthenticationHelper of 3.9)
    pub(super) fn may_ask(&self, round: &Round<'_>) -> bool {
        let required = &round.rules.required_schemes;
        required.is_empty() || self.identities.iter().any(|id| required.contains(&id.scheme))
    }

    /// Tells a client that it has to authenticate first, and closes its connection.
    pub(super) fn refuse_stranger(&mut self, xid: Xid, round: &mut Round<'_>) {
        let required = round.rules.required_schemes.join(",");
        let remote = JavaAddress(self.remote);
        say(
            round,
            log::Level::Error,
            format_args!(
                "Client {remote} has authenticated with none of the expected schemes {required}, closing session."
            ),
        );
        let refusal = Asked::Header(Zxid(0), ErrorCode::SessionClosedRequireSaslAuth);
        self.ask(xid, refusal, round);
        self.state = State::Closing;
    }
}

/// The log names the caller's place.
#[track_caller]
fn say(round: &mut Round<'_>, level: log::Level, text: std::fmt::Arguments<'_>) {
    round.quiet.say(Line::Auth, level, round.now.elapsed_ms, text);
}

/// More identities are not taken on: every request carries them.
pub(super) const MOST_IDENTITIES: usize = 256;
