//! One test binary for all that needs more than one room of the house, or the whole program.

mod admin;
mod better;
#[path = "../checkers/mod.rs"]
mod checkers;
mod differential;
mod documents;
mod durability;
mod ensemble;
mod ensemble_script;
mod history;
mod hostile;
mod packaging;
mod rounds;
mod sasl;
mod scripts;
mod sessions;
mod support;
mod tidy;
mod tls;
mod wire;
