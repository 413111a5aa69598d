//! What the parts of a request cost by themselves: `cargo bench --bench micro`, or with a word of a name behind it.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use oxkeeper::proto::requests::{RequestHeader, SetDataRequest};
use oxkeeper::proto::txn::{CreateTxn, LoggedTxn, SetDataTxn, Txn, TxnHeader};
use oxkeeper::proto::{Acl, ConnId, Decode, Encode, OpCode, Reader, SessionId, Xid, Zxid};
use oxkeeper::runtime::{
    Address, Crew, Disk, Flow, Inbox, MemDisk, Now, OsClock, OsDisk, Runtime, Stage, Threads,
};
use oxkeeper::storage::{Dirs, LogOptions, LogWriter, read_snapshot, write_snapshot};
use oxkeeper::tree::{Change, DataTree, Guarded, WatchManager};

/// A request as a client sends it, and back.
fn jute(bench: &mut Criterion) {
    let data = vec![7; VALUE_BYTES];
    let request = SetDataRequest {
        path: "/app/config/servers/k0000000001".into(),
        data: Some(&data),
        version: -1,
    };
    let header = RequestHeader {
        xid: Xid(1),
        op: OpCode::SetData.number(),
    };
    let mut out = Vec::new();
    bench.bench_function("jute: encode a setData of 1 KiB", |bench| {
        bench.iter(|| {
            out.clear();
            header.encode(&mut out);
            black_box(&request).encode(&mut out);
        });
    });
    bench.bench_function("jute: decode a setData of 1 KiB", |bench| {
        bench.iter(|| {
            let mut reader = Reader::new(black_box(&out));
            let header = RequestHeader::decode(&mut reader).expect("a header");
            let request = SetDataRequest::decode(&mut reader).expect("a request");
            (header.xid, request.path.len())
        });
    });
}

/// A transaction on a tree of 100,000 nodes.
fn tree(bench: &mut Criterion) {
    let mut tree = tree_of(NODES);
    let (data, mut zxid) = (vec![7; VALUE_BYTES], NODES + 10);
    bench.bench_function("tree: apply a setData of 1 KiB", |bench| {
        bench.iter(|| {
            zxid += 1;
            let txn = Txn::SetData(SetDataTxn {
                path: path_of(zxid % NODES).into(),
                data: Some(&data),
                version: 1,
            });
            tree.apply(&header(zxid, txn.op()), &txn, None);
        });
    });
    bench.bench_function("tree: look a node up", |bench| {
        let path = path_of(NODES / 2);
        bench.iter(|| tree.get(black_box(&path)).map(|node| node.shown_stat()));
    });
    bench.bench_function("tree: apply a create and a delete", |bench| {
        bench.iter(|| {
            zxid += 2;
            let path = "/bench/one more".to_owned();
            let made = create(&path, b"");
            tree.apply(&header(zxid - 1, made.op()), &made, None);
            let removed = Txn::Delete(oxkeeper::proto::txn::DeleteTxn { path: path.into() });
            tree.apply(&header(zxid, removed.op()), &removed, None);
        });
    });
}

/// Watches of many connections on one node.
fn watches(bench: &mut Criterion) {
    let open: Arc<[Acl]> = Acl::open().into();
    let guarded = Guarded {
        change: Change::DataChanged("/bench".into()),
        acl: Arc::clone(&open),
        parent_acl: open,
    };
    let mut manager = WatchManager::new();
    let mut group = bench.benchmark_group("watches");
    group.throughput(Throughput::Elements(WATCHERS));
    group.bench_function("set and fire 1,000 of one node", |bench| {
        let mut fired = Vec::new();
        bench.iter(|| {
            (0..WATCHERS).for_each(|watcher| manager.watch_data("/bench", ConnId(watcher)));
            fired.clear();
            manager.trigger(&guarded, &mut fired);
            assert_eq!(fired.len() as u64, WATCHERS);
        });
    });
    group.finish();
}

/// Batches of transactions for the log: with a disk below, and in memory, where each batch has a log of its own.
fn log(bench: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut group = bench.benchmark_group("log");
    let mut zxid = 0;
    for batch in [1, BATCH] {
        group.throughput(Throughput::Elements(batch));
        let path = directory.path().join(batch.to_string());
        let mut log = writer(Arc::new(OsDisk), &path, LogOptions::default());
        group.bench_function(
            format!("append {batch} of 1 KiB and commit, on the disk"),
            |bench| {
                bench.iter(|| append(&mut log, batch, &mut zxid));
            },
        );
    }
    let small = LogOptions {
        prealloc_bytes: 0,
        ..LogOptions::default()
    };
    group.bench_function(
        format!("append {BATCH} of 1 KiB and commit, in memory"),
        |bench| {
            let fresh = || writer(Arc::new(MemDisk::new()), Path::new("/data"), small);
            let (batch, size) = (
                |log: &mut LogWriter| append(log, BATCH, &mut zxid),
                BatchSize::PerIteration,
            );
            bench.iter_batched_ref(fresh, batch, size);
        },
    );
    group.finish();
}

fn writer(disk: Arc<dyn Disk>, path: &Path, options: LogOptions) -> LogWriter {
    let dirs = Dirs::open(&*disk, path, path).expect("directories");
    LogWriter::open(disk, dirs, Zxid(0), options).expect("a writer")
}

fn append(log: &mut LogWriter, count: u64, zxid: &mut i64) -> Zxid {
    let data = [7; VALUE_BYTES];
    for _ in 0..count {
        *zxid += 1;
        let txn = create("/bench/k", &data);
        let logged = LoggedTxn::new(header(*zxid, txn.op()), &txn);
        log.append(&logged).expect("appended");
    }
    log.commit().expect("committed")
}

/// A snapshot of 100,000 nodes of 100 bytes, there and back.
fn snapshot(bench: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a directory");
    let disk: Arc<dyn Disk> = Arc::new(OsDisk);
    let dirs = Dirs::open(&*disk, directory.path(), directory.path()).expect("directories");
    let tree = tree_of(NODES);
    let mut group = bench.benchmark_group("snapshot");
    group.throughput(Throughput::Elements(NODES as u64));
    group.bench_function("write 100,000 nodes", |bench| {
        bench.iter(|| write_snapshot(Arc::clone(&disk), &dirs, &tree).expect("a snapshot"));
    });
    let path = write_snapshot(Arc::clone(&disk), &dirs, &tree).expect("a snapshot");
    group.bench_function("load 100,000 nodes", |bench| {
        // A tree is dropped outside of what is measured.
        bench.iter_batched(
            || (),
            |()| read_snapshot(&*disk, &path).expect("a tree"),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// A letter to a stage in a thread of its own, and its answer: twice a post and a wake-up.
fn stage_hop(bench: &mut Criterion) {
    let (halts, _halted) = crossbeam_channel::unbounded();
    let threads = Threads::new(Arc::new(OsClock::new()), halts);
    let (mut crew, (address, inbox)) = (Crew::new(), Inbox::new());
    let (answers, answered) = mpsc::channel();
    threads.start(&mut crew, "Echo", inbox, Echo(answers));
    bench.bench_function("stage: there and back", |bench| {
        bench.iter(|| {
            address.post(1);
            answered.recv()
        });
    });
    let mut group = bench.benchmark_group("stage");
    group.throughput(Throughput::Elements(LETTERS));
    group.bench_function("1,000 letters in a row", |bench| {
        bench.iter(|| {
            (0..LETTERS).for_each(|letter| address.post(letter));
            (0..LETTERS).for_each(|_| assert!(answered.recv().is_ok()));
        });
    });
    group.finish();
    end(address, crew);
}

struct Echo(mpsc::Sender<u64>);

impl Stage for Echo {
    type In = u64;

    fn step(&mut self, _now: Now, letter: u64) -> Flow {
        self.0.send(letter).map_or(Flow::Done, |()| Flow::Go)
    }
}

fn end(address: Address<u64>, crew: Crew) {
    drop(address);
    assert_eq!(crew.join(Duration::from_secs(10)), Vec::<String>::new());
}

fn tree_of(nodes: i64) -> DataTree {
    let mut tree = DataTree::new();
    let root = create("/bench", b"");
    tree.apply(&header(1, root.op()), &root, None);
    let data = vec![7; 100];
    for number in 0..nodes {
        let path = path_of(number);
        let txn = create(&path, &data);
        tree.apply(&header(number + 2, txn.op()), &txn, None);
    }
    tree
}

fn path_of(number: i64) -> String {
    format!("/bench/k{number:010}")
}

fn create<'a>(path: &'a str, data: &'a [u8]) -> Txn<'a> {
    Txn::Create(CreateTxn {
        path: path.into(),
        data: Some(data),
        acl: None,
        ephemeral: false,
        parent_cversion: 1,
    })
}

fn header(zxid: i64, op: OpCode) -> TxnHeader {
    TxnHeader {
        session: SessionId(1),
        cxid: Xid(1),
        zxid: Zxid(zxid),
        time_ms: 1,
        op: op.number(),
    }
}

/// Short: medians of such runs are good to some percent, and all of it takes less than a minute.
fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
}

const NODES: i64 = 100_000;
const VALUE_BYTES: usize = 1024;
const WATCHERS: u64 = 1_000;
const BATCH: u64 = 1_000;
const LETTERS: u64 = 1_000;

criterion_group! {
    name = micro;
    config = short();
    targets = jute, tree, watches, log, snapshot, stage_hop
}
criterion_main!(micro);
