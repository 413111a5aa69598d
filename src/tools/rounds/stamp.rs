//! The times of log lines, as log4j's `%d{ISO8601}` writes them: `2026-01-31 12:00:00,123`, without a zone.
//!
//! Nothing is converted: all logs are taken to be of one zone, and `--offset` mends the rest.

use std::fmt;

use jiff::civil::{DateTime, date};
use jiff::{Span, Unit};

/// A moment of a log's clock, in milliseconds since 1970 by that clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Stamp(pub i64);

impl Stamp {
    /// How many bytes a time has in a log line.
    pub const LEN: usize = 23;

    /// Reads a time that begins the text. A dot may stand for the comma, and a `T` for the blank.
    pub fn parse(text: &[u8]) -> Option<Stamp> {
        let text = text.get(..Stamp::LEN)?;
        let number = |from: usize, to: usize| -> Option<i32> {
            let digits = text.get(from..to)?;
            let all = digits.iter().all(u8::is_ascii_digit);
            all.then(|| digits.iter().fold(0, |n, digit| n * 10 + i32::from(digit - b'0')))
        };
        let signs = [4, 7, 10, 13, 16, 19].map(|at| text[at]);
        let well_cut = matches!(signs, [b'-', b'-', b' ' | b'T', b':', b':', b',' | b'.']);
        if !well_cut {
            return None;
        }
        let small = |from, to| number(from, to).and_then(|n| i8::try_from(n).ok());
        let year = i16::try_from(number(0, 4)?).ok()?;
        let moment = DateTime::new(
            year,
            small(5, 7)?,
            small(8, 10)?,
            small(11, 13)?,
            small(14, 16)?,
            // A leap second counts as the one before it.
            small(17, 19)?.min(59),
            number(20, 23)? * 1_000_000,
        );
        let since = moment.ok()?.since((Unit::Millisecond, epoch())).ok()?;
        Some(Stamp(since.get_milliseconds()))
    }

    /// This moment, moved.
    pub fn plus_ms(self, ms: i64) -> Stamp {
        Stamp(self.0.saturating_add(ms))
    }

    /// How long after another this is, in milliseconds.
    pub fn since(self, earlier: Stamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `2026-01-31`.
    pub fn day(self) -> String {
        self.civil().strftime("%Y-%m-%d").to_string()
    }

    /// `12:00:00.123`.
    pub fn clock(self) -> String {
        self.civil().strftime("%H:%M:%S.%3f").to_string()
    }

    fn civil(self) -> DateTime {
        // What an offset moves out of the calendar is shown at its edge.
        let moved = Span::new().try_milliseconds(self.0);
        let edge = if self.0 < 0 { DateTime::MIN } else { DateTime::MAX };
        moved.map_or(edge, |span| epoch().saturating_add(span))
    }
}

/// `2026-01-31 12:00:00.123`.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.day(), self.clock())
    }
}

/// A time that passed, as one says it: `312 ms`, `12.3 s`, `4 min 10 s`, `3 h 12 min`, `2 d 4 h`.
pub fn duration(ms: i64) -> String {
    let s = ms / 1_000;
    match ms {
        ..10_000 => format!("{ms} ms"),
        10_000..120_000 => format!("{s}.{} s", ms / 100 % 10),
        120_000..7_200_000 => format!("{} min {} s", s / 60, s % 60),
        7_200_000..172_800_000 => format!("{} h {} min", s / 3_600, s / 60 % 60),
        _ => format!("{} d {} h", s / 86_400, s / 3_600 % 24),
    }
}

fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_all_years_are_read_and_written() {
        for (text, ms) in [
            ("1970-01-01 00:00:00,000", 0),
            ("1969-12-31 23:59:59,999", -1),
            ("2024-02-29 12:00:00,007 [myid:1]", 1_709_208_000_007),
            ("2026-11-23T16:01:01.230", 1_795_449_661_230),
            ("2016-12-31 23:59:60,500", 1_483_228_799_500),
        ] {
            assert_eq!(Stamp::parse(text.as_bytes()), Some(Stamp(ms)), "{text}");
        }
        let stamp = Stamp(1_795_449_661_230);
        assert_eq!(stamp.to_string(), "2026-11-23 16:01:01.230");
        assert_eq!(stamp.plus_ms(770).to_string(), "2026-11-23 16:01:02.000");
        assert_eq!(Stamp(i64::MAX).plus_ms(1).day(), "9999-12-31");
        assert_eq!(Stamp(i64::MIN).day(), "-9999-01-01");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2026-11-23 16:01:01",
            "2026-11-23 16:01:01,23x",
            "2026-13-23 16:01:01,230",
            "2026-02-29 16:01:01,230",
            "2026-11-23 24:01:01,230",
            "2026/11/23 16:01:01,230",
            "\u{e9}\u{e9}-11-23 16:01:01,230",
            "-026-11-23 16:01:01,230",
        ] {
            assert_eq!(Stamp::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn durations_are_said_as_one_says_them() {
        for (ms, said) in [
            (0, "0 ms"),
            (-3, "-3 ms"),
            (9_999, "9999 ms"),
            (12_345, "12.3 s"),
            (250_000, "4 min 10 s"),
            (11_520_000, "3 h 12 min"),
            (190_000_000, "2 d 4 h"),
        ] {
            assert_eq!(duration(ms), said);
        }
    }
}
