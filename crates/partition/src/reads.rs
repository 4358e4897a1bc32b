//! [`ReadSet`]: what a transaction has read, as keys and as ranges of keys.
//!
//! This file does not know what was found there, nor who writes.

use crate::ranges::KeyRanges;
use std::collections::BTreeSet;
use std::ops::Bound;

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
    keys: BTreeSet<Box<[u8]>>,
    ranges: KeyRanges,
}

impl ReadSet {
    /// Nothing was read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key that was looked up. O(log n) and a copy of the key.
    pub fn add_key(&mut self, key: &[u8]) {
        if !self.covers(key) {
            self.keys.insert(key.into());
        }
    }

    /// Adds all keys between two bounds, there or not; inverted bounds add nothing. O(log n + ranges that it joins).
    pub fn add_range(&mut self, from: Bound<&[u8]>, to: Bound<&[u8]>) {
        self.ranges.add(from, to);
    }

    /// Whether nothing was read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.ranges.is_empty()
    }

    /// Keys and disjoint ranges in it. A key takes about a hundred bytes of memory beside its own, a range twice that.
    pub fn len(&self) -> usize {
        self.keys.len() + self.ranges.len()
    }

    /// Whether a key was read, by itself or in a range.
    pub fn covers(&self, key: &[u8]) -> bool {
        self.keys.contains(key) || self.ranges.covers(key)
    }

    /// Whether any key from `start` on and below `end` was read.
    pub fn meets(&self, start: &[u8], end: Option<&[u8]>) -> bool {
        let next = || self.keys.range::<[u8], _>((Bound::Included(start), Bound::Unbounded)).next();
        self.ranges.meets(start, end)
            || end.is_none_or(|end| start < end) && next().is_some_and(|next| end.is_none_or(|end| &**next < end))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.iter().map(|key| &**key)
    }

    pub(crate) fn ranges(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.ranges.iter()
    }

    pub(crate) fn has_key(&self, key: &[u8]) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn has_ranges(&self) -> bool {
        !self.ranges.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(keys: &[&str], start: &str, end: Option<&str>, expected: bool) {
        let mut reads = ReadSet::new();
        keys.iter().for_each(|key| reads.add_key(key.as_bytes()));
        assert_eq!(reads.meets(start.as_bytes(), end.map(str::as_bytes)), expected, "{keys:?} {start} {end:?}");
        assert!(keys.iter().all(|key| reads.covers(key.as_bytes())));
    }

    #[test]
    fn a_range_delete_meets_the_keys_in_it() {
        check(&[], "", None, false);
        check(&["b", "d"], "a", Some("b"), false);
        check(&["b", "d"], "b", Some("c"), true);
        check(&["b", "d"], "c", Some("d"), false);
        check(&["b", "d"], "c", Some("e"), true);
        check(&["b", "d"], "d", None, true);
        check(&["b", "d"], "e", None, false);
        check(&["b", "d"], "c", Some("b"), false);
    }

    #[test]
    fn a_key_in_a_range_that_was_read_is_not_kept_again() {
        let mut reads = ReadSet::new();
        reads.add_range(Bound::Unbounded, Bound::Excluded(b"m"));
        reads.add_key(b"a");
        assert_eq!(reads.len(), 1);
        reads.add_key(b"z");
        assert_eq!(reads.len(), 2);
    }
}
