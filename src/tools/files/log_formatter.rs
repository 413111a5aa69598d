//! `oxkeeper log-formatter`: a transaction log as text. (LogFormatter)

use std::io::Write;
use std::path::Path;

use super::raw_log::{Piece, RawLog, RawRecord};
use super::say::{Done, Trouble, speak};
use super::txn_text;
use crate::runtime::{ExitCode, OsDisk};

/// Runs the tool with the words behind its name.
pub fn run(words: &[String]) -> ExitCode {
    speak("log-formatter", |out| match words {
        [word] if word == "--help" || word == "-h" => {
            writeln!(out, "{USAGE}")?;
            Ok(ExitCode::Ok)
        }
        [path] => format(Path::new(path), out),
        _ => Err(Trouble::Told(ExitCode::BadConfig, USAGE.to_owned())),
    })
}

fn format(path: &Path, out: &mut impl Write) -> Done<ExitCode> {
    let shown = path.display();
    let unreadable = |error| Trouble::new(format!("{shown}: {error}"));
    let mut log = RawLog::open(&OsDisk, path).map_err(unreadable)?;
    let header = log.header().map_err(unreadable)?.filter(|header| header.is_log());
    let Some(header) = header else {
        return Err(Trouble::Told(
            ExitCode::BadConfig,
            format!("Invalid magic number for {shown}"),
        ));
    };
    writeln!(out, "{}", header.line())?;
    let mut count = 0;
    loop {
        let offset = log.offset();
        match log.next_piece().map_err(unreadable)? {
            Piece::End => break,
            Piece::Record(record) => show(path, &record, out)?,
            Piece::Partial(record) => {
                show(path, &record, out)?;
                return Err(Trouble::new(format!(
                    "Last transaction was partial. (offset {offset})"
                )));
            }
            Piece::Length(length) => {
                return Err(Trouble::new(format!(
                    "Unreasonable length = {length} at offset {offset}"
                )));
            }
        }
        count += 1;
    }
    writeln!(out, "EOF reached after {count} txns.")?;
    Ok(ExitCode::Ok)
}

/// A record is shown before its end mark is looked at, as by Java's tool.
fn show(path: &Path, record: &RawRecord, out: &mut impl Write) -> Done<()> {
    let offset = record.offset;
    if !record.is_intact() {
        let (found, computed) = (record.checksum, record.computed());
        let why = format!("CRC doesn't match {found} vs {computed} at offset {offset}");
        return Err(Trouble::new(format!("{why}; zkTxnLogToolkit.sh shows the rest")));
    }
    let line = txn_text::line(&record.bytes)
        .map_err(|why| Trouble::new(format!("{}, record at offset {offset}: {why}", path.display())))?;
    Ok(writeln!(out, "{line}")?)
}

/// How it is called, for the manual as well.
pub const USAGE: &str = "USAGE: oxkeeper log-formatter log_file";
