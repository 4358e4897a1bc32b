//! [`Batch`]: writes that apply whole or not at all.

use std::fmt;

use halodb_partition as partition;
use halodb_wal::Durability;

use crate::keyspace::check_value;
use crate::{Commit, Db, Error, ErrorKind, Result, Ttl};

/// Writes that apply whole or not at all, whatever happens: no reader and no crash ever shows a part of them.
///
/// Of several writes to one key the last one counts. The batch is kept in memory, and becomes one record of the log;
/// keep it well below the size of the memtables ([`Builder::memtable`](crate::Builder::memtable)).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// db.put("account/a", "100")?;
/// let commit = db.batch().delete("account/a").put("account/b", "100").commit()?;
/// assert_eq!(db.get("account/a")?, None);
/// assert_eq!(commit.seq, db.last_seq());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In a loop:
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// let mut batch = db.batch();
/// for i in 0..1000 {
///     batch = batch.put(format!("row/{i:04}"), "…");
/// }
/// batch.commit()?;
/// assert_eq!(db.len()?, 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    db: Db,
    inner: partition::Batch,
    durability: Durability,
    /// The first invalid key or value, reported by `commit`.
    invalid: Option<Error>,
}

impl Batch {
    pub(crate) fn new(db: Db) -> Self {
        let durability = db.default_durability();
        Batch { db, inner: partition::Batch::new(), durability, invalid: None }
    }

    /// Sets a key. An illegal key or value is reported by [`commit`](Batch::commit).
    pub fn put(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        let value = value.as_ref();
        match self.db.keyspace().encode(key.as_ref()).and_then(|key| check_value(value).map(|()| key)) {
            Ok(key) => self.inner.put(key.as_bytes(), value),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Sets a key that is to live for a time, which begins now. [`Ttl::Keep`] is refused by [`commit`](Batch::commit): a
    /// batch reads nothing.
    pub fn put_ttl(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Ttl) -> Self {
        let value = value.as_ref();
        let Some(at_ms) = ttl.expires_at_ms(self.db.now_ms()) else {
            let what = "a batch reads nothing, so it cannot keep an expiry; use put_with";
            self.refuse(Error::new(ErrorKind::InvalidInput, what));
            return self;
        };
        match self.db.keyspace().encode(key.as_ref()).and_then(|key| check_value(value).map(|()| key)) {
            Ok(key) => self.inner.put_until(key.as_bytes(), value, at_ms),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Removes a key; nothing happens if it is absent.
    pub fn delete(mut self, key: impl AsRef<[u8]>) -> Self {
        match self.db.keyspace().encode(key.as_ref()) {
            Ok(key) => self.inner.delete(key.as_bytes()),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Sets how durable this batch is when its commit is answered.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Number of operations in it.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Bytes that it takes in the log.
    pub fn len_bytes(&self) -> usize {
        self.inner.len_bytes()
    }

    /// Commits: when it returns, the writes are visible, and as durable as asked for. An empty batch writes nothing and
    /// answers with the last sequence number.
    ///
    /// Waits while memory is full of writes that are not merged yet.
    ///
    /// # Errors
    /// `InvalidInput` for the first illegal key or value that was put in; nothing was written then. Otherwise those of
    /// [`Db::put`].
    pub fn commit(self) -> Result<Commit> {
        match self.invalid {
            Some(error) => Err(error),
            None => self.db.commit(&self.inner, self.durability),
        }
    }

    fn refuse(&mut self, error: Error) {
        self.invalid.get_or_insert(error);
    }
}

impl fmt::Debug for Batch {
    /// Sizes, not contents.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("len", &self.len())
            .field("len_bytes", &self.len_bytes())
            .field("durability", &self.durability)
            .field("invalid", &self.invalid)
            .finish()
    }
}
