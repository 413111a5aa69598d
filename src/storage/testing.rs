//! What the tests of this room share.

use std::path::Path;
use std::sync::Arc;

use super::{Dirs, LogOptions, LogReader, LogWriter, StorageError};
use crate::proto::txn::{CreateTxn, LoggedTxn, Txn, TxnHeader};
use crate::proto::{OpCode, SessionId, Xid, Zxid};
use crate::runtime::MemDisk;

/// An empty disk with the directories of a server: `/data` for both.
pub(super) fn empty() -> (MemDisk, Dirs) {
    let disk = MemDisk::new();
    let dirs = Dirs::open(&disk, Path::new("/data"), Path::new("/data")).expect("directories");
    (disk, dirs)
}

pub(super) fn header(zxid: i64, op: OpCode) -> TxnHeader {
    TxnHeader {
        session: SessionId(0x1_0000),
        cxid: Xid(1),
        zxid: Zxid(zxid),
        time_ms: zxid ^ 1_000,
        op: op.number(),
    }
}

pub(super) fn logged(zxid: i64, txn: &Txn<'_>) -> LoggedTxn {
    LoggedTxn::new(header(zxid, txn.op()), txn)
}

/// A node `/n<zxid in hex>` with this data is made.
pub(super) fn create(zxid: i64, data: &[u8]) -> LoggedTxn {
    let txn = Txn::Create(CreateTxn {
        path: format!("/n{zxid:x}").into(),
        data: Some(data),
        acl: None,
        ephemeral: false,
        parent_cversion: zxid as i32,
    });
    logged(zxid, &txn)
}

/// Small files, as the tests want them.
pub(super) fn options() -> LogOptions {
    LogOptions {
        prealloc_bytes: 8192,
        force_sync: true,
    }
}

pub(super) fn writer(disk: &MemDisk, dirs: &Dirs, last: i64) -> LogWriter {
    LogWriter::open(Arc::new(disk.clone()), dirs.clone(), Zxid(last), options()).expect("a writer")
}

/// Writes the transactions of a range, each with a commit of its own, to a new file.
pub(super) fn write(disk: &MemDisk, dirs: &Dirs, zxids: impl IntoIterator<Item = i64>) {
    let mut log: Option<LogWriter> = None;
    for zxid in zxids {
        let log = log.get_or_insert_with(|| writer(disk, dirs, zxid - 1));
        log.append(&create(zxid, b"some data")).expect("appended");
        log.commit().expect("committed");
    }
}

/// The zxids behind one, as far as they can be read, and how it ends.
pub(super) fn read(disk: &MemDisk, dirs: &Dirs, after: i64) -> (Vec<i64>, Result<(), StorageError>) {
    let mut zxids = Vec::new();
    let mut reader = match LogReader::open(disk, dirs, Zxid(after)) {
        Ok(reader) => reader,
        Err(error) => return (zxids, Err(error)),
    };
    loop {
        match reader.next_txn() {
            Ok(Some(txn)) => zxids.push(txn.zxid().0),
            Ok(None) => return (zxids, Ok(())),
            Err(error) => return (zxids, Err(error)),
        }
    }
}
