//! [`LayerEdits`]: a frozen memtable or a run, or a range of its keys, as the stream of edits that a merge takes.
//!
//! An entry that has expired by the time of its chunk is given as a deletion: it is gone for every reader of the new version, whose
//! clock is not before that, and what it hides in the tree goes with it.

use crate::pace::Progress;
use crate::version::Layer;
use crate::{Error, Result, run};
use halodb_btree::{Change, Edits, Expiry};
use halodb_memtable::{Cursor, Entry};
use halodb_vfs::mutant;
use std::cell::{Cell, OnceCell};

/// Where the keys come from.
enum Keys {
    Table(Cursor),
    Run(Box<halodb_btree::Cursor>),
}

/// See the head of this file.
pub(crate) struct LayerEdits<'p> {
    keys: Keys,
    /// Why a run could not be read on: then there are no more edits.
    failed: OnceCell<Error>,
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
        let failed = OnceCell::new();
        let keys = match &layer.run {
            None => {
                let mut cursor = layer.table.cursor(layer.last.0);
                cursor.seek(start);
                Keys::Table(cursor)
            }
            Some(run) => {
                let mut cursor = run.cursor();
                if let Err(e) = cursor.seek(start) {
                    let _ = failed.set(e.into());
                }
                Keys::Run(Box::new(cursor))
            }
        };
        let dropped = Cell::new(false);
        let mut edits = Self { keys, failed, end, is_at_end: false, now_ms, dropped, progress, taken: 0 };
        // A planted fault loses the first key of every chunk but the first.
        if layer.merged_up_to.is_some() && mutant("partition.chunk-skips-key") {
            edits.step();
        }
        edits.arrive();
        edits
    }

    /// To be asked when the edits have come to an end: whether that was all of them.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page of a run could not be read.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    fn key(&self) -> Option<&[u8]> {
        match &self.keys {
            Keys::Table(cursor) => cursor.key(),
            Keys::Run(cursor) => cursor.key(),
        }
    }

    fn at_hand(&self) -> Option<(&[u8], Entry<'_>)> {
        match &self.keys {
            Keys::Table(cursor) => Some((cursor.key()?, cursor.found()?.entry)),
            Keys::Run(_) if self.failed.get().is_some() => None,
            Keys::Run(cursor) => run::entry_at(cursor).unwrap_or_else(|e| {
                let _ = self.failed.set(e);
                None
            }),
        }
    }

    fn step(&mut self) {
        match &mut self.keys {
            Keys::Table(cursor) => cursor.next(),
            Keys::Run(cursor) => {
                if let Err(e) = cursor.next() {
                    let _ = self.failed.set(e.into());
                }
            }
        }
    }

    /// Whether something that was given had expired.
    pub(crate) fn has_dropped(&self) -> bool {
        self.dropped.get()
    }

    fn arrive(&mut self) {
        self.lose_expired();
        self.is_at_end = self.end.is_some_and(|end| self.key().is_none_or(|key| key >= end));
    }

    /// A planted fault drops what has expired, and leaves what it hides.
    fn lose_expired(&mut self) {
        while mutant("partition.drop-uncovers")
            && matches!(self.at_hand(), Some((_, Entry::Expiring(_, at_ms))) if at_ms <= self.now_ms)
        {
            self.step();
        }
    }
}

impl Edits for LayerEdits<'_> {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        if self.is_at_end {
            return None;
        }
        let (key, entry) = self.at_hand()?;
        let change = match entry {
            Entry::Value(bytes) => Change::put(bytes),
            Entry::Expiring(_, at_ms) if at_ms <= self.now_ms => {
                self.dropped.set(true);
                Change::Delete
            }
            Entry::Expiring(bytes, at_ms) => Change::put_until(bytes, Expiry::at_ms(at_ms)),
            Entry::Tombstone => Change::Delete,
        };
        Some((key, change))
    }

    fn advance(&mut self) {
        self.step();
        self.taken += 1;
        if self.taken.is_multiple_of(Self::TOLD_EVERY) {
            self.progress.took_more(Self::TOLD_EVERY);
        }
        self.arrive();
    }
}
