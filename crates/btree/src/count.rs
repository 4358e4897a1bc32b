//! Counting without scanning: branches carry how many entries lie below each child.
//!
//! Every call reads one page per level, whatever the number of entries counted.

use crate::error::Result;
use crate::tree::Tree;
use std::ops::Bound;

impl Tree {
    /// Number of keys below `key`: O(log n).
    ///
    /// # Errors
    /// [`crate::Error`] if a page on the way cannot be trusted.
    pub fn rank(&self, key: &[u8]) -> Result<u64> {
        Ok(self.locate(key)?.0)
    }

    /// Number of keys in a range: O(log n). A range that ends before it begins holds none.
    ///
    /// # Errors
    /// [`crate::Error`] if a page on the way cannot be trusted.
    pub fn count(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<u64> {
        let through = |(rank, found): (u64, bool)| rank + u64::from(found);
        let below = match from {
            Bound::Unbounded => 0,
            Bound::Included(key) => self.locate(key)?.0,
            Bound::Excluded(key) => through(self.locate(key)?),
        };
        let up_to = match to {
            Bound::Unbounded => self.len(),
            Bound::Included(key) => through(self.locate(key)?),
            Bound::Excluded(key) => self.locate(key)?.0,
        };
        Ok(up_to.saturating_sub(below))
    }

    /// The key and value with exactly `i` keys below: O(log n).
    ///
    /// # Errors
    /// [`crate::Error`] if a page on the way cannot be trusted.
    pub fn nth(&self, i: u64) -> Result<Option<(Vec<u8>, &[u8])>> {
        let Some((mut at, mut level)) = self.top() else { return Ok(None) };
        if i >= self.len() {
            return Ok(None);
        }
        let mut rest = i;
        while level > 0 {
            let branch = self.branch(at, level)?;
            let index = branch
                .find_rank(rest)
                .ok_or_else(|| self.corrupt(at, "it counts fewer entries than its parent says"))?;
            rest = rest.saturating_sub(branch.entries_before(index));
            at = self.child(at, &branch, index)?.at;
            level -= 1;
        }
        let leaf = self.leaf(at)?;
        if rest >= leaf.len() as u64 {
            return Err(self.corrupt(at, "it holds fewer entries than its parent says"));
        }
        let record = self.decoded(at, leaf.record(rest as usize))?;
        let value = self.value(at, &record)?;
        Ok(Some((leaf.key(&record), value)))
    }

    /// Number of keys below `key`, and whether it is there itself.
    fn locate(&self, key: &[u8]) -> Result<(u64, bool)> {
        let Some((mut at, mut level)) = self.top() else { return Ok((0, false)) };
        let mut before = 0u64;
        while level > 0 {
            let branch = self.branch(at, level)?;
            let index = self.decoded(at, branch.find(key))?;
            before = before.saturating_add(branch.entries_before(index));
            at = self.child(at, &branch, index)?.at;
            level -= 1;
        }
        let (index, found) = self.decoded(at, self.leaf(at)?.search(key))?;
        Ok((before.saturating_add(index as u64), found))
    }
}
