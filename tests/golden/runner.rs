//! Golden scripts: text files in `tests/scripts/<domain>/`. A line with `>` is a command, the lines below it are what
//! could be seen; a line with `#` is a comment, and the first line is one, which says what 3.4.14 does and why it
//! matters. With `REWRITE_SCRIPTS=1` in the environment the files are written anew, for a person to review.

use std::fs;
use std::path::Path;

/// Plays all scripts of a domain, each with a world of its own. There must be `least` of them.
///
/// A world obeys a command, the first word of which is its verb, and gives the lines that can be seen.
pub fn play_all<W>(
    domain: &str,
    least: usize,
    begin: impl Fn() -> W,
    obey: impl Fn(&mut W, &str) -> Vec<String>,
) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/scripts")
        .join(domain);
    let rewrite = std::env::var_os("REWRITE_SCRIPTS").is_some();
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in &paths {
        let text = fs::read_to_string(path).expect("a script");
        assert!(
            text.starts_with("# "),
            "{} does not begin with what it is about",
            path.display()
        );
        let mut world = begin();
        let played = play(&text, &mut |command| obey(&mut world, command));
        if rewrite {
            fs::write(path, &played).expect("the script");
        } else {
            assert_eq!(played, text, "{}", path.display());
        }
    }
    assert!(paths.len() >= least, "{} scripts of {domain}", paths.len());
}

/// The script with what it makes happen now.
fn play(text: &str, obey: &mut dyn FnMut(&str) -> Vec<String>) -> String {
    let mut result = String::new();
    for line in text.lines() {
        let is_command = line.starts_with('>');
        if is_command || line.starts_with('#') || line.is_empty() {
            result += line;
            result += "\n";
        }
        if let Some(command) = line.strip_prefix('>') {
            for seen in obey(command.trim()) {
                result += &seen;
                result += "\n";
            }
        }
    }
    result
}
