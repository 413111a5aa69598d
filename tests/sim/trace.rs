//! What has happened, as one number and as lines.

use std::sync::{Arc, Mutex, MutexGuard};

use super::rng::mixed;
use super::time::Time;

/// Runs that are equal step by step have equal hashes.
#[derive(Clone)]
pub struct Trace {
    time: Time,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    hash: u64,
    steps: u64,
    lines: Vec<String>,
    failures: Vec<String>,
    loud: bool,
}

impl Trace {
    pub fn new(time: Time, loud: bool) -> Trace {
        let inner = Inner {
            loud,
            ..Inner::default()
        };
        Trace {
            time,
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// A step has been made: its numbers go into the hash.
    pub fn step(&self, numbers: &[u64]) {
        let now = self.time.us();
        let mut inner = self.lock();
        inner.steps += 1;
        inner.hash = mixed(inner.hash ^ now);
        for &number in numbers {
            inner.hash = mixed(inner.hash.rotate_left(7) ^ number);
        }
    }

    /// Bytes that somebody has sent or written.
    pub fn bytes(&self, kind: u64, bytes: &[u8]) {
        let mut inner = self.lock();
        let mut hash = inner.hash.rotate_left(9) ^ kind ^ ((bytes.len() as u64) << 8);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = mixed(hash ^ u64::from_le_bytes(word));
        }
        inner.hash = hash;
    }

    /// A line of the table of state changes.
    pub fn line(&self, who: &str, what: &str) {
        let line = format!("{:>12.3} {who:<4} {what}", self.time.us() as f64 / 1_000.0);
        let mut inner = self.lock();
        if inner.loud {
            eprintln!("{line}");
        }
        inner.lines.push(line);
    }

    /// A checker cries.
    pub fn fail(&self, checker: &str, what: &str) {
        self.line("", &format!("FAILED {checker}: {what}"));
        self.lock().failures.push(format!("{checker}: {what}"));
    }

    pub fn failures(&self) -> Vec<String> {
        self.lock().failures.clone()
    }

    pub fn has_failed(&self) -> bool {
        !self.lock().failures.is_empty()
    }

    pub fn hash(&self) -> u64 {
        self.lock().hash
    }

    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("the trace")
    }
}
