//! A connection fed with bytes: valid ones in all cuts, hostile ones of all kinds.

mod pieces;
mod sasl;

use std::sync::Arc;

use super::*;
use crate::auth::Auth;
use crate::clients::credentials::MOST_IDENTITIES;
use crate::clients::{Quiet, Rules, TokenBucket, WhiteList, Wishes};
use crate::proto::Encode;
use crate::proto::requests::{AuthPacket, ConnectRequest, PathWatch};
use crate::request::Sessions;
use crate::request::reply::write_frame;
use crate::request::sessions::password_of;

const NOW: Now = Now {
    elapsed_ms: 5_000,
    wall_ms: 1_700_000_000_000,
};
const CONN: ConnId = ConnId(7);

/// A server around one connection.
struct Bench {
    cnxn: Cnxn,
    sessions: Sessions,
    rules: Rules,
    wishes: Wishes,
    quiet: Quiet,
    tokens: TokenBucket,
    room: i64,
    serves: bool,
    read_only: bool,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            cnxn: Cnxn::new(CONN, "10.0.0.1:5000".parse().expect("an address"), NOW),
            sessions: Sessions::new(1, 2_000, [], NOW),
            rules: Rules {
                max_frame_bytes: 1_000,
                min_timeout_ms: 4_000,
                max_timeout_ms: 40_000,
                words: WhiteList::new(["ruok", "stmk"]),
                auth: Arc::new(Auth::default()),
                sasl: None,
                required_schemes: Vec::new(),
            },
            wishes: Wishes::default(),
            quiet: Quiet::default(),
            tokens: TokenBucket::default(),
            room: 1_000,
            serves: true,
            read_only: false,
        }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Cnxn, &mut Round<'_>) -> R) -> R {
        let hosting = Hosting {
            sessions: &self.sessions,
            applied: Zxid(100),
            read_only: self.read_only,
        };
        let mut round = Round {
            now: NOW,
            now_us: NOW.elapsed_ms * 1_000,
            rules: &self.rules,
            hosting: self.serves.then_some(hosting),
            room: self.room,
            wishes: &mut self.wishes,
            quiet: &mut self.quiet,
            tokens: &mut self.tokens,
        };
        act(&mut self.cnxn, &mut round)
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.with(|cnxn, round| cnxn.on_bytes(bytes, round));
    }

    /// The chain says that the session exists.
    fn grant(&mut self) {
        self.reply(Outcome::SessionCreated, Xid(0), OpCode::CreateSession, b"");
    }

    fn reply(&mut self, outcome: Outcome, xid: Xid, op: OpCode, frame: &[u8]) {
        let zxid = Zxid(101);
        let entry = ReplyEntry {
            conn: CONN,
            outcome,
            xid,
            zxid,
            op,
            received_us: 5_000_000,
            frame: 0..0,
            readers: None,
        };
        self.with(|cnxn, round| cnxn.on_reply(&entry, frame, round));
    }

    /// Handshakes, is granted a session, and forgets what was said.
    fn open() -> Bench {
        let mut bench = Bench::new();
        bench.feed(&hello(0, Zxid(0)));
        bench.grant();
        bench.drain();
        bench.wishes = Wishes::default();
        bench
    }

    fn drain(&mut self) -> Vec<u8> {
        let sent = self.cnxn.unsent().to_vec();
        self.cnxn.sent(sent.len());
        sent
    }

    fn asked(&self) -> Vec<(i32, &Asked)> {
        self.wishes
            .asks
            .iter()
            .map(|ask| (ask.xid.0, &ask.asked))
            .collect()
    }

    fn inside(&self) -> Vec<(i32, OpCode)> {
        self.wishes
            .chain
            .iter()
            .map(|request| (request.xid.0, request.op))
            .collect()
    }
}

fn hello_with(session: i64, zxid: Zxid, password: Option<&[u8]>, read_only: Option<bool>) -> Vec<u8> {
    let request = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: zxid,
        timeout_ms: 10_000,
        session: SessionId(session),
        password,
    };
    let mut out = Vec::new();
    write_frame(&mut out, |out| {
        request.encode(out);
        if let Some(read_only) = read_only {
            read_only.encode(out);
        }
    });
    out
}

fn hello(session: i64, zxid: Zxid) -> Vec<u8> {
    hello_with(session, zxid, Some(&[0; 16]), Some(false))
}

fn request(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, |out| {
        RequestHeader { xid: Xid(xid), op }.encode(out);
        out.extend_from_slice(body);
    });
    out
}

fn read(xid: i32) -> Vec<u8> {
    let body = PathWatch {
        path: "/a".into(),
        watch: false,
    }
    .to_bytes();
    request(xid, OpCode::Exists.number(), &body)
}

fn auth(scheme: Option<&str>, credentials: Option<&[u8]>) -> Vec<u8> {
    let packet = AuthPacket {
        kind: 0,
        scheme: scheme.map(Into::into),
        auth: credentials,
    };
    request(-4, OpCode::Auth.number(), &packet.to_bytes())
}

#[test]
fn a_session_is_made_by_the_chain_and_told_with_its_password() {
    let mut bench = Bench::new();
    bench.feed(&[hello(0, Zxid(100)), read(1)].concat());
    assert_eq!(bench.inside(), [(0, OpCode::CreateSession)]);
    assert_eq!(bench.wishes.chain[0].body, 10_000.to_bytes());
    let session = bench.cnxn.session();
    assert_eq!(bench.wishes.taken, [(session, CONN)]);
    assert!(
        bench.asked().is_empty() && bench.cnxn.unsent().is_empty(),
        "nothing is read before the session"
    );
    bench.grant();
    let sent = bench.drain();
    let expected = [
        &37.to_bytes()[..],
        &0.to_bytes(),
        &10_000.to_bytes(),
        &session.to_bytes(),
        &16.to_bytes(),
        &password_of(session),
        &[0],
    ];
    assert_eq!(sent, expected.concat());
    bench.feed(&[]);
    assert_eq!(bench.asked(), [(1, &Asked::Read(OpCode::Exists, 0..7))]);
}

#[test]
fn a_session_that_ends_before_it_begins_is_refused() {
    let mut bench = Bench::new();
    bench.feed(&hello(0, Zxid(0)));
    bench.reply(Outcome::Answer, Xid(0), OpCode::Error, b"an answer to no request");
    let refusal = [&37.to_bytes()[..], &[0; 16], &16.to_bytes(), &[0; 17]].concat();
    assert_eq!(
        (bench.drain(), bench.cnxn.fate()),
        (refusal, Fate::CloseWhenWritten)
    );
}

#[test]
fn timeouts_are_clamped_and_old_clients_get_no_read_only_byte() {
    for (wish, granted) in [(1, 4_000), (-1, 4_000), (12_345, 12_345), (i32::MAX, 40_000)] {
        let mut bench = Bench::new();
        let mut bytes = hello_with(0, Zxid(0), None, None);
        bytes[16..20].copy_from_slice(&wish.to_bytes());
        bench.feed(&bytes);
        bench.grant();
        let sent = bench.drain();
        assert_eq!((sent.len(), &sent[8..12]), (40, &granted.to_bytes()[..]));
    }
}

#[test]
fn a_renewal_needs_the_password_before_anybody_is_disturbed() {
    let sessions = Sessions::new(1, 2_000, [], NOW);
    let id = sessions.create(10_000, 5_000);
    let other = |password: Option<&[u8]>, sessions: Sessions| {
        let mut bench = Bench {
            sessions,
            ..Bench::new()
        };
        bench.feed(&hello_with(id.0, Zxid(0), password, Some(false)));
        let sent = bench.drain();
        (bench.wishes.taken.len(), bench.cnxn.fate(), sent)
    };
    let refusal = [&37.to_bytes()[..], &[0; 16], &16.to_bytes(), &[0; 17]].concat();
    let fresh = || Sessions::new(1, 2_000, [(id, 10_000)], NOW);
    assert_eq!(
        other(Some(&[1; 16]), fresh()),
        (0, Fate::CloseWhenWritten, refusal.clone())
    );
    assert_eq!(other(None, fresh()), (0, Fate::CloseWhenWritten, refusal.clone()));
    let right = password_of(id);
    let (taken, fate, sent) = other(Some(&right), fresh());
    assert_eq!((taken, fate, &sent[12..20]), (1, Fate::Stay, &id.to_bytes()[..]));
    let gone = Sessions::new(1, 2_000, [], NOW);
    assert_eq!(other(Some(&right), gone), (1, Fate::CloseWhenWritten, refusal));
}

#[test]
fn a_client_that_has_seen_more_or_wants_to_write_is_sent_away_without_an_answer() {
    let mut ahead = Bench::new();
    ahead.feed(&hello(0, Zxid(101)));
    let mut writer = Bench {
        read_only: true,
        ..Bench::new()
    };
    writer.feed(&hello(0, Zxid(0)));
    let mut nobody = Bench {
        serves: false,
        ..Bench::new()
    };
    nobody.feed(&hello(0, Zxid(0))[..4]);
    for bench in [ahead, writer, nobody] {
        assert_eq!((bench.cnxn.fate(), bench.cnxn.unsent()), (Fate::Close, &b""[..]));
        assert!(bench.wishes.chain.is_empty());
    }
}

#[test]
fn reads_go_inside_only_behind_what_is_inside() {
    let mut bench = Bench::open();
    let create = request(3, OpCode::Create.number(), b"body");
    bench.feed(
        &[
            read(1),
            request(-2, 11, b""),
            create,
            read(4),
            request(-2, 11, b""),
        ]
        .concat(),
    );
    assert_eq!(
        bench.asked(),
        [(1, &Asked::Read(OpCode::Exists, 0..7)), (-2, &Asked::Ping)]
    );
    assert_eq!(
        bench.inside(),
        [(3, OpCode::Create), (4, OpCode::Exists), (-2, OpCode::Ping)]
    );
    bench.wishes = Wishes::default();
    bench.reply(Outcome::Answer, Xid(3), OpCode::Create, b"3");
    bench.reply(Outcome::Event, Xid(-1), OpCode::Create, b"e");
    bench.reply(Outcome::Answer, Xid(4), OpCode::Exists, b"4");
    bench.feed(&read(5));
    assert!(bench.asked().is_empty(), "the ping is still inside");
    bench.reply(Outcome::Answer, Xid(-2), OpCode::Ping, b"p");
    bench.reply(Outcome::Answer, Xid(5), OpCode::Exists, b"5");
    bench.feed(&read(6));
    assert_eq!(bench.asked().len(), 1);
    assert_eq!(bench.drain(), b"3e4p5");
}

#[test]
fn a_crowd_pauses_those_who_wait_for_answers() {
    let mut bench = Bench {
        room: 0,
        ..Bench::open()
    };
    let create = |xid| request(xid, OpCode::Create.number(), b"");
    bench.feed(&[create(1), create(2), create(3)].concat());
    assert_eq!(bench.inside(), [(1, OpCode::Create)]);
    assert_eq!(
        (bench.cnxn.pause(-1), bench.cnxn.pause(0)),
        (Pause::Crowded, Pause::No)
    );
    bench.reply(Outcome::Answer, Xid(1), OpCode::Create, b"");
    assert_eq!(bench.cnxn.pause(-1), Pause::No, "it has none inside");
    bench.room = 10;
    bench.feed(&[]);
    assert_eq!(bench.inside().len(), 3);
}

#[test]
fn who_does_not_read_is_paused_and_then_closed() {
    let mut bench = Bench::open();
    bench.reply(
        Outcome::Event,
        Xid(-1),
        OpCode::Create,
        &vec![0; MOST_UNREAD_BYTES + 1],
    );
    assert_eq!(
        (bench.cnxn.pause(9), bench.cnxn.fate()),
        (Pause::Unread, Fate::Stay)
    );
    bench.feed(&read(1));
    assert!(bench.asked().is_empty());
    bench.reply(
        Outcome::Event,
        Xid(-1),
        OpCode::Create,
        &vec![0; MOST_UNSENT_BYTES],
    );
    assert_eq!((bench.cnxn.fate(), bench.cnxn.has_work()), (Fate::Stay, true));
    bench.reply(Outcome::Event, Xid(-1), OpCode::Create, b"x");
    let unsent = MOST_UNSENT_BYTES + MOST_UNREAD_BYTES + 1;
    assert_eq!(
        (bench.cnxn.fate(), bench.cnxn.unsent().len()),
        (Fate::Close, unsent)
    );
}

#[test]
fn a_long_row_of_reads_is_answered_in_rounds() {
    let mut bench = Bench::open();
    let reads: Vec<u8> = (0..150).flat_map(read).collect();
    bench.feed(&reads[..reads.len() - 1]);
    assert_eq!(
        (bench.wishes.asks.len(), bench.cnxn.has_work()),
        (MOST_ASKS, true)
    );
    bench.feed(&[]);
    bench.feed(&[]);
    assert_eq!(
        (bench.wishes.asks.len(), bench.cnxn.has_work()),
        (149, false),
        "half a frame is no work"
    );
    bench.feed(&reads[reads.len() - 1..]);
    assert_eq!((bench.wishes.asks.len(), bench.cnxn.has_work()), (150, false));
}

#[test]
fn unknown_operations_are_answered_and_the_last() {
    for op in [0, -1, -10, 10, 23, 99, i32::MIN] {
        let mut bench = Bench::open();
        bench.feed(&[read(1), request(9, op, b"wxyz"), read(2)].concat());
        let refusal = Asked::Header(Zxid(-1), ErrorCode::Unimplemented);
        assert_eq!(bench.asked()[1..], [(9, &refusal)]);
        assert_eq!(
            (bench.cnxn.fate(), bench.inside()),
            (Fate::CloseWhenWritten, vec![])
        );
    }
}

#[test]
fn identities_are_added_and_a_failure_is_the_last_answer() {
    let mut bench = Bench::open();
    bench.feed(
        &[
            auth(Some("digest"), Some(b"u:p")),
            auth(Some("digest"), Some(b"u:p")),
        ]
        .concat(),
    );
    bench.feed(&auth(Some("ip"), None));
    let ok = Asked::Header(Zxid(0), ErrorCode::Ok);
    assert_eq!(bench.asked(), [(-4, &ok), (-4, &ok), (-4, &ok)]);
    let schemes: Vec<&str> = bench
        .cnxn
        .identities()
        .iter()
        .map(|id| id.scheme.as_str())
        .collect();
    assert_eq!(schemes, ["ip", "digest"]);
    for (scheme, credentials) in [
        (Some("digest"), None),
        (Some("kerberos"), Some(&b"x"[..])),
        (None, Some(b"x")),
        (None, None),
    ] {
        let mut bench = Bench::open();
        bench.feed(&[auth(scheme, credentials), read(1)].concat());
        let failed = Asked::Header(Zxid(0), ErrorCode::AuthFailed);
        assert_eq!(
            (bench.asked(), bench.cnxn.fate()),
            (vec![(-4, &failed)], Fate::CloseWhenWritten)
        );
    }
}

#[test]
fn identities_are_bounded() {
    let mut bench = Bench::open();
    for number in 0..MOST_IDENTITIES {
        bench.feed(&auth(Some("digest"), Some(format!("u{number}:p").as_bytes())));
    }
    assert_eq!(
        (bench.cnxn.identities().len(), bench.cnxn.fate()),
        (MOST_IDENTITIES, Fate::CloseWhenWritten)
    );
}

#[test]
fn words_are_taken_before_a_handshake_only() {
    let mut bench = Bench::new();
    bench.feed(b"ruok\n");
    let call = WordCall {
        conn: CONN,
        word: Word::Ruok,
        allowed: true,
        mask: 0,
    };
    assert_eq!(
        (&bench.wishes.words[..], bench.cnxn.fate()),
        (&[call][..], Fate::CloseWhenWritten)
    );
    let mut listed = Bench::new();
    listed.feed(b"wchc");
    assert!(!listed.wishes.words[0].allowed);
    let mut mask = Bench::new();
    mask.feed(b"stmk\0\0\0\0\0\0");
    assert!(mask.wishes.words.is_empty());
    mask.feed(b"\x01\x02");
    assert_eq!(mask.wishes.words[0].mask, 0x102);
    let mut open = Bench::open();
    open.feed(b"ruok");
    assert_eq!((open.wishes.words.len(), open.cnxn.fate()), (0, Fate::Close));
}

#[test]
fn frames_out_of_bounds_close_at_their_fourth_byte() {
    for (length, fate) in [
        (-1, Fate::Close),
        (1_001, Fate::Close),
        (i32::MIN, Fate::Close),
        (1_000, Fate::Stay),
    ] {
        let mut bench = Bench::open();
        bench.feed(&length.to_bytes());
        assert_eq!(bench.cnxn.fate(), fate, "{length}");
    }
}

#[test]
fn requests_of_a_dead_session_are_dropped_without_a_word() {
    let mut bench = Bench::open();
    bench.sessions.remove(bench.cnxn.session());
    bench.feed(&[read(1), request(2, 1, b"")].concat());
    assert!(bench.asked().is_empty() && bench.inside().is_empty());
    assert_eq!((bench.cnxn.fate(), bench.cnxn.unsent()), (Fate::Stay, &b""[..]));
}

#[test]
fn an_end_of_stream_ends_all_but_the_last_answer() {
    let mut bench = Bench::new();
    bench.feed(b"ruok");
    bench.with(|cnxn, round| cnxn.on_end_of_stream(round));
    assert_eq!(bench.cnxn.fate(), Fate::CloseWhenWritten);
    let mut bench = Bench::open();
    bench.with(|cnxn, round| cnxn.on_end_of_stream(round));
    assert_eq!(bench.cnxn.fate(), Fate::Close);
}
