//! The newest state, visible or not: what a read-modify-write begins with.
//!
//! One that began with what is visible would meet the group in flight at its commit, and have to wait for a disk before it
//! may try again: one success for each synchronisation. Beginning with the newest it follows the others into the same
//! group, and needs no other attempt but where two ran side by side.
//!
//! What is read so may never become visible, if the log fails. A commit that rests on it is safe: it comes later in the log,
//! and is not answered before. An answer without a commit has to wait itself: [`PartitionSet::wait_settled`].

use crate::Result;
use crate::set::PartitionSet;
use crate::snapshot::Snapshot;
use halodb_wal::{Durability, Lsn};

impl PartitionSet {
    /// Everything that has got its number so far, visible or not: for reads whose answer is then committed by
    /// [`PartitionSet::commit_validated`], or held back by [`PartitionSet::wait_settled`].
    ///
    /// Cost: the sequencer for a moment, else as [`PartitionSet::snapshot`].
    pub fn newest(&self) -> Snapshot {
        // In the section no number is given out whose entries are still on their way into the memtables.
        let section = self.shared.wal.sequence();
        let (version, lsn) = (self.shared.versions.load(), self.shared.wal.appended());
        drop(section);
        let lsn = lsn.max(version.floor);
        Snapshot::new(version, lsn, self.shared.router)
    }

    /// Waits until everything up to a number is visible and as durable as `level` says: then an answer may be given that rests
    /// on it.
    ///
    /// # Errors
    /// `Poisoned` if it never will be, or not in this process; `InvalidInput` if the number was never given.
    pub fn wait_settled(&self, lsn: Lsn, level: Durability) -> Result<()> {
        let shared = &*self.shared;
        if shared.is_untouched() || lsn <= shared.wal.synced().min(shared.wal.settled()) {
            return Ok(());
        }
        shared.wal.wait(lsn, level).map_err(|e| shared.log_failed(e))
    }
}
