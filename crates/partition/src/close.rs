//! Closing in order: everything merged, nothing to replay, a marker that says so.

use crate::Result;
use crate::set::{PartitionSet, Shared};
use halodb_vfs::mutant;
use halodb_wal::Lsn;
use std::sync::atomic::Ordering;

impl PartitionSet {
    /// Merges everything, makes every partition's position final, and writes the clean-close marker. From its beginning
    /// writes and jobs fail with `Closed`, and whatever was given a number before is in; a job that still runs is waited
    /// for; snapshots go on reading. A second call does nothing, and may return before the first one has ended.
    ///
    /// The files can be opened again when the last snapshot is gone; one that is taken *after* the close must not be
    /// read then.
    ///
    /// Cost: a merge per partition with anything in memory, a few syncs for each, and two of the log.
    ///
    /// # Errors
    /// Whatever a merge or the log reports. The database is closed all the same, and the next open recovers.
    pub fn close(&self, now_ms: u64) -> Result<()> {
        let shared = &*self.shared;
        let poisoned = {
            // In the section, so that every commit either has its number or sees that it is too late.
            let _section = shared.wal.sequence();
            let writable = shared.ensure_writable();
            if shared.closed.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            writable.err()
        };
        let result = match poisoned {
            Some(e) => Err(e),
            None => shared.close_in_order(now_ms),
        };
        shared.release();
        result
    }

    /// Merges everything that was committed before the call into the trees, in the calling thread. Costs at most two
    /// merges per partition; writes and reads go on.
    ///
    /// # Errors
    /// As [`crate::Job::run`].
    pub fn flush(&self) -> Result<()> {
        self.shared.ensure_writable()?;
        self.shared.merge_everything()
    }
}

impl Shared {
    /// Gives the files up: waits for jobs that still write, lets none begin, and lets go of the lock.
    fn release(&self) {
        self.released.store(true, Ordering::Release);
        for partition in &self.partitions {
            drop(partition.quiet.lock());
        }
        self.spill.close();
        self.versions.release_lock();
    }

    /// Merges what is in memory now.
    fn merge_everything(&self) -> Result<()> {
        for partition in 0..self.partitions.len() {
            // What is frozen, and what is active: each round sees at least one of them through, by this thread or
            // by another one that was faster.
            for _ in 0..=self.versions.load().parts[partition].frozen.len().max(1) {
                if self.versions.load().parts[partition].has_unmerged() {
                    self.freeze_if_nothing_is(partition);
                    self.merge_oldest(partition)?;
                }
            }
        }
        Ok(())
    }

    fn close_in_order(&self, now_ms: u64) -> Result<()> {
        // Nothing is begun any more; what a running job still does to a page file must not come after the marker.
        let wait_for_jobs = || self.partitions.iter().map(|p| p.quiet.lock()).collect::<Vec<_>>();
        drop(wait_for_jobs());
        if self.is_untouched() {
            return Ok(());
        }
        self.merge_everything()?;
        self.wal.sync().map_err(|e| self.log_failed(e))?;
        let last_commit = Lsn(self.last_commit.load(Ordering::Acquire)).max(self.replayed_to);
        for partition in 0..self.partitions.len() {
            // Unless its position is recorded in both slots already; the log's own marks need no position.
            if self.findable_applied(partition)? < last_commit {
                self.advance_idle(partition)?;
            }
        }
        let _quiet = wait_for_jobs();
        // The exact time: the next open goes on from here, not from a mark. But not one beyond the mark: the next process may die
        // before it has made another one, and only the mark is found then.
        self.clock.advance(now_ms);
        // A planted fault does.
        let time_ms = if mutant("partition.close-beyond-mark") { now_ms } else { self.clock.of_record(now_ms) };
        self.wal.close(time_ms).map_err(|e| self.log_failed(e))
    }
}
