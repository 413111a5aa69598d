//! A connection between two servers: first one thread's, which finds out who is there, then two threads', of which one
//! reads and one writes. Plain, or with TLS upon it.

use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustls::Connection;

use crate::tls::{TlsReader, TlsStream, TlsWriter};

use super::quorum_streams::PeerStream;

/// A connection whose other end is still to say who it is.
#[derive(Debug)]
pub(super) struct PeerChannel {
    layer: Layer,
    /// What was read and belongs to what comes next.
    early: Vec<u8>,
}

#[derive(Debug)]
enum Layer {
    Plain(PatientSocket),
    Tls(Box<TlsStream<PatientSocket>>),
}

/// A socket that is waited for until some time at most, if there is one.
#[derive(Debug)]
struct PatientSocket {
    socket: TcpStream,
    end: Option<Instant>,
}

/// The end that one thread reads from.
pub(super) struct ChannelReader {
    early: Cursor<Vec<u8>>,
    rest: ReadHalf,
}

enum ReadHalf {
    Plain(TcpStream),
    Tls(Box<TlsReader<TcpStream>>),
}

/// The end that another thread writes to.
pub(super) enum ChannelWriter {
    /// Without TLS.
    Plain(TcpStream),
    /// With it.
    Tls(Box<TlsWriter<TcpStream>>),
}

impl PeerChannel {
    /// A connection that was just made.
    pub fn new(socket: TcpStream) -> PeerChannel {
        PeerChannel {
            layer: Layer::Plain(PatientSocket { socket, end: None }),
            early: Vec::new(),
        }
    }

    /// Lets `talk` have the connection for so long. However slowly bytes come and go, what is not done by then fails
    /// as [`ErrorKind::TimedOut`]. The limits of single reads and writes that the socket has are as before afterwards.
    pub fn within<T>(
        &mut self,
        limit: Duration,
        talk: impl FnOnce(&mut PeerChannel) -> io::Result<T>,
    ) -> io::Result<T> {
        let socket = self.socket();
        let before = (socket.read_timeout()?, socket.write_timeout()?);
        self.patient().end = Some(Instant::now() + limit);
        let said = talk(self);
        self.patient().end = None;
        self.socket().set_read_timeout(before.0)?;
        self.socket().set_write_timeout(before.1)?;
        said
    }

    /// The socket below.
    pub fn socket(&self) -> &TcpStream {
        match &self.layer {
            Layer::Plain(patient) => &patient.socket,
            Layer::Tls(stream) => &stream.socket().socket,
        }
    }

    /// Where the other end is.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        let address = self.socket().peer_addr()?;
        Ok(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// The first bytes that have come, without taking them: at least one, unless the other end has hung up.
    pub fn look(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patient().wait(|socket| socket.peek(buffer))
    }

    /// The same connection with TLS upon it, which has shaken hands.
    pub fn under_tls(self, connection: Connection) -> PeerChannel {
        let layer = match self.layer {
            Layer::Plain(socket) => Layer::Tls(Box::new(TlsStream::new(connection, socket))),
            layer => layer,
        };
        PeerChannel { layer, ..self }
    }

    /// Puts bytes back that were read and belong to what comes next.
    pub fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.append(&mut self.early);
        self.early = bytes;
    }

    /// What was put back.
    #[cfg(test)]
    pub fn early(&self) -> &[u8] {
        &self.early
    }

    /// Parts the connection for two threads.
    ///
    /// # Errors
    /// The system has no room for another handle of the socket.
    pub fn part(self) -> io::Result<(ChannelReader, ChannelWriter)> {
        let handles = |patient: PatientSocket| Ok((patient.socket.try_clone()?, patient.socket));
        let (rest, writer) = match self.layer {
            Layer::Plain(patient) => {
                let (reading, writing) = handles(patient)?;
                (ReadHalf::Plain(reading), ChannelWriter::Plain(writing))
            }
            Layer::Tls(stream) => {
                let (reading, writing) = stream.part(handles)?;
                let writer = ChannelWriter::Tls(Box::new(writing));
                (ReadHalf::Tls(Box::new(reading)), writer)
            }
        };
        let early = Cursor::new(self.early);
        Ok((ChannelReader { early, rest }, writer))
    }

    fn patient(&mut self) -> &mut PatientSocket {
        match &mut self.layer {
            Layer::Plain(patient) => patient,
            Layer::Tls(stream) => stream.socket_mut(),
        }
    }
}

impl Read for PeerChannel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.early.is_empty() {
            let count = (&self.early[..]).read(buffer)?;
            self.early.drain(..count);
            return Ok(count);
        }
        match &mut self.layer {
            Layer::Plain(patient) => patient.read(buffer),
            Layer::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for PeerChannel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.layer {
            Layer::Plain(patient) => patient.write(bytes),
            Layer::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.layer {
            Layer::Plain(patient) => patient.flush(),
            Layer::Tls(stream) => stream.flush(),
        }
    }
}

impl PatientSocket {
    fn wait<T>(&mut self, mut attempt: impl FnMut(&TcpStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            if let Some(end) = self.end {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(too_late());
                }
                self.socket.set_read_timeout(Some(left))?;
                self.socket.set_write_timeout(Some(left))?;
            }
            match attempt(&self.socket) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && self.end.is_some() => {}
                result => return result,
            }
        }
    }
}

impl Read for PatientSocket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(|mut socket| socket.read(buffer))
    }
}

impl Write for PatientSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|mut socket| socket.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for ChannelReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.early.read(buffer)? {
            0 => match &mut self.rest {
                ReadHalf::Plain(socket) => socket.read(buffer),
                ReadHalf::Tls(reader) => reader.read(buffer),
            },
            count => Ok(count),
        }
    }
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            ChannelWriter::Plain(socket) => socket.write(bytes),
            ChannelWriter::Tls(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            ChannelWriter::Plain(socket) => socket.flush(),
            ChannelWriter::Tls(writer) => writer.flush(),
        }
    }
}

impl PeerStream for ChannelWriter {
    fn shut(&self) {
        let socket = match self {
            ChannelWriter::Plain(socket) => socket,
            ChannelWriter::Tls(writer) => writer.socket(),
        };
        drop(socket.shutdown(Shutdown::Both));
    }
}

fn too_late() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, "the other server did not answer in time")
}
