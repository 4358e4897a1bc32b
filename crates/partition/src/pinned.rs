//! [`Pinned`]: memory that only readers keep: memtables that are merged, and gone from the newest version, but not from those that
//! snapshots, cursors and open transactions hold.
//!
//! They have a share of the memory of their own, half of the limit. Above it nobody may pin more, as it would be memory that
//! nothing bounds; what is held goes on being read, and neither gets nor writes are refused. Memtables that are begun while
//! readers keep some are smaller by what those keep, but never below half: one active and one frozen memtable are always left
//! to writers.
//!
//! Nobody is told when the last reader of a table goes. So tables are looked at when it matters: when one more is retired, when a
//! memtable is begun, and when the sum, with those that may be gone, is above the share.

use crate::set::{PartitionSet, Shared};
use crate::sync::{AtomicU64, Mutex};
use halodb_memtable::Memtable;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

/// Readers may keep so much in any case: where memtables are tiny, a few iterators would use their share up.
const LEAST_SHARE_BYTES: u64 = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Pinned {
    /// Retired tables that were there at the last look, and their sizes.
    retired: Mutex<Vec<(Weak<Memtable>, u64)>>,
    /// The sum of these sizes: never less than what is there.
    bytes: AtomicU64,
}

impl Pinned {
    /// A merge has taken a table out of the newest version.
    pub(crate) fn retire(&self, table: &Arc<Memtable>) {
        let mut retired = self.retired.lock();
        retired.retain(|(table, _)| table.strong_count() > 0);
        retired.push((Arc::downgrade(table), table.size_bytes()));
        self.sum(&retired);
    }

    /// Bytes that readers keep. One load if there are none.
    pub(crate) fn bytes(&self) -> u64 {
        if self.bytes.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let mut retired = self.retired.lock();
        retired.retain(|(table, _)| table.strong_count() > 0);
        self.sum(&retired)
    }

    /// Whether readers keep more than their share. One load if they are far from it.
    fn exceed(&self, share: u64) -> bool {
        self.bytes.load(Ordering::Relaxed) > share && self.bytes() > share
    }

    fn sum(&self, retired: &[(Weak<Memtable>, u64)]) -> u64 {
        let bytes = retired.iter().map(|(_, bytes)| bytes).sum();
        self.bytes.store(bytes, Ordering::Relaxed);
        bytes
    }
}

impl Shared {
    /// How much memory readers may keep before no more may be pinned.
    pub(crate) fn pins_share(&self) -> u64 {
        (self.options.memtable_bytes / 2).max(LEAST_SHARE_BYTES)
    }

    /// Bytes of all memtables together that are begun now.
    pub(crate) fn memtables_share(&self) -> u64 {
        let all = self.options.memtable_bytes;
        all - self.pinned.bytes().min(all / 2)
    }
}

impl PartitionSet {
    /// Whether memtables that only snapshots, cursors and transactions keep have used up their share, half of
    /// [`Options::memtable_bytes`](crate::Options::memtable_bytes): then whoever wants to keep one for long should be refused.
    /// Nobody is refused here. The bytes they keep, and their share; `None`: it is not used up. One load mostly.
    pub fn pins_exceed(&self) -> Option<(u64, u64)> {
        let share = self.shared.pins_share();
        self.shared.pinned.exceed(share).then(|| (self.shared.pinned.bytes(), share))
    }
}
