//! Answers as they stream in, of which only the headers are looked at: the load generator must not be what
//! it measures.

use crate::proto::responses::ReplyHeader;
use crate::proto::{Decode, Malformed};

/// Cuts a stream of answers into headers. Bodies are skipped without being copied.
#[derive(Debug, Default)]
pub struct Replies {
    head: Vec<u8>,
    skip_bytes: usize,
}

impl Replies {
    /// Takes the next bytes of the stream, and calls `on_reply` with each header among them.
    ///
    /// # Errors
    /// [`Malformed`] if a frame is too short for a header.
    pub fn feed(&mut self, mut bytes: &[u8], mut on_reply: impl FnMut(ReplyHeader)) -> Result<(), Malformed> {
        loop {
            let skipped = self.skip_bytes.min(bytes.len());
            self.skip_bytes -= skipped;
            bytes = &bytes[skipped..];
            let Some(header) = self.next_header(&mut bytes)? else {
                return Ok(());
            };
            on_reply(header);
        }
    }

    /// A header that stands whole in `bytes` is read in place; one that is cut waits in `head`.
    fn next_header(&mut self, bytes: &mut &[u8]) -> Result<Option<ReplyHeader>, Malformed> {
        if self.head.is_empty() && bytes.len() >= HEAD_BYTES {
            let (head, rest) = bytes.split_at(HEAD_BYTES);
            *bytes = rest;
            return self.read_header(head).map(Some);
        }
        let (more, rest) = bytes.split_at((HEAD_BYTES - self.head.len()).min(bytes.len()));
        *bytes = rest;
        self.head.extend_from_slice(more);
        if self.head.len() < HEAD_BYTES {
            return Ok(None);
        }
        let head = std::mem::take(&mut self.head);
        self.read_header(&head).map(Some)
    }

    fn read_header(&mut self, head: &[u8]) -> Result<ReplyHeader, Malformed> {
        let length = i32::from_bytes(head)?;
        let body_bytes = usize::try_from(length)
            .ok()
            .and_then(|bytes| bytes.checked_sub(HEAD_BYTES - 4));
        self.skip_bytes = body_bytes.ok_or(Malformed::Length { offset: 0, length })?;
        ReplyHeader::from_bytes(&head[4..])
    }
}

/// A frame's length and an answer's header.
const HEAD_BYTES: usize = 4 + 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Encode, ErrorCode, Xid, Zxid};

    fn stream(bodies: &[usize]) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, &body_bytes) in bodies.iter().enumerate() {
            (16 + body_bytes as i32).encode(&mut out);
            let (xid, zxid, error) = (Xid(number as i32), Zxid(7), ErrorCode::NoNode);
            ReplyHeader { xid, zxid, error }.encode(&mut out);
            out.extend(std::iter::repeat_n(0xff, body_bytes));
        }
        out
    }

    #[test]
    fn headers_are_found_however_the_stream_is_cut() {
        let bytes = stream(&[0, 5, 300, 0, 1]);
        for chunk_bytes in 1..bytes.len() {
            let (mut replies, mut xids) = (Replies::default(), vec![]);
            for chunk in bytes.chunks(chunk_bytes) {
                let seen = replies.feed(chunk, |header| {
                    assert_eq!((header.zxid, header.error), (Zxid(7), ErrorCode::NoNode));
                    xids.push(header.xid.0);
                });
                assert_eq!(seen, Ok(()));
            }
            assert_eq!(xids, [0, 1, 2, 3, 4], "cut at {chunk_bytes}");
        }
    }

    #[test]
    fn a_frame_without_room_for_a_header_is_malformed() {
        let mut bytes = stream(&[0]);
        bytes[3] = 15;
        let seen = Replies::default().feed(&bytes, |_| {});
        assert_eq!(
            seen,
            Err(Malformed::Length {
                offset: 0,
                length: 15
            })
        );
    }
}
