//! How these tools speak: lines to stdout, trouble to stderr, and an end with a code.

use std::io::{self, BufWriter, Stdout, Write};

use crate::runtime::ExitCode;

/// Why a tool ends before its work is done.
#[derive(Debug)]
pub enum Trouble {
    /// What is wrong, and with which code to end.
    Told(ExitCode, String),
    /// The output cannot be written.
    Output(io::Error),
}

/// What a tool's steps give.
pub type Done<T> = Result<T, Trouble>;

impl Trouble {
    /// Something unexpected, in one sentence.
    pub fn new(why: impl Into<String>) -> Trouble {
        Trouble::Told(ExitCode::Unexpected, why.into())
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        Trouble::Output(error)
    }
}

/// Runs a tool upon stdout, and turns its outcome into a code. A reader that has gone (`| head`) is no error.
pub fn speak(tool: &str, work: impl FnOnce(&mut BufWriter<Stdout>) -> Done<ExitCode>) -> ExitCode {
    let mut out = BufWriter::new(io::stdout());
    let outcome = work(&mut out);
    let outcome = match out.flush() {
        Err(error) if outcome.is_ok() => Err(Trouble::Output(error)),
        _ => outcome,
    };
    match outcome {
        Ok(code) => code,
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::Ok,
        Err(Trouble::Output(error)) => {
            eprintln!("oxkeeper {tool}: cannot write the output: {error}");
            ExitCode::Unexpected
        }
        Err(Trouble::Told(code, why)) => {
            eprintln!("{why}");
            code
        }
    }
}
