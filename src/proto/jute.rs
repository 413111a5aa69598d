//! Jute, Hadoop's old record format: big-endian integers, and a length before strings, buffers and vectors.
//!
//! A length of -1 is "null". Where Java would fail with a null pointer on such a value, the type here is a
//! plain `Cow<str>` or `Vec` and decoding fails with [`Malformed`]; where Java lives with it, the type is an
//! `Option`. (jute/BinaryInputArchive, jute/BinaryOutputArchive)

use std::borrow::Cow;

use byteorder::{BigEndian, ByteOrder};
use thiserror::Error;

/// Why bytes are not the record they should be, and at which offset of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Fewer bytes are left than the field takes.
    #[error("the record ends at byte {offset}, where {wanted} more bytes are due")]
    Short {
        /// Where the field begins.
        offset: usize,
        /// How many bytes it takes.
        wanted: usize,
    },
    /// A string or buffer with a negative length other than null.
    #[error("unreasonable length = {length} at byte {offset}")]
    Length {
        /// Where the length stands.
        offset: usize,
        /// The length as read.
        length: i32,
    },
    /// A null where a value is due.
    #[error("a null at byte {offset}, where a value is due")]
    Null {
        /// Where the length stands.
        offset: usize,
    },
    /// A number that names nothing, such as an unknown transaction type.
    #[error("{what} {value} at byte {offset} is not known")]
    Unknown {
        /// What the number should name.
        what: &'static str,
        /// The number.
        value: i64,
        /// Where it stands.
        offset: usize,
    },
}

/// A value that can be written as jute.
pub trait Encode {
    /// Appends the value to `out`.
    fn encode(&self, out: &mut Vec<u8>);

    /// The value alone, in a buffer of its own.
    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

/// A value that can be read from jute, borrowing strings and buffers from the input where it can.
pub trait Decode<'a>: Sized {
    /// Reads one value and moves the reader behind it.
    ///
    /// # Errors
    /// [`Malformed`], with the offset at which the input stopped making sense.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed>;

    /// Reads one value from the beginning of `bytes`. Bytes behind it are ignored, as Java does.
    ///
    /// # Errors
    /// As [`Decode::decode`].
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::decode(&mut Reader::new(bytes))
    }
}

/// A cursor over bytes that checks every bound.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, offset: 0 }
    }

    /// How many bytes have been read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// The bytes that are left, without reading them.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.offset..]
    }

    /// Takes the next `count` bytes.
    ///
    /// # Errors
    /// [`Malformed::Short`] if fewer are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let short = Malformed::Short {
            offset: self.offset,
            wanted: count,
        };
        let taken = self.rest().get(..count).ok_or(short)?;
        self.offset += count;
        Ok(taken)
    }

    /// The string at the cursor, if what stands there looks like one: a guess for log lines. (Request.toString)
    pub fn string_prefix(&self) -> Option<Cow<'a, str>> {
        let bytes = <&[u8]>::decode(&mut self.clone()).ok()?;
        (bytes.len() < LONGEST_GUESS).then(|| String::from_utf8_lossy(bytes))
    }

    /// A length, or `None` for null.
    fn length(&mut self) -> Result<Option<usize>, Malformed> {
        let offset = self.offset;
        match i32::decode(self)? {
            -1 => Ok(None),
            length => usize::try_from(length)
                .map(Some)
                .map_err(|_| Malformed::Length { offset, length }),
        }
    }

    /// The length of a vector, or `None` for null. Java takes other negative counts as empty (jute/Index).
    fn count(&mut self) -> Result<Option<usize>, Malformed> {
        match i32::decode(self)? {
            -1 => Ok(None),
            count => Ok(Some(usize::try_from(count).unwrap_or(0))),
        }
    }
}

/// Declares a record: the struct, its [`Encode`] and its [`Decode`], from one list of fields.
macro_rules! record {
    ($(#[$meta:meta])* pub struct $name:ident<$lt:lifetime> {
        $($(#[$fmeta:meta])* pub $field:ident: $ty:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name<$lt> { $($(#[$fmeta])* pub $field: $ty,)* }

        record!(@encode [impl $crate::proto::jute::Encode for $name<'_>] $($field)*);

        impl<$lt> $crate::proto::jute::Decode<$lt> for $name<$lt> {
            fn decode(
                reader: &mut $crate::proto::jute::Reader<$lt>,
            ) -> Result<Self, $crate::proto::jute::Malformed> {
                Ok($name { $($field: $crate::proto::jute::Decode::decode(reader)?,)* })
            }
        }
    };
    ($(#[$meta:meta])* pub struct $name:ident {
        $($(#[$fmeta:meta])* pub $field:ident: $ty:ty,)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        record!(@encode [impl $crate::proto::jute::Encode for $name] $($field)*);

        impl<'a> $crate::proto::jute::Decode<'a> for $name {
            fn decode(
                reader: &mut $crate::proto::jute::Reader<'a>,
            ) -> Result<Self, $crate::proto::jute::Malformed> {
                Ok($name { $($field: $crate::proto::jute::Decode::decode(reader)?,)* })
            }
        }
    };
    (@encode [$($head:tt)*] $($field:ident)*) => {
        $($head)* {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::proto::jute::Encode::encode(&self.$field, out);)*
            }
        }
    };
}

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Decode<'_> for bool {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(reader.take(1)?[0] != 0)
    }
}

impl Encode for i32 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Decode<'_> for i32 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(BigEndian::read_i32(reader.take(4)?))
    }
}

impl Encode for i64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }
}

impl Decode<'_> for i64 {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(BigEndian::read_i64(reader.take(8)?))
    }
}

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_bytes().encode(out);
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }
}

impl Encode for Cow<'_, str> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_ref().encode(out);
    }
}

/// Invalid UTF-8 becomes U+FFFD, as in Java's decoder.
impl<'a> Decode<'a> for Cow<'a, str> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(String::from_utf8_lossy(Decode::decode(reader)?))
    }
}

impl Decode<'_> for String {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Cow::<str>::decode(reader)?.into_owned())
    }
}

/// A string that may be null.
impl<'a> Decode<'a> for Option<Cow<'a, str>> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(Option::<&[u8]>::decode(reader)?.map(String::from_utf8_lossy))
    }
}

impl Encode for Option<Cow<'_, str>> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_ref().map(|text| text.as_bytes()).encode(out);
    }
}

impl Encode for [u8] {
    fn encode(&self, out: &mut Vec<u8>) {
        // A frame, hence any buffer in it, is far below 2 GiB; the cast cannot cut.
        (self.len() as i32).encode(out);
        out.extend_from_slice(self);
    }
}

impl<'a> Decode<'a> for &'a [u8] {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let offset = reader.offset();
        Option::<&[u8]>::decode(reader)?.ok_or(Malformed::Null { offset })
    }
}

impl Encode for &[u8] {
    fn encode(&self, out: &mut Vec<u8>) {
        (**self).encode(out);
    }
}

/// A buffer that may be null.
impl<'a> Decode<'a> for Option<&'a [u8]> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let length = reader.length()?;
        length.map(|length| reader.take(length)).transpose()
    }
}

/// A buffer that may be borrowed or owned.
impl<'a> Decode<'a> for Cow<'a, [u8]> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        <&[u8]>::decode(reader).map(Cow::Borrowed)
    }
}

impl Encode for Cow<'_, [u8]> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_ref().encode(out);
    }
}

impl Encode for Option<&[u8]> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(bytes) => bytes.encode(out),
            None => (-1).encode(out),
        }
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as i32).encode(out);
        self.iter().for_each(|item| item.encode(out));
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }
}

impl<T: Encode> Encode for Option<Vec<T>> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Some(items) => items.encode(out),
            None => (-1).encode(out),
        }
    }
}

/// A vector that must not be null.
impl<'a, T: Decode<'a>> Decode<'a> for Vec<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let offset = reader.offset();
        Option::<Vec<T>>::decode(reader)?.ok_or(Malformed::Null { offset })
    }
}

/// A vector that may be null.
impl<'a, T: Decode<'a>> Decode<'a> for Option<Vec<T>> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let Some(count) = reader.count()? else {
            return Ok(None);
        };
        // Every element takes a byte at least: what is left of the input bounds what is reserved.
        let mut items = Vec::with_capacity(count.min(reader.remaining() / 4));
        for _ in 0..count {
            items.push(T::decode(reader)?);
        }
        Ok(Some(items))
    }
}

/// Longer strings are not taken for paths in log lines.
const LONGEST_GUESS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    record! {
        /// All kinds of fields.
        pub struct Sample<'a> {
            /// A string.
            pub name: Cow<'a, str>,
            /// A buffer.
            pub data: Option<&'a [u8]>,
            /// A vector.
            pub items: Vec<i32>,
            /// A flag.
            pub flag: bool,
            /// A long.
            pub long: i64,
        }
    }

    fn sample() -> Sample<'static> {
        Sample {
            name: "näme".into(),
            data: Some(b"xyz"),
            items: vec![1, -2],
            flag: true,
            long: -3,
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        let bytes = sample().to_bytes();
        assert_eq!(Sample::from_bytes(&bytes), Ok(sample()));
        assert_eq!(&bytes[..4], [0, 0, 0, 5]);
    }

    #[test]
    fn every_cut_is_an_error_with_its_offset() {
        let bytes = sample().to_bytes();
        for cut in 0..bytes.len() {
            let error = Sample::from_bytes(&bytes[..cut]).expect_err("a cut record");
            assert!(matches!(error, Malformed::Short { offset, .. } if offset <= cut));
        }
    }

    #[test]
    fn nulls_are_told_from_values() {
        let null = (-1i32).to_bytes();
        assert_eq!(Option::<&[u8]>::from_bytes(&null), Ok(None));
        assert_eq!(Option::<Vec<i32>>::from_bytes(&null), Ok(None));
        assert_eq!(<&[u8]>::from_bytes(&null), Err(Malformed::Null { offset: 0 }));
        assert_eq!(Vec::<i32>::from_bytes(&null), Err(Malformed::Null { offset: 0 }));
        assert_eq!(Cow::<str>::from_bytes(&null), Err(Malformed::Null { offset: 0 }));
    }

    #[test]
    fn a_huge_length_or_count_allocates_nothing() {
        let huge = i32::MAX.to_bytes();
        assert!(matches!(<&[u8]>::from_bytes(&huge), Err(Malformed::Short { .. })));
        assert!(matches!(
            Vec::<i64>::from_bytes(&huge),
            Err(Malformed::Short { .. })
        ));
        assert!(matches!(
            <&[u8]>::from_bytes(&(-2).to_bytes()),
            Err(Malformed::Length { length: -2, .. })
        ));
        assert_eq!(Vec::<i64>::from_bytes(&(-2).to_bytes()), Ok(vec![]));
    }

    #[test]
    fn invalid_text_is_replaced_as_java_does() {
        let bytes = b"\xff/a".as_slice().to_bytes();
        assert_eq!(Cow::<str>::from_bytes(&bytes).as_deref(), Ok("\u{fffd}/a"));
    }
}
