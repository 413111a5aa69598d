//! One target of `targets/`, under libFuzzer: the one that `FUZZ_TARGET` names.

#![no_main]

mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));

static TARGET: LazyLock<&targets::Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").unwrap_or_default();
    targets::named(&name).unwrap_or_else(|| {
        let names: Vec<&str> = targets::TARGETS.iter().map(|target| target.name).collect();
        panic!("FUZZ_TARGET={name:?} is none of {}", names.join(" "))
    })
});
