//! Whole configurations: what 3.4.14 takes is taken, what it refuses is refused, and the message helps.

mod ensembles;
mod tls;

use super::*;

const ALONE: &str = "dataDir=/d\nclientPort=2181\n";
const THREE: &str = "dataDir=/d\nclientPort=2181\ninitLimit=10\nsyncLimit=5\n\
    server.1=a:2888:3888\nserver.2=b:2888:3888\nserver.3=c:2888:3888\n";

fn read(text: &str, system: SystemProperties) -> Result<Config, String> {
    let my_id = |path: &Path| {
        assert_eq!(path, Path::new("/d/myid"));
        Ok(b"2\n".to_vec())
    };
    let config = Config::parse(Path::new("zoo.cfg"), text.as_bytes(), system, my_id);
    config.map_err(|error| error.to_string())
}

fn good(text: &str) -> Config {
    read(text, SystemProperties::default()).unwrap_or_else(|error| panic!("{text:?} is refused: {error}"))
}

fn refusal(text: &str) -> String {
    read(text, SystemProperties::default()).expect_err(text)
}

fn notes(config: &Config) -> Vec<&str> {
    let notes = config.notes.iter().filter(|note| note.level <= log::Level::Warn);
    notes.map(|note| note.text.as_str()).collect()
}

#[test]
fn the_defaults_are_those_of_a_java_server() {
    let config = good(ALONE);
    assert_eq!(
        (config.client_port, config.client_port_address.as_deref()),
        (Some(2181), None)
    );
    assert_eq!(
        (&*config.data_dir, &*config.data_log_dir),
        (Path::new("/d"), Path::new("/d"))
    );
    assert_eq!((config.tick_time_ms, config.max_client_cnxns), (3000, 60));
    assert_eq!(
        (config.min_session_timeout_ms, config.max_session_timeout_ms),
        (6_000, 60_000)
    );
    assert_eq!(
        (
            config.autopurge_snap_retain_count,
            config.autopurge_purge_interval_hours
        ),
        (3, 0)
    );
    assert_eq!(
        (config.snap_count, config.global_outstanding_limit),
        (100_000, 1_000)
    );
    assert_eq!((config.pre_alloc_size_kib, config.force_sync), (65_536, true));
    assert_eq!(
        (config.fsync_warning_threshold_ms, config.jute_max_buffer),
        (1_000, 1_048_575)
    );
    assert_eq!((config.skip_acl, config.read_only_mode), (false, false));
    assert_eq!((&config.super_digest, &config.super_user), (&None, &None));
    assert!(config.ensemble.is_none() && !config.is_distributed());
    assert_eq!(config.notes, []);
    let words: Vec<&str> = FOUR_LETTER_WORDS
        .into_iter()
        .filter(|w| !["wchc", "wchp"].contains(w))
        .collect();
    assert_eq!(config.four_letter_words.iter().collect::<Vec<_>>(), words);
}

#[test]
fn every_default_of_the_table_is_allowed_by_its_kind() {
    let mut settings = Settings::new("nowhere".to_owned(), SystemProperties::default());
    for option in options::ALL.iter().filter(|option| !option.default.is_empty()) {
        match option.kind {
            options::Kind::Number(..) | options::Kind::CNumber(..) => {
                let number: Result<i64, _> = settings.number(option);
                assert_eq!(
                    number.map(|n| n.to_string()).ok().as_deref(),
                    Some(option.default),
                    "{option:?}"
                );
            }
            options::Kind::Role => assert!(settings.role(option).is_ok()),
            _ => {
                settings.switch(option);
            }
        }
    }
    assert_eq!(settings.notes, []);
}

#[test]
fn limits_of_later_versions_are_off_until_they_are_set() {
    let with = |more: &str| good(&format!("{ALONE}{more}")).limits;
    let off = Limits {
        enforce_quota: false,
        keeps_digest: false,
        max_cnxns: None,
        max_requests: None,
        connections: None,
        snap_size_bytes: None,
    };
    assert_eq!(with(""), off);
    assert_eq!(with("maxCnxns=-1"), off);
    assert_eq!(with("snapSizeLimitInKb=0"), off);
    assert_eq!(with("connection_throttle_fill_count=9"), off);
    let keys = [
        "enforceQuota=true",
        "digest.enabled=true",
        "maxCnxns=7",
        "request_throttle_max_requests=8",
        "connection_throttle_tokens=5",
        "connection_throttle_fill_time=10",
        "connection_throttle_fill_count=2",
        "snapSizeLimitInKb=3",
    ];
    let all = with(&keys.join("\n"));
    let throttle = ConnectionThrottle {
        tokens: 5,
        fill_time_ms: 10,
        fill_count: 2,
    };
    let on = Limits {
        enforce_quota: true,
        keeps_digest: true,
        max_cnxns: Some(7),
        max_requests: Some(8),
        connections: Some(throttle),
        snap_size_bytes: Some(3 * 1024),
    };
    assert_eq!(all, on);
    let config = good(&format!(
        "{ALONE}snapshot.trust.empty=true\nrequest_throttle_stall_time=5"
    ));
    let said = |word: &str| config.notes.iter().any(|note| note.text.contains(word));
    assert!(said("snapshot.trust.empty") && said("request_throttle_stall_time"));
}

#[test]
fn keys_are_taken_as_java_takes_them() {
    let with = |more: &str| good(&format!("{ALONE}{more}"));
    assert_eq!(with("tickTime = 2000 ").max_session_timeout_ms, 40_000);
    assert_eq!(with("tickTime=2000\ntickTime=+4000").tick_time_ms, 4_000);
    assert_eq!(with("tickTime=2147483647").max_session_timeout_ms, i32::MAX);
    assert_eq!(with("maxClientCnxns=-1").max_client_cnxns, -1);
    assert_eq!(with("dataLogDir=/log").data_log_dir, Path::new("/log"));
    assert_eq!(
        with("clientPortAddress=::1").client_port_address.as_deref(),
        Some("::1")
    );
    assert_eq!(
        with("autopurge.purgeInterval=-3").autopurge_purge_interval_hours,
        0
    );
    assert_eq!(
        with("autopurge.purgeInterval=24").autopurge_purge_interval_hours,
        24
    );
    assert_eq!(
        with("electionAlg=0\npeerType=OBSERVER\ninitLimit=0").ensemble,
        None
    );
    let config = with("minSessionTimeout=500\nmaxSessionTimeout=70000");
    assert_eq!(
        (config.min_session_timeout_ms, config.max_session_timeout_ms),
        (500, 70_000)
    );
    let config = with("autopurge.snapRetainCount=2");
    assert_eq!(config.autopurge_snap_retain_count, 3);
    assert_eq!(
        notes(&config),
        ["Invalid autopurge.snapRetainCount: 2. Defaulting to 3"]
    );
    let config = with("maxSessionTimeout=1000");
    assert_eq!(
        (config.min_session_timeout_ms, config.max_session_timeout_ms),
        (6_000, 1_000)
    );
    assert_eq!(notes(&config).len(), 1);
}

#[test]
fn a_refusal_names_the_file_the_line_the_key_and_what_is_allowed() {
    let number = "a whole number from";
    let server = "host:port:electionPort";
    for (more, parts) in [
        ("\ntickTime=2s", &["zoo.cfg, line 4: tickTime=2s", number][..]),
        ("tickTime=0", &["line 3: tickTime=0", "from 1 to"]),
        ("tickTime=", &["line 3: tickTime=:"]),
        ("dataDir=", &["line 3: dataDir=:", "path of a directory"]),
        ("dataLogDir=", &["line 3: dataLogDir=:", "path of a directory"]),
        ("clientPort=0", &["clientPort=0", "from 1 to 65535"]),
        ("clientPort=65536", &["clientPort=65536", "from 1 to 65535"]),
        ("maxClientCnxns=2147483648", &["maxClientCnxns", number]),
        (
            "minSessionTimeout=9",
            &[
                "minSessionTimeout must not be larger",
                "which must be set as well",
            ],
        ),
        (
            "minSessionTimeout=9\nmaxSessionTimeout=8",
            &["minSessionTimeout must not be larger"],
        ),
        ("maxSessionTimeout=-2", &["from -1 to"]),
        ("initLimit=ten", &["initLimit=ten", number]),
        ("syncLimit=-5", &["syncLimit=-5", "from 0 to"]),
        ("electionAlg=x", &["electionAlg=x", number]),
        (
            "autopurge.snapRetainCount=many",
            &["autopurge.snapRetainCount=many", number],
        ),
        (
            "quorum.cnxn.threads.size=x",
            &["quorum.cnxn.threads.size=x", number],
        ),
        ("peerType=leader", &["peerType=leader", "participant or observer"]),
        ("server.1=a", &["server.1=a", server]),
        ("server.1=a:x:3888", &["server.1=a:x:3888", server]),
        (
            "server.1=a:2888:3888:voter",
            &["server.1=", "participant|observer"],
        ),
        ("server.1=a:2888:3888;2181", &["server.1=", server]),
        ("server.1=[::1:2888:3888", &["server.1=", "brackets"]),
        (
            "server.x=a:2888:3888",
            &["server.x=", "a key with a whole number"],
        ),
        (
            "server.-1=a:2888:3888",
            &["server.-1=", "a key with a whole number"],
        ),
        ("group=1:2", &["group=1:2", "a key with a whole number"]),
        ("group.1=1:x", &["group.1=1:x", "colons between"]),
        ("weight.1=-1", &["weight.1=-1", number]),
        ("server.1=a:1:2:observer", &["Observers w/o participants"]),
        (
            "server.1=a:1:2\nserver.2=a:1:2:observer",
            &["Observers w/o quorum"],
        ),
        (
            "quorum.auth.serverRequireSasl=true",
            &["quorum.auth.enableSasl is disabled"],
        ),
        (
            "quorum.auth.learnerRequireSasl=true",
            &["quorum.auth.enableSasl is disabled"],
        ),
        (
            "quorum.auth.enableSasl=true\nquorum.auth.serverRequireSasl=true",
            &["quorum.auth.learnerRequireSasl is disabled, so cannot enable quorum.auth.serverRequireSasl"],
        ),
        ("x=\\u00", &["zoo.cfg, line 3", "four hexadecimal digits"]),
    ] {
        let refusal = refusal(&format!("{ALONE}{more}"));
        for part in parts {
            assert!(
                refusal.contains(part),
                "{more:?} is refused with {refusal:?}, without {part:?}"
            );
        }
        assert!(refusal.contains("zoo.cfg"), "{refusal}");
    }
    assert_eq!(refusal("clientPort=1"), "zoo.cfg: dataDir is not set");
    assert_eq!(refusal("dataDir=/d"), "zoo.cfg: clientPort is not set");
}

#[test]
fn properties_of_the_file_win_over_those_of_the_command_line() {
    let mut system = SystemProperties::default();
    system.set("zookeeper.snapCount", "5000", Origin::CommandLine);
    system.set("zookeeper.preAllocSize", "100", Origin::CommandLine);
    system.set(
        "jute.maxbuffer",
        "0x3fffff",
        Origin::Environment("SERVER_JVMFLAGS"),
    );
    let config = read(&format!("{ALONE}snapCount=7000"), system).expect("good");
    assert_eq!((config.snap_count, config.pre_alloc_size_kib), (7_000, 100));
    assert_eq!(config.jute_max_buffer, 0x3f_ffff);
    assert_eq!(
        config.properties.get("zookeeper.snapCount").map(String::as_str),
        Some("7000")
    );
    assert_eq!(config.notes, []);
}

/// A property, a value of it, and what the configuration makes of it.
#[test]
fn properties_are_read_as_java_reads_them() {
    let with = |name: &str, value: &str| {
        let mut system = SystemProperties::default();
        system.set(name, value, Origin::CommandLine);
        read(ALONE, system).expect("a bad property is no reason to refuse")
    };
    for (value, taken, notes_made) in [
        ("10", 10, 0),
        ("1", 2, 1),
        ("-5", 2, 1),
        ("0x10", 100_000, 1),
        ("many", 100_000, 1),
        ("99999999999", 100_000, 1),
    ] {
        let config = with("zookeeper.snapCount", value);
        assert_eq!(
            (config.snap_count, notes(&config).len()),
            (taken, notes_made),
            "of {value}"
        );
    }
    for (value, taken) in [
        ("0x400", 1_024),
        ("#ff", 255),
        ("017", 15),
        ("0", 1_048_575),
        ("1m", 1_048_575),
    ] {
        assert_eq!(with("jute.maxbuffer", value).jute_max_buffer, taken, "of {value}");
    }
    for (value, taken) in [("0", 0), ("-1", 0), ("64", 64), ("x", 65_536)] {
        assert_eq!(
            with("zookeeper.preAllocSize", value).pre_alloc_size_kib,
            taken,
            "of {value}"
        );
    }
    for (value, synced, skipped) in [("no", false, false), ("yes", true, true), ("false", true, false)] {
        assert_eq!(
            with("zookeeper.forceSync", value).force_sync,
            synced,
            "of {value}"
        );
        assert_eq!(with("zookeeper.skipACL", value).skip_acl, skipped, "of {value}");
    }
    assert_eq!(
        with("fsync.warningthresholdms", "20").fsync_warning_threshold_ms,
        20
    );
    assert_eq!(
        with("zookeeper.fsync.warningthresholdms", "30").fsync_warning_threshold_ms,
        30
    );
    assert!(with("readonlymode.enabled", "True").read_only_mode);
    assert_eq!(
        with("zookeeper.superUser", "root").super_user.as_deref(),
        Some("root")
    );
    assert_eq!(
        with("zookeeper.DigestAuthenticationProvider.superDigest", "super:x")
            .super_digest
            .as_deref(),
        Some("super:x")
    );
    let note = with("zookeeper.snapCount", "many").notes.remove(0).text;
    for part in [
        "command line: zookeeper.snapCount=many",
        "a whole number",
        "default 100000",
    ] {
        assert!(note.contains(part), "{note}");
    }
}

#[test]
fn of_two_names_for_a_slow_sync_the_prefixed_one_wins() {
    let mut system = SystemProperties::default();
    system.set("fsync.warningthresholdms", "20", Origin::CommandLine);
    let config = read(&format!("{ALONE}fsync.warningthresholdms=30"), system).expect("good");
    assert_eq!(config.fsync_warning_threshold_ms, 30);
}

#[test]
fn the_white_list_of_words_always_has_srvr() {
    let words = |list: &str| {
        let config = good(&format!("{ALONE}4lw.commands.whitelist={list}"));
        config.four_letter_words.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words(""), "srvr");
    assert_eq!(words("stat, ruok ,,mntr"), "mntr ruok srvr stat");
    assert_eq!(words("*"), FOUR_LETTER_WORDS.join(" "));
    assert_eq!(words("ruok, *"), FOUR_LETTER_WORDS.join(" "));
    let mut system = SystemProperties::default();
    system.set("readonlymode.enabled", "true", Origin::CommandLine);
    let config = read(&format!("{ALONE}4lw.commands.whitelist=ruok"), system).expect("good");
    assert_eq!(
        config.four_letter_words.into_iter().collect::<Vec<_>>(),
        ["isro", "ruok", "srvr"]
    );
}

/// As kazoo/testing/common.py of kazoo 2.11.0 writes it.
#[test]
fn the_file_that_kazoo_s_harness_writes_is_taken_with_a_warning_for_each_group() {
    let config = good(
        "\ntickTime=2000\ndataDir=/d\nclientPort=20000\nsecureClientPort=20001\nmaxClientCnxns=0\n\
         admin.serverPort=20002\nserverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
         authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n\
         ssl.keyStore.location=/k.jks\nssl.keyStore.password=apassword\n\
         ssl.trustStore.location=/t.jks\nssl.trustStore.password=apassword\n\
         zookeeper.allowSaslFailedClients=true\n4lw.commands.whitelist=*\n\n",
    );
    assert_eq!((config.client_port, config.max_client_cnxns), (Some(20_000), 0));
    let notes = notes(&config);
    for (note, names) in notes.iter().zip([
        "serverCnxnFactory (line 8)",
        "zookeeper.allowSaslFailedClients (line 14)",
    ]) {
        assert!(
            note.starts_with(&format!("zoo.cfg: without effect: {names}: ")),
            "{note}"
        );
        assert!(!note.contains("apassword"), "{note}");
    }
    assert_eq!(notes.len(), 2);
    assert_eq!(
        config
            .properties
            .get("zookeeper.ssl.keyStore.location")
            .map(String::as_str),
        Some("/k.jks")
    );
}

#[test]
fn keys_without_effect_are_told_and_the_server_starts() {
    for (more, part) in [
        (
            "jute.maxbuffer=1",
            "jute.maxbuffer (line 3): these take effect as -D",
        ),
        (
            "readonlymode.enabled=true",
            "readonlymode.enabled (line 3): these take effect as -D",
        ),
        ("snapcount=1", "snapcount (line 3): this server knows no such key"),
        (
            "standaloneEnabled=false\nreconfigEnabled=true",
            "reconfigEnabled (line 4), standaloneEnabled (line 3)",
        ),
        (
            "metricsProvider.exportJvmInfo=true",
            "metricsProvider.exportJvmInfo (line 3)",
        ),
        ("quorum.cnxn.threads.size=40", "quorum.cnxn.threads.size (line 3)"),
    ] {
        let config = good(&format!("{ALONE}{more}"));
        let notes = notes(&config);
        assert!(notes.len() == 1 && notes[0].contains(part), "{more:?}: {notes:?}");
    }
    assert_eq!(
        good(&format!("{ALONE}jute.maxbuffer=1")).jute_max_buffer,
        1_048_575
    );
}

#[test]
fn a_server_starts_from_a_port_and_a_directory() {
    let load = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|&a| a.to_owned()).collect();
        Config::load(&Source::Arguments(arguments), SystemProperties::default()).map_err(|e| e.to_string())
    };
    let config = load(&["2181", "/d"]).expect("good");
    assert_eq!(
        (config.client_port, config.tick_time_ms, config.max_client_cnxns),
        (Some(2181), 3_000, 0)
    );
    assert_eq!(
        (&*config.data_dir, &*config.data_log_dir),
        (Path::new("/d"), Path::new("/d"))
    );
    let config = load(&["0", "/d", "2000", "10"]).expect("good");
    assert_eq!(
        (config.client_port, config.tick_time_ms, config.max_client_cnxns),
        (Some(0), 2_000, 10)
    );
    assert_eq!(
        (config.min_session_timeout_ms, config.max_session_timeout_ms),
        (4_000, 40_000)
    );
    for (arguments, part) in [
        (&["2181"][..], "PORT DATADIR [TICKTIME] [MAXCNXNS] expected"),
        (&["1", "2", "3", "4", "5"], "expected"),
        (
            &["x", "/d"],
            "command line: PORT=x: allowed is a whole number from 0 to 65535",
        ),
        (&["1", "/d", "0"], "TICKTIME=0"),
        (&["1", "/d", "1", "many"], "MAXCNXNS=many"),
    ] {
        let refusal = load(arguments).expect_err("refused");
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[test]
fn without_any_configuration_a_server_keeps_its_data_and_says_where() {
    let config = Config::load(&Source::Nothing, SystemProperties::default()).expect("good");
    assert_eq!(
        (config.client_port, &*config.data_dir),
        (Some(2181), Path::new("data"))
    );
    assert_eq!(
        config.notes,
        [Note::info("No configuration given: port 2181, data in ./data")]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("zoo.cfg");
    let load = || Config::load(&Source::File(path.clone()), SystemProperties::default());
    let refusal = load().expect_err("no file").to_string();
    assert!(
        refusal.contains("zoo.cfg: cannot be read: No such file"),
        "{refusal}"
    );
    let data = dir.path().display();
    std::fs::write(&path, format!("clientPort=2181\ndataDir={data}\n")).expect("written");
    let config = load().expect("good");
    assert_eq!(config.data_dir, dir.path());
    let reading = format!("Reading configuration from: {}", path.display());
    assert_eq!(config.notes, [Note::info(reading), Note::warn(STANDALONE)]);
}
