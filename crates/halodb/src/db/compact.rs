//! Making the files smaller on request. By themselves they are compacted by the workers, as `merge.compact` says.

use std::ops::ControlFlow;

use halodb_partition::Compaction;

use super::Db;
use crate::Result;

impl Db {
    /// Merges what is in memory, and brings the page files down to what lives in them: leaves with room are packed, pages
    /// move towards the beginning, and the end is cut off. Needs no second copy of the data: the files grow by a few
    /// megabytes, or a sixteenth, at most. Then the log is brought down to the segment that is written.
    ///
    /// Reads, writes and merges go on meanwhile; a merge may wait for tens of milliseconds. What a power cut or an error
    /// interrupts is as good as before. Pages that a snapshot or an iterator holds stay: [`Compaction::held_back`].
    ///
    /// Cost: reads the trees, and writes at most about twice what they hold.
    ///
    /// # Errors
    /// `Io` and `Full` (what was won stays), `Corrupt`, `Poisoned`, `Closed`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// for i in 0..2000 {
    ///     # let options = { let mut o = halodb::WriteOptions::default(); o.durability = Some(halodb::Durability::Memory); o };
    ///     # db.put_with(format!("{i:04}"), [7; 500], &options)?;
    /// }
    /// # db.flush()?;
    /// db.clear()?;
    /// let won = db.compact()?;
    /// assert!(won.bytes_after < won.bytes_before);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compact(&self) -> Result<Compaction> {
        self.compact_with(|_| ControlFlow::Continue(()))
    }

    /// As [`Db::compact`], telling about how much is done, from 0 to 1, between two steps of tens of milliseconds. With
    /// [`ControlFlow::Break`] it ends early; what was done stays.
    ///
    /// # Errors
    /// As [`Db::compact`].
    pub fn compact_with(&self, mut progress: impl FnMut(f64) -> ControlFlow<()>) -> Result<Compaction> {
        self.flush()?;
        let mut compactor = self.inner.writable()?.set.compactor();
        loop {
            // Entered for a step only: so `close` waits for one, not for all.
            let call = self.inner.writable()?;
            let finished = compactor.step()?;
            let done = if finished { 1.0 } else { compactor.progress()? };
            drop(call);
            if progress(done).is_break() || finished {
                return Ok(compactor.report());
            }
        }
    }
}
