//! `oxkeeper cli`: the command line client, for `zkCli.sh`. (ZooKeeperMain)
//!
//! Three ways to use it: one command behind the options, commands from a pipe, or a conversation at a
//! terminal. `table.rs` lists the commands; `session/` keeps the session across servers.

mod acl;
mod commands;
mod complete;
mod failure;
mod interactive;
mod options;
mod output;
mod render;
mod safe;
mod session;
mod shell;
mod table;
mod tree_walk;
mod words;

use std::io::{self, BufRead, IsTerminal};
use std::thread;

use crossbeam_channel::{Receiver, bounded, select, unbounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::runtime::ExitCode;
use crate::sasl::Credentials;
use crate::tools::stream::ClientProperties;
use failure::Failure;
use options::{Asked, Settings};
use output::{Announcer, Output};
use shell::Shell;

pub use render::csv_text;
pub use safe::safe_name;

/// Runs the words behind `cli`, and says how the process is to end. With a login, each connection proves first who
/// this is. Java's client properties say how servers are called.
pub fn run(words: &[String], login: Option<Credentials>, properties: &ClientProperties) -> ExitCode {
    let settings = match options::parse(words) {
        Ok(Asked::Run(settings)) => Settings { login, ..settings },
        Ok(Asked::Help) => return help(),
        Err(why) => return complain(&format!("{why}\n{}", usage_line()), ExitCode::BadConfig),
    };
    let caller = match properties.caller(settings.configuration.as_deref()) {
        Ok(caller) => caller,
        Err(why) => return complain(&why, ExitCode::BadConfig),
    };
    let out = Output::of_process(settings.json);
    let at_terminal = settings.command.is_empty() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let interrupts = match listen(at_terminal) {
        Ok(interrupts) => interrupts,
        Err(error) => return complain(&error.to_string(), ExitCode::Unexpected),
    };
    if greet(&settings, &out).is_err() {
        return ExitCode::Ok;
    }
    if at_terminal {
        return interactive::talk(settings, caller, out, interrupts);
    }
    match Announcer::to_output(&out) {
        Ok(announcer) => {
            let out = out.behind(&announcer);
            end(
                Shell::new(settings, caller, out, announcer, interrupts.clone()),
                &interrupts,
            )
        }
        Err(error) => complain(&error.to_string(), ExitCode::Unexpected),
    }
}

/// One command, or those that come on stdin; the code is that of the first failure.
fn end(mut shell: Shell, interrupts: &Receiver<i32>) -> ExitCode {
    let command = std::mem::take(&mut shell.settings.command);
    if let Err(failure) = shell.connect(shell.settings.server.clone()) {
        return complain(&failure.text(), ExitCode::Unexpected);
    }
    let outcome = if command.is_empty() {
        run_lines(&mut shell, interrupts)
    } else {
        let outcome = shell.run(&command);
        told(&shell, outcome)
    };
    shell.close();
    match outcome.and_then(|()| Ok(shell.out.flush()?)) {
        Err(Failure::Output(error)) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&Failure::Output(error).text(), ExitCode::Unexpected)
        }
        outcome => Shell::code_of(&outcome),
    }
}

/// Runs what comes on stdin, to its end. A failure does not stop it; a lost output or a signal does.
fn run_lines(shell: &mut Shell, interrupts: &Receiver<i32>) -> Result<(), Failure> {
    let lines = read_lines()?;
    let mut first = Ok(());
    while !shell.is_over {
        let line = select! {
            recv(lines) -> line => line,
            recv(interrupts) -> signal => return Err(Failure::Interrupted(signal.unwrap_or(SIGINT))),
        };
        let Ok(line) = line else {
            break;
        };
        let outcome = shell.run_line(&line);
        let outcome = told(shell, outcome);
        match outcome {
            Err(failure @ (Failure::Output(_) | Failure::Interrupted(_))) => return Err(failure),
            outcome => first = first.and(outcome),
        }
    }
    first
}

/// Says why a command failed, if it did.
fn told(shell: &Shell, outcome: Result<(), Failure>) -> Result<(), Failure> {
    let Err(failure) = outcome else {
        return Ok(());
    };
    if !matches!(failure, Failure::Output(_)) {
        shell.tell(&failure)?;
    }
    Err(failure)
}

/// Stdin is read by a thread of its own, so that a signal is heard meanwhile.
fn read_lines() -> io::Result<Receiver<String>> {
    let (sender, receiver) = bounded(1);
    thread::Builder::new().name("Input".to_owned()).spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let Ok(line) = line else {
                return;
            };
            let line = String::from_utf8_lossy(&line);
            if sender.send(line.trim_end_matches('\r').to_owned()).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// Hears of SIGINT, and without a terminal of SIGTERM, so that the session ends in order. At a terminal the
/// default action of SIGTERM stays.
fn listen(at_terminal: bool) -> io::Result<Receiver<i32>> {
    let (sender, receiver) = unbounded();
    let signals: &[i32] = if at_terminal {
        &[SIGINT]
    } else {
        &[SIGINT, SIGTERM]
    };
    let mut signals = Signals::new(signals)?;
    thread::Builder::new().name("Signals".to_owned()).spawn(move || {
        for signal in signals.forever() {
            if sender.send(signal).is_err() {
                return;
            }
        }
    })?;
    Ok(receiver)
}

/// 3.4.14 greets so; who wants results only has said so.
fn greet(settings: &Settings, out: &Output) -> io::Result<()> {
    if settings.quiet || settings.json {
        return Ok(());
    }
    out.line(&format!("Connecting to {}", safe_name(&settings.server.text)))?;
    if settings.command.is_empty() {
        out.line("Welcome to ZooKeeper!")?;
    }
    out.flush()
}

/// The text of `--help`.
pub fn help_text() -> String {
    let mut text = format!(
        "{}\n\nWithout a command, commands are read from the terminal or from stdin.\n\nOptions:\n{}\n\nCommands:",
        usage_line(),
        options::OPTIONS
    );
    for command in table::COMMANDS {
        text.push_str(&format!(
            "\n    {:<45} {}",
            command.line().trim_end(),
            command.summary
        ));
    }
    text.push_str(CODES);
    text
}

fn help() -> ExitCode {
    let out = Output::of_process(false);
    // A reader that has gone (`| head`) is no error.
    let _gone = out.line(&help_text()).and_then(|()| out.flush());
    ExitCode::Ok
}

fn usage_line() -> String {
    "Usage: oxkeeper cli [-server HOST:PORT,...] [options] [command [arguments]]".to_owned()
}

fn complain(why: &str, code: ExitCode) -> ExitCode {
    eprintln!("oxkeeper cli: {why}");
    code
}

const CODES: &str = "

Exit codes: 0 done; 1 the server refused, or the output failed; 2 wrong words; 3 no server, or the session is
lost; 130 and 143 after SIGINT and SIGTERM. Of several commands from a pipe the first failure counts.";
