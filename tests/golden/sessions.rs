//! SessionTracker: who lives until when, and where.
//!
//! ```text
//! > tracker tick=1000 now=10500     > at 13000 (and what expires then)
//! > add 1 2000    > touch 1 2000    > check 1 here    > check 1 3    > move 1 3    > closing 1    > remove 1
//! > buckets
//! ```

use oxkeeper::proto::{SessionId, Sid};
use oxkeeper::request::SessionTracker;
use oxkeeper::request::session_tracker::Owner;

use super::runner::play_all;
use super::words::Words;

#[test]
fn sessions() {
    play_all("sessions", 8, World::default, World::obey);
}

#[derive(Default)]
struct World {
    tracker: Option<SessionTracker>,
    now_ms: i64,
}

impl World {
    fn obey(&mut self, command: &str) -> Vec<String> {
        let (verb, words) = Words::of(command);
        if verb == "tracker" {
            self.now_ms = words.number_of("now").unwrap_or(0);
            let tick_ms = words.number_of("tick").expect("tick=");
            self.tracker = Some(SessionTracker::new(tick_ms, self.now_ms));
            return Vec::new();
        }
        let now_ms = self.now_ms;
        let tracker = self.tracker.as_mut().expect("a tracker");
        let id = || SessionId(words.number(0));
        let timeout_ms = || words.number(1) as i32;
        match verb {
            "at" => {
                self.now_ms = words.number(0);
                return expire(tracker, self.now_ms);
            }
            "add" => tracker.add(id(), timeout_ms(), now_ms),
            "touch" => return vec![format!("  alive: {}", tracker.touch(id(), timeout_ms(), now_ms))],
            "check" => return vec![verdict(tracker.check(id(), owner(words.at(1))))],
            "move" => return vec![verdict(tracker.set_owner(id(), owner(words.at(1))))],
            "closing" => tracker.set_closing(id()),
            "remove" => tracker.remove(id()),
            "buckets" => return buckets(tracker),
            _ => words.unknown(),
        }
        Vec::new()
    }
}

fn owner(word: &str) -> Owner {
    (word != "here").then(|| Sid(word.parse().expect("here, or a server")))
}

fn expire(tracker: &mut SessionTracker, now_ms: i64) -> Vec<String> {
    let expired = tracker.expire(now_ms);
    let line = |(id, timeout_ms)| format!("  {id} expires (timeout {timeout_ms} ms)");
    expired.into_iter().map(line).collect()
}

fn verdict<E: std::fmt::Display>(result: Result<(), E>) -> String {
    match result {
        Ok(()) => "  passes".to_owned(),
        Err(trouble) => format!("  {trouble}"),
    }
}

fn buckets(tracker: &SessionTracker) -> Vec<String> {
    let line = |(at_ms, ids): (i64, Vec<String>)| format!("  {at_ms}: {}", ids.join(" "));
    let all = tracker
        .buckets()
        .map(|(at_ms, ids)| (at_ms, ids.map(|id| id.to_string()).collect()));
    let mut lines: Vec<String> = all.map(line).collect();
    lines.push(format!(
        "  {} sessions, the next look at {}",
        tracker.len(),
        tracker.next_expiry_ms()
    ));
    lines
}
