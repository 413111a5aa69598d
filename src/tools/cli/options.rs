//! The words behind `oxkeeper cli`. (ZooKeeperMain.MyCommandOptions.parseOptions)

use std::path::PathBuf;

use super::session::ConnectString;
use crate::sasl::Credentials;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked {
    /// A session.
    Run(Settings),
    /// The text of the help.
    Help,
}

/// How to connect, and what to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to.
    pub server: ConnectString,
    /// The session timeout wished for, milliseconds.
    pub timeout_ms: i32,
    /// Whether a read-only server will do.
    pub read_only: bool,
    /// Whether the first connection is waited for, up to the timeout.
    pub wait: bool,
    /// Whether nothing but results is printed.
    pub quiet: bool,
    /// Whether results are JSON, one line for each command.
    pub json: bool,
    /// A file of properties that say how servers are called.
    pub configuration: Option<PathBuf>,
    /// The one command to run; empty for a conversation.
    pub command: Vec<String>,
    /// With what the session proves who it is, if it does.
    pub login: Option<Credentials>,
}

/// Reads the options and, behind them, one command.
///
/// # Errors
/// A sentence that names the option and what it may be.
pub fn parse(words: &[String]) -> Result<Asked, String> {
    let mut settings = Settings {
        server: ConnectString::parse("localhost:2181")?,
        timeout_ms: 30_000,
        read_only: false,
        wait: false,
        quiet: false,
        json: false,
        configuration: None,
        command: Vec::new(),
        login: None,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || {
            words
                .next()
                .ok_or_else(|| format!("Error: no argument found for option {word}"))
        };
        match word.as_str() {
            "-server" | "--server" => settings.server = ConnectString::parse(value()?)?,
            "-timeout" | "--timeout" => settings.timeout_ms = timeout(value()?)?,
            "-r" | "--read-only" => settings.read_only = true,
            "-w" | "-waitforconnection" | "--wait" => settings.wait = true,
            "-q" | "--quiet" => settings.quiet = true,
            "-j" | "--json" => settings.json = true,
            "-client-configuration" | "--client-configuration" => {
                settings.configuration = Some(value()?.into())
            }
            "-h" | "-help" | "--help" => return Ok(Asked::Help),
            option if option.starts_with('-') => return Err(format!("there is no option {option}")),
            command => {
                settings.command = std::iter::once(command.to_owned())
                    .chain(words.cloned())
                    .collect();
                break;
            }
        }
    }
    Ok(Asked::Run(settings))
}

fn timeout(text: &str) -> Result<i32, String> {
    let value = text.parse::<i32>().ok().filter(|ms| *ms > 0);
    value.ok_or_else(|| format!("-timeout is {text:?}, but must be a number of milliseconds above 0"))
}

/// The options, for the help.
pub const OPTIONS: &str =
    "    -server HOST:PORT,.../PATH  the servers, and the node to take as the root (localhost:2181)
    -timeout MS                 the session timeout to ask for (30000)
    -r, --read-only             be content with a server that has no quorum
    -waitforconnection, --wait  keep trying for the timeout if no server answers at first
    -q, --quiet                 print results only: no greeting, no events
    -j, --json                  print one JSON value a line
    -client-configuration FILE  properties of the client: zookeeper.client.secure, zookeeper.ssl.*
    -h, --help                  print this";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn options_come_first_and_the_command_takes_the_rest() {
        let Ok(Asked::Run(settings)) =
            parsed("-server a:1,b/x -timeout 5000 -client-configuration c -r get -s /a -server")
        else {
            panic!("refused");
        };
        assert_eq!(settings.server.servers, ["a:1", "b:2181"]);
        assert_eq!((settings.timeout_ms, settings.read_only), (5000, true));
        assert_eq!(settings.configuration, Some("c".into()));
        assert_eq!(settings.command, ["get", "-s", "/a", "-server"]);
        assert_eq!(parsed("-server a --help"), Ok(Asked::Help));
    }

    #[test]
    fn bad_options_are_refused() {
        for (line, why) in [
            ("-server", "Error: no argument found for option -server"),
            ("-timeout x ls /", "-timeout is \"x\""),
            ("-timeout -5 ls /", "-timeout is \"-5\""),
            ("-nonsense ls /", "there is no option -nonsense"),
            ("-server :1", "\":1\" is no server"),
        ] {
            let refusal = parsed(line).expect_err(line);
            assert!(refusal.starts_with(why), "{line}: {refusal}");
        }
    }
}
