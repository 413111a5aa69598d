//! The scheduler of one server's stages: the runtime that stands in for threads.
//!
//! A stage that has something to do may be next, whichever the seed says. Who waits for the end of stages (a role
//! that joins its chain) runs the others until they have ended: a step within a step.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use oxkeeper::runtime::{Clock, Crew, Flow, Halt, Inbox, Member, Now, Runtime, Stage, Taken};

use super::rng::Rng;
use super::time::{SimClock, Time};
use super::trace::Trace;

/// The stages of one server.
#[derive(Clone)]
pub struct Sched {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    sid: u64,
    slots: Vec<Slot>,
    rng: Rng,
    time: Time,
    clock: Arc<SimClock>,
    trace: Trace,
    /// Why the process has to end.
    halt: Option<Halt>,
    /// Those that were joined and did not end.
    late: Vec<String>,
    /// Of a thousand steps so many are followed by a pause of their stage.
    pauses_permille: u64,
    /// A stage is slow for so long at most, microseconds.
    longest_pause_us: u64,
    ended: u64,
}

struct Slot {
    name: Arc<str>,
    /// Not here while it takes a step.
    driven: Option<Box<dyn Driven>>,
    number: u64,
    /// Its thread gets no time before this.
    paused_until_us: u64,
    /// It is not made to wait again before this.
    pauses_from_us: u64,
}

/// Something with a thread of its own.
pub trait Driven: Send {
    /// Whether it has something to do.
    fn poll(&mut self, now: Now) -> bool;
    /// Does it.
    fn turn(&mut self, now: Now) -> Flow;
    /// When it has something to do without being told, elapsed milliseconds.
    fn wake_at(&self) -> Option<i64>;
}

/// What has come of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stepped {
    /// This stage has taken one.
    Step(Arc<str>),
    /// Nobody has anything to do before this time.
    Idle(Option<u64>),
}

impl Sched {
    pub fn new(sid: u64, rng: Rng, time: Time, clock: Arc<SimClock>, trace: Trace) -> Sched {
        Sched {
            inner: Arc::new(Mutex::new(Inner {
                sid,
                slots: Vec::new(),
                rng,
                time,
                clock,
                trace,
                halt: None,
                late: Vec::new(),
                pauses_permille: 0,
                longest_pause_us: 1,
                ended: 0,
            })),
        }
    }

    /// From now on threads get their time late now and then.
    pub fn pause_sometimes(&self, permille: u64, longest_us: u64) {
        let mut inner = self.lock();
        (inner.pauses_permille, inner.longest_pause_us) = (permille, longest_us.max(1));
    }

    /// Why the process must end, if it must.
    pub fn halt(&self) -> Option<Halt> {
        self.lock().halt.clone()
    }

    /// Stages that were waited for in vain.
    pub fn late(&self) -> Vec<String> {
        self.lock().late.clone()
    }

    /// Lets one stage take a step.
    pub fn step(&self) -> Stepped {
        self.step_any(|_| true, false)
    }

    /// Lets others go on while one stage waits for the disk or a socket. Those that may wait for the end of
    /// others are left out: it may be the end of the one that waits here.
    pub fn yield_some(&self) {
        let count = self.lock().rng.below(4);
        for _ in 0..count {
            if self.step_any(|name| !name.starts_with("QuorumPeer"), false) == Stepped::Idle(None) {
                return;
            }
        }
    }

    /// Drops all stages where they are: the process was killed. What their dropping posts reaches nobody.
    pub fn kill(&self) {
        let slots = std::mem::take(&mut self.lock().slots);
        drop(slots);
    }

    /// Gives something a thread.
    pub fn add(&self, crew: &mut Crew, name: &str, driven: Box<dyn Driven>) {
        let mut inner = self.lock();
        inner.ended += 1;
        let number = inner.ended;
        inner.slots.push(Slot {
            name: name.into(),
            driven: Some(driven),
            number,
            paused_until_us: 0,
            pauses_from_us: 0,
        });
        drop(inner);
        crew.add(Box::new(Joined {
            name: name.to_owned(),
            number,
            sched: self.clone(),
        }));
    }

    fn step_any(&self, may: impl Fn(&str) -> bool, hurry: bool) -> Stepped {
        let mut inner = self.lock();
        let now = inner.clock.now();
        let now_us = inner.time.us();
        let mut ready = [0_usize; 64];
        let mut count = 0;
        let mut wake_us: Option<u64> = None;
        let mut sooner = |at_us: u64| wake_us = Some(wake_us.map_or(at_us, |wake| wake.min(at_us)));
        for (index, slot) in inner.slots.iter_mut().enumerate() {
            let Some(driven) = slot.driven.as_mut() else {
                continue;
            };
            if !may(&slot.name) || count == ready.len() {
                continue;
            }
            if slot.paused_until_us > now_us && !hurry {
                sooner(slot.paused_until_us);
            } else if driven.poll(now) {
                ready[count] = index;
                count += 1;
            } else if let Some(at_ms) = driven.wake_at() {
                sooner((at_ms - 1_000).max(0) as u64 * 1_000);
            }
        }
        if count == 0 {
            return Stepped::Idle(wake_us.map(|at_us| at_us.max(now_us + 1)));
        }
        let index = ready[inner.rng.below(count as u64) as usize];
        Stepped::Step(self.turn(inner, index, now))
    }

    fn turn(&self, mut inner: MutexGuard<'_, Inner>, index: usize, now: Now) -> Arc<str> {
        let slot = &mut inner.slots[index];
        let (name, number) = (Arc::clone(&slot.name), slot.number);
        let driven = slot.driven.take();
        inner.trace.step(&[inner.sid, number]);
        let took_us = inner.rng.below(12);
        inner.time.pass(took_us);
        drop(inner);
        // Nothing is locked while it works: it may start, join or drop others.
        let Some(mut driven) = driven else {
            return name;
        };
        let flow = catch_unwind(AssertUnwindSafe(|| driven.turn(now)));
        let flow = flow.unwrap_or_else(|panic| {
            let reason = format!("PANIC in {name}: {}", panic_text(&*panic));
            Flow::Halt(Halt::new(oxkeeper::runtime::ExitCode::Unexpected, reason))
        });
        if flow == Flow::Go {
            self.put_back(number, driven);
            return name;
        }
        // Its last addresses close with it.
        drop(driven);
        let mut inner = self.lock();
        inner.slots.retain(|slot| slot.number != number);
        if let Flow::Halt(halt) = flow {
            inner.halt.get_or_insert(halt);
        }
        name
    }

    fn put_back(&self, number: u64, driven: Box<dyn Driven>) {
        let mut inner = self.lock();
        let now_us = inner.time.us();
        let permille = inner.pauses_permille;
        let longest_us = inner.longest_pause_us;
        let pauses = permille > 0 && inner.rng.permille(permille);
        let pause_us = if pauses { inner.rng.below(longest_us) } else { 0 };
        let slot = inner.slots.iter_mut().find(|slot| slot.number == number);
        match slot {
            Some(slot) => {
                if now_us >= slot.pauses_from_us {
                    slot.paused_until_us = now_us + pause_us;
                    slot.pauses_from_us = slot.paused_until_us + pause_us * WORK_PER_PAUSE;
                }
                slot.driven = Some(driven);
            }
            // The process was killed meanwhile.
            None => {
                drop(inner);
                drop(driven);
            }
        }
    }

    /// Runs others until the stage has ended; false if it does not.
    fn join(&self, number: u64, name: &str) -> bool {
        loop {
            if !self.lock().slots.iter().any(|slot| slot.number == number) {
                return true;
            }
            if let Stepped::Idle(_) = self.step_any(|_| true, true) {
                self.lock().late.push(name.to_owned());
                return false;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("the scheduler")
    }
}

impl Runtime for Sched {
    fn start<S: Stage>(&self, crew: &mut Crew, name: &str, inbox: Inbox<S::In>, stage: S) {
        let wake_ms = stage.wake_at();
        let driven = StageThread {
            stage,
            inbox,
            next: Taken::Nothing,
            quiet_is_due: true,
            wake_ms,
        };
        self.add(crew, name, Box::new(driven));
    }
}

/// A stage as `runtime::Threads` would drive it.
struct StageThread<S: Stage> {
    stage: S,
    inbox: Inbox<S::In>,
    next: Taken<S::In>,
    /// Letters were taken since it was quiet last.
    quiet_is_due: bool,
    wake_ms: Option<i64>,
}

impl<S: Stage> Driven for StageThread<S> {
    fn poll(&mut self, now: Now) -> bool {
        if matches!(self.next, Taken::Nothing) {
            self.next = self.inbox.take();
        }
        !matches!(self.next, Taken::Nothing)
            || self.quiet_is_due
            || self.wake_ms.is_some_and(|at_ms| now.elapsed_ms >= at_ms)
    }

    fn turn(&mut self, now: Now) -> Flow {
        let flow = match std::mem::replace(&mut self.next, Taken::Nothing) {
            Taken::Letter(letter) => {
                self.quiet_is_due = true;
                self.stage.step(now, letter)
            }
            Taken::Nothing => {
                self.quiet_is_due = false;
                self.stage.quiet(now)
            }
            Taken::Closed => match self.stage.end(now) {
                Flow::Go => Flow::Done,
                flow => flow,
            },
        };
        self.wake_ms = self.stage.wake_at();
        flow
    }

    fn wake_at(&self) -> Option<i64> {
        self.wake_ms
    }
}

struct Joined {
    name: String,
    number: u64,
    sched: Sched,
}

impl Member for Joined {
    fn name(&self) -> &str {
        &self.name
    }

    fn join(&mut self, _limit: Duration) -> bool {
        self.sched.join(self.number, &self.name)
    }
}

/// After a pause a thread has its time for so many times as long: one that had to wait after every hundredth letter,
/// however many come, would never be done with them, and would be late for all.
const WORK_PER_PAUSE: u64 = 4;

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}
