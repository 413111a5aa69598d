//! The command line of oxkeeper.

fn main() {}
