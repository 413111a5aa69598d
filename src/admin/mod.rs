//! What an operator sees over HTTP: figures for Prometheus, the commands of the admin server, the page.
//!
//! ```text
//! net::http_port ── Asked ──> Site ──> Page
//!                              ├─ MetricsSite   /metrics
//!                              └─ AdminSite     /commands/..., /health, /ready, /, what the page asks
//! net::probe ────── text ───> Members: what the others say of themselves
//! ```
//!
//! Invariants:
//! - A site only looks: at atomics, at the tree under its read lock for a few hundred nodes at a time, at the
//!   connections by a letter to the client loop. (Two commands set figures back to zero, as the words do.)
//! - The work of one request is bounded, whatever is asked. Long lists are cut, and say so.
//! - Nothing is told that a four-letter word does not tell, but what the tree browser shows if it is switched
//!   on: nodes that everybody may read. No digests, no passwords, no properties.

mod browse;
mod commands;
mod history;
pub mod http;
pub mod members;
mod monitor;
mod overview;
mod prometheus;
mod site;
mod sources;
mod survey;

pub use http::Site;
pub use members::Members;
pub use prometheus::MetricsSite;
pub use site::{AdminSite, SiteRules};
pub use sources::{Facts, Sources};
