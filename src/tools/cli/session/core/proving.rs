//! How a session says who it is: by SASL before anything else, and by identities that are added. (ZooKeeperSaslClient)

use super::{Action, Lost, Phase, SessionCore, State};
use crate::proto::requests::AuthPacket;
use crate::proto::responses::ReplyHeader;
use crate::proto::{Decode, Encode, ErrorCode, Malformed, OpCode, Reader, Xid, Zxid};
use crate::sasl::{ClientExchange, Credentials, Nonces, Service};
use crate::tools::client::Reply;

/// With what a session proves who it is, on each connection.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name and the password.
    pub credentials: Credentials,
    /// A nonce for each attempt.
    pub nonces: Nonces,
}

impl SessionCore {
    /// Adds an identity, now and to each later connection.
    pub fn add_auth(&mut self, now_ms: i64, ticket: u64, scheme: &str, auth: &[u8]) {
        if let Some(lost) = self.over() {
            self.actions.push(Action::Answer(ticket, Err(lost)));
            return;
        }
        self.auths.push((scheme.to_owned(), auth.to_owned()));
        if self.phase == Phase::Up {
            self.send_auth(now_ms, self.auths.len() - 1, Some(ticket));
        } else {
            // It goes out as the first thing of the next connection.
            let until_ms = now_ms + self.timeout_ms();
            self.unsent_auths.push((self.auths.len() - 1, ticket, until_ms));
        }
    }

    /// An identity is taken, or refused: then the session is over.
    pub(super) fn auth_answered(&mut self, xid: Xid, zxid: Zxid, error: ErrorCode) {
        let ticket = self.auth_waits.pop_front().flatten();
        let body = Vec::new();
        if error != ErrorCode::Ok {
            self.tell("AuthFailed");
        }
        if let Some(ticket) = ticket {
            let reply = Reply {
                xid,
                zxid,
                error,
                body,
            };
            self.actions.push(Action::Answer(ticket, Ok(reply)));
        }
        if error != ErrorCode::Ok {
            self.actions.push(Action::HangUp);
            self.end(State::AuthFailed, &Lost::AuthFailed);
        }
    }

    /// Sends an identity; the answer is for who waits by this ticket.
    pub(super) fn send_auth(&mut self, now_ms: i64, index: usize, ticket: Option<u64>) {
        let Some((scheme, auth)) = self.auths.get(index) else {
            return;
        };
        let packet = AuthPacket {
            kind: 0,
            scheme: Some(scheme.as_str().into()),
            auth: Some(auth),
        };
        let record = packet.to_bytes();
        self.auth_waits.push_back(ticket);
        self.send_request(now_ms, Xid::AUTH, OpCode::Auth, &record);
    }

    /// Begins to prove who this is, if that is wanted; requests wait for the end of it.
    pub(super) fn begin_proof(&mut self, now_ms: i64) -> bool {
        let Some(login) = &self.config.login else {
            return false;
        };
        let nonce = login.nonces.nonce(self.proofs);
        self.exchange = Some(ClientExchange::new(
            Service::CLIENTS,
            login.credentials.clone(),
            nonce,
        ));
        self.proofs += 1;
        self.phase = Phase::Proving {
            until_ms: now_ms + self.dial_limit_ms(),
        };
        self.send_token(now_ms, b"");
        true
    }

    /// An answer to a token.
    pub(super) fn token_came(&mut self, now_ms: i64, frame: &[u8]) -> Result<(), Malformed> {
        let mut reader = Reader::new(frame);
        let ReplyHeader { xid, error, .. } = ReplyHeader::decode(&mut reader)?;
        if xid == Xid::NOTIFICATION {
            return Ok(());
        }
        let token = match error {
            ErrorCode::Ok => Option::<&[u8]>::decode(&mut reader)?,
            _ => None,
        };
        let step = self
            .exchange
            .as_mut()
            .map(|exchange| exchange.step(token.unwrap_or_default()));
        match step {
            Some(Ok(Some(token))) => self.send_token(now_ms, &token),
            Some(Ok(None)) => {
                self.open(now_ms);
                self.tell("SaslAuthenticated");
            }
            Some(Err(_)) | None => {
                self.actions.push(Action::HangUp);
                self.end_unproved();
            }
        }
        Ok(())
    }

    /// The server does not take the name and the password, or does not know the password itself.
    pub(super) fn end_unproved(&mut self) {
        self.tell("AuthFailed");
        self.end(State::AuthFailed, &Lost::AuthFailed);
    }

    fn send_token(&mut self, now_ms: i64, token: &[u8]) {
        let xid = self.fresh_xid();
        self.send_request(now_ms, xid, OpCode::Sasl, &token.to_bytes());
    }
}
