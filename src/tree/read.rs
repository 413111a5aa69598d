//! Reads the stream that `walk.rs` and Java's servers write. (SerializeUtils.deserializeSnapshot,
//! DataTree.deserialize)
//!
//! A stream of Java's was written while its tree changed: a node may show more of the log than its parent,
//! or have an ACL number that the list of ACLs does not know yet. Both are taken; replaying the log mends
//! them. What no server could have written is refused.

use std::io::{self, Read};

use thiserror::Error;

use super::acl_cache::AclRef;
use super::data_tree::{DataTree, ROOT};
use super::node::Node;
use super::path::split;
use crate::proto::{Acl, Id, Perms, Reader, SessionId, StatPersisted};
use crate::proto::{Decode, Malformed};
use crate::seeded_fault::SeededFault;

/// Why a stream is no tree.
#[derive(Debug, Error)]
pub enum ReadTreeError {
    /// It ends too early, or cannot be read further.
    #[error("cannot read the tree at byte {offset}: {source}")]
    Io {
        /// Where, counted from the stream's beginning.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
    /// A field is not what it should be.
    #[error("the field at byte {offset} of the tree is wrong: {source}")]
    Field {
        /// Where the field begins.
        offset: u64,
        /// What is wrong; its own offset is within the field.
        source: Malformed,
    },
    /// A node stands before its parent, or has none.
    #[error("Invalid Datatree, unable to find parent {parent:?} of path {path:?} at byte {offset}")]
    NoParent {
        /// Where the node ends.
        offset: u64,
        /// The node.
        path: String,
        /// The parent it should have.
        parent: String,
    },
    /// A node comes twice, or its path is none.
    #[error("the node {path:?} at byte {offset} of the tree {what}")]
    Node {
        /// Where the node ends.
        offset: u64,
        /// Its path.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The end comes before the first node.
    #[error("the tree has no root at byte {offset}")]
    NoRoot {
        /// Where it ends.
        offset: u64,
    },
}

impl DataTree {
    /// Reads sessions, ACL lists and nodes, up to the path `/` that ends them and not a byte more. Many small
    /// reads are made: hand in something buffered. The zxid is not part of the stream; see
    /// [`DataTree::set_last_zxid`].
    ///
    /// # Errors
    /// [`ReadTreeError`]. Memory is taken only for bytes that are there.
    pub fn read_from(source: &mut impl Read) -> Result<DataTree, ReadTreeError> {
        let mut input = Input { source, offset: 0 };
        let root = Node::new("", None, AclRef::OPEN, &StatPersisted::default());
        let mut tree = DataTree::with_root(root);
        for _ in 0..input.int()? {
            let session = SessionId(input.long()?);
            tree.sessions.insert(session, input.int()?);
        }
        for _ in 0..input.int()? {
            let id = input.long()?;
            tree.acls.load(id, input.acl_list()?);
        }
        read_nodes(&mut tree, &mut input)?;
        tree.acls.purge_unused();
        tree.set_up_quotas();
        Ok(tree)
    }
}

/// Where the next node goes. Siblings come one after another: their parent is looked up once.
struct Cursor {
    has_root: bool,
    parent: u32,
    parent_path: String,
    without_acl: usize,
}

fn read_nodes(tree: &mut DataTree, input: &mut Input<'_, impl Read>) -> Result<(), ReadTreeError> {
    let mut cursor = Cursor {
        has_root: false,
        parent: ROOT,
        parent_path: String::new(),
        without_acl: 0,
    };
    let mut bytes = Vec::new();
    loop {
        input.buffer(&mut bytes)?;
        let path = String::from_utf8_lossy(&bytes);
        if path == "/" {
            break;
        }
        let name = split(&path).map_or("", |(_, name)| name);
        let (node, acl_id) = read_node(tree, input, name)?;
        place_node(tree, &mut cursor, &path, node, input.offset)?;
        report_acl(&mut cursor, &path, acl_id);
    }
    if cursor.without_acl > 1 {
        let count = cursor.without_acl;
        log::warn!(
            "{count} nodes have ACL ids that the snapshot does not know; only the super user may use them"
        );
    }
    match cursor.has_root {
        true => Ok(()),
        false => Err(ReadTreeError::NoRoot { offset: input.offset }),
    }
}

/// The record behind the path. The name and the data go into one buffer of the right size.
fn read_node(
    tree: &mut DataTree,
    input: &mut Input<'_, impl Read>,
    name: &str,
) -> Result<(Node, Option<i64>), ReadTreeError> {
    let data_len = input.length()?;
    let mut text = Vec::with_capacity(name.len() + data_len.unwrap_or(0).min(PIECE_BYTES));
    text.extend_from_slice(name.as_bytes());
    input.append(&mut text, data_len.unwrap_or(0))?;
    let fields: [u8; ACL_AND_STAT_BYTES] = input.bytes()?;
    let wrong = |source| ReadTreeError::Field {
        offset: input.offset - ACL_AND_STAT_BYTES as u64,
        source,
    };
    let mut reader = Reader::new(&fields);
    let acl_id = i64::decode(&mut reader).map_err(wrong)?;
    let mut stat = StatPersisted::decode(&mut reader).map_err(wrong)?;
    if SeededFault::PzxidNotRestored.on() {
        stat.pzxid = stat.czxid;
    }
    let acl = tree.acls.use_id(acl_id);
    let unknown = (!tree.acls.is_known(acl)).then_some(acl_id);
    Ok((
        Node::from_text(text, name.len(), data_len.is_none(), acl, &stat),
        unknown,
    ))
}

fn place_node(
    tree: &mut DataTree,
    cursor: &mut Cursor,
    path: &str,
    node: Node,
    offset: u64,
) -> Result<(), ReadTreeError> {
    let wrong = |what| {
        let path = path.to_owned();
        Err(ReadTreeError::Node { offset, path, what })
    };
    if path.is_empty() {
        if cursor.has_root {
            return wrong("comes twice");
        }
        cursor.has_root = true;
        tree.replace_root(node);
        return Ok(());
    }
    let Some((parent_path, name)) = split(path) else {
        return wrong("is not under the root");
    };
    if name.is_empty() || parent_path == "/" {
        return wrong("has an empty name");
    }
    if cursor.parent_path != parent_path {
        cursor.parent = tree
            .find(parent_path)
            .ok_or_else(|| no_parent(path, parent_path, offset))?;
        parent_path.clone_into(&mut cursor.parent_path);
    }
    if !cursor.has_root {
        return Err(no_parent(path, parent_path, offset));
    }
    if tree.find(path).is_some() {
        return wrong("comes twice");
    }
    tree.insert_leaf(cursor.parent, path, node);
    Ok(())
}

fn no_parent(path: &str, parent: &str, offset: u64) -> ReadTreeError {
    ReadTreeError::NoParent {
        offset,
        path: path.to_owned(),
        parent: parent.to_owned(),
    }
}

/// Java ends such a read, and each later request for the node, with an exception.
fn report_acl(cursor: &mut Cursor, path: &str, unknown: Option<i64>) {
    let Some(id) = unknown else {
        return;
    };
    cursor.without_acl += 1;
    if cursor.without_acl <= ACL_WARNINGS {
        log::warn!("ACL not available for long {id} of node {path:?}: only the super user may use it");
    }
}

/// Bytes that come in pieces, counted.
struct Input<'r, R> {
    source: &'r mut R,
    offset: u64,
}

impl<R: Read> Input<'_, R> {
    fn int(&mut self) -> Result<i32, ReadTreeError> {
        self.bytes().map(i32::from_be_bytes)
    }

    fn long(&mut self) -> Result<i64, ReadTreeError> {
        self.bytes().map(i64::from_be_bytes)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ReadTreeError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// The length of a buffer, or `None` for null.
    fn length(&mut self) -> Result<Option<usize>, ReadTreeError> {
        let length = self.int()?;
        if length == -1 {
            return Ok(None);
        }
        let wrong = |_| ReadTreeError::Field {
            offset: self.offset - 4,
            source: Malformed::Length { offset: 0, length },
        };
        usize::try_from(length).map(Some).map_err(wrong)
    }

    /// A buffer that must not be null, in place of what `bytes` holds.
    fn buffer(&mut self, bytes: &mut Vec<u8>) -> Result<(), ReadTreeError> {
        let length = self.length()?.ok_or_else(|| self.null())?;
        bytes.clear();
        self.append(bytes, length)
    }

    /// Appends so many bytes, taking memory for what comes rather than for what is announced.
    fn append(&mut self, bytes: &mut Vec<u8>, mut length: usize) -> Result<(), ReadTreeError> {
        while length > 0 {
            let piece = length.min(PIECE_BYTES);
            let start = bytes.len();
            bytes.resize(start + piece, 0);
            self.fill(&mut bytes[start..])?;
            length -= piece;
        }
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), ReadTreeError> {
        let offset = self.offset;
        let wrong = |source| ReadTreeError::Io { offset, source };
        self.source.read_exact(bytes).map_err(wrong)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    fn acl_list(&mut self) -> Result<Vec<Acl>, ReadTreeError> {
        let count = self.int()?;
        if count == -1 {
            return Err(self.null());
        }
        let mut list = Vec::new();
        for _ in 0..count {
            let perms = Perms(self.int()?);
            let (scheme, id) = (self.text()?, self.text()?);
            list.push(Acl {
                perms,
                id: Id { scheme, id },
            });
        }
        Ok(list)
    }

    fn text(&mut self) -> Result<String, ReadTreeError> {
        let mut bytes = Vec::new();
        self.buffer(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The length just read says null.
    fn null(&self) -> ReadTreeError {
        ReadTreeError::Field {
            offset: self.offset - 4,
            source: Malformed::Null { offset: 0 },
        }
    }
}

/// The number of the ACL list, 8; four longs, three ints, two longs of the stat, 60.
const ACL_AND_STAT_BYTES: usize = 68;

/// Memory is taken for so many bytes before they are seen.
const PIECE_BYTES: usize = 1 << 16;

/// So many nodes are named whose ACL is lost; the others are counted.
const ACL_WARNINGS: usize = 100;
