//! A server that has lost its quorum for a while and still may be read from. (ReadOnlyZooKeeperServer)

use std::sync::Arc;

use crate::processors::final_processor::FinalLinks;
use crate::processors::{Chain, start_read_only};
use crate::request::{ServerState, Serving, Sessions};
use crate::runtime::{Halt, Now, Runtime};

use super::ground::{Ground, must_have_ended};
use super::leading::server_byte;

/// What serves while there is no leader.
pub(super) struct ReadOnly {
    chain: Chain,
}

impl ReadOnly {
    /// Opens the gate to those who allow it. Sessions that the tree knows can be renewed; what becomes of any session
    /// here, the tree does not hear.
    pub fn start<R: Runtime>(ground: &Ground, runtime: &R, now: Now) -> ReadOnly {
        let known: Vec<_> = ground.database.read_tree().sessions().collect();
        let sessions = Sessions::new(server_byte(ground.rules.me), ground.rules.tick_ms, known, now);
        let sessions = Arc::new(sessions);
        let links = FinalLinks {
            database: Arc::clone(&ground.database),
            sessions: Arc::clone(&sessions),
            auth: Arc::clone(&ground.auth),
            clients: ground.clients.clone(),
        };
        let chain = start_read_only(runtime, ground.rules.me.0, links, Arc::clone(&ground.status));
        ground.gate.open(Serving {
            chain: chain.first.clone(),
            database: Arc::clone(&ground.database),
            sessions,
            state: ServerState::ReadOnly,
        });
        log::info!("Read-only server started");
        ReadOnly { chain }
    }

    /// There is a leader, or the process ends: its clients look for a server once more.
    pub fn end(self, ground: &Ground) -> Result<(), Halt> {
        log::info!("shutting down");
        ground.gate.close();
        must_have_ended(self.chain.end())?;
        ground.settle()
    }
}
