//! What tools say on stdout, and what comes of it when that cannot be written.

use std::io::{self, ErrorKind, Write};

use crate::runtime::ExitCode;

/// Prints a text, and ends with the code of that. `speaker` names the tool should the text not come out.
pub fn print(speaker: &str, text: &str) -> ExitCode {
    match unless_gone(writeln!(io::stdout(), "{}", text.trim_end())) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            eprintln!("{speaker}: cannot write the output: {error}");
            ExitCode::Unexpected
        }
    }
}

/// A reader that has gone (`| head`) has had enough: that is no error.
pub fn unless_gone(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
