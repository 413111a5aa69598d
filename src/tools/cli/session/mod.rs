//! A client's session that outlives its connections: what [`SessionCore`] decides, [`Link`] carries out.

mod address;
mod core;
mod keeper;
mod link;
mod state;
mod watches;

pub use address::ConnectString;
pub use core::{Login, SessionConfig};
pub use keeper::{Keeper, Pending};
pub use state::{Lost, State, WatchedEvent};
