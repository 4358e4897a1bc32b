//! Backup: a compact copy of the whole database at one sequence number, made while writers and merges go on.
//!
//! It never copies live files: it *builds* new trees from a snapshot, so that each page that it reads is verified again on
//! the way, however long ago it came into the cache, and damage is found instead of handed on. Log: empty, beginning above
//! the numbers of the source. Identity: the source's uuid with an incarnation of its own, so that no file of one can be
//! taken for a file of the other. The order of writing:
//!
//! ```text
//! nightly.unfinished/UNFINISHED → trees → log → BACKUP → MANIFEST → mark removed → renamed to nightly
//!                            each durable before the next
//! ```
//!
//! What pins the snapshot is the same as for a long scan: pages that merges give up meanwhile are not used again before
//! the backup has ended.

use crate::backup_file::{BackupReport, Seal, file_path};
use crate::backup_place::{Existing, Unfinished};
use crate::backup_tree::{CopyStep, Meter, NewFile, OnProgress, build};
use crate::checkpoint::Checkpoint;
use crate::cursor::Cursor;
use crate::directory;
use crate::manifest::Manifest;
use crate::set::{PartitionSet, Shared};
use crate::snapshot::Snapshot;
use crate::version::{PartVersion, SetVersion};
use crate::{Error, Options, Result};
use halodb_btree::{Tree, TreeOptions};
use halodb_vfs::{FileExt, OpenMode, Vfs, mutant};
use halodb_wal::{Lsn, Wal};
use std::ops::Bound::Unbounded;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use xxhash_rust::xxh3::Xxh3;

/// Bytes of the log of a copy: it holds the marker of its own end only.
const LOG_BYTES: u64 = 8 << 10;
/// Bytes read at a time for a checksum.
const PIECE: usize = 1 << 20;

impl PartitionSet {
    /// Copies everything that is visible now into `dir`, which must not exist, or be empty; its parent must exist. Reads,
    /// writes, merges and compaction go on. `incarnation` is a random number, `now_ms` the time since 1970.
    ///
    /// Costs reading and writing all data once, and reading what was written; memory for one chunk, whatever the size.
    /// Until it has ended the snapshot that it reads pins memory and pages.
    ///
    /// # Errors
    /// `InvalidInput` for a directory that cannot be taken, `Locked` if another process makes the same backup, `Cancelled`
    /// if `progress` said so, `Corrupt` (nothing bad is copied), `Io`, `Closed`. Nothing is left then that could be taken for a
    /// backup; what cannot be removed has a name that ends in `.unfinished`, and goes with the next attempt.
    ///
    /// ```
    /// # use halodb_partition::{Batch, Durability, Entropy, Existing, Options, PartitionSet, restore};
    /// # use std::{ops::ControlFlow, path::Path, sync::Arc};
    /// # fn main() -> halodb_partition::Result<()> {
    /// # let disk = Arc::new(halodb_vfs::SimVfs::new());
    /// # let entropy = Entropy { uuid: [7; 16], incarnation: 1, hash_seed: 42 };
    /// let (set, _) = PartitionSet::open(disk.clone(), Path::new("data"), Options::default(), entropy, 0)?;
    /// let mut batch = Batch::new();
    /// batch.put(b"apple", b"red");
    /// set.commit(&batch, Durability::Sync, 0)?;
    ///
    /// let report = set.backup(Path::new("nightly"), 2, 0, &mut |_| ControlFlow::Continue(()))?;
    /// assert_eq!(report.keys, 1);
    /// restore(disk, Path::new("nightly"), Path::new("again"), Existing::Refuse, Options::default(), 3, 0,
    ///     &mut |_| ControlFlow::Continue(()))?;
    /// # Ok(()) }
    /// ```
    pub fn backup(&self, dir: &Path, incarnation: u64, now_ms: u64, progress: OnProgress<'_>) -> Result<BackupReport> {
        let shared = &*self.shared;
        let snapshot = shared.snapshot();
        if shared.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        if dir.starts_with(&shared.dir) {
            return Err(Error::invalid(format!("{} lies in the database itself", dir.display())));
        }
        let place = Unfinished::begin(&shared.vfs, dir, Existing::Refuse)?;
        let manifest = Manifest { incarnation, ..shared.manifest.clone() };
        match shared.fill_backup(place.dir(), &manifest, &snapshot, now_ms, &mut Meter::new(progress)) {
            Ok(report) => place.finish().map(|_| report),
            Err(e) => {
                place.abandon();
                Err(e)
            }
        }
    }
}

impl Shared {
    fn fill_backup(
        &self,
        dir: &Path,
        manifest: &Manifest,
        snapshot: &Snapshot,
        now_ms: u64,
        meter: &mut Meter<'_>,
    ) -> Result<BackupReport> {
        // A planted fault says that this is a database before it is one.
        if mutant("partition.backup-in-place") {
            manifest.write(&*self.vfs, dir)?;
        }
        let stated = snapshot.count(Unbounded, Unbounded)?;
        meter.begin(CopyStep::Copy, stated)?;
        let copy = NewCopy {
            vfs: &self.vfs,
            dir,
            manifest,
            seq: snapshot.lsn(),
            mark_ms: snapshot.now_ms(),
            options: self.tree_options(),
            chunk_bytes: self.options.chunk_bytes,
        };
        let mut keys = 0;
        for partition in 0..snapshot.parts().len() {
            // A planted fault looks at each partition when its turn comes.
            let late = mutant("partition.backup-moves").then(|| self.snapshot());
            let part = part_of(late.as_ref().unwrap_or(snapshot), partition, self.tree_options())?;
            keys += copy.tree(partition as u32, part, meter)?;
        }
        if keys != stated && !mutant("partition.backup-moves") {
            let what = format!("the database counts {stated} keys, and {keys} were found");
            return Err(Error::corrupt(&self.dir, what));
        }
        copy.log(now_ms)?;
        let seals = seal_all(&*self.vfs, dir, manifest, meter)?;
        let report = BackupReport {
            uuid: self.manifest.uuid,
            incarnation: self.manifest.incarnation,
            seq: snapshot.lsn(),
            time_ms: now_ms,
            keys,
            seals,
        };
        report.write(&*self.vfs, dir)?;
        manifest.write(&*self.vfs, dir)?;
        Ok(report)
    }
}

/// One partition of a snapshot as a snapshot of its own, each page of which is verified anew.
fn part_of(snapshot: &Snapshot, partition: usize, options: TreeOptions) -> Result<Cursor> {
    let part = PartVersion::clone(&snapshot.parts()[partition]);
    let tree = Tree::open(part.tree.snapshot().unverified(), 0, options)?;
    Ok(only(PartVersion { tree, ..part }, snapshot))
}

/// A cursor over one partition of a snapshot, which has to outlive it: the lock of the files is pinned by that one only.
fn only(part: PartVersion, snapshot: &Snapshot) -> Cursor {
    let version = SetVersion { lock: None, floor: snapshot.lsn(), parts: vec![Arc::new(part)] };
    Snapshot::new(Arc::new(version), snapshot.lsn(), snapshot.now_ms(), *snapshot.router()).into_cursor()
}

/// The directory of a database that is made as a copy of another one.
pub(crate) struct NewCopy<'a> {
    pub(crate) vfs: &'a Arc<dyn Vfs>,
    pub(crate) dir: &'a Path,
    /// What it is to be.
    pub(crate) manifest: &'a Manifest,
    /// The sequence number that the source was at.
    pub(crate) seq: Lsn,
    /// The time that it was at: in the copy time goes on from there, or what had expired would be missed and then come back.
    pub(crate) mark_ms: u64,
    pub(crate) options: TreeOptions,
    pub(crate) chunk_bytes: u64,
}

impl NewCopy<'_> {
    /// Makes one page file; returns the number of keys.
    pub(crate) fn tree(&self, partition: u32, source: Cursor, meter: &mut Meter<'_>) -> Result<u64> {
        let path = directory::tree_path(self.dir, partition);
        self.make_dir(path.parent().expect("a tree lies in a folder of its own"))?;
        let file = NewFile {
            vfs: self.vfs,
            path: &path,
            identity: directory::identity(self.manifest, partition),
            options: self.options,
            checkpoint: Checkpoint { applied: self.seq, synced: self.seq, mark_ms: self.mark_ms },
            chunk_bytes: self.chunk_bytes,
        };
        build(&file, source, meter)
    }

    /// Makes the log, closed in order, so that nothing is to be proven at the first open.
    pub(crate) fn log(&self, now_ms: u64) -> Result<()> {
        let dir = directory::wal_dir(self.dir);
        self.make_dir(&dir)?;
        let mut options = directory::wal_options(self.manifest, &Options::default());
        options.first_segment_bytes = LOG_BYTES;
        Ok(Wal::create_after(self.vfs.clone(), &dir, options, self.seq)?.close(now_ms)?)
    }

    /// Makes a folder, durable in its parent.
    fn make_dir(&self, path: &Path) -> Result<()> {
        self.vfs.create_dir(path).map_err(|e| Error::io("create", path, e))?;
        self.vfs.sync_dir(self.dir).map_err(|e| Error::io("synchronise the directory", self.dir, e))
    }
}

/// Reads all files of a new backup but the MANIFEST, which is not written yet, makes them durable, and seals them.
fn seal_all(vfs: &dyn Vfs, dir: &Path, manifest: &Manifest, meter: &mut Meter<'_>) -> Result<Vec<Seal>> {
    let encoded = manifest.encode();
    let mut paths = Vec::new();
    let mut total = 0;
    for number in 1..manifest.partitions as usize + 2 {
        let path = file_path(dir, number);
        let file = vfs.open(&path, OpenMode::ReadWrite).map_err(|e| Error::io("open", &path, e))?;
        total += file.len().map_err(|e| Error::io("measure", &path, e))?;
        // Its length was cut after its last commit.
        file.sync_all().map_err(|e| Error::io("synchronise", &path, e))?;
        paths.push(path);
    }
    meter.begin(CopyStep::Seal, total)?;
    let mut seals = vec![Seal { len: encoded.len() as u64, sum: xxhash_rust::xxh3::xxh3_64(&encoded) }];
    for path in &paths {
        seals.push(seal(vfs, path, meter)?);
    }
    Ok(seals)
}

/// Length and checksum of a file as it is now.
pub(crate) fn seal(vfs: &dyn Vfs, path: &Path, meter: &mut Meter<'_>) -> Result<Seal> {
    let failed = |e| Error::io("read", path, e);
    let file = vfs.open(path, OpenMode::Read).map_err(|e| Error::io("open", path, e))?;
    let len = file.len().map_err(failed)?;
    let mut piece = vec![0; PIECE.min(usize::try_from(len).unwrap_or(PIECE))];
    let mut sum = Xxh3::new();
    let mut at = 0;
    while at < len {
        let n = piece.len().min((len - at) as usize);
        file.read_exact_at(&mut piece[..n], at).map_err(failed)?;
        sum.update(&piece[..n]);
        at += n as u64;
        meter.add(n as u64)?;
    }
    Ok(Seal { len, sum: sum.digest() })
}
