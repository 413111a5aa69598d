//! What every role of a server stands on: its database, its disk, its clients, and the quorum port.

use std::sync::Arc;

use crate::auth::Auth;
use crate::ensemble::{Ensemble, Member, NewerTxns};
use crate::processors::{ChainParts, ContainerRules, PrepRules, SyncRules};
use crate::proto::packet::PacketType;
use crate::proto::{Epoch, Sid};
use crate::request::{ClientLetter, Clients, Gate, Sessions, Status};
use crate::runtime::{Clock, Disk, ExitCode, Halt};
use crate::seeded_fault::SeededFault;
use crate::storage::{Database, Dirs, Epochs, LogOptions, LogWriter, RecoveryOptions, StorageError};
use crate::zab::Summary;

use super::peer_link::QuorumPort;

/// What the operator has set for the roles.
#[derive(Debug, Clone)]
pub struct PeerRules {
    /// This server.
    pub me: Sid,
    /// Everybody.
    pub ensemble: Ensemble,
    /// A tick, milliseconds.
    pub tick_ms: i64,
    /// `initLimit`.
    pub init_limit_ticks: i64,
    /// `syncLimit`.
    pub sync_limit_ticks: i64,
    /// Whether this server takes clients while it leads. (`leaderServes`)
    pub leader_serves: bool,
    /// How long this server looks for a leader before it lets itself be read from; `None` if it never does.
    /// (`readonlymode.enabled`)
    pub read_only_after_ms: Option<i64>,
    /// Whether this server keeps a log while it observes. (`syncEnabled`)
    pub observer_logs: bool,
    /// How the log is written.
    pub log: LogOptions,
    /// How it is read back.
    pub recovery: RecoveryOptions,
    /// When it is rolled.
    pub sync: SyncRules,
    /// Whether transactions that 3.4 cannot read may be made.
    pub newer_txns: NewerTxns,
    /// When a leader looks for containers.
    pub containers: ContainerRules,
    /// What may be written while this server leads.
    pub prep: PrepRules,
    /// For the name of a thread.
    pub client_port: u16,
    /// Tests only: the counter with which a reign begins. (zookeeper.testingonly.initialZxid)
    pub initial_counter: Option<u32>,
}

/// The ground.
pub struct Ground {
    /// What the operator has set.
    pub rules: PeerRules,
    /// The tree and what belongs to it.
    pub database: Arc<Database>,
    /// Where files are.
    pub disk: Arc<dyn Disk>,
    /// In which directories.
    pub dirs: Dirs,
    /// What was promised and entered.
    pub epochs: Epochs,
    /// Whether clients are served.
    pub gate: Arc<Gate>,
    /// Where answers go.
    pub clients: Clients,
    /// The rules of access.
    pub auth: Arc<Auth>,
    /// Figures.
    pub status: Arc<Status>,
    /// Times the syncs of the log.
    pub clock: Arc<dyn Clock>,
    /// The way to the other servers.
    pub port: Box<dyn QuorumPort>,
}

impl Ground {
    /// This server in the list of servers.
    pub(super) fn member(&self, sid: Sid) -> Option<&Member> {
        self.rules.ensemble.member(sid)
    }

    /// What this server has.
    pub(super) fn summary(&self) -> Summary {
        Summary {
            current: self.epochs.current(),
            last: self.database.applied(),
        }
    }

    /// A log that goes on behind the tree.
    pub(super) fn open_log(&self) -> Result<LogWriter, Halt> {
        let (disk, dirs) = (Arc::clone(&self.disk), self.dirs.clone());
        LogWriter::open(disk, dirs, self.database.applied(), self.rules.log).map_err(unsafe_disk)
    }

    /// What a chain is built from.
    pub(super) fn chain_parts(&self, sessions: Arc<Sessions>) -> ChainParts {
        ChainParts {
            database: Arc::clone(&self.database),
            sessions,
            auth: Arc::clone(&self.auth),
            clients: self.clients.clone(),
            disk: Arc::clone(&self.disk),
            dirs: self.dirs.clone(),
            status: Arc::clone(&self.status),
            clock: Arc::clone(&self.clock),
            sync_rules: self.rules.sync,
            prep_rules: self.rules.prep,
            containers: self.rules.containers,
            client_port: self.rules.client_port,
        }
    }

    /// Counts the way in which a learner catches up, if that is what the packet says.
    pub(super) fn count_sync(&self, packet: PacketType) {
        let counters = &self.status.metrics.counters;
        match packet {
            PacketType::Diff => counters.diff.add(1),
            PacketType::Snap => counters.snap.add(1),
            PacketType::Trunc => counters.trunc.add(1),
            _ => {}
        }
    }

    /// Writes a promise down.
    pub(super) fn accept(&mut self, epoch: Epoch) -> Result<(), Halt> {
        self.epochs.set_accepted(epoch).map_err(unsafe_disk)
    }

    /// Writes an entered epoch down.
    pub(super) fn enter(&mut self, epoch: Epoch) -> Result<(), Halt> {
        self.epochs.set_current(epoch).map_err(unsafe_disk)
    }

    /// After a role's chain has ended: no client keeps its connection, and what is logged is in the tree, decided
    /// or not, since the next vote speaks for it (ZOOKEEPER-2845).
    pub(super) fn settle(&self) -> Result<(), Halt> {
        if !SeededFault::EndedRoleServes.on() {
            self.clients.post_all(|| ClientLetter::CloseAll);
        }
        let applied = self.database.catch_up().map_err(|(zxid, malformed)| {
            let reason = format!("transaction {zxid} cannot be read: {malformed}");
            Halt::new(ExitCode::Unexpected, reason)
        })?;
        if applied > 0 {
            log::info!(
                "{applied} transactions were logged and not decided; the tree is at zxid {} now",
                self.database.applied()
            );
        }
        Ok(())
    }
}

/// A thread of a chain that has not ended may still write to the log or the tree, and nothing may follow it there
/// (ZOOKEEPER-4712).
pub(super) fn must_have_ended(late: Vec<String>) -> Result<(), Halt> {
    if late.is_empty() {
        return Ok(());
    }
    let reason = format!(
        "these threads of a role have not ended in time: {}",
        late.join(", ")
    );
    Err(Halt::new(ExitCode::Unexpected, reason))
}

/// The disk no longer keeps what it is given: nothing may be said that rests on it.
pub(super) fn unsafe_disk(error: StorageError) -> Halt {
    Halt::new(ExitCode::Log, error.to_string())
}
