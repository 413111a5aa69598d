//! One part of the page: what came of it, who took part, and what happened, a row each with a lane for each server.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::proto::Sid;

use super::super::round::{Fact, Item, Outcome, Part, Why};
use super::super::stamp::duration;
use super::super::words;
use super::{Escaped, MOST_LANES, kind, look};

/// Writes a part, unfolded or not.
pub fn write(out: &mut String, part: &Part, index: usize, open: bool) {
    let _ = writeln!(out, "<article id=\"part-{index}\" class=\"{}\">", kind(part));
    let _ = writeln!(
        out,
        "<h2><b>{}</b> <time>{}</time></h2>\n<p class=\"headline\">{}</p>",
        words::title(part),
        part.began,
        Escaped(&words::headline(part))
    );
    let before = part.before.map(|reign| words::before(&reign, part.began));
    let notes: Vec<String> = [words::times(part), before].into_iter().flatten().collect();
    if !notes.is_empty() {
        let _ = writeln!(out, "<p class=\"notes\">{}</p>", Escaped(&notes.join("; ")));
    }
    table(out, part);
    let open = if open { " open" } else { "" };
    let _ = writeln!(
        out,
        "<details{open}><summary>{} events</summary>",
        part.items.len() + part.left_out
    );
    rows(out, part);
    if part.left_out > 0 {
        let _ = writeln!(
            out,
            "<p class=\"notes\">{} more events are left out.</p>",
            part.left_out
        );
    }
    out.push_str("</details>\n</article>\n");
}

/// The last vote of each server: in which row, and for whom.
pub fn last_votes(part: &Part) -> BTreeMap<Sid, (usize, Sid)> {
    let votes = part
        .items
        .iter()
        .enumerate()
        .filter_map(|(index, item)| match &item.fact {
            Fact::Votes { vote, .. } => Some((item.node, (index, vote.leader))),
            _ => None,
        });
    votes.collect()
}

/// A horizontal arrow.
pub fn arrow(from: usize, to: usize, y: usize, class: &str) -> String {
    let back: i64 = if from < to { -5 } else { 5 };
    format!("<path class=\"arrow {class}\" d=\"M{from} {y} H{to} m{back} -4 L{to} {y} l{back} 4\"/>")
}

fn table(out: &mut String, part: &Part) {
    let moved: Vec<_> = part.members.iter().filter(|(_, member)| member.moved).collect();
    if moved.is_empty() {
        return;
    }
    let elected = match &part.outcome {
        Outcome::Elected(elected) => Some(elected),
        _ => None,
    };
    let votes = last_votes(part);
    let heads = [
        "server",
        "state",
        "epoch",
        "zxid",
        "last vote",
        "from LOOKING",
        "sync",
    ];
    out.push_str("<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>");
    heads.iter().for_each(|head| {
        let _ = write!(out, "<th scope=\"col\">{head}</th>");
    });
    out.push_str("</tr></thead>\n<tbody>\n");
    for (sid, member) in moved {
        let knew = part.candidates.get(sid);
        let wins = elected.is_some_and(|elected| elected.leader == *sid);
        let decides = |what: fn(&Why) -> bool| {
            let because = elected.and_then(|elected| elected.because);
            if wins && because.is_some_and(|why| what(&why)) {
                " class=\"decides\""
            } else {
                ""
            }
        };
        let sync = member.sync.map(|sync| match member.sync_ms {
            Some(ms) => format!("{sync}, {}", duration(ms)),
            None => sync.to_string(),
        });
        let _ = writeln!(
            out,
            "<tr{}><th scope=\"row\"{}>{sid}</th><td><i class=\"key {}\">{}</i> {}</td><td{}>{}</td><td{}>{}</td>\
             <td>{}</td><td>{}</td><td>{}</td></tr>",
            if wins { " class=\"winner\"" } else { "" },
            decides(|why| matches!(why, Why::Id(..))),
            look(member.lane).0,
            look(member.lane).1,
            words::lane(member.lane),
            decides(|why| matches!(why, Why::Epoch(..))),
            or_dash(knew.map(|vote| vote.epoch.0.to_string())),
            decides(|why| matches!(why, Why::Zxid(..))),
            or_dash(knew.map(|vote| vote.zxid.to_string())),
            or_dash(votes.get(sid).map(|(_, leader)| leader.to_string())),
            or_dash(member.settled_ms.map(duration)),
            or_dash(sync),
        );
    }
    out.push_str("</tbody>\n</table></div>\n");
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "\u{2013}".to_owned())
}

fn rows(out: &mut String, part: &Part) {
    let sids: Vec<Sid> = part.members.keys().copied().take(MOST_LANES).collect();
    let _ = writeln!(out, "<ol class=\"rows\" style=\"--lanes:{}\">", sids.len());
    out.push_str("<li class=\"heads\" aria-hidden=\"true\"><span></span><span class=\"lanes\">");
    sids.iter().for_each(|sid| {
        let _ = write!(out, "<b>{sid}</b>");
    });
    out.push_str("</span></li>\n");
    let mut day = part.began.day();
    for item in &part.items {
        if item.at.day() != day {
            day = item.at.day();
            let _ = writeln!(out, "<li class=\"day\">{day}</li>");
        }
        row(out, item, &sids);
    }
    out.push_str("</ol>\n");
}

fn row(out: &mut String, item: &Item, sids: &[Sid]) {
    let _ = write!(
        out,
        "<li class=\"{}\"><time>{}</time><span class=\"lanes\" aria-hidden=\"true\">",
        weight(&item.fact),
        item.at.clock()
    );
    for sid in sids {
        let (class, _) = look(item.lanes.get(sid).copied().unwrap_or_default());
        let _ = write!(out, "<i class=\"{class}\"></i>");
    }
    marks(out, item, sids);
    let _ = writeln!(
        out,
        "</span><span class=\"words\"><b>{}</b> {}</span></li>",
        item.node,
        Escaped(&words::fact(item))
    );
}

/// Who acts, and upon whom.
fn marks(out: &mut String, item: &Item, sids: &[Sid]) {
    let place = |sid: Sid| {
        sids.iter()
            .position(|other| *other == sid)
            .map(|at| at * LANE + LANE / 2)
    };
    let Some(from) = place(item.node) else { return };
    let to = item.fact.other().and_then(place).filter(|to| *to != from);
    let _ = write!(out, "<svg width=\"{}\" height=\"{ROW}\">", sids.len() * LANE);
    if let Some(to) = to {
        let (begin, end) = if from < to {
            (from + 9, to - 5)
        } else {
            (from - 9, to + 5)
        };
        match class(&item.fact) {
            "cut" => {
                let _ = write!(
                    out,
                    "<path class=\"arrow cut\" d=\"M{begin} {MIDDLE} H{end} m-4 -4 l8 8 m-8 0 l8 -8\"/>"
                );
            }
            class => out.push_str(&arrow(begin, end, MIDDLE, class)),
        }
    }
    let lane = item.lanes.get(&item.node).copied().unwrap_or_default();
    let (class, letter) = look(lane);
    let _ = write!(
        out,
        "<circle class=\"{class}\" cx=\"{from}\" cy=\"{MIDDLE}\" r=\"9\"/><text x=\"{from}\" y=\"{}\">{letter}</text></svg>",
        MIDDLE + 4
    );
}

fn class(fact: &Fact) -> &'static str {
    match fact {
        Fact::Votes { .. } => "vote",
        Fact::Sends(..) | Fact::InSync(..) => "sync",
        Fact::LosesLeader(..) | Fact::Loses(..) | Fact::CannotReach(_) | Fact::Goodbye(..) => "cut",
        _ => "role",
    }
}

/// What is important stands out; what is only sometimes of use stands back.
fn weight(fact: &Fact) -> &'static str {
    match fact {
        Fact::Settles { .. } | Fact::Serves(..) => "loud",
        Fact::LosesLeader(..) | Fact::Stops(_) | Fact::Loses(..) | Fact::Goodbye(..) | Fact::Ended => "bad",
        Fact::Waits(_) | Fact::CannotReach(_) | Fact::Retries(_) => "faint",
        _ => "plain",
    }
}

/// The width of a lane; style.css knows it too.
const LANE: usize = 28;
const ROW: usize = 26;
const MIDDLE: usize = ROW / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_both_ways() {
        assert_eq!(
            arrow(2, 30, 7, "vote"),
            "<path class=\"arrow vote\" d=\"M2 7 H30 m-5 -4 L30 7 l-5 4\"/>"
        );
        assert!(arrow(30, 2, 7, "vote").contains("H2 m5 -4 L2 7 l5 4"));
    }
}
