//! Seeds, as many as there is time for.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use super::report;
use super::run;

#[test]
fn one_seed_is_one_history() {
    let (first, again) = (run::run(4, false), run::run(4, false));
    assert_eq!((first.hash, first.lines), (again.hash, again.lines));
}

/// By default some. `OXKEEPER_SIM_SEED` replays one seed, line by line;
/// `OXKEEPER_SIM_SEEDS` runs so many, `OXKEEPER_SIM_MINUTES` so long; `OXKEEPER_SIM_FROM` is the first one;
/// `OXKEEPER_SIM_FAILURES` is how many may fail before it ends.
#[test]
fn promises_hold_from_every_seed() {
    if let Some(seed) = number("OXKEEPER_SIM_SEED") {
        let outcome = run::run(seed, true);
        println!("steps {} hash {:016x}", outcome.steps, outcome.hash);
        assert!(outcome.failures.is_empty(), "{}", report::story(&outcome));
        return;
    }
    let minutes = number("OXKEEPER_SIM_MINUTES");
    let seeds = number("OXKEEPER_SIM_SEEDS").or(minutes.is_none().then_some(DEFAULT_SEEDS));
    let limit = minutes.map_or(Duration::MAX, |minutes| Duration::from_secs(60 * minutes));
    let from = number("OXKEEPER_SIM_FROM").unwrap_or(4);
    let next = AtomicU64::new(from);
    let last = seeds.map_or(u64::MAX, |count| from + count);
    let most_failed = number("OXKEEPER_SIM_FAILURES").unwrap_or(1);
    let failed = Mutex::new(Vec::new());
    let (virtual_ms, steps, decided) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let begin = Instant::now();
    let work = || {
        while (failed.lock().expect("the list").len() as u64) < most_failed && begin.elapsed() < limit {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= last {
                return;
            }
            let outcome = run::run(seed, false);
            virtual_ms.fetch_add(outcome.virtual_ms, Relaxed);
            steps.fetch_add(outcome.steps, Relaxed);
            decided.fetch_add(outcome.decided as u64, Relaxed);
            if !outcome.failures.is_empty() {
                println!("{}", report::story(&outcome));
                failed.lock().expect("the list").push(seed);
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let took_s = begin.elapsed().as_secs_f64();
    println!(
        "{} seeds from {from}: {:.1} virtual hours, {} transactions, {} steps in {took_s:.0} s, {:.0} steps/s",
        next.load(Relaxed).min(last) - from,
        virtual_ms.load(Relaxed) as f64 / 3_600_000.0,
        decided.load(Relaxed),
        steps.load(Relaxed),
        steps.load(Relaxed) as f64 / took_s,
    );
    let failed = failed.into_inner().expect("the list");
    assert!(
        failed.is_empty(),
        "promises were broken from these seeds: {failed:?}"
    );
}

pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
    )
}

/// About half a minute with two processors, or as little in a build without optimisation.
const DEFAULT_SEEDS: u64 = if cfg!(debug_assertions) { 3 } else { 60 };
