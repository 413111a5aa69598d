//! All nodes below one, parents first and siblings by name, with many requests under way.

use super::failure::Failure;
use super::session::Keeper;
use super::session::Pending;
use crate::proto::ErrorCode;

/// A walk. What changes meanwhile may be seen or not; what goes meanwhile is passed over.
pub struct TreeWalk<'a> {
    keeper: &'a Keeper,
    root: String,
    /// The next one last.
    waiting: Vec<(String, Option<Pending>)>,
}

impl<'a> TreeWalk<'a> {
    /// A walk from a node.
    pub fn begin(keeper: &'a Keeper, root: &str) -> TreeWalk<'a> {
        TreeWalk {
            keeper,
            root: root.to_owned(),
            waiting: vec![(root.to_owned(), None)],
        }
    }

    /// The next path.
    ///
    /// # Errors
    /// Those of reading children; a missing node is one only where the walk begins.
    pub fn next_path(&mut self) -> Result<Option<String>, Failure> {
        loop {
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
                    let children = names.iter().rev().map(|name| (format!("{below}/{name}"), None));
                    self.waiting.extend(children);
                    return Ok(Some(path));
                }
                Err(Failure::Server {
                    code: ErrorCode::NoNode,
                    ..
                }) if path != self.root => {}
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// So many requests are under way.
const WINDOW: usize = 128;
