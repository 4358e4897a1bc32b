//! [`Progress`]: the log's counters, each one atomic load to read.
//!
//! Only the sequencer's section (appended) and the leader of a group (the others) move them, each only forward.

use crate::sync::{AtomicBool, AtomicU64};
use crate::{Durability, Lsn};
use halodb_vfs::mutant;
use std::sync::atomic::Ordering;

#[derive(Debug, Default)]
pub(crate) struct Progress {
    appended: AtomicU64,
    written: AtomicU64,
    synced: AtomicU64,
    settled: AtomicU64,
    poisoned: AtomicBool,
    /// Greatest LSN that a waiter wants synced.
    sync_wanted: AtomicU64,
    /// Bytes in the buffer.
    buffered: AtomicU64,
    pub(crate) records: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) groups: AtomicU64,
    pub(crate) syncs: AtomicU64,
}

fn load(a: &AtomicU64) -> Lsn {
    Lsn(a.load(Ordering::Acquire))
}

impl Progress {
    /// Everything up to `last` is there and written, and up to `synced` also synced.
    pub(crate) fn new(last: Lsn, synced: Lsn) -> Self {
        let at = || AtomicU64::new(last.0);
        Self { appended: at(), written: at(), synced: AtomicU64::new(synced.0), settled: at(), ..Self::default() }
    }

    pub(crate) fn reached(&self, level: Durability) -> Lsn {
        load(match level {
            Durability::Memory => &self.appended,
            Durability::Buffered => &self.written,
            Durability::Sync => &self.synced,
        })
    }

    pub(crate) fn settled(&self) -> Lsn {
        load(&self.settled)
    }

    /// A record of `bytes` bytes entered the buffer. Under the sequencer's lock, as all that changes these counters: so they are
    /// stored, and not added to, which would cost as much as the rest of a small record.
    pub(crate) fn appended(&self, lsn: Lsn, bytes: u64) {
        self.appended.store(lsn.0, Ordering::Release);
        let add = |counter: &AtomicU64, n: u64| counter.store(counter.load(Ordering::Relaxed) + n, Ordering::Release);
        add(&self.buffered, bytes);
        add(&self.records, 1);
        add(&self.bytes, bytes);
    }

    /// A leader took the buffer away, under the sequencer's lock.
    pub(crate) fn taken(&self) {
        self.buffered.store(0, Ordering::Release);
    }

    pub(crate) fn buffered(&self) -> u64 {
        self.buffered.load(Ordering::Acquire)
    }

    pub(crate) fn set_written(&self, lsn: Lsn) {
        self.written.store(lsn.0, Ordering::Release);
    }

    pub(crate) fn set_synced(&self, lsn: Lsn) {
        self.synced.store(lsn.0, Ordering::Release);
    }

    pub(crate) fn set_settled(&self, lsn: Lsn) {
        // A planted fault lets readers of the number miss what it stands for.
        let order = if mutant("wal.settled-relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.settled.store(lsn.0, order);
    }

    pub(crate) fn want_sync(&self, lsn: Lsn) {
        self.sync_wanted.fetch_max(lsn.0, Ordering::AcqRel);
    }

    pub(crate) fn sync_wanted(&self) -> Lsn {
        load(&self.sync_wanted)
    }

    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::Release);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }
}

/// Adds to a counter that nothing is ordered by.
pub(crate) fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
