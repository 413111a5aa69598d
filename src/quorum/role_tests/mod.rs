//! Leading and Learning on a disk in memory, with a port that the test plays: what is on the disk, on the wire and
//! at the gate, after each word of the other side.

mod leading;
mod learning;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::ground::{Ground, PeerRules};
use super::leading::Leading;
use super::learning::Learning;
use super::peer_link::{Closer, PeerLink, PortEvent, QuorumPort, ToPeer};
use super::quorum_peer::{ChainLetter, Outcome};
use crate::auth::Auth;
use crate::ensemble::{Member, NewerTxns, Role};
use crate::processors::{ContainerRules, PrepRules, SyncRules};
use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::txn::LoggedTxn;
use crate::proto::{Epoch, LinkId, OpCode, SessionId, Sid, Xid, Zxid};
use crate::request::{Clients, Gate, Status};
use crate::runtime::mem_disk::{Crash, Fault};
use crate::runtime::{Address, ExitCode, Inbox, MemDisk, Now, OsClock, Threads};
use crate::storage::{Database, Dirs, Epochs, LogOptions, LogWriter, RecoveryOptions, recover};
use crate::tree::DataTree;
use crate::zab::testing::{ensemble, txn, zxid};

const ME: Sid = Sid(1);
const TICK_MS: i64 = 1_000;
const LOG: LogOptions = LogOptions {
    prealloc_bytes: 8_192,
    force_sync: true,
};

/// Who was closed, in order.
type Closed = Arc<Mutex<Vec<String>>>;

struct Named(String, Closed);

impl Closer for Named {
    fn close(self: Box<Self>) -> Vec<String> {
        self.1.lock().expect("the list").push(self.0);
        Vec::new()
    }
}

struct Port {
    closed: Closed,
    refusal: Option<&'static str>,
}

impl QuorumPort for Port {
    fn listen(&self, _events: Address<PortEvent>) -> Result<Box<dyn Closer>, String> {
        match self.refusal {
            Some(reason) => Err(reason.to_owned()),
            None => Ok(Box::new(Named("port".to_owned(), Arc::clone(&self.closed)))),
        }
    }

    fn dial(&self, leader: &Member, _events: Address<PortEvent>) -> Box<dyn Closer> {
        Box::new(Named(format!("call to {}", leader.sid), Arc::clone(&self.closed)))
    }
}

/// A server, of which the test plays the net.
struct World {
    disk: MemDisk,
    ground: Ground,
    runtime: Threads,
    closed: Closed,
    now: Now,
    to_me: Address<ChainLetter>,
    chain: Inbox<ChainLetter>,
}

fn dirs(disk: &MemDisk) -> Dirs {
    Dirs::open(disk, Path::new("/data"), Path::new("/data")).expect("directories")
}

impl World {
    /// A server of three, whose log holds these transactions.
    fn with(logged: &[Zxid]) -> World {
        let disk = MemDisk::new();
        if let Some(first) = logged.first() {
            let before = Zxid(first.0 - 1);
            let log = LogWriter::open(Arc::new(disk.clone()), dirs(&disk), before, LOG);
            let mut log = log.expect("a log");
            logged
                .iter()
                .for_each(|&zxid| log.append(&txn(zxid)).expect("appended"));
            log.commit().expect("safe");
        }
        World::on(disk)
    }

    /// A server on what a disk has.
    fn on(disk: MemDisk) -> World {
        let recovered = recover(&disk, &dirs(&disk), &RecoveryOptions::default()).expect("recovered");
        let epochs = Epochs::open(Arc::new(disk.clone()), &dirs(&disk), recovered.last_zxid);
        let closed = Closed::default();
        let clock = Arc::new(OsClock::new());
        let rules = PeerRules {
            me: ME,
            ensemble: ensemble(3, 0),
            tick_ms: TICK_MS,
            init_limit_ticks: 10,
            sync_limit_ticks: 5,
            leader_serves: true,
            read_only_after_ms: None,
            observer_logs: true,
            log: LOG,
            recovery: RecoveryOptions::default(),
            sync: SyncRules {
                snap_count: 100_000,
                snap_size_bytes: None,
                fsync_warning_ms: 60_000,
                server_id: 1,
                seed: 1,
            },
            prep: PrepRules {
                max_txn_bytes: 1 << 20,
                enforce_quota: false,
            },
            client_port: 2181,
            initial_counter: None,
            newer_txns: NewerTxns::Never,
            containers: ContainerRules {
                check_interval_ms: 60_000,
                max_per_minute: 1,
                never_used_ms: 0,
            },
        };
        let ground = Ground {
            rules,
            database: Arc::new(Database::new(recovered.tree, recovered.committed)),
            disk: Arc::new(disk.clone()),
            dirs: dirs(&disk),
            epochs: epochs.expect("epochs"),
            gate: Arc::new(Gate::new(1_000)),
            clients: Clients::new(vec![Inbox::new().0]),
            auth: Arc::new(Auth::default()),
            status: Arc::new(Status::new()),
            clock: clock.clone(),
            port: Box::new(Port {
                closed: Arc::clone(&closed),
                refusal: None,
            }),
        };
        let (to_me, chain) = Inbox::new();
        World {
            disk,
            ground,
            // Nobody ends this process on a halt: what a thread does not do is waited for in vain.
            runtime: Threads::new(clock, crossbeam_channel::unbounded().0),
            closed,
            now: Now {
                elapsed_ms: 0,
                wall_ms: 1_700_000_000_000,
            },
            to_me,
            chain,
        }
    }

    fn link(&self, number: u64) -> (PeerLink, Inbox<ToPeer>) {
        let (out, written) = Inbox::new();
        let link = PeerLink {
            id: LinkId(number),
            remote: format!("/127.0.0.1:{}", 40_000 + number),
            out,
            closer: Box::new(Named(format!("link {number}"), Arc::clone(&self.closed))),
        };
        (link, written)
    }

    fn file(&self, name: &str) -> Option<String> {
        let bytes = self.disk.contents(&dirs(&self.disk).snapshot.join(name))?;
        Some(String::from_utf8(bytes).expect("text"))
    }

    /// What a loss of power at this moment would leave: the last transaction, and the two epochs.
    fn after_a_crash(&self) -> (Zxid, i64, i64) {
        let disk = self.disk.fork();
        disk.crash(Crash::LoseUnsynced);
        let world = World::on(disk);
        let epochs = &world.ground.epochs;
        (
            world.ground.database.applied(),
            epochs.accepted().0,
            epochs.current().0,
        )
    }

    fn closed(&self) -> Vec<String> {
        std::mem::take(&mut self.closed.lock().expect("the list"))
    }

    /// The next letter of the role's chain.
    fn chain_letter(&self) -> ChainLetter {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(letter) = self.chain.try_take() {
                return letter;
            }
            assert!(Instant::now() < end, "the chain is silent");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What was written to a peer, as `KIND zxid`.
fn written(out: &Inbox<ToPeer>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut note = |packet: &QuorumPacket| lines.push(format!("{} {}", packet.kind, packet.zxid));
    while let Some(letter) = out.try_take() {
        match letter {
            ToPeer::Packet(packet) => note(&packet),
            ToPeer::Packets(packets) => packets.iter().for_each(&mut note),
            ToPeer::Tree(database) => {
                note(&QuorumPacket::plain(PacketType::Snap, database.applied()));
            }
        }
    }
    lines
}
