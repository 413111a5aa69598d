//! A tool's connection to a server: plain, or with TLS upon it. (ClientCnxnSocketNetty)

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::Connection;

use crate::runtime::{Disk, OsDisk};
use crate::tls::{ClientAuth, Secret, Store, TlsContext, TlsOptions, TlsStream, shake_hands};

/// A connection.
#[derive(Debug)]
pub enum Stream<S> {
    /// Without TLS.
    Plain(S),
    /// With it.
    Tls(Box<TlsStream<S>>),
}

/// Names with values, in the order of a file.
pub type Entries = Vec<(String, String)>;

/// Java's properties of a client: those set already, and how a file of more is read.
#[derive(Debug)]
pub struct ClientProperties {
    /// Names with values.
    pub values: BTreeMap<String, String>,
    /// The entries of a file in Java's syntax.
    pub parse: fn(&[u8]) -> Result<Entries, String>,
}

impl ClientProperties {
    /// How servers are called by these properties, and over them those of `file`. (ZKClientConfig)
    ///
    /// # Errors
    /// A sentence that names what is wrong.
    pub fn caller(&self, file: Option<&Path>) -> Result<Caller, String> {
        let mut values = self.values.clone();
        if let Some(path) = file {
            let bytes = read_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let entries = (self.parse)(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
            values.extend(entries);
        }
        Caller::of_properties(|name| values.get(&format!("zookeeper.{name}")).cloned())
    }
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    OsDisk.open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How servers are called: plainly, or with TLS. (`zookeeper.client.secure` and its kind)
#[derive(Debug, Clone, Default)]
pub struct Caller {
    tls: Option<Arc<TlsContext>>,
}

impl Caller {
    /// One who speaks TLS, and believes servers by what stands in these files.
    pub fn with_tls(context: TlsContext) -> Caller {
        Caller {
            tls: Some(Arc::new(context)),
        }
    }

    /// By Java's client properties, which `property` gives without their `zookeeper.`.
    ///
    /// # Errors
    /// A sentence that names the property, and what is wrong.
    pub fn of_properties(property: impl Fn(&str) -> Option<String>) -> Result<Caller, String> {
        let is = |name: &str, unset: bool| {
            property(name).map_or(unset, |value| value.eq_ignore_ascii_case("true"))
        };
        if !is("client.secure", false) {
            return Ok(Caller::default());
        }
        let store = |name: &str| {
            let path = property(&format!("ssl.{name}.location")).filter(|path| !path.is_empty())?;
            Some(Store {
                path: path.into(),
                password: Secret(property(&format!("ssl.{name}.password")).unwrap_or_default()),
                password_path: property(&format!("ssl.{name}.passwordPath")).map(Into::into),
                kind: property(&format!("ssl.{name}.type")),
            })
        };
        let versions = property("ssl.enabledProtocols").or_else(|| property("ssl.protocol"));
        let versions = versions.unwrap_or_else(|| "TLSv1.2,TLSv1.3".to_owned());
        let options = TlsOptions {
            prefix: "zookeeper.ssl.",
            key_store: store("keyStore"),
            trust_store: store("trustStore"),
            client_auth: ClientAuth::None,
            verify_server_host: is("ssl.hostnameVerification", true),
            verify_client_host: false,
            tls_1_2: versions.contains("TLSv1.2"),
            tls_1_3: versions.contains("TLSv1.3"),
            cipher_suites: Vec::new(),
            handshake_ms: 0,
        };
        let context = TlsContext::of_caller(options, Arc::new(read_file));
        context.map(Caller::with_tls).map_err(|error| error.to_string())
    }

    /// Makes of a connected socket, whose reads and writes wait within their limits, what is spoken over. `host` is
    /// the name by which the server was called, if it was by one.
    ///
    /// # Errors
    /// Those of the operating system, and of the handshake.
    pub fn greet(&self, mut socket: TcpStream, host: Option<&str>) -> io::Result<Stream<TcpStream>> {
        let Some(context) = &self.tls else {
            return Ok(Stream::Plain(socket));
        };
        let address = socket.peer_addr()?.ip().to_string();
        let names: Vec<String> = host.map(str::to_owned).into_iter().chain([address]).collect();
        let mut connection = Connection::from(context.connect(&names)?);
        shake_hands(&mut connection, &mut socket)?;
        Ok(Stream::Tls(Box::new(TlsStream::new(connection, socket))))
    }

    /// Connects and greets; `limit` bounds the connect, and each later read and write.
    ///
    /// # Errors
    /// As [`Caller::greet`].
    pub fn call(
        &self,
        address: SocketAddr,
        host: Option<&str>,
        limit: Duration,
    ) -> io::Result<Stream<TcpStream>> {
        let socket = TcpStream::connect_timeout(&address, limit)?;
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(limit))?;
        socket.set_read_timeout(Some(limit.max(Duration::from_millis(1))))?;
        self.greet(socket, host)
    }
}

impl<S> Stream<S> {
    /// The socket.
    pub fn socket(&self) -> &S {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.socket(),
        }
    }

    /// The socket.
    pub fn socket_mut(&mut self) -> &mut S {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => stream.socket_mut(),
        }
    }
}

impl Stream<TcpStream> {
    /// The same for a poll: reads and writes do not wait any more.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn for_poll(self) -> io::Result<Stream<mio::net::TcpStream>> {
        self.socket().set_nonblocking(true)?;
        Ok(match self {
            Stream::Plain(socket) => Stream::Plain(mio::net::TcpStream::from_std(socket)),
            Stream::Tls(stream) => {
                Stream::Tls(Box::new(stream.without_waiting(mio::net::TcpStream::from_std)))
            }
        })
    }
}

impl<S: Write> Stream<S> {
    /// Says that nothing more will be said, where that can be said.
    pub fn end(&mut self) {
        if let Stream::Tls(stream) = self {
            stream.end();
        }
    }
}

impl<S: Read + Write> Read for Stream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(buffer),
            Stream::Tls(stream) => stream.read(buffer),
        }
    }
}

impl<S: Read + Write> Write for Stream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
