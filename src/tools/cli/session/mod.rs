//! A client's session that outlives its connections: what [`SessionCore`] decides, [`Link`] carries out.

mod address;
mod core;
mod keeper;
mod link;
mod watches;

pub use address::ConnectString;
pub use core::{Login, Lost, SessionConfig, State, WatchedEvent};
pub use keeper::{Keeper, Pending};
