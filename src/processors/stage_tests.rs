//! Scripts for the Sync and Final stages: letters in, letters out, a disk in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::auth::Auth;
use crate::proto::requests::{PathWatch, SetWatches};
use crate::proto::responses::{ReplyHeader, WatcherEvent};
use crate::proto::txn::{CreateTxn, DeleteTxn, LoggedTxn, SubTxn, Txn, TxnHeader};
use crate::proto::{ConnId, Decode, Encode, ErrorCode, OpCode, Reader, SessionId, Xid, Zxid};
use crate::request::{ClientLetter, Clients, Origin, Outcome, Prepared, Replies, Request, Sessions, Status};
use crate::runtime::mem_disk::Fault;
use crate::runtime::{ExitCode, Flow, Inbox, MemDisk, Now, OsClock, Stage};
use crate::storage::{CommittedLog, Database, Dirs, LogOptions, LogWriter, RecoveryOptions, recover};
use crate::tree::DataTree;

use super::final_processor::{FinalLinks, FinalRequestProcessor};
use super::sync::{SyncLinks, SyncRequestProcessor, SyncRules, TakeSnapshot};

const NOW: Now = Now {
    elapsed_ms: 5_000,
    wall_ms: 1_700_000_000_000,
};
const ONE: ConnId = ConnId(1);
const TWO: ConnId = ConnId(2);

fn request(conn: ConnId, op: OpCode, body: Vec<u8>) -> Request {
    let origin = Origin::Client(conn);
    let session = SessionId(conn.0 as i64);
    Request {
        session,
        xid: Xid(7),
        op,
        body,
        origin,
        identities: Arc::from([]),
        received_us: 0,
    }
}

fn read(conn: ConnId, op: OpCode, record: &impl Encode) -> Prepared {
    let request = request(conn, op, record.to_bytes());
    Prepared {
        request,
        zxid: Zxid(0),
        logged: None,
        refused: None,
    }
}

fn write(conn: ConnId, zxid: i64, txn: &Txn<'_>) -> Prepared {
    let request = request(conn, txn.op(), vec![]);
    let (session, cxid, op) = (request.session, request.xid, txn.op().number());
    let header = TxnHeader {
        session,
        cxid,
        zxid: Zxid(zxid),
        time_ms: 1,
        op,
    };
    let logged = Some(Arc::new(LoggedTxn::new(header, txn)));
    Prepared {
        request,
        zxid: Zxid(zxid),
        logged,
        refused: None,
    }
}

fn create(conn: ConnId, zxid: i64, path: &str) -> Prepared {
    let create = CreateTxn {
        path: path.into(),
        data: None,
        acl: None,
        ephemeral: false,
        parent_cversion: -1,
    };
    write(conn, zxid, &Txn::Create(create))
}

fn delete(conn: ConnId, zxid: i64, path: &str) -> Prepared {
    write(conn, zxid, &Txn::Delete(DeleteTxn { path: path.into() }))
}

fn watch(path: &str) -> PathWatch<'_> {
    PathWatch {
        path: path.into(),
        watch: true,
    }
}

struct SyncScript {
    disk: MemDisk,
    stage: SyncRequestProcessor,
    next: Inbox<Vec<Prepared>>,
    snapshots: Inbox<TakeSnapshot>,
    busy: Arc<AtomicBool>,
}

impl SyncScript {
    fn new(snap_count: u32) -> SyncScript {
        SyncScript::with_limits(snap_count, None)
    }

    fn with_limits(snap_count: u32, snap_size_bytes: Option<u64>) -> SyncScript {
        let disk = MemDisk::new();
        let dirs = Dirs::open(&disk, Path::new("/data"), Path::new("/data")).expect("directories");
        let options = LogOptions {
            prealloc_bytes: 0,
            force_sync: true,
        };
        let log = LogWriter::open(Arc::new(disk.clone()), dirs, Zxid(0), options).expect("a log");
        let (to_next, next) = Inbox::new();
        let (to_snapshots, snapshots) = Inbox::new();
        let busy = Arc::new(AtomicBool::new(false));
        let links = SyncLinks {
            database: Arc::new(Database::new(DataTree::new(), CommittedLog::new(1))),
            next: to_next,
            snapshots: to_snapshots,
            snapshot_busy: Arc::clone(&busy),
            clock: Arc::new(OsClock::new()),
            status: Arc::new(Status::new()),
        };
        let rules = SyncRules {
            snap_count,
            snap_size_bytes,
            fsync_warning_ms: 1_000,
            server_id: 0,
            seed: 1,
        };
        SyncScript {
            disk,
            stage: SyncRequestProcessor::new(rules, log, links),
            next,
            snapshots,
            busy,
        }
    }
}

#[test]
fn nothing_leaves_sync_before_it_is_safe() {
    let mut script = SyncScript::new(100_000);
    assert_eq!(script.stage.step(NOW, vec![create(ONE, 1, "/a")]), Flow::Go);
    assert_eq!(
        script
            .stage
            .step(NOW, vec![read(ONE, OpCode::GetData, &watch("/a"))]),
        Flow::Go
    );
    assert_eq!(script.next.try_take(), None);
    assert_eq!(script.stage.quiet(NOW), Flow::Go);
    let letter = script.next.try_take().expect("one letter for both");
    assert_eq!(
        letter.iter().map(|p| p.request.op).collect::<Vec<_>>(),
        [OpCode::Create, OpCode::GetData]
    );
}

#[test]
fn a_thousand_writes_do_not_wait_for_a_quiet_moment() {
    let mut script = SyncScript::new(100_000);
    let letter = (1..=1_001).map(|zxid| create(ONE, zxid, "/a")).collect();
    script.stage.step(NOW, letter);
    assert_eq!(script.next.try_take().map(|letter| letter.len()), Some(1_000));
    assert_eq!(script.stage.end(NOW), Flow::Done);
    assert_eq!(script.next.try_take().map(|letter| letter.len()), Some(1));
}

#[test]
fn reads_pass_while_nothing_waits() {
    let mut script = SyncScript::new(100_000);
    script
        .stage
        .step(NOW, vec![read(ONE, OpCode::GetData, &watch("/a"))]);
    assert_eq!(script.next.try_take().map(|letter| letter.len()), Some(1));
}

#[test]
fn a_disk_that_fails_ends_the_server_before_anything_is_answered() {
    let before = SyncScript::new(100_000).disk.operations();
    for fault_at in 1..=4 {
        let mut script = SyncScript::new(100_000);
        script
            .disk
            .fault_at(before + fault_at, Fault::Error(std::io::ErrorKind::StorageFull));
        let flows = [
            script.stage.step(NOW, vec![create(ONE, 1, "/a")]),
            script.stage.quiet(NOW),
        ];
        let halted = |flow: &Flow| matches!(flow, Flow::Halt(halt) if halt.code == ExitCode::Log);
        assert!(
            flows.iter().any(halted),
            "fault at operation {fault_at}: {flows:?}"
        );
        assert_eq!(script.next.try_take(), None);
    }
}

#[test]
fn the_log_is_rolled_and_a_snapshot_asked_for_unless_one_is_under_way() {
    let mut script = SyncScript::new(10);
    let asked = |script: &SyncScript| std::iter::from_fn(|| script.snapshots.try_take()).count();
    (1..=12).for_each(|zxid| drop(script.stage.step(NOW, vec![create(ONE, zxid, "/a")])));
    assert_eq!(asked(&script), 1);
    assert!(script.busy.load(Ordering::Acquire));
    (13..=40).for_each(|zxid| drop(script.stage.step(NOW, vec![create(ONE, zxid, "/a")])));
    assert_eq!(asked(&script), 0);
    script.busy.store(false, Ordering::Release);
    (41..=60).for_each(|zxid| drop(script.stage.step(NOW, vec![create(ONE, zxid, "/a")])));
    assert_eq!(asked(&script), 1);
}

#[test]
fn the_log_is_rolled_by_size_where_that_is_limited() {
    let first = create(ONE, 1, "/a");
    let bytes = first.logged.as_ref().expect("a transaction").bytes().len() as u64;
    let mut script = SyncScript::with_limits(100_000, Some(10 * bytes));
    drop(script.stage.step(NOW, vec![first]));
    (2..=5).for_each(|zxid| drop(script.stage.step(NOW, vec![create(ONE, zxid, "/a")])));
    assert_eq!(script.snapshots.try_take(), None);
    (6..=12).for_each(|zxid| drop(script.stage.step(NOW, vec![create(ONE, zxid, "/a")])));
    assert!(script.snapshots.try_take().is_some());
}

struct FinalScript {
    stage: FinalRequestProcessor,
    database: Arc<Database>,
    sessions: Arc<Sessions>,
    clients: Inbox<ClientLetter>,
}

impl FinalScript {
    fn new() -> FinalScript {
        let disk = MemDisk::new();
        let dirs = Dirs::open(&disk, Path::new("/data"), Path::new("/data")).expect("directories");
        let recovered = recover(&disk, &dirs, &RecoveryOptions::default()).expect("an empty database");
        let database = Arc::new(Database::new(recovered.tree, recovered.committed));
        let sessions = Arc::new(Sessions::new(1, 2_000, [(SessionId(1), 10_000)], NOW));
        let (address, clients) = Inbox::new();
        let stage = FinalRequestProcessor::new(FinalLinks {
            database: Arc::clone(&database),
            sessions: Arc::clone(&sessions),
            auth: Arc::new(Auth::default()),
            clients: Clients::new(vec![address]),
        });
        FinalScript {
            stage,
            database,
            sessions,
            clients,
        }
    }

    /// Hands in a letter and shows what goes out, a line each.
    fn step(&mut self, letter: Vec<Prepared>) -> Vec<String> {
        assert_eq!(self.stage.step(NOW, letter), Flow::Go);
        let mut shown = Vec::new();
        while let Some(letter) = self.clients.try_take() {
            match letter {
                ClientLetter::Replies(replies) => shown.extend(show(&replies)),
                other => shown.push(format!("{other:?}")),
            }
        }
        shown
    }
}

fn show(replies: &Replies) -> Vec<String> {
    let line = |entry: &crate::request::ReplyEntry| {
        let mut reader = Reader::new(replies.frame(entry));
        let conn = entry.conn.0;
        let Ok(length) = i32::decode(&mut reader) else {
            return format!("{conn} {:?}", entry.outcome);
        };
        assert_eq!(length as usize, reader.remaining());
        let header = ReplyHeader::decode(&mut reader).expect("a header");
        if entry.outcome == Outcome::Event {
            let event = WatcherEvent::decode(&mut reader).expect("an event");
            return format!("{conn} {:?} {} zxid {}", event.kind, event.path, header.zxid);
        }
        format!("{conn} {:?} {:?} zxid {}", entry.op, header.error, header.zxid)
    };
    replies.entries().iter().map(line).collect()
}

#[test]
fn an_event_stands_before_the_answer_that_could_show_the_change() {
    let mut script = FinalScript::new();
    assert_eq!(
        script.step(vec![read(TWO, OpCode::Exists, &watch("/a"))]),
        ["2 Exists NoNode zxid 0x0"]
    );
    let letter = vec![
        create(ONE, 1, "/a"),
        read(TWO, OpCode::GetData, &watch("/a")),
        delete(ONE, 2, "/a"),
    ];
    let expected = [
        "2 NodeCreated /a zxid 0xffffffffffffffff",
        "1 Create Ok zxid 0x1",
        "2 GetData Ok zxid 0x1",
        "2 NodeDeleted /a zxid 0xffffffffffffffff",
        "1 Delete Ok zxid 0x2",
    ];
    assert_eq!(script.step(letter), expected);
    assert_eq!(script.database.applied(), Zxid(2));
}

#[test]
fn events_of_set_watches_stand_before_its_answer() {
    let mut script = FinalScript::new();
    script.step(vec![create(ONE, 5, "/a")]);
    let watches = SetWatches {
        relative_zxid: Zxid(1),
        data: vec!["/a".into(), "/gone".into()],
        exist: vec!["/later".into()],
        child: vec![],
    };
    let expected = [
        "2 NodeDataChanged /a zxid 0xffffffffffffffff",
        "2 NodeDeleted /gone zxid 0xffffffffffffffff",
        "2 SetWatches Ok zxid 0x5",
    ];
    assert_eq!(
        script.step(vec![read(TWO, OpCode::SetWatches, &watches)]),
        expected
    );
    let events = script.step(vec![create(ONE, 6, "/later")]);
    assert_eq!(events[0], "2 NodeCreated /later zxid 0xffffffffffffffff");
}

#[test]
fn a_failed_multi_has_a_header_that_says_ok() {
    let mut script = FinalScript::new();
    let part = SubTxn {
        op: OpCode::Error.number(),
        record: (-101i32).to_bytes().into(),
    };
    assert_eq!(
        script.step(vec![write(ONE, 1, &Txn::Multi(vec![part]))]),
        ["1 Multi Ok zxid 0x1"]
    );
}

#[test]
fn a_client_s_own_create_session_that_is_refused_makes_no_handshake() {
    let mut script = FinalScript::new();
    let refused = Prepared {
        refused: Some(ErrorCode::MarshallingError),
        ..read(ONE, OpCode::CreateSession, &watch("/a"))
    };
    assert_eq!(script.step(vec![refused]), ["1 Error MarshallingError zxid 0x0"]);
}

#[test]
fn a_session_that_moved_is_cut_off_and_others_are_told_their_error() {
    let mut script = FinalScript::new();
    let refused = |code| Prepared {
        refused: Some(code),
        ..read(ONE, OpCode::GetData, &watch("/a"))
    };
    let letter = vec![
        refused(ErrorCode::SessionMoved),
        refused(ErrorCode::SessionExpired),
    ];
    assert_eq!(
        script.step(letter),
        ["1 Close", "1 Error SessionExpired zxid 0x0"]
    );
}

#[test]
fn sessions_begin_and_end_with_their_transactions() {
    let mut script = FinalScript::new();
    assert_eq!(
        script.step(vec![write(TWO, 1, &Txn::CreateSession(8_000))]),
        ["2 SessionCreated"]
    );
    assert!(script.sessions.touch(SessionId(2), 8_000, 5_000));
    let end = script.step(vec![write(TWO, 2, &Txn::CloseSession)]);
    assert_eq!(end, ["2 CloseSession Ok zxid 0x2"]);
    assert!(!script.sessions.touch(SessionId(2), 8_000, 5_000));
    let mut expired = write(ONE, 3, &Txn::CloseSession);
    expired.request.origin = Origin::Server;
    assert_eq!(script.step(vec![expired]), ["CloseSession(SessionId(1))"]);
}
