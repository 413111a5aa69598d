//! Who may do what: the authentication schemes and the check of an ACL. (package server.auth, PrepRequestProcessor)

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use crate::proto::{Acl, Id, Perms};
use crate::tls::subject::is_name;

/// The rules that the operator has set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Auth {
    /// Whether ACLs are ignored altogether (`zookeeper.skipACL=yes`).
    pub skip_acl: bool,
    /// `super:` and the digest of the super user's password, if there is one.
    pub super_digest: Option<String>,
    /// Whether the `sasl` scheme has a provider (`authProvider.N` names SASLAuthenticationProvider).
    pub sasl_provider: bool,
    /// The name that matches every `sasl` entry instead of `super`. (`zookeeper.superUser`)
    pub super_user: Option<String>,
    /// Whether the `x509` scheme has a provider: some port of the clients speaks TLS.
    pub x509_provider: bool,
    /// The owner of a certificate who may do everything. (`zookeeper.X509AuthenticationProvider.superUser`)
    pub x509_super_user: Option<String>,
}

/// Why credentials were not taken, for the log; the client is told AuthFailed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthRefusal {
    /// Nobody here knows the scheme.
    #[error("No authentication provider for scheme: {scheme} has {known}")]
    NoProvider {
        /// The scheme.
        scheme: String,
        /// The schemes that have a provider.
        known: String,
    },
    /// The scheme's provider says no.
    #[error("Authentication failed for scheme: {scheme}")]
    Failed {
        /// The scheme.
        scheme: String,
    },
}

impl Auth {
    /// What a connection from `remote` may add to its identities for these credentials.
    ///
    /// # Errors
    /// [`AuthRefusal`], after which the connection is closed.
    pub fn authenticate(&self, scheme: &str, auth: &[u8], remote: IpAddr) -> Result<Vec<Id>, AuthRefusal> {
        match scheme {
            "ip" => Ok(vec![ip_identity(remote)]),
            "digest" => Ok(self.digest_identities(&String::from_utf8_lossy(auth))),
            // Who has shown a certificate is known before; this one has not.
            "x509" if self.x509_provider => Err(AuthRefusal::Failed {
                scheme: scheme.to_owned(),
            }),
            "sasl" if self.sasl_provider => Err(AuthRefusal::Failed {
                scheme: scheme.to_owned(),
            }),
            _ => {
                let sasl = if self.sasl_provider { "sasl " } else { "" };
                let x509 = if self.x509_provider { "x509 " } else { "" };
                let known = format!("ip {sasl}{x509}digest ");
                Err(AuthRefusal::NoProvider {
                    scheme: scheme.to_owned(),
                    known,
                })
            }
        }
    }

    /// What a connection is whose client has shown a certificate of this owner.
    pub fn certificate_identities(&self, subject: &str) -> Vec<Id> {
        let is_super = self.x509_super_user.as_deref() == Some(subject);
        let super_id = is_super.then(|| Id::new("super", subject));
        super_id.into_iter().chain([Id::new("x509", subject)]).collect()
    }

    /// Whether one of `identities` has one of `perms` by this list. An empty list is open.
    pub fn allows(&self, acl: &[Acl], perms: Perms, identities: &[Id]) -> bool {
        self.skip_acl
            || acl.is_empty()
            || identities.iter().any(|id| id.scheme == "super")
            || acl
                .iter()
                .filter(|entry| entry.perms.intersects(perms))
                .any(|entry| is_anyone(&entry.id) || identities.iter().any(|id| self.matches(id, &entry.id)))
    }

    /// The list as it is to be stored: without duplicates, `auth` replaced by who asks, schemes and ids
    /// checked. `None` if it is not a list to be stored. (PrepRequestProcessor.fixupACL)
    pub fn fix_up(&self, acl: Vec<Acl>, identities: &[Id]) -> Option<Vec<Acl>> {
        let mut kept: Vec<Acl> = Vec::with_capacity(acl.len());
        for entry in acl {
            if !kept.contains(&entry) {
                kept.push(entry);
            }
        }
        if self.skip_acl {
            return Some(kept);
        }
        let mut asking = Vec::new();
        let mut fixed = Vec::with_capacity(kept.len());
        for entry in kept {
            if is_anyone(&entry.id) {
                fixed.push(entry);
            } else if entry.id.scheme == "auth" {
                let before = asking.len();
                let proven = identities.iter().filter(|id| self.proves(&id.scheme));
                asking.extend(proven.map(|id| Acl {
                    perms: entry.perms,
                    id: id.clone(),
                }));
                if asking.len() == before {
                    return None;
                }
            } else if self.is_valid(&entry.id) {
                fixed.push(entry);
            } else {
                return None;
            }
        }
        fixed.append(&mut asking);
        (!fixed.is_empty()).then_some(fixed)
    }

    /// Who an identity is, without anything secret: what whoAmI tells. (AuthUtil.getUser of 3.7)
    pub fn user_of<'i>(&self, id: &'i Id) -> &'i str {
        match id.scheme.as_str() {
            "digest" => id.id.split(':').next().unwrap_or_default(),
            "ip" => &id.id,
            "x509" if self.x509_provider => &id.id,
            "sasl" if self.sasl_provider => &id.id,
            _ => "",
        }
    }

    fn digest_identities(&self, credentials: &str) -> Vec<Id> {
        let digest = digest_of(credentials);
        let is_super = self
            .super_digest
            .as_ref()
            .is_some_and(|known| known.as_bytes().ct_eq(digest.as_bytes()).into());
        let super_id = is_super.then(|| Id::new("super", ""));
        super_id.into_iter().chain([Id::new("digest", digest)]).collect()
    }

    /// Whether an identity of this scheme says who somebody is, not only where. (isAuthenticated)
    fn proves(&self, scheme: &str) -> bool {
        scheme == "digest"
            || (scheme == "x509" && self.x509_provider)
            || (scheme == "sasl" && self.sasl_provider)
    }

    fn matches(&self, id: &Id, entry: &Id) -> bool {
        if id.scheme != entry.scheme {
            return false;
        }
        match entry.scheme.as_str() {
            "ip" => ip_matches(&id.id, &entry.id),
            "digest" => id.id == entry.id,
            "x509" => {
                self.x509_provider && (id.id == entry.id || self.x509_super_user.as_ref() == Some(&id.id))
            }
            "sasl" if self.sasl_provider => {
                id.id == self.super_user.as_deref().unwrap_or("super") || id.id == entry.id
            }
            _ => false,
        }
    }

    fn is_valid(&self, id: &Id) -> bool {
        match id.scheme.as_str() {
            "ip" => ipv4(&id.id).is_some(),
            "digest" => is_user_and_digest(&id.id),
            "x509" => self.x509_provider && is_name(&id.id),
            "sasl" => self.sasl_provider && is_kerberos_name(&id.id),
            _ => false,
        }
    }
}

/// The identity that every connection has from the beginning.
pub fn ip_identity(remote: IpAddr) -> Id {
    Id::new("ip", remote.to_canonical().to_string())
}

/// `user:password` as an ACL names it: the user and the base64 of the SHA-1 of the whole.
pub fn digest_of(credentials: &str) -> String {
    let user = credentials.split(':').next().unwrap_or_default();
    format!("{user}:{}", STANDARD.encode(Sha1::digest(credentials.as_bytes())))
}

fn is_anyone(id: &Id) -> bool {
    id.scheme == "world" && id.id == "anyone"
}

/// Two parts around a colon. Java's split forgets empty parts at the end, hence `a:b:` passes and `a:` fails.
fn is_user_and_digest(id: &str) -> bool {
    id.trim_end_matches(':').split(':').count() == 2
}

/// `service/host@realm`, or any word without `@`. (KerberosName)
fn is_kerberos_name(id: &str) -> bool {
    match id.split_once('@') {
        None => true,
        Some((name, realm)) => name.matches('/').count() <= 1 && !realm.contains(['/', '@']),
    }
}

fn ip_matches(id: &str, entry: &str) -> bool {
    let (address, bits) = match entry.split_once('/') {
        Some((address, bits)) => (address, bits.parse().ok()),
        None => (entry, Some(32)),
    };
    let (Some(wanted), Some(bits), Some(given)) = (ipv4(address), bits, ipv4(id)) else {
        return false;
    };
    let mask = match bits {
        0 => 0,
        1..=32 => u32::MAX << (32 - bits),
        _ => return false,
    };
    wanted & mask == given & mask
}

/// Four decimal parts, as Java's parser takes them: signs and leading zeros pass.
fn ipv4(text: &str) -> Option<u32> {
    let mut parts = text
        .split('.')
        .map(|part| part.parse::<i32>().ok().and_then(|v| u8::try_from(v).ok()));
    let bytes = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[(&str, &str)]) -> Vec<Id> {
        list.iter().map(|&(scheme, id)| Id::new(scheme, id)).collect()
    }

    fn allows(scheme: &str, id: &str, identities: &[(&str, &str)]) -> bool {
        Auth::default().allows(
            &[Acl::new(Perms::READ, scheme, id)],
            Perms::READ,
            &ids(identities),
        )
    }

    fn fixed(acl: &[(&str, &str)], identities: &[(&str, &str)]) -> Option<Vec<String>> {
        let acl = acl
            .iter()
            .map(|&(scheme, id)| Acl::new(Perms::ALL, scheme, id))
            .collect();
        let fixed = Auth::default().fix_up(acl, &ids(identities))?;
        Some(
            fixed
                .into_iter()
                .map(|acl| format!("{}:{}", acl.id.scheme, acl.id.id))
                .collect(),
        )
    }

    #[test]
    fn a_digest_is_that_of_java() {
        // The documentation's example: DigestAuthenticationProvider super:superpw.
        assert_eq!(digest_of("super:superpw"), "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=");
    }

    #[test]
    fn entries_match_by_scheme_and_id() {
        assert!(allows("world", "anyone", &[]));
        assert!(!allows("world", "somebody", &[("world", "somebody")]));
        assert!(allows("digest", "u:x", &[("ip", "1.2.3.4"), ("digest", "u:x")]));
        assert!(!allows("digest", "u:x", &[("digest", "u:y")]));
        assert!(allows("digest", "u:x", &[("super", "")]));
        assert!(allows("ip", "10.1.0.0/16", &[("ip", "10.1.2.3")]));
        assert!(!allows("ip", "10.1.0.0/16", &[("ip", "10.2.2.3")]));
        assert!(allows("ip", "10.1.2.3", &[("ip", "10.1.2.3")]));
        assert!(allows("ip", "0.0.0.0/0", &[("ip", "10.1.2.3")]));
        assert!(!allows("ip", "10.1.0.0/33", &[("ip", "10.1.0.0")]));
    }

    #[test]
    fn only_the_permissions_asked_for_count() {
        let acl = [Acl::new(Perms::READ, "world", "anyone")];
        assert!(!Auth::default().allows(&acl, Perms::WRITE, &[]));
        assert!(Auth::default().allows(&acl, Perms::READ.union(Perms::ADMIN), &[]));
        assert!(
            Auth {
                skip_acl: true,
                ..Auth::default()
            }
            .allows(&acl, Perms::WRITE, &[])
        );
        assert!(Auth::default().allows(&[], Perms::WRITE, &[]));
    }

    #[test]
    fn auth_entries_become_those_who_ask_at_the_end() {
        let who = [("ip", "1.2.3.4"), ("digest", "u:x"), ("digest", "v:y")];
        let list = fixed(&[("auth", ""), ("world", "anyone")], &who);
        assert_eq!(
            list,
            Some(vec![
                "world:anyone".into(),
                "digest:u:x".into(),
                "digest:v:y".into()
            ])
        );
        assert_eq!(fixed(&[("auth", "")], &who[..1]), None);
    }

    #[test]
    fn duplicates_go_and_nonsense_is_refused() {
        assert_eq!(
            fixed(&[("world", "anyone"), ("world", "anyone")], &[]).map(|list| list.len()),
            Some(1)
        );
        assert_eq!(fixed(&[], &[]), None);
        for bad in [
            ("ip", "1.2.3"),
            ("ip", "1.2.3.4/8"),
            ("digest", "u"),
            ("digest", "u:"),
            ("foo", "x"),
        ] {
            assert_eq!(fixed(&[bad], &[]), None, "{bad:?}");
        }
        for good in [
            ("ip", "1.2.3.4"),
            ("digest", "u:x"),
            ("digest", "u:x:"),
            ("digest", ":x"),
        ] {
            assert!(fixed(&[good], &[]).is_some(), "{good:?}");
        }
    }

    #[test]
    fn the_super_user_is_known_by_the_digest() {
        let auth = Auth {
            super_digest: Some(digest_of("super:pw")),
            ..Auth::default()
        };
        let remote = IpAddr::from([127, 0, 0, 1]);
        let identities = auth.authenticate("digest", b"super:pw", remote).expect("taken");
        assert_eq!(identities[0], Id::new("super", ""));
        assert_eq!(
            auth.authenticate("digest", b"super:no", remote)
                .expect("taken")
                .len(),
            1
        );
        assert!(auth.authenticate("kerberos", b"", remote).is_err());
    }
}
