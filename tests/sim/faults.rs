//! The hand that carries out a plan, and the operator who starts again what has ended.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use oxkeeper::request::ServerState;
use oxkeeper::runtime::{Crash, ExitCode, Fault as DiskFault, Halt};

use super::flip::Flip;
use super::net::Host;
use super::plan::{Fault, Moment, Plan, Trouble, Ways};
use super::rng::Rng;
use super::server::SimServer;
use super::world::World;

/// What is to be done, by its time in microseconds.
pub struct Hand {
    due: BTreeMap<(u64, u64), Deed>,
    count: u64,
    servers: u64,
    /// Whose power goes, and after how many packets in all.
    at_packet: Option<(Host, u64)>,
    /// What waits for its moment.
    moments: Vec<Moment>,
    /// The disks that may refuse something.
    troubled: Vec<bool>,
    /// Whose disk has a bit that nobody wrote.
    flip: Option<(Host, Flip)>,
}

enum Deed {
    Fault(Fault),
    Start(Host),
    Mend(Vec<(Host, Host)>),
    Empty(Host),
    Thaw(Host),
    Purge,
}

impl Hand {
    pub fn new(plan: &Plan, servers: u64) -> Hand {
        let mut hand = Hand {
            due: BTreeMap::new(),
            count: 0,
            at_packet: None,
            moments: plan.moments.clone(),
            servers,
            troubled: vec![false; servers as usize + 1],
            flip: None,
        };
        for (at_ms, fault) in &plan.faults {
            hand.at(at_ms * 1_000, Deed::Fault(*fault));
        }
        hand.at(PURGED_EACH_US, Deed::Purge);
        hand
    }

    /// Does what is due, and tells when something is due next.
    pub fn act(&mut self, world: &mut World) -> u64 {
        self.look_after(world);
        if let Some((sid, _)) = self
            .at_packet
            .filter(|(sid, count)| world.packets_to(*sid) >= *count)
        {
            self.at_packet = None;
            self.befall(world, Fault::Kill(sid, Crash::LoseUnsynced, 500));
        }
        self.listen(world);
        while let Some(entry) = self.due.first_entry() {
            let at_us = entry.key().0;
            if at_us > world.time.us() {
                return at_us;
            }
            let deed = entry.remove();
            self.carry_out(world, deed);
        }
        u64::MAX
    }

    /// Some moments may have come.
    fn listen(&mut self, world: &mut World) {
        let now_ms = world.time.ms();
        for (hearer, packet) in world.take_heard() {
            let is_now = |moment: &mut Moment| {
                moment.hearer == hearer && moment.packet == packet && moment.from_ms <= now_ms
            };
            let come: Vec<Moment> = self.moments.extract_if(.., is_now).collect();
            come.iter().for_each(|moment| self.befall(world, moment.fault));
        }
    }

    /// Starts a server; if it cannot, again later.
    pub fn start(&mut self, world: &mut World, sid: Host) {
        if world.server(sid).process.is_some() {
            return;
        }
        let mut started = world.start(sid);
        let is_damaged = matches!(&started, Err(halt) if halt.code == ExitCode::DamagedData);
        if is_damaged && world.server(sid).mend_disk() {
            world.trace.line(&format!("s{sid}"), "an operator cuts the log");
            started = world.start(sid);
        }
        if let Err(halt) = started {
            let is_flipped = self.flip.as_ref().is_some_and(|(host, _)| *host == sid);
            if is_flipped && halt.code == ExitCode::DamagedData {
                // It names the damage, and stays down until somebody brings the file back.
                return;
            }
            self.judge(world, sid, &halt);
            if world.server(sid).disk.is_off() {
                world.server(sid).disk.crash(Crash::LoseUnsynced);
            }
            let at_us = world.time.us() + 500_000;
            self.at(at_us, Deed::Start(sid));
        }
    }

    /// No more faults: everything is mended, everybody is started.
    pub fn make_peace(&mut self, world: &mut World) {
        self.due.clear();
        self.at_packet = None;
        self.moments.clear();
        world.trace.line("", "peace");
        world.net.mend_all();
        world.net.set_slowness(1_000);
        for sid in 1..=self.servers {
            let server = world.server(sid);
            server.disk.lift_faults();
            server.disk.set_capacity(None);
            server.pauses = (0, 0);
            server.thaw();
            if let Some((_, flip)) = self.flip.take_if(|(host, _)| *host == sid) {
                flip.undo(&server.disk);
            }
            self.start(world, sid);
        }
    }

    /// An operator starts the leader again where a server has accepted an epoch beyond the leader's: that server can
    /// follow only the next one. Tells whether that was so.
    pub fn relieve_stranded(&mut self, world: &mut World) -> bool {
        let leads = |server: &&SimServer| server.serves() == Some(ServerState::Leader);
        let Some(leader) = world.servers.iter().find(leads) else {
            return false;
        };
        let (sid, leads_in) = (leader.sid, leader.epoch_in("currentEpoch"));
        let is_stranded =
            |server: &SimServer| server.serves().is_none() && server.epoch_in("acceptedEpoch") > leads_in;
        if !world.servers.iter().any(is_stranded) {
            return false;
        }
        world
            .trace
            .line(&format!("s{sid}"), "an operator starts the leader again");
        world.server(sid).stop();
        self.start(world, sid);
        true
    }

    /// Processes that want to end.
    fn look_after(&mut self, world: &mut World) {
        for sid in 1..=self.servers {
            let server = world.server(sid);
            let Some(halt) = server.process.as_ref().and_then(|process| process.sched.halt()) else {
                continue;
            };
            let is_off = server.disk.is_off();
            world.trace.line(&format!("s{sid}"), &format!("halts: {halt}"));
            self.judge(world, sid, &halt);
            let server = world.server(sid);
            if is_off {
                server.kill(Crash::Mixed(server.lives));
            } else {
                server.stop();
            }
            let at_us = world.time.us() + 300_000;
            self.at(at_us, Deed::Start(sid));
        }
    }

    /// A process may only end because of what its disk did.
    fn judge(&self, world: &World, sid: Host, halt: &Halt) {
        let may = [ExitCode::Log, ExitCode::Snapshot, ExitCode::Unexpected];
        let is_panic = halt.reason.contains("PANIC");
        if is_panic || !self.troubled[sid as usize] || !may.contains(&halt.code) {
            world
                .trace
                .fail("no server ends by itself", &format!("server {sid}: {halt}"));
        }
    }

    fn carry_out(&mut self, world: &mut World, deed: Deed) {
        match deed {
            Deed::Fault(fault) => self.befall(world, fault),
            Deed::Start(sid) => self.start(world, sid),
            Deed::Mend(ways) => {
                for (from, to) in ways {
                    world.net.set_cut(from, to, false);
                }
            }
            Deed::Empty(sid) => world.server(sid).disk.set_capacity(None),
            Deed::Thaw(sid) => world.server(sid).thaw(),
            Deed::Purge => {
                world.servers.iter().for_each(|server| server.purge());
                let at_us = world.time.us() + PURGED_EACH_US;
                self.at(at_us, Deed::Purge);
            }
        }
    }

    fn befall(&mut self, world: &mut World, fault: Fault) {
        world.trace.line("", &format!("{fault:?}"));
        let now_us = world.time.us();
        match fault {
            Fault::Kill(sid, crash, for_ms) => {
                world.server(sid).kill(crash);
                self.at(now_us + for_ms * 1_000, Deed::Start(sid));
            }
            Fault::Stop(sid, for_ms) => {
                world.server(sid).stop();
                self.at(now_us + for_ms * 1_000, Deed::Start(sid));
            }
            Fault::Freeze(sid, for_ms) => {
                world.server(sid).freeze();
                self.at(now_us + for_ms * 1_000, Deed::Thaw(sid));
            }
            Fault::Isolate(sid, ways, for_ms) => {
                let others = (1..=self.servers).filter(|&other| other != sid);
                let cut = others.flat_map(|other| pairs(sid, other, ways)).collect();
                self.cut(world, cut, for_ms);
            }
            Fault::Cut(sid, other, ways, for_ms) => self.cut(world, pairs(sid, other, ways), for_ms),
            Fault::Halves(for_ms) => {
                let odd = (1..=self.servers).filter(|sid| sid % 2 == 1);
                let even = |odd| {
                    (1..=self.servers)
                        .filter(|sid| sid % 2 == 0)
                        .map(move |sid| (odd, sid))
                };
                let cut = odd.flat_map(even).flat_map(|(a, b)| pairs(a, b, Ways::Both));
                let cut = cut.collect();
                self.cut(world, cut, for_ms);
            }
            Fault::Break(host) => world.net.break_one(host),
            Fault::BreakBetween(sid, other) => world.net.break_between(sid, other),
            Fault::Disk(sid, trouble, in_operations) => {
                self.troubled[sid as usize] = true;
                let disk = &world.server(sid).disk;
                let fault = match trouble {
                    Trouble::Fails => DiskFault::Error(ErrorKind::Other),
                    Trouble::NoSpace => DiskFault::Error(ErrorKind::StorageFull),
                    Trouble::Torn => DiskFault::Torn,
                    Trouble::PowerOff => DiskFault::PowerOff,
                };
                disk.fault_at(disk.operations() + in_operations, fault);
            }
            Fault::KillAtPacket(sid, count) => {
                self.at_packet = Some((sid, world.packets_to(sid) + count));
            }
            Fault::Full(sid, for_ms) => {
                self.troubled[sid as usize] = true;
                world.server(sid).disk.set_capacity(Some(1));
                self.at(now_us + for_ms * 1_000, Deed::Empty(sid));
            }
            Fault::Flip(sid, seed) => {
                if self.flip.is_none() && !world.server(sid).disk.is_off() {
                    let server = world.server(sid);
                    server.kill(Crash::KeepAll);
                    self.flip = Flip::any(&server.disk, &mut Rng::new(seed, "flip")).map(|flip| (sid, flip));
                    self.at(now_us + 300_000, Deed::Start(sid));
                }
            }
            Fault::Clock(sid, by_ms) => world.server(sid).clock.set(by_ms),
            Fault::Slow(us) => world.net.set_slowness(us),
        }
    }

    fn cut(&mut self, world: &mut World, ways: Vec<(Host, Host)>, for_ms: u64) {
        for &(from, to) in &ways {
            world.net.set_cut(from, to, true);
        }
        let at_us = world.time.us() + for_ms * 1_000;
        self.at(at_us, Deed::Mend(ways));
    }

    fn at(&mut self, at_us: u64, deed: Deed) {
        self.count += 1;
        self.due.insert((at_us, self.count), deed);
    }
}

fn pairs(a: Host, b: Host, ways: Ways) -> Vec<(Host, Host)> {
    match ways {
        Ways::Both => vec![(a, b), (b, a)],
        Ways::There => vec![(a, b)],
        Ways::Back => vec![(b, a)],
    }
}

/// How often old files are removed.
const PURGED_EACH_US: u64 = 1_700_000;
