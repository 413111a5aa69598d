//! Records, alone: what decodes must come back from its own bytes, and cost little.

use oxkeeper::proto::multi::{decode_ops, decode_results, encode_ops, encode_results};
use oxkeeper::proto::notification::Greeting;
use oxkeeper::proto::packet::{
    ForwardedRequest, LearnerInfo, PacketError, PacketLimits, PacketType, QuorumPacket, decode_touched,
};
use oxkeeper::proto::requests::{
    AddWatchRequest, AuthPacket, ConnectRequest, CreateRequest, GetEphemeralsRequest, PathOnly, PathVersion,
    PathWatch, PathWatcherType, RequestHeader, SetAclRequest, SetDataRequest, SetWatches, SetWatches2,
};
use oxkeeper::proto::responses::{ConnectResponse, ReplyHeader, WatcherEvent};
use oxkeeper::proto::txn::{LoggedTxn, SubTxn, Txn, TxnHeader};
use oxkeeper::proto::{
    Acl, Decode, Encode, Hello, Id, Notification, OpCode, Reader, Sid, Stat, StatPersisted, Xid, Zxid,
};
use oxkeeper::tree::DataTree;
use oxkeeper::tree::dump::TreeDump;

use super::frugal;

/// The bytes as each of these records.
macro_rules! come_back {
    ($bytes:ident: $($record:ty,)*) => {$({
        if let Ok(value) = frugal($bytes.len(), || <$record>::from_bytes($bytes)) {
            let again = value.to_bytes();
            assert_eq!(<$record>::from_bytes(&again).as_ref(), Ok(&value));
        }
    })*};
}

/// Any bytes as every kind of record.
pub fn records(bytes: &[u8]) {
    come_back!(bytes:
        ConnectRequest<'_>, RequestHeader, AuthPacket<'_>, CreateRequest<'_>, PathVersion<'_>, PathWatch<'_>,
        PathOnly<'_>, SetDataRequest<'_>, SetAclRequest<'_>, SetWatches<'_>, SetWatches2<'_>,
        PathWatcherType<'_>, AddWatchRequest<'_>, GetEphemeralsRequest<'_>, ConnectResponse<'_>, ReplyHeader,
        WatcherEvent<'_>, Id, Vec<Acl>, Stat, StatPersisted, TxnHeader, Vec<SubTxn<'_>>,
    );
    if let Ok(ops) = frugal(bytes.len(), || decode_ops(&mut Reader::new(bytes))) {
        let mut again = Vec::new();
        encode_ops(&ops, &mut again);
        assert_eq!(decode_ops(&mut Reader::new(&again)).as_ref(), Ok(&ops));
    }
    if let Ok(results) = frugal(bytes.len(), || decode_results(&mut Reader::new(bytes))) {
        let mut again = Vec::new();
        encode_results(&results, &mut again);
        assert_eq!(decode_results(&mut Reader::new(&again)).as_ref(), Ok(&results));
    }
    let guess = Reader::new(bytes).string_prefix();
    assert!(guess.is_none_or(|guess| guess.len() <= 3 * bytes.len()));
}

/// A transaction from a log or a peer, and what it does to a tree: applied twice it is as if applied once, but
/// for what is counted.
pub fn txn(bytes: &[u8]) {
    let Ok(logged) = frugal(bytes.len(), || LoggedTxn::from_bytes(bytes.to_vec())) else {
        return;
    };
    assert_eq!(logged.bytes(), bytes);
    let Ok(txn) = frugal(bytes.len(), || logged.txn()) else {
        return;
    };
    let again = LoggedTxn::new(*logged.header(), &txn);
    assert_eq!(again.txn().as_ref(), Ok(&txn));
    let mut tree = populated();
    let mut changes = Vec::new();
    frugal(bytes.len(), || {
        tree.apply(logged.header(), &txn, Some(&mut changes));
        tree.apply(logged.header(), &txn, None);
    });
    let mut replayed = populated();
    replayed.apply(again.header(), &txn, None);
    replayed.apply(again.header(), &txn, None);
    assert_eq!(TreeDump::of(&tree), TreeDump::of(&replayed));
}

/// A small tree: nodes `/a`, `/a/b` and `/e`, which is an ephemeral of session 7.
fn populated() -> DataTree {
    let mut tree = DataTree::new();
    let node = |path: &'static str, ephemeral| {
        Txn::Create(oxkeeper::proto::txn::CreateTxn {
            path: path.into(),
            data: Some(b"data"),
            acl: None,
            ephemeral,
            parent_cversion: -1,
        })
    };
    let txns = [
        Txn::CreateSession(10_000),
        node("/a", false),
        node("/a/b", false),
        node("/e", true),
    ];
    for (count, txn) in txns.iter().enumerate() {
        let header = TxnHeader {
            session: oxkeeper::proto::SessionId(7),
            cxid: Xid(1),
            zxid: Zxid(count as i64 + 1),
            time_ms: 9,
            op: txn.op().number(),
        };
        tree.apply(&header, txn, None);
    }
    tree
}

/// A message on the election port.
pub fn notification(bytes: &[u8]) {
    let Ok(notification) = frugal(bytes.len(), || Notification::from_message(bytes)) else {
        return;
    };
    let again = notification.to_message();
    assert_eq!(Notification::from_message(&again), Ok(notification));
    assert!(bytes.len() < again.len() || bytes.starts_with(&again));
    assert!(notification.describe(Sid(1)).contains("(n.sid)"));
}

/// The first bytes of a call on the election port, as they arrive: what is known does not change by what follows,
/// and what is asked for is enough.
pub fn greeting(bytes: &[u8]) {
    let whole = frugal(bytes.len(), || Hello::read(bytes));
    let mut needed = 0;
    for length in 0..=bytes.len() {
        match Hello::read(&bytes[..length]) {
            Ok(Greeting::Needs(more)) => {
                assert!(more > length && more >= needed && more <= 20 + Hello::MAX_EXTRA_BYTES as usize);
                needed = more;
            }
            settled => {
                assert!(length >= needed && settled == whole);
                break;
            }
        }
    }
    if let Ok(Greeting::Complete(hello)) = whole
        && hello.sid.0 >= 0
    {
        assert_eq!(Hello::read(&hello.to_message()), Ok(Greeting::Complete(hello)));
    }
}

/// A stream on the quorum port, packet by packet: each takes its own bytes and not one more.
pub fn packets(bytes: &[u8]) {
    let limits = PacketLimits::default();
    let mut left = bytes;
    while !left.is_empty() {
        let before = left;
        let packet = match frugal(before.len(), || QuorumPacket::read_from(&mut left, &limits)) {
            Ok(packet) => packet,
            Err(PacketError::Io(error)) => {
                assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
                return;
            }
            Err(PacketError::Length { .. }) => return,
        };
        let mut again = packet.to_bytes();
        if packet.identities.is_none() {
            assert_eq!(again, before[..before.len() - left.len()]);
        }
        again.push(0);
        let mut rest = again.as_slice();
        assert_eq!(
            QuorumPacket::read_from(&mut rest, &limits).ok().as_ref(),
            Some(&packet)
        );
        assert_eq!(rest.len(), 1);
        payload(packet);
    }
}

/// The payload of a packet, whatever its kind says.
fn payload(packet: QuorumPacket) {
    let bytes = packet.data.bytes().unwrap_or_default().to_vec();
    assert_eq!(PacketType::of(packet.kind.number()), packet.kind);
    if let Ok(info) = LearnerInfo::decode(&bytes) {
        assert_eq!(LearnerInfo::decode(&info.to_bytes()), Ok(info));
    }
    if let Ok(touched) = frugal(bytes.len(), || decode_touched(&packet)) {
        assert_eq!(
            decode_touched(&QuorumPacket::pong(packet.zxid, &touched)),
            Ok(touched)
        );
    }
    if let Ok(txn) = frugal(bytes.len(), || packet.txn()) {
        assert_eq!((txn.bytes(), txn.zxid()), (bytes.as_slice(), packet.zxid));
    }
    if let Ok(request) = frugal(bytes.len() + 1024, || ForwardedRequest::of(packet)) {
        let ForwardedRequest {
            session,
            xid,
            op,
            body,
            identities,
        } = request.clone();
        let again = QuorumPacket::request(session, xid, op, &body, identities);
        assert_eq!(ForwardedRequest::of(again), Ok(request));
        assert!(OpCode::of(op).is_none_or(|known| known.number() == op));
    }
}
