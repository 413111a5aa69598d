//! Letters to a loop that sleeps until it is woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::runtime::{Address, Post};

/// The loop's end of its mailbox.
#[derive(Debug)]
pub struct Mailbox<T> {
    letters: Receiver<T>,
    woken: Arc<AtomicBool>,
}

/// A sender that wakes the loop, once for all letters that come before the loop looks.
struct WakingSender<T, W> {
    letters: Sender<T>,
    wake: W,
    woken: Arc<AtomicBool>,
}

impl<T: Send + 'static> Mailbox<T> {
    /// A mailbox whose letters wake a loop by `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> (Address<T>, Mailbox<T>) {
        let (sender, letters) = unbounded();
        let woken = Arc::new(AtomicBool::new(false));
        let address = Address::new(WakingSender {
            letters: sender,
            wake,
            woken: Arc::clone(&woken),
        });
        (address, Mailbox { letters, woken })
    }

    /// Whether no letter waits.
    pub fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// The letters that are there at present, and those that come while they are taken.
    pub fn take(&self) -> impl Iterator<Item = T> {
        // First the mark, then the letters: a letter that is missed here finds the mark gone and wakes again.
        self.woken.store(false, Ordering::SeqCst);
        self.letters.try_iter()
    }

    /// The next letter, if it comes before the time is over.
    pub fn wait(&self, longest: Duration) -> Option<T> {
        self.woken.store(false, Ordering::SeqCst);
        if longest.is_zero() {
            return self.letters.try_recv().ok();
        }
        self.letters.recv_timeout(longest).ok()
    }
}

impl<T: Send, W: Fn() + Send + Sync> Post<T> for WakingSender<T, W> {
    fn post(&self, letter: T) {
        // The receiver is gone only after the loop has ended; see Post::post.
        if self.letters.send(letter).is_ok() && !self.woken.swap(true, Ordering::SeqCst) {
            (self.wake)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_batch_of_letters_wakes_once_and_the_next_batch_again() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let (address, mailbox) = Mailbox::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let wakes = || count.swap(0, Ordering::SeqCst);
        (0..3).for_each(|letter| address.post(letter));
        assert_eq!(wakes(), 1);
        assert_eq!(mailbox.take().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(wakes(), 0);
        address.post(3);
        assert_eq!(wakes(), 1);
        assert_eq!(mailbox.take().collect::<Vec<_>>(), [3]);
    }
}
