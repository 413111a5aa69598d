//! The way in: whether this server serves, in which role, and how much is inside. (ZooKeeperServer's public face)

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::runtime::{Address, Inbox};
use crate::seeded_fault::SeededFault;
use crate::storage::Database;

use super::Request;
use super::sessions::Sessions;
use super::status::ServerState;

/// What serves while a role lasts.
#[derive(Debug)]
pub struct Serving {
    /// The first processor of the chain. A letter is what one poll of a client loop has read.
    pub chain: Address<Vec<Request>>,
    /// The tree and what belongs to it.
    pub database: Arc<Database>,
    /// Who lives.
    pub sessions: Arc<Sessions>,
    /// The role.
    pub state: ServerState,
}

/// Connections ask here whether they may come in.
#[derive(Debug)]
pub struct Gate {
    serving: Mutex<Option<Arc<Serving>>>,
    in_process: AtomicI64,
    outstanding_limit: i64,
}

impl Gate {
    /// A closed gate, through which about `outstanding_limit` requests may be inside at once.
    pub fn new(outstanding_limit: i64) -> Gate {
        Gate {
            serving: Mutex::new(None),
            in_process: AtomicI64::new(0),
            outstanding_limit,
        }
    }

    /// Opens: requests go to this chain from now on. What the chain before it took and never answered is
    /// forgotten; what it answered late has been counted out by then.
    pub fn open(&self, serving: Serving) {
        // What was inside the chain of an earlier role was answered, or never will be.
        self.in_process.store(0, Relaxed);
        self.in_process.store(0, Relaxed);
        *self.lock() = Some(Arc::new(serving));
    }

    /// Closes. The chain ends when the last borrower of [`Gate::serving`] has let go.
    pub fn close(&self) {
        let mut serving = self.lock();
        *serving = serving
            .take()
            .filter(|_| SeededFault::EndedRoleServes.on())
            .map(without_chain);
    }

    /// What serves, if anything does. Not to be kept longer than one round of a loop.
    pub fn serving(&self) -> Option<Arc<Serving>> {
        self.lock().clone()
    }

    /// Requests of own clients have gone into the chain.
    pub fn entered(&self, count: usize) {
        self.in_process.fetch_add(count as i64, Relaxed);
    }

    /// Requests of own clients have been answered.
    pub fn left(&self, count: usize) {
        self.in_process.fetch_sub(count as i64, Relaxed);
    }

    /// How many requests of own clients are inside.
    pub fn in_process(&self) -> i64 {
        self.in_process.load(Relaxed)
    }

    /// How many more requests may go inside. Below zero, a connection that waits for answers should read no
    /// more for now. (`globalOutstandingLimit`)
    pub fn room(&self) -> i64 {
        self.outstanding_limit - self.in_process()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<Serving>>> {
        // Nothing panics while it is held; the value is whole in any case.
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What still reads, but leads nowhere. See [`SeededFault::EndedRoleServes`].
fn without_chain(ended: Arc<Serving>) -> Arc<Serving> {
    Arc::new(Serving {
        chain: Inbox::new().0,
        database: Arc::clone(&ended.database),
        sessions: Arc::clone(&ended.sessions),
        state: ended.state,
    })
}
