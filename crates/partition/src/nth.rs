//! The key with so many keys before it, found by counting.
//!
//! Counting below a key is cheap (`count`), so the key is closed in from both sides: by halving what lies between in each
//! tree in turn, which knows its keys by number, then in each memtable's order. What is left is a few keys to walk over.

use crate::count::{self, contradiction};
use crate::snapshot::Snapshot;
use crate::{Cursor, Result};
use std::ops::Bound;

/// So many keys of a memtable are rather walked over than halved.
const FEW: usize = 32;

/// What is known of the place: it is in `[lower, upper)`, and `before` keys are below `lower`.
struct Search<'s> {
    snapshot: &'s Snapshot,
    from: Bound<&'s [u8]>,
    wanted: u64,
    lower: Vec<u8>,
    before: u64,
    upper: Option<Vec<u8>>,
}

impl Snapshot {
    /// A cursor on the key that has exactly `i` live keys between `from` and itself; `None` if there are not so many up to
    /// `to`.
    ///
    /// Cost: while writes that found no room in memory are not merged, a step for each key before it; otherwise O(log² n) and as many counts as the logarithm of the number of keys: some hundred microseconds for millions of
    /// keys. See [`Snapshot::count`] for what a count costs after writes.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn nth(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, i: u64) -> Result<Option<Cursor>> {
        if count::live_keys(self, from, to)? <= i {
            return Ok(None);
        }
        let (lower, upper) = (count::lower(from), count::upper(to));
        if self.parts().iter().any(|part| part.has_runs()) {
            // To count is to walk then.
            return self.walk_to(&lower, upper.as_deref(), i);
        }
        let mut search = Search { snapshot: self, from, wanted: i, lower, before: 0, upper };
        for part in self.parts() {
            let tree = &part.tree;
            let mut first = tree.rank(&search.lower)?;
            let mut end = match &search.upper {
                Some(upper) => tree.rank(upper)?,
                None => tree.len(),
            };
            while first < end {
                let middle = first + (end - first) / 2;
                let Some((key, _)) = tree.nth(middle)? else { return Err(contradiction(tree)) };
                if search.is_at_or_behind(key)? {
                    first = middle + 1;
                } else {
                    end = middle;
                }
            }
        }
        for layer in self.parts().iter().flat_map(|part| part.layers()) {
            while let Some((keys, key)) = layer.table.middle(&search.lower, search.upper.as_deref())
                && keys > FEW
            {
                let key = key.to_vec();
                search.is_at_or_behind(key)?;
            }
        }
        let upper = search.upper.as_deref();
        self.walk_to(&search.lower, upper, i.saturating_sub(search.before))
    }

    /// A cursor on the key that has so many live keys between `lower` and itself, if it is below `upper`.
    fn walk_to(&self, lower: &[u8], upper: Option<&[u8]>, keys: u64) -> Result<Option<Cursor>> {
        let mut cursor = self.cursor();
        cursor.seek(lower)?;
        for _ in 0..keys {
            if cursor.key().is_none() {
                break;
            }
            cursor.next()?;
        }
        let is_there = cursor.key().is_some_and(|key| upper.is_none_or(|upper| key < upper));
        Ok(is_there.then_some(cursor))
    }
}

impl Search<'_> {
    /// Whether the place is at `key` or behind it; keeps what that says.
    fn is_at_or_behind(&mut self, key: Vec<u8>) -> Result<bool> {
        let before = count::live_keys(self.snapshot, self.from, Bound::Excluded(&key))?;
        let is_behind = before <= self.wanted;
        if is_behind {
            (self.lower, self.before) = (key, before);
        } else {
            self.upper = Some(key);
        }
        Ok(is_behind)
    }
}
