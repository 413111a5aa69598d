//! Runs every target of `targets/` on its corpus and on mutations of it, with a stable compiler: a fixed number of
//! inputs from a fixed seed, so that a failure fails again.
//!
//! ```text
//! cargo test --release --test fuzz packet
//! FUZZ_SEED=7 FUZZ_RUNS=1000000 cargo test --release --test fuzz -- --nocapture
//! FUZZ_INPUT=tests/fuzz/artifacts/packet-0123abcd cargo test --test fuzz packet
//! ```
//!
//! An input that breaks a rule is left in `tests/fuzz/artifacts`; once mended, it is kept in the corpus.

mod mutate;
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mutate::Mutator;
use targets::{TARGETS, Target};

/// One test for each target, so that they run side by side and each can be named.
macro_rules! tests {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            fuzz(targets::named(stringify!($name)).expect("the name of a target"));
        })*

        #[test]
        fn every_target_is_run() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

tests! {
    client requests records txn notification greeting packet election learner leader tree tree_stream snapshot log
    damage epochs zoo_cfg properties args auth sasl tls_stream certificate
}

fn fuzz(target: &Target) {
    if let Some(input) = std::env::var_os("FUZZ_INPUT") {
        return (target.run)(&fs::read(input).expect("the input"));
    }
    let corpus = corpus(target.name);
    assert!(!corpus.is_empty(), "{} has no corpus", target.name);
    for (path, bytes) in &corpus {
        eprintln!("{}", path.display());
        (target.run)(bytes);
    }
    let inputs = corpus.into_iter().map(|(_, bytes)| bytes).collect();
    let seed = number("FUZZ_SEED").unwrap_or(1);
    let mut mutator = Mutator::new(inputs, target.longest, seed);
    let runs = number("FUZZ_RUNS").unwrap_or(RUNS);
    for run in 0..runs {
        let input = mutator.next_input();
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        if outcome.is_err() {
            let path = keep(target.name, input);
            panic!(
                "{}, run {run} of seed {seed}: the input is in {}",
                target.name,
                path.display()
            );
        }
    }
    println!("{}: {runs} mutations of seed {seed}", target.name);
}

/// The inputs of a target's corpus, by name.
fn corpus(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = fuzz_dir().join("corpus").join(name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("an input");
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

fn keep(name: &str, input: &[u8]) -> PathBuf {
    let dir = fuzz_dir().join("artifacts");
    let sum = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let path = dir.join(format!("{name}-{sum:016x}"));
    fs::create_dir_all(&dir)
        .and_then(|()| fs::write(&path, input))
        .expect("a place for the input");
    path
}

fn fuzz_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

/// For each target: a second or two. A debug build is slower, but notices integers that overflow.
const RUNS: u64 = if cfg!(debug_assertions) { 1_000 } else { 50_000 };
