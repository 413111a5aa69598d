//! The words of a command.

use oxkeeper::proto::{Epoch, Zxid};

/// A command's words behind its verb: some stand for themselves, some are `key=value`.
pub struct Words<'a> {
    /// The command, for complaints.
    command: &'a str,
    plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    /// The verb, and the words behind it.
    pub fn of(command: &'a str) -> (&'a str, Words<'a>) {
        let mut all = command.split_whitespace();
        let verb = all.next().unwrap_or_default();
        let (named, plain) =
            all.partition::<Vec<&str>, _>(|word| word.contains('=') && !word.starts_with('/'));
        let named = named.into_iter().filter_map(|word| word.split_once('='));
        (
            verb,
            Words {
                command,
                plain,
                named: named.collect(),
            },
        )
    }

    /// A plain word by its place.
    pub fn at(&self, place: usize) -> &'a str {
        let word = self.plain.get(place);
        word.unwrap_or_else(|| panic!("{:?} lacks a word", self.command))
    }

    /// How many plain words there are.
    pub fn count(&self) -> usize {
        self.plain.len()
    }

    /// Whether a plain word is there.
    pub fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    /// A plain word that is a number, by its place.
    pub fn number(&self, place: usize) -> i64 {
        number(self.at(place))
    }

    /// A named word.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.named
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    /// A named word that is a number.
    pub fn number_of(&self, name: &str) -> Option<i64> {
        self.get(name).map(number)
    }

    /// A named word that is a zxid.
    pub fn zxid_of(&self, name: &str) -> Option<Zxid> {
        self.get(name).map(zxid)
    }

    /// Complains of a verb that nobody knows.
    pub fn unknown(&self) -> ! {
        panic!("no such command: {}", self.command)
    }
}

/// A number, decimal.
pub fn number(word: &str) -> i64 {
    word.parse().unwrap_or_else(|error| panic!("{word}: {error}"))
}

/// A zxid as `epoch.counter`, or -1.
pub fn zxid(word: &str) -> Zxid {
    match word.split_once('.') {
        Some((epoch, counter)) => Zxid::of(Epoch(number(epoch)), number(counter) as u32),
        None => Zxid(number(word)),
    }
}

/// A zxid in the form that [`zxid`] reads.
pub fn spell(zxid: Zxid) -> String {
    match zxid {
        Zxid(..0) => zxid.0.to_string(),
        _ => format!("{}.{}", zxid.epoch().0, zxid.counter()),
    }
}
