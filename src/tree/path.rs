//! What a node may be called, and where its name begins. (common/PathUtils)

use thiserror::Error;

/// Why a path names no node that could ever be. Positions count UTF-16 units, as 3.4.14's log lines do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidPath {
    /// Nothing at all.
    #[error("Path length must be > 0")]
    Empty,
    /// Not from the root.
    #[error("Path must start with / character")]
    NotAbsolute,
    /// A slash at the end.
    #[error("Path must not end with / character")]
    TrailingSlash,
    /// U+0000.
    #[error("null character not allowed @{0}")]
    Null(usize),
    /// Two slashes.
    #[error("empty node name specified @{0}")]
    EmptyName(usize),
    /// A component `.` or `..`.
    #[error("relative paths not allowed @{0}")]
    Relative(usize),
    /// A character that 3.4.14 refuses.
    #[error("invalid character @{0}")]
    Character(usize),
}

/// Whether a node may have this path, by the rules of 3.4.14 and with its gaps.
///
/// # Errors
/// The first rule that the path breaks, from left to right.
pub fn validate(path: &str) -> Result<(), InvalidPath> {
    if path.is_empty() {
        return Err(InvalidPath::Empty);
    }
    if !path.starts_with('/') {
        return Err(InvalidPath::NotAbsolute);
    }
    if path == "/" {
        return Ok(());
    }
    if path.ends_with('/') {
        return Err(InvalidPath::TrailingSlash);
    }
    let mut units = path.encode_utf16().peekable();
    let mut before = [SLASH, SLASH];
    let mut position = 0;
    units.next();
    while let Some(unit) = units.next() {
        position += 1;
        let ends = units.peek().is_none_or(|&next| next == SLASH);
        check_unit(before, unit, ends, position)?;
        before = [before[1], unit];
    }
    Ok(())
}

/// The parent's path and the node's own name; the parent of `/a` is the empty path, which is the root too.
/// `None` for a path without a slash.
pub fn split(path: &str) -> Option<(&str, &str)> {
    path.rsplit_once('/')
}

/// One UTF-16 unit after the two `before` it; `ends` says that its component ends with it.
fn check_unit(before: [u16; 2], unit: u16, ends: bool, position: usize) -> Result<(), InvalidPath> {
    let [second_last, last] = before;
    match unit {
        0 => Err(InvalidPath::Null(position)),
        SLASH if last == SLASH => Err(InvalidPath::EmptyName(position)),
        DOT if last == DOT && second_last == SLASH && ends => Err(InvalidPath::Relative(position)),
        DOT if last == SLASH && ends => Err(InvalidPath::Relative(position)),
        // The bounds of 3.4.14, which lets U+001F, U+007F, U+009F, U+D800 and U+F8FF through.
        0x01..=0x1e | 0x80..=0x9e | 0xd801..=0xf8fe | 0xfff1..=0xfffe => {
            Err(InvalidPath::Character(position))
        }
        _ => Ok(()),
    }
}

/// The length that Java gives a text: UTF-16 units.
pub(super) fn utf16_len(text: &str) -> usize {
    // Every character begins with a byte that is no continuation; those of four bytes are surrogate pairs.
    let units = |&byte: &u8| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0);
    text.as_bytes().iter().map(units).sum()
}

const SLASH: u16 = b'/' as u16;
const DOT: u16 = b'.' as u16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_all_kinds() {
        use InvalidPath::*;
        let cases = [
            ("/", Ok(())),
            ("/a", Ok(())),
            ("/a/b.c/...", Ok(())),
            ("/a/..b/.c/d.", Ok(())),
            ("/ä/日本/\u{fffd}a", Err(Character(6))),
            ("/ä/日本", Ok(())),
            ("", Err(Empty)),
            ("a", Err(NotAbsolute)),
            ("/a/", Err(TrailingSlash)),
            ("//a", Err(EmptyName(1))),
            ("/a//b", Err(EmptyName(3))),
            ("/.", Err(Relative(1))),
            ("/..", Err(Relative(2))),
            ("/a/./b", Err(Relative(3))),
            ("/a/../b", Err(Relative(4))),
            ("/a\0", Err(Null(2))),
            ("/\u{1}", Err(Character(1))),
            ("/a\u{1e}", Err(Character(2))),
            ("/\u{1f}\u{7f}\u{9f}\u{f8ff}\u{fff0}\u{ffff}", Ok(())),
            ("/\u{80}", Err(Character(1))),
            ("/\u{9e}", Err(Character(1))),
            ("/\u{e000}", Err(Character(1))),
            ("/\u{fff1}", Err(Character(1))),
            // The high surrogate of U+10000 is U+D800, which the rule lets through; the low one it does not.
            ("/\u{10000}", Err(Character(2))),
            ("/\u{1f600}", Err(Character(1))),
        ];
        for (path, expected) in cases {
            assert_eq!(validate(path), expected, "{path:?}");
        }
    }

    #[test]
    fn a_path_splits_at_its_last_slash() {
        assert_eq!(split("/a/b"), Some(("/a", "b")));
        assert_eq!(split("/a"), Some(("", "a")));
        assert_eq!(split("/"), Some(("", "")));
        assert_eq!(split("a"), None);
    }

    #[test]
    fn lengths_are_those_of_java() {
        for text in ["", "/a", "/ä日", "/\u{1f600}x"] {
            assert_eq!(utf16_len(text), text.encode_utf16().count());
        }
    }
}
