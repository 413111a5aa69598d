//! SIGTERM and SIGINT, as letters.

use std::io;

use crossbeam_channel::{Receiver, bounded};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::runtime::{Crew, Threads};

/// Hears of the first SIGTERM or SIGINT. A second one while the server ends finds the default action again,
/// so that an operator can insist. Nobody waits for the thread's end: it has none.
///
/// # Errors
/// If the operating system refuses the handler.
pub fn listen(threads: &Threads) -> io::Result<Receiver<i32>> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let (sender, receiver) = bounded(1);
    threads.spawn(&mut Crew::new(), "Signals", move || {
        let mut heard = signals.forever();
        if let Some(signal) = heard.next() {
            // The receiver is gone only if the process ends already.
            let _ended_already = sender.send(signal);
        }
        if let Some(signal) = heard.next() {
            // Nothing to do about a failure: the first signal is being obeyed.
            let _first_obeyed = signal_hook::low_level::emulate_default_handler(signal);
        }
        Ok(())
    });
    Ok(receiver)
}
