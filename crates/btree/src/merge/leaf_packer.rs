//! Entries on their way into new leaves.
//!
//! Keys and payloads are copied into one buffer, at most about two leaves long. The packer knows sizes and order; it
//! allocates and writes no page.

use super::pack::{Measure, POOR_PERCENT, cut_front, cut_last};
use crate::bytes::{common_prefix_len, separator};
use crate::error::Decoded;
use crate::expiry::Expiry;
use crate::leaf::{Place, RawEntry, Size, Sizes};
use crate::overflow::Overflow;
use halodb_vfs::mutant;

/// Entries that wait, in key order.
#[derive(Debug, Default)]
pub(super) struct LeafPacker {
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    measure: LeafMeasure,
    /// Separator before the first entry.
    separator: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    key_at: usize,
    size: Size,
}

/// The size of a leaf with some consecutive entries.
#[derive(Debug, Default)]
pub(super) struct LeafMeasure(Sizes);

impl Measure for LeafMeasure {
    type Item = Entry;

    fn add(&mut self, entry: &Entry) {
        self.0.add(&entry.size);
    }

    fn size(&self) -> usize {
        self.0.len()
    }
}

impl LeafPacker {
    /// No entry waits.
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether they would fill a page poorly.
    pub(super) fn is_poor(&self, capacity: usize) -> bool {
        self.measure.size() * 100 < capacity * POOR_PERCENT
    }

    /// States the separator before the next entry; has a meaning only while none waits.
    pub(super) fn set_separator(&mut self, separator: &[u8]) {
        self.separator.clear();
        self.separator.extend_from_slice(separator);
    }

    /// Appends an entry whose key comes in parts.
    pub(super) fn push(&mut self, key: [&[u8]; 3], expiry: Expiry, place: Place, payload: &[u8]) -> Decoded<()> {
        let key_at = self.buffer.len();
        for part in key {
            self.buffer.extend_from_slice(part);
        }
        let key = &self.buffer[key_at..];
        let key_len = key.len();
        let mut shared = 0;
        if let Some(last) = self.entries.last() {
            let before = &self.buffer[last.key_at..last.key_at + usize::from(last.size.key_len)];
            shared = common_prefix_len(before, key);
            if before[shared..] >= key[shared..] {
                return Err("its keys do not ascend");
            }
        }
        const LONG: &str = "one of its entries is longer than a page";
        let key_len = u16::try_from(key_len).map_err(|_| LONG)?;
        let payload_len = u16::try_from(payload.len()).map_err(|_| LONG)?;
        let size = Size { key_len, payload_len, shared: shared as u16, place, expiry };
        self.buffer.extend_from_slice(payload);
        let entry = Entry { key_at, size };
        self.measure.add(&entry);
        self.entries.push(entry);
        Ok(())
    }

    /// How many entries go to a page now, if enough wait that what remains will not be poor.
    pub(super) fn ready(&self, target: usize, capacity: usize) -> Option<usize> {
        if self.measure.size() <= target + capacity * POOR_PERCENT / 100 {
            return None;
        }
        // What fits one page whole waits for more: the separator after a page is made from what comes next.
        let count = cut_front::<LeafMeasure>(&self.entries, target, capacity);
        (count < self.entries.len()).then_some(count)
    }

    /// How many entries go to the next page when all are to go.
    pub(super) fn last(&self, capacity: usize) -> usize {
        cut_last::<LeafMeasure>(&self.entries, capacity)
    }

    /// The first `count` entries.
    pub(super) fn front(
        &self,
        count: usize,
    ) -> impl ExactSizeIterator<Item = RawEntry<'_>> + DoubleEndedIterator + Clone {
        self.entries[..count].iter().map(|entry| self.raw(entry))
    }

    /// Whether one of the first `count` entries has its value in an extent, and when the first of them expires.
    pub(super) fn sums(&self, count: usize) -> (Overflow, Expiry) {
        let entries = || self.entries[..count].iter().map(|entry| entry.size);
        let any = entries().any(|size| size.place == Place::Overflow);
        let least = entries().fold(Expiry::NEVER, |least, size| least.earlier(size.expiry));
        (if any { Overflow::Some } else { Overflow::None }, least)
    }

    /// Drops the first `count` entries; gives the separator that stood before them.
    pub(super) fn drop_front(&mut self, count: usize) -> Vec<u8> {
        let next = match (self.entries[..count].last(), self.entries.get(count)) {
            (Some(last), Some(next)) => {
                let separator = separator(self.raw(last).key, self.raw(next).key);
                // A planted fault cuts off the very byte that tells the two leaves apart.
                separator[..separator.len() - usize::from(mutant("btree.short-separator"))].to_vec()
            }
            _ => Vec::new(),
        };
        let start = self.entries.get(count).map_or(self.buffer.len(), |entry| entry.key_at);
        self.buffer.drain(..start);
        self.entries.drain(..count);
        self.measure = LeafMeasure::default();
        for entry in &mut self.entries {
            entry.key_at -= start;
            self.measure.add(entry);
        }
        std::mem::replace(&mut self.separator, next)
    }

    fn raw(&self, entry: &Entry) -> RawEntry<'_> {
        let size = &entry.size;
        let (key, rest) = self.buffer[entry.key_at..].split_at(usize::from(size.key_len));
        RawEntry { key, expiry: size.expiry, place: size.place, payload: &rest[..usize::from(size.payload_len)] }
    }
}
