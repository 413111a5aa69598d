//! Real servers under faults, and clients that write down all they hear: what an ensemble owes its clients is
//! checked on that history while it grows, and on the trees in the end.
//!
//! A run is bounded by `OXKEEPER_HISTORY_SECONDS` (25 if it is not set) and begins with `OXKEEPER_HISTORY_SEED`;
//! `OXKEEPER_HISTORY_SERVERS` is 3 or 5, `OXKEEPER_HISTORY_NETWORK` is `proxies` or `namespaces`. A seed repeats the plan, not the run: processes are on their own.

mod calls;
mod client;
mod ensemble;
mod namespaces;
mod nemesis;
mod network;
mod proxy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use oxkeeper::proto::{Acl, Stat};
use oxkeeper::tools::client::{Client, Handshake};
use oxkeeper::tools::wire::ClientError;

use crate::checkers::{self, Answer, Call, EndNode, History, What, trees};
use client::{REGISTERS, RecordedClient, Recorder};
use ensemble::Ensemble;
use nemesis::Nemesis;

#[test]
fn promises_hold_under_faults() {
    let run = Run {
        seed: setting("OXKEEPER_HISTORY_SEED", 7),
        servers: setting("OXKEEPER_HISTORY_SERVERS", 3) as usize,
        clients: setting("OXKEEPER_HISTORY_CLIENTS", 8) as usize,
        faults: Duration::from_secs(setting("OXKEEPER_HISTORY_SECONDS", 25)),
    };
    run.carry_out();
}

struct Run {
    seed: u64,
    servers: usize,
    clients: usize,
    /// For how long there are faults.
    faults: Duration,
}

/// A tree as clients see it: of each path the data, the ACL and the stat.
type Tree = BTreeMap<String, (Option<Vec<u8>>, Vec<Acl>, Stat)>;

impl Run {
    fn carry_out(self) {
        let mut servers = Ensemble::lay_out(self.servers);
        let numbers = servers.numbers();
        numbers.iter().for_each(|number| servers.start(*number));
        let addresses: Vec<_> = numbers.iter().map(|number| servers.address(*number)).collect();
        let recorder = Arc::new(Recorder::new());
        let new_client = |number: usize| {
            let (addresses, recorder) = (addresses.clone(), Arc::clone(&recorder));
            RecordedClient::new(number, addresses, recorder, self.seed * 1_000 + number as u64)
        };
        new_client(0).set_up(&["/h", "/h/r", "/h/m", "/h/s", "/h/e", "/h/n"], REGISTERS);
        let clients: Vec<_> = (1..=self.clients)
            .map(|number| {
                let client = new_client(number);
                thread::spawn(move || client.run())
            })
            .collect();
        let mut nemesis = Nemesis::new(self.seed);
        let mut trouble = self.under_faults(&mut servers, &mut nemesis, &recorder);
        nemesis.mend(&mut servers);
        recorder.end();
        clients
            .into_iter()
            .for_each(|client| client.join().expect("a client"));
        if trouble.is_empty() {
            trouble = at_the_end(&mut servers, &recorder);
        }
        let story = self.story(&servers, &nemesis, &recorder);
        eprintln!("{story}");
        if !trouble.is_empty() {
            let seconds = recorder.elapsed().as_secs();
            let kept = servers.keep();
            write_history(&recorder.history(), &kept.join("history.txt"));
            panic!(
                "{} violations after {seconds} s, seed {}; everything is kept in {}\n{}",
                trouble.len(),
                self.seed,
                kept.display(),
                trouble.join("\n")
            );
        }
    }

    /// Harms the servers until the time is up or a promise is broken.
    fn under_faults(
        &self,
        servers: &mut Ensemble,
        nemesis: &mut Nemesis,
        recorder: &Recorder,
    ) -> Vec<String> {
        let end = Instant::now() + self.faults;
        let mut next_check = Instant::now();
        while Instant::now() < end {
            nemesis.strike(servers);
            if let Some(dead) = servers.dead() {
                return vec![dead];
            }
            if Instant::now() >= next_check {
                let begin = Instant::now();
                let history = recorder.history().clone();
                let broken = checkers::check(&history);
                if !broken.is_empty() {
                    return texts(broken);
                }
                // A long history takes long to check.
                next_check = Instant::now() + begin.elapsed() * 10;
            }
        }
        Vec::new()
    }

    fn story(&self, servers: &Ensemble, nemesis: &Nemesis, recorder: &Recorder) -> String {
        let history = recorder.history();
        let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        let (mut open, mut epochs) = (BTreeMap::new(), std::collections::BTreeSet::new());
        for entry in history.entries() {
            match &entry.what {
                What::Invoke { op, call } => {
                    open.insert(*op, kind_of(call));
                    counts.entry(kind_of(call)).or_default()[0] += 1;
                }
                What::Return { op, zxid, answer } => {
                    let kind = open.remove(op).unwrap_or("?");
                    let column = if matches!(answer, Answer::Refused(_)) {
                        2
                    } else {
                        1
                    };
                    counts.entry(kind).or_default()[column] += 1;
                    epochs.insert(zxid >> 32);
                }
                What::Event { .. } => counts.entry("event").or_default()[1] += 1,
                What::Connected { .. } => counts.entry("connect").or_default()[1] += 1,
                What::Ended => counts.entry("session ended").or_default()[1] += 1,
                What::Disconnected | What::Broken(_) => {}
            }
        }
        let mut story = format!(
            "{} servers, {} clients, seed {}, {} s, {} epochs seen; {} DIFF, {} TRUNC, {} SNAP; {} bytes lost with \
             power\n",
            self.servers,
            self.clients,
            self.seed,
            recorder.elapsed().as_secs(),
            epochs.len(),
            servers.count_in_logs("Sending DIFF"),
            servers.count_in_logs("Sending TRUNC"),
            servers.count_in_logs("Sending SNAP"),
            nemesis.lost_bytes,
        );
        for (fault, count) in &nemesis.done {
            story += &format!("  {count:>7} times: {fault}\n");
        }
        for (kind, [asked, well, refused]) in counts {
            let unknown = asked.saturating_sub(well + refused);
            story += &format!(
                "  {kind:<14} {asked:>8} asked {well:>8} ok {refused:>6} refused {unknown:>6} unknown\n"
            );
        }
        story
    }
}

/// All is mended, all clients are gone: equal trees, nothing lost, no ephemeral left.
fn at_the_end(servers: &mut Ensemble, recorder: &Recorder) -> Vec<String> {
    let broken = checkers::check(&recorder.history());
    if !broken.is_empty() {
        return texts(broken);
    }
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(dead) = servers.dead() {
            return vec![dead];
        }
        let mut seen = BTreeMap::new();
        for number in servers.numbers() {
            match tree_of(servers, number) {
                Ok(tree) => drop(seen.insert(number, tree)),
                Err(why) if Instant::now() > end => {
                    return vec![format!(
                        "server {number} does not serve, though all is mended: {why}"
                    )];
                }
                Err(_) => {}
            }
        }
        let is_late = Instant::now() > end;
        if seen.len() == servers.numbers().len() {
            let broken = judge(&seen, recorder);
            // Sessions that were left expire in their own time.
            if broken.is_empty() || is_late {
                return broken;
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
}

fn judge(seen: &BTreeMap<usize, Tree>, recorder: &Recorder) -> Vec<String> {
    let unequal = trees::check(seen);
    if !unequal.is_empty() {
        return texts(unequal);
    }
    let tree = seen.values().next().expect("a server");
    let nodes = tree
        .iter()
        .filter(|(path, _)| path.starts_with("/h"))
        .map(|(path, (_, _, stat))| {
            let node = EndNode {
                owner: stat.ephemeral_owner,
                czxid: stat.czxid.0,
                pzxid: stat.pzxid.0,
            };
            (path.clone(), node)
        })
        .collect();
    texts(checkers::check_end(&recorder.history(), &nodes, |_| false))
}

fn tree_of(servers: &Ensemble, number: usize) -> Result<Tree, String> {
    let limit = Duration::from_secs(10);
    let mut client = Client::connect(servers.address(number), &Handshake::with_timeout(20_000), limit)
        .map_err(|error| error.to_string())?;
    if client.session().is_refusal() {
        return Err("the session was refused".to_owned());
    }
    let mut tree = Tree::new();
    let walked = client.sync("/").and_then(|_| walk(&mut client, "/", &mut tree));
    walked.map_err(|error| error.to_string())?;
    drop(client.close());
    Ok(tree)
}

fn walk(client: &mut Client, path: &str, tree: &mut Tree) -> Result<(), ClientError> {
    // A node may go between two requests, while sessions expire; the next look will be without it.
    let (Ok((data, stat)), Ok((acl, _)), Ok(children)) = (
        client.get_data(path, false)?,
        client.get_acl(path)?,
        client.get_children(path, false)?,
    ) else {
        return Ok(());
    };
    tree.insert(path.to_owned(), (data, acl, stat));
    for name in children {
        walk(client, &format!("{}/{name}", path.trim_end_matches('/')), tree)?;
    }
    Ok(())
}

fn kind_of(call: &Call) -> &'static str {
    match call {
        Call::Set { version: None, .. } => "set",
        Call::Set { .. } => "set if",
        Call::Create { sequential: true, .. } => "create seq",
        Call::Create { ephemeral: true, .. } => "create eph",
        Call::Create { .. } => "create",
        Call::Delete { .. } => "delete",
        Call::Get { synced: true, .. } => "sync and get",
        Call::Get { .. } => "get",
        Call::Multi(_) => "multi",
        Call::Check { .. } => "check",
    }
}

fn texts(broken: Vec<checkers::Violation>) -> Vec<String> {
    broken
        .into_iter()
        .map(|violation| violation.to_string())
        .collect()
}

fn write_history(history: &History, path: &std::path::Path) {
    let lines = history.entries().iter().enumerate();
    let text: String = lines
        .map(|(at, entry)| {
            format!(
                "{at} {} ms client {}: {:?}\n",
                entry.at_ms, entry.client, entry.what
            )
        })
        .collect();
    drop(std::fs::write(path, text));
}

fn setting(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}
