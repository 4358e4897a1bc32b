//! The table as its users see it: one lock around the state, and counters that are read without it.
//!
//! This is the plain form, a B-tree map behind a reader-writer lock: a writer waits for the readers inside and readers
//! for the writer, each for about one descent of the tree. No user code runs under the lock and nothing inside waits.
//!
//! Invariant: counters change inside the write lock, so whoever learns of a sequence number after its write returned
//! sees the counters with it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::cursor::Cursor;
use crate::entry::{Entry, Found, RangeDelete};
use crate::state::{Change, State};

/// The map. One writer at a time (the caller sees to that: writes with the same key must come in `seq` order); readers at any time.
///
/// Reads as of `at` are repeatable if the caller lets no write at or below `at` begin any more, as a database does that
/// hands out only sequence numbers it has published.
#[derive(Default)]
pub struct Memtable {
    state: RwLock<State>,
    size_bytes: AtomicU64,
    versions: AtomicU64,
    range_deletes: AtomicU64,
    last_seq: AtomicU64,
}

impl Memtable {
    /// Empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a version. Several writes of one key with the same `seq`: the last one counts.
    ///
    /// O(log n); copies the key when it is new.
    pub fn insert(&self, key: &[u8], seq: u64, entry: Entry) {
        let mut state = self.state.write();
        let change = state.insert(key, seq, entry);
        self.count(change, seq);
    }

    /// Deletes all versions in the range older than `seq` (and none of `seq` itself: the deletes of a batch apply before its entries).
    ///
    /// A range that holds no key (`end` not above `start`) leaves no trace. O(1); each read then looks at every range
    /// delete of the table, so they should be few.
    pub fn delete_range(&self, start: &[u8], end: Option<&[u8]>, seq: u64) {
        if end.is_some_and(|end| end <= start) {
            return;
        }
        let range = RangeDelete { start: start.into(), end: end.map(Into::into), seq };
        let mut state = self.state.write();
        let change = state.delete_range(range);
        self.range_deletes.fetch_add(1, Ordering::Release);
        self.count(change, seq);
    }

    /// The newest version of `key` not younger than `at`, range deletes counted as tombstones.
    ///
    /// `None` means that nothing in this table touches the key as of `at`: look in what lies under it. A tombstone of a
    /// range delete has the range delete's `seq`, also when the key has no version of its own here.
    /// O(log n + range deletes); the value is shared, not copied.
    pub fn get(&self, key: &[u8], at: u64) -> Option<Found> {
        if self.is_empty() {
            return None;
        }
        self.state.read().get(key, at)
    }

    /// Greatest sequence number of any write that touches `key`, whatever its age (`None`: none).
    pub fn newest(&self, key: &[u8]) -> Option<Found> {
        self.get(key, u64::MAX)
    }

    /// Range deletes not younger than `at`, in the order of their arrival. Empty: one load.
    pub fn range_deletes(&self, at: u64) -> Vec<RangeDelete> {
        if self.range_deletes.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let state = self.state.read();
        state.range_deletes().iter().filter(|range| range.seq <= at).cloned().collect()
    }

    /// A cursor over keys that have a version not younger than `at`, each at its newest such version.
    /// Only keys with an own version are visited; the entry it gives counts range deletes of this table.
    pub fn cursor(self: &Arc<Self>, at: u64) -> Cursor {
        Cursor::new(Arc::clone(self), at)
    }

    /// Bytes accounted: keys, values and a fixed overhead per version.
    ///
    /// Exactly the sum of key length + [`KEY_OVERHEAD_BYTES`](crate::KEY_OVERHEAD_BYTES) over the keys, of value length +
    /// [`VERSION_OVERHEAD_BYTES`](crate::VERSION_OVERHEAD_BYTES) over their versions, and of both key lengths +
    /// [`RANGE_DELETE_OVERHEAD_BYTES`](crate::RANGE_DELETE_OVERHEAD_BYTES) over the range deletes. One load.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    /// Number of versions, range deletes included. One load.
    pub fn versions(&self) -> u64 {
        self.versions.load(Ordering::Acquire)
    }

    /// No version and no range delete. One load.
    pub fn is_empty(&self) -> bool {
        self.versions() == 0
    }

    /// Greatest sequence number in it (0: none). One load.
    pub fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }

    /// Reads the state under the lock.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&State) -> R) -> R {
        look(&self.state.read())
    }

    /// Called inside the write lock.
    fn count(&self, change: Change, seq: u64) {
        self.last_seq.fetch_max(seq, Ordering::Release);
        // What goes comes off before what is added, in one step, so that no reader sees a size that never was.
        let delta = change.added_bytes.wrapping_sub(change.removed_bytes);
        self.size_bytes.fetch_add(delta, Ordering::Release);
        self.versions.fetch_add(change.added_versions, Ordering::Release);
    }
}

/// The counters only: the content may be millions of entries.
impl fmt::Debug for Memtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memtable")
            .field("versions", &self.versions())
            .field("size_bytes", &self.size_bytes())
            .field("last_seq", &self.last_seq())
            .finish_non_exhaustive()
    }
}
