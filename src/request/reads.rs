//! What a read answers: a function of the tree, the request and who asks. (FinalRequestProcessor)
//!
//! Whoever calls it holds the tree's lock, so a watch is set and the data read at one moment.

use crate::auth::Auth;
use crate::proto::codes::WatcherType;
use crate::proto::multi::{MultiReadOp, decode_reads, encode_end, encode_read_result};
use crate::proto::requests::{
    AddWatchRequest, GetEphemeralsRequest, PathOnly, PathWatch, PathWatcherType, ReconfigRequest, SetWatches2,
};
use crate::proto::responses::ClientInfo;
use crate::proto::{
    Acl, ConnId, Decode, Encode, ErrorCode, EventType, Id, Malformed, OpCode, Perms, Reader, SessionId,
};
use crate::storage::{CONFIG_PATH, Database};
use crate::tree::{DataTree, Fired, Lasting, NodeRef};

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
    /// Its session, for what belongs to it.
    pub session: SessionId,
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
            OpCode::GetAllChildrenNumber => self.count_below(decode(body)?, out),
            OpCode::GetEphemerals => self.get_ephemerals(decode(body)?, out),
            OpCode::MultiRead => self.multi_read(body, out),
            OpCode::AddWatch => self.add_watch(decode(body)?, out),
            OpCode::CheckWatches => self.check_watches(decode(body)?),
            OpCode::RemoveWatches => self.remove_watches(decode(body)?),
            OpCode::WhoAmI => {
                self.who_am_i().encode(out);
                Ok(())
            }
            OpCode::Reconfig => decode::<ReconfigRequest<'_>>(body).and(Err(ErrorCode::ReconfigDisabled)),
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
    pub fn set_watches(&self, op: OpCode, body: &[u8], events: &mut Vec<Fired>) -> Result<(), ErrorCode> {
        let request = match op {
            OpCode::SetWatches2 => decode(body)?,
            _ => SetWatches2 {
                once: decode(body)?,
                persistent: Vec::new(),
                recursive: Vec::new(),
            },
        };
        let mut watches = self.database.watches();
        let missed_from = events.len();
        watches.set_watches(self.tree, self.conn, &request.once, events);
        // That node was there all the time, and where the tree has none it never changes: nobody need wait for it.
        let lost = |event: &Fired| event.kind == EventType::NodeDeleted && &*event.path == CONFIG_PATH;
        let mut missed = events.split_off(missed_from);
        missed.retain(|event| !lost(event));
        events.append(&mut missed);
        let persistent = request.persistent.iter().map(|path| (path, Lasting::Node));
        let recursive = request.recursive.iter().map(|path| (path, Lasting::Subtree));
        for (path, lasting) in persistent.chain(recursive) {
            watches.watch_lastingly(path, lasting, self.conn);
        }
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
        let node = self.find(&request.path)?;
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

    fn count_below(&self, request: PathOnly<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        self.readable(&request.path, Perms::READ)?;
        let count = self.tree.count_below(&request.path).unwrap_or_default();
        (count as i32).encode(out);
        Ok(())
    }

    fn get_ephemerals(&self, request: GetEphemeralsRequest<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let prefix = request.prefix.unwrap_or_default();
        let all = matches!(prefix.trim(), "" | "/");
        let mut paths = self.tree.ephemerals_of(self.session);
        paths.retain(|path| all || path.starts_with(&*prefix));
        paths.encode(out);
        Ok(())
    }

    /// Each part has its own outcome.
    fn multi_read(&self, body: &[u8], out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let ops = decode_reads(&mut Reader::new(body)).map_err(unreadable)?;
        let begin = out.len();
        for op in ops {
            // A node that is named ten thousand times in one request would be ten thousand times in one answer.
            if out.len() - begin > MOST_MULTI_READ_BYTES {
                log::warn!("A multiRead asks for more than {MOST_MULTI_READ_BYTES} bytes: refused");
                return Err(ErrorCode::MarshallingError);
            }
            match op {
                MultiReadOp::GetChildren(request) => {
                    let request = PathWatch {
                        watch: false,
                        ..request
                    };
                    encode_read_result(OpCode::GetChildren, out, |out| {
                        self.get_children(request, false, out)
                    });
                }
                MultiReadOp::GetData(request) => {
                    let request = PathWatch {
                        watch: false,
                        ..request
                    };
                    encode_read_result(OpCode::GetData, out, |out| self.get_data(request, out));
                }
            }
        }
        encode_end(out);
        Ok(())
    }

    /// No ACL is asked, and the node need not be there. The answer is an error code of its own, 0.
    fn add_watch(&self, request: AddWatchRequest<'_>, out: &mut Vec<u8>) -> Result<(), ErrorCode> {
        let lasting = match request.mode {
            0 => Lasting::Node,
            1 => Lasting::Subtree,
            _ => return Err(ErrorCode::MarshallingError),
        };
        let mut watches = self.database.watches();
        watches.watch_lastingly(&request.path, lasting, self.conn);
        ErrorCode::Ok.encode(out);
        Ok(())
    }

    fn check_watches(&self, request: PathWatcherType<'_>) -> Result<(), ErrorCode> {
        let kind = WatcherType::of(request.kind).ok_or(ErrorCode::MarshallingError)?;
        let found = self.database.watches().has(&request.path, kind, self.conn);
        found.then_some(()).ok_or(ErrorCode::NoWatcher)
    }

    fn remove_watches(&self, request: PathWatcherType<'_>) -> Result<(), ErrorCode> {
        let kind = WatcherType::of(request.kind).ok_or(ErrorCode::MarshallingError)?;
        let found = self.database.watches().forget(&request.path, kind, self.conn);
        found.then_some(()).ok_or(ErrorCode::NoWatcher)
    }

    fn who_am_i(&self) -> Vec<ClientInfo<'_>> {
        let info = |id: &'_ Id| ClientInfo {
            scheme: id.scheme.clone().into(),
            user: self.auth.user_of(id).to_owned().into(),
        };
        self.identities.iter().map(info).collect()
    }

    /// A node of the tree, or the one that every server of 3.5 has.
    fn find(&self, path: &str) -> Result<NodeRef<'_>, ErrorCode> {
        let config = || {
            let is_it = path == CONFIG_PATH;
            is_it.then(|| self.database.config().get(path)).flatten()
        };
        self.tree.get(path).or_else(config).ok_or(ErrorCode::NoNode)
    }

    fn readable(&self, path: &str, perms: Perms) -> Result<NodeRef<'_>, ErrorCode> {
        let node = self.find(path)?;
        let allowed = self.auth.allows(node.acl(), perms, self.identities);
        if allowed { Ok(node) } else { Err(ErrorCode::NoAuth) }
    }
}

fn decode<'a, T: Decode<'a>>(body: &'a [u8]) -> Result<T, ErrorCode> {
    T::from_bytes(body).map_err(unreadable)
}

fn unreadable(malformed: Malformed) -> ErrorCode {
    log::error!("Failed to process a request: {malformed}");
    ErrorCode::MarshallingError
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

/// So much may be answered to one multiRead. No client takes more in one frame as it comes (`jute.maxbuffer`).
const MOST_MULTI_READ_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::multi::MultiHeader;
    use crate::proto::txn::{CreateTxn, Txn, TxnHeader};
    use crate::proto::{Xid, Zxid};
    use crate::storage::CommittedLog;

    fn reads_of(path: &str, count: usize) -> Vec<u8> {
        let mut body = Vec::new();
        let header = |op, done| MultiHeader { op, done, error: -1 };
        for _ in 0..count {
            header(OpCode::GetData.number(), false).encode(&mut body);
            PathWatch {
                path: path.into(),
                watch: false,
            }
            .encode(&mut body);
        }
        header(-1, true).encode(&mut body);
        body
    }

    #[test]
    fn a_multi_read_does_not_make_a_small_request_a_huge_answer() {
        let mut tree = DataTree::new();
        let data = vec![7; 1 << 20];
        let create = Txn::Create(CreateTxn {
            path: "/large".into(),
            data: Some(&data),
            acl: None,
            ephemeral: false,
            parent_cversion: -1,
        });
        let header = TxnHeader {
            session: SessionId(7),
            cxid: Xid(1),
            zxid: Zxid(1),
            time_ms: 9,
            op: OpCode::Create.number(),
        };
        tree.apply(&header, &create, None);
        let database = Database::new(DataTree::new(), CommittedLog::new(1));
        let auth = Auth::default();
        let reading = Reading {
            tree: &tree,
            database: &database,
            auth: &auth,
            identities: &[],
            conn: ConnId(1),
            session: SessionId(7),
        };
        let mut out = Vec::new();
        assert_eq!(
            reading.answer(OpCode::MultiRead, &reads_of("/large", 15), &mut out),
            Ok(())
        );
        assert!(out.len() > 15 << 20);
        out.clear();
        let refused = reading.answer(OpCode::MultiRead, &reads_of("/large", 10_000), &mut out);
        assert_eq!(refused, Err(ErrorCode::MarshallingError));
        assert!(out.len() < 19 << 20);
    }
}
