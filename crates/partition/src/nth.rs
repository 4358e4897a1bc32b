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
    /// Cost: O(log² n) and as many counts as the logarithm of the number of keys: some hundred microseconds for millions of
    /// keys. See [`Snapshot::count`] for what a count costs after writes.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn nth(&self, from: Bound<&[u8]>, to: Bound<&[u8]>, i: u64) -> Result<Option<Cursor>> {
        if count::live_keys(self, from, to)? <= i {
            return Ok(None);
        }
        let (lower, upper) = (count::lower(from), count::upper(to));
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
        let mut cursor = self.cursor();
        cursor.seek(&search.lower)?;
        for _ in search.before..i {
            if cursor.key().is_none() {
                break;
            }
            cursor.next()?;
        }
        Ok(cursor.key().is_some().then_some(cursor))
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
