//! Limits on subtrees: a count of nodes and of bytes is kept in a node beside the limit, and going over a soft
//! limit is logged, never refused. (Quotas, StatsTrack, DataTree.updateCount)
//!
//! The limit of `/a` stands in `/zookeeper/quota/a/zookeeper_limits`, what is used in `.../zookeeper_stats`;
//! both are text, `count=3,bytes=-1`. What is used is rewritten in place: no version, no transaction.
//!
//! Behind the soft limits there may be hard ones, which 3.4 does not see and 3.7 brought:
//! `count=-1,bytes=-1=;byteHardLimit=100;countHardLimit=5`. The tree only tells them; who prepares writes keeps to
//! them if the operator wants it.
//!
//! Clients write these nodes as they like. Where 3.4.14 dies of a text that is no limit, or of a limit on the
//! root, here an error is logged and the limit has no effect.

use std::collections::BTreeSet;

use super::data_tree::{DataTree, NodeRef};
use super::path::split;

/// The paths that have a quota. Empty on most servers, hence free. (A set instead of Java's trie of maps:
/// a client may make paths of 100,000 components.)
#[derive(Debug, Default)]
pub(super) struct LimitedPaths {
    paths: BTreeSet<Box<str>>,
}

/// How much a subtree holds, or how much a change adds to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Nodes.
    pub count: i64,
    /// Bytes of data.
    pub bytes: i64,
}

/// The hard limits of a subtree, and what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HardQuota {
    /// How many nodes it may hold, if that is limited.
    pub count: Option<i64>,
    /// How many bytes, if that is limited.
    pub bytes: Option<i64>,
    /// What it holds.
    pub used: Amount,
}

/// What a limit allows or a subtree uses; -1 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StatsTrack {
    count: i32,
    bytes: i64,
}

impl LimitedPaths {
    fn add(&mut self, path: &str) {
        self.paths.insert(path.into());
    }

    /// Quotas above and below stay. (3.4.14 drops a nested one along with its only ancestor.)
    fn remove(&mut self, path: &str) {
        self.paths.remove(path);
    }

    /// The longest path with a quota that the given path is in.
    fn longest_prefix<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.paths.is_empty() {
            return None;
        }
        let above = |path: &&'a str| split(path).map(|(parent, _)| parent);
        std::iter::successors(Some(path), above).find(|&path| self.paths.contains(path))
    }
}

impl StatsTrack {
    /// Reads `count=N,bytes=M`. As in 3.4.14 only the order matters, not the words.
    fn parse(text: &[u8]) -> Option<StatsTrack> {
        let text = std::str::from_utf8(text).ok()?;
        let (count, bytes) = text.trim_end_matches(',').split_once(',')?;
        let number = |field: &str| field.split('=').nth(1).map(str::to_owned);
        if bytes.contains(',') {
            return None;
        }
        Some(StatsTrack {
            count: number(count)?.parse().ok()?,
            bytes: number(bytes)?.parse().ok()?,
        })
    }

    fn text(self) -> String {
        format!("count={},bytes={}", self.count, self.bytes)
    }
}

/// What quotas mean for changes that are not made yet.
impl DataTree {
    /// The subtree with a quota that a path is in: the innermost.
    pub fn limited_path<'a>(&self, path: &'a str) -> Option<&'a str> {
        self.quotas.longest_prefix(path)
    }

    /// The hard limits of such a subtree, if it has any.
    pub fn hard_quota(&self, limited: &str) -> Option<HardQuota> {
        let limits_path = format!("{QUOTA_PATH}{limited}/{LIMITS}");
        let limits = self.get(&limits_path)?;
        let limits = std::str::from_utf8(limits.data().unwrap_or_default()).ok()?;
        let (count, bytes) = (
            hard_limit(limits, "countHardLimit"),
            hard_limit(limits, "byteHardLimit"),
        );
        if count.is_none() && bytes.is_none() {
            return None;
        }
        let stats_path = format!("{QUOTA_PATH}{limited}/{STATS}");
        let Some(stats) = self.get(&stats_path) else {
            log::error!("{} {stats_path}", MISSING_COUNT[0]);
            return None;
        };
        let used = read_track(&stats_path, stats)?;
        let used = Amount {
            count: used.count.into(),
            bytes: used.bytes,
        };
        Some(HardQuota { count, bytes, used })
    }
}

/// What the changes of the tree mean for quotas.
impl DataTree {
    /// A node was made: perhaps one that makes a quota, perhaps one in a subtree with a quota.
    pub(super) fn quota_after_create(&mut self, path: &str, bytes: usize) {
        match quota_node(path) {
            Some((limited, LIMITS)) if !limited.is_empty() => self.quotas.add(limited),
            Some((limited, STATS)) => self.recount(limited),
            _ => {}
        }
        self.update_used(path, 1, bytes as i64);
    }

    /// A node was removed.
    pub(super) fn quota_after_delete(&mut self, path: &str, bytes: usize) {
        if let Some((limited, LIMITS)) = quota_node(path) {
            self.quotas.remove(limited);
        }
        self.update_used(path, -1, -(bytes as i64));
    }

    /// A node's data was replaced.
    pub(super) fn quota_after_set_data(&mut self, path: &str, old: usize, new: usize) {
        if let Some(limited) = self.quotas.longest_prefix(path) {
            self.update_bytes(limited, new as i64 - old as i64);
        }
    }

    /// Finds all quotas of a tree that was read, and counts what they limit. (DataTree.setupQuota)
    pub(super) fn set_up_quotas(&mut self) {
        let mut waiting: Vec<String> = vec![QUOTA_PATH.to_owned()];
        while let Some(path) = waiting.pop() {
            let Some(node) = self.get(&path) else {
                continue;
            };
            if node.child_count() > 0 {
                waiting.extend(node.children().map(|name| format!("{path}/{name}")));
            } else if let Some((limited, LIMITS)) = quota_node(&path) {
                self.recount(limited);
                if !limited.is_empty() {
                    self.quotas.add(limited);
                }
            }
        }
    }

    fn update_used(&mut self, path: &str, count: i32, bytes: i64) {
        if let Some(limited) = self.quotas.longest_prefix(path) {
            self.update_count(limited, count);
            self.update_bytes(limited, bytes);
        }
    }

    fn update_count(&mut self, limited: &str, diff: i32) {
        let add = |used: &mut StatsTrack| used.count = used.count.wrapping_add(diff);
        if let Some((used, limit)) = self.update_stats(limited, MISSING_COUNT, add)
            && limit.count > -1
            && limit.count < used.count
        {
            let (count, limit) = (used.count, limit.count);
            log::warn!("Quota exceeded: {limited} count={count} limit={limit}");
        }
    }

    fn update_bytes(&mut self, limited: &str, diff: i64) {
        let add = |used: &mut StatsTrack| used.bytes = used.bytes.wrapping_add(diff);
        if let Some((used, limit)) = self.update_stats(limited, MISSING_BYTES, add)
            && limit.bytes > -1
            && limit.bytes < used.bytes
        {
            let (bytes, limit) = (used.bytes, limit.bytes);
            log::warn!("Quota exceeded: {limited} bytes={bytes} limit={limit}");
        }
    }

    /// Rewrites what is used, and reads the limit to compare it with.
    fn update_stats(
        &mut self,
        limited: &str,
        [no_stats, no_limits]: [&str; 2],
        add: impl Fn(&mut StatsTrack),
    ) -> Option<(StatsTrack, StatsTrack)> {
        let stats_path = format!("{QUOTA_PATH}{limited}/{STATS}");
        let Some(id) = self.find(&stats_path) else {
            log::error!("{no_stats} {stats_path}");
            return None;
        };
        let mut used = read_track(&stats_path, self.node_ref(id))?;
        add(&mut used);
        self.replace_data(id, Some(used.text().as_bytes()));
        let limits_path = format!("{QUOTA_PATH}{limited}/{LIMITS}");
        let Some(limits) = self.get(&limits_path) else {
            log::error!("{no_limits} {limits_path}");
            return None;
        };
        Some((used, read_track(&limits_path, limits)?))
    }

    /// Counts a subtree and notes the sums in its stats node.
    fn recount(&mut self, limited: &str) {
        let stats_path = format!("{QUOTA_PATH}{limited}/{STATS}");
        let Some(stats) = self.find(&stats_path) else {
            log::warn!("Missing quota stat node {stats_path}");
            return;
        };
        let mut used = StatsTrack { count: 0, bytes: 0 };
        let mut waiting: Vec<u32> = self.find(limited).into_iter().collect();
        while let Some(id) = waiting.pop() {
            let node = &self.nodes[id];
            used.count = used.count.wrapping_add(1);
            used.bytes += node.data_len() as i64;
            waiting.extend(node.children().iter());
        }
        self.replace_data(stats, Some(used.text().as_bytes()));
    }
}

/// The path that is limited by a node below `/zookeeper/quota`, and which of a quota's two nodes it is.
fn quota_node(path: &str) -> Option<(&str, &str)> {
    let (limited, name) = split(path.strip_prefix(QUOTA_PATH)?)?;
    let is_path = limited.is_empty() || limited.starts_with('/');
    (is_path && (name == LIMITS || name == STATS)).then_some((limited, name))
}

/// Reads one of the pairs that follow the soft limits; below zero there is none. (StatsTrack of 3.9)
fn hard_limit(limits: &str, name: &str) -> Option<i64> {
    let mut pairs = limits.split([',', ';']).filter_map(|pair| pair.split_once('='));
    let (_, number) = pairs.rfind(|(key, _)| *key == name)?;
    number.parse().ok().filter(|limit| *limit > -1)
}

fn read_track(path: &str, node: NodeRef<'_>) -> Option<StatsTrack> {
    let track = StatsTrack::parse(node.data().unwrap_or_default());
    if track.is_none() {
        let data = String::from_utf8_lossy(node.data().unwrap_or_default());
        log::error!("The quota node {path} holds {data:?} instead of count=N,bytes=M; it has no effect");
    }
    track
}

/// Below it stand all quotas.
pub(super) const QUOTA_PATH: &str = "/zookeeper/quota";

/// What 3.4.14 logs when a quota lacks its stats node, and when it lacks its limits node.
const MISSING_COUNT: [&str; 2] = ["Missing count node for stat", "Missing count node for quota"];
const MISSING_BYTES: [&str; 2] = ["Missing stat node for bytes", "Missing quota node for bytes"];

const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_with_a_quota_is_found_by_whole_names() {
        let mut limited = LimitedPaths::default();
        assert_eq!(limited.longest_prefix("/a"), None);
        limited.add("/a");
        limited.add("/a/b/c");
        for (path, found) in [
            ("/a", Some("/a")),
            ("/a/b", Some("/a")),
            ("/a/b/c/d", Some("/a/b/c")),
            ("/ab", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(limited.longest_prefix(path), found, "{path}");
        }
        limited.remove("/a");
        assert_eq!(limited.longest_prefix("/a/b/c"), Some("/a/b/c"));
    }

    #[test]
    fn the_text_of_a_limit_is_read_as_java_reads_it() {
        let track = |count, bytes| Some(StatsTrack { count, bytes });
        for (text, read) in [
            ("count=5,bytes=-1", track(5, -1)),
            ("a=1,b=+2", track(1, 2)),
            ("count=1=9,bytes=2,,", track(1, 2)),
            ("count=1", None),
            ("count=1,bytes=2,x=3", None),
            ("count=,bytes=2", None),
            ("count= 1,bytes=2", None),
            ("count=2147483648,bytes=2", None),
            ("", None),
        ] {
            assert_eq!(StatsTrack::parse(text.as_bytes()), read, "{text}");
        }
    }

    #[test]
    fn hard_limits_stand_behind_the_soft_ones_where_3_4_does_not_look() {
        let text = "count=3,bytes=-1=;byteHardLimit=100;countHardLimit=5";
        assert_eq!(hard_limit(text, "countHardLimit"), Some(5));
        assert_eq!(hard_limit(text, "byteHardLimit"), Some(100));
        assert_eq!(
            StatsTrack::parse(text.as_bytes()),
            Some(StatsTrack { count: 3, bytes: -1 })
        );
        for none in [
            "count=3,bytes=4",
            "countHardLimit=-1",
            "countHardLimit=x",
            "xcountHardLimit=5",
        ] {
            assert_eq!(hard_limit(none, "countHardLimit"), None, "{none}");
        }
    }

    #[test]
    fn quota_nodes_are_told_by_their_place_and_name() {
        for (path, found) in [
            ("/zookeeper/quota/a/b/zookeeper_limits", Some(("/a/b", LIMITS))),
            ("/zookeeper/quota/zookeeper_stats", Some(("", STATS))),
            ("/zookeeper/quota/a/other", None),
            ("/zookeeper/quotas/zookeeper_limits", None),
            ("/zookeeper/zookeeper_limits", None),
            ("/zookeeper/quota", None),
        ] {
            assert_eq!(quota_node(path), found, "{path}");
        }
    }
}
