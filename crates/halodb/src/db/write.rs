//! Writing, and waiting until what was written is durable.

use halodb_partition::{self as partition, Expect, Lsn};

use super::Db;
use crate::keyspace::check_value;
use crate::{Batch, Commit, Condition, Result, WriteOptions};

impl Db {
    /// Sets a key. When it returns, the write is visible, and as durable as the database was opened for
    /// ([`Builder::durability`](crate::Builder::durability); by default it survives a power cut).
    ///
    /// Waits while memory is full of writes that are not merged yet.
    ///
    /// # Errors
    /// `InvalidInput` for an illegal key or value, `Full` if the log finds no disk space: nothing was written.
    /// `Io`: memory is full, and merging it failed: nothing was written. `Poisoned`: a write or sync failed, and whether
    /// this one survives is known only after the database is opened again. `Closed`, `Busy`, `Forked`.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Commit> {
        let batch = self.single_put(key.as_ref(), value.as_ref())?;
        self.commit(&batch, self.inner.durability)
    }

    /// Sets a key with a durability of its own, for a time, and under a condition; `None` if the condition does not hold, and
    /// nothing was written.
    ///
    /// # Errors
    /// As [`Db::put`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::{Condition, WriteOptions};
    /// let once = WriteOptions::new().condition(Condition::IfAbsent);
    /// assert!(db.put_with("leader", "node 1", &once)?.is_some());
    /// assert!(db.put_with("leader", "node 2", &once)?.is_none());
    /// assert_eq!(db.get("leader")?.as_deref(), Some(&b"node 1"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_with(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        options: &WriteOptions,
    ) -> Result<Option<Commit>> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let level = options.durability.unwrap_or(self.inner.durability);
        let mut batch = self.single_put(key, value)?;
        match options.ttl.expires_at_ms(self.inner.engine.now_ms()) {
            Some(0) => {}
            Some(at_ms) => {
                batch = partition::Batch::new();
                batch.put_until(self.inner.space.encode(key)?.as_bytes(), value, at_ms);
            }
            None => {
                let key = self.inner.space.encode(key)?;
                let lsn = self.put_keeping(key.as_bytes(), value, options.condition, level)?;
                return Ok(lsn.map(|lsn| Commit { seq: lsn.0 }));
            }
        }
        let expect = match options.condition {
            Condition::Always => return self.commit(&batch, level).map(Some),
            Condition::IfAbsent => Expect::Absent,
            Condition::IfPresent => Expect::Present,
        };
        let key = self.inner.space.encode(key)?;
        let lsn = self.inner.writable()?.commit_if(&batch, (key.as_bytes(), expect), level)?;
        Ok(lsn.map(|lsn| Commit { seq: lsn.0 }))
    }

    /// Removes a key; whether it was there. Nothing is written if it was not.
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = self.inner.space.encode(key.as_ref())?;
        let mut batch = partition::Batch::new();
        batch.delete(key.as_bytes());
        let condition = (key.as_bytes(), Expect::Present);
        let lsn = self.inner.writable()?.commit_if(&batch, condition, self.inner.durability)?;
        Ok(lsn.is_some())
    }

    /// Removes everything, in one step: one small record in the log, however much there is. Space is returned by the
    /// merges that follow. Snapshots taken before still show what was there.
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn clear(&self) -> Result<Commit> {
        let mut batch = partition::Batch::new();
        batch.delete_range(&self.inner.space.start(), Some(&self.inner.space.end()));
        self.commit(&batch, self.inner.durability)
    }

    /// A batch for this database: several writes that apply whole or not at all.
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    /// Makes everything that was acknowledged so far durable; its sequence number. Only writes below
    /// [`Durability::Sync`](crate::Durability::Sync) need it.
    ///
    /// # Errors
    /// `Poisoned` if the disk failed, `Closed`, `Forked`.
    pub fn sync(&self) -> Result<Commit> {
        let seq = self.inner.writable()?.set.sync()?.0;
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
        Ok(self.inner.writable()?.set.wait_durable(Lsn(seq))?)
    }

    /// A sequence number not smaller than that of any write that this thread has finished. Cheap: no I/O.
    pub fn last_seq(&self) -> u64 {
        // A write is answered only when it is visible.
        self.inner.engine.set.visible().0
    }

    /// Merges everything in memory into the trees and waits for it. Never needed for durability; useful before a
    /// measurement, or to see the trees as they are.
    ///
    /// # Errors
    /// What the merge failed with; it is tried again in the background. `Poisoned`, `Closed`, `Forked`.
    pub fn flush(&self) -> Result<()> {
        self.inner.writable()?.flush()
    }

    fn single_put(&self, key: &[u8], value: &[u8]) -> Result<partition::Batch> {
        let key = self.inner.space.encode(key)?;
        check_value(value)?;
        let mut batch = partition::Batch::new();
        batch.put(key.as_bytes(), value);
        Ok(batch)
    }
}
