//! A client's connection as the client loop holds it: it never waits, and what cannot be done at once fails as
//! [`ErrorKind::WouldBlock`].
//!
//! Nothing is set up for a connection before its first byte has come: thousands that say nothing cost nothing.

use std::io::{self, ErrorKind, Read, Write};
use std::net::IpAddr;
use std::sync::Arc;

use super::TlsContext;
use super::session::{Session, is_for_later};
use super::subject::subject_of;

/// A stream whose first byte tells whether it speaks TLS.
pub struct ServerStream<S> {
    socket: S,
    phase: Phase,
}

enum Phase {
    /// Nothing has come yet.
    Silent {
        context: Arc<TlsContext>,
        /// Whether those who speak plainly are heard as well. (`client.portUnification`)
        takes_plain: bool,
    },
    /// It speaks plainly.
    Plain,
    /// It speaks TLS, by the rules of the context.
    Tls(Box<Session>, Arc<TlsContext>),
    /// The last word is said; what still comes is rubbish.
    Over,
}

/// How far a connection is with telling who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Greeting {
    /// It has not said enough.
    Pending,
    /// It may be served.
    Done {
        /// The owner of its certificate, if it has shown one.
        subject: Option<String>,
    },
    /// It is not to be heard.
    Refused(&'static str),
}

impl<S: Read + Write> ServerStream<S> {
    /// A stream that was just accepted.
    pub fn new(socket: S, context: Arc<TlsContext>, takes_plain: bool) -> ServerStream<S> {
        let phase = Phase::Silent { context, takes_plain };
        ServerStream { socket, phase }
    }

    /// The socket below.
    pub fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    /// How far it is with telling who it is. `remote` is where it comes from.
    pub fn greeting(&self, remote: IpAddr) -> Greeting {
        let (session, context) = match &self.phase {
            Phase::Silent { .. } => return Greeting::Pending,
            Phase::Plain | Phase::Over => return Greeting::Done { subject: None },
            Phase::Tls(session, context) => (session, context),
        };
        if session.is_greeting() {
            return Greeting::Pending;
        }
        match session.certificate() {
            None => Greeting::Done { subject: None },
            Some(certificate) if !context.is_from(certificate, &[remote.to_string()]) => {
                Greeting::Refused("the client's certificate does not name the address that it calls from")
            }
            Some(certificate) => match subject_of(certificate) {
                None => Greeting::Refused("the owner of the client's certificate cannot be read"),
                subject => Greeting::Done { subject },
            },
        }
    }

    /// Says that nothing more will be said. It is not waited for.
    pub fn end(&mut self) {
        if let Phase::Tls(session, _) = &mut self.phase {
            session.end(&mut self.socket);
        }
        self.phase = Phase::Over;
    }

    /// Hears the first byte.
    fn begin(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Phase::Silent { context, takes_plain } = &self.phase else {
            return Ok(0);
        };
        let Some((first, rest)) = buffer.split_first_mut() else {
            return Ok(0);
        };
        if self.socket.read(std::slice::from_mut(first))? == 0 {
            return Ok(0);
        }
        if begins_handshake(*first) {
            let mut connection = context.accept()?;
            connection.read_tls(&mut std::slice::from_ref(first))?;
            let context = Arc::clone(context);
            self.phase = Phase::Tls(Box::new(Session::new(connection.into(), true)), context);
            return self.read(buffer);
        }
        if !takes_plain {
            let text = "this port speaks TLS, and the client does not: its first byte begins no handshake";
            self.phase = Phase::Over;
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        self.phase = Phase::Plain;
        match self.socket.read(rest) {
            Ok(count) => Ok(1 + count),
            Err(error) if is_for_later(&error) => Ok(1),
            Err(error) => Err(error),
        }
    }
}

impl<S: Read + Write> Read for ServerStream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.phase {
            Phase::Silent { .. } => self.begin(buffer),
            Phase::Plain | Phase::Over => self.socket.read(buffer),
            Phase::Tls(session, _) => session.read(&mut self.socket, buffer),
        }
    }
}

impl<S: Read + Write> Write for ServerStream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.phase {
            Phase::Silent { .. } => Err(ErrorKind::WouldBlock.into()),
            Phase::Plain => self.socket.write(bytes),
            Phase::Tls(session, _) if session.is_greeting() => Err(ErrorKind::WouldBlock.into()),
            Phase::Tls(session, _) => session.write(&mut self.socket, bytes),
            Phase::Over => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// Writes what TLS itself has to say, if the socket takes it.
    fn flush(&mut self) -> io::Result<()> {
        match &mut self.phase {
            Phase::Tls(session, _) => session.write_records(&mut self.socket),
            _ => Ok(()),
        }
    }
}

/// Whether a first byte is that of TLS.
pub fn begins_handshake(first: u8) -> bool {
    first == HANDSHAKE
}

/// A record of the handshake.
const HANDSHAKE: u8 = 0x16;
