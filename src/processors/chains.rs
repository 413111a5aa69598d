//! The chains of request processors, one for each role. So far one:
//!
//! ```text
//! standalone   client loop ──> PrepRequestProcessor ──> SyncRequestProcessor ──> FinalRequestProcessor ──> client loop
//!              SessionTracker ──┘                         └──> Snapshot Thread
//! ```
//!
//! A chain ends from its head: when the last address of the first inbox is dropped, each stage drains its
//! inbox, says its last words and thereby closes the next.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::auth::Auth;
use crate::request::{Clients, Request, Sessions, Status};
use crate::runtime::{Address, Clock, Crew, Disk, Inbox, Runtime};
use crate::storage::{Database, Dirs, LogWriter};

use super::expiry::ExpiryStage;
use super::final_processor::{FinalLinks, FinalRequestProcessor};
use super::prep::{Prep, PrepRequestProcessor};
use super::snapshot::SnapshotStage;
use super::sync::{SyncLinks, SyncRequestProcessor, SyncRules};

/// What a chain is built from.
pub struct ChainParts {
    /// The tree and what belongs to it.
    pub database: Arc<Database>,
    /// Who lives.
    pub sessions: Arc<Sessions>,
    /// The rules of access.
    pub auth: Arc<Auth>,
    /// Where answers go.
    pub clients: Clients,
    /// The log, ready to be appended to.
    pub log: LogWriter,
    /// Where snapshots go.
    pub disk: Arc<dyn Disk>,
    /// To which directories of it.
    pub dirs: Dirs,
    /// Figures.
    pub status: Arc<Status>,
    /// Times the syncs of the log.
    pub clock: Arc<dyn Clock>,
    /// When the log is rolled.
    pub sync_rules: SyncRules,
    /// What a transaction may take, bytes.
    pub max_txn_bytes: usize,
    /// For the name of the first thread.
    pub client_port: u16,
}

/// A chain at work.
pub struct Chain {
    /// Its way in. Dropped with all clones, it ends the chain.
    pub first: Address<Vec<Request>>,
    /// Keeps the session tracker's thread awake; dropped, it ends that thread.
    pub expiry: Address<Infallible>,
    /// Its threads.
    pub crew: Crew,
}

/// Starts the chain of a server that stands alone.
pub fn start_standalone<R: Runtime>(runtime: &R, parts: ChainParts) -> Chain {
    let ChainParts {
        database,
        sessions,
        auth,
        clients,
        log,
        disk,
        dirs,
        status,
        clock,
        sync_rules,
        ..
    } = parts;
    let mut crew = Crew::new();
    let (expiry, expiry_inbox) = Inbox::new();
    let (first, prep_inbox) = Inbox::new();
    let (to_sync, sync_inbox) = Inbox::new();
    let (to_snapshot, snapshot_inbox) = Inbox::new();
    let (to_final, final_inbox) = Inbox::new();
    let sid = sync_rules.server_id;

    let tracker = ExpiryStage::new(Arc::clone(&sessions), first.clone());
    runtime.start(&mut crew, "SessionTracker", expiry_inbox, tracker);

    let last_zxid = database.applied();
    let prep = Prep::new(
        Arc::clone(&auth),
        Arc::clone(&sessions),
        last_zxid,
        parts.max_txn_bytes,
    );
    let prep = PrepRequestProcessor::new(prep, Arc::clone(&database), to_sync);
    let name = format!("ProcessThread(sid:{sid} cport:{}):", parts.client_port);
    runtime.start(&mut crew, &name, prep_inbox, prep);

    let snapshot_busy = Arc::new(AtomicBool::new(false));
    let busy = Arc::clone(&snapshot_busy);
    let links = SyncLinks {
        next: to_final,
        snapshots: to_snapshot,
        snapshot_busy,
        clock,
        status,
    };
    let sync = SyncRequestProcessor::new(sync_rules, log, links);
    runtime.start(&mut crew, &format!("SyncThread:{sid}"), sync_inbox, sync);

    let snapshot = SnapshotStage::new(Arc::clone(&database), disk, dirs, busy);
    runtime.start(&mut crew, "Snapshot Thread", snapshot_inbox, snapshot);

    let last = FinalRequestProcessor::new(FinalLinks {
        database,
        sessions,
        auth,
        clients,
    });
    runtime.start(
        &mut crew,
        &format!("FinalRequestProcessor:{sid}"),
        final_inbox,
        last,
    );
    Chain { first, expiry, crew }
}
