//! Exact counts: the trees' own counts, corrected by what the memtables say.
//!
//! The range deletes that are not merged yet cut a range into pieces. For one partition:
//!
//! ```text
//! in a piece that none of them covers       keys of the tree + over the memtables: the tally of the piece
//! in one that is covered                    over each key with a version in a memtable: [the newest is a value]
//! ```
//!
//! All of it at the snapshot's time: of the tree's keys those that have expired by then are taken off, which costs a look at
//! the leaves that hold them; tallies are told the time.
//!
//! A memtable's tally (`halodb-memtable`) says how many keys it adds to what lies under it: older memtables and the tree.
//! It asks that once for each key, whatever is merged meanwhile, and so a count costs O(log n), and one lookup for each key
//! written since the last count. A snapshot that is older than the last count does without: then it is one lookup for
//! each key of the range in the memtables, each time.
//!
//! Invariant: where a tally is used, no range delete as old as the count or older lies over a key in it; so what lies under a
//! key is what the older layers say, and stays so when they are merged; what a merge or a sweep drops has expired by a time
//! that the version states (`dropped_ms`), and who counts at an earlier one does without tallies.

use crate::snapshot::Snapshot;
use crate::sources::Sources;
use crate::stream::life_of;
use crate::version::{PartVersion, successor};
use crate::{Error, Result};
use halodb_btree::Tree;
use halodb_memtable::{AsOf, Life, RangeDelete, Tally};
use halodb_vfs::mutant;
use std::ops::Bound;

pub(crate) fn live_keys(snapshot: &Snapshot, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<u64> {
    let range = KeySpan::new(from, to);
    if range.is_empty() {
        return Ok(0);
    }
    let mut total = 0i64;
    for part in snapshot.parts() {
        let live = live_in_partition(snapshot, part, &range)?;
        if live < 0 {
            return Err(contradiction(&part.tree));
        }
        total = total.saturating_add(live);
    }
    Ok(total.unsigned_abs())
}

/// The error for a tree that tells of other numbers of keys than it has.
pub(crate) fn contradiction(tree: &Tree) -> Error {
    Error::corrupt(tree.snapshot().path(), "the counts of the tree contradict each other")
}

fn live_in_partition(snapshot: &Snapshot, part: &PartVersion, range: &KeySpan) -> Result<i64> {
    let now_ms = snapshot.now_ms();
    let mut live = range.count_in(part, now_ms)?;
    if !part.has_unmerged() {
        return Ok(live);
    }
    let hidden = union(part.layers().flat_map(|layer| layer.range_deletes(snapshot.lsn())).collect());
    for span in &hidden {
        let span = span.intersection(range);
        if !span.is_empty() {
            live -= span.count_in(part, now_ms)?;
            live += keys_in_memory(snapshot, part, &span, &mut |_| Ok(0))?;
        }
    }
    let pieces = range.without(&hidden);
    match tallies(snapshot, part)? {
        Some(tallies) => {
            for piece in &pieces {
                live += tallies.iter().map(|tally| tally.of(piece)).sum::<i64>();
            }
        }
        None => {
            for piece in &pieces {
                let mut in_tree = |key: &[u8]| {
                    let found = part.tree.get_with_expiry(key, part.tree.hash(key))?;
                    Ok(i64::from(found.is_some_and(|(_, expiry)| !expiry.is_past(now_ms))))
                };
                live += keys_in_memory(snapshot, part, piece, &mut in_tree)?;
            }
        }
    }
    Ok(live)
}

/// Over the keys of a stretch that have a version in a memtable: one if the newest is a value, less what `under` says.
fn keys_in_memory(
    snapshot: &Snapshot,
    part: &PartVersion,
    span: &KeySpan,
    under: &mut dyn FnMut(&[u8]) -> Result<i64>,
) -> Result<i64> {
    let mut live = 0;
    let mut keys = Sources::in_memory(part, snapshot.lsn(), snapshot.now_ms());
    keys.seek(&span.start)?;
    while let Some(key) = keys.key().filter(|key| span.contains(key)) {
        live += i64::from(keys.is_live()) - under(key)?;
        keys.next()?;
    }
    Ok(live)
}

/// The tally of a layer, and where what is not merged of it begins.
struct OfLayer<'p> {
    tally: Tally<'p>,
    first: Option<Vec<u8>>,
}

impl OfLayer<'_> {
    fn of(&self, piece: &KeySpan) -> i64 {
        let start = match &self.first {
            // A planted fault counts what is in the tree already a second time.
            Some(first) if !mutant("partition.count-merged-twice") => first.max(&piece.start),
            _ => &piece.start,
        };
        self.tally.between(start, piece.end.as_deref())
    }
}

/// The tallies of all memtables of a partition; `None` if one of its layers is a run, or one of them has gone on beyond the snapshot, was merged further
/// before it was counted, or was counted over a tree without something that is live at the snapshot's time.
fn tallies<'p>(snapshot: &Snapshot, part: &'p PartVersion) -> Result<Option<Vec<OfLayer<'p>>>> {
    if part.has_runs() {
        return Ok(None);
    }
    let mut all = Vec::new();
    let as_of = AsOf { now_ms: snapshot.now_ms(), dropped_ms: part.dropped_ms };
    for (depth, layer) in part.layers().enumerate() {
        let done = layer.merged_up_to.as_deref();
        let tally =
            layer.table.tally(snapshot.lsn().0, done, as_of, |keys| lives_under(snapshot, part, depth, keys))?;
        let Some(tally) = tally else { return Ok(None) };
        all.push(OfLayer { tally, first: done.map(successor) });
    }
    Ok(Some(all))
}

/// How long keys have a value in what lies under the layer number `depth`: older layers, then the tree.
fn lives_under(snapshot: &Snapshot, part: &PartVersion, depth: usize, keys: &[&[u8]]) -> Result<Vec<Life>> {
    let mut lives = vec![Life::Absent; keys.len()];
    let (mut asked, mut numbers) = (Vec::with_capacity(keys.len()), Vec::with_capacity(keys.len()));
    // A planted fault takes what older memtables say for unwritten.
    let older = if mutant("partition.count-asks-tree-only") { usize::MAX } else { depth + 1 };
    for (i, key) in keys.iter().enumerate() {
        let hash = snapshot.router().hash(key);
        match part.in_memory_below(older, hash, key, snapshot.lsn())? {
            Some(found) => lives[i] = found.entry.life(),
            None => {
                asked.push((*key, hash));
                numbers.push(i);
            }
        }
    }
    part.tree.multi_get_hashed(&asked, |i, _, expiry| lives[numbers[i]] = life_of(expiry))?;
    Ok(lives)
}

/// The first key that a bound lets through.
pub(crate) fn lower(from: Bound<&[u8]>) -> Vec<u8> {
    match from {
        Bound::Unbounded => Vec::new(),
        Bound::Included(key) => key.to_vec(),
        Bound::Excluded(key) => successor(key),
    }
}

/// The first key that a bound does not let through.
pub(crate) fn upper(to: Bound<&[u8]>) -> Option<Vec<u8>> {
    match to {
        Bound::Unbounded => None,
        Bound::Excluded(key) => Some(key.to_vec()),
        Bound::Included(key) => Some(successor(key)),
    }
}

/// A half-open stretch of keys; no end: to the last key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySpan {
    pub(crate) start: Vec<u8>,
    pub(crate) end: Option<Vec<u8>>,
}

impl KeySpan {
    fn new(from: Bound<&[u8]>, to: Bound<&[u8]>) -> Self {
        Self { start: lower(from), end: upper(to) }
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

    /// What is left of it beside sorted stretches that do not overlap.
    fn without(&self, others: &[KeySpan]) -> Vec<KeySpan> {
        let mut pieces = Vec::new();
        let mut start = Some(self.start.clone());
        for other in others {
            let Some(from) = start.take() else { break };
            let before = KeySpan { start: from.clone(), end: Some(other.start.clone()) };
            pieces.push(before.intersection(self));
            start = other.end.clone().map(|end| end.max(from));
        }
        if let Some(start) = start {
            pieces.push(KeySpan { start, end: self.end.clone() });
        }
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// The keys of the tree in it that have not expired.
    fn count_in(&self, part: &PartVersion, now_ms: u64) -> Result<i64> {
        if self.is_empty() {
            return Ok(0);
        }
        let to = match &self.end {
            Some(end) => Bound::Excluded(&end[..]),
            None => Bound::Unbounded,
        };
        // A branch counts in 56 bits.
        let count = part.tree.count(Bound::Included(&self.start), to)?;
        // A planted fault counts what has expired.
        let expired = match mutant("partition.count-ignores-expiry") {
            true => 0,
            false => part.tree.count_expired(&self.start, self.end.as_deref(), now_ms)?,
        };
        let live = count.checked_sub(expired).and_then(|live| i64::try_from(live).ok());
        live.filter(|&live| live < 1 << 56).ok_or_else(|| contradiction(&part.tree))
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
    fn a_range_without_stretches_is_what_lies_between_them() {
        let span = |start: &str, end: Option<&str>| KeySpan { start: start.into(), end: end.map(Into::into) };
        let without = |range: KeySpan, others: &[KeySpan]| range.without(others);
        let others = [span("b", Some("d")), span("f", Some("h"))];
        assert_eq!(without(span("", None), &others), [span("", Some("b")), span("d", Some("f")), span("h", None)]);
        assert_eq!(without(span("c", Some("g")), &others), [span("d", Some("f"))]);
        assert_eq!(without(span("b", Some("d")), &others), []);
        assert_eq!(without(span("i", Some("k")), &others), [span("i", Some("k"))]);
        assert_eq!(without(span("a", None), &[span("b", None)]), [span("a", Some("b"))]);
        assert_eq!(without(span("a", None), &[]), [span("a", None)]);
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
