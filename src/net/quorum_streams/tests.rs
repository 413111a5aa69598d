//! Packets and trees to bytes and back, without a socket.

use std::sync::Mutex;

use super::*;
use crate::proto::txn::{CreateTxn, Txn, TxnHeader};
use crate::proto::{Epoch, OpCode, SessionId, Sid, Xid, Zxid};
use crate::runtime::Inbox;
use crate::storage::CommittedLog;

const LINK: LinkId = LinkId(3);
const NOW: Now = Now {
    elapsed_ms: 0,
    wall_ms: 0,
};

/// A stream that keeps what is written, until it refuses.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    writes: Vec<Vec<u8>>,
    refusal: Option<io::ErrorKind>,
    shut: bool,
}

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock().expect("the state");
        match state.refusal {
            Some(kind) => Err(kind.into()),
            None => {
                state.writes.push(bytes.to_vec());
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PeerStream for Kept {
    fn shut(&self) {
        self.0.lock().expect("the state").shut = true;
    }
}

/// A tree with so many nodes more than a new one.
pub fn tree_of(nodes: usize) -> DataTree {
    let mut tree = DataTree::new();
    for number in 1..=nodes as i64 {
        let header = TxnHeader {
            session: SessionId(7),
            cxid: Xid(1),
            zxid: Zxid(number),
            time_ms: 1,
            op: OpCode::Create.number(),
        };
        let txn = Txn::Create(CreateTxn {
            path: format!("/n{number}").into(),
            data: Some(b"data"),
            acl: None,
            ephemeral: false,
            parent_cversion: -1,
        });
        tree.apply(&header, &txn, None);
    }
    tree
}

fn sender() -> (SenderStage<Kept>, Kept, Inbox<PortEvent>) {
    let (stream, (events, inbox)) = (Kept::default(), Inbox::new());
    (SenderStage::new(stream.clone(), LINK, events), stream, inbox)
}

fn database(nodes: usize) -> Arc<Database> {
    Arc::new(Database::new(tree_of(nodes), CommittedLog::new(10)))
}

/// Packet SNAP, a tree and its signature, as a leader writes them, and then a packet more.
fn snapshot_stream(nodes: usize) -> Vec<u8> {
    let (mut sender, stream, _events) = sender();
    assert_eq!(sender.step(NOW, ToPeer::Tree(database(nodes))), Flow::Go);
    let more = QuorumPacket::plain(PacketType::NewLeader, Zxid(9));
    assert_eq!(sender.step(NOW, ToPeer::Packet(more)), Flow::Go);
    assert_eq!(sender.quiet(NOW), Flow::Go);
    let state = stream.0.lock().expect("the state");
    state.writes.concat()
}

#[test]
fn a_tree_comes_over_whole_and_the_stream_goes_on_behind_it() {
    let bytes = snapshot_stream(700);
    let mut input = &bytes[..];
    let mut reader = PeerReader::new(LINK, true);
    let first = reader.read_one(&mut input).expect("a packet");
    assert_eq!(kinds(&first), [PacketType::Snap]);
    let PortEvent::TreeReceived(LINK, tree) = reader.read_one(&mut input).expect("a tree") else {
        panic!("no tree behind SNAP");
    };
    assert_eq!(tree.node_count(), tree_of(700).node_count());
    let last = reader.read_one(&mut input).expect("a packet");
    assert_eq!(kinds(&last), [PacketType::NewLeader]);
    assert!(input.is_empty());
}

fn kinds(event: &PortEvent) -> Vec<PacketType> {
    match event {
        PortEvent::Packets(LINK, packets) => packets.iter().map(|packet| packet.kind).collect(),
        other => panic!("no packets: {other:?}"),
    }
}

#[test]
fn what_has_come_together_is_told_together_up_to_a_tree_or_a_packet_that_is_not_whole() {
    let ping = |zxid| QuorumPacket::plain(PacketType::Ping, Zxid(zxid)).to_bytes();
    let pieces = [ping(1), ping(2), snapshot_stream(3), ping(3)].concat();
    let cut = &pieces[..pieces.len() - 1];
    let mut input = BufReader::with_capacity(READ_BYTES, cut);
    let mut reader = PeerReader::new(LINK, true);
    let mut next = || reader.read_some(&mut input);
    let first = next().expect("packets");
    assert_eq!(
        kinds(&first),
        [PacketType::Ping, PacketType::Ping, PacketType::Snap]
    );
    assert!(matches!(next(), Ok(PortEvent::TreeReceived(..))));
    assert_eq!(kinds(&next().expect("a packet")), [PacketType::NewLeader]);
    assert!(matches!(next(), Err(ReadFailure::Io(_))));
    let bad = [ping(1), [0x7f; 40].to_vec()].concat();
    let (mut input, mut reader) = (BufReader::new(&bad[..]), PeerReader::new(LINK, true));
    let mut next = || reader.read_some(&mut input);
    assert_eq!(kinds(&next().expect("a packet")), [PacketType::Ping]);
    assert!(matches!(next(), Err(ReadFailure::Bad(_))));
}

#[test]
fn a_stream_that_is_cut_anywhere_gives_no_tree() {
    let bytes = snapshot_stream(20);
    let whole = bytes.len()
        - QuorumPacket::plain(PacketType::NewLeader, Zxid(9))
            .to_bytes()
            .len();
    for end in 0..whole {
        let mut input = &bytes[..end];
        let mut reader = PeerReader::new(LINK, true);
        let trees = std::iter::from_fn(|| reader.read_one(&mut input).ok());
        let has_tree = trees
            .into_iter()
            .any(|event| matches!(event, PortEvent::TreeReceived(..)));
        assert!(!has_tree, "cut at {end} of {whole}");
    }
}

#[test]
fn a_tree_without_its_signature_is_none() {
    let mut bytes = snapshot_stream(20);
    let at = bytes
        .windows(10)
        .rposition(|part| part == SIGNATURE)
        .expect("a signature");
    bytes[at] = b'b';
    let mut input = &bytes[..];
    let mut reader = PeerReader::new(LINK, true);
    reader.read_one(&mut input).expect("a packet");
    let failure = reader.read_one(&mut input).expect_err("no tree");
    assert!(matches!(failure, ReadFailure::Bad(reason) if reason == "Missing signature"));
}

#[test]
fn a_leader_does_not_take_a_tree() {
    let bytes = snapshot_stream(20);
    let mut input = &bytes[..];
    let mut reader = PeerReader::new(LINK, false);
    reader.read_one(&mut input).expect("a packet");
    let next = reader.read_one(&mut input);
    assert!(!matches!(next, Ok(PortEvent::TreeReceived(..))), "{next:?}");
}

#[test]
fn lengths_that_nobody_sends_are_refused_before_anything_is_kept() {
    for length in [-2, i32::MIN, i32::MAX] {
        let head = [&11i32.to_be_bytes()[..], &[0; 8], &length.to_be_bytes()].concat();
        let failure = PeerReader::new(LINK, false)
            .read_one(&mut &head[..])
            .expect_err("refused");
        assert!(
            matches!(&failure, ReadFailure::Bad(reason) if reason.contains(&length.to_string())),
            "{failure:?}"
        );
    }
}

#[test]
fn what_waits_goes_out_in_one_write_and_much_does_not_wait() {
    let (mut sender, stream, _events) = sender();
    let packet = || QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(1), Sid(2), false);
    for _ in 0..3 {
        sender.step(NOW, ToPeer::Packet(packet()));
    }
    sender.step(NOW, ToPeer::Packets(vec![packet(), packet()]));
    assert_eq!(stream.0.lock().expect("the state").writes.len(), 0);
    sender.quiet(NOW);
    let length = packet().to_bytes().len();
    let lengths = |stream: &Kept| -> Vec<usize> {
        let state = stream.0.lock().expect("the state");
        state.writes.iter().map(Vec::len).collect()
    };
    assert_eq!(lengths(&stream), [5 * length]);
    let many = (0..=WRITE_BYTES / length).map(|_| packet()).collect();
    sender.step(NOW, ToPeer::Packets(many));
    assert_eq!(lengths(&stream).len(), 2);
    assert_eq!(sender.end(NOW), Flow::Done);
    assert!(stream.0.lock().expect("the state").shut);
}

#[test]
fn a_failed_write_ends_the_link_and_says_why() {
    for (kind, words) in [
        (io::ErrorKind::WouldBlock, "Write timed out"),
        (io::ErrorKind::TimedOut, "Write timed out"),
        (io::ErrorKind::BrokenPipe, "broken pipe"),
    ] {
        let (mut sender, stream, events) = sender();
        stream.0.lock().expect("the state").refusal = Some(kind);
        sender.step(NOW, ToPeer::Packet(QuorumPacket::leader_info(Epoch(1))));
        assert_eq!(sender.quiet(NOW), Flow::Done);
        assert!(stream.0.lock().expect("the state").shut);
        let down = events.try_take();
        assert!(
            matches!(&down, Some(PortEvent::Down(LINK, reason)) if reason == words),
            "{down:?}"
        );
    }
}

#[test]
fn a_tree_that_cannot_be_sent_is_not_told_to_be() {
    let (mut sender, stream, events) = sender();
    stream.0.lock().expect("the state").refusal = Some(io::ErrorKind::BrokenPipe);
    assert_eq!(sender.step(NOW, ToPeer::Tree(database(600))), Flow::Done);
    assert!(matches!(events.try_take(), Some(PortEvent::Down(LINK, _))));
    assert!(events.try_take().is_none());
}
