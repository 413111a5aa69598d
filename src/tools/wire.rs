//! A client's connection as bytes and frames, without any meaning.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use thiserror::Error;

use super::stream::{Caller, Stream};
use crate::proto::{Decode, Encode, Malformed};

/// A connection as bytes and frames, without any meaning.
#[derive(Debug)]
pub struct Wire {
    stream: Stream<TcpStream>,
    unsent: Vec<u8>,
    received: Vec<u8>,
    read: usize,
}

impl Wire {
    /// Connects. `limit` bounds the connect and each later read and write.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn open(address: SocketAddr, limit: Duration) -> io::Result<Wire> {
        Wire::call(&Caller::default(), address, None, limit)
    }

    /// The same, plainly or with TLS as `caller` says, to a server that is called by the name `host`.
    ///
    /// # Errors
    /// Those of the operating system, and of a handshake.
    pub fn call(
        caller: &Caller,
        address: SocketAddr,
        host: Option<&str>,
        limit: Duration,
    ) -> io::Result<Wire> {
        Ok(Wire {
            stream: caller.call(address, host, limit)?,
            unsent: Vec::new(),
            received: Vec::new(),
            read: 0,
        })
    }

    /// Bounds each later read.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn limit_reads(&self, limit: Duration) -> io::Result<()> {
        self.stream
            .socket()
            .set_read_timeout(Some(limit.max(Duration::from_millis(1))))
    }

    /// The bare connection, once what waits is sent; without limits to reads and writes.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn into_stream(mut self) -> io::Result<Stream<TcpStream>> {
        self.flush()?;
        self.stream.socket().set_read_timeout(None)?;
        self.stream.socket().set_write_timeout(None)?;
        Ok(self.stream)
    }

    /// This side's address, as the server sees it.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.socket().local_addr()
    }

    /// Sends bytes as they are, after what waits to be sent.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(bytes);
        self.flush()
    }

    /// Puts a frame behind what waits to be sent.
    pub fn queue_frame(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let begin = self.unsent.len();
        0i32.encode(&mut self.unsent);
        write(&mut self.unsent);
        // Nobody builds a request of 2 GiB.
        let length = (self.unsent.len() - begin - 4) as i32;
        self.unsent[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn flush(&mut self) -> io::Result<()> {
        let outcome = self.stream.write_all(&self.unsent);
        self.unsent.clear();
        outcome
    }

    /// Sends what waits, and then the end of the stream; reading goes on.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.stream.end();
        self.stream.socket().shutdown(Shutdown::Write)
    }

    /// The next frame without its length. After a time-out it can be asked for again: nothing is lost.
    ///
    /// # Errors
    /// [`ClientError::Closed`] at the end of the stream, or those of the operating system.
    pub fn receive_frame(&mut self) -> Result<Vec<u8>, ClientError> {
        self.flush()?;
        self.fill(4)?;
        let length = i32::from_bytes(&self.received[self.read..])?;
        let length_bytes = usize::try_from(length).map_err(|_| ClientError::Length(length))?;
        self.fill(4 + length_bytes)?;
        let begin = self.read + 4;
        let frame = self.received[begin..begin + length_bytes].to_vec();
        self.read = begin + length_bytes;
        Ok(frame)
    }

    /// Everything until the server closes, also by a reset: it has then not read all that was sent.
    ///
    /// # Errors
    /// Those of the operating system but a reset.
    pub fn receive_rest(&mut self) -> io::Result<Vec<u8>> {
        self.flush()?;
        let mut rest = self.received.split_off(self.read);
        match self.stream.read_to_end(&mut rest) {
            Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
            _ => Ok(rest),
        }
    }

    /// Reads until `count` bytes are there.
    fn fill(&mut self, count: usize) -> Result<(), ClientError> {
        if self.read == self.received.len() {
            self.received.clear();
            self.read = 0;
        }
        let mut chunk = [0; READ_BYTES];
        while self.received.len() - self.read < count {
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(bytes) => self.received.extend_from_slice(&chunk[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Why a conversation cannot go on. An error code in an answer is none of these.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The socket failed, or nothing came within the time limit.
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// What the server sent is no answer.
    #[error("the server's answer cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// The answer belongs to another request.
    #[error("an answer to request {got} came where {expected} was due")]
    OutOfOrder {
        /// The request that waits.
        expected: i32,
        /// The request that was answered.
        got: i32,
    },
    /// The frame's length is negative.
    #[error("a frame of {0} bytes")]
    Length(i32),
}

impl ClientError {
    /// Whether this is only the end of the time limit.
    pub fn is_timeout(&self) -> bool {
        let kinds = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        matches!(self, ClientError::Io(error) if kinds.contains(&error.kind()))
    }

    /// Whether the other side is gone: in order, or by a reset.
    pub fn is_closed(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match self {
            ClientError::Closed => true,
            ClientError::Io(error) => {
                [BrokenPipe, ConnectionAborted, ConnectionReset].contains(&error.kind())
            }
            _ => false,
        }
    }
}

/// What a server answers to a four-letter word and what follows it, until it closes.
///
/// # Errors
/// Those of the operating system.
pub fn four_letter_word(address: SocketAddr, word: &[u8], limit: Duration) -> io::Result<Vec<u8>> {
    let mut wire = Wire::open(address, limit)?;
    wire.send_bytes(word)?;
    wire.receive_rest()
}

/// How much is read from the socket at once.
const READ_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn frames_survive_time_outs_in_their_middle() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let mut wire = Wire::open(address, Duration::from_secs(10)).expect("connected");
        let (mut server, _) = listener.accept().expect("accepted");
        wire.limit_reads(Duration::from_millis(1)).expect("a limit");
        for byte in [0, 0, 0, 2, b'o'] {
            server.write_all(&[byte]).expect("sent");
            assert!(wire.receive_frame().is_err_and(|error| error.is_timeout()));
        }
        server.write_all(b"k\0\0\0\0\xff\xff\xff\xff").expect("sent");
        wire.limit_reads(Duration::from_secs(10)).expect("a limit");
        assert_eq!(wire.receive_frame().expect("a frame"), b"ok");
        assert_eq!(wire.receive_frame().expect("an empty frame"), b"");
        assert!(matches!(wire.receive_frame(), Err(ClientError::Length(-1))));
        drop(server);
        assert_eq!(wire.receive_rest().expect("the rest"), b"\xff\xff\xff\xff");
    }
}
