//! One test binary for all that needs more than one room of the house.

mod scripts;
mod server;
mod sessions;
mod tidy;
mod wire;
