//! Text of strangers, made safe to print: what could move a cursor, ring a bell or turn a line around is
//! written as an escape.

use std::borrow::Cow;
use std::fmt::Write;

/// A name: one line, whatever it holds.
pub fn safe_name(name: &str) -> Cow<'_, str> {
    escaped(name, |c| is_dangerous(c) || c == '\n' || c == '\t')
}

/// A node's data: text as it is, line ends and tabs included; other bytes as `\xff`.
pub fn safe_data(data: &[u8]) -> String {
    let mut text = String::with_capacity(data.len());
    for chunk in data.utf8_chunks() {
        // A return alone would let the rest of a line overwrite its beginning.
        let mut lines = chunk.valid().split("\r\n");
        if let Some(first) = lines.next() {
            text.push_str(&escaped(first, is_dangerous));
        }
        for line in lines {
            text.push_str("\r\n");
            text.push_str(&escaped(line, is_dangerous));
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _infallible = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

fn escaped(text: &str, is_bad: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_bad) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' if is_bad(c) => safe.push_str("\\n"),
            '\t' if is_bad(c) => safe.push_str("\\t"),
            '\r' if is_bad(c) => safe.push_str("\\r"),
            c if !is_bad(c) => safe.push(c),
            c => {
                let number = u32::from(c);
                let text = if number < 0x80 {
                    format!("\\x{number:02x}")
                } else {
                    format!("\\u{{{number:x}}}")
                };
                safe.push_str(&text);
            }
        }
    }
    Cow::Owned(safe)
}

/// Controls, and what changes the direction or hides in a line.
fn is_dangerous(c: char) -> bool {
    let invisible =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    (c.is_control() && c != '\n' && c != '\t') || invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_on_one_line_and_send_nothing_to_the_terminal() {
        assert!(matches!(safe_name("/plain/Grüße"), Cow::Borrowed(_)));
        assert_eq!(safe_name("/a\x1b]0;x\x07\n\tb"), "/a\\x1b]0;x\\x07\\n\\tb");
        assert_eq!(safe_name("\u{9b}2J\u{202e}txt"), "\\u{9b}2J\\u{202e}txt");
    }

    #[test]
    fn data_keeps_its_lines_and_shows_other_bytes() {
        assert_eq!(safe_data(b"one\ntwo\tthree\r\nfour"), "one\ntwo\tthree\r\nfour");
        assert_eq!(safe_data(b"over\rwritten"), "over\\rwritten");
        assert_eq!(
            safe_data(b"\x00\xff\x1b[31m\xc3\xa4\xc3"),
            "\\x00\\xff\\x1b[31mä\\xc3"
        );
        assert_eq!(safe_data(b"\xac\xed\x00\x05"), "\\xac\\xed\\x00\\x05");
        assert_eq!(safe_data(b"end\r\n"), "end\r\n");
    }
}
