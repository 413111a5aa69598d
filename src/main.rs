//! The command line of oxkeeper.

use oxkeeper::args::{self, Command, Invocation, Tool};
use oxkeeper::config::{self, SystemProperties, properties};
use oxkeeper::runtime::ExitCode;
use oxkeeper::server::{self, logging};
use oxkeeper::tools;
use oxkeeper::tools::stream::ClientProperties;

fn main() {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into())
        .collect();
    let code = match args::parse(&words, |name| std::env::var(name).ok()) {
        Ok(invocation) => obey(invocation),
        Err(bad_usage) => {
            eprintln!("{bad_usage}");
            ExitCode::BadConfig
        }
    };
    std::process::exit(code as i32);
}

fn obey(
    Invocation {
        command,
        system,
        notes,
    }: Invocation,
) -> ExitCode {
    match command {
        Command::Server(source) => {
            logging::init(&system);
            logging::write_notes(&notes);
            server::run(&source, system)
        }
        Command::Tool(Tool::Bench, arguments) => tools::bench::run(&arguments, &of_client(&system)),
        Command::Tool(Tool::Cli, arguments) => match config::client_login(&system) {
            Ok(login) => tools::cli::run(&arguments, login, &of_client(&system)),
            Err(error) => {
                eprintln!("oxkeeper cli: {error}");
                ExitCode::BadConfig
            }
        },
        Command::Tool(Tool::Compare, arguments) => tools::files::run_compare(&arguments),
        Command::Tool(Tool::LogFormatter, arguments) => tools::files::run_log_formatter(&arguments),
        Command::Tool(Tool::Snapshot, arguments) => tools::files::run_snapshot(&arguments),
        Command::Tool(Tool::TxnLog, arguments) => tools::files::run_txnlog(&arguments),
        Command::Tool(Tool::Purge, arguments) => tools::purge::run(&arguments),
        Command::Tool(Tool::Rounds, arguments) => tools::rounds::run(&arguments),
        Command::Options => tools::output::print("oxkeeper", &oxkeeper::config::options::reference()),
        Command::Print(text) => tools::output::print("oxkeeper", &text),
    }
}

/// What a client is told by properties.
fn of_client(system: &SystemProperties) -> ClientProperties {
    ClientProperties {
        values: system.values(),
        parse: |bytes| {
            let entries = properties::parse(bytes).map_err(|error| error.to_string())?;
            Ok(entries
                .into_iter()
                .map(|entry| (entry.key, entry.value))
                .collect())
        },
    }
}
