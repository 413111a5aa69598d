//! The election port upon the simulated network: takes orders, tells events, decides nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use oxkeeper::proto::Sid;
use oxkeeper::proto::notification::Hello;
use oxkeeper::quorum::link::{Dial, LinkEvent, LinkId, LinkOrder};
use oxkeeper::quorum::peer_link::Closer;
use oxkeeper::runtime::{Address, Post};
use oxkeeper::server::host::BoundElection;

use super::net::{Acceptor, Caller, Down, End, Host, Net, Port, Receiver};

/// The bound port of a server.
pub struct SimElection {
    pub host: Host,
    pub net: Net,
}

impl BoundElection for SimElection {
    fn start(self: Box<Self>, events: Address<LinkEvent>) -> (Address<LinkOrder>, Box<dyn Closer>) {
        let board = Board(Arc::new(Inner {
            host: self.host,
            net: self.net.clone(),
            events: Mutex::new(Some(events)),
            links: Mutex::default(),
        }));
        let accepting = Accepting(board.clone());
        self.net.listen(self.host, Port::Election, Box::new(accepting));
        (Address::new(board.clone()), Box::new(board))
    }
}

/// Which links there are.
#[derive(Clone)]
struct Board(Arc<Inner>);

struct Inner {
    host: Host,
    net: Net,
    /// None once the port is closed.
    events: Mutex<Option<Address<LinkEvent>>>,
    links: Mutex<Links>,
}

#[derive(Default)]
struct Links {
    last: u64,
    ends: BTreeMap<LinkId, End>,
}

impl Board {
    fn add(&self, end: End) -> LinkId {
        let mut links = self.links();
        links.last += 1;
        let link = LinkId(links.last);
        links.ends.insert(link, end);
        link
    }

    fn tell(&self, event: LinkEvent) {
        if let Some(events) = &*self.0.events.lock().expect("the events") {
            events.post(event);
        }
    }

    fn links(&self) -> MutexGuard<'_, Links> {
        self.0.links.lock().expect("the links")
    }
}

impl Post<LinkOrder> for Board {
    fn post(&self, order: LinkOrder) {
        let (host, net) = (self.0.host, &self.0.net);
        match order {
            LinkOrder::Dial(dial) => {
                let to = dial.sid.0 as Host;
                let dialing = Dialing {
                    board: self.clone(),
                    dial,
                };
                net.call(host, to, Port::Election, Box::new(dialing));
            }
            // What comes is read from the beginning; the manager ignores links that it does not keep.
            LinkOrder::Keep { .. } => {}
            LinkOrder::Send { link, message } => {
                let end = self.links().ends.get(&link).copied();
                if let Some(end) = end {
                    let mut bytes = (message.len() as i32).to_be_bytes().to_vec();
                    bytes.extend_from_slice(&message);
                    net.send(end, bytes);
                    self.tell(LinkEvent::Sent { link });
                }
            }
            LinkOrder::Close { link } => {
                let end = self.links().ends.remove(&link);
                if let Some(end) = end {
                    net.close(end);
                }
            }
        }
    }
}

impl Closer for Board {
    fn close(self: Box<Self>) -> Vec<String> {
        self.0.net.deafen(self.0.host, Port::Election);
        let ends = std::mem::take(&mut self.links().ends);
        ends.into_values().for_each(|end| self.0.net.close(end));
        let events = self.0.events.lock().expect("the events").take();
        drop(events);
        Vec::new()
    }
}

struct Accepting(Board);

impl Acceptor for Accepting {
    fn accept(&mut self, end: End, from: Host) -> Box<dyn Receiver> {
        Box::new(Reading {
            board: self.0.clone(),
            end,
            from,
            link: None,
            input: Vec::new(),
        })
    }
}

struct Dialing {
    board: Board,
    dial: Dial,
}

impl Caller for Dialing {
    fn connected(self: Box<Self>, end: End) -> Box<dyn Receiver> {
        let Dialing { board, dial } = *self;
        board.0.net.send(end, dial.hello);
        let link = board.add(end);
        board.tell(LinkEvent::Dialed { link, sid: dial.sid });
        Box::new(Reading {
            board,
            end,
            from: dial.sid.0 as Host,
            link: Some(link),
            input: Vec::new(),
        })
    }

    fn failed(self: Box<Self>, why: &str) {
        self.board.tell(LinkEvent::DialFailed {
            sid: self.dial.sid,
            address: format!("{}:{}", self.dial.host, self.dial.port),
            reason: why.to_owned(),
        });
    }
}

/// What comes on one connection.
struct Reading {
    board: Board,
    end: End,
    from: Host,
    /// None until the caller has said who it is.
    link: Option<LinkId>,
    input: Vec<u8>,
}

impl Reading {
    /// A caller's first words.
    fn greet(&mut self) -> bool {
        let hello = Hello { sid: Sid(0) }.to_message().len();
        if self.input.len() < hello {
            return false;
        }
        let mut sid = [0; 8];
        sid.copy_from_slice(&self.input[..8]);
        self.input.drain(..hello);
        let link = self.board.add(self.end);
        self.link = Some(link);
        self.board.tell(LinkEvent::Called {
            link,
            sid: Sid(i64::from_be_bytes(sid)),
            from: format!("/10.0.0.{}:3888", self.from),
        });
        true
    }
}

impl Receiver for Reading {
    fn bytes(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        if self.link.is_none() && !self.greet() {
            return;
        }
        while let (Some(link), Some(length)) = (self.link, self.input.first_chunk::<4>()) {
            let length = i32::from_be_bytes(*length) as usize;
            let Some(message) = self.input.get(4..4 + length).map(<[u8]>::to_vec) else {
                return;
            };
            self.input.drain(..4 + length);
            self.board.tell(LinkEvent::Received { link, message });
        }
    }

    fn down(&mut self, why: Down) {
        match self.link {
            Some(link) => self.board.tell(LinkEvent::Down {
                link,
                reason: format!("{why:?}"),
            }),
            None => self.board.0.net.close(self.end),
        }
    }
}
