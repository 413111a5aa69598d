//! The network between servers as the kernel has it: each server lives in a network namespace with a card of its own,
//! and all cards are on one bridge. Needs root and iproute2.
//!
//! A direction is cut by telling the sender a hardware address that nobody has: what it sends is lost on the way, and
//! nobody is told. What was lost comes again when TCP tries again, which may be seconds after the cut is mended.

use std::collections::BTreeSet;
use std::process::{Command, id};
use std::sync::{Mutex, PoisonError};

/// Namespaces for servers 1 to n, the bridge, and the directions that are cut.
#[derive(Debug)]
pub struct Namespaces {
    count: usize,
    cuts: Mutex<BTreeSet<(usize, usize)>>,
}

impl Namespaces {
    pub fn new(count: usize) -> Namespaces {
        let made = Namespaces {
            count,
            cuts: Mutex::default(),
        };
        let bridge = bridge();
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("addr add {}/24 dev {bridge}", address(254)));
        ip(&format!("link set {bridge} up"));
        for number in 1..=count {
            let (name, cable) = (name(number), format!("oxk{}v{number}", id()));
            ip(&format!("netns add {name}"));
            ip(&format!(
                "link add {cable} type veth peer name {CARD} address {} netns {name}",
                hardware(number)
            ));
            ip(&format!("link set {cable} master {bridge} up"));
            ip(&format!("-n {name} addr add {}/24 dev {CARD}", address(number)));
            ip(&format!("-n {name} link set {CARD} up"));
            ip(&format!("-n {name} link set lo up"));
        }
        made
    }

    /// Where a server is reached, by clients and by other servers.
    pub fn address(&self, number: usize) -> String {
        address(number)
    }

    /// The beginning of a command that is to run where a server lives.
    pub fn command(&self, number: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &name(number)]);
        command
    }

    pub fn cut(&self, from: usize, to: usize) {
        self.cuts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert((from, to));
        neighbour(from, to, NOBODY);
    }

    pub fn mend(&self) {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        for (from, to) in std::mem::take(&mut *cuts) {
            neighbour(from, to, &hardware(to));
        }
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for number in 1..=self.count {
            drop(Command::new("ip").args(["netns", "del", &name(number)]).status());
        }
        drop(Command::new("ip").args(["link", "del", &bridge()]).status());
    }
}

/// Tells a server's namespace which card has another's address.
fn neighbour(from: usize, to: usize, hardware: &str) {
    ip(&format!(
        "-n {} neigh replace {} lladdr {hardware} dev {CARD} nud permanent",
        name(from),
        address(to)
    ));
}

fn ip(words: &str) {
    let done = Command::new("ip").args(words.split(' ')).output();
    let done = done.unwrap_or_else(|error| panic!("ip {words}: {error}: install iproute2"));
    let complaint = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "ip {words}: {complaint}");
}

fn bridge() -> String {
    format!("oxk{}b", id())
}

fn name(number: usize) -> String {
    format!("oxk{}-{number}", id())
}

/// In a network of this process.
fn address(host: usize) -> String {
    let process = id();
    format!("10.{}.{}.{host}", 64 + process % 128, process / 128 % 256)
}

fn hardware(number: usize) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

const NOBODY: &str = "02:00:00:00:ff:ff";

const CARD: &str = "eth0";
