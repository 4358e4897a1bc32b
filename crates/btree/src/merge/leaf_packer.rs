//! Entries on their way into new leaves.
//!
//! Keys and payloads are copied into one buffer, a few leaves long. As they come they are cut into pages, each filled up
//! to the target, but a page is handed out only when so much waits behind it that what is left at the end, divided evenly,
//! gives well filled pages. The packer knows sizes and order; it allocates and writes no page.

use super::pack::{Measure, cut_last, overflows, size_of};
use crate::bytes::{common_prefix_len, separator};
use crate::error::Decoded;
use crate::expiry::Expiry;
use crate::leaf::{Place, RawEntry, Size, Sizes};
use crate::overflow::Overflow;
use halodb_vfs::mutant;
use std::collections::VecDeque;

/// Below this share of a page, leaves count as poorly filled: they take their right neighbour in.
const POOR_PERCENT: usize = 50;

/// Two leaves of less than this share each count as thin: they would soon be poor, or waste the room they have. Together
/// with a neighbour they give two leaves of at least three quarters, or three of two thirds (as the nodes of a B*-tree:
/// Knuth, TAOCP 3, 6.2.4). It must stay below those, or a merge would run on through the tree.
const THIN_PERCENT: usize = 62;

/// A page is handed out when so much waits behind it: what is left at the end is then neither poor nor thin.
const HELD_PERCENT: usize = 150;

/// The same where pages are filled to the brim: nothing is expected to come to them, so thin ones have nothing to fear, and
/// full ones before them are worth more.
const HELD_PERCENT_AT_BRIM: usize = 50;

/// Entries that wait, in key order.
#[derive(Debug)]
pub(super) struct LeafPacker {
    /// Most bytes of a body, and how many are aimed at.
    capacity: usize,
    target: usize,
    /// See [`HELD_PERCENT`]; in bytes.
    held: usize,
    buffer: Vec<u8>,
    entries: Vec<Entry>,
    /// So many entries were handed out; they are dropped when they are many.
    gone: usize,
    /// The pages that those after them make: full ones, then the one that is being filled.
    full: VecDeque<FullPage>,
    filling: LeafMeasure,
    filling_entries: usize,
    /// Separator before the first entry.
    separator: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct FullPage {
    entries: usize,
    size: usize,
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
    /// No entry waits. Pages are filled up to `target` bytes, the last ones up to `capacity`.
    pub(super) fn new(target: usize, capacity: usize) -> Self {
        let held_percent = if target < capacity { HELD_PERCENT } else { HELD_PERCENT_AT_BRIM };
        LeafPacker {
            capacity,
            target,
            held: capacity * held_percent / 100,
            buffer: Vec::new(),
            entries: Vec::new(),
            gone: 0,
            full: VecDeque::new(),
            filling: LeafMeasure::default(),
            filling_entries: 0,
            separator: Vec::new(),
        }
    }

    /// Whether no entry waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting().is_empty()
    }

    /// Number of entries that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    /// The separator before the first entry that waits.
    pub(super) fn separator(&self) -> &[u8] {
        &self.separator
    }

    fn waiting(&self) -> &[Entry] {
        &self.entries[self.gone..]
    }

    /// Whether those that wait would fill a page poorly.
    pub(super) fn is_poor(&self) -> bool {
        self.full.is_empty() && self.filling.size() * 100 < self.capacity * POOR_PERCENT
    }

    /// Whether those that wait would fill two pages thinly. Never where pages are filled to the brim.
    pub(super) fn is_thin(&self) -> bool {
        if self.full.is_empty() || self.target == self.capacity {
            return false;
        }
        let size = size_of::<LeafMeasure>(self.waiting());
        size > self.capacity && size * 100 < 2 * self.capacity * THIN_PERCENT
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
        if let Some(last) = self.waiting().last() {
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
        self.entries.push(entry);
        self.cut(&entry);
        Ok(())
    }

    /// Takes an entry into the page that is being filled, or begins the next one with it.
    fn cut(&mut self, entry: &Entry) {
        let size = self.filling.size();
        self.filling.add(entry);
        self.filling_entries += 1;
        if self.filling_entries > 1 && overflows(self.filling_entries, self.filling.size(), self.target, self.capacity)
        {
            self.full.push_back(FullPage { entries: self.filling_entries - 1, size });
            self.filling = LeafMeasure::default();
            self.filling.add(entry);
            self.filling_entries = 1;
        }
    }

    /// How many entries go to a page now, if enough wait behind them.
    pub(super) fn ready(&self) -> Option<usize> {
        let mut full = self.full.iter();
        let first = full.next()?;
        let behind = full.map(|page| page.size).sum::<usize>() + self.filling.size();
        (behind >= self.held).then_some(first.entries)
    }

    /// How many entries go to the next page when all are to go.
    pub(super) fn last(&self) -> usize {
        cut_last::<LeafMeasure>(self.waiting(), self.capacity)
    }

    /// The first `count` entries.
    pub(super) fn front(
        &self,
        count: usize,
    ) -> impl ExactSizeIterator<Item = RawEntry<'_>> + DoubleEndedIterator + Clone {
        self.waiting()[..count].iter().map(|entry| self.raw(entry))
    }

    /// Whether one of the first `count` entries has its value in an extent, and when the first of them expires.
    pub(super) fn sums(&self, count: usize) -> (Overflow, Expiry) {
        let entries = || self.waiting()[..count].iter().map(|entry| entry.size);
        let any = entries().any(|size| size.place == Place::Overflow);
        let least = entries().fold(Expiry::NEVER, |least, size| least.earlier(size.expiry));
        (if any { Overflow::Some } else { Overflow::None }, least)
    }

    /// Drops the first `count` entries; gives the separator that stood before them.
    pub(super) fn drop_front(&mut self, count: usize) -> Vec<u8> {
        let next = match (self.waiting()[..count].last(), self.waiting().get(count)) {
            (Some(last), Some(next)) => {
                let separator = separator(self.raw(last).key, self.raw(next).key);
                // A planted fault cuts off the very byte that tells the two leaves apart.
                separator[..separator.len() - usize::from(mutant("btree.short-separator"))].to_vec()
            }
            _ => Vec::new(),
        };
        self.gone += count;
        match self.full.front() {
            Some(page) if page.entries == count => drop(self.full.pop_front()),
            _ => self.cut_anew(),
        }
        // Seldom, so that little is moved.
        if self.gone >= 4 * self.waiting().len() {
            let start = self.waiting().first().map_or(self.buffer.len(), |entry| entry.key_at);
            self.buffer.drain(..start);
            self.entries.drain(..self.gone);
            self.entries.iter_mut().for_each(|entry| entry.key_at -= start);
            self.gone = 0;
        }
        std::mem::replace(&mut self.separator, next)
    }

    fn cut_anew(&mut self) {
        self.full.clear();
        self.filling = LeafMeasure::default();
        self.filling_entries = 0;
        for i in self.gone..self.entries.len() {
            let entry = self.entries[i];
            self.cut(&entry);
        }
    }

    fn raw(&self, entry: &Entry) -> RawEntry<'_> {
        let size = &entry.size;
        let (key, rest) = self.buffer[entry.key_at..].split_at(usize::from(size.key_len));
        RawEntry { key, expiry: size.expiry, place: size.place, payload: &rest[..usize::from(size.payload_len)] }
    }
}
