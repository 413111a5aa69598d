//! Who is connected with whom for the election, and which message waits for whom. (QuorumCnxManager)
//!
//! Every pair of servers has one connection, and the server with the larger number is the one that keeps it: if
//! the smaller one calls, that is only a knock. The larger one hangs up and calls back.
//!
//! For each peer one message may wait, and the newest one wins: an older vote is worth nothing. The last message
//! that was sent is sent again when the connection is new, since nobody knows whether it arrived.

use std::collections::BTreeMap;

use super::link::{Dial, LinkEvent, LinkId, LinkOrder};
use super::log_once::LogOnce;
use crate::ensemble::Ensemble;
use crate::proto::Sid;
use crate::proto::notification::Hello;

/// What happens to the manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message for a server, maybe this one itself.
    Send {
        /// The server.
        to: Sid,
        /// The message.
        message: Vec<u8>,
    },
    /// The net has news.
    Link(LinkEvent),
    /// The deadline has come.
    Time,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// An order for the net.
    Order(LinkOrder),
    /// A message has come.
    Deliver {
        /// The sender.
        from: Sid,
        /// The message.
        message: Vec<u8>,
    },
    /// A peer can be reached from now on, or cannot.
    Reach {
        /// The peer.
        sid: Sid,
        /// Which of the two.
        is_up: bool,
    },
    /// A line for the log.
    Log {
        /// How loud.
        level: log::Level,
        /// The line.
        text: String,
    },
}

/// All connections of one server.
#[derive(Debug)]
pub struct QuorumCnxManager {
    my_id: Sid,
    ensemble: Ensemble,
    peers: BTreeMap<Sid, Peer>,
    /// The links that are kept, and whose they are.
    links: BTreeMap<LinkId, Sid>,
    /// The next number for a caller that has none.
    next_anonymous: Sid,
    told: LogOnce,
}

/// One peer.
#[derive(Debug)]
struct Peer {
    link: Option<LinkId>,
    /// How many links in a row have ended on which nothing had come, and the present one if nothing has.
    mute_links: u32,
    /// Whether a message is on its way on the link.
    busy: bool,
    /// What is to be sent next.
    waiting: Option<Vec<u8>>,
    /// What was sent last.
    last: Option<Vec<u8>>,
    /// Whether a call to it is under way.
    dialing: bool,
    /// How often it has called lately although it was connected, and since when that is counted.
    calls_beside: (u32, i64),
    /// It is not called again before this time.
    next_dial_at_ms: i64,
    patience_ms: i64,
}

impl Peer {
    fn new() -> Peer {
        Peer {
            link: None,
            mute_links: 0,
            busy: false,
            waiting: None,
            last: None,
            dialing: false,
            calls_beside: (0, i64::MIN),
            next_dial_at_ms: i64::MIN,
            patience_ms: FIRST_PATIENCE_MS,
        }
    }

    /// A call, or a knock, has not led to a link on which something came: the next one takes its time.
    fn be_patient(&mut self, now_ms: i64) {
        self.dialing = false;
        self.next_dial_at_ms = now_ms + self.patience_ms;
        self.patience_ms = (self.patience_ms * 2).min(LONGEST_PATIENCE_MS);
    }

    /// Something has come on the link.
    fn has_spoken(&mut self) {
        self.mute_links = 0;
        self.patience_ms = FIRST_PATIENCE_MS;
    }

    fn wants_dial(&self) -> bool {
        self.waiting.is_some() && self.link.is_none() && !self.dialing
    }
}

impl QuorumCnxManager {
    /// A manager without connections.
    pub fn new(my_id: Sid, ensemble: Ensemble) -> QuorumCnxManager {
        let others = ensemble.members().keys().filter(|&&sid| sid != my_id);
        QuorumCnxManager {
            my_id,
            peers: others.map(|&sid| (sid, Peer::new())).collect(),
            ensemble,
            links: BTreeMap::new(),
            next_anonymous: Sid(-1),
            told: LogOnce::default(),
        }
    }

    /// When to come back with [`Event::Time`], in elapsed milliseconds.
    pub fn deadline_ms(&self) -> Option<i64> {
        let waiting = self.peers.values().filter(|peer| peer.wants_dial());
        waiting.map(|peer| peer.next_dial_at_ms).min()
    }

    /// Takes what has happened at `now_ms` of elapsed time, and adds what is to be done.
    pub fn on(&mut self, now_ms: i64, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Send { to, message } => self.send(now_ms, to, message, actions),
            Event::Link(event) => self.link(now_ms, event, actions),
            Event::Time => {
                let peers: Vec<Sid> = self.peers.keys().copied().collect();
                peers
                    .into_iter()
                    .for_each(|sid| self.dial_if_due(now_ms, sid, actions));
            }
        }
    }

    fn send(&mut self, now_ms: i64, to: Sid, message: Vec<u8>, actions: &mut Vec<Action>) {
        if to == self.my_id {
            actions.push(Action::Deliver { from: to, message });
            return;
        }
        let Some(peer) = self.peers.get_mut(&to) else {
            self.warn(now_ms, to, "unknown", format!("Invalid server id: {to}"), actions);
            return;
        };
        peer.waiting = Some(message);
        self.pump(to, actions);
        self.dial_if_due(now_ms, to, actions);
    }

    fn link(&mut self, now_ms: i64, event: LinkEvent, actions: &mut Vec<Action>) {
        match event {
            LinkEvent::Called { link, sid, from } => self.called(now_ms, link, sid, &from, actions),
            LinkEvent::Nuisance { from, reason } => {
                let text = format!("Exception reading or writing challenge: {reason}, addr: {from}");
                self.warn_about(now_ms, &from, "hello", text, actions);
            }
            LinkEvent::Dialed { link, sid } => self.dialed(now_ms, link, sid, actions),
            LinkEvent::DialFailed { sid, address, reason } => {
                self.dial_failed(now_ms, sid, &address, &reason, actions)
            }
            LinkEvent::Sent { link } => {
                if let Some(&sid) = self.links.get(&link) {
                    self.peers.entry(sid).and_modify(|peer| peer.busy = false);
                    self.pump(sid, actions);
                }
            }
            LinkEvent::Received { link, message } => {
                if let Some(&from) = self.links.get(&link) {
                    self.peers.entry(from).and_modify(Peer::has_spoken);
                    actions.push(Action::Deliver { from, message });
                }
            }
            LinkEvent::Down { link, reason } => {
                if let Some(&sid) = self.links.get(&link) {
                    let me = self.my_id;
                    let text = format!("Connection broken for id {sid}, my id = {me}, error = {reason}");
                    self.warn(now_ms, sid, "link", text, actions);
                    self.drop_link(sid, actions);
                    actions.push(Action::Reach { sid, is_up: false });
                    self.call_again(now_ms, sid, actions);
                }
            }
        }
    }

    /// Somebody calls. (QuorumCnxManager.handleConnection)
    fn called(&mut self, now_ms: i64, link: LinkId, sid: Sid, from: &str, actions: &mut Vec<Action>) {
        let text = format!("Received connection request {from}");
        if self.ensemble.member(sid).is_some() {
            say(actions, log::Level::Info, text);
        } else {
            self.tell_of_stranger(now_ms, host_of(from), log::Level::Info, text, actions);
        }
        self.suspect_twins(now_ms, sid, from, actions);
        let close = Action::Order(LinkOrder::Close { link });
        if sid == self.my_id {
            let text = format!(
                "The server at {} says it has this server's id {sid}: two servers with one myid? Its connection is closed",
                host_of(from)
            );
            self.warn_about(now_ms, host_of(from), "twin", text, actions);
            actions.push(close);
        } else if sid == ANONYMOUS {
            let sid = self.next_anonymous;
            self.next_anonymous = Sid(sid.0.wrapping_sub(1).min(-1));
            let text = format!("Setting arbitrary identifier to observer: {sid}");
            self.tell_of_stranger(now_ms, host_of(from), log::Level::Info, text, actions);
            self.welcome(now_ms, link, sid, actions);
        } else if sid > self.my_id {
            self.welcome(now_ms, link, sid, actions);
        } else {
            // Its end of the old connection is gone, or it would not knock.
            self.drop_link(sid, actions);
            actions.push(close);
            self.call_back(now_ms, sid, actions);
        }
    }

    /// Once a server calls although it is connected: its end of the link is gone. Again and again: there are two.
    fn suspect_twins(&mut self, now_ms: i64, sid: Sid, from: &str, actions: &mut Vec<Action>) {
        let member = self.ensemble.member(sid).is_some();
        let Some(peer) = self
            .peers
            .get_mut(&sid)
            .filter(|peer| member && peer.link.is_some())
        else {
            return;
        };
        let (count, since_ms) = &mut peer.calls_beside;
        if now_ms - TWINS_MS > *since_ms {
            (*count, *since_ms) = (0, now_ms);
        }
        *count += 1;
        if *count >= TWINS_CALLS {
            let text = format!(
                "Server {sid} calls again and again although it is connected, now from {}: two servers with one myid?",
                host_of(from)
            );
            self.warn(now_ms, sid, "twins", text, actions);
        }
    }

    /// A smaller server has knocked.
    fn call_back(&mut self, now_ms: i64, sid: Sid, actions: &mut Vec<Action>) {
        match self.peers.get(&sid) {
            None => self.warn(
                now_ms,
                sid,
                "unknown",
                format!("Invalid server id: {sid}"),
                actions,
            ),
            Some(peer) if peer.dialing => {}
            Some(_) => self.dial(sid, actions),
        }
    }

    /// A link has broken. If the peer is the larger one, it may have hung up only to call at once: a knock now would
    /// make it hang up again. If it is the smaller one and has said nothing twice, it refuses this server, as with TLS,
    /// where a caller is told behind its first words: it would do so again.
    fn call_again(&mut self, now_ms: i64, sid: Sid, actions: &mut Vec<Action>) {
        let me = self.my_id;
        match self.peers.get_mut(&sid) {
            Some(peer) if sid > me => peer.next_dial_at_ms = now_ms + FIRST_PATIENCE_MS,
            Some(peer) if peer.mute_links > 1 => peer.be_patient(now_ms),
            _ => {}
        }
        self.dial_if_due(now_ms, sid, actions);
    }

    /// Keeps a link, if its peer is a member, or there is room for one more stranger.
    fn welcome(&mut self, now_ms: i64, link: LinkId, sid: Sid, actions: &mut Vec<Action>) {
        let is_known = self.peers.contains_key(&sid);
        let strangers = self
            .peers
            .keys()
            .filter(|&&sid| self.ensemble.member(sid).is_none());
        if !is_known && strangers.count() >= MOST_STRANGERS {
            let text = format!(
                "More than {MOST_STRANGERS} servers that are not in the configuration are connected; others are refused"
            );
            self.warn_about(now_ms, "strangers", "many", text, actions);
            actions.push(Action::Order(LinkOrder::Close { link }));
        } else {
            self.peers.entry(sid).or_insert_with(Peer::new);
            self.keep(link, sid, actions);
        }
    }

    /// A peer has taken this server's call. (QuorumCnxManager.startConnection)
    fn dialed(&mut self, now_ms: i64, link: LinkId, sid: Sid, actions: &mut Vec<Action>) {
        let me = self.my_id;
        match self.peers.get_mut(&sid) {
            Some(peer) if sid > me => {
                peer.be_patient(now_ms);
                let text =
                    format!("Have smaller server identifier, so dropping the connection: ({sid}, {me})");
                say(actions, log::Level::Info, text);
                actions.push(Action::Order(LinkOrder::Close { link }));
            }
            Some(peer) => {
                peer.dialing = false;
                self.keep(link, sid, actions);
            }
            None => actions.push(Action::Order(LinkOrder::Close { link })),
        }
    }

    fn dial_failed(&mut self, now_ms: i64, sid: Sid, address: &str, reason: &str, actions: &mut Vec<Action>) {
        if let Some(peer) = self.peers.get_mut(&sid) {
            peer.be_patient(now_ms);
            if peer.link.is_none() {
                actions.push(Action::Reach { sid, is_up: false });
            }
        }
        let text = format!("Cannot open channel to {sid} at election address {address}: {reason}");
        self.warn(now_ms, sid, "dial", text, actions);
    }

    /// The link is the peer's from now on, instead of the one it may have had.
    fn keep(&mut self, link: LinkId, sid: Sid, actions: &mut Vec<Action>) {
        self.close_link(sid, actions);
        self.told.forget(&sid.to_string(), "dial");
        let Some(peer) = self.peers.get_mut(&sid) else {
            return;
        };
        self.links.insert(link, sid);
        peer.link = Some(link);
        peer.mute_links = peer.mute_links.saturating_add(1);
        if sid > self.my_id || peer.mute_links == 1 {
            peer.patience_ms = FIRST_PATIENCE_MS;
        }
        peer.next_dial_at_ms = i64::MIN;
        peer.waiting = peer.waiting.take().or_else(|| peer.last.clone());
        actions.push(Action::Order(LinkOrder::Keep { link, sid }));
        actions.push(Action::Reach { sid, is_up: true });
        self.pump(sid, actions);
    }

    /// Sends what waits, if the link is free.
    fn pump(&mut self, sid: Sid, actions: &mut Vec<Action>) {
        let Some(peer) = self.peers.get_mut(&sid) else {
            return;
        };
        let (Some(link), false) = (peer.link, peer.busy) else {
            return;
        };
        if let Some(message) = peer.waiting.take() {
            peer.busy = true;
            peer.last = Some(message.clone());
            actions.push(Action::Order(LinkOrder::Send { link, message }));
        }
    }

    /// Gives up a peer's link, and with it a peer that is not in the configuration.
    fn drop_link(&mut self, sid: Sid, actions: &mut Vec<Action>) {
        self.close_link(sid, actions);
        if self.ensemble.member(sid).is_none() {
            self.peers.remove(&sid);
        }
    }

    fn close_link(&mut self, sid: Sid, actions: &mut Vec<Action>) {
        let Some(peer) = self.peers.get_mut(&sid) else {
            return;
        };
        if let Some(link) = peer.link.take() {
            if std::mem::take(&mut peer.busy) && peer.waiting.is_none() {
                peer.waiting = peer.last.clone();
            }
            self.links.remove(&link);
            actions.push(Action::Order(LinkOrder::Close { link }));
        }
    }

    fn dial_if_due(&mut self, now_ms: i64, sid: Sid, actions: &mut Vec<Action>) {
        let peer = self.peers.get(&sid);
        if peer.is_some_and(|peer| peer.wants_dial() && now_ms >= peer.next_dial_at_ms) {
            self.dial(sid, actions);
        }
    }

    fn dial(&mut self, sid: Sid, actions: &mut Vec<Action>) {
        let (Some(peer), Some(member)) = (self.peers.get_mut(&sid), self.ensemble.member(sid)) else {
            return;
        };
        peer.dialing = true;
        actions.push(Action::Order(LinkOrder::Dial(Dial {
            sid,
            host: member.host.clone(),
            port: member.election_port,
            hello: Hello { sid: self.my_id }.to_message(),
        })));
    }

    /// Warns of a peer's problem, unless that was done lately.
    fn warn(&mut self, now_ms: i64, sid: Sid, kind: &'static str, text: String, actions: &mut Vec<Action>) {
        if self.ensemble.member(sid).is_some() {
            self.warn_about(now_ms, &sid.to_string(), kind, text, actions);
        } else {
            // A stranger has as many numbers as it likes.
            self.tell_of_stranger(now_ms, kind, log::Level::Warn, text, actions);
        }
    }

    /// Says something of a caller who is no member, a few times only.
    fn tell_of_stranger(
        &mut self,
        now_ms: i64,
        who: &str,
        level: log::Level,
        text: String,
        actions: &mut Vec<Action>,
    ) {
        let level = match self.told.is_news(now_ms, who, "stranger", &text) {
            true => level,
            false => log::Level::Debug,
        };
        say(actions, level, text);
    }

    fn warn_about(
        &mut self,
        now_ms: i64,
        who: &str,
        kind: &'static str,
        text: String,
        actions: &mut Vec<Action>,
    ) {
        let level = match self.told.is_news(now_ms, who, kind, &text) {
            true => log::Level::Warn,
            false => log::Level::Debug,
        };
        say(actions, level, text);
    }
}

fn say(actions: &mut Vec<Action>, level: log::Level, text: String) {
    actions.push(Action::Log { level, text });
}

/// An address without its port, which is another at each call.
fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// What observers of old said instead of a number. (QuorumPeer.OBSERVER_ID)
const ANONYMOUS: Sid = Sid(i64::MAX);
/// So many servers that are not in the configuration may be connected, as new ones are before all know them.
const MOST_STRANGERS: usize = 16;
/// After a call that led to nothing the peer is left alone so long; then twice as long, and so on.
const FIRST_PATIENCE_MS: i64 = 250;
/// While a message waits for it, a peer is called at least so often.
const LONGEST_PATIENCE_MS: i64 = 5_000;

/// So many calls of a server that is connected, within so long, are those of two.
const TWINS_CALLS: u32 = 4;
const TWINS_MS: i64 = 60_000;

#[cfg(test)]
mod tests;
