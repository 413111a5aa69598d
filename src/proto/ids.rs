//! Newtypes of the numbers that must not be mixed up. No bare `i64` crosses a room.

use std::fmt;

use super::jute::{Decode, Encode, Malformed, Reader};

macro_rules! id {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }

        impl Decode<'_> for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                <$inner>::decode(reader).map($name)
            }
        }
    };
}

id! {
    /// A transaction's number: the epoch of its leader in the upper 32 bits, a counter in the lower.
    Zxid(i64)
}
id! {
    /// A client's session. The upper byte names the server that made it. (SessionTrackerImpl)
    SessionId(i64)
}
id! {
    /// A request's number, chosen by the client; replies repeat it. Negative ones are the protocol's own.
    Xid(i32)
}
id! {
    /// A server's number: its `myid`.
    Sid(i64)
}
id! {
    /// A leader's reign.
    Epoch(i64)
}

id! {
    /// A round of elections, counted by each server; a server that hears of a later one joins it.
    Round(i64)
}

/// A client's connection to this server. The number is never used again while the server runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

/// A connection between a leader and a learner, as one of them counts them. Never used again while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

impl Zxid {
    /// The first number of an epoch, which no transaction has.
    pub fn of(epoch: Epoch, counter: u32) -> Zxid {
        Zxid((epoch.0 << 32) | i64::from(counter))
    }

    /// The reign in which the transaction was proposed.
    pub fn epoch(self) -> Epoch {
        Epoch(self.0 >> 32)
    }

    /// The transaction's place in its epoch.
    pub fn counter(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }

    /// The number that follows in the same epoch.
    pub fn next(self) -> Zxid {
        Zxid(self.0.wrapping_add(1))
    }
}

impl Epoch {
    /// The last one that can be: an epoch is the upper half of a zxid, which has a sign.
    pub const LAST: Epoch = Epoch(0x7fff_ffff);
}

impl Xid {
    /// A watch event.
    pub const NOTIFICATION: Xid = Xid(-1);
    /// A ping, and its answer.
    pub const PING: Xid = Xid(-2);
    /// An auth packet of Java's client.
    pub const AUTH: Xid = Xid(-4);
    /// A setWatches of Java's client.
    pub const SET_WATCHES: Xid = Xid(-8);
}

impl fmt::Display for Zxid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zxid_is_an_epoch_and_a_counter() {
        let zxid = Zxid::of(Epoch(5), 0xffff_fffe);
        assert_eq!((zxid.epoch(), zxid.counter()), (Epoch(5), 0xffff_fffe));
        assert_eq!(zxid.next().to_string(), "0x5ffffffff");
        assert_eq!(SessionId(-1).to_string(), "0xffffffffffffffff");
    }
}
