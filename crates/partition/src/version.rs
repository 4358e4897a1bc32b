//! [`SetVersion`]: one immutable picture of all partitions — which memtables and which tree each consists of.
//!
//! Readers take the current version and a sequence number together, and need no lock afterwards. Writers of the picture
//! (a memtable is frozen, a merge publishes a tree) replace it whole, under a lock held for the swap of a pointer.
//! Lock order: the log's sequencer, then this one; never the other way round.
//!
//! Invariant: no tree of a version holds anything younger than its `floor`, and a version is published only when
//! everything up to its `floor` is visible. So a reader at `max(visible, floor)` sees each write once.

use crate::Result;
use crate::run::Run;
use crate::sync::RwLock;
use halodb_btree::Tree;
use halodb_memtable::{Bytes, Found, Memtable, RangeDelete};
use halodb_vfs::{Lock, mutant};
use halodb_wal::Lsn;
use std::sync::Arc;

/// A memtable, the active one or a frozen one on its way into the tree; or a run in the place of one.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) table: Arc<Memtable>,
    /// Of a large commit that found no room in memory: all its entries, with the number `last`; the table has its range deletes
    /// only.
    pub(crate) run: Option<Arc<Run>>,
    /// Every record up to here that concerns the partition is in this table or below it. Of the active one: the greatest
    /// number there is.
    pub(crate) last: Lsn,
    /// Keys up to this one are in the tree already: the table is not asked about them any more.
    pub(crate) merged_up_to: Option<Arc<[u8]>>,
    /// The tables of a partition are numbered from the open on, in the order in which they were active; that of a large
    /// commit comes between two of these.
    pub(crate) number: u64,
    /// Of a large commit: as long as it is not merged, no tree under it claims to be farther in the log than this, the last
    /// record before its first part.
    pub(crate) holds: Lsn,
}

impl Layer {
    /// A table that is written to.
    pub(crate) fn active(table: Arc<Memtable>, number: u64) -> Self {
        Self { table, run: None, last: Lsn(u64::MAX), merged_up_to: None, number, holds: Lsn(u64::MAX) }
    }

    /// The table of a large commit, which is the record `last`; `before` is the last record in front of its parts.
    pub(crate) fn of_large(large: Sealed, number: u64, last: Lsn, before: Lsn) -> Self {
        let Sealed { table, run } = large;
        Self { table, run, last, merged_up_to: None, number, holds: before }
    }

    /// The same table with everything up to `last`, nothing of which is merged.
    pub(crate) fn frozen(self, last: Lsn) -> Self {
        Self { last, ..self }
    }

    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        self.merged_up_to.as_deref().is_none_or(|done| key > done)
    }

    /// The newest version of `key` not younger than `at`, unless the tree has it already.
    #[inline]
    pub(crate) fn get(&self, hash: u64, key: &[u8], at: Lsn) -> Result<Option<Found<'_>>> {
        if !self.covers(key) {
            return Ok(None);
        }
        match &self.run {
            None => Ok(self.table.get(hash, key, at.0)),
            Some(run) => self.get_in_run(run, hash, key, at),
        }
    }

    #[cold]
    fn get_in_run<'l>(&'l self, run: &'l Run, hash: u64, key: &[u8], at: Lsn) -> Result<Option<Found<'l>>> {
        // The range deletes of a commit apply before its entries.
        if at >= self.last
            && let Some(entry) = run.get(hash, key)?
        {
            return Ok(Some(Found { seq: self.last.0, entry }));
        }
        Ok(self.table.get(hash, key, at.0))
    }

    /// Whether it holds neither entries nor range deletes.
    pub(crate) fn is_empty(&self) -> bool {
        self.run.is_none() && self.table.is_empty()
    }

    /// Versions in it, range deletes included.
    pub(crate) fn versions(&self) -> u64 {
        self.table.versions() + self.run.as_ref().map_or(0, |run| run.len())
    }

    /// About how many keys it has from `start` on and below `end`.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page of a run cannot be read.
    pub(crate) fn keys_between(&self, start: &[u8], end: Option<&[u8]>) -> Result<u64> {
        match &self.run {
            None => Ok(self.table.middle(start, end).map_or(0, |(keys, _)| keys as u64)),
            Some(run) => run.keys_between(start, end),
        }
    }

    /// As [`Layer::get`] of a layer without a run, with a share of the value; `None` in it: deleted.
    fn get_shared(&self, hash: u64, key: &[u8], at: Lsn) -> Option<Option<Bytes>> {
        if !self.covers(key) {
            return None;
        }
        self.table.get_shared(hash, key, at.0).map(|(_, value)| value)
    }

    /// The layer's range deletes not younger than `at`, without the part that the tree has seen already.
    pub(crate) fn range_deletes(&self, at: Lsn) -> Vec<RangeDelete> {
        let mut ranges = self.table.range_deletes(at.0);
        if let Some(done) = self.merged_up_to.as_deref() {
            ranges.retain(|r| r.end.as_deref().is_none_or(|end| end > done));
            for range in &mut ranges {
                if *range.start <= *done {
                    range.start = successor(done).into();
                }
            }
        }
        ranges
    }
}

/// What a large commit has for a partition.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Sealed; its range deletes only, if there is a run.
    pub(crate) table: Arc<Memtable>,
    pub(crate) run: Option<Arc<Run>>,
}

/// What memory says of the newest version of a key.
pub(crate) enum Newest<'v> {
    Found(Found<'v>),
    /// Nothing above the run of the commit with this number; what that and all that is older says is to be read from files.
    Run(Lsn),
    Absent,
}

/// The least key above `key`.
pub(crate) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// One partition in a version: layers from the newest to the oldest, then the tree.
#[derive(Clone, Debug)]
pub(crate) struct PartVersion {
    pub(crate) active: Layer,
    /// Newest first.
    pub(crate) frozen: Vec<Layer>,
    pub(crate) tree: Tree,
    /// What had expired by then may have been dropped from tree and memtables. Whoever sees this version has a clock that is
    /// not before it. 0: nothing was.
    pub(crate) dropped_ms: u64,
}

impl PartVersion {
    /// The memtables from the newest to the oldest.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.active).chain(&self.frozen)
    }

    /// The newest version of `key` in the memtables not younger than `at`.
    #[inline]
    pub(crate) fn in_memory(&self, hash: u64, key: &[u8], at: Lsn) -> Result<Option<Found<'_>>> {
        match self.active.get(hash, key, at)? {
            None => self.in_memory_below(1, hash, key, at),
            found => Ok(found),
        }
    }

    /// As [`PartVersion::in_memory`], of the layers that have so many newer ones, 1 at least, or more.
    #[inline]
    pub(crate) fn in_memory_below(&self, newer: usize, hash: u64, key: &[u8], at: Lsn) -> Result<Option<Found<'_>>> {
        // The active one is the newest.
        for layer in self.frozen.iter().skip(newer.saturating_sub(1)) {
            let found = layer.get(hash, key, at)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether one of the layers is a run.
    pub(crate) fn has_runs(&self) -> bool {
        self.frozen.iter().any(|layer| layer.run.is_some())
    }

    /// Asks for the memory where [`PartVersion::in_memory`] begins.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.layers().for_each(|layer| layer.table.prefetch(hash));
    }

    /// As [`PartVersion::in_memory`] where no layer is a run, with a share of the value; `None` in it: deleted.
    pub(crate) fn in_memory_shared(&self, hash: u64, key: &[u8], at: Lsn) -> Option<Option<Bytes>> {
        self.layers().find_map(|layer| layer.get_shared(hash, key, at))
    }

    /// The newest version of `key` in the memtables above the newest run, visible or not, merged or not. Reads no file.
    pub(crate) fn newest_in_memory(&self, hash: u64, key: &[u8]) -> Newest<'_> {
        for layer in self.layers() {
            if layer.run.is_some() {
                return Newest::Run(layer.last);
            }
            if let Some(found) = layer.table.newest(hash, key) {
                return Newest::Found(found);
            }
        }
        Newest::Absent
    }

    /// Puts a large commit above everything, under a new active table. `last` is the greatest number that was given out
    /// before the commit.
    pub(crate) fn lay(&mut self, large: Sealed, empty: Arc<Memtable>, last: Lsn, lsn: Lsn, before: Lsn) {
        let number = self.active.number;
        let full = std::mem::replace(&mut self.active, Layer::active(empty, number + 2));
        if !full.table.is_empty() {
            self.frozen.insert(0, full.frozen(last));
        }
        self.frozen.insert(0, Layer::of_large(large, number + 1, lsn, before));
    }

    pub(crate) fn has_unmerged(&self) -> bool {
        !self.active.table.is_empty() || !self.frozen.is_empty()
    }
}

/// One picture of all partitions.
#[derive(Clone, Debug)]
pub(crate) struct SetVersion {
    /// The lock of the database's files, until it is closed. A reader that pins a version keeps the lock with it: nobody
    /// may open the files anew, and reuse pages, under a reader that the new opener does not know of.
    pub(crate) lock: Option<Arc<Lock>>,
    pub(crate) floor: Lsn,
    pub(crate) parts: Vec<Arc<PartVersion>>,
}

/// The current version.
#[derive(Debug)]
pub(crate) struct VersionCell(RwLock<Arc<SetVersion>>);

impl VersionCell {
    pub(crate) fn new(version: SetVersion) -> Self {
        Self(RwLock::new(Arc::new(version)))
    }

    /// The current version and a number at which it may be read. `visible` is asked while the version cannot change:
    /// otherwise a write might become visible in a memtable that only a newer version has.
    pub(crate) fn capture(&self, visible: impl FnOnce() -> Lsn) -> (Arc<SetVersion>, Lsn) {
        // A planted fault asks when the version may have been replaced.
        if mutant("partition.capture-late") {
            let current = self.load();
            let lsn = visible().max(current.floor);
            return (current, lsn);
        }
        let current = self.0.read();
        let lsn = visible().max(current.floor);
        (current.clone(), lsn)
    }

    pub(crate) fn load(&self) -> Arc<SetVersion> {
        self.0.read().clone()
    }

    /// What `look` sees in the current version. A swap waits for it: it is to be short, and to wait for nothing.
    #[inline]
    pub(crate) fn peek<R>(&self, look: impl FnOnce(&SetVersion) -> R) -> R {
        look(&self.0.read())
    }

    /// Gives up the lock of the files, for all but the readers that pin an earlier version.
    pub(crate) fn release_lock(&self) {
        let mut current = self.0.write();
        let mut next = SetVersion::clone(&current);
        next.lock = None;
        *current = Arc::new(next);
    }

    /// Replaces one partition's part. `change` must not wait or do I/O.
    ///
    /// The version before is dropped outside the lock: its last reference may free a memtable or unmap a file.
    pub(crate) fn replace(&self, partition: usize, floor: Lsn, change: impl FnOnce(&mut PartVersion)) {
        let _before = self.swap(partition, floor, change);
    }

    fn swap(&self, partition: usize, floor: Lsn, change: impl FnOnce(&mut PartVersion)) -> Arc<SetVersion> {
        let mut current = self.0.write();
        let mut next = SetVersion::clone(&current);
        let mut part = PartVersion::clone(&next.parts[partition]);
        change(&mut part);
        next.parts[partition] = Arc::new(part);
        next.floor = next.floor.max(floor);
        std::mem::replace(&mut *current, Arc::new(next))
    }
}
