//! The command line of the load generator.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use getopts::{Matches, Options};

use crate::tools::stream::{Caller, ClientProperties};

use super::requests::{Material, Operation};

/// What is to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Operations on keys, many at once.
    Load,
    /// Making the keys, each once.
    Fill,
    /// Opening and closing sessions.
    Sessions,
    /// One change told to many watchers.
    Watches,
}

/// How long a measurement takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Span {
    /// So many seconds.
    Seconds(f64),
    /// So many operations, or rounds.
    Count(u64),
}

/// The command line, understood.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What is measured.
    pub mode: Mode,
    /// The servers; connections go to them in turn.
    pub servers: Vec<SocketAddr>,
    /// How they are called.
    pub caller: Caller,
    /// A file of properties that say so.
    pub configuration: Option<PathBuf>,
    /// How many connections, each with a session.
    pub connections: usize,
    /// How many requests each connection keeps under way.
    pub in_flight: usize,
    /// Keys, data and operation.
    pub material: Material,
    /// How long.
    pub span: Span,
    /// Seconds before the measurement, under the same load.
    pub warmup_s: f64,
    /// Operations per second, of all connections together, that are begun whether or not the servers keep up.
    pub rate_per_s: Option<u64>,
    /// Whether a connection that is lost is made anew, to the next server.
    pub reconnects: bool,
    /// The session timeout asked for.
    pub timeout_ms: i32,
    /// The width of the windows of the series.
    pub window_ms: u64,
    /// Whether the keys are there already.
    pub skip_setup: bool,
    /// Whether the result is one JSON object.
    pub json: bool,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// A measurement.
    Run(Box<Plan>),
    /// The text of the help.
    Help(String),
}

impl Asked {
    /// The same, by these properties of the client.
    ///
    /// # Errors
    /// A sentence that names what is wrong with them.
    pub fn by(mut self, properties: &ClientProperties) -> Result<Asked, String> {
        if let Asked::Run(plan) = &mut self {
            plan.caller = properties.caller(plan.configuration.as_deref())?;
        }
        Ok(self)
    }
}

/// Reads the words behind `bench`.
///
/// # Errors
/// A sentence that names the option and what it may be.
pub fn parse(arguments: &[String]) -> Result<Asked, String> {
    let options = options();
    let matches = options.parse(arguments).map_err(|error| error.to_string())?;
    if matches.opt_present("help") {
        return Ok(Asked::Help(help_text()));
    }
    if let Some(word) = matches.free.first() {
        return Err(format!("{word:?} is not an option of bench"));
    }
    let (mode, operation) = mode(&matches)?;
    let material = Material {
        operation,
        root: root(&matches)?,
        keys: number(&matches, "keys", 1_000, 1..=MOST_KEYS)?,
        size_bytes: number(&matches, "size", 100, 0..=LARGEST_BYTES)? as usize,
        read_percent: number(&matches, "read-percent", 90, 0..=100)? as u32,
    };
    Ok(Asked::Run(Box::new(Plan {
        mode,
        servers: servers(&matches)?,
        caller: Caller::default(),
        configuration: matches.opt_str("client-configuration").map(PathBuf::from),
        connections: number(&matches, "connections", 1, 1..=1_000_000)? as usize,
        in_flight: number(&matches, "inflight", 1, 1..=100_000)? as usize,
        material,
        span: span(&matches, mode)?,
        warmup_s: seconds(&matches, "warmup", 0.0)?,
        rate_per_s: rate(&matches)?,
        reconnects: matches.opt_present("reconnect"),
        timeout_ms: number(&matches, "timeout", 30_000, 1..=i32::MAX as u64)? as i32,
        window_ms: number(&matches, "window", 1_000, 1..=3_600_000)?,
        skip_setup: matches.opt_present("no-setup"),
        json: matches.opt_present("json"),
    })))
}

/// The text of `--help`.
pub fn help_text() -> String {
    options().usage("Usage: oxkeeper bench [options]\n\nDrives a ZooKeeper ensemble and measures it.")
}

fn options() -> Options {
    let mut options = Options::new();
    options
        .optopt(
            "",
            "client-configuration",
            "properties of the client: zookeeper.client.secure, zookeeper.ssl.*",
            "FILE",
        )
        .optopt(
            "s",
            "servers",
            "the ensemble's clients' ports (127.0.0.1:2181)",
            "HOST:PORT,...",
        )
        .optopt("m", "mode", "load, fill, sessions or watches (load)", "MODE")
        .optopt(
            "o",
            "op",
            "get, set, create, exists or mixed (mixed)",
            "OPERATION",
        )
        .optopt("p", "read-percent", "share of reads in a mix (90)", "0..100")
        .optopt("c", "connections", "sessions, or watchers, at once (1)", "N")
        .optopt("i", "inflight", "requests under way on each (1)", "N")
        .optopt("b", "size", "bytes of data of a node (100)", "BYTES")
        .optopt("k", "keys", "nodes that reads and writes choose from (1000)", "N")
        .optopt(
            "",
            "root",
            "the node below which everything happens (/bench)",
            "PATH",
        )
        .optopt("t", "seconds", "how long to measure (10)", "S")
        .optopt(
            "n",
            "requests",
            "how many operations, or rounds, instead of seconds",
            "N",
        )
        .optopt("w", "warmup", "seconds of load before the measurement (0)", "S")
        .optopt(
            "r",
            "rate",
            "begin so many operations per second, however slow the answers are; latency counts from the moment \
             at which each was due",
            "N",
        )
        .optflag("", "reconnect", "go to the next server when a connection is lost")
        .optopt("", "window", "width of a window of the series in ms (1000)", "MS")
        .optopt("", "timeout", "session timeout in ms (30000)", "MS")
        .optflag(
            "",
            "no-setup",
            "the keys are there already, from a run with --mode fill",
        )
        .optflag("j", "json", "print one JSON object")
        .optflag("h", "help", "print this");
    options
}

fn mode(matches: &Matches) -> Result<(Mode, Operation), String> {
    let name = matches.opt_str("op").unwrap_or_else(|| "mixed".into());
    let operation = Operation::named(&name)
        .ok_or_else(|| format!("--op {name}: must be get, set, create, exists or mixed"))?;
    let mode = matches.opt_str("mode").unwrap_or_else(|| "load".into());
    match mode.as_str() {
        "load" => Ok((Mode::Load, operation)),
        "fill" => Ok((Mode::Fill, Operation::Fill)),
        "sessions" => Ok((Mode::Sessions, operation)),
        "watches" => Ok((Mode::Watches, operation)),
        _ => Err(format!("--mode {mode}: must be load, fill, sessions or watches")),
    }
}

fn servers(matches: &Matches) -> Result<Vec<SocketAddr>, String> {
    let list = matches
        .opt_str("servers")
        .unwrap_or_else(|| "127.0.0.1:2181".into());
    list.split(',').map(server).collect()
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let mut found = text
        .to_socket_addrs()
        .map_err(|error| format!("--servers {text}: {error}"))?;
    found
        .next()
        .ok_or_else(|| format!("--servers {text}: no such host"))
}

fn root(matches: &Matches) -> Result<String, String> {
    let root = matches.opt_str("root").unwrap_or_else(|| "/bench".into());
    let is_one_name = root.len() > 1 && root.starts_with('/') && !root[1..].contains('/');
    if is_one_name {
        Ok(root)
    } else {
        Err(format!("--root {root}: must be a slash and one name"))
    }
}

fn span(matches: &Matches, mode: Mode) -> Result<Span, String> {
    match (matches.opt_present("requests"), mode) {
        (_, Mode::Fill) => Ok(Span::Count(u64::MAX)),
        (true, _) => Ok(Span::Count(number(matches, "requests", 1, 1..=u64::MAX)?)),
        (false, _) => Ok(Span::Seconds(seconds(matches, "seconds", 10.0)?)),
    }
}

fn seconds(matches: &Matches, name: &str, default: f64) -> Result<f64, String> {
    let value = matches
        .opt_get_default(name, default)
        .map_err(|error| format!("--{name}: {error}"))?;
    let is_sane = (0.0..=LONGEST_S).contains(&value);
    if is_sane {
        Ok(value)
    } else {
        Err(format!("--{name} {value}: must be from 0 to {LONGEST_S}"))
    }
}

fn rate(matches: &Matches) -> Result<Option<u64>, String> {
    let is_given = matches.opt_present("rate");
    is_given
        .then(|| number(matches, "rate", 1, 1..=HIGHEST_RATE_PER_S))
        .transpose()
}

fn number(
    matches: &Matches,
    name: &str,
    default: u64,
    allowed: std::ops::RangeInclusive<u64>,
) -> Result<u64, String> {
    let value = matches
        .opt_get_default(name, default)
        .map_err(|error| format!("--{name}: {error}"))?;
    if allowed.contains(&value) {
        return Ok(value);
    }
    Err(format!(
        "--{name} {value}: must be from {} to {}",
        allowed.start(),
        allowed.end()
    ))
}

const MOST_KEYS: u64 = 9_999_999_999;
const LARGEST_BYTES: u64 = 64 * 1024 * 1024;
const HIGHEST_RATE_PER_S: u64 = 100_000_000;
const LONGEST_S: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Result<Plan, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        match parse(&words)? {
            Asked::Run(plan) => Ok(*plan),
            Asked::Help(text) => Err(text),
        }
    }

    #[test]
    fn everything_has_a_default() {
        let plan = plan("").expect("a plan");
        assert_eq!(
            (plan.mode, plan.material.operation),
            (Mode::Load, Operation::Mixed)
        );
        assert_eq!(plan.servers, ["127.0.0.1:2181".parse().expect("an address")]);
        assert_eq!(
            (plan.connections, plan.in_flight, plan.material.keys),
            (1, 1, 1_000)
        );
        assert_eq!(
            (plan.span, plan.warmup_s, plan.json),
            (Span::Seconds(10.0), 0.0, false)
        );
    }

    #[test]
    fn options_are_taken() {
        let plan =
            plan("-s 127.0.0.1:1,127.0.0.1:2 -c 64 -i 32 --op set --size 1024 -n 5 --json").expect("a plan");
        assert_eq!(
            (plan.servers.len(), plan.connections, plan.in_flight),
            (2, 64, 32)
        );
        assert_eq!(
            (plan.material.operation, plan.material.size_bytes),
            (Operation::Set, 1024)
        );
        assert_eq!((plan.span, plan.json), (Span::Count(5), true));
        assert_eq!((plan.rate_per_s, plan.reconnects), (None, false));
    }

    #[test]
    fn a_rate_and_new_connections_are_taken() {
        let plan = plan("--rate 5000 --reconnect").expect("a plan");
        assert_eq!((plan.rate_per_s, plan.reconnects), (Some(5_000), true));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (words, part) in [
            ("--op fly", "--op fly: must be get,"),
            ("--mode x", "--mode x: must be load,"),
            ("--read-percent 101", "--read-percent 101: must be from 0 to 100"),
            ("--connections 0", "--connections 0: must be from 1"),
            ("--rate 0", "--rate 0: must be from 1"),
            ("--seconds -1", "--seconds -1: must be from 0"),
            ("--keys many", "--keys: "),
            ("--servers nowhere", "--servers nowhere: "),
            ("--root /a/b", "--root /a/b: must be"),
            ("--what", "Unrecognized option"),
            ("2181", "\"2181\" is not an option"),
            ("--help", "Usage: oxkeeper bench"),
        ] {
            let error = plan(words).expect_err(words);
            assert!(error.contains(part), "{words}: {error}");
        }
    }
}
