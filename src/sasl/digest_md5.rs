//! The arithmetic of DIGEST-MD5. (RFC 2831, section 2.1.2.1)

use md5::{Digest, Md5};
use subtle::ConstantTimeEq;

use super::users::Secret;

/// Between whom an exchange goes. Both sides of ZooKeeper's protocols have the same names built in, whatever the
/// servers' real names are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// The first part of the `digest-uri`.
    pub protocol: &'static str,
    /// Its second part, and the realm.
    pub server_name: &'static str,
}

impl Service {
    /// Clients and servers. (SecurityUtils.createSaslClient as ZooKeeperSaslClient calls it)
    pub const CLIENTS: Service = Service {
        protocol: "zookeeper",
        server_name: "zk-sasl-md5",
    };
    /// Servers among each other. (QuorumAuth)
    pub const QUORUM: Service = Service {
        protocol: "zookeeper-quorum",
        server_name: "zk-quorum-sasl-md5",
    };

    /// `protocol/server`, the thing that is asked for.
    pub(super) fn uri(self) -> String {
        format!("{}/{}", self.protocol, self.server_name)
    }
}

/// Everything that goes into a proof, as bytes of the tokens, but for the names, which are texts by then.
#[derive(Debug)]
pub(super) struct Ingredients<'a> {
    pub username: &'a str,
    pub realm: &'a str,
    pub nonce: &'a [u8],
    pub cnonce: &'a [u8],
    pub nonce_count: &'a [u8],
    pub uri: &'a [u8],
    /// Whom to act for, if the client says so.
    pub authzid: Option<&'a [u8]>,
    /// Whether the tokens are in UTF-8, not in ISO 8859-1.
    pub utf8: bool,
}

/// Which side a proof is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// `response`.
    Client,
    /// `rspauth`.
    Server,
}

/// The proof that `side` knows the password: 32 lowercase hexadecimal digits.
pub(super) fn proof(ingredients: &Ingredients<'_>, password: &Secret, side: Side) -> [u8; 32] {
    let Ingredients {
        nonce,
        cnonce,
        nonce_count,
        uri,
        ..
    } = *ingredients;
    let text = |text: &str| in_the_narrower_set(text, ingredients.utf8);
    let (user, realm) = (text(ingredients.username), text(ingredients.realm));
    let known = md5(&[&user, &realm, &text(password.reveal())]);
    let mut a1 = vec![known.as_slice(), nonce, cnonce];
    a1.extend(ingredients.authzid);
    let a1 = hex(&md5(&a1));
    let method: &[u8] = match side {
        Side::Client => b"AUTHENTICATE",
        Side::Server => b"",
    };
    let a2 = hex(&md5(&[method, uri]));
    hex(&md5(&[&a1, nonce, nonce_count, cnonce, b"auth", &a2]))
}

/// Compares proofs in a time that does not depend on them.
pub(super) fn same_proof(expected: &[u8; 32], given: &[u8]) -> bool {
    expected.as_slice().ct_eq(given).into()
}

/// The digest of all parts, with a colon between each two.
fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hash.update(b":");
        }
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8; 16]) -> [u8; 32] {
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    digits
}

/// Names and passwords are hashed in ISO 8859-1 if they fit into it, whatever the tokens are in.
fn in_the_narrower_set(text: &str, utf8: bool) -> Vec<u8> {
    let narrow: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    match narrow {
        Some(bytes) => bytes,
        None if utf8 => text.as_bytes().to_vec(),
        // Java writes a question mark for what ISO 8859-1 does not have.
        None => text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect(),
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn both(ingredients: &Ingredients<'_>, password: &str) -> [String; 2] {
        [Side::Client, Side::Server].map(|side| {
            let proof = proof(ingredients, &Secret::new(password), side);
            String::from_utf8_lossy(&proof).into_owned()
        })
    }

    #[test]
    fn the_example_of_the_rfc_comes_out() {
        // RFC 2831, section 4: IMAP.
        let ingredients = Ingredients {
            username: "chris",
            realm: "elwood.innosoft.com",
            nonce: b"OA6MG9tEQGm2hh",
            cnonce: b"OA6MHXh6VqTrRk",
            nonce_count: b"00000001",
            uri: b"imap/elwood.innosoft.com",
            authzid: None,
            utf8: true,
        };
        assert_eq!(
            both(&ingredients, "secret"),
            [
                "d388dad90d4bbd760a152321f2143af7",
                "ea40f60335c427b5527b84dbabcdfffd"
            ]
        );
        // And ACAP.
        let ingredients = Ingredients {
            nonce: b"OA9BSXrbuRhWay",
            cnonce: b"OA9BSuZWMSpW8m",
            uri: b"acap/elwood.innosoft.com",
            ..ingredients
        };
        assert_eq!(
            both(&ingredients, "secret"),
            [
                "6084c6db3fede7352c551284490fd0fc",
                "2f0b3d7c3c2e486600ef710726aa2eae"
            ]
        );
    }

    /// Captured from both sides of Java 17's `javax.security.sasl`.
    #[test]
    fn java_s_proofs_come_out() {
        let java = |user: &'static str, service: Service, nonces: [&'static str; 2], password: &str| {
            let uri = service.uri();
            let ingredients = Ingredients {
                username: user,
                realm: service.server_name,
                nonce: nonces[0].as_bytes(),
                cnonce: nonces[1].as_bytes(),
                nonce_count: b"00000001",
                uri: uri.as_bytes(),
                authzid: Some(user.as_bytes()),
                utf8: true,
            };
            both(&ingredients, password)
        };
        let nonces = [
            "Y6PDv3oYmNZIFL/ETqbiHK4pU8vvUdVqT8BxJpX7",
            "Qwyq2bxzsO4b3P7lTQYSYZehmaV1kZu5MucYGDSU",
        ];
        assert_eq!(
            java("bob", Service::CLIENTS, nonces, "bobsecret"),
            [
                "8f60f4ee0b53bedb075e570390d59c04",
                "3bbb72d3d0cacd499392fa9740605fc2"
            ]
        );
        let nonces = [
            "ViACmaDcNf3QXOrklEgdi6oto2i/TTpLcZs5sgF3",
            "OYM0GC49dAhDmFvlWxTZTaeHPhGxjFEkt2uA07hA",
        ];
        assert_eq!(
            java("m\u{fc}ller", Service::CLIENTS, nonces, "gr\u{fc}\u{df} \"x\\y"),
            [
                "e9ea55f037b103f6faa9e9c93c29c8a5",
                "9e81b68e623b7333161236eafdca9b50"
            ]
        );
        let nonces = [
            "ORFGIV7KHn7ZHG/tZrtWDbyA1GHjxHrPH7I+n3aF",
            "7N+/RW718Ke23MNvh1sbyWw2JQ9iyoDb+654xYsV",
        ];
        assert_eq!(
            java("\u{416}x", Service::CLIENTS, nonces, "\u{416}\u{fc}"),
            [
                "1997c44c39cd6e48ab00c2bfc03c90e0",
                "6d5e3440ca8fb36752b0f700da04d1b7"
            ]
        );
        let nonces = [
            "VR2GqBK5uVhu+KzhC16k0zpgODrLoAYJYZMjQ0a6",
            "aP/IzpK/o+u7fOyrcl8RL+ti/6+GI3X4VQfqD9TK",
        ];
        assert_eq!(
            java("learner", Service::QUORUM, nonces, "lp"),
            [
                "8b87f48d79c9982869aa3187f60853aa",
                "a69ce6a81b334860bb1ee3012d58ff92"
            ]
        );
    }
}
