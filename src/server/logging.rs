//! The log in log4j's dress: env_logger behind, the lines of a Java server in front.
//!
//! `2026-01-31 12:00:00,123 [myid:1] - INFO  [SyncThread:1:log_writer@212] - text`
//!
//! The level comes from `RUST_LOG`, or else from the property `zookeeper.root.logger` (`INFO, CONSOLE`), which
//! names the appenders too: `CONSOLE` is stdout, as log4j's console is, so that `zkServer.sh` finds all in
//! zookeeper.out; `ROLLINGFILE` is `zookeeper.log.dir`/`zookeeper.log.file`. Each line is written whole and at
//! once: none is lost when the process ends, and a reader that went away is no reason to stop.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Logger, Target};
use log::{LevelFilter, Log, Metadata, Record};

use crate::config::options::{self, Opt};
use crate::config::{Note, SystemProperties};
use crate::proto::ids::Sid;
use crate::runtime::time::{Clock, OsClock, log_date};

/// Sets the log up for the process, panics included. Later calls change nothing.
pub fn init(system: &SystemProperties) {
    let plan = Plan::new(system, std::env::var("RUST_LOG").ok());
    let mut complaints = plan.complaints.clone();
    let appenders = plan.build(&mut complaints);
    let max_level = appenders.loggers.iter().map(Logger::filter).max();
    if log::set_boxed_logger(Box::new(appenders)).is_err() {
        return;
    }
    log::set_max_level(max_level.unwrap_or(LevelFilter::Off));
    std::panic::set_hook(Box::new(|panic| log::error!("This is a bug: {panic}")));
    for complaint in complaints {
        log::warn!("{complaint}");
    }
}

/// Names this server in all lines from now on. (The MDC entry `myid` of a Java server)
pub fn set_my_id(sid: Sid) {
    MY_ID.store(sid.0, Ordering::Relaxed);
}

/// Writes what a configuration has to say.
pub fn write_notes(notes: &[Note]) {
    for note in notes {
        log::log!(note.level, "{}", note.text);
    }
}

/// Which appenders there are to be, with which levels.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    console: Option<Filter>,
    file: Option<(PathBuf, Filter)>,
    complaints: Vec<String>,
}

/// What an appender lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Level(LevelFilter),
    /// In the syntax of `RUST_LOG`.
    Directives(String),
}

impl Plan {
    fn new(system: &SystemProperties, rust_log: Option<String>) -> Plan {
        let mut complaints = Vec::new();
        let root = text(system, &options::ROOT_LOGGER);
        let mut words = root.split(',').map(str::trim);
        let level = words.next().unwrap_or_default();
        let level = parse_level(level).unwrap_or_else(|| {
            complaints.push(format!(
                "zookeeper.root.logger={root}: there is no level {level:?}; INFO is used"
            ));
            LevelFilter::Info
        });
        let mut filter = |threshold: &Opt| match &rust_log {
            Some(directives) => Filter::Directives(directives.clone()),
            None => Filter::Level(level.min(threshold_of(system, threshold, &mut complaints))),
        };
        let (mut console, mut file, mut unknown) = (None, None, Vec::new());
        for word in words.filter(|word| !word.is_empty()) {
            match word {
                "CONSOLE" => console = Some(filter(&options::CONSOLE_THRESHOLD)),
                "ROLLINGFILE" => file = Some((file_path(system), filter(&options::LOG_THRESHOLD))),
                _ => unknown.push(word),
            }
        }
        if console.is_none() && file.is_none() {
            // log4j would be silent, which helps nobody.
            console = Some(filter(&options::CONSOLE_THRESHOLD));
        }
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            complaints.push(format!(
                "zookeeper.root.logger={root}: no such appender: {unknown}; CONSOLE and ROLLINGFILE are known"
            ));
        }
        Plan {
            console,
            file,
            complaints,
        }
    }

    fn build(self, complaints: &mut Vec<String>) -> Appenders {
        let mut loggers = Vec::new();
        let mut console = self.console;
        if let Some((path, filter)) = self.file {
            match RollingFile::open(&path, MAX_FILE_BYTES) {
                Ok(file) => loggers.push(logger(&filter, Box::new(file))),
                Err(error) => {
                    complaints.push(format!("{}: no log is written there: {error}", path.display()));
                    console.get_or_insert(filter);
                }
            }
        }
        if let Some(filter) = console {
            loggers.push(logger(&filter, Box::new(io::stdout())));
        }
        Appenders { loggers }
    }
}

fn logger(filter: &Filter, target: Box<dyn Write + Send>) -> Logger {
    let mut builder = Builder::new();
    match filter {
        Filter::Level(level) => builder.filter_level(*level),
        Filter::Directives(directives) => builder.parse_filters(directives),
    };
    builder.target(Target::Pipe(target)).format(write_line).build()
}

/// log4j's pattern `%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n`, with the module for the class.
fn write_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let my_id = match MY_ID.load(Ordering::Relaxed) {
        NO_ID => String::new(),
        sid => sid.to_string(),
    };
    let thread = std::thread::current();
    let module = record.module_path().unwrap_or_else(|| record.target());
    let line = format_line(&Line {
        date: &log_date(OsClock::new().now().wall_ms),
        my_id: &my_id,
        level: record.level(),
        thread: thread.name().unwrap_or("?"),
        module: module.rsplit("::").next().unwrap_or(module),
        line: record.line().unwrap_or(0),
        text: &record.args().to_string(),
    });
    out.write_all(line.as_bytes())
}

struct Line<'a> {
    date: &'a str,
    my_id: &'a str,
    level: log::Level,
    thread: &'a str,
    module: &'a str,
    line: u32,
    text: &'a str,
}

fn format_line(line: &Line<'_>) -> String {
    let Line {
        date,
        my_id,
        level,
        thread,
        module,
        line: number,
        text,
    } = line;
    let mut out = format!("{date} [myid:{my_id}] - {level:<5} [{thread}:{module}@{number}] - ");
    for c in text.chars() {
        // What a client sends may end up here: it must not look like a line of its own, nor steer a terminal.
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

/// All appenders. Each has its own idea of what matters.
struct Appenders {
    loggers: Vec<Logger>,
}

impl Log for Appenders {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.loggers.iter().any(|logger| logger.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        self.loggers.iter().for_each(|logger| logger.log(record));
    }

    fn flush(&self) {
        self.loggers.iter().for_each(Log::flush);
    }
}

/// A file that starts anew when it is full, with one file of older lines beside it. (RollingFileAppender)
struct RollingFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl RollingFile {
    fn open(path: &Path, max_bytes: u64) -> io::Result<RollingFile> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(RollingFile {
            path: path.to_path_buf(),
            bytes: file.metadata()?.len(),
            file,
            max_bytes,
        })
    }

    fn roll(&mut self) -> io::Result<()> {
        let mut older = self.path.clone().into_os_string();
        older.push(".1");
        std::fs::rename(&self.path, older)?;
        *self = RollingFile::open(&self.path, self.max_bytes)?;
        Ok(())
    }
}

impl Write for RollingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes >= self.max_bytes && self.roll().is_err() {
            // The lines go on into the full file; the next attempt is a file's length away.
            self.bytes = 0;
        }
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn text<'a>(system: &'a SystemProperties, option: &Opt) -> &'a str {
    system.get(option.name).unwrap_or(option.default)
}

fn file_path(system: &SystemProperties) -> PathBuf {
    Path::new(text(system, &options::LOG_DIR)).join(text(system, &options::LOG_FILE))
}

fn threshold_of(system: &SystemProperties, option: &Opt, complaints: &mut Vec<String>) -> LevelFilter {
    let value = text(system, option);
    parse_level(value).unwrap_or_else(|| {
        complaints.push(format!(
            "{}={value}: there is no such level; ALL is used",
            option.name
        ));
        LevelFilter::Trace
    })
}

/// log4j's levels; FATAL is not told from ERROR.
fn parse_level(text: &str) -> Option<LevelFilter> {
    match text.to_ascii_uppercase().as_str() {
        "OFF" => Some(LevelFilter::Off),
        "FATAL" | "ERROR" => Some(LevelFilter::Error),
        "WARN" => Some(LevelFilter::Warn),
        "INFO" => Some(LevelFilter::Info),
        "DEBUG" => Some(LevelFilter::Debug),
        "TRACE" | "ALL" => Some(LevelFilter::Trace),
        _ => None,
    }
}

/// The one server whose lines the process writes.
static MY_ID: AtomicI64 = AtomicI64::new(NO_ID);
const NO_ID: i64 = -1;
/// MaxFileSize of conf/log4j.properties.
const MAX_FILE_BYTES: u64 = 10 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn plan(properties: &[(&str, &str)], rust_log: Option<&str>) -> Plan {
        let mut system = SystemProperties::default();
        for (name, value) in properties {
            system.set(*name, *value, Origin::CommandLine);
        }
        Plan::new(&system, rust_log.map(str::to_owned))
    }

    #[test]
    fn the_root_logger_names_level_and_appenders() {
        let info = Some(Filter::Level(LevelFilter::Info));
        let debug = Some(Filter::Level(LevelFilter::Debug));
        let file = |dir: &str, level| Some((Path::new(dir).join("zookeeper.log"), Filter::Level(level)));
        let root = "zookeeper.root.logger";
        for (properties, console, file, complaints) in [
            (&[][..], &info, None, 0),
            (&[(root, "DEBUG,CONSOLE")], &debug, None, 0),
            (
                &[(root, "debug, ROLLINGFILE")],
                &None,
                file(".", LevelFilter::Debug),
                0,
            ),
            (
                &[(root, "TRACE, CONSOLE, ROLLINGFILE"), ("zookeeper.log.dir", "/l")],
                &Some(Filter::Level(LevelFilter::Trace)),
                file("/l", LevelFilter::Debug),
                0,
            ),
            (
                &[(root, "DEBUG,CONSOLE"), ("zookeeper.console.threshold", "INFO")],
                &info,
                None,
                0,
            ),
            (
                &[(root, "DEBUG,ROLLINGFILE"), ("zookeeper.log.threshold", "ERROR")],
                &None,
                file(".", LevelFilter::Error),
                0,
            ),
            (&[(root, "LOUD,CONSOLE")], &info, None, 1),
            (&[(root, "INFO,CONSOLE,TRACEFILE")], &info, None, 1),
            (&[(root, "INFO")], &info, None, 0),
        ] {
            let plan = plan(properties, None);
            assert_eq!((&plan.console, &plan.file), (console, &file), "{properties:?}");
            assert_eq!(plan.complaints.len(), complaints, "{:?}", plan.complaints);
        }
    }

    #[test]
    fn rust_log_wins() {
        let plan = plan(
            &[("zookeeper.root.logger", "ERROR,CONSOLE")],
            Some("oxkeeper::zab=trace"),
        );
        assert_eq!(
            plan.console,
            Some(Filter::Directives("oxkeeper::zab=trace".to_owned()))
        );
    }

    #[test]
    fn a_line_has_log4j_s_shape_and_stays_one_line() {
        let line = Line {
            date: "2026-01-31 12:00:00,123",
            my_id: "1",
            level: log::Level::Info,
            thread: "WorkerReceiver[myid=1]",
            module: "zab",
            line: 12,
            text: "path /a\n\u{1b}[2J\u{e9}\tb",
        };
        assert_eq!(
            format_line(&line),
            "2026-01-31 12:00:00,123 [myid:1] - INFO  [WorkerReceiver[myid=1]:zab@12] - path /a\\n\\u{1b}[2J\u{e9}\tb\n"
        );
    }

    #[test]
    fn a_full_file_makes_room_for_a_new_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("zookeeper.log");
        let older = dir.path().join("zookeeper.log.1");
        let read = |path: &Path| std::fs::read_to_string(path).expect("a log");
        for line in ["one\n", "two\n", "three\n", "four\n"] {
            // Opened anew each time: what is there already counts.
            let mut file = RollingFile::open(&path, 8).expect("opened");
            file.write_all(line.as_bytes()).expect("written");
        }
        assert_eq!(
            (read(&older), read(&path)),
            ("one\ntwo\n".to_owned(), "three\nfour\n".to_owned())
        );
    }

    #[test]
    fn a_file_that_cannot_be_had_falls_back_to_the_console() {
        let dir = tempfile::tempdir().expect("a directory");
        let missing = dir.path().join("no-such-dir").display().to_string();
        let plan = plan(
            &[
                ("zookeeper.root.logger", "INFO,ROLLINGFILE"),
                ("zookeeper.log.dir", &missing),
            ],
            None,
        );
        let mut complaints = Vec::new();
        assert_eq!(plan.build(&mut complaints).loggers.len(), 1);
        assert!(
            complaints.len() == 1 && complaints[0].contains("no-such-dir/zookeeper.log: no log is written")
        );
    }
}
