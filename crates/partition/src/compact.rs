//! Compaction: page files that shrink to what lives in them, chunk by chunk, without a second copy of the data.
//!
//! What moves, and in what order, is in `halodb_btree::Shrink`. Here is when: all partitions one after another when
//! somebody asks ([`Compactor`]), or, as a job, a partition whose file is largely free and that nobody writes to. Merges of
//! a partition go in between two chunks of it; reads and writes do not notice.
//!
//! A chunk changes no entry, and its meta repeats the position in the log, so a crash at any point finds the same contents.

use crate::set::{PartitionSet, Shared};
use crate::{Error, Result};
use halodb_btree::{Shrink, Tree};
use halodb_pager::{PageRef, Pager, PagerStats};
use halodb_vfs::mutant;
use halodb_wal::Lsn;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a compaction won and cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compaction {
    /// Length of all page files before, in bytes.
    pub bytes_before: u64,
    /// Length afterwards. More than before if much was written meanwhile.
    pub bytes_after: u64,
    /// Pages written for it.
    pub pages_written: u64,
    /// Commits that moved pages.
    pub chunks: u64,
    /// Partitions of which a part stayed as it was because snapshots and iterators pin too many pages.
    pub held_back: u64,
}

impl Compaction {
    /// Bytes given back to the file system.
    pub fn won_bytes(&self) -> u64 {
        self.bytes_before.saturating_sub(self.bytes_after)
    }
}

/// A compaction of all partitions, done step by step by whoever holds it. It may be dropped at any time: what was done
/// stays, and the next one has less to do.
///
/// ```
/// # use halodb_partition::{Batch, Durability, Entropy, Options, PartitionSet};
/// # fn main() -> halodb_partition::Result<()> {
/// # let disk = std::sync::Arc::new(halodb_vfs::SimVfs::new());
/// # let entropy = Entropy { uuid: [7; 16], incarnation: 1, hash_seed: 42 };
/// # let (set, _) = PartitionSet::open(disk, "data".as_ref(), Options::default(), entropy, 0)?;
/// let mut compactor = set.compactor();
/// while !compactor.step()? {
///     println!("{:.0} %", compactor.progress()? * 100.0);
/// }
/// println!("{} bytes won", compactor.report().won_bytes());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Compactor {
    shared: Arc<Shared>,
    partition: usize,
    shrink: Shrink,
    report: Compaction,
}

impl PartitionSet {
    /// A compaction that has done nothing yet. Merge first ([`PartitionSet::flush`]), so that deletions have taken effect.
    pub fn compactor(&self) -> Compactor {
        let bytes_before = self.shared.page_file_bytes();
        let report = Compaction { bytes_before, bytes_after: bytes_before, ..Compaction::default() };
        Compactor { shared: self.shared.clone(), partition: 0, shrink: Shrink::new(Shrink::TIGHT), report }
    }

    /// Merges everything and compacts all partitions, in the calling thread; writes and reads go on.
    ///
    /// Cost: reads the trees, and writes at most about twice what they hold. The files grow by one chunk at most meanwhile.
    ///
    /// # Errors
    /// As [`crate::Job::run`]; what was won stays.
    pub fn compact(&self) -> Result<Compaction> {
        self.flush()?;
        let mut compactor = self.compactor();
        while !compactor.step()? {}
        Ok(compactor.report())
    }
}

impl Compactor {
    /// Does the next chunk: tens of milliseconds on most disks. True: that was the last one.
    ///
    /// # Errors
    /// As [`crate::Job::run`]; the step may be tried again.
    pub fn step(&mut self) -> Result<bool> {
        if self.partition >= self.shared.partitions.len() {
            return Ok(true);
        }
        let before = self.shrink.so_far();
        let stepped = self.shared.quietly(self.partition, || {
            self.shared.ensure_writable()?;
            self.shared.shrink(self.partition, &mut self.shrink)
        });
        let after = self.shrink.so_far();
        self.report.pages_written += after.pages_written - before.pages_written;
        self.report.chunks += after.chunks - before.chunks;
        stepped?;
        if self.shrink.is_done() {
            self.report.held_back += u64::from(after.held_back > 0);
            self.report.bytes_after = self.shared.page_file_bytes();
            self.partition += 1;
            self.shrink = Shrink::new(Shrink::TIGHT);
        }
        let finished = self.partition == self.shared.partitions.len();
        if finished {
            self.shared.give_log_back()?;
        }
        Ok(finished)
    }

    /// About how far it is, from 0 to 1.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn progress(&self) -> Result<f64> {
        let version = self.shared.versions.load();
        let here = version.parts.get(self.partition).map_or(Ok(0.0), |part| self.shrink.progress(&part.tree))?;
        Ok((self.partition as f64 + here) / self.shared.partitions.len() as f64)
    }

    /// What was won so far, partition by partition.
    pub fn report(&self) -> Compaction {
        self.report
    }
}

/// The compaction that a partition's jobs do.
#[derive(Debug, Default)]
pub(crate) struct Background {
    shrink: Option<Shrink>,
    /// Root and free pages of the file when the last one ended: as long as the tree is the same, and not many more pages are free
    /// because a reader left, another would win nothing.
    ended: Option<(Option<PageRef>, u64)>,
}

impl Background {
    fn is_as_it_ended(&self, pager: &Pager, free: u64) -> bool {
        self.ended.is_some_and(|(root, then)| root == root_of(pager) && free <= then + then / 8)
    }
}

fn root_of(pager: &Pager) -> Option<PageRef> {
    pager.snapshot().roots().first().map(|root| root.page)
}

/// A file with fewer free pages is left alone.
const LEAST_FREE_PAGES: u64 = 64;

/// Bytes written per chunk, unless the list of free pages is long: few, because the partition's merges wait for it.
const CHUNK_BYTES: u64 = 8 << 20;

/// Pages per chunk at least, if the configured chunk has so many: a smaller one is not worth its syncs.
const LEAST_CHUNK_PAGES: u64 = 64;

/// The numbers of a page file, and its pages that are free, or are as soon as its newest meta stands in both slots.
fn state_of(pager: &Pager) -> (PagerStats, u64) {
    let stats = pager.stats();
    (stats, stats.free + stats.pending - stats.pinned)
}

impl Shared {
    /// Whether so much of a page file is free that a job is to compact it, or one has begun to.
    pub(crate) fn is_roomy(&self, partition: usize) -> bool {
        let part = &self.partitions[partition];
        let background = part.compacting.lock();
        if background.shrink.is_some() {
            return true;
        }
        let (stats, free) = state_of(&part.pager);
        let percent = u64::from(self.options.compact_free_percent);
        free >= LEAST_FREE_PAGES
            && free.saturating_mul(100) >= stats.pages.saturating_mul(percent)
            && !background.is_as_it_ended(&part.pager, free)
    }

    /// The next chunk of a partition's compaction in the background. Within [`Shared::quietly`].
    pub(crate) fn compact_chunk(&self, partition: usize) -> Result<()> {
        let part = &self.partitions[partition];
        let mut shrink = part.compacting.lock().shrink.take().unwrap_or_else(|| Shrink::new(Shrink::LOOSE));
        let stepped = self.shrink(partition, &mut shrink);
        let mut background = part.compacting.lock();
        // What failed is not tried again and again: others may be waiting, and nobody depends on it.
        if shrink.is_done() || stepped.is_err() {
            background.ended = Some((root_of(&part.pager), state_of(&part.pager).1));
        } else {
            background.shrink = Some(shrink);
        }
        stepped
    }

    /// One step, after which readers get the newest version. Within [`Shared::quietly`].
    fn shrink(&self, partition: usize, shrink: &mut Shrink) -> Result<()> {
        let pager = &self.partitions[partition].pager;
        // As before any page file is written after a clean close: from here on the log says that the next open is to secure
        // the metas. Also what that open took for durable may have been in the cache only.
        self.touch();
        self.wal.sync().map_err(|e| self.log_failed(e))?;
        let stepped = shrink.step(pager, self.tree_options(), self.shrink_pages(partition)).map_err(Error::from);
        // Also after a failure: what was committed before it is what the next merge has to begin with.
        let newest = pager.snapshot();
        let current = self.versions.load().parts[partition].tree.snapshot().generation();
        // A planted fault leaves the version of before.
        if newest.generation() != current && !mutant("partition.stale-after-compact") {
            let tree = Tree::open(newest, 0, self.tree_options())?;
            self.versions.replace(partition, Lsn(0), |part| part.tree = tree);
        }
        stepped
    }

    fn shrink_pages(&self, partition: usize) -> u64 {
        let pages = |bytes: u64| bytes / u64::from(self.manifest.page_size);
        let stats = self.partitions[partition].pager.stats();
        // Each chunk writes the list of free pages as well: it is to be a small part of what is written.
        let worth_a_list = pages(CHUNK_BYTES).max(8 * stats.free_list);
        let sixteenth = (stats.pages / 16).max(LEAST_CHUNK_PAGES);
        pages(self.options.chunk_bytes).min(worth_a_list).min(sixteenth).max(1)
    }

    /// Whoever asks for small files wants none of the log that the trees make needless, and no segments in reserve.
    fn give_log_back(&self) -> Result<()> {
        let last_commit = Lsn(self.last_commit.load(Ordering::Acquire)).max(self.replayed_to);
        for partition in 0..self.partitions.len() {
            if self.findable_applied(partition)? < last_commit {
                self.advance_idle(partition)?;
            }
        }
        self.recycle_log()?;
        self.wal.trim().map_err(|e| self.log_failed(e))?;
        Ok(())
    }

    fn page_file_bytes(&self) -> u64 {
        self.partitions.iter().map(|part| part.pager.stats().file_bytes).sum()
    }
}
