//! [`Run`]: sorted writes of a large commit in a file of their own: what a memtable is to a commit that finds room in memory.
//!
//! It is a tree in a page file, each key once. So its pages have checksums, a filter answers for most keys that are not there, values
//! are borrowed from the mapping, and cursors go both ways. It is written once (`spill.rs`) and never changed.
//!
//! A tree has keys with values that may expire; a run has removals as well. What an entry says stands in the tree's expiry, which
//! cursors know without reading a value:
//!
//! | entry | expiry in the tree | value |
//! |---|---|---|
//! | a value for ever | 0, never | the value |
//! | a removal | 1 | empty |
//! | a value until t, in milliseconds | t + 1 | the value |
//!
//! The tree has no clock and gives all of them; nothing is ever swept out of a run.
//!
//! What this file does not know: whose run it is, its number, and what lies above it or under it (`version.rs`).

use crate::Result;
use halodb_btree::{Cursor, Expiry, Tree};
use halodb_memtable::{Entry, Life};
use std::ops::Bound;
use std::sync::Arc;
// Of a figure, on which no order of events depends: so a model checker need not know of it.
use std::sync::atomic::{AtomicU64, Ordering};

/// What stands for a removal.
const REMOVED: Expiry = Expiry::at_ms(1);

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Run {
    tree: Tree,
    file_bytes: u64,
    /// The sum over all runs of a set.
    all_bytes: Arc<AtomicU64>,
}

impl Run {
    /// The run that a tree is. Its bytes are counted in `all_bytes` as long as it lives.
    pub(crate) fn new(tree: Tree, file_bytes: u64, all_bytes: Arc<AtomicU64>) -> Self {
        all_bytes.fetch_add(file_bytes, Ordering::Relaxed);
        Self { tree, file_bytes, all_bytes }
    }

    /// What it says of a key.
    pub(crate) fn get(&self, hash: u64, key: &[u8]) -> Result<Option<Entry<'_>>> {
        let found = self.tree.get_with_expiry(key, hash)?;
        Ok(found.map(|(value, expiry)| entry_of(value, expiry)))
    }

    /// A cursor over its keys; see [`life_at`] and [`entry_at`].
    pub(crate) fn cursor(&self) -> Cursor {
        self.tree.cursor()
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> u64 {
        self.tree.len()
    }

    /// Bytes of its file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// How many keys it has from `start` on and below `end`.
    pub(crate) fn keys_between(&self, start: &[u8], end: Option<&[u8]>) -> Result<u64> {
        Ok(self.tree.count(Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded))?)
    }

    /// Whether it has a key from `start` on and below `end`.
    pub(crate) fn meets(&self, start: &[u8], end: Option<&[u8]>) -> Result<bool> {
        let mut cursor = self.cursor();
        cursor.seek(start)?;
        Ok(cursor.key().is_some_and(|key| end.is_none_or(|end| key < end)))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(self.file_bytes, Ordering::Relaxed);
    }
}

/// The value and the expiry that stand for an entry.
pub(crate) fn stored(entry: Entry<'_>) -> (&[u8], Expiry) {
    match entry {
        Entry::Value(value) => (value, Expiry::NEVER),
        Entry::Tombstone => (&[], REMOVED),
        // The last time there is and the one before it are the same here; nobody lives to see them.
        Entry::Expiring(value, at_ms) => (value, Expiry::at_ms(at_ms.saturating_add(1))),
    }
}

/// How long the entry with such an expiry gives its key a value.
fn life_of(expiry: Expiry) -> Life {
    match expiry {
        Expiry::NEVER => Life::Forever,
        REMOVED => Life::Absent,
        at => Life::Until(at.ms() - 1),
    }
}

fn entry_of(value: &[u8], expiry: Expiry) -> Entry<'_> {
    match life_of(expiry) {
        Life::Forever => Entry::Value(value),
        Life::Absent => Entry::Tombstone,
        Life::Until(at_ms) => Entry::Expiring(value, at_ms),
    }
}

/// How long the key that a run's cursor is on has a value; absent on none. Reads nothing.
#[inline]
pub(crate) fn life_at(cursor: &Cursor) -> Life {
    cursor.expiry().map(life_of).unwrap_or_default()
}

/// The key that a run's cursor is on, and what the run says of it.
pub(crate) fn entry_at(cursor: &Cursor) -> Result<Option<(&[u8], Entry<'_>)>> {
    let (Some(key), Some(expiry)) = (cursor.key(), cursor.expiry()) else { return Ok(None) };
    Ok(cursor.value()?.map(|value| (key, entry_of(value, expiry))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_it_was_when_it_was_stored() {
        let last = u64::MAX - 1;
        for entry in [
            Entry::Value(b"v"),
            Entry::Value(b""),
            Entry::Tombstone,
            Entry::Expiring(b"v", 1),
            Entry::Expiring(b"", 1_700_000_000_000),
            Entry::Expiring(b"v", last),
        ] {
            let (value, expiry) = stored(entry);
            assert_eq!(entry_of(value, expiry), entry);
            assert_eq!(life_of(expiry), entry.life());
        }
    }
}
