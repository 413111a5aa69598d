//! The machine that a server is built upon: production's threads, files and sockets, or a simulated one.
//!
//! The assemblies (`standalone`, `replicated`) take a [`Host`] and know no other way to a thread, a file or a
//! socket: what a simulation runs is what production runs.

use std::sync::Arc;

use crate::net::election_port::RunningPort;
use crate::net::quorum_port::{QuorumPortRules, TcpQuorumPort};
use crate::net::{BindError, ClientPort, ElectionConfig, ElectionPort, PortConfig, Serves};
use crate::quorum::peer_link::{Closer, QuorumPort};
use crate::quorum::{LinkEvent, LinkOrder};
use crate::request::ClientLetter;
use crate::runtime::machine::random_bytes;
use crate::runtime::{Address, Clock, Crew, Disk, ExitCode, Halt, OsDisk, Runtime, Threads};
use crate::sasl::Nonces;
use crate::storage::CommittedLog;

use super::parts::LONGEST_END;

/// A machine.
pub trait Host {
    /// Drives its stages.
    type Runtime: Runtime;

    /// Who drives stages.
    fn runtime(&self) -> &Self::Runtime;

    /// The clocks.
    fn clock(&self) -> Arc<dyn Clock>;

    /// The files.
    fn disk(&self) -> Arc<dyn Disk>;

    /// Nonces that nobody can guess.
    ///
    /// # Errors
    /// Why the machine has no random numbers.
    fn nonces(&self) -> Result<Nonces, Halt>;

    /// Binds the port of the clients. What comes is answered once a role serves. The address takes the letters
    /// of all who have something for clients.
    ///
    /// # Errors
    /// Why the port cannot be had.
    fn bind_clients(
        &self,
        config: PortConfig,
        serves: Serves,
    ) -> Result<(Box<dyn BoundClients>, Address<ClientLetter>), Halt>;

    /// Binds the election port.
    ///
    /// # Errors
    /// Why the port cannot be had.
    fn bind_election(&self, config: ElectionConfig) -> Result<Box<dyn BoundElection>, Halt>;

    /// How many of the newest transactions are kept in memory for learners that lag behind.
    fn committed_limit(&self) -> usize {
        CommittedLog::DEFAULT_LIMIT
    }

    /// The quorum port, which a role opens when it leads.
    fn quorum_port(&self, rules: QuorumPortRules) -> Box<dyn QuorumPort>;
}

/// The port of the clients, before its loop runs.
pub trait BoundClients {
    /// The port, as the system has chosen it if it was to.
    fn port(&self) -> u16;

    /// Starts the loop, which ends by [`ClientLetter::Stop`].
    fn start(self: Box<Self>, crew: &mut Crew);
}

/// The election port, before its threads run.
pub trait BoundElection {
    /// Takes orders from now on, and tells `events` what happens. The closer must be called: until then threads
    /// of the port may hold addresses of the manager of connections.
    fn start(self: Box<Self>, events: Address<LinkEvent>) -> (Address<LinkOrder>, Box<dyn Closer>);
}

/// The machine of production.
pub(super) struct OsHost {
    pub threads: Threads,
}

impl Host for OsHost {
    type Runtime = Threads;

    fn runtime(&self) -> &Threads {
        &self.threads
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(self.threads.clock())
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(OsDisk)
    }

    fn nonces(&self) -> Result<Nonces, Halt> {
        random_bytes().map(Nonces::new).map_err(|error| {
            let reason = format!("the operating system gives no random numbers: {error}");
            Halt::new(ExitCode::Unexpected, reason)
        })
    }

    fn bind_clients(
        &self,
        config: PortConfig,
        serves: Serves,
    ) -> Result<(Box<dyn BoundClients>, Address<ClientLetter>), Halt> {
        let (port, address) = ClientPort::bind(config, serves).map_err(|error| {
            let code = match error {
                // What stands in the configuration is no address: 3.4.14 refuses it as such.
                BindError::Resolve { .. } => ExitCode::BadConfig,
                _ => ExitCode::Unexpected,
            };
            Halt::new(code, error.to_string())
        })?;
        let threads = self.threads.clone();
        Ok((Box::new(OsClients { threads, port }), address))
    }

    fn bind_election(&self, config: ElectionConfig) -> Result<Box<dyn BoundElection>, Halt> {
        let bound = ElectionPort::bind(config);
        let port = bound.map_err(|error| Halt::new(ExitCode::Unexpected, error.to_string()))?;
        let threads = self.threads.clone();
        Ok(Box::new(OsElection { threads, port }))
    }

    fn quorum_port(&self, rules: QuorumPortRules) -> Box<dyn QuorumPort> {
        Box::new(TcpQuorumPort::new(self.threads.clone(), rules))
    }
}

struct OsClients {
    threads: Threads,
    port: ClientPort,
}

impl BoundClients for OsClients {
    fn port(&self) -> u16 {
        self.port.local_address().port()
    }

    fn start(self: Box<Self>, crew: &mut Crew) {
        let OsClients { threads, port } = *self;
        let name = port.thread_name();
        threads.spawn(crew, &name, move || port.run());
    }
}

struct OsElection {
    threads: Threads,
    port: ElectionPort,
}

impl BoundElection for OsElection {
    fn start(self: Box<Self>, events: Address<LinkEvent>) -> (Address<LinkOrder>, Box<dyn Closer>) {
        let (orders, running) = self.port.start(&self.threads, events);
        (orders, Box::new(OsElectionCloser(running)))
    }
}

struct OsElectionCloser(RunningPort);

impl Closer for OsElectionCloser {
    fn close(self: Box<Self>) -> Vec<String> {
        self.0.stop(LONGEST_END)
    }
}
