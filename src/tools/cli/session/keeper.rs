//! One method for each operation: checks what Java's client checks, waits for the answer, and names failures
//! by the user's path.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, after, select};

use super::address::ConnectString;
use crate::tools::stream::Caller;

use super::core::SessionConfig;
use super::link::{Link, Outcome, Shown};
use super::state::{Lost, State, WatchedEvent};
use super::watches::{WatchChange, WatchKind, kind_of};
use crate::proto::codes::WatcherType;
use crate::proto::requests::{
    AddWatchRequest, CreateRequest, CreateTtlRequest, GetEphemeralsRequest, PathOnly, PathVersion, PathWatch,
    PathWatcherType, SetAclRequest, SetDataRequest,
};
use crate::proto::responses::ClientInfo;
use crate::proto::{Acl, Decode, Encode, ErrorCode, OpCode, Reader, Stat};
use crate::tools::cli::failure::Failure;
use crate::tools::client::Reply;
use crate::tree::path;

/// A node's data, which may be null, and its stat.
pub type NodeData = (Option<Vec<u8>>, Stat);

/// A session as commands use it. Paths are the user's: the chroot is put before them here.
pub struct Keeper {
    link: Arc<Link>,
    address: ConnectString,
    /// Signals that end a wait.
    interrupts: Receiver<i32>,
}

/// A request under way.
pub struct Pending {
    path: String,
    answer: Receiver<Outcome>,
}

impl Keeper {
    /// Begins to connect.
    ///
    /// # Errors
    /// If the operating system refuses what it takes.
    pub fn start(
        address: ConnectString,
        config: SessionConfig,
        caller: Caller,
        interrupts: Receiver<i32>,
        events: impl Fn(WatchedEvent) + Send + 'static,
    ) -> io::Result<Keeper> {
        let chroot = address.clone();
        let link = Link::start(address.servers.clone(), config, caller, move |mut event| {
            event.path = event.path.map(|path| chroot.to_user(&path));
            events(event);
        })?;
        Ok(Keeper {
            link: Arc::new(link),
            address,
            interrupts,
        })
    }

    /// Where the session stands.
    pub fn shown(&self) -> Shown {
        self.link.shown()
    }

    /// Whether there can be an answer: the session is not over.
    pub fn is_alive(&self) -> bool {
        !matches!(self.shown().state, State::Closed | State::AuthFailed)
    }

    /// The same session without its chroot: quotas lie at the root of all.
    #[must_use]
    pub fn at_root(&self) -> Keeper {
        let mut address = self.address.clone();
        address.chroot.clear();
        Keeper {
            link: Arc::clone(&self.link),
            address,
            interrupts: self.interrupts.clone(),
        }
    }

    /// What is put before every path.
    pub fn chroot(&self) -> &str {
        &self.address.chroot
    }

    /// Makes a node that stays or is ephemeral; gives its path. Flags: 1 ephemeral, 2 sequential.
    ///
    /// # Errors
    /// [`Failure`], as of all operations.
    pub fn create(
        &self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        flags: i32,
    ) -> Result<String, Failure> {
        let request = CreateRequest {
            path: self.new_path(path, acl, flags == 2 || flags == 3)?.into(),
            data,
            acl: acl.to_vec(),
            flags,
        };
        self.created(OpCode::Create, path, &request)
    }

    /// Makes a node that goes when its last child has gone. A server of 3.4 says Unimplemented.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn create_container(&self, path: &str, data: Option<&[u8]>, acl: &[Acl]) -> Result<String, Failure> {
        let request = CreateRequest {
            path: self.new_path(path, acl, false)?.into(),
            data,
            acl: acl.to_vec(),
            flags: 4,
        };
        self.created(OpCode::CreateContainer, path, &request)
    }

    /// Makes a node that goes when it was not changed for so long. A server of 3.4 says Unimplemented.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn create_for(
        &self,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        sequential: bool,
        ttl_ms: i64,
    ) -> Result<String, Failure> {
        let request = CreateTtlRequest {
            path: self.new_path(path, acl, sequential)?.into(),
            data,
            acl: acl.to_vec(),
            flags: if sequential { 6 } else { 5 },
            ttl_ms,
        };
        self.created(OpCode::CreateTtl, path, &request)
    }

    /// As whom the server knows this connection: schemes and users. A server before 3.7 says Unimplemented.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn who_am_i(&self) -> Result<Vec<(String, String)>, Failure> {
        let reply = self.repeat(|| self.begin(OpCode::WhoAmI, "", &Nothing, None))?;
        let list = reply
            .record::<Vec<ClientInfo<'_>>>()
            .map_err(Failure::Malformed)?;
        let list = list.map_err(|code| Failure::Server { code, path: None })?;
        let pair = |info: ClientInfo<'_>| (info.scheme.into_owned(), info.user.into_owned());
        Ok(list.into_iter().map(pair).collect())
    }

    /// The session's ephemerals below a path, sorted. A server before 3.6 says Unimplemented.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn ephemerals(&self, path: &str) -> Result<Vec<String>, Failure> {
        let prefix = self.checked(path)?;
        let request = GetEphemeralsRequest {
            prefix: Some(prefix.into()),
        };
        let reply = self.repeat(|| self.begin(OpCode::GetEphemerals, path, &request, None))?;
        let list = reply.record::<Vec<String>>().map_err(Failure::Malformed)?;
        let list = list.map_err(|code| Failure::server(code, path))?;
        let mut paths: Vec<String> = list.iter().map(|path| self.address.to_user(path)).collect();
        paths.sort_unstable();
        Ok(paths)
    }

    /// How many nodes there are below one. A server before 3.6 says Unimplemented.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn count_below(&self, path: &str) -> Result<i32, Failure> {
        let request = PathOnly {
            path: self.checked(path)?.into(),
        };
        let reply = self.repeat(|| self.begin(OpCode::GetAllChildrenNumber, path, &request, None))?;
        reply
            .record()
            .map_err(Failure::Malformed)?
            .map_err(|code| Failure::server(code, path))
    }

    /// Sets a watch that stays. A server before 3.6 says Unimplemented.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn add_watch(&self, path: &str, subtree: bool) -> Result<(), Failure> {
        let on_server = self.checked(path)?;
        let request = AddWatchRequest {
            path: on_server.as_str().into(),
            mode: i32::from(subtree),
        };
        let kind = if subtree {
            WatchKind::Subtree
        } else {
            WatchKind::Node
        };
        let change = WatchChange::Set(kind, on_server.clone());
        let reply = self.repeat(|| self.begin(OpCode::AddWatch, path, &request, Some(change.clone())))?;
        reply.outcome().map_err(|code| Failure::server(code, path))
    }

    /// Takes watches of a node back; with `local` also if no server can be told. A server before 3.5 says
    /// Unimplemented.
    ///
    /// # Errors
    /// See [`Keeper::create`]; there is no such watch.
    pub fn remove_watches(&self, path: &str, kind: WatcherType, local: bool) -> Result<(), Failure> {
        let on_server = self.checked(path)?;
        let request = PathWatcherType {
            path: on_server.as_str().into(),
            kind: kind.number(),
        };
        let change = WatchChange::Forget {
            kind,
            path: on_server.clone(),
            local,
        };
        let pending = self.begin(OpCode::RemoveWatches, path, &request, Some(change));
        self.finish_plain(pending)
    }

    /// Removes a node.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn delete(&self, path: &str, version: i32) -> Result<(), Failure> {
        let pending = self.start_delete(path, version)?;
        self.finish_plain(pending)
    }

    /// Sends a removal, to be finished by [`Keeper::finish_plain`].
    ///
    /// # Errors
    /// A path that no node can have.
    pub fn start_delete(&self, path: &str, version: i32) -> Result<Pending, Failure> {
        let request = PathVersion {
            path: self.checked(path)?.into(),
            version,
        };
        Ok(self.begin(OpCode::Delete, path, &request, None))
    }

    /// The stat of a node, `None` if it is not there.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn exists(&self, path: &str, watch: bool) -> Result<Option<Stat>, Failure> {
        let reply = self.read(OpCode::Exists, path, watch)?;
        match reply.record().map_err(Failure::Malformed)? {
            Ok(stat) => Ok(Some(stat)),
            Err(ErrorCode::NoNode) => Ok(None),
            Err(code) => Err(Failure::server(code, path)),
        }
    }

    /// A node's data and stat.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn get_data(&self, path: &str, watch: bool) -> Result<NodeData, Failure> {
        let reply = self.read(OpCode::GetData, path, watch)?;
        let pair = reply.pair::<Option<&[u8]>, Stat>().map_err(Failure::Malformed)?;
        let (data, stat) = pair.map_err(|code| Failure::server(code, path))?;
        Ok((data.map(<[u8]>::to_vec), stat))
    }

    /// Replaces a node's data.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn set_data(&self, path: &str, data: &[u8], version: i32) -> Result<Stat, Failure> {
        let request = SetDataRequest {
            path: self.checked(path)?.into(),
            data: Some(data),
            version,
        };
        let reply = self.write(OpCode::SetData, path, &request)?;
        reply
            .record()
            .map_err(Failure::Malformed)?
            .map_err(|code| Failure::server(code, path))
    }

    /// A node's ACL and its stat.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn get_acl(&self, path: &str) -> Result<(Vec<Acl>, Stat), Failure> {
        let request = PathOnly {
            path: self.checked(path)?.into(),
        };
        let reply = self.repeat(|| self.begin(OpCode::GetAcl, path, &request, None))?;
        reply
            .pair()
            .map_err(Failure::Malformed)?
            .map_err(|code| Failure::server(code, path))
    }

    /// Replaces a node's ACL.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn set_acl(&self, path: &str, acl: &[Acl], version: i32) -> Result<Stat, Failure> {
        let checked = self.checked(path)?;
        if acl.is_empty() {
            return Err(Failure::Server {
                code: ErrorCode::InvalidAcl,
                path: None,
            });
        }
        let request = SetAclRequest {
            path: checked.into(),
            acl: acl.to_vec(),
            version,
        };
        let reply = self.write(OpCode::SetAcl, path, &request)?;
        reply
            .record()
            .map_err(Failure::Malformed)?
            .map_err(|code| Failure::server(code, path))
    }

    /// The names of a node's children, sorted, and its stat.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn children(&self, path: &str, watch: bool) -> Result<(Vec<String>, Stat), Failure> {
        let reply = self.read(OpCode::GetChildren2, path, watch)?;
        children_of(&reply, path)
    }

    /// Asks for children, to be finished by [`Keeper::finish_children`].
    ///
    /// # Errors
    /// A path that no node can have.
    pub fn start_children(&self, path: &str) -> Result<Pending, Failure> {
        let request = PathWatch {
            path: self.checked(path)?.into(),
            watch: false,
        };
        Ok(self.begin(OpCode::GetChildren2, path, &request, None))
    }

    /// Waits for the answer to [`Keeper::start_children`].
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn finish_children(&self, pending: Pending) -> Result<Vec<String>, Failure> {
        let path = pending.path.clone();
        let reply = self.wait(pending)?;
        Ok(children_of(&reply, &path)?.0)
    }

    /// The names of a node's children, if they come soon: for completion.
    pub fn peek_children(&self, path: &str, limit: Duration) -> Option<Vec<String>> {
        let pending = self.start_children(path).ok()?;
        let reply = pending.answer.recv_timeout(limit).ok()?.ok()?;
        Some(children_of(&reply, path).ok()?.0)
    }

    /// Waits until the server has what the leader had; an error code is a value.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn sync(&self, path: &str) -> Result<ErrorCode, Failure> {
        let request = PathOnly {
            path: self.checked(path)?.into(),
        };
        Ok(self.write(OpCode::Sync, path, &request)?.error)
    }

    /// Adds an identity, now and on each later connection.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn add_auth(&self, scheme: &str, auth: &[u8]) -> Result<(), Failure> {
        let answer = self.link.add_auth(scheme, auth);
        let path = String::new();
        let reply = self.wait(Pending { path, answer })?;
        reply.outcome().map_err(|_| Failure::Lost {
            lost: Lost::AuthFailed,
            path: None,
        })
    }

    /// Waits until a server has answered, the session is over, or the time is up. True if one has.
    pub fn wait_connected(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            match self.shown().state {
                State::Connected | State::ReadOnly => return true,
                State::Closed | State::AuthFailed => return false,
                State::Connecting if Instant::now() >= end => return false,
                State::Connecting => {}
            }
            select! {
                recv(self.interrupts) -> _ => return false,
                recv(after(LOOK_AGAIN)) -> _ => {}
            }
        }
    }

    /// Ends the session in order, if that does not take too long.
    pub fn close(&self, limit: Duration) {
        // What the answer is, and whether one came, changes nothing.
        let _either_way = self.link.close().recv_timeout(limit);
    }

    /// Waits for an answer without a record.
    ///
    /// # Errors
    /// See [`Keeper::create`].
    pub fn finish_plain(&self, pending: Pending) -> Result<(), Failure> {
        let path = pending.path.clone();
        let reply = self.wait(pending)?;
        reply.outcome().map_err(|code| Failure::server(code, &path))
    }

    /// What Java's client checks before it asks for a node.
    fn new_path(&self, path: &str, acl: &[Acl], sequential: bool) -> Result<String, Failure> {
        // The number of a sequential node makes a name of a trailing slash.
        let whole = if sequential {
            format!("{path}1")
        } else {
            path.to_owned()
        };
        path::validate(&whole).map_err(|why| Failure::path(&whole, why))?;
        match acl {
            [] => Err(Failure::Server {
                code: ErrorCode::InvalidAcl,
                path: None,
            }),
            _ => Ok(self.address.to_server(path)),
        }
    }

    fn created(&self, op: OpCode, path: &str, request: &impl Encode) -> Result<String, Failure> {
        let reply = self.write(op, path, request)?;
        reply.outcome().map_err(|code| Failure::server(code, path))?;
        // Behind the path, newer operations tell the stat.
        let made = String::decode(&mut Reader::new(&reply.body)).map_err(Failure::Malformed)?;
        Ok(self.address.to_user(&made))
    }

    fn read(&self, op: OpCode, path: &str, watch: bool) -> Result<Reply, Failure> {
        let on_server = self.checked(path)?;
        let request = PathWatch {
            path: on_server.as_str().into(),
            watch,
        };
        self.repeat(|| {
            self.begin(
                op,
                path,
                &request,
                watch.then(|| WatchChange::Set(kind_of(op), on_server.clone())),
            )
        })
    }

    fn write(&self, op: OpCode, path: &str, request: &impl Encode) -> Result<Reply, Failure> {
        self.wait(self.begin(op, path, request, None))
    }

    /// A read that a broken connection swallowed is asked again of the next server.
    fn repeat(&self, begin: impl Fn() -> Pending) -> Result<Reply, Failure> {
        for _ in 1..READ_TRIES {
            match self.wait(begin()) {
                Err(Failure::Lost {
                    lost: Lost::Connection(_),
                    ..
                }) if self.shown().session.is_some() => {}
                outcome => return outcome,
            }
        }
        self.wait(begin())
    }

    fn begin(&self, op: OpCode, path: &str, request: &impl Encode, watch: Option<WatchChange>) -> Pending {
        Pending {
            path: path.to_owned(),
            answer: self.link.ask(op, request.to_bytes(), watch),
        }
    }

    fn wait(&self, pending: Pending) -> Result<Reply, Failure> {
        let outcome = select! {
            recv(pending.answer) -> outcome => outcome,
            recv(self.interrupts) -> signal => return Err(Failure::Interrupted(signal.unwrap_or_default())),
        };
        // The thread is gone only with the session.
        let outcome = outcome.unwrap_or(Err(Lost::Closed));
        let path = Some(pending.path).filter(|path| !path.is_empty());
        outcome.map_err(|lost| Failure::Lost { lost, path })
    }

    fn checked(&self, path: &str) -> Result<String, Failure> {
        path::validate(path).map_err(|why| Failure::path(path, why))?;
        Ok(self.address.to_server(path))
    }
}

fn children_of(reply: &Reply, path: &str) -> Result<(Vec<String>, Stat), Failure> {
    let pair = reply.pair::<Vec<String>, Stat>().map_err(Failure::Malformed)?;
    let (mut names, stat) = pair.map_err(|code| Failure::server(code, path))?;
    names.sort_unstable();
    Ok((names, stat))
}

/// The record of a request that has none.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &mut Vec<u8>) {}
}

/// How often a read is asked.
const READ_TRIES: u32 = 3;
/// How soon a new state is noticed.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
