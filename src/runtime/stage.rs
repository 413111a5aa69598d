//! What a component is, how letters reach it, and who drives it.

use std::sync::Arc;
use std::time::Duration;

use super::inbox::Inbox;
use super::shutdown::Halt;
use super::time::Now;

/// A component: a value that takes one letter at a time and posts letters to other stages.
///
/// A step never waits: not for a queue, not for a socket, not for another stage. A stage that writes to the
/// disk (the log, a snapshot) waits for the disk alone.
pub trait Stage: Send + 'static {
    /// What its inbox holds.
    type In: Send + 'static;

    /// Takes one letter.
    fn step(&mut self, now: Now, letter: Self::In) -> Flow;

    /// The inbox ran dry, or [`Stage::wake_at`] has come: flush, expire, ping.
    fn quiet(&mut self, _now: Now) -> Flow {
        Flow::Go
    }

    /// When to call [`Stage::quiet`] if no letter comes, in elapsed milliseconds.
    fn wake_at(&self) -> Option<i64> {
        None
    }

    /// The inbox is closed: last words. Addresses that the stage holds close when it is dropped, after this.
    fn end(&mut self, _now: Now) -> Flow {
        Flow::Done
    }
}

/// What is to come after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flow {
    /// The next letter.
    Go,
    /// The stage's orderly end.
    Done,
    /// The process's end.
    Halt(Halt),
}

/// The receiving side of an address, as its maker wrote it.
pub trait Post<T>: Send + Sync {
    /// Hands a letter over. A letter for an inbox that is closed is dropped: its stage has said its last words.
    fn post(&self, letter: T);
}

/// The only way to hand a stage a letter. Clones lead to the same inbox, which closes with the last of them.
pub struct Address<T> {
    post: Arc<dyn Post<T>>,
}

impl<T: 'static> Address<T> {
    /// An address that leads to `post`.
    pub fn new(post: impl Post<T> + 'static) -> Address<T> {
        Address { post: Arc::new(post) }
    }

    /// Hands a letter over.
    pub fn post(&self, letter: T) {
        self.post.post(letter);
    }

    /// An address for other letters, which `translate` turns into this one's.
    pub fn map<U: 'static>(&self, translate: impl Fn(U) -> T + Send + Sync + 'static) -> Address<U> {
        Address::new(Translated {
            to: self.clone(),
            translate,
        })
    }
}

impl<T> Clone for Address<T> {
    fn clone(&self) -> Address<T> {
        Address {
            post: Arc::clone(&self.post),
        }
    }
}

impl<T> std::fmt::Debug for Address<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address")
    }
}

struct Translated<T, F> {
    to: Address<T>,
    translate: F,
}

impl<T: 'static, U, F: Fn(U) -> T + Send + Sync> Post<U> for Translated<T, F> {
    fn post(&self, letter: U) {
        self.to.post((self.translate)(letter));
    }
}

impl<T: Send> Post<T> for crossbeam_channel::Sender<T> {
    fn post(&self, letter: T) {
        // The receiver is gone only after whoever waited has given up; see Post::post.
        drop(self.send(letter));
    }
}

/// Who drives stages: OS threads in production, a seeded scheduler in a simulation.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// Gives a stage to a thread of this name, which takes the letters of `inbox` until it is closed.
    fn start<S: Stage>(&self, crew: &mut Crew, name: &str, inbox: Inbox<S::In>, stage: S);
}

/// The stages of one chain or role, in the order in which they end: each closes the next by ending.
#[derive(Default)]
pub struct Crew {
    members: Vec<Box<dyn Member>>,
}

/// A stage at work, as its owner sees it.
pub trait Member: Send {
    /// The thread's name.
    fn name(&self) -> &str;
    /// Waits for the end of the stage; false if it has not come within the limit.
    fn join(&mut self, limit: Duration) -> bool;
}

impl Crew {
    /// Nobody yet.
    pub fn new() -> Crew {
        Crew::default()
    }

    /// Takes responsibility for a stage.
    pub fn add(&mut self, member: Box<dyn Member>) {
        self.members.push(member);
    }

    /// Waits for all, each within `limit`, and names those that did not end.
    ///
    /// The first address of the chain must be dropped before, or nothing will ever end.
    pub fn join(mut self, limit: Duration) -> Vec<String> {
        let late = self
            .members
            .iter_mut()
            .filter_map(|m| (!m.join(limit)).then(|| m.name().to_owned()));
        late.collect()
    }
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.members.iter().map(|m| m.name()))
            .finish()
    }
}
