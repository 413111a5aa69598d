//! One operation, checked against the tree and what is in flight, made into a transaction.
//! (PrepRequestProcessor.pRequest2Txn)
//!
//! The order of the checks is Java's, since a client sees which one failed first.

use std::borrow::Cow;
use std::sync::Arc;

use crate::auth::Auth;
use crate::proto::requests::{CreateTtlRequest, PathOnly, PathVersion, SetAclRequest, SetDataRequest};
use crate::proto::txn::{
    CheckVersionTxn, CreateContainerTxn, CreateTtlTxn, CreateTxn, DeleteTxn, SetAclTxn, SetDataTxn, Txn,
};
use crate::proto::{Acl, ErrorCode, Id, Lifetime, OpCode, Perms, SessionId, Zxid};
use crate::tree::path;
use crate::tree::{Amount, DataTree};

use super::outstanding::{Outstanding, PendingNode};

/// Why an operation cannot be carried out, and for which path the log says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub code: ErrorCode,
    /// The path, if the error is about one.
    pub path: Option<String>,
}

impl Refusal {
    /// An error about a path.
    pub fn at(code: ErrorCode, path: &str) -> Refusal {
        Refusal {
            code,
            path: Some(path.to_owned()),
        }
    }

    /// An error that is about no path.
    pub fn plain(code: ErrorCode) -> Refusal {
        Refusal { code, path: None }
    }
}

/// What an operation is checked against, and where its changes are noted.
pub struct View<'v> {
    /// The tree as applied.
    pub tree: &'v DataTree,
    /// What is prepared beyond it.
    pub outstanding: &'v mut Outstanding,
    /// The rules of access.
    pub auth: &'v Auth,
    /// Who asks.
    pub identities: &'v [Id],
    /// The session that asks.
    pub session: SessionId,
    /// The transaction being prepared.
    pub zxid: Zxid,
    /// Whether transactions that 3.4 cannot read may be made.
    pub newer_txns: bool,
    /// Whether hard quotas are kept to.
    pub enforce_quota: bool,
}

impl View<'_> {
    /// Checks a create, of whichever kind.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn create<'a>(&mut self, kind: OpCode, request: CreateTtlRequest<'a>) -> Result<Txn<'a>, Refusal> {
        let CreateTtlRequest { path, data, acl, .. } = request;
        if kind.is_newer_txn() && !self.newer_txns {
            return Err(Refusal::plain(ErrorCode::Unimplemented));
        }
        let mode = self.mode_of(kind, request.flags, request.ttl_ms);
        if kind.is_newer_txn() && mode.is_none() {
            return Err(Refusal::at(ErrorCode::BadArguments, &path));
        }
        let parent_path = parent_of(&path)?.to_owned();
        let acl = self.auth.fix_up(acl, self.identities);
        let acl = acl.ok_or_else(|| Refusal::at(ErrorCode::InvalidAcl, &path))?;
        let mut parent = self.node(&parent_path)?;
        self.demand(&parent, Perms::CREATE)?;
        let (lifetime, sequential) = mode.ok_or(Refusal::plain(ErrorCode::BadArguments))?;
        let path = if sequential {
            Cow::from(format!("{path}{:010}", parent.cversion))
        } else {
            path
        };
        check_path(&path)?;
        if self.exists(&path) {
            return Err(Refusal::at(ErrorCode::NodeExists, &path));
        }
        if Lifetime::of(parent.ephemeral_owner).session().is_some() {
            return Err(Refusal::at(ErrorCode::NoChildrenForEphemerals, &path));
        }
        let added = Amount {
            count: 1,
            bytes: data_len(data),
        };
        self.claim_quota(&path, added)?;
        parent.cversion = parent.cversion.wrapping_add(1);
        parent.child_count += 1;
        let parent_cversion = parent.cversion;
        let node = PendingNode {
            version: 0,
            cversion: 0,
            aversion: 0,
            ephemeral_owner: lifetime.ephemeral_owner(),
            child_count: 0,
            data_len: data.map_or(0, <[u8]>::len),
            acl: Arc::from(acl.as_slice()),
        };
        self.outstanding.put(&parent_path, self.zxid, Some(parent));
        self.outstanding.put(&path, self.zxid, Some(node));
        let acl = Some(acl);
        Ok(match lifetime {
            Lifetime::Container => Txn::CreateContainer(CreateContainerTxn {
                path,
                data,
                acl,
                parent_cversion,
            }),
            Lifetime::Ttl(ttl_ms) => Txn::CreateTtl(CreateTtlTxn {
                path,
                data,
                acl,
                parent_cversion,
                ttl_ms,
            }),
            Lifetime::Persistent | Lifetime::Ephemeral(_) => Txn::Create(CreateTxn {
                path,
                data,
                acl,
                ephemeral: lifetime != Lifetime::Persistent,
                parent_cversion,
            }),
        })
    }

    /// How long the node is to live, and whether its name gets a number; `None` for what no such request can
    /// ask. (CreateMode)
    fn mode_of(&self, kind: OpCode, flags: i32, ttl_ms: i64) -> Option<(Lifetime, bool)> {
        let lifetime = match (kind, flags) {
            (OpCode::CreateContainer, 4) => Lifetime::Container,
            (OpCode::CreateTtl, 5 | 6) => Lifetime::ttl(ttl_ms)?,
            (OpCode::Create | OpCode::Create2, 0 | 2) => Lifetime::Persistent,
            (OpCode::Create | OpCode::Create2, 1 | 3) => Lifetime::Ephemeral(self.session),
            _ => return None,
        };
        Some((lifetime, matches!(flags, 2 | 3 | 6)))
    }

    /// Checks that a container, or a node whose time is over, may still go. No client asks for it.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn delete_container<'a>(&mut self, request: PathOnly<'a>) -> Result<Txn<'a>, Refusal> {
        let PathOnly { path } = request;
        let parent_path = parent_of(&path)?.to_owned();
        let node = self.node(&path)?;
        if node.child_count > 0 {
            return Err(Refusal::at(ErrorCode::NotEmpty, &path));
        }
        if !Lifetime::of(node.ephemeral_owner).is_looked_after() {
            return Err(Refusal::at(ErrorCode::BadVersion, &path));
        }
        let mut parent = self.node(&parent_path)?;
        parent.child_count -= 1;
        self.use_quota(&path, removal(&node));
        self.outstanding.put(&parent_path, self.zxid, Some(parent));
        self.outstanding.put(&path, self.zxid, None);
        Ok(Txn::DeleteContainer(DeleteTxn { path }))
    }

    /// Checks a delete.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn delete<'a>(&mut self, request: PathVersion<'a>) -> Result<Txn<'a>, Refusal> {
        let PathVersion { path, version } = request;
        let parent_path = parent_of(&path)?.to_owned();
        if SPECIAL.contains(&path.as_ref()) {
            return Err(Refusal::at(ErrorCode::BadArguments, &path));
        }
        let mut parent = self.node(&parent_path)?;
        let node = self.node(&path)?;
        self.demand(&parent, Perms::DELETE)?;
        check_version(version, node.version, &path)?;
        if node.child_count > 0 {
            return Err(Refusal::at(ErrorCode::NotEmpty, &path));
        }
        parent.child_count -= 1;
        self.use_quota(&path, removal(&node));
        self.outstanding.put(&parent_path, self.zxid, Some(parent));
        self.outstanding.put(&path, self.zxid, None);
        Ok(Txn::Delete(DeleteTxn { path }))
    }

    /// Checks a setData.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn set_data<'a>(&mut self, request: SetDataRequest<'a>) -> Result<Txn<'a>, Refusal> {
        let SetDataRequest { path, data, version } = request;
        check_path(&path)?;
        let mut node = self.node(&path)?;
        self.demand(&node, Perms::WRITE)?;
        let added = Amount {
            count: 0,
            bytes: data_len(data) - node.data_len as i64,
        };
        self.demand_quota(&path, added)?;
        check_version(version, node.version, &path)?;
        self.use_quota(&path, added);
        let version = node.version.wrapping_add(1);
        node.version = version;
        node.data_len = data.map_or(0, <[u8]>::len);
        self.outstanding.put(&path, self.zxid, Some(node));
        Ok(Txn::SetData(SetDataTxn { path, data, version }))
    }

    /// Checks a setACL.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn set_acl<'a>(&mut self, request: SetAclRequest<'a>) -> Result<Txn<'a>, Refusal> {
        let SetAclRequest { path, acl, version } = request;
        check_path(&path)?;
        let acl: Option<Vec<Acl>> = self.auth.fix_up(acl, self.identities);
        let acl = acl.ok_or_else(|| Refusal::at(ErrorCode::InvalidAcl, &path))?;
        let mut node = self.node(&path)?;
        self.demand(&node, Perms::ADMIN)?;
        check_version(version, node.aversion, &path)?;
        let version = node.aversion.wrapping_add(1);
        node.aversion = version;
        node.acl = Arc::from(acl.as_slice());
        self.outstanding.put(&path, self.zxid, Some(node));
        Ok(Txn::SetAcl(SetAclTxn {
            path,
            acl: Some(acl),
            version,
        }))
    }

    /// Checks a check.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn check<'a>(&mut self, request: PathVersion<'a>) -> Result<Txn<'a>, Refusal> {
        let PathVersion { path, version } = request;
        check_path(&path)?;
        let node = self.node(&path)?;
        self.demand(&node, Perms::READ)?;
        check_version(version, node.version, &path)?;
        Ok(Txn::Check(CheckVersionTxn {
            path,
            version: node.version.wrapping_add(1),
        }))
    }

    /// Notes that all ephemerals of the session are about to go, those in flight included.
    ///
    /// Unlike Java the parents' counts of children go down at once, so that a parent can be removed by the
    /// very next request.
    pub fn close_session(&mut self) {
        let (made, removed) = self.outstanding.ephemerals_of(self.session);
        let mut paths: Vec<Arc<str>> = self
            .tree
            .ephemerals_of(self.session)
            .into_iter()
            .map(Arc::from)
            .collect();
        paths.extend(made);
        paths.sort_unstable();
        paths.dedup();
        paths.retain(|path| removed.binary_search(path).is_err());
        for path in paths {
            if let Ok(parent_path) = parent_of(&path).map(str::to_owned)
                && let Ok(mut parent) = self.node(&parent_path)
            {
                parent.child_count -= 1;
                self.outstanding.put(&parent_path, self.zxid, Some(parent));
            }
            if let Ok(node) = self.node(&path) {
                self.use_quota(&path, removal(&node));
            }
            self.outstanding.put(&path, self.zxid, None);
        }
    }

    /// A node as it will be, whether in flight or in the tree. (getRecordForPath)
    fn node(&self, path: &str) -> Result<PendingNode, Refusal> {
        let missing = || Refusal::at(ErrorCode::NoNode, path);
        if let Some(pending) = self.outstanding.get(path) {
            return pending.cloned().ok_or_else(missing);
        }
        let node = self.tree.get(path).ok_or_else(missing)?;
        let stat = node.stat();
        Ok(PendingNode {
            version: stat.version,
            cversion: stat.cversion,
            aversion: stat.aversion,
            ephemeral_owner: stat.ephemeral_owner,
            // A node's index is 32 bits wide, and so is every count of nodes.
            child_count: node.child_count() as i32,
            data_len: node.data().map_or(0, <[u8]>::len),
            acl: Arc::clone(node.acl()),
        })
    }

    fn exists(&self, path: &str) -> bool {
        self.outstanding
            .get(path)
            .map_or_else(|| self.tree.contains(path), |node| node.is_some())
    }

    /// Refuses what would be over a hard limit, what is in flight included. As in 3.9 the limit on bytes is looked
    /// at whenever their number changes, also when it shrinks. (ZooKeeperServer.checkQuota)
    fn demand_quota(&self, path: &str, added: Amount) -> Result<(), Refusal> {
        let Some(limited) = self.limited_path(path) else {
            return Ok(());
        };
        let Some(quota) = self.tree.hard_quota(limited) else {
            return Ok(());
        };
        let in_flight = self.outstanding.quota_use.of(limited);
        let of_each = [
            (
                "count",
                "hardCountLimit",
                quota.count,
                quota.used.count,
                in_flight.count,
                added.count,
            ),
            (
                "bytes",
                "hardByteLimit",
                quota.bytes,
                quota.used.bytes,
                in_flight.bytes,
                added.bytes,
            ),
        ];
        for (what, name, limit, used, in_flight, added) in of_each {
            let after = used.saturating_add(in_flight).saturating_add(added);
            if let Some(limit) = limit
                && added != 0
                && after > limit
            {
                log::warn!("Quota exceeded: {limited} [current {what}={after}, {name}={limit}]");
                return Err(Refusal::at(ErrorCode::QuotaExceeded, limited));
            }
        }
        Ok(())
    }

    /// The same, and notes what the change adds.
    fn claim_quota(&mut self, path: &str, added: Amount) -> Result<(), Refusal> {
        self.demand_quota(path, added)?;
        self.use_quota(path, added);
        Ok(())
    }

    /// Notes what a change adds to a subtree with a quota.
    fn use_quota(&mut self, path: &str, added: Amount) {
        if let Some(limited) = self.limited_path(path) {
            self.outstanding.quota_use.add(self.zxid, limited, added);
        }
    }

    /// The subtree with a quota that a path is in, if quotas are kept to.
    fn limited_path<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.tree.limited_path(path).filter(|_| self.enforce_quota)
    }

    fn demand(&self, node: &PendingNode, perms: Perms) -> Result<(), Refusal> {
        let allowed = self.auth.allows(&node.acl, perms, self.identities);
        if allowed {
            Ok(())
        } else {
            Err(Refusal::plain(ErrorCode::NoAuth))
        }
    }
}

fn data_len(data: Option<&[u8]>) -> i64 {
    data.map_or(0, <[u8]>::len) as i64
}

/// What a subtree loses with a node.
fn removal(node: &PendingNode) -> Amount {
    Amount {
        count: -1,
        bytes: -(node.data_len as i64),
    }
}

/// What stands before the last slash; the root's children have the parent "".
fn parent_of(path: &str) -> Result<&str, Refusal> {
    let slash = path.rfind('/').filter(|_| !path.contains('\0'));
    slash.map(|slash| &path[..slash]).ok_or_else(|| {
        log::info!("Invalid path {path}");
        Refusal::at(ErrorCode::BadArguments, path)
    })
}

fn check_path(path: &str) -> Result<(), Refusal> {
    path::validate(path).map_err(|reason| {
        log::info!("Invalid path {path}, reason: {reason}");
        Refusal::at(ErrorCode::BadArguments, path)
    })
}

/// Whether the version asked for is the one there is; -1 asks for none.
fn check_version(asked: i32, actual: i32, path: &str) -> Result<(), Refusal> {
    if asked == -1 || asked == actual {
        Ok(())
    } else {
        Err(Refusal::at(ErrorCode::BadVersion, path))
    }
}

/// The nodes that no client removes. (DataTree.isSpecialPath)
const SPECIAL: [&str; 3] = ["/", "/zookeeper", "/zookeeper/quota"];
