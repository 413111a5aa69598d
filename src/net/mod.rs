//! Sockets: bytes to letters and back. What they mean is decided in the rooms below.
//!
//! `client_port` binds the port of the clients and runs the loop `NIOServerCxn.Factory`; the loop's parts are
//! `client_loop` (one round), `answers` (what it answers by itself), `acceptor` (new connections), `mailbox`
//! (letters to the loop), `table` (which connection is where), `throttle` (what waits for room inside), `greetings`
//! (whose TLS handshake goes on), `leaving` (what goes out, and the end of a connection) and `words` (what the four-letter words need to know). None of them but `client_port`
//! and `client_stream` knows whose sockets they are.
//!
//! `http_port` is an optional port for people and monitoring, on a poll of its own; `probe` asks other servers for
//! it.
//!
//! `election_port` has the sockets between servers for the election, `quorum_port` those between a leader and its
//! learners: blocking ones, a thread or two each. Before anything else is said on one, `quorum_tls` shakes hands and
//! `quorum_auth` authenticates, upon a `peer_channel`.

mod acceptor;
mod answers;
mod client_loop;
pub mod client_port;
mod client_stream;
mod desk;
pub mod election_port;
mod greetings;
pub mod http_port;
mod leaving;
mod mailbox;
mod peer_channel;
pub mod probe;
pub mod quorum_auth;
pub mod quorum_port;
pub mod quorum_streams;
pub mod quorum_tls;
mod table;
mod tally;
mod throttle;
mod words;

pub use acceptor::{Listener, Stream};
pub use client_loop::{ClientLoop, Signal};
pub use client_port::{BindError, ClientPort, PortConfig, PortLimits, PortTls};
pub use desk::Serves;
pub use election_port::{ElectionConfig, ElectionPort};
pub use mailbox::Mailbox;
