//! [`doctor`] and [`salvage`]: for databases that do not open, or not as they should. The work is the engine's; here it gets
//! a file system, random numbers and the time.

use crate::builder::{absolute, entropy};
use crate::clock::now_ms;
use crate::{Diagnosis, Result, SalvageReport};
use halodb_partition::{BehindGaps, Options};
use halodb_vfs::OsVfs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Says what is wrong with the database in `path`, how bad it is, and what to do: without opening it for writing, and
/// also if it cannot be opened at all. Nothing is changed.
///
/// Costs the reading of all files.
///
/// # Errors
/// `NotFound`, `NotADatabase`, `Locked` while somebody has it open, `Version`, `Io`; `Corrupt` only if nothing tells any
/// more which database this is. Whatever else is wrong is in the diagnosis.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// let db = halodb::Db::open(&path)?;
/// db.put("a", "1")?;
/// db.close()?;
/// # drop(db);
/// std::fs::remove_file(path.join("MANIFEST"))?;
///
/// let diagnosis = halodb::doctor(&path)?;
/// assert_eq!(diagnosis.health, halodb::Health::Repairable);
///
/// let report = halodb::salvage(&path, dir.path().join("saved"), halodb::BehindGaps::Use)?;
/// assert_eq!(report.keys, 1);
/// let saved = halodb::Db::open(dir.path().join("saved"))?;
/// assert_eq!(saved.get("a")?.as_deref(), Some(&b"1"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn doctor(path: impl AsRef<Path>) -> Result<Diagnosis> {
    Ok(halodb_partition::diagnose(Arc::new(OsVfs), &absolute(path.as_ref())?)?)
}

/// Sets the time of the database in `path` back to that of the machine, if it is more than ten seconds ahead of it: after the
/// clock of the machine was far ahead for a moment, and the database was opened in it. What expired meanwhile and is still in
/// the files is there again. Says how far it was ahead; `None`: it was not, and nothing was changed.
///
/// Nobody may have it open. Costs an open and a close, with a merge of what the log holds.
///
/// # Errors
/// Those of [`Db::open`](crate::Db::open) of a database that must be there, and of [`Db::close`](crate::Db::close).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// halodb::Db::open(&path)?.close()?;
/// assert_eq!(halodb::turn_back(&path)?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn turn_back(path: impl AsRef<Path>) -> Result<Option<Duration>> {
    let (path, now_ms) = (absolute(path.as_ref())?, now_ms());
    let before_ms = halodb_partition::turn_back(Arc::new(OsVfs), &path, Options::default(), now_ms)?;
    Ok(before_ms.map(|before_ms| Duration::from_millis(before_ms.saturating_sub(now_ms))))
}

/// Copies everything that can be read of the database in `path` into a new one in `into`, which must not exist, or be
/// empty; its parent must exist. The damaged database is not touched. The report lists what was lost.
///
/// The new database has an identity of its own, and the number of partitions and page size of the old one. If the call
/// fails half way, remove `into`.
///
/// # Errors
/// Those of [`doctor`]; `InvalidInput` for an `into` that holds something or lies in `path`; those of writing.
pub fn salvage(path: impl AsRef<Path>, into: impl AsRef<Path>, behind_gaps: BehindGaps) -> Result<SalvageReport> {
    let (path, into) = (absolute(path.as_ref())?, absolute(into.as_ref())?);
    let vfs = Arc::new(OsVfs);
    Ok(halodb_partition::salvage(vfs, &path, &into, behind_gaps, Options::default(), entropy()?, now_ms())?)
}
