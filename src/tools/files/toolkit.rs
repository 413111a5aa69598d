//! `oxkeeper txnlog`, for zkTxnLogToolkit.sh: prints a transaction log, or writes a copy of it whose checksums
//! are right. The log itself is never changed. (TxnLogToolkit, TxnLogToolkitCliParser)

use std::io::{self, BufRead, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::raw_log::{Header, Piece, RawLog, RawRecord};
use super::say::{Done, Trouble, speak};
use super::txn_text;
use crate::runtime::{Disk, DiskFile, ExitCode, OsDisk};

/// Runs the tool with the words behind `txnlog`.
pub fn run(words: &[String]) -> ExitCode {
    let plan = match Plan::parse(words) {
        Ok(Some(plan)) => plan,
        Ok(None) => {
            return speak("txnlog", |out| {
                writeln!(out, "{HELP}")?;
                Ok(ExitCode::Ok)
            });
        }
        Err(why) => {
            return speak("txnlog", |_| Err(Trouble::new(format!("{why}\n\n{HELP}"))));
        }
    };
    speak("txnlog", |out| {
        let answers = io::stdin().lock();
        plan.carry_out(&OsDisk, out, answers)
    })
}

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    log: PathBuf,
    recover: bool,
    verbose: bool,
    yes: bool,
    skip: bool,
}

impl Plan {
    /// `None` asks for the help.
    fn parse(words: &[String]) -> Result<Option<Plan>, String> {
        let mut plan = Plan::default();
        let mut log = None;
        for word in words {
            let lower = word.to_lowercase();
            match lower.as_str() {
                "-h" | "--help" => return Ok(None),
                "-d" | "--dump" => plan.recover = false,
                "-r" | "--recover" => plan.recover = true,
                "-v" | "--verbose" => plan.verbose = true,
                "-y" | "--yes" => plan.yes = true,
                "-s" | "--skip" => plan.skip = true,
                option if option.starts_with('-') => {
                    return Err(format!("Invalid argument: {}", word.trim_start_matches('-')));
                }
                _ if log.is_some() => {
                    return Err("Invalid arguments: more than one TXN log file given".to_owned());
                }
                _ => log = Some(PathBuf::from(word)),
            }
        }
        plan.log = log.ok_or("Invalid arguments: TXN log file name missing")?;
        Ok(Some(plan))
    }

    fn carry_out(&self, disk: &dyn Disk, out: &mut impl Write, answers: impl BufRead) -> Done<ExitCode> {
        let shown = self.log.display();
        let missing = |_| Trouble::new(format!("File doesn't exist or not readable: {shown}"));
        let mut log = RawLog::open(disk, &self.log).map_err(missing)?;
        let mut copy = if self.recover {
            Some(Copy::begin(disk, &self.log)?)
        } else {
            None
        };
        let header = log.header().map_err(missing)?.filter(Header::is_log);
        let Some(header) = header else {
            let name = self.log.file_name().unwrap_or_default().display();
            return Err(Trouble::Told(
                ExitCode::BadConfig,
                format!("Invalid magic number for {name}"),
            ));
        };
        writeln!(out, "{}", header.line())?;
        if let Some(copy) = &mut copy {
            copy.write(&header.bytes)?;
        }
        let mut pass = Pass {
            plan: self,
            out,
            answers,
            count: 0,
            fixed: 0,
            unreadable: 0,
        };
        while pass.next(&mut log, &mut copy)? {}
        writeln!(pass.out, "EOF reached after {} txns.", pass.count)?;
        let (fixed, unreadable) = (pass.fixed, pass.unreadable);
        if let Some(copy) = copy {
            let path = copy.finish()?;
            let path = path.display();
            writeln!(
                out,
                "Recovery file {path} has been written with {fixed} fixed CRC error(s)"
            )?;
        }
        Ok(if unreadable == 0 {
            ExitCode::Ok
        } else {
            ExitCode::Unexpected
        })
    }
}

/// One way through the log.
struct Pass<'a, W, R> {
    plan: &'a Plan,
    out: &'a mut W,
    answers: R,
    count: usize,
    fixed: usize,
    /// Records that are framed, but hold no transaction.
    unreadable: usize,
}

impl<W: Write, R: BufRead> Pass<'_, W, R> {
    /// False at the end.
    fn next(&mut self, log: &mut RawLog, copy: &mut Option<Copy<'_>>) -> Done<bool> {
        let offset = log.offset();
        let unreadable = |error: io::Error| Trouble::new(format!("cannot read at offset {offset}: {error}"));
        let why = match log.next_piece().map_err(unreadable)? {
            Piece::End => return Ok(false),
            Piece::Record(record) => {
                self.record(&record, copy)?;
                self.count += 1;
                return Ok(true);
            }
            Piece::Partial(record) => {
                // Java's tool looks at the end mark last.
                self.judge(&record, copy.is_some())?;
                format!("Last transaction was partial. (offset {offset})")
            }
            Piece::Length(length) => format!("Unreasonable length = {length} at offset {offset}"),
        };
        if !self.plan.skip {
            return Err(Trouble::new(format!(
                "{why}\nWith --skip what is no record is left out."
            )));
        }
        self.unreadable += 1;
        match log.skip().map_err(unreadable)? {
            Some(bytes) => writeln!(self.out, "SKIPPED - {bytes} bytes at offset {offset}: {why}")?,
            None => {
                writeln!(self.out, "SKIPPED - all from offset {offset} on: {why}")?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn record(&mut self, record: &RawRecord, copy: &mut Option<Copy<'_>>) -> Done<()> {
        let checksum = self.judge(record, copy.is_some())?;
        match copy {
            Some(copy) => copy.record(checksum, &record.bytes),
            None => Ok(()),
        }
    }

    /// Shows a record as far as is wanted; gives the checksum that the copy is to have.
    fn judge(&mut self, record: &RawRecord, has_copy: bool) -> Done<i64> {
        let mut checksum = record.checksum;
        if !record.is_intact() {
            if !has_copy || !self.plan.yes {
                self.print(record, "CRC ERROR - ")?;
            }
            if has_copy && (self.plan.yes || self.ask()?) {
                checksum = record.computed();
                self.fixed += 1;
                if self.plan.yes {
                    self.print(record, "CRC FIXED - ")?;
                }
            }
        }
        if !has_copy || self.plan.verbose {
            self.print(record, "")?;
        }
        Ok(checksum)
    }

    fn print(&mut self, record: &RawRecord, prefix: &str) -> Done<()> {
        match txn_text::line(&record.bytes) {
            Ok(line) => writeln!(self.out, "{prefix}{}", line.trim_end_matches('\n'))?,
            Err(why) => {
                self.unreadable += 1;
                let offset = record.offset;
                writeln!(
                    self.out,
                    "{prefix}the record at offset {offset} holds no transaction: {why}"
                )?;
            }
        }
        Ok(())
    }

    /// The end of the answers is an abort: nobody is there to decide.
    fn ask(&mut self) -> Done<bool> {
        loop {
            write!(self.out, "Would you like to fix it (Yes/No/Abort) ? ")?;
            self.out.flush()?;
            let mut line = Vec::new();
            let mut answers = Read::take(&mut self.answers, LONGEST_ANSWER);
            let count = answers.read_until(b'\n', &mut line);
            let letter = match count {
                Ok(0) | Err(_) => Some(b'A'),
                Ok(_) => line.trim_ascii_start().first().map(u8::to_ascii_uppercase),
            };
            match letter {
                Some(b'Y') => return Ok(true),
                Some(b'N') => return Ok(false),
                Some(b'A') => return Err(Trouble::Told(ExitCode::Ok, "Recovery aborted.".to_owned())),
                _ => {}
            }
        }
    }
}

/// The repaired copy: it gets its name when it is whole and on the disk, and goes away otherwise.
struct Copy<'a> {
    disk: &'a dyn Disk,
    part: PathBuf,
    path: PathBuf,
    file: Option<BufWriter<Box<dyn DiskFile>>>,
}

impl<'a> Copy<'a> {
    fn begin(disk: &'a dyn Disk, log: &Path) -> Done<Copy<'a>> {
        let with = |ending: &str| {
            let mut name = log.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        let (part, path) = (with(".fixed.part"), with(".fixed"));
        let taken = |path: &Path| format!("Recovery file {} already exists or not writable", path.display());
        if disk.exists(&path) {
            return Err(Trouble::new(taken(&path)));
        }
        let file = disk
            .create_new(&part)
            .map_err(|error| Trouble::new(format!("{}: {error}", taken(&part))))?;
        let file = Some(BufWriter::new(file));
        Ok(Copy {
            disk,
            part,
            path,
            file,
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Done<()> {
        let outcome = self.file.as_mut().map_or(Ok(()), |file| file.write_all(bytes));
        outcome.map_err(|error| self.trouble(&error))
    }

    fn record(&mut self, checksum: i64, bytes: &[u8]) -> Done<()> {
        self.write(&checksum.to_be_bytes())?;
        // The length was read from four bytes.
        self.write(&(bytes.len() as i32).to_be_bytes())?;
        self.write(bytes)?;
        self.write(b"B")
    }

    /// Makes the copy safe, and gives it its name.
    fn finish(mut self) -> Done<PathBuf> {
        let outcome = self.settle();
        outcome.map_err(|error| self.trouble(&error))?;
        Ok(self.path.clone())
    }

    fn settle(&mut self) -> io::Result<()> {
        if let Some(mut file) = self.file.take() {
            file.flush()?;
            file.get_mut().sync()?;
        }
        self.disk.rename(&self.part, &self.path)?;
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        self.disk.sync_dir(dir.unwrap_or(Path::new(".")))
    }

    fn trouble(&self, error: &io::Error) -> Trouble {
        Trouble::new(format!("cannot write {}: {error}", self.part.display()))
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        if self.disk.exists(&self.part) {
            // What cannot be removed is named so that nobody takes it for a log.
            let _left = self.disk.remove(&self.part);
        }
    }
}

/// Nobody types more than this for an answer.
const LONGEST_ANSWER: u64 = 4096;

/// The text of `--help`.
pub const HELP: &str = "usage: TxnLogToolkit [-dhrvys] txn_log_file_name

    -d,--dump      Dump mode. Dump all entries of the log file. (this is the default)
    -h,--help      Print help message
    -r,--recover   Recovery mode. Re-calculate CRC for broken entries, into txn_log_file_name.fixed.
    -v,--verbose   Be verbose in recovery mode: print all entries, not just fixed ones.
    -y,--yes       Non-interactive mode: repair all CRC errors without asking
    -s,--skip      Leave out what is no entry at all, up to the next one";

#[cfg(test)]
#[path = "toolkit_tests.rs"]
mod tests;
