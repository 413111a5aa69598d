//! The figures of a serving server, gathered from all corners.

use crate::request::{Gate, Serving, Status};
use crate::runtime::machine::{max_open_files, open_files};

use super::word_answers::Figures;

impl Figures {
    /// Looks at everything, the tree and the watches under one lock.
    pub fn gather(serving: &Serving, gate: &Gate, status: &Status) -> Figures {
        let tree = serving.database.read_tree();
        let watches = serving.database.watches().count();
        Figures {
            state: serving.state,
            latencies: status.latencies(),
            received: status.packets_received(),
            sent: status.packets_sent(),
            connections: status.connections(),
            outstanding: gate.in_process(),
            zxid: tree.last_zxid(),
            nodes: tree.node_count(),
            watches,
            ephemerals: tree.ephemerals_count(),
            data_bytes: tree.approximate_data_size(),
            open_files: open_files().map(|open| (open, max_open_files())),
            slow_fsyncs: status.slow_fsyncs(),
            learners: status.learners(),
        }
    }
}
