//! A connection of which one thread reads and another writes.
//!
//! The lock is held while records are made and taken apart, never while a socket is waited for. Records leave in the
//! order in which they are made, since the one who makes them writes them. What TLS itself has to say while reading
//! (a change of keys) goes out with the next write.

use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::Connection;

use super::session::{MOST_PIECE_BYTES, malformed};

type Shared = Arc<Mutex<Connection>>;

/// The end to read from.
pub struct TlsReader<R> {
    socket: R,
    connection: Shared,
    raw: Vec<u8>,
    /// What of `raw` is not taken yet.
    waiting: Range<usize>,
}

/// The end to write to.
pub struct TlsWriter<W> {
    socket: W,
    connection: Shared,
    records: Vec<u8>,
}

/// Parts a connection that has shaken hands. Both handles are of one socket.
pub(super) fn part<R, W>(connection: Connection, reading: R, writing: W) -> (TlsReader<R>, TlsWriter<W>) {
    let connection = Arc::new(Mutex::new(connection));
    let reader = TlsReader {
        socket: reading,
        connection: Arc::clone(&connection),
        raw: vec![0; RAW_BYTES],
        waiting: 0..0,
    };
    let writer = TlsWriter {
        socket: writing,
        connection,
        records: Vec::new(),
    };
    (reader, writer)
}

impl<W> TlsWriter<W> {
    /// The socket below.
    pub fn socket(&self) -> &W {
        &self.socket
    }
}

impl<R: Read> TlsReader<R> {
    /// Takes one read of the socket apart. An end of the socket without a word of parting shows with the next read.
    fn take_more(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            let count = self.socket.read(&mut self.raw)?;
            self.waiting = 0..count;
        }
        let mut connection = lock(&self.connection);
        let mut raw = self.raw.get(self.waiting.clone()).unwrap_or_default();
        let taken = connection.read_tls(&mut raw)?;
        self.waiting.start += taken;
        connection.process_new_packets().map_err(malformed)?;
        Ok(())
    }
}

impl<R: Read> Read for TlsReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let plain = lock(&self.connection).reader().read(buffer);
            match plain {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.take_more()?,
                result => return result,
            }
        }
    }
}

impl<W: Write> Write for TlsWriter<W> {
    /// A write that fails leaves a stream of no further use, as with a plain one.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = bytes.get(..bytes.len().min(MOST_PIECE_BYTES)).unwrap_or_default();
        let count = {
            let mut connection = lock(&self.connection);
            let count = connection.writer().write(piece)?;
            while connection.wants_write() {
                connection.write_tls(&mut self.records)?;
            }
            count
        };
        let written = self.socket.write_all(&self.records);
        self.records.clear();
        written.map(|()| count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

fn lock(connection: &Shared) -> MutexGuard<'_, Connection> {
    // Nothing panics while it is held.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

const RAW_BYTES: usize = 16 * 1024;
