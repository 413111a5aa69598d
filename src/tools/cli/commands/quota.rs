//! Soft limits. They lie at the root of all, whatever the chroot. (ZooKeeperMain.createQuota, delQuota)

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
    if !call.has('n') && !call.has('b') {
        return Err(Failure::Usage(
            "setquota: say -n or -b\nusage: setquota -n|-b val path".to_owned(),
        ));
    }
    let mut limit = Limit { count: -1, bytes: -1 };
    for letter in ['n', 'b'] {
        let Some(value) = call.value(letter) else {
            continue;
        };
        if !shell.out.json {
            let (value, path) = (safe_name(value), safe_name(path));
            shell.out.note(&format!(
                "Comment: the parts are option -{letter} val {value} path {path}"
            ))?;
        }
        match letter {
            'n' => limit.count = i64::from(number::<i32>(value)?),
            _ => limit.bytes = number(value)?,
        }
    }
    let keeper = shell.keeper()?;
    let (keeper, path) = (keeper.at_root(), format!("{}{path}", keeper.chroot()));
    make(&keeper, &path, limit)?;
    shell.done()
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
    if call.has('n') == call.has('b') {
        remove(&keeper, &format!("{QUOTA}{path}"))?;
    } else {
        let mut limit = Limit::parse(&data.unwrap_or_default());
        if call.has('n') {
            limit.count = -1;
        } else {
            limit.bytes = -1;
        }
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
struct Limit {
    count: i64,
    bytes: i64,
}

impl Limit {
    /// What cannot be read is no limit.
    fn parse(text: &[u8]) -> Limit {
        let text = String::from_utf8_lossy(text);
        let mut numbers = text
            .split(',')
            .map(|part| part.split('=').nth(1).and_then(|n| n.trim().parse().ok()));
        let mut next = || numbers.next().flatten().unwrap_or(-1);
        Limit {
            count: next(),
            bytes: next(),
        }
    }

    fn text(&self) -> String {
        format!("count={},bytes={}", self.count, self.bytes)
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
}
