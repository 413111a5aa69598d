//! The commands, as one table: parsing, help and completion come from it.

use super::commands::{own, quota, read, write};
use super::failure::Failure;
use super::shell::Shell;

/// A command.
pub struct Spec {
    /// The word that calls it.
    pub name: &'static str,
    /// What stands behind it, as help shows it.
    pub usage: &'static str,
    /// Options that may stand before the other words.
    pub flags: &'static [Flag],
    /// How many other words there must be, and may be.
    pub words: (usize, usize),
    /// Whether there must be a session.
    pub needs_session: bool,
    /// One line of help.
    pub summary: &'static str,
    /// Does it.
    pub run: fn(&mut Shell, &Call) -> Result<(), Failure>,
}

/// An option of a command.
pub struct Flag {
    /// Written behind a dash.
    pub letter: char,
    /// Whether the next word belongs to it.
    pub takes_value: bool,
    /// One line of help.
    pub help: &'static str,
}

/// A command's words, understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// The words without the options.
    pub words: Vec<String>,
    flags: Vec<(char, Option<String>)>,
}

impl Call {
    /// Whether an option was given.
    pub fn has(&self, letter: char) -> bool {
        self.flags.iter().any(|(given, _)| *given == letter)
    }

    /// The value of an option.
    pub fn value(&self, letter: char) -> Option<&str> {
        let given = self.flags.iter().find(|(given, _)| *given == letter)?;
        given.1.as_deref()
    }

    /// A word by its place; the empty text if it is not there.
    pub fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", String::as_str)
    }

    /// A word, or the value of an option that says the same, as a number.
    ///
    /// # Errors
    /// [`Failure::Number`] as Java has it.
    pub fn version(&self, letter: char, index: usize) -> Result<i32, Failure> {
        let text = self.value(letter).or(self.words.get(index).map(String::as_str));
        text.map_or(Ok(-1), number)
    }
}

/// Reads a number.
///
/// # Errors
/// [`Failure::Number`] as Java has it.
pub fn number<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::Number(text.to_owned()))
}

/// The command of a name.
pub fn find(name: &str) -> Option<&'static Spec> {
    COMMANDS.iter().find(|command| command.name == name)
}

impl Spec {
    /// Sorts the words behind the command's name.
    ///
    /// # Errors
    /// An option that is none, too few words or too many.
    pub fn understand(&self, words: &[String]) -> Result<Call, Failure> {
        let mut call = Call {
            words: Vec::new(),
            flags: Vec::new(),
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !self.may_be_option(word, call.words.is_empty()) {
                call.words.push(word.clone());
                continue;
            }
            for letter in word.chars().skip(1) {
                let Some(flag) = self.flags.iter().find(|flag| flag.letter == letter) else {
                    return Err(self.misused(&format!("there is no option -{letter}")));
                };
                let value = if flag.takes_value {
                    let missing = || self.misused(&format!("the value of -{letter} is missing"));
                    Some(words.next().ok_or_else(missing)?.clone())
                } else {
                    None
                };
                call.flags.push((letter, value));
            }
        }
        match call.words.len() {
            count if count < self.words.0 => Err(self.misused("something is missing")),
            count if count > self.words.1 => {
                let word = call.word(self.words.1);
                Err(self.misused(&format!("{word:?} is too much; quote what belongs together")))
            }
            _ => Ok(call),
        }
    }

    /// The line of the help.
    pub fn line(&self) -> String {
        format!("{} {}", self.name, self.usage)
    }

    /// Options stand before the other words. Where those are paths and nothing that may begin with a dash, they may
    /// stand behind them too, as since 3.5.
    fn may_be_option(&self, word: &str, is_first: bool) -> bool {
        let is_watch = |flag: &Flag| flag.letter == WATCH.letter;
        let paths_alone = self.words.1 == 1 || self.flags.iter().any(is_watch);
        let may_be_here = is_first || paths_alone;
        let takes_any = !self.flags.is_empty() || self.words.1 == 0;
        word.len() > 1 && word.starts_with('-') && may_be_here && takes_any
    }

    /// A misuse, with what would be right.
    pub fn misused(&self, why: &str) -> Failure {
        Failure::Usage(format!(
            "{}: {}\nusage: {}",
            self.name,
            super::safe::safe_name(why),
            self.line().trim_end()
        ))
    }
}

/// All usages, as 3.4.14 begins them. (ZooKeeperMain.usage)
pub fn usage() -> String {
    let mut text = "ZooKeeper -server host:port cmd args".to_owned();
    for command in COMMANDS {
        text.push_str("\n\t");
        text.push_str(&command.line());
    }
    text
}

/// The help of one command.
pub fn help_of(command: &Spec) -> String {
    let mut text = format!("{}\n    {}", command.line().trim_end(), command.summary);
    for flag in command.flags {
        text.push_str(&format!("\n    -{}  {}", flag.letter, flag.help));
    }
    text
}

const fn flag(letter: char, help: &'static str) -> Flag {
    Flag {
        letter,
        takes_value: false,
        help,
    }
}

const fn with_value(letter: char, help: &'static str) -> Flag {
    Flag {
        letter,
        takes_value: true,
        help,
    }
}

const STAT: Flag = flag('s', "print the stat too, to stdout");
const WATCH: Flag = flag('w', "tell the next change");
const VERSION: Flag = with_value('v', "only if the version is this");

/// Every command: first those of 3.4.14, then what later versions brought and this server can do.
pub const COMMANDS: &[Spec] = &[
    Spec {
        name: "connect",
        usage: "host:port",
        flags: &[],
        words: (0, 1),
        needs_session: false,
        summary: "begin a new session, there or where the last one was",
        run: own::connect,
    },
    Spec {
        name: "close",
        usage: "",
        flags: &[],
        words: (0, 0),
        needs_session: true,
        summary: "end the session",
        run: own::close,
    },
    Spec {
        name: "create",
        usage: "[-s] [-e] [-c] [-t ttl] path [data [acl]]",
        flags: &[
            flag('s', "sequential: a number is added to the name"),
            flag('e', "ephemeral: ends with the session"),
            flag('c', "container: goes after its last child (3.5)"),
            with_value('t', "goes when unchanged for so many milliseconds (3.5)"),
        ],
        words: (1, 3),
        needs_session: true,
        summary: "make a node",
        run: write::create,
    },
    Spec {
        name: "delete",
        usage: "[-v version] path [version]",
        flags: &[VERSION],
        words: (1, 2),
        needs_session: true,
        summary: "remove a node without children",
        run: write::delete,
    },
    Spec {
        name: "rmr",
        usage: "path",
        flags: &[],
        words: (1, 1),
        needs_session: true,
        summary: "remove a node and all below it",
        run: write::delete_all,
    },
    Spec {
        name: "set",
        usage: "[-s] [-v version] path data [version]",
        flags: &[STAT, VERSION],
        words: (2, 3),
        needs_session: true,
        summary: "replace a node's data",
        run: write::set,
    },
    Spec {
        name: "get",
        usage: "[-s] [-w] [-b] path [watch]",
        flags: &[STAT, WATCH, flag('b', "the bytes as they are, and nothing else")],
        words: (1, 2),
        needs_session: true,
        summary: "print a node's data and stat",
        run: read::get,
    },
    Spec {
        name: "ls",
        usage: "[-s] [-w] [-R] path [watch]",
        flags: &[STAT, WATCH, flag('R', "the paths of all nodes below, one a line")],
        words: (1, 2),
        needs_session: true,
        summary: "print the names of a node's children",
        run: read::ls,
    },
    Spec {
        name: "ls2",
        usage: "path [watch]",
        flags: &[],
        words: (1, 2),
        needs_session: true,
        summary: "print the names of a node's children, and its stat",
        run: read::ls2,
    },
    Spec {
        name: "getAcl",
        usage: "[-s] path",
        flags: &[STAT],
        words: (1, 1),
        needs_session: true,
        summary: "print who may do what with a node",
        run: read::get_acl,
    },
    Spec {
        name: "setAcl",
        usage: "[-s] [-v version] path acl [version]",
        flags: &[STAT, VERSION],
        words: (2, 3),
        needs_session: true,
        summary: "say who may do what: scheme:id:cdrwa,...",
        run: write::set_acl,
    },
    Spec {
        name: "stat",
        usage: "[-w] path [watch]",
        flags: &[WATCH],
        words: (1, 2),
        needs_session: true,
        summary: "print a node's stat",
        run: read::stat,
    },
    Spec {
        name: "sync",
        usage: "path",
        flags: &[],
        words: (1, 1),
        needs_session: true,
        summary: "wait until this server has what the leader has",
        run: write::sync,
    },
    Spec {
        name: "setquota",
        usage: "-n|-b|-N|-B val path",
        flags: &[
            with_value('n', "so many nodes"),
            with_value('b', "so many bytes of data"),
            with_value('N', "so many nodes, a hard limit (3.7)"),
            with_value('B', "so many bytes of data, a hard limit (3.7)"),
        ],
        words: (1, 1),
        needs_session: true,
        summary: "set a limit on a node and all below it; soft ones are told in the server's log",
        run: quota::set,
    },
    Spec {
        name: "listquota",
        usage: "path",
        flags: &[],
        words: (1, 1),
        needs_session: true,
        summary: "print a limit and what is used of it",
        run: quota::list,
    },
    Spec {
        name: "delquota",
        usage: "[-n|-b|-N|-B] path",
        flags: &[
            flag('n', "the limit of nodes only"),
            flag('b', "the limit of bytes only"),
            flag('N', "the hard limit of nodes only"),
            flag('B', "the hard limit of bytes only"),
        ],
        words: (1, 1),
        needs_session: true,
        summary: "remove a limit",
        run: quota::delete,
    },
    Spec {
        name: "addauth",
        usage: "scheme auth",
        flags: &[],
        words: (1, 2),
        needs_session: true,
        summary: "add an identity, such as: digest user:password",
        run: own::add_auth,
    },
    Spec {
        name: "history",
        usage: "",
        flags: &[],
        words: (0, 0),
        needs_session: false,
        summary: "print the last commands with their numbers",
        run: own::history,
    },
    Spec {
        name: "redo",
        usage: "cmdno",
        flags: &[],
        words: (1, 1),
        needs_session: false,
        summary: "run a command of the history again",
        run: own::redo,
    },
    Spec {
        name: "printwatches",
        usage: "on|off",
        flags: &[],
        words: (0, 1),
        needs_session: false,
        summary: "whether events are told",
        run: own::print_watches,
    },
    Spec {
        name: "quit",
        usage: "",
        flags: &[],
        words: (0, 0),
        needs_session: false,
        summary: "end the session and the program",
        run: own::quit,
    },
    Spec {
        name: "deleteall",
        usage: "path",
        flags: &[],
        words: (1, 1),
        needs_session: true,
        summary: "remove a node and all below it",
        run: write::delete_all,
    },
    Spec {
        name: "getEphemerals",
        usage: "[path]",
        flags: &[],
        words: (0, 1),
        needs_session: true,
        summary: "print the session's ephemerals, below a path or all (3.6)",
        run: read::get_ephemerals,
    },
    Spec {
        name: "getAllChildrenNumber",
        usage: "path",
        flags: &[],
        words: (1, 1),
        needs_session: true,
        summary: "print how many nodes there are below one (3.6)",
        run: read::count_below,
    },
    Spec {
        name: "addWatch",
        usage: "[-m PERSISTENT|PERSISTENT_RECURSIVE] path",
        flags: &[with_value(
            'm',
            "the node and its children, or all below it (if not given)",
        )],
        words: (1, 1),
        needs_session: true,
        summary: "tell all changes from now on (3.6)",
        run: read::add_watch,
    },
    Spec {
        name: "removewatches",
        usage: "path [-c|-d|-p|-r|-a] [-l]",
        flags: &[
            flag('c', "those on children"),
            flag('d', "those on data and existence"),
            flag('p', "one that addWatch has set on the node"),
            flag('r', "one that addWatch has set on the subtree"),
            flag('a', "all of them (if nothing is given)"),
            flag('l', "also if no server can be told"),
        ],
        words: (1, 1),
        needs_session: true,
        summary: "take watches of a node back (3.5)",
        run: read::remove_watches,
    },
    Spec {
        name: "config",
        usage: "[-w] [-s]",
        flags: &[STAT, WATCH],
        words: (0, 0),
        needs_session: true,
        summary: "print which servers there are (3.5)",
        run: read::config,
    },
    Spec {
        name: "whoami",
        usage: "",
        flags: &[],
        words: (0, 0),
        needs_session: true,
        summary: "print as whom the server knows this session",
        run: own::who_am_i,
    },
    Spec {
        name: "version",
        usage: "",
        flags: &[],
        words: (0, 0),
        needs_session: false,
        summary: "print the version of this program",
        run: own::version,
    },
    Spec {
        name: "help",
        usage: "[command]",
        flags: &[],
        words: (0, 1),
        needs_session: false,
        summary: "print the commands, or one with its options",
        run: own::help,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn understood(line: &str) -> Result<Call, Failure> {
        let words = super::super::words::split(line).expect("words");
        find(&words[0]).expect("a command").understand(&words[1..])
    }

    #[test]
    fn options_stand_before_the_path_alone_or_together() {
        for line in ["create -s -e /a x", "create -e -s /a x", "create -es /a x"] {
            let call = understood(line).expect(line);
            assert!(call.has('s') && call.has('e'));
            assert_eq!(call.words, ["/a", "x"]);
        }
        let call = understood("set -v 3 /a -1").expect("good");
        assert_eq!((call.word(1), call.version('v', 2).expect("a number")), ("-1", 3));
        let call = understood("delete /a 7").expect("good");
        assert_eq!(call.version('v', 1).expect("a number"), 7);
        assert!(matches!(
            understood("delete /a x").expect("words").version('v', 1),
            Err(Failure::Number(_))
        ));
        for line in [
            "removewatches -d -l /a",
            "removewatches /a -d -l",
            "removewatches /a -dl",
        ] {
            let call = understood(line).expect(line);
            assert!(call.has('d') && call.has('l') && call.words == ["/a"], "{line}");
        }
        assert!(understood("ls /a -R").expect("good").has('R'));
        assert_eq!(understood("create /a -e").expect("good").words, ["/a", "-e"]);
        assert_eq!(
            understood("addauth digest -x").expect("good").words,
            ["digest", "-x"]
        );
    }

    #[test]
    fn misuse_is_told_with_the_usage() {
        for (line, why) in [
            (
                "get",
                "get: something is missing\nusage: get [-s] [-w] [-b] path [watch]",
            ),
            ("get -x /a", "get: there is no option -x\nusage: get"),
            ("delete -v", "delete: the value of -v is missing\n"),
            (
                "create /a two words more",
                "create: \"more\" is too much; quote what belongs together\n",
            ),
            ("close -now", "close: there is no option -n\n"),
        ] {
            let text = understood(line).expect_err(line).text();
            assert!(text.starts_with(why), "{line}: {text}");
        }
    }

    #[test]
    fn every_command_of_3_4_14_is_here() {
        let javas = "connect close create delete rmr set get ls ls2 getAcl setAcl stat sync setquota listquota delquota \
                     history redo printwatches quit addauth";
        for name in javas.split(' ') {
            assert!(find(name).is_some(), "{name}");
        }
        assert_eq!(usage().lines().count(), COMMANDS.len() + 1);
        assert!(
            COMMANDS
                .iter()
                .all(|command| help_of(command).lines().count() == command.flags.len() + 2)
        );
    }
}
