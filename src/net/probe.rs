//! Asks another member's client port a four-letter word, with a short patience.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::runtime::Clock;

/// What the member answers, as text.
///
/// # Errors
/// Those of the operating system, and a timeout; in few words, to be shown.
pub fn ask(host: &str, port: u16, word: &str, clock: &dyn Clock) -> Result<String, String> {
    exchange(host, port, word, clock).map_err(|error| match error.kind() {
        // A read or write past its time limit says this on Unix.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer in time".to_owned(),
        ErrorKind::ConnectionRefused => "nobody listens".to_owned(),
        _ => error.to_string(),
    })
}

fn exchange(host: &str, port: u16, word: &str, clock: &dyn Clock) -> io::Result<String> {
    let end_ms = clock.now().elapsed_ms + PATIENCE_MS;
    let left = || {
        let left_ms = (end_ms - clock.now().elapsed_ms).max(1);
        Duration::from_millis(left_ms.unsigned_abs())
    };
    let nowhere = || io::Error::new(ErrorKind::NotFound, "the name has no address");
    let address = (host, port).to_socket_addrs()?.next().ok_or_else(nowhere)?;
    let mut stream = TcpStream::connect_timeout(&address, left())?;
    stream.set_write_timeout(Some(left()))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < MOST_BYTES && clock.now().elapsed_ms < end_ms {
        stream.set_read_timeout(Some(left()))?;
        match stream.read(&mut piece)? {
            0 => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            count => answer.extend_from_slice(&piece[..count]),
        }
    }
    Err(ErrorKind::TimedOut.into())
}

/// How long one answer may take, from the look-up of the name on.
const PATIENCE_MS: i64 = 1_000;
/// Far more than any word asked here answers.
const MOST_BYTES: usize = 64 * 1024;
