//! [`Batch`]: the writes that one log record carries, and the payload format of a commit record.
//!
//! ```text
//! payload  := varint(number of range deletes) range*  varint(number of entries) entry*
//! range    := 0x03 varint(len) start  0x00                    [start, to the last key)
//!           | 0x03 varint(len) start  0x01 varint(len) end    [start, end)
//! entry    := 0x01 varint(len) key varint(len) value          put
//!           | 0x02 varint(len) key                            delete
//! ```
//!
//! Varints are little-endian base 128 (LEB128), at most ten bytes. Effects are absolute, so applying a record twice is
//! applying it once. Range deletes take effect before the entries, in whatever order they were added: adding one
//! removes the earlier entries of the batch that it covers. Kind 0x04 is kept for a put with an expiry.
//!
//! What this file does not know: how payloads get into the log, and which partition a key belongs to.

use crate::{Error, Result};

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;

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
    entries: Vec<u8>,
    entry_count: usize,
}

/// One write of a batch, borrowed from its encoded form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// Sets a key.
    Put(&'a [u8], &'a [u8]),
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
        self.entries.reserve(key.len() + value.len() + 12);
        self.entries.push(PUT);
        put_bytes(&mut self.entries, key);
        put_bytes(&mut self.entries, value);
        self.entry_count += 1;
    }

    /// Removes a key, whether or not it is there. Costs an entry in log and memtable either way.
    pub fn delete(&mut self, key: &[u8]) {
        self.entries.push(DELETE);
        put_bytes(&mut self.entries, key);
        self.entry_count += 1;
    }

    /// Removes all keys in `[start, end)`, or from `start` on; an `end` not above `start` removes nothing.
    ///
    /// Cost: the length of the batch so far; at the commit one entry in each partition, however many keys there are. Until
    /// it is merged every read of a partition looks at each of its range deletes, so they should be few.
    pub fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) {
        let covers = |key: &[u8]| key >= start && end.is_none_or(|end| key < end);
        let earlier = std::mem::take(&mut self.entries);
        self.entry_count = 0;
        let mut decoder = Decoder { bytes: &earlier };
        while !decoder.bytes.is_empty() {
            match decoder.op().expect("a batch holds what it encoded itself") {
                Op::Put(key, value) if !covers(key) => self.put(key, value),
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
        self.ranges.len() + self.entries.len() + varint_len(self.range_count) + varint_len(self.entry_count)
    }

    /// The writes in the order in which they take effect.
    pub(crate) fn ops(&self) -> Vec<Op<'_>> {
        let mut ops = Vec::with_capacity(self.len());
        for bytes in [&self.ranges, &self.entries] {
            let mut decoder = Decoder { bytes };
            while !decoder.bytes.is_empty() {
                ops.push(decoder.op().expect("a batch holds what it encoded itself"));
            }
        }
        ops
    }

    /// The payload of the commit record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len_bytes());
        put_varint(&mut out, self.range_count as u64);
        out.extend_from_slice(&self.ranges);
        put_varint(&mut out, self.entry_count as u64);
        out.extend_from_slice(&self.entries);
        out
    }
}

/// The writes of a payload, in the order in which they take effect.
///
/// # Errors
/// `Corrupt` clauses as text, without a place: the caller knows the record. Never panics, whatever the bytes.
pub fn decode(payload: &[u8]) -> std::result::Result<Vec<Op<'_>>, &'static str> {
    let mut decoder = Decoder { bytes: payload };
    // No capacity from the counts: they are as untrusted as the rest.
    let mut ops = Vec::new();
    for ranges in [true, false] {
        for _ in 0..decoder.varint()? {
            let op = decoder.op()?;
            if matches!(op, Op::DeleteRange(..)) != ranges {
                return Err("a range delete among the entries, or an entry among the range deletes");
            }
            ops.push(op);
        }
    }
    if decoder.bytes.is_empty() { Ok(ops) } else { Err("bytes after the last entry") }
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

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
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
    for op in ops {
        let (Op::Put(key, _) | Op::Delete(key) | Op::DeleteRange(key, _)) = op;
        if !matches!(op, Op::DeleteRange(..)) && (key.is_empty() || key.len() > max_key) {
            return Err(Error::invalid(format!("a key of {} bytes: a key has 1 to {max_key} bytes", key.len())));
        }
        if let Op::Put(_, value) = op
            && value.len() > halodb_btree::MAX_VALUE_LEN
        {
            let limit = halodb_btree::MAX_VALUE_LEN;
            return Err(Error::invalid(format!("a value of {} bytes: the limit is {limit} bytes", value.len())));
        }
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
        let bytes = batch.encode();
        assert_eq!(bytes.len(), batch.len_bytes());
        assert_eq!(decode(&bytes).unwrap(), [Op::DeleteRange(b"x", None), Op::Put(b"k", b"v"), Op::Delete(b"d")]);
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
        fn what_is_encoded_decodes_to_itself(entries in proptest::collection::vec((any::<Vec<u8>>(), any::<Option<Vec<u8>>>()), 0..20)) {
            let mut batch = Batch::new();
            for (key, value) in &entries {
                match value { Some(value) => batch.put(key, value), None => batch.delete(key) }
            }
            let bytes = batch.encode();
            let expected: Vec<_> = entries.iter().map(|(k, v)| match v { Some(v) => Op::Put(k, v), None => Op::Delete(k) }).collect();
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
