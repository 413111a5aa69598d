//! What the operating system says of this machine and this process.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Names and places, for people who look at a log or at `envi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The host's name.
    pub host_name: Option<String>,
    /// The operating system: `Linux`.
    pub os_name: String,
    /// Its release.
    pub os_version: String,
    /// The processor, as Rust names it.
    pub arch: &'static str,
    /// Who runs the process.
    pub user_name: Option<String>,
    /// The home of who runs it.
    pub user_home: Option<String>,
    /// The working directory.
    pub working_dir: Option<String>,
    /// The directory for temporary files.
    pub temporary_dir: Option<String>,
    /// The program's file.
    pub program: Option<String>,
}

impl Machine {
    /// Asks the operating system.
    pub fn look() -> Machine {
        let names = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let shown = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        Machine {
            host_name: Some(text(names.nodename())).filter(|name| !name.is_empty()),
            os_name: text(names.sysname()),
            os_version: text(names.release()),
            arch: std::env::consts::ARCH,
            user_name: variable("USER").or_else(|| variable("LOGNAME")),
            user_home: variable("HOME"),
            working_dir: std::env::current_dir().ok().map(shown),
            temporary_dir: Some(shown(std::env::temp_dir())),
            program: std::env::current_exe().ok().map(shown),
        }
    }
}

/// How many files and sockets the process has open, if the operating system tells.
pub fn open_files() -> Option<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = rustix::fs::open("/proc/self/fd", flags, Mode::empty()).ok()?;
    let entries = rustix::fs::Dir::read_from(&dir).ok()?;
    let names = entries
        .filter_map(Result::ok)
        .filter(|entry| !entry.file_name().to_bytes().starts_with(b"."));
    // The two descriptors of this very look are among them.
    Some((names.count() as u64).saturating_sub(2))
}

/// How many files and sockets the process may have open.
pub fn max_open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the limit of open files so far that `wanted` connections fit, or as far as the operating system lets
/// this process, and then warns. Each client takes one.
pub fn raise_max_open_files(wanted: u64) {
    let limits = getrlimit(Resource::Nofile);
    let most = limits.maximum.unwrap_or(u64::MAX);
    // Only a privileged process may go above its hard limit; any may go up to it.
    for limit in [most.max(wanted), most] {
        let raised = Rlimit {
            current: Some(limit),
            maximum: Some(limit),
        };
        if max_open_files() >= limit || setrlimit(Resource::Nofile, raised).is_ok() {
            break;
        }
    }
    let limit = max_open_files();
    if limit < wanted {
        log::warn!(
            "this process may open {limit} files only, so it cannot hold {wanted} connections; raise the hard \
             limit of open files (ulimit -Hn, LimitNOFILE of systemd) for more"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_files_are_counted() {
        let before = open_files().expect("a count");
        let held: Vec<_> = (0..100).map(|_| tempfile::tempfile().expect("a file")).collect();
        let during = open_files().expect("a count");
        // Other tests of this process open and close a few of their own.
        assert!(
            (before + 50..before + 200).contains(&during),
            "{before} and then {during}"
        );
        drop(held);
        assert!(max_open_files() >= during);
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        raise_max_open_files(0);
        let limits = getrlimit(Resource::Nofile);
        assert_eq!(limits.current, limits.maximum);
        raise_max_open_files(u64::MAX);
        assert!(max_open_files() >= limits.maximum.unwrap_or(u64::MAX));
    }
}
