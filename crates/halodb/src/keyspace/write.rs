//! Writing without looking at what was there before.

use halodb_partition::{self as partition, Expect};

use super::Keyspace;
use crate::space_id::check_value;
use crate::{Batch, Commit, Condition, Error, ErrorKind, Result, Ttl, WriteOptions};

impl Keyspace {
    /// Sets a key. When it returns, the write is visible, and as durable as the database was opened for
    /// ([`Builder::durability`](crate::Builder::durability); by default it survives a power cut).
    ///
    /// Waits while memory is full of writes that are not merged yet.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let commit = db.put("k", "v")?;
    /// assert_eq!(commit.seq, db.last_seq());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for an illegal key or value, `Full` if the log finds no disk space: nothing was written.
    /// `Io`: memory is full, and merging it failed: nothing was written. `Poisoned`: a write or sync failed, and whether
    /// this one survives is known only after the database is opened again. `Closed`, `Busy`, `Forked`, `NoKeyspace`.
    pub fn put(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<Commit> {
        let batch = self.single_put(key.as_ref(), value.as_ref(), 0)?;
        self.commit(&batch, self.inner.durability)
    }

    /// Sets a key with a durability of its own, for a time, and under a condition; `None` if the condition does not hold, and
    /// nothing was written.
    ///
    /// # Errors
    /// As [`Keyspace::put`].
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
        // A look at the clock costs as much as a good part of the write.
        let expires_at_ms = match options.ttl {
            Ttl::Never => Some(0),
            ttl => ttl.expires_at_ms(self.inner.engine.now_ms()),
        };
        let Some(at_ms) = expires_at_ms else {
            return self.put_keeping(key, value, options.condition, level);
        };
        let batch = self.single_put(key, value, at_ms)?;
        let expect = match options.condition {
            Condition::Always => return self.commit(&batch, level).map(Some),
            Condition::IfAbsent => Expect::Absent,
            Condition::IfPresent => Expect::Present,
        };
        let key = self.id.encode(key)?;
        let lsn = self.commit_if(&batch, (key.as_bytes(), expect), level)?;
        Ok(lsn.map(|lsn| Commit { seq: lsn.0 }))
    }

    /// Removes a key; whether it was there. Nothing is written if it was not.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "v")?;
    /// assert!(db.delete("k")?);
    /// assert!(!db.delete("k")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::put`].
    pub fn delete(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        let key = self.id.encode(key.as_ref())?;
        let mut batch = partition::Batch::new();
        batch.delete(key.as_bytes());
        let condition = (key.as_bytes(), Expect::Present);
        let lsn = self.commit_if(&batch, condition, self.inner.durability)?;
        Ok(lsn.is_some())
    }

    /// Removes everything in this keyspace, in one step: one small record in the log, however much there is. Space is returned by the
    /// merges that follow. Snapshots taken before still show what was there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "").put("b", "").commit()?;
    /// db.clear()?;
    /// assert!(db.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::put`].
    pub fn clear(&self) -> Result<Commit> {
        let mut batch = partition::Batch::new();
        batch.delete_range(&self.id.start(), Some(&self.id.end()));
        self.commit(&batch, self.inner.durability)
    }

    /// A batch that writes to this keyspace, and to others ([`Batch::put_in`]): all of it applies, or nothing.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let users = db.keyspace("users")?;
    /// db.batch().put("visits", "1").put_in(&users, "1", "Ada").commit()?;
    /// assert_eq!(users.len()? + db.len()?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn batch(&self) -> Batch {
        Batch::new(self.clone())
    }

    /// Sets the pairs of a sequence whose keys rise, in one step: all of them, or none. Returns when they are visible, and as
    /// durable as the database was opened for.
    ///
    /// For loading much that is sorted already: nothing is sorted again, and the merge that follows writes the tree from one end to the
    /// other. Memory: one copy of keys and values, and about 50 bytes for each pair, until they are merged; beyond the limit of a
    /// [`Batch`] they go to files.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.ingest_sorted((0..1000).map(|i| (format!("row/{i:04}"), "…")))?;
    /// assert_eq!(db.len()?, 1000);
    /// let error = db.ingest_sorted([("b", "1"), ("a", "2")]).unwrap_err();
    /// assert_eq!(error.to_string(), "pair 1: the key \"a\" does not lie above the one before it, \"b\"");
    /// assert_eq!(db.get("b")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a key that is not greater than the one before it, and for an illegal key or value; the error names its
    /// position, counted from 0. `Full` if there is room neither in memory nor on the disk ([`Batch`]). Otherwise those of
    /// [`Keyspace::put`]. Nothing was written.
    pub fn ingest_sorted<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        &self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Commit> {
        let mut batch = self.batch();
        batch.enlist_own();
        let mut before: Option<K> = None;
        for (position, (key, value)) in pairs.into_iter().enumerate() {
            let bytes = key.as_ref();
            if let Some(before) = before.as_ref().map(AsRef::as_ref).filter(|before| bytes <= *before) {
                let (key, before) = (show(bytes), show(before));
                let what = format!("pair {position}: the key {key} does not lie above the one before it, {before}");
                return Err(Error::new(ErrorKind::InvalidInput, what));
            }
            batch.add_put(self.id, bytes, value.as_ref());
            if let Err(error) = batch.check() {
                let hint = error.hint();
                let told = Error::new(error.kind(), format!("pair {position}: {error}"));
                return Err(hint.into_iter().fold(told, Error::with_hint));
            }
            before = Some(key);
        }
        batch.commit()
    }

    fn single_put(&self, key: &[u8], value: &[u8], expires_at_ms: u64) -> Result<partition::Batch> {
        let key = self.id.encode(key)?;
        check_value(value)?;
        let mut batch = partition::Batch::new();
        batch.put_until(key.as_bytes(), value, expires_at_ms);
        Ok(batch)
    }
}

/// A key as it is shown in an error: not more than a line of it.
fn show(key: &[u8]) -> String {
    const MOST: usize = 64;
    let rest = if key.len() > MOST { "…" } else { "" };
    format!("\"{}{rest}\"", key[..key.len().min(MOST)].escape_ascii())
}
