//! [`KeyRanges`]: a set of keys, kept as ranges.
//!
//! Invariant: the ranges are disjoint and do not touch, so that one search finds the only one that may hold a key.
//!
//! This file does not know what the keys were collected for: what was read, or what is deleted.

use std::collections::BTreeMap;
use std::ops::Bound;

type Key = Box<[u8]>;

/// A set of ranges of keys. A range begins with a key that is in it and ends before one that is not; no end: it goes on to
/// the last key.
///
/// ```
/// use halodb_partition::KeyRanges;
/// use std::ops::Bound::{Excluded, Included};
///
/// let mut ranges = KeyRanges::new();
/// ranges.add(Included(b"b"), Excluded(b"d"));
/// ranges.add(Included(b"d"), Included(b"f"));
/// assert_eq!(ranges.len(), 1);
/// assert!(ranges.covers(b"d") && !ranges.covers(b"g"));
/// assert_eq!(ranges.gaps(b"a", Some(b"c")), [(b"a".as_slice().into(), Some(b"b".as_slice().into()))]);
/// ```
#[derive(Clone, Debug, Default)]
pub struct KeyRanges(BTreeMap<Key, Option<Key>>);

impl KeyRanges {
    /// No key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds all keys between two bounds; inverted bounds add nothing. O(log n + ranges that it joins).
    pub fn add(&mut self, from: Bound<&[u8]>, to: Bound<&[u8]>) {
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
            let next = self.0.range::<[u8], _>((Bound::Included(&*start), Bound::Unbounded)).next();
            let Some((next, its_end)) = next.map(|(next, its_end)| (next.clone(), its_end.clone())) else { break };
            if end.as_ref().is_some_and(|end| next > *end) {
                break;
            }
            self.0.remove(&next);
            end = end.zip(its_end).map(|(end, its_end)| end.max(its_end));
        }
        self.0.insert(start, end);
    }

    /// Whether there is no key in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of disjoint ranges.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The ranges in their order: start, included, and end, excluded.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0.iter().map(|(start, end)| (&**start, end.as_deref()))
    }

    /// Whether a key is in it. O(log n).
    pub fn covers(&self, key: &[u8]) -> bool {
        self.at_or_before(key).is_some_and(|(_, end)| end.is_none_or(|end| key < end))
    }

    /// Whether any key from `start` on and below `end` is in it. O(log n).
    pub fn meets(&self, start: &[u8], end: Option<&[u8]>) -> bool {
        let next = || self.0.range::<[u8], _>((Bound::Included(start), Bound::Unbounded)).next();
        end.is_none_or(|end| start < end)
            && (self.covers(start) || next().is_some_and(|(next, _)| end.is_none_or(|end| &**next < end)))
    }

    /// What is *not* in it of the range from `start` on and below `end`, as ranges in their order.
    pub fn gaps(&self, start: &[u8], end: Option<&[u8]>) -> Vec<(Key, Option<Key>)> {
        let mut gaps = Vec::new();
        let mut at: &[u8] = start;
        let inside = self.at_or_before(start).filter(|(_, its_end)| its_end.is_none_or(|its_end| start < its_end));
        match inside {
            Some((_, None)) => return gaps,
            Some((_, Some(its_end))) => at = its_end,
            None => {}
        }
        for (next, its_end) in self.0.range::<[u8], _>((Bound::Included(at), Bound::Unbounded)) {
            if end.is_some_and(|end| &**next >= end) {
                break;
            }
            gaps.push((at.into(), Some(next.clone())));
            match its_end {
                Some(its_end) => at = its_end,
                None => return gaps,
            }
        }
        if end.is_none_or(|end| at < end) {
            gaps.push((at.into(), end.map(Into::into)));
        }
        gaps
    }

    /// The last range that begins at a key or before it.
    fn at_or_before(&self, key: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
        let (start, end) = self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).next_back()?;
        Some((start, end.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::Bound::{Excluded, Included, Unbounded};
    use std::ops::RangeBounds;

    #[test]
    fn ranges_that_meet_become_one() {
        let mut ranges = KeyRanges::new();
        ranges.add(Included(b"b"), Excluded(b"d"));
        ranges.add(Included(b"f"), Included(b"g"));
        assert_eq!(ranges.len(), 2);
        ranges.add(Included(b"d"), Excluded(b"f"));
        assert_eq!(ranges.len(), 1);
        ranges.add(Excluded(b"g"), Unbounded);
        assert_eq!(ranges.len(), 1);
        assert!(!ranges.covers(b"a") && ranges.covers(b"b") && ranges.covers(b"zzz"));
        ranges.add(Included(b"x"), Excluded(b"x"));
        ranges.add(Included(b"x"), Excluded(b"a"));
        assert_eq!(ranges.iter().collect::<Vec<_>>(), [(&b"b"[..], None)]);
    }

    fn bound() -> impl Strategy<Value = Bound<u8>> {
        prop_oneof![(0u8..30).prop_map(Included), (0u8..30).prop_map(Excluded), Just(Unbounded)]
    }

    proptest! {
        #[test]
        fn a_set_of_ranges_says_what_a_list_of_them_says(
            list in prop::collection::vec((bound(), bound()), 0..6),
            asked in (0u8..31, prop::option::of(0u8..31)),
        ) {
            let mut ranges = KeyRanges::new();
            for &(from, to) in &list {
                let (from, to) = (from.map(|key| [key]), to.map(|key| [key]));
                ranges.add(from.as_ref().map(|key| &key[..]), to.as_ref().map(|key| &key[..]));
            }
            // Every key of one byte, and one between it and the next.
            let is_in = |key: &[u8]| list.iter().any(|range| {
                let own = |bound: &Bound<u8>| bound.map(|key| vec![key]);
                (own(&range.0), own(&range.1)).contains(&key.to_vec())
            });
            let keys: Vec<Vec<u8>> = (0u8..31).flat_map(|key| [vec![key], vec![key, 7]]).collect();
            for key in &keys {
                prop_assert_eq!(ranges.covers(key), is_in(key), "{:?}", key);
            }
            let (start, end) = (vec![asked.0], asked.1.map(|end| vec![end]));
            let asked = |key: &Vec<u8>| *key >= start && end.as_ref().is_none_or(|end| key < end);
            let expected = keys.iter().any(|key| asked(key) && is_in(key));
            // A range may hold keys that lie between all of these.
            prop_assert!(!expected || ranges.meets(&start, end.as_deref()));
            let gaps = ranges.gaps(&start, end.as_deref());
            prop_assert!(gaps.is_sorted());
            for key in keys.iter().filter(|key| asked(key)) {
                let is_in_gap = gaps.iter().any(|(from, to)| key[..] >= from[..] && to.as_ref().is_none_or(|to| key[..] < to[..]));
                prop_assert_eq!(is_in_gap, !is_in(key), "{:?} {:?}", key, gaps);
            }
            prop_assert!(gaps.iter().all(|(from, to)| !ranges.meets(from, to.as_deref())));
        }
    }
}
