//! A problem that lasts is told once, not at each attempt.

use std::collections::BTreeMap;

/// Remembers what was told lately.
#[derive(Debug, Default)]
pub(super) struct LogOnce {
    told: BTreeMap<(String, &'static str), (String, i64)>,
}

impl LogOnce {
    /// Whether to tell `text` about `who` again: yes, if it is news, or has not been told for a while.
    pub fn is_news(&mut self, now_ms: i64, who: &str, kind: &'static str, text: &str) -> bool {
        let key = (who.to_owned(), kind);
        let known = self.told.get(&key);
        if known.is_some_and(|(last, at_ms)| last == text && now_ms - at_ms < REPEAT_AFTER_MS) {
            return false;
        }
        if known.is_none() && self.told.len() >= MOST_REMEMBERED {
            self.told.clear();
        }
        self.told.insert(key, (text.to_owned(), now_ms));
        true
    }

    /// The problem is over: when it comes back, that is news.
    pub fn forget(&mut self, who: &str, kind: &'static str) {
        self.told.remove(&(who.to_owned(), kind));
    }
}

/// A problem that still lasts is told again after this time.
const REPEAT_AFTER_MS: i64 = 600_000;
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
    fn memory_is_bounded() {
        let mut log = LogOnce::default();
        for number in 0..10_000 {
            log.is_news(0, &number.to_string(), "dial", "refused");
        }
        assert!(log.told.len() <= MOST_REMEMBERED);
    }
}
