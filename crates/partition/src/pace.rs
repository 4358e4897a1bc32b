//! How full an active memtable may be while the frozen one before it is merged: what slows writers down before they have to
//! be stopped.
//!
//! ```text
//! 0                        3/4                               31/32    1
//! |  free to be filled      |  up to here as the merge goes on  |  reserve
//! ```
//!
//! The line between what may and what should not be filled stands at three quarters when a memtable is frozen, and moves to the
//! right as its entries are merged; while its partition waits for its turn it stands still. A writer beyond the line is
//! *ahead*: it should wait a moment after its commit, and may then go on all the same. So many short waits take the place of
//! a long one at the end, and the reserve is left for those who go on. At the right end nobody goes on: commits are refused
//! with `Stalled` until the merge is done (`commit.rs`).
//!
//! Nobody waits here; how long, and on what, is decided by the layer above.

use crate::set::{PartitionSet, Shared};
use crate::sync::AtomicU64;
use std::sync::atomic::Ordering;

/// How far the merge of a partition's frozen memtable is. Written by the merge alone, read by writers.
#[derive(Debug, Default)]
pub(crate) struct Progress {
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

    /// The memtable is merged; the next one is not begun.
    pub(crate) fn finish(&self) {
        for counter in [&self.keys, &self.merged, &self.committed] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// The line: how many of `full` bytes the next memtable may have by now.
    pub(crate) fn line(&self, full: u64) -> u64 {
        let keys = self.keys.load(Ordering::Relaxed).max(1);
        let merged = self.merged.load(Ordering::Relaxed).min(keys);
        let moving = u128::from(full / 32 * 7) * u128::from(merged) / u128::from(keys);
        full / 32 * 24 + moving as u64
    }
}

impl Shared {
    /// Whether a partition's active memtable is beyond its line.
    pub(crate) fn is_partition_ahead(&self, partition: usize, active_bytes: u64) -> bool {
        active_bytes > self.partitions[partition].progress.line(self.freeze_bytes())
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
            !part.frozen.is_empty() && shared.is_partition_ahead(partition, part.active.table.size_bytes())
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
        assert_eq!(progress.line(3200), 2400);
        progress.begin_chunk(100);
        assert_eq!(progress.line(3200), 2400);
        progress.took(50);
        assert_eq!(progress.line(3200), 2400 + 350);
        progress.took(100);
        assert_eq!(progress.line(3200), 2400 + 700);
        progress.took(170);
        assert_eq!(progress.line(3200), 2400 + 700, "a merge cannot be more than done");
        progress.finish();
        assert_eq!(progress.line(3200), 2400);
    }

    #[test]
    fn what_several_threads_took_is_added_up() {
        let progress = Progress::default();
        progress.begin_chunk(100);
        progress.took_more(20);
        progress.took_more(30);
        assert_eq!(progress.line(3200), 2400 + 350);
        progress.end_chunk(50);
        progress.took_more(50);
        assert_eq!(progress.line(3200), 2400 + 700);
    }

    #[test]
    fn what_a_failed_chunk_took_is_taken_back_and_what_was_committed_stays() {
        let progress = Progress::default();
        progress.begin_chunk(100);
        progress.end_chunk(40);
        progress.begin_chunk(100);
        progress.took(60);
        assert_eq!(progress.line(3200), 2400 + 700);
        progress.begin_chunk(100);
        assert_eq!(progress.line(3200), 2400 + 280);
    }
}
