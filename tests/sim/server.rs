//! One server of the world: its machine, and the process on it, which comes and goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use oxkeeper::config::Config;
use oxkeeper::net::quorum_port::QuorumPortRules;
use oxkeeper::net::{ElectionConfig, PortConfig, Serves};
use oxkeeper::quorum::peer_link::QuorumPort;
use oxkeeper::request::{ClientLetter, Gate, ServerState};
use oxkeeper::runtime::{Address, Clock, Crash, Disk, Halt, MemDisk};
use oxkeeper::sasl::{Nonces, SECRET_BYTES};
use oxkeeper::server::host::{BoundClients, BoundElection, Host as Machine};
use oxkeeper::server::{replicated, standalone};
use oxkeeper::storage::{Database, Dirs, purge};

use super::disk::SimDisk;
use super::door::SimClients;
use super::election::SimElection;
use super::net::{Host, Net};
use super::quorum_port::{SimQuorum, Tap};
use super::rng::Rng;
use super::sched::Sched;
use super::shape::Shape;
use super::time::{SimClock, Time};
use super::trace::Trace;

/// A machine with its disk, and what runs on it.
pub struct SimServer {
    pub sid: Host,
    pub config: Config,
    pub disk: MemDisk,
    pub clock: Arc<SimClock>,
    pub process: Option<Process>,
    /// How many processes there were.
    pub lives: u64,
    world: (u64, Time, Net, Trace),
    tap: Tap,
    committed_limit: usize,
    /// The disk as it would be if the last loss of power had kept nothing that was not synced.
    spare: Option<MemDisk>,
    /// Pauses of threads: of a thousand steps so many, microseconds at most.
    pub pauses: (u64, u64),
}

/// A process.
pub struct Process {
    pub sched: Sched,
    server: Running,
    /// The world need not look at it before this.
    pub idle_until_us: u64,
    /// It gets no time.
    is_frozen: bool,
}

/// A member of an ensemble, or a server that stands alone.
enum Running {
    Member(replicated::Server),
    Alone(standalone::Server),
}

impl Running {
    fn start(config: &Config, machine: &SimMachine) -> Result<Running, Halt> {
        match &config.ensemble {
            Some(ensemble) => replicated::start(config, ensemble, machine).map(Running::Member),
            None => standalone::start(config, machine).map(Running::Alone),
        }
    }

    fn stop(self) {
        match self {
            Running::Member(server) => server.stop(),
            Running::Alone(server) => server.stop(),
        }
    }

    fn database(&self) -> &Arc<Database> {
        match self {
            Running::Member(server) => server.database(),
            Running::Alone(server) => server.database(),
        }
    }

    fn gate(&self) -> &Arc<Gate> {
        match self {
            Running::Member(server) => server.gate(),
            Running::Alone(server) => server.gate(),
        }
    }
}

impl Process {
    /// Something has happened at its machine.
    pub fn touch(&mut self) {
        if !self.is_frozen {
            self.idle_until_us = 0;
        }
    }
}

impl SimServer {
    pub fn new(
        sid: Host,
        shape: &Shape,
        (seed, time, net, trace): (u64, Time, Net, Trace),
        tap: Tap,
    ) -> SimServer {
        let zoo_cfg = shape.zoo_cfg(sid);
        let my_id = |_: &Path| Ok(sid.to_string().into_bytes());
        let system = shape.system_properties();
        let config = Config::parse(Path::new("/zoo.cfg"), zoo_cfg.as_bytes(), system, my_id);
        SimServer {
            sid,
            config: config.unwrap_or_else(|error| panic!("{error}:\n{zoo_cfg}")),
            disk: MemDisk::new(),
            clock: Arc::new(SimClock::new(time.clone(), 0)),
            process: None,
            lives: 0,
            world: (seed, time, net, trace),
            tap,
            committed_limit: shape.committed_limit,
            spare: None,
            pauses: (0, 0),
        }
    }

    /// Starts the process.
    ///
    /// # Errors
    /// Why it ended at once.
    pub fn start(&mut self) -> Result<(), Halt> {
        let (seed, time, net, trace) = self.world.clone();
        self.lives += 1;
        net.host_up(self.sid);
        let part = format!("server {} life {}", self.sid, self.lives);
        let clock = Arc::clone(&self.clock);
        let sched = Sched::new(self.sid, Rng::new(seed, &part), time, clock, trace.clone());
        sched.pause_sometimes(self.pauses.0, self.pauses.1);
        let machine = SimMachine {
            sid: self.sid,
            sched: sched.clone(),
            clock: Arc::clone(&self.clock),
            disk: SimDisk {
                mem: self.disk.clone(),
                trace: trace.clone(),
                sched: sched.clone(),
            },
            net: net.clone(),
            rng: Rng::new(seed, &format!("{part} door")),
            tap: Arc::clone(&self.tap),
            committed_limit: self.committed_limit,
        };
        let started = catch_unwind(AssertUnwindSafe(|| Running::start(&self.config, &machine)));
        match started {
            Ok(Ok(server)) => {
                self.process = Some(Process {
                    sched,
                    server,
                    idle_until_us: 0,
                    is_frozen: false,
                });
                Ok(())
            }
            Ok(Err(halt)) => {
                sched.kill();
                net.host_down(self.sid, false);
                Err(halt)
            }
            Err(_) => {
                trace.fail("panic", &format!("server {} at its start", self.sid));
                sched.kill();
                net.host_down(self.sid, false);
                Err(Halt::new(
                    oxkeeper::runtime::ExitCode::Unexpected,
                    "panic at the start",
                ))
            }
        }
    }

    /// The process is gone at once; with the power of its machine, unless that goes on.
    pub fn kill(&mut self, crash: Crash) {
        let (_, _, net, _) = &self.world;
        net.host_down(self.sid, crash != Crash::KeepAll);
        if let Some(process) = self.process.take() {
            process.sched.kill();
            drop(process);
        }
        self.spare = matches!(crash, Crash::Mixed(_)).then(|| {
            let spare = self.disk.fork();
            spare.crash(Crash::LoseUnsynced);
            spare
        });
        self.disk.crash(crash);
    }

    /// An operator cuts off what a loss of power has left half done. Blocks that were not synced may be kept in any
    /// order, and a log with a hole in them cannot be told from a damaged one: such a server does not start by itself.
    pub fn mend_disk(&mut self) -> bool {
        let spare = self.spare.take();
        let is_mended = spare.is_some();
        if let Some(spare) = spare {
            self.disk = spare;
        }
        is_mended
    }

    /// The process ends in order, as on SIGTERM or after a halt of one of its stages.
    pub fn stop(&mut self) {
        let (_, _, net, trace) = &self.world;
        if let Some(process) = self.process.take() {
            process.server.stop();
            for name in process.sched.late() {
                trace.fail("end", &format!("{name} of server {} does not end", self.sid));
            }
            process.sched.kill();
        }
        net.host_down(self.sid, false);
        self.disk.crash(Crash::KeepAll);
    }

    /// Old snapshots and logs go, as an operator's cron job has it. What the disk refuses is tried again next time.
    pub fn purge(&self) {
        if self.process.is_some() {
            drop(purge(&self.disk, &data_dirs(), KEPT_SNAPSHOTS));
        }
    }

    /// The process gets no time until it is thawed.
    pub fn freeze(&mut self) {
        if let Some(process) = &mut self.process {
            process.is_frozen = true;
            process.idle_until_us = u64::MAX;
        }
    }

    pub fn thaw(&mut self) {
        if let Some(process) = &mut self.process {
            process.is_frozen = false;
            process.idle_until_us = 0;
        }
    }

    pub fn database(&self) -> Option<&Arc<Database>> {
        self.process.as_ref().map(|process| process.server.database())
    }

    /// What a file of an epoch holds; 0 if there is none yet. One that a flipped bit has made unreadable says nothing,
    /// and its server does not start.
    pub fn epoch_in(&self, file: &str) -> Option<i64> {
        match self.disk.contents(&data_dirs().snapshot.join(file)) {
            Some(bytes) => String::from_utf8(bytes).ok()?.trim().parse().ok(),
            None => Some(0),
        }
    }

    /// In which role clients are served.
    pub fn serves(&self) -> Option<ServerState> {
        let process = self.process.as_ref()?;
        let gate: &Arc<Gate> = process.server.gate();
        gate.serving().map(|serving| serving.state)
    }
}

/// The machine as the assembly sees it.
struct SimMachine {
    sid: Host,
    sched: Sched,
    clock: Arc<SimClock>,
    disk: SimDisk,
    net: Net,
    rng: Rng,
    tap: Tap,
    committed_limit: usize,
}

impl Machine for SimMachine {
    type Runtime = Sched;

    fn runtime(&self) -> &Sched {
        &self.sched
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock) as Arc<dyn Clock>
    }

    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    /// No simulated client authenticates: nobody is to be kept from guessing.
    fn nonces(&self) -> Result<Nonces, Halt> {
        Ok(Nonces::new([0; SECRET_BYTES]))
    }

    fn bind_clients(
        &self,
        config: PortConfig,
        serves: Serves,
    ) -> Result<(Box<dyn BoundClients>, Address<ClientLetter>), Halt> {
        let place = (self.sid, self.net.clone(), self.sched.clone());
        let (bound, address) = SimClients::bind(place, self.rng.clone(), config, serves);
        Ok((Box::new(bound), address))
    }

    fn bind_election(&self, _config: ElectionConfig) -> Result<Box<dyn BoundElection>, Halt> {
        let (host, net) = (self.sid, self.net.clone());
        Ok(Box::new(SimElection { host, net }))
    }

    fn quorum_port(&self, rules: QuorumPortRules) -> Box<dyn QuorumPort> {
        Box::new(SimQuorum::new(
            self.sid,
            self.net.clone(),
            self.sched.clone(),
            rules,
            Arc::clone(&self.tap),
        ))
    }

    fn committed_limit(&self) -> usize {
        self.committed_limit
    }
}

/// Where every server has its files.
pub fn data_dirs() -> Dirs {
    Dirs::of(Path::new("/data"), Path::new("/data"))
}

const KEPT_SNAPSHOTS: usize = 3;
