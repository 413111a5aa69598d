//! What the operator wants, checked once: zoo.cfg, arguments, system properties, myid.
//!
//! A [`Config`] is made by [`Config::load`] and never changes. What is wrong with it is a [`ConfigError`]
//! that names the file, the line, the key and what is allowed; what is merely odd is a [`Note`] for the log.
//!
//! Invariant: `options` is the only place that knows defaults and bounds, and this room is the only one that
//! reads zoo.cfg and myid.

mod containers;
pub mod error;
mod http;
mod limits;
pub mod options;
pub mod properties;
mod sasl;
mod servers;
mod settings;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use crate::ensemble::{Ensemble, Member};
pub use crate::ensemble::{NewerTxns, Role};
use crate::proto::ids::Sid;
pub use containers::Containers;
pub use error::{ConfigError, Origin};
pub use http::{AdminConfig, HttpAddress};
pub use limits::{ConnectionThrottle, Limits};
use options::Opt;
pub use sasl::{ClientSasl, QuorumSasl, client_login};
use settings::Settings;
pub use settings::{Setting, SystemProperties};
pub use tls::{QuorumTlsConfig, TlsConfig};

/// Where a server's configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A zoo.cfg.
    File(PathBuf),
    /// `PORT DATADIR [TICKTIME] [MAXCNXNS]`. (ServerConfig.parse)
    Arguments(Vec<String>),
    /// Nothing at all: port 2181, and `data` in the working directory.
    Nothing,
}

/// Something odd that the operator is to be told, in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How loud.
    pub level: log::Level,
    /// The line.
    pub text: String,
}

/// A checked configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The port for clients; 0, from arguments only, for any free one. None if all clients speak TLS.
    pub client_port: Option<u16>,
    /// The address or host name to listen on, not yet resolved; all addresses if none.
    pub client_port_address: Option<String>,
    /// Where snapshots, myid and epoch files are.
    pub data_dir: PathBuf,
    /// Where the transaction log is; often the same.
    pub data_log_dir: PathBuf,
    /// A tick, at least 1.
    pub tick_time_ms: i32,
    /// How many connections one address may have; 0 or less for no limit.
    pub max_client_cnxns: i32,
    /// The least session timeout.
    pub min_session_timeout_ms: i32,
    /// The largest session timeout. It may be less than the least one: then it wins.
    pub max_session_timeout_ms: i32,
    /// How many snapshots autopurge keeps, at least 3.
    pub autopurge_snap_retain_count: u32,
    /// Hours between purges; 0 for none.
    pub autopurge_purge_interval_hours: u32,
    /// How many transactions lie between snapshots, at least 2.
    pub snap_count: u32,
    /// How many requests may be in process before clients are throttled.
    pub global_outstanding_limit: u32,
    /// By how much a log file grows at a time, KiB; 0 for not at all.
    pub pre_alloc_size_kib: u64,
    /// Whether the log is synced before a write is answered.
    pub force_sync: bool,
    /// From which duration a sync is reported as slow.
    pub fsync_warning_threshold_ms: i64,
    /// The largest request, bytes.
    pub jute_max_buffer: i32,
    /// Whether ACLs are not looked at.
    pub skip_acl: bool,
    /// The four-letter words that are answered.
    pub four_letter_words: BTreeSet<String>,
    /// `user:base64` of the super user.
    pub super_digest: Option<String>,
    /// The super user's name under SASL.
    pub super_user: Option<String>,
    /// How clients authenticate with SASL.
    pub client_sasl: ClientSasl,
    /// Whether reads are served without a quorum.
    pub read_only_mode: bool,
    /// Whether transactions that 3.4 cannot read may be made.
    pub newer_txns: NewerTxns,
    /// When containers are looked for.
    pub containers: Containers,
    /// Limits that 3.4 does not have.
    pub limits: Limits,
    /// Where metrics are given, if they are.
    pub metrics: Option<HttpAddress>,
    /// The admin server, if there is one.
    pub admin: Option<AdminConfig>,
    /// TLS.
    pub tls: TlsConfig,
    /// The ensemble, unless the server stands alone.
    pub ensemble: Option<EnsembleConfig>,
    /// All system properties with their values, those of the file included.
    pub properties: BTreeMap<String, String>,
    /// What the operator is to be told.
    pub notes: Vec<Note>,
}

/// What only a member of an ensemble needs.
#[derive(Debug, Clone, PartialEq)]
pub struct EnsembleConfig {
    /// Who this server is: a member of `ensemble`.
    pub my_id: Sid,
    /// All members, and what a quorum is.
    pub ensemble: Ensemble,
    /// How long a server may take to connect and catch up, ticks.
    pub init_limit_ticks: i32,
    /// How long it may lag behind, ticks.
    pub sync_limit_ticks: i32,
    /// Whether to listen on all addresses for the other servers.
    pub quorum_listen_on_all_ips: bool,
    /// Whether this server, as an observer, writes log and snapshots.
    pub sync_enabled: bool,
    /// How long to wait for a connection of the election port.
    pub cnx_timeout_ms: i32,
    /// TCP keepalive on connections of the election port.
    pub tcp_keep_alive: bool,
    /// TCP_NODELAY of this server's connections to its learners.
    pub leader_nodelay: bool,
    /// TCP_NODELAY of this server's connection to its leader.
    pub follower_nodelay: bool,
    /// Whether this server takes clients when it leads.
    pub leader_serves: bool,
    /// Tests only: the counter with which this leader's epoch begins.
    pub initial_zxid: Option<i64>,
    /// How servers authenticate to each other.
    pub quorum_sasl: QuorumSasl,
}

impl Config {
    /// Reads and checks a configuration, and the myid and the file with passwords if it takes them.
    ///
    /// # Errors
    /// What the operator must mend before a server can start.
    pub fn load(source: &Source, system: SystemProperties) -> Result<Config, ConfigError> {
        let mut config = Config::without_logins(source, system)?;
        config.read_logins(|path| std::fs::read(path))?;
        Ok(config)
    }

    fn without_logins(source: &Source, system: SystemProperties) -> Result<Config, ConfigError> {
        match source {
            Source::File(path) => {
                let bytes = std::fs::read(path).map_err(|error| ConfigError::Unreadable {
                    path: path.clone(),
                    error,
                    hint: "; the argument of `oxkeeper server` is a zoo.cfg, or a port and a data directory",
                })?;
                let mut config = Config::parse(path, &bytes, system, |path| std::fs::read(path))?;
                let reading = format!("Reading configuration from: {}", path.display());
                config.notes.insert(0, Note::info(reading));
                if config.ensemble.is_none() {
                    config.notes.push(Note::warn(STANDALONE));
                }
                Ok(config)
            }
            Source::Arguments(arguments) => Config::from_arguments(arguments, system),
            Source::Nothing => {
                let mut config = Config::standalone(DEFAULT_PORT, DEFAULT_DATA_DIR, system)?;
                let note =
                    format!("No configuration given: port {DEFAULT_PORT}, data in ./{DEFAULT_DATA_DIR}");
                config.notes.push(Note::info(note));
                Ok(config)
            }
        }
    }

    /// Checks the text of a zoo.cfg. `path` is for messages; `read_my_id` reads the myid of an ensemble's member.
    /// Names and passwords are for [`Config::read_logins`].
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(
        path: &Path,
        bytes: &[u8],
        system: SystemProperties,
        read_my_id: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
    ) -> Result<Config, ConfigError> {
        let mut settings = Settings::from_file(path, bytes, system)?;
        let sasl = sasl::quorum(&mut settings)?;
        let data_dir = settings.directory(&options::DATA_DIR)?;
        let data_dir = data_dir.ok_or_else(|| settings.missing("dataDir", ""))?;
        let data_log_dir = settings.directory(&options::DATA_LOG_DIR)?;
        let tls = tls::tls(&mut settings)?;
        // Without the other port it is not missed.
        let client_port = match settings.number_if_set(&options::CLIENT_PORT)? {
            None if tls.secure_port.is_none() => Some(settings.number(&options::CLIENT_PORT)?),
            port => port,
        };
        let mut config = Config::common(&mut settings, client_port, data_dir)?;
        config.tls = tls;
        if let Some(data_log_dir) = data_log_dir {
            config.data_log_dir = data_log_dir;
        }
        let address = settings.text(&options::CLIENT_PORT_ADDRESS);
        // An empty name is this machine's loopback address to Java, not all addresses. (InetAddress.getByName)
        config.client_port_address = address.map(|name| {
            if name.is_empty() {
                "localhost".to_owned()
            } else {
                name
            }
        });
        config.ensemble = ensemble(&mut settings, &config.data_dir, sasl, read_my_id)?;
        config.notes = settings.notes;
        Ok(config)
    }

    /// From `PORT DATADIR [TICKTIME] [MAXCNXNS]`, where no limit of connections is the default.
    fn from_arguments(arguments: &[String], system: SystemProperties) -> Result<Config, ConfigError> {
        let (port, data_dir, more) = match arguments {
            [port, data_dir, more @ ..] if more.len() <= 2 => (port, data_dir, more),
            _ => {
                return Err(ConfigError::Conflict {
                    place: COMMAND_LINE.to_owned(),
                    reason: format!("PORT DATADIR [TICKTIME] [MAXCNXNS] expected, not {arguments:?}"),
                });
            }
        };
        let any_port = options::Kind::Number(0, 65_535);
        let port = argument("PORT", any_port, port)?;
        let mut config = Config::standalone(port, data_dir, system)?;
        config.max_client_cnxns = match more.get(1) {
            Some(text) => argument("MAXCNXNS", options::MAX_CLIENT_CNXNS.kind, text)?,
            None => 0,
        };
        if let Some(text) = more.first() {
            config.tick_time_ms = argument("TICKTIME", options::TICK_TIME.kind, text)?;
            (config.min_session_timeout_ms, config.max_session_timeout_ms) =
                timeouts(config.tick_time_ms, -1, -1);
        }
        Ok(config)
    }

    fn standalone(port: u16, data_dir: &str, system: SystemProperties) -> Result<Config, ConfigError> {
        let mut settings = Settings::new(COMMAND_LINE.to_owned(), system);
        let mut config = Config::common(&mut settings, Some(port), PathBuf::from(data_dir))?;
        config.notes = settings.notes;
        Ok(config)
    }

    /// All that does not depend on the form of the configuration, with one directory and no ensemble.
    fn common(
        settings: &mut Settings,
        client_port: Option<u16>,
        data_dir: PathBuf,
    ) -> Result<Config, ConfigError> {
        settings.note_what_has_no_effect();
        let tick_time_ms = settings.number(&options::TICK_TIME)?;
        let (min_session_timeout_ms, max_session_timeout_ms) = session_timeouts(settings, tick_time_ms)?;
        let read_only_mode = settings.switch(&options::READ_ONLY_MODE);
        Ok(Config {
            client_port,
            client_port_address: None,
            data_log_dir: data_dir.clone(),
            data_dir,
            tick_time_ms,
            max_client_cnxns: settings.number(&options::MAX_CLIENT_CNXNS)?,
            min_session_timeout_ms,
            max_session_timeout_ms,
            autopurge_snap_retain_count: at_least(
                settings,
                &options::AUTOPURGE_SNAP_RETAIN_COUNT,
                3,
                |given| format!("Invalid autopurge.snapRetainCount: {given}. Defaulting to 3"),
            )?,
            autopurge_purge_interval_hours: not_negative(
                settings.number(&options::AUTOPURGE_PURGE_INTERVAL)?,
            ),
            snap_count: at_least(settings, &options::SNAP_COUNT, 2, |_| {
                "SnapCount should be 2 or more. Now, snapCount is reset to 2".to_owned()
            })?,
            global_outstanding_limit: settings.number(&options::GLOBAL_OUTSTANDING_LIMIT)?,
            pre_alloc_size_kib: settings
                .number::<i64>(&options::PRE_ALLOC_SIZE)?
                .max(0)
                .unsigned_abs(),
            force_sync: settings.switch(&options::FORCE_SYNC),
            fsync_warning_threshold_ms: fsync_warning_threshold(settings)?,
            jute_max_buffer: settings.number(&options::JUTE_MAX_BUFFER)?,
            skip_acl: settings.switch(&options::SKIP_ACL),
            four_letter_words: four_letter_words(settings, read_only_mode),
            super_digest: settings.text(&options::SUPER_DIGEST),
            super_user: settings.text(&options::SUPER_USER),
            client_sasl: sasl::clients(settings)?,
            read_only_mode,
            newer_txns: containers::newer_txns(settings),
            containers: containers::rules(settings)?,
            limits: limits::limits(settings)?,
            metrics: http::metrics(settings)?,
            admin: http::admin(settings)?,
            tls: TlsConfig::default(),
            ensemble: None,
            properties: settings.properties.values(),
            notes: Vec::new(),
        })
    }

    /// Whether the server is a member of an ensemble.
    pub fn is_distributed(&self) -> bool {
        self.ensemble.is_some()
    }
}

impl EnsembleConfig {
    /// This server's entry of the server list.
    pub fn me(&self) -> &Member {
        // Config::parse refuses a myid that is not in the list.
        self.ensemble
            .member(self.my_id)
            .expect("myid is in the server list")
    }

    /// This server's role.
    pub fn role(&self) -> Role {
        self.me().role
    }
}

impl Note {
    fn new(level: log::Level, text: impl Into<String>) -> Note {
        let text = text.into();
        Note { level, text }
    }

    fn error(text: impl Into<String>) -> Note {
        Note::new(log::Level::Error, text)
    }

    fn warn(text: impl Into<String>) -> Note {
        Note::new(log::Level::Warn, text)
    }

    fn info(text: impl Into<String>) -> Note {
        Note::new(log::Level::Info, text)
    }
}

fn argument<T: TryFrom<i64>>(name: &str, kind: options::Kind, text: &str) -> Result<T, ConfigError> {
    let number = settings::parse_number(kind, text);
    number.ok_or_else(|| ConfigError::Value {
        origin: Origin::CommandLine,
        key: name.to_owned(),
        value: text.to_owned(),
        allowed: kind.allowed(),
    })
}

/// Compares what was set, not what it comes to: the least timeout alone is refused, as by 3.4.14.
fn session_timeouts(settings: &mut Settings, tick_time_ms: i32) -> Result<(i32, i32), ConfigError> {
    let min = settings.number(&options::MIN_SESSION_TIMEOUT)?;
    let max = settings.number(&options::MAX_SESSION_TIMEOUT)?;
    if min > max {
        let mut reason = "minSessionTimeout must not be larger than maxSessionTimeout".to_owned();
        if max == -1 {
            reason.push_str(", which must be set as well");
        }
        return Err(settings.conflict(reason));
    }
    let (min_ms, max_ms) = timeouts(tick_time_ms, min, max);
    if min_ms > max_ms {
        let note = format!(
            "maxSessionTimeout={max_ms} is less than two ticks ({min_ms} ms): every session gets {max_ms} ms"
        );
        settings.notes.push(Note::warn(note));
    }
    Ok((min_ms, max_ms))
}

/// The bounds that hold, of those that were set. (ZooKeeperServer.getMinSessionTimeout)
fn timeouts(tick_time_ms: i32, min: i32, max: i32) -> (i32, i32) {
    let or_ticks = |set: i32, ticks| {
        if set == -1 {
            tick_time_ms.saturating_mul(ticks)
        } else {
            set
        }
    };
    (or_ticks(min, 2), or_ticks(max, 20))
}

fn at_least(
    settings: &mut Settings,
    option: &Opt,
    least: u32,
    note: impl Fn(i64) -> String,
) -> Result<u32, ConfigError> {
    let given: i64 = settings.number(option)?;
    match u32::try_from(given) {
        Ok(number) if number >= least => Ok(number),
        _ => {
            settings.notes.push(Note::warn(note(given)));
            Ok(least)
        }
    }
}

fn not_negative(number: i32) -> u32 {
    number.max(0).unsigned_abs()
}

fn fsync_warning_threshold(settings: &mut Settings) -> Result<i64, ConfigError> {
    match settings.number_if_set(&options::ZOOKEEPER_FSYNC_WARNING)? {
        Some(threshold_ms) => Ok(threshold_ms),
        None => settings.number(&options::FSYNC_WARNING),
    }
}

/// The words of the white list. (ServerCnxn.isEnabled)
fn four_letter_words(settings: &Settings, read_only_mode: bool) -> BTreeSet<String> {
    let all = FOUR_LETTER_WORDS.iter().map(|&word| word.to_owned());
    let mut words: BTreeSet<String> = match settings.text(&options::FOUR_LETTER_WORDS) {
        None => all.filter(|word| word != "wchc" && word != "wchp").collect(),
        Some(list) if list.split(',').any(|word| word.trim() == "*") => all.collect(),
        Some(list) => {
            let words = list.split(',').map(str::trim).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect()
        }
    };
    if read_only_mode {
        // Clients ask it to find a server that takes writes.
        words.insert("isro".to_owned());
    }
    // zkServer.sh status asks it.
    words.insert("srvr".to_owned());
    words
}

fn ensemble(
    settings: &mut Settings,
    data_dir: &Path,
    quorum_sasl: QuorumSasl,
    read_my_id: impl FnOnce(&Path) -> io::Result<Vec<u8>>,
) -> Result<Option<EnsembleConfig>, ConfigError> {
    // Standing alone, a server still refuses what is no number.
    let init_limit_ticks = settings.number_if_set(&options::INIT_LIMIT)?.unwrap_or(0);
    let sync_limit_ticks = settings.number_if_set(&options::SYNC_LIMIT)?.unwrap_or(0);
    let election_alg: i32 = settings.number(&options::ELECTION_ALG)?;
    let peer_type = settings.role(&options::PEER_TYPE)?;
    let _no_effect: i32 = settings.number(&options::QUORUM_CNXN_THREADS_SIZE)?;
    let Some(ensemble) = servers::ensemble(settings)? else {
        return Ok(None);
    };
    if init_limit_ticks == 0 {
        return Err(settings.missing("initLimit", IN_AN_ENSEMBLE));
    }
    if sync_limit_ticks == 0 {
        return Err(settings.missing("syncLimit", IN_AN_ENSEMBLE));
    }
    if election_alg != 3 {
        let reason = "is not offered: 3, the fast leader election over TCP, is the only algorithm";
        return Err(settings.conflict(format!("electionAlg={election_alg} {reason}")));
    }
    let my_id = servers::my_id(data_dir, read_my_id)?;
    let Some(me) = ensemble.member(my_id) else {
        let reason = format!("My id {my_id} not in the peer list of {}", settings.place);
        return Err(servers::bad_my_id(data_dir.join("myid"), reason));
    };
    note_peer_type(settings, me.role, peer_type);
    let sync_enabled = match settings.text(&options::OBSERVER_SYNC_ENABLED) {
        Some(_) => settings.switch(&options::OBSERVER_SYNC_ENABLED),
        None => settings.switch(&options::SYNC_ENABLED),
    };
    Ok(Some(EnsembleConfig {
        my_id,
        ensemble,
        init_limit_ticks,
        sync_limit_ticks,
        quorum_listen_on_all_ips: settings.switch(&options::QUORUM_LISTEN_ON_ALL_IPS),
        sync_enabled,
        cnx_timeout_ms: settings.number(&options::CNX_TIMEOUT)?,
        tcp_keep_alive: settings.switch(&options::TCP_KEEP_ALIVE),
        leader_nodelay: settings.switch(&options::LEADER_NODELAY),
        follower_nodelay: settings.switch(&options::FOLLOWER_NODELAY),
        leader_serves: settings.switch(&options::LEADER_SERVES),
        initial_zxid: settings.number_if_set(&options::INITIAL_ZXID)?,
        quorum_sasl,
    }))
}

fn note_peer_type(settings: &mut Settings, listed: Role, peer_type: Role) {
    if listed != peer_type {
        let name = |role| match role {
            Role::Participant => "PARTICIPANT",
            Role::Observer => "OBSERVER",
        };
        settings.notes.push(Note::warn(format!(
            "Peer type from servers list ({}) doesn't match peerType ({}). Defaulting to servers list.",
            name(listed),
            name(peer_type)
        )));
    }
}

/// The four-letter words: the sixteen of 3.4.14, `dirs` of 3.5 and `hash` of 3.6. (ServerCnxn)
pub const FOUR_LETTER_WORDS: [&str; 18] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr",
    "stat", "stmk", "wchc", "wchp", "wchs",
];

/// With the two blanks that 3.4.14 has. (QuorumPeerMain)
const STANDALONE: &str = "Either no config or no quorum defined in config, running  in standalone mode";
const DEFAULT_PORT: u16 = 2181;
const DEFAULT_DATA_DIR: &str = "data";
const COMMAND_LINE: &str = "command line";
const IN_AN_ENSEMBLE: &str = ", which an ensemble needs";
