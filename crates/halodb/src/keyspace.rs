//! Where keys of a keyspace lie in the engine's order: every key of the user is stored behind a short id.
//!
//! ```text
//! offset  bytes  field
//!      0      1  id        0x00 reserved for the catalogue, 0x01 the default keyspace, 0x02..=0x7f for named ones,
//!                          0x80..=0xff reserved for the first byte of longer ids
//!      1    1..  key       the user's bytes, as they are
//! ```
//!
//! The encoding keeps the order of keys within a keyspace, and no id is a prefix of another one, so that a keyspace is
//! one contiguous range `[id, id + 1)` and its `len` is a count of that range. The id is part of what the engine hashes
//! for routing.
//!
//! This file owns the limits of keys and values. It does *not* know names of keyspaces; the catalogue that maps names
//! to ids does not exist yet, only its place.

use crate::short::Short;
use crate::{Error, ErrorKind, Result};

/// Length of an id in front of a key.
pub(crate) const PREFIX_LEN: usize = 1;

/// Bytes that a key may have without its encoded form being allocated.
const INLINE_LEN: usize = 127;

/// Longest value in bytes: 1 GiB.
pub(crate) const MAX_VALUE_LEN: usize = 1 << 30;

/// A keyspace, and how long its keys may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keyspace {
    id: u8,
    /// Longest key in bytes, without the id: a quarter of a page.
    max_key: usize,
}

/// A key with its keyspace's id in front, on the stack unless it is long.
#[derive(Debug)]
pub(crate) enum EncodedKey {
    Inline { len: u8, bytes: [u8; PREFIX_LEN + INLINE_LEN] },
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

impl Keyspace {
    /// The id of the keyspace that a `Db` is.
    const DEFAULT_ID: u8 = 0x01;

    /// The default keyspace of a database with this page size.
    pub(crate) fn default_of(page_size: u32) -> Self {
        Keyspace { id: Self::DEFAULT_ID, max_key: page_size as usize / 4 }
    }

    /// Longest key in bytes.
    pub(crate) fn max_key(self) -> usize {
        self.max_key
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
    /// As [`Keyspace::stored`].
    pub(crate) fn encode(self, key: &[u8]) -> Result<EncodedKey> {
        self.check(key)?;
        Ok(if key.len() <= INLINE_LEN {
            let mut bytes = [0; PREFIX_LEN + INLINE_LEN];
            bytes[0] = self.id;
            bytes[PREFIX_LEN..PREFIX_LEN + key.len()].copy_from_slice(key);
            EncodedKey::Inline { len: (PREFIX_LEN + key.len()) as u8, bytes }
        } else {
            EncodedKey::Heap(self.join(key).to_vec())
        })
    }

    fn check(self, key: &[u8]) -> Result<()> {
        if key.is_empty() {
            let limit = self.max_key;
            return Err(invalid(format!("the key is empty; a key has 1 to {limit} bytes")));
        }
        if key.len() > self.max_key {
            let (len, limit) = (key.len(), self.max_key);
            return Err(invalid(format!("the key has {len} bytes; the limit is {limit}, a quarter of a page")));
        }
        Ok(())
    }

    /// The user's part of a stored key.
    pub(crate) fn decode(self, stored: &[u8]) -> &[u8] {
        stored.get(PREFIX_LEN..).unwrap_or_default()
    }

    /// The id and any bytes behind it, without a check: for bounds of ranges.
    pub(crate) fn join(self, bytes: &[u8]) -> Short {
        Short::joined(self.id, bytes)
    }

    /// First stored key that can belong to this keyspace.
    pub(crate) fn start(self) -> Short {
        Short::joined(self.id, &[])
    }

    /// First stored key after this keyspace. Ids end at 0x7f, so there always is one.
    pub(crate) fn end(self) -> Short {
        Short::joined(self.id + 1, &[])
    }
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

    fn space() -> Keyspace {
        Keyspace::default_of(16384)
    }

    #[test]
    fn a_key_of_any_legal_length_comes_back_as_it_was() {
        for len in [1, 2, 126, 127, 128, 129, 4095, 4096] {
            let key = vec![0xff; len];
            let encoded = space().encode(&key).expect("legal");
            assert_eq!(encoded.as_bytes().len(), len + PREFIX_LEN);
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
            let error = Keyspace::default_of(page_size).encode(&vec![0; len]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.to_string(), expected);
        }
    }

    proptest! {
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
