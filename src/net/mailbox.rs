//! Letters to a loop that sleeps in `poll`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::Waker;

use crate::runtime::{Address, Post};

/// The loop's end of its mailbox.
#[derive(Debug)]
pub(super) struct Mailbox<T> {
    letters: Receiver<T>,
    woken: Arc<AtomicBool>,
}

/// A sender that wakes the loop, once for all letters that come before the loop looks.
struct WakingSender<T> {
    letters: Sender<T>,
    waker: Waker,
    woken: Arc<AtomicBool>,
}

impl<T: Send + 'static> Mailbox<T> {
    /// A mailbox whose letters wake a poll by `waker`.
    pub fn new(waker: Waker) -> (Address<T>, Mailbox<T>) {
        let (sender, letters) = unbounded();
        let woken = Arc::new(AtomicBool::new(false));
        let address = Address::new(WakingSender {
            letters: sender,
            waker,
            woken: Arc::clone(&woken),
        });
        (address, Mailbox { letters, woken })
    }

    /// The letters that are there at present, and those that come while they are taken.
    pub fn take(&self) -> impl Iterator<Item = T> {
        // First the mark, then the letters: a letter that is missed here finds the mark gone and wakes again.
        self.woken.store(false, Ordering::SeqCst);
        self.letters.try_iter()
    }
}

impl<T: Send> Post<T> for WakingSender<T> {
    fn post(&self, letter: T) {
        // The receiver is gone only after the loop has ended; see Post::post.
        if self.letters.send(letter).is_ok()
            && !self.woken.swap(true, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            log::warn!("cannot wake the client loop: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    fn wakes(poll: &mut Poll) -> usize {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::ZERO)).expect("a poll");
        events.iter().count()
    }

    #[test]
    fn a_batch_of_letters_wakes_once_and_the_next_batch_again() {
        let mut poll = Poll::new().expect("a poll");
        let waker = Waker::new(poll.registry(), Token(0)).expect("a waker");
        let (address, mailbox) = Mailbox::new(waker);
        (0..3).for_each(|letter| address.post(letter));
        assert_eq!(wakes(&mut poll), 1);
        assert_eq!(mailbox.take().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(wakes(&mut poll), 0);
        address.post(3);
        assert_eq!(wakes(&mut poll), 1);
        assert_eq!(mailbox.take().collect::<Vec<_>>(), [3]);
    }
}
