//! What the scripts and the tests call besides the server.

pub mod bench;
pub mod cli;
pub mod client;
pub mod files;
pub mod output;
pub mod purge;
pub mod rounds;
pub mod stream;
pub mod wire;
