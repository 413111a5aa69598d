//! Limits. They lie at the root of all, whatever the chroot. (ZooKeeperMain.createQuota, delQuota)

use serde_json::json;

use crate::proto::{Acl, ErrorCode};
use crate::tools::cli::failure::Failure;
use crate::tools::cli::render::data_text;
use crate::tools::cli::safe::safe_name;
use crate::tools::cli::session::Keeper;
use crate::tools::cli::shell::Shell;
use crate::tools::cli::table::{Call, number};

/// `setquota`
pub fn set(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let path = call.word(0);
    if !['n', 'b', 'N', 'B'].iter().any(|&letter| call.has(letter)) {
        return Err(Failure::Usage(
            "setquota: say -n, -b, -N or -B\nusage: setquota -n|-b|-N|-B val path".to_owned(),
        ));
    }
    let wanted = wanted(shell, call, path)?;
    let keeper = shell.keeper()?;
    let (keeper, path) = (keeper.at_root(), format!("{}{path}", keeper.chroot()));
    let place = format!("{QUOTA}{path}/{LIMITS}");
    match keeper.get_data(&place, false) {
        // A hard limit goes beside what is there, as in 3.7; soft ones as in 3.4, where the old one must go first.
        Ok((data, _)) if wanted.hard.is_some() => {
            let limit = Limit::parse(&data.unwrap_or_default()).with(wanted);
            keeper.set_data(&place, limit.text().as_bytes(), -1)?;
        }
        _ => make(&keeper, &path, wanted)?,
    }
    shell.done()
}

/// The limits that are asked for, each told to the user as 3.4.14 tells the soft ones.
fn wanted(shell: &Shell, call: &Call, path: &str) -> Result<Limit, Failure> {
    let mut limit = Limit::NONE;
    for letter in ['n', 'b', 'N', 'B'] {
        let Some(value) = call.value(letter) else {
            continue;
        };
        if letter.is_lowercase() && !shell.out.json {
            let (value, path) = (safe_name(value), safe_name(path));
            shell.out.note(&format!(
                "Comment: the parts are option -{letter} val {value} path {path}"
            ))?;
        }
        let hard = limit.hard.unwrap_or(HardLimit::NONE);
        match letter {
            'n' => limit.count = i64::from(number::<i32>(value)?),
            'b' => limit.bytes = number(value)?,
            'N' => {
                let count = i64::from(at_least(
                    1,
                    number::<i32>(value)?,
                    "the num quota must be greater than zero",
                )?);
                limit.hard = Some(HardLimit { count, ..hard });
            }
            _ => {
                let bytes = at_least(
                    0,
                    number(value)?,
                    "the bytes quota must be greater than or equal to zero",
                )?;
                limit.hard = Some(HardLimit { bytes, ..hard });
            }
        }
    }
    Ok(limit)
}

fn at_least<T: PartialOrd>(least: T, given: T, why: &str) -> Result<T, Failure> {
    if given < least {
        return Err(Failure::Argument(why.to_owned()));
    }
    Ok(given)
}

/// `listquota`
pub fn list(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let shown = call.word(0);
    let keeper = shell.keeper()?;
    let (keeper, path) = (keeper.at_root(), format!("{}{shown}", keeper.chroot()));
    let limits = format!("{QUOTA}{path}/{LIMITS}");
    if !shell.out.json {
        shell
            .out
            .note(&format!("absolute path is {}", safe_name(&limits)))?;
    }
    let texts = keeper.get_data(&limits, false).and_then(|(limit, _)| {
        Ok((
            limit,
            keeper.get_data(&format!("{QUOTA}{path}/{STATS}"), false)?.0,
        ))
    });
    let (limit, used) = match texts {
        Err(Failure::Server {
            code: ErrorCode::NoNode,
            ..
        }) => return Err(missing(shell, shown)?),
        other => other?,
    };
    let (limit, used) = (data_text(limit.as_deref()), data_text(used.as_deref()));
    if shell.out.json {
        return Ok(shell
            .out
            .value(&json!({"path": shown, "quota": limit, "used": used}))?);
    }
    let shown = safe_name(shown);
    shell.out.line(&format!("Output quota for {shown} {limit}"))?;
    Ok(shell.out.line(&format!("Output stat for {shown} {used}"))?)
}

/// `delquota`
pub fn delete(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let shown = call.word(0);
    let keeper = shell.keeper()?;
    let (keeper, path) = (keeper.at_root(), format!("{}{shown}", keeper.chroot()));
    let limits = format!("{QUOTA}{path}/{LIMITS}");
    let (data, _) = match keeper.get_data(&limits, false) {
        Err(Failure::Server {
            code: ErrorCode::NoNode,
            ..
        }) => {
            shell
                .out
                .note(&format!("Quota does not exist for {}", safe_name(shown)))?;
            return Err(Failure::Said);
        }
        other => other?,
    };
    let letters = ['n', 'b', 'N', 'B'].map(|letter| call.has(letter));
    // 3.4.14 takes both of its options for none.
    if letters == [false; 4] || letters == [true, true, false, false] {
        remove(&keeper, &format!("{QUOTA}{path}"))?;
    } else {
        let limit = Limit::parse(&data.unwrap_or_default()).without(letters);
        keeper.set_data(&limits, limit.text().as_bytes(), -1)?;
    }
    shell.done()
}

fn missing(shell: &Shell, path: &str) -> Result<Failure, Failure> {
    shell
        .out
        .note(&format!("quota for {} does not exist.", safe_name(path)))?;
    Ok(Failure::Said)
}

/// What a limit allows; -1 is no limit. (StatsTrack)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    count: i64,
    bytes: i64,
    /// Written where 3.4 does not look, if there are any. (3.7)
    hard: Option<HardLimit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HardLimit {
    count: i64,
    bytes: i64,
}

impl HardLimit {
    const NONE: HardLimit = HardLimit { count: -1, bytes: -1 };
}

impl Limit {
    const NONE: Limit = Limit {
        count: -1,
        bytes: -1,
        hard: None,
    };

    /// What cannot be read is no limit.
    fn parse(text: &[u8]) -> Limit {
        let text = String::from_utf8_lossy(text);
        let mut numbers = text
            .split(',')
            .map(|part| part.split('=').nth(1).and_then(|n| n.trim().parse().ok()));
        let mut next = || numbers.next().flatten().unwrap_or(-1);
        let named = |name: &str| {
            let pairs = text.split([',', ';']).filter_map(|pair| pair.split_once('='));
            let mut numbers = pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, number)| number.parse().ok());
            numbers.next().flatten()
        };
        let hard = match (named(HARD_COUNT), named(HARD_BYTES)) {
            (None, None) => None,
            (count, bytes) => Some(HardLimit {
                count: count.unwrap_or(-1),
                bytes: bytes.unwrap_or(-1),
            }),
        };
        Limit {
            count: next(),
            bytes: next(),
            hard,
        }
    }

    /// The limits of another over these.
    fn with(self, other: Limit) -> Limit {
        let over = |own: i64, other: i64| if other > -1 { other } else { own };
        let [own, new] = [self.hard, other.hard].map(|hard| hard.unwrap_or(HardLimit::NONE));
        let hard = HardLimit {
            count: over(own.count, new.count),
            bytes: over(own.bytes, new.bytes),
        };
        Limit {
            count: over(self.count, other.count),
            bytes: over(self.bytes, other.bytes),
            hard: Some(hard),
        }
    }

    /// Without those of the letters n, b, N, B that are named.
    fn without(self, [count, bytes, hard_count, hard_bytes]: [bool; 4]) -> Limit {
        let unless = |gone: bool, limit: i64| if gone { -1 } else { limit };
        Limit {
            count: unless(count, self.count),
            bytes: unless(bytes, self.bytes),
            hard: self.hard.map(|hard| HardLimit {
                count: unless(hard_count, hard.count),
                bytes: unless(hard_bytes, hard.bytes),
            }),
        }
    }

    fn text(&self) -> String {
        let soft = format!("count={},bytes={}", self.count, self.bytes);
        let Some(HardLimit { count, bytes }) = self.hard else {
            return soft;
        };
        // The second sign of equality hides the rest from servers of 3.4.
        format!("{soft}=;{HARD_BYTES}={bytes};{HARD_COUNT}={count}")
    }
}

/// Only one node on any way from the root to a leaf may have a limit.
fn make(keeper: &Keeper, path: &str, limit: Limit) -> Result<(), Failure> {
    if keeper.exists(path, false)?.is_none() {
        return Err(Failure::Argument(format!("{} does not exist.", safe_name(path))));
    }
    for child in children_or_none(keeper, &format!("{QUOTA}{path}"))? {
        if !child.starts_with("zookeeper_") {
            let (path, child) = (safe_name(path), safe_name(&child));
            return Err(Failure::Argument(format!(
                "{path} has child {child} which has a quota"
            )));
        }
    }
    let mut above = QUOTA.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        above = format!("{above}/{name}");
        if children_or_none(keeper, &above)?
            .iter()
            .any(|child| child == LIMITS)
        {
            let (path, above) = (safe_name(path), safe_name(&above));
            return Err(Failure::Argument(format!(
                "{path} has a parent {above} which has a quota"
            )));
        }
    }
    let mut place = QUOTA.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        place = format!("{place}/{name}");
        make_node(keeper, &place, None)?;
    }
    make_node(
        keeper,
        &format!("{place}/{LIMITS}"),
        Some(limit.text().as_bytes()),
    )?;
    make_node(keeper, &format!("{place}/{STATS}"), Some(b"count=0,bytes=0"))
}

fn make_node(keeper: &Keeper, path: &str, data: Option<&[u8]>) -> Result<(), Failure> {
    match keeper.create(path, data, &Acl::open(), 0) {
        Ok(_)
        | Err(Failure::Server {
            code: ErrorCode::NodeExists,
            ..
        }) => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Removes a quota's nodes, and those above that hold nothing else.
fn remove(keeper: &Keeper, place: &str) -> Result<(), Failure> {
    for child in children_or_none(keeper, place)? {
        keeper.delete(&format!("{place}/{child}"), -1)?;
    }
    let mut place = place;
    while place != QUOTA && keeper.children(place, false)?.0.is_empty() {
        keeper.delete(place, -1)?;
        place = place.rsplit_once('/').map_or(QUOTA, |(above, _)| above);
    }
    Ok(())
}

fn children_or_none(keeper: &Keeper, path: &str) -> Result<Vec<String>, Failure> {
    match keeper.children(path, false) {
        Err(Failure::Server {
            code: ErrorCode::NoNode,
            ..
        }) => Ok(Vec::new()),
        outcome => Ok(outcome?.0),
    }
}

const QUOTA: &str = "/zookeeper/quota";
const LIMITS: &str = "zookeeper_limits";
const STATS: &str = "zookeeper_stats";
const HARD_COUNT: &str = "countHardLimit";
const HARD_BYTES: &str = "byteHardLimit";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_back_from_their_text() {
        let limit = Limit::parse(b"count=3,bytes=-1");
        assert_eq!(
            (limit.count, limit.bytes, limit.text().as_str()),
            (3, -1, "count=3,bytes=-1")
        );
        let none = Limit::parse(b"\xff nonsense");
        assert_eq!((none.count, none.bytes), (-1, -1));
    }

    #[test]
    fn hard_limits_stand_behind_the_soft_ones() {
        let text = "count=3,bytes=-1=;byteHardLimit=100;countHardLimit=-1";
        let limit = Limit::parse(text.as_bytes());
        assert_eq!(
            limit.hard,
            Some(HardLimit {
                count: -1,
                bytes: 100
            })
        );
        assert_eq!(limit.text(), text);
        let more = Limit {
            hard: Some(HardLimit { count: 5, bytes: -1 }),
            ..Limit::NONE
        };
        let both = limit.with(more);
        assert_eq!(
            both.text(),
            "count=3,bytes=-1=;byteHardLimit=100;countHardLimit=5"
        );
        let less = both.without([true, false, false, true]);
        assert_eq!(
            less.text(),
            "count=-1,bytes=-1=;byteHardLimit=-1;countHardLimit=5"
        );
        assert_eq!(Limit::NONE.with(more).text(), more.text());
    }
}
