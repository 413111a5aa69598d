//! The lists `name=value,name="value"` of which tokens consist. (RFC 2831, section 7.1)

use thiserror::Error;

/// A token that is no list of directives, and at which byte it stops being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Invalid directive at byte {offset}: {reason}")]
pub struct BadDirectives {
    offset: usize,
    reason: &'static str,
}

/// The directives of a token, each with its value as bytes. None is there twice, but for `realm`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Directives<'a>(Vec<(&'a [u8], Vec<u8>)>);

impl<'a> Directives<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// [`BadDirectives`].
    pub fn parse(token: &'a [u8]) -> Result<Directives<'a>, BadDirectives> {
        let mut scanner = Scanner { token, offset: 0 };
        let mut list: Vec<(&[u8], Vec<u8>)> = Vec::new();
        while scanner.skip_separators() {
            let begin = scanner.offset;
            let (name, value) = scanner.directive()?;
            let repeated =
                name != b"realm" && list.iter().any(|&(other, _)| other.eq_ignore_ascii_case(name));
            if repeated || list.len() == MOST_DIRECTIVES {
                return Err(BadDirectives {
                    offset: begin,
                    reason: "a directive is there twice, or there are too many",
                });
            }
            list.push((name, value));
        }
        Ok(Directives(list))
    }

    /// The value of a directive, the first one if there are several.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self
            .0
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|(_, value)| value.as_slice())
    }
}

/// Appends `name="value"`, with what must not stand in quotes escaped.
pub(super) fn push_quoted(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    push_plain(out, name, b"");
    out.push(b'"');
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Appends `name=value`.
pub(super) fn push_plain(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
}

struct Scanner<'a> {
    token: &'a [u8],
    offset: usize,
}

impl<'a> Scanner<'a> {
    /// Skips blanks and commas; whether something is left.
    fn skip_separators(&mut self) -> bool {
        self.take_while(|byte| byte == b',' || is_blank(byte));
        self.offset < self.token.len()
    }

    fn directive(&mut self) -> Result<(&'a [u8], Vec<u8>), BadDirectives> {
        let name = self.take_while(is_token);
        if name.is_empty() {
            return Err(self.bad("a name is due"));
        }
        self.take_while(is_blank);
        if !self.take_byte(b'=') {
            return Err(self.bad("'=' is due"));
        }
        self.take_while(is_blank);
        let value = if self.take_byte(b'"') {
            self.quoted()?
        } else {
            let value = self.take_while(is_token);
            if value.is_empty() {
                return Err(self.bad("a value is due"));
            }
            value.to_vec()
        };
        self.take_while(is_blank);
        match self.peek() {
            None | Some(b',') => Ok((name, value)),
            Some(_) => Err(self.bad("',' is due")),
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, BadDirectives> {
        let mut value = Vec::new();
        loop {
            match self.next() {
                Some(b'"') => return Ok(value),
                Some(b'\\') => match self.next() {
                    Some(byte) => value.push(byte),
                    None => return Err(self.bad("the closing quote is missing")),
                },
                Some(byte) => value.push(byte),
                None => return Err(self.bad("the closing quote is missing")),
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.token.get(self.offset).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.offset += 1;
        Some(byte)
    }

    fn take_byte(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.offset += usize::from(found);
        found
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.token.get(self.offset..).unwrap_or_default();
        let count = rest.iter().take_while(|&&byte| fits(byte)).count();
        self.offset += count;
        &rest[..count]
    }

    fn bad(&self, reason: &'static str) -> BadDirectives {
        BadDirectives {
            offset: self.offset,
            reason,
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// What may stand without quotes: all but controls, blanks and separators. (RFC 2616, section 2.2) A slash and a
/// colon are separators there, but cyrus-sasl and Java send and take them so.
fn is_token(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !matches!(byte, b'"' | b'\\' | b',' | b'=' | b'(' | b')' | b'<' | b'>')
}

/// Far more than either kind of token has.
const MOST_DIRECTIVES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_with_and_without_quotes() {
        let list = Directives::parse(b"a=1, ,b=\"x,\\\"y\\\\\" ,\tREALM=\"\",realm=z").expect("a list");
        assert_eq!(list.get("a"), Some(&b"1"[..]));
        assert_eq!(list.get("B"), Some(&b"x,\"y\\"[..]));
        assert_eq!(list.get("realm"), Some(&b""[..]));
        assert_eq!(list.get("c"), None);
        assert_eq!(Directives::parse(b"").expect("an empty list").get("a"), None);
    }

    #[test]
    fn what_is_no_list_is_refused_where_it_ends() {
        for (token, offset) in [
            (&b"a"[..], 1),
            (b"=1", 0),
            (b"a=", 2),
            (b"a=1 b=2", 4),
            (b"a=\"1", 4),
            (b"a=\"1\\", 5),
            (b"a=\"1\"2", 5),
            (b"a=1,a=2", 4),
            (b"a=1,\x00=2", 4),
        ] {
            let offset_found = Directives::parse(token).map_err(|bad| bad.offset);
            assert_eq!(offset_found, Err(offset), "{}", token.escape_ascii());
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        push_quoted(&mut out, "user", b"a\"b\\c,d");
        push_plain(&mut out, "nc", b"00000001");
        assert_eq!(out, b"user=\"a\\\"b\\\\c,d\",nc=00000001");
        let list = Directives::parse(&out).expect("a list");
        assert_eq!(list.get("user"), Some(&b"a\"b\\c,d"[..]));
    }
}
