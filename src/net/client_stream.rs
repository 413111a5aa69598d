//! A client's socket: plain, or with TLS upon it.

use std::io::{self, Read, Write};
use std::net::IpAddr;

use mio::net::TcpStream;

use super::acceptor::Stream;
use crate::tls::{Greeting, ServerStream};

/// A connection as the operating system gives it, and what is between it and the loop.
pub(super) enum ClientStream {
    /// Nothing is.
    Plain(TcpStream),
    /// TLS is, or the first byte tells.
    Guarded(Box<ServerStream<TcpStream>>),
}

impl ClientStream {
    /// The socket.
    pub fn socket_mut(&mut self) -> &mut TcpStream {
        match self {
            ClientStream::Plain(socket) => socket,
            ClientStream::Guarded(stream) => stream.socket_mut(),
        }
    }
}

impl Read for ClientStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            ClientStream::Plain(socket) => socket.read(buffer),
            ClientStream::Guarded(stream) => stream.read(buffer),
        }
    }
}

impl Write for ClientStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            ClientStream::Plain(socket) => socket.write(bytes),
            ClientStream::Guarded(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            ClientStream::Plain(_) => Ok(()),
            ClientStream::Guarded(stream) => stream.flush(),
        }
    }
}

impl Stream for ClientStream {
    fn greeting(&self, remote: IpAddr) -> Greeting {
        match self {
            ClientStream::Plain(_) => Greeting::Done { subject: None },
            ClientStream::Guarded(stream) => stream.greeting(remote),
        }
    }

    fn end(&mut self) {
        if let ClientStream::Guarded(stream) = self {
            stream.end();
        }
    }
}
