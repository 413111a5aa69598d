//! The port of the clients: bound before any thread starts, then run by the loop `NIOServerCxn.Factory`.
//! (NIOServerCnxnFactory)

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use thiserror::Error;

use crate::clients::{Rules, TokenRules, environment, word_answers};
use crate::request::ClientLetter;
use crate::runtime::machine::{Machine, raise_max_open_files};
use crate::runtime::{Address, ExitCode, Halt};
use crate::tls::{ServerStream, TlsContext};

use super::acceptor::Listener;
use super::client_loop::{ClientLoop, Signal};
use super::client_stream::ClientStream;
use super::desk::Serves;
use super::mailbox::Mailbox;

/// What the port of the clients is told by the configuration.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// The address or host name to listen on; all addresses if none. (`clientPortAddress`)
    pub host: Option<String>,
    /// The port; 0 for any free one, none if all clients speak TLS.
    pub port: Option<u16>,
    /// Where clients may speak TLS, if anywhere.
    pub tls: Option<PortTls>,
    /// How many connections one address may have; 0 for no limit. (`maxClientCnxns`)
    pub max_per_address: usize,
    /// Limits besides, if any.
    pub limits: PortLimits,
    /// How long a connection may take to ask for a session, or to take its last answer, milliseconds. 3.4.14
    /// waits for ever.
    pub patience_ms: i64,
    /// The rules for connections.
    pub rules: Rules,
    /// The answer of `conf` behind its first line `clientPort=`, with a line feed at the end of each line.
    pub conf: String,
}

/// Limits that 3.4 does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PortLimits {
    /// How many connections there may be in all. (`maxCnxns`)
    pub connections: Option<usize>,
    /// How many requests may be inside at once; further ones wait. (`request_throttle_max_requests`)
    pub requests: Option<usize>,
    /// How fast sessions may be asked for. (`connection_throttle_tokens`)
    pub sessions: Option<TokenRules>,
}

/// Where clients may speak TLS.
#[derive(Debug, Clone)]
pub struct PortTls {
    /// Key and trust.
    pub context: Arc<TlsContext>,
    /// The address or host name of the port for them alone, and the port; 0 for any free one.
    /// (`secureClientPortAddress`, `secureClientPort`)
    pub secure: Option<(Option<String>, u16)>,
    /// Whether the other port takes them as well. (`client.portUnification`)
    pub unification: bool,
}

impl PortConfig {
    /// How long a TLS handshake may take.
    pub(super) fn greeting_ms(&self) -> i64 {
        let tls = self.tls.as_ref();
        tls.map_or(self.patience_ms, |tls| tls.context.handshake_ms().into())
    }
}

/// Why the port cannot be had.
#[derive(Debug, Error)]
pub enum BindError {
    /// The name stands for no address.
    #[error("clientPortAddress {host} cannot be resolved: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// Somebody else listens there.
    #[error(
        "Address already in use: {address}; another server runs on this port, or the port is to be changed"
    )]
    InUse {
        /// The address with its port.
        address: ListenName,
    },
    /// The operating system refuses.
    #[error("cannot listen on {address}: {source}")]
    Refused {
        /// The address with its port.
        address: ListenName,
        /// Why.
        source: io::Error,
    },
    /// Nothing is to be listened on.
    #[error("there is neither a clientPort nor a secureClientPort")]
    NoPort,
    /// The operating system has no room for a poll.
    #[error("cannot make the poll of the client port: {0}")]
    Poll(io::Error),
}

/// An address to listen on, as Java writes it: `0.0.0.0/0.0.0.0:2181`, `localhost/127.0.0.1:2181`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenName {
    host: Option<String>,
    ip: IpAddr,
    port: u16,
}

/// The bound port, before its loop runs.
pub struct ClientPort {
    name: ListenName,
    local: SocketAddr,
    secure_port: Option<u16>,
    poll: Poll,
    client_loop: ClientLoop<MioListener>,
}

/// The operating system's sockets, as a loop sees them.
struct MioListener {
    doors: Vec<Door>,
    /// Which door is asked first next time: none is to keep the other shut.
    next: usize,
    registry: Registry,
}

/// A port that is listened on.
struct Door {
    name: ListenName,
    local: SocketAddr,
    listener: TcpListener,
    /// What TLS begins with here, and whether those who do not speak it are heard; none where nobody speaks it.
    guard: Option<(Arc<TlsContext>, bool)>,
}

impl Door {
    fn open(
        host: Option<String>,
        port: u16,
        guard: Option<(Arc<TlsContext>, bool)>,
    ) -> Result<Door, BindError> {
        let (name, listener) = listen(host, port)?;
        let local = listener.local_addr().map_err(|source| BindError::Refused {
            address: name.clone(),
            source,
        })?;
        Ok(Door {
            name,
            local,
            listener,
            guard,
        })
    }

    fn accept(&self) -> io::Result<(ClientStream, SocketAddr)> {
        let (socket, remote) = self.listener.accept()?;
        let stream = match &self.guard {
            None => ClientStream::Plain(socket),
            Some((context, takes_plain)) => {
                let stream = ServerStream::new(socket, Arc::clone(context), *takes_plain);
                ClientStream::Guarded(Box::new(stream))
            }
        };
        Ok((stream, remote))
    }
}

impl Listener for MioListener {
    type Stream = ClientStream;

    fn accept(&mut self) -> io::Result<(ClientStream, SocketAddr)> {
        let count = self.doors.len();
        self.next += 1;
        for door in (0..count).filter_map(|index| self.doors.get((self.next + index) % count)) {
            match door.accept() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    fn watch(&mut self, stream: &mut ClientStream, slot: usize) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        let socket = stream.socket_mut();
        self.registry
            .register(socket, Token(CONNECTIONS + slot), interest)?;
        socket.set_nodelay(true)
    }
}

/// The ports that a configuration asks for: the plain one first, then that for TLS.
fn open_doors(config: &PortConfig) -> Result<(Option<Door>, Option<Door>), BindError> {
    let guard = config.tls.as_ref().filter(|tls| tls.unification);
    let guard = guard.map(|tls| (Arc::clone(&tls.context), true));
    let plain = config
        .port
        .map(|port| Door::open(config.host.clone(), port, guard));
    let tls = config.tls.as_ref();
    let secure = tls.and_then(|tls| Some((tls.secure.clone()?, Arc::clone(&tls.context))));
    let secure = secure.map(|((host, port), context)| Door::open(host, port, Some((context, false))));
    Ok((plain.transpose()?, secure.transpose()?))
}

impl ClientPort {
    /// Binds the port. Nothing is accepted before [`ClientPort::run`]. The address takes the letters of all
    /// who have something for clients: put it into `request::Clients`.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(
        mut config: PortConfig,
        serves: Serves,
    ) -> Result<(ClientPort, Address<ClientLetter>), BindError> {
        raise_max_open_files(WANTED_OPEN_FILES);
        let (plain, secure) = open_doors(&config)?;
        let [plain_port, secure_port] =
            [&plain, &secure].map(|door| door.as_ref().map(|door| door.local.port()));
        let mut doors: Vec<Door> = plain.into_iter().chain(secure).collect();
        let Some((name, local)) = doors.first().map(|door| (door.name.clone(), door.local)) else {
            return Err(BindError::NoPort);
        };
        let poll = Poll::new().map_err(BindError::Poll)?;
        for (door, token) in doors.iter_mut().zip(LISTENERS) {
            let registered = poll
                .registry()
                .register(&mut door.listener, Token(token), Interest::READABLE);
            registered.map_err(BindError::Poll)?;
        }
        let waker = Waker::new(poll.registry(), Token(MAILBOX)).map_err(BindError::Poll)?;
        let (address, mailbox) = Mailbox::new(move || {
            if let Err(error) = waker.wake() {
                log::warn!("cannot wake the client loop: {error}");
            }
        });
        let registry = poll.registry().try_clone().map_err(BindError::Poll)?;
        let listener = MioListener {
            doors,
            next: 0,
            registry,
        };
        if let Some(port) = secure_port {
            config.conf = format!("secureClientPort={port}\n{}", config.conf);
        }
        let envi = word_answers::envi(&environment::entries(&Machine::look()));
        let client_loop = ClientLoop::new(config, plain_port, envi, listener, mailbox, serves);
        Ok((
            ClientPort {
                name,
                local,
                secure_port,
                poll,
                client_loop,
            },
            address,
        ))
    }

    /// The address it listens on, with the port that the system has chosen if it was to. That for TLS if there is
    /// no other.
    pub fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The port for clients that speak TLS, if there is one.
    pub fn secure_port(&self) -> Option<u16> {
        self.secure_port
    }

    /// What the thread that runs the loop is called.
    pub fn thread_name(&self) -> String {
        format!("NIOServerCxn.Factory:{}", self.name)
    }

    /// Serves clients until the letter [`ClientLetter::Stop`] comes.
    ///
    /// # Errors
    /// [`Halt`] if the operating system no longer tells what happens on the sockets.
    pub fn run(mut self) -> Result<(), Halt> {
        let mut events = Events::with_capacity(1024);
        while !self.client_loop.is_stopped() {
            match self.poll.poll(&mut events, Some(self.client_loop.sleep())) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    let reason = format!("the poll of the client port failed: {error}");
                    return Err(Halt::new(ExitCode::Unexpected, reason));
                }
                _ => {}
            }
            self.client_loop.round(events.iter().filter_map(signal));
        }
        log::info!("NIOServerCnxn factory exited run method");
        Ok(())
    }
}

/// What the poll tells, in the loop's words.
fn signal(event: &Event) -> Option<Signal> {
    match event.token() {
        Token(token) if LISTENERS.contains(&token) => Some(Signal::Waits),
        Token(token) => token.checked_sub(CONNECTIONS).map(|slot| Signal::Changed {
            slot,
            readable: event.is_readable(),
            ended: event.is_read_closed() || event.is_error(),
            writable: event.is_writable(),
        }),
    }
}

impl fmt::Debug for ClientPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientPort({})", self.name)
    }
}

impl fmt::Display for ListenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ip = crate::clients::address::JavaAddress(SocketAddr::new(self.ip, self.port));
        match &self.host {
            Some(host) => write!(f, "{host}{ip}"),
            None => write!(f, "{ip}"),
        }
    }
}

/// Listens on all addresses of both families, or of IPv4 alone where there is no IPv6; or on one address. A
/// thousand clients that come at once may wait to be accepted, where Java's queue of 50 makes them try again.
fn listen(host: Option<String>, port: u16) -> Result<(ListenName, TcpListener), BindError> {
    let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let (name, tries) = match host {
        None => {
            let name = ListenName {
                host: Some(any.to_string()),
                ip: any,
                port,
            };
            (name, vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED), any])
        }
        Some(host) => {
            let ip = resolve(&host)?;
            let is_a_name = host.parse::<IpAddr>().is_err();
            (
                ListenName {
                    host: is_a_name.then_some(host),
                    ip,
                    port,
                },
                vec![ip],
            )
        }
    };
    log::info!("binding to port {name}");
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for ip in tries {
        match TcpListener::bind(SocketAddr::new(ip, port)) {
            Ok(listener) => {
                let refused = |error: rustix::io::Errno| BindError::Refused {
                    address: name.clone(),
                    source: error.into(),
                };
                rustix::net::listen(&listener, BACKLOG).map_err(refused)?;
                return Ok((name, listener));
            }
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                return Err(BindError::InUse { address: name });
            }
            Err(source) => failure = source,
        }
    }
    Err(BindError::Refused {
        address: name,
        source: failure,
    })
}

fn resolve(host: &str) -> Result<IpAddr, BindError> {
    let unknown = |source| BindError::Resolve {
        host: host.to_owned(),
        source,
    };
    let mut addresses = (host, 0).to_socket_addrs().map_err(unknown)?;
    let first = addresses
        .next()
        .ok_or_else(|| unknown(io::Error::from(io::ErrorKind::NotFound)))?;
    Ok(first.ip())
}

/// How many clients may wait to be accepted: many come at once when a server comes back.
const BACKLOG: i32 = 1_024;
/// Room for 20,000 clients, and for the files that the server itself has open.
const WANTED_OPEN_FILES: u64 = 20_100;
/// What the poll calls the listeners, the mailbox, and the first connection.
const LISTENERS: [usize; 2] = [0, 1];
const MAILBOX: usize = 2;
const CONNECTIONS: usize = 3;

#[cfg(test)]
mod tests;
