//! One server: built from a configuration, run, and ended.

pub mod logging;
