//! This server follows or observes: what [`Learner`] wants done is done here, in its order.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ensemble::{NewerTxns, Role};
use crate::processors::{LearnerChain, start_follower, start_observer};
use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::txn::LoggedTxn;
use crate::proto::{Epoch, Sid, Zxid};
use crate::request::{ClientLetter, Clients, ServerState, Serving, Sessions};
use crate::runtime::{Address, ExitCode, Halt, Now, Runtime};
use crate::seeded_fault::SeededFault;
use crate::storage::{
    CommittedLog, LogWriter, Recovered, StorageError, discard_after, truncate, write_snapshot,
};
use crate::tree::DataTree;
use crate::zab::{Learner, LearnerAction, LearnerEvent, LearnerRules, LearnerStart};

use super::ground::{Ground, must_have_ended, unsafe_disk};
use super::leading::server_byte;
use super::peer_link::{Closer, PeerLink, PortEvent, ToPeer, report_late};
use super::quorum_peer::{ChainLetter, Outcome};

/// A server that learns from a leader.
pub(super) struct Learning {
    core: Learner,
    role: Role,
    call: Box<dyn Closer>,
    link: Option<PeerLink>,
    to_me: Address<ChainLetter>,
    /// Until the chain stands, which takes it over.
    log: Option<LogWriter>,
    /// What the leader has sent, until it is installed.
    received: Option<DataTree>,
    served: Option<Served>,
    /// The leader of this epoch must send a snapshot next time: its cut cannot be made here.
    refetch: Option<Epoch>,
}

/// What goes to one place in one letter.
#[derive(Default)]
struct Letters {
    proposals: Vec<Arc<LoggedTxn>>,
    commits: Vec<Arc<LoggedTxn>>,
}

/// What stands once the leader has said UPTODATE.
struct Served {
    chain: LearnerChain,
    sessions: Arc<Sessions>,
}

impl Learning {
    /// Calls the leader. `refetch` is what the last attempt has left behind ([`Learning::end`]).
    ///
    /// # Errors
    /// If there is no such server.
    pub fn start(
        ground: &Ground,
        role: Role,
        leader: Sid,
        refetch: Option<Epoch>,
        events: Address<PortEvent>,
        to_me: Address<ChainLetter>,
    ) -> Result<Learning, String> {
        let leader = ground
            .member(leader)
            .ok_or_else(|| format!("Couldn't find the leader with id = {leader}"))?;
        let tick_ms = ground.rules.tick_ms;
        let rules = LearnerRules {
            me: ground.rules.me,
            role,
            logs: role == Role::Participant || ground.rules.observer_logs,
            init_ms: tick_ms * ground.rules.init_limit_ticks,
            sync_ms: tick_ms * ground.rules.sync_limit_ticks,
            newer_txns: ground.rules.newer_txns != NewerTxns::Never,
        };
        ground.database.allow_newer_txns(false);
        let summary = ground.summary();
        let start = LearnerStart {
            accepted: ground.epochs.accepted(),
            current: summary.current,
            last: summary.last,
            refetch,
        };
        Ok(Learning {
            core: Learner::new(rules, start),
            role,
            call: ground.port.dial(leader, events),
            link: None,
            to_me,
            log: None,
            received: None,
            served: None,
            refetch: None,
        })
    }

    /// Whether the leader has not been reached yet.
    pub fn is_alone(&self) -> bool {
        self.core.is_connecting()
    }

    pub fn deadline_ms(&self) -> Option<i64> {
        self.core.deadline()
    }

    pub fn tick<R: Runtime>(&mut self, ground: &mut Ground, runtime: &R, now: Now) -> Result<Outcome, Halt> {
        self.give(ground, runtime, now, [LearnerEvent::Tick])
    }

    pub fn on_port<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        event: PortEvent,
    ) -> Result<Outcome, Halt> {
        let event = match event {
            PortEvent::Connected(link) => {
                self.link = Some(link);
                LearnerEvent::Connected
            }
            PortEvent::Packets(_, packets) => {
                packets.iter().for_each(|packet| ground.count_sync(packet.kind));
                if SeededFault::HalfTreeKept.on() {
                    give_up_tree(ground, &packets);
                }
                let events = packets.into_iter().map(LearnerEvent::Packet);
                return self.give(ground, runtime, now, events);
            }
            PortEvent::TreeReceived(_, tree) => {
                self.received = Some(*tree);
                LearnerEvent::SnapshotReceived
            }
            PortEvent::Down(_, reason) | PortEvent::Unreachable(reason) => return Ok(Outcome::Over(reason)),
            PortEvent::TreeSent(_) => return Ok(Outcome::Stays),
        };
        self.give(ground, runtime, now, [event])
    }

    pub fn on_chain<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        letter: ChainLetter,
    ) -> Result<Outcome, Halt> {
        match letter {
            ChainLetter::Revalidate(asked) => {
                let event = LearnerEvent::Revalidate(asked.conn, asked.session, asked.timeout_ms);
                self.give(ground, runtime, now, [event])
            }
            ChainLetter::ForLeader(_) | ChainLetter::Logged(_) => Ok(Outcome::Stays),
        }
    }

    fn give<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        events: impl IntoIterator<Item = LearnerEvent>,
    ) -> Result<Outcome, Halt> {
        let mut outcome = Outcome::Stays;
        let mut letters = Letters::default();
        let mut actions = Vec::new();
        for event in events {
            self.core.on(now.elapsed_ms, event, &mut actions);
            for action in actions.drain(..) {
                match action {
                    LearnerAction::Log(txn) => letters.proposals.push(txn),
                    LearnerAction::Commit(txn) => letters.commits.push(txn),
                    action => {
                        self.post(ground, std::mem::take(&mut letters));
                        match self.carry_out(ground, runtime, now, action)? {
                            Outcome::Stays => {}
                            Outcome::Over(reason) => return Ok(Outcome::Over(reason)),
                            established => outcome = established,
                        }
                    }
                }
            }
        }
        self.post(ground, letters);
        Ok(outcome)
    }

    fn post(&self, ground: &Ground, letters: Letters) {
        let counters = &ground.status.metrics.counters;
        counters.proposals_received.add(letters.proposals.len() as u64);
        counters.commits_received.add(letters.commits.len() as u64);
        if let Some(served) = &self.served {
            served.chain.log(letters.proposals);
            served.chain.commit(letters.commits);
        }
    }

    /// Does what is not gathered.
    fn carry_out<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        action: LearnerAction,
    ) -> Result<Outcome, Halt> {
        match action {
            LearnerAction::SaveAcceptedEpoch(epoch) => ground.accept(epoch)?,
            LearnerAction::Send(packet) => self.send(packet),
            LearnerAction::Truncate(zxid) => return self.truncate(ground, zxid),
            LearnerAction::Apply(txn) => self.apply_to_received(&txn)?,
            LearnerAction::MarkUpdating => ground.epochs.begin_update().map_err(unsafe_disk)?,
            LearnerAction::InstallSnapshot(zxid) => self.install(ground, zxid)?,
            LearnerAction::AppendToLog(txn) => {
                self.log(ground)?.append(&txn).map_err(unsafe_disk)?;
                ground.database.note_logged([txn]);
            }
            LearnerAction::SyncLog => drop(self.log(ground)?.commit().map_err(unsafe_disk)?),
            LearnerAction::SaveCurrentEpoch(epoch) => ground.enter(epoch)?,
            LearnerAction::ClearUpdating => ground.epochs.end_update().map_err(unsafe_disk)?,
            LearnerAction::Serve(epoch) => {
                ground
                    .database
                    .allow_newer_txns(self.core.leader_knows_newer_txns());
                self.serve(ground, runtime, now)?;
                return Ok(Outcome::Established(epoch));
            }
            LearnerAction::SyncAnswered => {
                if let Some(served) = &self.served {
                    served.chain.answer_sync();
                }
            }
            LearnerAction::Log(_) | LearnerAction::Commit(_) => {}
            LearnerAction::AnswerPing(zxid) => {
                let touched = self.served.as_ref().map(|served| served.sessions.take_touched());
                self.send(QuorumPacket::pong(zxid, &touched.unwrap_or_default()));
            }
            LearnerAction::Revalidated(conn, _, valid) => {
                let letter = ClientLetter::Revalidated { conn, valid };
                ground.clients.post(Clients::index_of(conn), letter);
            }
            LearnerAction::Halt(reason) => return Err(Halt::new(ExitCode::CommitMismatch, reason)),
            LearnerAction::Leave(reason) => return Ok(Outcome::Over(reason)),
        }
        Ok(Outcome::Stays)
    }

    fn send(&self, packet: QuorumPacket) {
        if let Some(link) = &self.link {
            link.send(packet);
        }
    }

    /// The log as it is written before the chain stands.
    fn log(&mut self, ground: &Ground) -> Result<&mut LogWriter, Halt> {
        let log = match self.log.take() {
            Some(log) => log,
            None => ground.open_log()?,
        };
        Ok(self.log.insert(log))
    }

    /// Goes back to what the leader knows too; if the files do not allow it, the leader is to send all.
    fn truncate(&mut self, ground: &Ground, zxid: Zxid) -> Result<Outcome, Halt> {
        self.log = None;
        match truncate(&*ground.disk, &ground.dirs, zxid, &ground.rules.recovery) {
            Ok(recovered) => {
                ground.database.replace(recovered);
                Ok(Outcome::Stays)
            }
            Err(error @ StorageError::Unreachable { .. }) => {
                // The leader's epoch was accepted before it said this.
                self.refetch = Some(ground.epochs.accepted());
                Ok(Outcome::Over(format!(
                    "Not able to truncate the log to {zxid}: {error}"
                )))
            }
            Err(error) => Err(unsafe_disk(error)),
        }
    }

    fn apply_to_received(&mut self, txn: &LoggedTxn) -> Result<(), Halt> {
        let change = txn.txn().map_err(|malformed| {
            let reason = format!("transaction {} cannot be read: {malformed}", txn.zxid());
            Halt::new(ExitCode::Unexpected, reason)
        })?;
        if let Some(tree) = &mut self.received {
            tree.apply(txn.header(), &change, None);
        }
        Ok(())
    }

    /// The received tree becomes the history. A crash between the snapshot and the cut leaves one history all the
    /// same: what the old log has beyond the snapshot goes on from it.
    fn install(&mut self, ground: &Ground, zxid: Zxid) -> Result<(), Halt> {
        let Some(mut tree) = self.received.take() else {
            return Err(Halt::new(
                ExitCode::Unexpected,
                "no tree was received that could be installed",
            ));
        };
        tree.set_last_zxid(zxid);
        self.log = None;
        let path = write_snapshot(Arc::clone(&ground.disk), &ground.dirs, &tree).map_err(unsafe_disk)?;
        log::info!("Snapshotting: {zxid} to {}", path.display());
        discard_after(&*ground.disk, &ground.dirs, zxid).map_err(unsafe_disk)?;
        take_over(ground, tree, Some(path));
        Ok(())
    }

    /// The leader has said UPTODATE.
    fn serve<R: Runtime>(&mut self, ground: &Ground, runtime: &R, now: Now) -> Result<(), Halt> {
        let Some(link) = &self.link else {
            return Err(Halt::new(
                ExitCode::Unexpected,
                "a learner without a link cannot serve",
            ));
        };
        let known: Vec<_> = ground.database.read_tree().sessions().collect();
        let asks = self.to_me.map(ChainLetter::Revalidate);
        let sessions = Sessions::of_learner(server_byte(ground.rules.me), known, now, asks);
        let sessions = Arc::new(sessions);
        let log = match self.log.take() {
            Some(log) => log,
            None => ground.open_log()?,
        };
        let parts = ground.chain_parts(Arc::clone(&sessions));
        let leader = link.out.map(ToPeer::Packets);
        let (chain, state) = match self.role {
            Role::Participant => (start_follower(runtime, parts, log, leader), ServerState::Follower),
            Role::Observer => (start_observer(runtime, parts, log, leader), ServerState::Observer),
        };
        ground.gate.open(Serving {
            chain: chain.chain.first.clone(),
            database: Arc::clone(&ground.database),
            sessions: Arc::clone(&sessions),
            state,
        });
        self.served = Some(Served { chain, sessions });
        Ok(())
    }

    /// Ends the role. Tells the epoch whose leader is to send a snapshot next time.
    pub fn end(self, ground: &Ground) -> Result<Option<Epoch>, Halt> {
        log::info!("shutdown called");
        ground.gate.close();
        // The chain holds addresses of the link's sender: it ends first.
        if let Some(served) = self.served {
            must_have_ended(served.chain.end())?;
        }
        // What was appended before the chain stood is in the tree after this: it must be in the file as well.
        if let Some(mut log) = self.log {
            log.commit().map_err(unsafe_disk)?;
        }
        if let Some(link) = self.link {
            link.close();
        }
        report_late(self.call.close());
        ground.settle()?;
        Ok(self.refetch)
    }
}

/// A tree takes the place of the old one, and of all that led to that.
fn take_over(ground: &Ground, tree: DataTree, snapshot: Option<PathBuf>) {
    ground.database.replace(Recovered {
        last_zxid: tree.last_zxid(),
        tree,
        committed: CommittedLog::new(ground.rules.recovery.committed_limit),
        snapshot,
        replayed: 0,
        dead_sessions: Vec::new(),
        torn_ends: Vec::new(),
    });
}

/// See [`SeededFault::HalfTreeKept`].
fn give_up_tree(ground: &Ground, packets: &[QuorumPacket]) {
    if let Some(snap) = packets.iter().find(|packet| packet.kind == PacketType::Snap) {
        let mut nothing = DataTree::new();
        nothing.set_last_zxid(snap.zxid);
        take_over(ground, nothing, None);
    }
}
