//! How fast sessions may be asked for. (BlueThrottle of 3.6, without the part that drops by chance)

/// What the operator has set of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRules {
    /// How many tokens there are at most, and at first.
    pub most: i64,
    /// In this time, milliseconds,
    pub fill_time_ms: i64,
    /// so many come back.
    pub fill_count: i64,
}

/// Tokens, of which each handshake takes one. Without rules there is no end of them.
#[derive(Debug, Default)]
pub struct TokenBucket {
    rules: Option<TokenRules>,
    left: i64,
    filled_ms: Option<i64>,
    /// How many came in vain since somebody asked.
    refused: u64,
}

impl TokenBucket {
    /// A full one.
    pub fn new(rules: Option<TokenRules>) -> TokenBucket {
        TokenBucket {
            rules,
            left: rules.map_or(0, |rules| rules.most),
            filled_ms: None,
            refused: 0,
        }
    }

    /// Takes a token, if one is left.
    pub fn take(&mut self, now_ms: i64) -> bool {
        let Some(rules) = self.rules else {
            return true;
        };
        let passed_ms = now_ms - *self.filled_ms.get_or_insert(now_ms);
        if passed_ms > rules.fill_time_ms {
            let come_back = passed_ms.saturating_mul(rules.fill_count) / rules.fill_time_ms;
            self.left = self.left.saturating_add(come_back).min(rules.most);
            self.filled_ms = Some(now_ms);
        }
        let is_left = self.left > 0;
        if is_left {
            self.left -= 1;
        } else {
            self.refused += 1;
        }
        is_left
    }

    /// How many came in vain since this was asked last.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_takes_what_there_is_and_time_brings_it_back() {
        let rules = TokenRules {
            most: 2,
            fill_time_ms: 100,
            fill_count: 1,
        };
        let mut bucket = TokenBucket::new(Some(rules));
        let mut at = |times_ms: &[i64]| times_ms.iter().map(|&at| bucket.take(at)).collect::<Vec<_>>();
        assert_eq!(at(&[1_000, 1_000, 1_000, 1_100]), [true, true, false, false]);
        assert_eq!(at(&[1_101, 1_101]), [true, false]);
        // However long nobody came, no more than the bucket holds.
        assert_eq!(at(&[99_000, 99_000, 99_000]), [true, true, false]);
        assert_eq!(bucket.take_refused(), 4);
        assert_eq!(bucket.take_refused(), 0);
    }

    #[test]
    fn without_rules_nobody_is_refused() {
        let mut bucket = TokenBucket::default();
        assert!((0..1_000).all(|_| bucket.take(0)));
    }
}
