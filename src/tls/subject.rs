//! Names of certificates' owners, written as Java writes them: they stand in ACLs. (X500Principal.getName, RFC 2253)

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{AttributeTypeAndValue, FromDer, X509Certificate};

/// The owner of a certificate, as in `CN=client,OU=tests,O=Example`. `None` if it cannot be read.
pub fn subject_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut parts: Vec<String> = Vec::new();
    for rdn in certificate.subject().iter_rdn() {
        let pairs: Vec<String> = rdn.iter().map(pair).collect();
        parts.push(pairs.join("+"));
    }
    // The most general part comes first in a certificate and last in a text.
    parts.reverse();
    Some(parts.join(","))
}

/// Whether a text is a name at all: what an ACL may name. (X500Principal's parser)
pub fn is_name(text: &str) -> bool {
    let mut pairs = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' | ';' | '+' if !is_quoted => {
                pairs.push(text.get(start..at).unwrap_or_default());
                start = at + 1;
            }
            _ => {}
        }
    }
    pairs.push(text.get(start..).unwrap_or_default());
    !is_quoted && !is_escaped && (text.is_empty() || pairs.into_iter().all(is_pair))
}

fn is_pair(text: &str) -> bool {
    let Some((keyword, value)) = text.split_once('=') else {
        return false;
    };
    if !is_value(value.trim()) {
        return false;
    }
    let keyword = keyword.trim().to_ascii_uppercase();
    let oid = keyword.strip_prefix("OID.").unwrap_or(&keyword);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    PARSED.contains(&keyword.as_str()) || (oid.contains('.') && oid.split('.').all(is_number))
}

fn is_value(value: &str) -> bool {
    if let Some(digits) = value.strip_prefix('#') {
        return !digits.is_empty()
            && digits.len() % 2 == 0
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    }
    let (value, is_quoted) = match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => (quoted, true),
        None => (value, false),
    };
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        let is_good = match c {
            '\\' => chars.next().is_some_and(|c| match c {
                ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' | ' ' => true,
                c => c.is_ascii_hexdigit() && chars.next().is_some_and(|c| c.is_ascii_hexdigit()),
            }),
            '"' => false,
            '<' | '>' => is_quoted,
            _ => true,
        };
        if !is_good {
            return false;
        }
    }
    true
}

/// One attribute. Those that RFC 2253 has no keyword for are written by number, and their values as bytes. (AVA)
fn pair(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let value = attribute.attr_value();
    let keyword = KEYWORDS.iter().find(|(_, known)| *known == oid);
    match keyword {
        Some((keyword, _)) if STRINGS.contains(&value.header.tag().0) => {
            // Java takes the bytes of all kinds of strings for UTF-8.
            format!("{keyword}={}", escaped(&String::from_utf8_lossy(value.data)))
        }
        known => {
            let name = known.map_or(oid.as_str(), |(keyword, _)| keyword);
            let tag = u8::try_from(value.header.tag().0).unwrap_or_default();
            let constructed = if value.header.is_constructed() { 0x20 } else { 0 };
            let class = value.header.class() as u8;
            let mut text = format!("{name}=#{:02x}", class << 6 | constructed | tag);
            der_length(value.data.len())
                .iter()
                .chain(value.data)
                .for_each(|byte| text.push_str(&format!("{byte:02x}")));
            text
        }
    }
}

fn der_length(length: usize) -> Vec<u8> {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => vec![short],
        _ => {
            let bytes = length.to_be_bytes();
            let bytes: Vec<u8> = bytes.into_iter().skip_while(|&byte| byte == 0).collect();
            // At most eight bytes.
            let mut out = vec![0x80 | bytes.len() as u8];
            out.extend(bytes);
            out
        }
    }
}

fn escaped(value: &str) -> String {
    let is_blank = |c: char| c == ' ' || c == '\r';
    let core = value.trim_matches(is_blank);
    let lead = value.len() - value.trim_start_matches(is_blank).len();
    let trail = value.len() - core.len() - lead.min(value.len() - core.len());
    let mut out = String::new();
    let (before, rest) = value.split_at(lead);
    let (middle, after) = rest.split_at(rest.len() - trail.min(rest.len()));
    before.chars().for_each(|c| out.extend(['\\', c]));
    for c in middle.chars() {
        match c {
            ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\' => out.extend(['\\', c]),
            '\0' => out.push_str("\\00"),
            c => out.push(c),
        }
    }
    after.chars().for_each(|c| out.extend(['\\', c]));
    out
}

/// The keywords of RFC 2253.
const KEYWORDS: [(&str, &str); 9] = [
    ("CN", "2.5.4.3"),
    ("C", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("STREET", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("DC", "0.9.2342.19200300.100.1.25"),
];
/// Those that Java reads besides. (AVAKeyword)
const PARSED: [&str; 21] = [
    "CN",
    "C",
    "L",
    "S",
    "ST",
    "O",
    "OU",
    "T",
    "IP",
    "STREET",
    "DC",
    "DNQUALIFIER",
    "DNQ",
    "SURNAME",
    "GIVENNAME",
    "INITIALS",
    "GENERATION",
    "EMAIL",
    "EMAILADDRESS",
    "UID",
    "SERIALNUMBER",
];
/// The kinds of strings: UTF8, Printable, T61, IA5, General, Universal, BMP.
const STRINGS: [u32; 7] = [12, 19, 20, 22, 27, 28, 30];

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn written(pairs: &[(DnType, &str)]) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in pairs {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        subject_of(certificate.der())
    }

    /// What X500Principal.getName of OpenJDK 17 gives for the same.
    #[test]
    fn names_are_written_as_java_writes_them() {
        use DnType::{CommonName, CountryName, CustomDnType, OrganizationName};
        let email = CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
        let user = CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 1]);
        for (pairs, name) in [
            (
                vec![
                    (CountryName, "DE"),
                    (OrganizationName, "Tests"),
                    (CommonName, "a"),
                ],
                "CN=a,O=Tests,C=DE",
            ),
            (
                vec![(CommonName, "a,b=c+\"d\"<e>;#\\")],
                "CN=a\\,b\\=c\\+\\\"d\\\"\\<e\\>\\;\\#\\\\",
            ),
            (vec![(CommonName, "  a b ")], "CN=\\ \\ a b\\ "),
            (vec![(CommonName, "\u{fc}")], "CN=\u{fc}"),
            (
                vec![(user, "u1"), (email, "a@b")],
                "1.2.840.113549.1.9.1=#0c03614062,UID=u1",
            ),
            (vec![], ""),
        ] {
            assert_eq!(written(&pairs).as_deref(), Some(name));
        }
        assert_eq!(subject_of(&CertificateDer::from(vec![1, 2, 3])), None);
    }

    /// What X500Principal of OpenJDK 17 takes.
    #[test]
    fn names_are_taken_as_java_takes_them() {
        for good in [
            "",
            "CN=a",
            "CN=",
            "cn=a,ou=b",
            "S=x",
            "OID.1.2.3=a",
            "1.2.3=#0401aa",
            "CN=a+OU=b",
            "CN=\"a,b\"",
            "CN=a\\,b",
            "CN=a;OU=b",
            "EMAIL=a@b",
            "CN=a=b",
            "CN =a",
            "CN= a ",
            "CN=a\\41b",
        ] {
            assert!(is_name(good), "{good:?}");
        }
        for bad in [
            " ",
            "CN",
            "X=1",
            "TITLE=x",
            "CN=a,",
            ",CN=a",
            "CN=\"a",
            "CN=a\\",
            "CN=a,,OU=b",
            "E=a",
            "CN=a<b",
            "CN=#zz",
            "foo",
            "CN=a\\zb",
            "CN=a\"b",
            "1=a",
            "CN=a+",
        ] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
