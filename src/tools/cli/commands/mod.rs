//! What the commands do, by kind. `table.rs` names them.

pub mod own;
pub mod quota;
pub mod read;
pub mod write;
