//! Commands about the conversation itself.

use std::sync::atomic::Ordering;

use serde_json::json;

use crate::proto::ErrorCode;
use crate::tools::cli::failure::Failure;
use crate::tools::cli::safe::safe_name;
use crate::tools::cli::session::ConnectString;
use crate::tools::cli::shell::Shell;
use crate::tools::cli::table::{self, Call, find};
use crate::tools::cli::words;

/// `connect`
pub fn connect(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let address = match call.words.first() {
        Some(text) => ConnectString::parse(text).map_err(Failure::Usage)?,
        None => shell.settings.server.clone(),
    };
    shell.connect(address)?;
    shell.done()
}

/// `close`
pub fn close(shell: &mut Shell, _: &Call) -> Result<(), Failure> {
    shell.close();
    shell.done()
}

/// `addauth`
pub fn add_auth(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let (scheme, auth) = (call.word(0), call.word(1));
    shell.keeper()?.add_auth(scheme, auth.as_bytes())?;
    // The password is not for the screen.
    let user = auth.split(':').next().unwrap_or_default();
    shell.identities.push((scheme.to_owned(), user.to_owned()));
    shell.done()
}

/// `whoami`. Servers before 3.7 do not tell: then it is what this session has said.
pub fn who_am_i(shell: &mut Shell, _: &Call) -> Result<(), Failure> {
    let keeper = shell.keeper()?;
    let known = match keeper.who_am_i() {
        Err(Failure::Server {
            code: ErrorCode::Unimplemented,
            ..
        }) => {
            let local = keeper
                .shown()
                .local
                .map(|local| ("ip".to_owned(), local.ip().to_string()));
            local
                .into_iter()
                .chain(shell.identities.iter().cloned())
                .collect()
        }
        outcome => outcome?,
    };
    if shell.out.json {
        let list: Vec<_> = known
            .iter()
            .map(|(scheme, id)| json!({"scheme": scheme, "id": id}))
            .collect();
        return Ok(shell.out.value(&json!({ "identities": list }))?);
    }
    shell.out.line("Auth scheme: User")?;
    for (scheme, id) in known {
        shell
            .out
            .line(&format!("{}: {}", safe_name(&scheme), safe_name(&id)))?;
    }
    Ok(())
}

/// `history`
pub fn history(shell: &mut Shell, _: &Call) -> Result<(), Failure> {
    let first = shell.history.len().saturating_sub(SHOWN);
    let lines: Vec<(usize, &String)> = shell.history.iter().enumerate().skip(first).collect();
    if shell.out.json {
        let list: Vec<_> = lines
            .iter()
            .map(|(number, line)| json!({"number": number, "command": line}))
            .collect();
        return Ok(shell.out.value(&json!({ "history": list }))?);
    }
    for (number, line) in lines {
        shell.out.line(&format!("{number} - {}", safe_name(line)))?;
    }
    Ok(())
}

/// `redo`
pub fn redo(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    let number: i64 = table::number(call.word(0))?;
    // The last entry is this very command.
    let before = shell.history.len().saturating_sub(1);
    let line = usize::try_from(number).ok().filter(|number| *number < before);
    let Some(line) = line.and_then(|number| shell.history.get(number).cloned()) else {
        shell.out.line("Command index out of range")?;
        return Err(Failure::Said);
    };
    let words = words::split(&line).map_err(Failure::Usage)?;
    if words.first().is_some_and(|word| word == "redo") {
        shell.out.line("No redoing redos")?;
        return Err(Failure::Said);
    }
    if let Some(last) = shell.history.last_mut() {
        *last = line;
    }
    shell.run(&words)
}

/// `printwatches`
pub fn print_watches(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    match call.words.first() {
        Some(word) => shell.print_watches.store(word == "on", Ordering::Relaxed),
        None => {
            let on = if shell.print_watches.load(Ordering::Relaxed) {
                "on"
            } else {
                "off"
            };
            if shell.out.json {
                return Ok(shell.out.value(&json!({"printwatches": on}))?);
            }
            shell.out.line(&format!("printwatches is {on}"))?;
        }
    }
    Ok(())
}

/// `quit`
pub fn quit(shell: &mut Shell, _: &Call) -> Result<(), Failure> {
    if !shell.out.json {
        shell.out.line("Quitting...")?;
    }
    shell.close();
    shell.is_over = true;
    Ok(())
}

/// `version`
pub fn version(shell: &mut Shell, _: &Call) -> Result<(), Failure> {
    let own = env!("CARGO_PKG_VERSION");
    if shell.out.json {
        return Ok(shell
            .out
            .value(&json!({"oxkeeper": own, "zookeeper": "3.4.14"}))?);
    }
    Ok(shell
        .out
        .line(&format!("ZooKeeper CLI version: 3.4.14, by oxkeeper {own}"))?)
}

/// `help`
pub fn help(shell: &mut Shell, call: &Call) -> Result<(), Failure> {
    match call.words.first() {
        None => Ok(shell.out.line(&table::usage())?),
        Some(name) => match find(name) {
            Some(command) => Ok(shell.out.line(&table::help_of(command))?),
            None => Err(Failure::Usage(format!("there is no command {}", safe_name(name)))),
        },
    }
}

/// How many commands `history` shows, itself among them.
const SHOWN: usize = 11;
