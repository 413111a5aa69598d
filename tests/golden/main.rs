//! Golden scripts of the values that decide: see `runner.rs`, and the files in `tests/scripts`. Those of the election
//! are played where its world is, in `src/zab/election_tests`.

mod commit;
mod prep;
mod runner;
mod sessions;
mod tree;
mod words;
mod zab;
