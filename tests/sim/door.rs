//! The port of the clients upon the simulated network: production's loop on simulated sockets.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use oxkeeper::net::{ClientLoop, Listener, Mailbox, PortConfig, Serves, Signal, Stream};
use oxkeeper::request::ClientLetter;
use oxkeeper::runtime::{Address, Clock, Crew, Flow, Now};
use oxkeeper::server::host::BoundClients;

use super::net::{Acceptor, Down, End, Host, Net, Port, Receiver};
use super::rng::Rng;
use super::sched::{Driven, Sched};

/// The bound port of a server.
pub struct SimClients {
    host: Host,
    net: Net,
    sched: Sched,
    door: Door,
    client_loop: ClientLoop<SimListener>,
    clock: Arc<dyn Clock>,
}

impl SimClients {
    pub fn bind(
        (host, net, sched): (Host, Net, Sched),
        rng: Rng,
        config: PortConfig,
        serves: Serves,
    ) -> (SimClients, Address<ClientLetter>) {
        let door = Door(Arc::default());
        let listener = SimListener {
            door: door.clone(),
            net: net.clone(),
            sched: sched.clone(),
            rng,
        };
        let clock = Arc::clone(&serves.clock);
        let (address, mailbox) = Mailbox::new(|| {});
        let port = config.port;
        let client_loop = ClientLoop::new(config, port, String::new(), listener, mailbox, serves);
        let bound = SimClients {
            host,
            net,
            sched,
            door,
            client_loop,
            clock,
        };
        (bound, address)
    }
}

impl BoundClients for SimClients {
    fn port(&self) -> u16 {
        2181
    }

    fn start(self: Box<Self>, crew: &mut Crew) {
        let accepting = Accepting(self.door.clone());
        self.net.listen(self.host, Port::Clients, Box::new(accepting));
        let thread = LoopThread {
            client_loop: self.client_loop,
            door: self.door,
            wake_ms: 0,
            clock: self.clock,
        };
        self.sched.add(crew, "NIOServerCxn.Factory", Box::new(thread));
    }
}

/// The loop, as mio would drive it.
struct LoopThread {
    client_loop: ClientLoop<SimListener>,
    door: Door,
    wake_ms: i64,
    clock: Arc<dyn Clock>,
}

impl Driven for LoopThread {
    fn poll(&mut self, now: Now) -> bool {
        self.client_loop.has_letters()
            || !self.door.lock().signals.is_empty()
            || now.elapsed_ms >= self.wake_ms
    }

    fn turn(&mut self, _now: Now) -> Flow {
        let signals = std::mem::take(&mut self.door.lock().signals);
        self.client_loop.round(signals.into_iter());
        self.wake_ms = self.clock.now().elapsed_ms + self.client_loop.sleep().as_millis() as i64;
        if self.client_loop.is_stopped() {
            return Flow::Done;
        }
        Flow::Go
    }

    fn wake_at(&self) -> Option<i64> {
        Some(self.wake_ms)
    }
}

/// What the network and the loop share.
#[derive(Clone)]
struct Door(Arc<Mutex<Threshold>>);

#[derive(Default)]
struct Threshold {
    waiting: VecDeque<(Pipe, End, Host)>,
    signals: Vec<Signal>,
}

impl Door {
    fn lock(&self) -> MutexGuard<'_, Threshold> {
        self.0.lock().expect("the door")
    }
}

/// What has come and was not read.
type Pipe = Arc<Mutex<Incoming>>;

#[derive(Default)]
struct Incoming {
    bytes: VecDeque<u8>,
    end: Option<Down>,
    slot: Option<usize>,
}

struct Accepting(Door);

impl Acceptor for Accepting {
    fn accept(&mut self, end: End, from: Host) -> Box<dyn Receiver> {
        let pipe = Pipe::default();
        let mut threshold = self.0.lock();
        threshold.waiting.push_back((Arc::clone(&pipe), end, from));
        threshold.signals.push(Signal::Waits);
        drop(threshold);
        Box::new(Reading {
            pipe,
            door: self.0.clone(),
        })
    }
}

struct Reading {
    pipe: Pipe,
    door: Door,
}

impl Reading {
    fn tell(&self, change: impl FnOnce(&mut Incoming)) {
        let mut incoming = self.pipe.lock().expect("a pipe");
        change(&mut incoming);
        if let Some(slot) = incoming.slot {
            let signal = signal(slot, incoming.end.is_some());
            self.door.lock().signals.push(signal);
        }
    }
}

fn signal(slot: usize, ended: bool) -> Signal {
    Signal::Changed {
        slot,
        readable: true,
        ended,
        writable: true,
    }
}

impl Receiver for Reading {
    fn bytes(&mut self, bytes: &[u8]) {
        self.tell(|incoming| incoming.bytes.extend(bytes));
    }

    fn down(&mut self, why: Down) {
        self.tell(|incoming| incoming.end = Some(why));
    }
}

/// Who waits at the door.
struct SimListener {
    door: Door,
    net: Net,
    sched: Sched,
    rng: Rng,
}

impl Listener for SimListener {
    type Stream = SimStream;

    fn accept(&mut self) -> io::Result<(SimStream, SocketAddr)> {
        let next = self.door.lock().waiting.pop_front();
        let (pipe, end, from) = next.ok_or(ErrorKind::WouldBlock)?;
        let stream = SimStream {
            pipe,
            end,
            net: self.net.clone(),
            sched: self.sched.clone(),
            door: self.door.clone(),
            rng: Rng::new(self.rng.next(), "stream"),
        };
        let ip = IpAddr::V4(Ipv4Addr::new(10, 1, 0, from as u8));
        Ok((stream, SocketAddr::new(ip, 40_000)))
    }

    fn watch(&mut self, stream: &mut SimStream, slot: usize) -> io::Result<()> {
        let mut incoming = stream.pipe.lock().expect("a pipe");
        incoming.slot = Some(slot);
        let signal = signal(slot, incoming.end.is_some());
        self.door.lock().signals.push(signal);
        Ok(())
    }
}

/// A socket that takes and gives as much as it likes.
struct SimStream {
    pipe: Pipe,
    end: End,
    net: Net,
    sched: Sched,
    door: Door,
    rng: Rng,
}

impl Stream for SimStream {}

impl Read for SimStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Other threads go on in the middle of a round of the loop.
        for _ in 0..self.rng.below(3) {
            self.sched.yield_some();
        }
        let mut incoming = self.pipe.lock().expect("a pipe");
        if incoming.end == Some(Down::Reset) {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if incoming.bytes.is_empty() {
            return match incoming.end {
                Some(_) => Ok(0),
                None => Err(ErrorKind::WouldBlock.into()),
            };
        }
        incoming.bytes.read(buffer)
    }
}

impl Write for SimStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let incoming = self.pipe.lock().expect("a pipe");
        if incoming.end == Some(Down::Reset) {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if self.rng.one_in(50) {
            // The window is full; it opens at once.
            if let Some(slot) = incoming.slot {
                self.door
                    .lock()
                    .signals
                    .push(signal(slot, incoming.end.is_some()));
            }
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = if self.rng.one_in(10) {
            1 + self.rng.below(bytes.len() as u64) as usize
        } else {
            bytes.len()
        };
        self.net.send(self.end, bytes[..count].to_vec());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.net.close(self.end);
    }
}
