//! Who watches the watchmen: each fault that is built in on purpose must make a checker cry.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use oxkeeper::seeded_fault::SeededFault;

use super::old_faults::{self, Scene};
use super::run;
use super::seeds::number;

/// Prints a table: the fault, the first world that shows it, and which checker cried. The worlds are those of the
/// scenarios (`old_faults`), then those of seeds from 1 on. `OXKEEPER_SIM_FAULT` plants one fault only;
/// `OXKEEPER_SIM_SEEDS` is how many seeds each has.
#[test]
fn every_seeded_fault_is_noticed() {
    let most = number("OXKEEPER_SIM_SEEDS").unwrap_or(300);
    let only = std::env::var("OXKEEPER_SIM_FAULT").ok();
    let wanted = |fault: &SeededFault| only.as_ref().is_none_or(|name| *name == fault.name());
    let mut survivors = Vec::new();
    println!("| fault | scenarios | seeds | noticed by |\n|---|---|---|---|");
    for fault in SeededFault::ALL.into_iter().filter(wanted) {
        let scenarios = scenarios_that_cry(fault);
        let (seeds, failure) = match first_cry(fault, most) {
            Some((seed, failure)) => (seed.to_string(), failure),
            None => {
                let failure = scenarios.first().map(|(_, failure)| failure.clone());
                let failure = failure.unwrap_or_else(|| {
                    survivors.push(fault);
                    "NOT NOTICED".to_owned()
                });
                (format!("none of {most}"), failure)
            }
        };
        let names: Vec<&str> = scenarios.iter().map(|(name, _)| *name).collect();
        let failure: String = failure.chars().take(LONGEST_CRY).collect();
        println!(
            "| {} | {} | {seeds} | {failure} |",
            fault.name(),
            names.join(", ")
        );
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

/// The scenarios in which a checker cries, and its first cry.
fn scenarios_that_cry(fault: SeededFault) -> Vec<(&'static str, String)> {
    let _planted = SeededFault::plant(Some(fault));
    let cry = |(name, scenes): (&'static str, Vec<Scene>)| {
        let failure = scenes
            .into_iter()
            .find_map(|scene| scene.play().failures.into_iter().next())?;
        Some((name, failure))
    };
    old_faults::all().into_iter().filter_map(cry).collect()
}

/// The first seed from which a checker cries, and its cry.
fn first_cry(fault: SeededFault, most: u64) -> Option<(u64, String)> {
    let next = AtomicU64::new(1);
    let first: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let work = || {
        let _planted = SeededFault::plant(Some(fault));
        loop {
            let seed = next.fetch_add(1, Relaxed);
            let is_known = first.lock().expect("the first cry").is_some();
            if seed > most || is_known {
                return;
            }
            if let Some(failure) = run::run(seed, false).failures.into_iter().next() {
                let mut first = first.lock().expect("the first cry");
                if first.as_ref().is_none_or(|(known, _)| seed < *known) {
                    *first = Some((seed, failure));
                }
            }
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    first.into_inner().expect("the first cry")
}

const LONGEST_CRY: usize = 110;
