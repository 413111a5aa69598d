//! Random transactions, prepared as a leader prepares them: checked against the tree, an error where they
//! cannot be done. Few names, so that they meet; a seed gives the same ones again.

use super::*;
use crate::proto::txn::LoggedTxn;

/// A small generator of numbers that look random. (xorshift64*)
pub(super) struct Dice(u64);

/// A tree that grows by random transactions, and their log.
pub(super) struct Workload {
    pub dice: Dice,
    pub tree: DataTree,
    pub log: Vec<LoggedTxn>,
    /// Whether sessions end. (What that does to parents is not in the log; see the tests of fuzzy snapshots.)
    pub sessions_end: bool,
    next_session: i64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }

    pub(super) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

impl Workload {
    pub(super) fn new(seed: u64) -> Workload {
        let mut workload = Workload {
            dice: Dice::new(seed),
            tree: DataTree::new(),
            log: Vec::new(),
            sessions_end: true,
            next_session: 1,
        };
        for path in ["/a", "/zookeeper/quota/a"] {
            workload.apply(0, create(path, b"", false, 1));
        }
        for path in [
            "/zookeeper/quota/a/zookeeper_limits",
            "/zookeeper/quota/a/zookeeper_stats",
        ] {
            workload.apply(0, create(path, b"count=1,bytes=1", false, 1));
        }
        workload
    }

    /// Makes and applies one transaction.
    pub(super) fn step(&mut self) {
        let session = 1 + self.dice.below(self.next_session as usize) as i64;
        match self.dice.below(30) {
            0 => {
                self.apply(self.next_session, Txn::CreateSession(4000));
                self.next_session += 1;
            }
            1 if self.sessions_end => self.apply(session, Txn::CloseSession),
            2..=4 => self.step_multi(session),
            _ => {
                let zxid = self.next_zxid();
                let txn = self.prepare(zxid);
                self.apply(session, txn);
            }
        }
    }

    /// Replays the log behind a transaction onto another tree.
    pub(super) fn replay(&self, tree: &mut DataTree) {
        let since = tree.last_zxid();
        for logged in self.log.iter().filter(|logged| logged.zxid() > since) {
            tree.apply(logged.header(), &logged.txn().expect("made here"), None);
        }
    }

    fn next_zxid(&self) -> Zxid {
        self.tree.last_zxid().next()
    }

    fn apply(&mut self, session: i64, txn: Txn<'_>) {
        let zxid = self.next_zxid();
        let header = TxnHeader {
            session: SessionId(session),
            cxid: Xid(1),
            zxid,
            time_ms: 1000 + zxid.0,
            op: txn.op().number(),
        };
        self.log.push(LoggedTxn::new(header, &txn));
        self.tree.apply(&header, &txn, None);
    }

    /// Two parts on different nodes, so that neither has to know of the other.
    fn step_multi(&mut self, session: i64) {
        let zxid = self.next_zxid();
        let (first, second) = (self.prepare(zxid), self.prepare(zxid));
        let apart = |path: &str, other: &str| !path.starts_with(other) && !other.starts_with(path);
        let parents_differ =
            |a: &str, b: &str| path::split(a).map(|at| at.0) != path::split(b).map(|at| at.0);
        let fits = match (path_of(&first), path_of(&second)) {
            (Some(a), Some(b)) => apart(a, b) && parents_differ(a, b),
            _ => true,
        };
        let is_part = |txn: &Txn<'_>| !matches!(txn, Txn::SetAcl(_));
        if fits && is_part(&first) && is_part(&second) {
            let parts = vec![part(&first), part(&second)];
            self.apply(session, Txn::Multi(parts));
        }
    }

    /// A change of one node, or the error of one that cannot be.
    fn prepare(&mut self, zxid: Zxid) -> Txn<'static> {
        let path = self.path();
        let data = vec![b'x'; self.dice.below(40)].leak();
        let data = (!self.dice.one_in(8)).then_some(&*data);
        let acl = (!self.dice.one_in(8)).then(|| acl_number(self.dice.below(6), zxid));
        let kind = self.dice.below(10);
        let node = self.tree.get(&path);
        let parent = path::split(&path).and_then(|(parent, _)| self.tree.get(parent));
        match (kind, node, parent) {
            (0..=4, None, Some(parent)) if parent.stat().ephemeral_owner == 0 => Txn::Create(CreateTxn {
                parent_cversion: parent.stat().cversion + 1,
                path: path.into(),
                data,
                acl,
                ephemeral: kind == 0,
            }),
            (5..=6, Some(node), _) if node.child_count() == 0 => Txn::Delete(DeleteTxn { path: path.into() }),
            (7 | 0..=1, Some(node), _) => Txn::SetData(SetDataTxn {
                version: node.stat().version + 1,
                path: path.into(),
                data,
            }),
            (8, Some(node), _) => Txn::SetAcl(SetAclTxn {
                version: node.stat().aversion + 1,
                path: path.into(),
                acl,
            }),
            (9, Some(node), _) => Txn::Check(CheckVersionTxn {
                version: node.stat().version + 1,
                path: path.into(),
            }),
            _ => Txn::Error(ErrorCode::NoNode.number()),
        }
    }

    /// Up to four levels of three names, below `/a` (which has a quota) or beside it.
    fn path(&mut self) -> String {
        let mut path = self.dice.pick(&["/a", "/a", "", "/b"]).to_string();
        for _ in 0..=self.dice.below(4) {
            path.push('/');
            path.push_str(self.dice.pick(&["x", "yy", "z€"]));
        }
        path
    }
}

fn path_of<'a>(txn: &'a Txn<'_>) -> Option<&'a str> {
    match txn {
        Txn::Create(txn) => Some(&txn.path),
        Txn::Delete(txn) => Some(&txn.path),
        Txn::SetData(txn) => Some(&txn.path),
        Txn::SetAcl(txn) => Some(&txn.path),
        Txn::Check(txn) => Some(&txn.path),
        _ => None,
    }
}

/// A few lists that come again, and some that nobody had before.
fn acl_number(number: usize, zxid: Zxid) -> Vec<Acl> {
    let name = match number {
        0 => format!("user{zxid}"),
        number => format!("user{number}"),
    };
    vec![Acl::new(Perms(1 + number as i32), "digest", name)]
}
