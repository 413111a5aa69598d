//! Numbers that are used once and that nobody can guess.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Nonces, each from its number and from a secret of the system's random numbers.
#[derive(Clone)]
pub struct Nonces {
    secret: [u8; SECRET_BYTES],
}

impl Nonces {
    /// Nonces of a secret, which must be new with each start of the process.
    pub fn new(secret: [u8; SECRET_BYTES]) -> Nonces {
        Nonces { secret }
    }

    /// The nonce of a number: printable, and another one for each number.
    pub fn nonce(&self, number: u64) -> String {
        let mac = Hmac::<Sha1>::new((&self.secret).into()).chain_update(number.to_be_bytes());
        STANDARD.encode(mac.finalize().into_bytes())
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces")
    }
}

/// A block of the hash: all of it is used.
pub const SECRET_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_number_or_secret_gives_another_nonce() {
        let nonces = Nonces::new([1; SECRET_BYTES]);
        assert_eq!(nonces.nonce(7).len(), 28);
        assert_eq!(nonces.nonce(7), nonces.nonce(7));
        assert_ne!(nonces.nonce(7), nonces.nonce(8));
        assert_ne!(nonces.nonce(7), Nonces::new([2; SECRET_BYTES]).nonce(7));
    }
}
