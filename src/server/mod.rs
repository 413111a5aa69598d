//! One server: built from a configuration, run, and ended.

mod certificates;
pub mod host;
pub mod logging;
mod parts;
mod purge_task;
pub mod replicated;
mod signals;
pub mod standalone;
mod watchers;

use crate::config::{Config, Source, SystemProperties};
use crate::runtime::{ExitCode, Halt};

/// Runs a server until it ends, and says with which code the process is to.
///
/// Every reason for an end that is not orderly is the last line of the log, and stands on standard error too.
pub fn run(source: &Source, system: SystemProperties) -> ExitCode {
    let ended = Config::load(source, system)
        .map_err(|error| {
            Halt::new(
                ExitCode::BadConfig,
                format!("Invalid config, exiting abnormally: {error}"),
            )
        })
        .and_then(|config| {
            logging::write_notes(&config.notes);
            match &config.ensemble {
                None => standalone::run(&config),
                Some(ensemble) => replicated::run(&config, ensemble),
            }
        });
    match ended {
        Ok(()) => ExitCode::Ok,
        Err(halt) => {
            log::error!("{halt}");
            eprintln!("oxkeeper: {halt}");
            halt.code
        }
    }
}
