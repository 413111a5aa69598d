//! The port of the clients: bound before any thread starts, then run by the loop `NIOServerCxn.Factory`.
//! (NIOServerCnxnFactory)

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use thiserror::Error;

use crate::clients::{Rules, TokenRules, environment, word_answers};
use crate::request::ClientLetter;
use crate::runtime::machine::{Machine, raise_max_open_files};
use crate::runtime::{Address, ExitCode, Halt};

use super::acceptor::Listener;
use super::client_loop::{ClientLoop, Signal};
use super::desk::Serves;
use super::mailbox::Mailbox;

/// What the port of the clients is told by the configuration.
#[derive(Debug, Clone)]
pub struct PortConfig {
    /// The address or host name to listen on; all addresses if none. (`clientPortAddress`)
    pub host: Option<String>,
    /// The port; 0 for any free one.
    pub port: u16,
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
    poll: Poll,
    client_loop: ClientLoop<MioListener>,
}

/// The operating system's sockets, as a loop sees them.
struct MioListener {
    listener: TcpListener,
    registry: Registry,
}

impl Listener for MioListener {
    type Stream = TcpStream;

    fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        self.listener.accept()
    }

    fn watch(&mut self, stream: &mut TcpStream, slot: usize) -> io::Result<()> {
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.registry
            .register(stream, Token(CONNECTIONS + slot), interest)?;
        stream.set_nodelay(true)
    }
}

impl ClientPort {
    /// Binds the port. Nothing is accepted before [`ClientPort::run`]. The address takes the letters of all
    /// who have something for clients: put it into `request::Clients`.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(
        config: PortConfig,
        serves: Serves,
    ) -> Result<(ClientPort, Address<ClientLetter>), BindError> {
        raise_max_open_files(WANTED_OPEN_FILES);
        let (name, mut listener) = listen(config.host.clone(), config.port)?;
        let refused = |source| BindError::Refused {
            address: name.clone(),
            source,
        };
        let local = listener.local_addr().map_err(refused)?;
        let poll = Poll::new().map_err(BindError::Poll)?;
        let registered = poll
            .registry()
            .register(&mut listener, Token(LISTENER), Interest::READABLE);
        registered.map_err(BindError::Poll)?;
        let waker = Waker::new(poll.registry(), Token(MAILBOX)).map_err(BindError::Poll)?;
        let (address, mailbox) = Mailbox::new(move || {
            if let Err(error) = waker.wake() {
                log::warn!("cannot wake the client loop: {error}");
            }
        });
        let registry = poll.registry().try_clone().map_err(BindError::Poll)?;
        let listener = MioListener { listener, registry };
        let envi = word_answers::envi(&environment::entries(&Machine::look()));
        let client_loop = ClientLoop::new(config, local.port(), envi, listener, mailbox, serves);
        Ok((
            ClientPort {
                name,
                local,
                poll,
                client_loop,
            },
            address,
        ))
    }

    /// The address it listens on, with the port that the system has chosen if it was to.
    pub fn local_address(&self) -> SocketAddr {
        self.local
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
        Token(LISTENER) => Some(Signal::Waits),
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
/// What the poll calls the listener, the mailbox, and the first connection.
const LISTENER: usize = 0;
const MAILBOX: usize = 1;
const CONNECTIONS: usize = 2;

#[cfg(test)]
mod tests;
