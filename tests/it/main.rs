//! One test binary for all that needs more than one room of the house, or the whole program.

mod better;
mod differential;
mod durability;
mod ensemble;
mod hostile;
mod rounds;
mod scripts;
mod sessions;
mod support;
mod tidy;
mod wire;
