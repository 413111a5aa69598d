//! The election's post: votes to bytes and back, and answers for those who ask. (FastLeaderElection.Messenger)

use std::collections::BTreeMap;

use super::cnxn_manager::{self, Action, QuorumCnxManager};
use super::link::{LinkEvent, LinkOrder};
use super::log_once::LogOnce;
use crate::ensemble::Ensemble;
use crate::proto::Sid;
use crate::proto::notification::{Notification, ServerState};
use crate::runtime::{Address, Crew, Flow, Inbox, Now, Runtime, Stage};
use crate::zab::{Event, Standing};

/// A vote for a server, maybe this one itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// The server.
    pub to: Sid,
    /// The vote.
    pub notification: Notification,
}

/// What the election hears of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// A voter's vote, maybe this server's own, while this server looks for a leader.
    Vote {
        /// The voter.
        from: Sid,
        /// The vote.
        notification: Notification,
    },
    /// The vote of one that looks, while this server has settled on a leader whose epoch is not established yet.
    Overheard {
        /// The voter.
        from: Sid,
        /// The vote, which has been answered.
        notification: Notification,
    },
    /// A server can be reached from now on, or cannot.
    Reach {
        /// The server.
        sid: Sid,
        /// Which of the two.
        is_up: bool,
    },
}

impl From<Heard> for Event {
    fn from(heard: Heard) -> Event {
        match heard {
            Heard::Vote { from, notification } => Event::Heard { from, notification },
            Heard::Overheard { from, notification } => Event::Overheard { from, notification },
            Heard::Reach { sid, is_up } => Event::Reach { sid, is_up },
        }
    }
}

/// The addresses of the post, once it works.
#[derive(Debug, Clone)]
pub struct Mail {
    /// Takes votes for others.
    pub outgoing: Address<Outgoing>,
    /// Takes what this server says of itself from now on.
    pub standing: Address<Standing>,
    manager: Address<ManagerLetter>,
}

impl Mail {
    /// Starts the post of server `my_id`: QuorumCnxManager, WorkerReceiver and WorkerSender, in the order in which
    /// they end. `connect` is given the address for news of the net and gives the one for orders; `heard` takes
    /// the votes that an election is to count. Until it is told, the server stands as `standing`.
    pub fn start(
        runtime: &impl Runtime,
        crew: &mut Crew,
        my_id: Sid,
        ensemble: &Ensemble,
        standing: Standing,
        heard: Address<Heard>,
        connect: impl FnOnce(Address<LinkEvent>) -> Address<LinkOrder>,
    ) -> Mail {
        let (manager, manager_inbox) = Inbox::new();
        let (receiver, receiver_inbox) = Inbox::new();
        let (outgoing, sender_inbox) = Inbox::new();
        let manager_stage = ManagerStage {
            core: QuorumCnxManager::new(my_id, ensemble.clone()),
            net: connect(manager.map(ManagerLetter::Link)),
            receiver: receiver.clone(),
        };
        let worker_receiver = WorkerReceiver {
            my_id,
            ensemble: ensemble.clone(),
            standing,
            sender: outgoing.clone(),
            election: heard,
            answered: BTreeMap::new(),
            told: LogOnce::default(),
        };
        let worker_sender = WorkerSender {
            manager: manager.clone(),
        };
        let receiver_name = format!("WorkerReceiver[myid={my_id}]");
        let sender_name = format!("WorkerSender[myid={my_id}]");
        runtime.start(crew, "QuorumCnxManager", manager_inbox, manager_stage);
        runtime.start(crew, &receiver_name, receiver_inbox, worker_receiver);
        runtime.start(crew, &sender_name, sender_inbox, worker_sender);
        Mail {
            outgoing,
            standing: receiver.map(ReceiverLetter::Standing),
            manager,
        }
    }

    /// Ends the post: the three stages end one after the other, once the election's own addresses are gone too.
    pub fn halt(self) {
        self.manager.post(ManagerLetter::Halt);
    }
}

/// What the manager's inbox holds.
#[derive(Debug)]
enum ManagerLetter {
    Send { to: Sid, message: Vec<u8> },
    Link(LinkEvent),
    Halt,
}

/// The manager on its thread.
struct ManagerStage {
    core: QuorumCnxManager,
    net: Address<LinkOrder>,
    receiver: Address<ReceiverLetter>,
}

impl ManagerStage {
    fn give(&mut self, now: Now, event: cnxn_manager::Event) {
        let mut actions = Vec::new();
        self.core.on(now.elapsed_ms, event, &mut actions);
        for action in actions {
            match action {
                Action::Order(order) => self.net.post(order),
                Action::Deliver { from, message } => {
                    self.receiver.post(ReceiverLetter::Message { from, message });
                }
                Action::Reach { sid, is_up } => self.receiver.post(ReceiverLetter::Reach { sid, is_up }),
                Action::Log { level, text } => log::log!(level, "{text}"),
            }
        }
    }
}

impl Stage for ManagerStage {
    type In = ManagerLetter;

    fn step(&mut self, now: Now, letter: ManagerLetter) -> Flow {
        match letter {
            ManagerLetter::Send { to, message } => self.give(now, cnxn_manager::Event::Send { to, message }),
            ManagerLetter::Link(event) => self.give(now, cnxn_manager::Event::Link(event)),
            ManagerLetter::Halt => return Flow::Done,
        }
        Flow::Go
    }

    fn quiet(&mut self, now: Now) -> Flow {
        let is_due = |at_ms| now.elapsed_ms >= at_ms;
        if self.core.deadline_ms().is_some_and(is_due) {
            self.give(now, cnxn_manager::Event::Time);
        }
        Flow::Go
    }

    fn wake_at(&self) -> Option<i64> {
        self.core.deadline_ms()
    }
}

/// Votes to bytes. (FastLeaderElection.Messenger.WorkerSender)
struct WorkerSender {
    manager: Address<ManagerLetter>,
}

impl Stage for WorkerSender {
    type In = Outgoing;

    fn step(&mut self, _now: Now, letter: Outgoing) -> Flow {
        let message = letter.notification.to_message();
        self.manager.post(ManagerLetter::Send {
            to: letter.to,
            message,
        });
        Flow::Go
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("WorkerSender is down");
        Flow::Done
    }
}

/// What the receiver's inbox holds.
#[derive(Debug)]
enum ReceiverLetter {
    Message { from: Sid, message: Vec<u8> },
    Reach { sid: Sid, is_up: bool },
    Standing(Standing),
}

/// Bytes to votes: answers those who do not vote, and those who lag behind or look for a leader that this server
/// knows; hands the votes to the election while there is one. (FastLeaderElection.Messenger.WorkerReceiver)
struct WorkerReceiver {
    my_id: Sid,
    ensemble: Ensemble,
    standing: Standing,
    sender: Address<Outgoing>,
    election: Address<Heard>,
    /// What was told last, and when, to those that do not vote.
    answered: BTreeMap<Sid, (Notification, i64)>,
    told: LogOnce,
}

impl WorkerReceiver {
    fn receive(&mut self, now: Now, from: Sid, message: &[u8]) {
        let notification = match Notification::from_message(message) {
            Ok(notification) => notification,
            Err(error) => return self.complain(now, from, message.len(), &error.to_string()),
        };
        if message.len() == OLDEST_FORM_BYTES {
            log::info!("Backward compatibility mode, server id={from}");
        }
        let is_voter = self.ensemble.is_voter(from);
        if is_voter {
            let state = self.standing.state;
            log::info!("Notification: {} {state} (my state)", notification.describe(from));
        }
        if is_voter && self.standing.state == ServerState::Looking {
            self.election.post(Heard::Vote { from, notification });
        } else if is_voter && self.standing.is_tentative() && notification.state == ServerState::Looking {
            self.election.post(Heard::Overheard { from, notification });
        }
        let answer = self
            .standing
            .answer(self.my_id, &self.ensemble, from, &notification);
        if let Some(answer) = answer.filter(|answer| is_voter || self.is_due(now, from, answer)) {
            self.tell(from, answer);
        }
    }

    fn tell(&self, to: Sid, notification: Notification) {
        log::debug!(
            "Sending new notification. My id =  {} recipient={to} zxid={} leader={}",
            self.my_id,
            notification.zxid,
            notification.leader
        );
        self.sender.post(Outgoing { to, notification });
    }

    /// Whether one that does not vote is to be told this now. 3.4.14's observers answer an answer of an earlier
    /// round than theirs: without a pause the two would go on as fast as the network.
    fn is_due(&mut self, now: Now, to: Sid, answer: &Notification) -> bool {
        let known = self.answered.get(&to);
        let lately = |at_ms: i64| now.elapsed_ms - at_ms < PAUSE_MS;
        if known.is_some_and(|(last, at_ms)| last == answer && lately(*at_ms)) {
            return false;
        }
        if known.is_none() && self.answered.len() >= MOST_REMEMBERED {
            self.answered.clear();
        }
        self.answered.insert(to, (*answer, now.elapsed_ms));
        true
    }

    fn complain(&mut self, now: Now, from: Sid, length: usize, error: &str) {
        let text = format!("Got a short response: {length} bytes from server {from}: {error}");
        let is_news = self
            .told
            .is_news(now.elapsed_ms, &from.to_string(), "message", error);
        log::log!(
            if is_news {
                log::Level::Error
            } else {
                log::Level::Debug
            },
            "{text}"
        );
    }
}

impl Stage for WorkerReceiver {
    type In = ReceiverLetter;

    fn step(&mut self, now: Now, letter: ReceiverLetter) -> Flow {
        match letter {
            ReceiverLetter::Message { from, message } => self.receive(now, from, &message),
            ReceiverLetter::Reach { sid, is_up } => self.election.post(Heard::Reach { sid, is_up }),
            ReceiverLetter::Standing(standing) => self.standing = standing,
        }
        Flow::Go
    }

    fn end(&mut self, _now: Now) -> Flow {
        log::info!("WorkerReceiver is down");
        Flow::Done
    }
}

/// The form of a message before 3.4.0.
const OLDEST_FORM_BYTES: usize = 28;
/// The same answer goes to one that does not vote so often at most; it asks every 200 ms at first.
const PAUSE_MS: i64 = 100;
/// So many of those are remembered.
const MOST_REMEMBERED: usize = 64;

#[cfg(test)]
mod tests;
