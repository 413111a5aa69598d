//! The runtime of production: one named OS thread for each stage.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::inbox::{Inbox, Taken};
use super::meter::Metered;
use super::shutdown::{ExitCode, Halt};
use super::stage::{Crew, Flow, Member, Runtime, Stage};
use super::time::Clock;

/// Starts threads, and hears of those that must end the process.
#[derive(Clone)]
pub struct Threads {
    clock: Arc<dyn Clock>,
    halts: Sender<Halt>,
}

impl Threads {
    /// Threads that read `clock` and report a broken stage to `halts`, whose receiver ends the process.
    pub fn new(clock: Arc<dyn Clock>, halts: Sender<Halt>) -> Threads {
        Threads { clock, halts }
    }

    /// The clock that its stages are given.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Runs `body` on a named thread. A panic in it, or a [`Halt`] from it, ends the process.
    pub fn spawn(
        &self,
        crew: &mut Crew,
        name: &str,
        body: impl FnOnce() -> Result<(), Halt> + Send + 'static,
    ) {
        let (ended, end) = bounded::<()>(1);
        let halts = self.halts.clone();
        let thread_name = name.to_owned();
        let run = move || {
            let _ended = ended;
            let outcome = catch_unwind(AssertUnwindSafe(body));
            let halt = match outcome {
                Ok(Ok(())) => return,
                Ok(Err(halt)) => halt,
                Err(_) => Halt::new(ExitCode::Unexpected, format!("thread {thread_name} panicked")),
            };
            log::error!("Severe unrecoverable error, from thread : {thread_name}: {halt}");
            // Nobody listens only if the process is ending already.
            drop(halts.send(halt));
        };
        match std::thread::Builder::new().name(name.to_owned()).spawn(run) {
            Ok(handle) => {
                crew.add(Box::new(Worker {
                    name: name.to_owned(),
                    end,
                    handle: Some(handle),
                }));
            }
            Err(error) => {
                let reason = format!("cannot start thread {name}: {error}");
                drop(self.halts.send(Halt::new(ExitCode::Unexpected, reason)));
            }
        }
    }
}

impl Runtime for Threads {
    fn start<S: Stage>(&self, crew: &mut Crew, name: &str, inbox: Inbox<S::In>, stage: S) {
        let clock = Arc::clone(&self.clock);
        self.spawn(crew, name, move || drive(&*clock, &inbox, stage));
    }
}

/// Feeds a stage until its inbox closes.
fn drive<S: Stage>(clock: &dyn Clock, inbox: &Inbox<S::In>, mut stage: S) -> Result<(), Halt> {
    loop {
        let taken = match inbox.take() {
            Taken::Nothing => match stage.quiet(clock.now()) {
                Flow::Go => inbox.wait(time_left(clock, &stage)),
                Flow::Done => return Ok(()),
                Flow::Halt(halt) => return Err(halt),
            },
            taken => taken,
        };
        let flow = match taken {
            Taken::Letter(letter) => step(clock, inbox.metered.as_ref(), &mut stage, letter),
            Taken::Nothing => Flow::Go,
            Taken::Closed => return last_words(clock, stage),
        };
        match flow {
            Flow::Go => {}
            Flow::Done => return Ok(()),
            Flow::Halt(halt) => return Err(halt),
        }
    }
}

/// How long until the stage wants to be woken; none if only a letter is to wake it.
fn time_left<S: Stage>(clock: &dyn Clock, stage: &S) -> Option<Duration> {
    let left_ms = stage.wake_at()? - clock.now().elapsed_ms;
    Some(Duration::from_millis(left_ms.max(0).unsigned_abs()))
}

/// Gives a letter to a stage, and measures how long it takes for it if that is wanted.
fn step<S: Stage>(clock: &dyn Clock, metered: Option<&Metered>, stage: &mut S, letter: S::In) -> Flow {
    let Some(Metered { meter, clock: fine }) = metered else {
        return stage.step(clock.now(), letter);
    };
    let begun_us = fine.elapsed_us();
    meter.take(begun_us);
    let flow = stage.step(clock.now(), letter);
    meter.work.count(fine.elapsed_us() - begun_us);
    flow
}

fn last_words<S: Stage>(clock: &dyn Clock, mut stage: S) -> Result<(), Halt> {
    match stage.end(clock.now()) {
        Flow::Halt(halt) => Err(halt),
        Flow::Go | Flow::Done => Ok(()),
    }
}

struct Worker {
    name: String,
    end: Receiver<()>,
    handle: Option<JoinHandle<()>>,
}

impl Member for Worker {
    fn name(&self) -> &str {
        &self.name
    }

    fn join(&mut self, limit: Duration) -> bool {
        if self.end.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        // The thread caught its own panic and reported it.
        self.handle.take().is_none_or(|handle| handle.join().is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::stage::Address;
    use crate::runtime::time::{Now, OsClock};

    struct Adder {
        sum: u32,
        to: Address<u32>,
    }

    impl Stage for Adder {
        type In = u32;

        fn step(&mut self, _now: Now, letter: u32) -> Flow {
            self.sum += letter;
            match letter {
                13 => Flow::Halt(Halt::new(ExitCode::Log, "thirteen")),
                14 => panic!("fourteen"),
                _ => Flow::Go,
            }
        }

        fn end(&mut self, _now: Now) -> Flow {
            self.to.post(self.sum);
            Flow::Done
        }
    }

    fn run(letters: &[u32]) -> (Option<u32>, Option<Halt>) {
        let (halts, halted) = crossbeam_channel::unbounded();
        let threads = Threads::new(Arc::new(OsClock::new()), halts);
        let (address, inbox) = Inbox::new();
        let (to, results) = Inbox::new();
        let mut crew = Crew::new();
        threads.start(&mut crew, "Adder:1", inbox, Adder { sum: 0, to });
        letters.iter().for_each(|&letter| address.post(letter));
        drop(address);
        assert_eq!(crew.join(Duration::from_secs(10)), Vec::<String>::new());
        (results.try_take(), halted.try_recv().ok())
    }

    #[test]
    fn closing_the_inbox_ends_the_stage_after_its_last_letter() {
        assert_eq!(run(&[1, 2, 3]), (Some(6), None));
    }

    #[test]
    fn a_halt_and_a_panic_are_reported_with_the_thread_s_name() {
        assert_eq!(run(&[13]), (None, Some(Halt::new(ExitCode::Log, "thirteen"))));
        let (_, halt) = run(&[14]);
        assert_eq!(
            halt,
            Some(Halt::new(ExitCode::Unexpected, "thread Adder:1 panicked"))
        );
    }

    #[test]
    fn a_translated_address_leads_to_the_same_inbox() {
        let (address, inbox) = Inbox::new();
        address.map(|text: &str| text.len()).post("four");
        assert_eq!(inbox.try_take(), Some(4));
    }
}
