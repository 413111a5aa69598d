//! What a round of the client loop works with besides the connections.

use std::sync::{Arc, Weak};

use crate::clients::{Cnxn, Hosting, Line, Quiet, Round, Rules, TokenBucket, TokenRules, Wishes};
use crate::proto::{Acl, ConnId, OpCode, Perms, SessionId};
use crate::request::{Gate, ServerState, Serving, Status};
use crate::runtime::{Clock, Disk, Now};
use crate::storage::{Database, Dirs};

use super::tally::Tally;

/// What a loop serves by: who serves, the figures, the time.
pub struct Serves {
    /// Whether and what this server serves.
    pub gate: Arc<Gate>,
    /// Figures.
    pub status: Arc<Status>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the data is, for the word that tells how much it is.
    pub disk: Arc<dyn Disk>,
    /// In which directories.
    pub dirs: Dirs,
}

/// The loop's papers.
#[derive(Debug)]
pub(super) struct Desk {
    pub gate: Arc<Gate>,
    pub status: Arc<Status>,
    pub rules: Rules,
    pub now: Now,
    /// The same moment, elapsed microseconds.
    pub now_us: i64,
    pub tally: Tally,
    /// What serves in this round.
    pub serving: Option<Arc<Serving>>,
    /// The database that served last: watches of connections that end later are forgotten there.
    database: Weak<Database>,
    pub wishes: Wishes,
    pub quiet: Quiet,
    pub tokens: TokenBucket,
}

impl Desk {
    pub fn new(gate: Arc<Gate>, status: Arc<Status>, rules: Rules, tokens: Option<TokenRules>) -> Desk {
        Desk {
            gate,
            status,
            rules,
            now: Now::default(),
            now_us: 0,
            tally: Tally::default(),
            serving: None,
            database: Weak::new(),
            wishes: Wishes::default(),
            quiet: Quiet::default(),
            tokens: TokenBucket::new(tokens),
        }
    }

    /// Looks what serves.
    pub fn begin_round(&mut self, now: Now, now_us: i64) {
        (self.now, self.now_us) = (now, now_us);
        self.status.loop_is_alive(now.elapsed_ms);
        self.serving = self.gate.serving();
        if let Some(serving) = &self.serving
            && self.database.as_ptr() != Arc::as_ptr(&serving.database)
        {
            self.database = Arc::downgrade(&serving.database);
        }
    }

    /// Counts what the round has done.
    pub fn end_round(&mut self, now_us: i64) {
        self.tally.end_round(&self.status);
        let refused = self.tokens.take_refused();
        if refused > 0 {
            self.status.metrics.counters.rejected.add(refused);
        }
        let summaries = &self.status.metrics.summaries;
        summaries.client_loop.count(now_us - self.now_us);
    }

    /// A request that came in at this time, elapsed milliseconds, is answered by the loop itself: in the round in
    /// which it came, as a rule, so that it shares the round's beginning with the others.
    pub fn note_answer(&mut self, op: OpCode, received_ms: i64) {
        let received_us = self.now_us - (self.now.elapsed_ms - received_ms) * 1_000;
        self.tally.answered(op, received_us, self.now_us, &self.status);
    }

    /// How many more requests may go inside, those counted that wait to go.
    pub fn room(&self) -> i64 {
        self.gate.room() - self.wishes.chain.len() as i64
    }

    /// The round as connections see it.
    pub fn round(&mut self) -> Round<'_> {
        let room = self.room();
        let hosting = self.serving.as_ref().map(|serving| Hosting {
            sessions: &serving.sessions,
            applied: serving.database.applied(),
            read_only: serving.state == ServerState::ReadOnly,
        });
        let (wishes, quiet, tokens) = (&mut self.wishes, &mut self.quiet, &mut self.tokens);
        Round {
            now: self.now,
            now_us: self.now_us,
            rules: &self.rules,
            hosting,
            room,
            wishes,
            quiet,
            tokens,
        }
    }

    /// Whether a connection may be told what this list protects, if one does. (NIOServerCnxn.process of 3.9.2)
    pub fn may_hear(&self, cnxn: Option<&Cnxn>, readers: Option<&[Acl]>) -> bool {
        let (Some(cnxn), Some(readers)) = (cnxn, readers) else {
            return true;
        };
        self.rules.auth.allows(readers, Perms::READ, cnxn.identities())
    }

    /// Tells that a connection is closed. Those without a session are a stranger's, and may be many.
    pub fn say_closed(&mut self, cnxn: &Cnxn) {
        let line = cnxn.closed_line();
        if cnxn.session() == SessionId(0) {
            let now_ms = self.now.elapsed_ms;
            self.quiet
                .say(Line::Closed, log::Level::Info, now_ms, format_args!("{line}"));
        } else {
            log::info!("{line}");
        }
    }

    /// The connection is gone: nobody waits there for changes any more.
    pub fn forget_watches(&self, conn: ConnId) {
        if let Some(database) = self.database.upgrade() {
            database.watches().remove(conn);
        }
    }
}
