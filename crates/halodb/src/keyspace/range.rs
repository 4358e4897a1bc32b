//! Removing ranges of keys.
//!
//! A range delete is one small entry however much it removes, but every read looks at it until it is merged. So a few keys are
//! removed one by one, in one batch, on the condition that nobody wrote to the range meanwhile; and where there are none,
//! nothing is written at all. Only many keys, and a range that is being written to, get a range delete.

use std::ops::{Bound, RangeBounds};

use halodb_partition::{self as partition, Expect, ReadSet, Removal, Validated};

use super::Keyspace;
use crate::Result;
use crate::engine::Engine;
use crate::span::Span;

/// Up to so many keys are removed one by one.
const FEW: usize = 16;

impl Keyspace {
    /// Removes all keys of a range, in one step; exactly how many there were. One small record in the log, however many
    /// there are; space is returned by the merges that follow. Snapshots taken before still show what was there.
    ///
    /// Cost: as a [`put`](Keyspace::put), and of a short scan or a [`count`](Keyspace::count) of the range. Until it is merged,
    /// a range with more than a few keys is looked at by every read: thousands of such calls between two merges make reads slow.
    ///
    /// # Errors
    /// As [`Keyspace::put`]. With `Corrupt` or `Io` the keys are removed, but their number is not known.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "").put("b", "").put("c", "").commit()?;
    /// assert_eq!(db.delete_range("b"..)?, 2);
    /// assert_eq!(db.delete_range("z".."a")?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<u64> {
        self.remove_span(Span::of(self.id, range))
    }

    /// Removes all keys that start with `prefix`, as [`Keyspace::delete_range`] does.
    ///
    /// # Errors
    /// As [`Keyspace::delete_range`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("cache/1", "").put("cache/2", "").put("user/1", "").commit()?;
    /// assert_eq!(db.delete_prefix("cache/")?, 2);
    /// assert_eq!(db.len()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<u64> {
        self.remove_span(Span::prefix(self.id, prefix.as_ref()))
    }

    fn remove_span(&self, span: Option<Span>) -> Result<u64> {
        let call = self.inner.writable()?;
        let Some(span) = span else {
            // Nothing can be in it; the answer is an error all the same if there is no keyspace.
            return self.view().map(|_| 0);
        };
        let (start, end) = half_open(&span);
        let removed = self.remove_few(&call, &start, end.as_deref())?;
        if let Some(number) = removed {
            return Ok(number);
        }
        let condition = self.member().map(|member| (&*member.entry, Expect::Present));
        let level = self.inner.durability;
        match (call.delete_range((&start, end.as_deref()), condition.as_slice(), level)?, self.member()) {
            (Removal::Removed { keys, .. }, _) => Ok(keys),
            (Removal::Failed(_), Some(member)) => Err(member.gone()),
            (Removal::Failed(_), None) => Ok(0),
        }
    }
    /// Removes the keys of a range one by one, if they are few; `None`: they are not, or somebody writes to the range, and nothing
    /// was done.
    fn remove_few(&self, engine: &Engine, start: &[u8], end: Option<&[u8]>) -> Result<Option<u64>> {
        let level = self.inner.durability;
        let newest = engine.set.newest();
        let (mut reads, mut batch) = (ReadSet::new(), partition::Batch::new());
        if let Some(member) = self.member() {
            reads.add_key(&member.entry);
            if newest.get_with(&member.entry, |_| ())?.is_none() {
                // The range delete finds that, too, and says so.
                return Ok(None);
            }
        }
        let mut cursor = newest.cursor();
        cursor.seek(start)?;
        while let Some(key) = cursor.key().filter(|key| end.is_none_or(|end| *key < end)) {
            if batch.len() == FEW {
                return Ok(None);
            }
            batch.delete(key);
            cursor.next()?;
        }
        drop(cursor);
        if batch.is_empty() {
            engine.set.wait_settled(newest.lsn(), level)?;
            return Ok(Some(0));
        }
        reads.add_range(Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
        let done = engine.commit_validated(&batch, &newest, &reads, level)?;
        Ok(matches!(done, Validated::Committed(_)).then_some(batch.len() as u64))
    }
}

/// A span as the first stored key in it and, if there is one, the first after it.
pub(crate) fn half_open(span: &Span) -> (Vec<u8>, Option<Vec<u8>>) {
    let after = |key: &[u8]| [key, &[0]].concat();
    let (lower, upper) = span.bounds();
    let start = match lower {
        Bound::Included(key) => key.to_vec(),
        Bound::Excluded(key) => after(key),
        Bound::Unbounded => Vec::new(),
    };
    let end = match upper {
        Bound::Included(key) => Some(after(key)),
        Bound::Excluded(key) => Some(key.to_vec()),
        Bound::Unbounded => None,
    };
    (start, end)
}
