//! Hot backups, and the short form of restoring one; the long form is in `restore.rs`.

use std::ops::ControlFlow;
use std::path::Path;

use halodb_partition::{BackupReport, CopyProgress, RestoreReport};

use super::Db;
use crate::Result;
use crate::builder::entropy;
use crate::clock::now_ms;
use crate::restore::Restore;

impl Db {
    /// Copies the whole database, as it is at one sequence number, into `dir`, while reads, writes, merges and compaction go on.
    ///
    /// `dir` must not exist, or be empty, and its parent must exist. The copy is packed full and checksummed, and every page that it
    /// is made of is verified on the way: nothing damaged gets into a backup. It is made in `dir` with `.unfinished`
    /// appended, and gets its name when all of it is durable. The configuration (`halodb.toml`) is not part of it.
    ///
    /// A backup is not opened but restored ([`Db::restore`]), so that it stays what its checksums say.
    ///
    /// Cost: reads all data once and writes it once, in this thread; memory for one chunk of 64 MiB of pages at most. What
    /// merges give up meanwhile is used again only after its end, as with any snapshot.
    ///
    /// # Errors
    /// `InvalidInput` for a directory that cannot be taken, `Locked` if somebody else makes the same backup, `Corrupt` if
    /// the database is damaged, `Io`, `Closed`. Nothing that could be taken for a backup is left then.
    ///
    /// ```
    /// # let home = tempfile::tempdir()?;
    /// # let (data, nightly, again) = (home.path().join("data"), home.path().join("nightly"), home.path().join("again"));
    /// use halodb::Db;
    /// let db = Db::open(&data)?;
    /// db.put("a", "1")?;
    ///
    /// let report = db.backup(&nightly)?;
    /// assert_eq!(report.keys, 1);
    ///
    /// Db::restore(&nightly, &again)?;
    /// assert_eq!(Db::open(&again)?.get("a")?.as_deref(), Some(&b"1"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup(&self, dir: impl AsRef<Path>) -> Result<BackupReport> {
        self.backup_with(dir, |_| ControlFlow::Continue(()))
    }

    /// As [`Db::backup`], telling how far it is, every few milliseconds. [`ControlFlow::Break`] ends it.
    ///
    /// # Errors
    /// As [`Db::backup`]; `Cancelled` if `progress` ended it: then nothing is left of it.
    pub fn backup_with(
        &self,
        dir: impl AsRef<Path>,
        mut progress: impl FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<BackupReport> {
        let dir = match self.path().is_absolute() {
            true => crate::builder::absolute(dir.as_ref())?,
            // With a file system of one's own, paths are taken as they are.
            false => dir.as_ref().to_owned(),
        };
        // Not entered: a close need not wait for it, as the snapshot keeps the files.
        Ok(self.inner.readable()?.set.backup(&dir, entropy()?.incarnation, now_ms(), &mut progress)?)
    }

    /// Makes a database in `dir`, which must not exist, or be empty, of the backup in `backup`. [`Restore`] can do more: replace
    /// a database, tell how far it is, only verify.
    ///
    /// Every byte of the backup is compared with its checksums first. The database has the uuid of the old one and an
    /// incarnation of its own; its sequence numbers begin above those of the old one. It is checked in depth before it gets its name.
    ///
    /// Cost: reads the backup twice, writes the database, and reads it once.
    ///
    /// # Errors
    /// `NotADatabase` if there is no finished backup; `Corrupt`, with file and offset, if it is damaged; `InvalidInput` for a
    /// directory that cannot be taken; `Io`. Nothing is left of a restore that failed.
    pub fn restore(backup: impl AsRef<Path>, dir: impl AsRef<Path>) -> Result<RestoreReport> {
        Restore::new(backup).to(dir)
    }
}
