//! Sweeping: what has expired is taken out of the trees, so that it costs neither room nor a look at each count.
//!
//! Branches state the least expiry below them, so a sweep goes to the leaves that hold something expired and to no other; it
//! is a merge of deletions of exactly those keys, chunk by chunk. Nobody can tell that it happened: all that it takes away is
//! absent for every reader of the version that it publishes, as their clocks are not before its own.
//!
//! A leaf is rewritten whole for a single entry. Therefore the next sweep of a partition waits longer the more the last one
//! wrote: 16 MiB per second of pages of 16 KiB with the default interval.

use crate::checkpoint::Checkpoint;
use crate::set::Shared;
use crate::{Result, merge};
use halodb_btree::{Change, Edits, Tree};
use halodb_wal::Lsn;
use std::sync::atomic::Ordering;

/// So many pages may be written by a sweep for each interval until the next one.
const PAGES_PER_INTERVAL: u64 = 1024;

impl Shared {
    /// Whether something of a partition's tree has expired, and it is time to look. A tree that cannot be read is not swept:
    /// whoever reads it is told why.
    pub(crate) fn is_to_be_swept(&self, partition: usize, now_ms: u64) -> bool {
        if !self.clock.is_used() || self.options.sweep_ms == 0 {
            return false;
        }
        let not_before = &self.partitions[partition].sweep_at_ms;
        if now_ms < not_before.load(Ordering::Relaxed) {
            return false;
        }
        let is_due = self.has_expired(&self.versions.load().parts[partition].tree);
        if !is_due {
            not_before.store(now_ms.saturating_add(self.options.sweep_ms), Ordering::Relaxed);
        }
        is_due
    }

    fn has_expired(&self, tree: &Tree) -> bool {
        tree.least_expiry().is_ok_and(|least| least.is_past(self.clock.dropping_ms()))
    }

    /// Takes a chunk of what has expired out of a partition's tree. Within [`Shared::quietly`].
    pub(crate) fn sweep_chunk(&self, partition: usize, now_ms: u64) -> Result<()> {
        let pager = &self.partitions[partition].pager;
        // As for a compaction: what the open took for durable may have been in the cache only.
        self.touch();
        // What fails is not tried again at once: nobody depends on it.
        let next = &self.partitions[partition].sweep_at_ms;
        next.store(now_ms.saturating_add(self.options.sweep_ms), Ordering::Relaxed);
        self.wal.sync().map_err(|e| self.log_failed(e))?;
        let clock = self.clock.dropping_ms();
        let tree = self.versions.load().parts[partition].tree.clone();
        let keys = tree.expired_keys(&[], clock, self.chunk_pages(&tree))?;
        if keys.is_empty() {
            return Ok(());
        }
        let synced = self.wal.synced();
        let mut txn = pager.begin()?;
        let mut edits = Deletes(keys, 0);
        let merged = halodb_btree::merge(&mut txn, &tree, &[], &mut edits, merge::FILL_PERCENT, u64::MAX)?;
        let roots: Vec<_> = merged.root.into_iter().collect();
        let checkpoint = Checkpoint { applied: self.applied(partition)?, synced, mark_ms: self.clock.promised_ms() };
        let snapshot = txn.commit(&roots, &checkpoint.encode())?;
        let swept = Tree::open(snapshot, 0, self.tree_options())?;
        let intervals = merged.pages_written / PAGES_PER_INTERVAL + u64::from(!self.has_expired(&swept));
        next.store(now_ms.saturating_add(self.options.sweep_ms.saturating_mul(intervals)), Ordering::Relaxed);
        self.versions.replace(partition, Lsn(0), |part| {
            part.tree = swept;
            part.dropped_ms = part.dropped_ms.max(clock);
        });
        self.counters.sweeps.fetch_add(1, Ordering::Relaxed);
        pager.truncate_tail()?;
        Ok(())
    }
}

/// Keys that are to go, ascending, and how many of them are gone.
struct Deletes(Vec<Vec<u8>>, usize);

impl Edits for Deletes {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        self.0.get(self.1).map(|key| (&key[..], Change::Delete))
    }

    fn advance(&mut self) {
        self.1 += 1;
    }
}
