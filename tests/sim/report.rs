//! What a failing run shows: the seed, the plan of faults, the table of state changes, and how to see it again.

use std::fmt::Write;

use super::run::Outcome;

/// The story of a run that has failed.
pub fn story(outcome: &Outcome) -> String {
    let mut text = String::new();
    let Outcome {
        seed,
        shape,
        plan,
        lines,
        failures,
        ..
    } = outcome;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "seed {seed}: {shape:?}\nplan of faults:\n{plan}");
    let _ = writeln!(text, "state changes (ms of virtual time, who, what):");
    let from = lines.len().saturating_sub(LONGEST_TABLE);
    if from > 0 {
        let _ = writeln!(text, "  ... {from} lines before");
    }
    for line in &lines[from..] {
        let _ = writeln!(text, "{}", cut(line));
    }
    for failure in failures.iter().take(MOST_FAILURES) {
        let _ = writeln!(text, "{}", cut(failure));
    }
    let _ = writeln!(text, "again: scripts/simulate.sh --seed {seed}");
    text
}

fn cut(line: &str) -> String {
    line.chars().take(LONGEST_LINE).collect()
}

const LONGEST_TABLE: usize = 120;
const LONGEST_LINE: usize = 800;
const MOST_FAILURES: usize = 6;
