//! A problem that lasts is told once, not at each attempt.

use std::collections::BTreeMap;

/// Remembers what was told lately.
#[derive(Debug, Default)]
pub(super) struct LogOnce {
    told: BTreeMap<(String, &'static str), Told>,
}

/// What was told of one problem.
#[derive(Debug)]
struct Told {
    last: String,
    at_ms: i64,
    /// Since when it changes, and how often it has.
    since_ms: i64,
    changes: usize,
}

impl LogOnce {
    /// Whether to tell `text` about `who` again: yes, if it is news, or has not been told for a while. What keeps
    /// changing is no news any more.
    pub fn is_news(&mut self, now_ms: i64, who: &str, kind: &'static str, text: &str) -> bool {
        let key = (who.to_owned(), kind);
        let Some(known) = self.told.get_mut(&key) else {
            if self.told.len() >= MOST_REMEMBERED {
                self.told.clear();
            }
            let told = Told {
                last: text.to_owned(),
                at_ms: now_ms,
                since_ms: now_ms,
                changes: 0,
            };
            self.told.insert(key, told);
            return true;
        };
        if now_ms - known.since_ms >= REPEAT_AFTER_MS {
            (known.since_ms, known.changes) = (now_ms, 0);
        }
        let is_same = known.last == text && now_ms - known.at_ms < REPEAT_AFTER_MS;
        if is_same || known.changes >= MOST_CHANGES {
            return false;
        }
        known.last.clear();
        known.last.push_str(text);
        known.at_ms = now_ms;
        known.changes += 1;
        true
    }

    /// The problem is over: when it comes back, that is news.
    pub fn forget(&mut self, who: &str, kind: &'static str) {
        self.told.remove(&(who.to_owned(), kind));
    }
}

/// A problem that still lasts is told again after this time.
const REPEAT_AFTER_MS: i64 = 600_000;
/// A problem may change so often in that time.
const MOST_CHANGES: usize = 8;
/// So many problems are remembered; a flood of others only makes the log longer, not the memory.
const MOST_REMEMBERED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_news_once_and_again_when_it_changes_or_lasts() {
        let mut log = LogOnce::default();
        assert!(log.is_news(0, "2", "dial", "refused"));
        assert!(!log.is_news(1, "2", "dial", "refused"));
        assert!(log.is_news(1, "3", "dial", "refused"));
        assert!(log.is_news(1, "2", "link", "refused"));
        assert!(log.is_news(2, "2", "dial", "no route"));
        assert!(!log.is_news(600_001, "2", "dial", "no route"));
        assert!(log.is_news(600_002, "2", "dial", "no route"));
        log.forget("2", "dial");
        assert!(log.is_news(600_003, "2", "dial", "no route"));
    }

    #[test]
    fn what_keeps_changing_is_told_a_few_times_only() {
        let mut log = LogOnce::default();
        let mut news = |now_ms| {
            let texts = (0..1_000).map(|number: i32| (now_ms + i64::from(number), (number % 3).to_string()));
            texts
                .filter(|(at_ms, text)| log.is_news(*at_ms, "/127.0.0.1", "hello", text))
                .count()
        };
        assert_eq!(news(0), 9);
        assert_eq!(news(1_000), 0);
        assert_eq!(news(700_000), 8);
    }

    #[test]
    fn memory_is_bounded() {
        let mut log = LogOnce::default();
        for number in 0..10_000 {
            log.is_news(0, &number.to_string(), "dial", "refused");
        }
        assert!(log.told.len() <= MOST_REMEMBERED);
    }
}
