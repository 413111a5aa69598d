//! Plain bytes on one side, records on the other, over a socket that is handed in with each call.

use std::io::{self, ErrorKind, Read, Write};

use rustls::{Connection, ProtocolVersion};
use rustls_pki_types::CertificateDer;

use super::context::suite_name;
use super::halves::{self, TlsReader, TlsWriter};

/// A connection's records.
pub(super) struct Session {
    connection: Connection,
    greedy: bool,
    /// Plain bytes that are in a record already, and not yet told as written: the record is not in the socket whole.
    owed: usize,
}

/// A stream to a server that was called, of one thread's. Its socket may wait or not.
pub struct TlsStream<S> {
    socket: S,
    session: Session,
}

impl<S> TlsStream<S> {
    /// A stream upon a connection that has shaken hands.
    pub fn new(connection: Connection, socket: S) -> TlsStream<S> {
        let session = Session::new(connection, false);
        TlsStream { socket, session }
    }

    /// The socket below.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// The socket below.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// Parts a stream that has shaken hands, for one thread that reads and one that writes.
    ///
    /// # Errors
    /// What `handles` says, which makes of the socket a handle for each.
    pub fn part<R, W>(
        self,
        handles: impl FnOnce(S) -> io::Result<(R, W)>,
    ) -> io::Result<(TlsReader<R>, TlsWriter<W>)> {
        let (reading, writing) = handles(self.socket)?;
        Ok(halves::part(self.session.connection, reading, writing))
    }

    /// The same stream upon another handle of the socket, which waits no more: a read takes all that there is.
    pub fn without_waiting<T>(self, change: impl FnOnce(S) -> T) -> TlsStream<T> {
        let session = Session {
            greedy: true,
            ..self.session
        };
        TlsStream {
            socket: change(self.socket),
            session,
        }
    }
}

impl<S: Write> TlsStream<S> {
    /// Says that nothing more will be said.
    pub fn end(&mut self) {
        self.session.end(&mut self.socket);
    }
}

impl<S: Read + Write> Read for TlsStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session.read(&mut self.socket, buffer)
    }
}

impl<S: Read + Write> Write for TlsStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.session.write(&mut self.socket, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.write_records(&mut self.socket)
    }
}

impl<S> std::fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsStream")
    }
}

impl Session {
    /// A session upon a connection. A `greedy` one reads all that the socket has, another one as much as it has at
    /// once.
    pub fn new(connection: Connection, greedy: bool) -> Session {
        Session {
            connection,
            greedy,
            owed: 0,
        }
    }

    /// Whether hands are still being shaken.
    pub fn is_greeting(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// What the other side has shown.
    pub fn certificate(&self) -> Option<&CertificateDer<'static>> {
        self.connection.peer_certificates()?.first()
    }

    /// Says that nothing more will be said.
    pub fn end(&mut self, socket: &mut impl Write) {
        self.connection.send_close_notify();
        // The other side may be gone already.
        drop(self.write_records(socket));
    }

    /// Reads until the buffer is full or the socket is empty: a count below the buffer's length means the latter, if it
    /// is greedy.
    pub fn read(&mut self, socket: &mut (impl Read + Write), buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            let free = buffer.get_mut(filled..).unwrap_or_default();
            match self.connection.reader().read(free) {
                Ok(0) => return Ok(filled),
                Ok(count) => {
                    filled += count;
                    if filled == buffer.len() || !self.greedy {
                        return Ok(filled);
                    }
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // The socket was closed without a word of parting, as many clients do.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(filled),
                Err(error) => return Err(error),
            }
            match self.connection.read_tls(socket) {
                Ok(0) => return Ok(filled),
                Ok(_) => self.take_records(socket)?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock && filled > 0 => return Ok(filled),
                Err(error) => return Err(error),
            }
        }
    }

    fn take_records(&mut self, socket: &mut impl Write) -> io::Result<()> {
        let taken = self.connection.process_new_packets();
        // What it has to say, be it an alert, is said now if the socket takes it, and with the next flush otherwise.
        let written = self.write_records(socket);
        taken.map_err(malformed)?;
        match written {
            Err(error) if !is_for_later(&error) => Err(error),
            _ => Ok(()),
        }
    }

    pub fn write_records(&mut self, socket: &mut impl Write) -> io::Result<()> {
        while self.connection.wants_write() {
            match self.connection.write_tls(socket) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Bytes are told as written when their record is in the socket whole. Until then the same bytes must be given
    /// again.
    pub fn write(&mut self, socket: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
        if self.owed == 0 {
            let piece = bytes.get(..bytes.len().min(MOST_PIECE_BYTES)).unwrap_or_default();
            self.owed = self.connection.writer().write(piece)?;
        }
        self.write_records(socket)?;
        Ok(std::mem::take(&mut self.owed))
    }
}

/// Shakes hands over a stream that waits as long as it is told to.
///
/// # Errors
/// What the stream says; [`ErrorKind::InvalidData`] for what is no TLS, or a certificate that is not believed.
pub fn shake_hands(connection: &mut Connection, stream: &mut (impl Read + Write)) -> io::Result<()> {
    while connection.is_handshaking() || connection.wants_write() {
        connection.complete_io(stream)?;
    }
    Ok(())
}

/// The version and the cipher suite that both sides have agreed upon, as Java writes them.
pub fn agreed(connection: &Connection) -> String {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "none",
    };
    let suite = connection.negotiated_cipher_suite();
    let suite = suite.map_or_else(|| "none".to_owned(), |suite| suite_name(&suite));
    format!("{version} - {suite}")
}

/// What the other side has said that it should not, or why it hangs up.
pub(super) fn malformed(error: rustls::Error) -> io::Error {
    let more = match error {
        rustls::Error::AlertReceived(_) => "; the log of the other side says why",
        _ => "",
    };
    io::Error::new(ErrorKind::InvalidData, format!("TLS: {error}{more}"))
}

/// Whether the same can be asked for again.
pub(super) fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// So much is put into records at once.
pub(super) const MOST_PIECE_BYTES: usize = 16 * 1024;
