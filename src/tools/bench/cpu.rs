//! Processor time, of this process and of the servers it drives where they are on the same machine.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;

use crate::runtime::time::Stopwatch;

/// What was used between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Used {
    /// Cores that this process kept busy.
    pub own_cores: f64,
    /// Cores that the servers kept busy together; none if one of them is on another machine, or not to be seen.
    pub servers_cores: Option<f64>,
}

/// Looks at the beginning and at the end.
#[derive(Debug)]
pub struct Meter {
    watch: Stopwatch,
    own_s: f64,
    /// The servers' processes, and what they had used.
    servers: Option<(Vec<String>, f64)>,
}

impl Meter {
    /// Begins.
    pub fn start(servers: &[SocketAddr]) -> Meter {
        let pids = listeners(servers);
        let servers = pids.and_then(|pids| used_by(&pids).map(|used_s| (pids, used_s)));
        Meter {
            watch: Stopwatch::start(),
            own_s: used_s("self").unwrap_or_default(),
            servers,
        }
    }

    /// What has been used since.
    pub fn used(&self) -> Used {
        let seconds = (self.watch.elapsed_ns() as f64 / 1e9).max(f64::MIN_POSITIVE);
        let servers = self.servers.as_ref();
        let servers_cores = servers.and_then(|(pids, before_s)| Some((used_by(pids)? - before_s) / seconds));
        Used {
            own_cores: (used_s("self").unwrap_or_default() - self.own_s) / seconds,
            servers_cores,
        }
    }
}

fn used_by(pids: &[String]) -> Option<f64> {
    pids.iter().map(|pid| used_s(pid)).sum()
}

/// Seconds that all threads of a process have run.
fn used_s(pid: &str) -> Option<f64> {
    used_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The sum of utime and stime in the text of `/proc/PID/stat`: the 14th and 15th field. The second one, the
/// name, may have blanks in it and ends with the last bracket.
fn used_in(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS_PER_S)
}

/// The processes that listen on the servers' ports; none if a server is not on this machine, or another's user.
fn listeners(servers: &[SocketAddr]) -> Option<Vec<String>> {
    if !servers.iter().all(|server| server.ip().is_loopback()) {
        return None;
    }
    let mut sockets = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        let ports: Vec<u16> = servers.iter().map(SocketAddr::port).collect();
        sockets.extend(sockets_in(&text, &ports));
    }
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        if pid.bytes().all(|letter| letter.is_ascii_digit()) && holds_one(&pid, &sockets) {
            pids.push(pid);
        }
    }
    (!pids.is_empty()).then_some(pids)
}

/// The sockets that listen on one of the ports, as links of `/proc/PID/fd` name them, in the text of
/// `/proc/net/tcp`.
fn sockets_in(table: &str, ports: &[u16]) -> BTreeSet<String> {
    let mut sockets = BTreeSet::new();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, local, _, LISTENS, _, _, _, _, _, inode, ..] = fields[..] else {
            continue;
        };
        let port = local
            .rsplit_once(':')
            .map(|(_, port)| u16::from_str_radix(port, 16));
        if port.is_some_and(|port| port.is_ok_and(|port| ports.contains(&port))) {
            sockets.insert(format!("socket:[{inode}]"));
        }
    }
    sockets
}

fn holds_one(pid: &str, sockets: &BTreeSet<String>) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    targets
        .into_iter()
        .any(|target| sockets.contains(&*target.to_string_lossy()))
}

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// The unit of `/proc/PID/stat` for programs, whatever the kernel's own clock is (USER_HZ).
const TICKS_PER_S: f64 = 100.0;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 8 9 20 0 4 0 100 1 1";
        assert_eq!(used_in(stat), Some(2.0));
        assert_eq!(used_in("7 (a"), None);
    }

    #[test]
    fn who_listens_here_is_this_process() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        assert_eq!(listeners(&[address]), Some(vec![std::process::id().to_string()]));
        assert_eq!(listeners(&["10.0.0.1:2181".parse().expect("an address")]), None);
        let meter = Meter::start(&[address]);
        assert!(meter.servers.is_some());
    }
}
