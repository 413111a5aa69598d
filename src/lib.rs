//! oxkeeper: a coordination service that speaks Apache ZooKeeper 3.4.14 at every boundary.
//!
//! The house has floors; a room uses only the floors below it. `ARCHITECTURE.md` is the map.

pub mod admin;
pub mod args;
pub mod auth;
pub mod clients;
pub mod config;
pub mod ensemble;
pub mod net;
pub mod processors;
pub mod proto;
pub mod quorum;
pub mod request;
pub mod runtime;
pub mod sasl;
pub mod seeded_fault;
pub mod server;
pub mod storage;
pub mod tls;
pub mod tools;
pub mod tree;
pub mod zab;
