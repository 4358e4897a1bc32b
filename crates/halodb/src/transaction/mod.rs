//! [`Transaction`]: reads and writes that take effect together, as if nobody else had been there meanwhile.
//!
//! A transaction reads one snapshot, and keeps what it writes to itself (`own.rs`) and what it has read in mind
//! (`reads.rs`). At the commit the engine looks whether anybody wrote what was read since the snapshot; if not, the writes
//! go in as one batch. `keyspace/transact.rs` begins transactions and tries them again.
//!
//! What is *not* here: locks. Nobody waits for a transaction, and a transaction waits for nobody, until it commits.

mod own;
mod pairs;
mod places;
mod popped;
mod pops;
mod prune;
mod ranges;
mod reads;
mod timed;

pub use pairs::TransactionIter;

use std::fmt;
use std::ops::{Deref, DerefMut, RangeBounds};
use std::sync::Arc;

use halodb_partition::{self as partition, Basis, Lsn, Validated};
use halodb_wal::Durability;

use crate::kept::Kept;
use crate::keyspace::{Member, sum};
use crate::pins::Pin;
use crate::space_id::{SpaceId, check_value};
use crate::span::Span;
use crate::{Commit, Error, ErrorKind, Keyspace, Result, Value};
use own::{Did, Own};
use pops::Ends;
use reads::Reads;

/// Reads and writes that take effect together at the commit, or not at all; serializable: the result is that of some order
/// in which all transactions, batches and single writes ran one after the other.
///
/// [`Keyspace::transaction`] runs a closure in one, and runs it again after a conflict; [`Keyspace::begin`] gives one to commit by hand.
/// Dropping it rolls it back. To read a consistent state without writing, a [`Snapshot`](crate::Snapshot) is enough: it
/// never meets a conflict, nor does a transaction that writes nothing.
///
/// Reads see the snapshot of its beginning and its own writes. The commit fails with
/// [`Conflict`](ErrorKind::Conflict) if a key that was read, there or not, or a key in a range that was gone over, was
/// written by somebody else since; writing alone conflicts with nobody. What it writes is kept in memory until it is merged: at
/// most 2 GiB, and all batches and transactions that are not committed together at most 32 times [`Builder::memtable`](crate::Builder::memtable);
/// a write beyond that is refused with [`Full`](ErrorKind::Full). What it reads is remembered, with about a hundred bytes for each key
/// and two hundred for each range; ranges that touch are one.
///
/// A transaction that is open for long holds memory and space as a snapshot does. If so much is written and merged
/// meanwhile that it is no longer known what (beyond half the memtables' size), its commit fails with `Conflict`, too.
///
/// It belongs to one thread at a time.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// db.batch().put("alice", "100").put("bob", "20").commit()?;
/// db.transaction(|tx| {
///     let number = |value: Option<halodb::Value>| -> u64 {
///         value.and_then(|v| std::str::from_utf8(&v).ok()?.parse().ok()).unwrap_or(0)
///     };
///     let (alice, bob) = (number(tx.get("alice")?), number(tx.get("bob")?));
///     tx.put("alice", (alice - 30).to_string())?;
///     tx.put("bob", (bob + 30).to_string())
/// })?;
/// assert_eq!(db.get("bob")?.as_deref(), Some(&b"50"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a transaction that is dropped is rolled back"]
pub struct Transaction {
    basis: Kept<Arc<Basis>>,
    /// The keyspace that is read and written at the moment.
    space: SpaceId,
    /// The named keyspaces that were found to be there.
    members: Vec<Arc<Member>>,
    durability: Durability,
    own: Own,
    reads: Reads,
    /// Where pops go on.
    ends: Ends,
    _pin: Pin,
    /// Last, so that a database which is closed with it has nobody left that holds its files.
    keys: Keyspace,
}

/// A transaction in another keyspace than its own: all its methods, on the keys of that one. See [`Transaction::keyspace`].
#[must_use = "the transaction is in the other keyspace only as long as this lives"]
pub struct TransactionKeyspace<'t> {
    tx: &'t mut Transaction,
    before: SpaceId,
}

impl Deref for TransactionKeyspace<'_> {
    type Target = Transaction;
    fn deref(&self) -> &Transaction {
        self.tx
    }
}

impl DerefMut for TransactionKeyspace<'_> {
    fn deref_mut(&mut self) -> &mut Transaction {
        self.tx
    }
}

impl Drop for TransactionKeyspace<'_> {
    fn drop(&mut self) {
        self.tx.space = self.before;
    }
}

impl fmt::Debug for TransactionKeyspace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TransactionKeyspace").field("transaction", &**self).finish_non_exhaustive()
    }
}

/// What a commit came to.
pub(crate) enum Attempt {
    Committed(Commit),
    Conflict(Conflict),
}

/// Why a commit was refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conflict {
    snapshot: u64,
    /// The commit in the way; `None`: not known any more.
    pub(crate) with: Option<Lsn>,
}

impl From<Conflict> for Error {
    fn from(Conflict { snapshot, with }: Conflict) -> Self {
        let message = match with {
            Some(Lsn(with)) => format!(
                "what this transaction read as of number {snapshot} was written by commit {with} meanwhile; nothing of it was done"
            ),
            None => format!(
                "too much was written since this transaction began at number {snapshot} to tell whether it touched what was \
                 read; nothing of it was done"
            ),
        };
        Error::new(ErrorKind::Conflict, message)
    }
}

impl Transaction {
    /// # Errors
    /// `NoKeyspace` if it is gone; those of a read.
    pub(crate) fn new(keys: Keyspace, basis: Basis, pin: Pin) -> Result<Self> {
        let (space, durability) = (keys.id, keys.inner.durability);
        let own = Own::new(keys.inner.engine.set.share());
        let (members, reads, ends) = (Vec::new(), Reads::default(), Ends::default());
        let basis = Kept::new(Arc::new(basis));
        let mut new = Transaction { basis, space, members, durability, own, reads, ends, _pin: pin, keys };
        if let Some(member) = new.keys.member().cloned() {
            new.enlist(&member)?;
        }
        Ok(new)
    }

    /// The transaction in another keyspace of the database, as long as the result lives.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let (users, by_mail) = (db.keyspace("users")?, db.keyspace("by mail")?);
    /// db.transaction(|tx| {
    ///     tx.keyspace(&users)?.put("1", "ada@example.org")?;
    ///     tx.keyspace(&by_mail)?.put("ada@example.org", "1")?;
    ///     tx.put("users", "1")
    /// })?;
    /// assert_eq!(users.len()? + by_mail.len()? + db.len()?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// A keyspace that is dropped before the commit is a conflict.
    ///
    /// # Errors
    /// `NoKeyspace` if it was not there when the transaction began; `InvalidInput` for a keyspace of another database;
    /// `Corrupt` and `Io` from looking.
    pub fn keyspace(&mut self, keyspace: &Keyspace) -> Result<TransactionKeyspace<'_>> {
        self.keys.shares_database_with(keyspace)?;
        if let Some(member) = keyspace.member() {
            self.enlist(member)?;
        }
        let before = std::mem::replace(&mut self.space, keyspace.id);
        Ok(TransactionKeyspace { tx: self, before })
    }

    /// What it shows, but for its own writes.
    fn view(&self) -> Result<&partition::Snapshot> {
        Ok(self.basis.here()?.snapshot())
    }

    /// Looks once whether a named keyspace is there. What it finds counts as read, so that a drop is a conflict.
    fn enlist(&mut self, member: &Arc<Member>) -> Result<()> {
        if !self.members.iter().any(|known| Arc::ptr_eq(known, member)) {
            if self.view()?.get_with(&member.entry, |_| ())?.is_none() {
                return Err(member.gone());
            }
            self.reads.add_key(&member.entry);
            self.members.push(Arc::clone(member));
        }
        Ok(())
    }

    /// Sets how durable it is when its commit is answered. By default as the database was opened
    /// ([`Builder::durability`](crate::Builder::durability)).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let mut tx = db.begin()?;
    /// tx.set_durability(halodb::Durability::Buffered);
    /// tx.put("k", "v")?;
    /// tx.commit()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_durability(&mut self, durability: Durability) {
        self.durability = durability;
    }

    /// Sequence number of the newest write of others that it sees.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.begin()?.seq(), db.last_seq());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seq(&self) -> u64 {
        self.basis.anywhere().snapshot().lsn().0
    }

    /// The value of a key, as this transaction has left it or else as it was at the beginning.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!(tx.get("a")?.as_deref(), Some(&b"1"[..]));
    /// assert_eq!(tx.get("c")?.as_deref(), Some(&b"3"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let stored = self.space.encode(key.as_ref())?;
        match self.own.did(stored.as_bytes()) {
            Did::Set(set) => Ok(Some(set.value.clone())),
            Did::Removed => Ok(None),
            Did::Nothing => {
                self.reads.add_key(stored.as_bytes());
                Ok(self.view()?.get(stored.as_bytes())?)
            }
        }
    }

    /// Runs `f` on the value without copying it; `None` if the key is absent.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert_eq!(tx.get_with("c", <[u8]>::len)?, Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn get_with<R>(&self, key: impl AsRef<[u8]>, f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let stored = self.space.encode(key.as_ref())?;
        match self.own.did(stored.as_bytes()) {
            Did::Set(set) => Ok(Some(f(&set.value))),
            Did::Removed => Ok(None),
            Did::Nothing => {
                self.reads.add_key(stored.as_bytes());
                Ok(self.view()?.get_with(stored.as_bytes(), f)?)
            }
        }
    }

    /// Whether a key is there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert!(tx.contains("c")? && !db.contains("c")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get_with(key, |_| ())?.is_some())
    }

    /// Sets a key. Seen by this transaction at once, by others when it is committed.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let mut tx = db.begin()?;
    /// tx.put("k", "v")?;
    /// tx.commit()?;
    /// assert!(db.contains("k")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for an illegal key or value, or if the transaction becomes too large; `Full` if batches and transactions that are
    /// not committed leave no memory for it. The transaction is as it was before, and may be committed.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<()> {
        let stored = self.space.encode(key.as_ref())?;
        check_value(value.as_ref())?;
        self.own.set(stored.as_bytes(), value.as_ref(), 0)
    }

    /// Adds to a number that is kept as decimal text, as [`Keyspace::increment`] does; the sum. Counts as reading the key,
    /// whose expiry stays.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let sum = db.transaction(|tx| {
    ///     tx.increment("visits", 1)?;
    ///     tx.increment("visits", 1)
    /// })?;
    /// assert_eq!(sum, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` if the value is no such number or the sum none, and those of [`Transaction::get`] and
    /// [`Transaction::put`].
    pub fn increment(&mut self, key: impl AsRef<[u8]>, by: i64) -> Result<i64> {
        let stored = self.space.encode(key.as_ref())?;
        let sum = sum(self.get(key)?.as_deref(), by)?;
        let expires_at_ms = self.expiry_of(stored.as_bytes())?.unwrap_or(0);
        self.own.set(stored.as_bytes(), sum.to_string().as_bytes(), expires_at_ms)?;
        Ok(sum)
    }

    /// Removes a key; whether it was there, which counts as reading it. Nothing is written if it was not.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut tx = db.begin()?;
    /// tx.put("c", "3")?;
    /// assert!(tx.delete("a")? && tx.delete("c")?);
    /// assert!(!tx.delete("a")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`] and [`Transaction::put`].
    pub fn delete(&mut self, key: impl AsRef<[u8]>) -> Result<bool> {
        let stored = self.space.encode(key.as_ref())?;
        let stored = stored.as_bytes();
        let is_there = match self.own.did(stored) {
            Did::Removed => false,
            Did::Set(_) => true,
            Did::Nothing => {
                self.reads.add_key(stored);
                self.was_there(stored)?
            }
        };
        if is_there {
            self.own.remove(stored)?;
        }
        Ok(is_there)
    }

    /// Whether the snapshot has a key that no removed range covers.
    fn was_there(&self, stored: &[u8]) -> Result<bool> {
        Ok(!self.own.is_removed(stored) && self.view()?.get_with(stored, |_| ())?.is_some())
    }

    /// Removes all keys in `range`, in one step however many there are; how many there were, which counts as reading the
    /// range. Cost: as [`Transaction::count`].
    ///
    /// # Errors
    /// As [`Transaction::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("log/1", "").put("log/2", "").put("log/3", "").commit()?;
    /// let removed = db.transaction(|tx| {
    ///     let removed = tx.delete_range("log/1".."log/3")?;
    ///     tx.put("log/removed", removed.to_string())?;
    ///     Ok(removed)
    /// })?;
    /// assert_eq!((removed, db.len()?), (2, 2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn delete_range<K: AsRef<[u8]>>(&mut self, range: impl RangeBounds<K>) -> Result<u64> {
        self.delete_span(Span::of(self.space, range))
    }

    /// Removes all keys that start with `prefix`; how many there were. As [`Transaction::delete_range`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("user/1", "").put("user/2", "").commit()?;
    /// assert_eq!(db.transaction(|tx| tx.delete_prefix("user/"))?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Transaction::get`].
    pub fn delete_prefix(&mut self, prefix: impl AsRef<[u8]>) -> Result<u64> {
        self.delete_span(Span::prefix(self.space, prefix.as_ref()))
    }

    fn delete_span(&mut self, span: Option<Span>) -> Result<u64> {
        let Some(span) = span else { return Ok(0) };
        let count = self.count_span(&span)?;
        if count > 0 {
            self.own.remove_span(&span);
            self.ends.begin_anew();
        }
        Ok(count)
    }

    /// Removes everything in the keyspace, without looking: what others write meanwhile is no conflict, and is removed as well if it is
    /// committed before this is.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("old", "")?;
    /// db.transaction(|tx| {
    ///     tx.clear();
    ///     tx.put("new", "")
    /// })?;
    /// assert_eq!(db.first()?.expect("one pair").0, b"new");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn clear(&mut self) {
        self.own.remove_span(&Span::all(self.space));
        self.ends.begin_anew();
    }

    /// Commits: when it returns, the writes are visible to all, and as durable as asked for. A transaction that wrote nothing
    /// is answered with the number of what it saw.
    ///
    /// Waits while memory is full of writes that are not merged yet.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// use halodb::ErrorKind;
    /// let mut tx = db.begin()?;
    /// assert_eq!(tx.get("k")?, None);
    /// tx.put("k", "mine")?;
    /// db.put("k", "theirs")?;
    /// assert_eq!(tx.commit().unwrap_err().kind(), ErrorKind::Conflict);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Conflict` if what it read was written by somebody else meanwhile, or if it was open for so long that this cannot be
    /// told: nothing was done; begin again. Otherwise those of [`Keyspace::put`].
    pub fn commit(self) -> Result<Commit> {
        match self.attempt()? {
            Attempt::Committed(commit) => Ok(commit),
            Attempt::Conflict(conflict) => Err(conflict.into()),
        }
    }

    /// Rolls it back: nothing of it was done. Dropping it does the same.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let mut tx = db.begin()?;
    /// tx.put("k", "v")?;
    /// tx.rollback();
    /// assert!(db.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rollback(self) {}

    pub(crate) fn attempt(self) -> Result<Attempt> {
        let snapshot = self.basis.here()?.snapshot();
        let seq = snapshot.lsn().0;
        if self.own.is_empty() {
            return Ok(Attempt::Committed(Commit { seq }));
        }
        self.own.popped_spans().for_each(|span| self.reads.add_span(span));
        let (inner, reads) = (&self.keys.inner, self.reads.into_set());
        let set = &inner.engine.set;
        let validated = if self.own.bytes() as u64 > set.large_bytes() {
            let mut own = self.own;
            let mut staged = set.stage_with(own.take_share());
            own.move_to(&mut staged)?;
            inner.commit_staged_validated(&mut staged, snapshot, &reads, self.durability)?
        } else {
            inner.commit_validated(&self.own.to_batch(), snapshot, &reads, self.durability)?
        };
        Ok(match validated {
            Validated::Committed(lsn) => Attempt::Committed(Commit { seq: lsn.0 }),
            Validated::Conflict(lsn) => Attempt::Conflict(Conflict { snapshot: seq, with: Some(lsn) }),
            Validated::TooOld => Attempt::Conflict(Conflict { snapshot: seq, with: None }),
        })
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrote = !self.own.is_empty();
        f.debug_struct("Transaction").field("seq", &self.seq()).field("wrote", &wrote).finish_non_exhaustive()
    }
}
