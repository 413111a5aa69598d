//! The one table of everything that can be configured. What is read, what is refused, the reference that
//! `oxkeeper options` prints: all come from here.
//!
//! An option is a *key* of zoo.cfg or a system *property* of Java. Any key that is not in the table becomes the
//! property `zookeeper.<key>`, so that most properties can be set in the file as well. (QuorumPeerConfig)

use std::fmt::Write;

/// One thing that can be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opt {
    /// Its key in zoo.cfg, or the whole name of its property.
    pub name: &'static str,
    /// Which of the two.
    pub place: Place,
    /// What is allowed.
    pub kind: Kind,
    /// What holds without it; empty if nothing does.
    pub default: &'static str,
    /// What it is good for, with its unit.
    pub meaning: &'static str,
}

/// Where an option is set, and what a bad value of it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A key of zoo.cfg; the server refuses to start upon a bad value.
    Key,
    /// A system property; with a bad value the default holds, with a warning. (In 3.4.14 without one.)
    Property,
    /// A system property upon whose bad value the server refuses to start.
    StrictProperty,
}

/// What values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// The path of a directory.
    Directory,
    /// A decimal number within bounds, both included.
    Number(i64, i64),
    /// The same, which may be written `0x1f`, `#1f` or `017` as well. (Integer.getInteger)
    CNumber(i64, i64),
    /// `true` in any case of letters; all else is false. (Boolean.parseBoolean)
    Bool,
    /// On unless it is `no`.
    YesUnlessNo,
    /// Off unless it is `yes`.
    NoUnlessYes,
    /// `participant` or `observer`, in any case of letters.
    Role,
    /// `host:port:electionPort` and perhaps the role.
    Server,
    /// Numbers of servers with colons between.
    Sids,
}

impl Kind {
    /// What a message says is allowed.
    pub fn allowed(self) -> String {
        match self {
            Kind::Text => "any text".to_owned(),
            Kind::Directory => "the path of a directory".to_owned(),
            Kind::Number(min, i64::MAX) | Kind::CNumber(min, i64::MAX) => {
                format!("a whole number of at least {min}")
            }
            Kind::Number(min, max) => format!("a whole number from {min} to {max}"),
            Kind::CNumber(min, max) => format!("a whole number from {min} to {max}, decimal or 0x..."),
            Kind::Bool => "true or false".to_owned(),
            Kind::YesUnlessNo | Kind::NoUnlessYes => "yes or no".to_owned(),
            Kind::Role => "participant or observer".to_owned(),
            Kind::Server => "host:port:electionPort or host:port:electionPort:participant|observer \
                             (IPv6 addresses in brackets)"
                .to_owned(),
            Kind::Sids => "numbers of servers with colons between, as 1:2:3".to_owned(),
        }
    }
}

impl Opt {
    /// How it is written in zoo.cfg, if it can be.
    pub fn key(&self) -> Option<&'static str> {
        match self.place {
            Place::Key => Some(self.name),
            Place::Property | Place::StrictProperty => self.name.strip_prefix(PREFIX),
        }
    }
}

/// All options with their defaults and meanings, as a table in Markdown.
pub fn reference() -> String {
    let mut out = String::from(
        "| in zoo.cfg | as -D property | allowed | default | meaning |\n|---|---|---|---|---|\n",
    );
    for option in ALL {
        let key = option.key().unwrap_or("-");
        let property = if option.place == Place::Key {
            "-"
        } else {
            option.name
        };
        let default = if option.default.is_empty() {
            "-"
        } else {
            option.default
        };
        let allowed = option.kind.allowed().replace('|', "\\|");
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "| {key} | {property} | {allowed} | {default} | {} |",
            option.meaning
        );
    }
    out.push_str("\nAccepted without effect, with one warning for each group:\n\n");
    for group in WITHOUT_EFFECT {
        let _ = writeln!(out, "- {}: {}", group.names.join(", "), group.why);
    }
    out
}

/// What a key of zoo.cfg becomes if it is not in the table: this and the key.
pub const PREFIX: &str = "zookeeper.";

/// Names that are accepted, kept and not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithoutEffect {
    /// Keys of zoo.cfg, or properties without their prefix; a `*` at the end stands for anything.
    pub names: &'static [&'static str],
    /// Why they have no effect.
    pub why: &'static str,
}

impl WithoutEffect {
    /// Whether a key belongs to the group.
    pub fn has(&self, key: &str) -> bool {
        self.names.iter().any(|name| match name.strip_suffix('*') {
            Some(start) => key.starts_with(start),
            None => key == *name,
        })
    }
}

macro_rules! options {
    ($($const_name:ident = $place:ident $name:literal, $kind:expr, $default:literal, $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $const_name: Opt = Opt {
                name: $name, place: Place::$place, kind: $kind, default: $default, meaning: $meaning,
            };
        )*
        /// Every option, in the order of the reference.
        pub const ALL: &[Opt] = &[$($const_name),*];
    };
}

const INT_MAX: i64 = i32::MAX as i64;
const INT_MIN: i64 = i32::MIN as i64;
const COUNT: Kind = Kind::Number(0, INT_MAX);

options! {
    DATA_DIR = Key "dataDir", Kind::Directory, "", "directory of snapshots, myid and epoch files";
    DATA_LOG_DIR = Key "dataLogDir", Kind::Directory, "", "directory of the transaction log; dataDir if not set";
    CLIENT_PORT = Key "clientPort", Kind::Number(1, 65_535), "", "port for clients";
    CLIENT_PORT_ADDRESS = Key "clientPortAddress", Kind::Text, "", "address or host name to listen on; all addresses if not set";
    SECURE_CLIENT_PORT = Key "secureClientPort", Kind::Number(1, 65_535), "", "port for clients that speak TLS, beside clientPort or instead of it";
    SECURE_CLIENT_PORT_ADDRESS = Key "secureClientPortAddress", Kind::Text, "", "address or host name to listen on for them; all addresses if not set";
    TICK_TIME = Key "tickTime", Kind::Number(1, INT_MAX), "3000", "milliseconds of a tick, the unit of session timeouts and limits";
    MAX_CLIENT_CNXNS = Key "maxClientCnxns", Kind::Number(INT_MIN, INT_MAX), "60", "connections allowed from one address; 0 or less for no limit";
    MIN_SESSION_TIMEOUT = Key "minSessionTimeout", Kind::Number(-1, INT_MAX), "-1", "least session timeout, milliseconds; -1 for 2 ticks; refused without maxSessionTimeout";
    MAX_SESSION_TIMEOUT = Key "maxSessionTimeout", Kind::Number(-1, INT_MAX), "-1", "largest session timeout, milliseconds; -1 for 20 ticks";
    AUTOPURGE_SNAP_RETAIN_COUNT = Key "autopurge.snapRetainCount", Kind::Number(INT_MIN, INT_MAX), "3", "snapshots that autopurge keeps, at least 3";
    AUTOPURGE_PURGE_INTERVAL = Key "autopurge.purgeInterval", Kind::Number(INT_MIN, INT_MAX), "0", "hours between purges; 0 or less for none";
    SERVER = Key "server.N", Kind::Server, "", "member N of the ensemble";
    GROUP = Key "group.G", Kind::Sids, "", "members of group G, for hierarchical quorums";
    WEIGHT = Key "weight.N", Kind::Number(0, INT_MAX), "1", "weight of server N in its group";
    INIT_LIMIT = Key "initLimit", COUNT, "", "ticks that a server may take to connect to its leader and catch up; required in an ensemble";
    SYNC_LIMIT = Key "syncLimit", COUNT, "", "ticks that a server may lag behind its leader; required in an ensemble";
    ELECTION_ALG = Key "electionAlg", Kind::Number(INT_MIN, INT_MAX), "3", "election algorithm; only 3 is offered, 0 to 2 were deprecated long ago";
    PEER_TYPE = Key "peerType", Kind::Role, "participant", "role of this server; the server list wins";
    QUORUM_LISTEN_ON_ALL_IPS = Key "quorumListenOnAllIPs", Kind::Bool, "false", "listen on all addresses for the other servers too";
    SYNC_ENABLED = Key "syncEnabled", Kind::Bool, "true", "whether an observer writes log and snapshots";
    QUORUM_ENABLE_SASL = Key "quorum.auth.enableSasl", Kind::Bool, "false", "authenticate servers to each other";
    QUORUM_SERVER_REQUIRE_SASL = Key "quorum.auth.serverRequireSasl", Kind::Bool, "false", "refuse servers that do not authenticate";
    QUORUM_LEARNER_REQUIRE_SASL = Key "quorum.auth.learnerRequireSasl", Kind::Bool, "false", "authenticate when connecting to another server";
    QUORUM_LEARNER_LOGIN_CONTEXT = Key "quorum.auth.learner.saslLoginContext", Kind::Text, "QuorumLearner", "JAAS section for connecting";
    QUORUM_SERVER_LOGIN_CONTEXT = Key "quorum.auth.server.saslLoginContext", Kind::Text, "QuorumServer", "JAAS section for accepting";
    QUORUM_SERVICE_PRINCIPAL = Key "quorum.auth.kerberos.servicePrincipal", Kind::Text, "zkquorum/localhost", "Kerberos principal of the servers";
    QUORUM_CNXN_THREADS_SIZE = Key "quorum.cnxn.threads.size", Kind::Number(INT_MIN, INT_MAX), "20", "no effect: connections between servers are not opened by a pool";
    SSL_QUORUM = Key "sslQuorum", Kind::Bool, "false", "speak TLS with the other servers";
    PORT_UNIFICATION = Key "portUnification", Kind::Bool, "false", "hear the other servers with TLS and without, while an ensemble changes over";
    SSL_QUORUM_RELOAD = Key "sslQuorumReloadCertFiles", Kind::Bool, "false", "renew ssl.quorum key and trust when their files change";

    SNAP_COUNT = Property "zookeeper.snapCount", Kind::Number(INT_MIN, INT_MAX), "100000", "transactions between snapshots, at least 2";
    GLOBAL_OUTSTANDING_LIMIT = Property "zookeeper.globalOutstandingLimit", COUNT, "1000", "requests in process above which clients are read more slowly";
    PRE_ALLOC_SIZE = Property "zookeeper.preAllocSize", Kind::Number(i64::MIN, i64::MAX / 1024), "65536", "KiB by which a log file grows; 0 or less for none";
    FORCE_SYNC = Property "zookeeper.forceSync", Kind::YesUnlessNo, "yes", "whether the log is synced to disk before a write is answered";
    ZOOKEEPER_FSYNC_WARNING = Property "zookeeper.fsync.warningthresholdms", Kind::CNumber(0, i64::MAX), "1000", "milliseconds from which a sync of the log is reported as slow";
    FSYNC_WARNING = Property "fsync.warningthresholdms", Kind::CNumber(0, i64::MAX), "1000", "older name of the same; zookeeper.fsync.warningthresholdms wins";
    JUTE_MAX_BUFFER = Property "jute.maxbuffer", Kind::CNumber(1, INT_MAX), "1048575", "largest request, bytes";
    SNAP_SIZE_LIMIT = Property "zookeeper.snapSizeLimitInKb", Kind::Number(i64::MIN, i64::MAX / 1024), "0", "KiB of transactions between snapshots, where snapCount has not been reached; 0 or less for no such limit (4 GiB in 3.6 and later)";
    SKIP_ACL = Property "zookeeper.skipACL", Kind::NoUnlessYes, "no", "whether everybody may do everything";
    FOUR_LETTER_WORDS = Property "zookeeper.4lw.commands.whitelist", Kind::Text, "", "four-letter words that are answered, with commas between, or *; all but wchc and wchp if not set";
    SUPER_DIGEST = Property "zookeeper.DigestAuthenticationProvider.superDigest", Kind::Text, "", "user:base64 of the super user";
    SUPER_USER = Property "zookeeper.superUser", Kind::Text, "", "name of the super user under SASL";
    JAAS_FILE = Property "zookeeper.java.security.auth.login.config", Kind::Text, "", "file with the names and passwords of SASL, in Java's syntax of login configurations";
    JAVA_JAAS_FILE = Property "java.security.auth.login.config", Kind::Text, "", "the same, as Java has it";
    SASL_SERVER_SECTION = Property "zookeeper.sasl.serverconfig", Kind::Text, "Server", "section of that file with the clients' passwords; named, it must be there";
    SASL_SUPER_PASSWORD = Property "zookeeper.SASLAuthenticationProvider.superPassword", Kind::Text, "", "password of the user super, if the section has that user, instead of the section's";
    ALLOW_SASL_FAILED_CLIENTS = Property "zookeeper.allowSaslFailedClients", Kind::Bool, "false", "whether a client that fails to authenticate with SASL stays connected";
    REQUIRE_CLIENT_SASL = Property "zookeeper.sessionRequireClientSASLAuth", Kind::Bool, "false", "refuse the requests of clients that have not authenticated with SASL";
    ENFORCE_AUTH = Property "zookeeper.enforce.auth.enabled", Kind::Bool, "false", "refuse the requests of clients that have not authenticated with one of enforce.auth.schemes";
    ENFORCE_AUTH_SCHEMES = Property "zookeeper.enforce.auth.schemes", Kind::Text, "", "schemes for enforce.auth.enabled, with commas between";
    LEADER_SERVES = Property "zookeeper.leaderServes", Kind::YesUnlessNo, "yes", "whether a leader takes clients";
    CNX_TIMEOUT = StrictProperty "zookeeper.cnxTimeout", COUNT, "5000", "milliseconds to wait for a connection of the election port";
    TCP_KEEP_ALIVE = Property "zookeeper.tcpKeepAlive", Kind::Bool, "false", "TCP keepalive on connections of the election port";
    LEADER_NODELAY = Property "leader.nodelay", Kind::Bool, "true", "TCP_NODELAY of the leader's connections to learners";
    FOLLOWER_NODELAY = Property "follower.nodelay", Kind::Bool, "true", "TCP_NODELAY of a learner's connection to its leader";
    OBSERVER_SYNC_ENABLED = Property "zookeeper.observer.syncEnabled", Kind::Bool, "", "the same as syncEnabled, and wins";
    READ_ONLY_MODE = Property "readonlymode.enabled", Kind::Bool, "false", "serve reads without a quorum to clients that allow it";
    EXTENDED_TYPES = Property "zookeeper.extendedTypesEnabled", Kind::Bool, "", "containers and nodes with a time to live, which 3.4 cannot read: false forbids them, true allows them, without it they are on while every member of the ensemble can read them";
    CONTAINER_CHECK_INTERVAL = Property "znode.container.checkIntervalMs", Kind::CNumber(1, INT_MAX), "60000", "milliseconds between two searches for containers and nodes that may go";
    CONTAINER_MAX_PER_MINUTE = Property "znode.container.maxPerMinute", Kind::CNumber(1, INT_MAX), "10000", "so many of them go in a minute";
    CONTAINER_NEVER_USED = Property "znode.container.maxNeverUsedIntervalMs", Kind::CNumber(0, i64::MAX), "0", "milliseconds after which a container goes that has never had a child; 0 for never";
    METRICS_CLASS = Property "zookeeper.metricsProvider.className", Kind::Text, "", "a name that ends in PrometheusMetricsProvider opens the port of the metrics";
    METRICS_PORT = StrictProperty "zookeeper.metricsProvider.httpPort", Kind::Number(1, 65_535), "7000", "port of the metrics";
    METRICS_HOST = Property "zookeeper.metricsProvider.httpHost", Kind::Text, "127.0.0.1", "address or host name on which the metrics are given (0.0.0.0 in Java)";
    ADMIN_ENABLE = Property "zookeeper.admin.enableServer", Kind::Bool, "false", "whether the admin server runs; admin.serverPort alone starts it too";
    ADMIN_PORT = StrictProperty "zookeeper.admin.serverPort", Kind::Number(1, 65_535), "8080", "port of the admin server";
    ADMIN_ADDRESS = Property "zookeeper.admin.serverAddress", Kind::Text, "127.0.0.1", "address or host name of the admin server (0.0.0.0 in Java)";
    ADMIN_COMMAND_URL = Property "zookeeper.admin.commandURL", Kind::Text, "/commands", "path of the admin server's commands";
    ADMIN_TREE_BROWSER = Property "zookeeper.admin.treeBrowser", Kind::Bool, "false", "whether the admin page shows nodes that everybody may read";
    ADMIN_MEMBERS = Property "zookeeper.admin.members", Kind::Text, "", "where the admin page asks the other members: N=host:clientPort with commas between; this server's client port on their hosts if not set";
    ENFORCE_QUOTA = Property "zookeeper.enforceQuota", Kind::Bool, "false", "whether a write that would exceed a hard quota (setquota -N, -B) is refused; to be set on every member, since the leader judges";
    DIGEST = Property "zookeeper.digest.enabled", Kind::Bool, "false", "whether a digest of the tree is kept, which the word hash tells: a little work with each write (true in 3.9)";
    MAX_CNXNS = Property "zookeeper.maxCnxns", Kind::CNumber(INT_MIN, INT_MAX), "0", "connections of clients that this server takes in all; 0 or less for no limit";
    REQUEST_THROTTLE = Property "zookeeper.request_throttle_max_requests", Kind::CNumber(0, INT_MAX), "0", "requests of clients that are in process at once; further ones wait in order; 0 for no such limit";
    CONNECTION_TOKENS = Property "zookeeper.connection_throttle_tokens", Kind::CNumber(0, INT_MAX), "0", "sessions that may be asked for in one burst; who comes when none is left is hung up on; 0 for no limit";
    CONNECTION_FILL_TIME = Property "zookeeper.connection_throttle_fill_time", Kind::CNumber(1, INT_MAX), "1", "milliseconds in which that many come back as connection_throttle_fill_count says";
    CONNECTION_FILL_COUNT = Property "zookeeper.connection_throttle_fill_count", Kind::CNumber(0, INT_MAX), "1", "how many come back in that time";
    SSL_KEY_STORE = Property "zookeeper.ssl.keyStore.location", Kind::Text, "", "PEM file with private key and certificates for the clients' port";
    SSL_KEY_STORE_PASSWORD = Property "zookeeper.ssl.keyStore.password", Kind::Text, "", "password of an encrypted private key (PKCS#8, PBES2)";
    SSL_KEY_STORE_PASSWORD_PATH = Property "zookeeper.ssl.keyStore.passwordPath", Kind::Text, "", "file that holds that password";
    SSL_KEY_STORE_TYPE = Property "zookeeper.ssl.keyStore.type", Kind::Text, "", "PEM; JKS and PKCS12 are refused with the command that converts them";
    SSL_TRUST_STORE = Property "zookeeper.ssl.trustStore.location", Kind::Text, "", "PEM file with the certificates that are trusted";
    SSL_TRUST_STORE_PASSWORD = Property "zookeeper.ssl.trustStore.password", Kind::Text, "", "not needed: certificates in PEM are not encrypted";
    SSL_TRUST_STORE_PASSWORD_PATH = Property "zookeeper.ssl.trustStore.passwordPath", Kind::Text, "", "likewise";
    SSL_TRUST_STORE_TYPE = Property "zookeeper.ssl.trustStore.type", Kind::Text, "", "as the type of the key store";
    SSL_CLIENT_AUTH = Property "zookeeper.ssl.clientAuth", Kind::Text, "need", "whether who connects must show a certificate: need, want or none";
    SSL_HOSTNAME_VERIFICATION = Property "zookeeper.ssl.hostnameVerification", Kind::Bool, "true", "whether certificates must name the host of who shows them; false switches the next one off too";
    SSL_CLIENT_HOSTNAME_VERIFICATION = Property "zookeeper.ssl.clientHostnameVerification", Kind::Bool, "false", "whether a client's certificate must name the address that it calls from";
    SSL_PROTOCOL = Property "zookeeper.ssl.protocol", Kind::Text, "TLSv1.3", "newest version of TLS that is spoken: TLSv1.3 (with TLSv1.2) or TLSv1.2";
    SSL_ENABLED_PROTOCOLS = Property "zookeeper.ssl.enabledProtocols", Kind::Text, "", "versions of TLS that are spoken, with commas between, instead";
    SSL_CIPHER_SUITES = Property "zookeeper.ssl.ciphersuites", Kind::Text, "", "cipher suites that are spoken, by their standard names, with commas between; all that are offered if not set";
    SSL_HANDSHAKE_TIMEOUT = Property "zookeeper.ssl.handshakeDetectionTimeoutMillis", Kind::Number(1, INT_MAX), "5000", "milliseconds that a handshake may take";
    SSL_CRL = Property "zookeeper.ssl.crl", Kind::Bool, "false", "refused if true: revocation lists are not looked at";
    SSL_OCSP = Property "zookeeper.ssl.ocsp", Kind::Bool, "false", "refused if true: OCSP is not asked";
    CLIENT_PORT_UNIFICATION = Property "zookeeper.client.portUnification", Kind::Bool, "false", "hear clients with TLS and without on clientPort";
    CLIENT_CERT_RELOAD = Property "zookeeper.client.certReload", Kind::Bool, "false", "renew ssl key and trust when their files change";
    SSL_QUORUM_KEY_STORE = Property "zookeeper.ssl.quorum.keyStore.location", Kind::Text, "", "PEM file with private key and certificates for the ports between servers";
    SSL_QUORUM_KEY_STORE_PASSWORD = Property "zookeeper.ssl.quorum.keyStore.password", Kind::Text, "", "password of an encrypted private key (PKCS#8, PBES2)";
    SSL_QUORUM_KEY_STORE_PASSWORD_PATH = Property "zookeeper.ssl.quorum.keyStore.passwordPath", Kind::Text, "", "file that holds that password";
    SSL_QUORUM_KEY_STORE_TYPE = Property "zookeeper.ssl.quorum.keyStore.type", Kind::Text, "", "PEM; JKS and PKCS12 are refused with the command that converts them";
    SSL_QUORUM_TRUST_STORE = Property "zookeeper.ssl.quorum.trustStore.location", Kind::Text, "", "PEM file with the certificates that are trusted";
    SSL_QUORUM_TRUST_STORE_PASSWORD = Property "zookeeper.ssl.quorum.trustStore.password", Kind::Text, "", "not needed: certificates in PEM are not encrypted";
    SSL_QUORUM_TRUST_STORE_PASSWORD_PATH = Property "zookeeper.ssl.quorum.trustStore.passwordPath", Kind::Text, "", "likewise";
    SSL_QUORUM_TRUST_STORE_TYPE = Property "zookeeper.ssl.quorum.trustStore.type", Kind::Text, "", "as the type of the key store";
    SSL_QUORUM_CLIENT_AUTH = Property "zookeeper.ssl.quorum.clientAuth", Kind::Text, "need", "whether who connects must show a certificate: need, want or none";
    SSL_QUORUM_HOSTNAME_VERIFICATION = Property "zookeeper.ssl.quorum.hostnameVerification", Kind::Bool, "true", "whether certificates must name the host of who shows them; false switches the next one off too";
    SSL_QUORUM_CLIENT_HOSTNAME_VERIFICATION = Property "zookeeper.ssl.quorum.clientHostnameVerification", Kind::Bool, "true", "whether the certificate of a server that calls must name a host of the server list, or the address that it calls from";
    SSL_QUORUM_PROTOCOL = Property "zookeeper.ssl.quorum.protocol", Kind::Text, "TLSv1.3", "newest version of TLS that is spoken: TLSv1.3 (with TLSv1.2) or TLSv1.2";
    SSL_QUORUM_ENABLED_PROTOCOLS = Property "zookeeper.ssl.quorum.enabledProtocols", Kind::Text, "", "versions of TLS that are spoken, with commas between, instead";
    SSL_QUORUM_CIPHER_SUITES = Property "zookeeper.ssl.quorum.ciphersuites", Kind::Text, "", "cipher suites that are spoken, by their standard names, with commas between; all that are offered if not set";
    SSL_QUORUM_HANDSHAKE_TIMEOUT = Property "zookeeper.ssl.quorum.handshakeDetectionTimeoutMillis", Kind::Number(1, INT_MAX), "5000", "milliseconds that a handshake may take";
    SSL_QUORUM_CRL = Property "zookeeper.ssl.quorum.crl", Kind::Bool, "false", "refused if true: revocation lists are not looked at";
    SSL_QUORUM_OCSP = Property "zookeeper.ssl.quorum.ocsp", Kind::Bool, "false", "refused if true: OCSP is not asked";
    X509_SUPER_USER = Property "zookeeper.X509AuthenticationProvider.superUser", Kind::Text, "", "owner of a certificate who may do everything, as Java writes names: CN=admin,O=Example";
    INITIAL_ZXID = StrictProperty "zookeeper.testingonly.initialZxid", Kind::Number(i64::MIN, i64::MAX), "", "tests only: counter with which a leader's epoch begins";
    ROOT_LOGGER = Property "zookeeper.root.logger", Kind::Text, "INFO, CONSOLE", "log level and appenders (CONSOLE, ROLLINGFILE); only as -D";
    LOG_DIR = Property "zookeeper.log.dir", Kind::Text, ".", "directory of ROLLINGFILE; only as -D";
    LOG_FILE = Property "zookeeper.log.file", Kind::Text, "zookeeper.log", "file name of ROLLINGFILE; only as -D";
    CONSOLE_THRESHOLD = Property "zookeeper.console.threshold", Kind::Text, "ALL", "least level of CONSOLE; only as -D (INFO in the log4j.properties of 3.4.14)";
    LOG_THRESHOLD = Property "zookeeper.log.threshold", Kind::Text, "DEBUG", "least level of ROLLINGFILE; only as -D";
}

/// Groups of names without effect. A name belongs to the first group that has it.
pub const WITHOUT_EFFECT: &[WithoutEffect] = &[
    WithoutEffect {
        names: &[
            "ssl.context.supplier.class",
            "ssl.quorum.context.supplier.class",
            "ssl.authProvider",
            "ssl.sslProvider",
            "fips-mode",
            "tcnative.*",
        ],
        why: "TLS is built in: there are no other providers of it to load",
    },
    WithoutEffect {
        names: &[
            "admin.idleTimeout",
            "admin.httpVersion",
            "admin.portUnification",
            "admin.forceHttps",
            "admin.needClientAuth",
            "admin.rateLimiterIntervalInMS",
            "admin.snapshot.*",
            "admin.restore.*",
        ],
        why: "the admin server speaks plain HTTP and changes nothing",
    },
    WithoutEffect {
        names: &["serverCnxnFactory"],
        why: "there is one implementation of the client port",
    },
    WithoutEffect {
        names: &[
            "authProvider.*",
            "sasl.client*",
            "kerberos.*",
            "security.auth_to_local",
            "requireKerberosConfig",
            "server.realm",
            "kinit",
        ],
        why: "authentication providers are not loaded by name; world, ip, auth, digest and sasl (by \
              authProvider.N=org.apache.zookeeper.server.auth.SASLAuthenticationProvider) are built in, Kerberos is not offered",
    },
    WithoutEffect {
        names: &[
            "metricsProvider.exportJvmInfo",
            "metricsProvider.numWorkerThreads",
            "metricsProvider.maxQueueSize",
            "metricsProvider.workerShutdownTimeoutMs",
            "metricsProvider.httpsPort",
            "metricsProvider.ssl.*",
        ],
        why: "there is no Java machine to tell of, and the metrics are given over plain HTTP by one thread",
    },
    WithoutEffect {
        names: &[
            "standaloneEnabled",
            "reconfigEnabled",
            "dynamicConfigFile",
            "skipReconfigACL",
        ],
        why: "dynamic reconfiguration came with 3.5",
    },
    WithoutEffect {
        names: &[
            "localSessionsEnabled",
            "localSessionsUpgradingEnabled",
            "snapshot.compression.method",
            "txnLogSizeLimitInKb",
            "clientPortListenBacklog",
            "netty.*",
            "nio.*",
            "commitLogCount",
            "connectToLearnerMasterLimit",
            "multiAddress.*",
            "observerMasterPort",
            "initialConfig",
            "electionPortBindRetry",
            "sessionlessCnxnTimeout",
            "largeRequest*",
        ],
        why: "later versions than 3.4.14 brought them",
    },
    WithoutEffect {
        names: &[
            "request_throttle_stall_time",
            "request_throttle_drop_stale",
            "request_stale_connection_check",
        ],
        why: "what waits for its turn goes on at once when there is room, and goes with its connection",
    },
    WithoutEffect {
        names: &[
            "request_stale_latency_check",
            "throttled_op_wait_time",
            "connection_throttle_freeze_time",
            "connection_throttle_drop_*",
            "connection_throttle_decrease_ratio",
            "connection_throttle_weight_enabled",
            "connection_throttle_*_session_weight",
        ],
        why: "requests wait for their turn and are not dropped by chance; each session asked for counts as one",
    },
    WithoutEffect {
        names: &["snapshot.trust.empty"],
        why: "a log without snapshots is read from its beginning, as by 3.4.14, if it begins with the first transaction",
    },
    WithoutEffect {
        names: &["jmx.*"],
        why: "there is no JMX without a Java machine",
    },
    WithoutEffect {
        names: &["ipReachableTimeout", "quorum.cnxn.threads.size"],
        why: "connections to other servers are made another way",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_none_has_an_effect_and_none_at_once() {
        for (index, option) in ALL.iter().enumerate() {
            assert!(
                ALL[..index].iter().all(|other| other.name != option.name),
                "{}",
                option.name
            );
            let lost = WITHOUT_EFFECT
                .iter()
                .find(|group| option.key().is_some_and(|key| group.has(key)));
            assert!(
                lost.is_none() || option.meaning.starts_with("no effect"),
                "{} has a meaning and is without effect",
                option.name
            );
        }
    }

    #[test]
    fn the_reference_has_a_row_for_each_option() {
        let text = reference();
        assert_eq!(
            text.lines().filter(|line| line.starts_with("| ")).count(),
            ALL.len() + 1
        );
        assert!(text.contains("| snapCount | zookeeper.snapCount | "));
        assert!(text.contains("| - | jute.maxbuffer | "));
        assert!(
            text.lines()
                .filter(|line| line.starts_with("| "))
                .all(|line| { line.replace("\\|", "").matches('|').count() == 6 })
        );
    }
}
