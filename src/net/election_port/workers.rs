//! What goes over a kept link: one thread writes, one reads. (QuorumCnxManager.SendWorker, RecvWorker)

use std::io::{self, BufReader, ErrorKind, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use super::switchboard::Switchboard;
use crate::proto::notification::Notification;
use crate::quorum::{LinkEvent, LinkId};

/// Writes messages, each with its length before it, until the link is closed.
pub(super) fn send_all(
    switchboard: &Switchboard,
    link: LinkId,
    mut stream: impl Write,
    messages: &Receiver<Vec<u8>>,
) {
    for message in messages {
        // Messages are notifications: their length fits by far.
        let mut bytes = (message.len() as u32).to_be_bytes().to_vec();
        bytes.extend_from_slice(&message);
        if let Err(error) = stream.write_all(&bytes) {
            return tell_down(switchboard, link, &error);
        }
        switchboard.tell(LinkEvent::Sent { link });
    }
}

/// Reads messages until the link is closed, broken, or brings what no server sends.
pub(super) fn receive_all(switchboard: &Switchboard, link: LinkId, stream: impl Read) {
    let mut reader = BufReader::new(stream);
    let mut pace = Pace::new();
    loop {
        match read_message(&mut reader) {
            // What came before a link was closed could still be read.
            Ok(_) if !switchboard.has(link) => return,
            Ok(message) => switchboard.tell(LinkEvent::Received { link, message }),
            Err(error) => return tell_down(switchboard, link, &error),
        }
        pace.keep();
    }
}

fn tell_down(switchboard: &Switchboard, link: LinkId, error: &io::Error) {
    let reason = match error.kind() {
        ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
        _ => error.to_string(),
    };
    switchboard.tell(LinkEvent::Down { link, reason });
}

/// Reads one message, and keeps as much of it as anybody looks at.
fn read_message(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    reader.read_exact(&mut length)?;
    let length = i32::from_be_bytes(length);
    let bytes = usize::try_from(length).unwrap_or(0);
    if bytes == 0 || bytes > Notification::MAX_BYTES {
        let text = format!("Received packet with invalid packet: {length}");
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    let mut message = vec![0; bytes.min(Notification::BYTES)];
    reader.read_exact(&mut message)?;
    // A usize fits into a u64.
    let rest = (bytes - message.len()) as u64;
    let skipped = io::copy(&mut reader.take(rest), &mut io::sink())?;
    if skipped < rest {
        return Err(io::Error::from(ErrorKind::UnexpectedEof));
    }
    Ok(message)
}

/// Slows down a peer that sends without end, so that what it sends cannot pile up here: it is left unread.
struct Pace {
    left: u32,
    since: Instant,
}

impl Pace {
    fn new() -> Pace {
        let since = Instant::now();
        Pace { left: BURST, since }
    }

    /// Waits a moment if there were too many messages lately.
    fn keep(&mut self) {
        if self.since.elapsed() >= BREATH {
            *self = Pace::new();
        }
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            thread::sleep(PAUSE);
        }
    }
}

/// So many messages may come at once: votes change only so often.
const BURST: u32 = 500;
/// After this time there may be as many again.
const BREATH: Duration = Duration::from_secs(5);
/// Between the messages beyond.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Vec<u8>, ErrorKind> {
        read_message(&mut &bytes[..]).map_err(|error| error.kind())
    }

    #[test]
    fn a_message_is_read_whole_and_cut_to_what_matters() {
        assert_eq!(read(&[0, 0, 0, 2, 7, 8, 9]), Ok(vec![7, 8]));
        let mut long = 100u32.to_be_bytes().to_vec();
        long.extend([1; 100]);
        assert_eq!(read(&long), Ok(vec![1; 40]));
        long.pop();
        assert_eq!(read(&long), Err(ErrorKind::UnexpectedEof));
    }

    #[test]
    fn lengths_that_no_server_sends_are_refused_before_anything_is_allocated() {
        for length in [0, -1, i32::MIN, i32::MAX, 512 * 1024 + 1] {
            assert_eq!(read(&length.to_be_bytes()), Err(ErrorKind::InvalidData));
        }
        assert_eq!(
            read(&(512 * 1024i32).to_be_bytes()),
            Err(ErrorKind::UnexpectedEof)
        );
        assert_eq!(read(&[0, 0, 0]), Err(ErrorKind::UnexpectedEof));
    }
}
