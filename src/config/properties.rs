//! Java's properties syntax, with the line of each entry kept for messages. (java.util.Properties.load)
//!
//! The bytes are Latin-1, as `Properties.load(InputStream)` reads them: a name outside of ASCII leads to the
//! same directory here and there only if it is read alike.

/// One `key = value`, where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The line on which the entry begins, from 1.
    pub line: usize,
    /// What stands before the separator, without its escapes.
    pub key: String,
    /// What stands behind it, up to the end of the line; blanks at its end belong to it.
    pub value: String,
}

/// A `\u` that four hexadecimal digits do not follow: the one thing that this syntax forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: \\u must be followed by four hexadecimal digits")]
pub struct BadEscape {
    /// The line on which the entry begins, from 1.
    pub line: usize,
}

/// All entries in the order of the file; of two with one key the later is meant to win.
///
/// # Errors
/// [`BadEscape`] for a `\u` without its digits.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, BadEscape> {
    let text: Vec<char> = bytes.iter().map(|&byte| char::from(byte)).collect();
    logical_lines(&text)
        .into_iter()
        .map(|(line, text)| entry(line, &text))
        .collect()
}

/// Lines without comments and blank ones, each joined with those that continue it, and the number of its first.
fn logical_lines(text: &[char]) -> Vec<(usize, Vec<char>)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, Vec<char>)> = None;
    for (number, natural) in natural_lines(text).enumerate() {
        let start = natural
            .iter()
            .position(|&c| !is_blank(c))
            .unwrap_or(natural.len());
        let natural = &natural[start..];
        let (first, mut joined) = match open.take() {
            Some(begun) => begun,
            None if matches!(natural.first(), None | Some('#' | '!')) => continue,
            None => (number + 1, Vec::new()),
        };
        let backslashes = natural.iter().rev().take_while(|&&c| c == '\\').count();
        if backslashes % 2 == 1 {
            joined.extend_from_slice(&natural[..natural.len() - 1]);
            open = Some((first, joined));
        } else {
            joined.extend_from_slice(natural);
            lines.push((first, joined));
        }
    }
    // A backslash at the end of the file continues nothing.
    lines.extend(open);
    lines
}

/// Cuts at `\n`, `\r` and `\r\n`.
fn natural_lines(text: &[char]) -> impl Iterator<Item = &[char]> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let here = rest?;
        let Some(end) = here.iter().position(|&c| c == '\n' || c == '\r') else {
            rest = None;
            return Some(here);
        };
        let terminator = if here[end..].starts_with(&['\r', '\n']) {
            2
        } else {
            1
        };
        rest = Some(&here[end + terminator..]);
        Some(&here[..end])
    })
}

fn entry(line: usize, text: &[char]) -> Result<Entry, BadEscape> {
    let mut escaped = false;
    let key_ends = text.iter().position(|&c| {
        let ends = !escaped && (is_blank(c) || is_separator(c));
        escaped = c == '\\' && !escaped;
        ends
    });
    let (key, rest) = text.split_at(key_ends.unwrap_or(text.len()));
    let rest = skip_blanks(rest);
    let value = match rest.first() {
        Some(&c) if is_separator(c) => skip_blanks(&rest[1..]),
        _ => rest,
    };
    Ok(Entry {
        line,
        key: unescape(line, key)?,
        value: unescape(line, value)?,
    })
}

fn unescape(line: usize, text: &[char]) -> Result<String, BadEscape> {
    // Escapes are UTF-16 units: two of them may make one character.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&c) = rest.next() {
        let c = if c == '\\' {
            match rest.next() {
                None => break,
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    units.push(hex_unit(&mut rest).ok_or(BadEscape { line })?);
                    continue;
                }
                Some(&other) => other,
            }
        } else {
            c
        };
        units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
    }
    Ok(String::from_utf16_lossy(&units))
}

fn hex_unit(digits: &mut std::slice::Iter<'_, char>) -> Option<u16> {
    (0..4).try_fold(0, |unit, _| {
        let digit = digits.next()?.to_digit(16)?;
        Some(unit << 4 | u16::try_from(digit).ok()?)
    })
}

fn skip_blanks(text: &[char]) -> &[char] {
    let start = text.iter().position(|&c| !is_blank(c)).unwrap_or(text.len());
    &text[start..]
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn is_separator(c: char) -> bool {
    c == '=' || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(usize, String, String)> {
        let entries = parse(text.as_bytes()).expect("the text is well-formed");
        entries.into_iter().map(|e| (e.line, e.key, e.value)).collect()
    }

    /// What java.util.Properties of OpenJDK 17 makes of the same text; the lines are ours.
    #[test]
    fn the_syntax_is_java_s() {
        type Case = (&'static str, &'static [(usize, &'static str, &'static str)]);
        let cases: &[Case] = &[
            (
                "a=1\nb:2\nc 3\nd\t=\t4",
                &[(1, "a", "1"), (2, "b", "2"), (3, "c", "3"), (4, "d", "4")],
            ),
            (
                "  a = 1 \r\nb= 2\rc=3",
                &[(1, "a", "1 "), (2, "b", "2"), (3, "c", "3")],
            ),
            ("# a=1\n ! b=2\n\n \t\nc=#3", &[(5, "c", "#3")]),
            ("a=1,\\\n   2,\\\n\t3\nb=4", &[(1, "a", "1,2,3"), (4, "b", "4")]),
            ("a=1\\\n# 2\nb=3", &[(1, "a", "1# 2"), (3, "b", "3")]),
            ("a=1\\\n\nb=3", &[(1, "a", "1"), (3, "b", "3")]),
            ("# c\\\na=1", &[(2, "a", "1")]),
            ("a=c:\\\\dir\\\\\nb=1", &[(1, "a", "c:\\dir\\"), (2, "b", "1")]),
            ("a\\=b\\:c\\ d=1", &[(1, "a=b:c d", "1")]),
            (
                "a==1\nb = = 2\nc : = 3",
                &[(1, "a", "=1"), (2, "b", "= 2"), (3, "c", "= 3")],
            ),
            (
                "a=\\t\\n\\r\\f\\q\\u0041\\ud83d\\ude00",
                &[(1, "a", "\t\n\r\u{c}qA\u{1f600}")],
            ),
            ("a\n=1\nb=", &[(1, "a", ""), (2, "", "1"), (3, "b", "")]),
            ("a=1\\", &[(1, "a", "1")]),
            ("", &[]),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> = expected
                .iter()
                .map(|&(line, key, value)| (line, key.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(parsed(text), expected, "of {text:?}");
        }
    }

    #[test]
    fn bytes_above_ascii_are_latin_1() {
        let entries = parse(b"dir=/k\xf6ln").expect("well-formed");
        assert_eq!(entries[0].value, "/k\u{f6}ln");
    }

    #[test]
    fn an_escape_without_its_digits_names_the_line() {
        for bad in ["\n\na=\\u12", "\n\na=\\u12g4", "\n\n\\u=1"] {
            assert_eq!(parse(bad.as_bytes()), Err(BadEscape { line: 3 }), "of {bad:?}");
        }
    }
}
