//! What operators and clients write as text.

use std::io;
use std::net::IpAddr;
use std::path::Path;

use oxkeeper::args;
use oxkeeper::auth::Auth;
use oxkeeper::config::properties;
use oxkeeper::config::{Config, SystemProperties};
use oxkeeper::proto::{Acl, Decode, Encode, Id, Perms, QuorumAuthPacket};
use oxkeeper::sasl::jaas::Jaas;
use oxkeeper::sasl::{Answer, ClientExchange, Credentials, Secret, ServerExchange, Service, Users};

use super::{frugal, sparing};

/// A zoo.cfg, and behind a line `#myid` the file of that name.
pub fn zoo_cfg(bytes: &[u8]) {
    let mark = b"\n#myid\n";
    let at = bytes.windows(mark.len()).position(|window| window == mark);
    let (config, my_id) = match at {
        Some(at) => (&bytes[..at], Some(&bytes[at + mark.len()..])),
        None => (bytes, None),
    };
    let read = |path: &Path| match my_id {
        Some(bytes) if path.ends_with("myid") => Ok(bytes.to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let parse = || Config::parse(Path::new("zoo.cfg"), config, SystemProperties::default(), read);
    match sparing(bytes.len() * 4, 256 << 10, parse) {
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
        Ok(config) => {
            assert!(config.snap_count >= 2 && config.autopurge_snap_retain_count >= 3);
            assert!(config.is_distributed() == config.ensemble.is_some());
            if let Some(ensemble) = &config.ensemble {
                assert!(ensemble.me().role == ensemble.role() && ensemble.my_id.0 >= 0);
                assert!(ensemble.ensemble.voters().count() > 0);
            }
        }
    }
}

/// Java's properties: what is read, written down with every character escaped, is read alike.
pub fn properties(bytes: &[u8]) {
    let Ok(entries) = sparing(bytes.len() * 4, 64 << 10, || properties::parse(bytes)) else {
        return;
    };
    let lines = 1 + bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count();
    assert!(entries.iter().all(|entry| (1..=lines).contains(&entry.line)));
    assert!(entries.windows(2).all(|pair| pair[0].line <= pair[1].line));
    let mut text = String::new();
    for entry in &entries {
        text += &format!("{}={}\n", escaped(&entry.key), escaped(&entry.value));
    }
    let again = properties::parse(text.as_bytes()).expect("escapes that are right");
    let pairs = |entries: Vec<properties::Entry>| -> Vec<(String, String)> {
        entries
            .into_iter()
            .map(|entry| (entry.key, entry.value))
            .collect()
    };
    assert_eq!(pairs(again), pairs(entries));
}

fn escaped(text: &str) -> String {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// A command line, with a zero between its words; the environment says the same as its last word.
pub fn args(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<String> = text.split('\0').map(str::to_owned).collect();
    let last = words.last().cloned();
    match sparing(bytes.len() * 8, 256 << 10, || {
        args::parse(&words, |_| last.clone())
    }) {
        Ok(invocation) => assert_eq!(args::parse(&words, |_| last.clone()), Ok(invocation)),
        Err(refusal) => assert!(refusal.to_string().starts_with("oxkeeper: ")),
    }
}

/// Credentials: a scheme up to the first line's end; the rest is the secret, and an ACL.
pub fn auth(bytes: &[u8]) {
    let auth = Auth {
        super_digest: Some("super:XQJmgMMBxrDGDCkZUvPlgCdtRl8=".to_owned()),
        sasl_provider: true,
        ..Auth::default()
    };
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (scheme, secret) = bytes.split_at(end);
    let secret = secret.get(1..).unwrap_or_default();
    let remote = IpAddr::from([10, 0, 0, 1]);
    let scheme = String::from_utf8_lossy(scheme);
    let proven = frugal(bytes.len(), || auth.authenticate(&scheme, secret, remote));
    let mut identities = vec![oxkeeper::auth::ip_identity(remote)];
    if let Ok(proven) = proven {
        assert!(proven.iter().all(|id| id.id.len() <= 3 * secret.len() + 64));
        identities.extend(proven);
    }
    let text = String::from_utf8_lossy(secret);
    let single = vec![Acl::new(Perms::ALL, scheme.as_ref(), text.as_ref())];
    for acl in [Vec::<Acl>::from_bytes(secret).unwrap_or_default(), single] {
        let fixed = frugal(bytes.len() * 8, || auth.fix_up(acl, &identities));
        let Some(fixed) = fixed else {
            continue;
        };
        // What was accepted is accepted again as it is, and can be stored.
        assert!(!fixed.is_empty() && fixed.iter().all(|entry| entry.id.scheme != "auth"));
        assert_eq!(auth.fix_up(fixed.clone(), &identities), Some(fixed.clone()));
        assert_eq!(Vec::<Acl>::from_bytes(&fixed.to_bytes()), Ok(fixed.clone()));
        let anyone = fixed.iter().any(|entry| entry.id == Id::new("world", "anyone"));
        let nobody = auth.allows(&fixed, Perms::READ, &[]);
        assert!(!nobody || anyone);
    }
}

/// A token to either side of an exchange, what servers wrap it in, or the file with the passwords. Nobody proves to be anybody by chance: the
/// client's response is answered only if it is the one that was captured.
pub fn sasl(bytes: &[u8]) {
    let file = "Server { DigestLoginModule required user_bob=\"bobsecret\"; };";
    let jaas = Jaas::parse(file).expect("a file");
    let users = Users::of_section(jaas.section("Server").expect("its section"));
    let nonce = "Y6PDv3oYmNZIFL/ETqbiHK4pU8vvUdVqT8BxJpX7";
    let mut server = ServerExchange::new(Service::CLIENTS, nonce.to_owned());
    assert!(matches!(server.step(b"", &users), Ok(Answer::Challenge(_))));
    let judged = frugal(bytes.len() * 4, || server.step(bytes, &users));
    if let Ok(answer) = judged {
        assert!(matches!(answer, Answer::Proven { user, .. } if user == "bob"));
        let proof = b"8f60f4ee0b53bedb075e570390d59c04";
        assert!(bytes.windows(proof.len()).any(|window| window == proof));
    }
    assert!(server.step(bytes, &users).is_err());

    let credentials = Credentials {
        username: "bob".to_owned(),
        password: Secret::new("bobsecret"),
    };
    let mut client = ClientExchange::new(Service::CLIENTS, credentials, "cnonce".to_owned());
    if frugal(bytes.len() * 4, || client.step(bytes)).is_ok() {
        assert!(client.step(bytes).is_err(), "a challenge proves nothing");
    }
    if let Ok(packet) = frugal(bytes.len(), || QuorumAuthPacket::from_bytes(bytes)) {
        assert_eq!(QuorumAuthPacket::from_bytes(&packet.to_bytes()), Ok(packet));
    }
    let text = String::from_utf8_lossy(bytes);
    if let Err(refusal) = frugal(bytes.len() * 8, || Jaas::parse(&text)) {
        assert!((1..=text.lines().count() + 1).contains(&refusal.line));
    }
}
