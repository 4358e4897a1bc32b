//! [`Restore`]: a backup becomes a database again. The work is the engine's; here it gets a file system, random numbers and
//! the time.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use halodb_partition::{BackupReport, CopyProgress, Existing, Options, RestoreReport};
use halodb_vfs::{OsVfs, Vfs};

use crate::builder::{absolute, entropy};
use crate::clock::now_ms;
use crate::{Error, Result};

/// A backup that is to be restored or verified. [`Db::restore`](crate::Db::restore) is the short form.
///
/// ```
/// # let home = tempfile::tempdir()?;
/// # let (data, nightly) = (home.path().join("data"), home.path().join("nightly"));
/// use halodb::{Db, Restore};
/// let db = Db::open(&data)?;
/// db.put("a", "1")?;
/// db.backup(&nightly)?;
/// db.put("a", "2")?;
/// db.close()?;
/// # drop(db);
///
/// let report = Restore::new(&nightly).replace_existing().to(&data)?;
/// assert_eq!(report.keys, 1);
/// assert_eq!(Db::open(&data)?.get("a")?.as_deref(), Some(&b"1"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is restored until `to` is called"]
pub struct Restore {
    backup: PathBuf,
    existing: Existing,
    vfs: Option<Arc<dyn Vfs>>,
}

impl Restore {
    /// The backup in this directory. It is only read, and may lie on a medium that cannot be written.
    pub fn new(backup: impl AsRef<Path>) -> Self {
        Restore { backup: backup.as_ref().to_owned(), existing: Existing::Refuse, vfs: None }
    }

    /// A database that is there already, and that nobody has open, is replaced: in one step, so that a loss of power leaves
    /// the old one or the new one. Its `halodb.toml` stays. Needs room for both, and a file system that can exchange two
    /// directories (ext4, XFS, Btrfs, tmpfs, APFS can).
    pub fn replace_existing(mut self) -> Self {
        self.existing = Existing::Replace;
        self
    }

    /// Another file system: for tests. Paths are taken as they are then.
    pub fn vfs(mut self, vfs: Arc<dyn Vfs>) -> Self {
        self.vfs = Some(vfs);
        self
    }

    /// Makes the database in `dir`.
    ///
    /// # Errors
    /// As [`Db::restore`](crate::Db::restore); `Locked` if the database to be replaced is open.
    pub fn to(&self, dir: impl AsRef<Path>) -> Result<RestoreReport> {
        self.to_with(dir, |_| ControlFlow::Continue(()))
    }

    /// As [`Restore::to`], telling how far it is, every few milliseconds. [`ControlFlow::Break`] ends it.
    ///
    /// # Errors
    /// As [`Restore::to`]; `Cancelled` if `progress` ended it: then nothing was changed.
    pub fn to_with(
        &self,
        dir: impl AsRef<Path>,
        mut progress: impl FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<RestoreReport> {
        let (vfs, backup) = self.source()?;
        let dir = self.resolved(dir.as_ref())?;
        let (options, incarnation) = (Options::default(), entropy()?.incarnation);
        let done =
            halodb_partition::restore(vfs, &backup, &dir, self.existing, options, incarnation, now_ms(), &mut progress);
        Ok(done?)
    }

    /// Compares every byte of the backup with its checksums, and changes nothing. Costs reading it once.
    ///
    /// # Errors
    /// `NotFound`, `NotADatabase` if there is no finished backup; `Corrupt`, with file and offset, if it is damaged; `Io`.
    pub fn verify(&self, mut progress: impl FnMut(CopyProgress) -> ControlFlow<()>) -> Result<BackupReport> {
        let (vfs, backup) = self.source()?;
        Ok(halodb_partition::verify(&vfs, &backup, &mut progress)?)
    }

    fn source(&self) -> Result<(Arc<dyn Vfs>, PathBuf)> {
        let vfs = self.vfs.clone().unwrap_or_else(|| Arc::new(OsVfs));
        Ok((vfs, self.resolved(&self.backup)?))
    }

    /// The path that a link leads to: what changes places is the directory, not the link.
    fn resolved(&self, path: &Path) -> Result<PathBuf> {
        if self.vfs.is_some() {
            return Ok(path.to_owned());
        }
        match std::fs::canonicalize(path) {
            Ok(resolved) => Ok(resolved),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => absolute(path),
            Err(error) => Err(Error::io(format!("cannot tell where {} is", path.display()), error)),
        }
    }
}
