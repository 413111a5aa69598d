//! A way between two servers that a test can block: what is on it then arrives late, or never.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A port that leads to another one. While it is blocked, callers are taken and hear nothing, and no byte and no end
/// of a connection passes, as when a switch on the way drops everything.
#[derive(Debug)]
pub struct Way {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    blocked: AtomicBool,
    ended: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

impl Way {
    /// Opens a way to a port of this machine.
    pub fn to(port: u16) -> Way {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            target: SocketAddr::from(([127, 0, 0, 1], port)),
            blocked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            streams: Mutex::new(Vec::new()),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = Some(std::thread::spawn(move || accepting.accept_all(&listener)));
        Way {
            address,
            shared,
            acceptor,
        }
    }

    /// Its own port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Blocks it, or opens it again.
    pub fn block(&self, blocked: bool) {
        self.shared.blocked.store(blocked, Ordering::SeqCst);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        for stream in self.shared.streams.lock().expect("the streams").drain(..) {
            // It may be closed already.
            drop(stream.shutdown(Shutdown::Both));
        }
        // Wakes the acceptor; it fails if that has ended.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            drop(acceptor.join());
        }
    }
}

impl Shared {
    fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        for caller in listener.incoming() {
            if self.has_ended() {
                return;
            }
            if let Ok(caller) = caller {
                let shared = Arc::clone(self);
                std::thread::spawn(move || shared.connect(caller));
            }
        }
    }

    fn connect(self: Arc<Self>, caller: TcpStream) {
        self.wait_until_open();
        let Ok(target) = TcpStream::connect(self.target) else {
            return;
        };
        let Ok((back_from, back_to)) = target.try_clone().and_then(|one| Ok((one, caller.try_clone()?)))
        else {
            return;
        };
        {
            let mut streams = self.streams.lock().expect("the streams");
            streams.extend(caller.try_clone());
            streams.extend(target.try_clone());
        }
        let shared = Arc::clone(&self);
        let back = std::thread::spawn(move || shared.carry(back_from, back_to));
        self.carry(caller, target);
        drop(back.join());
    }

    /// Carries bytes one way until either end is gone.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut bytes = vec![0; 64 << 10];
        loop {
            let count = match from.read(&mut bytes) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.unwrap_or(0),
            };
            self.wait_until_open();
            if count == 0 || self.has_ended() || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        // Both ends hear of the end; either may be gone already.
        drop(from.shutdown(Shutdown::Both));
        drop(to.shutdown(Shutdown::Both));
    }

    fn wait_until_open(&self) {
        while self.blocked.load(Ordering::SeqCst) && !self.has_ended() {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}
