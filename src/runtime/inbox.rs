//! Letters on their way to one stage: a crossbeam queue, and a bell that wakes the one who waits for it.
//!
//! A receiver of crossbeam's own yields its time slice about eight times before it sleeps. A write passes some
//! thirty stages in three servers: on two cores those yields were most of what it took. Here whoever finds its
//! inbox empty sleeps at once, and whoever posts wakes it.

use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use super::meter::Metered;
use super::stage::{Address, Post};

/// Letters on their way to one stage. Only a [`Runtime`](super::Runtime) takes them out.
#[derive(Debug)]
pub struct Inbox<T> {
    receiver: Receiver<T>,
    bell: Arc<Bell>,
    pub(crate) metered: Option<Metered>,
}

/// What an inbox has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken<T> {
    /// A letter.
    Letter(T),
    /// No letter yet.
    Nothing,
    /// No letter, now or ever: its last address is gone.
    Closed,
}

impl<T: Send + 'static> Inbox<T> {
    /// An inbox and its first address.
    pub fn new() -> (Address<T>, Inbox<T>) {
        let (queue, inbox) = Inbox::with(None);
        (Address::new(queue), inbox)
    }

    /// An inbox whose letters are measured.
    pub fn metered(metered: Metered) -> (Address<T>, Inbox<T>) {
        metered.meter.forget();
        let (queue, inbox) = Inbox::with(Some(metered.clone()));
        (Address::new(CountingQueue { queue, metered }), inbox)
    }

    fn with(metered: Option<Metered>) -> (Queue<T>, Inbox<T>) {
        let (sender, receiver) = unbounded();
        let bell = Arc::new(Bell::default());
        let queue = Queue {
            sender,
            bell: RungAtTheEnd(Arc::clone(&bell)),
        };
        let inbox = Inbox {
            receiver,
            bell,
            metered,
        };
        (queue, inbox)
    }

    /// How many letters wait.
    pub fn depth(&self) -> usize {
        self.receiver.len()
    }

    /// The next letter, if one is there: for tests.
    pub fn try_take(&self) -> Option<T> {
        self.receiver.try_recv().ok()
    }

    /// As [`Inbox::try_take`], and tells an inbox that is empty from one that is closed.
    pub fn take(&self) -> Taken<T> {
        match self.receiver.try_recv() {
            Ok(letter) => Taken::Letter(letter),
            Err(TryRecvError::Empty) => Taken::Nothing,
            Err(TryRecvError::Disconnected) => Taken::Closed,
        }
    }

    /// As [`Inbox::take`], and sleeps first if nothing is there: for so long at most, and maybe for less. Only one
    /// thread ever waits for an inbox.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> Taken<T> {
        self.bell.lie_down();
        let taken = match self.take() {
            Taken::Nothing => {
                limit.map_or_else(thread::park, thread::park_timeout);
                self.take()
            }
            taken => taken,
        };
        self.bell.rise();
        taken
    }
}

/// The sending side. The bell rings once more when the last sender is gone.
struct Queue<T> {
    sender: Sender<T>,
    // Behind the sender, which is dropped first.
    bell: RungAtTheEnd,
}

impl<T: Send> Post<T> for Queue<T> {
    fn post(&self, letter: T) {
        // The receiver is gone only after its stage has ended; see Post::post.
        drop(self.sender.send(letter));
        self.bell.0.ring();
    }
}

/// A queue that counts what it is given.
struct CountingQueue<T> {
    queue: Queue<T>,
    metered: Metered,
}

impl<T: Send> Post<T> for CountingQueue<T> {
    fn post(&self, letter: T) {
        self.metered.meter.post(&*self.metered.clock);
        self.queue.post(letter);
    }
}

struct RungAtTheEnd(Arc<Bell>);

impl Drop for RungAtTheEnd {
    fn drop(&mut self) {
        self.0.ring();
    }
}

/// Wakes the thread that waits, if it sleeps or is about to.
///
/// Sleeper: says that it sleeps, then looks into the queue. Poster: puts a letter in, then asks whether somebody
/// sleeps. With a fence between the two steps of each, one of them sees what the other has done.
#[derive(Debug, Default)]
struct Bell {
    sleeper: OnceLock<Thread>,
    is_asleep: AtomicBool,
}

impl Bell {
    fn lie_down(&self) {
        self.sleeper.get_or_init(thread::current);
        self.is_asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    fn rise(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }

    fn ring(&self) {
        fence(Ordering::SeqCst);
        // Of several who ring at one time, one wakes the sleeper.
        if self.is_asleep.load(Ordering::Relaxed)
            && self.is_asleep.swap(false, Ordering::AcqRel)
            && let Some(sleeper) = self.sleeper.get()
        {
            sleeper.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each letter is answered before the next is posted: whoever slept through one would sleep for ever.
    #[test]
    fn no_letter_is_slept_through() {
        let (there, inbox) = Inbox::new();
        let (back, answers) = Inbox::new();
        let worker = thread::spawn(move || {
            loop {
                match inbox.wait(None) {
                    Taken::Letter(number) => back.post(number),
                    Taken::Nothing => {}
                    Taken::Closed => return,
                }
            }
        });
        for number in 0..20_000 {
            there.post(number);
            let answer = loop {
                if let Taken::Letter(answer) = answers.wait(None) {
                    break answer;
                }
            };
            assert_eq!(answer, number);
        }
        drop(there);
        worker.join().expect("the worker ends when its inbox is closed");
        assert_eq!(answers.wait(None), Taken::Closed);
    }

    #[test]
    fn letters_of_many_come_whole_and_in_the_order_of_each() {
        let (address, inbox) = Inbox::new();
        for poster in 0..4 {
            let address = address.clone();
            thread::spawn(move || (0..5_000).for_each(|number| address.post((poster, number))));
        }
        drop(address);
        let mut next = [0; 4];
        loop {
            match inbox.wait(Some(Duration::from_secs(60))) {
                Taken::Letter((poster, number)) => {
                    assert_eq!(number, next[poster]);
                    next[poster] += 1;
                }
                Taken::Nothing => {}
                Taken::Closed => break,
            }
        }
        assert_eq!(next, [5_000; 4]);
    }

    #[test]
    fn a_limit_ends_the_wait() {
        let (_address, inbox) = Inbox::<()>::new();
        assert_eq!(inbox.wait(Some(Duration::from_millis(1))), Taken::Nothing);
    }
}
