//! [`Staged`]: the writes of a large commit before it is made, sorted by partition into memtables that nobody else sees yet.
//!
//! One copy of keys and values is all the memory that it takes, beside what a memtable takes for each write: these tables
//! become layers of the database as they are when the commit is made. Its writes have no number before (`Memtable::seal`).
//!
//! Invariant: range deletes apply before all entries. Where one comes after entries that it covers, these get tombstones
//! above them, so that the whole still says what was asked for in the order in which it was asked.
//!
//! What they take is held of the memory for writes that are not committed (`uncommitted.rs`), and refused beyond it.
//!
//! What this file does not know: logs, and who may read what when (`large.rs`).

use crate::batch::{self, Op};
use crate::ranges::KeyRanges;
use crate::routing::Router;
use crate::set::{PartitionSet, Shared};
use crate::uncommitted::Share;
use crate::{Batch, Error, Result};
use halodb_memtable::{Entry, Memtable, Pool};
use halodb_wal::Lsn;
use std::ops::Bound;
use std::sync::Arc;

/// Writes that apply whole or not at all, and may be more than one record of the log should hold: the pieces of one are
/// written when it is committed, with [`PartitionSet::commit_staged`].
///
/// Of several writes to one key the last one counts; a range delete covers what was added before it, and nothing that
/// is added after it.
///
/// ```
/// # use halodb_partition::{Durability, Entropy, Options, PartitionSet};
/// # use std::{path::Path, sync::Arc};
/// # fn main() -> halodb_partition::Result<()> {
/// # let disk = Arc::new(halodb_vfs::SimVfs::new());
/// # let entropy = Entropy { uuid: [7; 16], incarnation: 1, hash_seed: 42 };
/// # let (set, _) = PartitionSet::open(disk, Path::new("data"), Options::default(), entropy, 0)?;
/// let mut staged = set.stage();
/// for i in 0..1000u32 {
///     staged.put(&i.to_be_bytes(), b"value")?;
/// }
/// set.commit_staged(&mut staged, &[], Durability::Sync, 0)?;
/// assert!(set.get(&7u32.to_be_bytes())?.is_some());
/// # set.close(0)
/// # }
/// ```
#[derive(Debug)]
pub struct Staged {
    router: Router,
    max_key: usize,
    pool: Arc<Pool>,
    /// One for each partition that a key was written to.
    tables: Vec<Option<Filling>>,
    ranges: KeyRanges,
    /// Bytes of the keys of range deletes, and a few for each.
    range_bytes: u64,
    share: Share,
    /// So many bytes are written to a table before it is looked at how much they take.
    step_bytes: u64,
    len: usize,
    len_bytes: u64,
    expires: bool,
}

/// A table that is being filled.
#[derive(Debug)]
struct Filling {
    table: Arc<Memtable>,
    /// So much may be written to it before it has to be asked again.
    room_bytes: u64,
}

/// More than a write takes in a memtable, beside key and value; and a range in a set of them.
const OVERHEAD_BYTES: u64 = 128;

impl PartitionSet {
    /// Nothing yet, to be filled and then committed with [`PartitionSet::commit_staged`].
    pub fn stage(&self) -> Staged {
        self.stage_with(self.share())
    }

    /// As [`PartitionSet::stage`], where memory for it was held before.
    pub fn stage_with(&self, share: Share) -> Staged {
        Staged::new(self.shared.router, self.shared.max_key_len(), self.shared.pool.clone(), share)
    }

    /// Bytes of a batch from which on [`PartitionSet::commit`] stages it: a quarter of the memtables, at most 32 MiB.
    pub fn large_bytes(&self) -> u64 {
        self.shared.large_bytes()
    }
}

impl Shared {
    /// See [`PartitionSet::large_bytes`].
    #[inline]
    pub(crate) fn large_bytes(&self) -> u64 {
        const LARGEST: u64 = 32 << 20;
        const LEAST: u64 = 1 << 20;
        let of_memtables = (self.options.memtable_bytes / 4).clamp(LEAST, LARGEST);
        self.options.large_bytes.unwrap_or(of_memtables)
    }

    /// A batch as a large commit.
    pub(crate) fn stage_batch(&self, batch: &Batch) -> Result<Staged> {
        let share = self.uncommitted.share();
        let mut staged = Staged::new(self.router, self.max_key_len(), self.pool.clone(), share);
        staged.add(batch)?;
        Ok(staged)
    }
}

impl Staged {
    pub(crate) fn new(router: Router, max_key: usize, pool: Arc<Pool>, share: Share) -> Self {
        let tables: Vec<_> = (0..router.partitions).map(|_| None).collect();
        let step_bytes = (share.step_bytes() / tables.len().max(1) as u64).max(1);
        let (ranges, range_bytes) = (KeyRanges::new(), 0);
        let (len, len_bytes, expires) = (0, 0, false);
        Self { router, max_key, pool, tables, ranges, range_bytes, share, step_bytes, len, len_bytes, expires }
    }

    /// Sets a key. O(1), one copy.
    ///
    /// # Errors
    /// `InvalidInput` for a key or value that is too long, or when a partition's memory can hold no more (at least 4 GiB);
    /// `Memory` when batches and transactions that are not committed hold as much as they may. Nothing was added.
    #[inline]
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.write(&Op::Put(key, value))
    }

    /// Sets a key until a time, in milliseconds since the epoch; 0: for ever.
    ///
    /// # Errors
    /// As [`Staged::put`].
    pub fn put_until(&mut self, key: &[u8], value: &[u8], expires_at_ms: u64) -> Result<()> {
        match expires_at_ms {
            0 => self.write(&Op::Put(key, value)),
            at_ms => self.write(&Op::PutUntil(key, value, at_ms)),
        }
    }

    /// Removes a key. Costs an entry whether or not it is there.
    ///
    /// # Errors
    /// As [`Staged::put`].
    pub fn delete(&mut self, key: &[u8]) -> Result<()> {
        self.write(&Op::Delete(key))
    }

    /// Removes all keys in `[start, end)`, or from `start` on; an `end` not above `start` removes nothing.
    ///
    /// Cost: sorting what was added since the last call, and a tombstone for each key in the range that was added before.
    ///
    /// # Errors
    /// As [`Staged::put`].
    pub fn delete_range(&mut self, start: &[u8], end: Option<&[u8]>) -> Result<()> {
        self.write(&Op::DeleteRange(start, end))
    }

    /// Adds what a batch holds, in its order.
    ///
    /// # Errors
    /// As [`Staged::put`]: what comes before the write that is refused was added.
    pub fn add(&mut self, batch: &Batch) -> Result<()> {
        batch.each_op(|op| self.write(&op))
    }

    /// Number of writes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of keys and values, and a few for each write: about what it takes in the log.
    pub fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Bytes of memory that it takes, about: those of its memtables.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.tables.iter().flatten().map(|filling| filling.table.size_bytes()).sum::<u64>() + self.range_bytes
    }

    /// Whether one of the writes expires.
    pub fn expires(&self) -> bool {
        self.expires
    }

    pub(crate) fn ranges(&self) -> &KeyRanges {
        &self.ranges
    }

    /// Adds a write.
    ///
    /// # Errors
    /// As [`Staged::put`].
    #[inline]
    pub fn write(&mut self, op: &Op<'_>) -> Result<()> {
        batch::validate_op(op, self.max_key)?;
        match *op {
            Op::Put(key, value) => self.insert(key, Entry::Value(value))?,
            Op::PutUntil(key, value, at_ms) => {
                self.insert(key, Entry::Expiring(value, at_ms))?;
                self.expires = true;
            }
            Op::Delete(key) => self.insert(key, Entry::Tombstone)?,
            Op::DeleteRange(start, end) => {
                let bytes = (start.len() + end.map_or(0, <[u8]>::len)) as u64;
                self.bury(start, end, bytes + OVERHEAD_BYTES)?;
                self.ranges.add(Bound::Included(start), end.map_or(Bound::Unbounded, Bound::Excluded));
                self.range_bytes += bytes + OVERHEAD_BYTES;
                self.len_bytes += bytes + 4;
            }
        }
        self.len += 1;
        Ok(())
    }

    fn insert(&mut self, key: &[u8], entry: Entry<'_>) -> Result<()> {
        let hash = self.router.hash(key);
        let partition = self.router.partition_of_hash(hash);
        let bytes = (key.len() + entry.value().map_or(0, <[u8]>::len)) as u64;
        let needed = bytes + OVERHEAD_BYTES;
        if self.tables[partition].as_ref().is_none_or(|filling| needed > filling.room_bytes) {
            self.make_room(partition, needed)?;
        }
        let Some(filling) = &mut self.tables[partition] else { unreachable!("room was made in it") };
        filling.room_bytes -= needed;
        filling.table.insert(hash, key, 0, entry);
        self.len_bytes += bytes + 4;
        Ok(())
    }

    /// Sees to it that so many bytes, and a step more, may be written to a table.
    #[cold]
    fn make_room(&mut self, partition: usize, needed: u64) -> Result<()> {
        let asked = needed.max(self.step_bytes);
        self.share.hold(self.memory_bytes() + needed)?;
        let filling = self.tables[partition]
            .get_or_insert_with(|| Filling { table: Arc::new(Memtable::with_pool(self.pool.clone())), room_bytes: 0 });
        if !filling.table.has_room(asked) {
            let held = self.len_bytes;
            return Err(Error::invalid(format!(
                "a transaction of more than {held} bytes finds no room in memory: commit in smaller pieces"
            )));
        }
        filling.room_bytes = asked;
        Ok(())
    }

    /// Puts tombstones above the entries of a range, and holds memory for so many bytes more.
    fn bury(&mut self, start: &[u8], end: Option<&[u8]>, bytes: u64) -> Result<()> {
        let mut covered: Vec<Vec<u8>> = Vec::new();
        for filling in self.tables.iter().flatten() {
            let mut cursor = filling.table.cursor(u64::MAX);
            cursor.seek(start);
            while let Some(key) = cursor.key().filter(|key| end.is_none_or(|end| *key < end)) {
                if cursor.found().is_some_and(|found| found.entry != Entry::Tombstone) {
                    covered.push(key.to_vec());
                }
                cursor.next();
            }
        }
        // Before the first of them: a range is refused whole.
        let tombstones: u64 = covered.iter().map(|key| key.len() as u64 + OVERHEAD_BYTES).sum();
        self.share.hold(self.memory_bytes() + tombstones + bytes)?;
        covered.iter().try_for_each(|key| self.insert(key, Entry::Tombstone))
    }

    /// The partitions that it writes to.
    pub(crate) fn touched(&self) -> Vec<usize> {
        let all = !self.ranges.is_empty();
        (0..self.tables.len()).filter(|&partition| all || self.tables[partition].is_some()).collect()
    }

    /// Tells every write of a key, those of one key in their order, until `each` says no.
    pub(crate) fn writes(&self, mut each: impl FnMut(&[u8], Entry<'_>) -> bool) {
        let mut goes_on = true;
        for filling in self.tables.iter().flatten() {
            filling.table.writes(|key, entry| {
                goes_on = each(key, entry);
                goes_on
            });
            if !goes_on {
                return;
            }
        }
    }

    /// Takes the tables out, with a number: each with its partition. Nothing is left, and no memory held.
    pub(crate) fn seal(&mut self, lsn: Lsn) -> Vec<(usize, Arc<Memtable>)> {
        let touched = self.touched();
        let ranges = std::mem::take(&mut self.ranges);
        let mut sealed = Vec::with_capacity(touched.len());
        for partition in touched {
            let table = match self.tables[partition].take() {
                Some(filling) => filling.table,
                None => Arc::new(Memtable::with_pool(self.pool.clone())),
            };
            for (start, end) in ranges.iter() {
                table.delete_range(start, end, lsn.0);
            }
            table.seal(lsn.0);
            sealed.push((partition, table));
        }
        (self.len, self.len_bytes, self.range_bytes, self.expires) = (0, 0, 0, false);
        self.share.give_back();
        sealed
    }
}
