//! What is to be written to a connection.

/// Bytes that wait to be written. While it is in use it keeps its memory; see [`Outbox::cool`].
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    frames: u64,
}

impl Outbox {
    /// The bytes not yet written.
    pub fn unsent(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// How much memory it holds.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Whether all is written.
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Adds one frame, encoded already.
    pub fn push(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.bytes.extend_from_slice(frame);
    }

    /// Adds one frame that `write` appends.
    pub fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.frames += 1;
        write(&mut self.bytes);
    }

    /// Gives the memory of an empty box back: its connection is idle.
    pub fn cool(&mut self) {
        if self.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// The socket has taken `count` bytes. Gives the number of frames that are written completely by now;
    /// they are counted when the last of them is, for a write rarely ends in the middle.
    pub fn advance(&mut self, count: usize) -> u64 {
        self.written = (self.written + count).min(self.bytes.len());
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
            if self.bytes.capacity() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
            return std::mem::take(&mut self.frames);
        }
        if self.written > COMPACT_BYTES && self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        0
    }
}

/// A buffer up to this size is kept when it is empty: the answers to some dozen pipelined reads.
const KEPT_BYTES: usize = 128 * 1024;
/// So many written bytes are worth a move of those behind them.
const COMPACT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_whatever_the_socket_takes() {
        let mut outbox = Outbox::default();
        let mut taken = Vec::new();
        let mut expected = Vec::new();
        let mut frames = 0;
        for number in 0..3_000u32 {
            let frame = vec![number as u8; 100];
            expected.extend_from_slice(&frame);
            outbox.push(&frame);
            let count = (number as usize * 31) % 200;
            let part = &outbox.unsent()[..count.min(outbox.unsent().len())];
            taken.extend_from_slice(part);
            let count = part.len();
            frames += outbox.advance(count);
        }
        taken.extend_from_slice(outbox.unsent());
        frames += outbox.advance(outbox.unsent().len());
        assert_eq!((taken == expected, frames), (true, 3_000));
        outbox.cool();
        assert!(outbox.is_empty() && outbox.bytes.capacity() == 0);
    }

    #[test]
    fn a_buffer_that_never_runs_dry_does_not_grow() {
        let mut outbox = Outbox::default();
        outbox.push(&[0; 1_000]);
        for _ in 0..10_000 {
            outbox.push(&[0; 1_000]);
            outbox.advance(1_000);
        }
        assert_eq!(outbox.unsent().len(), 1_000);
        assert!(outbox.bytes.capacity() < 8 * COMPACT_BYTES);
    }
}
