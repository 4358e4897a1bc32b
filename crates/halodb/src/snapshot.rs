//! [`Snapshot`]: the read API on a state of the database that does not change. `Db`'s own scans and counts go through
//! one too.
//!
//! What is *not* here: how a state is kept while writers go on. The engine pins the memtables and tree roots that make
//! it up.

use std::fmt;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use halodb_partition as partition;

use crate::iter::Iter;
use crate::kept::Kept;
use crate::pins::{Pin, Pins};
use crate::scan::Scan;
use crate::short::Short;
use crate::space_id::SpaceId;
use crate::span::Span;
use crate::{Error, ErrorKind, Key, Keyspace, Result, Value};

/// A consistent view of everything that was visible when it was taken, in one keyspace ([`Snapshot::keyspace`]: in others). Later writes, merges and even
/// [`Db::close`](crate::Db::close) do not change what it shows.
///
/// Taking and cloning one is cheap and blocks nobody. While it lives, memory and disk space of what it shows are not
/// reused: do not keep one for longer than it is read.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// db.put("a", "1")?;
/// let before = db.snapshot();
/// db.put("a", "2")?;
/// db.put("b", "3")?;
/// assert_eq!(before.get("a")?.as_deref(), Some(&b"1"[..]));
/// assert_eq!(before.len()?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    /// What there is to read, or why there is nothing.
    view: std::result::Result<Kept<partition::Snapshot>, Refusal>,
    seq: u64,
    space: SpaceId,
    path: Arc<Path>,
    /// Its entry in the list of those that hold pages.
    pin: Option<Arc<Pin>>,
}

/// Why a snapshot has nothing to show: an error to be given many times.
#[derive(Clone, Debug)]
struct Refusal {
    kind: ErrorKind,
    text: Arc<str>,
    hint: Option<Arc<str>>,
}

impl Refusal {
    fn of(error: &Error) -> Self {
        Refusal { kind: error.kind(), text: error.to_string().into(), hint: error.hint().map(Arc::from) }
    }

    fn error(&self) -> Error {
        let error = Error::new(self.kind, &*self.text);
        match &self.hint {
            Some(hint) => error.with_hint(&**hint),
            None => error,
        }
    }
}

impl Snapshot {
    pub(crate) fn new(view: partition::Snapshot, space: SpaceId, path: Arc<Path>) -> Self {
        Snapshot { seq: view.lsn().0, view: Ok(Kept::new(view)), space, path, pin: None }
    }

    /// A snapshot of a closed database or a dropped keyspace: all it answers is this error.
    pub(crate) fn refused(error: &Error, seq: u64, space: SpaceId, path: Arc<Path>) -> Self {
        Snapshot { seq, view: Err(Refusal::of(error)), space, path, pin: None }
    }

    /// From now on [`Db::space`](crate::Db::space) names it.
    pub(crate) fn held(mut self, pins: &Arc<Pins>) -> Self {
        if self.view.is_ok() {
            self.pin = Some(Arc::new(Pins::enter(pins, self.seq)));
        }
        self
    }

    /// Gives it, and clones made before and after, a name by which [`Db::space`](crate::Db::space) lists it: who keeps old
    /// pages, and why.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let report = db.snapshot().label("nightly report");
    /// assert_eq!(db.space()?.snapshots[0].label.as_deref(), Some("nightly report"));
    /// # drop(report);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn label(self, label: impl Into<String>) -> Self {
        if let Some(pin) = &self.pin {
            pin.label(label.into());
        }
        self
    }

    pub(crate) fn space(&self) -> SpaceId {
        self.space
    }

    /// The same moment in another keyspace of the database. One that was dropped since is as it was.
    ///
    /// Cost: a lookup in the catalogue, unless it is the default keyspace.
    ///
    /// # Errors
    /// `NoKeyspace` if it was not there at that moment; `InvalidInput` for a keyspace of another database; those of
    /// [`Snapshot::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let users = db.keyspace("users")?;
    /// users.put("1", "Ada")?;
    /// let before = db.snapshot();
    /// users.clear()?;
    /// assert_eq!(before.keyspace(&users)?.len()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keyspace(&self, keyspace: &Keyspace) -> Result<Snapshot> {
        if !Arc::ptr_eq(&self.path, &keyspace.inner.path) {
            let (name, dir) = (keyspace.name(), self.path.display());
            let what = format!("the keyspace `{name}` is one of another database than {dir}, or of another open");
            return Err(Error::new(ErrorKind::InvalidInput, what));
        }
        if let Some(member) = keyspace.member()
            && self.view()?.get_with(&member.entry, |_| ())?.is_none()
        {
            let (name, seq) = (keyspace.name(), self.seq);
            let what =
                format!("the keyspace `{name}` was not there at the moment of the snapshot (sequence number {seq})");
            return Err(Error::new(ErrorKind::NoKeyspace, what));
        }
        Ok(Snapshot { space: keyspace.id, ..self.clone() })
    }

    pub(crate) fn view(&self) -> Result<&partition::Snapshot> {
        match &self.view {
            Ok(view) => view.here(),
            Err(refusal) => Err(refusal.error()),
        }
    }

    /// Sequence number of the newest write that it shows.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.snapshot().seq(), db.last_seq());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The value of a key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.get("a")?.as_deref(), Some(&b"one"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`](crate::Keyspace::get); `Closed` if it was taken of a closed database (one taken earlier goes on).
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let key = self.space.encode(key.as_ref())?;
        Ok(self.view()?.get(key.as_bytes())?)
    }

    /// Runs `f` on the value without copying it; `None` if the key is absent.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.get_with("b", <[u8]>::len)?, Some(3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_with<R>(&self, key: impl AsRef<[u8]>, f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let key = self.space.encode(key.as_ref())?;
        Ok(self.view()?.get_with(key.as_bytes(), f)?)
    }

    /// The value of a key, borrowed from the file's mapping or from memory without a copy, for as long as the snapshot is there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// let values: Vec<&[u8]> = [snapshot.get_ref("a")?, snapshot.get_ref("b")?].into_iter().flatten().collect();
    /// assert_eq!(values.concat(), b"onetwo");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn get_ref(&self, key: impl AsRef<[u8]>) -> Result<Option<&[u8]>> {
        let key = self.space.encode(key.as_ref())?;
        Ok(self.view()?.get_ref(key.as_bytes())?)
    }

    /// The values of several keys, in their order, as [`Keyspace::multi_get`](crate::Keyspace::multi_get).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// let values = snapshot.multi_get(["c", "a"])?;
    /// assert!(values[0].is_none() && values[1].is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn multi_get(&self, keys: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Vec<Option<Value>>> {
        multi_get(self.view()?, self.space, keys)
    }

    /// Runs `f` on each of the keys that is there, in any order: its number among the keys, and its value without a copy.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("c", "three").commit()?;
    /// let mut lengths = [None; 3];
    /// db.snapshot().multi_get_with(["c", "b", "a"], |i, value| lengths[i] = Some(value.len()))?;
    /// assert_eq!(lengths, [Some(5), None, Some(3)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`]; `f` may have run for some of the keys.
    pub fn multi_get_with(
        &self,
        keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
        f: impl FnMut(usize, &[u8]),
    ) -> Result<()> {
        let stored = stored(self.space, keys)?;
        Ok(self.view()?.multi_get_with(&stored, f)?)
    }

    /// Whether a key is there.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// db.delete("a")?;
    /// assert!(snapshot.contains("a")? && !db.contains("a")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get_with(key, |_| ())?.is_some())
    }

    /// All pairs in key order.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// db.clear()?;
    /// assert_eq!(snapshot.iter().count(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter {
        self.pairs(Some(Span::all(self.space)))
    }

    /// The pairs whose key lies in `range`, in key order. An inverted range is empty.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.range("b"..).count(), 1);
    /// assert_eq!(snapshot.range("b".."a").count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Iter {
        self.pairs(Span::of(self.space, range))
    }

    /// The pairs whose key starts with `prefix`, in key order.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.prefix("b").values().next().expect("a pair")?, "two");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Iter {
        self.pairs(Span::prefix(self.space, prefix.as_ref()))
    }

    /// The pairs whose key lies in `range`, in key order, borrowed instead of copied. `..` in all its forms needs a type for
    /// its bounds: `scan::<&str>(..)`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// let mut scan = snapshot.scan::<&str>(..);
    /// assert_eq!(scan.next_back()?, Some((&b"b"[..], &b"two"[..])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        self.lent(Span::of(self.space, range))
    }

    /// The pairs whose key starts with `prefix`, in key order, borrowed instead of copied.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.scan_prefix("a").next()?, Some((&b"a"[..], &b"one"[..])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan {
        self.lent(Span::prefix(self.space, prefix.as_ref()))
    }

    fn lent(&self, span: Option<Span>) -> Scan {
        match self.view() {
            Ok(view) => Scan::new(view.clone(), self.space, span),
            Err(error) => Scan::failed(error, self.space),
        }
    }

    fn pairs(&self, span: Option<Span>) -> Iter {
        match self.view() {
            Ok(view) => Iter::new(view.clone(), self.space, span),
            Err(error) => Iter::failed(error, self.space),
        }
    }

    /// The pair with the smallest key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.first()?.expect("two pairs").0, b"a");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn first(&self) -> Result<Option<(Key, Value)>> {
        self.iter().next().transpose()
    }

    /// The pair with the greatest key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.last()?.expect("two pairs").0, b"b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn last(&self) -> Result<Option<(Key, Value)>> {
        self.iter().next_back().transpose()
    }

    /// Exact number of keys. Cost: as [`Snapshot::count`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.len()?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn len(&self) -> Result<u64> {
        self.count_span(Some(Span::all(self.space)))
    }

    /// Whether there is no key. Stops at the first key: cheaper than `len`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// let before = db.snapshot();
    /// db.put("k", "v")?;
    /// assert!(before.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.iter().keys().next().transpose()?.is_none())
    }

    /// Exact number of keys in a range. Cost: as [`Keyspace::count`](crate::Keyspace::count).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.count("a".."b")?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn count<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<u64> {
        self.count_span(Span::of(self.space, range))
    }

    /// Exact number of keys that start with `prefix`. Cost: as [`Snapshot::count`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.count_prefix("b")?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn count_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<u64> {
        self.count_span(Span::prefix(self.space, prefix.as_ref()))
    }

    /// Exact number of keys below `key`, whether or not it is there itself. Cost: as [`Snapshot::count`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.rank("b")?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn rank(&self, key: impl AsRef<[u8]>) -> Result<u64> {
        self.count_span(Span::of(self.space, ..key.as_ref()))
    }

    /// The pair with exactly `i` keys below; `None` if there are not so many. Cost: as [`Keyspace::nth`](crate::Keyspace::nth).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let snapshot = db.snapshot();
    /// assert_eq!(snapshot.nth(1)?.expect("two pairs").0, b"b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn nth(&self, i: u64) -> Result<Option<(Key, Value)>> {
        let span = Span::all(self.space);
        let (from, to) = span.bounds();
        let Some(cursor) = self.view()?.nth(from, to, i)? else { return Ok(None) };
        let key = Key::from(self.space.decode(cursor.key().unwrap_or_default()));
        Ok(cursor.value()?.map(|value| (key, Value::from(value))))
    }

    fn count_span(&self, span: Option<Span>) -> Result<u64> {
        let view = self.view()?;
        match span {
            Some(span) => {
                let (from, to) = span.bounds();
                Ok(view.count(from, to)?)
            }
            None => Ok(0),
        }
    }
}

/// The values of several keys of a view.
pub(crate) fn multi_get(
    view: &partition::Snapshot,
    space: SpaceId,
    keys: impl IntoIterator<Item = impl AsRef<[u8]>>,
) -> Result<Vec<Option<Value>>> {
    Ok(view.multi_get(&stored(space, keys)?)?)
}

/// The stored forms of keys.
fn stored(space: SpaceId, keys: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Vec<Short>> {
    keys.into_iter().map(|key| space.stored(key.as_ref())).collect()
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("path", &self.path).field("seq", &self.seq).finish()
    }
}
