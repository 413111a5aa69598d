//! Which connection is where: by number, by session, by address.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::clients::Cnxn;
use crate::proto::{ConnId, SessionId};
use crate::request::Clients;
use crate::request::connections::ConnectionReport;

/// A connection with its socket.
#[derive(Debug)]
pub(super) struct Socket<S> {
    pub stream: S,
    pub cnxn: Cnxn,
    /// Whether it has not told yet who it is, and is not heard before.
    pub greets: bool,
    /// Whether a read may find something. Readiness is told once, so it is remembered here.
    pub readable: bool,
    /// Whether a write may find room; likewise.
    pub writable: bool,
    /// Whether the client has sent the end of its stream, which only a read finds out in order.
    pub ended: bool,
    /// Whether the loop has it on its list of connections to read.
    pub queued: bool,
    /// Whether the loop has it on its list of connections that wait for room inside.
    pub crowded: bool,
    /// Whether the loop has it on its list of connections to write.
    pub dirty: bool,
    /// Whether its time to finish is limited already.
    pub limited: bool,
    /// Whether the loop has it on its list of connections that hold memory for a busy time.
    pub warm: bool,
    /// Whether it was written to since that list was gone through last.
    pub busy: bool,
}

/// All connections of a loop.
#[derive(Debug)]
pub(super) struct Table<S> {
    loop_index: usize,
    slots: Vec<Option<Box<Socket<S>>>>,
    free: Vec<usize>,
    by_session: HashMap<SessionId, ConnId>,
    by_ip: HashMap<IpAddr, usize>,
    made: u64,
}

impl<S> Table<S> {
    pub fn new(loop_index: usize) -> Table<S> {
        Table {
            loop_index,
            slots: Vec::new(),
            free: Vec::new(),
            by_session: HashMap::new(),
            by_ip: HashMap::new(),
            made: 0,
        }
    }

    /// A place for one more connection and the number it will have, or `None` if there are a million.
    pub fn reserve(&mut self) -> Option<(usize, ConnId)> {
        let slot = match self.free.last() {
            Some(&slot) => slot,
            None if self.slots.len() < MOST_SLOTS => {
                self.free.push(self.slots.len());
                self.slots.push(None);
                self.slots.len() - 1
            }
            None => return None,
        };
        self.made += 1;
        Some((
            slot,
            Clients::conn_id(self.loop_index, (self.made << SLOT_BITS) | slot as u64),
        ))
    }

    /// Puts a connection in the place reserved last.
    pub fn insert(&mut self, socket: Socket<S>) {
        if let Some(slot) = self.free.pop() {
            *self.by_ip.entry(socket.cnxn.remote().ip()).or_default() += 1;
            self.slots[slot] = Some(Box::new(socket));
        }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many connections an address has.
    pub fn count_of(&self, ip: IpAddr) -> usize {
        self.by_ip.get(&ip).copied().unwrap_or(0)
    }

    /// The connection of this number, if it is still here.
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Socket<S>> {
        let socket = self.slots.get_mut(slot_of(conn))?.as_deref_mut()?;
        (socket.cnxn.id() == conn).then_some(socket)
    }

    /// The connection of this number, to look at.
    pub fn get(&self, conn: ConnId) -> Option<&Socket<S>> {
        let socket = self.slots.get(slot_of(conn))?.as_deref()?;
        (socket.cnxn.id() == conn).then_some(socket)
    }

    /// Some connections, from this place on, and where the next ones begin.
    pub fn describe(&self, from: usize, room: i64) -> ConnectionReport {
        let end = from.saturating_add(DESCRIBED_AT_ONCE).min(self.slots.len());
        let slots = self.slots.get(from..end).unwrap_or_default();
        let connections = slots.iter().flatten().map(|socket| socket.cnxn.info(room));
        ConnectionReport {
            connections: connections.collect(),
            next: (end < self.slots.len()).then_some(end),
        }
    }

    /// The connection in a place: what the poll tells is about places.
    pub fn at(&mut self, slot: usize) -> Option<&mut Socket<S>> {
        self.slots.get_mut(slot)?.as_deref_mut()
    }

    /// Takes a connection out.
    pub fn remove(&mut self, conn: ConnId) -> Option<Socket<S>> {
        self.get(conn)?;
        let socket = self.slots[slot_of(conn)].take()?;
        self.free.push(slot_of(conn));
        let ip = socket.cnxn.remote().ip();
        if let Some(count) = self.by_ip.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                self.by_ip.remove(&ip);
            }
        }
        if self.by_session.get(&socket.cnxn.session()) == Some(&conn) {
            self.by_session.remove(&socket.cnxn.session());
        }
        Some(*socket)
    }

    /// The connection has the session from now on; gives the one that had it.
    pub fn take_session(&mut self, session: SessionId, conn: ConnId) -> Option<ConnId> {
        self.by_session
            .insert(session, conn)
            .filter(|&before| before != conn)
    }

    /// The connection that has the session.
    pub fn of_session(&self, session: SessionId) -> Option<ConnId> {
        self.by_session.get(&session).copied()
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = &Socket<S>> {
        self.slots.iter().flatten().map(|socket| &**socket)
    }

    /// All connections, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Socket<S>> {
        self.slots.iter_mut().flatten().map(|socket| &mut **socket)
    }
}

/// The place of a connection stands in the lower bits of its number.
pub(super) fn slot_of(conn: ConnId) -> usize {
    (conn.0 & (MOST_SLOTS as u64 - 1)) as usize
}

/// So many places are looked at for one piece of the list.
const DESCRIBED_AT_ONCE: usize = 256;
/// A million connections, and 36 bits to tell those that had the same place apart.
const SLOT_BITS: u32 = 20;
const MOST_SLOTS: usize = 1 << SLOT_BITS;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use crate::runtime::Now;

    fn add(table: &mut Table<()>, address: &str) -> ConnId {
        let (_, conn) = table.reserve().expect("a place");
        let address: SocketAddr = address.parse().expect("an address");
        table.insert(Socket {
            stream: (),
            cnxn: Cnxn::new(conn, address, Now::default()),
            greets: false,
            readable: false,
            writable: false,
            ended: false,
            queued: false,
            crowded: false,
            dirty: false,
            limited: false,
            warm: false,
            busy: false,
        });
        conn
    }

    #[test]
    fn a_place_is_used_again_but_never_a_number() {
        let mut table = Table::new(3);
        let first = add(&mut table, "10.0.0.1:1");
        let second = add(&mut table, "10.0.0.1:2");
        assert_eq!(Clients::index_of(first), 3);
        assert_eq!(table.count_of(second_ip()), 2);
        assert!(table.remove(first).is_some() && table.remove(first).is_none());
        let third = add(&mut table, "10.0.0.1:3");
        assert_eq!(slot_of(third), slot_of(first));
        assert!(table.get(first).is_none() && table.get(third).is_some());
        table.remove(second);
        table.remove(third);
        assert_eq!((table.count_of(second_ip()), table.by_ip.len()), (0, 0));
    }

    #[test]
    fn a_session_follows_its_newest_connection() {
        let mut table = Table::new(0);
        let (first, second) = (add(&mut table, "10.0.0.1:1"), add(&mut table, "10.0.0.1:2"));
        let session = SessionId(7);
        assert_eq!(table.take_session(session, first), None);
        assert_eq!(table.take_session(session, first), None);
        assert_eq!(table.take_session(session, second), Some(first));
        table.remove(first);
        assert_eq!(table.of_session(session), Some(second));
    }

    fn second_ip() -> IpAddr {
        "10.0.0.1".parse().expect("an address")
    }
}
