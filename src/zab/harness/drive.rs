//! What drives the cores of this world: each action in its turn, on the disk, in the chain, over the links.

use crate::proto::packet::{PacketType, QuorumPacket};
use crate::proto::{Epoch, LinkId, OpCode, SessionId, Xid, Zxid};
use crate::zab::testing::txn;
use crate::zab::{LeaderAction, LeaderEvent, LearnerAction, LearnerEvent};

use super::node::{Fault, Link, Role, Wire};
use super::{World, sid as sid_of};

impl World {
    // What the disk and the chain do.

    pub fn crash(&mut self, node: usize) {
        self.seen.insert("crash");
        let disk = &self.nodes[node].disk;
        let (synced, len) = (disk.synced.min(disk.log.len()), disk.log.len());
        let kept = synced + self.draw(len - synced + 1);
        self.nodes[node].disk.log.truncate(kept);
        self.end_role(node);
        self.nodes[node].role = Role::Down;
    }

    /// The chain drains, links are closed, the tree is what the log says.
    pub fn end_role(&mut self, node: usize) {
        let gone: Vec<LinkId> = self
            .links
            .iter()
            .filter(|(_, link)| link.leader == node || link.learner == node)
            .map(|(id, _)| *id)
            .collect();
        let n = &mut self.nodes[node];
        n.role = Role::Looking;
        n.life += 1;
        n.serves = false;
        n.disk.synced = n.disk.log.len();
        n.applied = n.disk.log.clone();
        n.label = n.disk.last();
        n.commits.clear();
        n.unacked.clear();
        self.asked.retain(|(leader, _), _| *leader != node);
        n.incoming = None;
        // Either is right: what is logged counts as committed from here on, or the ring begins anew.
        let begin = n.disk.floor.max(n.disk.log.len().saturating_sub(self.ring_limit));
        n.ring = n.disk.log[begin..].iter().copied().collect();
        if self.ring_limit.is_multiple_of(2) {
            n.ring.clear();
        }
        gone.into_iter().for_each(|link| self.cut(link));
    }

    pub fn cut(&mut self, id: LinkId) {
        let Some(link) = self.links.remove(&id) else {
            return;
        };
        // A leader may not notice for long.
        if self.draw(2) == 0 || self.calm {
            self.leader_event(link.leader, LeaderEvent::Down(id));
        }
        if matches!(self.nodes[link.learner].role, Role::Learning(_, mine) if mine == id) {
            self.end_role(link.learner);
        }
    }

    pub fn restart(&mut self, node: usize) {
        let disk = &mut self.nodes[node].disk;
        let of_data = disk.last().epoch().0;
        if of_data > disk.current {
            if !disk.updating {
                self.wrong.push(format!(
                    "{} refuses to start: {of_data} is later than {disk:?}",
                    node + 1
                ));
            }
            self.seen.insert("mended");
            disk.current = of_data;
        }
        disk.updating = false;
        if self.random.is_multiple_of(4) {
            // A snapshot at the start, as 3.4.14 takes one: with transactions that may never be decided.
            (disk.floor, disk.snapshot) = (disk.log.len(), disk.last());
        }
        if disk.accepted < disk.current {
            self.wrong
                .push(format!("{} promised less than it did: {disk:?}", node + 1));
        }
        self.end_role(node);
    }

    pub fn sync_chain(&mut self, node: usize) {
        let n = &mut self.nodes[node];
        n.disk.synced = n.disk.log.len();
        let safe: Vec<Zxid> = n.unacked.drain(..).collect();
        self.ack_chain(node, safe);
    }

    pub fn ack_chain(&mut self, node: usize, safe: Vec<Zxid>) {
        let life = self.nodes[node].life;
        for zxid in safe {
            if self.nodes[node].life != life {
                return;
            }
            match &self.nodes[node].role {
                Role::Leading(_) => {
                    self.acked(node, zxid);
                    self.leader_event(node, LeaderEvent::Logged(zxid));
                }
                Role::Learning(_, link) if node < self.voters => {
                    let link = *link;
                    self.acked(node, zxid);
                    self.send_up(link, QuorumPacket::plain(PacketType::Ack, zxid));
                }
                _ => {}
            }
        }
    }

    pub fn apply(&mut self, node: usize) {
        let limit = self.ring_limit;
        let n = &mut self.nodes[node];
        if let Some(zxid) = n.commits.pop_front() {
            n.applied.push(zxid);
            n.label = zxid;
            n.ring.push_back(zxid);
            while n.ring.len() > limit {
                n.ring.pop_front();
            }
            self.check_tree(node);
        }
    }

    pub fn log(&mut self, node: usize, zxid: Zxid) {
        let n = &mut self.nodes[node];
        n.disk.log.push(zxid);
        n.unacked.push_back(zxid);
        if self.fault == Fault::AckBeforeSync {
            let safe = std::mem::take(&mut self.nodes[node].unacked);
            self.ack_chain(node, safe.into());
        }
    }

    pub fn send_up(&mut self, link: LinkId, packet: QuorumPacket) {
        if let Some(link) = self.links.get_mut(&link) {
            link.up.push_back(packet);
        }
    }

    // What the leader's driver does.

    pub fn leader_event(&mut self, node: usize, event: LeaderEvent) {
        let role = std::mem::replace(&mut self.nodes[node].role, Role::Looking);
        let Role::Leading(mut leader) = role else {
            self.nodes[node].role = role;
            return;
        };
        let mut out = Vec::new();
        leader.on(self.now_ms, event, &self.nodes[node], &mut out);
        self.nodes[node].role = Role::Leading(leader);
        self.lead(node, out);
    }

    pub fn lead(&mut self, node: usize, actions: Vec<LeaderAction>) {
        let life = self.nodes[node].life;
        for action in actions {
            if self.nodes[node].life != life {
                return;
            }
            if self.strikes(self.crash_once_in) {
                return self.crash(node);
            }
            match action {
                LeaderAction::SaveAcceptedEpoch(epoch) => {
                    if self.fault != Fault::ForgottenPromise {
                        self.nodes[node].disk.accepted = epoch.0;
                    }
                }
                LeaderAction::SaveCurrentEpoch(epoch) => self.nodes[node].disk.current = epoch.0,
                LeaderAction::Send(link, packet) => {
                    if packet.kind == PacketType::Sync {
                        self.check_order(node, Some(link));
                    }
                    self.send_down(link, packet);
                }
                LeaderAction::SendSnapshot(link) => {
                    if let Some(link) = self.links.get_mut(&link) {
                        link.down.push_back(Wire::Snapshot);
                    }
                }
                LeaderAction::HangUp(link, _) => self.cut(link),
                LeaderAction::Lead(zxid) => {
                    self.nodes[node].label = zxid;
                    self.nodes[node].serves = true;
                    self.led(node, zxid);
                    self.check_acks();
                }
                LeaderAction::Commit(txn) => {
                    if !self.history.contains(&txn.zxid()) {
                        self.history.push(txn.zxid());
                    }
                    self.nodes[node].commits.push_back(txn.zxid());
                }
                LeaderAction::Over(_) => return self.end_role(node),
                LeaderAction::SyncAnswered => self.check_order(node, None),
                // Only syncs are forwarded here; they are through the chain at once.
                LeaderAction::Submit(sid, _) => {
                    let is_its = |link: &Link| link.leader == node && sid_of(link.learner) == sid;
                    let link = self
                        .links
                        .iter()
                        .rfind(|(_, link)| is_its(link))
                        .map(|(id, _)| *id);
                    self.sync_comes(node, link);
                    self.leader_event(node, LeaderEvent::Sync(sid));
                }
                LeaderAction::AllowNewerTxns(_) | LeaderAction::Touch(..) | LeaderAction::Revalidate(..) => {}
            }
        }
    }

    pub fn send_down(&mut self, id: LinkId, packet: QuorumPacket) {
        let is_txn = matches!(
            packet.kind,
            PacketType::Proposal | PacketType::Commit | PacketType::Inform
        );
        if self.fault == Fault::Hole && is_txn && packet.zxid.counter() == 3 {
            return;
        }
        if let Some(link) = self.links.get_mut(&id) {
            link.down.push_back(Wire::Packet(packet));
        }
    }

    /// A client of this server asks for a sync.
    pub fn ask_sync(&mut self, node: usize) {
        if !self.nodes[node].serves {
            return;
        }
        match self.nodes[node].role {
            Role::Leading(_) => {
                self.sync_comes(node, None);
                self.leader_event(node, LeaderEvent::OwnSync);
            }
            Role::Learning(_, link) => {
                let sync = OpCode::Sync.number();
                self.send_up(
                    link,
                    QuorumPacket::request(SessionId(7), Xid(1), sync, b"", vec![]),
                );
            }
            _ => {}
        }
    }

    fn sync_comes(&mut self, leader: usize, link: Option<LinkId>) {
        if let Role::Leading(core) = &self.nodes[leader].role {
            let behind = core.last_proposed();
            self.asked.entry((leader, link)).or_default().push_back(behind);
        }
    }

    pub fn propose(&mut self, node: usize) {
        let Role::Leading(leader) = &self.nodes[node].role else {
            return;
        };
        if self.nodes[node].serves {
            let zxid = leader.last_proposed().next();
            self.leader_event(node, LeaderEvent::Propose(txn(zxid)));
            if matches!(self.nodes[node].role, Role::Leading(_)) {
                self.log(node, zxid);
            }
        }
    }

    // What a learner's driver does.

    pub fn learner_event(&mut self, node: usize, event: LearnerEvent) {
        let role = std::mem::replace(&mut self.nodes[node].role, Role::Looking);
        let Role::Learning(mut learner, link) = role else {
            self.nodes[node].role = role;
            return;
        };
        let mut out = Vec::new();
        learner.on(self.now_ms, event, &mut out);
        self.nodes[node].role = Role::Learning(learner, link);
        if self.fault == Fault::AckBeforeLog && out.contains(&LearnerAction::SyncLog) {
            // Epoch and acknowledgement first.
            out.sort_by_key(|action| match action {
                LearnerAction::SaveCurrentEpoch(_) => 0,
                LearnerAction::Send(_) => 1,
                _ => 2,
            });
        }
        self.learn(node, link, out);
    }

    pub fn learn(&mut self, node: usize, link: LinkId, actions: Vec<LearnerAction>) {
        let life = self.nodes[node].life;
        for action in actions {
            if self.nodes[node].life != life {
                return;
            }
            if self.strikes(self.crash_once_in) {
                return self.crash(node);
            }
            let n = &mut self.nodes[node];
            match action {
                LearnerAction::SaveAcceptedEpoch(epoch) => {
                    if self.fault != Fault::ForgottenPromise {
                        n.disk.accepted = epoch.0;
                    }
                }
                LearnerAction::SaveCurrentEpoch(epoch) => n.disk.current = epoch.0,
                LearnerAction::MarkUpdating => n.disk.updating = true,
                LearnerAction::ClearUpdating => n.disk.updating = false,
                LearnerAction::AppendToLog(txn) => n.disk.log.push(txn.zxid()),
                LearnerAction::SyncLog if self.fault == Fault::NoSync => {}
                LearnerAction::SyncLog => n.disk.synced = n.disk.log.len(),
                LearnerAction::Truncate(zxid) => {
                    if !self.truncate(node, zxid) {
                        return self.end_role(node);
                    }
                }
                LearnerAction::Apply(txn) => {
                    let tree = n.incoming.get_or_insert_default();
                    if tree.last().is_none_or(|last| *last < txn.zxid()) {
                        tree.push(txn.zxid());
                    }
                }
                LearnerAction::InstallSnapshot(zxid) => self.install(node, zxid),
                LearnerAction::Send(packet) => {
                    if packet.kind == PacketType::Ack {
                        self.acked(node, packet.zxid);
                    }
                    self.send_up(link, packet);
                }
                LearnerAction::Serve(_) => {
                    n.serves = true;
                    n.refetch = None;
                    self.check_tree(node);
                }
                LearnerAction::Log(txn) => self.log(node, txn.zxid()),
                LearnerAction::Commit(txn) => n.commits.push_back(txn.zxid()),
                LearnerAction::Halt(reason) => self.blame(reason),
                LearnerAction::Leave(_) => return self.end_role(node),
                LearnerAction::AnswerPing(zxid) => self.send_up(link, QuorumPacket::pong(zxid, &[])),
                LearnerAction::SyncAnswered | LearnerAction::Revalidated(..) => {}
            }
        }
    }

    pub fn truncate(&mut self, node: usize, zxid: Zxid) -> bool {
        if self.fault == Fault::NoTruncate {
            return true;
        }
        let n = &mut self.nodes[node];
        let cut = n
            .disk
            .log
            .iter()
            .position(|&z| z == zxid)
            .map_or(0, |index| index + 1);
        if cut < n.disk.floor.max(1) || zxid < n.disk.snapshot {
            self.seen.insert("refetch");
            n.refetch = Some(Epoch(n.disk.accepted));
            return false;
        }
        self.seen.insert("trunc");
        n.disk.log.truncate(cut);
        n.disk.synced = cut;
        n.applied = n.disk.log.clone();
        n.ring.clear();
        n.label = zxid;
        true
    }

    pub fn install(&mut self, node: usize, zxid: Zxid) {
        self.seen.insert("snap");
        let n = &mut self.nodes[node];
        let mut tree = n.incoming.take().unwrap_or_default();
        if tree.last().is_some_and(|&last| last > zxid) {
            self.wrong.push(format!(
                "snapshot {zxid} of {} shows later things: {tree:?}",
                node + 1
            ));
        }
        n.disk.floor = tree.len();
        n.disk.snapshot = zxid;
        if self.fault == Fault::OldLogBehindSnapshot {
            tree.extend(n.disk.log.iter().filter(|&&z| z > zxid));
        }
        n.disk.log = tree;
        n.disk.synced = n.disk.log.len();
        n.applied = n.disk.log.clone();
        n.label = zxid;
        n.ring.clear();
    }
}
