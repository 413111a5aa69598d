//! All nodes below one, in the order of ZKUtil.visitSubTreeDFS of 3.6: a node's children by name, then what is below
//! each of them. Many requests are under way.

use std::collections::VecDeque;

use super::failure::Failure;
use super::session::Keeper;
use super::session::Pending;
use crate::proto::ErrorCode;

/// A walk. What changes meanwhile may be seen or not; what goes meanwhile is passed over.
pub struct TreeWalk<'a> {
    keeper: &'a Keeper,
    root: String,
    /// Whose children are to be asked for; the next one last.
    waiting: Vec<(String, Option<Pending>)>,
    /// What is to be told before.
    found: VecDeque<String>,
}

impl<'a> TreeWalk<'a> {
    /// A walk from a node.
    pub fn begin(keeper: &'a Keeper, root: &str) -> TreeWalk<'a> {
        TreeWalk {
            keeper,
            root: root.to_owned(),
            waiting: vec![(root.to_owned(), None)],
            found: VecDeque::new(),
        }
    }

    /// The next path.
    ///
    /// # Errors
    /// Those of reading children; a missing node is one only where the walk begins.
    pub fn next_path(&mut self) -> Result<Option<String>, Failure> {
        while self.found.is_empty() {
            // Those are asked for now whose turn comes next.
            for (path, pending) in self.waiting.iter_mut().rev().take(WINDOW) {
                if pending.is_none() {
                    *pending = Some(self.keeper.start_children(path)?);
                }
            }
            let Some((path, Some(pending))) = self.waiting.pop() else {
                return Ok(None);
            };
            match self.keeper.finish_children(pending) {
                Ok(names) => {
                    let below = if path == "/" { "" } else { path.as_str() };
                    let children: Vec<String> = names.iter().map(|name| format!("{below}/{name}")).collect();
                    self.waiting
                        .extend(children.iter().rev().map(|path| (path.clone(), None)));
                    self.found.extend((path == self.root).then_some(path));
                    self.found.extend(children);
                }
                Err(Failure::Server {
                    code: ErrorCode::NoNode,
                    ..
                }) if path != self.root => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(self.found.pop_front())
    }
}

/// So many requests are under way.
const WINDOW: usize = 128;
