//! One node, in few bytes.
//!
//! Most nodes of a large tree are leaves that nobody touched since they were made. Such a node is 56 bytes
//! and one allocation with its name and data; all else stands in [`More`], which is made when it is needed.

use super::acl_cache::AclRef;
use super::children::Children;
use crate::proto::{StatPersisted, Zxid};

/// A node without its path: it knows its parent and its own name.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The parent's number. The root's own is the root's.
    pub parent: u32,
    /// Where the parent's list of children names this node.
    pub slot: u32,
    /// Its access control list.
    pub acl: AclRef,
    // The name's length; the highest bit says that there is no data, not even empty data.
    name_len: u32,
    // The name and the data behind it.
    text: Box<[u8]>,
    czxid: Zxid,
    ctime: i64,
    more: Option<Box<More>>,
}

/// What an untouched leaf need not store.
#[derive(Debug, Clone)]
struct More {
    mzxid: Zxid,
    mtime: i64,
    pzxid: Zxid,
    ephemeral_owner: i64,
    version: i32,
    cversion: i32,
    aversion: i32,
    children: Children,
}

impl Node {
    pub(super) fn new(name: &str, data: Option<&[u8]>, acl: AclRef, stat: &StatPersisted) -> Node {
        let mut text = Vec::with_capacity(name.len() + data.map_or(0, <[u8]>::len));
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(data.unwrap_or_default());
        Node::from_text(text, name.len(), data.is_none(), acl, stat)
    }

    /// A node whose name and data stand in one buffer already, as a snapshot is read.
    pub(super) fn from_text(
        text: Vec<u8>,
        name_len: usize,
        null_data: bool,
        acl: AclRef,
        stat: &StatPersisted,
    ) -> Node {
        let mut node = Node {
            parent: 0,
            slot: 0,
            acl,
            name_len: name_bits(name_len, null_data),
            text: text.into_boxed_slice(),
            czxid: stat.czxid,
            ctime: stat.ctime,
            more: None,
        };
        if *stat != node.stat() {
            node.more = Some(Box::new(More {
                mzxid: stat.mzxid,
                mtime: stat.mtime,
                pzxid: stat.pzxid,
                ephemeral_owner: stat.ephemeral_owner,
                version: stat.version,
                cversion: stat.cversion,
                aversion: stat.aversion,
                children: Children::new(),
            }));
        }
        node
    }

    /// The name's bytes, which are UTF-8.
    pub(super) fn name_bytes(&self) -> &[u8] {
        &self.text[..self.name_len()]
    }

    pub(super) fn name(&self) -> &str {
        std::str::from_utf8(self.name_bytes()).expect("names are made of text only")
    }

    pub(super) fn data(&self) -> Option<&[u8]> {
        let is_null = self.name_len & NULL_DATA != 0;
        (!is_null).then(|| &self.text[self.name_len()..])
    }

    pub(super) fn data_len(&self) -> usize {
        self.text.len() - self.name_len()
    }

    pub(super) fn stat(&self) -> StatPersisted {
        let mut stat = StatPersisted {
            czxid: self.czxid,
            mzxid: self.czxid,
            ctime: self.ctime,
            mtime: self.ctime,
            pzxid: self.czxid,
            ..StatPersisted::default()
        };
        if let Some(more) = &self.more {
            stat.mzxid = more.mzxid;
            stat.mtime = more.mtime;
            stat.pzxid = more.pzxid;
            stat.ephemeral_owner = more.ephemeral_owner;
            stat.version = more.version;
            stat.cversion = more.cversion;
            stat.aversion = more.aversion;
        }
        stat
    }

    pub(super) fn czxid(&self) -> Zxid {
        self.czxid
    }

    pub(super) fn ephemeral_owner(&self) -> i64 {
        self.more.as_ref().map_or(0, |more| more.ephemeral_owner)
    }

    /// The numbers of its children; a clone of the list stays as it is while others change it.
    pub(super) fn children(&self) -> &Children {
        static NONE: Children = Children::new();
        self.more.as_ref().map_or(&NONE, |more| &more.children)
    }

    pub(super) fn set_data(&mut self, data: Option<&[u8]>) {
        let name_len = self.name_len();
        let mut text = Vec::with_capacity(name_len + data.map_or(0, <[u8]>::len));
        text.extend_from_slice(self.name_bytes());
        text.extend_from_slice(data.unwrap_or_default());
        self.text = text.into_boxed_slice();
        self.name_len = name_bits(name_len, data.is_none());
    }

    pub(super) fn set_modified(&mut self, mzxid: Zxid, mtime: i64, version: i32) {
        let more = self.more();
        (more.mzxid, more.mtime, more.version) = (mzxid, mtime, version);
    }

    pub(super) fn set_aversion(&mut self, aversion: i32) {
        self.more().aversion = aversion;
    }

    /// Notes a change of the list of children, if it is newer than what is noted.
    pub(super) fn raise_pzxid(&mut self, zxid: Zxid) {
        if self.stat().pzxid < zxid {
            self.more().pzxid = zxid;
        }
    }

    /// Raises the count of creations. The count wraps as in Java, hence "larger" is a short way ahead.
    pub(super) fn raise_cversion(&mut self, cversion: i32) {
        let more = self.more();
        if cversion.wrapping_sub(more.cversion) > 0 {
            more.cversion = cversion;
        }
    }

    /// Adds a child and says at which slot.
    pub(super) fn push_child(&mut self, id: u32) -> u32 {
        self.more().children.push(id)
    }

    /// Removes the child at a slot. The last child takes the slot; if it is another one, its number is told.
    pub(super) fn remove_child(&mut self, slot: u32) -> Option<u32> {
        self.more().children.swap_remove(slot)
    }

    fn name_len(&self) -> usize {
        (self.name_len & !NULL_DATA) as usize
    }

    fn more(&mut self) -> &mut More {
        let (czxid, ctime) = (self.czxid, self.ctime);
        self.more.get_or_insert_with(|| {
            Box::new(More {
                mzxid: czxid,
                mtime: ctime,
                pzxid: czxid,
                ephemeral_owner: 0,
                version: 0,
                cversion: 0,
                aversion: 0,
                children: Children::new(),
            })
        })
    }
}

fn name_bits(name_len: usize, null_data: bool) -> u32 {
    // A name is part of a frame, and frames are far below 2 GiB.
    name_len as u32 | if null_data { NULL_DATA } else { 0 }
}

const NULL_DATA: u32 = 1 << 31;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untouched_leaf_is_small() {
        assert_eq!(size_of::<Node>(), 56);
        assert_eq!(size_of::<More>(), 56);
        let stat = StatPersisted {
            czxid: Zxid(5),
            mzxid: Zxid(5),
            pzxid: Zxid(5),
            ctime: 9,
            mtime: 9,
            ..StatPersisted::default()
        };
        let node = Node::new("a", Some(b"xy"), AclRef::OPEN, &stat);
        assert!(node.more.is_none());
        assert_eq!(
            (node.stat(), node.name(), node.data()),
            (stat, "a", Some(&b"xy"[..]))
        );
    }

    #[test]
    fn null_data_is_not_empty_data() {
        let mut node = Node::new("a", None, AclRef::OPEN, &StatPersisted::default());
        assert_eq!((node.data(), node.data_len()), (None, 0));
        node.set_data(Some(b""));
        assert_eq!(node.data(), Some(&b""[..]));
    }

    #[test]
    fn cversion_wraps_as_in_java() {
        let mut node = Node::new("a", None, AclRef::OPEN, &StatPersisted::default());
        node.raise_cversion(i32::MAX);
        node.raise_cversion(7);
        assert_eq!(node.stat().cversion, i32::MAX);
        node.raise_cversion(i32::MIN);
        assert_eq!(node.stat().cversion, i32::MIN);
    }
}
