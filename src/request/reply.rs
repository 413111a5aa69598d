//! What goes back to connections: batches of encoded frames, and words to the client loop.

use std::ops::Range;
use std::sync::Arc;

use crate::proto::responses::{ReplyHeader, WatcherEvent};
use crate::proto::{Acl, ConnId, Encode, ErrorCode, KeeperState, OpCode, SessionId, Xid, Zxid};
use crate::runtime::Address;
use crate::tree::Fired;

use super::connections::ConnectionReport;

/// A letter to the loop that holds client connections.
#[derive(Debug)]
pub enum ClientLetter {
    /// Answers and events, in the order in which they are to be written.
    Replies(Replies),
    /// The session is over: close its connection, if it has one here.
    CloseSession(SessionId),
    /// Another server has judged whether the session that a client renews is alive.
    Revalidated {
        /// The connection that waits.
        conn: ConnId,
        /// The verdict.
        valid: bool,
    },
    /// Somebody wants to know of the connections, from this place in the list on.
    Describe {
        /// Where the piece begins.
        from: usize,
        /// Takes it.
        report: Address<ConnectionReport>,
    },
    /// The figures of all connections back to zero.
    ResetStats,
    /// This server no longer serves in the role it had: close all connections.
    CloseAll,
    /// The process ends: close all, and the listener too.
    Stop,
}

/// What a frame in a batch is to its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer to a request.
    Answer,
    /// The answer to a request after which the server closes the connection.
    AnswerAndClose,
    /// A watch event: it answers nothing.
    Event,
    /// The session that the connection asked for exists now; the loop writes the connect response.
    SessionCreated,
    /// No answer: the connection is closed. (A session that moved.)
    Close,
}

/// One frame of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyEntry {
    /// For whom.
    pub conn: ConnId,
    /// What it is.
    pub outcome: Outcome,
    /// The request that it answers.
    pub xid: Xid,
    /// The zxid of its header.
    pub zxid: Zxid,
    /// The request's operation.
    pub op: OpCode,
    /// When the request came in, elapsed microseconds.
    pub received_us: i64,
    /// Where its bytes stand in the batch, length prefix included; empty if there is nothing to write.
    pub frame: Range<usize>,
    /// Which of the batch's lists says who may hear of it; `None` for everybody.
    pub readers: Option<u32>,
}

/// Frames for many connections, encoded one behind the other.
#[derive(Debug, Default)]
pub struct Replies {
    bytes: Vec<u8>,
    entries: Vec<ReplyEntry>,
    readers: Vec<Arc<[Acl]>>,
}

impl Replies {
    /// An empty batch.
    pub fn new() -> Replies {
        Replies::default()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The frames, in order.
    pub fn entries(&self) -> &[ReplyEntry] {
        &self.entries
    }

    /// The bytes of one frame.
    pub fn frame(&self, entry: &ReplyEntry) -> &[u8] {
        &self.bytes[entry.frame.clone()]
    }

    /// The list of those who may hear of it, if that is asked.
    pub fn readers(&self, entry: &ReplyEntry) -> Option<&[Acl]> {
        let list = self.readers.get(entry.readers? as usize)?;
        Some(list)
    }

    /// Adds an answer: a header, and the record that `write` appends. If `write` fails, what it appended is
    /// cut off and the header says why.
    pub fn push_answer(
        &mut self,
        mut entry: ReplyEntry,
        xid: Xid,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), ErrorCode>,
    ) {
        let begin = self.bytes.len();
        write_answer(&mut self.bytes, xid, entry.zxid, write);
        entry.frame = begin..self.bytes.len();
        self.entries.push(entry);
    }

    /// Adds an entry that has no bytes.
    pub fn push_empty(&mut self, mut entry: ReplyEntry) {
        entry.frame = self.bytes.len()..self.bytes.len();
        self.entries.push(entry);
    }

    /// Adds a frame that is encoded already (the same event for many connections), length prefix included.
    pub fn push_encoded(&mut self, mut entry: ReplyEntry, frame: &[u8]) {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(frame);
        entry.frame = begin..self.bytes.len();
        self.entries.push(entry);
    }

    /// The same for those alone who may read what these lists protect.
    pub fn push_guarded(&mut self, mut entry: ReplyEntry, frame: &[u8], readers: &Arc<[Acl]>) {
        if !self.readers.last().is_some_and(|last| Arc::ptr_eq(last, readers)) {
            self.readers.push(Arc::clone(readers));
        }
        // A batch of 2^32 events would not fit in memory.
        entry.readers = Some(self.readers.len() as u32 - 1);
        self.push_encoded(entry, frame);
    }
}

/// Appends a frame: its length, then what `write` appends.
pub fn write_frame(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    0i32.encode(out);
    write(out);
    // Answers are made from a tree that fits in memory node by node; none comes near 2 GiB.
    let length = (out.len() - begin - 4) as i32;
    out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
}

/// Appends the frame of an answer: a header, and the record that `write` appends. If `write` fails, what it
/// appended is cut off and the header says why.
pub fn write_answer(
    out: &mut Vec<u8>,
    xid: Xid,
    zxid: Zxid,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), ErrorCode>,
) {
    write_frame(out, |out| {
        let header = out.len();
        ReplyHeader {
            xid,
            zxid,
            error: ErrorCode::Ok,
        }
        .encode(out);
        let record = out.len();
        if let Err(error) = write(out) {
            out.truncate(header);
            ReplyHeader { xid, zxid, error }.encode(out);
            debug_assert_eq!(out.len(), record);
        }
    });
}

/// Appends the frame of an answer that is a header alone.
pub fn write_header(out: &mut Vec<u8>, xid: Xid, zxid: Zxid, error: ErrorCode) {
    write_frame(out, |out| ReplyHeader { xid, zxid, error }.encode(out));
}

/// An event's frame, without its length. (NIOServerCnxn.process)
pub fn write_event(fired: &Fired, out: &mut Vec<u8>) {
    ReplyHeader {
        xid: Xid::NOTIFICATION,
        zxid: Zxid(-1),
        error: ErrorCode::Ok,
    }
    .encode(out);
    let (kind, state) = (fired.kind, KeeperState::SyncConnected);
    WatcherEvent {
        kind,
        state,
        path: fired.path.as_ref().into(),
    }
    .encode(out);
}

/// The loops that hold client connections, and which of them holds which.
#[derive(Debug, Clone)]
pub struct Clients {
    loops: Vec<Address<ClientLetter>>,
}

impl Clients {
    /// Loops by number; a connection's number begins with its loop's.
    pub fn new(loops: Vec<Address<ClientLetter>>) -> Clients {
        Clients { loops }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.loops.len()
    }

    /// The number of the loop that holds a connection.
    pub fn index_of(conn: ConnId) -> usize {
        (conn.0 >> LOOP_SHIFT) as usize
    }

    /// The connection of a loop with a number of the loop's own choice.
    pub fn conn_id(loop_index: usize, number: u64) -> ConnId {
        ConnId(((loop_index as u64) << LOOP_SHIFT) | (number & ((1 << LOOP_SHIFT) - 1)))
    }

    /// Posts to one loop.
    pub fn post(&self, index: usize, letter: ClientLetter) {
        if let Some(address) = self.loops.get(index) {
            address.post(letter);
        }
    }

    /// Posts to every loop.
    pub fn post_all(&self, letter: impl Fn() -> ClientLetter) {
        self.loops.iter().for_each(|address| address.post(letter()));
    }
}

/// The upper byte of a connection's number is its loop's.
const LOOP_SHIFT: u32 = 56;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Decode, Reader};

    fn entry(conn: ConnId) -> ReplyEntry {
        ReplyEntry {
            conn,
            outcome: Outcome::Answer,
            xid: Xid(3),
            zxid: Zxid(9),
            op: OpCode::Delete,
            received_us: 0,
            frame: 0..0,
            readers: None,
        }
    }

    #[test]
    fn frames_keep_their_order_and_carry_their_length() {
        let mut replies = Replies::new();
        let header = ReplyHeader {
            xid: Xid(3),
            zxid: Zxid(9),
            error: ErrorCode::NoNode,
        };
        replies.push_answer(entry(ConnId(1)), Xid(3), |out| {
            out.extend_from_slice(b"half a record");
            Err(ErrorCode::NoNode)
        });
        replies.push_empty(entry(ConnId(2)));
        replies.push_encoded(entry(ConnId(3)), b"\0\0\0\x01x");
        let [first, second, third] = replies.entries() else {
            panic!("three entries")
        };
        let mut reader = Reader::new(replies.frame(first));
        assert_eq!(i32::decode(&mut reader), Ok(16));
        assert_eq!(ReplyHeader::decode(&mut reader), Ok(header));
        assert!(replies.frame(second).is_empty());
        assert_eq!(replies.frame(third), b"\0\0\0\x01x");
    }

    #[test]
    fn a_connection_s_number_names_its_loop() {
        let conn = Clients::conn_id(3, 77);
        assert_eq!(Clients::index_of(conn), 3);
        assert_ne!(conn, Clients::conn_id(2, 77));
    }
}
