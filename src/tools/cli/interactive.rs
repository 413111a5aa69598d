//! The conversation at a terminal: line editing, history, completion, and events above the line at hand.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use rustyline::completion::{Completer, Pair};
use rustyline::config::BellStyle;
use rustyline::error::ReadlineError;
use rustyline::history::{DefaultHistory, History};
use rustyline::{
    ColorMode, CompletionType, Config, Context, Editor, ExternalPrinter, Helper, Highlighter, Hinter,
    Validator,
};

use super::complete::complete;
use super::failure::Failure;
use super::options::Settings;
use super::output::{Announcer, Output};
use super::shell::{Shell, Slot};
use crate::runtime::ExitCode;
use crate::tools::stream::Caller;

/// Talks until the user leaves.
pub fn talk(
    settings: Settings,
    caller: Caller,
    out: Output,
    interrupts: crossbeam_channel::Receiver<i32>,
) -> ExitCode {
    let mut editor = match editor() {
        Ok(editor) => editor,
        Err(error) => {
            eprintln!("oxkeeper cli: cannot use the terminal: {error}");
            return ExitCode::Unexpected;
        }
    };
    let announcer = match editor.create_external_printer() {
        // A printer of the editor's keeps the line that is being typed whole.
        Ok(mut printer) => Announcer::start(out.json, move |text| {
            // Without the terminal nobody can be told.
            let _unheard = printer.print(text);
        }),
        Err(_) => Announcer::to_output(&out),
    };
    let announcer = match announcer {
        Ok(announcer) => announcer,
        Err(error) => return super::complain(&error.to_string(), ExitCode::Unexpected),
    };
    let server = settings.server.clone();
    let mut shell = Shell::new(settings, caller, out, announcer, interrupts);
    if let Err(failure) = shell.connect(server) {
        return super::complain(&failure.text(), ExitCode::Unexpected);
    }
    editor.set_helper(Some(Assistant {
        session: shell.slot(),
    }));
    // The first prompt is to say how things are.
    shell.wait_connected(GREETING_LIMIT);
    let code = converse(&mut shell, &mut editor);
    shell.close();
    code
}

fn converse(shell: &mut Shell, editor: &mut Editor<Assistant, DefaultHistory>) -> ExitCode {
    let file = history_file();
    if let Some(file) = &file {
        // There is none the first time.
        let _none_yet = editor.load_history(file);
    }
    while !shell.is_over {
        // At the prompt Ctrl-C is a key. From the end of the line on it is a signal, and meant for its command.
        shell.forget_signals();
        let line = match editor.readline(&shell.prompt()) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(ReadlineError::Io(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return ExitCode::Unexpected,
        };
        // What is pasted may be several lines.
        for line in line.lines().filter(|line| !line.trim().is_empty()) {
            remember(editor, line, file.as_ref());
            if let Err(failure) = shell.run_line(line)
                && (shell.tell(&failure).is_err() || matches!(failure, Failure::Output(_)))
            {
                return failure.exit_code();
            }
            if shell.is_over {
                break;
            }
        }
    }
    ExitCode::Ok
}

fn editor() -> rustyline::Result<Editor<Assistant, DefaultHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)?
        .history_ignore_dups(true)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .bell_style(BellStyle::None)
        .color_mode(ColorMode::Disabled)
        .build();
    Editor::with_config(config)
}

/// Puts a line where the arrow keys find it. Passwords do not go to the disk.
fn remember(editor: &mut Editor<Assistant, DefaultHistory>, line: &str, file: Option<&PathBuf>) {
    let line = line.trim();
    if line.is_empty() {
        return;
    }
    // A history that cannot be kept is no reason to stop.
    let _unkept = editor.add_history_entry(line);
    let is_secret = line.starts_with("addauth") || line.starts_with("redo");
    if let Some(file) = file.filter(|_| !is_secret) {
        let mut saved = DefaultHistory::new();
        let _none_yet = saved.load(file);
        let _unkept = saved.add(line).and_then(|_| saved.save(file));
    }
}

/// `$OXKEEPER_HISTORY`, or a file in the home directory; none if the variable is empty.
fn history_file() -> Option<PathBuf> {
    let path = match std::env::var_os("OXKEEPER_HISTORY") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".oxkeeper_history"),
    };
    (!path.as_os_str().is_empty()).then_some(path)
}

#[derive(Helper, Highlighter, Hinter, Validator)]
struct Assistant {
    session: Slot,
}

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(&self, line: &str, cursor: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let session = self.session.borrow().clone();
        let (start, found) = complete(line, cursor, |path| {
            session.as_ref()?.peek_children(path, LOOK_LIMIT)
        });
        let pair = |candidate: super::complete::Candidate| Pair {
            display: candidate.shown,
            replacement: candidate.text,
        };
        Ok((start, found.into_iter().map(pair).collect()))
    }
}

/// So long the first prompt waits for a server.
const GREETING_LIMIT: Duration = Duration::from_secs(3);
/// So long completion waits for the names of children.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
const HISTORY_LINES: usize = 1000;
