//! [`Snapshot`]: a consistent view of all partitions at one sequence number, and how one key is looked up in it.
//!
//! It shows what had not expired at its own time, which stands still: nothing changes under a reader.
//!
//! A snapshot keeps its memtables, its pages and its mappings alive, and with them the database's lock, as the next
//! process to open the database would write the pages it reads. It never blocks a writer and outlives the set it was
//! taken from.

use crate::count;
use crate::cursor::Cursor;
use crate::routing::Router;
use crate::sources::Sources;
use crate::stream::life_of;
use crate::sync::Mutex;
use crate::version::{PartVersion, SetVersion};
use crate::{Life, Result, Value};
use halodb_vfs::mutant;
use halodb_wal::Lsn;
use std::ops::Bound;
use std::sync::Arc;

/// A consistent view of everything that was visible when it was taken. Clones are cheap and show the same.
#[derive(Clone, Debug)]
pub struct Snapshot {
    version: Arc<SetVersion>,
    lsn: Lsn,
    now_ms: u64,
    router: Router,
    /// What a cursor left for the next one; `None`: nothing is kept.
    spare: Option<Arc<Mutex<Option<Sources>>>>,
}

impl Snapshot {
    pub(crate) fn new(version: Arc<SetVersion>, lsn: Lsn, now_ms: u64, router: Router) -> Self {
        Self { version, lsn, now_ms, router, spare: None }
    }

    /// The same snapshot, for many scans one after another: it and its clones keep what one cursor was made of for the next
    /// one. Costs an allocation, and saves as many for each cursor as there are memtables and trees, several times.
    #[must_use]
    pub fn for_scans(mut self) -> Self {
        self.spare.get_or_insert_with(Arc::default);
        self
    }

    /// The merge of everything in it, on no key.
    pub(crate) fn sources(&self) -> Sources {
        match self.spare.as_ref().and_then(|spare| spare.lock().take()) {
            Some(mut kept) => {
                kept.reset();
                kept
            }
            None => Sources::of(self),
        }
    }

    /// Keeps a merge made by [`Snapshot::sources`] of this snapshot or a clone of it.
    pub(crate) fn keep_sources(&self, sources: Sources) {
        if let Some(spare) = &self.spare {
            // What was kept before is dropped outside the lock.
            let _before = spare.lock().replace(sources);
        }
    }

    /// The sequence number it shows: every write up to it, none after it.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }

    /// The time it shows, in milliseconds since the epoch: what expires then or earlier is absent. 0 as long as nothing with
    /// an expiry was ever committed.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The same, at a later time.
    pub(crate) fn at_time(&self, now_ms: u64) -> Self {
        Self { now_ms: now_ms.max(self.now_ms), spare: None, ..self.clone() }
    }

    pub(crate) fn parts(&self) -> &[Arc<PartVersion>] {
        &self.version.parts
    }

    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    fn part_of(&self, key: &[u8]) -> (&PartVersion, u64) {
        let hash = self.router.hash(key);
        (&self.version.parts[self.router.partition_of_hash(hash)], hash)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn get(&self, key: &[u8]) -> Result<Option<Value>> {
        let (part, hash) = self.part_of(key);
        let at = if mutant("partition.snapshot-moves") { Lsn(u64::MAX) } else { self.lsn };
        match part.in_memory(hash, key, at)? {
            Some(found) => {
                let live = found.entry.live_value(self.now_ms);
                Ok(live.map(|bytes| self.value_in_memory(part, hash, key, bytes)))
            }
            None => Ok(self.in_tree(part, hash, key)?.map(Value::copied)),
        }
    }

    /// The value that a tree has for a key, if that has not expired.
    #[inline]
    fn in_tree<'s>(&self, part: &'s PartVersion, hash: u64, key: &[u8]) -> Result<Option<&'s [u8]>> {
        let found = part.tree.get_with_expiry(key, hash)?;
        Ok(found.filter(|(_, expiry)| !expiry.is_past(self.now_ms)).map(|(value, _)| value))
    }

    /// Whether a filter proves that an absent key is absent; `None` if the key is in memory or in the tree, or there is no
    /// filter. For measuring filters.
    ///
    /// # Errors
    /// As [`Snapshot::get`].
    pub fn filter_denies(&self, key: &[u8]) -> Result<Option<bool>> {
        let (part, hash) = self.part_of(key);
        match part.in_memory(hash, key, self.lsn)? {
            Some(_) => Ok(None),
            None => Ok(part.tree.filter_denies(key, hash)?),
        }
    }

    /// How long a key has its value, if nobody writes to it: whether it is there, now or at any later time. `Until` is in
    /// the future of the snapshot.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn life(&self, key: &[u8]) -> Result<Life> {
        let (part, hash) = self.part_of(key);
        let life = match part.in_memory(hash, key, self.lsn)? {
            Some(found) => found.entry.life(),
            None => part.tree.get_with_expiry(key, hash)?.map(|(_, expiry)| life_of(expiry)).unwrap_or_default(),
        };
        Ok(if life.is_live(self.now_ms) { life } else { Life::Absent })
    }

    /// The value that a memtable has for a key, as one of the caller's own.
    pub(crate) fn value_in_memory(&self, part: &PartVersion, hash: u64, key: &[u8], bytes: &[u8]) -> Value {
        if bytes.len() <= Value::COPIED_BYTES || part.has_runs() {
            return Value::copied(bytes);
        }
        let shared = part.in_memory_shared(hash, key, self.lsn).flatten();
        shared.map_or_else(|| Value::copied(bytes), Value::shared)
    }

    /// Runs `f` on the value of a key, borrowed from where it lies; `None` if there is none.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn get_with<R>(&self, key: &[u8], f: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        let (part, hash) = self.part_of(key);
        match part.in_memory(hash, key, self.lsn)? {
            Some(found) => Ok(found.entry.live_value(self.now_ms).map(f)),
            None => Ok(self.in_tree(part, hash, key)?.map(f)),
        }
    }

    /// The value of a key, borrowed from where it lies as long as the snapshot.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn get_ref(&self, key: &[u8]) -> Result<Option<&[u8]>> {
        let (part, hash) = self.part_of(key);
        match part.in_memory(hash, key, self.lsn)? {
            Some(found) => Ok(found.entry.live_value(self.now_ms)),
            None => self.in_tree(part, hash, key),
        }
    }

    /// A cursor over all partitions in key order; it owns a clone of the snapshot.
    pub fn cursor(&self) -> Cursor {
        Cursor::new(self.clone())
    }

    /// As [`Snapshot::cursor`], for whoever needs nothing else of the snapshot.
    pub fn into_cursor(self) -> Cursor {
        Cursor::new(self)
    }

    /// The exact number of live keys between two bounds; inverted bounds count nothing.
    ///
    /// Cost: O(log n), and one lookup for each key of the memtables that was written since the last count of a snapshot; for
    /// each one in the range, if this snapshot is older than that one. A range delete that is not merged yet adds a step
    /// for each such key in it.
    ///
    /// # Errors
    /// `Corrupt` or `Io` if a page cannot be read.
    pub fn count(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Result<u64> {
        count::live_keys(self, from, to)
    }
}
