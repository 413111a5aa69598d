//! A line of input, cut into words. (ZooKeeperMain.MyCommandOptions.parseCommand)

/// Cuts a line at blanks; `"..."` and `'...'` are one word without their quotes. There are no escapes, and a
/// quote within a word is an ordinary character.
///
/// # Errors
/// A quote that is opened and not closed.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '"' || first == '\'' {
            let Some((word, behind)) = rest[1..].split_once(first) else {
                return Err(format!("the quote {first} is not closed"));
            };
            words.push(word.to_owned());
            rest = behind.trim_start();
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            words.push(word.to_owned());
            rest = behind.trim_start();
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_as_java_cuts_them() {
        for (line, words) in [
            ("", vec![]),
            ("  ls   /a  ", vec!["ls", "/a"]),
            (
                "create /a \"two words\" ''",
                vec!["create", "/a", "two words", ""],
            ),
            ("create /a it's", vec!["create", "/a", "it's"]),
            ("set /a '{\"x\": 1}'", vec!["set", "/a", "{\"x\": 1}"]),
            ("set /a \"b\"c", vec!["set", "/a", "b", "c"]),
        ] {
            assert_eq!(split(line).expect(line), words);
        }
        assert!(split("create /a \"open").is_err());
    }
}
