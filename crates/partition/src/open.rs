//! Opening: manifest, newest valid meta of each partition, replay of what the trees do not have yet.
//!
//! Recovery writes, so it must survive a crash in itself: first everything is read and judged, nothing is changed; then
//! the log's unproven survivors are made durable and a new segment is begun; then every meta is written again, because
//! what was read may exist in the page cache only. After a clean close there is nothing to prove, and a page file is
//! secured when its first page is written.

use crate::batch::{self, Op};
use crate::checkpoint::Checkpoint;
use crate::clock::{Clock, FoundTime};
use crate::compact::Background;
use crate::directory;
use crate::large::Large;
use crate::manifest::Manifest;
use crate::options::{Create, Entropy, OpenReport, Options};
use crate::pace::Progress;
use crate::parts::{self, Collector, Parts};
use crate::routing::Router;
use crate::set::{Counters, Partition, PartitionSet, Shared};
use crate::staged::Staged;
use crate::sync::{AtomicBool, AtomicU64, Mutex};
use crate::version::{Layer, PartVersion, SetVersion, VersionCell};
use crate::{Error, ErrorKind, Result};
use halodb_btree::{Tree, TreeOptions};
use halodb_memtable::{Entry, Memtable, Pool};
use halodb_pager::{Access, Pager};
use halodb_vfs::{Lock, Vfs, mutant};
use halodb_wal::{Known, Lsn, Record, RecordKind, Recovery, Wal};
use std::path::Path;
use std::sync::{Arc, OnceLock};

impl PartitionSet {
    /// Opens the database in `dir`, or creates it, and takes its lock.
    ///
    /// Cost: reads the log that the trees do not have yet (bounded by the log limit); after a clean close almost
    /// nothing. `entropy` is used only if the database is created. Time stands where the last process left it until the
    /// first [`PartitionSet::tick`]: what has expired meanwhile is there until then.
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
        Self::open_locked(vfs, dir, lock, options, entropy, now_ms)
    }

    /// As [`PartitionSet::open`] for whoever has the lock, and knows the directory to be one in which a database may be.
    pub(crate) fn open_locked(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        lock: Arc<Lock>,
        options: Options,
        entropy: Entropy,
        now_ms: u64,
    ) -> Result<(PartitionSet, OpenReport)> {
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
        let mut opened: Vec<OpenPart> = Vec::new();
        for partition in 0..manifest.partitions {
            opened.push(OpenPart::read(&vfs, dir, &manifest, partition, tree_options, &pool)?);
        }
        let floor = opened.iter().map(|p| p.checkpoint.applied).max().unwrap_or_default();
        let log = match new_log {
            Some(wal) => {
                // Nothing to read; but the directory itself may be the work of a process that died before it was durable.
                directory::secure_names(&*vfs, dir)?;
                let clock = Clock::new(FoundTime::default(), None);
                OpenLog { wal, untouched: false, last: Lsn(0), clock }
            }
            None => OpenLog::recover(&vfs, dir, &manifest, &options, router, &mut opened, &mut report)?,
        };
        report.clean |= report.created;
        let mut partitions = Vec::new();
        let mut parts = Vec::new();
        for part in opened {
            parts.push(Arc::new(part.version));
            partitions.push(Partition {
                pager: part.pager,
                quiet: Mutex::new(()),
                claimed: AtomicBool::new(false),
                progress: Progress::default(),
                last_write_ms: AtomicU64::new(now_ms),
                sweep_at_ms: AtomicU64::new(0),
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
            clock: log.clock,
            evidence: Arc::default(),
            large: Large::default(),
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
    /// Time, as far as it had come.
    clock: Clock,
}

impl OpenLog {
    /// Reads and judges everything; only then changes the disk: the log's unproven survivors, a new segment, the metas.
    fn recover(
        vfs: &Arc<dyn Vfs>,
        dir: &Path,
        manifest: &Manifest,
        options: &Options,
        router: Router,
        opened: &mut [OpenPart],
        report: &mut OpenReport,
    ) -> Result<Self> {
        let (recovery, time) = replay(vfs, dir, manifest, options, router, opened, report)?;
        let (clean, last) = (recovery.clean(), recovery.last());
        let clock = Clock::new(time, clean.then(|| recovery.last_time_ms()));
        if !clean {
            directory::secure_names(&**vfs, dir)?;
        }
        let wal = recovery.into_wal()?;
        if !clean {
            for part in opened.iter() {
                part.pager.secure()?;
            }
        }
        Ok(Self { wal, untouched: clean && report.replayed == 0, last, clock })
    }
}

/// A partition as it was read from disk.
struct OpenPart {
    pager: Pager,
    checkpoint: Checkpoint,
    /// Its tree, and what is replayed over it.
    version: PartVersion,
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
        let active = Layer::active(Arc::new(Memtable::with_pool(pool.clone())), 0);
        let version = PartVersion { active, frozen: Vec::new(), tree, dropped_ms: 0 };
        Ok(Self { pager, checkpoint, version })
    }
}

/// Reads the log and puts what the trees do not have into the memtables. Changes nothing on disk.
fn replay(
    vfs: &Arc<dyn Vfs>,
    dir: &Path,
    manifest: &Manifest,
    options: &Options,
    router: Router,
    parts: &mut [OpenPart],
    report: &mut OpenReport,
) -> Result<(Recovery, FoundTime)> {
    let checkpoints = || parts.iter().map(|p| p.checkpoint);
    let known = Known {
        applied_min: checkpoints().map(|c| c.applied).min().unwrap_or_default(),
        applied_max: checkpoints().map(|c| c.applied).max().unwrap_or_default(),
        synced: checkpoints().map(|c| c.synced).max().unwrap_or_default(),
    };
    let wal_dir = directory::wal_dir(dir);
    let mut replayed = 0;
    let stated_ms = checkpoints().map(|c| c.mark_ms).max().unwrap_or_default();
    let mut time = FoundTime { stated_ms, ..FoundTime::default() };
    let mut collector = Collector::default();
    let mut before = known.applied_min;
    let mut each = |record: Record<'_>| -> Result<()> {
        let before = std::mem::replace(&mut before, record.lsn);
        let corrupt = |what: &str| Error::corrupt(&wal_dir, format!("record {}: {what}", record.lsn.0));
        let says = match record.kind {
            RecordKind::Commit => {
                // The smallest write takes eight times as much in a memtable as in the log, a quarter of what the smallest
                // of the large ones has to be given.
                let most = record.payload.len() as u64 * 2;
                if !parts.iter().all(|part| part.version.active.table.has_room(most)) {
                    return Err(Error::new(ErrorKind::Full, too_long(&wal_dir, record.lsn)));
                }
                let ops = batch::decode(record.payload).map_err(corrupt)?;
                apply(record.lsn, ops, router, parts)
            }
            // A planted fault takes parts for commits.
            RecordKind::Part if mutant("partition.parts-without-commit") => {
                let ops = parts::ops(record.payload).map_err(corrupt)?;
                apply(record.lsn, ops, router, parts)
            }
            RecordKind::Part => return collector.part(record.lsn, before, record.payload).map_err(corrupt),
            RecordKind::PartCommit => {
                let Some(complete) = collector.complete(record.payload, known.applied_min).map_err(corrupt)? else {
                    return Ok(());
                };
                apply_large(record.lsn, before, complete, router, parts).map_err(|e| corrupt(&e))?
            }
            _ => return Ok(()),
        };
        // A mark of time is no write: an orderly end leaves the last ones in the log.
        replayed += u64::from(says != Says::Time);
        if says != Says::Plain {
            time.is_used = true;
            time.replayed_ms = time.replayed_ms.max(record.time_ms);
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
    Ok((recovery, time))
}

fn too_long(wal_dir: &Path, lsn: Lsn) -> String {
    format!(
        "{}: up to record {} there is more to replay than a memtable can hold; `salvage` can read it",
        wal_dir.display(),
        lsn.0
    )
}

/// What a commit record says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Nothing.
    Plain,
    /// That there is time: it writes something that expires.
    Expiring,
    /// How far time may have come, and nothing else.
    Time,
}

/// Puts the tables of a large commit above what was replayed so far, in those partitions whose tree does not have it.
fn apply_large(
    lsn: Lsn,
    last: Lsn,
    complete: Parts,
    router: Router,
    parts: &mut [OpenPart],
) -> std::result::Result<Says, String> {
    let pool = Arc::new(Pool::new(0));
    // What the log has was accepted once: no key is longer than a page.
    let mut staged = Staged::new(router, usize::MAX, pool.clone());
    for payload in complete.payloads {
        for op in parts::ops(&payload)? {
            staged.write(&op).map_err(|e| e.to_string())?;
        }
    }
    let says = if staged.expires() { Says::Expiring } else { Says::Plain };
    for (partition, table) in staged.seal(lsn) {
        let part = &mut parts[partition];
        if part.checkpoint.applied < lsn {
            let empty = Arc::new(Memtable::with_pool(pool.clone()));
            part.version.lay(table, empty, last, lsn, complete.before);
        }
    }
    Ok(says)
}

/// Puts a record's writes into the memtables of those partitions whose tree does not have it.
fn apply(lsn: Lsn, ops: Vec<Op<'_>>, router: Router, parts: &[OpenPart]) -> Says {
    let lacks = |part: &&OpenPart| part.checkpoint.applied < lsn;
    let insert = |key: &[u8], entry: Entry<'_>| {
        let hash = router.hash(key);
        if let Some(part) = Some(&parts[router.partition_of_hash(hash)]).filter(lacks) {
            part.version.active.table.insert(hash, key, lsn.0, entry);
        }
    };
    let says = match ops.is_empty() {
        true => Says::Time,
        false if ops.iter().any(|op| matches!(op, Op::PutUntil(..))) => Says::Expiring,
        false => Says::Plain,
    };
    // Planted faults: half a batch is replayed, or its range deletes are not.
    let whole = if mutant("partition.half-batch") { ops.len().div_ceil(2) } else { ops.len() };
    for op in ops.into_iter().take(whole) {
        match op {
            Op::DeleteRange(..) if mutant("partition.replay-without-ranges") => {}
            Op::DeleteRange(start, end) => {
                for part in parts.iter().filter(lacks) {
                    part.version.active.table.delete_range(start, end, lsn.0);
                }
            }
            Op::Put(key, value) => insert(key, Entry::Value(value)),
            Op::PutUntil(key, value, at_ms) => insert(key, Entry::Expiring(value, at_ms)),
            Op::Delete(key) => insert(key, Entry::Tombstone),
        }
    }
    says
}
