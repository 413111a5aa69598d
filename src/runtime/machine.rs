//! What the operating system says of this machine and this process.

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::rand::GetRandomFlags;

/// Names and places, for people who look at a log or at `envi`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The host's name, in full if `/etc/hosts` has it.
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
        let host = text(names.nodename());
        let canonical = read_file("/etc/hosts").and_then(|hosts| canonical_in(&hosts, &host));
        let (user, home) = read_file("/etc/passwd")
            .and_then(|text| user_in(&text, rustix::process::getuid().as_raw()))
            .unzip();
        let shown = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        Machine {
            host_name: canonical.or(Some(host)).filter(|name| !name.is_empty()),
            os_name: text(names.sysname()),
            os_version: text(names.release()),
            arch: std::env::consts::ARCH,
            user_name: user.or_else(|| variable("USER")),
            user_home: home.or_else(|| variable("HOME")),
            working_dir: std::env::current_dir().ok().map(shown),
            temporary_dir: Some(shown(std::env::temp_dir())),
            program: std::env::current_exe().ok().map(shown),
        }
    }
}

/// Random numbers of the operating system, fit for secrets.
///
/// # Errors
/// What the system says; it gives them as soon as it has started.
pub fn random_bytes<const COUNT: usize>() -> std::io::Result<[u8; COUNT]> {
    let mut bytes = [0; COUNT];
    let mut filled = 0;
    while filled < COUNT {
        match rustix::rand::getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// A small file of the system's, as text.
fn read_file(path: &str) -> Option<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut bytes = vec![0; LONGEST_FILE_BYTES];
    let mut count = 0;
    loop {
        match rustix::io::read(&file, &mut bytes[count..]).ok()? {
            0 => break,
            more => count += more,
        }
    }
    Some(String::from_utf8_lossy(&bytes[..count]).into_owned())
}

/// The name and the home of a user, in the text of `/etc/passwd`.
fn user_in(passwd: &str, uid: u32) -> Option<(String, String)> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, id, _, _, home, ..] = fields[..] else {
            return None;
        };
        (id.parse() == Ok(uid)).then(|| (name.to_owned(), home.to_owned()))
    })
}

/// The first name of the address that a host's name stands for, in the text of `/etc/hosts`: what a look-up
/// there and back gives.
fn canonical_in(hosts: &str, name: &str) -> Option<String> {
    let lines = hosts
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    let entries: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    let names_it = |entry: &&Vec<&str>| entry.iter().skip(1).any(|known| *known == name);
    let address = entries.iter().find(names_it)?.first()?;
    let back = entries.iter().find(|entry| entry.first() == Some(address));
    Some((*back?.get(1)?).to_owned())
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

/// More of a file is not looked at.
const LONGEST_FILE_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_there_and_back() {
        let hosts = "127.0.0.1 localhost\n# 10.0.0.1 old\n10.0.0.1\tzk1.example zk1 # ours\n127.0.0.1 vm\n";
        assert_eq!(canonical_in(hosts, "zk1").as_deref(), Some("zk1.example"));
        assert_eq!(canonical_in(hosts, "vm").as_deref(), Some("localhost"));
        assert_eq!(canonical_in(hosts, "old"), None);
    }

    #[test]
    fn the_user_is_looked_up_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nodd line\nzk:x:10:10:Zoo Keeper:/var/zk:/bin/false\n";
        assert_eq!(user_in(passwd, 10), Some(("zk".to_owned(), "/var/zk".to_owned())));
        assert_eq!(user_in(passwd, 11), None);
    }

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
