//! What happened, in words: the same on a terminal and on a page.

use crate::proto::notification::ServerState;
use crate::proto::{Round, Sid};

use super::event::{Sync, Vote};
use super::round::{Elected, Fact, Item, Lane, Outcome, Part, Reign, Why};
use super::stamp::{Stamp, duration};

/// What came of a part, in one sentence: `server 2 leads epoch 5 after 312 ms, because its zxid 0x40000001f was the
/// highest`.
pub fn headline(part: &Part) -> String {
    match &part.outcome {
        Outcome::Elected(elected) => election(elected),
        Outcome::Joined => joined(part),
        Outcome::Undecided => {
            let looking = with_lane(part, Lane::Looking);
            let verb = if looking.len() == 1 { "looks" } else { "look" };
            format!(
                "no leader: {} {verb} for one since {}",
                servers(&looking),
                part.began.clock()
            )
        }
        Outcome::Losses => losses(part),
    }
}

/// `Round 3`, `Join`, `No leader`, `Loss`.
pub fn title(part: &Part) -> String {
    match &part.outcome {
        Outcome::Elected(elected) => format!("Round {}", elected.number),
        Outcome::Joined => "Join".to_owned(),
        Outcome::Undecided => "No leader".to_owned(),
        Outcome::Losses => "Loss".to_owned(),
    }
}

/// How long an election took, in its parts; nothing of other parts.
pub fn times(part: &Part) -> Option<String> {
    let Outcome::Elected(elected) = &part.outcome else {
        return None;
    };
    let served = elected
        .serve_ms
        .map(|ms| format!(", a quorum in sync after {}", duration(ms)));
    let all_ms = part
        .items
        .iter()
        .rev()
        .find(|item| matches!(item.fact, Fact::Serves(..)))?
        .at
        .since(part.began);
    let since_loss = part
        .before
        .map(|_| format!(", {} after the first loss", duration(all_ms)));
    Some(format!(
        "decided {} after the first LOOKING{}{}",
        duration(elected.elect_ms),
        served.unwrap_or_default(),
        since_loss.unwrap_or_default()
    ))
}

/// Who led before: `server 3 had led epoch 1 for 12.9 s`.
pub fn before(reign: &Reign, until: Stamp) -> String {
    let epoch = reign
        .epoch
        .map_or(String::new(), |epoch| format!(" epoch {}", epoch.0));
    let ms = until.since(reign.since).max(0);
    format!("server {} had led{epoch} for {}", reign.leader, duration(ms))
}

/// What one server did, without its name.
pub fn fact(item: &Item) -> String {
    match &item.fact {
        Fact::Started => "starts".to_owned(),
        Fact::Ended => "has ended".to_owned(),
        Fact::Looks => "LOOKING".to_owned(),
        Fact::Votes { vote, round, before } => votes(item.node, vote, *round, before.as_ref()),
        Fact::Waits(ms) => format!("waits {} more for votes", duration(*ms)),
        Fact::Settles {
            state,
            leader,
            ms,
            told_by,
        } => settles(*state, *leader, *ms, told_by),
        Fact::Sends(to, sync, had) => {
            let had = had.map_or(String::new(), |zxid| format!(", which has {zxid}"));
            format!("sends {sync} to {to}{had}")
        }
        Fact::Gets(Sync::Trunc, zxid) => format!("cuts its log behind {zxid}"),
        Fact::Gets(sync, zxid) => format!("gets {sync} up to {zxid}"),
        Fact::InSync(learner, ms) => {
            let ms = ms.map_or(String::new(), |ms| format!(" after {}", duration(ms)));
            format!("has {learner} in sync{ms}")
        }
        Fact::Serves(epoch, sids) => format!("serves epoch {}, supported by {}", epoch.0, list(sids)),
        Fact::LosesLeader(leader, reason) => {
            let leader = leader.map_or("its leader".to_owned(), |leader| format!("leader {leader}"));
            format!("loses {leader}{}", because(reason))
        }
        Fact::Stops(reason) => format!("leaves its role{}", because(reason)),
        Fact::Loses(peer, reason) => format!("loses the connection to {peer}{}", because(reason)),
        Fact::CannotReach(peer) => format!("cannot reach {peer}"),
        Fact::Goodbye(Some(learner), _) => format!("ends the connection of learner {learner}"),
        Fact::Goodbye(None, address) => format!("ends the connection of the learner at {address}"),
        Fact::Retries(address) => format!("cannot reach the leader at {address} yet"),
    }
}

/// Why one vote is better than another.
pub fn why(why: &Why) -> String {
    match why {
        Why::Epoch(more, less) => format!("epoch {} > {}", more.0, less.0),
        Why::Zxid(more, less) => format!("zxid {more} > {less}"),
        Why::Id(_, more, less) => format!("same epoch and zxid, id {more} > {less}"),
    }
}

/// The name of a state, as the logs have it where they do.
pub fn lane(lane: Lane) -> &'static str {
    match lane {
        Lane::Unknown => "unknown",
        Lane::Starting => "starting",
        Lane::Looking => "LOOKING",
        Lane::Following => "FOLLOWING",
        Lane::Leading => "LEADING",
        Lane::Observing => "OBSERVING",
        Lane::Stopping => "stopping",
        Lane::Silent => "silent",
        Lane::Down => "ended",
    }
}

/// `server 1`, `servers 1, 2 and 3`.
pub fn servers(sids: &[Sid]) -> String {
    match sids {
        [sid] => format!("server {sid}"),
        sids => format!("servers {}", list(sids)),
    }
}

/// `1, 2 and 3`.
pub fn list(sids: &[Sid]) -> String {
    match sids {
        [] => "nobody".to_owned(),
        [sid] => sid.to_string(),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(Sid::to_string).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

fn election(elected: &Elected) -> String {
    let epoch = elected
        .epoch
        .map_or(String::new(), |epoch| format!(" epoch {}", epoch.0));
    let ms = elected.serve_ms.unwrap_or(elected.elect_ms);
    let reason = match &elected.because {
        None => String::new(),
        Some(Why::Epoch(epoch, _)) => format!(", because its last epoch {} was the highest", epoch.0),
        Some(Why::Zxid(zxid, _)) => format!(", because its zxid {zxid} was the highest"),
        Some(Why::Id(zxid, ..)) => format!(", because its id was the highest of those with zxid {zxid}"),
    };
    format!(
        "server {} leads{epoch} after {}{reason}",
        elected.leader,
        duration(ms)
    )
}

fn joined(part: &Part) -> String {
    let one = |(sid, member): (&Sid, &super::round::Member)| {
        let leader = member.leader.filter(|_| member.moved)?;
        let verb = if member.lane == Lane::Observing {
            "observes"
        } else {
            "follows"
        };
        let ms = member
            .settled_ms
            .map_or(String::new(), |ms| format!(" after {}", duration(ms)));
        let sync = member.sync.map_or(String::new(), |sync| format!(", by {sync}"));
        Some(format!("server {sid} {verb} {leader}{ms}{sync}"))
    };
    part.members.iter().filter_map(one).collect::<Vec<_>>().join("; ")
}

fn losses(part: &Part) -> String {
    let mut lost: Vec<Sid> = part
        .items
        .iter()
        .filter_map(|item| match item.fact {
            Fact::Loses(peer, _) | Fact::Goodbye(Some(peer), _) => Some(peer),
            Fact::Ended | Fact::Stops(_) | Fact::LosesLeader(..) => Some(item.node),
            _ => None,
        })
        .collect();
    lost.sort_unstable();
    lost.dedup();
    match (lost.as_slice(), part.before) {
        ([], _) => "a learner's connection was lost".to_owned(),
        (lost, Some(reign)) if !lost.contains(&reign.leader) => {
            format!("{} lost; server {} leads on", servers(lost), reign.leader)
        }
        (lost, _) => format!("{} lost", servers(lost)),
    }
}

fn with_lane(part: &Part, lane: Lane) -> Vec<Sid> {
    let members = part.members.iter().filter(|(_, member)| member.lane == lane);
    members.map(|(sid, _)| *sid).collect()
}

fn votes(voter: Sid, vote: &Vote, round: Round, before: Option<&Vote>) -> String {
    let whom = |leader: Sid| match leader == voter {
        true => "itself".to_owned(),
        false => leader.to_string(),
    };
    let knows = format!("epoch {}, zxid {}", vote.epoch.0, vote.zxid);
    match before {
        None => format!("votes for {} ({knows})", whom(vote.leader)),
        Some(before) if before.leader == vote.leader => match Why::better(vote, before) {
            None => format!(
                "votes for {} again, in round 0x{:x} ({knows})",
                whom(vote.leader),
                round.0
            ),
            Some(better) => format!("votes for {} still: {}", whom(vote.leader), why(&better)),
        },
        Some(before) => {
            let reason = match Why::better(vote, before) {
                Some(better) => why(&better),
                None => format!("round 0x{:x} begins anew ({knows})", round.0),
            };
            format!(
                "votes for {} instead of {}: {reason}",
                whom(vote.leader),
                whom(before.leader)
            )
        }
    }
}

fn settles(state: ServerState, leader: Option<Sid>, ms: Option<i64>, told_by: &[Sid]) -> String {
    let whom = leader.map_or(String::new(), |leader| format!(" {leader}"));
    let after = ms.map_or(String::new(), |ms| format!(" after {}", duration(ms)));
    let told = match told_by {
        [] => String::new(),
        by => format!(", told by {}", list(by)),
    };
    format!("{}{whom}{after}{told}", lane(state.into()))
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}
