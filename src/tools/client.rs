//! A small blocking client of the ZooKeeper wire: for the command line, the load generator and the tests.
//!
//! It has three layers, and a caller may mix them: bytes and frames ([`Wire`]), requests sent ahead of their
//! answers ([`Client::send`], [`Client::receive`]), and one method for each operation that waits for its answer.
//! It keeps no session alive by itself, and does not reconnect.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use crate::proto::multi::{MultiOp, encode_ops};
use crate::proto::requests::{
    AuthPacket, ConnectRequest, CreateRequest, PathOnly, PathVersion, PathWatch, RequestHeader,
    SetAclRequest, SetDataRequest, SetWatches,
};
use crate::proto::responses::{ConnectResponse, ReplyHeader, WatcherEvent};
use crate::proto::{
    Acl, Decode, Encode, ErrorCode, EventType, Malformed, OpCode, Reader, SessionId, Stat, Xid, Zxid,
};

use super::stream::{Caller, Stream};
use super::wire::{ClientError, Wire};

/// What a call gives: the outer error ends the conversation, the inner one is the server's answer.
pub type Answer<T> = Result<Result<T, ErrorCode>, ClientError>;

/// What a client says first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handshake {
    /// Not checked by anybody.
    pub protocol_version: i32,
    /// The newest change the client has seen.
    pub last_zxid_seen: Zxid,
    /// The session timeout it wishes for, milliseconds.
    pub timeout_ms: i32,
    /// The session to renew, or 0 for a new one.
    pub session: SessionId,
    /// The session's password, sixteen bytes by custom.
    pub password: Option<Vec<u8>>,
    /// Whether a read-only server will do; `None` leaves the byte out, as clients before 3.4 do.
    pub read_only: Option<bool>,
}

impl Default for Handshake {
    fn default() -> Handshake {
        Handshake {
            protocol_version: 0,
            last_zxid_seen: Zxid(0),
            timeout_ms: 30_000,
            session: SessionId(0),
            password: Some(vec![0; 16]),
            read_only: Some(false),
        }
    }
}

impl Handshake {
    /// A new session with a timeout of its own.
    pub fn with_timeout(timeout_ms: i32) -> Handshake {
        Handshake {
            timeout_ms,
            ..Handshake::default()
        }
    }

    /// The renewal of a session that a server has granted.
    pub fn renew(session: &Granted) -> Handshake {
        Handshake {
            timeout_ms: session.timeout_ms,
            session: session.session,
            password: Some(session.password.clone()),
            ..Handshake::default()
        }
    }
}

impl Encode for Handshake {
    fn encode(&self, out: &mut Vec<u8>) {
        let request = ConnectRequest {
            protocol_version: self.protocol_version,
            last_zxid_seen: self.last_zxid_seen,
            timeout_ms: self.timeout_ms,
            session: self.session,
            password: self.password.as_deref(),
        };
        request.encode(out);
        if let Some(read_only) = self.read_only {
            read_only.encode(out);
        }
    }
}

/// What a server answers to the handshake. A timeout of 0 is a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Granted {
    /// Always 0.
    pub protocol_version: i32,
    /// The timeout agreed, milliseconds.
    pub timeout_ms: i32,
    /// The session.
    pub session: SessionId,
    /// What proves it in a renewal.
    pub password: Vec<u8>,
    /// Whether the server serves reads only; missing if the handshake lacked the byte.
    pub read_only: Option<bool>,
}

impl Granted {
    /// Whether the session was refused.
    pub fn is_refusal(&self) -> bool {
        self.timeout_ms == 0
    }

    /// Reads the answer to the handshake.
    ///
    /// # Errors
    /// [`Malformed`] if it is none.
    pub fn decode(frame: &[u8]) -> Result<Granted, Malformed> {
        let mut reader = Reader::new(frame);
        let response = ConnectResponse::decode(&mut reader)?;
        let has_byte = reader.remaining() > 0;
        let read_only = has_byte.then(|| bool::decode(&mut reader)).transpose()?;
        Ok(Granted {
            protocol_version: response.protocol_version,
            timeout_ms: response.timeout_ms,
            session: response.session,
            password: response.password.to_vec(),
            read_only,
        })
    }
}

/// An answer, its record still encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request it belongs to.
    pub xid: Xid,
    /// The newest change that the server had applied.
    pub zxid: Zxid,
    /// How it went.
    pub error: ErrorCode,
    /// The record behind the header.
    pub body: Vec<u8>,
}

impl Reply {
    /// The record, if the request went well.
    ///
    /// # Errors
    /// [`Malformed`] if the body is not that record.
    pub fn record<'a, T: Decode<'a>>(&'a self) -> Result<Result<T, ErrorCode>, Malformed> {
        match self.error {
            ErrorCode::Ok => T::from_bytes(&self.body).map(Ok),
            error => Ok(Err(error)),
        }
    }

    /// Nothing, or the error.
    pub fn outcome(&self) -> Result<(), ErrorCode> {
        if self.error == ErrorCode::Ok {
            Ok(())
        } else {
            Err(self.error)
        }
    }
}

/// A watch that fired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub kind: EventType,
    /// To which node.
    pub path: String,
}

/// What comes from a server once the session stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// An answer.
    Reply(Reply),
    /// An event.
    Event(Event),
}

/// A connection with its session.
#[derive(Debug)]
pub struct Client {
    wire: Wire,
    session: Granted,
    next_xid: i32,
    events: VecDeque<Event>,
}

impl Client {
    /// Connects and asks for a session. A refusal is a value: see [`Granted::is_refusal`].
    ///
    /// # Errors
    /// [`ClientError`]; a server that closes without a word is [`ClientError::Closed`].
    pub fn connect(address: SocketAddr, hello: &Handshake, limit: Duration) -> Result<Client, ClientError> {
        Client::connect_by(&Caller::default(), address, None, hello, limit)
    }

    /// The same, plainly or with TLS as `caller` says, to a server that is called by the name `host`.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_by(
        caller: &Caller,
        address: SocketAddr,
        host: Option<&str>,
        hello: &Handshake,
        limit: Duration,
    ) -> Result<Client, ClientError> {
        let mut wire = Wire::call(caller, address, host, limit)?;
        wire.queue_frame(|out| hello.encode(out));
        let session = Granted::decode(&wire.receive_frame()?)?;
        Ok(Client {
            wire,
            session,
            next_xid: 1,
            events: VecDeque::new(),
        })
    }

    /// What the server granted.
    pub fn session(&self) -> &Granted {
        &self.session
    }

    /// The number of the next request. Clients of Java go on with theirs when they renew a session elsewhere.
    pub fn next_xid(&self) -> Xid {
        Xid(self.next_xid)
    }

    /// Sets it.
    pub fn set_next_xid(&mut self, xid: Xid) {
        self.next_xid = xid.0;
    }

    /// The connection below.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// The bare connection, for a caller that does all the rest itself. What was received and not read is lost.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn into_stream(self) -> std::io::Result<Stream<std::net::TcpStream>> {
        self.wire.into_stream()
    }

    /// Queues a request with the next number; [`Client::receive`] or [`Wire::flush`] sends what is queued.
    pub fn send(&mut self, op: OpCode, write: impl FnOnce(&mut Vec<u8>)) -> Xid {
        let xid = Xid(self.next_xid);
        self.next_xid = self.next_xid.wrapping_add(1).max(1);
        self.send_as(xid, op.number(), write);
        xid
    }

    /// Queues a request with a number and an operation that may be anything.
    pub fn send_as(&mut self, xid: Xid, op: i32, write: impl FnOnce(&mut Vec<u8>)) {
        self.wire.queue_frame(|out| {
            RequestHeader { xid, op }.encode(out);
            write(out);
        });
    }

    /// The next answer or event from the wire.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn receive(&mut self) -> Result<Incoming, ClientError> {
        let frame = self.wire.receive_frame()?;
        let mut reader = Reader::new(&frame);
        let ReplyHeader { xid, zxid, error } = ReplyHeader::decode(&mut reader)?;
        if xid == Xid::NOTIFICATION {
            let event = WatcherEvent::decode(&mut reader)?;
            return Ok(Incoming::Event(Event {
                kind: event.kind,
                path: event.path.into_owned(),
            }));
        }
        Ok(Incoming::Reply(Reply {
            xid,
            zxid,
            error,
            body: reader.rest().to_vec(),
        }))
    }

    /// The next answer, which must be that of `xid`; events on the way are kept for [`Client::event`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn receive_reply(&mut self, xid: Xid) -> Result<Reply, ClientError> {
        loop {
            match self.receive()? {
                Incoming::Event(event) => self.events.push_back(event),
                Incoming::Reply(reply) if reply.xid == xid => return Ok(reply),
                Incoming::Reply(reply) => {
                    return Err(ClientError::OutOfOrder {
                        expected: xid.0,
                        got: reply.xid.0,
                    });
                }
            }
        }
    }

    /// The oldest event that came while an answer was awaited, if there is one. Reads nothing.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// The next event; reads from the wire if none is kept.
    ///
    /// # Errors
    /// [`ClientError`]; an answer that nobody awaits is [`ClientError::OutOfOrder`].
    pub fn wait_event(&mut self) -> Result<Event, ClientError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        match self.receive()? {
            Incoming::Event(event) => Ok(event),
            Incoming::Reply(reply) => Err(ClientError::OutOfOrder {
                expected: -1,
                got: reply.xid.0,
            }),
        }
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn call(&mut self, op: OpCode, write: impl FnOnce(&mut Vec<u8>)) -> Result<Reply, ClientError> {
        let xid = self.send(op, write);
        self.receive_reply(xid)
    }

    /// Makes a node; gives its path. Flags: 1 ephemeral, 2 sequential.
    ///
    /// # Errors
    /// [`ClientError`], as of all operations.
    pub fn create(&mut self, path: &str, data: &[u8], acl: &[Acl], flags: i32) -> Answer<String> {
        let (path, data, acl) = (Cow::Borrowed(path), Some(data), acl.to_vec());
        let request = CreateRequest {
            path,
            data,
            acl,
            flags,
        };
        Ok(self.call(OpCode::Create, |out| request.encode(out))?.record()?)
    }

    /// Removes a node.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn delete(&mut self, path: &str, version: i32) -> Answer<()> {
        let request = PathVersion {
            path: path.into(),
            version,
        };
        Ok(self.call(OpCode::Delete, |out| request.encode(out))?.outcome())
    }

    /// The stat of a node that may be missing.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn exists(&mut self, path: &str, watch: bool) -> Answer<Stat> {
        Ok(self.read(OpCode::Exists, path, watch)?.record()?)
    }

    /// A node's data, which may be null, and its stat.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn get_data(&mut self, path: &str, watch: bool) -> Answer<(Option<Vec<u8>>, Stat)> {
        let reply = self.read(OpCode::GetData, path, watch)?;
        Ok(reply
            .pair::<Option<&[u8]>, Stat>()?
            .map(|(data, stat)| (data.map(<[u8]>::to_vec), stat)))
    }

    /// Replaces a node's data.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn set_data(&mut self, path: &str, data: &[u8], version: i32) -> Answer<Stat> {
        let request = SetDataRequest {
            path: path.into(),
            data: Some(data),
            version,
        };
        Ok(self.call(OpCode::SetData, |out| request.encode(out))?.record()?)
    }

    /// A node's ACL and its stat.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn get_acl(&mut self, path: &str) -> Answer<(Vec<Acl>, Stat)> {
        let request = PathOnly { path: path.into() };
        Ok(self.call(OpCode::GetAcl, |out| request.encode(out))?.pair()?)
    }

    /// Replaces a node's ACL.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn set_acl(&mut self, path: &str, acl: &[Acl], version: i32) -> Answer<Stat> {
        let request = SetAclRequest {
            path: path.into(),
            acl: acl.to_vec(),
            version,
        };
        Ok(self.call(OpCode::SetAcl, |out| request.encode(out))?.record()?)
    }

    /// The names of a node's children, in the server's order.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn get_children(&mut self, path: &str, watch: bool) -> Answer<Vec<String>> {
        Ok(self.read(OpCode::GetChildren, path, watch)?.record()?)
    }

    /// The names of a node's children, and its stat.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn get_children2(&mut self, path: &str, watch: bool) -> Answer<(Vec<String>, Stat)> {
        Ok(self.read(OpCode::GetChildren2, path, watch)?.pair()?)
    }

    /// Waits until the server has what the leader had; gives the path back.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn sync(&mut self, path: &str) -> Answer<String> {
        let request = PathOnly { path: path.into() };
        Ok(self.call(OpCode::Sync, |out| request.encode(out))?.record()?)
    }

    /// Compares a node's version, outside a multi.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn check(&mut self, path: &str, version: i32) -> Answer<()> {
        let request = PathVersion {
            path: path.into(),
            version,
        };
        Ok(self.call(OpCode::Check, |out| request.encode(out))?.outcome())
    }

    /// Several writes, all or none; `multi::decode_results` reads the body.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn multi(&mut self, ops: &[MultiOp<'_>]) -> Result<Reply, ClientError> {
        self.call(OpCode::Multi, |out| encode_ops(ops, out))
    }

    /// Adds an identity to the connection. After a refusal the server closes.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn add_auth(&mut self, scheme: &str, auth: &[u8]) -> Answer<()> {
        let request = AuthPacket {
            kind: 0,
            scheme: Some(scheme.into()),
            auth: Some(auth),
        };
        self.send_as(Xid::AUTH, OpCode::Auth.number(), |out| request.encode(out));
        Ok(self.receive_reply(Xid::AUTH)?.outcome())
    }

    /// Arms watches again, as a client does after a reconnect.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn set_watches(&mut self, watches: &SetWatches<'_>) -> Answer<()> {
        self.send_as(Xid::SET_WATCHES, OpCode::SetWatches.number(), |out| {
            watches.encode(out)
        });
        Ok(self.receive_reply(Xid::SET_WATCHES)?.outcome())
    }

    /// Keeps the session alive; gives the newest change that the server had applied.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn ping(&mut self) -> Result<Zxid, ClientError> {
        self.send_as(Xid::PING, OpCode::Ping.number(), |_| {});
        Ok(self.receive_reply(Xid::PING)?.zxid)
    }

    /// Ends the session, and waits until the server has closed the connection.
    ///
    /// # Errors
    /// See [`Client::create`].
    pub fn close(mut self) -> Answer<()> {
        let reply = self.call(OpCode::CloseSession, |_| {})?;
        self.wire.receive_rest()?;
        Ok(reply.outcome())
    }

    fn read(&mut self, op: OpCode, path: &str, watch: bool) -> Result<Reply, ClientError> {
        let request = PathWatch {
            path: path.into(),
            watch,
        };
        self.call(op, |out| request.encode(out))
    }
}

impl Reply {
    /// Two records, one behind the other, if the request went well.
    ///
    /// # Errors
    /// [`Malformed`] if the body is not those.
    pub fn pair<'a, A: Decode<'a>, B: Decode<'a>>(&'a self) -> Result<Result<(A, B), ErrorCode>, Malformed> {
        if self.error != ErrorCode::Ok {
            return Ok(Err(self.error));
        }
        let mut reader = Reader::new(&self.body);
        Ok(Ok((A::decode(&mut reader)?, B::decode(&mut reader)?)))
    }
}
