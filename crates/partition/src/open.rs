//! Opening: manifest, newest valid meta of each partition, replay of what the trees do not have yet.
//!
//! Recovery writes, so it must survive a crash in itself: first everything is read and judged, nothing is changed; then
//! the log's unproven survivors are made durable and a new segment is begun; then every meta is written again, because
//! what was read may exist in the page cache only. After a clean close there is nothing to prove, and a page file is
//! secured when its first page is written.

use crate::checkpoint::Checkpoint;
use crate::clock::{Clock, FoundTime};
use crate::compact::Background;
use crate::directory;
use crate::large::Large;
use crate::manifest::Manifest;
use crate::opening::Opening;
use crate::options::{Create, Entropy, OpenReport, Options};
use crate::pace::Progress;
use crate::pinned::Pinned;
use crate::replay::Replay;
use crate::routing::Router;
use crate::set::{Counters, Partition, PartitionSet, Shared};
use crate::spill::Spill;
use crate::sync::{AtomicBool, AtomicU64, Mutex};
use crate::uncommitted::Uncommitted;
use crate::version::{Layer, PartVersion, SetVersion, VersionCell};
use crate::{Error, Result};
use halodb_btree::{Tree, TreeOptions};
use halodb_memtable::{Memtable, Pool};
use halodb_pager::{Access, Pager};
use halodb_vfs::{Lock, Vfs};
use halodb_wal::{Lsn, Wal};
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
        Self::open_with(vfs, dir, options, entropy, now_ms, Opening::default())
    }

    /// As [`PartitionSet::open`], with help, and telling how far it is.
    ///
    /// # Errors
    /// As [`PartitionSet::open`].
    pub fn open_with(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        options: Options,
        entropy: Entropy,
        now_ms: u64,
        opening: Opening<'_>,
    ) -> Result<(PartitionSet, OpenReport)> {
        options.validate()?;
        directory::ensure_dir(&*vfs, dir, options.create)?;
        directory::refuse_foreign(&*vfs, dir, options.create)?;
        let lock = Arc::new(vfs.lock(&dir.join(directory::LOCK)).map_err(|e| Error::from_lock(dir, e))?);
        Self::open_locked(vfs, dir, lock, options, entropy, now_ms, opening)
    }

    /// As [`PartitionSet::open`] for whoever has the lock, and knows the directory to be one in which a database may be.
    pub(crate) fn open_locked(
        vfs: Arc<dyn Vfs>,
        dir: &Path,
        lock: Arc<Lock>,
        options: Options,
        entropy: Entropy,
        now_ms: u64,
        opening: Opening<'_>,
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
        let uncommitted = Uncommitted::new(options.uncommitted_bytes, options.memtable_bytes);
        let spill = Arc::new(Spill::new(&vfs, dir, &manifest, &options));
        let log = match new_log {
            Some(wal) => {
                // Nothing to read; but the directory itself may be the work of a process that died before it was durable.
                directory::secure_names(&*vfs, dir)?;
                let clock = Clock::new(FoundTime::default(), None);
                OpenLog { wal, untouched: false, last: Lsn(0), clock }
            }
            None => {
                let replay = Replay::new(dir, router, &mut opened, opening, (uncommitted.clone(), spill.clone()));
                OpenLog::recover(&vfs, dir, &manifest, &options, replay, &mut report)?
            }
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
            uncommitted,
            spill,
            ahead: AtomicBool::new(false),
            freeze_at: AtomicU64::new(0),
            pinned: Pinned::default(),
            pool,
        };
        shared.size_memtables();
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
        mut replay: Replay<'_>,
        report: &mut OpenReport,
    ) -> Result<Self> {
        let recovery = replay.run(vfs, directory::wal_options(manifest, options), report)?;
        let (clean, last) = (recovery.clean(), recovery.last());
        let clock = Clock::new(replay.time, clean.then(|| recovery.last_time_ms()));
        if !clean {
            directory::secure_names(&**vfs, dir)?;
        }
        let wal = recovery.into_wal()?;
        if !clean {
            let Replay { parts, opening, .. } = replay;
            opening.try_all(parts.len(), |partition| Ok(parts[partition].pager.secure()?))?;
        }
        Ok(Self { wal, untouched: clean && report.replayed == 0, last, clock })
    }
}

/// A partition as it was read from disk.
pub(crate) struct OpenPart {
    pager: Pager,
    pub(crate) checkpoint: Checkpoint,
    /// Its tree, and what is replayed over it.
    pub(crate) version: PartVersion,
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
