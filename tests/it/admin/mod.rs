//! The optional ports that speak HTTP: what they answer, to whom they do not, and that nobody can use them to
//! hinder the server.

mod ensembles;
mod guests;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use oxkeeper::proto::{Acl, Id, Perms};
use oxkeeper::tools::client::Client;
use serde_json::Value;

use crate::support::configured::Configured;
use crate::support::process::free_port;
use crate::support::{LONG, wait_until};

const LIMIT: Duration = Duration::from_secs(30);

/// What both servers' `monitor` tell of a server that stands alone.
const MONITORED: [&str; 37] = [
    "version",
    "server_state",
    "ephemerals_count",
    "num_alive_connections",
    "avg_latency",
    "outstanding_requests",
    "znode_count",
    "global_sessions",
    "packets_sent",
    "packets_received",
    "watch_count",
    "min_latency",
    "max_latency",
    "max_file_descriptor_count",
    "open_file_descriptor_count",
    "approximate_data_size",
    "uptime",
    "bytes_received_count",
    "response_bytes",
    "looking_count",
    "diff_count",
    "snap_count",
    "commit_count",
    "proposal_count",
    "connection_rejected",
    "connection_drop_count",
    "stale_sessions_expired",
    "learner_proposal_received_count",
    "learner_commit_received_count",
    "revalidate_count",
    "avg_fsynctime",
    "max_election_time",
    "cnt_snapshottime",
    "p99_updatelatency",
    "p50_readlatency",
    "sum_sync_processor_batch_size",
    "p999_prep_processor_queue_time_ms",
];

/// An answer over HTTP.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Sends bytes and reads until the end.
fn exchange(port: u16, bytes: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(local(port)).expect("connected");
    stream.set_read_timeout(Some(LIMIT)).expect("a limit");
    // The server may have answered and closed before it has read all.
    drop(stream.write_all(bytes));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let text = String::from_utf8(answer).expect("text");
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

fn get(port: u16, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    exchange(port, request.as_bytes()).unwrap_or_else(|| panic!("no answer to {path}"))
}

fn create(client: &mut Client, path: &str, acl: &[Acl], flags: i32) {
    let made = client.create(path, b"data", acl, flags).expect("an answer");
    assert_eq!(made.as_deref(), Ok(path));
}

/// A server with both ports.
fn watched(more: &[&str]) -> (Configured, u16, u16) {
    let (admin, metrics) = (free_port(), free_port());
    let lines = [
        format!("admin.serverPort={admin}"),
        "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider"
            .to_owned(),
        format!("metricsProvider.httpPort={metrics}"),
        "metricsProvider.exportJvmInfo=true".to_owned(),
    ];
    let mut config: Vec<&str> = lines.iter().map(String::as_str).collect();
    config.extend(more);
    let server = Configured::start(&config);
    // The clients' port is open before these are.
    for port in [admin, metrics] {
        wait_until("a port for HTTP", LONG, || {
            TcpStream::connect(local(port)).is_ok()
        });
    }
    (server, admin, metrics)
}

/// Java's names and types, nesting included; numbers as keys stand for whatever they are here.
fn compare(ours: &Value, java: &Value, at: &str) {
    match (ours, java) {
        (Value::Object(ours), Value::Object(java)) => {
            for (key, java) in java {
                let is_number = key.parse::<i64>().is_ok();
                let found = if is_number {
                    ours.values().next_back()
                } else {
                    ours.get(key)
                };
                let found = found.unwrap_or_else(|| panic!("{at}.{key} is missing: {ours:?}"));
                compare(found, java, &format!("{at}.{key}"));
            }
        }
        (Value::Array(ours), Value::Array(java)) => {
            if let (Some(ours), Some(java)) = (ours.first(), java.first()) {
                compare(ours, java, &format!("{at}[0]"));
            }
        }
        (Value::Number(_), Value::Number(_))
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_))
        | (Value::Null, Value::Null) => {}
        _ => panic!("{at}: Java answers {java}, we {ours}"),
    }
}

#[test]
fn each_command_has_the_names_and_types_of_java_3_8() {
    let (server, admin, _) = watched(&[]);
    let mut client = server.client();
    create(&mut client, "/e", &Acl::open(), 1);
    create(&mut client, "/a", &Acl::open(), 0);
    client.get_data("/a", true).expect("an answer").expect("data");
    let missing = client.exists("/b", true).expect("an answer");
    assert!(missing.is_err());
    let java: Value = serde_json::from_str(include_str!("../../data/java-3.8.0/admin.json")).expect("JSON");
    for (word, java) in java.as_object().expect("an object") {
        let answer = get(admin, &format!("/commands/{word}"));
        let mut java = java.clone();
        if word == "mntr" {
            // Java measures much that is only inside of it.
            let java = java.as_object_mut().expect("an object");
            java.retain(|key, _| MONITORED.contains(&key.as_str()));
            assert_eq!(java.len(), MONITORED.len(), "{java:?}");
        }
        let expected = if word == "nope" { 404 } else { 200 };
        assert_eq!(answer.status, expected, "{word}");
        assert!(
            answer.head.contains("Content-Type: application/json"),
            "{}",
            answer.head
        );
        compare(&answer.json(), &java, word);
    }
    let dump = get(admin, "/commands/dump").json();
    let owners = dump["session_id_to_ephemeral_paths"].as_object().expect("owners");
    assert_eq!(owners.values().next(), Some(&serde_json::json!(["/e"])));
    let session = owners.keys().next().expect("a session").clone();
    let watches = get(admin, "/commands/watches").json();
    assert_eq!(
        watches["session_id_to_watched_paths"][&session],
        serde_json::json!(["/a", "/b"])
    );
    let list = get(admin, "/commands").body;
    assert!(
        list.contains("<a href=\"/commands/monitor\">monitor</a>"),
        "{list}"
    );
}

#[test]
fn figures_are_reset_as_the_words_reset_them() {
    let (server, admin, _) = watched(&[]);
    let mut client = server.client();
    create(&mut client, "/a", &Acl::open(), 0);
    let connections = || get(admin, "/commands/cons").json()["connections"][0]["packets_received"].as_i64();
    assert!(connections() > Some(0));
    assert_eq!(get(admin, "/commands/crst").status, 200);
    assert_eq!(connections(), Some(0));
    assert_eq!(get(admin, "/commands/stat_reset").status, 200);
    assert_eq!(
        get(admin, "/commands/srvr").json()["server_stats"]["packets_received"],
        0
    );
}

#[test]
fn health_and_readiness_are_told_to_orchestrators() {
    let (_server, admin, _) = watched(&[]);
    let health = get(admin, "/health");
    assert_eq!(
        (health.status, &health.json()["healthy"]),
        (200, &Value::Bool(true))
    );
    let ready = get(admin, "/ready");
    assert_eq!(
        (ready.status, ready.json()["state"].as_str()),
        (200, Some("standalone"))
    );
    let page = get(admin, "/");
    assert!(page.status == 200 && page.body.contains("<title>oxkeeper</title>"));
    for outside in ["http://", "https://", "src=\"//", "@import"] {
        let body = page.body.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !body.contains(outside),
            "the page asks for something outside: {outside}"
        );
    }
    assert_eq!(get(admin, "/nothing").status, 404);
}

#[test]
fn the_metrics_count_what_clients_do() {
    let (server, _, metrics) = watched(&[]);
    let mut client = server.client();
    create(&mut client, "/a", &Acl::open(), 0);
    for _ in 0..10 {
        client.get_data("/a", false).expect("an answer").expect("data");
    }
    let answer = get(metrics, "/metrics");
    assert!(
        answer.head.contains("text/plain; version=0.0.4"),
        "{}",
        answer.head
    );
    check_format(&answer.body);
    let figure = |name: &str| -> f64 {
        let line = answer
            .body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} in {}", answer.body))
            .parse()
            .expect("a number")
    };
    assert_eq!(
        figure("oxkeeper_request_seconds_count{operation=\"getData\"}"),
        10.0
    );
    assert_eq!(
        figure("oxkeeper_request_seconds_count{operation=\"create\"}"),
        1.0
    );
    assert_eq!(
        figure("oxkeeper_request_seconds_bucket{operation=\"getData\",le=\"+Inf\"}"),
        10.0
    );
    assert!(figure("updatelatency_count") >= 2.0 && figure("updatelatency_sum") > 0.0);
    assert!(figure("fsynctime_count") >= 1.0 && figure("fsynctime{quantile=\"0.5\"}") > 0.0);
    assert!(figure("bytes_received_count") > 100.0 && figure("response_bytes") > 100.0);
    assert_eq!(figure("znode_count"), server.figure("zk_znode_count") as f64);
    assert!(figure("oxkeeper_stage_work_seconds_count{stage=\"sync\"}") >= 1.0);
    // Every figure of `mntr` that is a number is there under its name without zk_.
    for line in server.word(b"mntr").lines() {
        let (key, value) = line.split_once('\t').expect("a key and a value");
        let name = key.trim_start_matches("zk_");
        if value.parse::<f64>().is_ok() {
            figure(name);
        }
    }
    assert_eq!(get(metrics, "/").status, 404);
}

/// Prometheus' text format: each family has its help and its type before its samples, and comes once; samples
/// have names, labels and values as they must be; the buckets of a histogram grow.
fn check_format(text: &str) {
    let mut family = ("", "");
    let mut seen = std::collections::BTreeSet::new();
    let mut last_bucket = ("", 0.0);
    let is_name = |name: &str| {
        let rest = name
            .chars()
            .skip(1)
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && rest
    };
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a name and a help");
            assert!(is_name(name) && !help.is_empty() && seen.insert(name), "{line}");
            family = (name, "");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            assert!(name == family.0 && family.1.is_empty(), "{line}");
            assert!(
                ["gauge", "counter", "summary", "histogram"].contains(&kind),
                "{line}"
            );
            family.1 = kind;
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a series and a value");
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let ending = name
                .strip_prefix(family.0)
                .unwrap_or_else(|| panic!("{line} is in {family:?}"));
            let endings: &[&str] = match family.1 {
                "summary" => &["", "_count", "_sum"],
                "histogram" => &["_bucket", "_count", "_sum"],
                _ => &[""],
            };
            assert!(
                is_name(name) && endings.contains(&ending) && labels.ends_with('}'),
                "{line}"
            );
            for label in labels
                .trim_end_matches('}')
                .split(',')
                .filter(|label| !label.is_empty())
            {
                let (key, value) = label.split_once('=').expect("a label and its value");
                assert!(
                    is_name(key) && value.len() >= 2 && value.starts_with('"') && value.ends_with('"'),
                    "{line}"
                );
            }
            if ending == "_bucket" {
                let of = labels.split(",le=").next().unwrap_or_default();
                assert!(of != last_bucket.0 || value >= last_bucket.1, "{line}");
                last_bucket = (of, value);
            } else if ending == "_count" && family.1 == "histogram" {
                assert_eq!(value, last_bucket.1, "{line}");
            }
        }
    }
    assert!(seen.len() > 50, "{seen:?}");
}

#[test]
fn no_secret_is_told_and_no_node_that_is_not_for_everybody() {
    let digest = "bob:2NbgHkkH6wGbPbNvGdhvYRzTOhM=";
    let config = [
        "admin.treeBrowser=true",
        "DigestAuthenticationProvider.superDigest=super:c3VwZXJzZWNyZXQ=",
    ];
    let (server, admin, metrics) = watched(&config);
    let mut client = server.client();
    let closed = [Acl {
        perms: Perms::ALL,
        id: Id {
            scheme: "digest".to_owned(),
            id: digest.to_owned(),
        },
    }];
    let half = [Acl::open(), closed.to_vec()].concat();
    create(&mut client, "/open", &half, 0);
    create(&mut client, "/closed", &closed, 0);
    let mut paths: Vec<String> = [
        "/",
        "/health",
        "/ready",
        "/view/overview",
        "/view/connections",
        "/view/node?path=/open",
        "/view/node?path=/closed",
        "/view/node",
        "/commands",
    ]
    .map(str::to_owned)
    .to_vec();
    let list = get(admin, "/commands").body;
    let names = list
        .split("\">")
        .skip(1)
        .filter_map(|part| part.split("</a>").next());
    paths.extend(names.map(|name| format!("/commands/{name}")));
    paths.extend(
        ["system_properties", "sysp", "initial_configuration"].map(|name| format!("/commands/{name}")),
    );
    assert!(paths.len() > 25, "{paths:?}");
    for path in &paths {
        let body = get(admin, path).body;
        for secret in ["2NbgHkkH6wGbPbNvGdhvYRzTOhM=", "c3VwZXJzZWNyZXQ=", "passw"] {
            assert!(!body.contains(secret), "{path} tells {secret}: {body}");
        }
    }
    assert!(!get(metrics, "/metrics").body.contains("2Nbg"));
    let node = get(admin, "/view/node?path=/open");
    assert_eq!((node.status, node.json()["text"].as_str()), (200, Some("data")));
    assert!(node.json()["acl"].to_string().contains("digest:bob: cdrwa"));
    assert_eq!(get(admin, "/view/node?path=/closed").status, 404);
}

#[test]
fn the_tree_is_not_shown_unless_that_is_switched_on() {
    let (_server, admin, _) = watched(&[]);
    let node = get(admin, "/view/node?path=/");
    assert!(
        node.status == 403 && node.body.contains("admin.treeBrowser"),
        "{}",
        node.body
    );
}

#[test]
fn a_port_that_is_taken_costs_the_port_and_not_the_server() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let server = Configured::start(&[&format!("admin.serverPort={port}")]);
    wait_until("the line that tells of it", LONG, || {
        server
            .log()
            .contains("Problem starting AdminServer: cannot listen on 127.0.0.1")
    });
    assert_eq!(server.word(b"ruok"), "imok");
}

#[test]
fn without_the_keys_nobody_listens() {
    let server = Configured::start(&["admin.enableServer=false"]);
    assert!(!server.log().contains("AdminServer") && !server.log().contains("MetricsServer"));
}
