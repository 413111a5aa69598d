//! The lanes of all servers through all parts, as one drawing. Time is not to scale: an election takes
//! milliseconds and a reign takes weeks, and both are to be seen.

use std::fmt::Write;

use crate::proto::Sid;

use super::super::round::{Lane, Outcome, Part};
use super::super::stamp::duration;
use super::{Escaped, kind, look, part};
use crate::tools::rounds::words;

/// Draws it.
pub fn write(out: &mut String, parts: &[Part], sids: &[Sid]) {
    let first = parts.len().saturating_sub(MOST_DRAWN);
    let spans = spans(&parts[first..]);
    let width = spans.last().map_or(0, |span| span.x + span.width) + 8;
    let height = TOP + LANE * sids.len() + BOTTOM;
    out.push_str("<figure class=\"overview\">\n<div class=\"names\" aria-hidden=\"true\">");
    for sid in sids {
        let _ = write!(out, "<span>{sid}</span>");
    }
    let _ = writeln!(
        out,
        "</div>\n<div class=\"scroll\" tabindex=\"0\">\n<svg width=\"{width}\" height=\"{height}\" role=\"img\" \
         aria-label=\"What each server did, one lane a server, from left to right; quiet times are shortened\">"
    );
    for (index, (one, span)) in parts[first..].iter().zip(&spans).enumerate() {
        band(out, one, span, first + index, height);
    }
    for (row, sid) in sids.iter().enumerate() {
        lane(out, &parts[first..], &spans, *sid, TOP + LANE * row);
    }
    for (one, span) in parts[first..].iter().zip(&spans) {
        votes(out, one, span, sids);
    }
    out.push_str("</svg>\n</div>\n</figure>\n");
}

/// Where a part lies, in pixels.
struct Span {
    x: usize,
    width: usize,
    /// The quiet time before it.
    gap: usize,
}

fn spans(parts: &[Part]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut before: Option<&Part> = None;
    for part in parts {
        let quiet_ms = before.map_or(0, |before| part.began.since(before.ended).max(1));
        // Ten times as long is a little wider.
        let gap = if before.is_some() {
            16 + 8 * quiet_ms.max(1).ilog10() as usize
        } else {
            0
        };
        let x = spans.last().map_or(8, |span| span.x + span.width) + gap;
        let width = (part.items.len() * 3).clamp(56, 180);
        spans.push(Span { x, width, gap });
        before = Some(part);
    }
    spans
}

fn band(out: &mut String, one: &Part, span: &Span, index: usize, height: usize) {
    let Span { x, width, .. } = *span;
    let label = match &one.outcome {
        Outcome::Elected(elected) => format!("{}", elected.number),
        Outcome::Joined => "join".to_owned(),
        Outcome::Undecided => "no leader".to_owned(),
        Outcome::Losses => "loss".to_owned(),
    };
    let below = match &one.outcome {
        Outcome::Elected(elected) => duration(elected.serve_ms.unwrap_or(elected.elect_ms)),
        _ => String::new(),
    };
    let middle = x + width / 2;
    let _ = writeln!(
        out,
        "<a href=\"#part-{index}\"><title>{}: {}</title><rect class=\"band {}\" x=\"{x}\" y=\"0\" width=\"{width}\" \
         height=\"{height}\" rx=\"6\"/><text class=\"label\" x=\"{middle}\" y=\"16\">{label}</text>\
         <text class=\"small\" x=\"{middle}\" y=\"{}\">{below}</text></a>",
        words::title(one),
        Escaped(&words::headline(one)),
        kind(one),
        height - 6,
    );
}

/// One server's states, as bars.
fn lane(out: &mut String, parts: &[Part], spans: &[Span], sid: Sid, y: usize) {
    let mut last = Lane::Unknown;
    for (one, span) in parts.iter().zip(spans) {
        bar(out, last, span.x - span.gap, span.gap, y);
        let count = one.items.len().max(1);
        let mut begin = 0;
        for (place, item) in one.items.iter().enumerate() {
            let now = item.lanes.get(&sid).copied().unwrap_or_default();
            if now != last {
                let (from, to) = (begin * span.width / count, place * span.width / count);
                bar(out, last, span.x + from, to - from, y);
                (begin, last) = (place, now);
            }
        }
        let from = begin * span.width / count;
        bar(out, last, span.x + from, span.width - from, y);
    }
}

fn bar(out: &mut String, lane: Lane, x: usize, width: usize, y: usize) {
    if width > 0 {
        let (class, _) = look(lane);
        let tall = if lane == Lane::Leading {
            LANE - 8
        } else {
            LANE - 16
        };
        let y = y + (LANE - tall) / 2;
        let _ = writeln!(
            out,
            "<rect class=\"bar {class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{tall}\"/>"
        );
    }
}

/// An arrow for the last vote of each, in elections.
fn votes(out: &mut String, one: &Part, span: &Span, sids: &[Sid]) {
    let place = |sid: Sid| sids.iter().position(|other| *other == sid);
    let count = one.items.len().max(1);
    for (voter, (index, leader)) in part::last_votes(one) {
        let (Some(from), Some(to)) = (place(voter), place(leader)) else {
            continue;
        };
        let x = span.x + index * span.width / count;
        let middle = |row: usize| TOP + LANE * row + LANE / 2;
        let _ = match from == to {
            true => writeln!(
                out,
                "<circle class=\"dot\" cx=\"{x}\" cy=\"{}\" r=\"3\"/>",
                middle(from)
            ),
            false => writeln!(
                out,
                "<path class=\"arrow vote\" d=\"M{x} {} L{x} {} m-3 {} l3 {} l3 {}\"/>",
                middle(from),
                middle(to),
                if from < to { -5 } else { 5 },
                if from < to { 5 } else { -5 },
                if from < to { -5 } else { 5 },
            ),
        };
    }
}

const TOP: usize = 24;
const LANE: usize = 28;
const BOTTOM: usize = 22;
/// The last so many parts are drawn.
const MOST_DRAWN: usize = 60;
