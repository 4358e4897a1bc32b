//! Waiting until what was written is durable, or merged.

use halodb_partition::Lsn;

use super::Db;
use crate::meter::Slow;
use crate::{Commit, Result};

impl Db {
    /// Makes everything that was acknowledged so far durable; its sequence number. Only writes below
    /// [`Durability::Sync`](crate::Durability::Sync) need it.
    ///
    /// # Errors
    /// `Poisoned` if the disk failed, `Closed`, `Forked`.
    pub fn sync(&self) -> Result<Commit> {
        let call = self.inner.writable()?;
        let _timer = call.meter.time(Slow::Sync);
        let seq = call.set.sync()?.0;
        Ok(Commit { seq })
    }

    /// Waits until the write with sequence number `seq` is durable; at once if it is.
    ///
    /// # Errors
    /// `Lost` if the write did not survive a crash, `InvalidInput` for a number that was never given out, and those of
    /// [`Db::sync`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::{Durability, WriteOptions};
    /// let fast = WriteOptions::new().durability(Durability::Memory);
    /// for i in 0..100 {
    ///     db.put_with(format!("row/{i}"), "…", &fast)?;
    /// }
    /// db.wait_durable(db.last_seq())?; // one sync for all of them
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_durable(&self, seq: u64) -> Result<()> {
        let call = self.inner.writable()?;
        let _timer = call.meter.time(Slow::Sync);
        Ok(call.set.wait_durable(Lsn(seq))?)
    }

    /// A sequence number not smaller than that of any write that this thread has finished. Cheap: no I/O. 0 in a child forked
    /// from the process that opened it, which has finished none.
    pub fn last_seq(&self) -> u64 {
        // A write is answered only when it is visible.
        self.inner.last_seq()
    }

    /// Merges everything in memory into the trees and waits for it. Never needed for durability; useful before a
    /// measurement, or to see the trees as they are.
    ///
    /// # Errors
    /// What the merge failed with; it is tried again in the background. `Poisoned`, `Closed`, `Forked`.
    pub fn flush(&self) -> Result<()> {
        self.inner.writable()?.flush()
    }
}
