//! The ends of connections, and who is at them.

/// A machine: a server's number, or a client's from [`FIRST_CLIENT`] on.
pub type Host = u64;
/// Clients' machines.
pub const FIRST_CLIENT: Host = 100;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    pub conn: u64,
    pub side: usize,
}

impl End {
    pub fn other(self) -> End {
        let (conn, side) = (self.conn, 1 - self.side);
        End { conn, side }
    }
}

/// Which port of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Port {
    Clients,
    Quorum,
    Election,
}

/// Who is at an end.
pub trait Receiver: Send {
    /// Bytes have come.
    fn bytes(&mut self, bytes: &[u8]);
    /// Nothing more will.
    fn down(&mut self, why: Down);
}

/// Why nothing more comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// The other side has closed.
    Closed,
    /// The connection is broken.
    Reset,
    /// Nothing came for too long.
    TimedOut,
}

/// Who waits for connections on a port.
pub trait Acceptor: Send {
    /// Somebody has called. `end` is the near one.
    fn accept(&mut self, end: End, from: Host) -> Box<dyn Receiver>;
}

/// Who has called somebody.
pub trait Caller: Send {
    /// It has come through.
    fn connected(self: Box<Self>, end: End) -> Box<dyn Receiver>;
    /// It has not.
    fn failed(self: Box<Self>, why: &str);
}
