//! How full an active memtable may be while the frozen one before it is merged: what slows writers down before they have to
//! be stopped.
//!
//! ```text
//! 0                        3/4                               31/32    1
//! |  free to be filled      |  up to here as the merge goes on  |  reserve
//! ```
//!
//! The line between what may and what should not be filled stands at three quarters when a memtable is frozen, and moves to the
//! right as its entries are merged, and those of large commits under it, which have to go before it; while its partition waits for
//! its turn it stands still. A writer beyond the line is
//! *ahead*: it should wait a moment after its commit, and may then go on all the same. So many short waits take the place of
//! a long one at the end, and the reserve is left for those who go on. At the right end nobody goes on: commits are refused
//! with `Stalled` until the merge is done (`commit.rs`).
//!
//! Tables of large commits have memory of their own (`uncommitted.rs`). While nothing else waits for its merge the active memtable
//! may be filled to the end, and is then frozen above them: so behind a bulk load there is room for as many small writes as without
//! one. Invariant: of a partition's frozen memtables one at most was frozen because it was full.
//!
//! Nobody waits here; how long, and on what, is decided by the layer above.

use crate::set::{PartitionSet, Shared};
use crate::sync::AtomicU64;
use crate::version::{Layer, PartVersion};
use crate::{Error, ErrorKind, Result};
use halodb_wal::Lsn;
use std::sync::atomic::Ordering;

/// How far the merges are that a partition's writers wait for. Written by them alone, read by writers.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Versions of large commits that were in the way and are merged.
    before: AtomicU64,
    /// Keys of the memtable; 0: no merge has begun.
    keys: AtomicU64,
    /// Keys merged, those of the chunk under way included.
    merged: AtomicU64,
    /// Keys merged by chunks that are committed.
    committed: AtomicU64,
}

impl Progress {
    /// A chunk begins, of a memtable of so many keys. What an earlier attempt at it did is taken back.
    pub(crate) fn begin_chunk(&self, keys: u64) {
        self.keys.store(keys, Ordering::Relaxed);
        self.merged.store(self.committed.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The chunk under way has taken so many keys.
    pub(crate) fn took(&self, keys: u64) {
        self.merged.store(self.committed.load(Ordering::Relaxed) + keys, Ordering::Relaxed);
    }

    /// The chunk under way has taken so many keys more, perhaps in one of several threads.
    pub(crate) fn took_more(&self, keys: u64) {
        self.merged.fetch_add(keys, Ordering::Relaxed);
    }

    /// A chunk of so many keys is committed.
    pub(crate) fn end_chunk(&self, keys: u64) {
        self.took(keys);
        self.committed.store(self.merged.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The layer is merged, the next one is not begun. `passed`: its versions, if it was only in the way of what writers wait for.
    pub(crate) fn finish(&self, passed: Option<u64>) {
        let before = passed.map_or(0, |versions| self.before.load(Ordering::Relaxed).saturating_add(versions));
        self.before.store(before, Ordering::Relaxed);
        for counter in [&self.keys, &self.merged, &self.committed] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// The line: how many of `full` bytes the next memtable may have by now, if the layer that is merged has `versions` versions and
    /// those above it, up to the one that writers wait for, `above`.
    pub(crate) fn line(&self, full: u64, versions: u64, above: u64) -> u64 {
        let keys = self.keys.load(Ordering::Relaxed).max(1);
        let merged = self.merged.load(Ordering::Relaxed).min(keys);
        let (versions, before) = (u128::from(versions.max(1)), u128::from(self.before.load(Ordering::Relaxed)));
        let all = (before + versions + u128::from(above)) * u128::from(keys);
        let done = before * u128::from(keys) + versions * u128::from(merged);
        full / 32 * 24 + (u128::from(full / 32 * 7) * done / all) as u64
    }
}

impl PartVersion {
    /// Whether a memtable of small writes is frozen: then the active one has the last memory there is for them.
    #[inline]
    pub(crate) fn has_frozen_writes(&self) -> bool {
        !self.frozen.is_empty() && self.frozen.iter().any(|layer| !layer.is_large())
    }
}

impl Layer {
    /// Whether it is the table of a large commit.
    pub(crate) fn is_large(&self) -> bool {
        self.holds < Lsn(u64::MAX)
    }
}

impl Shared {
    /// Whether a partition's active memtable is beyond its line.
    fn is_beyond_line(&self, partition: usize, part: &PartVersion, active_bytes: u64) -> bool {
        let full = self.freeze_bytes();
        // Nothing to be counted below the least line there is.
        if active_bytes <= full / 32 * 24 {
            return false;
        }
        let Some((oldest, above)) = part.frozen.split_last() else { return false };
        let above = above.iter().skip_while(|layer| layer.is_large()).map(|layer| layer.versions()).sum();
        active_bytes > self.partitions[partition].progress.line(full, oldest.versions(), above)
    }

    /// Before a commit: refuses with `Stalled` if the active memtable of a partition is full and cannot be frozen, as one of small writes
    /// is frozen already; takes note if it is fuller than it should be by now.
    #[inline]
    pub(crate) fn reserve_memory(&self, touched: &[usize]) -> Result<()> {
        let full = self.versions.peek(|current| {
            touched.iter().copied().find(|&partition| {
                let part = &current.parts[partition];
                if !part.has_frozen_writes() {
                    return false;
                }
                let active_bytes = part.active.table.size_bytes();
                if self.is_beyond_line(partition, part, active_bytes) {
                    self.ahead.store(true, Ordering::Relaxed);
                }
                active_bytes >= self.freeze_bytes()
            })
        });
        let Some(partition) = full else { return Ok(()) };
        self.counters.stalls.fetch_add(1, Ordering::Relaxed);
        let what = format!("the memtable of partition {partition} is full and its merge is not finished");
        Err(Error::new(ErrorKind::Stalled, what))
    }
}

impl PartitionSet {
    /// Whether writers are ahead of the merges: memory is filling up faster than it is emptied. Whoever commits in a loop
    /// should then wait a moment, while jobs run, before the next commit: otherwise there will be one that is refused until a
    /// whole merge is done.
    ///
    /// Cost: one load, unless a commit has just found that it is so; then a look at each partition. No I/O.
    pub fn is_ahead(&self) -> bool {
        let shared = &*self.shared;
        if !shared.ahead.load(Ordering::Relaxed) {
            return false;
        }
        let version = shared.versions.load();
        let is_ahead = version.parts.iter().enumerate().any(|(partition, part)| {
            part.has_frozen_writes() && shared.is_beyond_line(partition, part, part.active.table.size_bytes())
        });
        if !is_ahead {
            shared.ahead.store(false, Ordering::Relaxed);
        }
        is_ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_moves_from_three_quarters_to_the_reserve_as_keys_are_merged() {
        let progress = Progress::default();
        assert_eq!(progress.line(3200, 1000, 0), 2400);
        progress.begin_chunk(100);
        assert_eq!(progress.line(3200, 1000, 0), 2400);
        progress.took(50);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 350);
        progress.took(100);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 700);
        progress.took(170);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 700, "a merge cannot be more than done");
        progress.finish(None);
        assert_eq!(progress.line(3200, 1000, 0), 2400);
    }

    #[test]
    fn what_several_threads_took_is_added_up() {
        let progress = Progress::default();
        progress.begin_chunk(100);
        progress.took_more(20);
        progress.took_more(30);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 350);
        progress.end_chunk(50);
        progress.took_more(50);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 700);
    }

    #[test]
    fn what_a_failed_chunk_took_is_taken_back_and_what_was_committed_stays() {
        let progress = Progress::default();
        progress.begin_chunk(100);
        progress.end_chunk(40);
        progress.begin_chunk(100);
        progress.took(60);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 700);
        progress.begin_chunk(100);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 280);
    }

    #[test]
    fn the_line_goes_on_over_what_is_in_the_way_and_what_is_waited_for() {
        let progress = Progress::default();
        // A large commit of 3,000 versions, and 1,000 above it.
        assert_eq!(progress.line(3200, 3000, 1000), 2400);
        progress.begin_chunk(600);
        progress.took(200);
        assert_eq!(progress.line(3200, 3000, 1000), 2400 + 175);
        progress.end_chunk(600);
        assert_eq!(progress.line(3200, 3000, 1000), 2400 + 525);
        progress.finish(Some(3000));
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 525);
        progress.begin_chunk(100);
        progress.took(50);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 612);
        progress.end_chunk(100);
        assert_eq!(progress.line(3200, 1000, 0), 2400 + 700);
        progress.finish(None);
        assert_eq!(progress.line(3200, 1000, 0), 2400);
    }
}
