//! What a half-typed line may become: commands, their options, and paths.

use super::safe::safe_name;
use super::table::{COMMANDS, find};

/// A way to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// As it is listed.
    pub shown: String,
    /// What takes the place of the word.
    pub text: String,
}

/// The candidates for the word before the cursor, and where that word begins. `children` gives the names of a
/// node's children, if they can be had.
pub fn complete(
    line: &str,
    cursor: usize,
    mut children: impl FnMut(&str) -> Option<Vec<String>>,
) -> (usize, Vec<Candidate>) {
    let before = line.get(..cursor).unwrap_or(line);
    let (start, quote) = word_start(before);
    let word = &before[start..];
    let earlier = before[..start].split_whitespace();
    let Some(command) = earlier.clone().next() else {
        let names = COMMANDS.iter().map(|command| command.name);
        return (start, plain(names.filter(|name| name.starts_with(word))));
    };
    if quote.is_none() && word.starts_with('-') {
        let flags = find(command).map_or(&[][..], |command| command.flags);
        let flags: Vec<String> = flags.iter().map(|flag| format!("-{}", flag.letter)).collect();
        return (
            start,
            plain(
                flags
                    .iter()
                    .map(String::as_str)
                    .filter(|flag| flag.starts_with(word)),
            ),
        );
    }
    if command == "help" {
        let names = COMMANDS.iter().map(|command| command.name);
        return (start, plain(names.filter(|name| name.starts_with(word))));
    }
    let path = quote.map_or(word, |quote| word.trim_start_matches(quote));
    // A path begins with a slash; of the words behind the command, the first that is no option is one.
    let has_path = earlier
        .skip(1)
        .any(|word| word.starts_with('/') || word.starts_with("\"/"));
    let wanted = find(command).is_some_and(|command| command.needs_session && command.words.1 > 0);
    match path {
        "" if wanted && !has_path => (start, paths("/", quote, &mut children)),
        _ if path.starts_with('/') => (start, paths(path, quote, &mut children)),
        _ => (start, Vec::new()),
    }
}

/// Where the word before the cursor begins, and the quote that is open there.
fn word_start(before: &str) -> (usize, Option<char>) {
    let mut start = 0;
    let mut open = None;
    let mut in_word = false;
    for (at, c) in before.char_indices() {
        match open {
            Some(quote) if c == quote => (open, in_word) = (None, false),
            Some(_) => {}
            None if c.is_whitespace() => in_word = false,
            None if !in_word => {
                (start, in_word) = (at, true);
                open = Some(c).filter(|c| *c == '"' || *c == '\'');
            }
            None => {}
        }
    }
    match in_word {
        true => (start, open),
        false => (before.len(), None),
    }
}

fn paths(
    path: &str,
    quote: Option<char>,
    children: &mut impl FnMut(&str) -> Option<Vec<String>>,
) -> Vec<Candidate> {
    let (above, beginning) = path.rsplit_once('/').unwrap_or(("", path));
    let node = if above.is_empty() { "/" } else { above };
    let names = children(node).unwrap_or_default();
    let mut found: Vec<&String> = names.iter().filter(|name| name.starts_with(beginning)).collect();
    found.retain(|name| is_typable(name));
    if let [only] = found.as_slice()
        && only.as_str() == beginning
    {
        // The name is whole: what is below it comes next.
        let node = format!("{above}/{beginning}");
        let below = children(&node).unwrap_or_default();
        if !below.is_empty() {
            let shown = format!("{beginning}/");
            return vec![candidate(&shown, &format!("{node}/"), quote)];
        }
    }
    found
        .into_iter()
        .map(|name| candidate(name, &format!("{above}/{name}"), quote))
        .collect()
}

fn candidate(shown: &str, path: &str, quote: Option<char>) -> Candidate {
    let quote = quote.or_else(|| path.contains(char::is_whitespace).then_some('"'));
    Candidate {
        shown: shown.to_owned(),
        text: quote.map_or_else(|| path.to_owned(), |quote| format!("{quote}{path}")),
    }
}

/// Whether a name can be typed back: no controls, not both quotes.
fn is_typable(name: &str) -> bool {
    safe_name(name) == name && !(name.contains('"') && name.contains(char::is_whitespace))
}

fn plain<'a>(words: impl Iterator<Item = &'a str>) -> Vec<Candidate> {
    let candidate = |word: &str| Candidate {
        shown: word.to_owned(),
        text: word.to_owned(),
    };
    words.map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> (usize, Vec<String>) {
        let (start, found) = complete(line, line.len(), |path| match path {
            "/" => Some(
                ["app", "apple", "zookeeper", "two words", "bad\x1b"]
                    .map(str::to_owned)
                    .into(),
            ),
            "/app" => Some(vec!["x".into(), "y".into()]),
            "/zookeeper" => Some(vec!["quota".into()]),
            "/apple" | "/zookeeper/quota" => Some(vec![]),
            _ => None,
        });
        (start, found.into_iter().map(|candidate| candidate.text).collect())
    }

    fn of(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn the_first_word_is_a_command() {
        assert_eq!(texts("l"), (0, of(&["ls", "ls2", "listquota"])));
        assert_eq!(texts("  getAc"), (2, of(&["getAcl"])));
        assert_eq!(texts("").1.len(), COMMANDS.len());
        assert_eq!(texts("help se").1, of(&["set", "setAcl", "setquota"]));
    }

    #[test]
    fn options_are_those_of_the_command() {
        assert_eq!(texts("create -"), (7, of(&["-s", "-e", "-c", "-t"])));
        assert_eq!(texts("ls -R").1, of(&["-R"]));
        assert_eq!(texts("nonsense -").1, of(&[]));
    }

    #[test]
    fn paths_grow_child_by_child() {
        assert_eq!(texts("get /a"), (4, of(&["/app", "/apple"])));
        assert_eq!(texts("get /z").1, of(&["/zookeeper"]));
        assert_eq!(
            texts("get /zookeeper").1,
            of(&["/zookeeper/"]),
            "what is whole goes on below"
        );
        assert_eq!(texts("get /zookeeper/").1, of(&["/zookeeper/quota"]));
        assert_eq!(
            texts("get /zookeeper/quota").1,
            of(&["/zookeeper/quota"]),
            "a leaf stays"
        );
        assert_eq!(
            texts("get ").1,
            of(&["/app", "/apple", "/zookeeper", "\"/two words"])
        );
        assert_eq!(texts("get /none/x").1, of(&[]));
        assert_eq!(texts("set /app da").1, of(&[]));
        assert_eq!(texts("set /app ").1, of(&[]));
        assert_eq!(texts("get \"/two w"), (4, of(&["\"/two words"])));
        assert_eq!(texts("ls -s /app/").1, of(&["/app/x", "/app/y"]));
    }
}
