//! What the four-letter words need to know, gathered from all corners.

use std::sync::Arc;

use crate::clients::four_letter_words::{Word, WordCall};
use crate::clients::word_answers::{self as say, Figures, NOT_SERVING};
use crate::proto::{ConnId, SessionId};
use crate::request::Serving;
use crate::runtime::Disk;
use crate::runtime::time::java_date;
use crate::storage::Dirs;

use super::desk::Desk;
use super::table::Table;

/// What the words know by themselves.
pub(super) struct Words {
    /// The answer of `conf`.
    pub conf: String,
    /// The answer of `envi`.
    pub envi: String,
    /// What `stmk` sets and `gtmk` tells; it has no effect here, as there is no trace log.
    pub trace_mask: i64,
    /// Where the data is, for `dirs`.
    pub disk: Arc<dyn Disk>,
    /// In which directories.
    pub dirs: Dirs,
}

impl Words {
    /// The text that a word is answered.
    pub fn answer<S>(&mut self, call: &WordCall, table: &mut Table<S>, desk: &Desk) -> String {
        if !call.allowed {
            return say::not_listed(&call.word.name());
        }
        match call.word {
            Word::Ruok => "imok".to_owned(),
            Word::Envi => self.envi.clone(),
            Word::GetTraceMask => self.trace_mask.to_string(),
            Word::SetTraceMask => {
                self.trace_mask = call.mask;
                self.trace_mask.to_string()
            }
            Word::Isro => say::isro(desk.serving.as_ref().map(|serving| serving.state)).to_owned(),
            _ => match desk.serving.clone() {
                Some(serving) => self.of_server(call.word, &serving, table, desk),
                None => NOT_SERVING.to_owned(),
            },
        }
    }

    fn of_server<S>(&self, word: Word, serving: &Arc<Serving>, table: &mut Table<S>, desk: &Desk) -> String {
        match word {
            Word::Conf => self.conf.clone(),
            Word::Cons => say::cons(&clients(table, desk, false)),
            Word::Crst => {
                table.iter_mut().for_each(|socket| socket.cnxn.reset_stats());
                "Connection stats reset.\n".to_owned()
            }
            Word::Srst => {
                desk.status.reset();
                "Server stats reset.\n".to_owned()
            }
            Word::Srvr => say::srvr(&Figures::gather(serving, &desk.gate, &desk.status), None),
            Word::Stat => say::srvr(
                &Figures::gather(serving, &desk.gate, &desk.status),
                Some(&clients(table, desk, true)),
            ),
            Word::Mntr => say::mntr(&Figures::gather(serving, &desk.gate, &desk.status)),
            Word::Dirs => say::dirs(self.dirs.sizes(&*self.disk)),
            Word::Dump => dump(serving),
            Word::Hash => say::hash(serving.database.read_tree().digests()),
            Word::Wchs => {
                let figures = serving.database.watches().figures();
                say::wchs(figures.connections, figures.paths, figures.watches)
            }
            Word::Wchc => say::wchc(&watches_by_session(serving, table)),
            Word::Wchp => say::wchp(&watches_by_path(serving, table)),
            Word::Ruok | Word::Envi | Word::GetTraceMask | Word::SetTraceMask | Word::Isro => String::new(),
        }
    }
}

fn clients<S>(table: &Table<S>, desk: &Desk, brief: bool) -> Vec<String> {
    table
        .iter()
        .map(|socket| socket.cnxn.describe(brief, desk.room()))
        .collect()
}

fn dump(serving: &Serving) -> String {
    let buckets: Vec<(String, Vec<SessionId>)> = serving.sessions.with_tracker(|tracker| {
        tracker
            .buckets()
            .map(|(at_ms, sessions)| (java_date(at_ms), sessions.collect()))
            .collect()
    });
    let tree = serving.database.read_tree();
    let ephemerals: Vec<(SessionId, Vec<String>)> = tree
        .sessions_with_ephemerals()
        .map(|session| (session, tree.ephemerals_of(session)))
        .collect();
    drop(tree);
    say::dump(&buckets, &ephemerals)
}

fn watches_by_session<S>(serving: &Serving, table: &Table<S>) -> Vec<(SessionId, Vec<String>)> {
    let watches = serving.database.watches().by_connection();
    let of_session = |(conn, paths): (ConnId, Vec<Arc<str>>)| {
        let paths = paths.iter().map(|path| path.to_string()).collect();
        session_of(conn, table).map(|session| (session, paths))
    };
    watches.into_iter().filter_map(of_session).collect()
}

fn watches_by_path<S>(serving: &Serving, table: &Table<S>) -> Vec<(String, Vec<SessionId>)> {
    let watches = serving.database.watches().by_path();
    let of_path = |(path, conns): (Arc<str>, Vec<ConnId>)| {
        let sessions = conns
            .into_iter()
            .filter_map(|conn| session_of(conn, table))
            .collect();
        (path.to_string(), sessions)
    };
    watches.into_iter().map(of_path).collect()
}

/// The session of a watching connection; a connection that has just ended has none any more.
fn session_of<S>(conn: ConnId, table: &Table<S>) -> Option<SessionId> {
    table.get(conn).map(|socket| socket.cnxn.session())
}

/// ZooTrace's default: warnings, sessions, client pings.
pub(super) const TRACE_MASK: i64 = 306;
