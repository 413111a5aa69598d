//! The network between servers: each dials each of the others through a proxy of its own, so that any direction
//! between any two can be cut without a word to either.
//!
//! What is sent into a cut is held and delivered when the cut is mended, as TCP does; an end of a connection
//! is held as well. A connection that is made into a cut is accepted and hears nothing.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// All proxies and cuts of an ensemble.
#[derive(Debug, Default)]
pub struct Proxies {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// From whom to whom nothing passes.
    cuts: Mutex<BTreeSet<(usize, usize)>>,
    listeners: Mutex<Vec<SocketAddr>>,
    is_over: AtomicBool,
}

impl Proxies {
    /// A port that leads server `from` to a port of server `to`.
    pub fn proxy(&self, from: usize, to: usize, port: u16) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        self.shared.listeners().push(address);
        let shared = Arc::clone(&self.shared);
        let link = Link { from, to, port };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_over() {
                    return;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || link.carry(stream, &shared));
            }
        });
        address.port()
    }

    /// Nothing passes from one server to another any more.
    pub fn cut(&self, from: usize, to: usize) {
        self.shared.cuts().insert((from, to));
    }

    /// Everything passes.
    pub fn mend(&self) {
        self.shared.cuts().clear();
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        for address in self.shared.listeners().iter() {
            drop(TcpStream::connect(address));
        }
    }
}

impl Shared {
    fn cuts(&self) -> std::sync::MutexGuard<'_, BTreeSet<(usize, usize)>> {
        self.cuts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listeners(&self) -> std::sync::MutexGuard<'_, Vec<SocketAddr>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        !self.is_over() && self.cuts().contains(&(from, to))
    }

    fn wait_for(&self, from: usize, to: usize) {
        while self.is_cut(from, to) {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// One way through.
#[derive(Debug, Clone, Copy)]
struct Link {
    from: usize,
    to: usize,
    port: u16,
}

impl Link {
    fn carry(self, dialer: TcpStream, shared: &Arc<Shared>) {
        let Link { from, to, port } = self;
        dialer.set_read_timeout(Some(POLL)).expect("a limit");
        while shared.is_cut(from, to) || shared.is_cut(to, from) {
            // Whoever has given up need not be connected any more.
            match dialer.peek(&mut [0]) {
                Ok(0) => return,
                Err(error) if !is_timeout(&error) => return,
                _ => thread::sleep(Duration::from_millis(5)),
            }
        }
        let Ok(target) = TcpStream::connect(("127.0.0.1", port)) else {
            return;
        };
        target.set_read_timeout(Some(POLL)).expect("a limit");
        drop((dialer.set_nodelay(true), target.set_nodelay(true)));
        let (Ok(dialer_too), Ok(target_too)) = (dialer.try_clone(), target.try_clone()) else {
            return;
        };
        let back = Arc::clone(shared);
        thread::spawn(move || pump(target_too, dialer_too, to, from, &back));
        pump(dialer, target, from, to, shared);
    }
}

/// Carries bytes in one direction until one side ends.
fn pump(mut source: TcpStream, mut sink: TcpStream, from: usize, to: usize, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    while !shared.is_over() {
        match source.read(&mut buffer) {
            Ok(0) => {
                shared.wait_for(from, to);
                drop(sink.shutdown(Shutdown::Write));
                return;
            }
            Ok(count) => {
                shared.wait_for(from, to);
                if sink.write_all(&buffer[..count]).is_err() {
                    shared.wait_for(to, from);
                    drop(source.shutdown(Shutdown::Both));
                    return;
                }
            }
            Err(error) if is_timeout(&error) => {}
            Err(_) => {
                shared.wait_for(from, to);
                drop(sink.shutdown(Shutdown::Both));
                return;
            }
        }
    }
    drop((source.shutdown(Shutdown::Both), sink.shutdown(Shutdown::Both)));
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// How long a pump reads before it looks whether all is over.
const POLL: Duration = Duration::from_millis(200);
