//! Records that requests, replies and files share: identities, ACLs, stats.

use std::borrow::Cow;

use super::ids::Zxid;
use super::jute::{Decode, Encode, Malformed, Reader};
use super::lifetime::Lifetime;

/// Who somebody is, in the words of an authentication scheme.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// The scheme: `world`, `auth`, `digest`, `ip`, `sasl`, `super`.
    pub scheme: String,
    /// The identity, as the scheme writes it.
    pub id: String,
}

impl Encode for Id {
    fn encode(&self, out: &mut Vec<u8>) {
        self.scheme.encode(out);
        self.id.encode(out);
    }
}

impl Decode<'_> for Id {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let scheme = String::decode(reader)?;
        // The identity of an `auth` entry is never looked at, and kazoo sends none. For the other schemes null is as
        // unreadable as it is to 3.4.14. (fixupACL)
        let id = if scheme == "auth" {
            Option::<Cow<'_, str>>::decode(reader)?
                .unwrap_or_default()
                .into_owned()
        } else {
            String::decode(reader)?
        };
        Ok(Id { scheme, id })
    }
}

record! {
    /// One entry of an access control list.
    #[derive(Hash, PartialOrd, Ord)]
    pub struct Acl {
        /// What is allowed.
        pub perms: Perms,
        /// To whom.
        pub id: Id,
    }
}

/// A set of permissions, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Perms(pub i32);

impl Perms {
    /// Read data and list children.
    pub const READ: Perms = Perms(1);
    /// Replace data.
    pub const WRITE: Perms = Perms(2);
    /// Make children.
    pub const CREATE: Perms = Perms(4);
    /// Remove children.
    pub const DELETE: Perms = Perms(8);
    /// Replace the ACL.
    pub const ADMIN: Perms = Perms(16);
    /// All of them.
    pub const ALL: Perms = Perms(31);

    /// Whether the sets have a permission in common.
    pub fn intersects(self, other: Perms) -> bool {
        self.0 & other.0 != 0
    }

    /// Both sets together.
    pub const fn union(self, other: Perms) -> Perms {
        Perms(self.0 | other.0)
    }
}

impl Encode for Perms {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
}

impl Decode<'_> for Perms {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        i32::decode(reader).map(Perms)
    }
}

impl Id {
    /// An identity of a scheme.
    pub fn new(scheme: impl Into<String>, id: impl Into<String>) -> Id {
        Id {
            scheme: scheme.into(),
            id: id.into(),
        }
    }
}

impl Acl {
    /// One entry.
    pub fn new(perms: Perms, scheme: impl Into<String>, id: impl Into<String>) -> Acl {
        Acl {
            perms,
            id: Id::new(scheme, id),
        }
    }

    /// The list that lets everybody do everything: `OPEN_ACL_UNSAFE` of Java's client.
    pub fn open() -> Vec<Acl> {
        vec![Acl::new(Perms::ALL, "world", "anyone")]
    }
}

record! {
    /// What clients are told of a node.
    #[derive(Copy, Default)]
    pub struct Stat {
        /// The transaction that made it.
        pub czxid: Zxid,
        /// The transaction that last replaced its data.
        pub mzxid: Zxid,
        /// When it was made, wall milliseconds.
        pub ctime: i64,
        /// When its data was last replaced, wall milliseconds.
        pub mtime: i64,
        /// How often its data was replaced.
        pub version: i32,
        /// How often its list of children changed.
        pub cversion: i32,
        /// How often its ACL was replaced.
        pub aversion: i32,
        /// The session that an ephemeral lives by, else 0.
        pub ephemeral_owner: i64,
        /// Bytes of data.
        pub data_length: i32,
        /// How many children it has.
        pub num_children: i32,
        /// The transaction that last made or removed a child.
        pub pzxid: Zxid,
    }
}

record! {
    /// What a snapshot holds of a node's stat. Here `cversion` counts creations only. (DataNode.copyStat)
    #[derive(Copy, Default)]
    pub struct StatPersisted {
        /// The transaction that made the node.
        pub czxid: Zxid,
        /// The transaction that last replaced its data.
        pub mzxid: Zxid,
        /// When it was made, wall milliseconds.
        pub ctime: i64,
        /// When its data was last replaced, wall milliseconds.
        pub mtime: i64,
        /// How often its data was replaced.
        pub version: i32,
        /// How many children were ever made.
        pub cversion: i32,
        /// How often its ACL was replaced.
        pub aversion: i32,
        /// The session that an ephemeral lives by, else 0.
        pub ephemeral_owner: i64,
        /// The transaction that last made or removed a child.
        pub pzxid: Zxid,
    }
}

impl StatPersisted {
    /// What clients are told: the shown `cversion` counts creations and removals. (DataNode.copyStat)
    pub fn shown(&self, data_length: usize, num_children: usize) -> Stat {
        // Frames bound data far below 2 GiB, and a node's index is 32 bits wide.
        let (data_length, num_children) = (data_length as i32, num_children as i32);
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime,
            mtime: self.mtime,
            version: self.version,
            cversion: self.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            // Containers and nodes with a time to live show no owner.
            ephemeral_owner: Lifetime::of(self.ephemeral_owner)
                .session()
                .map_or(0, |session| session.0),
            data_length,
            num_children,
            pzxid: self.pzxid,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_root_shows_a_cversion_of_minus_one() {
        // Seen on the running Java server: its root has the child /zookeeper, which nobody created.
        assert_eq!(StatPersisted::default().shown(0, 1).cversion, -1);
    }

    #[test]
    fn an_acl_is_perms_then_scheme_then_id() {
        let bytes = Acl::open().to_bytes();
        assert_eq!(bytes, b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world\0\0\0\x06anyone");
        assert_eq!(Vec::<Acl>::from_bytes(&bytes), Ok(Acl::open()));
    }

    #[test]
    fn an_auth_entry_may_have_no_identity() {
        let null = |scheme: &str| [scheme.to_owned().to_bytes(), (-1i32).to_bytes()].concat();
        let auth = Id {
            scheme: "auth".to_owned(),
            id: String::new(),
        };
        assert_eq!(Id::from_bytes(&null("auth")), Ok(auth));
        assert!(Id::from_bytes(&null("digest")).is_err());
    }
}
