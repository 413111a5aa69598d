//! The client's side of an exchange. (javax.security.sasl.SaslClient)

use super::digest_md5::{Ingredients, Service, Side, proof, same_proof};
use super::directives::{Directives, push_plain, push_quoted};
use super::users::Credentials;
use super::{MOST_TOKEN_BYTES, Refusal};

/// One attempt to prove to a server who this is.
#[derive(Debug)]
pub struct ClientExchange {
    service: Service,
    credentials: Credentials,
    cnonce: String,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    /// The server's challenge is due.
    Fresh,
    /// The server's proof is due, and will be this.
    Answered([u8; 32]),
    Over,
}

impl ClientExchange {
    /// An exchange with a nonce that was never used before. It begins with an empty token to the server.
    pub fn new(service: Service, credentials: Credentials, cnonce: String) -> ClientExchange {
        ClientExchange {
            service,
            credentials,
            cnonce,
            stage: Stage::Fresh,
        }
    }

    /// Takes what the server has sent, and gives what it is to get: nothing if it has proved to know the password.
    ///
    /// # Errors
    /// [`Refusal`], after which the exchange is over.
    pub fn step(&mut self, token: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
        if token.len() > MOST_TOKEN_BYTES {
            return Err(Refusal::Length(token.len()));
        }
        let given = Directives::parse(token)?;
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Fresh => self.respond(&given).map(Some),
            Stage::Answered(expected) => {
                let proof = given.get("rspauth");
                let proof = proof.ok_or(Refusal::Violation(
                    "The server has not proved that it knows the password.",
                ))?;
                match same_proof(&expected, proof) {
                    true => Ok(None),
                    false => Err(Refusal::Mismatch),
                }
            }
            Stage::Over => Err(Refusal::Over),
        }
    }

    /// In the order and form of Java's.
    fn respond(&mut self, challenge: &Directives<'_>) -> Result<Vec<u8>, Refusal> {
        let nonce = challenge.get("nonce");
        let nonce = nonce.ok_or(Refusal::Violation("Missing nonce in the challenge."))?;
        if challenge.get("algorithm") != Some(b"md5-sess") {
            return Err(Refusal::Violation("The challenge's algorithm is not md5-sess."));
        }
        let mut offered = challenge
            .get("qop")
            .unwrap_or(b"auth")
            .split(|&byte| byte == b',');
        if !offered.any(|qop| qop.trim_ascii() == b"auth") {
            return Err(Refusal::Violation("The challenge does not offer qop auth."));
        }
        let realm = match challenge.get("realm") {
            Some(realm) => {
                std::str::from_utf8(realm).map_err(|_| Refusal::Violation("The realm is no text."))?
            }
            None => self.service.server_name,
        };
        let username = self.credentials.username.as_str();
        let uri = self.service.uri();
        let ingredients = Ingredients {
            username,
            realm,
            nonce,
            cnonce: self.cnonce.as_bytes(),
            nonce_count: b"00000001",
            uri: uri.as_bytes(),
            authzid: Some(username.as_bytes()),
            utf8: true,
        };
        let password = &self.credentials.password;
        let response = proof(&ingredients, password, Side::Client);
        self.stage = Stage::Answered(proof(&ingredients, password, Side::Server));
        let mut out = Vec::new();
        push_plain(&mut out, "charset", b"utf-8");
        push_quoted(&mut out, "username", username.as_bytes());
        push_quoted(&mut out, "realm", realm.as_bytes());
        push_quoted(&mut out, "nonce", nonce);
        push_plain(&mut out, "nc", b"00000001");
        push_quoted(&mut out, "cnonce", self.cnonce.as_bytes());
        push_quoted(&mut out, "digest-uri", uri.as_bytes());
        push_plain(&mut out, "maxbuf", b"65536");
        push_plain(&mut out, "response", &response);
        push_plain(&mut out, "qop", b"auth");
        push_quoted(&mut out, "authzid", username.as_bytes());
        Ok(out)
    }
}
