//! The simulator: a whole ensemble in one thread, from one seed. `scripts/simulate.sh` runs it for longer.
//!
//! ```text
//! seed ──> shape, plan of faults, workload
//!   world    one step of one stage, one event of the network or one question of a client after another
//!   server   production's assembly (server::replicated, server::standalone) upon a simulated machine:
//!            sched (threads), time (clocks), disk (files), election, quorum_port and door (sockets over net)
//!   client   sessions that ask, hear and move; faults: the hand that carries out the plan
//!   scene    worlds that are set up for something to happen: the old faults, races
//!   check    what must hold at every step;  checkers  what clients were promised
//! ```

mod check;
#[path = "../checkers/mod.rs"]
mod checkers;
mod client;
mod disk;
mod door;
mod election;
mod faults;
mod flip;
#[cfg(feature = "seeded-faults")]
mod mutations;
mod net;
mod old_faults;
mod plan;
mod quorum_port;
mod races;
mod report;
mod rng;
mod run;
mod scene;
mod sched;
mod seeds;
mod server;
mod shape;
mod sweep;
mod talk;
mod time;
mod trace;
mod workload;
mod world;
