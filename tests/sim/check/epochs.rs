//! One leader an epoch, and promises that last: what a server has told others of its epochs is on its disk.

use std::collections::BTreeMap;

use oxkeeper::proto::packet::PacketType;
use oxkeeper::proto::{Epoch, Zxid};

use super::super::net::Host;
use super::super::server::SimServer;
use super::super::trace::Trace;

#[derive(Default)]
pub struct Epochs {
    leaders: BTreeMap<Epoch, Host>,
    /// The epoch that a leader has proposed to a learner last.
    proposed: BTreeMap<(Host, Host), Epoch>,
    /// What each server has accepted and entered, as others have heard.
    told: BTreeMap<Host, Promised>,
    /// What was on each disk.
    kept: BTreeMap<Host, Promised>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Promised {
    accepted: i64,
    current: i64,
}

impl Epochs {
    /// Somebody serves as the leader of an epoch.
    pub fn leads(&mut self, sid: Host, epoch: Epoch, trace: &Trace) {
        let first = *self.leaders.entry(epoch).or_insert(sid);
        if first != sid {
            trace.fail(
                "one leader an epoch",
                &format!("{sid} and {first} lead epoch {epoch}"),
            );
        }
    }

    pub fn hear(
        &mut self,
        (from, to): (Host, Host),
        packet: PacketType,
        zxid: Zxid,
        servers: &[SimServer],
        trace: &Trace,
    ) {
        match packet {
            PacketType::LeaderInfo => {
                self.proposed.insert((from, to), zxid.epoch());
            }
            PacketType::NewLeader => self.leads(from, zxid.epoch(), trace),
            PacketType::AckEpoch => {
                let epoch = self.proposed.get(&(to, from)).copied().unwrap_or_default();
                let told = self.told.entry(from).or_default();
                told.accepted = told.accepted.max(epoch.0);
                self.look(&servers[from as usize - 1], trace);
            }
            PacketType::Ack if zxid.counter() == 0 => {
                let told = self.told.entry(from).or_default();
                told.current = told.current.max(zxid.epoch().0);
                self.look(&servers[from as usize - 1], trace);
            }
            _ => {}
        }
    }

    /// Looks at a server's disk.
    pub fn look(&mut self, server: &SimServer, trace: &Trace) {
        let (accepted, current) = (server.epoch_in("acceptedEpoch"), server.epoch_in("currentEpoch"));
        let (Some(accepted), Some(current)) = (accepted, current) else {
            return;
        };
        let told = self.told.get(&server.sid).copied().unwrap_or_default();
        let kept = self.kept.entry(server.sid).or_default();
        let now = Promised { accepted, current };
        if now.accepted < told.accepted || now.current < told.current {
            let story = format!("server {} has told {told:?} and has kept {now:?}", server.sid);
            trace.fail("promises last", &story);
        }
        if server.process.is_some() && (now.accepted < kept.accepted || now.current < kept.current) {
            let story = format!("server {} had {kept:?} and has {now:?}", server.sid);
            trace.fail("epochs never go back", &story);
        }
        *kept = now;
    }
}
