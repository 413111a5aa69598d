//! Ensembles and their members.

use super::*;

#[test]
fn an_ensemble_is_read_with_its_ports_and_roles() {
    let config = good(&format!(
        "{THREE}server.4=[2001:db8::1]:2889:3889:Observer\nleaderServes=no\n"
    ));
    let ensemble = config.ensemble.as_ref().expect("an ensemble");
    assert_eq!((ensemble.my_id, ensemble.role()), (Sid(2), Role::Participant));
    assert_eq!((ensemble.init_limit_ticks, ensemble.sync_limit_ticks), (10, 5));
    assert_eq!(ensemble.cnx_timeout_ms, 5_000);
    assert!(ensemble.leader_nodelay && ensemble.follower_nodelay && !ensemble.tcp_keep_alive);
    assert!(ensemble.sync_enabled && !ensemble.leader_serves && !ensemble.quorum_listen_on_all_ips);
    assert_eq!(ensemble.quorum_sasl.service_principal, "zkquorum/localhost");
    let observer = Member {
        sid: Sid(4),
        host: "2001:db8::1".to_owned(),
        quorum_port: 2889,
        election_port: 3889,
        role: Role::Observer,
    };
    assert_eq!(ensemble.ensemble.member(Sid(4)), Some(&observer));
    assert_eq!(
        ensemble.ensemble.voters().collect::<Vec<_>>(),
        [Sid(1), Sid(2), Sid(3)]
    );
    assert!(ensemble.ensemble.verifier().contains_quorum([Sid(1), Sid(3)]));
    assert!(!ensemble.ensemble.verifier().contains_quorum([Sid(1), Sid(4)]));
    assert_eq!(notes(&config), Vec::<&str>::new());
}

#[test]
fn every_setting_of_a_member_is_read() {
    let lines = [
        "quorumListenOnAllIPs=true",
        "quorum.auth.learner.saslLoginContext=L",
        "quorum.auth.server.saslLoginContext=S",
        "quorum.auth.kerberos.servicePrincipal=p/_HOST",
        "quorum.cnxn.threads.size=3",
        "syncEnabled=true",
    ];
    let text = format!("{THREE}{}", lines.join("\n"));
    let mut system = SystemProperties::default();
    for (name, value) in [
        ("zookeeper.leaderServes", "no"),
        ("zookeeper.tcpKeepAlive", "true"),
        ("leader.nodelay", "false"),
        ("follower.nodelay", "false"),
        ("zookeeper.observer.syncEnabled", "false"),
        ("zookeeper.testingonly.initialZxid", "4294967280"),
    ] {
        system.set(name, value, Origin::CommandLine);
    }
    let ensemble = read(&text, system)
        .expect("a member")
        .ensemble
        .expect("an ensemble");
    assert!(ensemble.quorum_listen_on_all_ips && ensemble.tcp_keep_alive);
    assert!(!ensemble.leader_serves && !ensemble.leader_nodelay && !ensemble.follower_nodelay);
    assert!(!ensemble.sync_enabled, "the property wins");
    assert_eq!(ensemble.initial_zxid, Some(4_294_967_280));
    let sasl = &ensemble.quorum_sasl;
    assert_eq!(
        (
            sasl.learner_login_context.as_str(),
            sasl.server_login_context.as_str()
        ),
        ("L", "S")
    );
    assert_eq!(sasl.service_principal, "p/_HOST");
}

#[test]
fn what_goes_by_itself_is_configured_by_properties() {
    let mut system = SystemProperties::default();
    for (name, value) in [
        ("znode.container.checkIntervalMs", "500"),
        ("znode.container.maxPerMinute", "7"),
        ("znode.container.maxNeverUsedIntervalMs", "9"),
    ] {
        system.set(name, value, Origin::CommandLine);
    }
    let containers = read(ALONE, system).expect("a server").containers;
    let expected = Containers {
        check_interval_ms: 500,
        max_per_minute: 7,
        never_used_ms: 9,
    };
    assert_eq!(containers, expected);
}

#[test]
fn the_http_ports_listen_where_they_are_told() {
    let lines = [
        "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
        "metricsProvider.httpHost=10.0.0.1",
        "metricsProvider.httpPort=7001",
        "admin.serverPort=8081",
        "admin.serverAddress=10.0.0.2",
        "admin.commandURL=/do/",
    ];
    let config = good(&format!("{ALONE}{}", lines.join("\n")));
    let metrics = config.metrics.expect("metrics");
    assert_eq!((metrics.host.as_str(), metrics.port), ("10.0.0.1", 7001));
    let admin = config.admin.expect("the admin server");
    assert_eq!(
        (admin.address.host.as_str(), admin.address.port),
        ("10.0.0.2", 8081)
    );
    assert_eq!(admin.command_url, "/do");
}

#[test]
fn odd_ensembles_are_told() {
    let one = good(&format!("{ALONE}server.1=a:2888:3888\n"));
    assert_eq!(one.ensemble, None);
    assert_eq!((one.notes[0].level, one.notes.len()), (log::Level::Error, 1));
    assert_eq!(
        one.notes[0].text,
        "Invalid configuration, only one server specified (ignoring)"
    );
    let two = THREE.replace("server.3", "#server.3");
    let two = good(&two);
    assert_eq!(
        notes(&two),
        ["No server failure will be tolerated. You need at least 3 servers."]
    );
    let four = good(&format!("{THREE}server.4=d:2888:3888"));
    assert_eq!(
        notes(&four),
        ["Non-optimial configuration, consider an odd number of servers."]
    );
    let again = good(&format!("{THREE}server.2=b:2888:3888"));
    assert!(
        notes(&again)[0].ends_with("server.2=b:2888:3888 is there twice"),
        "{again:?}"
    );
    let observer = good(&format!("{THREE}peerType=observer"));
    assert_eq!(
        notes(&observer),
        [
            "Peer type from servers list (PARTICIPANT) doesn't match peerType (OBSERVER). Defaulting to servers list."
        ]
    );
}

#[test]
fn an_ensemble_that_cannot_work_is_refused() {
    for (text, part) in [
        (
            THREE.replace("initLimit", "#"),
            "initLimit is not set, which an ensemble needs",
        ),
        (
            THREE.replace("syncLimit=5", "syncLimit=0"),
            "syncLimit is not set",
        ),
        (
            THREE.replace("a:2888:3888", "a:2888"),
            "server.1=a:2888: Missing election port for server: 1",
        ),
        (
            format!("{THREE}server.2=d:2888:3888"),
            "server.2=d:2888:3888: server.2=b:2888:3888 was set before, ",
        ),
        (
            format!("{THREE}server.02=d:2888:3888"),
            "server.2=b:2888:3888: server.02=d:2888:3888 was set before, ",
        ),
        (
            format!("{THREE}group.1=1:2:3\nweight.3=0\nweight.3=1"),
            "weight.3=1: weight.3=0 was set before, ",
        ),
        (format!("{THREE}electionAlg=0"), "electionAlg=0 is not offered"),
        (format!("{THREE}electionAlg=4"), "electionAlg=4 is not offered"),
        (format!("{THREE}cnxTimeout=soon"), "zookeeper.cnxTimeout=soon"),
        (
            format!("{THREE}group.1=1:2"),
            "Every server must be in exactly one group",
        ),
        (
            format!("{THREE}group.1=1:2:4"),
            "Every server must be in exactly one group",
        ),
        (
            format!("{THREE}group.1=1:2\ngroup.2=2:3"),
            "Server 2 is in multiple groups",
        ),
        (
            format!("{THREE}group.1=1:2:3\nweight.1=0\nweight.2=0\nweight.3=0"),
            "no quorum is possible",
        ),
        (
            THREE.replace("server.2", "server.5"),
            "/d/myid: My id 2 not in the peer list",
        ),
    ] {
        let refusal = refusal(&text);
        assert!(refusal.contains(part), "{refusal:?} lacks {part:?}");
    }
}

#[test]
fn groups_and_weights_make_a_hierarchy() {
    let config = good(&format!("{THREE}group.1=1:2\ngroup.2=3\nweight.1=3"));
    let ensemble = config.ensemble.expect("an ensemble").ensemble;
    assert_eq!(
        [1, 2, 3].map(|sid| ensemble.verifier().weight(Sid(sid))),
        [3, 1, 1]
    );
    assert!(ensemble.verifier().contains_quorum([Sid(1), Sid(3)]));
    assert!(!ensemble.verifier().contains_quorum([Sid(1), Sid(2)]));
}

#[test]
fn a_myid_is_a_number_on_the_first_line_and_nothing_else() {
    let my_id = |bytes: &'static [u8]| servers::my_id(Path::new("/d"), |_| Ok(bytes.to_vec()));
    for (bytes, sid) in [
        (&b"3"[..], 3),
        (b"3\n", 3),
        (b"3\r\n", 3),
        (b"3\rx", 3),
        (b"3\n4\n", 3),
        (b"255\n\n", 255),
    ] {
        assert_eq!(my_id(bytes).ok(), Some(Sid(sid)), "{bytes:?}");
    }
    for bytes in [
        &b""[..],
        b"\n3",
        b" 3",
        b"3 \n",
        b"three",
        b"-1",
        b"\xff3",
        b"99999999999999999999",
    ] {
        let refusal = my_id(bytes).expect_err("not a number").to_string();
        assert!(refusal.starts_with("/d/myid: serverid "), "{refusal}");
    }
    let missing = servers::my_id(Path::new("/d"), |_| Err(io::ErrorKind::NotFound.into()));
    assert!(
        missing
            .expect_err("missing")
            .to_string()
            .starts_with("/d/myid: cannot be read: ")
    );
}
