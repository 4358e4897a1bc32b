//! [`Cursor`]: a position in a snapshot, over the live keys of all partitions in key order, in both directions.

use crate::snapshot::Snapshot;
use crate::sources::Sources;
use crate::{Life, Result};

/// A position in a snapshot; on no key before the first move and past either end. Owns its snapshot, so it is
/// `'static` and pins what it reads until it is dropped.
///
/// Cost of a step: one step of a tree or memtable cursor, and one comparison of keys, or as many as the logarithm of the
/// number of memtables and trees where the next key comes from another one. Nothing is copied or allocated. After an error
/// the position is undefined; seek again.
#[derive(Debug)]
pub struct Cursor {
    sources: Sources,
    snapshot: Snapshot,
}

impl Cursor {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self { sources: snapshot.sources(), snapshot }
    }

    /// The snapshot it moves in.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// To the first key. Cost of a seek: one descent per memtable and tree, all of them under way at the same time, so that
    /// their waiting for memory is not added up.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn seek_first(&mut self) -> Result<()> {
        self.sources.seek_first()?;
        self.skip_dead(Sources::next)
    }

    /// To the last key.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek_last(&mut self) -> Result<()> {
        self.sources.seek_last()?;
        self.skip_dead(Sources::prev)
    }

    /// To the first key not below `key`.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.sources.seek(key)?;
        self.skip_dead(Sources::next)
    }

    /// To the last key not above `key`.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    pub fn seek_back(&mut self, key: &[u8]) -> Result<()> {
        self.sources.seek_back(key)?;
        self.skip_dead(Sources::prev)
    }

    /// To the next key; does nothing on no key.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    #[expect(clippy::should_implement_trait, reason = "a cursor moves; it is no iterator")]
    #[inline]
    pub fn next(&mut self) -> Result<()> {
        self.sources.next()?;
        self.skip_dead(Sources::next)
    }

    /// To the previous key; does nothing on no key.
    ///
    /// # Errors
    /// As [`Cursor::seek_first`].
    #[inline]
    pub fn prev(&mut self) -> Result<()> {
        self.sources.prev()?;
        self.skip_dead(Sources::prev)
    }

    /// The key it is on.
    #[inline]
    pub fn key(&self) -> Option<&[u8]> {
        self.sources.key()
    }

    /// The value of the key it is on, borrowed from the memtable or the mapping.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if the value's pages cannot be read.
    #[inline]
    pub fn value(&self) -> Result<Option<&[u8]>> {
        self.sources.value()
    }

    /// How long the key it is on has its value; [`Life::Absent`] on no key. It is live at the snapshot's time.
    pub fn life(&self) -> Life {
        self.sources.life()
    }

    #[inline]
    fn skip_dead(&mut self, step: impl Fn(&mut Sources) -> Result<()>) -> Result<()> {
        while !self.sources.is_live() && self.sources.key().is_some() {
            step(&mut self.sources)?;
        }
        Ok(())
    }
}

/// What a short scan costs most is to be made: the next one of this snapshot may have it.
impl Drop for Cursor {
    fn drop(&mut self) {
        self.snapshot.keep_sources(std::mem::take(&mut self.sources));
    }
}
