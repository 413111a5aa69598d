//! A conversation: a session, the history, and how a command's words become what it does.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Receiver;
use serde_json::json;

use super::failure::Failure;
use super::options::Settings;
use super::output::{Announcer, Output};
use crate::tools::stream::Caller;

use super::session::{ConnectString, Keeper, Login, SessionConfig, State, WatchedEvent};
use super::{table, words};
use crate::proto::EventType;
use crate::runtime::ExitCode;
use crate::runtime::machine::random_bytes;
use crate::sasl::Nonces;

/// The session at hand; completion looks at it too.
pub type Slot = Rc<RefCell<Option<Rc<Keeper>>>>;

/// A conversation.
pub struct Shell {
    /// As the command line has it; `connect` changes the server.
    pub settings: Settings,
    /// Where commands write.
    pub out: Output,
    /// The lines typed so far, the one at hand included.
    pub history: Vec<String>,
    /// Whether events are told.
    pub print_watches: Arc<AtomicBool>,
    /// Scheme and user of each identity given.
    pub identities: Vec<(String, String)>,
    /// Whether `quit` was said.
    pub is_over: bool,
    session: Slot,
    caller: Caller,
    announcer: Announcer,
    interrupts: Receiver<i32>,
}

impl Shell {
    /// A conversation without a session, which calls servers as `caller` does.
    pub fn new(
        settings: Settings,
        caller: Caller,
        out: Output,
        announcer: Announcer,
        interrupts: Receiver<i32>,
    ) -> Shell {
        Shell {
            settings,
            out,
            history: Vec::new(),
            print_watches: Arc::new(AtomicBool::new(true)),
            identities: Vec::new(),
            is_over: false,
            session: Slot::default(),
            caller,
            announcer,
            interrupts,
        }
    }

    /// The session, if it is not over.
    ///
    /// # Errors
    /// [`Failure::NotConnected`]
    pub fn keeper(&self) -> Result<Rc<Keeper>, Failure> {
        let session = self.session.borrow();
        session
            .as_ref()
            .filter(|keeper| keeper.is_alive())
            .cloned()
            .ok_or(Failure::NotConnected)
    }

    /// The session, for completion.
    pub fn slot(&self) -> Slot {
        Rc::clone(&self.session)
    }

    /// Ends the session at hand and begins another.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn connect(&mut self, address: ConnectString) -> Result<(), Failure> {
        self.close();
        self.identities.clear();
        let config = SessionConfig {
            servers: address.servers.len(),
            // Clients should not all go to the same server.
            first: std::process::id() as usize,
            timeout_ms: self.settings.timeout_ms,
            read_only: self.settings.read_only,
            wait: self.settings.wait,
            login: self.login()?,
        };
        self.settings.server = address.clone();
        let keeper = Keeper::start(
            address,
            config,
            self.caller.clone(),
            self.interrupts.clone(),
            self.teller(),
        )?;
        *self.session.borrow_mut() = Some(Rc::new(keeper));
        Ok(())
    }

    fn login(&self) -> Result<Option<Login>, Failure> {
        let login = self.settings.login.clone();
        let login = login.map(|credentials| {
            let nonces = Nonces::new(random_bytes()?);
            Ok::<_, std::io::Error>(Login { credentials, nonces })
        });
        Ok(login.transpose()?)
    }

    /// Ends the session in order.
    pub fn close(&mut self) {
        if let Some(keeper) = self.session.borrow_mut().take()
            && keeper.is_alive()
        {
            keeper.close(CLOSE_LIMIT);
        }
    }

    /// Cuts a line into words, notes it, and runs it. An empty line is nothing.
    ///
    /// # Errors
    /// [`Failure`], which has not been told yet.
    pub fn run_line(&mut self, line: &str) -> Result<(), Failure> {
        let words = words::split(line).map_err(Failure::Usage)?;
        if words.is_empty() {
            return Ok(());
        }
        self.history.push(line.to_owned());
        self.run(&words)
    }

    /// Runs a command.
    ///
    /// # Errors
    /// [`Failure`], which has not been told yet.
    pub fn run(&mut self, words: &[String]) -> Result<(), Failure> {
        let Some((name, rest)) = words.split_first() else {
            return Ok(());
        };
        let Some(command) = table::find(name) else {
            let name = super::safe::safe_name(name);
            return Err(Failure::Usage(format!(
                "There is no command {name}\n{}",
                table::usage()
            )));
        };
        let call = command.understand(rest)?;
        if command.needs_session {
            self.keeper()?;
        }
        let outcome = (command.run)(self, &call);
        self.out.flush()?;
        outcome
    }

    /// Forgets the signals that came until now: they are no matter of the command that is typed next.
    pub fn forget_signals(&self) {
        while self.interrupts.try_recv().is_ok() {}
    }

    /// Says why a command failed.
    ///
    /// # Errors
    /// Those of the output.
    pub fn tell(&self, failure: &Failure) -> io::Result<()> {
        let text = failure.text();
        if self.out.json && !matches!(failure, Failure::Output(_)) {
            self.out.value(&failure.json())?;
            return self.out.flush();
        }
        if text.is_empty() {
            Ok(())
        } else {
            self.out.note(&text)
        }
    }

    /// The result of a command that has none.
    ///
    /// # Errors
    /// Those of the output.
    pub fn done(&self) -> Result<(), Failure> {
        if self.out.json {
            self.out.value(&json!({"ok": true}))?;
        }
        Ok(())
    }

    /// Waits for the first connection.
    pub fn wait_connected(&self, limit: Duration) -> bool {
        let session = self.session.borrow().clone();
        session.is_some_and(|keeper| keeper.wait_connected(limit))
    }

    /// What stands before the cursor. (ZooKeeperMain.getPrompt)
    pub fn prompt(&self) -> String {
        let state = self
            .session
            .borrow()
            .as_ref()
            .map_or(State::Closed, |keeper| keeper.shown().state);
        format!(
            "[zk: {}({state}) {}] ",
            self.settings.server.text,
            self.history.len()
        )
    }

    /// With what the program is to end after a failure.
    pub fn code_of(outcome: &Result<(), Failure>) -> ExitCode {
        outcome
            .as_ref()
            .map_or_else(Failure::exit_code, |()| ExitCode::Ok)
    }

    fn teller(&self) -> impl Fn(WatchedEvent) + Send + 'static {
        let (announcer, on) = (self.announcer.clone(), Arc::clone(&self.print_watches));
        let quiet = self.settings.quiet || self.settings.json;
        move |event| {
            let of_session = event.kind == EventType::None;
            if on.load(Ordering::Relaxed) && !(quiet && of_session) {
                announcer.tell(event);
            }
        }
    }
}

/// So long the server may take to end a session.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);
