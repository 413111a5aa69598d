//! The machine: stages, threads, time, files, the end. This room knows nothing of ZooKeeper.
//!
//! A component is a [`Stage`]: a value with an inbox. Production gives each stage one named OS thread
//! ([`threads::Threads`]); a simulator gives the same stages to one seeded scheduler. Either is a [`Runtime`].
//!
//! Invariant: nothing above this room (but `net/`) starts a thread, reads a clock or opens a file by itself.

pub mod disk;
pub mod inbox;
pub mod machine;
pub mod mem_disk;
pub mod meter;
pub mod os_disk;
pub mod shutdown;
pub mod stage;
pub mod threads;
pub mod time;

pub use disk::{Disk, DiskFile};
pub use inbox::{Inbox, Taken};
pub use mem_disk::{Crash, Fault, MemDisk};
pub use meter::{Meter, Metered, StageMeter};
pub use os_disk::OsDisk;
pub use shutdown::{ExitCode, Halt};
pub use stage::{Address, Crew, Flow, Member, Post, Runtime, Stage};
pub use threads::Threads;
pub use time::{Clock, Now, OsClock};
