//! `oxkeeper purge`: removes old snapshots and logs, for zkCleanup.sh. (PurgeTxnLog.main)

use std::io::Write;
use std::path::Path;

use crate::runtime::{Disk, ExitCode, OsDisk};
use crate::storage::{Dirs, purge};

use super::output::unless_gone;

/// Runs the tool with the words behind `purge`, and says how the process is to end.
pub fn run(words: &[String]) -> ExitCode {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (log_dir, snapshot_dir, count) = match words.as_slice() {
        [dir, "-n", count] => (*dir, *dir, *count),
        [log_dir, snapshot_dir, "-n", count] => (*log_dir, *snapshot_dir, *count),
        _ => return refuse(USAGE),
    };
    let Ok(count) = count.parse::<usize>() else {
        return refuse(&format!("'{count}' can not be parsed to integer.\n{USAGE}"));
    };
    for dir in [log_dir, snapshot_dir] {
        if !OsDisk.exists(Path::new(dir)) {
            return refuse(&format!("Path '{dir}' does not exist.\n{USAGE}"));
        }
    }
    let dirs = Dirs::of(Path::new(log_dir), Path::new(snapshot_dir));
    match purge(&OsDisk, &dirs, count) {
        Ok(removed) => {
            let mut out = std::io::stdout();
            let said = removed
                .iter()
                .try_for_each(|path| writeln!(out, "Removing file: {}", path.display()));
            match unless_gone(said) {
                Ok(()) => ExitCode::Ok,
                Err(error) => refuse(&format!(
                    "{} files were removed; cannot write the output: {error}",
                    removed.len()
                )),
            }
        }
        Err(error) => refuse(&error.to_string()),
    }
}

/// PurgeTxnLog ends with 1 whatever is wrong.
fn refuse(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::Unexpected
}

/// How it is called, for the manual as well.
pub const USAGE: &str = "Usage:
oxkeeper purge dataLogDir [snapDir] -n count
    dataLogDir -- path to the transaction log directory
    snapDir -- path to the snapshot directory
    count -- the number of old snapshots (with their logs) to keep, at least 3";
