//! What is configured of TLS. (QuorumPeerConfig, X509Util, ClientX509Util of 3.9)

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
    /// The owner of a certificate who may do everything. (`X509AuthenticationProvider.superUser`)
    pub super_user: Option<String>,
}

/// Reads what is configured.
pub(super) fn tls(settings: &mut Settings) -> Result<TlsConfig, ConfigError> {
    let secure_port = settings.number_if_set(&options::SECURE_CLIENT_PORT)?;
    let secure_address = settings.text(&options::SECURE_CLIENT_PORT_ADDRESS);
    if secure_address.is_some() && secure_port.is_none() {
        return Err(settings.conflict("secureClientPortAddress is set but secureClientPort is not set"));
    }
    let client_unification = settings.switch(&options::CLIENT_PORT_UNIFICATION);
    let client = (secure_port.is_some() || client_unification).then(|| read(settings));
    for option in [&options::SSL_QUORUM, &options::PORT_UNIFICATION] {
        if settings.switch(option) {
            // An operator who asks for protection must not get a server without it.
            let reason = "servers do not speak TLS with each other in this version";
            return Err(settings.conflict(format!("{}=true: {reason}", shown(option))));
        }
    }
    Ok(TlsConfig {
        secure_port,
        secure_address,
        client_unification,
        client_reload: settings.switch(&options::CLIENT_CERT_RELOAD),
        client: client.transpose()?,
        super_user: settings.text(&options::X509_SUPER_USER),
    })
}

fn read(settings: &mut Settings) -> Result<TlsOptions, ConfigError> {
    for (option, what) in [
        (&options::SSL_CRL, "revocation lists"),
        (&options::SSL_OCSP, "OCSP"),
    ] {
        if settings.switch(option) {
            let reason = format!("{}=true: {what} are not offered", shown(option));
            return Err(settings.conflict(reason));
        }
    }
    let (tls_1_2, tls_1_3) = versions(settings)?;
    let list = settings.text(&options::SSL_CIPHER_SUITES).unwrap_or_default();
    let suites = list
        .split([',', ':'])
        .map(str::trim)
        .filter(|name| !name.is_empty());
    Ok(TlsOptions {
        prefix: "ssl.",
        key_store: store(settings, &KEY_STORE),
        trust_store: store(settings, &TRUST_STORE),
        client_auth: client_auth(settings, &options::SSL_CLIENT_AUTH)?,
        verify_server_host: settings.switch(&options::SSL_HOSTNAME_VERIFICATION),
        verify_client_host: settings.switch(&options::SSL_CLIENT_HOSTNAME_VERIFICATION),
        tls_1_2,
        tls_1_3,
        cipher_suites: suites.map(str::to_owned).collect(),
        handshake_ms: settings.number(&options::SSL_HANDSHAKE_TIMEOUT)?,
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
fn versions(settings: &Settings) -> Result<(bool, bool), ConfigError> {
    let newest = settings.text(&options::SSL_PROTOCOL).unwrap_or_default();
    let Some(list) = settings
        .text(&options::SSL_ENABLED_PROTOCOLS)
        .filter(|list| !list.trim().is_empty())
    else {
        return match newest.as_str() {
            "" | "TLS" | "TLSv1.3" => Ok((true, true)),
            "TLSv1.2" => Ok((true, false)),
            _ => Err(no_such_version(settings, &options::SSL_PROTOCOL, &newest)),
        };
    };
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    let versions = (names.contains(&"TLSv1.2"), names.contains(&"TLSv1.3"));
    if versions == (false, false) {
        return Err(no_such_version(settings, &options::SSL_ENABLED_PROTOCOLS, &list));
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

const KEY_STORE: [&Opt; 4] = [
    &options::SSL_KEY_STORE,
    &options::SSL_KEY_STORE_PASSWORD,
    &options::SSL_KEY_STORE_PASSWORD_PATH,
    &options::SSL_KEY_STORE_TYPE,
];
const TRUST_STORE: [&Opt; 4] = [
    &options::SSL_TRUST_STORE,
    &options::SSL_TRUST_STORE_PASSWORD,
    &options::SSL_TRUST_STORE_PASSWORD_PATH,
    &options::SSL_TRUST_STORE_TYPE,
];
