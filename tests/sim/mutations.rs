//! Who watches the watchmen: each fault that is built in on purpose must make a checker cry.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use oxkeeper::seeded_fault::SeededFault;

use super::old_faults;
use super::races;
use super::run;
use super::scene::Scene;
use super::seeds::number;

/// Prints a table: the fault, what shows it, and which checkers cry. The worlds are those of the scenarios
/// (`old_faults`, `races`), until one shows it, and those of seeds from 1 on. A fault is noticed if the checker that is
/// there for it cries, in a scenario or from a seed. `OXKEEPER_SIM_FAULT` plants one fault only; `OXKEEPER_SIM_SEEDS`
/// is how many seeds each has.
#[test]
fn every_seeded_fault_is_noticed() {
    let most = number("OXKEEPER_SIM_SEEDS").unwrap_or(60);
    let only = std::env::var("OXKEEPER_SIM_FAULT").ok();
    let wanted = |fault: &SeededFault| only.as_ref().is_none_or(|name| *name == fault.name());
    let mut survivors = Vec::new();
    println!("| fault | its checker | first scenario | first seed | who else cries |\n|---|---|---|---|---|");
    for fault in SeededFault::ALL.into_iter().filter(wanted) {
        let checker = checker_of(fault);
        let scenario = scenario_that_cries(fault, checker);
        let (seed, others) = seeds_that_cry(fault, checker, most);
        if seed.is_none() && scenario.is_none() {
            survivors.push(fault);
        }
        let seed = seed.map_or(format!("none of {most}"), |seed| seed.to_string());
        println!(
            "| {} | {checker} | {} | {seed} | {} |",
            fault.name(),
            scenario.unwrap_or("none"),
            others.into_iter().collect::<Vec<_>>().join(", ")
        );
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}

/// Who is there to notice a fault: the beginning of its cry.
fn checker_of(fault: SeededFault) -> &'static str {
    match fault {
        SeededFault::AckBeforeSync
        | SeededFault::AckNewLeaderBeforeSync
        | SeededFault::EpochBeforeSync
        | SeededFault::LastRecordLost => "nothing decided is lost",
        SeededFault::AcceptedInMemory => "promises last",
        SeededFault::HalfTreeKept | SeededFault::KeepNewerSnapshots | SeededFault::PzxidNotRestored => {
            "equal trees"
        }
        SeededFault::CversionByChildCount => "history: no number is given twice",
        SeededFault::SkipTruncate
        | SeededFault::DiffWithHole
        | SeededFault::CommitsSwapped
        | SeededFault::LeaderCountsTwice => "one history",
        SeededFault::MultiNotRolledBack => "history: versions rise with zxids",
        SeededFault::EphemeralsOutliveSession => "ephemerals die with their session",
        SeededFault::MoveUnnoticed | SeededFault::RequestForwardedTwice => {
            "requests happen once and in order"
        }
        SeededFault::SyncAnsweredAtOnce | SeededFault::SyncUnproven => {
            "history: a read after a sync shows the last write"
        }
        SeededFault::WatchLost | SeededFault::WatchSetAfterRead | SeededFault::ReadBeforeEvents => {
            "history: an event comes before its change is seen"
        }
        SeededFault::EndedRoleServes => "one history",
    }
}

/// The first scenario in which a checker cries.
fn scenario_that_cries(fault: SeededFault, checker: &str) -> Option<&'static str> {
    let all = old_faults::all().into_iter().chain(races::all()).enumerate();
    let waiting = Mutex::new(all.collect::<VecDeque<_>>());
    let first = Mutex::new(None);
    on_all_processors(fault, || {
        // Those before the one that is found are played to their ends.
        if first.lock().expect("the first").is_some() {
            return false;
        }
        let next = waiting.lock().expect("the scenarios").pop_front();
        let Some((index, (name, scenes))) = next else {
            return false;
        };
        let cries = |scene: Scene| scene.play().failures.iter().any(|cry| cry.starts_with(checker));
        if scenes.into_iter().any(cries) {
            let mut first = first.lock().expect("the first");
            *first = first.map_or(Some((index, name)), |known| Some((index, name).min(known)));
        }
        true
    });
    first.into_inner().expect("the first").map(|(_, name)| name)
}

/// The first seed from which a checker cries, and who else has cried until then.
fn seeds_that_cry(fault: SeededFault, checker: &str, most: u64) -> (Option<u64>, BTreeSet<String>) {
    let next = AtomicU64::new(1);
    let first = AtomicU64::new(u64::MAX);
    let others = Mutex::new(BTreeSet::new());
    on_all_processors(fault, || {
        let seed = next.fetch_add(1, Relaxed);
        if seed > most.min(first.load(Relaxed)) {
            return false;
        }
        for cry in run::run(seed, false).failures {
            if cry.starts_with(checker) {
                first.fetch_min(seed, Relaxed);
            } else {
                let who = cry
                    .splitn(3, ": ")
                    .take(1 + usize::from(cry.starts_with("history: ")));
                let who = who.collect::<Vec<_>>().join(": ");
                others.lock().expect("the others").insert(who);
            }
        }
        true
    });
    let first = Some(first.into_inner()).filter(|seed| *seed < u64::MAX);
    (first, others.into_inner().expect("the others"))
}

/// Does something with a fault again and again until it says that there is no more.
fn on_all_processors(fault: SeededFault, does_more: impl Fn() -> bool + Sync) {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(8);
    let work = || {
        let _planted = SeededFault::plant(Some(fault));
        while does_more() {}
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
}
