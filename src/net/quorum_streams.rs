//! Both ends of a quorum link: packets and trees to letters, and letters to packets and trees.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::Arc;

use crate::proto::packet::{PacketError, PacketLimits, PacketType, QuorumPacket};
use crate::proto::{Encode, LinkId};
use crate::quorum::peer_link::{PortEvent, ToPeer};
use crate::runtime::{Address, Flow, Now, Stage};
use crate::storage::Database;
use crate::tree::{DataTree, ReadTreeError};

/// A stream to a peer, to write on.
pub trait PeerStream: Write + Send + 'static {
    /// Ends both directions. It fails in silence if the connection is gone already.
    fn shut(&self);
}

/// Reads until the stream ends, and says why it did.
pub(super) fn read_all(
    stream: impl Read,
    link: LinkId,
    events: &Address<PortEvent>,
    takes_trees: bool,
) -> String {
    let mut input = BufReader::with_capacity(READ_BYTES, stream);
    let mut reader = PeerReader::new(link, takes_trees);
    loop {
        match reader.read_some(&mut input) {
            Ok(event) => events.post(event),
            Err(ReadFailure::Io(error)) => return why(&error),
            Err(ReadFailure::Bad(reason)) => return reason,
        }
    }
}

/// What comes from a peer, piece by piece.
#[derive(Debug)]
pub struct PeerReader {
    link: LinkId,
    takes_trees: bool,
    /// What stands next in the stream.
    tree_is_next: bool,
}

/// Why a piece could not be read.
#[derive(Debug)]
pub enum ReadFailure {
    /// The stream does not give it. The same piece can be asked for again.
    Io(io::Error),
    /// It is no such piece.
    Bad(String),
}

impl PeerReader {
    /// A reader at the beginning of a stream. A learner's takes trees.
    pub fn new(link: LinkId, takes_trees: bool) -> PeerReader {
        PeerReader {
            link,
            takes_trees,
            tree_is_next: false,
        }
    }

    /// Reads a packet, or the tree behind a packet SNAP.
    ///
    /// # Errors
    /// [`ReadFailure`].
    pub fn read_one(&mut self, input: &mut impl Read) -> Result<PortEvent, ReadFailure> {
        if self.tree_is_next {
            let tree = read_tree(input)?;
            self.tree_is_next = false;
            return Ok(PortEvent::TreeReceived(self.link, Box::new(tree)));
        }
        let packet =
            QuorumPacket::read_from(input, &PacketLimits::default()).map_err(|error| match error {
                PacketError::Io(error) => ReadFailure::Io(error),
                error => ReadFailure::Bad(error.to_string()),
            })?;
        self.tree_is_next = self.takes_trees && packet.kind == PacketType::Snap;
        Ok(PortEvent::Packets(self.link, vec![packet]))
    }

    /// As [`PeerReader::read_one`], and takes along what else is there as a whole.
    ///
    /// # Errors
    /// [`ReadFailure`].
    pub fn read_some<R: Read>(&mut self, input: &mut BufReader<R>) -> Result<PortEvent, ReadFailure> {
        let mut event = self.read_one(input)?;
        let PortEvent::Packets(_, packets) = &mut event else {
            return Ok(event);
        };
        while !self.tree_is_next && !input.buffer().is_empty() {
            let mut left = input.buffer();
            // What is bad is met again when it is the first, and told then.
            let Ok(PortEvent::Packets(_, more)) = self.read_one(&mut left) else {
                break;
            };
            packets.extend(more);
            let taken = input.buffer().len() - left.len();
            input.consume(taken);
        }
        Ok(event)
    }
}

/// A whole tree, and the signature behind it that tells that it is whole. (Learner.syncWithLeader)
fn read_tree(input: &mut impl Read) -> Result<DataTree, ReadFailure> {
    let tree = DataTree::read_from(input).map_err(|error| match error {
        ReadTreeError::Io { source, .. } => ReadFailure::Io(source),
        error => ReadFailure::Bad(error.to_string()),
    })?;
    let mut end = [0; SIGNATURE.len() + 4];
    input.read_exact(&mut end).map_err(ReadFailure::Io)?;
    if end == signature() {
        Ok(tree)
    } else {
        Err(ReadFailure::Bad("Missing signature".to_owned()))
    }
}

fn signature() -> [u8; SIGNATURE.len() + 4] {
    let mut bytes = [0; SIGNATURE.len() + 4];
    bytes[..4].copy_from_slice(&(SIGNATURE.len() as i32).to_be_bytes());
    bytes[4..].copy_from_slice(SIGNATURE);
    bytes
}

/// In the words that operators know from Java.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the peer has closed the connection".to_owned(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "Read timed out".to_owned(),
        _ => error.to_string(),
    }
}

/// The thread that writes to a peer. What waits goes out in as few writes as may be.
pub struct SenderStage<S> {
    stream: S,
    link: LinkId,
    events: Address<PortEvent>,
    buffer: Vec<u8>,
}

impl<S: PeerStream> SenderStage<S> {
    /// A stage that writes to `stream` what goes to the peer of `link`.
    pub fn new(stream: S, link: LinkId, events: Address<PortEvent>) -> SenderStage<S> {
        SenderStage {
            stream,
            link,
            events,
            buffer: Vec::new(),
        }
    }

    fn take(&mut self, letter: ToPeer) -> Result<(), String> {
        match letter {
            ToPeer::Packet(packet) => packet.encode(&mut self.buffer),
            ToPeer::Packets(packets) => packets.iter().for_each(|packet| packet.encode(&mut self.buffer)),
            ToPeer::Tree(database) => self.write_tree(&database)?,
        }
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn write_tree(&mut self, database: &Arc<Database>) -> Result<(), String> {
        let mut walk = database.read_tree().begin_walk();
        log::info!(
            "Sending a snapshot to the learner, zxid of leader is {}",
            walk.zxid()
        );
        QuorumPacket::plain(PacketType::Snap, walk.zxid()).encode(&mut self.buffer);
        loop {
            // The tree is free again before the peer is waited for.
            let step = walk.walk_some(&database.read_tree(), STEP_NODES, &mut self.buffer);
            let is_done = step.map_err(|error| error.to_string())?;
            self.flush()?;
            if is_done {
                break;
            }
        }
        self.buffer.extend_from_slice(&signature());
        self.flush()?;
        self.events.post(PortEvent::TreeSent(self.link));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), String> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.stream.write_all(&self.buffer);
        self.buffer.clear();
        self.buffer.shrink_to(4 * WRITE_BYTES);
        written.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "Write timed out".to_owned(),
            _ => error.to_string(),
        })
    }

    /// A failure ends the link, not the process.
    fn go_on(&self, outcome: Result<(), String>) -> Flow {
        match outcome {
            Ok(()) => Flow::Go,
            Err(reason) => {
                self.stream.shut();
                self.events.post(PortEvent::Down(self.link, reason));
                Flow::Done
            }
        }
    }
}

impl<S: PeerStream> Stage for SenderStage<S> {
    type In = ToPeer;

    fn step(&mut self, _now: Now, letter: ToPeer) -> Flow {
        let outcome = self.take(letter);
        self.go_on(outcome)
    }

    fn quiet(&mut self, _now: Now) -> Flow {
        let outcome = self.flush();
        self.go_on(outcome)
    }

    fn end(&mut self, _now: Now) -> Flow {
        drop(self.flush());
        self.stream.shut();
        Flow::Done
    }
}

/// What stands behind a tree. (LearnerHandler.run)
const SIGNATURE: &[u8] = b"BenWasHere";
const READ_BYTES: usize = 64 << 10;
/// So much is gathered before it is written although more waits.
const WRITE_BYTES: usize = 64 << 10;
/// So many nodes are read under one lock: some tens of microseconds.
const STEP_NODES: usize = 256;

#[cfg(test)]
pub(super) mod tests;
