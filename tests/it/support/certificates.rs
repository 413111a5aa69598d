//! Certificates made on the spot: right ones, and wrong ones of every kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxkeeper::tls::{ClientAuth, Secret, Store, TlsContext, TlsOptions};
use oxkeeper::tools::stream::Caller;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};

/// Somebody who vouches for others.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// How a certificate is wrong, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Not at all.
    None,
    /// Its time is over.
    Expired,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a certificate"),
        }
    }

    /// Its own certificate, for those who trust it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Key and certificate for somebody of these names: what a key store holds.
    pub fn identity(&self, name: &str, hosts: &[&str], flaw: Flaw) -> String {
        let mut params = params(name, hosts);
        if flaw == Flaw::Expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        key.serialize_pem() + &certificate.pem()
    }
}

fn params(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    let mut params = CertificateParams::new(hosts).expect("names of hosts");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Tests");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Writes a file and gives its path.
pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).expect("a file");
    path
}

/// One who calls servers with this key file, if any, and believes whom that trust file names. The names of servers are
/// checked.
pub fn caller(key: Option<&Path>, trust: &Path) -> Caller {
    let store = |path: &Path| Store {
        path: path.to_owned(),
        password: Secret::default(),
        password_path: None,
        kind: None,
    };
    let options = TlsOptions {
        prefix: "zookeeper.ssl.",
        key_store: key.map(store),
        trust_store: Some(store(trust)),
        client_auth: ClientAuth::None,
        verify_server_host: true,
        verify_client_host: false,
        tls_1_2: true,
        tls_1_3: true,
        cipher_suites: Vec::new(),
        handshake_ms: 5_000,
    };
    let read_file = Arc::new(|path: &Path| fs::read(path));
    Caller::with_tls(TlsContext::of_caller(options, read_file).expect("usable files"))
}
