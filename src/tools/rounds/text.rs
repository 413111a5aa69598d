//! The time line as text: one row for each thing that happened, with a column for each server.
//!
//! ```text
//!                1  2  3
//! 16:01:01.265  [?] .  .   1 votes for itself (epoch 0, zxid 0x0)
//! 16:01:01.410  [?]--->?   1 votes for 3 instead of 2: same epoch and zxid, id 3 > 2
//! ```
//! Without colour and width it is plain ASCII and always the same for the same logs, whatever is live.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::proto::Sid;

use super::model::Note;
use super::round::{Fact, Item, Lane, Outcome, Part, Reign};
use super::stamp::{Stamp, duration};
use super::words;

/// How to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// A colour for each server.
    pub colour: bool,
    /// Break longer lines here.
    pub columns: Option<usize>,
}

/// Writes notes as they come.
#[derive(Debug, Default)]
pub struct TextWriter {
    style: Style,
    /// The servers that have a column, in the order in which they got their colours.
    order: Vec<Sid>,
    /// Those that are known to come.
    columns: BTreeSet<Sid>,
    /// Those in the header that was written last.
    header: Vec<Sid>,
    day: String,
}

impl TextWriter {
    /// Writes like this.
    pub fn new(style: Style) -> TextWriter {
        TextWriter {
            style,
            ..TextWriter::default()
        }
    }

    /// One line for each part, before all of them.
    pub fn contents(&mut self, parts: &[Part]) -> String {
        self.columns = parts
            .iter()
            .flat_map(|part| part.members.keys().copied())
            .collect();
        let mut out = String::new();
        let mut day = String::new();
        for part in parts {
            if part.began.day() != day {
                day = part.began.day();
                out.push_str(&format!("{day}\n"));
            }
            let line = format!(
                "{}  {:<9}  {}",
                part.began.clock(),
                words::title(part),
                words::headline(part)
            );
            let bold = matches!(part.outcome, Outcome::Elected(_));
            out.push_str(&self.wrapped(&line, CLOCK + 2 + 9 + 2, bold));
        }
        out
    }

    /// The text of a note.
    pub fn write(&mut self, note: &Note) -> String {
        match note {
            Note::Begins(at, before) => self.begins(*at, before.as_ref()),
            Note::Happened(item) => self.row(item),
            Note::Ends(part) => self.ends(part),
        }
    }

    fn begins(&mut self, at: Stamp, before: Option<&Reign>) -> String {
        self.header.clear();
        self.day = at.day();
        let before = before.map_or(String::new(), |reign| format!("  {}", words::before(reign, at)));
        format!(
            "\n{}",
            self.wrapped(&format!("-- {}{before}", self.day), 3, false)
        )
    }

    fn row(&mut self, item: &Item) -> String {
        let mut out = String::new();
        self.columns.extend(item.lanes.keys());
        let shown: Vec<Sid> = self.columns.iter().copied().take(MOST_LANES).collect();
        for sid in &shown {
            if !self.order.contains(sid) {
                self.order.push(*sid);
            }
        }
        if shown != self.header {
            let names: String = shown
                .iter()
                .map(|&sid| self.paint(sid, &format!("{sid:^3}"), false))
                .collect();
            let _ = writeln!(out, "{:CLOCK$}  {}", "", names.trim_end());
            self.header.clone_from(&shown);
        }
        if item.at.day() != self.day {
            self.day = item.at.day();
            let _ = writeln!(out, "-- {}", self.day);
        }
        let lanes = self.lanes(item, &shown);
        let head = format!("{}  {lanes}  ", item.at.clock());
        let indent = CLOCK + 2 + 3 * shown.len() + 2;
        let text = format!("{} {}", item.node, words::fact(item));
        let loud = matches!(item.fact, Fact::Settles { .. } | Fact::Serves(..));
        let lines = wrap(
            &text,
            self.style.columns.map(|columns| columns.saturating_sub(indent)),
        );
        for (index, line) in lines.iter().enumerate() {
            let line = self.paint(item.node, line, loud);
            let _ = match index {
                0 => writeln!(out, "{head}{line}"),
                _ => writeln!(out, "{:indent$}{line}", ""),
            };
        }
        out
    }

    /// The cells of a row: who acts is in brackets, an arrow goes to whom it is about.
    fn lanes(&self, item: &Item, shown: &[Sid]) -> String {
        let place = |sid: Sid| shown.iter().position(|other| *other == sid);
        let from = place(item.node);
        let to = arrow(&item.fact)
            .then(|| item.fact.other())
            .flatten()
            .and_then(place)
            .filter(|to| Some(*to) != from);
        let mut out = String::new();
        for (index, sid) in shown.iter().enumerate() {
            let letter = letter(item.lanes.get(sid).copied().unwrap_or_default());
            let between = |at: usize| matches!((from, to), (Some(from), Some(to)) if from.min(to) < at && at < from.max(to));
            let rightwards = from < to;
            let cell = match () {
                () if Some(index) == from => format!("[{letter}]"),
                () if Some(index) == to && rightwards => format!(">{letter} "),
                () if Some(index) == to => format!(" {letter}<"),
                () if between(index) => "---".to_owned(),
                () => format!(" {letter} "),
            };
            let painter = if between(index) { item.node } else { *sid };
            out.push_str(&self.paint(painter, &cell, Some(index) == from));
        }
        out
    }

    fn ends(&mut self, part: &Part) -> String {
        let mut out = String::new();
        if part.left_out > 0 {
            let _ = writeln!(out, "{:CLOCK$}  ({} more things happened)", "", part.left_out);
        }
        for (sid, line) in members(part) {
            let lines = self.wrapped_in(sid, &format!("   {line}"), 6);
            out.push_str(&lines);
        }
        let line = format!("=> {}: {}", words::title(part), words::headline(part));
        out.push_str(&self.wrapped(&line, 3, true));
        if let Some(times) = words::times(part) {
            out.push_str(&self.wrapped(&format!("   {times}"), 3, false));
        }
        out
    }

    fn wrapped_in(&self, sid: Sid, text: &str, indent: usize) -> String {
        self.broken(text, indent, |line| self.paint(sid, line, false))
    }

    fn wrapped(&self, text: &str, indent: usize, bold: bool) -> String {
        self.broken(text, indent, |line| match bold && self.style.colour {
            true => format!("\u{1b}[1m{line}\u{1b}[0m"),
            false => line.to_owned(),
        })
    }

    fn broken(&self, text: &str, indent: usize, paint: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        let first = wrap(text, self.style.columns);
        let Some((head, _)) = first.split_first() else {
            return out;
        };
        let _ = writeln!(out, "{}", paint(head));
        let rest = text[head.len()..].trim_start();
        if rest.is_empty() {
            return out;
        }
        for line in wrap(
            rest,
            self.style.columns.map(|columns| columns.saturating_sub(indent)),
        ) {
            let _ = writeln!(out, "{:indent$}{}", "", paint(line));
        }
        out
    }

    fn paint(&self, sid: Sid, text: &str, bold: bool) -> String {
        if !self.style.colour {
            return text.to_owned();
        }
        let place = self.order.iter().position(|other| *other == sid);
        let colour = place.map_or(0, |place| COLOURS[place % COLOURS.len()]);
        format!("\u{1b}[{};{colour}m{text}\u{1b}[0m", i32::from(bold))
    }
}

/// Of each server that went through something: how long it took.
pub fn members(part: &Part) -> BTreeMap<Sid, String> {
    let moved = part.members.iter().filter(|(_, member)| member.moved);
    moved
        .map(|(sid, member)| {
            let mut line = format!("{sid:>3} {:<9}", words::lane(member.lane));
            if let Some(ms) = member.settled_ms {
                let _ = write!(line, "  {} from LOOKING", duration(ms));
            }
            if let Some(ms) = member.took_ms {
                let _ = write!(line, "  LEADER ELECTION TOOK {ms}");
            }
            if let Some(sync) = member.sync {
                let _ = write!(line, "  {sync}");
            }
            if let Some(ms) = member.sync_ms {
                let _ = write!(line, "  in sync after {}", duration(ms));
            }
            (*sid, line.trim_end().to_owned())
        })
        .collect()
}

/// What the letters in the columns mean.
pub const LEGEND: &str =
    "? LOOKING, F FOLLOWING, L LEADING, O OBSERVING, s starting, - leaving, ~ silent, x ended, . unknown";

fn letter(lane: Lane) -> char {
    match lane {
        Lane::Unknown => '.',
        Lane::Starting => 's',
        Lane::Looking => '?',
        Lane::Following => 'F',
        Lane::Leading => 'L',
        Lane::Observing => 'O',
        Lane::Stopping => '-',
        Lane::Silent => '~',
        Lane::Down => 'x',
    }
}

fn arrow(fact: &Fact) -> bool {
    matches!(fact, Fact::Votes { .. } | Fact::Sends(..) | Fact::Settles { .. })
}

/// Breaks a text at blanks, and where there is none.
fn wrap(text: &str, columns: Option<usize>) -> Vec<&str> {
    let Some(columns) = columns.map(|columns| columns.max(NARROWEST)) else {
        return vec![text];
    };
    let (mut lines, mut rest) = (Vec::new(), text);
    while let Some((limit, _)) = rest.char_indices().nth(columns) {
        let at = rest[..limit]
            .rfind(' ')
            .filter(|&at| at > limit / 2)
            .unwrap_or(limit);
        lines.push(&rest[..at]);
        rest = rest[at..].trim_start();
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// The width of a time.
const CLOCK: usize = 12;
/// Text is not broken shorter than this, however narrow the terminal is.
const NARROWEST: usize = 16;
/// More servers than this get no column.
const MOST_LANES: usize = 32;
/// Cyan, yellow, magenta, green, blue, red, and their bright ones: readable on black and on white.
const COLOURS: [u8; 8] = [36, 33, 35, 32, 34, 31, 96, 95];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Zxid;
    use crate::proto::{Epoch, Round};
    use crate::tools::rounds::event::{Sync, Vote};

    fn item(node: i64, fact: Fact) -> Item {
        let lanes = [
            (1, Lane::Looking),
            (2, Lane::Down),
            (3, Lane::Leading),
            (10, Lane::Observing),
        ];
        Item {
            at: Stamp(1_795_449_661_230),
            node: Sid(node),
            lanes: lanes.map(|(sid, lane)| (Sid(sid), lane)).into(),
            fact,
        }
    }

    fn vote(node: i64, leader: i64) -> Item {
        let vote = Vote {
            epoch: Epoch(1),
            zxid: Zxid(7),
            leader: Sid(leader),
        };
        let fact = Fact::Votes {
            vote,
            round: Round(1),
            before: None,
        };
        item(node, fact)
    }

    #[test]
    fn arrows_go_from_who_acts_to_whom_it_is_about() {
        let mut writer = TextWriter::new(Style::default());
        // The line with the day comes first.
        let mut rows = String::new();
        writer.write(&Note::Begins(Stamp(1_795_449_661_230), None));
        for item in [
            vote(1, 3),
            vote(10, 2),
            vote(3, 3),
            vote(1, 99),
            item(3, Fact::Sends(Sid(1), Sync::Snap, None)),
        ] {
            rows.push_str(&writer.write(&Note::Happened(item)));
        }
        let lanes: Vec<String> = rows
            .lines()
            .map(|row| row.chars().skip(14).take(12).collect())
            .collect();
        assert_eq!(
            lanes,
            [
                " 1  2  3 10",
                "[?]--->L  O ",
                " ?  x<---[O]",
                " ?  x [L] O ",
                "[?] x  L  O ",
                " ?<---[L] O "
            ]
        );
    }

    #[test]
    fn colours_are_one_a_server_and_end_where_they_should() {
        let style = Style {
            colour: true,
            columns: None,
        };
        let text = TextWriter::new(style).write(&Note::Happened(vote(1, 3)));
        assert!(
            text.contains("\u{1b}[0;36m1 votes for 3 (epoch 1, zxid 0x7)\u{1b}[0m\n"),
            "{text:?}"
        );
        assert_eq!(
            text.matches("\u{1b}[0m").count() * 2,
            text.matches('\u{1b}').count()
        );
    }

    #[test]
    fn text_is_broken_at_blanks_and_elsewhere_if_it_must() {
        assert_eq!(
            wrap("one two three four five", Some(16)),
            ["one two three", "four five"]
        );
        assert_eq!(
            wrap("aaaaaaaaaaaaaaaaaaaaaaaa b", Some(16)),
            ["aaaaaaaaaaaaaaaa", "aaaaaaaa b"]
        );
        assert_eq!(wrap("\u{e9}\u{e9}\u{e9}\u{e9} \u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}\u{1f980}", Some(3)).len(), 2);
        assert_eq!(wrap("as long as it is", None), ["as long as it is"]);
        assert_eq!(wrap("", Some(80)), [""; 0]);
    }
}
