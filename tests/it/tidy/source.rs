//! Rust source as the rules see it: which lines are tests, where functions begin and end, and the text
//! without comments and literals, so that a rule never stumbles over a sentence.

use std::collections::BTreeSet;

/// A file of Rust.
pub struct Source {
    /// Its lines as they are.
    pub lines: Vec<String>,
    /// The same lines with blanks for comments and for what stands between quotes.
    pub code: Vec<String>,
    /// Which lines have a comment.
    pub has_comment: Vec<bool>,
    /// Which lines only a test build has.
    pub is_test: Vec<bool>,
    /// Modules that are declared here for a test build only, without a body.
    pub test_modules: Vec<String>,
}

/// A function with its lines, from 0; `last` is the one of its closing brace.
pub struct Function {
    pub name: String,
    pub first: usize,
    pub last: usize,
}

impl Source {
    pub fn new(text: &str) -> Source {
        let (code_text, comments) = blank_out(text);
        let code: Vec<String> = code_text.lines().map(str::to_owned).collect();
        let mut source = Source {
            lines: text.lines().map(str::to_owned).collect(),
            has_comment: (0..code.len()).map(|line| comments.contains(&line)).collect(),
            is_test: vec![false; code.len()],
            test_modules: Vec::new(),
            code,
        };
        source.mark_tests(&code_text);
        source
    }

    /// All functions with a body.
    pub fn functions(&self) -> Vec<Function> {
        let text = self.code.join("\n");
        let mut functions = Vec::new();
        for (start, _) in text.match_indices("fn ") {
            let before = text[..start].chars().next_back();
            let name: String = text[start + 3..].chars().take_while(|&c| is_word(c)).collect();
            if name.is_empty() || before.is_some_and(is_word) {
                continue;
            }
            if let Some(end) = end_of_item(&text, start, true) {
                let line_of = |at: usize| text[..at].matches('\n').count();
                functions.push(Function {
                    name,
                    first: line_of(start),
                    last: line_of(end),
                });
            }
        }
        functions
    }

    fn mark_tests(&mut self, text: &str) {
        for (start, _) in text.match_indices("#[cfg(test)]") {
            let Some(end) = end_of_item(text, start, false) else {
                continue;
            };
            let first = text[..start].matches('\n').count();
            let last = text[..end].matches('\n').count();
            self.is_test[first..=last].fill(true);
            let item = text[start..=end].trim_end();
            if let (Some(at), true) = (item.find("mod "), item.ends_with(';')) {
                let name = item[at + 4..].chars().take_while(|&c| is_word(c));
                self.test_modules.push(name.collect());
            }
        }
    }
}

/// Where the item ends that begins at `start`: at the brace that closes its body, or at a semicolon, unless
/// only an item with a body counts.
fn end_of_item(text: &str, start: usize, with_body: bool) -> Option<usize> {
    let mut open = 0_u32;
    let mut in_body = false;
    for (at, c) in text[start..].char_indices() {
        match c {
            ';' if open == 0 => return (!with_body).then_some(start + at),
            '{' if open == 0 => {
                in_body = true;
                open += 1;
            }
            '{' | '(' | '[' => open += 1,
            '}' | ')' | ']' => {
                open = open.checked_sub(1)?;
                if c == '}' && open == 0 && in_body {
                    return Some(start + at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Blanks for comments and for literals, while line breaks stay; and the lines that have a comment.
fn blank_out(text: &str) -> (String, BTreeSet<usize>) {
    let text: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut comments = BTreeSet::new();
    let (mut at, mut line) = (0, 0);
    while at < text.len() {
        let token_ends = end_of_token(&text, at);
        let end = token_ends.max(at + 1);
        for &c in &text[at..end] {
            if text[at] == '/' && token_ends > at {
                comments.insert(line);
            }
            out.push(if token_ends > at && c != '\n' { ' ' } else { c });
            line += usize::from(c == '\n');
        }
        at = end;
    }
    (out, comments)
}

/// Where the comment or literal ends that begins at `at`; `at` itself if none does.
fn end_of_token(text: &[char], at: usize) -> usize {
    let rest = &text[at..];
    let after_word = at > 0 && is_word(text[at - 1]);
    match rest {
        ['/', '/', ..] => at + rest.iter().take_while(|&&c| c != '\n').count(),
        ['/', '*', ..] => at + end_of_block_comment(rest),
        ['"', ..] => at + end_of_string(rest),
        ['r', '"' | '#', ..] if !after_word || text[at - 1] == 'b' => at + end_of_raw_string(rest),
        ['\'', '\\', ..] => at + 3 + rest[3..].iter().take_while(|&&c| c != '\'').count() + 1,
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn end_of_block_comment(text: &[char]) -> usize {
    let mut depth = 0_u32;
    let mut at = 0;
    while at + 1 < text.len() {
        match (text[at], text[at + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
    }
    text.len()
}

fn end_of_string(text: &[char]) -> usize {
    let mut escaped = false;
    for (at, &c) in text.iter().enumerate().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    text.len()
}

/// 0 if it is no raw string after all but a raw identifier.
fn end_of_raw_string(text: &[char]) -> usize {
    let hashes = text[1..].iter().take_while(|&&c| c == '#').count();
    if text.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let mut closing = vec!['"'];
    closing.extend(std::iter::repeat_n('#', hashes));
    let body = 2 + hashes;
    let end = text[body..]
        .windows(closing.len())
        .position(|window| window == closing);
    end.map_or(text.len(), |end| body + end + closing.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[test]
fn comments_and_literals_are_blank_and_lines_stay() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */\n */ d", "a             \n    d"),
        ("a \"b\\\"//\" c", "a         c"),
        ("r#\"a\"b\"# c", "         c"),
        ("br\"a\" + r#type", "b     + r#type"),
        ("'a' '\\'' '\\u{1f}' &'a str", "                  &'a str"),
    ] {
        assert_eq!(blank_out(text).0, code, "of {text:?}");
    }
}

#[test]
fn functions_and_tests_are_found() {
    let comments = blank_out("a // b\n\"//\"\n/* c\nd */ e\n1 / 2").1;
    assert_eq!(comments.into_iter().collect::<Vec<_>>(), [0, 2, 3]);
    let text = "fn a() {\n    b(|| { 1 });\n}\ntrait T {\n    fn c(&self) -> [u8; 4];\n    \
                fn d() -> u8 { 1 }\n}\nlet f: fn (u8);\n#[cfg(test)]\nmod tests {\n    fn e() {}\n}\n#[cfg(test)]\nmod long;\n";
    let source = Source::new(text);
    let functions = source.functions();
    let found: Vec<_> = functions
        .iter()
        .map(|f| (f.name.as_str(), f.first, f.last))
        .collect();
    assert_eq!(found, [("a", 0, 2), ("d", 5, 5), ("e", 10, 10)]);
    let tests: Vec<usize> = (0..source.is_test.len())
        .filter(|&line| source.is_test[line])
        .collect();
    assert_eq!(tests, [8, 9, 10, 11, 12, 13]);
    assert_eq!(source.test_modules, ["long"]);
}
