//! The measurements, one function each.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::proto::requests::{CreateRequest, PathWatch, RequestHeader, SetDataRequest};
use crate::proto::{Acl, Encode, ErrorCode, OpCode, Xid};
use crate::runtime::time::Stopwatch;
use crate::tools::client::{Client, Handshake};
use crate::tools::stream::Stream;
use crate::tools::wire::{ClientError, Wire};

use super::cpu::Meter;
use super::dialer::Dialer;
use super::histogram::Histogram;
use super::load::{Drive, drive};
use super::options::{Mode, Plan, Span};
use super::pace::Pace;
use super::report::{Part, Report};
use super::requests::{Operation, Requests};

/// Does what the plan says.
///
/// # Errors
/// A sentence that says what the servers did.
pub fn measure(plan: &Plan) -> Result<Report, String> {
    match plan.mode {
        Mode::Load | Mode::Fill => load(plan),
        Mode::Sessions => sessions(plan),
        Mode::Watches => watches(plan),
    }
}

/// Operations on keys: with one connection and one request under way, the latency of a lonely client.
fn load(plan: &Plan) -> Result<Report, String> {
    if !plan.skip_setup {
        prepare(plan).map_err(|error| format!("cannot prepare the keys: {error}"))?;
    }
    let mut lanes = Vec::with_capacity(plan.connections);
    for index in 0..plan.connections {
        let client = connect(plan, index)?;
        let mark = format!("{:x}", client.session().session.0);
        let requests = Requests::new(&plan.material, index as u64, plan.connections as u64, &mark);
        lanes.push((stream_of(client)?, requests));
    }
    let dialer = plan
        .reconnects
        .then(|| Dialer::start(plan.caller.clone(), plan.servers.clone(), plan.timeout_ms));
    let how = Drive {
        in_flight: plan.in_flight,
        warmup_ns: (plan.warmup_s * 1e9) as u64,
        span: plan.span,
        window_ns: plan.window_ms * 1_000_000,
        pace: plan.rate_per_s.map(Pace::new),
        dialer: dialer.transpose().map_err(|error| error.to_string())?,
    };
    let meter = Meter::start(&plan.servers);
    let driven = drive(lanes, how).map_err(|error| error.to_string())?;
    let (tally, seconds) = (driven.tally, driven.seconds);
    let kinds = [("reads", tally.reads), ("writes", tally.writes)];
    let parts = kinds.into_iter().filter(|(_, latencies)| latencies.total() > 0);
    let mut report = report(plan, seconds);
    report.cpu = Some(meter.used());
    report.unsent = plan.rate_per_s.map(|_| driven.unsent);
    report.parts = parts
        .map(|(name, latencies)| rated(name, latencies, seconds))
        .collect();
    report.windows = tally.windows;
    report.errors = tally.errors;
    Ok(report)
}

/// Opens as many sessions at once as there are connections, closes them, and again.
fn sessions(plan: &Plan) -> Result<Report, String> {
    let (mut opened, mut closed) = (Histogram::default(), Histogram::default());
    let watch = Stopwatch::start();
    let hello = Handshake::with_timeout(plan.timeout_ms).to_bytes();
    let mut close = Vec::new();
    RequestHeader {
        xid: Xid(1),
        op: OpCode::CloseSession.number(),
    }
    .encode(&mut close);
    let mut is_first = true;
    while is_first || goes_on(plan.span, &watch, closed.total()) {
        is_first = false;
        let mut wires = Vec::with_capacity(plan.connections);
        for index in 0..plan.connections {
            let address = plan.servers[index % plan.servers.len()];
            let wire = Wire::call(&plan.caller, address, None, LIMIT);
            wires.push(wire.map_err(|error| format!("{address}: {error}"))?);
        }
        let outcome = exchange(&mut wires, &hello, &watch, &mut opened)
            .and_then(|()| exchange(&mut wires, &close, &watch, &mut closed));
        outcome.map_err(|error| format!("a session failed: {error}; {CONNECTIONS_HINT}"))?;
    }
    let seconds = watch.elapsed_ns() as f64 / 1e9;
    let mut report = report(plan, seconds);
    report.parts = vec![rated("opened", opened, seconds), rated("closed", closed, seconds)];
    Ok(report)
}

/// Sends the same frame on all connections, and waits for an answer on each.
fn exchange(
    wires: &mut [Wire],
    frame: &[u8],
    watch: &Stopwatch,
    latencies: &mut Histogram,
) -> Result<(), ClientError> {
    let mut sent_ns = Vec::with_capacity(wires.len());
    for wire in wires.iter_mut() {
        wire.queue_frame(|out| out.extend_from_slice(frame));
        sent_ns.push(watch.elapsed_ns());
        wire.flush()?;
    }
    for (wire, sent_ns) in wires.iter_mut().zip(sent_ns) {
        wire.receive_frame()?;
        latencies.record(watch.elapsed_ns() - sent_ns);
    }
    Ok(())
}

/// One node, as many watchers as there are connections, and a change: until each has heard of it.
fn watches(plan: &Plan) -> Result<Report, String> {
    let (mut armed, mut each, mut last) = Default::default();
    let root = &plan.material.root;
    let mut writer = connect(plan, 0)?;
    let made = writer
        .create(root, b"", &Acl::open(), 0)
        .map_err(|error| error.to_string())?;
    tolerate(made.map(drop))?;
    let mut watchers = Vec::with_capacity(plan.connections);
    for index in 0..plan.connections {
        watchers.push(connect(plan, index)?);
    }
    let watch = Stopwatch::start();
    let mut rounds = 0;
    while rounds == 0 || goes_on(plan.span, &watch, rounds) {
        rounds += 1;
        let outcome = arm(&mut watchers, root, &watch, &mut armed)
            .and_then(|()| fire(&mut writer, &mut watchers, plan, &watch, &mut each));
        last = merged(
            last,
            outcome.map_err(|error| format!("a watcher failed: {error}"))?,
        );
    }
    let mut report = report(plan, watch.elapsed_ns() as f64 / 1e9);
    let parts: [(&str, Histogram); 3] = [("armed", armed), ("event", each), ("last event", last)];
    report.parts = parts
        .map(|(name, latencies)| Part {
            name,
            latencies,
            per_second: None,
        })
        .into();
    Ok(report)
}

/// Sets a watch from each connection; counts the time that all took together.
fn arm(
    watchers: &mut [Client],
    path: &str,
    watch: &Stopwatch,
    latencies: &mut Histogram,
) -> Result<(), ClientError> {
    let begin_ns = watch.elapsed_ns();
    let request = PathWatch {
        path: path.into(),
        watch: true,
    };
    let mut xids = Vec::with_capacity(watchers.len());
    for watcher in watchers.iter_mut() {
        xids.push(watcher.send(OpCode::Exists, |out| request.encode(out)));
        watcher.wire().flush()?;
    }
    for (watcher, xid) in watchers.iter_mut().zip(xids) {
        watcher.receive_reply(xid)?;
    }
    latencies.record(watch.elapsed_ns() - begin_ns);
    Ok(())
}

/// Changes the node; counts the time until each event, and gives that of the last.
fn fire(
    writer: &mut Client,
    watchers: &mut [Client],
    plan: &Plan,
    watch: &Stopwatch,
    latencies: &mut Histogram,
) -> Result<u64, ClientError> {
    let data = plan.material.data();
    let set = SetDataRequest {
        path: plan.material.root.as_str().into(),
        data: Some(&data),
        version: -1,
    };
    let begin_ns = watch.elapsed_ns();
    let xid = writer.send(OpCode::SetData, |out| set.encode(out));
    writer.wire().flush()?;
    for watcher in watchers.iter_mut() {
        watcher.wait_event()?;
        latencies.record(watch.elapsed_ns() - begin_ns);
    }
    let last_ns = watch.elapsed_ns() - begin_ns;
    writer.receive_reply(xid)?;
    Ok(last_ns)
}

fn merged(mut histogram: Histogram, value: u64) -> Histogram {
    histogram.record(value);
    histogram
}

/// Whether a span that is counted in rounds has not ended.
fn goes_on(span: Span, watch: &Stopwatch, done: u64) -> bool {
    match span {
        Span::Seconds(seconds) => (watch.elapsed_ns() as f64) < seconds * 1e9,
        Span::Count(count) => done < count,
    }
}

/// Makes the parents and, unless they are what is measured, the keys.
fn prepare(plan: &Plan) -> Result<(), String> {
    let mut client = connect(plan, 0)?;
    let material = &plan.material;
    let parents = [material.root.clone(), material.create_root()];
    make(&mut client, parents.into_iter(), b"")?;
    if matches!(material.operation, Operation::Fill | Operation::Create) {
        return Ok(());
    }
    let data = material.data();
    let mut number = 0;
    while number < material.keys {
        let end = (number + SETUP_BATCH).min(material.keys);
        make(&mut client, (number..end).map(|key| material.key(key)), &data)?;
        number = end;
    }
    Ok(())
}

/// Makes nodes, many at a time; those that are there get the data.
fn make(client: &mut Client, paths: impl Iterator<Item = String>, data: &[u8]) -> Result<(), String> {
    let mut sent = Vec::new();
    for path in paths {
        let (text, acl) = (path.as_str().into(), Acl::open());
        let request = CreateRequest {
            path: text,
            data: Some(data),
            acl,
            flags: 0,
        };
        let xid = client.send(OpCode::Create, |out| request.encode(out));
        sent.push((xid, path));
    }
    let mut there = Vec::new();
    for (xid, path) in sent {
        let reply = client.receive_reply(xid).map_err(|error| error.to_string())?;
        if reply.error == ErrorCode::NodeExists {
            there.push(path);
        } else {
            tolerate(reply.outcome())?;
        }
    }
    for path in there {
        let set = client
            .set_data(&path, data, -1)
            .map_err(|error| error.to_string())?;
        tolerate(set.map(drop))?;
    }
    Ok(())
}

fn tolerate(outcome: Result<(), ErrorCode>) -> Result<(), String> {
    match outcome {
        Ok(()) | Err(ErrorCode::NodeExists) => Ok(()),
        Err(error) => Err(format!("the server answered {}", error.name())),
    }
}

fn connect(plan: &Plan, index: usize) -> Result<Client, String> {
    let address: SocketAddr = plan.servers[index % plan.servers.len()];
    let client = Client::connect_by(
        &plan.caller,
        address,
        None,
        &Handshake::with_timeout(plan.timeout_ms),
        LIMIT,
    );
    client.map_err(|error| {
        format!(
            "connection {} to {address}: {error}; {CONNECTIONS_HINT}",
            index + 1
        )
    })
}

fn stream_of(client: Client) -> Result<Stream<TcpStream>, String> {
    client.into_stream().map_err(|error| error.to_string())
}

fn rated(name: &'static str, latencies: Histogram, seconds: f64) -> Part {
    let per_second = (seconds > 0.0).then(|| latencies.total() as f64 / seconds);
    Part {
        name,
        latencies,
        per_second,
    }
}

fn report(plan: &Plan, seconds: f64) -> Report {
    let material = &plan.material;
    let servers: Vec<String> = plan.servers.iter().map(SocketAddr::to_string).collect();
    let settings = vec![
        ("servers", servers.join(",")),
        ("mode", format!("{:?}", plan.mode).to_lowercase()),
        ("op", material.operation.name().to_owned()),
        ("read percent", material.read_percent.to_string()),
        ("connections", plan.connections.to_string()),
        ("in flight", plan.in_flight.to_string()),
        ("size", material.size_bytes.to_string()),
        ("keys", material.keys.to_string()),
        (
            "rate",
            plan.rate_per_s
                .map_or("as answers come".to_owned(), |rate| rate.to_string()),
        ),
    ];
    Report {
        settings,
        seconds,
        window_ms: plan.window_ms,
        ..Report::default()
    }
}

/// How long a connect, a read or a write may take.
const LIMIT: Duration = Duration::from_secs(60);

/// How many keys are made at a time before a measurement.
const SETUP_BATCH: u64 = 1_000;

const CONNECTIONS_HINT: &str = "is maxClientCnxns of the server, or the limit of open files, too low?";
