//! Where commands write: whole lines, results to stdout and the rest to stderr, as 3.4.14 does.

use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Sender, bounded, unbounded};
use serde_json::Value;

use super::render::{event_json, event_text};
use super::session::WatchedEvent;

/// A stream that the commands and the thread of the events share.
type Shared = Arc<Mutex<dyn Write + Send>>;

/// Both streams.
#[derive(Clone)]
pub struct Output {
    out: Shared,
    err: Shared,
    /// Whether results are JSON.
    pub json: bool,
    /// Who may have something to say before the next line.
    first: Option<Announcer>,
}

impl Output {
    /// The process's own streams.
    pub fn of_process(json: bool) -> Output {
        Output {
            out: Arc::new(Mutex::new(BufWriter::new(io::stdout()))),
            err: Arc::new(Mutex::new(io::stderr())),
            json,
            first: None,
        }
    }

    /// Lets events be printed before the results they came before.
    pub fn behind(self, announcer: &Announcer) -> Output {
        Output {
            first: Some(announcer.clone()),
            ..self
        }
    }

    /// A line of the result.
    ///
    /// # Errors
    /// Those of the stream, such as a reader that has gone.
    pub fn line(&self, text: &str) -> io::Result<()> {
        self.let_events_go_first();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(text.as_bytes())?;
        out.write_all(b"\n")
    }

    /// Bytes of the result as they are.
    ///
    /// # Errors
    /// See [`Output::line`].
    pub fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.let_events_go_first();
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(bytes)
    }

    /// A line beside the result.
    ///
    /// # Errors
    /// Those of stdout, which is written out first, so that a terminal shows both in their order.
    pub fn note(&self, text: &str) -> io::Result<()> {
        self.let_events_go_first();
        self.flush()?;
        let mut err = self.err.lock().unwrap_or_else(PoisonError::into_inner);
        // Without stderr nobody can be told.
        let _unheard = err
            .write_all(format!("{text}\n").as_bytes())
            .and_then(|()| err.flush());
        Ok(())
    }

    /// A result for programs: one line.
    ///
    /// # Errors
    /// See [`Output::line`].
    pub fn value(&self, value: &Value) -> io::Result<()> {
        self.line(&value.to_string())
    }

    /// Writes out what waits.
    ///
    /// # Errors
    /// See [`Output::line`].
    pub fn flush(&self) -> io::Result<()> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }

    fn let_events_go_first(&self) {
        if let Some(announcer) = &self.first {
            announcer.catch_up();
        }
    }
}

/// The thread that tells events, so that neither a slow terminal nor a full pipe keeps the session from its
/// pings.
#[derive(Clone)]
pub struct Announcer {
    letters: Sender<Letter>,
    /// How many events are not printed yet.
    waiting: Arc<AtomicUsize>,
}

enum Letter {
    Event(WatchedEvent),
    Barrier(Sender<()>),
}

impl Announcer {
    /// Starts the thread. `tell` prints a text that ends with a line's end.
    ///
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn start(json: bool, mut tell: impl FnMut(String) + Send + 'static) -> io::Result<Announcer> {
        let (letters, inbox) = unbounded();
        let waiting = Arc::new(AtomicUsize::new(0));
        let left = Arc::clone(&waiting);
        thread::Builder::new().name("Events".to_owned()).spawn(move || {
            for letter in inbox {
                match letter {
                    Letter::Event(event) => {
                        tell(if json {
                            format!("{}\n", event_json(&event))
                        } else {
                            event_text(&event)
                        });
                        left.fetch_sub(1, Ordering::AcqRel);
                    }
                    // Who waits may have gone.
                    Letter::Barrier(done) => drop(done.send(())),
                }
            }
        })?;
        Ok(Announcer { letters, waiting })
    }

    /// One that prints to the output.
    ///
    /// # Errors
    /// See [`Announcer::start`].
    pub fn to_output(output: &Output) -> io::Result<Announcer> {
        let own = output.clone();
        Announcer::start(output.json, move |text| {
            // A reader that has gone is noticed by the commands.
            let _gone = own.bytes(text.as_bytes()).and_then(|()| own.flush());
        })
    }

    /// Tells an event.
    pub fn tell(&self, event: WatchedEvent) {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        // The thread ends with the process.
        let _ended = self.letters.send(Letter::Event(event));
    }

    /// Waits until all that was told is printed.
    pub fn catch_up(&self) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let (done, wait) = bounded(1);
        if self.letters.send(Letter::Barrier(done)).is_ok() {
            // A thread that has gone prints nothing more.
            let _printed = wait.recv();
        }
    }
}
