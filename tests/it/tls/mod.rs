//! TLS on whole servers: the port of the clients, what certificates prove, and the ports between servers.

mod clients;
mod flood;
mod quorum;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oxkeeper::tools::client::{Client, Handshake};
use oxkeeper::tools::stream::Caller;
use oxkeeper::tools::wire::{ClientError, Wire};
use tempfile::TempDir;

use crate::support::certificates::{Authority, Flaw, caller, write};
use crate::support::configured::Configured;
use crate::support::process::free_port;

/// A server with a port for TLS, and those who call it.
struct Secured {
    server: Configured,
    port: u16,
    authority: Authority,
    trust: PathBuf,
    dir: TempDir,
}

impl Secured {
    /// A server whose certificate is good for localhost, with further lines of zoo.cfg.
    fn start(lines: &[&str]) -> Secured {
        let dir = tempfile::tempdir().expect("a directory");
        let (authority, port) = (Authority::new("authority"), free_port());
        let key = authority.identity("server", &["localhost"], Flaw::None);
        let key = write(dir.path(), "server.pem", &key);
        let trust = write(dir.path(), "trust.pem", &authority.pem());
        let own = [
            format!("secureClientPort={port}"),
            "secureClientPortAddress=127.0.0.1".to_owned(),
            format!("ssl.keyStore.location={}", key.display()),
            format!("ssl.trustStore.location={}", trust.display()),
        ];
        let own: Vec<&str> = own
            .iter()
            .map(String::as_str)
            .chain(lines.iter().copied())
            .collect();
        Secured {
            server: Configured::start(&own),
            port,
            authority,
            trust,
            dir,
        }
    }

    fn secure_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Somebody with a certificate of this name.
    fn caller(&self, name: &str) -> Caller {
        let key = self.authority.identity(name, &[], Flaw::None);
        self.caller_with(Some(&key))
    }

    /// Somebody with this key file.
    fn caller_with(&self, key: Option<&str>) -> Caller {
        let key = key.map(|text| write(self.dir.path(), "client.pem", text));
        caller(key.as_deref(), &self.trust)
    }

    fn connect(&self, caller: &Caller) -> Result<Client, ClientError> {
        connect(caller, self.secure_address())
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn connect(caller: &Caller, address: SocketAddr) -> Result<Client, ClientError> {
    Client::connect_by(caller, address, Some("localhost"), &Handshake::default(), LIMIT)
}

/// What a server answers to a word over TLS.
fn word(caller: &Caller, address: SocketAddr, word: &[u8]) -> String {
    let mut wire = Wire::call(caller, address, Some("localhost"), LIMIT).expect("a connection");
    wire.send_bytes(word).expect("sent");
    String::from_utf8(wire.receive_rest().expect("an answer")).expect("text")
}

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(30);
