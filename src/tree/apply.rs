//! One transaction makes the next state. (DataTree.processTxn, FileTxnSnapLog.processTransaction)
//!
//! A transaction may meet a tree that has it already: a snapshot of Java's holds effects of transactions
//! that its log holds too. So a node that exists is left as it is, a node that is missing is not missed, a
//! node that was made later than a transaction is not the one that the transaction means, and what counts a
//! parent's changes is raised to what the transaction says but never lowered (ZOOKEEPER-3125, 3249). In
//! order, each once, the results are those of 3.4.14 to the letter.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::data_tree::DataTree;
use super::digest::Side;
use super::node::Node;
use super::path::split;
use crate::proto::multi::MultiResult;
use crate::proto::txn::{SetAclTxn, SetDataTxn, SubTxn, Txn, TxnHeader};
use crate::proto::{
    Acl, Decode, ErrorCode, Lifetime, Malformed, OpCode, Reader, SessionId, Stat, StatPersisted, Zxid,
};
use crate::seeded_fault::SeededFault;

/// What a transaction did: all that its reply says. (DataTree.ProcessTxnResult)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied<'a> {
    /// How it went: the error of an error transaction; of a multi that of the first part that has one.
    pub error: ErrorCode,
    /// The node it was about.
    pub path: Option<&'a str>,
    /// The node's stat afterwards, of create, setData and setACL.
    pub stat: Option<Stat>,
    /// The results of a multi's parts, in order; a node that was made has its stat, asked for or not.
    pub multi: Vec<MultiResult<'a>>,
}

/// What watches may wait for. They come in the order in which 3.4.14 fires watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node was made; its parent has a child more.
    Created(Arc<str>),
    /// A node was removed; its parent has a child less.
    Deleted(Arc<str>),
    /// A node's data was replaced.
    DataChanged(Arc<str>),
}

/// A change, and whom it may be told where somebody asks: watches that stay tell nobody who could not have read.
/// (ServerWatcher.process of 3.9.2)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guarded {
    /// The change.
    pub change: Change,
    /// The node's list.
    pub acl: Arc<[Acl]>,
    /// Its parent's.
    pub parent_acl: Arc<[Acl]>,
}

/// A node that a transaction makes, whatever its kind.
struct NewNode<'t> {
    path: &'t str,
    data: Option<&'t [u8]>,
    acl: Option<&'t [Acl]>,
    lifetime: Lifetime,
    parent_cversion: i32,
}

/// Where changes are noted, or `None` if nobody watches: a replay.
pub type Changes<'c> = Option<&'c mut Vec<Guarded>>;

impl DataTree {
    /// Applies one transaction. Failures are results: whatever is proposed was checked before, but for what
    /// a replay meets twice.
    pub fn apply<'a>(
        &mut self,
        header: &TxnHeader,
        txn: &'a Txn<'a>,
        mut changes: Changes<'_>,
    ) -> Applied<'a> {
        let mut applied = self.apply_parts(header, txn, &mut changes);
        if self.last_zxid < header.zxid {
            self.last_zxid = header.zxid;
        }
        self.note_digest(header.zxid);
        if applied.error != ErrorCode::Ok {
            applied.stat = None;
        }
        applied
    }

    /// Ends a session without a transaction: those whose ephemerals a snapshot holds but not themselves.
    /// (ZooKeeperServer.loadData)
    pub fn kill_session(&mut self, session: SessionId, zxid: Zxid, mut changes: Changes<'_>) {
        self.sessions.remove(&session);
        if SeededFault::EphemeralsOutliveSession.on() {
            return;
        }
        for path in self.ephemerals_of(session) {
            log::debug!("Deleting ephemeral node {path} for session {session}");
            if self.delete(&path, zxid, &mut changes).is_err() {
                log::warn!(
                    "Ignoring NoNodeException for path {path} while removing ephemeral for dead session {session}"
                );
            }
        }
        // Another session of the same number may have come, and its ephemerals with it.
        if self.ephemerals.get(&session).is_some_and(BTreeSet::is_empty) {
            self.ephemerals.remove(&session);
        }
    }

    fn apply_parts<'a>(
        &mut self,
        header: &TxnHeader,
        txn: &'a Txn<'a>,
        changes: &mut Changes<'_>,
    ) -> Applied<'a> {
        match txn {
            Txn::CreateSession(timeout_ms) => {
                self.sessions.insert(header.session, *timeout_ms);
                Applied::of(ErrorCode::Ok)
            }
            Txn::CloseSession => {
                self.kill_session(header.session, header.zxid, changes.as_deref_mut());
                Applied::of(ErrorCode::Ok)
            }
            Txn::Error(number) => Applied::of(error_of(*number)),
            Txn::Multi(parts) => self.apply_multi(header, parts, changes),
            node_txn => self.apply_to_node(header, node_txn, changes),
        }
    }

    /// The kinds that are about one node: those that can be parts of a multi, and setACL.
    fn apply_to_node<'a>(
        &mut self,
        header: &TxnHeader,
        txn: &'a Txn<'_>,
        changes: &mut Changes<'_>,
    ) -> Applied<'a> {
        if let Some(node) = NewNode::of(txn, header.session) {
            let created = self.create(header, &node, changes).map(Some);
            return Applied::to(node.path, created);
        }
        let (path, done) = match txn {
            Txn::Delete(delete) | Txn::DeleteContainer(delete) => {
                self.is_beyond_3_4 |= matches!(txn, Txn::DeleteContainer(_));
                let deleted = self.delete(&delete.path, header.zxid, changes);
                (&delete.path, deleted.map(|()| None))
            }
            Txn::SetData(set) => (&set.path, self.set_data(header, set, changes).map(Some)),
            Txn::SetAcl(set) => (&set.path, self.set_acl(header, set).map(Some)),
            Txn::Check(check) => (&check.path, Ok(None)),
            Txn::Error(number) => return Applied::of(error_of(*number)),
            _ => {
                return Applied::of(ErrorCode::Unimplemented);
            }
        };
        Applied::to(path, done)
    }

    /// All parts, or none if one of them is an error: it was found when the multi was prepared.
    fn apply_multi<'a>(
        &mut self,
        header: &TxnHeader,
        parts: &'a [SubTxn<'a>],
        changes: &mut Changes<'_>,
    ) -> Applied<'a> {
        if let Some(error) = parts.iter().position(|part| part.op == OpCode::Error.number()) {
            if SeededFault::MultiNotRolledBack.on() {
                self.apply_multi(header, &parts[..error], changes);
            }
            return failed_multi(parts);
        }
        // All are read before the first is applied: a part that cannot be read spoils the whole, not the rest.
        let txns: Result<Vec<Txn<'a>>, Malformed> = parts.iter().map(decode_part).collect();
        let txns = match txns {
            Ok(txns) => txns,
            Err(error) => {
                log::error!("Multi transaction {} cannot be read: {error}", header.zxid);
                return Applied::of(ErrorCode::MarshallingError);
            }
        };
        let mut whole = Applied::of(ErrorCode::Ok);
        for txn in txns {
            let part = self.apply_to_node(header, &txn, changes);
            if whole.error == ErrorCode::Ok {
                whole.error = part.error;
            }
            let stat = part.stat.unwrap_or_default();
            whole.multi.push(match txn {
                Txn::Create(create) => MultiResult::Create2(create.path, stat),
                Txn::CreateContainer(create) => MultiResult::Create2(create.path, stat),
                Txn::CreateTtl(create) => MultiResult::Create2(create.path, stat),
                Txn::Delete(_) | Txn::DeleteContainer(_) => MultiResult::Delete,
                Txn::SetData(_) => MultiResult::SetData(stat),
                _ => MultiResult::Check,
            });
        }
        whole
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        txn: &NewNode<'_>,
        changes: &mut Changes<'_>,
    ) -> Result<Stat, ErrorCode> {
        let path = txn.path;
        let (parent_path, name) = split(path).ok_or(ErrorCode::BadArguments)?;
        if name.is_empty() || parent_path == "/" {
            // Never proposed, since no such path is valid; the root itself exists.
            return Err(if path == "/" {
                ErrorCode::NodeExists
            } else {
                ErrorCode::BadArguments
            });
        }
        let parent = self.find_as_of(parent_path, header.zxid)?;
        self.digest_node(Side::Before, parent, parent_path);
        let node = self.node_mut(parent);
        let cversion = match txn.parent_cversion {
            _ if SeededFault::CversionByChildCount.on() => node.children().len() as i32 + 1,
            FROM_3_3 => node.stat().cversion.wrapping_add(1),
            cversion => cversion,
        };
        node.raise_cversion(cversion);
        node.raise_pzxid(header.zxid);
        self.digest_node(Side::After, parent, parent_path);
        if let Some(id) = self.find(path) {
            self.restore_acl(id, header.zxid, txn);
            return Err(ErrorCode::NodeExists);
        }
        let stat = StatPersisted {
            czxid: header.zxid,
            mzxid: header.zxid,
            pzxid: header.zxid,
            ctime: header.time_ms,
            mtime: header.time_ms,
            ephemeral_owner: txn.lifetime.ephemeral_owner(),
            ..StatPersisted::default()
        };
        let acl = self.acls.intern(txn.acl);
        let id = self.insert_leaf(parent, path, Node::new(name, txn.data, acl, &stat));
        self.digest_node(Side::After, id, path);
        let shown = self.node_ref(id).shown_stat();
        self.quota_after_create(path, txn.data.map_or(0, <[u8]>::len));
        self.note(changes, Change::Created, path, [id, parent]);
        Ok(shown)
    }

    /// The node that a transaction means. One that was made later has only the path in common with it: the
    /// node that was meant is gone.
    fn find_as_of(&self, path: &str, zxid: Zxid) -> Result<u32, ErrorCode> {
        let id = self.find(path).ok_or(ErrorCode::NoNode)?;
        match self.nodes[id].czxid() <= zxid {
            true => Ok(id),
            false => Err(ErrorCode::NoNode),
        }
    }

    /// A snapshot may have lost the list of a node that was made while it was written (ZOOKEEPER-3306).
    /// The transaction that made the node still knows it.
    fn restore_acl(&mut self, id: u32, zxid: Zxid, txn: &NewNode<'_>) {
        let node = &self.nodes[id];
        if node.czxid() == zxid && !self.acls.is_known(node.acl) {
            self.replace_acl(id, txn.acl);
        }
    }

    fn delete(&mut self, path: &str, zxid: Zxid, changes: &mut Changes<'_>) -> Result<(), ErrorCode> {
        let (parent_path, _) = split(path).ok_or(ErrorCode::BadArguments)?;
        if path == "/" {
            return Err(ErrorCode::BadArguments);
        }
        let parent = self.find_as_of(parent_path, zxid)?;
        // Also when the node is gone already: a snapshot may hold its parent from before and not itself.
        self.digest_node(Side::Before, parent, parent_path);
        self.node_mut(parent).raise_pzxid(zxid);
        self.digest_node(Side::After, parent, parent_path);
        let id = self.find_as_of(path, zxid)?;
        // While it is there to be asked who may read it.
        self.note(changes, Change::Deleted, path, [id, parent]);
        self.remove_below(id, path);
        self.remove_counted(id, path);
        Ok(())
    }

    /// Nothing is proposed to be deleted while it has children. In a replay they may be there from later
    /// transactions, which will make them again: a multi may have removed the node and made it anew.
    fn remove_below(&mut self, id: u32, path: &str) {
        let mut found: Vec<(u32, String)> = Vec::new();
        let mut next = 0;
        let (mut parent, mut parent_path) = (id, path.to_owned());
        if self.nodes[id].children().is_empty() {
            return;
        }
        loop {
            for child in self.nodes[parent].children().iter() {
                found.push((child, format!("{parent_path}/{}", self.nodes[child].name())));
            }
            let Some((id, path)) = found.get(next) else {
                break;
            };
            (parent, parent_path) = (*id, path.clone());
            next += 1;
        }
        for (id, path) in found.iter().rev() {
            self.remove_counted(*id, path);
        }
    }

    fn remove_counted(&mut self, id: u32, path: &str) {
        let data_len = self.nodes[id].data_len();
        self.digest_node(Side::Before, id, path);
        self.remove_leaf(id, path);
        self.quota_after_delete(path, data_len);
    }

    fn set_data(
        &mut self,
        header: &TxnHeader,
        txn: &SetDataTxn<'_>,
        changes: &mut Changes<'_>,
    ) -> Result<Stat, ErrorCode> {
        let path: &str = &txn.path;
        let id = self.find_as_of(path, header.zxid)?;
        let old_len = self.nodes[id].data_len();
        self.digest_node(Side::Before, id, path);
        self.replace_data(id, txn.data);
        self.node_mut(id)
            .set_modified(header.zxid, header.time_ms, txn.version);
        self.digest_node(Side::After, id, path);
        let stat = self.node_ref(id).shown_stat();
        self.quota_after_set_data(path, old_len, txn.data.map_or(0, <[u8]>::len));
        self.note(changes, Change::DataChanged, path, [id, id]);
        Ok(stat)
    }

    /// Notes a change of a node with this parent; who need not know of the parent gives the node twice.
    fn note(&self, changes: &mut Changes<'_>, kind: fn(Arc<str>) -> Change, path: &str, of: [u32; 2]) {
        if let Some(changes) = changes {
            let [acl, parent_acl] = of.map(|id| Arc::clone(self.node_ref(id).acl()));
            changes.push(Guarded {
                change: kind(path.into()),
                acl,
                parent_acl,
            });
        }
    }

    fn set_acl(&mut self, header: &TxnHeader, txn: &SetAclTxn<'_>) -> Result<Stat, ErrorCode> {
        let id = self.find_as_of(&txn.path, header.zxid)?;
        self.digest_node(Side::Before, id, &txn.path);
        self.replace_acl(id, txn.acl.as_deref());
        self.node_mut(id).set_aversion(txn.version);
        self.digest_node(Side::After, id, &txn.path);
        Ok(self.node_ref(id).shown_stat())
    }
}

impl<'a> NewNode<'a> {
    /// What a transaction makes, if it makes a node.
    fn of(txn: &'a Txn<'_>, session: SessionId) -> Option<NewNode<'a>> {
        let (path, data, acl, lifetime, parent_cversion) = match txn {
            Txn::Create(txn) => {
                let lifetime = match txn.ephemeral {
                    true => Lifetime::Ephemeral(session),
                    false => Lifetime::Persistent,
                };
                (&txn.path, txn.data, &txn.acl, lifetime, txn.parent_cversion)
            }
            Txn::CreateContainer(txn) => (
                &txn.path,
                txn.data,
                &txn.acl,
                Lifetime::Container,
                txn.parent_cversion,
            ),
            Txn::CreateTtl(txn) => (
                &txn.path,
                txn.data,
                &txn.acl,
                Lifetime::Ttl(txn.ttl_ms),
                txn.parent_cversion,
            ),
            _ => return None,
        };
        Some(NewNode {
            path,
            data,
            acl: acl.as_deref(),
            lifetime,
            parent_cversion,
        })
    }
}

impl<'a> Applied<'a> {
    fn to(path: &'a str, done: Result<Option<Stat>, ErrorCode>) -> Self {
        Applied {
            path: Some(path),
            stat: done.ok().flatten(),
            ..Applied::of(done.err().unwrap_or(ErrorCode::Ok))
        }
    }

    fn of(error: ErrorCode) -> Self {
        Applied {
            error,
            path: None,
            stat: None,
            multi: Vec::new(),
        }
    }
}

/// Nothing is done. The parts before the error are told "ok", those behind it that another one failed.
fn failed_multi<'a>(parts: &[SubTxn<'_>]) -> Applied<'a> {
    let mut whole = Applied::of(ErrorCode::Ok);
    let mut error_seen = false;
    for part in parts {
        let own = (part.op == OpCode::Error.number()).then(|| i32::decode(&mut Reader::new(&part.record)));
        error_seen |= own.is_some();
        let error = match own {
            Some(number) => number.map_or(ErrorCode::MarshallingError, error_of),
            None if error_seen => ErrorCode::RuntimeInconsistency,
            None => ErrorCode::Ok,
        };
        if whole.error == ErrorCode::Ok {
            whole.error = error;
        }
        whole.multi.push(MultiResult::Error(error));
    }
    whole
}

fn decode_part<'a>(part: &'a SubTxn<'a>) -> Result<Txn<'a>, Malformed> {
    const PARTS: [OpCode; 7] = [
        OpCode::Create,
        OpCode::CreateContainer,
        OpCode::CreateTtl,
        OpCode::Delete,
        OpCode::DeleteContainer,
        OpCode::SetData,
        OpCode::Check,
    ];
    if !PARTS.iter().any(|op| op.number() == part.op) {
        return Err(Malformed::Unknown {
            what: "part of a multi transaction",
            value: part.op.into(),
            offset: 0,
        });
    }
    Txn::decode(part.op, &mut Reader::new(&part.record))
}

/// A number that names no error can only come from a later version's log.
fn error_of(number: i32) -> ErrorCode {
    ErrorCode::of(number).unwrap_or(ErrorCode::SystemError)
}

/// The parent's count in a create out of a log of 3.3, which does not tell it.
const FROM_3_3: i32 = -1;
