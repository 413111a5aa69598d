//! Packets and their payloads, there and back, cut and lied about.

use super::*;
use crate::proto::OpCode;
use crate::proto::txn::{Txn, TxnHeader};

fn txn(zxid: i64) -> Arc<LoggedTxn> {
    let header = TxnHeader {
        session: SessionId(7),
        cxid: Xid(1),
        zxid: Zxid(zxid),
        time_ms: 9,
        op: OpCode::CloseSession.number(),
    };
    Arc::new(LoggedTxn::new(header, &Txn::CloseSession))
}

fn read(mut bytes: &[u8]) -> Result<QuorumPacket, PacketError> {
    QuorumPacket::read_from(&mut bytes, &PacketLimits::default())
}

fn samples() -> Vec<QuorumPacket> {
    let id = Id {
        scheme: "digest".into(),
        id: "a:b".into(),
    };
    vec![
        QuorumPacket::plain(PacketType::UpToDate, Zxid(-1)),
        QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(3), Sid(2), false),
        QuorumPacket::leader_info(Epoch(4)),
        QuorumPacket::ack_epoch(Some(Epoch(3)), Zxid(0x3_0000_0009)),
        QuorumPacket::proposal(txn(0x4_0000_0001)),
        QuorumPacket::inform(txn(0x4_0000_0001)),
        QuorumPacket::request(SessionId(5), Xid(6), 1, b"body", vec![id]),
        QuorumPacket::revalidate(SessionId(5), 4_000),
        QuorumPacket::revalidated(SessionId(5), true),
        QuorumPacket::pong(Zxid(1), &[(SessionId(5), 4_000)]),
    ]
}

#[test]
fn packets_come_back_and_end_where_they_end() {
    let packets = samples();
    let stream: Vec<u8> = packets.iter().flat_map(Encode::to_bytes).collect();
    let mut input = stream.as_slice();
    for packet in packets {
        let read = QuorumPacket::read_from(&mut input, &PacketLimits::default());
        assert_eq!(read.expect("a packet"), packet);
    }
    assert!(input.is_empty());
}

/// Written down from Learner.registerWithLeader and LearnerHandler of 3.4.14.
#[test]
fn the_bytes_are_those_of_java() {
    let info = QuorumPacket::learner_info(PacketType::FollowerInfo, Epoch(3), Sid(2), false).to_bytes();
    let expected = [
        &[0, 0, 0, 11][..],
        &[0, 0, 0, 3, 0, 0, 0, 0],
        &[0, 0, 0, 12],
        &[0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 0],
        &[255, 255, 255, 255],
    ];
    assert_eq!(info, expected.concat());
    let ack = QuorumPacket::ack_epoch(None, Zxid(7)).to_bytes();
    let expected = [
        &[0, 0, 0, 18][..],
        &[0, 0, 0, 0, 0, 0, 0, 7],
        &[0, 0, 0, 4],
        &[255, 255, 255, 255],
        &[255, 255, 255, 255],
    ];
    assert_eq!(ack, expected.concat());
}

#[test]
fn every_cut_is_the_end_of_the_stream() {
    for packet in samples() {
        let bytes = packet.to_bytes();
        for cut in 0..bytes.len() {
            match read(&bytes[..cut]) {
                Err(PacketError::Io(error)) => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
                other => panic!("{other:?} at {cut}"),
            }
        }
    }
}

#[test]
fn lengths_beyond_the_limits_are_refused_and_claimed_ones_allocate_nothing() {
    let head = |length: i32| {
        let mut bytes = PacketType::Proposal.number().to_bytes();
        Zxid(1).encode(&mut bytes);
        length.encode(&mut bytes);
        bytes
    };
    for length in [-2, i32::MIN, i32::MAX, (64 << 20) + 1] {
        assert!(matches!(read(&head(length)), Err(PacketError::Length { length: l, .. }) if l == length));
    }
    assert!(matches!(read(&head(64 << 20)), Err(PacketError::Io(_))));
    for count in [i32::MAX, 1 << 20] {
        let mut bytes = head(-1);
        count.encode(&mut bytes);
        assert!(matches!(read(&bytes), Err(PacketError::Length { .. })));
    }
}

#[test]
fn learners_say_who_they_are_in_three_lengths() {
    let long = [
        &Sid(3).to_bytes()[..],
        &PROTOCOL_VERSION.to_bytes(),
        &9i64.to_bytes(),
    ]
    .concat();
    let info = |version| LearnerInfo {
        sid: Sid(3),
        version,
        newer_txns: false,
    };
    assert_eq!(LearnerInfo::decode(&long[..8]), Ok(info(1)));
    assert_eq!(LearnerInfo::decode(&long[..12]), Ok(info(0x10000)));
    assert_eq!(LearnerInfo::decode(&long), Ok(info(0x10000)));
    for cut in [0, 7, 9, 11] {
        assert!(LearnerInfo::decode(&long[..cut]).is_err());
    }
}

#[test]
fn payloads_are_checked() {
    let null = QuorumPacket::plain(PacketType::Ping, Zxid(1));
    assert!(decode_touched(&null).is_err());
    let mut cut = QuorumPacket::pong(Zxid(1), &[(SessionId(5), 4_000), (SessionId(6), 5_000)]);
    let both = vec![(SessionId(5), 4_000), (SessionId(6), 5_000)];
    assert_eq!(decode_touched(&cut), Ok(both));
    cut.data = PacketData::Bytes(cut.data.bytes().expect("bytes")[..13].to_vec());
    assert!(decode_touched(&cut).is_err());
    let mut lying = QuorumPacket::proposal(txn(5));
    assert_eq!(lying.txn().map(|txn| txn.zxid()), Ok(Zxid(5)));
    lying.zxid = Zxid(6);
    assert!(lying.txn().is_err());
    let request = ForwardedRequest::of(samples().remove(6)).expect("a request");
    assert_eq!(
        (request.session, request.xid, request.op),
        (SessionId(5), Xid(6), 1)
    );
    assert_eq!(
        (request.body.as_slice(), request.identities.len()),
        (&b"body"[..], 1)
    );
    assert!(ForwardedRequest::of(null).is_err());
}

#[test]
fn types_keep_their_numbers() {
    for number in 1..20 {
        assert_eq!(PacketType::of(number).number(), number);
    }
    assert_eq!(PacketType::of(9).to_string(), "UNKNOWN9");
    assert_eq!(PacketType::of(15).to_string(), "SNAP");
}

#[test]
fn what_servers_of_our_kind_say_stands_behind_what_java_reads() {
    let info = |newer_txns| LearnerInfo {
        sid: Sid(3),
        version: PROTOCOL_VERSION,
        newer_txns,
    };
    let (old, new) = (info(false).to_bytes(), info(true).to_bytes());
    assert_eq!((old.len(), &new[..12], &new[12..20]), (12, &old[..], &[0; 8][..]));
    assert_eq!(LearnerInfo::decode(&new), Ok(info(true)));
    assert_eq!(LearnerInfo::decode(&new[..new.len() - 1]), Ok(info(false)));
    let leader = QuorumPacket::leader_info(Epoch(3));
    assert!(leader.leader_knows_newer_txns());
    assert_eq!(
        leader.payload().expect("a payload")[..4],
        PROTOCOL_VERSION.to_bytes()
    );
    let java = PacketData::Bytes(PROTOCOL_VERSION.to_bytes());
    let java = QuorumPacket { data: java, ..leader };
    assert!(!java.leader_knows_newer_txns());
}
