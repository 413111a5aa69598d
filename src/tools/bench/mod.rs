//! `oxkeeper bench`: a load generator for any ensemble that speaks the protocol, ours or Java's.
//!
//! One thread drives all connections. Requests are copies of one frame with other numbers in it, answers are
//! looked at no further than their headers, and both are moved in large pieces: it costs well under a
//! microsecond a request, so that the server is what is measured.
//!
//! Latency counts from the moment a request joins those under way, so that time in the socket's queue is in it. With
//! a rate it counts from the moment the request was due, whether or not it could be sent then.

mod cpu;
mod dialer;
mod histogram;
mod load;
mod modes;
mod options;
mod pace;
mod replies;
mod report;
mod requests;
mod tally;

use crate::runtime::shutdown::ExitCode;
use crate::tools::output;
use crate::tools::stream::ClientProperties;

use options::Asked;

pub use options::help_text;

/// Runs the words behind `bench`, with Java's client properties, and prints the result.
pub fn run(arguments: &[String], properties: &ClientProperties) -> ExitCode {
    match options::parse(arguments).and_then(|asked| asked.by(properties)) {
        Ok(Asked::Help(text)) => output::print(SPEAKER, &text),
        Ok(Asked::Run(plan)) => match modes::measure(&plan) {
            Ok(report) => {
                let text = if plan.json {
                    report.to_json()
                } else {
                    report.to_text()
                };
                output::print(SPEAKER, &text)
            }
            Err(error) => complain(&error, ExitCode::Unexpected),
        },
        Err(error) => complain(&error, ExitCode::BadConfig),
    }
}

fn complain(error: &str, code: ExitCode) -> ExitCode {
    eprintln!("{SPEAKER}: {error}");
    code
}

const SPEAKER: &str = "oxkeeper bench";
