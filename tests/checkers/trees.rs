//! Equal trees: of two servers at rest, each node is the same in every field.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::{Violation, violation};

/// Compares what servers show, by their numbers.
pub fn check<N: PartialEq + Debug>(trees: &BTreeMap<usize, BTreeMap<String, N>>) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut servers = trees.iter();
    let Some((first, expected)) = servers.next() else {
        return found;
    };
    for (server, tree) in servers {
        let paths = expected
            .keys()
            .chain(tree.keys().filter(|path| !expected.contains_key(*path)));
        for path in paths {
            let (here, there) = (expected.get(path), tree.get(path));
            if here != there {
                let story = format!("{path} is {here:?} on server {first} and {there:?} on server {server}");
                violation(&mut found, "all servers have one tree", story);
            }
        }
    }
    found
}
