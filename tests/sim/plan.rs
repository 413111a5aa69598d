//! What befalls the world, drawn from the seed before it begins.

use std::fmt;

use oxkeeper::proto::packet::PacketType;
use oxkeeper::runtime::Crash;

use super::net::{FIRST_CLIENT, Host};
use super::rng::Rng;
use super::shape::Shape;

/// A fault, and for how long, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process or the machine goes down, and comes back.
    Kill(Host, Crash, u64),
    /// An operator ends the process, and starts it again.
    Stop(Host, u64),
    /// The process gets no time.
    Freeze(Host, u64),
    /// The ways from and to a server are cut; one of them only, if so told.
    Isolate(Host, Ways, u64),
    /// The way between two servers is cut.
    Cut(Host, Host, Ways, u64),
    /// Servers of odd numbers hear nothing of those of even ones.
    Halves(u64),
    /// A connection of this machine breaks in the middle of what it carries.
    Break(Host),
    /// All connections between two machines do.
    BreakBetween(Host, Host),
    /// A change of the disk fails, so many from now.
    Disk(Host, Trouble, u64),
    /// The power goes when so many more packets of other servers have come.
    KillAtPacket(Host, u64),
    /// The disk is full.
    Full(Host, u64),
    /// The machine goes down, and one bit of a file is another when it comes back. Once in a world at most: the others
    /// have all of it.
    Flip(Host, u64),
    /// Somebody sets the wall clock wrong by so much.
    Clock(Host, i64),
    /// The network takes about so many microseconds.
    Slow(u64),
}

/// Which of two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    Both,
    There,
    Back,
}

/// What befalls a change of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Fails,
    NoSpace,
    Torn,
    PowerOff,
}

/// A fault that waits for its moment: it comes when a server hears such a packet of another one, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What is heard before does not count, milliseconds.
    pub from_ms: u64,
    pub hearer: Host,
    pub packet: PacketType,
    pub fault: Fault,
}

/// Faults by their time, milliseconds, and those that wait.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    pub faults: Vec<(u64, Fault)>,
    pub moments: Vec<Moment>,
}

impl Plan {
    /// Faults for a span of virtual time.
    pub fn drawn(rng: &mut Rng, shape: &Shape, span_ms: u64) -> Plan {
        let mut faults = Vec::new();
        let often_ms = *rng.pick(&[800, 2_000, 5_000, 12_000]);
        // Each kind is common in some worlds and missing in others.
        let weights: Vec<u64> = (0..12).map(|_| rng.below(6)).collect();
        let total: u64 = weights.iter().sum::<u64>().max(1);
        let mut at_ms = 2_000 + rng.below(3_000);
        while at_ms < span_ms {
            let mut ticket = rng.below(total);
            let kind = weights.iter().position(|&weight| {
                let is_it = ticket < weight;
                ticket = ticket.saturating_sub(weight);
                is_it
            });
            faults.push((at_ms, draw(kind.unwrap_or(0), rng, shape)));
            at_ms += 1 + rng.below(often_ms * 2);
        }
        let count = *rng.pick(&[0, 0, 2]);
        let moments = (0..count).map(|_| draw_moment(rng, shape, span_ms)).collect();
        Plan { faults, moments }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.faults
            .iter()
            .try_for_each(|(at_ms, fault)| writeln!(f, "  {at_ms:>8} ms  {fault:?}"))?;
        self.moments
            .iter()
            .try_for_each(|moment| writeln!(f, "  {moment:?}"))
    }
}

/// The power goes, on either side, at a step of a synchronisation.
fn draw_moment(rng: &mut Rng, shape: &Shape, span_ms: u64) -> Moment {
    let hearer = rng.between(1, shape.servers);
    let packet = *rng.pick(&[
        PacketType::Diff,
        PacketType::Trunc,
        PacketType::Snap,
        PacketType::NewLeader,
        PacketType::UpToDate,
        PacketType::Ack,
    ]);
    let victim = if rng.one_in(2) {
        hearer
    } else {
        rng.between(1, shape.servers)
    };
    Moment {
        from_ms: 2_000 + rng.below(span_ms),
        hearer,
        packet,
        fault: Fault::Kill(victim, Crash::LoseUnsynced, rng.between(100, 3_000)),
    }
}

fn draw(kind: usize, rng: &mut Rng, shape: &Shape) -> Fault {
    let sid = rng.between(1, shape.servers);
    let other = 1 + (sid + rng.below(shape.servers.max(2) - 1)) % shape.servers;
    let for_ms = match rng.below(3) {
        0 => rng.between(10, 500),
        1 => rng.between(500, 4_000),
        _ => rng.between(2_000, 15_000),
    };
    let ways = *rng.pick(&[Ways::Both, Ways::Both, Ways::There, Ways::Back]);
    match kind {
        0 => {
            let seed = rng.next();
            let crash = *rng.pick(&[
                Crash::KeepAll,
                Crash::LoseUnsynced,
                Crash::Mixed(seed),
                Crash::Mixed(seed),
            ]);
            Fault::Kill(sid, crash, for_ms)
        }
        1 => Fault::Stop(sid, for_ms),
        2 => Fault::Freeze(sid, for_ms),
        3 => Fault::Isolate(sid, ways, for_ms),
        4 => Fault::Cut(sid, other, ways, for_ms),
        5 => Fault::Halves(for_ms),
        6 => Fault::Break(if rng.one_in(3) {
            FIRST_CLIENT + rng.below(shape.clients as u64)
        } else {
            sid
        }),
        7 => {
            let trouble = *rng.pick(&[
                Trouble::Fails,
                Trouble::NoSpace,
                Trouble::Torn,
                Trouble::PowerOff,
                Trouble::PowerOff,
            ]);
            Fault::Disk(sid, trouble, 1 + rng.below(60))
        }
        8 => Fault::Full(sid, for_ms),
        9 => Fault::Flip(sid, rng.next()),
        10 => Fault::Clock(sid, rng.below(20_000) as i64 - 10_000),
        _ => Fault::Slow(*rng.pick(&[200, 1_000, 1_000, 5_000, 30_000])),
    }
}
