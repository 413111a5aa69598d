//! The quorum port upon the simulated network. Packets and trees are spelt and read by production's own code.

use std::io::{self, Cursor, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use oxkeeper::ensemble::Member;
use oxkeeper::net::quorum_port::QuorumPortRules;
use oxkeeper::net::quorum_streams::{PeerReader, PeerStream, ReadFailure, SenderStage};
use oxkeeper::proto::packet::PacketType;
use oxkeeper::proto::{LinkId, Zxid};
use oxkeeper::quorum::peer_link::{Closer, PeerLink, PortEvent, QuorumPort};
use oxkeeper::runtime::{Address, Crew, Inbox, Runtime};

use super::net::{Acceptor, Caller, Down, End, Host, Net, Port, Receiver};
use super::sched::Sched;

/// A server's quorum port.
pub struct SimQuorum {
    place: Arc<Place>,
}

/// What all connections of the port share.
struct Place {
    host: Host,
    net: Net,
    sched: Sched,
    rules: QuorumPortRules,
    last_link: AtomicU64,
    tap: Tap,
}

/// What is said between servers, for checkers: from whom, to whom, which packet.
pub type Tap = Arc<Mutex<Vec<(Host, Host, PacketType, Zxid)>>>;

impl SimQuorum {
    pub fn new(host: Host, net: Net, sched: Sched, rules: QuorumPortRules, tap: Tap) -> SimQuorum {
        let last_link = AtomicU64::new(0);
        let place = Place {
            host,
            net,
            sched,
            rules,
            last_link,
            tap,
        };
        SimQuorum {
            place: Arc::new(place),
        }
    }
}

impl QuorumPort for SimQuorum {
    fn listen(&self, events: Address<PortEvent>) -> Result<Box<dyn Closer>, String> {
        let place = Arc::clone(&self.place);
        let acceptor = Accepting {
            place: Arc::clone(&place),
            events,
        };
        place.net.listen(place.host, Port::Quorum, Box::new(acceptor));
        Ok(Box::new(Listening(place)))
    }

    fn dial(&self, leader: &Member, events: Address<PortEvent>) -> Box<dyn Closer> {
        let dialing = Dialing {
            place: Arc::clone(&self.place),
            to: leader.sid.0 as Host,
            events,
            attempt: 0,
            call: Arc::new(Call::default()),
        };
        let closer = Called {
            net: self.place.net.clone(),
            call: Arc::clone(&dialing.call),
        };
        dialing.go();
        Box::new(closer)
    }
}

struct Listening(Arc<Place>);

impl Closer for Listening {
    fn close(self: Box<Self>) -> Vec<String> {
        self.0.net.deafen(self.0.host, Port::Quorum);
        Vec::new()
    }
}

struct Accepting {
    place: Arc<Place>,
    events: Address<PortEvent>,
}

impl Acceptor for Accepting {
    fn accept(&mut self, end: End, from: Host) -> Box<dyn Receiver> {
        connect(&self.place, end, from, &self.events, false)
    }
}

/// A connection's two directions, as letters.
fn connect(
    place: &Arc<Place>,
    end: End,
    from: Host,
    events: &Address<PortEvent>,
    takes_trees: bool,
) -> Box<dyn Receiver> {
    let id = LinkId(place.last_link.fetch_add(1, Relaxed));
    let stream = SimPeerStream {
        end,
        net: place.net.clone(),
        sched: place.sched.clone(),
    };
    let (out, inbox) = Inbox::new();
    let sender = SenderStage::new(stream, id, events.clone());
    let name = if takes_trees { "LearnerSender" } else { "Sender" };
    // It ends when its link is dropped or its stream fails; nobody waits for that here.
    let mut crew = Crew::new();
    place
        .sched
        .start(&mut crew, &format!("{name}-/10.0.0.{from}"), inbox, sender);
    let closer = Box::new(Linked {
        end,
        net: place.net.clone(),
    });
    events.post(PortEvent::Connected(PeerLink {
        id,
        remote: format!("/10.0.0.{from}:2888"),
        out,
        closer,
    }));
    if takes_trees {
        place.net.set_patience(end, place.rules.init_ms * 1_000);
    }
    Box::new(Reading {
        id,
        events: events.clone(),
        reader: PeerReader::new(id, takes_trees),
        from,
        place: Arc::clone(place),
        input: Vec::new(),
        is_over: false,
    })
}

struct Linked {
    end: End,
    net: Net,
}

impl Closer for Linked {
    fn close(self: Box<Self>) -> Vec<String> {
        self.net.close(self.end);
        Vec::new()
    }
}

/// What a sender writes on.
struct SimPeerStream {
    end: End,
    net: Net,
    sched: Sched,
}

impl Write for SimPeerStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A long tree goes in pieces, and the server does not stand still meanwhile.
        let count = bytes.len().min(LONGEST_PIECE_BYTES);
        self.net.send(self.end, bytes[..count].to_vec());
        if count < bytes.len() || count > 512 {
            self.sched.yield_some();
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PeerStream for SimPeerStream {
    fn shut(&self) {
        self.net.close(self.end);
    }
}

/// What comes on a connection.
struct Reading {
    id: LinkId,
    events: Address<PortEvent>,
    reader: PeerReader,
    from: Host,
    place: Arc<Place>,
    input: Vec<u8>,
    is_over: bool,
}

impl Reading {
    fn read(&mut self) -> Result<(), String> {
        let mut input = Cursor::new(std::mem::take(&mut self.input));
        let mut read = 0;
        let outcome = loop {
            match self.reader.read_one(&mut input) {
                Ok(event) => {
                    read = input.position() as usize;
                    if let PortEvent::Packets(_, packets) = &event {
                        let said = packets
                            .iter()
                            .map(|packet| (self.from, self.place.host, packet.kind, packet.zxid));
                        self.place.tap.lock().expect("the tap").extend(said);
                    }
                    self.events.post(event);
                }
                Err(ReadFailure::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => break Ok(()),
                Err(ReadFailure::Io(error)) => break Err(error.to_string()),
                Err(ReadFailure::Bad(reason)) => break Err(reason),
            }
        };
        self.input = input.into_inner();
        self.input.drain(..read);
        outcome
    }

    fn end(&mut self, reason: String) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.events.post(PortEvent::Down(self.id, reason));
        }
    }
}

impl Receiver for Reading {
    fn bytes(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        if let Err(reason) = self.read() {
            self.end(reason);
        }
    }

    fn down(&mut self, why: Down) {
        self.end(match why {
            Down::Closed => "the peer has closed the connection".to_owned(),
            Down::Reset => "Connection reset by peer".to_owned(),
            Down::TimedOut => "Read timed out".to_owned(),
        });
    }
}

/// A call to the leader, while it lasts.
#[derive(Default)]
struct Call {
    is_over: AtomicBool,
    end: Mutex<Option<End>>,
}

struct Called {
    net: Net,
    call: Arc<Call>,
}

impl Closer for Called {
    fn close(self: Box<Self>) -> Vec<String> {
        self.call.is_over.store(true, Relaxed);
        let end = self.call.end.lock().expect("the call").take();
        if let Some(end) = end {
            self.net.close(end);
        }
        Vec::new()
    }
}

struct Dialing {
    place: Arc<Place>,
    to: Host,
    events: Address<PortEvent>,
    attempt: usize,
    call: Arc<Call>,
}

impl Dialing {
    fn go(self) {
        let (net, host, to) = (self.place.net.clone(), self.place.host, self.to);
        net.call(host, to, Port::Quorum, Box::new(self));
    }
}

impl Caller for Dialing {
    fn connected(self: Box<Self>, end: End) -> Box<dyn Receiver> {
        *self.call.end.lock().expect("the call") = Some(end);
        if self.call.is_over.load(Relaxed) {
            self.place.net.close(end);
        }
        connect(&self.place, end, self.to, &self.events, true)
    }

    fn failed(mut self: Box<Self>, why: &str) {
        let Some(&pause_ms) = PAUSES_MS.get(self.attempt) else {
            self.events.post(PortEvent::Unreachable(why.to_owned()));
            return;
        };
        if self.call.is_over.load(Relaxed) {
            return;
        }
        self.attempt += 1;
        let net = self.place.net.clone();
        net.alarm(self.place.host, pause_ms * 1_000, move || self.go());
    }
}

/// As `net::quorum_port` has them.
const PAUSES_MS: [u64; 6] = [100, 300, 600, 1_000, 1_000, 1_000];
const LONGEST_PIECE_BYTES: usize = 4_096;
