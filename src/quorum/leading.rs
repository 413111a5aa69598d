//! This server leads: what [`Leader`] wants done is done here, in its order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::processors::proposal::ForLeader;
use crate::processors::{LeaderChain, LeaderLinks, start_leader};
use crate::proto::packet::{ForwardedRequest, PacketType, QuorumPacket};
use crate::proto::txn::LoggedTxn;
use crate::proto::{LinkId, OpCode, Sid, Zxid};
use crate::request::{Learners, Origin, Request, ServerState, Serving, Sessions};
use crate::runtime::{Address, Halt, Now, Runtime};
use crate::storage::Database;
use crate::zab::{History, Leader, LeaderAction, LeaderEvent, LeaderRules};

use super::ground::{Ground, must_have_ended};
use super::peer_link::{Closer, PeerLink, PortEvent, ToPeer, report_late};
use super::quorum_peer::{ChainLetter, Outcome};
use super::strangers::Strangers;

/// A server that leads, or tries to.
pub(super) struct Leading {
    core: Leader,
    history: TreeHistory,
    links: BTreeMap<LinkId, PeerLink>,
    strangers: Strangers,
    acceptor: Box<dyn Closer>,
    to_me: Address<ChainLetter>,
    reign: Option<Reign>,
}

/// What stands once a quorum has this server's history.
struct Reign {
    chain: LeaderChain,
    sessions: Arc<Sessions>,
}

/// What goes to one place in one letter.
#[derive(Default)]
struct Letters {
    packets: BTreeMap<LinkId, Vec<QuorumPacket>>,
    commits: Vec<Arc<LoggedTxn>>,
    requests: Vec<Request>,
}

/// A leader's own database, as the rules look into it.
struct TreeHistory(Arc<Database>);

impl History for TreeHistory {
    fn applied(&self) -> Zxid {
        self.0.applied()
    }

    fn committed(&self) -> Vec<Arc<LoggedTxn>> {
        self.0.committed().iter().cloned().collect()
    }
}

impl Leading {
    /// Opens the quorum port and waits for a quorum.
    ///
    /// # Errors
    /// Why the port cannot be had.
    pub fn start(
        ground: &Ground,
        now: Now,
        events: Address<PortEvent>,
        to_me: Address<ChainLetter>,
    ) -> Result<(Leading, Vec<LeaderAction>), String> {
        let acceptor = ground.port.listen(events)?;
        let rules = LeaderRules {
            ensemble: ground.rules.ensemble.clone(),
            me: ground.rules.me,
            tick_ms: ground.rules.tick_ms,
            init_limit_ticks: ground.rules.init_limit_ticks,
            sync_limit_ticks: ground.rules.sync_limit_ticks,
            newer_txns: ground.rules.newer_txns,
            has_newer_txns: ground.database.read_tree().is_beyond_3_4(),
        };
        ground.database.allow_newer_txns(false);
        let mut actions = Vec::new();
        let (accepted, mine) = (ground.epochs.accepted(), ground.summary());
        let core = Leader::start(rules, accepted, mine, now.elapsed_ms, &mut actions);
        let leading = Leading {
            core,
            history: TreeHistory(Arc::clone(&ground.database)),
            links: BTreeMap::new(),
            strangers: Strangers::default(),
            acceptor,
            to_me,
            reign: None,
        };
        Ok((leading, actions))
    }

    /// Whether no quorum has come to follow yet.
    pub fn is_alone(&self) -> bool {
        self.core.is_alone()
    }

    pub fn deadline_ms(&self) -> Option<i64> {
        self.core.deadline()
    }

    pub fn tick<R: Runtime>(&mut self, ground: &mut Ground, runtime: &R, now: Now) -> Result<Outcome, Halt> {
        self.give(ground, runtime, now, [LeaderEvent::Tick])
    }

    pub fn on_port<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        event: PortEvent,
    ) -> Result<Outcome, Halt> {
        let event = match event {
            PortEvent::Connected(link) => return self.welcome(ground, runtime, now, link),
            PortEvent::Packets(link, packets) => {
                let events = packets
                    .into_iter()
                    .map(|packet| LeaderEvent::Packet(link, packet));
                let outcome = self.give(ground, runtime, now, events);
                if self.links.contains_key(&link) {
                    self.strangers.introduced(link);
                }
                return outcome;
            }
            PortEvent::TreeSent(link) => LeaderEvent::SnapshotSent(link),
            PortEvent::Down(id, reason) => {
                self.part(now, id, &reason);
                LeaderEvent::Down(id)
            }
            PortEvent::TreeReceived(..) | PortEvent::Unreachable(_) => return Ok(Outcome::Stays),
        };
        self.give(ground, runtime, now, [event])
    }

    /// Takes a caller in. If there are too many that have not said who they are, another has to go.
    fn welcome<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        link: PeerLink,
    ) -> Result<Outcome, Halt> {
        let id = link.id;
        self.links.insert(id, link);
        let mut events = vec![LeaderEvent::Connected(id)];
        if let Some(oldest) = self.strangers.come(id) {
            self.part(now, oldest, "too many callers are silent");
            events.push(LeaderEvent::Down(oldest));
        }
        self.give(ground, runtime, now, events)
    }

    /// Ends a link, if that has not been done.
    fn part(&mut self, now: Now, id: LinkId, reason: &str) {
        if let Some(link) = self.links.remove(&id) {
            self.strangers.part(now.elapsed_ms, id, &link.remote, reason);
            link.close();
        }
    }

    pub fn on_chain<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        letter: ChainLetter,
    ) -> Result<Outcome, Halt> {
        match letter {
            ChainLetter::ForLeader(words) => {
                ground.status.metrics.counters.proposals.add(proposals_in(&words));
                let events = words.into_iter().map(|word| match word {
                    ForLeader::Propose(txn) => LeaderEvent::Propose(txn),
                    ForLeader::Sync(sid) => LeaderEvent::Sync(sid),
                    ForLeader::OwnSync => LeaderEvent::OwnSync,
                });
                self.give(ground, runtime, now, events)
            }
            ChainLetter::Logged(zxid) => self.give(ground, runtime, now, [LeaderEvent::Logged(zxid)]),
            ChainLetter::Revalidate(_) => Ok(Outcome::Stays),
        }
    }

    fn give<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        events: impl IntoIterator<Item = LeaderEvent>,
    ) -> Result<Outcome, Halt> {
        let mut actions = Vec::new();
        for event in events {
            self.core.on(now.elapsed_ms, event, &self.history, &mut actions);
        }
        let outcome = self.carry_out(ground, runtime, now, actions)?;
        self.tell_of_learners(ground);
        Ok(outcome)
    }

    /// Does what is to be done, in order. What comes of it is handed in and done too. What goes to one place in a
    /// row goes there in one letter.
    pub fn carry_out<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        actions: Vec<LeaderAction>,
    ) -> Result<Outcome, Halt> {
        let mut outcome = Outcome::Stays;
        let mut letters = Letters::default();
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                LeaderAction::Send(link, packet) => {
                    ground.count_sync(packet.kind);
                    letters.packets.entry(link).or_default().push(packet);
                }
                LeaderAction::Commit(txn) => letters.commits.push(txn),
                LeaderAction::Submit(sid, request) => letters.requests.extend(submitted(now, sid, request)),
                LeaderAction::Touch(session, timeout_ms) => {
                    if let Some(reign) = &self.reign {
                        reign.sessions.touch(session, timeout_ms, now.elapsed_ms);
                    }
                }
                action => {
                    self.post(ground, std::mem::take(&mut letters));
                    match self.carry_out_alone(ground, runtime, now, action, &mut actions)? {
                        Outcome::Stays => {}
                        Outcome::Over(reason) => return Ok(Outcome::Over(reason)),
                        established => outcome = established,
                    }
                }
            }
        }
        self.post(ground, letters);
        Ok(outcome)
    }

    /// Does what is not gathered.
    fn carry_out_alone<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        action: LeaderAction,
        more: &mut VecDeque<LeaderAction>,
    ) -> Result<Outcome, Halt> {
        match action {
            LeaderAction::SaveAcceptedEpoch(epoch) => ground.accept(epoch)?,
            LeaderAction::SaveCurrentEpoch(epoch) => ground.enter(epoch)?,
            LeaderAction::AllowNewerTxns(allowed) => allow_newer_txns(ground, allowed),
            LeaderAction::SendSnapshot(link) => {
                ground.count_sync(PacketType::Snap);
                self.send(link, ToPeer::Tree(Arc::clone(&ground.database)));
            }
            LeaderAction::HangUp(link, reason) => self.part(now, link, &reason),
            LeaderAction::Lead(zxid) => {
                self.reign(ground, runtime, now, zxid)?;
                return Ok(Outcome::Established(zxid.epoch()));
            }
            LeaderAction::Revalidate(link, sid, session, timeout_ms) => {
                ground.status.metrics.counters.revalidations.add(1);
                let is_alive = self.reign.as_ref().is_some_and(|reign| {
                    let sessions = &reign.sessions;
                    sessions.hand_over(session, timeout_ms, Some(sid), now.elapsed_ms)
                });
                let event = LeaderEvent::Revalidated(link, session, is_alive);
                let mut actions = Vec::new();
                self.core.on(now.elapsed_ms, event, &self.history, &mut actions);
                more.extend(actions);
            }
            LeaderAction::SyncAnswered => {
                if let Some(reign) = &self.reign {
                    reign.chain.answer_sync();
                }
            }
            LeaderAction::Over(reason) => return Ok(Outcome::Over(reason)),
            LeaderAction::Send(..)
            | LeaderAction::Commit(_)
            | LeaderAction::Submit(..)
            | LeaderAction::Touch(..) => {}
        }
        Ok(Outcome::Stays)
    }

    fn post(&self, ground: &Ground, letters: Letters) {
        for (link, packets) in letters.packets {
            self.send(link, ToPeer::Packets(packets));
        }
        ground
            .status
            .metrics
            .counters
            .commits
            .add(letters.commits.len() as u64);
        match &self.reign {
            Some(reign) => {
                reign.chain.commit(letters.commits);
                if !letters.requests.is_empty() {
                    reign.chain.chain.first.post(letters.requests);
                }
            }
            None => letters.requests.iter().for_each(|request| {
                log::warn!(
                    "Dropping a request of session {} that a learner has forwarded before this server serves",
                    request.session
                );
            }),
        }
    }

    /// For `mntr`.
    fn tell_of_learners(&self, ground: &Ground) {
        ground.status.set_learners(Learners {
            connected: self.links.len() as i64,
            synced: self.core.forwarded_to().count() as i64,
            observers: self
                .core
                .forwarded_to()
                .filter(|learner| !learner.is_participant())
                .count() as i64,
            pending_syncs: self.core.pending_syncs() as i64,
        });
    }

    fn send(&self, link: LinkId, letter: ToPeer) {
        if let Some(link) = self.links.get(&link) {
            link.out.post(letter);
        }
    }

    /// A quorum has this server's history: it serves. (Leader.startZkServer)
    fn reign<R: Runtime>(
        &mut self,
        ground: &mut Ground,
        runtime: &R,
        now: Now,
        zxid: Zxid,
    ) -> Result<(), Halt> {
        let first = ground
            .rules
            .initial_counter
            .map_or(zxid, |counter| Zxid::of(zxid.epoch(), counter));
        ground.database.write_tree().set_last_zxid(first);
        ground.database.publish(first);
        let known: Vec<_> = ground.database.read_tree().sessions().collect();
        let sessions = Sessions::new(server_byte(ground.rules.me), ground.rules.tick_ms, known, now);
        let sessions = Arc::new(sessions);
        let parts = ground.chain_parts(Arc::clone(&sessions));
        let log = ground.open_log()?;
        let chain = start_leader(
            runtime,
            parts,
            log,
            LeaderLinks {
                leader: self.to_me.map(ChainLetter::ForLeader),
                logged: self.to_me.map(ChainLetter::Logged),
            },
        );
        if ground.rules.leader_serves {
            ground.gate.open(Serving {
                chain: chain.chain.first.clone(),
                database: Arc::clone(&ground.database),
                sessions: Arc::clone(&sessions),
                state: ServerState::Leader,
            });
        }
        self.reign = Some(Reign { chain, sessions });
        Ok(())
    }

    /// Ends the role.
    pub fn end(self, ground: &Ground) -> Result<(), Halt> {
        log::info!("Shutting down");
        ground.gate.close();
        report_late(self.acceptor.close());
        self.links.into_values().for_each(PeerLink::close);
        if let Some(reign) = self.reign {
            must_have_ended(reign.chain.end())?;
        }
        ground.settle()
    }
}

/// What a learner's client asks for.
fn submitted(now: Now, sid: Sid, request: ForwardedRequest) -> Option<Request> {
    let Some(op) = OpCode::of(request.op) else {
        log::warn!(
            "Dropping a request of unknown type {} that server {sid} has forwarded",
            request.op
        );
        return None;
    };
    Some(Request {
        session: request.session,
        xid: request.xid,
        op,
        body: request.body,
        origin: Origin::Learner(sid),
        identities: request.identities.into(),
        received_us: now.elapsed_ms * 1_000,
    })
}

/// The members have said what they can read.
fn allow_newer_txns(ground: &Ground, allowed: bool) {
    ground.database.allow_newer_txns(allowed);
    if allowed {
        log::info!(
            "Containers and nodes with a time to live are on: all members can read their transactions"
        );
    } else {
        log::info!("Containers and nodes with a time to live are off: a member of ZooKeeper 3.4 has come");
    }
}

fn proposals_in(words: &[ForLeader]) -> u64 {
    let proposals = words.iter().filter(|word| matches!(word, ForLeader::Propose(_)));
    proposals.count() as u64
}

/// The upper byte of session ids made here. (SessionTrackerImpl.initializeNextSession)
pub(super) fn server_byte(me: Sid) -> u8 {
    (me.0 & 0xff) as u8
}
