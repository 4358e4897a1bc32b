//! [`ReadSet`]: what a transaction has read, as keys and as ranges of keys.
//!
//! Invariant: the ranges are disjoint and do not touch, so that one search finds the only one that may hold a key.
//!
//! This file does not know what was found there, nor who writes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

type Key = Box<[u8]>;

/// The keys and ranges of keys that a transaction's answers rest on: whether or not anything was found there.
///
/// ```
/// use halodb_partition::ReadSet;
/// use std::ops::Bound::{Excluded, Included};
///
/// let mut reads = ReadSet::new();
/// reads.add_key(b"user:7");
/// reads.add_range(Included(b"order:"), Excluded(b"order;"));
/// assert!(reads.covers(b"order:12"));
/// assert!(!reads.covers(b"user:8"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ReadSet {
    keys: BTreeSet<Key>,
    /// From the start, included, to the end, excluded; no end: to the last key.
    ranges: BTreeMap<Key, Option<Key>>,
    key_bytes: usize,
}

impl ReadSet {
    /// Nothing was read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key that was looked up. O(log n) and a copy of the key.
    pub fn add_key(&mut self, key: &[u8]) {
        if !self.covers(key) {
            self.key_bytes += key.len();
            self.keys.insert(key.into());
        }
    }

    /// Adds all keys between two bounds, there or not; inverted bounds add nothing. O(log n + ranges that it joins).
    pub fn add_range(&mut self, from: Bound<&[u8]>, to: Bound<&[u8]>) {
        let mut start: Key = match from {
            Bound::Unbounded => Key::default(),
            Bound::Included(key) => key.into(),
            Bound::Excluded(key) => crate::version::successor(key).into(),
        };
        let mut end: Option<Key> = match to {
            Bound::Unbounded => None,
            Bound::Included(key) => Some(crate::version::successor(key).into()),
            Bound::Excluded(key) => Some(key.into()),
        };
        if end.as_ref().is_some_and(|end| *end <= start) {
            return;
        }
        if let Some((before, its_end)) = self.at_or_before(&start)
            && its_end.is_none_or(|its_end| its_end >= &*start)
        {
            start = before.into();
        }
        // From the one that it was joined to on: all that begin inside, or where it ends.
        loop {
            let next = self.ranges.range::<[u8], _>((Bound::Included(&*start), Bound::Unbounded)).next();
            let Some((next, its_end)) = next.map(|(next, its_end)| (next.clone(), its_end.clone())) else { break };
            if end.as_ref().is_some_and(|end| next > *end) {
                break;
            }
            self.ranges.remove(&next);
            end = end.zip(its_end).map(|(end, its_end)| end.max(its_end));
        }
        self.ranges.insert(start, end);
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.ranges.is_empty()
    }

    /// Keys and disjoint ranges in it.
    pub fn len(&self) -> usize {
        self.keys.len() + self.ranges.len()
    }

    /// Bytes of the keys in it, about: what it takes of memory beside about a hundred bytes for each.
    pub fn len_bytes(&self) -> usize {
        self.key_bytes
    }

    /// Whether a key was read, by itself or in a range.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.keys.contains(key) || self.is_in_range(key)
    }

    /// Whether any key from `start` on and below `end` was read.
    pub fn meets(&self, start: &[u8], end: Option<&[u8]>) -> bool {
        let is_inside = |key: &Key| end.is_none_or(|end| &**key < end);
        let from_start = (Bound::Included(start), Bound::Unbounded);
        end.is_none_or(|end| start < end)
            && (self.is_in_range(start)
                || self.keys.range::<[u8], _>(from_start).next().is_some_and(is_inside)
                || self.ranges.range::<[u8], _>(from_start).next().is_some_and(|(next, _)| is_inside(next)))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| &**key)
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.ranges.iter().map(|(start, end)| (&**start, end.as_deref()))
    }

    pub(crate) fn has_ranges(&self) -> bool {
        !self.ranges.is_empty()
    }

    fn is_in_range(&self, key: &[u8]) -> bool {
        self.at_or_before(key).is_some_and(|(_, end)| end.is_none_or(|end| key < end))
    }

    /// The last range that begins at a key or before it.
    fn at_or_before(&self, key: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        let (start, end) = self.ranges.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        Some((start, end.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::Bound::{Excluded, Included, Unbounded};

    #[test]
    fn ranges_that_meet_become_one() {
        let mut reads = ReadSet::new();
        reads.add_range(Included(b"b"), Excluded(b"d"));
        reads.add_range(Included(b"f"), Included(b"g"));
        assert_eq!(reads.len(), 2);
        reads.add_range(Included(b"d"), Excluded(b"f"));
        assert_eq!(reads.len(), 1);
        reads.add_range(Excluded(b"g"), Unbounded);
        assert_eq!(reads.len(), 1);
        assert!(!reads.covers(b"a") && reads.covers(b"b") && reads.covers(b"zzz"));
        reads.add_range(Included(b"x"), Excluded(b"x"));
        reads.add_range(Included(b"x"), Excluded(b"a"));
        assert_eq!(reads.len(), 1);
    }

    fn bound() -> impl Strategy<Value = Bound<u8>> {
        prop_oneof![(0u8..30).prop_map(Included), (0u8..30).prop_map(Excluded), Just(Unbounded)]
    }

    proptest! {
        #[test]
        fn a_read_set_says_what_a_list_of_everything_read_says(
            keys in prop::collection::vec(0u8..30, 0..6),
            ranges in prop::collection::vec((bound(), bound()), 0..6),
            deleted in (0u8..31, prop::option::of(0u8..31)),
        ) {
            let mut reads = ReadSet::new();
            keys.iter().for_each(|&key| reads.add_key(&[key]));
            for &(from, to) in &ranges {
                let (from, to) = (from.map(|key| [key]), to.map(|key| [key]));
                reads.add_range(from.as_ref().map(|key| &key[..]), to.as_ref().map(|key| &key[..]));
            }
            let was_read = |key: u8| keys.contains(&key) || ranges.iter().any(|range| {
                use std::ops::RangeBounds;
                range.contains(&key)
            });
            for key in 0..31 {
                prop_assert_eq!(reads.covers(&[key]), was_read(key), "{}", key);
            }
            let (start, end) = deleted;
            let expected = (start..end.unwrap_or(31)).any(was_read);
            let met = reads.meets(&[start], end.as_ref().map(std::slice::from_ref));
            // A range may hold keys between two of one byte, which nobody reads by itself.
            prop_assert!(met || !expected);
            if ranges.is_empty() {
                prop_assert_eq!(met, expected);
            }
        }
    }
}
