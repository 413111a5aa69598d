//! The world: servers, clients and the network between them, one step after another.

use std::collections::BTreeSet;
use std::sync::Arc;

use oxkeeper::proto::packet::PacketType;
use oxkeeper::runtime::{Crash, Halt};

use super::check::Checkers;
use super::checkers::History;
use super::client::SimClient;
use super::net::{FIRST_CLIENT, Host, Net};
use super::quorum_port::Tap;
use super::rng::Rng;
use super::sched::Stepped;
use super::server::SimServer;
use super::shape::Shape;
use super::time::Time;
use super::trace::Trace;

/// All there is.
pub struct World {
    pub time: Time,
    pub trace: Trace,
    pub net: Net,
    pub servers: Vec<SimServer>,
    pub clients: Vec<SimClient>,
    pub history: History,
    pub checkers: Checkers,
    tap: Tap,
    rng: Rng,
    /// Packets that have come to each server.
    packets: Vec<u64>,
    /// All kinds of packets that were heard.
    pub kinds: BTreeSet<&'static str>,
    /// Who has heard what since this was taken.
    heard: Vec<(Host, PacketType)>,
}

impl World {
    pub fn new(seed: u64, shape: &Shape, loud: bool) -> World {
        let time = Time::default();
        let trace = Trace::new(time.clone(), loud);
        let net = Net::new(seed, time.clone(), trace.clone());
        let tap = Tap::default();
        let server = |sid| {
            let parts = (seed, time.clone(), net.clone(), trace.clone());
            SimServer::new(sid, shape, parts, Arc::clone(&tap))
        };
        let client = |index| SimClient::new(index, seed, net.clone(), shape);
        World {
            servers: (1..=shape.servers).map(server).collect(),
            clients: (0..shape.clients).map(client).collect(),
            history: History::default(),
            checkers: Checkers::new(trace.clone(), shape),
            rng: Rng::new(seed, "world"),
            tap,
            packets: vec![0; shape.servers as usize + 1],
            kinds: BTreeSet::new(),
            heard: Vec::new(),
            time,
            trace,
            net,
        }
    }

    pub fn server(&mut self, sid: Host) -> &mut SimServer {
        &mut self.servers[sid as usize - 1]
    }

    /// How many packets of other servers have come to a server.
    pub fn packets_to(&self, sid: Host) -> u64 {
        self.packets[sid as usize]
    }

    /// Which packets servers have heard since this was asked last.
    pub fn take_heard(&mut self) -> Vec<(Host, PacketType)> {
        std::mem::take(&mut self.heard)
    }

    /// Starts a server.
    ///
    /// # Errors
    /// Why it ended at once.
    pub fn start(&mut self, sid: Host) -> Result<(), Halt> {
        let server = &mut self.servers[sid as usize - 1];
        self.checkers.begins(server);
        let started = server.start();
        let what = match &started {
            Ok(()) => format!("life {} starts", server.lives),
            Err(halt) => format!("life {} ends at its start: {halt}", server.lives),
        };
        self.trace.line(&format!("s{sid}"), &what);
        started
    }

    /// Lets one thing happen: a step of a stage, an event of the network, or a client's. Time passes if all sleep,
    /// but not beyond `until_us`. False if nothing was to be done before.
    pub fn step(&mut self, until_us: u64) -> bool {
        while self.net.step() {}
        let now_us = self.time.us();
        self.wake();
        if !self.heard.is_empty() {
            // Whoever waits for this moment comes before all stages.
            return true;
        }
        let mut next_us = self.net.next_us().unwrap_or(u64::MAX);
        for client in &mut self.clients {
            if client.wake_us() <= now_us {
                client.act(now_us, &mut self.history);
            }
            next_us = next_us.min(client.wake_us());
        }
        let mut awake = [0_usize; 16];
        let mut count = 0;
        for (index, server) in self.servers.iter().enumerate() {
            if let Some(process) = &server.process {
                if process.idle_until_us <= now_us {
                    awake[count] = index;
                    count += 1;
                } else {
                    next_us = next_us.min(process.idle_until_us);
                }
            }
        }
        if count > 0 {
            let index = awake[self.rng.below(count as u64) as usize];
            self.step_server(index);
            return true;
        }
        self.time.advance_to(next_us.min(until_us));
        next_us <= until_us
    }

    /// Those at whose machines something has happened.
    fn wake(&mut self) {
        let now_us = self.time.us();
        for host in self.net.take_touched() {
            if host >= FIRST_CLIENT {
                let client = self.clients.get_mut((host - FIRST_CLIENT) as usize);
                if let Some(client) = client {
                    client.act(now_us, &mut self.history);
                }
            } else if let Some(process) = &mut self.servers[host as usize - 1].process {
                process.touch();
            }
        }
        let said = std::mem::take(&mut *self.tap.lock().expect("the tap"));
        for (from, to, packet, zxid) in said {
            self.packets[to as usize] += 1;
            self.kinds.insert(packet.name());
            self.heard.push((to, packet));
            self.checkers.hear(from, to, packet, zxid, &self.servers);
        }
    }

    fn step_server(&mut self, index: usize) {
        let server = &mut self.servers[index];
        let Some(process) = &mut server.process else {
            return;
        };
        match process.sched.step() {
            Stepped::Step(name) => {
                if name.starts_with("QuorumPeer") || name.starts_with("FinalRequest") {
                    self.checkers.look(&self.servers[index]);
                }
            }
            Stepped::Idle(wake_us) => process.idle_until_us = wake_us.unwrap_or(u64::MAX),
        }
    }
}

impl Drop for World {
    /// Stages and what is on the wire know each other: who is not killed lives for ever.
    fn drop(&mut self) {
        for server in &mut self.servers {
            server.kill(Crash::LoseUnsynced);
        }
        self.net.end();
    }
}
