//! What both kinds of servers are put together from: the configuration in the words of each room, directories,
//! ports, and the end.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, select, unbounded};

use crate::auth::Auth;
use crate::clients::{Rules, SaslRules, TokenRules, WhiteList};
use crate::config::{Config, EnsembleConfig, Limits};
use crate::ensemble::{NewerTxns, Role};
use crate::net::{PortConfig, PortLimits, PortTls};
use crate::processors::{ContainerRules, PrepRules, SyncRules};
use crate::request::Status;
use crate::runtime::{Address, Clock, Crew, Disk, ExitCode, Halt, Inbox, Now, OsClock, Runtime, Threads};
use crate::sasl::{Nonces, Users};
use crate::storage::{Database, Dirs, LogOptions, Recovered, RecoveryOptions, StorageError, recover};
use crate::tls::TlsContext;

use super::certificates::CertificateWatcher;
use super::host::OsHost;
use super::purge_task::PurgeTask;
use super::signals;

/// Reads the data back, and tells `status` what that took.
pub(super) fn recover_measured(
    disk: &dyn Disk,
    dirs: &Dirs,
    options: &RecoveryOptions,
    clock: &dyn Clock,
    status: &Status,
) -> Result<Recovered, Halt> {
    let begun_us = clock.elapsed_us();
    let recovered = recover(disk, dirs, options).map_err(|error| unloadable(&error))?;
    let summaries = &status.metrics.summaries;
    summaries.db_init.count(clock.elapsed_us() - begun_us);
    summaries.startup_txns.count(recovered.replayed as i64);
    Ok(recovered)
}

/// What cannot be read at all is no damage: the directory is wrong, or its owner.
pub(super) fn unloadable(error: &StorageError) -> Halt {
    let code = match error {
        StorageError::Io { .. } => ExitCode::Unexpected,
        _ => ExitCode::DamagedData,
    };
    Halt::new(code, format!("Unable to load database on disk: {error}"))
}

/// The directories, made if they are missing, and taken: two servers must never write to one.
pub(super) fn open_dirs(config: &Config, disk: &dyn Disk) -> Result<(Dirs, Vec<Box<dyn Send>>), Halt> {
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

/// The rules of access that a configuration sets.
pub(super) fn auth_of(config: &Config) -> Auth {
    let provides_x509 = |(key, value): (&String, &String)| {
        key.starts_with("zookeeper.authProvider.") && value.ends_with("X509AuthenticationProvider")
    };
    Auth {
        skip_acl: config.skip_acl,
        super_digest: config.super_digest.clone(),
        sasl_provider: config.client_sasl.has_provider,
        super_user: config.super_user.clone(),
        x509_provider: config.tls.client.is_some() || config.properties.iter().any(provides_x509),
        x509_super_user: config.tls.super_user.clone(),
    }
}

/// What the port of the clients goes by.
pub(super) fn port_config(
    config: &Config,
    auth: &Arc<Auth>,
    nonces: Nonces,
    tls: Option<Arc<TlsContext>>,
) -> PortConfig {
    let sasl = &config.client_sasl;
    let sasl_rules = |users: &Users| SaslRules {
        users: users.clone(),
        keeps_failed: sasl.keeps_failed,
        nonces,
    };
    let secure = config.tls.secure_port;
    let secure = secure.map(|port| (config.tls.secure_address.clone(), port));
    PortConfig {
        tls: tls.map(|context| PortTls {
            context,
            secure,
            unification: config.tls.client_unification,
        }),
        host: config.client_port_address.clone(),
        port: config.client_port,
        max_per_address: usize::try_from(config.max_client_cnxns).unwrap_or(0),
        limits: port_limits(&config.limits),
        patience_ms: i64::from(config.tick_time_ms) * PATIENCE_TICKS,
        rules: Rules {
            max_frame_bytes: usize::try_from(config.jute_max_buffer).unwrap_or(0),
            min_timeout_ms: config.min_session_timeout_ms,
            max_timeout_ms: config.max_session_timeout_ms,
            words: WhiteList::new(config.four_letter_words.iter().map(String::as_str)),
            auth: Arc::clone(auth),
            sasl: sasl.users.as_ref().map(sasl_rules).map(Arc::new),
            required_schemes: sasl.required_schemes.clone(),
        },
        conf: conf_text(config),
    }
}

fn port_limits(limits: &Limits) -> PortLimits {
    PortLimits {
        connections: limits.max_cnxns,
        requests: limits.max_requests,
        sessions: limits.connections.map(|throttle| TokenRules {
            most: throttle.tokens,
            fill_time_ms: throttle.fill_time_ms,
            fill_count: throttle.fill_count,
        }),
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
    let mut text = format!(
        "dataDir={}\ndataLogDir={}\ntickTime={}\nmaxClientCnxns={}\nminSessionTimeout={}\n\
         maxSessionTimeout={}\nserverId={}\n",
        version_dir(&config.data_dir),
        version_dir(&config.data_log_dir),
        config.tick_time_ms,
        config.max_client_cnxns,
        config.min_session_timeout_ms,
        config.max_session_timeout_ms,
        server_id(config),
    );
    if let Some(ensemble) = &config.ensemble {
        text.push_str(&ensemble_conf_text(ensemble));
    }
    text
}

/// What a member of an ensemble adds. (QuorumZooKeeperServer.dumpConf)
fn ensemble_conf_text(config: &EnsembleConfig) -> String {
    let me = config.ensemble.member(config.my_id);
    let (election_port, quorum_port) = me.map_or((0, 0), |me| (me.election_port, me.quorum_port));
    format!(
        "initLimit={}\nsyncLimit={}\nelectionAlg=3\nelectionPort={election_port}\nquorumPort={quorum_port}\n\
         peerType={}\n",
        config.init_limit_ticks,
        config.sync_limit_ticks,
        i32::from(me.is_some_and(|me| me.role == Role::Observer)),
    )
}

/// The server's number in log lines and names of threads; 0 alone.
fn server_id(config: &Config) -> i64 {
    config.ensemble.as_ref().map_or(0, |ensemble| ensemble.my_id.0)
}

/// How the log is written.
pub(super) fn log_options(config: &Config) -> LogOptions {
    LogOptions {
        prealloc_bytes: config.pre_alloc_size_kib * 1024,
        force_sync: config.force_sync,
    }
}

/// Signals and the threads of a server, from which either ends it.
pub(super) fn begin() -> Result<(OsHost, Receiver<i32>, Receiver<Halt>), Halt> {
    let (halts, halted) = unbounded();
    let threads = Threads::new(Arc::new(OsClock::new()), halts);
    let signals = signals::listen(&threads).map_err(|error| {
        let reason = format!("cannot listen for signals: {error}");
        Halt::new(ExitCode::Unexpected, reason)
    })?;
    Ok((OsHost { threads }, signals, halted))
}

pub(super) fn sync_rules(config: &Config, now: Now) -> SyncRules {
    SyncRules {
        snap_count: config.snap_count,
        snap_size_bytes: config.limits.snap_size_bytes,
        fsync_warning_ms: config.fsync_warning_threshold_ms,
        server_id: server_id(config),
        seed: now.wall_ms.unsigned_abs(),
    }
}

pub(super) fn container_rules(config: &Config) -> ContainerRules {
    ContainerRules {
        check_interval_ms: config.containers.check_interval_ms,
        max_per_minute: config.containers.max_per_minute,
        never_used_ms: config.containers.never_used_ms,
    }
}

/// An operator who wants to go back to 3.4 must know in time that it cannot be.
pub(super) fn say_who_can_read(config: &Config, database: &Database) {
    if database.read_tree().is_beyond_3_4() {
        let level = match config.newer_txns {
            NewerTxns::Never => log::Level::Warn,
            NewerTxns::Auto | NewerTxns::Always => log::Level::Info,
        };
        log::log!(
            level,
            "the data directories hold containers or nodes with a time to live, which ZooKeeper 3.4 cannot read"
        );
    }
}

pub(super) fn prep_rules(config: &Config) -> PrepRules {
    PrepRules {
        // What Java's BinaryInputArchive.checkLength lets through.
        max_txn_bytes: usize::try_from(config.jute_max_buffer).unwrap_or(0) + 1024,
        enforce_quota: config.limits.enforce_quota,
    }
}

pub(super) fn start_purge_task(
    config: &Config,
    runtime: &impl Runtime,
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
    runtime.start(&mut crew, "PurgeTask", inbox, task);
    Some((address, crew))
}

/// Starts what renews keys and certificates, if any are to be.
pub(super) fn start_certificate_watcher(
    renewed: Vec<Arc<TlsContext>>,
    runtime: &impl Runtime,
    clock: &dyn Clock,
) -> Option<(Address<Infallible>, Crew)> {
    if renewed.is_empty() {
        return None;
    }
    let (address, inbox) = Inbox::new();
    let mut crew = Crew::new();
    let watcher = CertificateWatcher::new(renewed, clock.now());
    runtime.start(&mut crew, "CertificateWatcher", inbox, watcher);
    Some((address, crew))
}

pub(super) fn wait_for_the_end(signals: &Receiver<i32>, halted: &Receiver<Halt>) -> Result<(), Halt> {
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

pub(super) fn report_late(crew: Crew) {
    for name in crew.join(LONGEST_END) {
        log::error!("thread {name} has not ended within {} s", LONGEST_END.as_secs());
    }
}

/// How long a stage may take to drain its inbox at the end.
pub(super) const LONGEST_END: Duration = Duration::from_secs(30);
/// How many ticks a connection may take to ask for a session. (3.4.14 waits for ever.)
const PATIENCE_TICKS: i64 = 10;
