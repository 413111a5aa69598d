//! How many lines a flood of connections may write to the log.

use std::panic::Location;

/// Lines that strangers can cause, by kind. Each kind has an allowance of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// A connection was accepted.
    Accepted,
    /// A connection without a session was closed.
    Closed,
    /// A connection was refused for the number of those of its address.
    TooMany,
    /// A connection was closed because of what it did.
    Hangup,
    /// A handshake without the read-only byte, or one that was refused.
    Handshake,
    /// Credentials came, and how they did.
    Auth,
    /// A request that nobody knows, or a SASL token.
    Unknown,
    /// A four-letter word.
    Word,
    /// The listener failed.
    Accept,
}

/// Allowances of lines: a thousand of each kind at once, and ten more a second. What is beyond is counted,
/// and told with the next line of that kind.
#[derive(Debug)]
pub struct Quiet {
    kinds: [Allowance; KINDS],
}

#[derive(Debug, Clone, Copy)]
struct Allowance {
    left_millis: i64,
    seen_ms: i64,
    left_out: u64,
}

impl Default for Quiet {
    fn default() -> Quiet {
        let full = Allowance {
            left_millis: MOST_LINES * 1_000,
            seen_ms: 0,
            left_out: 0,
        };
        Quiet { kinds: [full; KINDS] }
    }
}

impl Quiet {
    /// Writes a line, if its kind has an allowance left. The log names the caller's place, not this one.
    #[track_caller]
    pub fn say(&mut self, line: Line, level: log::Level, now_ms: i64, text: std::fmt::Arguments<'_>) {
        let place = Location::caller();
        match self.allow(line, now_ms) {
            Some(0) => write(place, level, text),
            Some(left_out) => {
                let note = "lines of this kind were left out before";
                write(place, level, format_args!("{text} ({left_out} {note})"));
            }
            None => {}
        }
    }

    /// How many lines of the kind were left out before this one, or `None` if this one is to be left out too.
    pub fn allow(&mut self, line: Line, now_ms: i64) -> Option<u64> {
        let allowance = &mut self.kinds[line as usize];
        let grown = allowance.left_millis + (now_ms - allowance.seen_ms).max(0) * LINES_A_SECOND;
        allowance.left_millis = grown.min(MOST_LINES * 1_000);
        allowance.seen_ms = now_ms;
        if allowance.left_millis < 1_000 {
            allowance.left_out += 1;
            return None;
        }
        allowance.left_millis -= 1_000;
        Some(std::mem::take(&mut allowance.left_out))
    }
}

fn write(place: &Location<'_>, level: log::Level, text: std::fmt::Arguments<'_>) {
    let module = module_of(place.file());
    let mut record = log::Record::builder();
    record
        .level(level)
        .args(text)
        .target(&module)
        .module_path(Some(&module));
    log::logger().log(&record.file(Some(place.file())).line(Some(place.line())).build());
}

/// The module that a file is: `oxkeeper::clients::cnxn` for `src/clients/cnxn.rs`.
fn module_of(file: &str) -> String {
    let path = file.rsplit_once("src/").map_or(file, |(_, path)| path);
    format!("oxkeeper::{}", path.trim_end_matches(".rs").replace('/', "::"))
}

const KINDS: usize = Line::Accept as usize + 1;
/// Lines of a kind that may come at once: a thousand clients that connect again are each told of.
const MOST_LINES: i64 = 1_000;
/// Lines of a kind that a flood gets; a day of it is 100 MB.
const LINES_A_SECOND: i64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_is_counted_and_silences_no_other() {
        let mut quiet = Quiet::default();
        for _ in 0..1_000 {
            assert_eq!(quiet.allow(Line::Hangup, 5), Some(0));
        }
        assert_eq!(quiet.allow(Line::Hangup, 5), None);
        assert_eq!(quiet.allow(Line::Hangup, 50), None);
        assert_eq!(quiet.allow(Line::Accepted, 50), Some(0));
        assert_eq!(quiet.allow(Line::Hangup, 200), Some(2));
        assert_eq!(quiet.allow(Line::Hangup, 200), None);
    }

    #[test]
    fn a_line_names_the_module_that_wrote_it() {
        assert_eq!(module_of("src/clients/cnxn.rs"), "oxkeeper::clients::cnxn");
        assert_eq!(module_of("/home/me/src/net/desk.rs"), "oxkeeper::net::desk");
    }
}
