//! When requests are due, if not the answers say so: an open loop, in which a slow server does not slow the load.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// Moments at equal distances, from the beginning of the load.
///
/// What is due and cannot be sent yet stays due at its own moment, so that the wait is part of its latency.
#[derive(Debug)]
pub struct Pace {
    rate_per_s: u64,
    begun: u64,
}

impl Pace {
    /// So many operations each second.
    pub fn new(rate_per_s: u64) -> Pace {
        Pace { rate_per_s, begun: 0 }
    }

    /// When the next operation is due.
    pub fn next_ns(&self) -> u64 {
        let ns = u128::from(self.begun) * 1_000_000_000 / u128::from(self.rate_per_s);
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    /// The next operation has begun.
    pub fn advance(&mut self) {
        self.begun += 1;
    }

    /// How many operations are due before `end_ns` and have not begun.
    pub fn behind(&self, end_ns: u64) -> u64 {
        let due = u128::from(end_ns) * u128::from(self.rate_per_s) / 1_000_000_000;
        u64::try_from(due).unwrap_or(u64::MAX).saturating_sub(self.begun)
    }
}

/// A timer that a poll wakes for, exact to some microseconds; a poll's own limit is exact to a millisecond.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// A timer that wakes the poll of `registry` with `token`.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&fd.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Timer { fd })
    }

    /// Wakes after `ns`, once.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn set(&self, ns: u64) -> io::Result<()> {
        // Zero would switch the timer off.
        let ns = ns.max(1);
        let value = Timespec {
            tv_sec: (ns / 1_000_000_000) as i64,
            tv_nsec: (ns % 1_000_000_000) as i64,
        };
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let timer = Itimerspec {
            it_interval: never,
            it_value: value,
        };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &timer)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_lie_evenly_and_what_is_late_keeps_its_own() {
        let mut pace = Pace::new(3);
        let mut moments_ms = Vec::new();
        for _ in 0..7 {
            moments_ms.push(pace.next_ns() / 1_000_000);
            pace.advance();
        }
        assert_eq!(moments_ms, [0, 333, 666, 1_000, 1_333, 1_666, 2_000]);
        assert_eq!(pace.behind(2_000_000_000), 0);
        assert_eq!(pace.behind(5_000_000_000), 8);
    }
}
