//! The leader: an epoch that a quorum accepts, a history that a quorum has, and then one proposal after the
//! other. (quorum/Leader)

mod pulse;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::txn::LoggedTxn;
use crate::proto::{Epoch, LinkId, OpCode, Sid, Zxid};
use crate::seeded_fault::SeededFault;

use super::discovery::{Discovery, Step, Summary, join_sids};
use super::leader_event::{History, LeaderAction, LeaderEvent, LeaderRules};
use super::learner_handler::{Heard, LearnerHandler, Patience, Phase};
use super::newer_txns::{ILLEGIBLE, Readers};
use super::pending_syncs::PendingSyncs;
use super::proposals::Proposals;
use super::sync_plan::{Known, SyncKind, SyncPlan};

/// A leader, from its election to its end.
#[derive(Debug)]
pub struct Leader {
    rules: LeaderRules,
    phase: Reign,
    discovery: Discovery,
    mine: Summary,
    beginning: Zxid,
    proposals: Proposals,
    learners: BTreeMap<LinkId, LearnerHandler>,
    /// Who asked for the syncs of a server that are on their way through the chain.
    syncs: BTreeMap<Sid, VecDeque<LinkId>>,
    pending_syncs: PendingSyncs,
    readers: Readers,
    newer_txns: bool,
    tick: i64,
    unnamed: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reign {
    /// Until then a quorum must have promised, acknowledged, or the history.
    Rising {
        deadline_ms: i64,
    },
    /// Half ticks; every other one is a tick.
    Standing {
        ping_ms: i64,
        is_tick: bool,
    },
    Over,
}

impl Leader {
    /// An elected server begins to lead. `accepted` and `written` are what its disk says.
    pub fn start(
        rules: LeaderRules,
        accepted: Epoch,
        written: Summary,
        now_ms: i64,
        out: &mut Vec<LeaderAction>,
    ) -> Leader {
        let mine = Summary::of_disk(written.current, written.last);
        if mine != written {
            out.push(LeaderAction::SaveCurrentEpoch(mine.current));
        }
        let deadline_ms = now_ms + rules.tick_ms * rules.init_limit_ticks;
        let mut leader = Leader {
            phase: Reign::Rising { deadline_ms },
            discovery: Discovery::new(rules.ensemble.clone(), rules.me, mine),
            mine,
            beginning: Zxid(0),
            proposals: Proposals::new(Zxid(0)),
            learners: BTreeMap::new(),
            syncs: BTreeMap::new(),
            pending_syncs: PendingSyncs::default(),
            readers: Readers::new(rules.newer_txns, rules.me, rules.has_newer_txns),
            newer_txns: false,
            tick: 0,
            unnamed: 0,
            rules,
        };
        leader.allow_newer_txns(out);
        let step = leader.discovery.promise(leader.rules.me, accepted);
        leader.after_promise(step, now_ms, out);
        leader
    }

    /// The first zxid of the epoch, which no transaction has; 0 until it is known.
    pub fn beginning(&self) -> Zxid {
        self.beginning
    }

    /// Whether no quorum has come to follow yet.
    pub fn is_alone(&self) -> bool {
        self.discovery.epoch().is_none()
    }

    /// The newest proposal, or the first zxid of the epoch.
    pub fn last_proposed(&self) -> Zxid {
        self.proposals.last_proposed()
    }

    /// When a [`LeaderEvent::Tick`] is due.
    pub fn deadline(&self) -> Option<i64> {
        let own = match self.phase {
            Reign::Rising { deadline_ms } => deadline_ms,
            Reign::Standing { ping_ms, .. } => ping_ms,
            Reign::Over => return None,
        };
        let learners = self.learners.values().filter_map(LearnerHandler::deadline_ms);
        Some(learners.fold(own, i64::min))
    }

    /// Learners that are synchronised, with their roles: for `mntr`. (Leader.getForwardingFollowers)
    pub fn forwarded_to(&self) -> impl Iterator<Item = &LearnerHandler> {
        self.learners.values().filter(|learner| learner.is_forwarded_to())
    }

    /// How many syncs wait for an answer: for `mntr`.
    pub fn pending_syncs(&self) -> usize {
        self.pending_syncs.count()
    }

    /// Takes an event.
    pub fn on(
        &mut self,
        now_ms: i64,
        event: LeaderEvent,
        history: &impl History,
        out: &mut Vec<LeaderAction>,
    ) {
        if self.phase == Reign::Over {
            return;
        }
        match event {
            LeaderEvent::Connected(link) => self.connected(link, now_ms),
            LeaderEvent::Packet(link, packet) => self.packet(link, packet, now_ms, history, out),
            LeaderEvent::SnapshotSent(link) => self.snapshot_sent(link, now_ms, out),
            LeaderEvent::Down(link) => self.forget(link),
            LeaderEvent::Propose(txn) => self.propose(txn, now_ms, out),
            LeaderEvent::Sync(sid) => self.sync(sid, out),
            LeaderEvent::OwnSync => self.own_sync(out),
            LeaderEvent::Logged(zxid) => {
                self.proposals.ack_through(self.rules.me, zxid);
                if SeededFault::LeaderCountsTwice.on() {
                    let mut others = self.rules.ensemble.voters().filter(|sid| *sid != self.rules.me);
                    let borrowed = others.next().unwrap_or(self.rules.me);
                    self.proposals.ack_through(borrowed, zxid);
                }
                self.decide(history, now_ms, out);
            }
            LeaderEvent::Revalidated(link, session, valid) => {
                if self.learners.contains_key(&link) {
                    out.push(LeaderAction::Send(
                        link,
                        QuorumPacket::revalidated(session, valid),
                    ));
                }
            }
            LeaderEvent::Tick => {}
        }
        self.keep_time(now_ms, history, out);
    }

    fn patience(&self) -> Patience {
        Patience {
            init_ms: self.rules.tick_ms * self.rules.init_limit_ticks,
            sync_ms: self.rules.tick_ms * self.rules.sync_limit_ticks,
        }
    }

    fn connected(&mut self, link: LinkId, now_ms: i64) {
        self.unnamed -= 1;
        let until_tick = self.tick + self.rules.init_limit_ticks + self.rules.sync_limit_ticks;
        let learner = LearnerHandler::new(Sid(self.unnamed), now_ms, self.patience(), until_tick);
        self.learners.insert(link, learner);
    }

    fn packet(
        &mut self,
        link: LinkId,
        packet: QuorumPacket,
        now_ms: i64,
        history: &impl History,
        out: &mut Vec<LeaderAction>,
    ) {
        let (patience, until_tick) = (self.patience(), self.tick + self.rules.sync_limit_ticks);
        let Some(learner) = self.learners.get_mut(&link) else {
            // It was sent away, and did not know yet.
            return;
        };
        if learner.phase() == Phase::Broadcast {
            learner.synced_until_tick = until_tick;
        }
        let sid = learner.sid();
        match learner.hear(packet, now_ms, patience, self.beginning) {
            Ok(Heard::Info(accepted, newer_txns)) => {
                self.readers.heard(self.learners[&link].sid(), newer_txns);
                self.allow_newer_txns(out);
                self.heard_info(link, accepted, now_ms, out);
            }
            Ok(Heard::AckEpoch(summary, last)) => {
                self.heard_ack_epoch(link, summary, last, now_ms, history, out);
            }
            Ok(Heard::NewLeaderAck) => self.heard_new_leader_ack(link, now_ms, out),
            Ok(Heard::Ack(zxid)) => {
                self.proposals.ack(sid, zxid);
                self.decide(history, now_ms, out);
            }
            Ok(Heard::Touched(sessions)) => {
                self.heard_pong(link, out);
                let touches = sessions.into_iter();
                out.extend(touches.map(|(session, ms)| LeaderAction::Touch(session, ms)));
            }
            Ok(Heard::Revalidate(session, ms)) => {
                out.push(LeaderAction::Revalidate(link, sid, session, ms));
            }
            Ok(Heard::Request(request)) => {
                if request.op == OpCode::Sync.number() {
                    self.syncs.entry(sid).or_default().push_back(link);
                }
                out.push(LeaderAction::Submit(sid, request));
            }
            Ok(Heard::Nothing) => {}
            Err(reason) => self.hang_up(link, &reason, out),
        }
    }

    fn heard_info(&mut self, link: LinkId, accepted: Epoch, now_ms: i64, out: &mut Vec<LeaderAction>) {
        let sid = self.learners[&link].sid();
        let known = self.rules.ensemble.member(sid);
        let info = known.map_or("null".to_owned(), |m| {
            format!("{}:{}:{}", m.host, m.quorum_port, m.election_port)
        });
        log::info!("Follower sid: {sid} : info : {info}");
        // A server that comes again has given its older connection up, whether or not this end has noticed.
        let is_elder = |other: LinkId, learner: &LearnerHandler| other != link && learner.sid() == sid;
        self.hang_up_those(is_elder, &format_args!("sid {sid} has connected again"), out);
        self.enter(link, Phase::Promised, now_ms);
        let step = self.discovery.promise(sid, accepted);
        match step {
            Step::Past => self.tell_epoch(link, now_ms, out),
            step => self.after_promise(step, now_ms, out),
        }
    }

    fn allow_newer_txns(&mut self, out: &mut Vec<LeaderAction>) {
        let may = self.readers.may_propose(&self.rules.ensemble);
        if std::mem::replace(&mut self.newer_txns, may) != may {
            out.push(LeaderAction::AllowNewerTxns(may));
        }
    }

    fn after_promise(&mut self, step: Step, now_ms: i64, out: &mut Vec<LeaderAction>) {
        let (Step::Reached, Some(epoch)) = (step, self.discovery.epoch()) else {
            return;
        };
        self.beginning = Zxid::of(epoch, 0);
        self.proposals = Proposals::new(self.beginning);
        out.push(LeaderAction::SaveAcceptedEpoch(epoch));
        self.wait_anew(now_ms);
        // Its own summary cannot be ahead of itself. It may be a quorum alone.
        let step = self.discovery.acknowledge(self.rules.me, Some(self.mine));
        if step == Ok(Step::Reached) {
            self.epoch_acknowledged(now_ms, out);
        }
        for link in self.links_in(|phase| phase == Phase::Promised) {
            self.tell_epoch(link, now_ms, out);
        }
    }

    fn tell_epoch(&mut self, link: LinkId, now_ms: i64, out: &mut Vec<LeaderAction>) {
        let epoch = self.beginning.epoch();
        self.enter(link, Phase::AckEpoch, now_ms);
        out.push(LeaderAction::Send(link, QuorumPacket::leader_info(epoch)));
    }

    fn heard_ack_epoch(
        &mut self,
        link: LinkId,
        summary: Option<Summary>,
        last: Zxid,
        now_ms: i64,
        history: &impl History,
        out: &mut Vec<LeaderAction>,
    ) {
        let sid = self.learners[&link].sid();
        self.enter(link, Phase::Acknowledged(last), now_ms);
        match self.discovery.acknowledge(sid, summary) {
            Err(ahead) => self.hang_up(link, &ahead, out),
            Ok(Step::Waiting) => {}
            Ok(Step::Past) => self.synchronise(link, last, now_ms, history, out),
            Ok(Step::Reached) => {
                self.epoch_acknowledged(now_ms, out);
                self.synchronise_waiting(history, now_ms, out);
            }
        }
    }

    fn synchronise_waiting(&mut self, history: &impl History, now_ms: i64, out: &mut Vec<LeaderAction>) {
        for link in self.links_in(|phase| matches!(phase, Phase::Acknowledged(_))) {
            // One may have been served by what another has decided.
            if let Some(Phase::Acknowledged(last)) = self.learners.get(&link).map(LearnerHandler::phase) {
                self.synchronise(link, last, now_ms, history, out);
            }
        }
    }

    fn epoch_acknowledged(&mut self, now_ms: i64, out: &mut Vec<LeaderAction>) {
        out.push(LeaderAction::SaveCurrentEpoch(self.beginning.epoch()));
        self.wait_anew(now_ms);
        let step = self.discovery.synced(self.rules.me);
        self.after_synced(step, now_ms, out);
    }

    /// Sends a learner what it lacks, and everything from here on: without a gap, nothing twice.
    fn synchronise(
        &mut self,
        link: LinkId,
        last: Zxid,
        now_ms: i64,
        history: &impl History,
        out: &mut Vec<LeaderAction>,
    ) {
        let sid = self.learners[&link].sid();
        if self.readers.is_illegible_to(sid) {
            return self.hang_up(link, &ILLEGIBLE, out);
        }
        // It may have proposals of this very epoch on its disk that are not decided. 3.4.14 has it cut them off,
        // although their acknowledgements may be counted: whoever then dies takes them along. Here they count,
        // and it waits until they are decided; then they are part of the history.
        self.proposals.ack_through(sid, last);
        self.decide(history, now_ms, out);
        let is_waiting = self.learners[&link].phase() == Phase::Acknowledged(last);
        if !is_waiting || self.proposals.is_outstanding(last) {
            return;
        }
        let applied = history.applied();
        let mut committed = history.committed();
        self.proposals.forget_applied(applied);
        let end = committed.last().map_or(Zxid(0), |txn| txn.zxid());
        committed.extend(self.proposals.decided_after(end).cloned());
        let plan = SyncPlan::new(
            last,
            &Known {
                epoch: self.beginning.epoch(),
                inherited: self.mine.last,
                applied,
                committed: &committed,
            },
        );
        let learner = &self.learners[&link];
        plan.log(sid, last, &committed);
        let new_leader = QuorumPacket::plain(PacketType::NewLeader, self.beginning);
        out.push(match plan.head() {
            Some(head) => LeaderAction::Send(link, head),
            None => LeaderAction::SendSnapshot(link),
        });
        let mut send = |packet| out.push(LeaderAction::Send(link, packet));
        let decided = self.proposals.decided_after(plan.through);
        for txn in plan.txns.iter().chain(decided) {
            send(QuorumPacket::proposal(Arc::clone(txn)));
            send(QuorumPacket::plain(PacketType::Commit, txn.zxid()));
        }
        if learner.is_participant() {
            let outstanding = self.proposals.outstanding();
            outstanding.for_each(|txn| send(QuorumPacket::proposal(Arc::clone(txn))));
        }
        if plan.kind == SyncKind::Snap {
            // NEWLEADER comes behind all that the snapshot may show of what is decided while it is written,
            // so that the learner's own snapshot is whole (ZOOKEEPER-3104, 3589).
            self.enter(link, Phase::Snapshot, now_ms);
        } else {
            self.enter(link, Phase::NewLeaderAck, now_ms);
            send(new_leader);
        }
    }

    fn snapshot_sent(&mut self, link: LinkId, now_ms: i64, out: &mut Vec<LeaderAction>) {
        let phase = self.learners.get(&link).map(LearnerHandler::phase);
        if phase != Some(Phase::Snapshot) {
            return;
        }
        let packet = QuorumPacket::plain(PacketType::NewLeader, self.beginning);
        out.push(LeaderAction::Send(link, packet));
        self.enter(link, Phase::NewLeaderAck, now_ms);
    }

    fn heard_new_leader_ack(&mut self, link: LinkId, now_ms: i64, out: &mut Vec<LeaderAction>) {
        let sid = self.learners[&link].sid();
        log::info!("Received NEWLEADER-ACK message from {sid}");
        self.enter(link, Phase::Synced, now_ms);
        match self.discovery.synced(sid) {
            Step::Past => self.let_serve(link, now_ms, out),
            step => self.after_synced(step, now_ms, out),
        }
    }

    fn after_synced(&mut self, step: Step, now_ms: i64, out: &mut Vec<LeaderAction>) {
        if step != Step::Reached {
            return;
        }
        log::info!(
            "Have quorum of supporters, sids: [ {} ]; starting up and setting last processed zxid: {}",
            join_sids(self.discovery.supporters()),
            self.beginning
        );
        self.phase = Reign::Standing {
            ping_ms: now_ms + self.rules.tick_ms / 2,
            is_tick: false,
        };
        out.push(LeaderAction::Lead(self.beginning));
        for link in self.links_in(|phase| phase == Phase::Synced) {
            self.let_serve(link, now_ms, out);
        }
    }

    fn let_serve(&mut self, link: LinkId, now_ms: i64, out: &mut Vec<LeaderAction>) {
        self.enter(link, Phase::Broadcast, now_ms);
        let packet = QuorumPacket::plain(PacketType::UpToDate, Zxid(-1));
        out.push(LeaderAction::Send(link, packet));
    }

    fn propose(&mut self, txn: Arc<LoggedTxn>, now_ms: i64, out: &mut Vec<LeaderAction>) {
        let zxid = txn.zxid();
        if zxid.counter() == u32::MAX || zxid.epoch() > self.beginning.epoch() {
            let reason =
                "zxid lower 32 bits have rolled over, forcing re-election, and therefore new epoch start";
            self.give_up(reason.to_owned(), out);
            return;
        }
        if txn.is_newer() {
            // It was prepared before the leader heard of who cannot read it.
            let illegible = self.readers.proposed();
            self.hang_up_those(|_, learner| illegible.contains(&learner.sid()), &ILLEGIBLE, out);
        }
        self.proposals.propose(Arc::clone(&txn));
        for (link, learner) in &mut self.learners {
            if learner.is_forwarded_to() && learner.is_participant() {
                learner.proposed(zxid, now_ms);
                let packet = QuorumPacket::proposal(Arc::clone(&txn));
                out.push(LeaderAction::Send(*link, packet));
            }
        }
    }

    fn decide(&mut self, history: &impl History, now_ms: i64, out: &mut Vec<LeaderAction>) {
        let mut has_decided = false;
        while let Some(txn) = self.proposals.decide(self.rules.ensemble.verifier()) {
            has_decided = true;
            self.answer_syncs_before(txn.zxid(), out);
            for (link, learner) in &self.learners {
                if learner.is_forwarded_to() {
                    let packet = if learner.is_participant() {
                        QuorumPacket::plain(PacketType::Commit, txn.zxid())
                    } else {
                        QuorumPacket::inform(Arc::clone(&txn))
                    };
                    out.push(LeaderAction::Send(*link, packet));
                }
            }
            out.push(LeaderAction::Commit(txn));
            self.answer_syncs(out);
        }
        self.proposals.forget_applied(history.applied());
        if has_decided {
            self.synchronise_waiting(history, now_ms, out);
        }
    }

    fn give_up(&mut self, reason: String, out: &mut Vec<LeaderAction>) {
        self.phase = Reign::Over;
        out.push(LeaderAction::Over(reason));
    }

    fn wait_anew(&mut self, now_ms: i64) {
        let deadline_ms = now_ms + self.patience().init_ms;
        self.phase = Reign::Rising { deadline_ms };
    }

    fn enter(&mut self, link: LinkId, phase: Phase, now_ms: i64) {
        let patience = self.patience();
        if let Some(learner) = self.learners.get_mut(&link) {
            learner.enter(phase, now_ms, patience);
        }
    }

    fn links_in(&self, is_meant: impl Fn(Phase) -> bool) -> Vec<LinkId> {
        let meant = self
            .learners
            .iter()
            .filter(|(_, learner)| is_meant(learner.phase()));
        meant.map(|(link, _)| *link).collect()
    }

    fn hang_up_those(
        &mut self,
        is_meant: impl Fn(LinkId, &LearnerHandler) -> bool,
        reason: &dyn std::fmt::Display,
        out: &mut Vec<LeaderAction>,
    ) {
        let all = self.learners.iter();
        let meant: Vec<LinkId> = all
            .filter(|(link, learner)| is_meant(**link, learner))
            .map(|(link, _)| *link)
            .collect();
        meant.into_iter().for_each(|link| self.hang_up(link, reason, out));
    }

    fn hang_up(&mut self, link: LinkId, reason: &dyn std::fmt::Display, out: &mut Vec<LeaderAction>) {
        if let Some(learner) = self.learners.get(&link) {
            let reason = format!("{reason} (sid {}, which is {:?})", learner.sid(), learner.phase());
            self.forget(link);
            out.push(LeaderAction::HangUp(link, reason));
        }
    }

    fn forget(&mut self, link: LinkId) {
        self.learners.remove(&link);
        self.pending_syncs.forget(link);
    }
}

#[cfg(test)]
#[path = "leader_tests.rs"]
mod tests;
