//! ContainerManager: looks every minute for containers that have lost their last child and for nodes whose time
//! to live is over, and asks for their removal. (ContainerManager of 3.9)
//!
//! Whether they may really go is judged when the request is prepared: a child may be on its way.

use std::convert::Infallible;
use std::sync::Arc;

use crate::proto::requests::PathOnly;
use crate::request::Request;
use crate::runtime::{Address, Flow, Now, Stage};
use crate::storage::Database;

/// When containers are looked for, and how many may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContainerRules {
    /// Milliseconds between two searches. (`znode.container.checkIntervalMs`)
    pub check_interval_ms: i64,
    /// So many may go in a minute. (`znode.container.maxPerMinute`)
    pub max_per_minute: i64,
    /// A container that has never had a child goes after so many milliseconds; 0 for never.
    /// (`znode.container.maxNeverUsedIntervalMs`)
    pub never_used_ms: i64,
}

/// The stage. Nobody writes to it; closing its inbox ends it.
#[derive(Debug)]
pub struct ContainerManager {
    rules: ContainerRules,
    database: Arc<Database>,
    chain: Address<Vec<Request>>,
    next_ms: i64,
}

impl ContainerManager {
    /// A stage that posts removals to the first processor of the chain; the first search comes an interval
    /// after `now`.
    pub fn new(
        rules: ContainerRules,
        database: Arc<Database>,
        chain: Address<Vec<Request>>,
        now: Now,
    ) -> ContainerManager {
        let next_ms = now.elapsed_ms.saturating_add(rules.check_interval_ms);
        ContainerManager {
            rules,
            database,
            chain,
            next_ms,
        }
    }

    fn search(&self, now: Now) {
        let mut left = (self.rules.max_per_minute * self.rules.check_interval_ms / MINUTE_MS).max(1);
        let mut from = Some(0);
        while let Some(begin) = from.filter(|_| left > 0) {
            // Writers get the tree between two handfuls.
            let (paths, next) =
                self.database
                    .read_tree()
                    .overdue(begin, HANDFUL, now.wall_ms, self.rules.never_used_ms);
            left -= paths.len() as i64;
            for path in &paths {
                log::info!("Attempting to delete candidate container: {path}");
            }
            let removal = |path: String| {
                let path = PathOnly { path: path.into() };
                Request::delete_container(&path, now.elapsed_ms)
            };
            if !paths.is_empty() {
                self.chain.post(paths.into_iter().map(removal).collect());
            }
            from = next;
        }
    }
}

impl Stage for ContainerManager {
    type In = Infallible;

    fn step(&mut self, _now: Now, letter: Infallible) -> Flow {
        match letter {}
    }

    fn quiet(&mut self, now: Now) -> Flow {
        if now.elapsed_ms >= self.next_ms {
            self.next_ms = now.elapsed_ms.saturating_add(self.rules.check_interval_ms);
            self.search(now);
        }
        Flow::Go
    }

    fn wake_at(&self) -> Option<i64> {
        Some(self.next_ms)
    }
}

const MINUTE_MS: i64 = 60_000;
/// So many nodes are looked at under one lock of the tree.
const HANDFUL: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::txn::{CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, Txn, TxnHeader};
    use crate::proto::{OpCode, SessionId, Xid, Zxid};
    use crate::request::Origin;
    use crate::runtime::Inbox;
    use crate::storage::CommittedLog;
    use crate::tree::DataTree;

    const RULES: ContainerRules = ContainerRules {
        check_interval_ms: 60_000,
        max_per_minute: 10_000,
        never_used_ms: 0,
    };

    #[test]
    fn what_has_lost_its_last_child_or_its_time_is_asked_to_go() {
        let mut tree = DataTree::new();
        apply(&mut tree, 1, &container("/used"));
        apply(&mut tree, 2, &container("/unused"));
        apply(&mut tree, 3, &container("/in use"));
        apply(&mut tree, 4, &child("/used/child"));
        apply(&mut tree, 5, &child("/in use/child"));
        apply(
            &mut tree,
            6,
            &Txn::Delete(DeleteTxn {
                path: "/used/child".into(),
            }),
        );
        apply(&mut tree, 7, &ttl("/short", 5_000));
        apply(&mut tree, 8, &ttl("/long", 500_000));
        apply(&mut tree, 9, &ttl("/parent", 5_000));
        apply(&mut tree, 10, &child("/parent/child"));
        assert_eq!(asked(RULES, tree), ["/short", "/used"]);
    }

    #[test]
    fn a_container_nobody_used_goes_if_the_operator_wants() {
        let mut tree = DataTree::new();
        apply(&mut tree, 1, &container("/unused"));
        let rules = |never_used_ms| ContainerRules {
            never_used_ms,
            ..RULES
        };
        assert_eq!(asked(rules(59_000), tree), ["/unused"]);
        let mut tree = DataTree::new();
        apply(&mut tree, 1, &container("/unused"));
        assert!(asked(rules(60_001), tree).is_empty());
    }

    #[test]
    fn only_so_many_go_in_a_minute() {
        let mut tree = DataTree::new();
        for number in 0..600 {
            apply(&mut tree, 1 + number, &ttl(&format!("/{number}"), 1));
        }
        let rules = ContainerRules {
            max_per_minute: 100,
            ..RULES
        };
        assert_eq!(asked(rules, tree).len(), HANDFUL);
    }

    fn asked(rules: ContainerRules, tree: DataTree) -> Vec<String> {
        let database = Arc::new(Database::new(tree, CommittedLog::new(10)));
        let (chain, inbox) = Inbox::new();
        let at = |ms| Now {
            elapsed_ms: ms,
            wall_ms: ms,
        };
        let mut stage = ContainerManager::new(rules, database, chain, at(0));
        assert_eq!(stage.wake_at(), Some(60_000));
        stage.quiet(at(59_999));
        assert!(inbox.try_take().is_none());
        stage.quiet(at(60_000));
        let mut paths = Vec::new();
        while let Some(requests) = inbox.try_take() {
            for request in requests {
                assert_eq!(
                    (request.op, request.origin),
                    (OpCode::DeleteContainer, Origin::Server)
                );
                let reader = crate::proto::Reader::new(&request.body);
                paths.push(reader.string_prefix().expect("a path").to_string());
            }
        }
        paths.sort();
        paths
    }

    fn apply(tree: &mut DataTree, zxid: i64, txn: &Txn<'_>) {
        let header = TxnHeader {
            session: SessionId(0),
            cxid: Xid(0),
            zxid: Zxid(zxid),
            time_ms: 0,
            op: txn.op().number(),
        };
        tree.apply(&header, txn, None);
    }

    fn container(path: &str) -> Txn<'static> {
        Txn::CreateContainer(CreateContainerTxn {
            path: path.to_owned().into(),
            data: None,
            acl: None,
            parent_cversion: 1,
        })
    }

    fn ttl(path: &str, ttl_ms: i64) -> Txn<'static> {
        Txn::CreateTtl(CreateTtlTxn {
            path: path.to_owned().into(),
            data: None,
            acl: None,
            parent_cversion: 1,
            ttl_ms,
        })
    }

    fn child(path: &str) -> Txn<'static> {
        Txn::Create(CreateTxn {
            path: path.to_owned().into(),
            data: None,
            acl: None,
            ephemeral: false,
            parent_cversion: 1,
        })
    }
}
