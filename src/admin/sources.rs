//! Where the figures come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::auth::Auth;
use crate::ensemble::{Ensemble, Member, Role};
use crate::proto::Sid;
use crate::request::connections::{ConnectionInfo, ConnectionReport};
use crate::request::{ClientLetter, Clients, Gate, Status};
use crate::runtime::{Address, Disk};
use crate::storage::Dirs;

/// What does not change while the server runs.
#[derive(Debug, Clone)]
pub struct Facts {
    /// This server in its ensemble, unless it stands alone.
    pub my_id: Option<Sid>,
    /// All members.
    pub ensemble: Option<Ensemble>,
    /// The port of the clients.
    pub client_port: u16,
    /// `version-2` of snapshots.
    pub data_dir: PathBuf,
    /// `version-2` of logs.
    pub data_log_dir: PathBuf,
    /// A tick.
    pub tick_ms: i32,
    /// Connections allowed from one address.
    pub max_client_cnxns: i32,
    /// The least session timeout.
    pub min_session_timeout_ms: i32,
    /// The largest session timeout.
    pub max_session_timeout_ms: i32,
    /// `initLimit` and `syncLimit`, of a member.
    pub limits: Option<(i32, i32)>,
    /// What `envi` tells.
    pub environment: Vec<(&'static str, String)>,
    /// When the server began, elapsed milliseconds.
    pub started_ms: i64,
}

/// The server, as those see it who watch it.
#[derive(Clone)]
pub struct Sources {
    /// What does not change.
    pub facts: Arc<Facts>,
    /// What serves.
    pub gate: Arc<Gate>,
    /// Figures.
    pub status: Arc<Status>,
    /// The client loops.
    pub clients: Clients,
    /// The rules of access.
    pub auth: Arc<Auth>,
    /// Where files are.
    pub disk: Arc<dyn Disk>,
    /// In which directories.
    pub dirs: Dirs,
}

impl Facts {
    /// This server's entry in the list.
    pub fn me(&self) -> Option<&Member> {
        self.ensemble.as_ref()?.member(self.my_id?)
    }

    /// Whether this server has a vote.
    pub fn votes(&self) -> bool {
        self.me().is_some_and(|me| me.role == Role::Participant)
    }
}

impl Sources {
    /// The connections, piece by piece; `true` if there are more than `most`, or a loop has not answered.
    pub fn connections(&self, most: usize) -> (Vec<ConnectionInfo>, bool) {
        let mut all = Vec::new();
        for index in 0..self.clients.count() {
            let mut from = Some(0);
            while let Some(at) = from {
                let Some(piece) = self.ask_loop(index, at) else {
                    return (all, true);
                };
                all.extend(piece.connections);
                from = piece.next;
                if all.len() > most {
                    all.truncate(most);
                    return (all, true);
                }
            }
        }
        (all, false)
    }

    fn ask_loop(&self, index: usize, from: usize) -> Option<ConnectionReport> {
        let (sender, answer) = bounded(1);
        let report = Address::new(sender);
        self.clients.post(index, ClientLetter::Describe { from, report });
        answer.recv_timeout(LOOP_PATIENCE).ok()
    }
}

/// A loop that takes longer has something better to do.
const LOOP_PATIENCE: Duration = Duration::from_millis(500);
