//! [`PartitionSet`]: the hash partitions of one database under one log, and the state that all its rooms share.
//!
//! Here are the reads and the small calls; opening is in `open`, writing in `commit`, background work in `jobs` and
//! `merge`, closing in `close`.

use crate::clock::Clock;
use crate::compact::Background;
use crate::evidence::Evidence;
use crate::large::Large;
use crate::manifest::Manifest;
use crate::pace::Progress;
use crate::pinned::Pinned;
use crate::routing::Router;
use crate::snapshot::Snapshot;
use crate::spill::Spill;
use crate::sync::{AtomicBool, AtomicU64, Mutex};
use crate::uncommitted::Uncommitted;
use crate::version::VersionCell;
use crate::{Error, Options, Result, Value};
use halodb_btree::TreeOptions;
use halodb_memtable::Pool;
use halodb_pager::Pager;
use halodb_vfs::Vfs;
use halodb_wal::{Lsn, Wal};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

/// A memtable has room for twice this in any case, and a batch, one log record, has at most half of it.
const MAX_FREEZE_BYTES: u64 = 2 << 30;

/// The hash partitions of one database under one log. `Send + Sync`: share it by reference or behind an `Arc`.
///
/// It starts no thread: whoever owns it runs [`PartitionSet::next_job`] and [`PartitionSet::tick`].
#[derive(Debug)]
pub struct PartitionSet {
    pub(crate) shared: Arc<Shared>,
}

/// What the set and its jobs share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) dir: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) options: Options,
    pub(crate) router: Router,
    pub(crate) wal: Wal,
    pub(crate) versions: VersionCell,
    pub(crate) partitions: Vec<Partition>,
    /// What failed, if a page file takes no more writes; the log keeps its own.
    pub(crate) poisoned: OnceLock<String>,
    pub(crate) closed: AtomicBool,
    /// Whether the files were given up: set before the lock is, and seen by whoever becomes the one that is quiet.
    pub(crate) released: AtomicBool,
    /// Something was written since the last clean close, or has to be.
    pub(crate) touched: AtomicBool,
    /// Greatest number in the log when it was opened (0: nothing had to be replayed).
    pub(crate) replayed_to: Lsn,
    /// Greatest number given to a commit since the open (0: none).
    pub(crate) last_commit: AtomicU64,
    pub(crate) counters: Counters,
    /// The time by which entries expire.
    pub(crate) clock: Clock,
    /// Outlives the set with the transactions that are open.
    pub(crate) evidence: Arc<Evidence>,
    /// The large commit that is on its way into the log.
    pub(crate) large: Large,
    /// What batches and transactions hold that are not committed.
    pub(crate) uncommitted: Arc<Uncommitted>,
    /// Where writes go that find no room in memory.
    pub(crate) spill: Arc<Spill>,
    /// Whether a commit found a memtable fuller than the merge before it allows; see `pace.rs`.
    pub(crate) ahead: AtomicBool,
    /// See [`Shared::freeze_bytes`].
    pub(crate) freeze_at: AtomicU64,
    /// Memtables that only readers keep.
    pub(crate) pinned: Pinned,
    /// Memory of memtables that are merged, for those that come.
    pub(crate) pool: Arc<Pool>,
}

/// What belongs to one partition beside its place in the version.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) pager: Pager,
    /// How far the merge of its frozen memtable is.
    pub(crate) progress: Progress,
    /// Held by whatever writes to the page file or needs it quiet: one merge, one check at a time.
    pub(crate) quiet: Mutex<()>,
    /// Whether a job for this partition is handed out.
    pub(crate) claimed: AtomicBool,
    /// When its active memtable was last written to, in milliseconds.
    pub(crate) last_write_ms: AtomicU64,
    /// When it is to be swept next at the earliest, in milliseconds.
    pub(crate) sweep_at_ms: AtomicU64,
    /// The compaction that jobs do.
    pub(crate) compacting: Mutex<Background>,
}

/// Events since the open.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) commits: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) stalls: AtomicU64,
    pub(crate) sweeps: AtomicU64,
    pub(crate) conflicts: AtomicU64,
}

impl Drop for Shared {
    /// Before the lock is let go of: a batch may outlive the set.
    fn drop(&mut self) {
        self.spill.close();
    }
}

impl Shared {
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (version, lsn) = self.versions.capture(|| self.wal.settled());
        // The clock after the version: nothing that was dropped from it is live at this time.
        Snapshot::new(version, lsn, self.clock.now_ms(), self.router)
    }

    pub(crate) fn tree_options(&self) -> TreeOptions {
        TreeOptions { hash_seed: self.manifest.hash_seed, filter_bits_per_key: self.options.filter_bits_per_key }
    }

    /// The longest key a tree of this database takes.
    pub(crate) fn max_key_len(&self) -> usize {
        halodb_btree::max_key_len(self.manifest.page_size)
    }

    /// Bytes at which a partition's active memtable is frozen: half of its share, as one more may be frozen already; and
    /// not more than leaves room for the largest batch.
    pub(crate) fn freeze_bytes(&self) -> u64 {
        self.freeze_at.load(Ordering::Relaxed)
    }

    /// As often as a memtable is begun: how large it may be.
    pub(crate) fn size_memtables(&self) {
        let bytes = self.memtables_share() / (2 * self.partitions.len() as u64);
        self.freeze_at.store(bytes.clamp(1, MAX_FREEZE_BYTES), Ordering::Relaxed);
    }

    /// Bytes of merged memtables that may be kept for open transactions.
    pub(crate) fn evidence_bytes(&self) -> u64 {
        self.options.memtable_bytes / 2
    }

    /// Nothing more is written; the first failure is the one that is told.
    pub(crate) fn poison(&self, cause: &Error) {
        let _ = self.poisoned.set(cause.to_string());
    }

    /// The error for a call of the log that failed: what a closed or poisoned log says is said with the cause.
    pub(crate) fn log_failed(&self, e: halodb_wal::Error) -> Error {
        match e {
            halodb_wal::Error::Poisoned => Error::poisoned(self.wal.poison_cause().as_deref()),
            halodb_wal::Error::Invalid(_) if self.closed.load(Ordering::Acquire) => Error::closed(),
            e => e.into(),
        }
    }

    /// Whether the files still are as the last clean close left them: then there is nothing to write, and nothing to close.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.touched.load(Ordering::Acquire)
    }

    /// From now on the files are not as the last clean close left them.
    pub(crate) fn touch(&self) {
        self.touched.store(true, Ordering::Release);
    }

    pub(crate) fn ensure_writable(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::closed());
        }
        if let Some(cause) = self.poisoned.get() {
            return Err(Error::poisoned(Some(cause)));
        }
        if self.wal.is_poisoned() {
            return Err(self.log_failed(halodb_wal::Error::Poisoned));
        }
        Ok(())
    }
}

impl PartitionSet {
    /// The newest visible value of a key.
    ///
    /// Cost: a look into the memtables, then one path down the tree; the leaf's filter may end it before the leaf.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        self.shared.snapshot().get(key)
    }

    /// Runs `f` on the newest visible value without copying it.
    ///
    /// # Errors
    /// As [`PartitionSet::get`].
    pub fn get_with<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        self.shared.snapshot().get_with(key, f)
    }

    /// A consistent view of everything visible now. Costs no I/O; pins memory and pages until it is dropped, and the
    /// database's lock: nobody can open it again before.
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// The longest key in bytes.
    pub fn max_key_len(&self) -> usize {
        self.shared.max_key_len()
    }

    /// The database's directory.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// The identity the database was created with.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// The greatest sequence number that readers may see. The log's own marks have numbers, too: it may move without a
    /// commit, and, by a mark, past what is durable.
    pub fn visible(&self) -> Lsn {
        self.shared.snapshot().lsn()
    }

    /// Makes everything committed so far durable, whatever its level; returns the number up to which all is.
    ///
    /// # Errors
    /// `Poisoned` if the log cannot be synchronised, or could not be before.
    pub fn sync(&self) -> Result<Lsn> {
        self.shared.ensure_writable()?;
        if self.shared.is_untouched() {
            return Ok(self.shared.wal.synced());
        }
        self.shared.wal.sync().map_err(|e| self.shared.log_failed(e))
    }

    /// Waits until the write with number `lsn` is durable.
    ///
    /// # Errors
    /// `Lost` if a crash took that write; `InvalidInput` if the number was never given; `Poisoned`.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<()> {
        self.shared.wal.wait_durable(lsn).map_err(|e| self.shared.log_failed(e))
    }

    /// Lets the time by which entries expire go on to `now_ms`, milliseconds since the epoch; a clock that goes back does
    /// nothing. For whoever reads: what has expired by then is absent from the next snapshot on. Costs one load while
    /// nothing with an expiry was ever committed; no I/O.
    ///
    /// Time does not pass a mark that is at most ten seconds ahead of the last commit with an expiry, or the last
    /// [`PartitionSet::tick`], so that it cannot go back after a crash.
    #[inline]
    pub fn advance_time(&self, now_ms: u64) {
        self.shared.clock.advance(now_ms);
    }

    /// From now on only what expired by `time_ms` is dropped from trees and memtables; what expired later is absent for all
    /// readers, and stays on the disk. For a clock that may be wrong: 0 drops nothing, `u64::MAX` everything again. Does not
    /// outlive the open.
    pub fn drop_until(&self, time_ms: u64) {
        self.shared.clock.drop_until(time_ms);
    }

    /// As [`PartitionSet::advance_time`], and sees to it that time may go on: to be called at least every two seconds, which
    /// [`PartitionSet::tick`] does as well. If there are entries that expire, that takes a synchronisation of the log every
    /// five seconds. A full disk makes time stand.
    ///
    /// # Errors
    /// `Poisoned` if the log cannot be written, `Closed`.
    pub fn keep_time(&self, now_ms: u64) -> Result<()> {
        self.shared.ensure_writable()?;
        self.shared.keep_time(now_ms)
    }

    /// The time by which entries expire, in milliseconds since the epoch. After an open it may be ahead of the machine's
    /// clock: that was set back, or a crash lost up to ten seconds. 0 as long as there is none.
    pub fn time_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// Whether anything with an expiry was ever committed: if not, there is no time.
    #[inline]
    pub fn uses_expiry(&self) -> bool {
        self.shared.clock.is_used()
    }

    /// To be called every interval: writes what commits of the `Memory` level left in the log's buffer and, when nothing
    /// was committed since the last call, a marker that proves the log synced so far. Also lets time go on
    /// ([`PartitionSet::advance_time`]); if there are entries that expire, that takes a synchronisation of the log every
    /// five seconds.
    ///
    /// # Errors
    /// `Poisoned` if the log cannot be written.
    pub fn tick(&self, now_ms: u64) -> Result<()> {
        self.shared.ensure_writable()?;
        self.shared.keep_time(now_ms)?;
        if self.shared.is_untouched() {
            return Ok(());
        }
        let wal = &self.shared.wal;
        wal.flush()
            .and_then(|()| wal.idle(self.shared.clock.of_record(now_ms)))
            .map_err(|e| self.shared.log_failed(e))?;
        Ok(())
    }
}
