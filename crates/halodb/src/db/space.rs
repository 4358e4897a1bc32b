//! [`Space`]: where every byte is, and who holds back those that could be used again.

use std::ops::Deref;

use halodb_partition as partition;

use super::Db;
use crate::Result;
use crate::pins::HeldSnapshot;

/// Where every byte is ([`partition::Space`], which it dereferences to), and who holds old pages.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Space {
    /// The files and their parts.
    pub files: partition::Space,
    /// The snapshots that are held, oldest first. Iterators hold pages as well, and are only counted, in
    /// [`PartitionSpace::pinned_versions`](crate::PartitionSpace::pinned_versions).
    pub snapshots: Vec<HeldSnapshot>,
}

impl Deref for Space {
    type Target = partition::Space;
    fn deref(&self) -> &partition::Space {
        &self.files
    }
}

impl Db {
    /// Says where every byte of the database's files is: per partition leaves, branches, filters, long values, what is free
    /// and what is pinned; the log; other files; and which snapshots pin. The parts of a file add up to its length.
    ///
    /// Cost: reads the branches of the trees; waits for a merge that is under way.
    ///
    /// # Errors
    /// `Corrupt`, `Io`, `Closed`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let db = halodb::Db::open(dir.path())?;
    /// db.put("a", "1")?;
    /// db.flush()?;
    /// let reader = db.snapshot();
    /// let space = db.space()?;
    /// for part in &space.partitions {
    ///     println!("{}: {} bytes, {} of them free", part.path.display(), part.file_bytes, part.free);
    ///     assert_eq!(part.live() + part.reclaimable(), part.file_bytes);
    /// }
    /// assert_eq!(space.snapshots[0].seq, reader.seq());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn space(&self) -> Result<Space> {
        let files = self.inner.entered()?.set.space()?;
        Ok(Space { files, snapshots: self.inner.pins.list() })
    }
}
