//! [`Batch`]: the writes that one log record carries, and the payload format of a commit record.
//!
//! ```text
//! payload  := varint(number of range deletes) range*  varint(number of entries) entry*
//! range    := 0x03 varint(len) start  0x00                    [start, to the last key)
//!           | 0x03 varint(len) start  0x01 varint(len) end    [start, end)
//! entry    := 0x01 varint(len) key varint(len) value          put
//!           | 0x02 varint(len) key                            delete
//!           | 0x04 varint(len) key varint(len) value varint(ms)   put that expires at this time, above 0
//! ```
//!
//! Varints are little-endian base 128 (LEB128), at most ten bytes. Effects are absolute, so applying a record twice is
//! applying it once. Range deletes take effect before the entries, in whatever order they were added: adding one
//! removes the earlier entries of the batch that it covers. A batch that writes nothing states a time mark (`clock.rs`).
//!
//! What this file does not know: how payloads get into the log, and which partition a key belongs to.

use crate::few::Few;
use crate::{Error, Result};
use std::borrow::Cow;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;
const PUT_UNTIL: u8 = 4;

/// Room in front of the entries for what a payload without range deletes begins with: 0, and their number.
const HEAD: usize = 11;

/// Writes that apply whole or not at all.
///
/// Of several writes to one key the last one counts; a range delete covers what was added before it, and nothing that
/// is added after it.
///
/// ```
/// use halodb_partition::Batch;
/// let mut batch = Batch::new();
/// batch.put(b"a", b"1");
/// batch.delete(b"b");
/// assert_eq!(batch.len(), 2);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    ranges: Vec<u8>,
    range_count: usize,
    /// Empty, or [`HEAD`] bytes the last of which are the head of the payload, and the entries: so a payload that has entries
    /// only is here as it is written.
    entries: Vec<u8>,
    entry_count: usize,
    /// Whether an entry that expires was ever put into it.
    expires: bool,
}

/// One write of a batch, borrowed from its encoded form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets a key.
    Put(&'a [u8], &'a [u8]),
    /// Sets a key until a time, in milliseconds since the epoch, above 0.
    PutUntil(&'a [u8], &'a [u8], u64),
    /// Removes a key.
    Delete(&'a [u8]),
    /// Removes `[start, end)`; no end: everything from `start` on.
    DeleteRange(&'a [u8], Option<&'a [u8]>),
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key. Copies both; lengths are checked at the commit.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.begin(PUT, key.len() + value.len() + 12);
        put_bytes(&mut self.entries, key);
        put_bytes(&mut self.entries, value);
    }

    /// Begins an entry of `len` bytes, about.
    fn begin(&mut self, kind: u8, len: usize) {
        if self.entries.is_empty() {
            if self.entries.capacity() == 0 {
                self.entries = Vec::with_capacity(HEAD + len);
            }
            self.entries.extend_from_slice(&[0; HEAD]);
        }
        self.entries.reserve(len);
        self.entry_count += 1;
        let mut rest = self.entry_count;
        let number = HEAD - varint_len(self.entry_count);
        for byte in &mut self.entries[number..HEAD] {
            *byte = rest as u8 | 0x80;
            rest >>= 7;
        }
        self.entries[HEAD - 1] &= 0x7f;
        self.entries.push(kind);
    }

    /// The entries, encoded.
    fn body(&self) -> &[u8] {
        self.entries.get(HEAD..).unwrap_or_default()
    }

    /// Sets a key until a time, in milliseconds since the epoch; 0: for ever. From that time on the key is absent, for every
    /// reader and at once; a time that has come already makes it a deletion.
    pub fn put_until(&mut self, key: &[u8], value: &[u8], expires_at_ms: u64) {
        if expires_at_ms == 0 {
            return self.put(key, value);
        }
        self.begin(PUT_UNTIL, key.len() + value.len() + 20);
        put_bytes(&mut self.entries, key);
        put_bytes(&mut self.entries, value);
        put_varint(&mut self.entries, expires_at_ms);
        self.expires = true;
    }

    /// Whether it may hold an entry that expires.
    pub fn expires(&self) -> bool {
        self.expires
    }

    /// Removes a key, whether or not it is there. Costs an entry in log and memtable either way.
    pub fn delete(&mut self, key: &[u8]) {
        self.begin(DELETE, key.len() + 6);
        put_bytes(&mut self.entries, key);
    }

    /// Removes all keys in `[start, end)`, or from `start` on; an `end` not above `start` removes nothing.
    ///
    /// Cost: the length of the batch so far; at the commit one entry in each partition, however many keys there are. Until
    /// it is merged every read of a partition looks at each of its range deletes, so they should be few.
    pub fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) {
        let covers = |key: &[u8]| key >= start && end.is_none_or(|end| key < end);
        let earlier = std::mem::take(&mut self.entries);
        self.entry_count = 0;
        let mut decoder = Decoder { bytes: earlier.get(HEAD..).unwrap_or_default() };
        while !decoder.bytes.is_empty() {
            match decoder.op().expect("a batch holds what it encoded itself") {
                Op::Put(key, value) if !covers(key) => self.put(key, value),
                Op::PutUntil(key, value, at_ms) if !covers(key) => self.put_until(key, value, at_ms),
                Op::Delete(key) if !covers(key) => self.delete(key),
                _ => {}
            }
        }
        self.ranges.push(DELETE_RANGE);
        put_bytes(&mut self.ranges, start);
        match end {
            None => self.ranges.push(0),
            Some(end) => {
                self.ranges.push(1);
                put_bytes(&mut self.ranges, end);
            }
        }
        self.range_count += 1;
    }

    /// Adds a write.
    pub fn write(&mut self, op: &Op<'_>) {
        match *op {
            Op::Put(key, value) => self.put(key, value),
            Op::PutUntil(key, value, at_ms) => self.put_until(key, value, at_ms),
            Op::Delete(key) => self.delete(key),
            Op::DeleteRange(start, end) => self.delete_range(start, end),
        }
    }

    /// The number of writes in it.
    pub fn len(&self) -> usize {
        self.range_count + self.entry_count
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of its payload in the log.
    pub fn len_bytes(&self) -> usize {
        self.ranges.len() + self.body().len() + varint_len(self.range_count) + varint_len(self.entry_count)
    }

    /// The writes in the order in which they take effect.
    pub(crate) fn ops<'a>(&'a self) -> Few<Op<'a>> {
        let decoded = |decoder: &mut Decoder<'a>| decoder.op().expect("a batch holds what it encoded itself");
        if let (0, 1) = (self.range_count, self.entry_count) {
            return Few::One(decoded(&mut Decoder { bytes: self.body() }));
        }
        let mut ops = Vec::with_capacity(self.len());
        for bytes in [&self.ranges, self.body()] {
            let mut decoder = Decoder { bytes };
            while !decoder.bytes.is_empty() {
                ops.push(decoded(&mut decoder));
            }
        }
        Few::Many(ops)
    }

    /// Calls `each` for the writes in the order in which they take effect, without a list of them.
    pub(crate) fn each_op<E>(
        &self,
        mut each: impl FnMut(Op<'_>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        for bytes in [&self.ranges, self.body()] {
            let mut decoder = Decoder { bytes };
            while !decoder.bytes.is_empty() {
                each(decoder.op().expect("a batch holds what it encoded itself"))?;
            }
        }
        Ok(())
    }

    /// Takes everything out, and keeps the memory for more.
    pub(crate) fn clear(&mut self) {
        self.ranges.clear();
        self.entries.clear();
        (self.range_count, self.entry_count, self.expires) = (0, 0, false);
    }

    /// The payload of the commit record; a copy only if there are range deletes in it, or nothing.
    pub(crate) fn encode(&self) -> Cow<'_, [u8]> {
        match self.entries.get(HEAD - 1 - varint_len(self.entry_count)..) {
            Some(payload) if self.range_count == 0 => Cow::Borrowed(payload),
            _ => {
                let mut out = Vec::with_capacity(self.len_bytes());
                self.encode_to(&mut out);
                Cow::Owned(out)
            }
        }
    }

    /// As [`Batch::encode`], behind what is there.
    pub(crate) fn encode_to(&self, out: &mut Vec<u8>) {
        put_varint(out, self.range_count as u64);
        out.extend_from_slice(&self.ranges);
        put_varint(out, self.entry_count as u64);
        out.extend_from_slice(self.body());
    }
}

/// The writes of a payload, in the order in which they take effect.
///
/// # Errors
/// `Corrupt` clauses as text, without a place: the caller knows the record. Never panics, whatever the bytes.
pub fn decode(payload: &[u8]) -> std::result::Result<Vec<Op<'_>>, &'static str> {
    let mut decoder = Decoder { bytes: payload };
    let mut ops = Vec::new();
    for ranges in [true, false] {
        let count = decoder.varint()?;
        // The counts are as untrusted as the rest: no more capacity than a small batch needs.
        ops.reserve(count.min(MOST_RESERVED) as usize);
        for _ in 0..count {
            let op = decoder.op()?;
            if matches!(op, Op::DeleteRange(..)) != ranges {
                return Err("a range delete among the entries, or an entry among the range deletes");
            }
            ops.push(op);
        }
    }
    if decoder.bytes.is_empty() { Ok(ops) } else { Err("bytes after the last entry") }
}

/// So many operations are reserved memory for before they are read.
const MOST_RESERVED: u64 = 1024;

/// A varint at the beginning of some bytes, and what follows it.
pub(crate) fn split_varint(bytes: &[u8]) -> std::result::Result<(u64, &[u8]), &'static str> {
    let mut decoder = Decoder { bytes };
    let value = decoder.varint()?;
    Ok((value, decoder.bytes))
}

struct Decoder<'a> {
    bytes: &'a [u8],
}

impl<'a> Decoder<'a> {
    fn byte(&mut self) -> std::result::Result<u8, &'static str> {
        let (&first, rest) = self.bytes.split_first().ok_or("the payload ends early")?;
        self.bytes = rest;
        Ok(first)
    }

    fn varint(&mut self) -> std::result::Result<u64, &'static str> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err("a number of more than 64 bits");
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err("a number of more than ten bytes")
    }

    fn bytes(&mut self) -> std::result::Result<&'a [u8], &'static str> {
        let len = usize::try_from(self.varint()?).map_err(|_| "a length beyond the payload")?;
        let (taken, rest) = self.bytes.split_at_checked(len).ok_or("a length beyond the payload")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn op(&mut self) -> std::result::Result<Op<'a>, &'static str> {
        match self.byte()? {
            PUT => Ok(Op::Put(self.bytes()?, self.bytes()?)),
            PUT_UNTIL => match (self.bytes()?, self.bytes()?, self.varint()?) {
                (_, _, 0) => Err("a put that expires before there is time"),
                (key, value, at_ms) => Ok(Op::PutUntil(key, value, at_ms)),
            },
            DELETE => Ok(Op::Delete(self.bytes()?)),
            DELETE_RANGE => {
                let start = self.bytes()?;
                match self.byte()? {
                    0 => Ok(Op::DeleteRange(start, None)),
                    1 => Ok(Op::DeleteRange(start, Some(self.bytes()?))),
                    _ => Err("a range delete with an unknown kind of end"),
                }
            }
            _ => Err("an unknown kind of write"),
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// Refuses keys and values that no tree could hold, before anything is logged.
pub(crate) fn validate(ops: &[Op<'_>], max_key: usize) -> Result<()> {
    ops.iter().try_for_each(|op| validate_op(op, max_key))
}

/// As [`validate`], one write.
#[inline]
pub(crate) fn validate_op(op: &Op<'_>, max_key: usize) -> Result<()> {
    let (Op::Put(key, _) | Op::PutUntil(key, ..) | Op::Delete(key) | Op::DeleteRange(key, _)) = op;
    if !matches!(op, Op::DeleteRange(..)) && (key.is_empty() || key.len() > max_key) {
        return Err(Error::invalid(format!("a key of {} bytes: a key has 1 to {max_key} bytes", key.len())));
    }
    if let Op::Put(_, value) | Op::PutUntil(_, value, _) = op
        && value.len() > halodb_btree::MAX_VALUE_LEN
    {
        let limit = halodb_btree::MAX_VALUE_LEN;
        return Err(Error::invalid(format!("a value of {} bytes: the limit is {limit} bytes", value.len())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_payload_gives_back_range_deletes_first_and_then_entries_in_order() {
        let mut batch = Batch::new();
        batch.put(b"k", b"v");
        batch.delete_range(b"x", None);
        batch.delete(b"d");
        batch.put_until(b"t", b"v", 300);
        let bytes = batch.encode();
        assert_eq!(bytes.len(), batch.len_bytes());
        let expected =
            [Op::DeleteRange(b"x", None), Op::Put(b"k", b"v"), Op::Delete(b"d"), Op::PutUntil(b"t", b"v", 300)];
        assert_eq!(decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_payload_that_is_lent_is_the_one_that_would_be_copied() {
        let mut batch = Batch::new();
        for round in 0..2 {
            for n in 0..16_400usize {
                // Its length changes where one more byte is needed for the number of entries.
                if n < 300 || (16_380..16_390).contains(&n) {
                    let (lent, mut copied) = (batch.encode(), Vec::new());
                    batch.encode_to(&mut copied);
                    assert_eq!(*lent, copied, "{n} entries, round {round}");
                    assert_eq!((lent.len(), matches!(lent, Cow::Borrowed(_))), (batch.len_bytes(), n > 0));
                }
                match n % 3 {
                    0 => batch.put(b"k", b"v"),
                    1 => batch.delete(b"k"),
                    _ => batch.put_until(b"k", b"v", 300),
                }
            }
            batch.clear();
        }
        batch.put(b"a", b"v");
        batch.delete_range(b"", Some(b"b"));
        assert_eq!(decode(&batch.encode()).unwrap(), [Op::DeleteRange(b"", Some(b"b"))]);
        batch.put(b"a", b"v");
        assert_eq!(decode(&batch.encode()).unwrap().len(), 2);
    }

    #[test]
    fn an_expiry_of_zero_is_none_in_a_batch_and_refused_in_a_payload() {
        let mut batch = Batch::new();
        batch.put_until(b"k", b"v", 0);
        assert_eq!(decode(&batch.encode()).unwrap(), [Op::Put(b"k", b"v")]);
        assert!(!batch.expires());
        assert_eq!(decode(&[0, 1, PUT_UNTIL, 1, b'k', 0, 7]).unwrap(), [Op::PutUntil(b"k", b"", 7)]);
        assert!(decode(&[0, 1, PUT_UNTIL, 1, b'k', 0, 0]).is_err());
    }

    #[test]
    fn a_range_delete_covers_what_was_added_before_it_and_nothing_after() {
        let mut batch = Batch::new();
        batch.put(b"a", b"1");
        batch.put(b"b", b"1");
        batch.delete_range(b"b", Some(b"c"));
        batch.put(b"b", b"2");
        let bytes = batch.encode();
        let expected = [Op::DeleteRange(b"b", Some(b"c")), Op::Put(b"a", b"1"), Op::Put(b"b", b"2")];
        assert_eq!(decode(&bytes).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn what_is_encoded_decodes_to_itself(
            entries in proptest::collection::vec((any::<Vec<u8>>(), any::<Option<(Vec<u8>, Option<u64>)>>()), 0..20),
        ) {
            let mut batch = Batch::new();
            for (key, value) in &entries {
                match value {
                    Some((value, at_ms)) => batch.put_until(key, value, at_ms.unwrap_or(0)),
                    None => batch.delete(key),
                }
            }
            let bytes = batch.encode();
            prop_assert_eq!(bytes.len(), batch.len_bytes());
            let expected: Vec<_> = entries
                .iter()
                .map(|(key, value)| match value {
                    Some((value, None | Some(0))) => Op::Put(key, value),
                    Some((value, Some(at_ms))) => Op::PutUntil(key, value, *at_ms),
                    None => Op::Delete(key),
                })
                .collect();
            prop_assert_eq!(decode(&bytes).unwrap(), expected);
        }

        #[test]
        fn a_truncated_payload_is_refused(cut in 0usize..20) {
            let mut batch = Batch::new();
            batch.put(b"some key", b"some value");
            let bytes = batch.encode();
            prop_assume!(cut < bytes.len());
            prop_assert!(decode(&bytes[..cut]).is_err());
        }
    }
}
