//! The thread that owns a session's socket and does what the session decides.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream as StdStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::core::{Action, Ask, SessionConfig, SessionCore};
use super::state::{Lost, State, WatchedEvent};
use super::watches::WatchChange;
use crate::proto::{OpCode, SessionId};
use crate::tools::client::Reply;
use crate::tools::stream::{Caller, Stream};

/// What a request comes to.
pub type Outcome = Result<Reply, Lost>;

/// A session with its thread. Dropping it cuts the connection; the server ends the session by its timeout.
pub struct Link {
    orders: Sender<Order>,
    waker: Arc<Waker>,
    shown: Arc<Mutex<Shown>>,
}

/// What others may see of the session at any time.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Where it stands.
    pub state: State,
    /// Its number, once there is one.
    pub session: Option<SessionId>,
    /// The session timeout agreed, milliseconds.
    pub timeout_ms: i32,
    /// The server that serves it.
    pub server: Option<SocketAddr>,
    /// This side's address on that connection.
    pub local: Option<SocketAddr>,
}

enum Order {
    Ask {
        op: OpCode,
        record: Vec<u8>,
        watch: Option<WatchChange>,
        answer: Sender<Outcome>,
    },
    Auth {
        scheme: String,
        auth: Vec<u8>,
        answer: Sender<Outcome>,
    },
    Close {
        answer: Sender<Outcome>,
    },
}

impl Link {
    /// Starts the thread, which begins to connect. Events go to `events`.
    ///
    /// # Errors
    /// If the operating system refuses a thread or its tools.
    pub fn start(
        servers: Vec<String>,
        config: SessionConfig,
        caller: Caller,
        events: impl Fn(WatchedEvent) + Send + 'static,
    ) -> io::Result<Link> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (orders, inbox) = unbounded();
        let shown = Arc::new(Mutex::new(Shown {
            state: State::Connecting,
            session: None,
            timeout_ms: config.timeout_ms,
            server: None,
            local: None,
        }));
        let carrier = Carrier {
            core: SessionCore::new(config, 0),
            servers,
            poll,
            stream: None,
            caller,
            received: Vec::new(),
            unsent: Vec::new(),
            answers: HashMap::new(),
            next_ticket: 0,
            events: Box::new(events),
            shown: Arc::clone(&shown),
            begun: Instant::now(),
        };
        thread::Builder::new()
            .name("Session".to_owned())
            .spawn(move || carrier.run(&inbox))?;
        Ok(Link { orders, waker, shown })
    }

    /// Where the session stands now.
    pub fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request; its answer comes out of the receiver.
    pub fn ask(&self, op: OpCode, record: Vec<u8>, watch: Option<WatchChange>) -> Receiver<Outcome> {
        self.order(|answer| Order::Ask {
            op,
            record,
            watch,
            answer,
        })
    }

    /// Adds an identity.
    pub fn add_auth(&self, scheme: &str, auth: &[u8]) -> Receiver<Outcome> {
        let (scheme, auth) = (scheme.to_owned(), auth.to_owned());
        self.order(|answer| Order::Auth { scheme, auth, answer })
    }

    /// Ends the session in order.
    pub fn close(&self) -> Receiver<Outcome> {
        self.order(|answer| Order::Close { answer })
    }

    /// A receiver that closes without an answer means that the thread is gone.
    fn order(&self, order: impl FnOnce(Sender<Outcome>) -> Order) -> Receiver<Outcome> {
        let (sender, receiver) = bounded(1);
        // Without the thread, or without its waker, the receiver below just closes, or the thread looks later.
        let _gone = self.orders.send(order(sender));
        let _later = self.waker.wake();
        receiver
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let (orders, _) = unbounded();
        drop(std::mem::replace(&mut self.orders, orders));
        let _later = self.waker.wake();
    }
}

struct Carrier {
    core: SessionCore,
    servers: Vec<String>,
    poll: Poll,
    stream: Option<Stream<TcpStream>>,
    caller: Caller,
    received: Vec<u8>,
    unsent: Vec<u8>,
    answers: HashMap<u64, Sender<Outcome>>,
    next_ticket: u64,
    events: Box<dyn Fn(WatchedEvent) + Send>,
    shown: Arc<Mutex<Shown>>,
    begun: Instant,
}

impl Carrier {
    fn run(mut self, inbox: &Receiver<Order>) {
        let mut events = Events::with_capacity(8);
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(error) if error.is_disconnected() => return,
                    Err(_) => break,
                }
            }
            self.carry_out();
            let wake_at_ms = self.core.wake_at_ms();
            let wait_ms = wake_at_ms.map(|at_ms| (at_ms - self.now_ms()).clamp(0, LONGEST_WAIT_MS));
            let wait = wait_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
            if let Err(error) = self.poll.poll(&mut events, wait)
                && error.kind() != io::ErrorKind::Interrupted
            {
                self.drop_stream();
                self.core.lost(self.now_ms(), &error.to_string());
            }
            if events.iter().any(|event| event.token() == SOCKET) {
                self.exchange();
            }
            let now_ms = self.now_ms();
            self.core.tick(now_ms);
        }
    }

    fn obey(&mut self, order: Order) {
        let (now_ms, ticket) = (self.now_ms(), self.next_ticket);
        self.next_ticket += 1;
        match order {
            Order::Ask {
                op,
                record,
                watch,
                answer,
            } => {
                self.answers.insert(ticket, answer);
                let ask = Ask {
                    ticket,
                    op,
                    record,
                    watch,
                };
                self.core.ask(now_ms, ask);
            }
            Order::Auth { scheme, auth, answer } => {
                self.answers.insert(ticket, answer);
                self.core.add_auth(now_ms, ticket, &scheme, &auth);
            }
            Order::Close { answer } => {
                self.answers.insert(ticket, answer);
                self.core.close(now_ms, ticket);
            }
        }
    }

    /// Does what the core wants, until it wants nothing more, and sends what is to be sent.
    fn carry_out(&mut self) {
        loop {
            let actions = self.core.take_actions();
            // Whoever gets an answer or an event must find the state that belongs to it.
            self.show();
            if actions.is_empty() {
                match self.flush() {
                    Ok(()) => return,
                    Err(error) => self.fail(&error.to_string()),
                }
            }
            for action in actions {
                match action {
                    Action::Dial(server) => self.dial(server),
                    Action::HangUp => self.drop_stream(),
                    Action::Send(bytes) => self.unsent.extend_from_slice(&bytes),
                    Action::Answer(ticket, outcome) => {
                        if let Some(answer) = self.answers.remove(&ticket) {
                            // Who asked may have stopped waiting.
                            let _unwanted = answer.send(outcome);
                        }
                    }
                    Action::Event(event) => (self.events)(event),
                }
            }
        }
    }

    /// Blocks for as long as connecting takes: there is nothing else to do meanwhile.
    fn dial(&mut self, server: usize) {
        let name = self.servers.get(server).cloned().unwrap_or_default();
        let limit = Duration::from_millis(self.core.dial_limit_ms().unsigned_abs());
        match connect(&self.caller, &name, limit).and_then(|stream| self.adopt(stream)) {
            Ok(()) => {
                let now_ms = self.now_ms();
                self.core.connected(now_ms);
            }
            Err(error) => {
                let now_ms = self.now_ms();
                self.core.lost(now_ms, &format!("{name}: {error}"));
            }
        }
    }

    fn adopt(&mut self, stream: Stream<StdStream>) -> io::Result<()> {
        let mut stream = stream.for_poll()?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(stream.socket_mut(), SOCKET, interest)?;
        self.received.clear();
        self.unsent.clear();
        self.stream = Some(stream);
        Ok(())
    }

    /// Reads all that is there, hands whole frames to the core, and writes what waits.
    fn exchange(&mut self) {
        let mut piece = vec![0; PIECE_BYTES];
        while let Some(stream) = &mut self.stream {
            match stream.read(&mut piece) {
                Ok(0) => return self.fail("the server closed the connection"),
                Ok(count) => {
                    self.received.extend_from_slice(&piece[..count]);
                    self.hand_over_frames();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return self.fail(&error.to_string()),
            }
        }
        if let Err(error) = self.flush() {
            self.fail(&error.to_string());
        }
    }

    fn hand_over_frames(&mut self) {
        let mut received = std::mem::take(&mut self.received);
        let mut read = 0;
        while let Some((head, body)) = received[read..].split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*head);
            let Ok(length) = usize::try_from(length) else {
                return self.fail("the server sent a frame of negative length");
            };
            let Some(frame) = body.get(..length) else {
                break;
            };
            let now_ms = self.now_ms();
            self.core.frame(now_ms, frame);
            read += 4 + length;
        }
        // A large frame comes in many pieces: nothing is moved until it is whole.
        received.drain(..read);
        self.received = received;
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some(stream) = &mut self.stream
            && !self.unsent.is_empty()
        {
            match stream.write(&self.unsent) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn fail(&mut self, why: &str) {
        let peer = self
            .stream
            .as_ref()
            .and_then(|stream| stream.socket().peer_addr().ok());
        let why = peer.map_or_else(|| why.to_owned(), |peer| format!("{peer}: {why}"));
        self.drop_stream();
        let now_ms = self.now_ms();
        self.core.lost(now_ms, &why);
    }

    fn drop_stream(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            stream.end();
            // It may be closed already.
            let _closed = stream.socket().shutdown(Shutdown::Both);
        }
        self.received.clear();
        self.unsent.clear();
    }

    fn show(&self) {
        let session = self.core.session();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.state = self.core.state();
        shown.session = session.map(|session| session.session);
        shown.timeout_ms = session.map_or(shown.timeout_ms, |session| session.timeout_ms);
        shown.server = self
            .stream
            .as_ref()
            .and_then(|stream| stream.socket().peer_addr().ok());
        shown.local = self
            .stream
            .as_ref()
            .and_then(|stream| stream.socket().local_addr().ok());
    }

    fn now_ms(&self) -> i64 {
        // An i64 of milliseconds is full after 292 million years.
        self.begun.elapsed().as_millis() as i64
    }
}

/// Tries each address of a name.
fn connect(caller: &Caller, name: &str, limit: Duration) -> io::Result<Stream<StdStream>> {
    let host = name.rsplit_once(':').map_or(name, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in name.to_socket_addrs()? {
        match caller.call(address, Some(host), limit) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

const WAKER: Token = Token(0);
const SOCKET: Token = Token(1);
const PIECE_BYTES: usize = 64 * 1024;
const LONGEST_WAIT_MS: i64 = 60_000;
