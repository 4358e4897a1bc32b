//! [`Pinned`]: memory that only readers keep: memtables that are merged, and gone from the newest version, but not from those that
//! snapshots, cursors and open transactions hold.
//!
//! They have a share of the memory of their own, half of the limit. Above it nobody may pin more, as it would be memory that
//! nothing bounds; what is held goes on being read, and neither gets nor writes are refused. Memtables that are begun while
//! readers keep some are smaller by what those keep, but never below half: one active and one frozen memtable are always left
//! to writers.
//!
//! What a partition merged last does not count: any scan that runs while a merge ends keeps it for a moment, and it may be as large as
//! the share itself, or, of a large commit, larger. Only what is still kept when the next merge has ended is held on to.
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
    /// Retired tables that were there at the last look.
    retired: Mutex<Vec<Retired>>,
    /// The sum of their sizes: never less than what is there.
    bytes: AtomicU64,
}

#[derive(Debug)]
struct Retired {
    table: Weak<Memtable>,
    bytes: u64,
    partition: usize,
    /// Whether its partition has merged no other since.
    is_last: bool,
}

impl Retired {
    fn is_kept(&self) -> bool {
        self.table.strong_count() > 0
    }
}

impl Pinned {
    /// A merge has taken a table out of the newest version of a partition.
    pub(crate) fn retire(&self, partition: usize, table: &Arc<Memtable>) {
        let mut retired = self.retired.lock();
        retired.iter_mut().filter(|before| before.partition == partition).for_each(|before| before.is_last = false);
        retired.push(Retired { table: Arc::downgrade(table), bytes: table.size_bytes(), partition, is_last: true });
        self.look(&mut retired);
    }

    /// Bytes that readers keep. One load if there are none.
    pub(crate) fn bytes(&self) -> u64 {
        if self.bytes.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        self.look(&mut self.retired.lock())
    }

    /// What readers keep of memtables that are not the last ones, if it is more than their share. One load if they are far from it.
    fn beyond(&self, share: u64) -> Option<u64> {
        if self.bytes.load(Ordering::Relaxed) <= share {
            return None;
        }
        let mut retired = self.retired.lock();
        self.look(&mut retired);
        let held = retired.iter().filter(|table| !table.is_last).map(|table| table.bytes).sum();
        (held > share).then_some(held)
    }

    /// Forgets what nobody keeps.
    fn look(&self, retired: &mut Vec<Retired>) -> u64 {
        retired.retain(Retired::is_kept);
        let bytes = retired.iter().map(|table| table.bytes).sum();
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
    /// Whether memtables that only snapshots, cursors and transactions keep, without the last one of each partition, have used up their share, half of
    /// [`Options::memtable_bytes`](crate::Options::memtable_bytes): then whoever wants to keep one for long should be refused.
    /// Nobody is refused here. The bytes they keep, and their share; `None`: it is not used up. One load mostly.
    pub fn pins_exceed(&self) -> Option<(u64, u64)> {
        let share = self.shared.pins_share();
        self.shared.pinned.beyond(share).map(|held| (held, share))
    }
}
