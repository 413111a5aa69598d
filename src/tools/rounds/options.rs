//! The command line of `oxkeeper rounds`.

use std::collections::HashMap;
use std::path::PathBuf;

use getopts::{Matches, Options};

use crate::proto::Sid;

/// The command line, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The logs, each with its writer if the caller says who that is.
    pub logs: Vec<(Option<Sid>, PathBuf)>,
    /// Whether to go on as the logs grow.
    pub follow: bool,
    /// How to write.
    pub form: Form,
    /// When to use colours.
    pub colour: Colour,
    /// Tell the last so many parts only.
    pub last: Option<usize>,
    /// What is added to the clocks of servers, in milliseconds.
    pub offset_ms: HashMap<Sid, i64>,
}

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// Text for a terminal or a file.
    Text,
    /// One JSON object a line.
    Json,
    /// A page, written to this file.
    Page(PathBuf),
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Asked {
    /// To read logs.
    Run(Box<Plan>),
    /// The text of the help.
    Help(String),
}

/// Reads the words behind `rounds`. `subdirectories` lists the names of the directories in one, for `--ensemble`.
///
/// # Errors
/// A sentence that names the option and what it may be.
pub fn parse(
    arguments: &[String],
    subdirectories: impl Fn(&PathBuf) -> Vec<String>,
) -> Result<Asked, String> {
    let options = options();
    let matches = options.parse(arguments).map_err(|error| error.to_string())?;
    if matches.opt_present("help") {
        return Ok(Asked::Help(help_text()));
    }
    let mut logs: Vec<_> = matches.free.iter().map(|word| log(word)).collect();
    if let (true, Some(dir)) = (logs.is_empty(), matches.opt_str("ensemble")) {
        let dir = PathBuf::from(dir);
        let mut numbers: Vec<i64> = subdirectories(&dir)
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect();
        numbers.sort_unstable();
        logs.extend(
            numbers
                .iter()
                .map(|n| (Some(Sid(*n)), dir.join(n.to_string()).join("log"))),
        );
        if logs.is_empty() {
            return Err(format!(
                "there is no server in {}: name the logs to read",
                dir.display()
            ));
        }
    }
    if logs.is_empty() {
        return Err("name the logs to read; --help tells more".to_owned());
    }
    Ok(Asked::Run(Box::new(Plan {
        logs,
        follow: matches.opt_present("follow"),
        form: form(&matches)?,
        colour: colour(&matches)?,
        last: last(&matches)?,
        offset_ms: offsets(&matches)?,
    })))
}

/// The text of `--help`.
pub fn help_text() -> String {
    options().usage(&format!("{BRIEF}\n\nIn the columns: {}.", super::text::LEGEND))
}

fn options() -> Options {
    let mut options = Options::new();
    options
        .optflag("f", "follow", "go on as the logs grow, roll or appear")
        .optflag("j", "json", "one JSON object a line")
        .optopt("", "html", "write a page to this file instead", "FILE")
        .optopt("n", "last", "only the last N parts", "N")
        .optmulti(
            "",
            "offset",
            "add MS to the times of server N, whose clock differs; may be given more than once",
            "N=MS",
        )
        .optopt(
            "",
            "color",
            "auto, always or never (auto; NO_COLOR is respected)",
            "WHEN",
        )
        .optopt(
            "",
            "ensemble",
            "without LOGs, the logs of scripts/ensemble.sh in this directory",
            "DIR",
        )
        .optflag("h", "help", "print this");
    options
}

/// `3=/var/log/zk.log` names the writer; a file of such a name is written `./3=...`.
fn log(word: &str) -> (Option<Sid>, PathBuf) {
    match word
        .split_once('=')
        .and_then(|(sid, path)| Some((sid.parse().ok()?, path)))
    {
        Some((sid, path)) => (Some(Sid(sid)), PathBuf::from(path)),
        None => (None, PathBuf::from(word)),
    }
}

fn form(matches: &Matches) -> Result<Form, String> {
    match (matches.opt_present("json"), matches.opt_str("html")) {
        (true, Some(_)) => Err("--json and --html: one of them at a time".to_owned()),
        (true, None) => Ok(Form::Json),
        (false, Some(file)) => Ok(Form::Page(file.into())),
        (false, None) => Ok(Form::Text),
    }
}

fn colour(matches: &Matches) -> Result<Colour, String> {
    match matches.opt_str("color").as_deref() {
        None | Some("auto") => Ok(Colour::Auto),
        Some("always") => Ok(Colour::Always),
        Some("never") => Ok(Colour::Never),
        Some(other) => Err(format!("--color {other}: must be auto, always or never")),
    }
}

fn last(matches: &Matches) -> Result<Option<usize>, String> {
    let Some(text) = matches.opt_str("last") else {
        return Ok(None);
    };
    let count = text.parse().ok().filter(|&count| count > 0);
    count
        .map(Some)
        .ok_or_else(|| format!("--last {text}: must be a number from 1"))
}

fn offsets(matches: &Matches) -> Result<HashMap<Sid, i64>, String> {
    let one = |text: String| {
        let (sid, ms) = text.split_once('=')?;
        let ms = ms.strip_suffix("ms").unwrap_or(ms).parse::<i64>().ok()?;
        Some((Sid(sid.parse().ok()?), ms))
    };
    let offsets = matches.opt_strs("offset").into_iter();
    offsets
        .map(|text| one(text.clone()).ok_or(format!("--offset {text}: must be N=MS, as in 2=-350")))
        .collect()
}

const BRIEF: &str = "Usage: oxkeeper rounds [OPTIONS] [N=]LOG...

Reads logs of servers, oxkeeper's or Java's, and shows the elections in them: who voted for
whom and why, who led after how long, who joined how, and what was lost. N= tells whose log
it is, if its lines do not. LOG may be - for standard input.";

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(words: &str) -> Result<Plan, String> {
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let dirs = |dir: &PathBuf| match dir.to_str() {
            Some("full") => ["10", "2", "x"].map(str::to_owned).to_vec(),
            _ => Vec::new(),
        };
        match parse(&words, dirs)? {
            Asked::Run(plan) => Ok(*plan),
            Asked::Help(text) => Err(text),
        }
    }

    #[test]
    fn logs_and_options_are_taken() {
        let all = plan("-f 1=/a/b c=d --offset 2=-350 --offset 3=7ms --color never --last 4 --html x.html")
            .expect("a plan");
        assert_eq!(all.logs, [(Some(Sid(1)), "/a/b".into()), (None, "c=d".into())]);
        assert_eq!((all.follow, all.colour, all.last), (true, Colour::Never, Some(4)));
        assert_eq!(all.form, Form::Page("x.html".into()));
        assert_eq!(all.offset_ms, HashMap::from([(Sid(2), -350), (Sid(3), 7)]));
        let least = plan("log").expect("a plan");
        assert_eq!(
            (least.follow, least.form, least.colour),
            (false, Form::Text, Colour::Auto)
        );
    }

    #[test]
    fn an_ensemble_s_logs_are_found_unless_others_are_named() {
        let found = plan("--ensemble full").expect("a plan").logs;
        assert_eq!(
            found,
            [
                (Some(Sid(2)), "full/2/log".into()),
                (Some(Sid(10)), "full/10/log".into())
            ]
        );
        assert_eq!(plan("--ensemble full x").expect("a plan").logs.len(), 1);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (words, part) in [
            ("", "name the logs"),
            ("--ensemble empty", "there is no server in empty"),
            ("--color blue x", "--color blue: must be auto"),
            ("--last 0 x", "--last 0: must be"),
            ("--offset 2 x", "--offset 2: must be N=MS"),
            ("--offset a=1 x", "--offset a=1: must be N=MS"),
            ("--json --html y x", "one of them"),
            ("--what", "Unrecognized option"),
            ("--help", "Usage: oxkeeper rounds"),
        ] {
            let error = plan(words).expect_err(words);
            assert!(error.contains(part), "{words}: {error}");
        }
    }
}
