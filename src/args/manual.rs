//! The manual as roff, for `man`: made of the commands' own helps and of the one table of all options.

use std::fmt::Write;

use crate::config::options::{ALL, Place, WITHOUT_EFFECT};

use super::Help;

/// The whole page, section 1.
pub fn page(helps: &[Help]) -> String {
    let mut out = String::new();
    let version = env!("CARGO_PKG_VERSION");
    let _ = writeln!(
        out,
        ".TH OXKEEPER 1 \"\" \"oxkeeper {version}\" \"User Commands\""
    );
    out.push_str(
        ".SH NAME\noxkeeper \\- a coordination service that takes the place of Apache ZooKeeper 3.4.14\n",
    );
    out.push_str(".SH SYNOPSIS\n.B oxkeeper\n[\\fB\\-D\\fIkey\\fB=\\fIvalue\\fR ...] \\fIcommand\\fR [\\fIarguments\\fR]\n");
    out.push_str(".SH COMMANDS\n");
    for help in helps {
        let _ = writeln!(out, ".TP\n.B {}\n{}", escaped(&help.name), line(&help.summary));
    }
    for help in helps.iter().filter(|help| !help.text.is_empty()) {
        let _ = writeln!(out, ".SH OXKEEPER {}\n.nf", escaped(&help.name.to_uppercase()));
        help.text.trim_end().lines().for_each(|text| {
            let _ = writeln!(out, "{}", line(text));
        });
        out.push_str(".fi\n");
    }
    configuration(&mut out);
    out.push_str(ENVIRONMENT);
    out.push_str(".SH EXIT STATUS OF A SERVER\n");
    for (code, meaning) in CODES {
        let _ = writeln!(out, ".TP\n.B {code}\n{}", line(meaning));
    }
    out
}

fn configuration(out: &mut String) {
    out.push_str(
        ".SH CONFIGURATION\nThe keys of zoo.cfg, and the system properties, which are set by \\-D.\n",
    );
    for option in ALL {
        let names = match (option.place, option.key()) {
            (Place::Key, _) => option.name.to_owned(),
            (_, Some(key)) => format!("{}, in zoo.cfg {key}", option.name),
            (_, None) => option.name.to_owned(),
        };
        let default = match option.default {
            "" => String::new(),
            default => format!(" Default: {default}."),
        };
        let text = format!(
            "{}: {}.{default}",
            option.meaning.trim_end_matches('.'),
            option.kind.allowed()
        );
        let _ = writeln!(out, ".TP\n.B {}\n{}", escaped(&names), line(&text));
    }
    out.push_str(".PP\nAccepted without effect, with a warning:\n");
    for group in WITHOUT_EFFECT {
        let _ = writeln!(
            out,
            ".TP\n.B {}\n{}",
            escaped(&group.names.join(", ")),
            line(group.why)
        );
    }
}

/// Text in which roff finds nothing to obey.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
}

/// The same as a line of its own: what begins with a dot would be a command.
fn line(text: &str) -> String {
    match text.starts_with('.') {
        true => format!("\\&{}", escaped(text)),
        false => escaped(text),
    }
}

const ENVIRONMENT: &str = ".SH ENVIRONMENT
.TP
.B SERVER_JVMFLAGS, JVMFLAGS
Of these, words of the form \\-Dkey=value set properties; those of the command line win.
.TP
.B RUST_LOG
The level of the log; wins over \\-Dzookeeper.root.logger.
.TP
.B NO_COLOR
If it is set, nothing is coloured unless that is asked for.
";

const CODES: [(i32, &str); 7] = [
    (0, "An orderly end, by SIGTERM or SIGINT."),
    (
        1,
        "Something unexpected: a port in use, a directory that cannot be used, a broken thread.",
    ),
    (2, "Bad arguments or configuration."),
    (10, "A snapshot could not be written."),
    (
        12,
        "A leader committed something else than what this server expects; started again, it synchronises anew.",
    ),
    (
        13,
        "The transaction log could not be written: nothing unsafe was acknowledged.",
    ),
    (
        14,
        "The data directory is damaged; the last log line names file and offset, and what to do.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_every_option_is_in_the_manual() {
        let page = page(&super::super::helps());
        let helps = super::super::helps();
        assert!(helps.len() >= 13, "every line of the list of commands: {helps:?}");
        for help in helps {
            let name = escaped(&help.name);
            assert!(page.contains(&format!(".TP\n.B {name}\n")), "{name}");
            let has_help = !help.text.is_empty();
            let prints_only = ["options", "man", "completion", "version"].contains(&help.name.as_str());
            assert!(
                has_help != prints_only,
                "{name}: its help belongs into the manual"
            );
        }
        for option in ALL {
            assert!(page.contains(&escaped(option.name)), "{}", option.name);
        }
        assert!(page.contains("\\-\\-follow"));
    }

    #[test]
    fn roff_finds_nothing_to_obey_in_texts() {
        assert_eq!(line(".so /etc/passwd"), "\\&.so /etc/passwd");
        assert_eq!(line("it's a\\b-c"), "it\\(aqs a\\eb\\-c");
        let page = page(&super::super::helps());
        let known = ["TH", "SH", "TP", "B", "PP", "nf", "fi"];
        for text in page.lines().filter_map(|line| line.strip_prefix('.')) {
            let word = text.split(' ').next().unwrap_or_default();
            assert!(known.contains(&word), ".{text}");
        }
    }
}
