//! What connections begin with: key, trust and rules, and how they are renewed.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::NoServerSessionStorage;
use rustls::{
    ClientConfig, ClientConnection, ServerConfig, ServerConnection, SupportedCipherSuite,
    SupportedProtocolVersion, version,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::files::{self, Content};
use super::trust::{Trust, names_one_of};
use super::{ClientAuth, ReadFile, Store, TlsError, TlsOptions};

/// Key and trust of one kind of connections. Connections that begin later see what has been renewed.
pub struct TlsContext {
    options: TlsOptions,
    read_file: ReadFile,
    current: RwLock<Arc<Loaded>>,
    /// What the files held when they were looked at last, good or bad.
    seen: Mutex<Option<Contents>>,
}

/// What became of a look at the files.
#[derive(Debug)]
pub enum Reload {
    /// They are as they were.
    Unchanged,
    /// New connections use what they hold now.
    Renewed,
    /// What was read before stays in use.
    Refused(TlsError),
}

/// The content of key file and trust file, if there are such.
type Contents = (Option<Content>, Option<Content>);

/// What was made of the files.
struct Loaded {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    trust: Option<Arc<Trust>>,
    /// What connections that come in begin with; none without a key.
    server: Option<Arc<ServerConfig>>,
}

impl TlsContext {
    /// Reads what a server needs: a key, and whom to believe unless nobody is asked who he is.
    ///
    /// # Errors
    /// [`TlsError`], which the operator must mend.
    pub fn of_server(options: TlsOptions, read_file: ReadFile) -> Result<TlsContext, TlsError> {
        let missing = |name: &str, why| TlsError::Missing {
            key: format!("{}{name}", options.prefix),
            why,
        };
        if options.key_store.is_none() {
            return Err(missing(
                "keyStore.location",
                "a server needs a key and a certificate to speak TLS",
            ));
        }
        if options.trust_store.is_none() && options.client_auth != ClientAuth::None {
            let why = "nobody's certificate could be judged; set it, or clientAuth=none";
            return Err(missing("trustStore.location", why));
        }
        TlsContext::load(options, read_file)
    }

    /// Reads what one who calls needs: whom to believe, and a key if he has one.
    ///
    /// # Errors
    /// As [`TlsContext::of_server`].
    pub fn of_caller(options: TlsOptions, read_file: ReadFile) -> Result<TlsContext, TlsError> {
        if options.trust_store.is_none() {
            return Err(TlsError::Missing {
                key: format!("{}trustStore.location", options.prefix),
                why: "no server's certificate could be judged",
            });
        }
        TlsContext::load(options, read_file)
    }

    /// Reads what a server needs that calls others and is called by them: a key, and whom to believe.
    ///
    /// # Errors
    /// As [`TlsContext::of_server`].
    pub fn of_peer(options: TlsOptions, read_file: ReadFile) -> Result<TlsContext, TlsError> {
        if options.trust_store.is_none() {
            return TlsContext::of_caller(options, read_file);
        }
        TlsContext::of_server(options, read_file)
    }

    fn load(options: TlsOptions, read_file: ReadFile) -> Result<TlsContext, TlsError> {
        let contents = read(&options, &read_file)?;
        let loaded = make(&options, &contents)?;
        Ok(TlsContext {
            options,
            read_file,
            current: RwLock::new(Arc::new(loaded)),
            seen: Mutex::new(Some(contents)),
        })
    }

    /// Looks whether the files have changed, and renews what connections begin with. What is refused is told once.
    pub fn reload(&self) -> Reload {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = match read(&self.options, &self.read_file) {
            Ok(contents) if seen.as_ref() == Some(&contents) => return Reload::Unchanged,
            Ok(contents) => contents,
            Err(_) if seen.is_none() => return Reload::Unchanged,
            Err(error) => {
                *seen = None;
                return Reload::Refused(error);
            }
        };
        let made = make(&self.options, &contents);
        *seen = Some(contents);
        match made {
            Ok(loaded) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                Reload::Renewed
            }
            Err(error) => Reload::Refused(error),
        }
    }

    /// How long a handshake may take, milliseconds.
    pub fn handshake_ms(&self) -> u32 {
        self.options.handshake_ms
    }

    /// How the keys begin that have made it.
    pub fn prefix(&self) -> &'static str {
        self.options.prefix
    }

    /// Begins a connection that has come in.
    ///
    /// # Errors
    /// What the library says; nothing is known of the connection yet.
    pub fn accept(&self) -> io::Result<ServerConnection> {
        let server = self.loaded().server.clone();
        let server = server.ok_or_else(|| io::Error::other("there is no key to accept TLS with"))?;
        ServerConnection::new(server).map_err(io::Error::other)
    }

    /// Begins a connection to a server that is called by these names: host names and addresses, the one to be told
    /// to the server first.
    ///
    /// # Errors
    /// As [`TlsContext::accept`].
    pub fn connect(&self, names: &[String]) -> io::Result<ClientConnection> {
        let loaded = self.loaded();
        let first = names.first().map_or("", |name| name.trim_end_matches('.'));
        let told =
            ServerName::try_from(first.to_owned()).or_else(|_| ServerName::try_from("server".to_owned()));
        let told = told.map_err(io::Error::other)?;
        let wanted = if self.options.verify_server_host {
            names.to_vec()
        } else {
            Vec::new()
        };
        let config = loaded.client(wanted).map_err(io::Error::other)?;
        ClientConnection::new(Arc::new(config), told).map_err(io::Error::other)
    }

    /// Whether a caller's certificate is good for one of these hosts, if that matters.
    pub fn is_from(&self, certificate: &CertificateDer<'_>, hosts: &[String]) -> bool {
        !(self.options.verify_server_host && self.options.verify_client_host)
            || names_one_of(certificate, hosts)
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl std::fmt::Debug for TlsContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsContext({}*)", self.options.prefix)
    }
}

impl Loaded {
    fn server(&self, client_auth: ClientAuth) -> Result<Option<Arc<ServerConfig>>, rustls::Error> {
        let Some((chain, key)) = &self.identity else {
            return Ok(None);
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(&self.versions)?;
        let verifier = match client_auth {
            ClientAuth::None => None,
            _ => self
                .trust
                .as_ref()
                .and_then(|trust| trust.of_callers(client_auth)),
        };
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain.clone(), key.clone_key())?;
        // Every connection proves anew who it is: what was believed before a renewal is not believed after it.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Some(Arc::new(config)))
    }

    fn client(&self, names: Vec<String>) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(&self.versions)?;
        let nobody = || rustls::Error::General("nobody is believed".to_owned());
        let trust = self.trust.as_ref().ok_or_else(nobody)?;
        let builder = builder
            .dangerous()
            .with_custom_certificate_verifier(trust.of_called(names));
        let mut config = match &self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.resumption = rustls::client::Resumption::disabled();
        Ok(config)
    }
}

fn read(options: &TlsOptions, read_file: &ReadFile) -> Result<Contents, TlsError> {
    let read = |name: &str, store: &Option<Store>| {
        let key = format!("{}{name}", options.prefix);
        let store = store.as_ref();
        store.map(|store| files::read(read_file, &key, store)).transpose()
    };
    Ok((
        read("keyStore.location", &options.key_store)?,
        read("trustStore.location", &options.trust_store)?,
    ))
}

fn make(options: &TlsOptions, (key_file, trust_file): &Contents) -> Result<Loaded, TlsError> {
    let provider = Arc::new(provider(options)?);
    let mut versions = Vec::new();
    versions.extend(options.tls_1_3.then_some(&version::TLS13));
    versions.extend(options.tls_1_2.then_some(&version::TLS12));
    let key = format!("{}keyStore.location", options.prefix);
    let identity = match (&options.key_store, key_file) {
        (Some(store), Some(content)) => Some((
            files::own_certificates(&key, store, content)?,
            files::private_key(&key, store, content)?,
        )),
        _ => None,
    };
    let trust = match (&options.trust_store, trust_file) {
        (Some(store), Some(content)) => {
            let key = format!("{}trustStore.location", options.prefix);
            let known = files::certificates(&key, store, content)?;
            let unusable = || TlsError::Unusable {
                key,
                path: store.path.clone(),
                reason: "none of its certificates can be used to judge others".to_owned(),
            };
            let trust = Trust::new(known, Arc::clone(&provider)).ok_or_else(unusable)?;
            Some(Arc::new(trust))
        }
        _ => None,
    };
    let mut loaded = Loaded {
        provider,
        versions,
        identity,
        trust,
        server: None,
    };
    let server = loaded.server(options.client_auth);
    loaded.server = server.map_err(|error| TlsError::Unusable {
        path: options
            .key_store
            .as_ref()
            .map(|store| store.path.clone())
            .unwrap_or_default(),
        key,
        reason: format!("key and certificate cannot be used: {error}"),
    })?;
    Ok(loaded)
}

/// The library's algorithms, of which the operator may have chosen some.
fn provider(options: &TlsOptions) -> Result<CryptoProvider, TlsError> {
    let mut provider = ring::default_provider();
    if options.cipher_suites.is_empty() {
        return Ok(provider);
    }
    let wanted = |suite: &SupportedCipherSuite| {
        options
            .cipher_suites
            .iter()
            .any(|name| *name == suite_name(suite))
    };
    let known: Vec<String> = provider.cipher_suites.iter().map(suite_name).collect();
    provider.cipher_suites.retain(wanted);
    let speaks = |version| {
        provider
            .cipher_suites
            .iter()
            .any(|suite| suite.version().version == version)
    };
    let is_mute = (options.tls_1_2 && !options.tls_1_3 && !speaks(rustls::ProtocolVersion::TLSv1_2))
        || (options.tls_1_3 && !options.tls_1_2 && !speaks(rustls::ProtocolVersion::TLSv1_3));
    if provider.cipher_suites.is_empty() || is_mute {
        return Err(TlsError::Setting {
            key: format!("{}ciphersuites", options.prefix),
            reason: format!("none of them is offered; there are {}", known.join(", ")),
        });
    }
    Ok(provider)
}

/// The standard name, which Java uses as well.
pub(super) fn suite_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}
