//! A server that stands alone, from a checked configuration to its orderly end. (ZooKeeperServerMain)
//!
//! What can fail fails before the first thread starts: directories, recovery, the port. The end is the
//! beginning in reverse: no new connections or requests, the chain drains, the last answers are written.

use std::convert::Infallible;
use std::sync::Arc;

use crate::config::Config;
use crate::ensemble::NewerTxns;
use crate::net::Serves;
use crate::processors::{Chain, ChainParts, start_standalone};
use crate::request::{ClientLetter, Clients, Gate, ServerState, Serving, Sessions, Status};
use crate::runtime::{Address, Clock, Crew, Disk, ExitCode, Halt, Now};
use crate::storage::{Database, Dirs, LogWriter, RecoveryOptions};

use super::certificates::Certificates;
use super::host::Host;
use super::parts::{
    auth_of, begin, container_rules, log_options, open_dirs, port_config, prep_rules, recover_measured,
    report_late, say_who_can_read, start_certificate_watcher, start_purge_task, sync_rules, wait_for_the_end,
};
use super::watchers::{Shown, Watchers};

/// Runs a server until a signal or a broken stage ends it.
///
/// # Errors
/// Why it could not start, or had to end.
pub fn run(config: &Config) -> Result<(), Halt> {
    log::info!("Starting server");
    let (host, signals, halted) = begin()?;
    let server = start(config, &host)?;
    let watchers = Watchers::start(config, &host.threads, server.shown.clone());
    let ended = wait_for_the_end(&signals, &halted);
    watchers.stop();
    server.stop();
    ended
}

/// What the disk has brought back, and what is made of it before anybody is served.
struct State {
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    /// Held so that no other server takes the directories.
    locks: Vec<Box<dyn Send>>,
    database: Arc<Database>,
    sessions: Arc<Sessions>,
    log: LogWriter,
    status: Arc<Status>,
}

/// A server at work.
pub struct Server {
    database: Arc<Database>,
    gate: Arc<Gate>,
    clients: Clients,
    chain: Chain,
    loops: Crew,
    purge: Option<(Address<Infallible>, Crew)>,
    renewal: Option<(Address<Infallible>, Crew)>,
    shown: Shown,
    _locks: Vec<Box<dyn Send>>,
}

fn load(config: &Config, disk: Arc<dyn Disk>, clock: &dyn Clock) -> Result<State, Halt> {
    let (dirs, locks) = open_dirs(config, &*disk)?;
    let status = Arc::new(Status::new());
    let recovered = recover_measured(&*disk, &dirs, &RecoveryOptions::default(), clock, &status)?;
    let sessions = Arc::new(sessions_of(config, &recovered.tree, clock.now()));
    let log = LogWriter::open(
        Arc::clone(&disk),
        dirs.clone(),
        recovered.tree.last_zxid(),
        log_options(config),
    );
    let log = log.map_err(|error| Halt::new(ExitCode::Log, error.to_string()))?;
    let database =
        Arc::new(Database::new(recovered.tree, recovered.committed).with_digest(config.limits.keeps_digest));
    Ok(State {
        disk,
        dirs,
        locks,
        database,
        sessions,
        log,
        status,
    })
}

/// Starts a server upon a machine.
///
/// # Errors
/// Why it could not start.
pub fn start(config: &Config, host: &impl Host) -> Result<Server, Halt> {
    let clock = host.clock();
    let state = load(config, host.disk(), &*clock)?;
    let gate = Arc::new(Gate::new(config.global_outstanding_limit.into()));
    let auth = Arc::new(auth_of(config));
    let serves = serves(&state, &gate, &clock);
    let State {
        disk,
        dirs,
        locks,
        database,
        sessions,
        log,
        status,
    } = state;
    let certificates = Certificates::load(config, &host.disk())?;
    let tls = certificates.client.clone();
    let (port, letters) = host.bind_clients(port_config(config, &auth, host.nonces()?, tls), serves)?;
    let clients = Clients::new(vec![letters]);

    let shown = Shown {
        gate: Arc::clone(&gate),
        status: Arc::clone(&status),
        clients: clients.clone(),
        auth: Arc::clone(&auth),
        disk: Arc::clone(&disk),
        dirs: dirs.clone(),
        client_port: port.port(),
    };
    let sync_rules = sync_rules(config, clock.now());
    let parts = ChainParts {
        database: Arc::clone(&database),
        sessions: Arc::clone(&sessions),
        auth,
        clients: clients.clone(),
        disk: Arc::clone(&disk),
        dirs: dirs.clone(),
        status,
        clock,
        sync_rules,
        prep_rules: prep_rules(config),
        containers: container_rules(config),
        client_port: port.port(),
    };
    database.allow_newer_txns(config.newer_txns != NewerTxns::Never);
    say_who_can_read(config, &database);
    let chain = start_standalone(host.runtime(), parts, log);
    let state = ServerState::Standalone;
    gate.open(Serving {
        chain: chain.first.clone(),
        database: Arc::clone(&database),
        sessions,
        state,
    });
    let mut loops = Crew::new();
    port.start(&mut loops);
    let purge = start_purge_task(config, host.runtime(), disk, dirs);
    let renewal = start_certificate_watcher(certificates.renewed, host.runtime(), &*host.clock());
    Ok(Server {
        database,
        gate,
        clients,
        chain,
        loops,
        purge,
        renewal,
        shown,
        _locks: locks,
    })
}

/// What the port of the clients serves by.
fn serves(state: &State, gate: &Arc<Gate>, clock: &Arc<dyn Clock>) -> Serves {
    Serves {
        gate: Arc::clone(gate),
        status: Arc::clone(&state.status),
        clock: Arc::clone(clock),
        disk: Arc::clone(&state.disk),
        dirs: state.dirs.clone(),
    }
}

impl Server {
    /// The tree and what belongs to it.
    pub fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// Whether clients are served, and in which role.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Takes no more requests, lets the chain finish what it has, then writes the last answers.
    pub fn stop(self) {
        let Server {
            gate,
            clients,
            chain,
            loops,
            purge,
            renewal,
            ..
        } = self;
        gate.close();
        for name in chain.end() {
            log::error!("thread {name} has not ended in time");
        }
        clients.post_all(|| ClientLetter::Stop);
        drop(clients);
        report_late(loops);
        for (address, crew) in purge.into_iter().chain(renewal) {
            drop(address);
            report_late(crew);
        }
        log::info!("Exiting normally");
    }
}

fn sessions_of(config: &Config, tree: &crate::tree::DataTree, now: Now) -> Sessions {
    Sessions::new(STANDALONE_BYTE, config.tick_time_ms.into(), tree.sessions(), now)
}

/// The upper byte of session ids of a server that stands alone. (ZooKeeperServer.createSessionTracker)
const STANDALONE_BYTE: u8 = 1;
