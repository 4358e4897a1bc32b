//! The table as its users see it: arena, index, order and range deletes put together, and the chains of versions.
//!
//! A write appends a record and makes it the head of its chain; a read finds the chain by hash and walks it to the newest
//! record of the key that is not younger than asked for. Readers take no lock; writers exclude each other, and scanners,
//! while one of them sorts, each other.
//!
//! Invariant: along a chain the records of one key have descending sequence numbers, and of equal ones the last written
//! comes first. A write that comes late, which no caller makes a habit of, has the younger records written again
//! above it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::arena::{Arena, Bytes, Mark, Pos, Writer};
use crate::cursor::Cursor;
use crate::entry::{Entry, Found, Life, RangeDelete};
use crate::index::{Growth, Index};
use crate::order::{Order, Runs};
use crate::pool::Pool;
use crate::ranges::Ranges;
use crate::record::Record;
use crate::run::Run;
use crate::size;
use crate::sync::AtomicU64;
use crate::tally::Tallies;

/// The map. One writer at a time is meant, with rising `seq` (others wait, and late ones cost more); readers at any time.
///
/// The caller hashes the keys, once for this and whatever else it needs the hash for. Any hash of good quality will do if
/// it is the same for the same key; keys whose hashes have the upper 32 bits in common are told apart one by one.
///
/// Reads as of `at` are repeatable if the caller lets no write at or below `at` begin any more, as a database does that
/// hands out only sequence numbers it has published.
pub struct Memtable {
    index: Index,
    ranges: Ranges,
    arena: Arena<Growth>,
    order: Order,
    tallies: Tallies,
    counters: Counters,
}

/// Written by the writer alone; in cache lines of their own, as readers of the rest would wait for each write otherwise.
#[derive(Default)]
#[repr(align(128))]
struct Counters {
    size_bytes: AtomicU64,
    versions: AtomicU64,
    last_seq: AtomicU64,
}

impl Memtable {
    /// Empty; takes no memory from others, and leaves none.
    pub fn new() -> Self {
        Self::with_pool(Arc::new(Pool::new(0)))
    }

    /// Empty; uses memory of the pool, and leaves its own there.
    pub fn with_pool(pool: Arc<Pool>) -> Self {
        Self {
            index: Index::new(pool.clone()),
            ranges: Ranges::new(),
            arena: Arena::new(pool, Growth::default()),
            order: Order::default(),
            tallies: Tallies::default(),
            counters: Counters::default(),
        }
    }

    /// Adds a version. Several writes of one key with the same `seq`: the last one counts.
    ///
    /// O(1), one copy of key and value; for a key that is there already, also a look at its last version. O(versions of the
    /// key) if one of them is younger.
    ///
    /// # Panics
    /// If the table cannot hold any more, see [`Memtable::has_room`], or the key has 1 GiB or the value 4 GiB.
    pub fn insert(&self, hash: u64, key: &[u8], seq: u64, entry: Entry<'_>) {
        let mut writer = self.arena.writer();
        let place = self.index.place(writer.of_writer(), hash);
        let newest_seq = self.walk(place.newest, |record| record.key() == key).map(|(_, record)| record.header.seq);
        let is_in_order = newest_seq.is_none_or(|newest| newest <= seq);
        let (pos, is_new_version) = if is_in_order {
            (writer.append(key, seq, entry, place.newest), newest_seq != Some(seq))
        } else {
            self.append_late(&mut writer, place.newest, key, seq, entry)
        };
        place.publish(pos);
        let key_bytes = if newest_seq.is_none() { size::KEY_OVERHEAD_BYTES } else { 0 };
        self.count(&writer, seq, key_bytes + size::record_bytes(key, entry), u64::from(is_new_version));
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
        let writer = self.arena.writer();
        self.ranges.push(range);
        self.count(&writer, seq, size::range_delete_bytes(start, end), 1);
    }

    /// Gives the sequence number `seq` to all writes that were made with number 0. Before, they are to nobody but their
    /// writer; so a table can be filled while its number is not known yet. O(1).
    ///
    /// The caller lets nobody else read the table before, and lets it be read only by ways that make this call visible.
    ///
    /// # Panics
    /// If `seq` is 0.
    pub fn seal(&self, seq: u64) {
        assert_ne!(seq, 0, "0 stands for a number that is not known yet");
        let writer = self.arena.writer();
        self.arena.seal(seq);
        self.count(&writer, seq, 0, 0);
    }

    /// Tells every write of a key in the order of arrival, range deletes not among them, until `each` says no. O(writes),
    /// without a lock.
    pub fn writes(&self, mut each: impl FnMut(&[u8], Entry<'_>) -> bool) {
        self.arena.between_while(Mark::default(), self.arena.mark(), |_, record| each(record.key(), record.entry()));
    }

    /// Whether writes of so many bytes, accounted as in [`Memtable::size_bytes`], find room for certain. A table holds 4 GiB
    /// in any case.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.arena.writer().has_room(bytes)
    }

    /// The newest version of `key` not younger than `at`, range deletes counted as tombstones.
    ///
    /// `None` means that nothing in this table touches the key as of `at`: look in what lies under it. A tombstone of a
    /// range delete has the range delete's `seq`, also when the key has no version of its own here.
    /// O(1 + younger versions of the key + range deletes); no lock, no copy.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8], at: u64) -> Option<Found<'_>> {
        let own = self.own(hash, key, at).map(|(_, record)| record.found());
        self.ranges.resolve(key, at, own)
    }

    /// As [`Memtable::get`], with a share of the value, which is none for a tombstone.
    pub fn get_shared(&self, hash: u64, key: &[u8], at: u64) -> Option<(u64, Option<Bytes>)> {
        let own = self.own(hash, key, at);
        let found = self.ranges.resolve(key, at, own.map(|(_, record)| record.found()))?;
        let value = own.filter(|_| found.entry != Entry::Tombstone).map(|(pos, _)| self.arena.bytes(pos));
        Some((found.seq, value))
    }

    /// Greatest sequence number of any write that touches `key`, whatever its age (`None`: none).
    pub fn newest(&self, hash: u64, key: &[u8]) -> Option<Found<'_>> {
        self.get(hash, key, u64::MAX)
    }

    /// Asks for the memory where the search for a key with this hash begins: worth it if there is something else to do
    /// before the search.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Range deletes not younger than `at`, in the order of their arrival. Empty: one load.
    pub fn range_deletes(&self, at: u64) -> Vec<RangeDelete> {
        self.ranges.at(at).cloned().collect()
    }

    /// A cursor over keys that have a version not younger than `at`, each at its newest such version.
    /// Only keys with an own version are visited; the entry it gives counts range deletes of this table.
    pub fn cursor(self: &Arc<Self>, at: u64) -> Cursor {
        Cursor::new(Arc::clone(self), at)
    }

    /// How many keys the longest sorted run of the table has from `start` on and below `end`, and the one in their middle;
    /// `None`: it has none. For halving a range by its keys: a key may be in several runs, and have no version that is old
    /// enough for the reader.
    ///
    /// O(log n), and sorting what was written since the last time.
    pub fn middle(&self, start: &[u8], end: Option<&[u8]>) -> Option<(usize, &[u8])> {
        let runs = self.runs();
        let inside = |run: &Arc<Run>| {
            let below = |key| run.below(&self.arena, key);
            let first = below(start);
            let end = end.map_or(run.len(), below);
            (end.saturating_sub(first), first)
        };
        let (run, (keys, first)) = runs.iter().map(|run| (run, inside(run))).max_by_key(|(_, (keys, _))| *keys)?;
        let middle = run.get(first + keys / 2).filter(|_| keys > 0)?;
        Some((keys, self.arena.record(middle).key()))
    }

    /// Puts all keys in one order, for a table that is written to no more: its cursors have one run to walk.
    ///
    /// O(n log n) at most; allowed at any time.
    pub fn sort(&self) {
        self.order.make_one_run(&self.arena);
    }

    /// Bytes accounted: keys, values and a fixed overhead per write.
    ///
    /// Exactly the sum of key and value length + [`RECORD_OVERHEAD_BYTES`](crate::RECORD_OVERHEAD_BYTES) over all writes, of
    /// [`EXPIRY_BYTES`](crate::EXPIRY_BYTES) over the values that expire, of
    /// [`KEY_OVERHEAD_BYTES`](crate::KEY_OVERHEAD_BYTES) over the keys, and of both key lengths +
    /// [`RANGE_DELETE_OVERHEAD_BYTES`](crate::RANGE_DELETE_OVERHEAD_BYTES) over the range deletes. One load.
    pub fn size_bytes(&self) -> u64 {
        self.counters.size_bytes.load(Ordering::Acquire)
    }

    /// Number of versions, range deletes included. One load.
    pub fn versions(&self) -> u64 {
        self.counters.versions.load(Ordering::Acquire)
    }

    /// No version and no range delete. One load.
    pub fn is_empty(&self) -> bool {
        self.versions() == 0
    }

    /// Greatest sequence number in it (0: none). One load.
    pub fn last_seq(&self) -> u64 {
        self.counters.last_seq.load(Ordering::Acquire)
    }

    pub(crate) fn arena(&self) -> &Arena<Growth> {
        &self.arena
    }

    pub(crate) fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    pub(crate) fn runs(&self) -> Runs {
        self.order.runs(&self.arena)
    }

    pub(crate) fn tallies(&self) -> &Tallies {
        &self.tallies
    }

    /// How long the version of its key before a record gives it a value; `None`: there is none.
    pub(crate) fn version_before(&self, record: &Record<'_>) -> Option<Life> {
        let key = record.key();
        self.walk(self.arena.before(record), |older| older.key() == key).map(|(_, older)| older.entry().life())
    }

    /// Of a chain's record and those before it, the newest version of its key not younger than `at`.
    #[inline]
    pub(crate) fn version(&self, newest: Pos, at: u64) -> Option<Pos> {
        let record = self.arena.record(newest);
        if record.header.seq <= at {
            return Some(newest);
        }
        let key = record.key();
        self.walk(self.arena.before(&record), |record| record.header.seq <= at && record.key() == key)
            .map(|(pos, _)| pos)
    }

    /// The newest version of its own that the key has.
    #[inline]
    fn own(&self, hash: u64, key: &[u8], at: u64) -> Option<(Pos, Record<'_>)> {
        self.walk(self.index.newest(hash), |record| record.header.seq <= at && record.key() == key)
    }

    /// The first record of a chain that is `wanted`.
    #[inline]
    fn walk(&self, mut next: Option<Pos>, wanted: impl Fn(&Record<'_>) -> bool) -> Option<(Pos, Record<'_>)> {
        while let Some(pos) = next {
            let record = self.arena.record(pos);
            if wanted(&record) {
                return Some((pos, record));
            }
            next = self.arena.before(&record);
        }
        None
    }

    /// Appends a record whose key has younger ones, and then those again, so that the chain is in order. The new head of
    /// the chain, and whether the number is new. What readers see of it, they see at once, when the head is published.
    #[cold]
    fn append_late(
        &self,
        writer: &mut Writer<'_, Growth>,
        newest: Option<Pos>,
        key: &[u8],
        seq: u64,
        entry: Entry<'_>,
    ) -> (Pos, bool) {
        let mut above = Vec::new();
        let under = self.walk_through(newest, |pos, record| {
            let is_under = record.key() == key && record.header.seq <= seq;
            if !is_under {
                above.push(pos);
            }
            is_under
        });
        let is_new = under.is_none_or(|pos| self.arena.record(pos).header.seq != seq);
        let mut head = writer.append(key, seq, entry, under);
        for pos in above.into_iter().rev() {
            let again = self.arena.record(pos);
            head = writer.append(again.key(), again.header.seq, again.entry(), Some(head));
        }
        (head, is_new)
    }

    /// Walks a chain until `each` says that this is it.
    fn walk_through(&self, mut next: Option<Pos>, mut each: impl FnMut(Pos, &Record<'_>) -> bool) -> Option<Pos> {
        while let Some(pos) = next {
            let record = self.arena.record(pos);
            if each(pos, &record) {
                break;
            }
            next = self.arena.before(&record);
        }
        next
    }

    /// The writer's lock is held, so loading and storing is adding.
    #[inline]
    fn count(&self, _writer: &Writer<'_, Growth>, seq: u64, bytes: u64, versions: u64) {
        let Counters { size_bytes, versions: all, last_seq } = &self.counters;
        last_seq.store(last_seq.load(Ordering::Relaxed).max(seq), Ordering::Release);
        size_bytes.store(size_bytes.load(Ordering::Relaxed) + bytes, Ordering::Release);
        all.store(all.load(Ordering::Relaxed) + versions, Ordering::Release);
    }
}

impl Default for Memtable {
    fn default() -> Self {
        Self::new()
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
