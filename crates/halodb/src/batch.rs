//! [`Batch`]: writes that apply whole or not at all.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::Arc;

use halodb_partition::{self as partition, Op, Staged};
use halodb_wal::Durability;

use crate::keyspace::{Member, half_open};
use crate::space_id::{SpaceId, check_value};
use crate::span::Span;
use crate::{Commit, Error, ErrorKind, Keyspace, Result, Ttl};

/// Writes that apply whole or not at all, whatever happens: no reader and no crash ever shows a part of them.
///
/// Of several writes to one key the last one counts. The batch is kept until it is committed and then merged, once, and
/// may be larger than the memtables and the log limit: above a quarter of the memtables
/// ([`Builder::memtable`](crate::Builder::memtable)), at most 32 MiB, it gets a memtable of its own as it grows, and goes to the log in pieces
/// when it is committed. All batches and transactions that are not committed may hold 32 times the memtables together: what a batch has
/// beyond that goes to files as it grows, and so a batch may be larger than memory. They take up to about three times its bytes on the
/// disk, beside the log, until it is merged. If there is no room for that either, the batch is given up at once, files and memory included, and
/// its commit answers [`Full`](ErrorKind::Full).
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
/// [`put`](Batch::put) and [`delete`](Batch::delete) go to the keyspace that gave the batch, [`put_in`](Batch::put_in) and
/// [`delete_in`](Batch::delete_in) to another one.
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
    keys: Keyspace,
    /// The named keyspaces that it writes to.
    members: Vec<Arc<Member>>,
    inner: partition::Batch,
    /// All of it, once it has become large; then `inner` is empty.
    staged: Option<Staged>,
    large_bytes: usize,
    durability: Durability,
    /// The first invalid key or value, reported by `commit`.
    invalid: Option<Error>,
}

impl Batch {
    pub(crate) fn new(keys: Keyspace) -> Self {
        let durability = keys.inner.durability;
        let large_bytes = usize::try_from(keys.inner.engine.set.large_bytes()).unwrap_or(usize::MAX);
        let (members, inner) = (Vec::new(), partition::Batch::new());
        Batch { keys, members, inner, staged: None, large_bytes, durability, invalid: None }
    }

    fn write(&mut self, op: &Op<'_>) {
        if self.invalid.is_some() {
            // It will not be committed, so it need not grow.
            return;
        }
        let written = match &mut self.staged {
            Some(staged) => match self.keys.inner.owned() {
                Ok(()) => staged.write(op),
                Err(error) => return self.refuse(error),
            },
            None => {
                self.inner.write(op);
                // What a forked child commits is refused, however large.
                let is_large = self.inner.len_bytes() > self.large_bytes && self.keys.inner.owned().is_ok();
                if is_large { self.stage() } else { Ok(()) }
            }
        };
        if let Err(error) = written {
            // Others may be waiting for its memory.
            (self.inner, self.staged) = (partition::Batch::new(), None);
            self.refuse(error.into());
        }
    }

    /// From now on the batch is a large one.
    #[cold]
    fn stage(&mut self) -> partition::Result<()> {
        let mut staged = self.keys.inner.engine.set.stage();
        staged.add(&std::mem::take(&mut self.inner))?;
        self.staged = Some(staged);
        Ok(())
    }

    /// Sets a key. An illegal key or value is reported by [`commit`](Batch::commit).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("a", "2").commit()?;
    /// assert_eq!(db.get("a")?.as_deref(), Some(&b"2"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.add_put(self.keys.id, key.as_ref(), value.as_ref());
        self.enlist_own();
        self
    }

    /// Sets a key that is to live for a time, which begins now. [`Ttl::Keep`] is refused by [`commit`](Batch::commit): a
    /// batch reads nothing.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::{Ttl, TtlState};
    /// use std::time::Duration;
    /// db.batch().put_ttl("session", "Ada", Ttl::After(Duration::from_secs(600))).commit()?;
    /// assert!(matches!(db.ttl("session")?, TtlState::In(_)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_ttl(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, ttl: Ttl) -> Self {
        let value = value.as_ref();
        let Some(at_ms) = ttl.expires_at_ms(self.keys.inner.engine.now_ms()) else {
            let what = "a batch reads nothing, so it cannot keep an expiry; use put_with";
            self.refuse(Error::new(ErrorKind::InvalidInput, what));
            return self;
        };
        match self.keys.id.encode(key.as_ref()).and_then(|key| check_value(value).map(|()| key)) {
            Ok(key) if at_ms == 0 => self.write(&Op::Put(key.as_bytes(), value)),
            Ok(key) => self.write(&Op::PutUntil(key.as_bytes(), value, at_ms)),
            Err(error) => self.refuse(error),
        }
        self.enlist_own();
        self
    }

    /// Removes a key; nothing happens if it is absent.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").delete("a").delete("never").commit()?;
    /// assert!(db.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete(mut self, key: impl AsRef<[u8]>) -> Self {
        self.add_delete(self.keys.id, key.as_ref());
        self.enlist_own();
        self
    }

    /// Sets a key in another keyspace of the same database. A `Db` is its default keyspace.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let (users, by_mail) = (db.keyspace("users")?, db.keyspace("by mail")?);
    /// db.batch().put_in(&users, "1", "ada@example.org").put_in(&by_mail, "ada@example.org", "1").commit()?;
    /// users.batch().delete("1").delete_in(&by_mail, "ada@example.org").put_in(&db, "deleted", "1").commit()?;
    /// assert!(users.is_empty()? && by_mail.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn put_in(mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.add_put(keyspace.id, key.as_ref(), value.as_ref());
        self.enlist(keyspace);
        self
    }

    /// Removes a key of another keyspace; nothing happens if it is absent.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let users = db.keyspace("users")?;
    /// users.put("1", "Ada")?;
    /// db.batch().put("deleted", "1").delete_in(&users, "1").commit()?;
    /// assert!(users.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_in(mut self, keyspace: &Keyspace, key: impl AsRef<[u8]>) -> Self {
        self.add_delete(keyspace.id, key.as_ref());
        self.enlist(keyspace);
        self
    }

    /// Removes the keys of a range of the keyspace that gave the batch, those that earlier writes of this batch put there among
    /// them; later ones stay.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("row/1", "old").put("row/2", "old").commit()?;
    /// db.batch().delete_range("row/".."row0").put("row/1", "new").commit()?;
    /// assert_eq!(db.len()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(mut self, range: impl RangeBounds<K>) -> Self {
        if let Some(span) = Span::of(self.keys.id, range) {
            let (start, end) = half_open(&span);
            self.write(&Op::DeleteRange(&start, end.as_deref()));
            self.enlist_own();
        }
        self
    }

    pub(crate) fn add_put(&mut self, id: SpaceId, key: &[u8], value: &[u8]) {
        match id.encode(key).and_then(|key| check_value(value).map(|()| key)) {
            Ok(key) => self.write(&Op::Put(key.as_bytes(), value)),
            Err(error) => self.refuse(error),
        }
    }

    fn add_delete(&mut self, id: SpaceId, key: &[u8]) {
        match id.encode(key) {
            Ok(key) => self.write(&Op::Delete(key.as_bytes())),
            Err(error) => self.refuse(error),
        }
    }

    /// Remembers that the batch writes to the keyspace that gave it, which must be there when it is committed.
    pub(crate) fn enlist_own(&mut self) {
        if let Some(member) = self.keys.member() {
            let member = Arc::clone(member);
            self.enlist_member(&member);
        }
    }

    /// As [`Batch::enlist_own`], for another one.
    fn enlist(&mut self, keyspace: &Keyspace) {
        match (self.keys.shares_database_with(keyspace), keyspace.member()) {
            (Err(error), _) => self.refuse(error),
            (Ok(()), Some(member)) => self.enlist_member(member),
            (Ok(()), None) => {}
        }
    }

    fn enlist_member(&mut self, member: &Arc<Member>) {
        // Mostly the one of the write before.
        if !self.members.iter().rev().any(|known| Arc::ptr_eq(known, member)) {
            self.members.push(Arc::clone(member));
        }
    }

    /// Sets how durable this batch is when its commit is answered.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::Durability;
    /// let commit = db.batch().put("k", "v").durability(Durability::Memory).commit()?;
    /// db.wait_durable(commit.seq)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Number of operations in it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// assert_eq!(db.batch().put("a", "1").delete("b").len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len(&self) -> usize {
        self.staged.as_ref().map_or(self.inner.len(), Staged::len)
    }

    /// Whether there is none.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// assert!(db.batch().is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes in the log, of a large one about.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// assert!(db.batch().put("key", "value").len_bytes() >= 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn len_bytes(&self) -> usize {
        let of_large = |staged: &Staged| usize::try_from(staged.len_bytes()).unwrap_or(usize::MAX);
        self.staged.as_ref().map_or_else(|| self.inner.len_bytes(), of_large)
    }

    /// What has been refused so far.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.invalid.take().map_or(Ok(()), Err)
    }

    /// Commits: when it returns, the writes are visible, and as durable as asked for. An empty batch writes nothing and
    /// answers with the last sequence number.
    ///
    /// Waits while memory is full of writes that are not merged yet.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let commit = db.batch().put("a", "1").commit()?;
    /// assert_eq!(commit.seq, db.last_seq());
    /// assert!(db.batch().put("", "an illegal key").commit().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for the first illegal key or value that was put in; `Full` if it found room neither in memory nor on the disk;
    /// nothing was written then. Otherwise those of [`Keyspace::put`].
    pub fn commit(self) -> Result<Commit> {
        match (self.invalid, self.staged) {
            (Some(error), _) => Err(error),
            (None, Some(mut staged)) => self.keys.inner.commit_staged(&mut staged, &self.members, self.durability),
            (None, None) => self.keys.inner.commit(&self.inner, &self.members, self.durability),
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
