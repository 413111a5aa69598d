//! What is done with bytes that anybody may send or leave on a disk, one function for each place where they come
//! in. A function that returns has found nothing: it panics if one of its rules is broken.
//!
//! They live once and run twice: under `tests/fuzz/driver.rs`, in every test run, and under a fuzzer that is
//! guided by coverage (`scripts/fuzz.sh`).

mod client;
mod files;
mod texts;
mod tls;
mod wire;
mod zab;

/// One place where bytes come in.
pub struct Target {
    /// Its name, which is that of its corpus, too.
    pub name: &'static str,
    /// Takes the bytes.
    pub run: fn(&[u8]),
    /// How long an input may be, bytes.
    pub longest: usize,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    target("client", client::any_cut, 4096),
    target("requests", client::requests, 4096),
    target("records", wire::records, 1024),
    target("txn", wire::txn, 1024),
    target("notification", wire::notification, 128),
    target("greeting", wire::greeting, 2200),
    target("packet", wire::packets, 4096),
    target("election", zab::election, 2048),
    target("learner", zab::learner, 4096),
    target("leader", zab::leader, 4096),
    target("tree", files::tree, 4096),
    target("tree_stream", files::tree_stream, 4096),
    target("snapshot", files::snapshot, 4096),
    target("log", files::log, 4096),
    target("damage", files::damage, 64),
    target("epochs", files::epochs, 64),
    target("zoo_cfg", texts::zoo_cfg, 2048),
    target("properties", texts::properties, 1024),
    target("args", texts::args, 512),
    target("auth", texts::auth, 512),
    target("sasl", texts::sasl, 1024),
    target("tls_stream", tls::tls_stream, 2048),
    target("certificate", tls::certificate, 2048),
];

const fn target(name: &'static str, run: fn(&[u8]), longest: usize) -> Target {
    Target { name, run, longest }
}

/// The target of a name.
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Does something with `bytes` that must not take much more memory than they are: some records are larger in memory
/// than on the wire, and some buffers have a first size.
fn frugal<R>(bytes: usize, act: impl FnOnce() -> R) -> R {
    sparing(bytes, FIRST_BYTES, act)
}

/// As [`frugal`], where more is taken whatever comes.
fn sparing<R>(bytes: usize, first_bytes: u64, act: impl FnOnce() -> R) -> R {
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(act())).bytes_max;
    let bound = bytes as u64 * TIMES + first_bytes;
    assert!(
        taken <= bound,
        "{bytes} bytes make it take {taken} bytes of memory, more than {bound}"
    );
    result.expect("what was measured has run")
}

const TIMES: u64 = 48;
const FIRST_BYTES: u64 = 64 << 10;
