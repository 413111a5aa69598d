//! How a transaction log is spelt. (FileTxnLog)
//!
//! ```text
//! file   = "ZKLG" | version 2: i32 | database 0: i64 | entry* | zeros
//! entry  = Adler-32 of the bytes: i64 | length: i32 | bytes | 'B'
//! bytes  = header of the transaction (32 bytes) | its record
//! ```
//!
//! The zeros are room for more entries. A log has no end mark: it ends where an entry would have to begin and
//! zeros, or nothing, stand there.

use simd_adler32::adler32;

/// What every log begins with.
pub(super) const FILE_HEADER: [u8; 16] = *b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";
/// How much of it Java compares.
pub(super) const MAGIC_BYTES: usize = 4;
/// What stands before an entry's bytes.
pub(super) const ENTRY_HEAD_BYTES: usize = 12;
/// What stands behind them.
pub(super) const END_MARK: u8 = b'B';
/// The shortest transaction: a header alone.
pub(super) const SHORTEST_TXN_BYTES: usize = 32;

/// Appends a transaction's bytes, framed.
pub(super) fn put_entry(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&i64::from(adler32(&bytes)).to_be_bytes());
    // A transaction is bounded by the frames of its request, far below 2 GiB; the cast cannot cut.
    out.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
    out.extend_from_slice(bytes);
    out.push(END_MARK);
}

/// Whether a transaction's bytes are those that the checksum was made of.
pub(super) fn is_sum_of(checksum: i64, bytes: &[u8]) -> bool {
    checksum == i64::from(adler32(&bytes))
}
