//! How long a node lives, as its stat's `ephemeralOwner` tells it. (EphemeralType of 3.9)

use super::ids::SessionId;

/// What ends a node that nobody deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Nothing.
    Persistent,
    /// The end of a session.
    Ephemeral(SessionId),
    /// The end of its last child. (3.5)
    Container,
    /// So many milliseconds without a change, once it has no children. (3.5)
    Ttl(i64),
}

impl Lifetime {
    /// What a stat says. To 3.4 every number but 0 is a session's.
    pub fn of(ephemeral_owner: i64) -> Lifetime {
        match ephemeral_owner {
            0 => Lifetime::Persistent,
            CONTAINER => Lifetime::Container,
            owner if owner & NOT_TTL == TTL && owner != TTL => Lifetime::Ttl(owner & !NOT_TTL),
            owner => Lifetime::Ephemeral(SessionId(owner)),
        }
    }

    /// What a stat says of it.
    pub fn ephemeral_owner(self) -> i64 {
        match self {
            Lifetime::Persistent => 0,
            Lifetime::Ephemeral(session) => session.0,
            Lifetime::Container => CONTAINER,
            Lifetime::Ttl(ttl_ms) => TTL | ttl_ms,
        }
    }

    /// A node that goes `ttl_ms` after its last change; `None` if no stat can say so.
    pub fn ttl(ttl_ms: i64) -> Option<Lifetime> {
        (ttl_ms > 0 && ttl_ms & NOT_TTL == 0).then_some(Lifetime::Ttl(ttl_ms))
    }

    /// The session that it ends with, if it does.
    pub fn session(self) -> Option<SessionId> {
        match self {
            Lifetime::Ephemeral(session) => Some(session),
            Lifetime::Persistent | Lifetime::Container | Lifetime::Ttl(_) => None,
        }
    }

    /// Whether the server itself looks after its end.
    pub fn is_looked_after(self) -> bool {
        matches!(self, Lifetime::Container | Lifetime::Ttl(_))
    }
}

/// The owner of every container.
const CONTAINER: i64 = i64::MIN;
/// The owner of a node with a time to live has these bits, and the time in the lower 40.
const TTL: i64 = 0xff << 56;
/// The bits that are no time: eight ones, and sixteen zeros that may name further kinds one day.
const NOT_TTL: i64 = !((1 << 40) - 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_tells_what_ends_a_node() {
        let all = [
            (0, Lifetime::Persistent),
            (
                0x0100_0000_0000_0001,
                Lifetime::Ephemeral(SessionId(0x0100_0000_0000_0001)),
            ),
            (i64::MIN, Lifetime::Container),
            (i64::MIN + 1, Lifetime::Ephemeral(SessionId(i64::MIN + 1))),
            (-1 << 56 | 5_000, Lifetime::Ttl(5_000)),
            (
                -1 << 56 | (1 << 40),
                Lifetime::Ephemeral(SessionId(-1 << 56 | (1 << 40))),
            ),
        ];
        for (owner, lifetime) in all {
            assert_eq!(
                (Lifetime::of(owner), lifetime.ephemeral_owner()),
                (lifetime, owner)
            );
        }
        let longest = (1 << 40) - 1;
        assert_eq!(Lifetime::ttl(longest), Some(Lifetime::Ttl(longest)));
        assert_eq!([0, -1, longest + 1].map(Lifetime::ttl), [None; 3]);
    }
}
