//! The quorum port: learners that call a leader, and a learner's call. (Leader.LearnerCnxAcceptor, Learner)
//!
//! ```text
//! leader   LearnerCnxAcceptor-/ip:port ── for each learner ─> LearnerHandler-/ip:port reads, Sender-/ip:port writes
//! learner  Learner-/ip:port dials, then reads ──────────────> LearnerSender-/ip:port writes
//! ```
//!
//! The threads only carry; what a packet means is judged by the roles in `quorum/`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::clients::address::JavaAddress;
use crate::ensemble::Member;
use crate::proto::LinkId;
use crate::quorum::peer_link::{Closer, PeerLink, PortEvent, QuorumPort, ToPeer, report_late};
use crate::runtime::{Address, Crew, Inbox, Runtime, Threads};

use super::peer_channel::PeerChannel;
use super::quorum_auth::QuorumAuth;
use super::quorum_streams::{SenderStage, read_all};
use super::quorum_tls::{self, QuorumTls};

/// What the quorum port goes by.
#[derive(Debug, Clone)]
pub struct QuorumPortRules {
    /// This server.
    pub me: Member,
    /// Whether it listens on all addresses. (`quorumListenOnAllIPs`)
    pub listen_on_all_ips: bool,
    /// How long a peer may be silent while a history is carried over. (`initLimit` ticks)
    pub init_ms: u64,
    /// How long one attempt to reach the leader may take. (`syncLimit` ticks)
    pub sync_ms: u64,
    /// TCP_NODELAY towards learners. (`leader.nodelay`)
    pub leader_nodelay: bool,
    /// TCP_NODELAY towards the leader. (`follower.nodelay`)
    pub follower_nodelay: bool,
    /// How servers speak TLS with each other, if they do.
    pub tls: Option<Arc<QuorumTls>>,
    /// How servers authenticate to each other, if they do.
    pub auth: Option<Arc<QuorumAuth>>,
}

impl QuorumPortRules {
    /// Lets a learner shake hands and prove who it is, as far as servers do that.
    fn hear_who_calls(&self, stream: TcpStream) -> io::Result<PeerChannel> {
        let mut channel = quorum_tls::welcome(self.tls.as_deref(), stream, self.init())?;
        if let Some(auth) = &self.auth {
            auth.accept(&mut channel, self.init())?;
        }
        Ok(channel)
    }

    /// Shakes hands with the leader and proves who this is, as far as servers do that.
    fn introduce(&self, stream: TcpStream, host: &str) -> io::Result<PeerChannel> {
        let mut channel = PeerChannel::new(stream);
        if let Some(tls) = &self.tls {
            channel = tls.call(channel, host, self.init())?;
        }
        if let Some(auth) = &self.auth {
            auth.introduce(&mut channel, self.init())?;
        }
        Ok(channel)
    }

    fn init(&self) -> Duration {
        Duration::from_millis(self.init_ms.max(1))
    }
}

/// The quorum port on real sockets.
pub struct TcpQuorumPort {
    threads: Threads,
    rules: Arc<QuorumPortRules>,
    next_link: Arc<AtomicU64>,
}

impl TcpQuorumPort {
    /// A port that is not bound yet: that is done when this server leads.
    pub fn new(threads: Threads, rules: QuorumPortRules) -> TcpQuorumPort {
        TcpQuorumPort {
            threads,
            rules: Arc::new(rules),
            next_link: Arc::new(AtomicU64::new(0)),
        }
    }
}

impl QuorumPort for TcpQuorumPort {
    fn listen(&self, events: Address<PortEvent>) -> Result<Box<dyn Closer>, String> {
        let (listener, local) = bind(&self.rules)?;
        let mut crew = Crew::new();
        let ended = Arc::new(AtomicBool::new(false));
        let acceptor = Acceptor {
            threads: self.threads.clone(),
            rules: Arc::clone(&self.rules),
            next_link: Arc::clone(&self.next_link),
            listener,
            ended: Arc::clone(&ended),
            events,
        };
        let name = format!("LearnerCnxAcceptor-{}", JavaAddress(local));
        self.threads.spawn(&mut crew, &name, move || {
            acceptor.run();
            Ok(())
        });
        Ok(Box::new(Listening { local, ended, crew }))
    }

    fn dial(&self, leader: &Member, events: Address<PortEvent>) -> Box<dyn Closer> {
        let (stop, stopped) = bounded(1);
        let stream = Arc::new(Mutex::new(None));
        let dialer = Dialer {
            threads: self.threads.clone(),
            rules: Arc::clone(&self.rules),
            link: LinkId(self.next_link.fetch_add(1, Ordering::Relaxed)),
            host: leader.host.clone(),
            port: leader.quorum_port,
            stopped,
            stream: Arc::clone(&stream),
            events,
        };
        let mut crew = Crew::new();
        let name = format!("Learner-/{}:{}", leader.host, leader.quorum_port);
        self.threads.spawn(&mut crew, &name, move || {
            dialer.run();
            Ok(())
        });
        Box::new(Dialing { stop, stream, crew })
    }
}

/// Binds as 3.4.14 does: to the server's own address, or to all.
fn bind(rules: &QuorumPortRules) -> Result<(TcpListener, SocketAddr), String> {
    let port = rules.me.quorum_port;
    let tries = if rules.listen_on_all_ips {
        vec![
            SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port),
            SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port),
        ]
    } else {
        let own = resolve(&rules.me.host, port);
        vec![own.map_err(|error| format!("{}: {error}", rules.me.host))?]
    };
    let mut refused = String::new();
    for address in tries {
        let bound = TcpListener::bind(address).and_then(|listener| Ok((listener.local_addr()?, listener)));
        match bound {
            Ok((local, listener)) => return Ok((listener, local)),
            Err(error) => refused = format!("Couldn't bind to {}: {error}", JavaAddress(address)),
        }
    }
    Err(refused)
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let first = (host, port).to_socket_addrs()?.next();
    first.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
}

/// The end of a listener.
struct Listening {
    local: SocketAddr,
    ended: Arc<AtomicBool>,
    crew: Crew,
}

impl Closer for Listening {
    fn close(self: Box<Self>) -> Vec<String> {
        self.ended.store(true, Ordering::Release);
        // A knock wakes the thread that waits in accept; should it fail, the join below tells.
        let mut knock = self.local;
        if knock.ip().is_unspecified() {
            knock.set_ip(match knock.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        drop(TcpStream::connect_timeout(&knock, LONGEST_END));
        self.crew.join(LONGEST_END)
    }
}

/// The thread that accepts learners.
struct Acceptor {
    threads: Threads,
    rules: Arc<QuorumPortRules>,
    next_link: Arc<AtomicU64>,
    listener: TcpListener,
    ended: Arc<AtomicBool>,
    events: Address<PortEvent>,
}

impl Acceptor {
    fn run(self) {
        let mut failing = false;
        loop {
            let accepted = self.listener.accept();
            if self.ended.load(Ordering::Acquire) {
                return;
            }
            match accepted {
                Ok((stream, remote)) => match self.welcome(stream, remote) {
                    Ok(()) => failing = false,
                    Err(error) => rest(&mut failing, &error),
                },
                Err(error) => rest(&mut failing, &error),
            }
        }
    }

    fn welcome(&self, stream: TcpStream, remote: SocketAddr) -> io::Result<()> {
        prepare(&stream, self.rules.leader_nodelay, self.rules.init_ms)?;
        let closing = stream.try_clone()?;
        let id = LinkId(self.next_link.fetch_add(1, Ordering::Relaxed));
        let remote = JavaAddress(remote).to_string();
        let (out, inbox) = Inbox::new();
        let sender = Arc::new(Mutex::new(Crew::new()));
        let handler = Handler {
            threads: self.threads.clone(),
            rules: Arc::clone(&self.rules),
            id,
            remote: remote.clone(),
            events: self.events.clone(),
            sender: Arc::clone(&sender),
        };
        let (go, told) = bounded::<()>(1);
        let mut crew = Crew::new();
        self.threads
            .spawn(&mut crew, &format!("LearnerHandler-{remote}"), move || {
                // The leader hears of the link before it hears its packets.
                let _closed = told.recv();
                handler.run(stream, inbox);
                Ok(())
            });
        let closer = Box::new(Linked {
            stream: closing,
            crew,
            sender,
        });
        self.events.post(PortEvent::Connected(PeerLink {
            id,
            remote,
            out,
            closer,
        }));
        drop(go);
        Ok(())
    }
}

/// The thread that hears a learner.
struct Handler {
    threads: Threads,
    rules: Arc<QuorumPortRules>,
    id: LinkId,
    remote: String,
    events: Address<PortEvent>,
    /// The thread that writes to it, once it is known who calls.
    sender: Arc<Mutex<Crew>>,
}

impl Handler {
    fn run(self, stream: TcpStream, inbox: Inbox<ToPeer>) {
        let reason = match self.rules.hear_who_calls(stream).and_then(PeerChannel::part) {
            Ok((reading, writing)) => {
                let sender = SenderStage::new(writing, self.id, self.events.clone());
                let name = format!("Sender-{}", self.remote);
                self.threads.start(&mut lock(&self.sender), &name, inbox, sender);
                read_all(reading, self.id, &self.events, false)
            }
            Err(error) => error.to_string(),
        };
        self.events.post(PortEvent::Down(self.id, reason));
    }
}

/// The caller has gone again, or there are no files left: neither is cured by haste, nor by telling it often.
fn rest(failing: &mut bool, error: &io::Error) {
    if !std::mem::replace(failing, true) {
        log::error!(
            "Exception while accepting follower: {error}; this goes on until a connection is accepted"
        );
    }
    std::thread::sleep(Duration::from_millis(100));
}

/// Sets a socket up. Reads and writes that make no way for so long fail; who may be silent when is judged
/// elsewhere.
fn prepare(stream: &TcpStream, nodelay: bool, limit_ms: u64) -> io::Result<()> {
    stream.set_nodelay(nodelay)?;
    stream.set_write_timeout(Some(Duration::from_millis(limit_ms.max(1))))
}

/// The end of a link.
struct Linked {
    stream: TcpStream,
    crew: Crew,
    /// The thread that writes, if the other one has come to start it.
    sender: Arc<Mutex<Crew>>,
}

impl Closer for Linked {
    fn close(self: Box<Self>) -> Vec<String> {
        // It fails if the connection is gone already.
        drop(self.stream.shutdown(Shutdown::Both));
        let mut late = self.crew.join(LONGEST_END);
        let sender = std::mem::take(&mut *lock(&self.sender));
        late.extend(sender.join(LONGEST_END));
        late
    }
}

/// The end of a call to the leader, whether it has come through or not.
struct Dialing {
    stop: Sender<()>,
    stream: Arc<Mutex<Option<TcpStream>>>,
    crew: Crew,
}

impl Closer for Dialing {
    fn close(self: Box<Self>) -> Vec<String> {
        drop(self.stop);
        if let Some(stream) = lock(&self.stream).as_ref() {
            drop(stream.shutdown(Shutdown::Both));
        }
        self.crew.join(LONGEST_END)
    }
}

/// What a learner's link closes by itself: nothing, its caller does.
struct ClosedByDialer;

impl Closer for ClosedByDialer {
    fn close(self: Box<Self>) -> Vec<String> {
        Vec::new()
    }
}

/// The thread that calls the leader, and then reads.
struct Dialer {
    threads: Threads,
    rules: Arc<QuorumPortRules>,
    link: LinkId,
    host: String,
    port: u16,
    /// Closed when the call is to end.
    stopped: Receiver<()>,
    stream: Arc<Mutex<Option<TcpStream>>>,
    events: Address<PortEvent>,
}

impl Dialer {
    fn run(self) {
        match self.call() {
            Ok(Some((channel, at))) => self.serve(channel, at),
            Ok(None) => {}
            Err(error) => {
                log::error!("Unexpected exception: {error}");
                self.events.post(PortEvent::Unreachable(error.to_string()));
            }
        }
    }

    /// Calls the leader and says the first words. `None` if the call is to end meanwhile.
    fn call(&self) -> io::Result<Option<(PeerChannel, SocketAddr)>> {
        let (stream, at) = self.connect()?;
        *lock(&self.stream) = Some(stream.try_clone()?);
        if self.is_stopped() {
            return Ok(None);
        }
        let channel = self.rules.introduce(stream, &self.host)?;
        Ok(Some((channel, at)))
    }

    fn serve(self, channel: PeerChannel, at: SocketAddr) {
        let remote = JavaAddress(at).to_string();
        let (reading, writing) = match channel.part() {
            Ok(halves) => halves,
            Err(error) => return self.events.post(PortEvent::Unreachable(error.to_string())),
        };
        let (out, inbox) = Inbox::new();
        let mut crew = Crew::new();
        let sender = SenderStage::new(writing, self.link, self.events.clone());
        self.threads
            .start(&mut crew, &format!("LearnerSender-{remote}"), inbox, sender);
        self.events.post(PortEvent::Connected(PeerLink {
            id: self.link,
            remote,
            out,
            closer: Box::new(ClosedByDialer),
        }));
        let reason = read_all(reading, self.link, &self.events, true);
        self.events.post(PortEvent::Down(self.link, reason));
        // The sender ends once the learner has let go of the link.
        report_late(crew.join(LONGEST_END));
    }

    /// Tries for four seconds, as 3.4.14 does, but more often at first: the leader may be about to open its port,
    /// and nobody is served before this succeeds. (Learner.connectToLeader)
    fn connect(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let mut pauses = PAUSES_MS.iter();
        loop {
            let error = match self.attempt() {
                Ok(connected) => return Ok(connected),
                Err(error) => error,
            };
            let Some(&pause_ms) = pauses.next() else {
                return Err(error);
            };
            let tries = PAUSES_MS.len() - pauses.len() - 1;
            // The first ones are no news: this server may have heard of the decision before the leader.
            let level = if tries < QUICK_TRIES {
                log::Level::Debug
            } else {
                log::Level::Warn
            };
            let (host, port) = (&self.host, self.port);
            log::log!(
                level,
                "Unexpected exception, tries={tries}, connecting to {host}:{port}: {error}"
            );
            // Nobody sends: what comes is the end, or the time for the next attempt.
            let waited = self.stopped.recv_timeout(Duration::from_millis(pause_ms));
            if waited != Err(crossbeam_channel::RecvTimeoutError::Timeout) {
                return Err(error);
            }
        }
    }

    fn attempt(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let at = resolve(&self.host, self.port)?;
        let limit_ms = self.rules.sync_ms.min(self.rules.init_ms).max(1);
        let stream = TcpStream::connect_timeout(&at, Duration::from_millis(limit_ms))?;
        prepare(&stream, self.rules.follower_nodelay, self.rules.init_ms)?;
        stream.set_read_timeout(Some(Duration::from_millis(self.rules.init_ms.max(1))))?;
        Ok((stream, at))
    }

    fn is_stopped(&self) -> bool {
        self.stopped.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Between the attempts to reach the leader.
const PAUSES_MS: [u64; 11] = [2, 4, 8, 16, 30, 60, 280, 600, 1_000, 1_000, 1_000];
/// So many attempts fail without a word.
const QUICK_TRIES: usize = 5;
/// How long a thread may take to end once its socket is shut.
const LONGEST_END: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
