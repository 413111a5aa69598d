//! Who watches the watchmen: each fault that is built in on purpose must make a checker cry.

use oxkeeper::seeded_fault::SeededFault;

use super::run;

/// Prints a table: the fault, after how many seeds it was noticed, and which checker cried.
#[test]
fn every_seeded_fault_is_noticed() {
    let most = std::env::var("OXKEEPER_SIM_SEEDS")
        .ok()
        .and_then(|count| count.parse().ok());
    let most = most.unwrap_or(300);
    let mut survivors = Vec::new();
    println!("{:<26} {:>5}  noticed by", "fault", "seeds");
    for fault in SeededFault::ALL {
        let _planted = SeededFault::plant(Some(fault));
        let cry = (1..=most).find_map(|seed| {
            let failure = run::run(seed, false).failures.into_iter().next()?;
            Some((seed, failure))
        });
        match cry {
            Some((seeds, failure)) => {
                let failure: String = failure.chars().take(110).collect();
                println!("{:<26} {seeds:>5}  {failure}", fault.name());
            }
            None => {
                println!("{:<26} {most:>5}  NOT NOTICED", fault.name());
                survivors.push(fault);
            }
        }
    }
    assert!(survivors.is_empty(), "not noticed: {survivors:?}");
}
