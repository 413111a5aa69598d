//! What a line says of elections. The wordings are those of 3.4.14, which this server keeps; where later versions
//! of Java say it otherwise (`n.leader:3`, `TOOK - 12 MS`), that is understood too.

use std::fmt;

use crate::proto::notification::ServerState;
use crate::proto::{Epoch, Round, Sid, Zxid};

use super::line::number_before;
use super::stamp::Stamp;

/// Something that a server's log tells of an election, or of what leads to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When, by the log's clock.
    pub at: Stamp,
    /// Who wrote it.
    pub node: Sid,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The process has begun.
    Started,
    /// The process, or its part in the ensemble, has ended.
    Ended,
    /// It is in another state now.
    Entered(ServerState),
    /// It was told a vote.
    Heard(Told),
    /// It waits so many milliseconds longer for votes.
    Waits(i64),
    /// From the first look for a leader to this state, in milliseconds, by its own count.
    Took(i64),
    /// A leader: this learner has come.
    Came(Sid),
    /// A leader: what the learner had, before anything was sent.
    Compares(Sid, Zxid),
    /// A leader: what the learner is sent.
    Sends(Sid, Sync),
    /// A learner: what it gets, up to which transaction.
    Gets(Sync, Zxid),
    /// A leader: the learner has all.
    InSync(Sid),
    /// A leader: enough have; it begins to serve with this transaction.
    Supported(Vec<Sid>, Zxid),
    /// A learner has lost its leader.
    LostLeader(String),
    /// A role has ended.
    Stopped(String),
    /// The connection for votes to this server broke.
    Broken(Sid, String),
    /// No connection for votes to this server.
    Unreachable(Sid),
    /// A leader: a learner's connection has ended.
    Goodbye(Option<Sid>, String),
    /// A learner cannot reach its leader yet.
    Retries(String),
}

/// A vote as a server was told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// Whose vote it is.
    pub from: Sid,
    /// What the sender was doing.
    pub state: ServerState,
    /// The election in which it votes so.
    pub round: Round,
    /// For whom.
    pub vote: Vote,
}

/// A candidate and what it knows. The larger one is the better: the order of the fields is the order of the
/// comparison. (FastLeaderElection.totalOrderPredicate)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Vote {
    /// The last reign that the candidate has seen.
    pub epoch: Epoch,
    /// Its last transaction.
    pub zxid: Zxid,
    /// The candidate.
    pub leader: Sid,
}

/// How a learner is brought up to the leader's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// What it misses of the log.
    Diff,
    /// It must forget the end of its log.
    Trunc,
    /// The whole tree.
    Snap,
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sync::Diff => "DIFF",
            Sync::Trunc => "TRUNC",
            Sync::Snap => "SNAP",
        })
    }
}

impl What {
    /// Where a reason belongs that is told below the line, if it is not told yet.
    pub fn reason_mut(&mut self) -> Option<&mut String> {
        match self {
            What::LostLeader(reason) | What::Stopped(reason) | What::Broken(_, reason) => {
                Some(reason).filter(|reason| reason.is_empty())
            }
            _ => None,
        }
    }

    /// Understands what a line says; none if it is of no interest here. `peer` is the learner that the line's
    /// thread spoke of last: Java's `Sending DIFF` does not name it.
    pub fn parse(text: &str, peer: Option<Sid>) -> Option<What> {
        if let Some(state) = state(text) {
            return Some(What::Entered(state));
        }
        if let Some(rest) = text.strip_prefix("Notification: ") {
            return told(rest).map(What::Heard);
        }
        let after = |words: &str| text.strip_prefix(words).map(str::trim_start);
        let known = KNOWN.iter().find_map(|(words, what)| Some(what(after(words)?)));
        known.unwrap_or_else(|| took(text).or_else(|| with_peer(text, peer)))
    }
}

/// What lines begin with, and how the rest of them is read.
type Reading = fn(&str) -> Option<What>;
const KNOWN: &[(&str, Reading)] = &[
    ("Starting quorum peer", |_| Some(What::Started)),
    ("Exiting normally", |_| Some(What::Ended)),
    ("QuorumPeer main thread exited", |_| Some(What::Ended)),
    ("Notification time out:", |rest| number(rest).map(What::Waits)),
    ("Follower sid:", |rest| {
        number(rest).map(|sid| What::Came(Sid(sid)))
    }),
    ("Synchronizing with Follower sid:", |rest| {
        let (_, zxid) = rest.split_once("peerLastZxid=")?;
        Some(What::Compares(Sid(number(rest)?), zxid_of(zxid)?))
    }),
    // 3.5 and later.
    ("Synchronizing with Learner sid:", |rest| {
        let (_, zxid) = rest.split_once("peerLastZxid=")?;
        Some(What::Compares(Sid(number(rest)?), zxid_of(zxid)?))
    }),
    ("Received NEWLEADER-ACK message from", |rest| {
        number(rest).map(|sid| What::InSync(Sid(sid)))
    }),
    ("Have quorum of supporters, sids:", supported),
    ("Getting a diff from the leader", |rest| {
        zxid_of(rest).map(|zxid| What::Gets(Sync::Diff, zxid))
    }),
    ("Getting a snapshot from leader", |rest| {
        zxid_of(rest).map(|zxid| What::Gets(Sync::Snap, zxid))
    }),
    ("Truncating log to get in sync with the leader", |rest| {
        zxid_of(rest).map(|zxid| What::Gets(Sync::Trunc, zxid))
    }),
    ("Exception when following the leader", |rest| {
        Some(What::LostLeader(reason(rest)))
    }),
    ("Exception when observing the leader", |rest| {
        Some(What::LostLeader(reason(rest)))
    }),
    ("Shutdown called", |rest| Some(What::Stopped(reason(rest)))),
    ("shutdown called", |rest| Some(What::Stopped(reason(rest)))),
    ("Connection broken for id", |rest| {
        let sid = number_before(rest, ',')?;
        let (_, error) = rest.split_once("error =")?;
        Some(What::Broken(sid, reason(error)))
    }),
    ("Cannot open channel to", |rest| {
        number(rest).map(|sid| What::Unreachable(Sid(sid)))
    }),
    ("******* GOODBYE", |rest| {
        Some(What::Goodbye(None, first_word(rest)))
    }),
    ("Unexpected exception, tries=0, connecting to", |rest| {
        Some(What::Retries(first_word(rest).trim_end_matches(':').to_owned()))
    }),
];

/// A line of Java's stack traces that names an exception: `java.lang.Exception: shutdown Leader! reason: ...`.
pub fn cause(line: &str) -> Option<String> {
    let (class, words) = line.split_once(": ").unwrap_or((line, ""));
    let is_class = class.contains('.')
        && class
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._$".contains(c));
    if !is_class {
        return None;
    }
    let words = words.rsplit_once("reason: ").map_or(words, |(_, reason)| reason);
    let name = class.rsplit('.').next().unwrap_or(class);
    Some(match (words, name) {
        ("", name) => name.to_owned(),
        (words, "Exception") => words.to_owned(),
        (words, name) => format!("{words} ({name})"),
    })
}

fn state(text: &str) -> Option<ServerState> {
    match text {
        "LOOKING" => Some(ServerState::Looking),
        "FOLLOWING" => Some(ServerState::Following),
        "LEADING" => Some(ServerState::Leading),
        "OBSERVING" => Some(ServerState::Observing),
        _ => None,
    }
}

/// `3 (n.leader)` of 3.4 and 3.5, `n.leader:3` of later ones.
fn told(text: &str) -> Option<Told> {
    let field = |name: &str| {
        let behind = text.split_once(&format!(" (n.{name})")).map(|(before, _)| before);
        let old = behind.and_then(|before| before.rsplit([' ', ',']).next());
        let new = || {
            text.split_once(&format!("n.{name}:"))
                .map(|(_, rest)| first_word(rest))
        };
        old.map(str::to_owned).or_else(new)
    };
    let epoch = field("peerEpoch").or_else(|| field("peerEPoch"))?;
    Some(Told {
        from: Sid(number(&field("sid")?)?),
        state: state(field("state")?.trim_end_matches([',', ';']))?,
        round: Round(zxid_of(&field("round")?)?.0),
        vote: Vote {
            epoch: Epoch(zxid_of(&epoch)?.0),
            zxid: zxid_of(&field("zxid")?)?,
            leader: Sid(number(&field("leader")?)?),
        },
    })
}

/// `FOLLOWING - LEADER ELECTION TOOK - 212`, and ` MS` behind it in later versions.
fn took(text: &str) -> Option<What> {
    let (_, ms) = text.split_once(" - LEADER ELECTION TOOK - ")?;
    number(ms).map(What::Took)
}

fn with_peer(text: &str, peer: Option<Sid>) -> Option<What> {
    let kind = match text {
        "Sending DIFF" => Sync::Diff,
        "Sending TRUNC" => Sync::Trunc,
        "Sending SNAP" => Sync::Snap,
        _ => return None,
    };
    peer.map(|sid| What::Sends(sid, kind))
}

/// `[ 1,2 ]; starting up and setting last processed zxid: 0x100000000`
fn supported(rest: &str) -> Option<What> {
    let (list, rest) = rest.strip_prefix('[')?.split_once(']')?;
    let (_, zxid) = rest.split_once("zxid:")?;
    // 3.5 writes two lists, `[1, 2],[1, 2]`; the first is the one.
    let sids = list.split(',').filter_map(|sid| number(sid.trim())).map(Sid);
    Some(What::Supported(
        sids.take(MOST_SIDS).collect(),
        zxid_of(zxid.trim())?,
    ))
}

/// The number that the text begins with.
fn number(text: &str) -> Option<i64> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '-')
        .unwrap_or(text.len());
    text[..end].parse().ok()
}

/// `0x1f`; a negative one is written with all its digits.
fn zxid_of(text: &str) -> Option<Zxid> {
    let digits = text.trim_start().strip_prefix("0x")?;
    let end = digits
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    u64::from_str_radix(&digits[..end], 16)
        .ok()
        .map(|bits| Zxid(bits.cast_signed()))
}

fn reason(text: &str) -> String {
    text.trim_start_matches([':', ' ']).trim_end().to_owned()
}

fn first_word(text: &str) -> String {
    text.split_whitespace().next().unwrap_or_default().to_owned()
}

/// More servers than this are in no ensemble.
const MOST_SIDS: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use ServerState::{Following, Looking};

    fn parsed(text: &str) -> Option<What> {
        What::parse(text, Some(Sid(9)))
    }

    #[test]
    fn votes_are_read_as_every_version_writes_them() {
        let told = |state| {
            let vote = Vote {
                epoch: Epoch(2),
                zxid: Zxid(0x1_0000_001f),
                leader: Sid(3),
            };
            Some(What::Heard(Told {
                from: Sid(1),
                state,
                round: Round(10),
                vote,
            }))
        };
        for (text, state) in [
            (
                "Notification: 1 (message format version), 3 (n.leader), 0x10000001f (n.zxid), 0xa (n.round), \
                 LOOKING (n.state), 1 (n.sid), 0x2 (n.peerEpoch) LOOKING (my state)",
                Looking,
            ),
            (
                "Notification: 2 (message format version), 3 (n.leader), 0x10000001f (n.zxid), 0xa (n.round), \
                 FOLLOWING (n.state), 1 (n.sid), 0x2 (n.peerEPoch), LOOKING (my state)0 (n.config version)",
                Following,
            ),
            (
                "Notification: my state:LOOKING; n.sid:1, n.state:LOOKING, n.leader:3, n.round:0xa, \
                 n.peerEpoch:0x2, n.zxid:0x10000001f, message format version:0x2, n.config version:0x0",
                Looking,
            ),
        ] {
            assert_eq!(parsed(text), told(state), "{text}");
        }
        let negative = "Notification: 1 (message format version), -9223372036854775808 (n.leader), \
                        0x8000000000000000 (n.zxid), 0x1 (n.round), LOOKING (n.state), 4 (n.sid), \
                        0x8000000000000000 (n.peerEpoch) LOOKING (my state)";
        let Some(What::Heard(told)) = parsed(negative) else {
            panic!("an observer's vote")
        };
        assert_eq!(
            (told.vote.leader, told.vote.zxid),
            (Sid(i64::MIN), Zxid(i64::MIN))
        );
    }

    #[test]
    fn what_servers_say_is_understood() {
        let zxid = Zxid(0x2_0000_0000);
        for (text, what) in [
            ("LOOKING", What::Entered(Looking)),
            ("Notification time out: 400", What::Waits(400)),
            ("FOLLOWING - LEADER ELECTION TOOK - 212", What::Took(212)),
            ("LEADING - LEADER ELECTION TOOK - 12 MS", What::Took(12)),
            ("Follower sid: 2 : info : QuorumServer@9", What::Came(Sid(2))),
            (
                "Synchronizing with Follower sid: 2 maxCommittedLog=0x5 minCommittedLog=0x1 peerLastZxid=0x200000000",
                What::Compares(Sid(2), zxid),
            ),
            ("Sending TRUNC", What::Sends(Sid(9), Sync::Trunc)),
            (
                "Getting a diff from the leader 0x200000000",
                What::Gets(Sync::Diff, zxid),
            ),
            (
                "Have quorum of supporters, sids: [ 1,2 ]; starting up and setting last processed zxid: 0x200000000",
                What::Supported(vec![Sid(1), Sid(2)], zxid),
            ),
            (
                "Exception when following the leader",
                What::LostLeader(String::new()),
            ),
            (
                "Exception when following the leader: Read timed out",
                What::LostLeader("Read timed out".to_owned()),
            ),
            (
                "Connection broken for id 3, my id = 1, error = ",
                What::Broken(Sid(3), String::new()),
            ),
            (
                "Cannot open channel to 3 at election address /127.0.0.1:3888",
                What::Unreachable(Sid(3)),
            ),
            (
                "******* GOODBYE /10.0.0.1:99 ********",
                What::Goodbye(None, "/10.0.0.1:99".to_owned()),
            ),
        ] {
            assert_eq!(parsed(text), Some(what), "{text}");
        }
    }

    #[test]
    fn other_words_and_broken_ones_say_nothing() {
        for text in [
            "",
            "LOOKING for something",
            "Notification: ",
            "Notification: 3 (n.leader), 0xzz (n.zxid), 0x1 (n.round), LOOKING (n.state), 1 (n.sid), 0x2 (n.peerEpoch)",
            "Notification: 99999999999999999999 (n.leader), 0x1 (n.zxid), 0x1 (n.round), LOOKING (n.state), 1 (n.sid)",
            "Have quorum of supporters, sids: [",
            "Follower sid: x",
            "Created server with tickTime 2000",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        assert_eq!(What::parse("Sending DIFF", None), None);
    }

    #[test]
    fn the_heads_of_stack_traces_tell_reasons() {
        for (line, told) in [
            ("java.io.EOFException", Some("EOFException")),
            (
                "java.net.SocketTimeoutException: Read timed out",
                Some("Read timed out (SocketTimeoutException)"),
            ),
            (
                "java.lang.Exception: shutdown Leader! reason: Not sufficient followers synced",
                Some("Not sufficient followers synced"),
            ),
            ("\tat org.apache.zookeeper.X.run(X.java:1)", None),
            ("Caused by: java.io.IOException", None),
            ("some text. More of it: yes", None),
        ] {
            assert_eq!(cause(line).as_deref(), told, "{line}");
        }
    }
}
