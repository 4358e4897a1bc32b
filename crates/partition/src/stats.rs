//! Plain numbers about a set, and the shape of its trees, for people and monitors.

use crate::Result;
use crate::set::PartitionSet;
use crate::version::Layer;
use halodb_btree::LevelShape;
use halodb_wal::WalStats;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Plain numbers: sizes are those of this moment, events are counted since the open.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Number of partitions.
    pub partitions: u32,
    /// Page size in bytes.
    pub page_size: u32,
    /// Bytes accounted in memtables, active and frozen.
    pub memtable_bytes: u64,
    /// Versions in memtables and runs.
    pub memtable_versions: u64,
    /// Keys in trees (what is unmerged is not counted, and not subtracted; what has expired is, until it is swept).
    pub tree_keys: u64,
    /// Pages of all page files.
    pub pages: u64,
    /// Pages that are free, or will be once no reader and no findable meta needs them.
    pub free_pages: u64,
    /// The log.
    pub wal: WalStats,
    /// Bytes of log that the next open would read if the process died now.
    pub log_live_bytes: u64,
    /// Commits.
    pub commits: u64,
    /// Merges finished.
    pub merges: u64,
    /// Sweeps that took something out of a tree that had expired.
    pub sweeps: u64,
    /// Times a writer found memory full and had to wait for a merge.
    pub stalls: u64,
    /// Commits refused because something that they rest on was written meanwhile.
    pub conflicts: u64,
    /// Bytes of merged memtables kept for open transactions, beside `memtable_bytes`.
    pub evidence_bytes: u64,
    /// Bytes of merged memtables that only snapshots, cursors and open transactions keep, `evidence_bytes` included, beside
    /// `memtable_bytes`.
    pub pinned_bytes: u64,
    /// Bytes on the disk of runs: writes of batches and large commits that found no room in memory, not merged yet or kept by readers.
    /// Their files have no names.
    pub run_bytes: u64,
    /// Times a writer was slowed down because it was ahead of the merges ([`PartitionSet::is_ahead`]), and how long in
    /// microseconds. Counted by whoever makes it wait: 0 without the facade.
    pub slowed: u64,
    /// See [`Stats::slowed`].
    pub slowed_us: u64,
    /// Greatest visible number.
    pub visible: u64,
    /// Greatest durable number.
    pub durable: u64,
}

/// One partition's tree.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PartitionShape {
    /// The partition's number.
    pub partition: u32,
    /// Its page file.
    pub path: PathBuf,
    /// Levels from the root down.
    pub levels: Vec<LevelShape>,
    /// Keys in the tree.
    pub keys: u64,
    /// Pages in the file.
    pub pages: u64,
    /// Pages that are free, or will be.
    pub free_pages: u64,
    /// Versions in its memtables that are not merged yet.
    pub unmerged: u64,
}

impl PartitionSet {
    /// Plain numbers. No I/O.
    pub fn stats(&self) -> Stats {
        let shared = &*self.shared;
        let version = shared.versions.load();
        let mut stats = Stats {
            partitions: shared.manifest.partitions,
            page_size: shared.manifest.page_size,
            wal: shared.wal.stats(),
            log_live_bytes: shared.wal.live_bytes(),
            commits: shared.counters.commits.load(Ordering::Relaxed),
            merges: shared.counters.merges.load(Ordering::Relaxed),
            sweeps: shared.counters.sweeps.load(Ordering::Relaxed),
            stalls: shared.counters.stalls.load(Ordering::Relaxed),
            conflicts: shared.counters.conflicts.load(Ordering::Relaxed),
            evidence_bytes: shared.evidence.bytes(),
            pinned_bytes: shared.pinned.bytes(),
            run_bytes: shared.spill.bytes(),
            visible: self.visible().0,
            durable: shared.wal.synced().0,
            ..Stats::default()
        };
        for (part, partition) in version.parts.iter().zip(&shared.partitions) {
            for layer in part.layers() {
                stats.memtable_bytes += layer.table.size_bytes();
                stats.memtable_versions += layer.versions();
            }
            stats.tree_keys += part.tree.len();
            let pager = partition.pager.stats();
            stats.pages += pager.pages;
            stats.free_pages += pager.free + pager.pending;
        }
        stats
    }

    /// The shape of each partition's tree. Reads every page.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn shape(&self) -> Result<Vec<PartitionShape>> {
        let shared = &*self.shared;
        let version = shared.versions.load();
        let mut shapes = Vec::new();
        for (number, (part, partition)) in version.parts.iter().zip(&shared.partitions).enumerate() {
            let pager = partition.pager.stats();
            shapes.push(PartitionShape {
                partition: number as u32,
                path: part.tree.snapshot().path().to_path_buf(),
                levels: part.tree.shape()?,
                keys: part.tree.len(),
                pages: pager.pages,
                free_pages: pager.free + pager.pending,
                unmerged: part.layers().map(Layer::versions).sum(),
            });
        }
        Ok(shapes)
    }
}
