//! [`Staged`]: the writes of a large commit before it is made, sorted by partition into memtables that nobody else sees yet.
//!
//! One copy of keys and values is all the memory that it takes, beside what a memtable takes for each write: these tables
//! become layers of the database as they are when the commit is made. Its writes have no number before (`Memtable::seal`).
//!
//! Invariant: range deletes apply before all entries. Where one comes after entries that it covers, these get tombstones
//! above them, so that the whole still says what was asked for in the order in which it was asked.
//!
//! What they take is held of the memory for writes that are not committed (`uncommitted.rs`). Beyond it they are *spilled*: each table
//! becomes a run, a sorted file, and an empty one takes its place (`runs.rs`); before the commit those of a partition are made one.
//! What is newer lies in a later run, and above all runs in the table.
//!
//! What this file does not know: logs, and who may read what when (`large.rs`).

use crate::batch::{self, Op};
use crate::ranges::KeyRanges;
use crate::routing::Router;
use crate::run::{self, Run};
use crate::runs::Runs;
use crate::set::{PartitionSet, Shared};
use crate::spill::Spill;
use crate::uncommitted::Share;
use crate::version::Sealed;
use crate::{Batch, Result};
use halodb_memtable::{Entry, Life, Memtable, Pool};
use halodb_wal::Lsn;
use std::ops::Bound;
use std::sync::Arc;

/// Writes that apply whole or not at all, and may be more than one record of the log should hold, or than memory does: the
/// pieces of the record are written when it is committed, with [`PartitionSet::commit_staged`]; what finds no room in memory goes to
/// files meanwhile, which take about twice its bytes on the disk until it is merged.
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
    /// What was spilled.
    runs: Runs,
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
        self.shared.staged(share)
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
        let mut staged = self.staged(self.uncommitted.share());
        staged.add(batch)?;
        Ok(staged)
    }

    fn staged(&self, share: Share) -> Staged {
        Staged::new(self.router, self.max_key_len(), self.pool.clone(), share, self.spill.clone())
    }
}

impl Staged {
    pub(crate) fn new(router: Router, max_key: usize, pool: Arc<Pool>, share: Share, spill: Arc<Spill>) -> Self {
        let tables: Vec<_> = (0..router.partitions).map(|_| None).collect();
        let runs = Runs::new(tables.len(), spill);
        let step_bytes = (share.step_bytes() / tables.len().max(1) as u64).max(1);
        let (ranges, range_bytes) = (KeyRanges::new(), 0);
        let (len, len_bytes, expires) = (0, 0, false);
        Self { router, max_key, pool, tables, runs, ranges, range_bytes, share, step_bytes, len, len_bytes, expires }
    }

    /// Sets a key. O(1), one copy; a write that finds no room in memory waits until what is there is sorted and written to files.
    ///
    /// # Errors
    /// `InvalidInput` for a key or value that is too long. `Full` if there is no room on the disk for what finds none in memory, `Io`
    /// if it could not be written. Nothing was added.
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
    /// What was spilled is read through, as far as it lies in the range.
    ///
    /// # Errors
    /// As [`Staged::put`]; `Memory` if other batches and transactions that are not committed leave none for the bounds of the range, which
    /// stay there. If something was spilled, a part of the keys in the range may be gone, and the others not: then it should not be
    /// committed.
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

    /// Bytes of memory that it takes, about: those of its memtables. What was spilled takes none.
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
        let has_room = |filling: &&mut Filling| needed <= filling.room_bytes;
        let filling = match self.tables[partition].as_mut().filter(has_room) {
            Some(filling) => Some(filling),
            None => self.make_room(partition, needed)?,
        };
        match filling {
            Some(filling) => {
                filling.room_bytes -= needed;
                filling.table.insert(hash, key, 0, entry);
            }
            None => self.runs.add_entry(partition, key, entry)?,
        }
        self.len_bytes += bytes + 4;
        Ok(())
    }

    /// Sees to it that so many bytes, and a step more, may be written to a table; `None`: not even this one write finds room in memory,
    /// though all the others were spilled.
    #[cold]
    fn make_room(&mut self, partition: usize, needed: u64) -> Result<Option<&mut Filling>> {
        let asked = needed.max(self.step_bytes);
        let is_full = |filling: &Filling| !filling.table.has_room(asked);
        if self.share.hold(self.memory_bytes() + needed).is_err() {
            self.spill()?;
            if self.share.hold(self.memory_bytes() + needed).is_err() {
                return Ok(None);
            }
        } else if self.tables[partition].as_ref().is_some_and(is_full) {
            self.spill()?;
        }
        let filling = self.tables[partition]
            .get_or_insert_with(|| Filling { table: Arc::new(Memtable::with_pool(self.pool.clone())), room_bytes: 0 });
        if !filling.table.has_room(asked) {
            return Ok(None);
        }
        filling.room_bytes = asked;
        Ok(Some(filling))
    }

    /// Writes all tables to runs, and gives their memory back. A table whose run fails stays as it is, and so do all behind it.
    fn spill(&mut self) -> Result<()> {
        for partition in 0..self.tables.len() {
            self.spill_table(partition)?;
        }
        self.share.shrink_to(self.memory_bytes());
        Ok(())
    }

    fn spill_table(&mut self, partition: usize) -> Result<()> {
        let Some(filling) = &self.tables[partition] else { return Ok(()) };
        if filling.table.is_empty() {
            self.tables[partition] = None;
            return Ok(());
        }
        self.runs.add_table(partition, &filling.table)?;
        self.tables[partition] = None;
        Ok(())
    }

    /// For the commit: of each partition that something was spilled of, one run has all writes. To be called again when something was
    /// written since.
    ///
    /// Cost: reading and writing all that was spilled, once.
    ///
    /// # Errors
    /// `Full`, `Io`, `Corrupt`, `Closed`: it is as it was, and the call may be repeated.
    pub(crate) fn finish(&mut self) -> Result<()> {
        for partition in 0..self.tables.len() {
            if self.runs.has(partition) {
                self.spill_table(partition)?;
                self.runs.make_one(partition)?;
            }
        }
        self.share.shrink_to(self.memory_bytes());
        Ok(())
    }

    /// From now on memory is held without asking, for what must not be refused.
    pub(crate) fn hold_without_limit(&mut self) {
        self.share = Share::default();
    }

    /// Puts tombstones above the entries of a range, and holds memory for so many bytes more.
    fn bury(&mut self, start: &[u8], end: Option<&[u8]>, bytes: u64) -> Result<()> {
        let covered = self.covered(start, end);
        // Before the first of them: without runs a range is refused whole.
        let tombstones: u64 = covered.iter().map(|key| key.len() as u64 + OVERHEAD_BYTES).sum();
        // What is spilled now is in `covered` already.
        let spilled: Vec<Arc<Run>> = self.runs.all().cloned().collect();
        if self.share.hold(self.memory_bytes() + tombstones + bytes).is_err() {
            self.spill()?;
            self.share.hold(self.memory_bytes() + bytes)?;
        }
        covered.iter().try_for_each(|key| self.insert(key, Entry::Tombstone))?;
        drop(covered);
        for run in spilled {
            let mut cursor = run.cursor();
            cursor.seek(start)?;
            while let Some(key) = cursor.key().filter(|key| end.is_none_or(|end| *key < end)) {
                if run::life_at(&cursor) != Life::Absent {
                    self.insert(key, Entry::Tombstone)?;
                }
                cursor.next()?;
            }
        }
        Ok(())
    }

    /// The keys of a range that the tables have a value for.
    fn covered(&self, start: &[u8], end: Option<&[u8]>) -> Vec<Vec<u8>> {
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
        covered
    }

    /// The partitions that it writes to.
    pub(crate) fn touched(&self) -> Vec<usize> {
        let all = !self.ranges.is_empty();
        let has = |partition: usize| self.tables[partition].is_some() || self.runs.has(partition);
        (0..self.tables.len()).filter(|&partition| all || has(partition)).collect()
    }

    /// Tells every write of a key, those of one key in their order, until `each` says no; of what was spilled only the newest of each
    /// key. After [`Staged::finish`].
    ///
    /// # Errors
    /// `Corrupt` or `Io` if what was spilled cannot be read.
    pub(crate) fn writes(&self, mut each: impl FnMut(&[u8], Entry<'_>) -> bool) -> Result<()> {
        let mut goes_on = true;
        for filling in self.tables.iter().flatten() {
            filling.table.writes(|key, entry| {
                goes_on = each(key, entry);
                goes_on
            });
            if !goes_on {
                return Ok(());
            }
        }
        self.runs.entries(each)
    }

    /// Takes all out, with a number: what each partition gets. Nothing is left, and no memory held. After [`Staged::finish`]; does no
    /// I/O.
    pub(crate) fn seal(&mut self, lsn: Lsn) -> Vec<(usize, Sealed)> {
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
            sealed.push((partition, Sealed { table, run: self.runs.take(partition) }));
        }
        (self.len, self.len_bytes, self.range_bytes, self.expires) = (0, 0, 0, false);
        self.share.give_back();
        sealed
    }
}
