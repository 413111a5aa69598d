//! What the scripts and the tests call besides the server.

pub mod bench;
pub mod client;
pub mod purge;
pub mod wire;
