//! One line of a log, taken apart.
//!
//! ```text
//! 2026-01-31 12:00:00,123 [myid:1] - INFO  [QuorumPeer[myid=1]/0.0.0.0:2181:QuorumPeer@910] - LOOKING
//! ```
//! That is `%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n`, the console and the file of 3.4.14. The
//! pattern of its trace file (`[%x]` behind), one without `[myid:..]`, and what others put before the time (the
//! names of containers, the journal's columns) are understood as well.

use crate::proto::Sid;

use super::stamp::Stamp;

/// A line that begins an entry of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written.
    pub at: Stamp,
    /// Who wrote it, if the line tells.
    pub node: Option<Sid>,
    /// The thread, with class and line behind it.
    pub thread: &'a str,
    /// What it says.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// Takes a line apart; none if it does not begin an entry.
    pub fn parse(line: &'a str) -> Option<Line<'a>> {
        let (at, rest) = find_stamp(line)?;
        let (head, text) = split_head(rest)?;
        let (_, thread) = head.rsplit_once(" [")?;
        let from_mdc = rest.split_once("[myid:").filter(|(before, _)| before.len() < 3);
        let node = from_mdc
            .and_then(|(_, rest)| number_before(rest, ']'))
            .or_else(|| {
                head.split_once("[myid=")
                    .and_then(|(_, rest)| number_before(rest, ']'))
            });
        Some(Line {
            at,
            node,
            thread: thread.rsplit_once(':').map_or(thread, |(name, _)| name),
            text,
        })
    }
}

/// The number that the text begins with, if this sign follows it.
pub fn number_before(text: &str, sign: char) -> Option<Sid> {
    let (digits, _) = text.split_once(sign)?;
    digits.parse().ok().map(Sid)
}

/// The first time in the line, with what follows it. Others' columns before it are not long.
fn find_stamp(line: &str) -> Option<(Stamp, &str)> {
    let bytes = line.as_bytes();
    let starts = 0..=bytes.len().checked_sub(Stamp::LEN)?.min(LONGEST_PREFIX);
    let mut candidates = starts.filter(|&at| bytes[at].is_ascii_digit() && bytes[at + 4] == b'-');
    candidates.find_map(|at| Some((Stamp::parse(&bytes[at..])?, line.get(at + Stamp::LEN..)?)))
}

/// Cuts behind `LEVEL [thread:class@line] - `, where the text begins.
fn split_head(rest: &str) -> Option<(&str, &str)> {
    let levels = LEVELS.iter().filter_map(|level| rest.find(level));
    let begin = levels.min().filter(|&at| at < LONGEST_PREFIX)?;
    let end = begin + rest[begin..].find("] - ")?;
    Some((&rest[..=end], &rest[end + "] - ".len()..]))
}

const LEVELS: [&str; 6] = [" INFO ", " WARN ", " ERROR ", " DEBUG ", " TRACE ", " FATAL "];
/// How many bytes of a line may stand before what is looked for.
const LONGEST_PREFIX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> Option<(Option<i64>, &str, &str)> {
        Line::parse(line).map(|line| (line.node.map(|sid| sid.0), line.thread, line.text))
    }

    #[test]
    fn the_lines_of_all_patterns_are_taken_apart() {
        let peer = "QuorumPeer[myid=2]/[0:0:0:0:0:0:0:0]:2181";
        for (line, expected) in [
            (
                format!("2026-01-31 12:00:00,123 [myid:1] - INFO  [{peer}:QuorumPeer@910] - LOOKING"),
                (Some(1), peer, "LOOKING"),
            ),
            (
                format!("2026-01-31 12:00:00,123 - INFO  [{peer}:QuorumPeer@910] - a - b] - c"),
                (Some(2), peer, "a - b] - c"),
            ),
            (
                "2026-01-31 12:00:00,123 [myid:] - WARN  [main:X@1] - ".to_owned(),
                (None, "main", ""),
            ),
            (
                format!("zoo1  | 2026-01-31 12:00:00,123 [myid:7] - ERROR [{peer}:Leader@9][] - x"),
                (Some(7), peer, "x"),
            ),
            (
                "Jan 31 12:00:00 host zk[99]: 2026-01-31 12:00:00.123 [myid:3] - WARN  [RecvWorker:1:A$B@5] - y"
                    .to_owned(),
                (Some(3), "RecvWorker:1", "y"),
            ),
        ] {
            assert_eq!(parts(&line), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_begins_no_entry_is_none() {
        for line in [
            "",
            "java.io.EOFException",
            "\tat java.base/java.io.DataInputStream.readInt(DataInputStream.java:386)",
            "2026-01-31 12:00:00,123",
            "2026-01-31 12:00:00,123 [myid:1] - INFO  [main",
            "2026-01-31 12:00:00,123 LOOKING",
            "\u{1f980}2026-01-31 12:00:00,12\u{1f980}",
        ] {
            assert_eq!(parts(line), None, "{line}");
        }
    }
}
