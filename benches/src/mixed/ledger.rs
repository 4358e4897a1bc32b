//! What writers were promised: enough to tell, after a run of several threads, whether an acknowledged write was lost.
//!
//! One counter orders everything. A write takes a ticket when it begins, which is also the version in its value, and
//! reads the counter again when it was acknowledged. So of two writes `a` and `b` of one record, `a` certainly came first
//! when `a.acknowledged <= b.version`. The rule that `Ledger::verdict` checks, of each record that was written:
//!
//! > its value is that of a recorded write, and no other write of it began after that one had been acknowledged.
//!
//! It takes 24 bytes a write, the same for every engine.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// One acknowledged write.
#[derive(Clone, Copy, Debug)]
struct Entry {
    record: u64,
    version: u64,
    acknowledged: u64,
}

/// The counter that orders the writes of all threads; version 0 is that of the loaded records.
#[derive(Debug)]
pub(super) struct Tickets(AtomicU64);

impl Tickets {
    /// A counter at its beginning.
    pub(super) fn new() -> Tickets {
        Tickets(AtomicU64::new(1))
    }

    /// The version of a write that begins now.
    pub(super) fn begin(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// The acknowledged writes of one thread; joined with those of others by `absorb`.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// Notes that the write of `record` that began with ticket `version` has just been acknowledged.
    pub(super) fn acknowledge(&mut self, tickets: &Tickets, record: u64, version: u64) {
        self.entries.push(Entry { record, version, acknowledged: tickets.now() });
    }

    /// The writes noted.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds the writes of another thread.
    pub(super) fn absorb(&mut self, other: Ledger) {
        self.entries.extend(other.entries);
    }

    /// Judges every written record by the version that `read` finds in the database now.
    ///
    /// # Errors
    ///
    /// What `read` says; and the first record that breaks the rule.
    pub(super) fn verdict(&self, mut read: impl FnMut(u64) -> Result<u64, String>) -> Result<(), String> {
        let mut latest: HashMap<u64, u64> = HashMap::new();
        let mut acknowledged: HashMap<u64, u64> = HashMap::with_capacity(self.entries.len());
        for entry in &self.entries {
            let version = latest.entry(entry.record).or_default();
            *version = entry.version.max(*version);
            acknowledged.insert(entry.version, entry.acknowledged);
        }
        let mut records: Vec<_> = latest.into_iter().collect();
        records.sort_unstable();
        for (record, latest) in records {
            let found = read(record)?;
            let Some(&ended) = acknowledged.get(&found) else {
                return Err(format!("record {record} has version {found}, though version {latest} was acknowledged"));
            };
            if ended <= latest {
                return Err(format!("record {record} lost its acknowledged version {latest} to the older {found}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger of `(record, version, acknowledged)`.
    fn ledger(entries: &[(u64, u64, u64)]) -> Ledger {
        let entries = entries.iter().map(|&(record, version, acknowledged)| Entry { record, version, acknowledged });
        Ledger { entries: entries.collect() }
    }

    #[test]
    fn the_last_acknowledged_version_is_accepted() {
        let tickets = Tickets::new();
        let mut ledger = Ledger::default();
        for _ in 0..3 {
            let version = tickets.begin();
            ledger.acknowledge(&tickets, 5, version);
        }
        assert_eq!(ledger.verdict(|_| Ok(3)), Ok(()));
        assert_eq!(ledger.len(), 3);
    }

    #[test]
    fn an_older_version_is_a_lost_write() {
        let ledger = ledger(&[(5, 1, 2), (5, 2, 3)]);
        assert!(ledger.verdict(|_| Ok(1)).is_err_and(|why| why.contains("lost")));
    }

    #[test]
    fn the_loaded_version_is_a_lost_write() {
        assert!(ledger(&[(5, 1, 2)]).verdict(|_| Ok(0)).is_err());
    }

    #[test]
    fn writes_that_overlapped_may_end_in_either_order() {
        let ledger = ledger(&[(5, 1, 3), (5, 2, 3)]);
        assert_eq!(ledger.verdict(|_| Ok(1)), Ok(()));
        assert_eq!(ledger.verdict(|_| Ok(2)), Ok(()));
    }

    #[test]
    fn a_version_nobody_wrote_is_refused() {
        assert!(ledger(&[(5, 1, 2)]).verdict(|_| Ok(9)).is_err());
    }
}
