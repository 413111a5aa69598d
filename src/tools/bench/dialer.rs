//! Connections made anew while the load goes on, by a thread of their own: a connect that hangs delays no answer.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::tools::client::{Client, Handshake};
use crate::tools::stream::{Caller, Stream};

/// Who dials. Dropping it ends its thread.
#[derive(Debug)]
pub struct Dialer {
    asked: Sender<usize>,
    made: Receiver<(usize, Option<Stream<TcpStream>>)>,
}

impl Dialer {
    /// Starts the thread, which calls servers as `caller` does.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn start(caller: Caller, servers: Vec<SocketAddr>, timeout_ms: i32) -> io::Result<Dialer> {
        let (asked, asks) = channel();
        let (makes, made) = channel();
        let thread = thread::Builder::new().name("Dialer".to_owned());
        thread.spawn(move || {
            let hello = Handshake::with_timeout(timeout_ms);
            for (turn, index) in asks.iter().enumerate() {
                // Whoever asked may have gone meanwhile.
                if makes
                    .send((index, dial(&caller, &servers, turn, &hello)))
                    .is_err()
                {
                    return;
                }
            }
        })?;
        Ok(Dialer { asked, made })
    }

    /// Asks for a new session for connection `index`.
    pub fn ask(&self, index: usize) {
        // The thread ends after this value only.
        let _has_gone = self.asked.send(index).is_err();
    }

    /// A connection whose session stands, if one has been made since; those that nobody takes are asked for again.
    pub fn take(&self) -> Option<(usize, Stream<TcpStream>)> {
        while let Ok((index, stream)) = self.made.try_recv() {
            match stream {
                Some(stream) => return Some((index, stream)),
                None => self.ask(index),
            }
        }
        None
    }
}

/// Tries one server after the other; when all refuse, waits a little, so that it is no flood.
fn dial(
    caller: &Caller,
    servers: &[SocketAddr],
    turn: usize,
    hello: &Handshake,
) -> Option<Stream<TcpStream>> {
    for step in 0..servers.len() {
        let address = servers[(turn + step) % servers.len()];
        let granted = Client::connect_by(caller, address, None, hello, LIMIT);
        if let Some(client) = granted.ok().filter(|client| !client.session().is_refusal()) {
            return client.into_stream().ok();
        }
    }
    thread::sleep(PAUSE);
    None
}

/// How long a server may take to grant a session.
const LIMIT: Duration = Duration::from_millis(500);

/// Between two rounds in which all servers refused.
const PAUSE: Duration = Duration::from_millis(5);
