//! The words that operators and their tools send instead of a handshake, and which of them are answered. What each answers stands in `word_answers.rs`. (ServerCnxn)

use std::collections::BTreeSet;

use crate::proto::ConnId;

/// Declares the words from one list: the variant, its four letters, what it does.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident = $letters:literal,)*) => {
        /// A four-letter word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Word { $($(#[$meta])* $name,)* }

        impl Word {
            /// All of them, by their letters.
            pub const ALL: &'static [Word] = &[$(Word::$name),*];

            /// The word of these bytes, if they are one.
            pub fn of(bytes: [u8; 4]) -> Option<Word> {
                $(if bytes == *$letters { return Some(Word::$name); })*
                None
            }

            /// Its letters.
            pub fn letters(self) -> [u8; 4] {
                match self { $(Word::$name => *$letters,)* }
            }
        }
    };
}

words! {
    /// The configuration.
    Conf = b"conf",
    /// The connections.
    Cons = b"cons",
    /// The connections' figures back to zero.
    Crst = b"crst",
    /// How large the data directories are. (3.5)
    Dirs = b"dirs",
    /// Sessions and their ephemerals.
    Dump = b"dump",
    /// The environment of the process.
    Envi = b"envi",
    /// The trace mask.
    GetTraceMask = b"gtmk",
    /// Digests of the tree. (3.6)
    Hash = b"hash",
    /// Whether the server serves reads only.
    Isro = b"isro",
    /// Figures for monitoring.
    Mntr = b"mntr",
    /// Whether somebody is here.
    Ruok = b"ruok",
    /// The server's figures back to zero.
    Srst = b"srst",
    /// The server's figures.
    Srvr = b"srvr",
    /// The server's figures, and its connections in brief.
    Stat = b"stat",
    /// Sets the trace mask to the eight bytes that follow.
    SetTraceMask = b"stmk",
    /// Watches by session.
    Wchc = b"wchc",
    /// Watches by path.
    Wchp = b"wchp",
    /// How many watches there are.
    Wchs = b"wchs",
}

impl Word {
    /// Its letters, as text.
    pub fn name(self) -> String {
        self.letters().iter().map(|&letter| char::from(letter)).collect()
    }
}

/// A word that a connection has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordCall {
    /// The connection, which is closed after the answer.
    pub conn: ConnId,
    /// What it asks.
    pub word: Word,
    /// Whether the white list has it.
    pub allowed: bool,
    /// The mask that followed `stmk`.
    pub mask: i64,
}

/// The words that are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WhiteList(BTreeSet<Word>);

impl WhiteList {
    /// The words of these names, as the configuration has them; other names are ignored.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> WhiteList {
        let letters = names
            .into_iter()
            .filter_map(|name| name.as_bytes().try_into().ok());
        WhiteList(letters.filter_map(Word::of).collect())
    }

    /// Whether the word is answered.
    pub fn allows(&self, word: Word) -> bool {
        self.0.contains(&word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_by_its_letters() {
        assert_eq!(Word::ALL.len(), 18);
        for &word in Word::ALL {
            assert_eq!(Word::of(word.letters()), Some(word));
        }
        assert_eq!((Word::of(*b"hush"), Word::of(*b"RUOK")), (None, None));
    }

    #[test]
    fn a_white_list_allows_what_it_names() {
        let list = WhiteList::new(["ruok", "nope", "ruokay", "", "wchp"]);
        let allowed: Vec<_> = Word::ALL.iter().filter(|word| list.allows(**word)).collect();
        assert_eq!(allowed, [&Word::Ruok, &Word::Wchp]);
    }
}
