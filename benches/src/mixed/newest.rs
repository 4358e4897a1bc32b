//! The newest record that readers may expect while several threads insert: all up to it were acknowledged.
//!
//! Inserts are numbered as they begin and may end in another order; a reader that asked for a record still under way
//! would not find it. YCSB's "acknowledged counter", with a set of the few that ended early.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Numbers the inserted records and follows their acknowledgements.
#[derive(Debug)]
pub(super) struct Newest {
    next: AtomicU64,
    count: AtomicU64,
    early: Mutex<BTreeSet<u64>>,
}

impl Newest {
    /// `count` records, numbered from 0, are there.
    pub(super) fn after(count: u64) -> Newest {
        Newest { next: AtomicU64::new(count), count: AtomicU64::new(count), early: Mutex::default() }
    }

    /// The number of a record that the caller inserts now.
    pub(super) fn begin(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The insert of `record` was acknowledged.
    pub(super) fn acknowledge(&self, record: u64) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        early.insert(record);
        let mut count = self.count.load(Ordering::Relaxed);
        while early.remove(&count) {
            count += 1;
        }
        self.count.store(count, Ordering::Release);
    }

    /// Records `0..count` are there.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_expected_once_all_before_it_were_acknowledged() {
        let newest = Newest::after(10);
        let (a, b, c) = (newest.begin(), newest.begin(), newest.begin());
        assert_eq!((a, b, c), (10, 11, 12));
        newest.acknowledge(b);
        assert_eq!(newest.count(), 10);
        newest.acknowledge(a);
        assert_eq!(newest.count(), 12);
        newest.acknowledge(c);
        assert_eq!(newest.count(), 13);
    }
}
