//! The file with names and passwords, in the syntax of Java's login configuration.
//! (javax.security.auth.login.Configuration)
//!
//! ```text
//! Server {                                     // the clients' passwords
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!     user_super="..." user_bob="...";
//! };
//! ```
//!
//! What stands in quotes is taken as it is, but for backslashes; properties (`${name}`) are not put in.

use std::collections::BTreeMap;

use thiserror::Error;

use super::users::Secret;

/// A file's sections.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Jaas(BTreeMap<String, Vec<Entry>>);

/// A login module with its options.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of its class.
    pub module: String,
    /// Where it stands, from 1.
    pub line: usize,
    /// Its options. Which of them are secret, only who reads them knows.
    pub options: BTreeMap<String, Secret>,
}

/// A text that is no such file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {reason}")]
pub struct BadJaas {
    /// Where, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Jaas {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`BadJaas`].
    pub fn parse(text: &str) -> Result<Jaas, BadJaas> {
        let mut parser = Parser {
            rest: text,
            line: 1,
            token: Token::End,
            token_line: 1,
        };
        parser.advance()?;
        let mut sections = BTreeMap::new();
        while parser.token != Token::End {
            let line = parser.token_line;
            let (name, entries) = parser.section()?;
            if sections.insert(name.clone(), entries).is_some() {
                let reason = format!("the section {name} is there twice; remove one");
                return Err(BadJaas { line, reason });
            }
        }
        Ok(Jaas(sections))
    }

    /// The modules of a section.
    pub fn section(&self, name: &str) -> Option<&[Entry]> {
        self.0.get(name).map(Vec::as_slice)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
    End,
}

struct Parser<'a> {
    rest: &'a str,
    line: usize,
    token: Token,
    /// Where the token began.
    token_line: usize,
}

impl Parser<'_> {
    fn section(&mut self) -> Result<(String, Vec<Entry>), BadJaas> {
        let name = self.name("the name of a section")?;
        self.sign('{', "behind the section's name")?;
        let mut entries = Vec::new();
        while self.token != Token::Sign('}') {
            entries.push(self.entry()?);
        }
        if entries.is_empty() {
            return Err(self.bad(format!("the section {name} has no login module")));
        }
        self.advance()?;
        self.sign(';', "behind the section's '}'")?;
        Ok((name, entries))
    }

    fn entry(&mut self) -> Result<Entry, BadJaas> {
        let line = self.token_line;
        let module = self.name("the class of a login module, or '}'")?;
        let flag = self.name("'required', 'requisite', 'sufficient' or 'optional' behind the module")?;
        if !FLAGS.iter().any(|known| flag.eq_ignore_ascii_case(known)) {
            let reason =
                format!("{flag} stands where 'required', 'requisite', 'sufficient' or 'optional' is due");
            return Err(BadJaas {
                line: self.token_line,
                reason,
            });
        }
        let mut options = BTreeMap::new();
        while self.token != Token::Sign(';') {
            let key = self.name("an option, or ';' behind the last one")?;
            self.sign('=', "behind an option's name")?;
            let value = self.name("an option's value")?;
            options.insert(key, Secret::new(value));
        }
        self.advance()?;
        Ok(Entry {
            module,
            line,
            options,
        })
    }

    fn name(&mut self, what: &str) -> Result<String, BadJaas> {
        match std::mem::replace(&mut self.token, Token::End) {
            Token::Word(word) | Token::Quoted(word) => {
                self.advance()?;
                Ok(word)
            }
            token => {
                self.token = token;
                Err(self.due(what))
            }
        }
    }

    fn sign(&mut self, wanted: char, place: &str) -> Result<(), BadJaas> {
        if self.token == Token::Sign(wanted) {
            self.advance()
        } else {
            Err(self.due(&format!("'{wanted}' {place}")))
        }
    }

    /// What stands there is not told: it may be a password without its quotes.
    fn due(&self, what: &str) -> BadJaas {
        match self.token {
            Token::End => self.bad(format!("the file ends where {what} is due")),
            Token::Sign(sign) => self.bad(format!("'{sign}' stands where {what} is due")),
            Token::Word(_) | Token::Quoted(_) => self.bad(format!("a word stands where {what} is due")),
        }
    }

    fn bad(&self, reason: String) -> BadJaas {
        BadJaas {
            line: self.token_line,
            reason,
        }
    }

    fn advance(&mut self) -> Result<(), BadJaas> {
        self.skip_blanks()?;
        self.token_line = self.line;
        self.token = match self.rest.chars().next() {
            None => Token::End,
            Some('"') => Token::Quoted(self.quoted()?),
            Some(sign) if is_sign(sign) => {
                self.skip(sign.len_utf8());
                Token::Sign(sign)
            }
            Some(_) => {
                let end = self
                    .rest
                    .find(|c: char| c.is_whitespace() || c == '"' || is_sign(c));
                Token::Word(self.take(end.unwrap_or(self.rest.len())).to_owned())
            }
        };
        Ok(())
    }

    fn skip_blanks(&mut self) -> Result<(), BadJaas> {
        loop {
            let blanks = self.rest.len() - self.rest.trim_start().len();
            self.skip(blanks);
            if self.rest.starts_with("//") {
                self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let Some(end) = self.rest.find("*/") else {
                    let reason = "a comment begins here and does not end: '*/' is missing".to_owned();
                    return Err(BadJaas {
                        line: self.line,
                        reason,
                    });
                };
                self.skip(end + 2);
            } else {
                return Ok(());
            }
        }
    }

    /// A text in quotes, on one line, with the escapes of Java's StreamTokenizer.
    fn quoted(&mut self) -> Result<String, BadJaas> {
        let open = || BadJaas {
            line: self.line,
            reason: "a text in quotes does not end on its line: '\"' is missing".to_owned(),
        };
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        loop {
            let (at, next) = chars.next().ok_or_else(open)?;
            match next {
                '"' => {
                    self.skip(at + 1);
                    return Ok(text);
                }
                '\n' | '\r' => return Err(open()),
                '\\' => {
                    let (_, escaped) = chars.next().ok_or_else(open)?;
                    if let Some(digit) = escaped.to_digit(8) {
                        let most = if digit < 4 { 2 } else { 1 };
                        let mut code = digit;
                        for _ in 0..most {
                            let Some(digit) = chars.peek().and_then(|(_, c)| c.to_digit(8)) else {
                                break;
                            };
                            code = code * 8 + digit;
                            chars.next();
                        }
                        text.extend(char::from_u32(code));
                    } else {
                        text.push(unescaped(escaped));
                    }
                }
                other => text.push(other),
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        self.take(bytes);
    }

    fn take(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }
}

fn unescaped(escaped: char) -> char {
    match escaped {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        other => other,
    }
}

fn is_sign(c: char) -> bool {
    matches!(c, '{' | '}' | ';' | '=')
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];

#[cfg(test)]
mod tests {
    use super::super::{Credentials, Users};
    use super::*;

    fn refusal(text: &str) -> String {
        Jaas::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn sections_modules_options_and_comments_are_read() {
        let text = "/* two\nlines */ Server {\n  // the users\n  a.b.DigestLoginModule required\n    \
                    user_super=\"s\\\"1\\\\\\101 {;}\"\n    user_bob = plain;\n};\n\
                    QuorumLearner { x.DigestLoginModule OPTIONAL username=\"me\" password=\"p=1\"; };";
        let jaas = Jaas::parse(text).expect("a file");
        let server = jaas.section("Server").expect("the section");
        assert_eq!(
            (server[0].module.as_str(), server[0].line),
            ("a.b.DigestLoginModule", 4)
        );
        let users = Users::of_section(server);
        assert_eq!(users.password_of("super"), Some(&Secret::new("s\"1\\A {;}")));
        assert_eq!(users.password_of("bob"), Some(&Secret::new("plain")));
        let learner = jaas.section("QuorumLearner").and_then(Credentials::of_section);
        let learner = learner.expect("credentials");
        assert_eq!(
            (learner.username.as_str(), learner.password),
            ("me", Secret::new("p=1"))
        );
        assert_eq!(jaas.section("Client"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_without_what_may_be_a_password() {
        for (text, expected) in [
            (
                "A {\n m required\n u=\"x\"\n}",
                "line 4: '}' stands where an option, or ';' behind the last one is due",
            ),
            (
                "A {\n m required;\n}",
                "line 3: the file ends where ';' behind the section's '}' is due",
            ),
            ("A {};", "line 1: the section A has no login module"),
            (
                "A {\n m u=\"x\";\n};",
                "line 2: u stands where 'required', 'requisite', 'sufficient' or 'optional' is due",
            ),
            (
                "A {\n m required\n u=\"pass\n;};",
                "line 3: a text in quotes does not end on its line: '\"' is missing",
            ),
            (
                "A {\n m required u \"pass\";};",
                "line 2: a word stands where '=' behind an option's name is due",
            ),
            (
                "/* A",
                "line 1: a comment begins here and does not end: '*/' is missing",
            ),
            (
                "A { m required; };\nA { m required; };",
                "line 2: the section A is there twice; remove one",
            ),
        ] {
            assert_eq!(refusal(text), expected, "{text}");
        }
    }
}
