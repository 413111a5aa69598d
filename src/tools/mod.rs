//! What the scripts and the tests call besides the server.

pub mod client;
pub mod wire;
