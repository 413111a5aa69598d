//! Makes rounds of events: who looked, who voted for whom, who won and why, who joined, who was lost.
//!
//! Events go in, in the order of time; what happened comes out at once, and each part with its outcome when it is
//! over. It is over when all who took part have settled and nothing follows for a while, or when somebody who had
//! settled begins anew.

use std::collections::{BTreeMap, BTreeSet};

use crate::proto::notification::ServerState;
use crate::proto::{Round, Sid, Zxid};

use super::event::{Event, Sync, Told, Vote, What};
use super::round::{Elected, Fact, Item, Lane, Member, Outcome, Part, Reign, Why};
use super::stamp::Stamp;

/// What the model tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A part begins; with who led until now.
    Begins(Stamp, Option<Reign>),
    /// Something happened in it.
    Happened(Item),
    /// It is over.
    Ends(Box<Part>),
}

/// The ensemble as its logs show it.
#[derive(Debug, Default)]
pub struct Model {
    nodes: BTreeMap<Sid, Node>,
    open: Option<Open>,
    reign: Option<Reign>,
    elections: usize,
}

#[derive(Debug, Default)]
struct Node {
    lane: Lane,
    has_log: bool,
    /// It is on the way to a role.
    pending: bool,
    looking_since: Option<Stamp>,
    ballot: Option<(Round, Vote)>,
    /// Who told it of which standing leader while it looked.
    told: Vec<(Sid, ServerState, Sid)>,
    leader: Option<Sid>,
    sync: Option<(Sync, Stamp)>,
    /// What a leader said it had.
    had: Option<Zxid>,
    unreachable: BTreeSet<Sid>,
}

/// A part that is not over.
#[derive(Debug)]
struct Open {
    part: Part,
    decided: Option<(Sid, Stamp)>,
    served: Option<(Reign, Stamp)>,
}

impl Model {
    /// Takes the next event.
    pub fn on(&mut self, event: Event, notes: &mut Vec<Note>) {
        if !self.nodes.contains_key(&event.node) && self.nodes.len() >= MOST_NODES {
            return;
        }
        self.nodes.entry(event.node).or_default().has_log = true;
        let opens = opens(&event.what);
        if self.is_over(&event, opens) {
            self.close(notes);
        }
        if self.open.is_none() {
            if !opens {
                return;
            }
            self.begin(event.at);
        }
        let Event { at, node, what } = event;
        if let Some(fact) = self.take(at, node, what) {
            self.tell(at, node, fact, notes);
        }
    }

    /// Nothing has happened for a while: a part in which all have settled is over.
    pub fn quiet(&mut self, notes: &mut Vec<Note>) {
        if self.all_settled() {
            self.close(notes);
        }
    }

    /// The logs have ended.
    pub fn end(&mut self, notes: &mut Vec<Note>) {
        self.close(notes);
    }

    fn is_over(&self, event: &Event, opens: bool) -> bool {
        let Some(open) = &self.open else { return false };
        let gap_ms = event.at.since(open.part.ended);
        let is_pending = self.nodes.get(&event.node).is_some_and(|node| node.pending);
        let begins_anew = opens && begins(&event.what) && !is_pending;
        if self.all_settled() {
            // Losses lead to something, or are followed by more of them.
            let has_outcome = open.part.members.values().any(|member| member.moved);
            gap_ms > REST_MS || begins_anew && has_outcome
        } else {
            open.served.is_some() && (gap_ms > LONG_REST_MS || begins_anew)
        }
    }

    fn all_settled(&self) -> bool {
        !self.nodes.values().any(|node| node.pending)
    }

    fn begin(&mut self, at: Stamp) {
        for node in self.nodes.values_mut() {
            node.unreachable.clear();
            (node.sync, node.had) = (None, None);
        }
        self.open = Some(Open {
            part: Part {
                began: at,
                ended: at,
                before: self.reign,
                outcome: Outcome::Losses,
                candidates: BTreeMap::new(),
                members: BTreeMap::new(),
                items: Vec::new(),
                left_out: 0,
            },
            decided: None,
            served: None,
        });
    }

    /// Takes an event in, and gives what is to be told of it.
    fn take(&mut self, at: Stamp, sid: Sid, what: What) -> Option<Fact> {
        match what {
            What::Started => {
                *self.node(sid)? = Node {
                    lane: Lane::Starting,
                    has_log: true,
                    pending: true,
                    ..Node::default()
                };
                Some(Fact::Started)
            }
            What::Ended => {
                let node = self.node(sid)?;
                let is_news = node.lane != Lane::Down;
                (node.lane, node.pending) = (Lane::Down, false);
                is_news.then_some(Fact::Ended)
            }
            What::Entered(ServerState::Looking) => self.looks(at, sid),
            What::Entered(state) => self.settles(at, sid, state),
            What::Heard(told) => self.heard(sid, &told),
            What::Waits(ms) => Some(Fact::Waits(ms)),
            What::Took(ms) => {
                self.member(sid)?.took_ms = Some(ms);
                None
            }
            What::LostLeader(_) | What::Stopped(_) => self.leaves(sid, what),
            What::Broken(peer, reason) => Some(Fact::Loses(peer, reason)),
            What::Unreachable(peer) => {
                let is_news = self.node(sid)?.unreachable.insert(peer);
                is_news.then_some(Fact::CannotReach(peer))
            }
            What::Goodbye(learner, address) => Some(Fact::Goodbye(learner, address)),
            What::Retries(address) => Some(Fact::Retries(address)),
            What::Came(_) | What::Compares(..) | What::Sends(..) | What::InSync(_) | What::Supported(..) => {
                self.leads(at, sid, what)
            }
            What::Gets(sync, zxid) => self.gets(sid, sync, zxid),
        }
    }

    fn looks(&mut self, at: Stamp, sid: Sid) -> Option<Fact> {
        let node = self.node(sid)?;
        node.lane = Lane::Looking;
        node.pending = true;
        node.looking_since = Some(at);
        (node.ballot, node.leader) = (None, None);
        node.told.clear();
        if let Some(open) = &mut self.open {
            let was_its = |(leader, _): &mut (Sid, Stamp)| *leader == sid;
            open.decided = open.decided.take_if(|decided| !was_its(decided));
        }
        self.member(sid)?.moved = true;
        Some(Fact::Looks)
    }

    fn leaves(&mut self, sid: Sid, what: What) -> Option<Fact> {
        let node = self.node(sid)?;
        let (was, leader) = (node.lane, node.leader);
        node.lane = if was == Lane::Down { was } else { Lane::Stopping };
        node.pending = was != Lane::Down;
        self.member(sid)?.moved = true;
        match what {
            What::LostLeader(reason) => Some(Fact::LosesLeader(leader, reason)),
            // A learner tells its reason before it says this, or has none.
            What::Stopped(_) if was == Lane::Stopping => None,
            What::Stopped(reason) => Some(Fact::Stops(reason)),
            _ => None,
        }
    }

    fn heard(&mut self, sid: Sid, told: &Told) -> Option<Fact> {
        let sender_has_log = self.nodes.get(&told.from).is_some_and(|node| node.has_log);
        let node = self.node(sid)?;
        node.unreachable.remove(&told.from);
        if told.state != ServerState::Looking {
            if node.lane == Lane::Looking && node.told.len() < MOST_NODES {
                node.told.push((told.from, told.state, told.vote.leader));
            }
            return None;
        }
        if told.from != sid && sender_has_log {
            // Its own log tells it, and when it really was.
            return None;
        }
        let voter = self.node(told.from)?;
        let before = voter.ballot;
        let is_old = before
            .is_some_and(|(round, vote)| told.round < round || told.round == round && told.vote <= vote);
        if is_old {
            return None;
        }
        voter.ballot = Some((told.round, told.vote));
        if let Some(open) = &mut self.open
            && told.vote.leader == told.from
        {
            open.part.candidates.insert(told.from, told.vote);
        }
        Some(Fact::Votes {
            vote: told.vote,
            round: told.round,
            before: before.map(|(_, vote)| vote),
        })
    }

    fn settles(&mut self, at: Stamp, sid: Sid, state: ServerState) -> Option<Fact> {
        let leader = match state {
            ServerState::Leading => Some(sid),
            _ => self.chosen(sid),
        };
        let stands = leader.is_some_and(|leader| self.reign.is_some_and(|reign| reign.leader == leader));
        let node = self.node(sid)?;
        let ms = node.looking_since.take().map(|since| at.since(since));
        let told = std::mem::take(&mut node.told).into_iter();
        let told_by: BTreeSet<Sid> = told
            .filter(|told| Some(told.2) == leader)
            .map(|told| told.0)
            .collect();
        (node.lane, node.leader, node.pending) = (state.into(), leader, true);
        let member = self.member(sid)?;
        (member.settled_ms, member.moved) = (ms, true);
        if state == ServerState::Leading {
            self.depose_others(sid);
        }
        let is_new = state == ServerState::Leading || !stands && told_by.is_empty();
        if let (Some(leader), Some(open)) = (leader.filter(|_| is_new), &mut self.open) {
            open.decided.get_or_insert((leader, at));
        }
        if state != ServerState::Leading {
            self.assume_leader(leader);
        }
        Some(Fact::Settles {
            state,
            leader: leader.filter(|leader| *leader != sid),
            ms,
            told_by: told_by.into_iter().collect(),
        })
    }

    /// Whom a server that has decided follows: Java does not say it. Those who stand have told it, or it has voted
    /// for it, or all others have.
    fn chosen(&self, sid: Sid) -> Option<Sid> {
        let node = self.nodes.get(&sid)?;
        let says_it_leads = |leader: Sid| {
            node.told
                .iter()
                .any(|told| told.0 == leader && told.1 == ServerState::Leading)
        };
        let mut tellers: BTreeMap<Sid, BTreeSet<Sid>> = BTreeMap::new();
        for (from, _, leader) in node.told.iter().filter(|told| says_it_leads(told.2)) {
            tellers.entry(*leader).or_default().insert(*from);
        }
        let standing = tellers.iter().max_by_key(|(_, from)| from.len());
        let own = node.ballot.map(|(_, vote)| vote.leader);
        let votes = self.nodes.values().filter_map(|node| node.ballot).max();
        match standing {
            Some((leader, from)) if from.len() > 1 || own.is_none() => Some(*leader),
            Some((leader, _)) if own == Some(sid) => Some(*leader),
            _ => own.or_else(|| votes.map(|(_, vote)| vote.leader)),
        }
    }

    /// Who led until now and has said nothing is dead, stopped or cut off.
    fn depose_others(&mut self, leader: Sid) {
        for (sid, node) in &mut self.nodes {
            if *sid != leader && node.lane == Lane::Leading {
                (node.lane, node.pending) = (Lane::Silent, false);
            }
        }
    }

    /// A leader whose log is not here shows itself in what others say.
    fn assume_leader(&mut self, leader: Option<Sid>) {
        if let Some(leader) = leader
            && let Some(node) = self.node(leader)
            && !node.has_log
        {
            node.lane = Lane::Leading;
        }
    }

    fn leads(&mut self, at: Stamp, sid: Sid, what: What) -> Option<Fact> {
        match what {
            What::Came(learner) => {
                // Who was stopped while others went on may find old callers at its door.
                let leads = self.node(sid)?.lane == Lane::Leading;
                let node = self.node(learner)?;
                if leads {
                    node.leader = Some(sid);
                }
                if !node.has_log {
                    (node.lane, node.pending) = (Lane::Following, true);
                }
                None
            }
            What::Compares(learner, zxid) => {
                self.node(learner)?.had = Some(zxid);
                None
            }
            What::Sends(learner, sync) => {
                let node = self.node(learner)?;
                node.sync = Some((sync, at));
                let had = node.had;
                self.member(learner)?.sync = Some(sync);
                Some(Fact::Sends(learner, sync, had))
            }
            What::InSync(learner) => {
                let node = self.node(learner)?;
                node.pending = false;
                let ms = node.sync.map(|(_, sent)| at.since(sent));
                let member = self.member(learner)?;
                (member.sync_ms, member.leader, member.moved) = (ms, Some(sid), true);
                Some(Fact::InSync(learner, ms))
            }
            What::Supported(sids, zxid) => self.serves(at, sid, sids, zxid),
            _ => None,
        }
    }

    fn serves(&mut self, at: Stamp, sid: Sid, sids: Vec<Sid>, zxid: Zxid) -> Option<Fact> {
        self.node(sid)?.pending = false;
        let reign = Reign {
            leader: sid,
            epoch: Some(zxid.epoch()),
            since: at,
        };
        if let Some(open) = &mut self.open {
            open.decided.get_or_insert((sid, at));
            open.served = Some((reign, at));
        }
        Some(Fact::Serves(zxid.epoch(), sids))
    }

    fn gets(&mut self, sid: Sid, sync: Sync, zxid: Zxid) -> Option<Fact> {
        let leader = self.nodes.get(&sid)?.leader;
        let leader_tells =
            leader.is_some_and(|leader| self.nodes.get(&leader).is_some_and(|node| node.has_log));
        let node = self.node(sid)?;
        let is_known = node.sync.is_some_and(|(sent, _)| sent == sync);
        node.pending &= leader_tells;
        self.member(sid)?.sync = Some(sync);
        (sync != Sync::Diff || !is_known).then_some(Fact::Gets(sync, zxid))
    }

    fn tell(&mut self, at: Stamp, sid: Sid, fact: Fact, notes: &mut Vec<Note>) {
        let lanes = self.nodes.iter().map(|(sid, node)| (*sid, node.lane)).collect();
        let Some(open) = &mut self.open else { return };
        open.part.ended = open.part.ended.max(at);
        let item = Item {
            at,
            node: sid,
            lanes,
            fact,
        };
        if open.part.items.len() >= MOST_ITEMS {
            open.part.left_out += 1;
            return;
        }
        if open.part.items.is_empty() {
            open.part.began = at;
            notes.push(Note::Begins(at, open.part.before));
        }
        open.part.items.push(item.clone());
        notes.push(Note::Happened(item));
    }

    fn close(&mut self, notes: &mut Vec<Note>) {
        let Some(Open {
            mut part,
            decided,
            served,
        }) = self.open.take()
        else {
            return;
        };
        for (sid, node) in &mut self.nodes {
            let member = part.members.entry(*sid).or_default();
            member.lane = node.lane;
            member.leader = member.leader.or(node.leader);
        }
        if part.items.is_empty() {
            return;
        }
        let looks = part
            .members
            .values()
            .any(|member| member.lane == Lane::Looking && member.moved);
        let joined = part
            .members
            .values()
            .any(|member| member.moved && member.leader.is_some());
        part.outcome = match decided {
            Some((leader, at)) => Outcome::Elected(self.elected(&part, leader, at, served)),
            None if joined => Outcome::Joined,
            None if looks => Outcome::Undecided,
            None => Outcome::Losses,
        };
        // Who has not settled by now begins a part of its own when it does.
        self.nodes.values_mut().for_each(|node| node.pending = false);
        notes.push(Note::Ends(Box::new(part)));
    }

    fn elected(&mut self, part: &Part, leader: Sid, at: Stamp, served: Option<(Reign, Stamp)>) -> Elected {
        self.elections += 1;
        let served = served.filter(|(reign, _)| reign.leader == leader);
        self.reign = Some(served.map_or(
            Reign {
                leader,
                epoch: None,
                since: at,
            },
            |(reign, _)| reign,
        ));
        let mut looks = part.items.iter().filter(|item| item.fact == Fact::Looks);
        let first = looks.find(|item| part.candidates.contains_key(&item.node));
        let looked = first.map_or(part.began, |item| item.at);
        let winner = part.candidates.get(&leader);
        let others = part
            .candidates
            .iter()
            .filter(|(sid, _)| **sid != leader)
            .map(|(_, vote)| vote);
        let best_other = others
            .filter(|vote| winner.is_some_and(|winner| *vote < winner))
            .max();
        Elected {
            number: self.elections,
            leader,
            epoch: served.and_then(|(reign, _)| reign.epoch),
            elect_ms: at.since(looked),
            serve_ms: served.map(|(_, served)| served.since(looked)),
            because: winner
                .zip(best_other)
                .and_then(|(winner, other)| Why::better(winner, other)),
        }
    }

    /// A server of this ensemble; none if there are too many.
    fn node(&mut self, sid: Sid) -> Option<&mut Node> {
        if !self.nodes.contains_key(&sid) && self.nodes.len() >= MOST_NODES {
            return None;
        }
        Some(self.nodes.entry(sid).or_default())
    }

    fn member(&mut self, sid: Sid) -> Option<&mut Member> {
        let open = self.open.as_mut()?;
        Some(open.part.members.entry(sid).or_default())
    }
}

/// Whether this begins a part if none is open.
fn opens(what: &What) -> bool {
    !matches!(
        what,
        What::Heard(_) | What::Waits(_) | What::Took(_) | What::Unreachable(_) | What::Retries(_)
    )
}

/// Whether this is a beginning, of which somebody who has settled opens a new part.
fn begins(what: &What) -> bool {
    matches!(
        what,
        What::Started
            | What::Ended
            | What::Entered(ServerState::Looking)
            | What::LostLeader(_)
            | What::Stopped(_)
            | What::Broken(..)
            | What::Goodbye(..)
    )
}

/// After so long without a word, what follows belongs to another part.
const REST_MS: i64 = 2_000;
/// The same while somebody has not settled.
const LONG_REST_MS: i64 = 30_000;
/// No ensemble has more servers; numbers in a broken log may be any.
const MOST_NODES: usize = 64;
/// A part that never ends is not kept without end.
const MOST_ITEMS: usize = 5_000;

#[cfg(test)]
mod tests;
