//! `oxkeeper rounds`: the elections in the logs of an ensemble, ours or Java's, live or afterwards.
//!
//! ```text
//! tail ──bytes──> reader ──events──> merge ──events──> model ──notes──> text, json, page
//! (files)         (stamp, line, event)                 (round)          (words)
//! ```
//! Only `tail` and this file touch the machine; all else are plain values.

mod event;
mod json;
mod line;
mod merge;
mod model;
mod options;
mod page;
mod reader;
mod round;
mod stamp;
mod tail;
mod text;
mod words;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::proto::Sid;
use crate::runtime::ExitCode;

use merge::Merge;
use model::{Model, Note};
use options::{Asked, Colour, Form, Plan};
use reader::LogReader;
use round::Part;
use tail::{Look, Tail};
use text::{Style, TextWriter};

pub use options::help_text;

/// Runs the words behind `rounds`.
pub fn run(arguments: &[String]) -> ExitCode {
    match options::parse(arguments, subdirectories) {
        Ok(Asked::Help(text)) => {
            // A reader that has gone is no error.
            drop(writeln!(io::stdout(), "{}", text.trim_end()));
            ExitCode::Ok
        }
        Ok(Asked::Run(plan)) => match Rounds::new(&plan).run() {
            Ok(code) => code,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
            Err(error) => complain(&error.to_string(), ExitCode::Unexpected),
        },
        Err(error) => complain(&error, ExitCode::BadConfig),
    }
}

/// All of it at work.
struct Rounds<'a> {
    plan: &'a Plan,
    logs: Vec<(Tail, LogReader)>,
    merge: Merge,
    model: Model,
    /// What is over, if it is still needed.
    parts: Vec<Part>,
    /// What was not readable.
    unread: usize,
    begun: Instant,
    buffer: Vec<u8>,
}

impl Rounds<'_> {
    fn new(plan: &Plan) -> Rounds<'_> {
        let log =
            |(node, path): &(Option<Sid>, PathBuf)| (Tail::new(path), LogReader::new(*node, &plan.offset_ms));
        Rounds {
            plan,
            logs: plan.logs.iter().map(log).collect(),
            merge: Merge::new(plan.logs.len()),
            model: Model::default(),
            parts: Vec::new(),
            unread: 0,
            begun: Instant::now(),
            buffer: vec![0; 64 * 1024],
        }
    }

    fn run(mut self) -> io::Result<ExitCode> {
        match self.plan.follow {
            true => self.follow(),
            false => self.once(),
        }
    }

    /// Reads all logs to their ends, and tells then.
    fn once(&mut self) -> io::Result<ExitCode> {
        for index in 0..self.logs.len() {
            if let Err(error) = self.logs[index].0.open() {
                self.give_up(index, &error);
            }
        }
        if self.unread == self.logs.len() {
            return Ok(ExitCode::Unexpected);
        }
        let mut notes = Vec::new();
        loop {
            while let Some(event) = self.merge.pop(0) {
                self.model.on(event, &mut notes);
            }
            self.keep(notes.drain(..));
            let Some(index) = self.merge.wanting() else { break };
            self.read_more(index);
        }
        self.model.end(&mut notes);
        self.keep(notes.drain(..));
        self.tell_all()?;
        Ok(if self.unread > 0 {
            ExitCode::Unexpected
        } else {
            ExitCode::Ok
        })
    }

    fn read_more(&mut self, index: usize) {
        let (tail, reader) = &mut self.logs[index];
        let mut events = Vec::new();
        match tail.read(&mut self.buffer) {
            Ok(0) => {
                reader.finish(&mut events);
                self.merge.push(index, events, 1);
                self.merge.end(index);
            }
            Ok(count) => {
                reader.feed(&self.buffer[..count], &mut events);
                self.merge.push(index, events, 1);
            }
            Err(error) => self.give_up(index, &error),
        }
    }

    fn give_up(&mut self, index: usize, error: &io::Error) {
        eprintln!(
            "oxkeeper rounds: {}: {error}",
            self.logs[index].0.path().display()
        );
        self.unread += 1;
        self.merge.end(index);
    }

    fn keep(&mut self, notes: impl Iterator<Item = Note>) {
        for note in notes {
            if let Note::Ends(part) = note {
                self.parts.push(*part);
                let most = self.plan.last.unwrap_or(MOST_PARTS);
                if self.parts.len() > most {
                    self.parts.remove(0);
                }
            }
        }
    }

    fn tell_all(&self) -> io::Result<()> {
        let mut out = io::BufWriter::new(io::stdout().lock());
        match &self.plan.form {
            Form::Page(file) => return write_page(file, &self.parts),
            _ if self.parts.is_empty() => eprintln!("oxkeeper rounds: these logs tell of no election"),
            Form::Json => {
                for note in self.parts.iter().flat_map(notes_of) {
                    json::line(&note).map_or(Ok(()), |line| writeln!(out, "{line}"))?;
                }
            }
            Form::Text => {
                let mut writer = TextWriter::new(style(self.plan));
                out.write_all(writer.contents(&self.parts).as_bytes())?;
                for note in self.parts.iter().flat_map(notes_of) {
                    out.write_all(writer.write(&note).as_bytes())?;
                }
            }
        }
        out.flush()
    }

    /// Goes on for ever, and tells things as they happen.
    fn follow(&mut self) -> io::Result<ExitCode> {
        let mut writer = TextWriter::new(style(self.plan));
        let mut quiet_since = Instant::now();
        loop {
            let read = (0..self.logs.len()).filter(|&index| self.look_at(index)).count() > 0;
            if read {
                quiet_since = Instant::now();
            }
            let mut notes = Vec::new();
            let before_ms = self.now_ms() - HOLD.as_millis() as i64;
            while let Some(event) = self.merge.pop(before_ms) {
                self.model.on(event, &mut notes);
            }
            if quiet_since.elapsed() > QUIET {
                self.model.quiet(&mut notes);
            }
            self.tell_live(&mut writer, notes)?;
            if !read {
                std::thread::sleep(PAUSE);
            }
        }
    }

    fn tell_live(&mut self, writer: &mut TextWriter, notes: Vec<Note>) -> io::Result<()> {
        if notes.is_empty() {
            return Ok(());
        }
        if let Form::Page(file) = &self.plan.form {
            let is_news = notes.iter().any(|note| matches!(note, Note::Ends(_)));
            self.keep(notes.into_iter());
            return if is_news {
                write_page(file, &self.parts)
            } else {
                Ok(())
            };
        }
        let mut out = io::stdout().lock();
        for note in &notes {
            let text = match self.plan.form {
                Form::Json => json::line(note).map(|line| line + "\n").unwrap_or_default(),
                _ => writer.write(note),
            };
            out.write_all(text.as_bytes())?;
        }
        out.flush()
    }

    /// Takes what a log has to say now; whether that was anything.
    fn look_at(&mut self, index: usize) -> bool {
        let now_ms = self.now_ms();
        let (tail, reader) = &mut self.logs[index];
        let mut events = Vec::new();
        let look = tail.look(&mut self.buffer);
        match look {
            Ok(Look::Bytes(count)) => reader.feed(&self.buffer[..count], &mut events),
            Ok(Look::Anew) => reader.finish(&mut events),
            Ok(Look::Dry) | Err(_) => reader.pause(&mut events),
        }
        self.merge.push(index, events, now_ms);
        matches!(look, Ok(Look::Bytes(_) | Look::Anew))
    }

    fn now_ms(&self) -> i64 {
        self.begun.elapsed().as_millis() as i64
    }
}

/// A part as it was told while it went on.
fn notes_of(part: &Part) -> Vec<Note> {
    let mut notes = vec![Note::Begins(part.began, part.before)];
    notes.extend(part.items.iter().cloned().map(Note::Happened));
    notes.push(Note::Ends(Box::new(part.clone())));
    notes
}

/// The whole page takes the place of the old one at once: who looks at it never sees half of it.
fn write_page(file: &PathBuf, parts: &[Part]) -> io::Result<()> {
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", file.display()));
    let mut new = file.clone().into_os_string();
    new.push(".new");
    std::fs::write(&new, page::html(parts)).map_err(named)?;
    std::fs::rename(&new, file).map_err(named)
}

fn style(plan: &Plan) -> Style {
    let is_terminal = io::stdout().is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    Style {
        colour: match plan.colour {
            Colour::Auto => is_terminal && !no_colour && !is_dumb,
            Colour::Always => true,
            Colour::Never => false,
        },
        columns: is_terminal.then(terminal_columns).flatten(),
    }
}

fn terminal_columns() -> Option<usize> {
    let said = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    let asked = || {
        rustix::termios::tcgetwinsize(io::stdout())
            .ok()
            .map(|size| usize::from(size.ws_col))
    };
    said.or_else(asked).filter(|columns| *columns > 0)
}

/// The names of the directories in one.
fn subdirectories(dir: &PathBuf) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn complain(error: &str, code: ExitCode) -> ExitCode {
    eprintln!("oxkeeper rounds: {error}");
    code
}

/// How long an event waits for older ones of other logs.
const HOLD: Duration = Duration::from_millis(300);
/// After so long without a word a part may be over.
const QUIET: Duration = Duration::from_millis(2_000);
/// Between two looks at the logs.
const PAUSE: Duration = Duration::from_millis(50);
/// The parts that are kept of logs without end.
const MOST_PARTS: usize = 10_000;
