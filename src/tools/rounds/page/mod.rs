//! The time line as a page: one file without outside resources and without scripts, for light and dark, for the
//! desk and the phone. All words that come from logs are escaped.

mod overview;
mod part;

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use crate::proto::Sid;

use super::round::{Lane, Outcome, Part};
use super::stamp::duration;
use super::words;

/// The whole page.
pub fn html(parts: &[Part]) -> String {
    let shown = &parts[parts.len().saturating_sub(MOST_SHOWN)..];
    let sids: BTreeSet<Sid> = parts
        .iter()
        .flat_map(|part| part.members.keys().copied())
        .collect();
    let sids: Vec<Sid> = sids.into_iter().take(MOST_LANES).collect();
    let mut out = String::new();
    out.push_str("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.push_str("<meta name=\"color-scheme\" content=\"light dark\">\n");
    let _ = writeln!(out, "<title>{}</title>", Escaped(&title(parts)));
    let _ = writeln!(out, "<style>\n{STYLE}</style>\n</head>\n<body>");
    let _ = writeln!(
        out,
        "<header>\n<h1>Elections</h1>\n<p>{}</p>\n</header>",
        Escaped(&summary(parts, &sids))
    );
    if parts.is_empty() {
        out.push_str("<p>These logs tell of no election.</p>\n</body>\n</html>\n");
        return out;
    }
    if shown.len() < parts.len() {
        let _ = writeln!(
            out,
            "<p>The first {} parts are left out.</p>",
            parts.len() - shown.len()
        );
    }
    overview::write(&mut out, shown, &sids);
    contents(&mut out, shown);
    legend(&mut out);
    for (index, one) in shown.iter().enumerate() {
        part::write(&mut out, one, index, shown.len() - index <= MOST_OPEN);
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// A text as it may stand anywhere in the page.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// The class of a state, and the letter in its marks.
fn look(lane: Lane) -> (&'static str, &'static str) {
    match lane {
        Lane::Unknown => ("unknown", ""),
        Lane::Starting => ("starting", "s"),
        Lane::Looking => ("looking", "?"),
        Lane::Following => ("following", "F"),
        Lane::Leading => ("leading", "L"),
        Lane::Observing => ("observing", "O"),
        Lane::Stopping => ("stopping", "\u{2013}"),
        Lane::Silent => ("silent", "~"),
        Lane::Down => ("down", "\u{d7}"),
    }
}

/// The class of a part.
fn kind(part: &Part) -> &'static str {
    match part.outcome {
        Outcome::Elected(_) => "elected",
        Outcome::Joined => "joined",
        Outcome::Undecided => "undecided",
        Outcome::Losses => "lost",
    }
}

fn title(parts: &[Part]) -> String {
    match parts.last() {
        Some(part) => format!("{}: {}", words::title(part), words::headline(part)),
        None => "Elections".to_owned(),
    }
}

fn summary(parts: &[Part], sids: &[Sid]) -> String {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return String::new();
    };
    let elections = parts
        .iter()
        .filter(|part| matches!(part.outcome, Outcome::Elected(_)))
        .count();
    let plural = if elections == 1 { "" } else { "s" };
    format!(
        "{elections} election{plural} of {}, {} to {} ({})",
        words::servers(sids),
        first.began,
        last.ended.clock(),
        duration(last.ended.since(first.began))
    )
}

fn contents(out: &mut String, parts: &[Part]) {
    out.push_str("<ol class=\"contents\">\n");
    let mut day = String::new();
    for (index, part) in parts.iter().enumerate() {
        if part.began.day() != day {
            day = part.began.day();
            let _ = writeln!(out, "<li class=\"day\">{day}</li>");
        }
        let _ = writeln!(
            out,
            "<li class=\"{}\"><a href=\"#part-{index}\"><time>{}</time> <b>{}</b> <span>{}</span></a></li>",
            kind(part),
            part.began.clock(),
            words::title(part),
            Escaped(&words::headline(part))
        );
    }
    out.push_str("</ol>\n");
}

fn legend(out: &mut String) {
    let lanes = [
        Lane::Leading,
        Lane::Following,
        Lane::Observing,
        Lane::Looking,
        Lane::Starting,
        Lane::Stopping,
        Lane::Silent,
        Lane::Down,
        Lane::Unknown,
    ];
    out.push_str("<ul class=\"legend\" aria-label=\"Legend\">\n");
    for lane in lanes {
        let (class, letter) = look(lane);
        let _ = writeln!(
            out,
            "<li><i class=\"key {class}\">{letter}</i> {}</li>",
            words::lane(lane)
        );
    }
    for (class, words) in [
        ("vote", "votes for"),
        ("sync", "sends what is missing"),
        ("role", "takes as leader"),
    ] {
        let _ = writeln!(
            out,
            "<li><svg width=\"34\" height=\"14\" aria-hidden=\"true\">{}</svg> {words}</li>",
            part::arrow(2, 30, 7, class)
        );
    }
    out.push_str("</ul>\n");
}

const STYLE: &str = include_str!("style.css");
/// A page with more parts than this would be slow.
const MOST_SHOWN: usize = 500;
/// So many of the last parts are shown unfolded.
const MOST_OPEN: usize = 12;
/// More servers than this get no lane.
const MOST_LANES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped() {
        let text = Escaped("<a href=\"x\" onclick='y'>&").to_string();
        assert_eq!(text, "&lt;a href=&quot;x&quot; onclick=&#39;y&#39;&gt;&amp;");
    }

    #[test]
    fn a_page_of_nothing_says_so() {
        assert!(html(&[]).contains("These logs tell of no election."));
    }
}
