//! [`LayerEdits`]: a frozen memtable, or a range of its keys, as the stream of edits that a merge takes.
//!
//! An entry that has expired by the time of its chunk is given as a deletion: it is gone for every reader of the new version, whose
//! clock is not before that, and what it hides in the tree goes with it.

use crate::pace::Progress;
use crate::version::Layer;
use halodb_btree::{Change, Edits, Expiry};
use halodb_memtable::{Cursor, Entry, Found};
use halodb_vfs::mutant;
use std::cell::Cell;

/// See the head of this file.
pub(crate) struct LayerEdits<'p> {
    cursor: Cursor,
    /// The first key that is not given any more.
    end: Option<&'p [u8]>,
    is_at_end: bool,
    now_ms: u64,
    /// Whether something had expired.
    dropped: Cell<bool>,
    /// What writers are told, and how many keys this stream has given.
    progress: &'p Progress,
    taken: u64,
}

impl<'p> LayerEdits<'p> {
    /// Seldom enough that writers, who look at every commit, mostly find it in their cache.
    const TOLD_EVERY: u64 = 64;

    /// The keys from `start` on and below `end`.
    pub(crate) fn new(layer: &Layer, start: &[u8], end: Option<&'p [u8]>, now_ms: u64, progress: &'p Progress) -> Self {
        let mut cursor = layer.table.cursor(layer.last.0);
        cursor.seek(start);
        // A planted fault loses the first key of every chunk but the first.
        if layer.merged_up_to.is_some() && mutant("partition.chunk-skips-key") {
            cursor.next();
        }
        let dropped = Cell::new(false);
        let mut edits = Self { cursor, end, is_at_end: false, now_ms, dropped, progress, taken: 0 };
        edits.arrive();
        edits
    }

    /// Whether something that was given had expired.
    pub(crate) fn has_dropped(&self) -> bool {
        self.dropped.get()
    }

    fn arrive(&mut self) {
        self.lose_expired();
        self.is_at_end = self.end.is_some_and(|end| self.cursor.key().is_none_or(|key| key >= end));
    }

    /// A planted fault drops what has expired, and leaves what it hides.
    fn lose_expired(&mut self) {
        while mutant("partition.drop-uncovers")
            && matches!(self.cursor.found(), Some(Found { entry: Entry::Expiring(_, at_ms), .. }) if at_ms <= self.now_ms)
        {
            self.cursor.next();
        }
    }
}

impl Edits for LayerEdits<'_> {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        if self.is_at_end {
            return None;
        }
        let change = match self.cursor.found()?.entry {
            Entry::Value(bytes) => Change::put(bytes),
            Entry::Expiring(_, at_ms) if at_ms <= self.now_ms => {
                self.dropped.set(true);
                Change::Delete
            }
            Entry::Expiring(bytes, at_ms) => Change::put_until(bytes, Expiry::at_ms(at_ms)),
            Entry::Tombstone => Change::Delete,
        };
        Some((self.cursor.key()?, change))
    }

    fn advance(&mut self) {
        self.cursor.next();
        self.taken += 1;
        if self.taken.is_multiple_of(Self::TOLD_EVERY) {
            self.progress.took_more(Self::TOLD_EVERY);
        }
        self.arrive();
    }
}
