//! The server's side of an exchange. (javax.security.sasl.SaslServer, SaslServerCallbackHandler)

use super::digest_md5::{Ingredients, Service, Side, proof, same_proof};
use super::directives::{Directives, push_plain, push_quoted};
use super::users::{Secret, Users};
use super::{MOST_TOKEN_BYTES, Refusal, printable};

/// One client's attempt to prove who it is.
#[derive(Debug)]
pub struct ServerExchange {
    service: Service,
    nonce: String,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Fresh,
    Challenged,
    Over,
}

/// What the client is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A challenge.
    Challenge(Vec<u8>),
    /// The server's own proof, for a client that has proved to be somebody.
    Proven {
        /// The proof.
        token: Vec<u8>,
        /// Who it is. Whom it asks to act for is of no account. (handleAuthorizeCallback)
        user: String,
    },
}

impl ServerExchange {
    /// An exchange with a nonce that was never used before and that nobody can guess.
    pub fn new(service: Service, nonce: String) -> ServerExchange {
        ServerExchange {
            service,
            nonce,
            stage: Stage::Fresh,
        }
    }

    /// Takes what the client has sent.
    ///
    /// # Errors
    /// [`Refusal`], after which the exchange is over.
    pub fn step(&mut self, token: &[u8], users: &Users) -> Result<Answer, Refusal> {
        match std::mem::replace(&mut self.stage, Stage::Over) {
            // Whatever the client begins with: that it may go on from an earlier exchange, Java does not know either.
            Stage::Fresh => {
                self.stage = Stage::Challenged;
                Ok(Answer::Challenge(self.challenge()))
            }
            Stage::Challenged => self.judge(token, users),
            Stage::Over => Err(Refusal::Over),
        }
    }

    /// In the order and form of Java's, without `qop`: what is not there is `auth`.
    fn challenge(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_quoted(&mut out, "realm", self.service.server_name.as_bytes());
        push_quoted(&mut out, "nonce", self.nonce.as_bytes());
        push_plain(&mut out, "charset", b"utf-8");
        push_plain(&mut out, "algorithm", b"md5-sess");
        out
    }

    fn judge(&self, token: &[u8], users: &Users) -> Result<Answer, Refusal> {
        if token.len() > MOST_TOKEN_BYTES {
            return Err(Refusal::Length(token.len()));
        }
        let given = Directives::parse(token)?;
        let utf8 = match given.get("charset") {
            None => false,
            Some(b"utf-8") => true,
            Some(_) => return Err(Refusal::Violation("Incompatible charset value")),
        };
        let needed = |name, violation| given.get(name).ok_or(Refusal::Violation(violation));
        let username = needed("username", "Missing username.")?;
        let username = text(username, utf8).ok_or(Refusal::Violation("The username is no text."))?;
        let cnonce = needed("cnonce", "Missing cnonce.")?;
        let uri = needed("digest-uri", "Missing digest URI.")?;
        let response = needed("response", "Missing response.")?;
        self.check_what_is_fixed(&given, uri)?;
        let ingredients = Ingredients {
            username: &username,
            realm: self.service.server_name,
            nonce: self.nonce.as_bytes(),
            cnonce,
            nonce_count: FIRST_NONCE_COUNT,
            uri,
            authzid: given.get("authzid"),
            utf8,
        };
        let password = users.password_of(&username);
        // A name that nobody has is refused after the same work as a wrong password.
        let nobody = Secret::new("");
        let expected = proof(&ingredients, password.unwrap_or(&nobody), Side::Client);
        let matches = same_proof(&expected, response);
        let Some(password) = password else {
            return Err(Refusal::UnknownUser(printable(&username)));
        };
        if !matches {
            return Err(Refusal::Mismatch);
        }
        let mut last = Vec::new();
        push_plain(&mut last, "rspauth", &proof(&ingredients, password, Side::Server));
        Ok(Answer::Proven {
            token: last,
            user: username,
        })
    }

    /// What a response must repeat, or may only choose from one thing.
    fn check_what_is_fixed(&self, given: &Directives<'_>, uri: &[u8]) -> Result<(), Refusal> {
        let realm = given.get("realm").unwrap_or_default();
        let uri_fits = uri.eq_ignore_ascii_case(self.service.uri().as_bytes());
        let rules = [
            (realm == self.service.server_name.as_bytes(), "Nonexistent realm."),
            (
                given.get("nonce") == Some(self.nonce.as_bytes()),
                "Mismatched nonce: this challenge was for another exchange.",
            ),
            (
                given.get("nc") == Some(FIRST_NONCE_COUNT),
                "Nonce count does not match: nothing may be sent twice.",
            ),
            (
                given.get("qop").is_none_or(|qop| qop == b"auth"),
                "Incompatible qop: this server offers auth alone.",
            ),
            (uri_fits, "Mismatched URI: it names another service."),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some(&(_, violation)) => Err(Refusal::Violation(violation)),
            None => Ok(()),
        }
    }
}

/// Names come in UTF-8 if the client says so, else in ISO 8859-1.
fn text(bytes: &[u8], utf8: bool) -> Option<String> {
    if utf8 {
        String::from_utf8(bytes.to_vec()).ok()
    } else {
        Some(bytes.iter().map(|&byte| char::from(byte)).collect())
    }
}

/// One exchange takes one response.
const FIRST_NONCE_COUNT: &[u8] = b"00000001";
