//! [`Iter`]: pairs in key order from both ends, and its views [`Keys`] and [`Values`].
//!
//! They differ only in what they read where the walk (`walk.rs`) stands.

use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;

use halodb_partition as partition;

use crate::meter::Meter;
use crate::space_id::SpaceId;
use crate::span::Span;
use crate::walk::{Side, Walk};
use crate::{Error, Key, Result, Value};

/// Pairs of a range in key order, from both ends. `'static`: it owns its snapshot, and may be kept, returned and sent to
/// another thread.
///
/// A failure (a page that cannot be read, or is corrupt) is given once, and ends the iteration.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let db = halodb::Db::open(dir.path())?;
/// db.batch().put("a", "1").put("b", "2").put("c", "3").commit()?;
/// let mut pairs = db.iter();
/// let (key, value) = pairs.next().expect("three keys")?;
/// assert_eq!((&key[..], &value[..]), (&b"a"[..], &b"1"[..]));
/// let (key, _) = pairs.next_back().expect("two keys left")?;
/// assert_eq!(key, b"c");
/// assert_eq!(pairs.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "an iterator does nothing until it is advanced"]
pub struct Iter {
    walk: Walk,
}

impl Iter {
    /// Over `span` of `view`; `None` is the empty span.
    pub(crate) fn new(view: partition::Snapshot, space: SpaceId, span: Option<Span>) -> Self {
        Iter { walk: Walk::new(view, space, span) }
    }

    /// From now on its seeks are timed, if there is a meter.
    pub(crate) fn probed(mut self, probe: Option<Arc<Meter>>) -> Self {
        self.walk.probe = probe;
        self
    }

    /// Gives `error`, then nothing.
    pub(crate) fn failed(error: Error, space: SpaceId) -> Self {
        Iter { walk: Walk::failed(error, space) }
    }

    /// Begins again, at the part of the range from `key` on: `next` then gives the first key of the range that is not
    /// below `key`, `next_back` the last key of the range. May go backwards as well. Costs as much as a lookup, when
    /// the next pair is asked for.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.batch().put("a", "").put("c", "").put("e", "").commit()?;
    /// let mut pairs = db.range("a".."e");
    /// pairs.seek("b");
    /// assert_eq!(pairs.next().expect("a key")?.0, b"c");
    /// assert!(pairs.next().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn seek(&mut self, key: impl AsRef<[u8]>) {
        self.walk.seek(key.as_ref());
    }

    /// The keys alone. Cheaper than the pairs: values that lie in pages of their own are not read.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.iter().keys().next().expect("a key")?, b"k");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn keys(self) -> Keys {
        Keys { walk: self.walk }
    }

    /// The values alone.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("k", "v")?;
    /// assert_eq!(db.iter().values().next().expect("a value")?, "v");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn values(self) -> Values {
        Values { walk: self.walk }
    }
}

impl Iterator for Iter {
    type Item = Result<(Key, Value)>;
    fn next(&mut self) -> Option<Self::Item> {
        self.walk.advance_and(Side::Front, pair)
    }
}

impl DoubleEndedIterator for Iter {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.walk.advance_and(Side::Back, pair)
    }
}

impl FusedIterator for Iter {}

/// The keys of an [`Iter`].
#[must_use = "an iterator does nothing until it is advanced"]
pub struct Keys {
    walk: Walk,
}

impl Iterator for Keys {
    type Item = Result<Key>;
    fn next(&mut self) -> Option<Self::Item> {
        self.walk.advance_and(Side::Front, Walk::key)
    }
}

impl DoubleEndedIterator for Keys {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.walk.advance_and(Side::Back, Walk::key)
    }
}

impl FusedIterator for Keys {}

/// The values of an [`Iter`], in the order of their keys.
#[must_use = "an iterator does nothing until it is advanced"]
pub struct Values {
    walk: Walk,
}

impl Iterator for Values {
    type Item = Result<Value>;
    fn next(&mut self) -> Option<Self::Item> {
        self.walk.advance_and(Side::Front, Walk::value)
    }
}

impl DoubleEndedIterator for Values {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.walk.advance_and(Side::Back, Walk::value)
    }
}

impl FusedIterator for Values {}

fn pair(walk: &Walk, side: Side) -> Result<(Key, Value)> {
    Ok((walk.key(side)?, walk.value(side)?))
}

impl fmt::Debug for Iter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.walk.debug("Iter", f)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.walk.debug("Keys", f)
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.walk.debug("Values", f)
    }
}
