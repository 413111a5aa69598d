//! The command line and the environment, as values. Nothing is read or printed here.

mod completion;
mod manual;

use getopts::{Options, ParsingStyle};

use crate::config::{Note, Origin, Source, SystemProperties};
use crate::tools;

/// What the caller wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// What to do.
    pub command: Command,
    /// Java's system properties: of the environment, and over them those of the command line.
    pub system: SystemProperties,
    /// What the log is to say about them.
    pub notes: Vec<Note>,
}

/// A sub-command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Runs a server.
    Server(Source),
    /// Runs a tool, which reads its own arguments.
    Tool(Tool, Vec<String>),
    /// Prints the reference of all options.
    Options,
    /// Prints this text.
    Print(String),
}

/// What the scripts call besides the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    /// A load generator.
    Bench,
    /// A command line client. (ZooKeeperMain)
    Cli,
    /// Finds where two data directories differ.
    Compare,
    /// A transaction log as text. (LogFormatter)
    LogFormatter,
    /// Removes old snapshots and logs. (PurgeTxnLog)
    Purge,
    /// Shows the elections in logs.
    Rounds,
    /// A snapshot as text, or its summary. (SnapshotFormatter)
    Snapshot,
    /// Prints or mends a transaction log. (TxnLogToolkit)
    TxnLog,
}

/// A command line that says nothing known. The process prints it to stderr and ends with code 2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("oxkeeper: {reason}\n{usage}")]
pub struct BadUsage {
    /// What is wrong.
    pub reason: String,
    /// What would be right.
    pub usage: String,
}

/// Reads the words behind the program's name. `environment` gives the value of a variable.
///
/// # Errors
/// An unknown sub-command or option, or too many arguments.
pub fn parse(words: &[String], environment: impl Fn(&str) -> Option<String>) -> Result<Invocation, BadUsage> {
    let mut properties = Vec::new();
    let words = take_properties(words, &mut properties);
    let options = top_options();
    let matches = options.parse(words).map_err(|error| bad_usage(error, &options))?;
    let Some((name, arguments)) = matches.free.split_first() else {
        let wants_version = matches.opt_present("version");
        let text = if wants_version { version() } else { usage(&options) };
        return match wants_version || matches.opt_present("help") {
            true => Ok(print(text)),
            false => Err(bad_usage("a command is missing", &options)),
        };
    };
    let command = match name.as_str() {
        _ if matches.opt_present("help") => Command::Print(usage(&options)),
        "server" => server(arguments, &mut properties)?,
        "bench" => tool(Tool::Bench, arguments, &mut properties),
        "cli" => tool(Tool::Cli, arguments, &mut properties),
        "compare" => tool(Tool::Compare, arguments, &mut properties),
        "log-formatter" => tool(Tool::LogFormatter, arguments, &mut properties),
        "snapshot" => tool(Tool::Snapshot, arguments, &mut properties),
        "txnlog" => tool(Tool::TxnLog, arguments, &mut properties),
        "purge" => tool(Tool::Purge, arguments, &mut properties),
        "rounds" => tool(Tool::Rounds, arguments, &mut properties),
        "options" if arguments.is_empty() => Command::Options,
        "version" if arguments.is_empty() => Command::Print(version()),
        "help" if arguments.is_empty() => Command::Print(usage(&options)),
        "man" if arguments.is_empty() => Command::Print(manual::page(&helps())),
        "completion" => completion(arguments, &options)?,
        "options" | "version" | "help" | "man" => {
            return Err(bad_usage(format!("{name} takes no arguments"), &options));
        }
        _ => return Err(bad_usage(format!("there is no command {name:?}"), &options)),
    };
    let (mut system, notes) = read_environment(&command, environment);
    for word in properties {
        set(&mut system, &word, Origin::CommandLine);
    }
    Ok(Invocation {
        command,
        system,
        notes,
    })
}

fn completion(arguments: &[String], options: &Options) -> Result<Command, BadUsage> {
    let script = match arguments {
        [shell] => completion::script(shell, &helps()),
        _ => None,
    };
    let script = script.map(Command::Print);
    script.ok_or_else(|| bad_usage("completion takes one argument: bash, zsh or fish", options))
}

/// All commands with what they are for and the text of their help: from these the manual and the completions come.
fn helps() -> Vec<Help> {
    let lines = COMMANDS.lines().filter_map(|line| line.strip_prefix("    "));
    let commands = lines.filter_map(|line| line.split_once(' '));
    commands
        .map(|(name, summary)| Help {
            name: name.to_owned(),
            summary: summary.trim().to_owned(),
            text: match name {
                "server" => server_usage(&server_options()),
                "bench" => tools::bench::help_text(),
                "cli" => tools::cli::help_text(),
                "purge" => tools::purge::USAGE.to_owned(),
                "rounds" => tools::rounds::help_text(),
                "txnlog" => tools::files::TXNLOG_HELP.to_owned(),
                "log-formatter" => tools::files::LOG_FORMATTER_HELP.to_owned(),
                "snapshot" => tools::files::snapshot_help(),
                "compare" => tools::files::compare_help(),
                _ => String::new(),
            },
        })
        .collect()
}

/// What is known of a command.
#[derive(Debug)]
struct Help {
    name: String,
    summary: String,
    text: String,
}

fn print(text: String) -> Invocation {
    Invocation {
        command: Command::Print(text),
        system: SystemProperties::default(),
        notes: Vec::new(),
    }
}

/// `-D` may stand anywhere.
fn server(arguments: &[String], properties: &mut Vec<String>) -> Result<Command, BadUsage> {
    let (defines, words): (Vec<String>, Vec<String>) =
        arguments.iter().cloned().partition(|w| is_property(w));
    properties.extend(defines);
    let options = server_options();
    let matches = options
        .parse(words)
        .map_err(|error| bad_server_usage(error, &options))?;
    if matches.opt_present("help") {
        return Ok(Command::Print(server_usage(&options)));
    }
    Ok(Command::Server(match matches.free.as_slice() {
        [] => Source::Nothing,
        [path] => Source::File(path.into()),
        [_, _] | [_, _, _] | [_, _, _, _] => Source::Arguments(matches.free),
        more => {
            return Err(bad_server_usage(
                format!("{} arguments are too many", more.len()),
                &options,
            ));
        }
    }))
}

/// `-D` stands first: what comes later belongs to the tool, to which it may be a node's data.
fn tool(tool: Tool, arguments: &[String], properties: &mut Vec<String>) -> Command {
    Command::Tool(tool, take_properties(arguments, properties).to_vec())
}

/// Moves the leading `-Dkey=value` out of the way.
fn take_properties<'a>(words: &'a [String], properties: &mut Vec<String>) -> &'a [String] {
    let count = words.iter().take_while(|word| is_property(word)).count();
    let (defines, rest) = words.split_at(count);
    properties.extend_from_slice(defines);
    rest
}

fn is_property(word: &str) -> bool {
    word.starts_with("-D") && word.len() > 2
}

/// `-Dkey` alone is an empty value, as to Java.
fn set(system: &mut SystemProperties, word: &str, origin: Origin) {
    let property = word.strip_prefix("-D").unwrap_or(word);
    let (name, value) = property.split_once('=').unwrap_or((property, ""));
    system.set(name, value, origin);
}

/// The variables that Java's scripts hand to its machine, in their order: the later wins.
fn read_environment(
    command: &Command,
    environment: impl Fn(&str) -> Option<String>,
) -> (SystemProperties, Vec<Note>) {
    let variables: &[&'static str] = match command {
        Command::Server(_) => &["SERVER_JVMFLAGS", "JVMFLAGS"],
        Command::Tool(Tool::Cli | Tool::Bench, _) => &["CLIENT_JVMFLAGS", "JVMFLAGS"],
        Command::Tool(..) => &["JVMFLAGS"],
        Command::Options | Command::Print(_) => &[],
    };
    let mut system = SystemProperties::default();
    let mut ignored = Vec::new();
    for &variable in variables {
        for word in environment(variable).unwrap_or_default().split_whitespace() {
            if is_property(word) {
                set(&mut system, word, Origin::Environment(variable));
            } else {
                ignored.push(word.to_owned());
            }
        }
    }
    let mut notes = Vec::new();
    if !ignored.is_empty() {
        let (variables, ignored) = (variables.join(" and "), ignored.join(" "));
        let text = format!("Of {variables} only -Dkey=value has an effect; ignored: {ignored}");
        notes.push(Note {
            level: log::Level::Warn,
            text,
        });
    }
    (system, notes)
}

fn top_options() -> Options {
    let mut options = Options::new();
    options.parsing_style(ParsingStyle::StopAtFirstFree);
    options.optflag("h", "help", "print this");
    options.optflag("", "version", "print the version");
    options
}

fn server_options() -> Options {
    let mut options = Options::new();
    options.optflag("h", "help", "print this");
    options
}

fn usage(options: &Options) -> String {
    options.usage(COMMANDS)
}

fn server_usage(options: &Options) -> String {
    options.usage(SERVER)
}

fn bad_usage(reason: impl ToString, options: &Options) -> BadUsage {
    BadUsage {
        reason: reason.to_string(),
        usage: usage(options),
    }
}

fn bad_server_usage(reason: impl ToString, options: &Options) -> BadUsage {
    BadUsage {
        reason: reason.to_string(),
        usage: server_usage(options),
    }
}

fn version() -> String {
    format!(
        "oxkeeper {}, a replacement of ZooKeeper 3.4.14\n",
        env!("CARGO_PKG_VERSION")
    )
}

const COMMANDS: &str = "Usage: oxkeeper [-Dkey=value ...] COMMAND [ARGUMENTS]

Commands:
    server         run a server
    cli            talk to servers
    bench          measure servers
    purge          remove old snapshots and transaction logs
    txnlog         print or mend a transaction log (TxnLogToolkit)
    log-formatter  print a transaction log (LogFormatter)
    snapshot       print or sum up a snapshot (SnapshotFormatter)
    compare        find where two data directories differ
    rounds         show the elections in the logs of servers
    options        print all keys of zoo.cfg and all properties
    man            print the manual, for man(1)
    completion     print completions for a shell: bash, zsh or fish
    version        print the version";

const SERVER: &str = "Usage: oxkeeper server [-Dkey=value ...] [ZOO_CFG | PORT DATADIR [TICKTIME] [MAXCNXNS]]

Without arguments the port is 2181 and the data goes to ./data. -Dkey=value sets what
is a system property of a Java server; so do SERVER_JVMFLAGS and JVMFLAGS. RUST_LOG or
-Dzookeeper.root.logger=LEVEL,CONSOLE sets the level of the log, which goes to stdout.";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed_with(line: &str, environment: &[(&str, &str)]) -> Result<Invocation, BadUsage> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words, |name| {
            let variable = environment.iter().find(|(variable, _)| *variable == name);
            variable.map(|(_, value)| (*value).to_owned())
        })
    }

    fn command(line: &str) -> Command {
        parsed_with(line, &[]).expect(line).command
    }

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_server_starts_from_a_file_from_arguments_or_from_nothing() {
        for (line, source) in [
            ("server", Source::Nothing),
            ("server conf/zoo.cfg", Source::File("conf/zoo.cfg".into())),
            ("server -Da=b zoo.cfg -Dc", Source::File("zoo.cfg".into())),
            ("server 2181 /data", Source::Arguments(words("2181 /data"))),
            (
                "server 2181 /data 2000 60",
                Source::Arguments(words("2181 /data 2000 60")),
            ),
        ] {
            assert_eq!(command(line), Command::Server(source), "{line}");
        }
    }

    #[test]
    fn tools_get_their_arguments_untouched() {
        for (line, tool, rest) in [
            ("bench --help", Tool::Bench, "--help"),
            ("bench -Djute.maxbuffer=9 -s a:2181", Tool::Bench, "-s a:2181"),
            ("bench -s a:2181 -Dx", Tool::Bench, "-s a:2181 -Dx"),
            ("purge /log /snap -n 3", Tool::Purge, "/log /snap -n 3"),
            ("rounds -f 1=log", Tool::Rounds, "-f 1=log"),
        ] {
            assert_eq!(command(line), Command::Tool(tool, words(rest)), "{line}");
        }
    }

    #[test]
    fn help_version_and_options_are_printed() {
        for (line, start) in [
            ("--help", "Usage: oxkeeper [-D"),
            ("-h server", "Usage: oxkeeper [-D"),
            ("help", "Usage: oxkeeper [-D"),
            ("server --help", "Usage: oxkeeper server"),
            ("--version", "oxkeeper "),
            ("version", "oxkeeper "),
            ("man", ".TH OXKEEPER 1"),
            ("completion bash", "# bash completion"),
            ("completion zsh", "#compdef oxkeeper"),
            ("completion fish", "# fish completion"),
        ] {
            let Command::Print(text) = command(line) else {
                panic!("{line} prints nothing")
            };
            assert!(
                text.starts_with(start) && text.ends_with('\n'),
                "{line}: {text:?}"
            );
        }
        assert_eq!(command("options"), Command::Options);
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_usage() {
        for (line, reason, usage) in [
            ("", "a command is missing", "Usage: oxkeeper [-D"),
            ("-Da=b", "a command is missing", "Usage: oxkeeper [-D"),
            (
                "serve zoo.cfg",
                "there is no command \"serve\"",
                "Usage: oxkeeper [-D",
            ),
            ("--port 1", "Unrecognized option: 'port'", "Usage: oxkeeper [-D"),
            ("version now", "version takes no arguments", "Usage: oxkeeper [-D"),
            (
                "completion tcsh",
                "completion takes one argument: bash, zsh or fish",
                "Usage: oxkeeper [-D",
            ),
            (
                "server --port 1",
                "Unrecognized option: 'port'",
                "Usage: oxkeeper server",
            ),
            (
                "server 1 2 3 4 5",
                "5 arguments are too many",
                "Usage: oxkeeper server",
            ),
        ] {
            let refusal = parsed_with(line, &[]).expect_err(line).to_string();
            assert!(
                refusal.starts_with(&format!("oxkeeper: {reason}\n{usage}")),
                "{line}: {refusal}"
            );
        }
    }

    #[test]
    fn properties_come_from_the_environment_and_the_command_line_which_wins() {
        let environment = [
            ("SERVER_JVMFLAGS", "-Xmx1g -Da=server -Db=server -Dc=server"),
            ("JVMFLAGS", " -Db=both -server  -Dc=both "),
        ];
        let invocation = parsed_with("-Dc=line server -Dd=x=y -De", &environment).expect("good");
        let values =
            ["a", "b", "c", "d", "e"].map(|name| invocation.system.get(name).expect(name).to_owned());
        assert_eq!(values, ["server", "both", "line", "x=y", ""]);
        let notes: Vec<&str> = invocation.notes.iter().map(|note| note.text.as_str()).collect();
        assert_eq!(
            notes,
            ["Of SERVER_JVMFLAGS and JVMFLAGS only -Dkey=value has an effect; ignored: -Xmx1g -server"]
        );
        let purge = parsed_with("purge", &environment).expect("good");
        assert_eq!(
            (purge.system.get("a"), purge.system.get("b")),
            (None, Some("both"))
        );
    }
}
