//! The election port: the sockets between servers for the election. (QuorumCnxManager)
//!
//! The parts are `listener` (who calls), `dialing` (calls to others), `workers` (what goes over a kept link) and
//! `switchboard` (which sockets and threads there are). They decide nothing: what a call is worth, the manager of
//! connections says by its orders (`quorum::link`).
//!
//! | thread | does |
//! |---|---|
//! | the address, as `localhost/127.0.0.1:3888` | accepts |
//! | `QuorumConnectionReceiverThread-/ip:port` | hears who calls, for a short time |
//! | `QuorumConnectionReqThread-2` | calls server 2, for a short time |
//! | `SendWorker:2`, `RecvWorker:2` | write to and read from server 2 |

mod dialing;
mod listener;
mod switchboard;
mod workers;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::clients::address::JavaAddress;
use crate::net::quorum_auth::QuorumAuth;
use crate::net::quorum_tls::QuorumTls;
use crate::quorum::{LinkEvent, LinkOrder};
use crate::runtime::{Address, Crew, Threads};

use switchboard::{Orders, Switchboard};

/// What the election port is told by the configuration.
#[derive(Debug, Clone)]
pub struct ElectionConfig {
    /// This server's own name or address in the list of servers.
    pub host: String,
    /// Its election port.
    pub port: u16,
    /// Whether to listen on all addresses instead. (`quorumListenOnAllIPs`)
    pub listen_on_all_ips: bool,
    /// How long a call to another server may take. (`zookeeper.cnxTimeout`)
    pub cnx_timeout_ms: u32,
    /// How long a caller may take to say who it is; in 3.4.14 `tickTime * syncLimit`.
    pub hello_timeout_ms: u32,
    /// TCP keepalive. (`zookeeper.tcpKeepAlive`)
    pub tcp_keep_alive: bool,
    /// How servers speak TLS with each other, if they do.
    pub tls: Option<Arc<QuorumTls>>,
    /// How servers authenticate to each other, if they do.
    pub auth: Option<Arc<QuorumAuth>>,
}

impl ElectionConfig {
    fn hello_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.hello_timeout_ms))
    }
}

/// The election port cannot be had.
#[derive(Debug, Error)]
#[error("cannot listen for the other servers on election port {address}: {source}")]
pub struct BindError {
    /// The address as the configuration has it.
    pub address: String,
    /// What the operating system or the resolver says.
    pub source: io::Error,
}

/// The bound port, before its threads run.
#[derive(Debug)]
pub struct ElectionPort {
    config: ElectionConfig,
    listener: TcpListener,
    /// This server's own address as Java writes it.
    name: String,
    bound: String,
}

impl ElectionPort {
    /// Binds the port. Nothing is accepted before [`ElectionPort::start`]; callers wait.
    ///
    /// # Errors
    /// [`BindError`] if the own name stands for no address, or somebody else listens there.
    pub fn bind(config: ElectionConfig) -> Result<ElectionPort, BindError> {
        let written = format!("{}:{}", config.host, config.port);
        let fail = |source| BindError {
            address: written.clone(),
            source,
        };
        let resolved = resolve(&config.host, config.port).and_then(|found| {
            let first = found.first().copied();
            first.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))
        });
        let name = match &resolved {
            Ok(address) => java_name(&config.host, *address),
            Err(_) => written.clone(),
        };
        let (listener, bound) = if config.listen_on_all_ips {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, config.port));
            let listener = listen_everywhere(config.port).map_err(fail)?;
            (listener, format!("0.0.0.0{}", JavaAddress(any)))
        } else {
            let address = resolved.map_err(fail)?;
            (TcpListener::bind(address).map_err(fail)?, name.clone())
        };
        Ok(ElectionPort {
            config,
            listener,
            name,
            bound,
        })
    }

    /// The address it listens on, with the port that the system has chosen if it was to.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Starts accepting, and takes orders from now on. What happens goes to `events`.
    pub fn start(self, threads: &Threads, events: Address<LinkEvent>) -> (Address<LinkOrder>, RunningPort) {
        let switchboard = Arc::new(Switchboard::new(self.config, threads.clone(), events));
        let mut crew = Crew::new();
        let address = self.listener.local_addr();
        let accepting = Arc::clone(&switchboard);
        log::info!("My election bind port: {}", self.bound);
        threads.spawn(&mut crew, &self.name, move || {
            listener::accept_all(&accepting, &self.listener);
            Ok(())
        });
        let orders = Address::new(Orders(Arc::clone(&switchboard)));
        let running = RunningPort {
            switchboard,
            listener: crew,
            address: address.ok(),
        };
        (orders, running)
    }
}

/// The port at work. It must be stopped: until then its threads hold addresses of the manager of connections.
pub struct RunningPort {
    switchboard: Arc<Switchboard>,
    listener: Crew,
    address: Option<SocketAddr>,
}

impl RunningPort {
    /// Closes all sockets and waits for all threads, each within `limit`. Names those that have not ended: only one
    /// that resolves a name may take longer.
    pub fn stop(self, limit: Duration) -> Vec<String> {
        self.switchboard.close_all();
        if let Some(address) = self.address {
            listener::knock(address);
        }
        let mut late = self.listener.join(limit);
        late.extend(self.switchboard.join_all(limit));
        late
    }

    /// How many threads there are besides the listener, and how many sockets. (QuorumCnxManager.getThreadCount)
    pub fn counts(&self) -> (usize, usize) {
        self.switchboard.counts()
    }
}

/// All addresses that a name stands for now.
fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// On all addresses of both families, or of IPv4 alone where there is no IPv6.
fn listen_everywhere(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port))
        }
        result => result,
    }
}

/// A named address as Java writes it: `localhost/127.0.0.1:3888`, without a name `/127.0.0.1:3888`.
fn java_name(host: &str, address: SocketAddr) -> String {
    match host.parse::<IpAddr>() {
        Ok(_) => JavaAddress(address).to_string(),
        Err(_) => format!("{host}{}", JavaAddress(address)),
    }
}

#[cfg(test)]
mod tests;
