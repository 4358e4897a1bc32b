//! A batch of changes for [`crate::Store::apply`], collected in any order.

use crate::expiry::Expiry;
use crate::merge::{Change, Edits, KeyRange};
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;

/// What a key is set to.
type Put = (Vec<u8>, Expiry);

/// Changes that are applied together or not at all. A later change of a key replaces an earlier one; a range deleted
/// covers what the batch set before, not what it sets afterwards.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    edits: BTreeMap<Vec<u8>, Option<Put>>,
    ranges: Vec<KeyRange>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Sets a key to a value that never expires.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> &mut Batch {
        self.put_until(key, value, Expiry::NEVER)
    }

    /// Sets a key to a value with a time at which it expires. The time is stored and given back ([`Cursor::expiry`]); the
    /// tree has no clock, and goes on giving the value until it is deleted.
    ///
    /// [`Cursor::expiry`]: crate::Cursor::expiry
    pub fn put_until(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>, expiry: Expiry) -> &mut Batch {
        self.edits.insert(key.into(), Some((value.into(), expiry)));
        self
    }

    /// Removes a key, if there.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) -> &mut Batch {
        self.edits.insert(key.into(), None);
        self
    }

    /// Removes all keys from `start` on and below `end` (`None`: to the last). Whole subtrees go without being read.
    pub fn delete_range(&mut self, start: impl Into<Vec<u8>>, end: Option<Vec<u8>>) -> &mut Batch {
        let range = KeyRange { start: start.into(), end };
        if range.end.as_ref().is_some_and(|end| range.start >= *end) {
            return self;
        }
        let upper = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let covered = self.edits.range::<[u8], _>((Bound::Included(range.start.as_slice()), upper));
        let covered: Vec<Vec<u8>> = covered.map(|(key, _)| key.clone()).collect();
        covered.iter().for_each(|key| drop(self.edits.remove(key)));
        self.ranges.push(range);
        self
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.ranges.is_empty()
    }

    /// The ranges, ascending and disjoint.
    pub(crate) fn ranges(&self) -> Vec<KeyRange> {
        let mut sorted = self.ranges.clone();
        sorted.sort_by(|a, b| a.start.cmp(&b.start));
        let mut out: Vec<KeyRange> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match out.last_mut() {
                Some(last) if last.end.as_ref().is_none_or(|end| *end >= range.start) => {
                    // `None` is the greatest end, not the least as `Option` orders it.
                    if range.end.is_none() || last.end.as_ref().is_some_and(|end| Some(end) < range.end.as_ref()) {
                        last.end = range.end;
                    }
                }
                _ => out.push(range),
            }
        }
        out
    }

    /// The edits, ascending.
    pub(crate) fn edits(&self) -> BatchEdits<'_> {
        let mut rest = self.edits.iter();
        BatchEdits { current: rest.next(), rest }
    }
}

/// The edits of a batch as a stream.
#[derive(Debug)]
pub(crate) struct BatchEdits<'b> {
    current: Option<(&'b Vec<u8>, &'b Option<Put>)>,
    rest: btree_map::Iter<'b, Vec<u8>, Option<Put>>,
}

impl Edits for BatchEdits<'_> {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        let (key, value) = self.current?;
        Some((key, value.as_ref().map_or(Change::Delete, |(value, expiry)| Change::put_until(value, *expiry))))
    }

    fn advance(&mut self) {
        self.current = self.rest.next();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: Option<&str>) -> KeyRange {
        KeyRange { start: start.into(), end: end.map(Into::into) }
    }

    #[test]
    fn ranges_that_touch_or_overlap_become_one() {
        let check = |given: &[(&str, Option<&str>)], expected: &[(&str, Option<&str>)]| {
            let mut batch = Batch::new();
            for (start, end) in given {
                batch.delete_range(*start, end.map(Into::into));
            }
            let expected: Vec<KeyRange> = expected.iter().map(|(start, end)| range(start, *end)).collect();
            assert_eq!(batch.ranges(), expected);
        };
        check(&[("d", Some("f")), ("a", Some("b"))], &[("a", Some("b")), ("d", Some("f"))]);
        check(&[("a", Some("d")), ("b", Some("c"))], &[("a", Some("d"))]);
        check(&[("a", Some("c")), ("c", Some("e"))], &[("a", Some("e"))]);
        check(&[("a", None), ("c", Some("e"))], &[("a", None)]);
        check(&[("a", Some("c")), ("b", None)], &[("a", None)]);
        check(&[("c", Some("c")), ("e", Some("d"))], &[]);
    }

    #[test]
    fn a_deleted_range_covers_what_was_set_before_it_only() {
        let mut batch = Batch::new();
        batch.put("a", "1").put("b", "1").delete_range("a", Some(b"c".to_vec())).put("b", "2");
        let edits = batch.edits();
        assert_eq!(edits.current(), Some((&b"b"[..], Change::put(b"2"))));
    }
}
