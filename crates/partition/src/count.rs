//! Exact counts: the trees' own counts, corrected by what the memtables say.
//!
//! For one partition, with *U* the union of the range deletes that are not merged yet:
//!
//! ```text
//! live = keys of the tree in the range
//!      - keys of the tree in the range and in U
//!      + over each key k with a version in a memtable:
//!            [the newest version of k is a value] - [k is not in U, and the tree has k]
//! ```
//!
//! The first two terms cost O(log n) each by the counts in the tree's branches; the last one a tree lookup per key.

use crate::Result;
use crate::snapshot::Snapshot;
use crate::sources::Sources;
use crate::version::PartVersion;
use halodb_memtable::RangeDelete;
use halodb_wal::Lsn;
use std::ops::Bound;

pub(crate) fn live_keys(snapshot: &Snapshot, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<u64> {
    let range = KeySpan::new(from, to);
    if range.is_empty() {
        return Ok(0);
    }
    let mut total = 0i64;
    for part in snapshot.parts() {
        total += live_in_partition(part, snapshot.lsn(), &range)?;
    }
    debug_assert!(total >= 0, "{total} keys");
    Ok(total.max(0) as u64)
}

fn live_in_partition(part: &PartVersion, at: Lsn, range: &KeySpan) -> Result<i64> {
    let hidden = union(part.layers().flat_map(|layer| layer.range_deletes(at)).collect());
    let mut live = range.count_in(part)?;
    for span in &hidden {
        live -= span.intersection(range).count_in(part)?;
    }
    let mut keys = Sources::in_memory(part, at);
    keys.seek(&range.start)?;
    while let Some(key) = keys.key() {
        if !range.contains(key) {
            break;
        }
        if keys.is_live() {
            live += 1;
        }
        if !hidden.iter().any(|span| span.contains(key)) && part.tree.get(key)?.is_some() {
            live -= 1;
        }
        keys.next()?;
    }
    Ok(live)
}

/// A half-open stretch of keys; no end: to the last key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySpan {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Option<Vec<u8>>,
}

impl KeySpan {
    fn new(from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        let start = match from {
            Bound::Unbounded => Vec::new(),
            Bound::Included(key) => key.to_vec(),
            Bound::Excluded(key) => crate::version::successor(key),
        };
        let end = match to {
            Bound::Unbounded => None,
            Bound::Excluded(key) => Some(key.to_vec()),
            Bound::Included(key) => Some(crate::version::successor(key)),
        };
        Self { start, end }
    }

    fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }

    fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_deref().is_none_or(|end| key < end)
    }

    fn intersection(&self, other: &KeySpan) -> KeySpan {
        let start = self.start.clone().max(other.start.clone());
        let end = match (&self.end, &other.end) {
            (Some(a), Some(b)) => Some(a.min(b).clone()),
            (Some(end), None) | (None, Some(end)) => Some(end.clone()),
            (None, None) => None,
        };
        KeySpan { start, end }
    }

    fn count_in(&self, part: &PartVersion) -> Result<i64> {
        if self.is_empty() {
            return Ok(0);
        }
        let to = match &self.end {
            Some(end) => Bound::Excluded(&end[..]),
            None => Bound::Unbounded,
        };
        Ok(part.tree.count(Bound::Included(&self.start), to)? as i64)
    }
}

/// Range deletes as sorted stretches that neither overlap nor touch.
pub(crate) fn union(ranges: Vec<RangeDelete>) -> Vec<KeySpan> {
    let mut spans: Vec<KeySpan> = ranges
        .into_iter()
        .map(|r| KeySpan { start: r.start.into(), end: r.end.map(Into::into) })
        .filter(|span| !span.is_empty())
        .collect();
    spans.sort_by(|a, b| a.start.cmp(&b.start));
    let mut merged: Vec<KeySpan> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if last.end.as_ref().is_none_or(|end| *end >= span.start) => {
                last.end = match (last.end.take(), span.end) {
                    (Some(a), Some(b)) => Some(a.max(b)),
                    _ => None,
                };
            }
            _ => merged.push(span),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ranges: &[(&str, Option<&str>)], expected: &[(&str, Option<&str>)]) {
        let ranges = ranges.iter().enumerate().map(|(i, (start, end))| RangeDelete {
            start: start.as_bytes().into(),
            end: end.map(|e| e.as_bytes().into()),
            seq: i as u64,
        });
        let expected: Vec<_> = expected
            .iter()
            .map(|(s, e)| KeySpan { start: s.as_bytes().into(), end: e.map(|e| e.as_bytes().into()) })
            .collect();
        assert_eq!(union(ranges.collect()), expected);
    }

    #[test]
    fn ranges_that_overlap_or_touch_become_one() {
        check(&[("c", Some("e")), ("a", Some("c"))], &[("a", Some("e"))]);
        check(&[("a", Some("z")), ("b", Some("c"))], &[("a", Some("z"))]);
        check(&[("a", None), ("b", Some("c"))], &[("a", None)]);
        check(&[("a", Some("b")), ("c", None)], &[("a", Some("b")), ("c", None)]);
        check(&[("b", Some("a"))], &[]);
    }
}
