//! What lies on a disk, or is sent as if it did: trees, snapshots, logs, epochs.

use std::path::Path;
use std::sync::Arc;

use oxkeeper::net::quorum_streams::PeerReader;
use oxkeeper::proto::packet::{PacketType, QuorumPacket};
use oxkeeper::proto::txn::{CreateTxn, LoggedTxn, SetDataTxn, Txn, TxnHeader};
use oxkeeper::proto::{Encode, Epoch, LinkId, OpCode, SessionId, Xid, Zxid};
use oxkeeper::quorum::peer_link::PortEvent;
use oxkeeper::runtime::{Disk, MemDisk};
use oxkeeper::storage::{
    Dirs, Epochs, LogOptions, LogWriter, RecoveryOptions, StorageError, read_snapshot, recover,
    verify_snapshot, write_snapshot,
};
use oxkeeper::tree::DataTree;
use oxkeeper::tree::dump::TreeDump;

use super::{frugal, sparing};

/// The stream of a tree. What can be read comes back from its own stream, and can be lived in.
pub fn tree(bytes: &[u8]) {
    let mut left = bytes;
    let Ok(mut tree) = sparing(bytes.len(), TREE_BYTES, || DataTree::read_from(&mut left)) else {
        return;
    };
    assert_eq!(dump(&rewritten(&tree)), dump(&tree));
    live_in(&mut tree);
    assert_eq!(dump(&rewritten(&tree)), dump(&tree));
}

/// All of a tree but what a quota counts: that is counted anew when a tree is read, whatever a client has written there.
pub fn dump(tree: &DataTree) -> TreeDump {
    let mut dump = TreeDump::of(tree);
    dump.counts.1 = 0;
    let counts = |path: &str| path.starts_with("/zookeeper/quota/") && path.ends_with("/zookeeper_stats");
    for node in dump.nodes.iter_mut().filter(|node| counts(&node.path)) {
        node.data = None;
    }
    dump
}

/// A tree from its own stream.
pub fn rewritten(tree: &DataTree) -> DataTree {
    let mut walk = tree.begin_walk();
    let mut stream = Vec::new();
    while !walk
        .walk_some(tree, 3, &mut stream)
        .expect("the tree is the same")
    {}
    let mut left = stream.as_slice();
    let again = DataTree::read_from(&mut left).expect("what was written can be read");
    assert_eq!(left.len(), 0);
    again
}

/// Transactions as clients would cause them.
fn live_in(tree: &mut DataTree) {
    let some = TreeDump::of(tree)
        .nodes
        .into_iter()
        .map(|node| node.path)
        .find(|path| path.len() > 1);
    let path = some.unwrap_or_default();
    let create = |path: String, ephemeral| {
        Txn::Create(CreateTxn {
            path: path.into(),
            data: None,
            acl: None,
            ephemeral,
            parent_cversion: -1,
        })
    };
    let set = SetDataTxn {
        path: path.clone().into(),
        data: Some(b"12345"),
        version: 0,
    };
    for (count, txn) in [
        create(format!("{path}/fuzzed"), false),
        create("/fuzzed".to_owned(), true),
        Txn::SetData(set),
        Txn::CloseSession,
    ]
    .iter()
    .enumerate()
    {
        tree.apply(&header(count as i64 + 1, txn.op()), txn, None);
    }
    let sessions: Vec<SessionId> = tree.sessions_with_ephemerals().collect();
    for session in sessions {
        tree.kill_session(session, Zxid(i64::MAX), None);
    }
    // The root stays, whatever the stream says of it.
    let owner = tree.get("/").map(|root| root.stat().ephemeral_owner);
    assert!(tree.ephemerals_count() == 0 || owner != Some(0));
}

/// What a leader sends behind SNAP.
pub fn tree_stream(bytes: &[u8]) {
    let Some((tree, used)) = received(bytes) else {
        return;
    };
    assert!(bytes[..used].ends_with(b"BenWasHere"));
    assert!(received(&bytes[..used - 1]).is_none());
    assert_eq!(dump(&rewritten(&tree)), dump(&tree));
}

/// A learner's tree from these bytes, and how many of them it takes.
fn received(bytes: &[u8]) -> Option<(Box<DataTree>, usize)> {
    let mut stream = QuorumPacket::plain(PacketType::Snap, Zxid(5)).to_bytes();
    stream.extend_from_slice(bytes);
    let mut left = stream.as_slice();
    let mut reader = PeerReader::new(LinkId(1), true);
    assert!(matches!(reader.read_one(&mut left), Ok(PortEvent::Packets(..))));
    match sparing(bytes.len(), TREE_BYTES, || reader.read_one(&mut left)) {
        Ok(PortEvent::TreeReceived(_, tree)) => Some((tree, bytes.len() - left.len())),
        Ok(other) => panic!("{other:?} is no tree"),
        Err(_) => None,
    }
}

/// A snapshot file: as it is, and with its sum put right, so that what is behind the sum is seen, too.
pub fn snapshot(bytes: &[u8]) {
    snapshot_file(bytes);
    if bytes.len() > HEAD + TAIL && snapshot_file(&summed(bytes)) {
        // One byte less is no snapshot.
        assert!(!snapshot_file(&summed(bytes)[..bytes.len() - 1]));
    }
}

/// Whether these bytes are a snapshot.
fn snapshot_file(bytes: &[u8]) -> bool {
    let (disk, dirs) = empty();
    let path = dirs.snapshot_file(Zxid(5));
    disk.put(&path, bytes);
    let read = sparing(bytes.len(), SNAPSHOT_BUFFER_BYTES, || read_snapshot(&disk, &path));
    let Ok(mut tree) = read else {
        return false;
    };
    verify_snapshot(&disk, &path).expect("a snapshot that could be read is valid");
    tree.set_last_zxid(Zxid(5));
    let written = write_snapshot(Arc::new(disk.clone()), &dirs, &tree).expect("a snapshot");
    let again = read_snapshot(&disk, &written).expect("what was written can be read");
    assert_eq!(dump(&again), dump(&tree));
    true
}

/// The same bytes with the checksum of a snapshot.
fn summed(bytes: &[u8]) -> Vec<u8> {
    let end = bytes.len() - TAIL;
    let mut summed = bytes.to_vec();
    let sum = simd_adler32::adler32(&&bytes[..end]);
    summed[end..end + 8].copy_from_slice(&u64::from(sum).to_be_bytes());
    summed
}

/// A log file: as it is, and with all sums put right. What can be recovered is recovered alike once more, and goes on.
pub fn log(bytes: &[u8]) {
    log_file(bytes);
    log_file(&resummed(bytes));
}

fn log_file(bytes: &[u8]) {
    let (disk, dirs) = empty();
    disk.put(&dirs.log_file(Zxid(1)), bytes);
    let before = bytes.to_vec();
    let options = RecoveryOptions::default();
    let first = sparing(bytes.len(), LOG_BUFFER_BYTES, || recover(&disk, &dirs, &options));
    let first = match first {
        Ok(first) => first,
        Err(_) => {
            // Who refuses changes nothing.
            assert_eq!(disk.contents(&dirs.log_file(Zxid(1))), Some(before));
            return;
        }
    };
    let second = recover(&disk, &dirs, &options).expect("what was mended is whole");
    assert!(second.torn_ends.is_empty(), "{:?}", second.torn_ends);
    assert_eq!(
        (second.last_zxid, second.replayed),
        (first.last_zxid, first.replayed)
    );
    assert_eq!(TreeDump::of(&second.tree), TreeDump::of(&first.tree));
    if first.last_zxid.counter() < u32::MAX - 1 {
        let next = first.last_zxid.next();
        match append(&disk, &dirs, first.last_zxid, [create(next)]) {
            // Of a file that holds older transactions only than its name says, nothing is read, and nothing is risked.
            Err(StorageError::LogExists(_)) => return,
            appended => appended.expect("a log goes on"),
        }
        let third = recover(&disk, &dirs, &options).expect("the log that went on");
        assert_eq!(third.last_zxid, next);
    }
}

/// The same bytes, where each entry has the sum of its record.
fn resummed(bytes: &[u8]) -> Vec<u8> {
    let mut resummed = bytes.to_vec();
    let mut at = HEAD;
    while let Some(head) = bytes.get(at..at + 12) {
        let length = u32::from_be_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let Some(record) = bytes.get(at + 12..).and_then(|rest| rest.get(..length)) else {
            break;
        };
        let sum = simd_adler32::adler32(&record);
        resummed[at..at + 8].copy_from_slice(&u64::from(sum).to_be_bytes());
        at += 12 + length + 1;
    }
    resummed
}

/// Damage to two whole logs, as the input says: what is recovered then is a beginning of what was written, all of it,
/// or nothing is recovered. What a crash leaves is always recovered.
pub fn damage(bytes: &[u8]) {
    let &[kind, file, high, low, with, ref more @ ..] = bytes else {
        return;
    };
    let (disk, dirs) = empty();
    append(&disk, &dirs, Zxid(0), (1..=5).map(|n| create(Zxid(n)))).expect("the first log");
    append(&disk, &dirs, Zxid(5), (6..=10).map(|n| create(Zxid(n)))).expect("the second log");
    let path = dirs.log_file(Zxid(if file % 2 == 0 { 1 } else { 6 }));
    let mut content = disk.contents(&path).expect("a log");
    let place = usize::from(u16::from_be_bytes([high, low])) % content.len();
    // A crash tears the newest file only: what was before it was synced, and so was the beginning that was answered.
    let torn = kind % 4 == 0 && file % 2 == 1;
    match kind % 4 {
        0 => content.truncate(place),
        1 => content[place..].fill(0),
        2 => content[place] ^= with,
        _ => {
            content[place] ^= with;
            if let &[high, low, with, ..] = more {
                let place = usize::from(u16::from_be_bytes([high, low])) % content.len();
                content[place] ^= with;
            }
        }
    }
    disk.put(&path, &content);
    match recover(&disk, &dirs, &RecoveryOptions::default()) {
        Err(error) => assert!(!torn, "{error}"),
        Ok(recovered) => {
            let expected = after(recovered.last_zxid.0);
            assert_eq!(recovered.replayed as i64, recovered.last_zxid.0);
            assert_eq!(TreeDump::of(&recovered.tree), TreeDump::of(&expected));
        }
    }
}

/// The tree after so many of the transactions that [`damage`] logs.
fn after(count: i64) -> DataTree {
    let mut tree = DataTree::new();
    for zxid in 1..=count {
        let logged = create(Zxid(zxid));
        let txn = logged.txn().expect("a transaction");
        tree.apply(logged.header(), &txn, None);
    }
    tree
}

/// The files of the epochs, with a zero between them, and a third part if an update was under way.
pub fn epochs(bytes: &[u8]) {
    let (disk, dirs) = empty();
    for (name, content) in ["currentEpoch", "acceptedEpoch", "updatingEpoch"]
        .iter()
        .zip(bytes.split(|b| *b == 0))
    {
        disk.put(&dirs.snapshot.join(name), content);
    }
    let last = Zxid(0x1_0000_0005);
    let open = || Epochs::open(Arc::new(disk.clone()), &dirs, last);
    let Ok(mut epochs) = frugal(bytes.len(), open) else {
        return;
    };
    let (accepted, current) = (epochs.accepted(), epochs.current());
    assert!(accepted <= Epoch::LAST && accepted >= current && current >= last.epoch());
    let again = open().expect("what was opened opens again");
    assert_eq!((again.accepted(), again.current()), (accepted, current));
    epochs.set_accepted(accepted).expect("a promise");
    epochs.set_current(accepted).expect("an epoch");
    let again = open().expect("what was written opens");
    assert_eq!((again.accepted(), again.current()), (accepted, accepted));
}

fn empty() -> (MemDisk, Dirs) {
    let disk = MemDisk::new();
    let dirs = Dirs::open(&disk, Path::new("/data"), Path::new("/data")).expect("directories");
    (disk, dirs)
}

fn append(
    disk: &MemDisk,
    dirs: &Dirs,
    last: Zxid,
    txns: impl IntoIterator<Item = LoggedTxn>,
) -> Result<(), StorageError> {
    let options = LogOptions {
        prealloc_bytes: 512,
        force_sync: true,
    };
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut log = LogWriter::open(disk, dirs.clone(), last, options)?;
    for txn in txns {
        log.append(&txn)?;
        log.commit()?;
    }
    Ok(())
}

fn create(zxid: Zxid) -> LoggedTxn {
    let txn = Txn::Create(CreateTxn {
        path: format!("/n{zxid}").into(),
        data: Some(b"some data"),
        acl: None,
        ephemeral: false,
        parent_cversion: zxid.counter() as i32,
    });
    LoggedTxn::new(header(zxid.0, OpCode::Create), &txn)
}

fn header(zxid: i64, op: OpCode) -> TxnHeader {
    TxnHeader {
        session: SessionId(0x1_0000),
        cxid: Xid(1),
        zxid: Zxid(zxid),
        time_ms: 9,
        op: op.number(),
    }
}

/// Magic number, version, database number: of both kinds of files.
const HEAD: usize = 16;
/// Behind a snapshot's tree: a sum, and the string "/".
const TAIL: usize = 8 + 5;
/// What an empty tree takes.
const TREE_BYTES: u64 = 256 << 10;
const SNAPSHOT_BUFFER_BYTES: u64 = 4 << 20;
const LOG_BUFFER_BYTES: u64 = 4 << 20;
