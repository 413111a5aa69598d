//! The leader's pulse: pings twice a tick, who is late, whether the quorum is still there; and the syncs, which are
//! answered only by a leader whose followers have just answered a ping.

use std::collections::{BTreeSet, VecDeque};

use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::{LinkId, Sid, Zxid};
use crate::zab::discovery::join_sids;
use crate::zab::leader_event::{History, LeaderAction};
use crate::zab::learner_handler::{LearnerHandler, Phase};
use crate::zab::pending_syncs::Asker;

use super::{Leader, Reign};

impl Leader {
    /// A sync of a client of this learner has come through the chain.
    pub(super) fn sync(&mut self, sid: Sid, out: &mut Vec<LeaderAction>) {
        let link = self.syncs.get_mut(&sid).and_then(VecDeque::pop_front);
        // A server that came again since has forgotten the syncs of its older connection.
        if let Some(link) = link.filter(|link| self.learners.contains_key(link)) {
            self.ask(Asker::Learner(link), out);
        }
    }

    /// One of a client of the leader itself has.
    pub(super) fn own_sync(&mut self, out: &mut Vec<LeaderAction>) {
        self.ask(Asker::Own, out);
    }

    fn ask(&mut self, asker: Asker, out: &mut Vec<LeaderAction>) {
        self.pending_syncs.ask(asker, self.proposals.last_proposed());
        self.prove_leadership(out);
    }

    /// A learner has answered a ping.
    pub(super) fn heard_pong(&mut self, link: LinkId, out: &mut Vec<LeaderAction>) {
        let Some(learner) = self.learners.get(&link) else {
            return;
        };
        let voter = learner.is_participant().then(|| learner.sid());
        self.pending_syncs.ponged(link, voter);
        self.prove_leadership(out);
    }

    /// Begins the next round of pings, if one is due and none is under way; answers the syncs whose round is over.
    fn prove_leadership(&mut self, out: &mut Vec<LeaderAction>) {
        self.pending_syncs.conclude(self.rules.ensemble.verifier());
        while self.pending_syncs.begin_round(self.rules.me) {
            for link in self.links_in(|phase| phase == Phase::Broadcast) {
                if self.learners[&link].is_participant() {
                    self.ping(link, out);
                }
            }
            // A leader may be a quorum alone.
            self.pending_syncs.conclude(self.rules.ensemble.verifier());
        }
        self.answer_syncs(out);
    }

    /// Answers the syncs that wait for nothing any more, in the order in which they came.
    pub(super) fn answer_syncs(&mut self, out: &mut Vec<LeaderAction>) {
        let undecided = self.proposals.oldest_outstanding();
        while let Some(asker) = self.pending_syncs.next_answer(undecided) {
            out.push(answer_to(asker));
        }
    }

    /// Answers the syncs that came before this proposal, which a quorum has acknowledged, and which is about to be
    /// decided: learners count on hearing of both in the order in which they came.
    pub(super) fn answer_syncs_before(&mut self, decided: Zxid, out: &mut Vec<LeaderAction>) {
        while let Some(asker) = self.pending_syncs.next_before(decided) {
            out.push(answer_to(asker));
        }
    }

    fn ping(&mut self, link: LinkId, out: &mut Vec<LeaderAction>) {
        let ping = QuorumPacket::plain(PacketType::Ping, self.proposals.last_proposed());
        out.push(LeaderAction::Send(link, ping));
        self.pending_syncs.pinged(link);
    }

    /// Whatever the event was: who is late, is it time to ping, is the quorum still there?
    pub(super) fn keep_time(&mut self, now_ms: i64, history: &impl History, out: &mut Vec<LeaderAction>) {
        let is_due = |deadline_ms: Option<i64>| deadline_ms.is_some_and(|ms| now_ms >= ms);
        self.hang_up_those(|_, learner| is_due(learner.deadline_ms()), &"Read timed out", out);
        match self.phase {
            Reign::Rising { deadline_ms } if now_ms >= deadline_ms => {
                let reason = self.why_not_risen();
                self.give_up(reason, out);
            }
            Reign::Standing { ping_ms, is_tick } if now_ms >= ping_ms => {
                self.proposals.forget_applied(history.applied());
                self.half_tick(is_tick, now_ms, out);
            }
            _ => {}
        }
    }

    fn half_tick(&mut self, is_tick: bool, now_ms: i64, out: &mut Vec<LeaderAction>) {
        self.tick += i64::from(is_tick);
        let voting = self.learners.values().filter(|learner| learner.is_participant());
        let mut synced: BTreeSet<Sid> = voting
            .filter(|learner| self.tick <= learner.synced_until_tick)
            .map(LearnerHandler::sid)
            .collect();
        synced.insert(self.rules.me);
        for link in self.links_in(|phase| phase == Phase::Broadcast) {
            if self.learners[&link].is_late(now_ms, self.patience()) {
                self.hang_up(
                    link,
                    &"Closing connection to peer due to transaction timeout.",
                    out,
                );
            } else {
                self.ping(link, out);
            }
        }
        self.phase = Reign::Standing {
            ping_ms: now_ms + (self.rules.tick_ms / 2).max(1),
            is_tick: !is_tick,
        };
        let verifier = self.rules.ensemble.verifier();
        if is_tick && !verifier.contains_quorum(synced.iter().copied()) {
            let sids = join_sids(&synced);
            self.give_up(
                format!("Not sufficient followers synced, only synced with sids: [ {sids} ]"),
                out,
            );
        }
    }

    fn why_not_risen(&self) -> String {
        if self.discovery.epoch().is_none() {
            return "Timeout while waiting for epoch from quorum".to_owned();
        }
        if !self.discovery.is_acknowledged() {
            return "Timeout while waiting for epoch to be acked by quorum".to_owned();
        }
        let present = self.learners.values().map(LearnerHandler::sid);
        if self.rules.ensemble.verifier().contains_quorum(present) {
            log::warn!("Enough followers present. Perhaps the initTicks need to be increased.");
        }
        let sids = join_sids(self.discovery.supporters());
        format!("Waiting for a quorum of followers, only synced with sids: [ {sids} ]")
    }
}

fn answer_to(asker: Asker) -> LeaderAction {
    match asker {
        Asker::Learner(link) => LeaderAction::Send(link, QuorumPacket::plain(PacketType::Sync, Zxid(0))),
        Asker::Own => LeaderAction::SyncAnswered,
    }
}
