//! Commands that read.

use serde_json::{Map, Value, json};

use crate::proto::codes::WatcherType;
use crate::proto::{ErrorCode, Stat};
use crate::tools::cli::failure::Failure;
use crate::tools::cli::render::{
    acl_json, acl_lines, data_json, data_text, list_text, stat_json, stat_lines,
};
use crate::tools::cli::safe::safe_name;
use crate::tools::cli::shell::Shell;
use crate::tools::cli::table::Call;
use crate::tools::cli::tree_walk::TreeWalk;

/// `get`
pub fn get(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let path = call.word(0);
    let (data, stat) = shell.keeper()?.get_data(path, wants_watch(call))?;
    if call.has('b') {
        return Ok(shell.out.bytes(data.as_deref().unwrap_or_default())?);
    }
    if shell.out.json {
        let mut map = Map::new();
        map.insert("path".to_owned(), Value::from(path));
        data_json(data.as_deref(), &mut map);
        map.insert("stat".to_owned(), stat_json(&stat));
        return Ok(shell.out.value(&Value::Object(map))?);
    }
    shell.out.line(&data_text(data.as_deref()))?;
    show_stat(shell, call, &stat)
}

/// `ls`
pub fn ls(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    if call.has('R') {
        return list_tree(shell, call.word(0));
    }
    let path = call.word(0);
    let (names, stat) = shell.keeper()?.children(path, wants_watch(call))?;
    if shell.out.json {
        let mut value = json!({"path": path, "children": names});
        if call.has('s') {
            value["stat"] = stat_json(&stat);
        }
        return Ok(shell.out.value(&value)?);
    }
    shell.out.line(&list_text(&names))?;
    if call.has('s') {
        show_stat(shell, call, &stat)?;
    }
    Ok(())
}

/// `ls2`
pub fn ls2(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let path = call.word(0);
    let (names, stat) = shell.keeper()?.children(path, wants_watch(call))?;
    if shell.out.json {
        let value = json!({"path": path, "children": names, "stat": stat_json(&stat)});
        return Ok(shell.out.value(&value)?);
    }
    shell.out.line(&list_text(&names))?;
    show_stat(shell, call, &stat)
}

/// `stat`
pub fn stat(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let path = call.word(0);
    let Some(stat) = shell.keeper()?.exists(path, wants_watch(call))? else {
        return Err(Failure::server(ErrorCode::NoNode, path));
    };
    report_stat(shell, call, path, &stat)
}

/// `getAcl`
pub fn get_acl(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let path = call.word(0);
    let (list, stat) = shell.keeper()?.get_acl(path)?;
    if shell.out.json {
        let value = json!({"path": path, "acl": acl_json(&list), "stat": stat_json(&stat)});
        return Ok(shell.out.value(&value)?);
    }
    shell.out.line(&acl_lines(&list))?;
    if call.has('s') {
        show_stat(shell, call, &stat)?;
    }
    Ok(())
}

/// `getEphemerals`
pub fn get_ephemerals(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let path = call.words.first().map_or("/", String::as_str);
    let paths = shell.keeper()?.ephemerals(path)?;
    if shell.out.json {
        return Ok(shell.out.value(&json!({"path": path, "ephemerals": paths}))?);
    }
    Ok(shell.out.line(&list_text(&paths))?)
}

/// `getAllChildrenNumber`
pub fn count_below(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let count = shell.keeper()?.count_below(call.word(0))?;
    if shell.out.json {
        return Ok(shell.out.value(&json!({"path": call.word(0), "nodes": count}))?);
    }
    Ok(shell.out.line(&count.to_string())?)
}

/// `addWatch`
pub fn add_watch(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let mode = call.value('m').unwrap_or(SUBTREE).to_uppercase();
    if mode != NODE && mode != SUBTREE {
        let mode = safe_name(&mode);
        return Err(Failure::Usage(format!(
            "addWatch: there is no mode {mode}; {NODE} and {SUBTREE} are"
        )));
    }
    shell.keeper()?.add_watch(call.word(0), mode == SUBTREE)?;
    shell.done()
}

/// `removewatches`
pub fn remove_watches(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let kinds = [
        ('c', WatcherType::Children),
        ('d', WatcherType::Data),
        ('p', WatcherType::Persistent),
        ('r', WatcherType::PersistentRecursive),
    ];
    let kind = kinds.iter().find(|(letter, _)| call.has(*letter));
    let kind = kind.map_or(WatcherType::Any, |(_, kind)| *kind);
    shell
        .keeper()?
        .remove_watches(call.word(0), kind, call.has('l'))?;
    shell.done()
}

/// `config`
pub fn config(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let (data, stat) = shell.keeper()?.at_root().get_data(CONFIG, call.has('w'))?;
    let text = data_text(data.as_deref());
    if shell.out.json {
        return Ok(shell
            .out
            .value(&json!({"config": text, "stat": stat_json(&stat)}))?);
    }
    shell.out.line(&text)?;
    if call.has('s') {
        show_stat(shell, call, &stat)?;
    }
    Ok(())
}

/// A stat as the whole result.
pub fn report_stat(shell: &Shell, call: &Call, path: &str, stat: &Stat) -> Result<(), Failure> {
    if shell.out.json {
        return Ok(shell.out.value(&json!({"path": path, "stat": stat_json(stat)}))?);
    }
    show_stat(shell, call, stat)
}

/// 3.4.14 prints stats to stderr; later versions, if asked for them, to stdout.
fn show_stat(shell: &Shell, call: &Call, stat: &Stat) -> Result<(), Failure> {
    let lines = stat_lines(stat);
    Ok(if call.has('s') {
        shell.out.line(&lines)
    } else {
        shell.out.note(&lines)
    }?)
}

/// Any word behind the path asks for a watch, as in 3.4.14.
fn wants_watch(call: &Call) -> bool {
    call.has('w') || call.words.len() > 1
}

fn list_tree(shell: &mut Shell, root: &str) -> Result<(), Failure> {
    let keeper = shell.keeper()?;
    let mut walk = TreeWalk::begin(&keeper, root);
    let mut paths = Vec::new();
    while let Some(path) = walk.next_path()? {
        if shell.out.json {
            paths.push(path);
        } else {
            shell.out.line(&safe_name(&path))?;
        }
    }
    if shell.out.json {
        shell.out.value(&json!({"path": root, "paths": paths}))?;
    }
    Ok(())
}

/// The modes of addWatch. (AddWatchMode)
const NODE: &str = "PERSISTENT";
const SUBTREE: &str = "PERSISTENT_RECURSIVE";
/// Says who the servers are.
const CONFIG: &str = "/zookeeper/config";
