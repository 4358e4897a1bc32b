//! Reading: points, scans, counts.

use std::ops::RangeBounds;
use std::sync::Arc;

use halodb_partition as partition;

use super::Keyspace;
use crate::meter::{Counted, Meter, Quick, Timer};
use crate::sample;
use crate::snapshot::multi_get;
use crate::span::Span;
use crate::{Iter, Key, Result, Scan, Snapshot, Value};

impl Keyspace {
    /// The value of a key; `None` if it is absent.
    ///
    /// Looks into the memtables and into one tree; blocks nobody. The value is a copy; see [`Keyspace::get_with`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.get("k")?.as_deref(), Some(&b"v"[..]));
    /// assert_eq!(db.get("another")?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for an empty key or one above the limit, `Corrupt`, `Io`, `Closed`, `NoKeyspace`.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>> {
        let key = self.id.encode(key.as_ref())?;
        match self.meter().sample(Quick::Get, Counted::Get) {
            None => Ok(self.view()?.get(key.as_bytes())?),
            Some(timer) => self.timed(timer, key.as_bytes(), |view, key| view.get(key)),
        }
    }

    /// Runs `f` on the value without copying it; `None` if the key is absent. What `f` is shown stays unchanged and
    /// allocated while it runs, so it should not take long.
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("text", "one two three")?;
    /// let spaces = db.get_with("text", |text| text.iter().filter(|&&b| b == b' ').count())?;
    /// assert_eq!(spaces, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_with<R>(&self, key: impl AsRef<[u8]>, f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let key = self.id.encode(key.as_ref())?;
        match self.meter().sample(Quick::Get, Counted::Get) {
            None => Ok(self.view()?.get_with(key.as_bytes(), f)?),
            Some(timer) => self.timed(timer, key.as_bytes(), |view, key| view.get_with(key, f)),
        }
    }

    /// A lookup that was chosen to be timed, and, if the key is absent, to see what its filter says.
    #[cold]
    fn timed<R>(
        &self,
        timer: Timer<'_>,
        key: &[u8],
        get: impl FnOnce(&partition::Snapshot, &[u8]) -> partition::Result<Option<R>>,
    ) -> Result<Option<R>> {
        let view = self.view()?;
        let found = get(&view, key)?;
        drop(timer);
        if found.is_none()
            && let Some(is_denied) = view.filter_denies(key)?
        {
            self.meter().filter_asked(is_denied);
        }
        Ok(found)
    }

    fn meter(&self) -> &Arc<Meter> {
        &self.inner.engine.meter
    }

    /// The meter, if a scan that is begun now is one to be timed.
    fn probe(&self) -> Option<Arc<Meter>> {
        let probe = sample::is_due().then(|| Arc::clone(self.meter()));
        if let Some(meter) = &probe {
            meter.count(Counted::Scan, sample::ONE_IN);
        }
        probe
    }

    /// The values of several keys, in their order, all of one moment. Keys may come in any order, and more than once.
    ///
    /// Costs less than as many calls of [`Keyspace::get`]: the lookups wait for memory together. A few dozen keys at a time are
    /// enough for that.
    ///
    /// # Errors
    /// As [`Keyspace::get`], for any of the keys.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("c", "3").commit()?;
    /// let values = db.multi_get(["c", "b", "a"])?;
    /// let values: Vec<_> = values.iter().map(|value| value.as_deref()).collect();
    /// assert_eq!(values, [Some(&b"3"[..]), None, Some(b"1")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn multi_get(&self, keys: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Result<Vec<Option<Value>>> {
        let _timer = self.meter().sample(Quick::MultiGet, Counted::MultiGet);
        multi_get(&self.view()?, self.id, keys)
    }

    /// Whether a key is there. Costs as [`Keyspace::get`] without the copy.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "")?;
    /// assert!(db.contains("k")? && !db.contains("another")?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn contains(&self, key: impl AsRef<[u8]>) -> Result<bool> {
        Ok(self.get_with(key, |_| ())?.is_some())
    }

    /// All pairs in key order, of one moment: later writes are not seen.
    ///
    /// An iterator keeps its snapshot: see [`Snapshot`] about holding one for long. On a closed database it gives the
    /// error `Closed` once, and while what is held keeps more than half of the memory limit the error `Busy`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut pairs = db.iter();
    /// db.put("c", "3")?;
    /// assert_eq!(pairs.next_back().expect("two pairs")?.0, b"b");
    /// assert_eq!(pairs.count(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter {
        self.pairs(Some(Span::all(self.id)))
    }

    /// The pairs whose key lies in `range`, in key order, of one moment. An inverted range is empty. `..` in all its
    /// forms needs a type for its bounds: use [`Keyspace::iter`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").put("c", "3").commit()?;
    /// let keys = db.range("a".."c").keys().collect::<halodb::Result<Vec<_>>>()?;
    /// assert_eq!(keys, [b"a", b"b"]);
    /// let last = db.range("a"..).next_back().expect("three keys")?;
    /// assert_eq!(last.0, b"c");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn range<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Iter {
        self.pairs(Span::of(self.id, range))
    }

    /// The pairs whose key starts with `prefix`, in key order, of one moment.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("user/1", "Ada").put("user/2", "Grace").put("visits", "7").commit()?;
    /// for pair in db.prefix("user/") {
    ///     let (key, value) = pair?;
    ///     println!("{} = {}", key.escape_ascii(), value.escape_ascii());
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefix(&self, prefix: impl AsRef<[u8]>) -> Iter {
        self.pairs(Span::prefix(self.id, prefix.as_ref()))
    }

    fn pairs(&self, span: Option<Span>) -> Iter {
        match self.view_to_keep() {
            Ok(view) => Iter::new(view, self.id, span).probed(self.probe()),
            Err(error) => Iter::failed(error, self.id),
        }
    }

    /// The pairs whose key lies in `range`, in key order, of one moment, borrowed instead of copied: see [`Scan`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "one").put("b", "two").commit()?;
    /// let mut scan = db.scan("b"..);
    /// assert_eq!(scan.next()?, Some((&b"b"[..], &b"two"[..])));
    /// assert_eq!(scan.next()?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Scan {
        self.lent(Span::of(self.id, range))
    }

    /// The pairs whose key starts with `prefix`, in key order, of one moment, borrowed instead of copied: see [`Scan`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("user/1", "Ada").put("visits", "7").commit()?;
    /// let mut scan = db.scan_prefix("user/");
    /// assert_eq!(scan.next()?, Some((&b"user/1"[..], &b"Ada"[..])));
    /// assert_eq!(scan.next()?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn scan_prefix(&self, prefix: impl AsRef<[u8]>) -> Scan {
        self.lent(Span::prefix(self.id, prefix.as_ref()))
    }

    fn lent(&self, span: Option<Span>) -> Scan {
        match self.view_to_keep() {
            Ok(view) => Scan::new(view, self.id, span).probed(self.probe()),
            Err(error) => Scan::failed(error, self.id),
        }
    }

    /// The pair with the smallest key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// assert_eq!(db.first()?.expect("two pairs").0, b"a");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn first(&self) -> Result<Option<(Key, Value)>> {
        self.moment().first()
    }

    /// The pair with the greatest key.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// assert_eq!(db.last()?.expect("two pairs").0, b"b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn last(&self) -> Result<Option<(Key, Value)>> {
        self.moment().last()
    }

    /// Exact number of keys. Cost: as [`Keyspace::count`]; next to nothing if nothing was written since the last call.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").delete("a").commit()?;
    /// assert_eq!(db.len()?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn len(&self) -> Result<u64> {
        let _timer = self.meter().sample(Quick::Count, Counted::Count);
        let view = self.view()?;
        if let Some(known) = self.inner.lens.get(self.id, &view) {
            return Ok(known);
        }
        let all = Span::all(self.id);
        let (from, to) = all.bounds();
        let keys = view.count(from, to)?;
        self.inner.lens.set(self.id, &view, keys);
        Ok(keys)
    }

    /// Whether there is no key. Stops at the first key: cheaper than [`Keyspace::len`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// assert!(db.is_empty()?);
    /// db.put("k", "")?;
    /// assert!(!db.is_empty()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn is_empty(&self) -> Result<bool> {
        self.moment().is_empty()
    }

    /// Exact number of keys in a range. Cost: logarithmic in the number of keys, and one lookup for each key that was
    /// written for the first time since the last count and is not merged into the trees yet. Range deletes, `clear` among
    /// them, add a step for each such key in their range until they are merged; so do, with a lookup, counts of a
    /// snapshot that is older than the last count.
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "").put("b", "").put("c", "").commit()?;
    /// assert_eq!(db.count("b"..)?, 2);
    /// assert_eq!(db.count("c".."a")?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn count<K: AsRef<[u8]>>(&self, range: impl RangeBounds<K>) -> Result<u64> {
        let _timer = self.meter().sample(Quick::Count, Counted::Count);
        self.moment().count(range)
    }

    /// Exact number of keys that start with `prefix`. Cost: as [`Keyspace::count`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("user/1", "").put("user/2", "").put("visits", "").commit()?;
    /// assert_eq!(db.count_prefix("user/")?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn count_prefix(&self, prefix: impl AsRef<[u8]>) -> Result<u64> {
        let _timer = self.meter().sample(Quick::Count, Counted::Count);
        self.moment().count_prefix(prefix)
    }

    /// Exact number of keys below `key`, whether or not it is there itself. Cost: as [`Keyspace::count`].
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "").put("b", "").put("d", "").commit()?;
    /// assert_eq!(db.rank("c")?, 2);
    /// assert_eq!(db.nth(2)?.expect("three keys").0, b"d");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rank(&self, key: impl AsRef<[u8]>) -> Result<u64> {
        let _timer = self.meter().sample(Quick::Count, Counted::Count);
        self.moment().rank(key)
    }

    /// The pair with exactly `i` keys below; `None` if there are not so many. It is found by counting: a few dozen times what
    /// [`Keyspace::count`] costs, some hundred microseconds for millions of keys.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "").put("b", "").commit()?;
    /// assert_eq!(db.nth(1)?.expect("two keys").0, b"b");
    /// assert_eq!(db.nth(2)?, None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Keyspace::get`].
    pub fn nth(&self, i: u64) -> Result<Option<(Key, Value)>> {
        let _timer = self.meter().sample(Quick::Count, Counted::Count);
        self.moment().nth(i)
    }

    /// A consistent view of everything that is visible now, in this keyspace; [`Snapshot::keyspace`] gives the others at the
    /// same moment. Of a closed database: one that answers `Closed`; of a dropped keyspace: `NoKeyspace`; while snapshots,
    /// iterators and transactions that are held keep more than half of the memory limit: `Busy`. As long as it or a
    /// clone lives, [`Db::space`](crate::Db::space) names it.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "1")?;
    /// let before = db.snapshot();
    /// db.put("k", "2")?;
    /// assert_eq!(before.get("k")?.as_deref(), Some(&b"1"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Snapshot {
        self.of_view(self.view_to_keep(), partition::Snapshot::for_scans).held(&self.inner.pins)
    }

    /// A snapshot for one call.
    fn moment(&self) -> Snapshot {
        self.of_view(self.view(), std::convert::identity)
    }

    fn of_view(
        &self,
        view: Result<partition::Snapshot>,
        prepare: impl FnOnce(partition::Snapshot) -> partition::Snapshot,
    ) -> Snapshot {
        let (id, path) = (self.id, Arc::clone(&self.inner.path));
        match view {
            Ok(view) => Snapshot::new(prepare(view), id, path),
            Err(error) => Snapshot::refused(&error, self.inner.last_seq(), id, path),
        }
    }
}
