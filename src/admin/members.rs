//! What the other members of the ensemble say of themselves, and when that changed. Whoever asks them (a thread
//! with sockets) hands the texts in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::proto::Sid;

/// One member by its own view, from its answer to `srvr`. Figures it does not tell are missing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct View {
    /// `leader`, `follower`, `observer`, `standalone`, `read-only`.
    pub mode: Option<String>,
    /// The version that it claims.
    pub version: Option<String>,
    /// The last change it has applied.
    pub zxid: Option<i64>,
    /// Latencies: smallest, mean, largest.
    pub latencies_ms: Option<String>,
    /// Requests received.
    pub received: Option<i64>,
    /// Open connections.
    pub connections: Option<i64>,
    /// Requests not answered yet.
    pub outstanding: Option<i64>,
    /// Nodes of its tree.
    pub nodes: Option<i64>,
}

/// What is known of a member.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its view of itself, or why there is none.
    pub view: Result<View, String>,
    /// When it was asked last, wall milliseconds.
    pub asked_wall_ms: i64,
    /// Requests a second between the last two answers.
    pub requests_per_s: Option<f64>,
}

/// A change of a member's role, as it was noticed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleChange {
    /// When it was noticed, wall milliseconds.
    pub wall_ms: i64,
    /// Whose.
    pub sid: Sid,
    /// What it was before, in its own words or in ours.
    pub from: String,
    /// What it is now.
    pub to: String,
}

/// All that is known, shared by the thread that asks and those that show it.
#[derive(Debug, Default)]
pub struct Members(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    members: BTreeMap<Sid, Member>,
    changes: VecDeque<RoleChange>,
    wanted_until_ms: i64,
}

impl Members {
    /// Somebody looks at the page: the members are to be asked for a while. Elapsed milliseconds.
    pub fn want(&self, now_ms: i64) {
        self.lock().wanted_until_ms = now_ms + WANTED_MS;
    }

    /// Whether somebody looks at the page.
    pub fn are_wanted(&self, now_ms: i64) -> bool {
        now_ms < self.lock().wanted_until_ms
    }

    /// A member has answered `srvr`, or has not.
    pub fn take(&self, sid: Sid, answer: Result<&str, String>, wall_ms: i64) {
        let view = answer.and_then(|text| View::read(text).ok_or_else(|| first_line(text)));
        let mut inner = self.lock();
        let before = inner.members.get(&sid);
        let (from, to) = (before.map(Member::role), role(&view));
        let requests_per_s = before.and_then(|before| before.rate(&view, wall_ms));
        if let Some(from) = from.filter(|from| *from != to) {
            if inner.changes.len() >= MOST_CHANGES {
                inner.changes.pop_front();
            }
            inner.changes.push_back(RoleChange {
                wall_ms,
                sid,
                from,
                to,
            });
        }
        inner.members.insert(
            sid,
            Member {
                view,
                asked_wall_ms: wall_ms,
                requests_per_s,
            },
        );
    }

    /// All members that were asked.
    pub fn all(&self) -> BTreeMap<Sid, Member> {
        self.lock().members.clone()
    }

    /// The changes of roles noticed, the oldest first.
    pub fn changes(&self) -> Vec<RoleChange> {
        self.lock().changes.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; what is inside is whole in any case.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn role(&self) -> String {
        role(&self.view)
    }

    fn rate(&self, later: &Result<View, String>, wall_ms: i64) -> Option<f64> {
        let before = self.view.as_ref().ok()?.received?;
        let after = later.as_ref().ok()?.received?;
        let seconds = (wall_ms - self.asked_wall_ms) as f64 / 1_000.0;
        (after >= before && seconds > 0.0).then(|| (after - before) as f64 / seconds)
    }
}

impl View {
    /// Reads the answer of `srvr`; none if it is none, as the text of a server that does not serve.
    pub fn read(text: &str) -> Option<View> {
        let value = |key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
            line.map(|value| value.trim().chars().take(MOST_CHARS).collect::<String>())
        };
        let number = |key| value(key)?.parse().ok();
        let zxid = value("Zxid").and_then(|zxid| u64::from_str_radix(zxid.strip_prefix("0x")?, 16).ok());
        Some(View {
            mode: Some(value("Mode")?),
            version: value("Zookeeper version"),
            zxid: zxid.map(|zxid| zxid as i64),
            latencies_ms: value("Latency min/avg/max"),
            received: number("Received"),
            connections: number("Connections"),
            outstanding: number("Outstanding"),
            nodes: number("Node count"),
        })
    }
}

/// The number of the server that has answered `conf`, if it has told it.
pub fn server_id(conf: &str) -> Option<Sid> {
    let line = conf.lines().find_map(|line| line.strip_prefix("serverId="))?;
    line.trim().parse().ok().map(Sid)
}

fn role(view: &Result<View, String>) -> String {
    match view {
        Ok(view) => view.mode.clone().unwrap_or_default(),
        Err(reason) => reason.clone(),
    }
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().trim();
    let line = if line.is_empty() { "an empty answer" } else { line };
    line.chars().take(MOST_CHARS).collect()
}

const WANTED_MS: i64 = 15_000;
const MOST_CHANGES: usize = 64;
const MOST_CHARS: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    const SRVR: &str = "Zookeeper version: 3.4.14-x, built on y\nLatency min/avg/max: 0/0.5/12\nReceived: 40\n\
                        Sent: 39\nConnections: 2\nOutstanding: 0\nZxid: 0x100000004\nMode: leader\nNode count: 5\n";

    #[test]
    fn a_view_is_read_from_the_words_of_any_version() {
        let view = View::read(SRVR).expect("a view");
        assert_eq!(
            (view.mode.as_deref(), view.zxid),
            (Some("leader"), Some(0x1_0000_0004))
        );
        assert_eq!(
            (view.latencies_ms.as_deref(), view.nodes),
            (Some("0/0.5/12"), Some(5))
        );
        assert_eq!(
            View::read("This ZooKeeper instance is not currently serving requests\n"),
            None
        );
        assert_eq!(server_id("clientPort=2181\nserverId=3\n"), Some(Sid(3)));
    }

    #[test]
    fn changes_of_role_and_rates_are_noticed() {
        let members = Members::default();
        members.take(Sid(2), Ok(SRVR), 1_000);
        members.take(Sid(2), Ok(&SRVR.replace("Received: 40", "Received: 60")), 3_000);
        assert_eq!(members.all()[&Sid(2)].requests_per_s, Some(10.0));
        assert_eq!(members.changes(), []);
        members.take(Sid(2), Err("nobody listens".to_owned()), 5_000);
        members.take(Sid(2), Ok(&SRVR.replace("leader", "follower")), 7_000);
        let changes: Vec<String> = members
            .changes()
            .iter()
            .map(|c| format!("{} > {}", c.from, c.to))
            .collect();
        assert_eq!(changes, ["leader > nobody listens", "nobody listens > follower"]);
        members.want(100);
        assert!(members.are_wanted(101) && !members.are_wanted(100_000));
    }
}
