//! A member of an ensemble, from a checked configuration to its orderly end. (QuorumPeerMain)
//!
//! ```text
//! NIOServerCxn.Factory ──> gate ──> chain of the present role ─┐
//! QuorumCnxManager, WorkerReceiver, WorkerSender ──────────────┼──> QuorumPeer: which role that is
//! LearnerCnxAcceptor, LearnerHandler, Learner ─────────────────┘
//! ```
//!
//! The client port is open before there is a leader, and refuses until there is one.

use std::convert::Infallible;
use std::sync::Arc;

use crate::config::{Config, EnsembleConfig};
use crate::ensemble::Member;
use crate::net::quorum_auth::QuorumAuth;
use crate::net::quorum_port::QuorumPortRules;
use crate::net::quorum_tls::QuorumTls;
use crate::net::{ElectionConfig, Serves};
use crate::quorum::peer_link::{Closer, report_late as report_names};
use crate::quorum::{Ground, Heard, Mail, PeerLetter, PeerRules, QuorumPeer};
use crate::request::{ClientLetter, Clients, Gate, Status};
use crate::runtime::{Address, Clock, Crew, Disk, ExitCode, Halt, Inbox, Now, Runtime};
use crate::sasl::Nonces;
use crate::storage::{Database, Dirs, Epochs, RecoveryOptions, StorageError};
use crate::tls::TlsContext;
use crate::zab::{FastLeaderElection, Standing};

use super::certificates::Certificates;
use super::host::{BoundElection, Host};
use super::logging;
use super::parts::{
    auth_of, begin, container_rules, log_options, open_dirs, port_config, prep_rules, recover_measured,
    report_late, say_who_can_read, start_certificate_watcher, start_purge_task, sync_rules, unloadable,
    wait_for_the_end,
};
use super::watchers::{Shown, Watchers};

/// Runs a server until a signal or a broken stage ends it.
///
/// # Errors
/// Why it could not start, or had to end.
pub fn run(config: &Config, ensemble: &EnsembleConfig) -> Result<(), Halt> {
    logging::set_my_id(ensemble.my_id);
    log::info!("Starting quorum peer");
    let (host, signals, halted) = begin()?;
    let server = start(config, ensemble, &host)?;
    let watchers = Watchers::start(config, &host.threads, server.shown.clone());
    let ended = wait_for_the_end(&signals, &halted);
    watchers.stop();
    server.stop();
    ended
}

/// What the disk has brought back.
struct State {
    disk: Arc<dyn Disk>,
    dirs: Dirs,
    /// Held so that no other server takes the directories.
    locks: Vec<Box<dyn Send>>,
    database: Arc<Database>,
    epochs: Epochs,
    status: Arc<Status>,
}

/// A server at work.
pub struct Server {
    database: Arc<Database>,
    gate: Arc<Gate>,
    peer: Address<PeerLetter>,
    peer_crew: Crew,
    mail: Mail,
    mail_crew: Crew,
    election_port: Box<dyn Closer>,
    clients: Clients,
    loops: Crew,
    purge: Option<(Address<Infallible>, Crew)>,
    renewal: Option<(Address<Infallible>, Crew)>,
    shown: Shown,
    _locks: Vec<Box<dyn Send>>,
}

fn load(
    config: &Config,
    ensemble: &EnsembleConfig,
    disk: Arc<dyn Disk>,
    options: &RecoveryOptions,
    clock: &dyn Clock,
) -> Result<State, Halt> {
    let (dirs, locks) = open_dirs(config, &*disk)?;
    let status = Arc::new(Status::new());
    let recovered = recover_measured(&*disk, &dirs, options, clock, &status)?;
    let epochs = Epochs::open(Arc::clone(&disk), &dirs, recovered.last_zxid);
    let epochs = epochs.map_err(|error: StorageError| unloadable(&error))?;
    let database = Database::new(recovered.tree, recovered.committed)
        .with_config(&ensemble.ensemble.text())
        .with_digest(config.limits.keeps_digest);
    let database = Arc::new(database);
    say_who_can_read(config, &database);
    Ok(State {
        disk,
        dirs,
        locks,
        database,
        epochs,
        status,
    })
}

/// Starts a server upon a machine.
///
/// # Errors
/// Why it could not start.
pub fn start(config: &Config, ensemble: &EnsembleConfig, host: &impl Host) -> Result<Server, Halt> {
    let (runtime, clock) = (host.runtime(), host.clock());
    let recovery = recovery_options(ensemble, host.committed_limit());
    let state = load(config, ensemble, host.disk(), &recovery, &*clock)?;
    let gate = Arc::new(Gate::new(config.global_outstanding_limit.into()));
    let status = Arc::clone(&state.status);
    let auth = Arc::new(auth_of(config));
    let serves = serves(&state, &gate, &clock);
    let certificates = Certificates::load(config, &host.disk())?;
    let tls = certificates.client.clone();
    let (port, letters) = host.bind_clients(port_config(config, &auth, host.nonces()?, tls), serves)?;
    let (client_port, clients) = (port.port(), Clients::new(vec![letters]));
    let greetings = PeerGreetings::new(config, ensemble, certificates.quorum, host.nonces()?);
    let me = member(ensemble)?;
    let bound = host.bind_election(election_config(config, ensemble, me, &greetings));
    let election_port = bound.map_err(|halt| with_my_id(config, ensemble, halt))?;

    let database = Arc::clone(&state.database);
    let shown = Shown {
        gate,
        status,
        clients: clients.clone(),
        auth,
        disk: Arc::clone(&state.disk),
        dirs: state.dirs.clone(),
        client_port,
    };
    let ground = Ground {
        rules: peer_rules(config, ensemble, clock.now(), client_port, recovery),
        database: state.database,
        disk: state.disk,
        dirs: state.dirs,
        epochs: state.epochs,
        gate: Arc::clone(&shown.gate),
        clients: clients.clone(),
        auth: Arc::clone(&shown.auth),
        status: Arc::clone(&shown.status),
        clock,
        port: host.quorum_port(quorum_port_rules(config, ensemble, me, greetings)),
    };
    let election = FastLeaderElection::new(ensemble.my_id, ensemble.ensemble.clone());
    let (peer, inbox) = Inbox::new();
    let mut mail_crew = Crew::new();
    let standing = election.standing();
    let heard = peer.map(PeerLetter::Heard);
    let (mail, election_port) =
        start_mail(runtime, &mut mail_crew, ensemble, standing, heard, election_port)?;
    let mut loops = Crew::new();
    port.start(&mut loops);
    let mut peer_crew = Crew::new();
    let name = peer_thread_name(config, ensemble, client_port);
    let stage = QuorumPeer::new(ground, runtime.clone(), peer.clone(), election, mail.clone());
    runtime.start(&mut peer_crew, &name, inbox, stage);
    peer.post(PeerLetter::Begin);
    Ok(Server {
        database,
        gate: Arc::clone(&shown.gate),
        peer,
        peer_crew,
        mail,
        mail_crew,
        election_port,
        clients,
        loops,
        renewal: start_certificate_watcher(certificates.renewed, runtime, &*host.clock()),
        purge: start_purge_task(config, runtime, Arc::clone(&shown.disk), shown.dirs.clone()),
        shown,
        _locks: state.locks,
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

fn peer_thread_name(config: &Config, ensemble: &EnsembleConfig, client_port: u16) -> String {
    let host = host_of(config);
    format!("QuorumPeer[myid={}]/{host}:{client_port}", ensemble.my_id)
}

/// Starts what carries the election's post, and the port that it goes over.
fn start_mail(
    runtime: &impl Runtime,
    crew: &mut Crew,
    ensemble: &EnsembleConfig,
    standing: Standing,
    heard: Address<Heard>,
    port: Box<dyn BoundElection>,
) -> Result<(Mail, Box<dyn Closer>), Halt> {
    let mut running = None;
    let connect = |events| {
        let (orders, port) = port.start(events);
        running = Some(port);
        orders
    };
    let (me, members) = (ensemble.my_id, &ensemble.ensemble);
    let mail = Mail::start(runtime, crew, me, members, standing, heard, connect);
    let unused = || Halt::new(ExitCode::Unexpected, "the election port was not started");
    Ok((mail, running.ok_or_else(unused)?))
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

    /// Ends the role, then what carries the election's post, then the client loop.
    pub fn stop(self) {
        self.peer.post(PeerLetter::Stop);
        report_late(self.peer_crew);
        // A peer that its disk has ended could not do this itself.
        self.mail.halt();
        report_names(self.election_port.close());
        report_late(self.mail_crew);
        self.clients.post_all(|| ClientLetter::Stop);
        drop(self.clients);
        report_late(self.loops);
        for (address, crew) in self.purge.into_iter().chain(self.renewal) {
            drop(address);
            report_late(crew);
        }
        log::info!("Exiting normally");
    }
}

/// A wrong number makes a server want the port of another one.
fn with_my_id(config: &Config, ensemble: &EnsembleConfig, halt: Halt) -> Halt {
    let (my_id, path) = (ensemble.my_id, config.data_dir.join("myid"));
    let reason = format!(
        "{}; {} says that this is server {my_id}",
        halt.reason,
        path.display()
    );
    Halt::new(halt.code, reason)
}

/// This server in the list of servers.
fn member(ensemble: &EnsembleConfig) -> Result<&Member, Halt> {
    let missing = || {
        let reason = format!("server {} is not in the list of servers", ensemble.my_id);
        Halt::new(ExitCode::BadConfig, reason)
    };
    ensemble.ensemble.member(ensemble.my_id).ok_or_else(missing)
}

fn host_of(config: &Config) -> &str {
    config.client_port_address.as_deref().unwrap_or("0.0.0.0")
}

/// What servers say to each other before anything else.
struct PeerGreetings {
    tls: Option<Arc<QuorumTls>>,
    auth: Option<Arc<QuorumAuth>>,
}

impl PeerGreetings {
    fn new(
        config: &Config,
        ensemble: &EnsembleConfig,
        context: Option<Arc<TlsContext>>,
        nonces: Nonces,
    ) -> PeerGreetings {
        PeerGreetings {
            tls: quorum_tls(config, ensemble, context),
            auth: quorum_auth(ensemble, nonces),
        }
    }
}

/// How servers speak TLS with each other, if the operator wants that.
fn quorum_tls(
    config: &Config,
    ensemble: &EnsembleConfig,
    context: Option<Arc<TlsContext>>,
) -> Option<Arc<QuorumTls>> {
    let (rules, context) = (config.tls.quorum.as_ref()?, context?);
    if rules.calls {
        log::info!("Using TLS encrypted quorum communication");
    } else {
        log::info!("Using insecure (non-TLS) quorum communication");
    }
    let unification = if rules.takes_plain { "enabled" } else { "disabled" };
    log::info!("Port unification {unification}");
    let members = ensemble.ensemble.members().values();
    Some(Arc::new(QuorumTls {
        context,
        calls: rules.calls,
        takes_plain: rules.takes_plain,
        hosts: members.map(|member| member.host.clone()).collect(),
    }))
}

/// How servers authenticate to each other, if the operator wants that.
fn quorum_auth(ensemble: &EnsembleConfig, nonces: Nonces) -> Option<Arc<QuorumAuth>> {
    let sasl = &ensemble.quorum_sasl;
    let credentials = sasl.credentials.clone().filter(|_| sasl.learner_require);
    let auth = || QuorumAuth::new(sasl.users.clone(), sasl.server_require, credentials, nonces);
    sasl.enabled.then(auth).map(Arc::new)
}

fn election_config(
    config: &Config,
    ensemble: &EnsembleConfig,
    me: &Member,
    greetings: &PeerGreetings,
) -> ElectionConfig {
    let ticks_ms = |ticks: i32| config.tick_time_ms.saturating_mul(ticks).unsigned_abs();
    ElectionConfig {
        host: me.host.clone(),
        port: me.election_port,
        listen_on_all_ips: ensemble.quorum_listen_on_all_ips,
        cnx_timeout_ms: ensemble.cnx_timeout_ms.unsigned_abs(),
        hello_timeout_ms: ticks_ms(ensemble.sync_limit_ticks),
        tcp_keep_alive: ensemble.tcp_keep_alive,
        tls: greetings.tls.clone(),
        auth: greetings.auth.clone(),
    }
}

fn quorum_port_rules(
    config: &Config,
    ensemble: &EnsembleConfig,
    me: &Member,
    greetings: PeerGreetings,
) -> QuorumPortRules {
    let ticks_ms =
        |ticks: i32| u64::from(config.tick_time_ms.unsigned_abs()) * u64::from(ticks.unsigned_abs());
    QuorumPortRules {
        me: me.clone(),
        listen_on_all_ips: ensemble.quorum_listen_on_all_ips,
        init_ms: ticks_ms(ensemble.init_limit_ticks),
        sync_ms: ticks_ms(ensemble.sync_limit_ticks),
        leader_nodelay: ensemble.leader_nodelay,
        follower_nodelay: ensemble.follower_nodelay,
        tls: greetings.tls,
        auth: greetings.auth,
    }
}

fn peer_rules(
    config: &Config,
    ensemble: &EnsembleConfig,
    now: Now,
    client_port: u16,
    recovery: RecoveryOptions,
) -> PeerRules {
    PeerRules {
        me: ensemble.my_id,
        ensemble: ensemble.ensemble.clone(),
        tick_ms: config.tick_time_ms.into(),
        init_limit_ticks: ensemble.init_limit_ticks.into(),
        sync_limit_ticks: ensemble.sync_limit_ticks.into(),
        leader_serves: ensemble.leader_serves,
        read_only_after_ms: config
            .read_only_mode
            .then(|| i64::from(config.tick_time_ms).max(LEAST_READ_ONLY_DELAY_MS)),
        observer_logs: ensemble.sync_enabled,
        log: log_options(config),
        recovery,
        sync: sync_rules(config, now),
        newer_txns: config.newer_txns,
        containers: container_rules(config),
        prep: prep_rules(config),
        client_port,
        initial_counter: initial_counter(ensemble),
    }
}

fn recovery_options(ensemble: &EnsembleConfig, committed_limit: usize) -> RecoveryOptions {
    RecoveryOptions {
        committed_limit,
        first_counter: initial_counter(ensemble).map_or(1, |counter| counter.saturating_add(1)),
    }
}

/// Tests alone set it; the lower half of a zxid is all that counts.
fn initial_counter(ensemble: &EnsembleConfig) -> Option<u32> {
    ensemble.initial_zxid.map(|zxid| (zxid & 0xffff_ffff) as u32)
}

/// So long a server looks for a leader at least before it lets itself be read from. (QuorumPeer.run)
const LEAST_READ_ONLY_DELAY_MS: i64 = 2_000;
