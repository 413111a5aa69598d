//! Who watches the watchmen: each fault that is built in on purpose must make a checker cry.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use oxkeeper::seeded_fault::SeededFault;

use super::run;
use super::seeds::number;

/// Prints a table: the fault, the first seed from 1 on that shows it, and which checker cried.
/// `OXKEEPER_SIM_FAULT` plants one fault only; `OXKEEPER_SIM_SEEDS` is how many seeds each has.
#[test]
fn every_seeded_fault_is_noticed() {
    let most = number("OXKEEPER_SIM_SEEDS").unwrap_or(300);
    let only = std::env::var("OXKEEPER_SIM_FAULT").ok();
    let wanted = |fault: &SeededFault| only.as_ref().is_none_or(|name| *name == fault.name());
    let mut survivors = Vec::new();
    println!("| fault | seeds | noticed by |\n|---|---|---|");
    for fault in SeededFault::ALL.into_iter().filter(wanted) {
        match first_cry(fault, most) {
            Some((seed, failure)) => {
                let failure: String = failure.chars().take(LONGEST_CRY).collect();
                println!("| {} | {seed} | {failure} |", fault.name());
            }
            None => {
                println!("| {} | {most} | NOT NOTICED |", fault.name());
                survivors.push(fault);
            }
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
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
