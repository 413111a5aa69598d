//! TLS: who this server is, whom it believes, and the records between plain bytes and a socket.
//!
//! `files` reads keys and certificates, `context` makes of them what connections begin with and renews it when the
//! files change, `trust` judges the certificates of others, `subject` writes their names as Java does. `server_stream`
//! is a client's connection as the client loop holds it, which never waits, `session` the records of it, `halves` a
//! connection that one thread reads and another one writes.
//!
//! Nothing here opens a socket or a file: streams are handed in, and so is how to read a file. Passwords are kept in [`Secret`], which no log prints.
//! The facts are those of X509Util and ClientX509Util of ZooKeeper 3.9.

mod context;
mod files;
mod halves;
pub mod server_stream;
mod session;
pub mod subject;
mod trust;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

pub use context::{Reload, TlsContext};
pub use halves::{TlsReader, TlsWriter};
pub use server_stream::{Greeting, ServerStream, begins_handshake};
pub use session::{TlsStream, agreed, shake_hands};

/// How a file is read whole.
pub type ReadFile = Arc<dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync>;

/// What the operator has set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// How the keys begin, for messages: `ssl.`, `ssl.quorum.`, or `zookeeper.ssl.` of a client.
    pub prefix: &'static str,
    /// Key and certificates of this server. (`keyStore.location`)
    pub key_store: Option<Store>,
    /// Whom to believe. (`trustStore.location`)
    pub trust_store: Option<Store>,
    /// Whether who connects must show a certificate. (`clientAuth`)
    pub client_auth: ClientAuth,
    /// Whether a server's certificate must name the host that was called. (`hostnameVerification`)
    pub verify_server_host: bool,
    /// Whether a caller's certificate must name where it calls from. (`clientHostnameVerification`)
    pub verify_client_host: bool,
    /// Whether TLS 1.2 may be spoken.
    pub tls_1_2: bool,
    /// Whether TLS 1.3 may be spoken.
    pub tls_1_3: bool,
    /// The cipher suites to choose from, by their standard names; all if none. (`ciphersuites`)
    pub cipher_suites: Vec<String>,
    /// How long a handshake may take, milliseconds. (`handshakeDetectionTimeoutMillis`)
    pub handshake_ms: u32,
}

/// A file with keys or certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Where it is.
    pub path: PathBuf,
    /// What protects the private key; empty for nothing.
    pub password: Secret,
    /// A file that holds the password instead. (`passwordPath`)
    pub password_path: Option<PathBuf>,
    /// What kind of file the operator says it is: `PEM` and others. By the name's ending if not said.
    pub kind: Option<String>,
}

/// A password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whether who connects must show a certificate. (X509Util.ClientAuth)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// None is asked for.
    None,
    /// One that is shown must be right.
    Want,
    /// Nobody is heard without.
    Need,
}

/// Why keys and certificates cannot be used. The operator must mend it.
#[derive(Debug, Error)]
pub enum TlsError {
    /// What a server cannot do without is not set.
    #[error("{key} is not set: {why}")]
    Missing {
        /// Which key.
        key: String,
        /// What it is needed for.
        why: &'static str,
    },
    /// A file that cannot be read.
    #[error("{key}={}: cannot be read: {source}", path.display())]
    Unreadable {
        /// Which key names it.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that holds something else than it should.
    #[error("{key}={}: {reason}", path.display())]
    Unusable {
        /// Which key names it.
        key: String,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Settings that leave nothing to speak.
    #[error("{key}: {reason}")]
    Setting {
        /// Which key.
        key: String,
        /// What is wrong.
        reason: String,
    },
}
