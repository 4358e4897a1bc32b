//! Looking at the files of a database as bytes, without opening it: metas, pages, log segments, each with a verdict. For
//! whoever wants to see what is inside, and holds `docs/format.md` beside it.
//!
//! The work is the engine's; here it gets the file system. What pages and records hold is read by [`crate::btree::inspect`],
//! [`crate::pager::inspect`] and [`crate::wal::inspect`].

use crate::Result;
use crate::builder::absolute;
use halodb_vfs::OsVfs;
use std::path::Path;
use std::sync::Arc;

pub use halodb_partition::{
    Inspector, LogReport, Metas, PageReport, Position, Referrer, SegmentReport, SlotReport, Standing, Verdict,
};

/// Finds out which database is in `path`; a backup is one, too. It takes no lock and writes nothing, so it works beside an
/// open database; what is being written at that moment may look damaged, and is whole when it is looked at again.
///
/// Costs the reading of the MANIFEST; what the methods cost, they say.
///
/// # Errors
/// `NotFound`, `NotADatabase`, `Version`, `Io`; `Corrupt` only if nothing tells any more which database this is.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let db = halodb::Db::open(dir.path())?;
/// db.put("a", "1")?;
/// let files = halodb::inspect::open(dir.path())?;
/// assert_eq!(files.manifest().partitions, db.stats().partitions);
/// assert!(files.metas(0)?.relied.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(path: impl AsRef<Path>) -> Result<Inspector> {
    Ok(Inspector::open(Arc::new(OsVfs), &absolute(path.as_ref())?)?)
}
