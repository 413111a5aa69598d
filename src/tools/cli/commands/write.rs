//! Commands that write.

use std::collections::VecDeque;

use serde_json::json;

use super::read::report_stat;
use crate::proto::{Acl, ErrorCode};
use crate::tools::cli::acl;
use crate::tools::cli::failure::Failure;
use crate::tools::cli::safe::safe_name;
use crate::tools::cli::session::{Keeper, Pending};
use crate::tools::cli::shell::Shell;
use crate::tools::cli::table::{Call, number};
use crate::tools::cli::tree_walk::TreeWalk;

/// `create`
pub fn create(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let acl = match call.words.get(2) {
        Some(text) => read_acl(shell, text)?,
        None => Acl::open(),
    };
    let data = call.words.get(1).map(String::as_bytes);
    let (ephemeral, sequential) = (call.has('e'), call.has('s'));
    let (keeper, path) = (shell.keeper()?, call.word(0));
    let made = match (call.has('c'), call.value('t')) {
        (false, None) => keeper.create(
            path,
            data,
            &acl,
            i32::from(ephemeral) | i32::from(sequential) << 1,
        )?,
        (true, None) if !ephemeral && !sequential => keeper.create_container(path, data, &acl)?,
        (false, Some(ttl_ms)) if !ephemeral => {
            let ttl_ms = number(ttl_ms)?;
            if ttl_ms < 1 {
                return Err(Failure::Argument(
                    "a time to live must be at least 1 ms".to_owned(),
                ));
            }
            keeper.create_for(path, data, &acl, sequential, ttl_ms)?
        }
        _ => {
            return Err(Failure::Usage(
                "create: these options do not go together".to_owned(),
            ));
        }
    };
    if shell.out.json {
        return Ok(shell.out.value(&json!({"created": made}))?);
    }
    Ok(shell.out.note(&format!("Created {}", safe_name(&made)))?)
}

/// `delete`
pub fn delete(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    shell.keeper()?.delete(call.word(0), call.version('v', 1)?)?;
    deleted(shell, call.word(0), 1)
}

/// `rmr` and `deleteall`
pub fn delete_all(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let root = call.word(0);
    if root == "/" {
        return Err(Failure::Argument(
            "the root cannot be removed; name its children".to_owned(),
        ));
    }
    let keeper = shell.keeper()?;
    let mut walk = TreeWalk::begin(&keeper, root);
    let mut paths = Vec::new();
    while let Some(path) = walk.next_path()? {
        paths.push(path);
    }
    remove_backwards(&keeper, &paths)?;
    deleted(shell, root, paths.len())
}

/// `set`
pub fn set(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let version = call.version('v', 2)?;
    let stat = shell
        .keeper()?
        .set_data(call.word(0), call.word(1).as_bytes(), version)?;
    report_stat(shell, call, call.word(0), &stat)
}

/// `setAcl`
pub fn set_acl(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let version = call.version('v', 2)?;
    let acl = read_acl(shell, call.word(1))?;
    let stat = shell.keeper()?.set_acl(call.word(0), &acl, version)?;
    report_stat(shell, call, call.word(0), &stat)
}

/// `sync`
pub fn sync(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let code = shell.keeper()?.sync(call.word(0))?;
    if shell.out.json {
        shell.out.value(&json!({"sync": code.number()}))?;
    } else {
        shell.out.line(&format!("Sync returned {}", code.number()))?;
    }
    if code == ErrorCode::Ok {
        Ok(())
    } else {
        Err(Failure::Said)
    }
}

/// Children stand behind their parents; a session's requests are done in their order. What others have
/// removed meanwhile is gone as it should be.
fn remove_backwards(keeper: &Keeper, paths: &[String]) -> Result<(), Failure> {
    let mut under_way: VecDeque<Pending> = VecDeque::new();
    let finish = |pending| match keeper.finish_plain(pending) {
        Err(Failure::Server {
            code: ErrorCode::NoNode,
            ..
        }) => Ok(()),
        outcome => outcome,
    };
    for path in paths.iter().rev() {
        if under_way.len() >= WINDOW
            && let Some(oldest) = under_way.pop_front()
        {
            finish(oldest)?;
        }
        under_way.push_back(keeper.start_delete(path, -1)?);
    }
    under_way.into_iter().try_for_each(finish)
}

fn deleted(shell: &Shell, path: &str, nodes: usize) -> Result<(), Failure> {
    if shell.out.json {
        shell.out.value(&json!({"deleted": path, "nodes": nodes}))?;
    }
    Ok(())
}

fn read_acl(shell: &Shell, text: &str) -> Result<Vec<Acl>, Failure> {
    acl::parse(text).or_else(|wrong| {
        for line in wrong {
            shell.out.note(&safe_name(&line))?;
        }
        Err(Failure::Server {
            code: ErrorCode::InvalidAcl,
            path: None,
        })
    })
}

/// So many removals are under way.
const WINDOW: usize = 128;
