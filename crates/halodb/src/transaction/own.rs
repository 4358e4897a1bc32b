//! [`Own`]: what a transaction has written, not yet committed.
//!
//! Invariant: a key is either in `entries`, or what the transaction did to it is said by `removed`; an entry is younger than
//! every range that was removed before it was made, and a range takes the entries that it covers away. So the whole is a
//! batch: range deletes first, then entries. What was popped is a third part, and older than any entry in it.
//!
//! Keys here are stored keys (`space_id.rs`). This file does *not* know the snapshot, nor what was read.

use std::collections::BTreeMap;
use std::collections::btree_map::Range;
use std::ops::Bound;

use halodb_partition::{self as partition, KeyRanges, Share};
use halodb_vfs::mutant;

use super::popped::Popped;
use crate::space_id::SpaceId;
use crate::span::Span;
use crate::walk::Side;
use crate::{Error, ErrorKind, Key, Result, Value};

/// A write to one key: its value, or `None` for a delete.
pub(super) type Entry = Option<Set>;

/// A value that the transaction has set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Set {
    pub(super) value: Value,
    /// When it expires, in milliseconds; 0: never. It was not past when it was set.
    pub(super) expires_at_ms: u64,
}

/// Bytes of keys and values that a transaction may write: what finds room in a memtable for certain.
const MAX_BYTES: usize = 1 << 31;

/// About what an entry takes of a batch's memory beside key and value.
const OVERHEAD_BYTES: usize = 64;

/// What it takes here beyond that, with its place in the map.
const PLACE_BYTES: usize = 64;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Own {
    entries: BTreeMap<Key, Entry>,
    removed: KeyRanges,
    popped: Popped,
    bytes: usize,
    max_bytes: usize,
    /// What it holds of the memory for writes that are not committed.
    share: Share,
}

/// What the transaction did to a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Did<'o> {
    /// Nothing: the snapshot says what is there.
    Nothing,
    Set(&'o Set),
    Removed,
}

impl Own {
    /// Nothing yet; what it takes of memory comes out of `share`.
    pub(super) fn new(share: Share) -> Self {
        let (entries, removed, popped) = (BTreeMap::new(), KeyRanges::new(), Popped::default());
        Own { entries, removed, popped, bytes: 0, max_bytes: MAX_BYTES, share }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.removed.is_empty() && self.popped.is_empty()
    }

    pub(super) fn did(&self, stored: &[u8]) -> Did<'_> {
        match self.entries.get(stored) {
            Some(Some(set)) => Did::Set(set),
            Some(None) => Did::Removed,
            None if self.is_removed(stored) => Did::Removed,
            None => Did::Nothing,
        }
    }

    /// Sets a key for ever, or until a time in milliseconds that is not 0.
    ///
    /// # Errors
    /// `InvalidInput` if the transaction would become too large, `Full` if there is no memory left for what is not committed; it is
    /// as it was.
    pub(super) fn set(&mut self, stored: &[u8], value: &[u8], expires_at_ms: u64) -> Result<()> {
        self.enter(stored, Some((value, expires_at_ms)))
    }

    /// Removes a key. Written even if only the transaction itself has set it: somebody else may set it as well before the
    /// commit, and then it is gone all the same.
    ///
    /// # Errors
    /// As [`Own::set`].
    pub(super) fn remove(&mut self, stored: &[u8]) -> Result<()> {
        if !self.is_removed(stored) {
            return self.enter(stored, None);
        }
        if let Some(before) = self.entries.remove(stored) {
            self.bytes -= cost(stored, &before);
        }
        Ok(())
    }

    fn enter(&mut self, stored: &[u8], value: Option<(&[u8], u64)>) -> Result<()> {
        let before = self.entries.get(stored).map_or(0, |before| cost(stored, before));
        let entry = value.map(|(value, expires_at_ms)| Set { value: Value::from(value), expires_at_ms });
        let bytes = self.bytes - before + cost(stored, &entry);
        self.may_hold(bytes, self.entries.len() + 1)?;
        self.bytes = bytes;
        self.entries.insert(Key::from(stored), entry);
        Ok(())
    }

    /// Sees to it that it may have so many entries with so many bytes.
    fn may_hold(&mut self, bytes: usize, entries: usize) -> Result<()> {
        if bytes > self.max_bytes {
            let limit = self.max_bytes;
            return Err(Error::new(
                ErrorKind::InvalidInput,
                format!("the transaction would write {bytes} bytes; the limit is {limit}: commit in smaller pieces"),
            ));
        }
        self.share.hold((bytes + PLACE_BYTES * entries) as u64)?;
        Ok(())
    }

    /// Removes keys in ascending order.
    ///
    /// # Errors
    /// As [`Own::set`].
    pub(super) fn remove_all(&mut self, keys: Vec<Key>) -> Result<()> {
        let bytes = self.bytes + keys.iter().map(|key| cost(key, &None)).sum::<usize>();
        self.may_hold(bytes, self.entries.len() + keys.len())?;
        if !self.is_empty() {
            return keys.iter().try_for_each(|key| self.remove(key));
        }
        self.bytes = keys.iter().map(|key| cost(key, &None)).sum();
        self.entries = keys.into_iter().map(|key| (key, None)).collect();
        Ok(())
    }

    /// The nearest key of a side of a keyspace that the transaction has set, if it lies before `limit`.
    pub(super) fn nearest_set(&self, space: SpaceId, side: Side, limit: Option<&[u8]>) -> Option<(&Key, &Set)> {
        if self.entries.is_empty() {
            return None;
        }
        let (start, end) = (space.start(), space.end());
        let (lower, upper) = match (side, limit) {
            (_, None) => (Bound::Included(&*start), Bound::Excluded(&*end)),
            (Side::Front, Some(limit)) => (Bound::Included(&*start), Bound::Excluded(limit)),
            (Side::Back, Some(limit)) => (Bound::Excluded(limit), Bound::Excluded(&*end)),
        };
        let mut entries = self.entries.range::<[u8], _>((lower, upper));
        loop {
            let (key, entry) = match side {
                Side::Front => entries.next()?,
                Side::Back => entries.next_back()?,
            };
            if let Some(set) = entry {
                return Some((key, set));
            }
        }
    }

    /// Takes a key from an end of a keyspace: there is none nearer.
    pub(super) fn pop(&mut self, space: SpaceId, side: Side, stored: &[u8]) {
        self.popped.take(space, side, stored);
        if !self.entries.is_empty() {
            let (start, end) = (space.start(), space.end());
            let span = match side {
                Side::Front => (Bound::Included(&*start), Bound::Included(stored)),
                Side::Back => (Bound::Included(stored), Bound::Excluded(&*end)),
            };
            // What was deleted on the way goes with it.
            let gone: Vec<Key> = self.entries.range::<[u8], _>(span).map(|(key, _)| key.clone()).collect();
            for key in gone {
                if let Some(entry) = self.entries.remove(&key[..]) {
                    self.bytes -= cost(&key, &entry);
                }
                self.popped.add(space, side, &key);
            }
        }
    }

    /// What was popped, which was read as well.
    pub(super) fn popped_spans(&self) -> impl Iterator<Item = &Span> {
        self.popped.spans()
    }

    /// Removes all keys of a span.
    pub(super) fn remove_span(&mut self, span: &Span) {
        let gone: Vec<Key> = self.entries(span).map(|(key, _)| key.clone()).collect();
        for key in gone {
            if let Some(before) = self.entries.remove(&key[..]) {
                self.bytes -= cost(&key, &before);
            }
        }
        let (from, to) = span.bounds();
        self.removed.add(from, to);
    }

    /// The entries of a span, in the order of their keys.
    pub(super) fn entries(&self, span: &Span) -> Range<'_, Key, Entry> {
        self.entries.range::<[u8], _>(span.bounds())
    }

    /// Whether a key of the snapshot was removed with a range, or popped.
    pub(super) fn is_removed(&self, stored: &[u8]) -> bool {
        self.popped.covers(stored) || self.removed.covers(stored)
    }

    /// The parts of a span where the snapshot still counts, but for keys with an entry.
    pub(super) fn unremoved(&self, span: &Span) -> Vec<Span> {
        if self.removed.is_empty() && self.popped.is_empty() {
            return vec![span.clone()];
        }
        let mut removed = self.removed.clone();
        for popped in self.popped.spans() {
            let (from, to) = popped.bounds();
            removed.add(from, to);
        }
        let (start, end) = span.half_open();
        let piece = |(start, end): (Box<[u8]>, Option<Box<[u8]>>)| Span {
            lower: Bound::Included((&start[..]).into()),
            upper: end.map_or(Bound::Unbounded, |end| Bound::Excluded((&end[..]).into())),
        };
        removed.gaps(&start, end.as_deref()).into_iter().map(piece).collect()
    }

    /// About the bytes of memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + OVERHEAD_BYTES * self.popped.remembered()
    }

    /// Takes out what it holds of the memory, for where it is to be moved to.
    pub(super) fn take_share(&mut self) -> Share {
        std::mem::take(&mut self.share)
    }

    /// Moves all of it to where large commits are collected, entry by entry, so that there are never two of it.
    pub(super) fn move_to(self, staged: &mut partition::Staged) -> Result<()> {
        for (start, end) in self.removed.iter() {
            staged.delete_range(start, end)?;
        }
        for span in self.popped.many() {
            let (start, end) = span.half_open();
            staged.delete_range(&start, end.as_deref())?;
        }
        self.popped.few().try_for_each(|key| staged.delete(key))?;
        for (key, entry) in self.entries {
            match entry {
                Some(set) => staged.put_until(&key, &set.value, set.expires_at_ms)?,
                None => staged.delete(&key)?,
            }
        }
        Ok(())
    }

    /// All of it as one batch.
    pub(super) fn to_batch(&self) -> partition::Batch {
        let mut batch = partition::Batch::new();
        for (start, end) in self.removed.iter() {
            batch.delete_range(start, end);
        }
        for span in self.popped.many() {
            let (start, end) = span.half_open();
            batch.delete_range(&start, end.as_deref());
        }
        self.popped.few().for_each(|key| batch.delete(key));
        for (key, entry) in &self.entries {
            match entry {
                // A planted fault writes what a transaction put for a time for ever.
                Some(set) if mutant("halodb.transaction-forgets-expiry") => batch.put_until(key, &set.value, 0),
                Some(set) => batch.put_until(key, &set.value, set.expires_at_ms),
                None => batch.delete(key),
            }
        }
        batch
    }
}

fn cost(stored: &[u8], entry: &Entry) -> usize {
    OVERHEAD_BYTES + stored.len() + entry.as_ref().map_or(0, |set| set.value.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space_id::SpaceId;

    fn span(range: impl std::ops::RangeBounds<&'static str>) -> Span {
        Span::of(SpaceId::new(SpaceId::DEFAULT, 4096), range).expect("not empty")
    }

    fn stored(key: &str) -> Vec<u8> {
        SpaceId::new(SpaceId::DEFAULT, 4096).join(key.as_bytes()).to_vec()
    }

    #[test]
    fn a_range_takes_what_was_set_before_and_not_what_is_set_later() {
        let mut own = Own::new(Share::default());
        own.set(&stored("b"), b"1", 0).unwrap();
        own.set(&stored("c"), b"1", 0).unwrap();
        own.remove_span(&span("a".."c"));
        assert_eq!(own.did(&stored("b")), Did::Removed);
        assert_eq!(own.did(&stored("a")), Did::Removed);
        assert!(matches!(own.did(&stored("c")), Did::Set(_)));
        assert_eq!(own.did(&stored("d")), Did::Nothing);
        own.set(&stored("b"), b"2", 0).unwrap();
        assert!(matches!(own.did(&stored("b")), Did::Set(set) if set.value == b"2"));
        assert_eq!(own.to_batch().len(), 3);
        let left: Vec<Span> = own.unremoved(&span("a".."d"));
        assert_eq!(left, [span("c".."d")]);
    }

    #[test]
    fn what_the_transaction_itself_set_is_removed_for_all_that_others_may_set() {
        let mut own = Own::new(Share::default());
        own.set(&stored("b"), b"1", 0).unwrap();
        own.remove(&stored("b")).unwrap();
        assert_eq!(own.did(&stored("b")), Did::Removed);
        assert_eq!(own.to_batch().len(), 1);
        // Where a whole range goes, the key goes with it.
        own.remove_span(&span("a".."c"));
        own.set(&stored("b"), b"2", 0).unwrap();
        own.remove(&stored("b")).unwrap();
        assert_eq!(own.did(&stored("b")), Did::Removed);
        assert_eq!((own.to_batch().len(), own.bytes), (1, 0));
    }

    #[test]
    fn a_write_that_makes_it_too_large_is_refused_and_leaves_it_as_it_was() {
        let mut own = Own { max_bytes: 1000, ..Own::new(Share::default()) };
        own.set(&stored("a"), &[1; 500], 0).unwrap();
        let error = own.set(&stored("b"), &[2; 500], 0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(own.did(&stored("b")), Did::Nothing);
        // The same key anew takes the place of what it had.
        own.set(&stored("a"), &[3; 800], 0).unwrap();
        own.set(&stored("a"), &[3; 10], 0).unwrap();
        own.set(&stored("b"), &[2; 500], 0).unwrap();
        own.remove_span(&span(..));
        assert_eq!(own.bytes, 0);
    }
}
