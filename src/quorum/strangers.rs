//! Callers on a leader's port that have not said who they are: few at a time, and told of once.

use std::collections::BTreeSet;

use super::log_once::LogOnce;
use crate::proto::LinkId;

/// The links that have not introduced themselves. Servers do so at once.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    /// The oldest first: links are numbered as they come.
    links: BTreeSet<LinkId>,
    told: LogOnce,
}

impl Strangers {
    /// A caller has come. Of too many, gives the one that has been silent longest: it is to make room.
    pub fn come(&mut self, link: LinkId) -> Option<LinkId> {
        self.links.insert(link);
        let oldest = self.links.first().copied();
        oldest.filter(|_| self.links.len() > MOST_STRANGERS)
    }

    /// A caller has said who it is.
    pub fn introduced(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// A link is over, for this reason. `remote` is its address, with a port.
    pub fn part(&mut self, now_ms: i64, link: LinkId, remote: &str, reason: &str) {
        if !self.links.remove(&link) {
            log::warn!("The link to the learner at {remote} is down: {reason}");
            log::warn!("******* GOODBYE {remote} ********");
            return;
        }
        let host = remote.rsplit_once(':').map_or(remote, |(host, _)| host);
        let level = match self.told.is_news(now_ms, host, "caller", reason) {
            true => log::Level::Warn,
            false => log::Level::Debug,
        };
        log::log!(level, "A caller at {remote} has not become a learner: {reason}");
    }
}

/// So many callers may be silent at once. Each has two threads and three handles of its socket.
const MOST_STRANGERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_too_many_makes_room_and_who_is_known_is_none_of_them() {
        let mut strangers = Strangers::default();
        assert!((0..64).all(|number| strangers.come(LinkId(number)).is_none()));
        strangers.introduced(LinkId(0));
        assert_eq!(strangers.come(LinkId(64)), None);
        assert_eq!(strangers.come(LinkId(65)), Some(LinkId(1)));
        strangers.part(0, LinkId(1), "/127.0.0.1:9", "too many");
        assert_eq!(strangers.come(LinkId(66)), Some(LinkId(2)));
    }
}
