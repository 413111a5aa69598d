//! The same as one JSON object a line, for programs: `"type":"event"` as things happen, `"type":"part"` when a part
//! is over.

use std::fmt::Write;

use crate::proto::Sid;

use super::event::Vote;
use super::model::Note;
use super::round::{Fact, Item, Outcome, Part, Why};
use super::words;

/// The line of a note; none for the beginning of a part.
pub fn line(note: &Note) -> Option<String> {
    match note {
        Note::Begins(..) => None,
        Note::Happened(item) => Some(event(item)),
        Note::Ends(part) => Some(self::part(part)),
    }
}

fn event(item: &Item) -> String {
    let object = Object::new("event")
        .text("time", &item.at.to_string())
        .number("server", item.node.0)
        .text("text", &words::fact(item));
    match &item.fact {
        Fact::Started => object.text("event", "started"),
        Fact::Ended => object.text("event", "ended"),
        Fact::Looks => object.text("event", "looking"),
        Fact::Votes { vote, round, before } => {
            let object = object
                .text("event", "vote")
                .number("round", round.0)
                .raw("vote", &self::vote(vote));
            match before {
                None => object,
                Some(before) => object
                    .raw("before", &self::vote(before))
                    .maybe_text("why", Why::better(vote, before).map(|why| self::why(&why))),
            }
        }
        Fact::Waits(ms) => object.text("event", "waits").number("ms", *ms),
        Fact::Settles {
            state,
            leader,
            ms,
            told_by,
        } => object
            .text("event", "state")
            .text("state", words::lane((*state).into()))
            .maybe("leader", leader.map(|sid| sid.0))
            .maybe("ms", *ms)
            .raw("told_by", &sids(told_by)),
        Fact::Sends(to, sync, had) => object
            .text("event", "sends")
            .number("to", to.0)
            .text("sync", &sync.to_string())
            .maybe_text("had", had.map(|zxid| zxid.to_string())),
        Fact::Gets(sync, zxid) => object
            .text("event", "gets")
            .text("sync", &sync.to_string())
            .text("zxid", &zxid.to_string()),
        Fact::InSync(learner, ms) => object
            .text("event", "in_sync")
            .number("learner", learner.0)
            .maybe("ms", *ms),
        Fact::Serves(epoch, supporters) => object
            .text("event", "serves")
            .number("epoch", epoch.0)
            .raw("supporters", &sids(supporters)),
        Fact::LosesLeader(leader, reason) => object
            .text("event", "loses_leader")
            .maybe("leader", leader.map(|sid| sid.0))
            .text("reason", reason),
        Fact::Stops(reason) => object.text("event", "stops").text("reason", reason),
        Fact::Loses(peer, reason) => object
            .text("event", "loses")
            .number("peer", peer.0)
            .text("reason", reason),
        Fact::CannotReach(peer) => object.text("event", "cannot_reach").number("peer", peer.0),
        Fact::Goodbye(learner, address) => object
            .text("event", "goodbye")
            .maybe("learner", learner.map(|sid| sid.0))
            .text("address", address),
        Fact::Retries(address) => object.text("event", "retries").text("address", address),
    }
    .end()
}

fn part(part: &Part) -> String {
    let kind = match part.outcome {
        Outcome::Elected(_) => "election",
        Outcome::Joined => "join",
        Outcome::Undecided => "undecided",
        Outcome::Losses => "loss",
    };
    let mut object = Object::new("part")
        .text("kind", kind)
        .text("began", &part.began.to_string())
        .text("ended", &part.ended.to_string())
        .text("text", &words::headline(part));
    if let Outcome::Elected(elected) = &part.outcome {
        object = object
            .number("number", elected.number as i64)
            .number("leader", elected.leader.0)
            .maybe("epoch", elected.epoch.map(|epoch| epoch.0))
            .number("elect_ms", elected.elect_ms)
            .maybe("serve_ms", elected.serve_ms)
            .maybe_text("because", elected.because.map(|because| why(&because)));
    }
    let members = part.members.iter().map(|(sid, member)| {
        Object::bare()
            .number("server", sid.0)
            .text("state", words::lane(member.lane))
            .maybe("leader", member.leader.map(|sid| sid.0))
            .maybe("settled_ms", member.settled_ms)
            .maybe("took_ms", member.took_ms)
            .maybe_text("sync", member.sync.map(|sync| sync.to_string()))
            .maybe("sync_ms", member.sync_ms)
            .end()
    });
    let members: Vec<String> = members.collect();
    object.raw("servers", &format!("[{}]", members.join(","))).end()
}

fn vote(vote: &Vote) -> String {
    Object::bare()
        .number("leader", vote.leader.0)
        .number("epoch", vote.epoch.0)
        .text("zxid", &vote.zxid.to_string())
        .end()
}

fn why(why: &Why) -> String {
    match why {
        Why::Epoch(..) => "epoch",
        Why::Zxid(..) => "zxid",
        Why::Id(..) => "id",
    }
    .to_owned()
}

fn sids(sids: &[Sid]) -> String {
    let numbers: Vec<String> = sids.iter().map(Sid::to_string).collect();
    format!("[{}]", numbers.join(","))
}

/// An object that grows member by member.
struct Object(String);

impl Object {
    fn bare() -> Object {
        Object(String::from("{"))
    }

    fn new(kind: &str) -> Object {
        Object::bare().text("type", kind)
    }

    fn raw(mut self, name: &str, value: &str) -> Object {
        let comma = if self.0.len() > 1 { "," } else { "" };
        let _ = write!(self.0, "{comma}\"{name}\":{value}");
        self
    }

    fn number(self, name: &str, value: i64) -> Object {
        self.raw(name, &value.to_string())
    }

    fn text(self, name: &str, value: &str) -> Object {
        let quoted = quoted(value);
        self.raw(name, &quoted)
    }

    fn maybe(self, name: &str, value: Option<i64>) -> Object {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    fn maybe_text(self, name: &str, value: Option<String>) -> Object {
        match value {
            Some(value) => self.text(name, &value),
            None => self,
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        let line = Object::new("event")
            .text("a", "\"\\\n\u{e9}")
            .maybe("b", None)
            .number("c", -1)
            .end();
        assert_eq!(
            line,
            "{\"type\":\"event\",\"a\":\"\\\"\\\\\\u000a\u{e9}\",\"c\":-1}"
        );
    }
}
