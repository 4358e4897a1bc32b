//! Opening: manifest, newest valid meta of each partition, replay of what the trees do not have yet.
//!
//! Recovery writes, so it must survive a crash in itself: first everything is read and judged, nothing is changed; then
//! the log's unproven survivors are made durable and a new segment is begun; then every meta is written again, because
//! what was read may exist in the page cache only. After a clean close there is nothing to prove, and a page file is
//! secured when its first page is written.

use crate::batch::{self, Op};
use crate::checkpoint::Checkpoint;
use crate::compact::Background;
use crate::directory;
use crate::manifest::Manifest;
use crate::options::{Create, Entropy, OpenReport, Options};
use crate::pace::Progress;
use crate::routing::Router;
use crate::set::{Counters, Partition, PartitionSet, Shared};
use crate::sync::{AtomicBool, AtomicU64, Mutex};
use crate::version::{Layer, PartVersion, SetVersion, VersionCell};
use crate::{Error, ErrorKind, Result};
use halodb_btree::{Tree, TreeOptions};
use halodb_memtable::{Entry, Memtable, Pool};
use halodb_pager::{Access, Pager};
use halodb_vfs::{Vfs, mutant};
use halodb_wal::{Known, Lsn, Record, RecordKind, Recovery, Wal};
use std::path::Path;
use std::sync::{Arc, OnceLock};

impl PartitionSet {
    /// Opens the database in `dir`, or creates it, and takes its lock.
    ///
    /// Cost: reads the log that the trees do not have yet (bounded by the log limit); after a clean close almost
    /// nothing. `entropy` is used only if the database is created.
    ///
    /// # Errors
    /// `Locked`, `NotFound`, `NotADatabase`, `ManifestMissing`, `Config`, `Version`, `Corrupt`, `Io`: each names what
    /// it found and where. A refused open changes nothing.
    pub fn open(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: Options,
        entropy: Entropy,
        now_ms: u64,
    ) -> Result<(PartitionSet, OpenReport)> {
        options.validate()?;
        directory::ensure_dir(&*vfs, dir, options.create)?;
        directory::refuse_foreign(&*vfs, dir, options.create)?;
        let lock = Arc::new(vfs.lock(&dir.join(directory::LOCK)).map_err(|e| Error::from_lock(dir, e))?);
        let mut report = OpenReport::default();
        let (manifest, new_log) = match Manifest::read(&*vfs, dir)? {
            Some(manifest) => (manifest, None),
            None if options.create == Create::Never => {
                // Data without a MANIFEST is told apart from no database at all.
                directory::refuse_written(&*vfs, dir)?;
                return Err(directory::missing(dir));
            }
            None => {
                report.created = true;
                let (manifest, wal) = directory::create(&vfs, dir, &options, entropy)?;
                (manifest, Some(wal))
            }
        };
        directory::refuse_contradiction(&manifest, &options, dir)?;
        let router = Router { seed: manifest.hash_seed, partitions: manifest.partitions };
        let tree_options =
            TreeOptions { hash_seed: manifest.hash_seed, filter_bits_per_key: options.filter_bits_per_key };

        // As much as the frozen tables may be, which leave their memory to those that are active then.
        let pool = Arc::new(Pool::new(usize::try_from(options.memtable_bytes / 2).unwrap_or(usize::MAX)));
        let mut opened = Vec::new();
        for partition in 0..manifest.partitions {
            opened.push(OpenPart::read(&vfs, dir, &manifest, partition, tree_options, &pool)?);
        }
        let floor = opened.iter().map(|p| p.checkpoint.applied).max().unwrap_or_default();
        let log = match new_log {
            Some(wal) => {
                // Nothing to read; but the directory itself may be the work of a process that died before it was durable.
                directory::secure_names(&*vfs, dir)?;
                OpenLog { wal, untouched: false, last: Lsn(0) }
            }
            None => OpenLog::recover(&vfs, dir, &manifest, &options, router, &opened, &mut report)?,
        };
        report.clean |= report.created;
        let mut partitions = Vec::new();
        let mut parts = Vec::new();
        for part in opened {
            parts.push(Arc::new(PartVersion {
                active: Layer::active(part.table),
                frozen: Vec::new(),
                tree: part.tree,
            }));
            partitions.push(Partition {
                pager: part.pager,
                quiet: Mutex::new(()),
                claimed: AtomicBool::new(false),
                progress: Progress::default(),
                last_write_ms: AtomicU64::new(now_ms),
                compacting: Mutex::new(Background::default()),
            });
        }
        let shared = Shared {
            vfs,
            dir: dir.to_path_buf(),
            manifest,
            options,
            router,
            wal: log.wal,
            versions: VersionCell::new(SetVersion { lock: Some(lock), floor, parts }),
            partitions,
            poisoned: OnceLock::new(),
            closed: AtomicBool::new(false),
            released: AtomicBool::new(false),
            touched: AtomicBool::new(!log.untouched),
            replayed_to: if log.untouched { Lsn(0) } else { log.last },
            last_commit: AtomicU64::new(0),
            counters: Counters::default(),
            ahead: AtomicBool::new(false),
            pool,
        };
        Ok((PartitionSet { shared: Arc::new(shared) }, report))
    }
}

/// The log, ready to be appended to, and what reading it told.
struct OpenLog {
    wal: Wal,
    /// Whether the files are as a clean close left them, with nothing to replay.
    untouched: bool,
    /// Greatest number in it.
    last: Lsn,
}

impl OpenLog {
    /// Reads and judges everything; only then changes the disk: the log's unproven survivors, a new segment, the metas.
    fn recover(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        manifest: &Manifest,
        options: &Options,
        router: Router,
        opened: &[OpenPart],
        report: &mut OpenReport,
    ) -> Result<Self> {
        let recovery = replay(vfs, dir, manifest, options, router, opened, report)?;
        let (clean, last) = (recovery.clean(), recovery.last());
        if !clean {
            directory::secure_names(&**vfs, dir)?;
        }
        let wal = recovery.into_wal()?;
        if !clean {
            for part in opened {
                part.pager.secure()?;
            }
        }
        Ok(Self { wal, untouched: clean && report.replayed == 0, last })
    }
}

/// A partition as it was read from disk.
struct OpenPart {
    pager: Pager,
    tree: Tree,
    checkpoint: Checkpoint,
    table: Arc<Memtable>,
}

impl OpenPart {
    fn read(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        manifest: &Manifest,
        partition: u32,
        options: TreeOptions,
        pool: &Arc<Pool>,
    ) -> Result<Self> {
        let path = directory::tree_path(dir, partition);
        let pager = Pager::open(vfs.clone(), &path, &directory::identity(manifest, partition), Access::ReadWrite)?;
        let snapshot = pager.snapshot();
        let checkpoint = Checkpoint::decode(snapshot.user(), &path)?;
        let tree = Tree::open(snapshot, 0, options)?;
        let table = Arc::new(Memtable::with_pool(pool.clone()));
        Ok(Self { pager, tree, checkpoint, table })
    }
}

/// Reads the log and puts what the trees do not have into the memtables. Changes nothing on disk.
fn replay(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: &Manifest,
    options: &Options,
    router: Router,
    parts: &[OpenPart],
    report: &mut OpenReport,
) -> Result<Recovery> {
    let checkpoints = || parts.iter().map(|p| p.checkpoint);
    let known = Known {
        applied_min: checkpoints().map(|c| c.applied).min().unwrap_or_default(),
        applied_max: checkpoints().map(|c| c.applied).max().unwrap_or_default(),
        synced: checkpoints().map(|c| c.synced).max().unwrap_or_default(),
    };
    let wal_dir = directory::wal_dir(dir);
    let mut replayed = 0;
    let mut each = |record: Record<'_>| -> Result<()> {
        if record.kind == RecordKind::Commit {
            replayed += 1;
            // The smallest write takes eight times as much in a memtable as in the log, a quarter of what the smallest
            // of the large ones has to be given.
            let most = record.payload.len() as u64 * 2;
            if !parts.iter().all(|part| part.table.has_room(most)) {
                return Err(Error::new(ErrorKind::Full, too_long(&wal_dir, record.lsn)));
            }
            apply(record, router, parts)
                .map_err(|what| Error::corrupt(&wal_dir, format!("record {}: {what}", record.lsn.0)))?;
        }
        Ok(())
    };
    let recovery = Wal::recover(vfs.clone(), &wal_dir, directory::wal_options(manifest, options), known, &mut each)?;
    report.replayed = replayed;
    report.clean = recovery.clean();
    report.dropped = recovery.dropped().map(|tail| {
        format!(
            "{} at byte {}: the log ends here; what follows was never known to be durable and is dropped (from number {} on)",
            tail.path.display(),
            tail.offset,
            tail.from.0
        )
    });
    Ok(recovery)
}

fn too_long(wal_dir: &Path, lsn: Lsn) -> String {
    format!(
        "{}: up to record {} there is more to replay than a memtable can hold; `salvage` can read it",
        wal_dir.display(),
        lsn.0
    )
}

/// Puts a record's writes into the memtables of those partitions whose tree does not have it.
fn apply(record: Record<'_>, router: Router, parts: &[OpenPart]) -> std::result::Result<(), &'static str> {
    let Record { lsn, payload, .. } = record;
    let lacks = |part: &&OpenPart| part.checkpoint.applied < lsn;
    let insert = |key: &[u8], entry: Entry<'_>| {
        let hash = router.hash(key);
        if let Some(part) = Some(&parts[router.partition_of_hash(hash)]).filter(lacks) {
            part.table.insert(hash, key, lsn.0, entry);
        }
    };
    let ops = batch::decode(payload)?;
    // Planted faults: half a batch is replayed, or its range deletes are not.
    let whole = if mutant("partition.half-batch") { ops.len().div_ceil(2) } else { ops.len() };
    for op in ops.into_iter().take(whole) {
        match op {
            Op::DeleteRange(..) if mutant("partition.replay-without-ranges") => {}
            Op::DeleteRange(start, end) => {
                for part in parts.iter().filter(lacks) {
                    part.table.delete_range(start, end, lsn.0);
                }
            }
            Op::Put(key, value) => insert(key, Entry::Value(value)),
            Op::Delete(key) => insert(key, Entry::Tombstone),
        }
    }
    Ok(())
}
