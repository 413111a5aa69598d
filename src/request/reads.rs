//! What a read answers: a function of the tree, the request and who asks. (FinalRequestProcessor)
//!
//! Whoever calls it holds the tree's lock, so a watch is set and the data read at one moment.

use crate::auth::Auth;
use crate::proto::requests::{PathOnly, PathWatch};
use crate::proto::{Acl, ConnId, Decode, Encode, ErrorCode, Id, OpCode, Perms};
use crate::storage::Database;
use crate::tree::{DataTree, Fired, NodeRef};

/// Who reads, and by which rules.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'r> {
    /// The tree, under its lock.
    pub tree: &'r DataTree,
    /// Where watches are set.
    pub database: &'r Database,
    /// The rules of access.
    pub auth: &'r Auth,
    /// Everybody that the connection is.
    pub identities: &'r [Id],
    /// The connection, for watches.
    pub conn: ConnId,
}

impl Reading<'_> {
    /// Appends the answer's record to `out`. Operations that are not reads have none.
    ///
    /// # Errors
    /// What the client is told instead; `out` may then hold the beginning of a record, to be cut off.
    pub fn answer(&self, op: OpCode, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        match op {
            OpCode::Exists => self.exists(decode(body)?, out),
            OpCode::GetData => self.get_data(decode(body)?, out),
            OpCode::GetAcl => self.get_acl(decode(body)?, out),
            OpCode::GetChildren => self.get_children(decode(body)?, false, out),
            OpCode::GetChildren2 => self.get_children(decode(body)?, true, out),
            OpCode::Sync => {
                decode::<PathOnly<'_>>(body)?.encode(out);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Sets a client's watches again, and appends the events that it has missed to `events`: they must
    /// reach the client before the answer, which is a header alone. No ACL is asked. (DataTree.setWatches)
    ///
    /// # Errors
    /// What the client is told instead.
    pub fn set_watches(&self, body: &[u8], events: &mut Vec<Fired>) -> Result<(), ErrorCode> {
        self.database
            .watches()
            .set_watches(self.tree, self.conn, &decode(body)?, events);
        Ok(())
    }

    /// No ACL is asked, and a watch is set whether the node is there or not.
    fn exists(&self, request: PathWatch<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        if request.path.contains('\0') {
            return Err(ErrorCode::BadArguments);
        }
        if request.watch {
            self.database.watches().watch_data(&request.path, self.conn);
        }
        let node = self.tree.get(&request.path).ok_or(ErrorCode::NoNode)?;
        node.shown_stat().encode(out);
        Ok(())
    }

    fn get_data(&self, request: PathWatch<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let node = self.readable(&request.path, Perms::READ)?;
        if request.watch {
            self.database.watches().watch_data(&request.path, self.conn);
        }
        node.data().encode(out);
        node.shown_stat().encode(out);
        Ok(())
    }

    fn get_acl(&self, request: PathOnly<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let node = self.readable(&request.path, Perms::READ.union(Perms::ADMIN))?;
        let acl = node.acl();
        if self.auth.allows(acl, Perms::ADMIN, self.identities) {
            acl.encode(out);
        } else {
            acl.iter().map(without_secret).collect::<Vec<_>>().encode(out);
        }
        node.shown_stat().encode(out);
        Ok(())
    }

    fn get_children(
        &self,
        request: PathWatch<'_>,
        with_stat: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorCode> {
        let node = self.readable(&request.path, Perms::READ)?;
        if request.watch {
            self.database.watches().watch_children(&request.path, self.conn);
        }
        (node.child_count() as i32).encode(out);
        node.children().for_each(|name| name.encode(out));
        if with_stat {
            node.shown_stat().encode(out);
        }
        Ok(())
    }

    fn readable(&self, path: &str, perms: Perms) -> Result<NodeRef<'_>, ErrorCode> {
        let node = self.tree.get(path).ok_or(ErrorCode::NoNode)?;
        let allowed = self.auth.allows(node.acl(), perms, self.identities);
        if allowed { Ok(node) } else { Err(ErrorCode::NoAuth) }
    }
}

fn decode<'a, T: Decode<'a>>(body: &'a [u8]) -> Result<T, ErrorCode> {
    T::from_bytes(body).map_err(|malformed| {
        log::error!("Failed to process a request: {malformed}");
        ErrorCode::MarshallingError
    })
}

/// The entry as somebody without ADMIN sees it: digests are hidden. (FinalRequestProcessor, getACL)
fn without_secret(entry: &Acl) -> Acl {
    match entry.id.id.split_once(':') {
        Some((user, _)) if entry.id.scheme == "digest" => Acl {
            perms: entry.perms,
            id: Id::new("digest", format!("{user}:x")),
        },
        _ => entry.clone(),
    }
}
