//! A server that stands alone, from a checked configuration to its orderly end. (ZooKeeperServerMain)
//!
//! What can fail fails before the first thread starts: directories, recovery, the port. The end is the
//! beginning in reverse: no new connections or requests, the chain drains, the last answers are written.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, select, unbounded};

use crate::auth::Auth;
use crate::clients::{Rules, WhiteList};
use crate::config::Config;
use crate::net::{BindError, ClientPort, PortConfig};
use crate::processors::{Chain, ChainParts, SyncRules, start_standalone};
use crate::request::{ClientLetter, Clients, Gate, ServerState, Serving, Sessions, Status};
use crate::runtime::{
    Address, Clock, Crew, Disk, ExitCode, Halt, Inbox, Now, OsClock, OsDisk, Runtime, Threads,
};
use crate::storage::{Database, Dirs, LogOptions, LogWriter, RecoveryOptions, StorageError, recover};

use super::purge_task::PurgeTask;
use super::signals;

/// Runs a server until a signal or a broken stage ends it.
///
/// # Errors
/// Why it could not start, or had to end.
pub fn run(config: &Config) -> Result<(), Halt> {
    log::info!("Starting server");
    let (halts, halted) = unbounded();
    let clock: Arc<dyn Clock> = Arc::new(OsClock::new());
    let threads = Threads::new(Arc::clone(&clock), halts);
    let signals = signals::listen(&threads).map_err(|error| {
        Halt::new(
            ExitCode::Unexpected,
            format!("cannot listen for signals: {error}"),
        )
    })?;
    let state = load(config, clock.now())?;
    let server = start(config, &threads, state)?;
    let ended = wait_for_the_end(&signals, &halted);
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
}

/// A server at work.
struct Server {
    gate: Arc<Gate>,
    clients: Clients,
    chain: Chain,
    loops: Crew,
    purge: Option<(Address<Infallible>, Crew)>,
    _locks: Vec<Box<dyn Send>>,
}

/// What cannot be read at all is no damage: the directory is wrong, or its owner.
fn unloadable(error: &StorageError) -> Halt {
    let code = match error {
        StorageError::Io { .. } => ExitCode::Unexpected,
        _ => ExitCode::DamagedData,
    };
    Halt::new(code, format!("Unable to load database on disk: {error}"))
}

fn load(config: &Config, now: Now) -> Result<State, Halt> {
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let (dirs, locks) = open_dirs(config, &*disk)?;
    let recovered =
        recover(&*disk, &dirs, &RecoveryOptions::default()).map_err(|error| unloadable(&error))?;
    let sessions = Arc::new(sessions_of(config, &recovered.tree, now));
    let options = LogOptions {
        prealloc_bytes: config.pre_alloc_size_kib * 1024,
        force_sync: config.force_sync,
    };
    let log = LogWriter::open(
        Arc::clone(&disk),
        dirs.clone(),
        recovered.tree.last_zxid(),
        options,
    );
    let log = log.map_err(|error| Halt::new(ExitCode::Log, error.to_string()))?;
    let database = Arc::new(Database::new(recovered.tree, recovered.committed));
    Ok(State {
        disk,
        dirs,
        locks,
        database,
        sessions,
        log,
    })
}

fn start(config: &Config, threads: &Threads, state: State) -> Result<Server, Halt> {
    let State {
        disk,
        dirs,
        locks,
        database,
        sessions,
        log,
    } = state;
    let clock = Arc::clone(threads.clock());
    let gate = Arc::new(Gate::new(config.global_outstanding_limit.into()));
    let status = Arc::new(Status::new());
    let auth = Arc::new(auth_of(config));
    let port = port_config(config, &auth);
    let bound = ClientPort::bind(port, Arc::clone(&gate), Arc::clone(&status), Arc::clone(&clock));
    let (port, address) = bound.map_err(|error| {
        let code = match error {
            // What stands in the configuration is no address: 3.4.14 refuses it as such.
            BindError::Resolve { .. } => ExitCode::BadConfig,
            _ => ExitCode::Unexpected,
        };
        Halt::new(code, error.to_string())
    })?;
    let clients = Clients::new(vec![address]);

    let sync_rules = sync_rules(config, clock.now());
    let parts = ChainParts {
        database: Arc::clone(&database),
        sessions: Arc::clone(&sessions),
        auth,
        clients: clients.clone(),
        log,
        disk: Arc::clone(&disk),
        dirs: dirs.clone(),
        status,
        clock,
        sync_rules,
        max_txn_bytes: max_txn_bytes(config),
        client_port: port.local_address().port(),
    };
    let chain = start_standalone(threads, parts);
    let state = ServerState::Standalone;
    gate.open(Serving {
        chain: chain.first.clone(),
        database,
        sessions,
        state,
    });
    let mut loops = Crew::new();
    let name = port.thread_name();
    threads.spawn(&mut loops, &name, move || port.run());
    let purge = start_purge_task(config, threads, disk, dirs);
    Ok(Server {
        gate,
        clients,
        chain,
        loops,
        purge,
        _locks: locks,
    })
}

impl Server {
    /// Takes no more requests, lets the chain finish what it has, then writes the last answers.
    fn stop(self) {
        let Server {
            gate,
            clients,
            chain,
            loops,
            purge,
            ..
        } = self;
        gate.close();
        let Chain { first, expiry, crew } = chain;
        drop((first, expiry));
        report_late(crew);
        clients.post_all(|| ClientLetter::Stop);
        drop(clients);
        report_late(loops);
        if let Some((address, crew)) = purge {
            drop(address);
            report_late(crew);
        }
        log::info!("Exiting normally");
    }
}

/// The directories, made if they are missing, and taken: two servers must never write to one.
fn open_dirs(config: &Config, disk: &dyn Disk) -> Result<(Dirs, Vec<Box<dyn Send>>), Halt> {
    let unusable = |reason: String| Halt::new(ExitCode::Unexpected, reason);
    let dirs = Dirs::open(disk, &config.data_log_dir, &config.data_dir);
    let dirs = dirs.map_err(|error| unusable(format!("Unable to use the data directories: {error}")))?;
    let mut locks = Vec::new();
    let mut wanted = vec![&dirs.snapshot, &dirs.log];
    wanted.dedup();
    for dir in wanted {
        locks.push(disk.lock_dir(dir).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock => {
                unusable(format!("{} is in use by another server", dir.display()))
            }
            _ => unusable(format!("cannot lock {}: {error}", dir.display())),
        })?);
    }
    Ok((dirs, locks))
}

fn sessions_of(config: &Config, tree: &crate::tree::DataTree, now: Now) -> Sessions {
    Sessions::new(STANDALONE_BYTE, config.tick_time_ms.into(), tree.sessions(), now)
}

/// The rules of access that a configuration sets.
fn auth_of(config: &Config) -> Auth {
    let provides_sasl = |(key, value): (&String, &String)| {
        key.starts_with("zookeeper.authProvider.") && value.ends_with("SASLAuthenticationProvider")
    };
    Auth {
        skip_acl: config.skip_acl,
        super_digest: config.super_digest.clone(),
        sasl_provider: config.properties.iter().any(provides_sasl),
        super_user: config.super_user.clone(),
    }
}

/// What the port of the clients goes by.
fn port_config(config: &Config, auth: &Arc<Auth>) -> PortConfig {
    PortConfig {
        host: config.client_port_address.clone(),
        port: config.client_port,
        max_per_address: usize::try_from(config.max_client_cnxns).unwrap_or(0),
        patience_ms: i64::from(config.tick_time_ms) * PATIENCE_TICKS,
        rules: Rules {
            max_frame_bytes: usize::try_from(config.jute_max_buffer).unwrap_or(0),
            min_timeout_ms: config.min_session_timeout_ms,
            max_timeout_ms: config.max_session_timeout_ms,
            words: WhiteList::new(config.four_letter_words.iter().map(String::as_str)),
            auth: Arc::clone(auth),
        },
        conf: conf_text(config),
    }
}

/// The answer of `conf`, behind its first line. (ZooKeeperServer.dumpConf)
fn conf_text(config: &Config) -> String {
    let version_dir = |dir: &std::path::Path| {
        std::path::absolute(dir)
            .unwrap_or_else(|_| dir.to_owned())
            .join("version-2")
            .display()
            .to_string()
    };
    format!(
        "dataDir={}\ndataLogDir={}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\n\
         maxSessionTimeout={}\nserverId=0\n",
        version_dir(&config.data_dir),
        version_dir(&config.data_log_dir),
        config.tick_time_ms,
        config.max_client_cnxns,
        config.min_session_timeout_ms,
        config.max_session_timeout_ms,
    )
}

fn sync_rules(config: &Config, now: Now) -> SyncRules {
    SyncRules {
        snap_count: config.snap_count,
        fsync_warning_ms: config.fsync_warning_threshold_ms,
        server_id: 0,
        seed: now.wall_ms.unsigned_abs(),
    }
}

/// What Java's BinaryInputArchive.checkLength lets through.
fn max_txn_bytes(config: &Config) -> usize {
    usize::try_from(config.jute_max_buffer).unwrap_or(0) + 1024
}

fn start_purge_task(
    config: &Config,
    threads: &Threads,
    disk: Arc<dyn Disk>,
    dirs: Dirs,
) -> Option<(Address<Infallible>, Crew)> {
    if config.autopurge_purge_interval_hours == 0 {
        log::info!("Purge task is not scheduled.");
        return None;
    }
    let task = PurgeTask::new(
        disk,
        dirs,
        config.autopurge_snap_retain_count,
        config.autopurge_purge_interval_hours,
    );
    let (address, inbox) = Inbox::new();
    let mut crew = Crew::new();
    threads.start(&mut crew, "PurgeTask", inbox, task);
    Some((address, crew))
}

fn wait_for_the_end(signals: &Receiver<i32>, halted: &Receiver<Halt>) -> Result<(), Halt> {
    select! {
        recv(signals) -> signal => {
            log::info!("Shutting down on signal {}", signal.unwrap_or_default());
            Ok(())
        }
        recv(halted) -> halt => match halt {
            Ok(halt) => Err(halt),
            // The sender lives in every thread; all are gone only if all have ended.
            Err(_) => Err(Halt::new(ExitCode::Unexpected, "every thread has ended")),
        }
    }
}

fn report_late(crew: Crew) {
    for name in crew.join(LONGEST_END) {
        log::error!("thread {name} has not ended within {} s", LONGEST_END.as_secs());
    }
}

/// How long a stage may take to drain its inbox at the end.
const LONGEST_END: Duration = Duration::from_secs(30);
/// How many ticks a connection may take to ask for a session. (3.4.14 waits for ever.)
const PATIENCE_TICKS: i64 = 10;
/// The upper byte of session ids of a server that stands alone. (ZooKeeperServer.createSessionTracker)
const STANDALONE_BYTE: u8 = 1;
