//! Restore: a backup becomes a database again.
//!
//! First every byte of the backup is compared with the checksums in BACKUP; nothing is written before all are right. Then
//! the trees are built anew, as page checksums depend on the incarnation and a restored database draws one of its own: what
//! was written by the life before never verifies in this one. The result is opened and checked in depth before it gets its
//! name. The backup is only read, and may lie on a medium that cannot be written.

use crate::backup::{NewCopy, seal};
use crate::backup_file::{BackupReport, file_path};
use crate::backup_place::{Existing, Unfinished};
use crate::backup_tree::{CopyStep, Meter, OnProgress};
use crate::checkpoint::Checkpoint;
use crate::directory::{self, UNFINISHED};
use crate::manifest::Manifest;
use crate::opening::Opening;
use crate::snapshot::Snapshot;
use crate::version::{Layer, PartVersion, SetVersion};
use crate::{Depth, Entropy, Error, ErrorKind, Options, PartitionSet, Result};
use halodb_btree::{Tree, TreeOptions};
use halodb_memtable::Memtable;
use halodb_pager::{Access, PageSet, Pager};
use halodb_vfs::{EntryKind, FileExt, OpenMode, Vfs, mutant};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`restore`] did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RestoreReport {
    /// What the backup says about itself.
    pub backup: BackupReport,
    /// Number of keys in the restored database, counted.
    pub keys: u64,
    /// Bytes of its page files.
    pub bytes: u64,
    /// Where the database that was replaced is still to be found, because it could not be removed.
    pub left: Option<PathBuf>,
}

/// Reads all of the backup in `dir` and compares it with its checksums. Changes nothing.
///
/// # Errors
/// `NotADatabase` if `dir` is no backup, or one that was not finished; `Corrupt`, naming the file and the offset, if it is not
/// as it was written; `Version`, `Io`, `Cancelled`.
pub fn verify(vfs: &Arc<dyn Vfs>, dir: &Path, progress: OnProgress<'_>) -> Result<BackupReport> {
    Ok(verified(vfs, dir, &mut Meter::new(progress))?.0)
}

/// Makes a database in `dir` of the backup in `backup`. `dir` must not exist, or be empty, or hold a database that is to be
/// replaced; its parent must exist. A loss of power leaves the old state or the new one. `incarnation` is a random
/// number; `options` say how it is opened for its check.
///
/// Costs reading the backup twice, writing the database once and reading it once; memory for one chunk.
///
/// # Errors
/// Those of [`verify`]; `InvalidInput` for a directory that cannot be taken; `Locked` if the database to be replaced is open;
/// `Io`, `Cancelled`. The backup and what was in `dir` are unchanged then.
#[expect(clippy::too_many_arguments, reason = "what the layers below never make themselves is handed in")]
pub fn restore(
    vfs: Arc<dyn Vfs>,
    backup: &Path,
    dir: &Path,
    existing: Existing,
    options: Options,
    incarnation: u64,
    now_ms: u64,
    progress: OnProgress<'_>,
) -> Result<RestoreReport> {
    if dir.starts_with(backup) || backup.starts_with(dir) {
        let message = format!("{} and {} lie in one another", backup.display(), dir.display());
        return Err(Error::invalid(message));
    }
    let mut meter = Meter::new(progress);
    let (report, source) = verified(&vfs, backup, &mut meter)?;
    let place = Unfinished::begin(&vfs, dir, existing)?;
    let manifest = Manifest { incarnation, ..source.clone() };
    let options = Options { partitions: None, page_size: None, create: crate::Create::Never, ..options };
    let job = Job { vfs: &vfs, backup, report: &report, source: &source, options, now_ms };
    let filled = job.fill(&place, &manifest, &mut meter).and_then(|bytes| {
        carry_over(&*vfs, dir, place.dir())?;
        Ok(bytes)
    });
    match filled {
        Ok(bytes) => {
            let left = place.finish()?;
            Ok(RestoreReport { keys: report.keys, bytes, backup: report, left })
        }
        Err(e) => {
            place.abandon();
            Err(e)
        }
    }
}

/// What the backup says about itself, and its own identity, once all of it was compared with its checksums.
fn verified(vfs: &Arc<dyn Vfs>, dir: &Path, meter: &mut Meter<'_>) -> Result<(BackupReport, Manifest)> {
    let not_one = |what: &str| Error::new(ErrorKind::NotADatabase, format!("{} is no backup: {what}", dir.display()));
    match vfs.kind(dir).map_err(|e| Error::io("look at", dir, e))? {
        Some(EntryKind::Dir) => {}
        Some(_) => return Err(not_one("it is not a directory")),
        None => return Err(Error::new(ErrorKind::NotFound, format!("there is no backup in {}", dir.display()))),
    }
    let names = vfs.read_dir(dir).map_err(|e| Error::io("list", dir, e))?;
    if names.iter().any(|entry| entry.name == UNFINISHED) {
        return Err(not_one("the process that wrote it did not come to the end"));
    }
    let Some(report) = BackupReport::read(&**vfs, dir)? else {
        return Err(not_one("it holds no file BACKUP"));
    };
    meter.begin(CopyStep::Verify, report.bytes())?;
    for (number, stated) in report.seals.iter().enumerate() {
        let path = file_path(dir, number);
        let found = seal(&**vfs, &path, meter)?;
        // A planted fault takes the files for what they were.
        if found == *stated || mutant("partition.restore-trusts") {
            continue;
        }
        if found.len != stated.len {
            let what =
                format!("at byte {}: it has {} bytes, and had {}", found.len.min(stated.len), found.len, stated.len);
            return Err(Error::corrupt(&path, what));
        }
        return Err(Error::corrupt(&path, located(vfs, dir, number, found.len)));
    }
    let manifest = Manifest::read(&**vfs, dir)?.ok_or_else(|| Error::corrupt(dir, "the MANIFEST is missing"))?;
    if manifest.uuid != report.uuid || manifest.partitions != report.partitions() {
        return Err(Error::corrupt(&file_path(dir, 0), "at byte 16: BACKUP was written for another database"));
    }
    Ok((report, manifest))
}

/// Where a file of a backup that is not as it was written is wrong, as far as that can be told.
fn located(vfs: &Arc<dyn Vfs>, dir: &Path, number: usize, len: u64) -> String {
    let somewhere = format!("bytes 0 to {len}: the checksum does not fit");
    let Some(partition) = number.checked_sub(2) else { return somewhere };
    let Ok(Some(manifest)) = Manifest::read(&**vfs, dir) else { return somewhere };
    let looked = || -> Result<Option<String>> {
        let file = open_tree(vfs, dir, &manifest, partition as u32)?;
        let findings = file.check(halodb_btree::Depth::Deep, &mut PageSet::default())?;
        let found = findings.into_iter().find(|finding| finding.offset.is_some());
        Ok(found.map(|finding| format!("at byte {}: {}", finding.offset.unwrap_or_default(), finding.what)))
    };
    match looked() {
        Ok(Some(found)) => found,
        Ok(None) => format!("{somewhere}, though every page in use does"),
        Err(e) => format!("{somewhere} ({e})"),
    }
}

fn open_tree(vfs: &Arc<dyn Vfs>, dir: &Path, manifest: &Manifest, partition: u32) -> Result<Tree> {
    let path = directory::tree_path(dir, partition);
    let pager = Pager::open(vfs.clone(), &path, &directory::identity(manifest, partition), Access::ReadOnly)?;
    // Filter bits matter to a writer only.
    let options = TreeOptions { hash_seed: manifest.hash_seed, filter_bits_per_key: 0 };
    Ok(Tree::open(pager.snapshot(), 0, options)?)
}

/// The configuration of the database that is replaced belongs to its user, and stays.
fn carry_over(vfs: &dyn Vfs, from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (from.join(directory::CONFIG), to.join(directory::CONFIG));
    if vfs.kind(&from).map_err(|e| Error::io("look at", &from, e))? != Some(EntryKind::File) {
        return Ok(());
    }
    let read = |e| Error::io("read", &from, e);
    let file = vfs.open(&from, OpenMode::Read).map_err(read)?;
    let len = file.len().map_err(read)?;
    if len > MAX_CONFIG_BYTES {
        return Err(Error::invalid(format!("{} has {len} bytes: is it a configuration?", from.display())));
    }
    let mut bytes = vec![0; len as usize];
    file.read_exact_at(&mut bytes, 0).map_err(read)?;
    let write = |e| Error::io("write", &to, e);
    let file = vfs.open(&to, OpenMode::Create).map_err(write)?;
    file.write_all_at(&bytes, 0).map_err(write)?;
    file.sync_all().map_err(write)
}

/// More than any configuration has.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// What is restored, and how.
struct Job<'a> {
    vfs: &'a Arc<dyn Vfs>,
    backup: &'a Path,
    report: &'a BackupReport,
    source: &'a Manifest,
    options: Options,
    now_ms: u64,
}

impl Job<'_> {
    /// Makes the database and checks it; returns the bytes of its page files.
    fn fill(&self, place: &Unfinished, manifest: &Manifest, meter: &mut Meter<'_>) -> Result<u64> {
        let dir = place.dir();
        let options =
            TreeOptions { hash_seed: manifest.hash_seed, filter_bits_per_key: self.options.filter_bits_per_key };
        let (seq, chunk_bytes) = (self.report.seq, self.options.chunk_bytes);
        let mut mark_ms = 0;
        for partition in 0..manifest.partitions {
            let tree = open_tree(self.vfs, self.backup, self.source, partition)?;
            let path = directory::tree_path(self.backup, partition);
            mark_ms = Checkpoint::decode(tree.snapshot().user(), &path)?.mark_ms.max(mark_ms);
        }
        let copy = NewCopy { vfs: self.vfs, dir, manifest, seq, mark_ms, options, chunk_bytes };
        meter.begin(CopyStep::Copy, self.report.keys)?;
        let mut keys = 0;
        for partition in 0..manifest.partitions {
            let tree = open_tree(self.vfs, self.backup, self.source, partition)?;
            let part = PartVersion {
                active: Layer::active(Arc::new(Memtable::new()), 0),
                frozen: Vec::new(),
                tree,
                dropped_ms: 0,
            };
            let version = SetVersion { lock: None, floor: self.report.seq, parts: vec![Arc::new(part)] };
            let router = crate::routing::Router { seed: manifest.hash_seed, partitions: manifest.partitions };
            // At the beginning of time nothing has expired: everything is copied as it was stored.
            let source = Snapshot::new(Arc::new(version), self.report.seq, 0, router).into_cursor();
            keys += copy.tree(partition, source, meter)?;
        }
        if keys != self.report.keys {
            let what = format!("it states {} keys, and {keys} were found", self.report.keys);
            return Err(Error::corrupt(&self.backup.join(directory::BACKUP), what));
        }
        copy.log(self.now_ms)?;
        let mut bytes = 0;
        for partition in 0..manifest.partitions {
            let path = directory::tree_path(dir, partition);
            let file = self.vfs.open(&path, OpenMode::ReadWrite).map_err(|e| Error::io("open", &path, e))?;
            // Its length was cut after its last commit.
            file.sync_all().map_err(|e| Error::io("synchronise", &path, e))?;
            bytes += file.len().map_err(|e| Error::io("measure", &path, e))?;
        }
        manifest.write(&**self.vfs, dir)?;
        meter.begin(CopyStep::Check, 1)?;
        self.check(place)?;
        meter.add(1)?;
        Ok(bytes)
    }

    /// Opens what was made, as everybody will, and checks it in depth.
    fn check(&self, place: &Unfinished) -> Result<()> {
        let (vfs, dir) = (self.vfs.clone(), place.dir());
        let unused = Entropy { uuid: [0; 16], incarnation: 0, hash_seed: 0 };
        let options = self.options.clone();
        let (set, _) =
            PartitionSet::open_locked(vfs, dir, place.lock(), options, unused, self.now_ms, Opening::default())?;
        let checked = set.check(Depth::Deep)?;
        set.close(self.now_ms)?;
        if let Some(finding) = checked.findings.first() {
            let place = finding.offset.map_or(String::new(), |offset| format!("at byte {offset}: "));
            return Err(Error::corrupt(&finding.path, format!("{place}{}", finding.what)));
        }
        if checked.keys != self.report.keys {
            let what = format!("{} keys were restored of {}", checked.keys, self.report.keys);
            return Err(Error::corrupt(dir, what));
        }
        Ok(())
    }
}
