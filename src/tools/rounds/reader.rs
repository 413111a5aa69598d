//! A log as it comes, piece by piece: bytes go in, events come out.
//!
//! Nothing in a log is believed: lines are cut at a length, what is no text is shown as such, control characters
//! are taken out, and what is kept of one log is bounded.

use std::collections::HashMap;

use crate::proto::Sid;

use super::event::{Event, What, cause};
use super::line::{Line, number_before};

/// Reads one log.
#[derive(Debug, Default)]
pub struct LogReader {
    /// Who writes this log, as far as is known: by name, or by what it said last.
    node: Option<Sid>,
    /// Whether the caller has named the writer; the lines are not asked then.
    named: bool,
    offset_of: HashMap<Sid, i64>,
    line: Vec<u8>,
    /// Whether the line has grown too long; its rest is skipped.
    cut: bool,
    /// Of which learner each thread spoke last.
    peers: HashMap<String, Sid>,
    /// An event whose reason may follow in the next line.
    held: Option<Event>,
}

impl LogReader {
    /// Of a log whose writer is known, or is to be found in its lines. `offset_ms` is added to the times of each
    /// server named.
    pub fn new(node: Option<Sid>, offset_ms: &HashMap<Sid, i64>) -> LogReader {
        LogReader {
            node,
            named: node.is_some(),
            offset_of: offset_ms.clone(),
            ..LogReader::default()
        }
    }

    /// Takes what came next.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Event>) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.keep(&bytes[..end]);
            self.end_line(out);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    /// Nothing more has come for a while: no reason will follow what was said last.
    pub fn pause(&mut self, out: &mut Vec<Event>) {
        out.extend(self.held.take());
    }

    /// The log has ended, or goes on as another file: what is there of a line is all of it.
    pub fn finish(&mut self, out: &mut Vec<Event>) {
        if !self.line.is_empty() {
            self.end_line(out);
        }
        self.pause(out);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.line.len());
        self.cut |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self, out: &mut Vec<Event>) {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let text: String = text.trim_end_matches('\r').chars().map(shown).collect();
        // A line that was cut has its head, which is enough to know what it says, but not its numbers.
        let whole = !std::mem::take(&mut self.cut);
        match Line::parse(&text) {
            Some(line) if whole => self.entry(&line, out),
            Some(_) => self.pause(out),
            None => self.below(&text, out),
        }
        // The buffer is used again.
        self.line = bytes;
        self.line.clear();
    }

    fn entry(&mut self, line: &Line<'_>, out: &mut Vec<Event>) {
        self.pause(out);
        if !self.named {
            let from_text = || {
                let (_, rest) = line.text.split_once("New election. My id =  ")?;
                number_before(rest, ',')
            };
            self.node = line.node.or_else(from_text).or(self.node);
        }
        let Some(node) = self.node else { return };
        let known = self.peers.get(line.thread).copied();
        let Some(what) = What::parse(line.text, known) else {
            return;
        };
        if let What::Compares(sid, _) | What::Came(sid) = what {
            self.remember(line.thread, sid);
        }
        let what = match what {
            What::Goodbye(_, address) => What::Goodbye(known, address),
            other => other,
        };
        let at = line.at.plus_ms(self.offset_of.get(&node).copied().unwrap_or(0));
        let mut event = Event { at, node, what };
        if event.what.reason_mut().is_some() {
            self.held = Some(event);
        } else {
            out.push(event);
        }
    }

    /// The first line below an entry may tell its reason.
    fn below(&mut self, line: &str, out: &mut Vec<Event>) {
        if let (Some(event), Some(reason)) = (&mut self.held, cause(line)) {
            event
                .what
                .reason_mut()
                .into_iter()
                .for_each(|place| place.clone_from(&reason));
        }
        self.pause(out);
    }

    fn remember(&mut self, thread: &str, sid: Sid) {
        if self.peers.len() >= MOST_THREADS {
            self.peers.clear();
        }
        self.peers.insert(thread.to_owned(), sid);
    }
}

/// A character as it may be shown anywhere: none steers a terminal or turns the direction of what follows.
fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// No line of interest is longer.
const LONGEST_LINE: usize = 4096;
/// As many learners' threads as a long log may show before the oldest are forgotten.
const MOST_THREADS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::notification::ServerState;

    const HEAD: &str =
        "2026-01-31 12:00:00,123 [myid:2] - INFO  [LearnerHandler-/1.2.3.4:5:LearnerHandler@9] - ";

    fn read(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut reader, mut out) = (LogReader::new(None, &HashMap::new()), Vec::new());
        pieces.iter().for_each(|piece| reader.feed(piece, &mut out));
        reader.finish(&mut out);
        out
    }

    fn whats(text: &str) -> Vec<What> {
        read(&[text.as_bytes()])
            .into_iter()
            .map(|event| event.what)
            .collect()
    }

    #[test]
    fn a_log_may_be_cut_anywhere() {
        let text = format!("{HEAD}LOOKING\r\n{HEAD}Follower sid: 7 : info : x\n{HEAD}Sending SNAP");
        let whole = read(&[text.as_bytes()]);
        assert_eq!(whole.len(), 3);
        assert_eq!(
            whole[2].what,
            What::Sends(Sid(7), super::super::event::Sync::Snap)
        );
        for at in 0..text.len() {
            let (one, two) = text.as_bytes().split_at(at);
            assert_eq!(read(&[one, two]), whole, "cut at {at}");
        }
    }

    #[test]
    fn the_line_below_tells_the_reason_of_an_event_and_of_nothing_else() {
        let lost = "Exception when following the leader";
        let trace = "java.io.EOFException\n\tat X\njava.io.Other\n";
        assert_eq!(
            whats(&format!("{HEAD}{lost}\n{trace}")),
            [What::LostLeader("EOFException".to_owned())]
        );
        let untold = What::LostLeader(String::new());
        assert_eq!(whats(&format!("{HEAD}{lost}\n")), std::slice::from_ref(&untold));
        assert_eq!(whats(&format!("{HEAD}{lost}\n{HEAD}LOOKING\n{trace}"))[0], untold);
        assert_eq!(whats(&format!("{HEAD}nothing of interest\n{trace}")), []);
        assert_eq!(whats(trace), []);
    }

    #[test]
    fn the_writer_is_who_the_caller_says_or_the_line_or_what_was_said_before() {
        let bare = "2026-01-31 12:00:00,123 - INFO  [main:X@1] - ";
        let named = "2026-01-31 12:00:00,123 - INFO  [QuorumPeer[myid=4]/0.0.0.0:1:X@1] - LOOKING";
        let text = format!("{bare}Starting quorum peer\n{named}\n{bare}Exiting normally\n{HEAD}LOOKING\n");
        let nodes = |reader: &mut LogReader| {
            let mut out = Vec::new();
            reader.feed(text.as_bytes(), &mut out);
            out.iter().map(|event| event.node.0).collect::<Vec<_>>()
        };
        assert_eq!(nodes(&mut LogReader::new(None, &HashMap::new())), [4, 4, 2]);
        assert_eq!(
            nodes(&mut LogReader::new(Some(Sid(9)), &HashMap::new())),
            [9, 9, 9, 9]
        );
    }

    #[test]
    fn offsets_move_the_times_of_a_server() {
        let mut reader = LogReader::new(None, &HashMap::from([(Sid(2), -123)]));
        let mut out = Vec::new();
        reader.feed(format!("{HEAD}LOOKING\n").as_bytes(), &mut out);
        assert_eq!(out[0].at.to_string(), "2026-01-31 12:00:00.000");
    }

    #[test]
    fn garbage_says_nothing_and_steers_nothing() {
        let mut bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        bytes.extend_from_slice(b"\n\xff\xfe 2026-01-31 12:00:00,1");
        bytes.push(b'\n');
        bytes.extend_from_slice(
            format!("{HEAD}Exception when following the leader: \u{1b}[2J\u{202e}x\u{0}").as_bytes(),
        );
        let events = read(&[&bytes]);
        assert_eq!(
            events.iter().map(|event| &event.what).collect::<Vec<_>>(),
            [&What::LostLeader("\u{fffd}[2J\u{fffd}x\u{fffd}".to_owned())]
        );
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_what_follows_is_read() {
        let (mut reader, mut out) = (LogReader::new(None, &HashMap::new()), Vec::new());
        reader.feed(format!("{HEAD}LOOKING").as_bytes(), &mut out);
        for _ in 0..1_000 {
            reader.feed(&[b'x'; 10_000], &mut out);
        }
        assert!(reader.line.capacity() < 2 * LONGEST_LINE + 1);
        reader.feed(format!("\n{HEAD}LOOKING\n").as_bytes(), &mut out);
        assert_eq!(out.len(), 1);
        assert_eq!(out[0].what, What::Entered(ServerState::Looking));
    }
}
