//! The chains of request processors, one for each role.
//!
//! ```text
//! standalone  client loop ──> Prep ──> Sync ──> Final ──> client loop
//!             SessionTracker ──┤        └──> Snapshot
//!             ContainerManager ┘
//!
//! leader      client loop ──> Prep ──> Proposal ──1──> Commit ──────────────> Final ──> client loop
//!             learners ────────┤          ├──2──> leader: propose   ^ decided
//!             SessionTracker ──┤          └──3──> Sync, Ack ──> leader: logged
//!             ContainerManager ┘                   └──> Snapshot
//!
//! follower    client loop ──> Follower ──1──> Commit ───────────────────────> Final ──> client loop
//!                                └──2──> leader: REQUEST        ^ COMMIT
//!             leader: PROPOSAL ──> Sync, SendAck ──> leader: ACK
//!                                   └──> Snapshot
//!
//! observer    client loop ──> Observer ──1──> Commit ───────────────────────> Final ──> client loop
//!                                └──2──> leader: REQUEST        ^ INFORM
//!             leader: INFORM ──> Sync (if it keeps a log) ──> Snapshot
//!
//! read-only   client loop ──> ReadOnly ──> Final ──> client loop
//!             SessionTracker ──┘
//! ```
//!
//! Each is a thread, but for Ack and SendAck, which work on that of Sync.
//!
//! 1 before 2 before 3: whoever decides on a request hears of it after those who wait for the decision.
//!
//! A chain ends from its head: when the last address of the first inbox is dropped, each stage drains its
//! inbox, says its last words and thereby closes the next.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::auth::Auth;
use crate::proto::Zxid;
use crate::proto::packet::QuorumPacket;
use crate::proto::txn::LoggedTxn;
use crate::request::metrics::Stages;
use crate::request::{Clients, Prepared, Request, Sessions, Status};
use crate::runtime::{Address, Clock, Crew, Disk, Inbox, Metered, Post, Runtime, Stage, StageMeter};
use crate::storage::{Database, Dirs, LogWriter};

use super::ack::{AckRequestProcessor, SendAckRequestProcessor};
use super::commit::{CommitLetter, CommitProcessor, foreign};
use super::containers::{ContainerManager, ContainerRules};
use super::expiry::ExpiryStage;
use super::final_processor::{FinalLinks, FinalRequestProcessor};
use super::follower::LearnerRequestProcessor;
use super::prep::{Prep, PrepRequestProcessor, PrepRules};
use super::proposal::{ForLeader, ProposalRequestProcessor};
use super::read_only::ReadOnlyRequestProcessor;
use super::snapshot::SnapshotStage;
use super::sync::{SyncLinks, SyncRequestProcessor, SyncRules};

/// What a chain is built from, besides its log.
pub struct ChainParts {
    /// The tree and what belongs to it.
    pub database: Arc<Database>,
    /// Who lives.
    pub sessions: Arc<Sessions>,
    /// The rules of access.
    pub auth: Arc<Auth>,
    /// Where answers go.
    pub clients: Clients,
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
    /// What may be written.
    pub prep_rules: PrepRules,
    /// When containers are looked for.
    pub containers: ContainerRules,
    /// For the name of the first thread.
    pub client_port: u16,
}

/// A chain at work.
#[derive(Debug)]
pub struct Chain {
    /// Its way in. Dropped with all clones, it ends the chain.
    pub first: Address<Vec<Request>>,
    /// Keep the threads that live by the clock alone, SessionTracker and ContainerManager; dropped, they end them.
    pub timers: Vec<Address<Infallible>>,
    /// Its threads.
    pub crew: Crew,
    ended: Arc<AtomicBool>,
}

/// The chain of a leader.
#[derive(Debug)]
pub struct LeaderChain {
    /// The chain. Learners' requests go in by the same way as clients'.
    pub chain: Chain,
    commits: Address<CommitLetter>,
}

/// The chain of a follower or an observer.
#[derive(Debug)]
pub struct LearnerChain {
    /// The chain.
    pub chain: Chain,
    commits: Address<CommitLetter>,
    log: Address<Vec<Prepared>>,
}

/// How a leader's chain reaches the leader.
#[derive(Debug)]
pub struct LeaderLinks {
    /// What has come through the chain, in its order.
    pub leader: Address<Vec<ForLeader>>,
    /// The own log is safe up to here.
    pub logged: Address<Zxid>,
}

impl Chain {
    /// Ends it: each stage drains its inbox and thereby closes the next; a snapshot that is being written is
    /// given up. Names those that did not end in time.
    pub fn end(self) -> Vec<String> {
        let Chain {
            first,
            timers,
            crew,
            ended,
        } = self;
        ended.store(true, Ordering::Release);
        drop((first, timers));
        crew.join(LONGEST_END)
    }
}

impl LeaderChain {
    /// Transactions are decided.
    pub fn commit(&self, txns: Vec<Arc<LoggedTxn>>) {
        if !txns.is_empty() {
            self.commits.post(CommitLetter::Commits(txns));
        }
    }

    /// The oldest sync of the leader's own clients is answered.
    pub fn answer_sync(&self) {
        self.commits.post(CommitLetter::SyncAnswered);
    }

    /// See [`Chain::end`].
    pub fn end(self) -> Vec<String> {
        drop(self.commits);
        self.chain.end()
    }
}

impl LearnerChain {
    /// The leader has proposed transactions.
    pub fn log(&self, txns: Vec<Arc<LoggedTxn>>) {
        if !txns.is_empty() {
            self.log.post(txns.into_iter().map(foreign).collect());
        }
    }

    /// Transactions are decided.
    pub fn commit(&self, txns: Vec<Arc<LoggedTxn>>) {
        if !txns.is_empty() {
            self.commits.post(CommitLetter::Commits(txns));
        }
    }

    /// The leader has answered the oldest sync.
    pub fn answer_sync(&self) {
        self.commits.post(CommitLetter::SyncAnswered);
    }

    /// See [`Chain::end`].
    pub fn end(self) -> Vec<String> {
        drop((self.commits, self.log));
        self.chain.end()
    }
}

/// Starts the chain of a server that stands alone.
pub fn start_standalone<R: Runtime>(runtime: &R, parts: ChainParts, log: LogWriter) -> Chain {
    let (first, prep_inbox) = inbox(&parts, |stages| &stages.prep);
    let (to_sync, sync_inbox) = inbox(&parts, |stages| &stages.sync);
    let (to_final, final_inbox) = inbox(&parts, |stages| &stages.last);
    let mut work = Work::begin(runtime, parts);
    let timers = work.start_timers(&first);
    work.start_prep(prep_inbox, to_sync);
    work.start_sync(log, sync_inbox, to_final);
    work.start_final(final_inbox, first, timers)
}

/// Starts the chain of a leader.
pub fn start_leader<R: Runtime>(
    runtime: &R,
    parts: ChainParts,
    log: LogWriter,
    leader: LeaderLinks,
) -> LeaderChain {
    let (first, prep_inbox) = inbox(&parts, |stages| &stages.prep);
    let (to_proposal, proposal_inbox) = inbox(&parts, |stages| &stages.proposal);
    let (to_commit, commit_inbox) = inbox(&parts, |stages| &stages.commit);
    let (to_sync, sync_inbox) = inbox(&parts, |stages| &stages.sync);
    let (to_final, final_inbox) = inbox(&parts, |stages| &stages.last);
    let mut work = Work::begin(runtime, parts);
    let timers = work.start_timers(&first);
    work.start_prep(prep_inbox, to_proposal);
    let proposal = ProposalRequestProcessor::new(to_commit.clone(), leader.leader, to_sync);
    work.start("ProposalRequestProcessor", proposal_inbox, proposal);
    let to_ack = Address::new(AckRequestProcessor::new(leader.logged));
    work.start_sync(log, sync_inbox, to_ack);
    work.start("CommitProcessor", commit_inbox, CommitProcessor::new(to_final));
    LeaderChain {
        chain: work.start_final(final_inbox, first, timers),
        commits: to_commit,
    }
}

/// Starts the chain of a follower.
pub fn start_follower<R: Runtime>(
    runtime: &R,
    parts: ChainParts,
    log: LogWriter,
    leader: Address<Vec<QuorumPacket>>,
) -> LearnerChain {
    let (to_commit, commit_inbox) = inbox(&parts, |stages| &stages.commit);
    let first =
        LearnerRequestProcessor::of_follower(to_commit.clone(), leader.clone(), Arc::clone(&parts.database));
    let acks = Address::new(SendAckRequestProcessor::new(leader));
    let commit = (to_commit, commit_inbox);
    start_learner(runtime, parts, log, commit, first, acks)
}

/// Starts the chain of an observer. Whether it keeps a log is for those to know who post to it.
pub fn start_observer<R: Runtime>(
    runtime: &R,
    parts: ChainParts,
    log: LogWriter,
    leader: Address<Vec<QuorumPacket>>,
) -> LearnerChain {
    let (to_commit, commit_inbox) = inbox(&parts, |stages| &stages.commit);
    let first = LearnerRequestProcessor::of_observer(to_commit.clone(), leader, Arc::clone(&parts.database));
    let commit = (to_commit, commit_inbox);
    let acks = Address::new(NoAcks);
    start_learner(runtime, parts, log, commit, first, acks)
}

/// Starts the chain of the server with this number while it has no leader. Nothing is logged, and the tree stays as
/// it is.
pub fn start_read_only<R: Runtime>(
    runtime: &R,
    server_id: i64,
    links: FinalLinks,
    status: Arc<Status>,
) -> Chain {
    let (first, first_inbox) = Inbox::new();
    let (expiry, expiry_inbox) = Inbox::new();
    let (to_final, final_inbox) = Inbox::new();
    let mut crew = Crew::new();
    let tracker = ExpiryStage::new(Arc::clone(&links.sessions), status, first.clone());
    runtime.start(&mut crew, "SessionTracker", expiry_inbox, tracker);
    let judge = ReadOnlyRequestProcessor::new(Arc::clone(&links.sessions), links.clients.clone(), to_final);
    let name = format!("ReadOnlyRequestProcessor:{server_id}");
    runtime.start(&mut crew, &name, first_inbox, judge);
    let name = format!("FinalRequestProcessor:{server_id}");
    runtime.start(&mut crew, &name, final_inbox, FinalRequestProcessor::new(links));
    Chain {
        first,
        timers: vec![expiry],
        crew,
        ended: Arc::new(AtomicBool::new(false)),
    }
}

/// What stands behind an observer's log: it acknowledges nothing.
#[derive(Debug)]
struct NoAcks;

impl Post<Vec<Prepared>> for NoAcks {
    fn post(&self, _letter: Vec<Prepared>) {}
}

fn start_learner<R: Runtime>(
    runtime: &R,
    parts: ChainParts,
    log: LogWriter,
    (commits, commit_inbox): (Address<CommitLetter>, Inbox<CommitLetter>),
    forward: LearnerRequestProcessor,
    acks: Address<Vec<Prepared>>,
) -> LearnerChain {
    let (first, first_inbox) = inbox(&parts, |stages| &stages.learner);
    let (to_sync, sync_inbox) = inbox(&parts, |stages| &stages.sync);
    let (to_final, final_inbox) = inbox(&parts, |stages| &stages.last);
    let mut work = Work::begin(runtime, parts);
    work.start(forward.name(), first_inbox, forward);
    work.start_sync(log, sync_inbox, acks);
    let commit = CommitProcessor::new(to_final);
    work.start("CommitProcessor", commit_inbox, commit);
    LearnerChain {
        chain: work.start_final(final_inbox, first, Vec::new()),
        commits,
        log: to_sync,
    }
}

/// An inbox whose letters are measured.
fn inbox<T: Send + 'static>(
    parts: &ChainParts,
    stage: impl FnOnce(&Stages) -> &Arc<StageMeter>,
) -> (Address<T>, Inbox<T>) {
    Inbox::metered(metered(&parts.status, &parts.clock, stage))
}

fn metered(
    status: &Status,
    clock: &Arc<dyn Clock>,
    stage: impl FnOnce(&Stages) -> &Arc<StageMeter>,
) -> Metered {
    Metered {
        meter: Arc::clone(stage(&status.metrics.stages)),
        clock: Arc::clone(clock),
    }
}

/// A chain that is being put together: its threads, in the order in which they end.
struct Work<'a, R> {
    runtime: &'a R,
    parts: ChainParts,
    crew: Crew,
    ended: Arc<AtomicBool>,
}

impl<'a, R: Runtime> Work<'a, R> {
    fn begin(runtime: &'a R, parts: ChainParts) -> Work<'a, R> {
        Work {
            runtime,
            parts,
            crew: Crew::new(),
            ended: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Starts a stage whose thread is called by its name and the server's number.
    fn start<S: Stage>(&mut self, name: &str, inbox: Inbox<S::In>, stage: S) {
        let name = format!("{name}:{}", self.parts.sync_rules.server_id);
        self.runtime.start(&mut self.crew, &name, inbox, stage);
    }

    /// The threads that live by the clock. They outlive the first processor's inbox by nothing: they hold its
    /// address.
    fn start_timers(&mut self, first: &Address<Vec<Request>>) -> Vec<Address<Infallible>> {
        let parts = &self.parts;
        let (sessions, session_inbox) = Inbox::new();
        let status = Arc::clone(&parts.status);
        let tracker = ExpiryStage::new(Arc::clone(&parts.sessions), status, first.clone());
        let (containers, container_inbox) = Inbox::new();
        let (database, now) = (Arc::clone(&parts.database), parts.clock.now());
        let manager = ContainerManager::new(parts.containers, database, first.clone(), now);
        self.runtime
            .start(&mut self.crew, "SessionTracker", session_inbox, tracker);
        self.runtime
            .start(&mut self.crew, "ContainerManagerTask", container_inbox, manager);
        vec![sessions, containers]
    }

    fn start_prep(&mut self, inbox: Inbox<Vec<Request>>, next: Address<Vec<Prepared>>) {
        let parts = &self.parts;
        let (auth, sessions) = (Arc::clone(&parts.auth), Arc::clone(&parts.sessions));
        let prep = Prep::new(auth, sessions, parts.database.applied(), parts.prep_rules);
        let prep = PrepRequestProcessor::new(prep, Arc::clone(&parts.database), next);
        let (sid, port) = (parts.sync_rules.server_id, parts.client_port);
        let name = format!("ProcessThread(sid:{sid} cport:{port}):");
        self.runtime.start(&mut self.crew, &name, inbox, prep);
    }

    /// The log, and the thread that takes snapshots when the log is rolled.
    fn start_sync(&mut self, log: LogWriter, inbox: Inbox<Vec<Prepared>>, next: Address<Vec<Prepared>>) {
        let parts = &self.parts;
        let metered = metered(&parts.status, &parts.clock, |stages| &stages.snapshot);
        let (to_snapshot, snapshot_inbox) = Inbox::metered(metered);
        let snapshot_busy = Arc::new(AtomicBool::new(false));
        let snapshot = SnapshotStage::new(
            Arc::clone(&parts.database),
            Arc::clone(&parts.disk),
            parts.dirs.clone(),
            Arc::clone(&snapshot_busy),
            Arc::clone(&self.ended),
        );
        let links = SyncLinks {
            database: Arc::clone(&parts.database),
            next,
            snapshots: to_snapshot,
            snapshot_busy,
            clock: Arc::clone(&parts.clock),
            status: Arc::clone(&parts.status),
        };
        let sync = SyncRequestProcessor::new(parts.sync_rules, log, links);
        self.start("SyncThread", inbox, sync);
        self.runtime
            .start(&mut self.crew, "Snapshot Thread", snapshot_inbox, snapshot);
    }

    /// The last stage; gives the whole.
    fn start_final(
        mut self,
        inbox: Inbox<Vec<Prepared>>,
        first: Address<Vec<Request>>,
        timers: Vec<Address<Infallible>>,
    ) -> Chain {
        let last = FinalRequestProcessor::new(FinalLinks {
            database: Arc::clone(&self.parts.database),
            sessions: Arc::clone(&self.parts.sessions),
            auth: Arc::clone(&self.parts.auth),
            clients: self.parts.clients.clone(),
        });
        self.start("FinalRequestProcessor", inbox, last);
        Chain {
            first,
            timers,
            crew: self.crew,
            ended: self.ended,
        }
    }
}

/// How long a stage may take to drain its inbox at the end.
const LONGEST_END: Duration = Duration::from_secs(30);
