//! [`Scan`]: pairs in key order, lent out one by one.
//!
//! It differs from [`Iter`](crate::Iter) in what it gives out: bytes where they lie instead of copies of one's own.

use std::fmt;
use std::sync::Arc;

use halodb_partition as partition;

use crate::meter::Meter;
use crate::space_id::SpaceId;
use crate::span::Span;
use crate::walk::{Side, Walk};
use crate::{Error, Result};

/// Pairs of a range in key order, from both ends, without a copy: a value is borrowed from the file's mapping or from memory,
/// and a pair is valid until the next one is asked for. The fastest way to read a range; where pairs are to be kept,
/// [`Iter`](crate::Iter) copies them.
///
/// `'static`: it owns its snapshot. A failure (a page that cannot be read, or is corrupt) ends it.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// db.batch().put("a", "one").put("b", "two").put("c", "three").commit()?;
/// let mut scan = db.scan("a".."c");
/// let mut total = 0;
/// while let Some((key, value)) = scan.next()? {
///     assert_eq!(key.len(), 1);
///     total += value.len();
/// }
/// assert_eq!(total, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a scan does nothing until it is advanced"]
pub struct Scan {
    walk: Walk,
}

impl Scan {
    /// Over `span` of `view`; `None` is the empty span.
    pub(crate) fn new(view: partition::Snapshot, space: SpaceId, span: Option<Span>) -> Self {
        Scan { walk: Walk::new(view, space, span) }
    }

    /// From now on its seeks are timed, if there is a meter.
    pub(crate) fn probed(mut self, probe: Option<Arc<Meter>>) -> Self {
        self.walk.probe = probe;
        self
    }

    /// Gives `error`, then nothing.
    pub(crate) fn failed(error: Error, space: SpaceId) -> Self {
        Scan { walk: Walk::failed(error, space) }
    }

    /// The next pair from the front: key and value.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "v")?;
    /// let mut scan = db.scan::<&str>(..);
    /// assert_eq!(scan.next()?, Some((&b"k"[..], &b"v"[..])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read; `Closed`, once, if the database was closed when the scan was made.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend what the next step replaces")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        self.walk.advance_pair(Side::Front)
    }

    /// The next pair from the back.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "1").put("b", "2").commit()?;
    /// let mut scan = db.scan::<&str>(..);
    /// assert_eq!(scan.next_back()?, Some((&b"b"[..], &b"2"[..])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Scan::next`].
    #[inline]
    pub fn next_back(&mut self) -> Result<Option<(&[u8], &[u8])>> {
        self.walk.advance_pair(Side::Back)
    }

    /// Begins again, at the part of the range from `key` on, as [`Iter::seek`](crate::Iter::seek) does. What the scan has
    /// allocated is used again: many short scans cost least with one `Scan` of the widest range and a seek for each.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "").put("c", "").put("e", "").commit()?;
    /// let mut scan = db.snapshot().scan("a"..);
    /// scan.seek("b");
    /// assert_eq!(scan.next()?, Some((&b"c"[..], &b""[..])));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seek(&mut self, key: impl AsRef<[u8]>) {
        self.walk.seek(key.as_ref());
    }
}

impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.walk.debug("Scan", f)
    }
}
