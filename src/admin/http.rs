//! HTTP without sockets: from the head of a request to the bytes of an answer.

use std::collections::BTreeMap;
use std::fmt::Write;

use percent_encoding::percent_decode_str;

use crate::runtime::Now;

/// What answers requests. It owns a thread, and may be asked a few dozen times a second.
pub trait Site: Send {
    /// Answers one request. Its work must be bounded: the thread serves nobody else meanwhile.
    fn answer(&mut self, now: Now, asked: &Asked) -> Page;

    /// Something to do from time to time. Tells when to call again, elapsed milliseconds.
    fn tick(&mut self, now: Now) -> i64;
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// The path, without the query, decoded.
    pub path: String,
    /// The query's names and values, decoded; of one name the first value.
    pub query: BTreeMap<String, String>,
    /// Whether only the head of the answer is wanted.
    pub head_only: bool,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The status.
    pub status: u16,
    /// What the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

/// What a connection is to do after it has read something.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// Read on.
    Unfinished,
    /// Answer this.
    Whole(Asked),
    /// Give this answer, and nothing else.
    Refused(Page),
}

impl Page {
    /// A page of text.
    pub fn text(status: u16, body: impl Into<String>) -> Page {
        Page {
            status,
            content_type: "text/plain; charset=utf-8",
            body: body.into().into_bytes(),
        }
    }

    /// A page of HTML.
    pub fn html(body: impl Into<String>) -> Page {
        Page {
            status: 200,
            content_type: "text/html; charset=utf-8",
            body: body.into().into_bytes(),
        }
    }

    /// A page of JSON, as Java's admin server names it.
    pub fn json(status: u16, value: &serde_json::Value) -> Page {
        Page {
            status,
            content_type: "application/json",
            // Values that were made here have no key that is no text, the one thing that can fail.
            body: serde_json::to_vec_pretty(value).unwrap_or_default(),
        }
    }

    /// The bytes for the wire. A browser is told to ask nothing else anywhere, and to keep nothing.
    pub fn to_bytes(&self, head_only: bool) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len(),
        );
        if self.status == 405 {
            head.push_str("Allow: GET, HEAD\r\n");
        }
        // Writing to a String cannot fail.
        let _ = write!(head, "{SAFE_HEADERS}\r\n");
        let mut bytes = head.into_bytes();
        if !head_only {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// Looks at what has come so far. `local_only` says that the port is open to this machine alone: then a page of
/// somebody else's, shown by a browser on this machine, must not get at it by a name of its own.
pub fn read_head(bytes: &[u8], local_only: bool) -> Head {
    let refuse = |status, text: &str| Head::Refused(Page::text(status, format!("{text}\n")));
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD_BYTES => return Head::Unfinished,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return refuse(431, "the head of the request is too long");
        }
        Err(_) => return refuse(400, "this is no request in HTTP"),
    }
    let header = |name: &str| {
        let named = request
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    if header("Sec-Fetch-Site").is_some_and(|site| site == "cross-site") {
        return refuse(403, "another site's page must not ask this server");
    }
    if local_only && header("Host").is_some_and(|host| !is_local_name(&host)) {
        return refuse(
            403,
            "this server answers to localhost and to addresses, not to names",
        );
    }
    let head_only = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return refuse(405, "only GET and HEAD are answered"),
    };
    let target = request.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Ok(path) = percent_decode_str(path).decode_utf8() else {
        return refuse(400, "the path is no UTF-8");
    };
    Head::Whole(Asked {
        path: path.into_owned(),
        query: pairs(query),
        head_only,
    })
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let decoded = |text: &str| {
        percent_decode_str(&text.replace('+', " "))
            .decode_utf8_lossy()
            .into_owned()
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.entry(decoded(name)).or_insert_with(|| decoded(value));
    }
    pairs
}

/// An address, or the one name that every machine has for itself; perhaps with a port.
fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

/// What a request may be before its body.
pub const MOST_HEAD_BYTES: usize = 8 * 1024;
const MOST_HEADERS: usize = 64;
const SAFE_HEADERS: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n\
    Referrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn status(bytes: &str) -> u16 {
        match read_head(bytes.as_bytes(), true) {
            Head::Unfinished => 0,
            Head::Whole(_) => 200,
            Head::Refused(page) => page.status,
        }
    }

    #[test]
    fn a_request_is_read_when_it_is_whole() {
        let text = "GET /commands/mntr?a=1&b=%2Fx+y&a=2 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(
                read_head(&text.as_bytes()[..end], true),
                Head::Unfinished,
                "{end}"
            );
        }
        let Head::Whole(asked) = read_head(text.as_bytes(), true) else {
            panic!("not read");
        };
        assert_eq!((asked.path.as_str(), asked.head_only), ("/commands/mntr", false));
        let query: Vec<_> = asked
            .query
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(query, ["a=1", "b=/x y"]);
    }

    #[test]
    fn what_is_no_request_of_ours_is_refused() {
        let long = format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(MOST_HEAD_BYTES));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
        for (text, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", 200),
            ("GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", 200),
            ("HEAD / HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", 200),
            ("POST / HTTP/1.1\r\n\r\n", 405),
            ("TRACE / HTTP/1.1\r\n\r\n", 405),
            ("GET / HTTP/1.1\r\nHost: evil.example:8080\r\n\r\n", 403),
            ("GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n\r\n", 403),
            ("GET / HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n\r\n", 403),
            ("GET /%ff HTTP/1.1\r\n\r\n", 400),
            ("\0\0\0\0", 400),
            ("GET / FTP\r\n\r\n", 400),
            (&long, 431),
            (&many, 431),
        ] {
            assert_eq!(status(text), expected, "{}", &text[..text.len().min(60)]);
        }
        let name = "GET / HTTP/1.1\r\nHost: zoo1.example.com\r\n\r\n";
        assert!(matches!(read_head(name.as_bytes(), false), Head::Whole(_)));
    }

    #[test]
    fn an_answer_tells_its_length_and_keeps_browsers_in() {
        let bytes = Page::text(200, "hello").to_bytes(false);
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nhello"));
        assert!(text.contains("Content-Length: 5\r\n") && text.contains("default-src 'none'"));
        let head = Page::text(405, "no").to_bytes(true);
        let text = String::from_utf8(head).expect("text");
        assert!(text.contains("Allow: GET, HEAD\r\n") && text.ends_with("\r\n\r\n"));
    }
}
