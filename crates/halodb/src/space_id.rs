//! [`SpaceId`]: where the keys of a keyspace lie in the engine's order. Every key of the user is stored behind a short id.
//!
//! ```text
//! stored key := id  user's bytes, as they are (1 to a quarter of a page)
//!
//! number                    id                                               bytes
//!                      0    00                                               1   the catalogue (`catalogue.rs`)
//!                      1    01                                               1   the default keyspace
//!                2 … 127    02 … 7f                                          1   named keyspaces
//!           128 … 16,511    10xxxxxx xxxxxxxx              number - 128      2
//!  16,512 … 536,887,423     110xxxxx xxxxxxxx xxxxxxxx xxxxxxxx  - 16,512    4
//!                           first byte e0 … ff: kept free
//! ```
//!
//! Bits of a number stand from the highest to the lowest, so ids lie in the order of their numbers. The first byte says how
//! long an id is, so no id is a prefix of another one, and a keyspace is one contiguous range whose count is its `len`.
//! The id is part of what the engine hashes for routing.
//!
//! This file owns the limits of keys and values. It does *not* know names of keyspaces; `catalogue.rs` does.

use crate::short::Short;
use crate::{Error, ErrorKind, Result};

/// Bytes of the longest id.
const MAX_ID_LEN: usize = 4;

/// Bytes that a stored key may have without being allocated.
const INLINE_LEN: usize = 128;

/// First number with an id of two bytes.
const TWO_BYTES: u32 = 0x80;

/// First number with an id of four bytes.
const FOUR_BYTES: u32 = TWO_BYTES + (1 << 14);

/// Greatest number of a keyspace.
pub(crate) const MAX_NUMBER: u32 = FOUR_BYTES + (1 << 29) - 1;

/// Longest value in bytes: 1 GiB.
pub(crate) const MAX_VALUE_LEN: usize = 1 << 30;

/// The id of a keyspace, and how long its keys may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpaceId {
    /// The id, and zeros behind it.
    bytes: [u8; MAX_ID_LEN],
    len: u8,
    /// Longest key in bytes, without the id: a quarter of a page.
    max_key: u16,
}

/// A key with its keyspace's id in front, on the stack unless it is long.
#[derive(Debug)]
pub(crate) enum EncodedKey {
    Inline { len: u8, bytes: [u8; INLINE_LEN] },
    Heap(Vec<u8>),
}

impl EncodedKey {
    /// The bytes that the engine stores.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            EncodedKey::Inline { len, bytes } => &bytes[..usize::from(*len)],
            EncodedKey::Heap(bytes) => bytes,
        }
    }
}

impl SpaceId {
    /// Number of the catalogue.
    pub(crate) const CATALOGUE: u32 = 0;

    /// Number of the keyspace that a `Db` is.
    pub(crate) const DEFAULT: u32 = 1;

    /// The id with this number, at most [`MAX_NUMBER`], in a database with this page size.
    pub(crate) fn new(number: u32, page_size: u32) -> Self {
        let (bytes, len) = match number {
            0..TWO_BYTES => ([number as u8, 0, 0, 0], 1),
            TWO_BYTES..FOUR_BYTES => {
                let [_, _, high, low] = high_first(number - TWO_BYTES);
                ([0x80 | high, low, 0, 0], 2)
            }
            FOUR_BYTES.. => {
                let mut bytes = high_first(number.min(MAX_NUMBER) - FOUR_BYTES);
                bytes[0] |= 0xc0;
                (bytes, 4)
            }
        };
        SpaceId { bytes, len, max_key: (page_size / 4) as u16 }
    }

    /// The id of another keyspace of the same database.
    pub(crate) fn sibling(self, number: u32) -> Self {
        Self::new(number, u32::from(self.max_key) * 4)
    }

    /// The bytes in front of each key.
    pub(crate) fn prefix(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Longest key in bytes.
    pub(crate) fn max_key(self) -> usize {
        usize::from(self.max_key)
    }

    /// The stored form of a key, small enough to be one of many.
    ///
    /// # Errors
    /// `InvalidInput` for an empty key and for one above the limit.
    pub(crate) fn stored(self, key: &[u8]) -> Result<Short> {
        self.check(key)?;
        Ok(self.join(key))
    }

    /// The stored form of a key.
    ///
    /// # Errors
    /// As [`SpaceId::stored`].
    pub(crate) fn encode(self, key: &[u8]) -> Result<EncodedKey> {
        self.check(key)?;
        let start = usize::from(self.len);
        let len = start + key.len();
        Ok(if len <= INLINE_LEN {
            let mut bytes = [0; INLINE_LEN];
            // A length known to the compiler; what is too much of it the key overwrites.
            bytes[..MAX_ID_LEN].copy_from_slice(&self.bytes);
            bytes[start..len].copy_from_slice(key);
            EncodedKey::Inline { len: len as u8, bytes }
        } else {
            EncodedKey::Heap(self.join(key).to_vec())
        })
    }

    fn check(self, key: &[u8]) -> Result<()> {
        if key.is_empty() {
            let limit = self.max_key;
            return Err(invalid(format!("the key is empty; a key has 1 to {limit} bytes")));
        }
        if key.len() > self.max_key() {
            let (len, limit) = (key.len(), self.max_key);
            return Err(invalid(format!("the key has {len} bytes; the limit is {limit}, a quarter of a page")));
        }
        Ok(())
    }

    /// The user's part of a stored key.
    #[inline]
    pub(crate) fn decode(self, stored: &[u8]) -> &[u8] {
        stored.get(usize::from(self.len)..).unwrap_or_default()
    }

    /// The id and any bytes behind it, without a check: for bounds of ranges.
    pub(crate) fn join(self, bytes: &[u8]) -> Short {
        Short::joined(self.prefix(), bytes)
    }

    /// First stored key that can belong to this keyspace.
    pub(crate) fn start(self) -> Short {
        Short::from(self.prefix())
    }

    /// First stored key after this keyspace. No id begins with 0xff, so there always is one.
    pub(crate) fn end(self) -> Short {
        successor(self.prefix())
    }
}

/// The bytes of a number from the highest to the lowest: they order as the numbers do.
fn high_first(number: u32) -> [u8; 4] {
    number.swap_bytes().to_le_bytes()
}

/// The first byte string after all those that start with `prefix`, whose first byte is that of an id and therefore never
/// 0xff: trailing 0xff are cut, the last byte that is left is counted up.
pub(crate) fn successor(prefix: &[u8]) -> Short {
    let mut end = prefix.to_vec();
    while end.len() > 1 && end.last() == Some(&0xff) {
        end.pop();
    }
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    Short::from(&end[..])
}

/// Checks a value's length.
///
/// # Errors
/// `InvalidInput` above 1 GiB.
pub(crate) fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > MAX_VALUE_LEN {
        return Err(invalid(format!("the value has {} bytes; the limit is {MAX_VALUE_LEN}", value.len())));
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn space() -> SpaceId {
        SpaceId::new(SpaceId::DEFAULT, 16384)
    }

    /// Numbers of ids of all lengths, and their neighbours.
    fn number() -> impl Strategy<Value = u32> {
        prop_oneof![0..600u32, FOUR_BYTES - 300..FOUR_BYTES + 600, MAX_NUMBER - 9..=MAX_NUMBER, 0..=MAX_NUMBER]
    }

    #[test]
    fn a_key_of_any_legal_length_comes_back_as_it_was() {
        for len in [1, 2, 126, 127, 128, 129, 4095, 4096] {
            let key = vec![0xff; len];
            let encoded = space().encode(&key).expect("legal");
            assert_eq!(encoded.as_bytes().len(), len + 1);
            assert_eq!(encoded.as_bytes()[0], 0x01);
            assert_eq!(space().decode(encoded.as_bytes()), key);
        }
    }

    #[test]
    fn ordinary_keys_stay_on_the_stack() {
        assert!(matches!(space().encode(&[7; 127]), Ok(EncodedKey::Inline { len: 128, .. })));
        assert!(matches!(space().encode(&[7; 128]), Ok(EncodedKey::Heap(_))));
    }

    #[test]
    fn lengths_outside_the_limits_are_named() {
        for (page_size, len, expected) in [
            (16384, 0, "the key is empty; a key has 1 to 4096 bytes"),
            (16384, 4097, "the key has 4097 bytes; the limit is 4096, a quarter of a page"),
            (4096, 1025, "the key has 1025 bytes; the limit is 1024, a quarter of a page"),
        ] {
            let error = SpaceId::new(SpaceId::DEFAULT, page_size).encode(&vec![0; len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn ids_have_the_bytes_that_their_numbers_say() {
        for (number, bytes, end) in [
            (0, &[0x00][..], &[0x01][..]),
            (127, &[0x7f], &[0x80]),
            (128, &[0x80, 0x00], &[0x80, 0x01]),
            (383, &[0x80, 0xff], &[0x81]),
            (16_511, &[0xbf, 0xff], &[0xc0]),
            (16_512, &[0xc0, 0, 0, 0], &[0xc0, 0, 0, 1]),
            (MAX_NUMBER, &[0xdf, 0xff, 0xff, 0xff], &[0xe0]),
        ] {
            let id = SpaceId::new(number, 4096);
            assert_eq!((&id.start()[..], &id.end()[..]), (bytes, end), "{number}");
        }
    }

    #[test]
    fn a_long_id_leaves_room_for_the_longest_key() {
        let id = SpaceId::new(MAX_NUMBER, 4096);
        for len in [1, 123, 124, 125, 1024] {
            let key = vec![7; len];
            let encoded = id.encode(&key).expect("legal");
            assert_eq!(encoded.as_bytes(), [&[0xdf, 0xff, 0xff, 0xff][..], &key].concat());
            assert_eq!(id.decode(encoded.as_bytes()), key);
            assert!(encoded.as_bytes().len() <= halodb_btree::max_key_len(4096));
        }
    }

    proptest! {
        #[test]
        fn keyspaces_lie_in_the_order_of_their_numbers_and_never_inside_each_other(
            a in number(),
            b in number(),
            key in proptest::collection::vec(any::<u8>(), 1..9),
        ) {
            let (x, y) = (SpaceId::new(a, 4096), SpaceId::new(b, 4096));
            let stored = x.join(&key);
            prop_assert!(stored[..] > x.start()[..] && stored[..] < x.end()[..]);
            prop_assert_eq!(a.cmp(&b), x.start()[..].cmp(&y.start()[..]));
            prop_assert_eq!(a == b, stored[..] >= y.start()[..] && stored[..] < y.end()[..]);
        }

        #[test]
        fn encoding_keeps_the_order_and_stays_inside_the_keyspace(
            a in proptest::collection::vec(any::<u8>(), 1..300),
            b in proptest::collection::vec(any::<u8>(), 1..300),
        ) {
            let (ea, eb) = (space().encode(&a).unwrap(), space().encode(&b).unwrap());
            prop_assert_eq!(a.cmp(&b), ea.as_bytes().cmp(eb.as_bytes()));
            prop_assert!(ea.as_bytes() > &space().start()[..] && ea.as_bytes() < &space().end()[..]);
        }
    }
}
