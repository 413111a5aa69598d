//! Which sockets and threads the election port has.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::Sender;

use super::{ElectionConfig, dialing, workers};
use crate::net::peer_channel::PeerChannel;
use crate::proto::Sid;
use crate::quorum::{LinkEvent, LinkId, LinkOrder};
use crate::runtime::{Address, Crew, Post, Threads};

/// Shared by all threads of the port. The lock is held for a look at a table, never while a socket is waited for.
pub(super) struct Switchboard {
    pub config: ElectionConfig,
    threads: Threads,
    stopped: AtomicBool,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    /// Where news go; nowhere once the port has stopped.
    events: Option<Address<LinkEvent>>,
    next_number: u64,
    sockets: BTreeMap<LinkId, Socket>,
    /// Callers that have not said who they are, the oldest first.
    silent: VecDeque<LinkId>,
    crews: BTreeMap<u64, Crew>,
    /// Threads that are about to end, to be joined.
    ended: Vec<u64>,
}

/// A connection, and the way to its SendWorker once it has one.
struct Socket {
    stream: TcpStream,
    /// The same, once it is known who is there and until it is kept.
    channel: Option<PeerChannel>,
    outbox: Option<Sender<Vec<u8>>>,
}

/// The address of the switchboard.
pub(super) struct Orders(pub Arc<Switchboard>);

impl Post<LinkOrder> for Orders {
    fn post(&self, order: LinkOrder) {
        self.0.obey(order);
    }
}

impl Switchboard {
    pub fn new(config: ElectionConfig, threads: Threads, events: Address<LinkEvent>) -> Switchboard {
        let tables = Tables {
            events: Some(events),
            ..Tables::default()
        };
        Switchboard {
            config,
            threads,
            stopped: AtomicBool::new(false),
            tables: Mutex::new(tables),
        }
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Tells the manager what has happened.
    pub fn tell(&self, event: LinkEvent) {
        let events = self.tables().events.clone();
        if let Some(events) = events {
            events.post(event);
        }
    }

    /// Takes a connection into the table, under a new number. `None` if the port has stopped, or the system has
    /// no room for another handle of the socket; the connection closes with `stream` then.
    pub fn add(&self, stream: &TcpStream) -> Option<LinkId> {
        let stream = stream.try_clone().ok()?;
        let mut tables = self.tables();
        tables.events.as_ref()?;
        let link = LinkId(tables.number());
        let socket = Socket {
            stream,
            channel: None,
            outbox: None,
        };
        tables.sockets.insert(link, socket);
        Some(link)
    }

    /// Puts a connection aside on which the first words are said, until it is kept.
    pub fn settle(&self, link: LinkId, channel: PeerChannel) {
        if let Some(socket) = self.tables().sockets.get_mut(&link) {
            socket.channel = Some(channel);
        }
    }

    /// Whether a connection is open still.
    pub fn has(&self, link: LinkId) -> bool {
        self.tables().sockets.contains_key(&link)
    }

    /// Notes a caller that has not said who it is. Of too many the one that has been silent longest is hung up on.
    pub fn add_silent(&self, link: LinkId) {
        let mut tables = self.tables();
        tables.silent.push_back(link);
        if tables.silent.len() > MOST_SILENT {
            let oldest = tables.silent.pop_front();
            drop(tables);
            oldest.into_iter().for_each(|link| self.close(link));
        }
    }

    /// A caller has spoken, or has gone.
    pub fn remove_silent(&self, link: LinkId) {
        self.tables().silent.retain(|&other| other != link);
    }

    /// Closes a connection. Its threads, wherever they are blocked, end.
    pub fn close(&self, link: LinkId) {
        if let Some(socket) = self.tables().sockets.remove(&link) {
            // It may be closed by the other side already.
            drop(socket.stream.shutdown(Shutdown::Both));
        }
    }

    /// Runs `body` on a thread of its own, and joins those that have ended meanwhile.
    pub fn spawn(self: &Arc<Self>, name: &str, body: impl FnOnce(&Arc<Switchboard>) + Send + 'static) {
        let mut tables = self.tables();
        if tables.events.is_none() {
            return;
        }
        let number = tables.number();
        let mut crew = Crew::new();
        let switchboard = Arc::clone(self);
        self.threads.spawn(&mut crew, name, move || {
            body(&switchboard);
            switchboard.tables().ended.push(number);
            Ok(())
        });
        tables.crews.insert(number, crew);
        let ended = std::mem::take(&mut tables.ended);
        let crews: Vec<Crew> = ended
            .iter()
            .filter_map(|number| tables.crews.remove(number))
            .collect();
        drop(tables);
        for crew in crews {
            // Only its last instructions are left to it.
            drop(crew.join(Duration::from_secs(1)));
        }
    }

    fn obey(self: &Arc<Self>, order: LinkOrder) {
        match order {
            LinkOrder::Dial(dial) => {
                let name = format!("QuorumConnectionReqThread-{}", dial.sid);
                self.spawn(&name, move |switchboard| dialing::dial(switchboard, &dial));
            }
            LinkOrder::Keep { link, sid } => self.keep(link, sid),
            LinkOrder::Send { link, message } => {
                let tables = self.tables();
                let outbox = tables
                    .sockets
                    .get(&link)
                    .and_then(|socket| socket.outbox.as_ref());
                if let Some(outbox) = outbox {
                    // A SendWorker that has ended has told that the link is down.
                    drop(outbox.send(message));
                }
            }
            LinkOrder::Close { link } => self.close(link),
        }
    }

    fn keep(self: &Arc<Self>, link: LinkId, sid: Sid) {
        let (outbox, messages) = crossbeam_channel::unbounded();
        let channel = self.tables().sockets.get_mut(&link).and_then(|socket| {
            socket.outbox = Some(outbox);
            socket.channel.take()
        });
        let Some(channel) = channel else {
            return;
        };
        match channel.part() {
            Ok((receiving, sending)) => {
                self.spawn(&format!("SendWorker:{sid}"), move |switchboard| {
                    workers::send_all(switchboard, link, sending, &messages);
                });
                self.spawn(&format!("RecvWorker:{sid}"), move |switchboard| {
                    workers::receive_all(switchboard, link, receiving);
                });
            }
            Err(error) => {
                let reason = error.to_string();
                self.tell(LinkEvent::Down { link, reason });
            }
        }
    }

    /// Closes all connections and tells nobody anything any more.
    pub fn close_all(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        let sockets = {
            let mut tables = self.tables();
            tables.events = None;
            std::mem::take(&mut tables.sockets)
        };
        for socket in sockets.into_values() {
            // It may be closed by the other side already.
            drop(socket.stream.shutdown(Shutdown::Both));
        }
    }

    /// Waits for all threads, each within `limit`; gives the names of those that have not ended.
    pub fn join_all(&self, limit: Duration) -> Vec<String> {
        let crews = std::mem::take(&mut self.tables().crews);
        crews.into_values().flat_map(|crew| crew.join(limit)).collect()
    }

    /// How many threads and sockets there are.
    pub fn counts(&self) -> (usize, usize) {
        let tables = self.tables();
        (
            tables.crews.len().saturating_sub(tables.ended.len()),
            tables.sockets.len(),
        )
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // A thread that panics ends the process; until then the tables are as good as before.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }
}

/// So many callers may be silent at once. Servers speak at once, whoever does not makes room.
const MOST_SILENT: usize = 32;
