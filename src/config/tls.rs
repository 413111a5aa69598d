//! What is configured of TLS: the clients' port and the ports between servers.
//! (QuorumPeerConfig, X509Util, ClientX509Util, QuorumX509Util of 3.9)

use std::path::PathBuf;

use super::error::ConfigError;
use super::options::{self, Opt};
use super::settings::Settings;
use crate::tls::{ClientAuth, Secret, Store, TlsOptions};

/// What is configured of TLS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The port for clients that speak TLS. (`secureClientPort`)
    pub secure_port: Option<u16>,
    /// The address or host name to listen on for them; all addresses if none. (`secureClientPortAddress`)
    pub secure_address: Option<String>,
    /// Whether clientPort takes those that speak TLS as well. (`client.portUnification`)
    pub client_unification: bool,
    /// Whether key and trust of the clients' port are renewed when their files change. (`client.certReload`)
    pub client_reload: bool,
    /// Key, trust and rules for clients, if any port needs them.
    pub client: Option<TlsOptions>,
    /// The ports between servers, if they speak TLS.
    pub quorum: Option<QuorumTlsConfig>,
    /// The owner of a certificate who may do everything. (`X509AuthenticationProvider.superUser`)
    pub super_user: Option<String>,
}

/// TLS between servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumTlsConfig {
    /// Whether this server speaks TLS when it calls. (`sslQuorum`)
    pub calls: bool,
    /// Whether those who speak plainly are heard. (`portUnification`)
    pub takes_plain: bool,
    /// Whether key and trust are renewed when their files change. (`sslQuorumReloadCertFiles`)
    pub reload: bool,
    /// Key, trust and rules.
    pub options: TlsOptions,
}

/// The options of one kind of connections.
struct Keys {
    prefix: &'static str,
    key_store: [&'static Opt; 4],
    trust_store: [&'static Opt; 4],
    client_auth: &'static Opt,
    verify_server_host: &'static Opt,
    verify_client_host: &'static Opt,
    protocol: &'static Opt,
    enabled_protocols: &'static Opt,
    cipher_suites: &'static Opt,
    handshake: &'static Opt,
    crl: &'static Opt,
    ocsp: &'static Opt,
}

/// Reads what is configured.
pub(super) fn tls(settings: &mut Settings) -> Result<TlsConfig, ConfigError> {
    let secure_port = settings.number_if_set(&options::SECURE_CLIENT_PORT)?;
    let secure_address = settings.text(&options::SECURE_CLIENT_PORT_ADDRESS);
    if secure_address.is_some() && secure_port.is_none() {
        return Err(settings.conflict("secureClientPortAddress is set but secureClientPort is not set"));
    }
    let client_unification = settings.switch(&options::CLIENT_PORT_UNIFICATION);
    let client = (secure_port.is_some() || client_unification).then(|| read(settings, &CLIENT));
    let calls = settings.switch(&options::SSL_QUORUM);
    let takes_plain = settings.switch(&options::PORT_UNIFICATION);
    let reload = settings.switch(&options::SSL_QUORUM_RELOAD);
    let quorum = (calls || takes_plain)
        .then(|| read(settings, &QUORUM))
        .transpose()?;
    Ok(TlsConfig {
        secure_port,
        secure_address,
        client_unification,
        client_reload: settings.switch(&options::CLIENT_CERT_RELOAD),
        client: client.transpose()?,
        quorum: quorum.map(|options| QuorumTlsConfig {
            calls,
            takes_plain,
            reload,
            options,
        }),
        super_user: settings.text(&options::X509_SUPER_USER),
    })
}

fn read(settings: &mut Settings, keys: &Keys) -> Result<TlsOptions, ConfigError> {
    for (option, what) in [(keys.crl, "revocation lists"), (keys.ocsp, "OCSP")] {
        if settings.switch(option) {
            let reason = format!("{}=true: {what} are not offered", shown(option));
            return Err(settings.conflict(reason));
        }
    }
    let (tls_1_2, tls_1_3) = versions(settings, keys)?;
    let list = settings.text(keys.cipher_suites).unwrap_or_default();
    let suites = list
        .split([',', ':'])
        .map(str::trim)
        .filter(|name| !name.is_empty());
    Ok(TlsOptions {
        prefix: keys.prefix,
        key_store: store(settings, &keys.key_store),
        trust_store: store(settings, &keys.trust_store),
        client_auth: client_auth(settings, keys.client_auth)?,
        verify_server_host: settings.switch(keys.verify_server_host),
        verify_client_host: settings.switch(keys.verify_client_host),
        tls_1_2,
        tls_1_3,
        cipher_suites: suites.map(str::to_owned).collect(),
        handshake_ms: settings.number(keys.handshake)?,
    })
}

fn store(settings: &Settings, [location, password, password_path, kind]: &[&Opt; 4]) -> Option<Store> {
    let path = settings.text(location).filter(|path| !path.is_empty())?;
    Some(Store {
        path: PathBuf::from(path),
        password: Secret(settings.text(password).unwrap_or_default()),
        password_path: settings
            .text(password_path)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from),
        kind: settings.text(kind),
    })
}

fn client_auth(settings: &Settings, option: &Opt) -> Result<ClientAuth, ConfigError> {
    let text = settings.text(option).unwrap_or_default().to_ascii_lowercase();
    match text.as_str() {
        "" | "need" => Ok(ClientAuth::Need),
        "want" => Ok(ClientAuth::Want),
        "none" => Ok(ClientAuth::None),
        _ => Err(settings.conflict(format!("{}={text}: allowed is need, want or none", shown(option)))),
    }
}

/// Whether TLS 1.2 and whether TLS 1.3 is spoken. `ssl.protocol` is the newest one; all older ones go with it.
fn versions(settings: &Settings, keys: &Keys) -> Result<(bool, bool), ConfigError> {
    let newest = settings.text(keys.protocol).unwrap_or_default();
    let Some(list) = settings
        .text(keys.enabled_protocols)
        .filter(|list| !list.trim().is_empty())
    else {
        return match newest.as_str() {
            "" | "TLS" | "TLSv1.3" => Ok((true, true)),
            "TLSv1.2" => Ok((true, false)),
            _ => Err(no_such_version(settings, keys.protocol, &newest)),
        };
    };
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    let versions = (names.contains(&"TLSv1.2"), names.contains(&"TLSv1.3"));
    if versions == (false, false) {
        return Err(no_such_version(settings, keys.enabled_protocols, &list));
    }
    Ok(versions)
}

fn no_such_version(settings: &Settings, option: &Opt, text: &str) -> ConfigError {
    settings.conflict(format!(
        "{}={text}: TLSv1.2 and TLSv1.3 are offered",
        shown(option)
    ))
}

/// The key as operators write it.
fn shown(option: &Opt) -> &'static str {
    option.key().unwrap_or(option.name)
}

const CLIENT: Keys = Keys {
    prefix: "ssl.",
    key_store: [
        &options::SSL_KEY_STORE,
        &options::SSL_KEY_STORE_PASSWORD,
        &options::SSL_KEY_STORE_PASSWORD_PATH,
        &options::SSL_KEY_STORE_TYPE,
    ],
    trust_store: [
        &options::SSL_TRUST_STORE,
        &options::SSL_TRUST_STORE_PASSWORD,
        &options::SSL_TRUST_STORE_PASSWORD_PATH,
        &options::SSL_TRUST_STORE_TYPE,
    ],
    client_auth: &options::SSL_CLIENT_AUTH,
    verify_server_host: &options::SSL_HOSTNAME_VERIFICATION,
    verify_client_host: &options::SSL_CLIENT_HOSTNAME_VERIFICATION,
    protocol: &options::SSL_PROTOCOL,
    enabled_protocols: &options::SSL_ENABLED_PROTOCOLS,
    cipher_suites: &options::SSL_CIPHER_SUITES,
    handshake: &options::SSL_HANDSHAKE_TIMEOUT,
    crl: &options::SSL_CRL,
    ocsp: &options::SSL_OCSP,
};

const QUORUM: Keys = Keys {
    prefix: "ssl.quorum.",
    key_store: [
        &options::SSL_QUORUM_KEY_STORE,
        &options::SSL_QUORUM_KEY_STORE_PASSWORD,
        &options::SSL_QUORUM_KEY_STORE_PASSWORD_PATH,
        &options::SSL_QUORUM_KEY_STORE_TYPE,
    ],
    trust_store: [
        &options::SSL_QUORUM_TRUST_STORE,
        &options::SSL_QUORUM_TRUST_STORE_PASSWORD,
        &options::SSL_QUORUM_TRUST_STORE_PASSWORD_PATH,
        &options::SSL_QUORUM_TRUST_STORE_TYPE,
    ],
    client_auth: &options::SSL_QUORUM_CLIENT_AUTH,
    verify_server_host: &options::SSL_QUORUM_HOSTNAME_VERIFICATION,
    verify_client_host: &options::SSL_QUORUM_CLIENT_HOSTNAME_VERIFICATION,
    protocol: &options::SSL_QUORUM_PROTOCOL,
    enabled_protocols: &options::SSL_QUORUM_ENABLED_PROTOCOLS,
    cipher_suites: &options::SSL_QUORUM_CIPHER_SUITES,
    handshake: &options::SSL_QUORUM_HANDSHAKE_TIMEOUT,
    crl: &options::SSL_QUORUM_CRL,
    ocsp: &options::SSL_QUORUM_OCSP,
};
