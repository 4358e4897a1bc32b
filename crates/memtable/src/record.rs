//! The record of one write, as it lies in the arena.
//!
//! ```text
//! offset size  field
//!      0    8  sequence number
//!      8    4  position of the record before it in its chain (0: none)
//!     12    4  length of the key; the highest bit: a tombstone; the one below it: the value expires
//!     16    4  length of the value
//!     20    …  key, then value, then 8 bytes: the time at which it expires, if it does; then up to 7 bytes that mean nothing
//! ```
//!
//! A chain holds all records whose keys share the 32 bits of hash that the index keeps, newest first; nearly always they
//! are the versions of one key. Records are bytes in memory, not a format: nobody else ever sees them.
//!
//! This file knows the fields, not where records lie or who may read them.

use crate::entry::{Entry, Found};

pub(crate) const HEADER_LEN: usize = 20;

const TOMBSTONE: u32 = 1 << 31;
const EXPIRING: u32 = 1 << 30;

/// Bytes of the time at which a value expires.
pub(crate) const EXPIRY_LEN: usize = 8;

/// Longest key and longest value.
const MAX_KEY_LEN: usize = EXPIRING as usize - 1;
const MAX_VALUE_LEN: usize = u32::MAX as usize;

/// The header, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) seq: u64,
    /// Position of the record before it, as the arena encodes positions.
    pub(crate) before: u32,
    pub(crate) key_len: u32,
    pub(crate) value_len: u32,
    pub(crate) kind: Kind,
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Value,
    Expiring,
    Tombstone,
}

impl Header {
    /// # Panics
    /// If the key has 1 GiB, or the value more than 4 GiB.
    pub(crate) fn new(key: &[u8], seq: u64, entry: Entry<'_>, before: u32) -> Self {
        let value_len = entry.value().map_or(0, <[u8]>::len);
        assert!(key.len() <= MAX_KEY_LEN, "a key of {} bytes: at most {MAX_KEY_LEN}", key.len());
        assert!(value_len <= MAX_VALUE_LEN, "a value of {value_len} bytes: at most {MAX_VALUE_LEN}");
        let kind = match entry {
            Entry::Value(_) => Kind::Value,
            Entry::Expiring(..) => Kind::Expiring,
            Entry::Tombstone => Kind::Tombstone,
        };
        Self { seq, before, key_len: key.len() as u32, value_len: value_len as u32, kind }
    }

    /// Bytes of the record, without what follows it up to the next one.
    pub(crate) fn record_len(&self) -> usize {
        HEADER_LEN + self.body_len()
    }

    /// Bytes of what follows the header.
    #[inline]
    pub(crate) fn body_len(&self) -> usize {
        let expiry = if self.kind == Kind::Expiring { EXPIRY_LEN } else { 0 };
        self.key_len as usize + self.value_len as usize + expiry
    }

    #[inline]
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(&self.seq.to_le_bytes());
        out[8..12].copy_from_slice(&self.before.to_le_bytes());
        let kind = match self.kind {
            Kind::Value => 0,
            Kind::Expiring => EXPIRING,
            Kind::Tombstone => TOMBSTONE,
        };
        out[12..16].copy_from_slice(&(self.key_len | kind).to_le_bytes());
        out[16..].copy_from_slice(&self.value_len.to_le_bytes());
        out
    }

    #[inline]
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let key = word(12);
        Self {
            seq: u64::from(word(0)) | u64::from(word(4)) << 32,
            before: word(8),
            key_len: key & !(TOMBSTONE | EXPIRING),
            value_len: word(16),
            kind: match key & (TOMBSTONE | EXPIRING) {
                0 => Kind::Value,
                EXPIRING => Kind::Expiring,
                _ => Kind::Tombstone,
            },
        }
    }
}

/// A record, borrowed from the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) header: Header,
    /// Key, value, and when that expires, if it does.
    pub(crate) body: &'a [u8],
}

impl<'a> Record<'a> {
    #[inline]
    pub(crate) fn key(&self) -> &'a [u8] {
        &self.body[..self.header.key_len as usize]
    }

    #[inline]
    pub(crate) fn entry(&self) -> Entry<'a> {
        let rest = &self.body[self.header.key_len as usize..];
        match self.header.kind {
            Kind::Value => Entry::Value(rest),
            Kind::Expiring => {
                let (value, at) = rest.split_last_chunk::<EXPIRY_LEN>().expect("as long as its header says");
                Entry::Expiring(value, u64::from_le_bytes(*at))
            }
            Kind::Tombstone => Entry::Tombstone,
        }
    }

    #[inline]
    pub(crate) fn found(&self) -> Found<'a> {
        Found { seq: self.header.seq, entry: self.entry() }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &[u8], seq: u64, entry: Entry<'_>, before: u32, len: usize) {
        let header = Header::new(key, seq, entry, before);
        assert_eq!(Header::decode(&header.encode()), header);
        assert_eq!(header.record_len(), len);
    }

    #[test]
    fn a_header_reads_back_as_it_was_written() {
        check(b"key", 7, Entry::Value(b"value"), 9, 28);
        check(b"", u64::MAX, Entry::Value(b""), u32::MAX, 20);
        check(b"k", 0x0102_0304_0506_0708, Entry::Tombstone, 0, 21);
        check(b"key", 7, Entry::Expiring(b"value", 9), 9, 36);
    }
}
