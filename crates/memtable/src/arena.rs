//! [`Arena`]: append-only memory for records, and the only file of this crate that is not safe Rust.
//!
//! A record is copied to the end of a chunk and never changes again. Its [`Pos`] becomes known to other threads in one of
//! two ways, both a store with Release that is read with Acquire: through a [`Slot`], or through the arena's tail. So
//! whoever holds a `Pos` may read the record without a lock, for as long as the arena lives.
//!
//! What the `unsafe` blocks rely on, and this file alone has to keep:
//! 1. only the holder of the writer's lock writes, and only behind the tail, where no `Pos` leads yet;
//! 2. a `Pos` is made from integers only where a slot or the tail was loaded with Acquire, or in a record, which was
//!    read through such a `Pos`; it is used with the arena it came from (each table has one);
//! 3. memory is never given back or used again while an arena or [`Bytes`] have a share of it, and it is initialised from
//!    the beginning, so that a position out of place could at worst show the wrong bytes: bounds are always checked.
//!
//! ```text
//! position  15 bits  number of the chunk, from 1        chunks   16 KiB, doubling to 1 MiB; a record above a quarter
//!           17 bits  offset in it, in units of 8 bytes           of that which does not fit has one of its own
//! ```
//!
//! A chunk of more than 1 MiB takes several numbers. Arrival order is a list of *stretches* of positions: a large record
//! interrupts the chunk at hand, which is gone on with afterwards.
//!
//! This file knows neither which records belong together nor in what order keys are.

#![expect(unsafe_code, reason = "records are handed out as slices while the memory behind them is being filled")]

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use crate::list::List;
use crate::pool::Pool;
use crate::record::{HEADER_LEN, Header, Record};
use crate::sync::{AtomicU64, Marks, Mutex, MutexGuard, mutant};

const UNIT: usize = 8;
const OFFSET_BITS: u32 = 17;
/// The chunks that tables hand on to each other.
pub(crate) const CHUNK_BYTES: usize = UNIT << OFFSET_BITS;
const FIRST_CHUNK_BYTES: usize = 16 << 10;
/// A record above this does not end a chunk.
const OWN_CHUNK_BYTES: usize = CHUNK_BYTES / 4;
const CHUNKS: usize = 1 << (u32::BITS - OFFSET_BITS);

/// Where a record of this arena begins. Whoever has one may read the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pos(NonZeroU32);

impl Pos {
    fn new(chunk: usize, offset: usize) -> Self {
        let units = (chunk << OFFSET_BITS) + offset / UNIT;
        Self(
            u32::try_from(units)
                .ok()
                .and_then(NonZeroU32::new)
                .expect("chunks are numbered from 1 and fewer than 2^15"),
        )
    }

    #[inline]
    fn place(self) -> (usize, usize) {
        let units = self.0.get() as usize;
        (units >> OFFSET_BITS, (units & ((1 << OFFSET_BITS) - 1)) * UNIT)
    }
}

/// A word that leads from 32 bits of a hash to a record, or is empty.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Slot(AtomicU64);

/// What a slot holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) tag: u32,
    pub(crate) pos: Pos,
}

impl Slot {
    #[inline]
    pub(crate) fn load(&self) -> Option<Entry> {
        // Acquire: makes the record visible, and what was published before it.
        let word = self.0.load(Ordering::Acquire);
        Some(Entry { tag: (word >> 32) as u32, pos: Pos(NonZeroU32::new(word as u32)?) })
    }

    /// Publishes a record. One thread at a time stores into a slot.
    #[inline]
    pub(crate) fn store(&self, entry: Entry) {
        // A planted fault publishes the slot, but not the record.
        let order = if mutant("memtable.publish-relaxed") { Ordering::Relaxed } else { Ordering::Release };
        self.0.store(u64::from(entry.tag) << 32 | u64::from(entry.pos.0.get()), order);
    }

    /// Empties it. Release, as a reader that finds it empty has to know why.
    #[inline]
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    /// Asks for its cache line.
    #[inline]
    pub(crate) fn prefetch(&self) {
        prefetch(std::ptr::from_ref(self).cast());
    }
}

/// Asks for a cache line. Every address is allowed.
#[inline]
fn prefetch(address: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: a hint that reads nothing; every address is allowed.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}

/// Asks for all cache lines of a slice.
#[inline]
pub(crate) fn prefetch_all<T>(slice: &[T]) {
    const LINE: usize = 64;
    let start = slice.as_ptr().cast::<u8>();
    (0..size_of_val(slice)).step_by(LINE).for_each(|at| prefetch(start.wrapping_add(at)));
}

/// An allocation, all of it initialised. Shared by the arena and the [`Bytes`] in it.
#[derive(Debug)]
pub(crate) struct Memory(View);

/// Where an allocation lies. Valid for as long as its [`Memory`].
#[derive(Clone, Copy, Debug)]
struct View {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a view is a place; what makes access to it sound is said at each access.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl Memory {
    fn new(len: usize) -> Self {
        // Zeros from the operating system cost nothing before they are touched.
        let start = Box::into_raw(vec![0u8; len].into_boxed_slice()).cast::<u8>();
        Self(View { start: NonNull::new(start).expect("a box is not null"), len })
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: start and length are those of the box taken apart in `new`, and this is its only owner.
        drop(unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(self.0.start.as_ptr(), self.0.len)) });
    }
}

impl View {
    /// # Safety
    /// The bytes belong to a record that happened before, or to nobody; the memory lives for `'a`.
    #[inline]
    unsafe fn read<'a>(self, at: usize, len: usize) -> &'a [u8] {
        assert!(at <= self.len && len <= self.len - at, "a record ends in its chunk");
        // SAFETY: in bounds, initialised, alive for 'a and not written to, says the caller.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().add(at), len) }
    }

    /// # Safety
    /// The memory is alive, and until the write has ended nobody else reads or writes these bytes.
    #[inline]
    unsafe fn write(self, at: usize, bytes: &[u8]) {
        assert!(at <= self.len && bytes.len() <= self.len - at, "a record ends in its chunk");
        // SAFETY: in bounds; `bytes` is borrowed from elsewhere, as nobody else has these.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr().add(at), bytes.len()) }
    }
}

/// Bytes of a value, shared with the table: a reader holds them after the table is gone, without a copy.
///
/// It keeps the chunk of memory that the value lies in, up to 1 MiB or the value itself if that is larger.
#[derive(Clone)]
pub struct Bytes {
    memory: Arc<Memory>,
    at: usize,
    len: usize,
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: made by `Arena::bytes` from a record; the memory is kept, and not used again, while `self` is.
        unsafe { self.memory.0.read(self.at, self.len) }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.escape_ascii())
    }
}

struct Chunk {
    /// That of `memory`, one load nearer.
    view: View,
    memory: Arc<Memory>,
}

/// Positions that follow each other in the order of arrival.
struct Stretch {
    start: u32,
    /// Set before the next stretch begins.
    end: OnceLock<u32>,
}

/// A moment in the order of arrival: everything before it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    stretch: u32,
    /// Where the next record will be (0: nothing was written yet).
    position: u32,
}

/// The records of one table. `W` is what else its writer keeps; one lock holds the right to write and guards both.
pub(crate) struct Arena<W> {
    chunks: List<Chunk>,
    stretches: List<Stretch>,
    /// A [`Mark`]: stretch and position.
    tail: AtomicU64,
    /// The number of the records that were written without one (0: they have none yet).
    sealed: AtomicU64,
    marks: Marks,
    pool: Arc<Pool>,
    writer: Mutex<(Room, W)>,
}

/// The chunk at hand.
#[derive(Default)]
struct Room {
    /// None before the first record.
    chunk: Option<(usize, View)>,
    offset: usize,
    /// Greatest number given to a chunk.
    last_chunk: usize,
    /// How often the size of a chunk has doubled.
    doublings: u32,
    stretch: u32,
}

impl<W> Arena<W> {
    pub(crate) fn new(pool: Arc<Pool>, of_writer: W) -> Self {
        Self {
            chunks: List::new(),
            stretches: List::new(),
            tail: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            marks: Marks::default(),
            pool,
            writer: Mutex::new((Room::default(), of_writer)),
        }
    }

    /// The record at a position.
    #[inline]
    pub(crate) fn record(&self, pos: Pos) -> Record<'_> {
        self.marks.read(pos.0.get());
        let (view, at) = self.locate(pos);
        // SAFETY: by points 1 and 2 of the head of this file the record happened before and is never written to again;
        // by point 3 its memory lives as long as the borrow of the arena. The body is within the same record.
        let (mut header, body) = unsafe {
            let header = view.read(at, HEADER_LEN).first_chunk().expect("as long as was asked for");
            let header = Header::decode(header);
            (header, view.read(at + HEADER_LEN, header.body_len()))
        };
        if header.seq == 0 {
            header.seq = self.sealed.load(Ordering::Acquire);
        }
        Record { header, body }
    }

    /// Gives a number to the records that have none. Only for an arena that nobody else reads yet.
    pub(crate) fn seal(&self, seq: u64) {
        self.sealed.store(seq, Ordering::Release);
    }

    /// Asks for the lines where a record begins: its header, its key, and some of its value.
    #[inline]
    pub(crate) fn prefetch(&self, pos: Pos) {
        let (view, at) = self.locate(pos);
        let start = view.start.as_ptr().wrapping_add(at);
        (0..3).for_each(|line| prefetch(start.wrapping_add(64 * line)));
    }

    /// The record before this one in its chain.
    #[inline]
    pub(crate) fn before(&self, record: &Record<'_>) -> Option<Pos> {
        NonZeroU32::new(record.header.before).map(Pos)
    }

    /// A share of a record's value.
    pub(crate) fn bytes(&self, pos: Pos) -> Bytes {
        let header = self.record(pos).header;
        let (chunk, at) = pos.place();
        let memory = self.chunks.get(chunk).expect("a position leads to a chunk").memory.clone();
        Bytes { memory, at: at + HEADER_LEN + header.key_len as usize, len: header.value_len as usize }
    }

    #[inline]
    fn locate(&self, pos: Pos) -> (View, usize) {
        let (chunk, at) = pos.place();
        (self.chunks.get(chunk).expect("a position leads to a chunk").view, at)
    }

    /// Now.
    pub(crate) fn mark(&self) -> Mark {
        let word = self.tail.load(Ordering::Acquire);
        Mark { stretch: (word >> 32) as u32, position: word as u32 }
    }

    /// The records that arrived between two moments, in the order of arrival.
    pub(crate) fn between(&self, from: Mark, to: Mark, mut each: impl FnMut(Pos, Record<'_>)) {
        self.between_while(from, to, |pos, record| {
            each(pos, record);
            true
        });
    }

    /// As [`Arena::between`], until `each` says no; from where to go on.
    pub(crate) fn between_while(&self, from: Mark, to: Mark, mut each: impl FnMut(Pos, Record<'_>) -> bool) -> Mark {
        if to.position == 0 {
            return to;
        }
        for number in from.stretch..=to.stretch {
            let stretch = self.stretches.get(number as usize).expect("a stretch begins before the tail is in it");
            let begins_here = number == from.stretch && from.position != 0;
            let mut at = if begins_here { from.position } else { stretch.start };
            let end = if number == to.stretch {
                to.position
            } else {
                *stretch.end.get().expect("a stretch ends before the next one begins")
            };
            while at < end {
                let pos = Pos(NonZeroU32::new(at).expect("chunks are numbered from 1"));
                let record = self.record(pos);
                if !each(pos, record) {
                    return Mark { stretch: number, position: at };
                }
                at += record.header.record_len().div_ceil(UNIT) as u32;
            }
        }
        to
    }

    /// The beginning of the last stretch whose first record is `early`, or of all; in the order of arrival what is early comes
    /// before what is not.
    pub(crate) fn begin_before(&self, early: impl Fn(&Record<'_>) -> bool) -> Mark {
        let now = self.mark();
        if now.position == 0 {
            return Mark::default();
        }
        for number in (0..=now.stretch).rev() {
            let stretch = self.stretches.get(number as usize).expect("a stretch begins before the tail is in it");
            let end =
                if number == now.stretch { now.position } else { *stretch.end.get().expect("it is not the last one") };
            let first = NonZeroU32::new(stretch.start).map(Pos).filter(|_| stretch.start < end);
            if first.is_some_and(|first| early(&self.record(first))) {
                return Mark { stretch: number, position: 0 };
            }
        }
        Mark::default()
    }

    /// Waits until no other thread writes.
    #[inline]
    pub(crate) fn writer(&self) -> Writer<'_, W> {
        Writer { arena: self, held: self.writer.lock() }
    }
}

/// Gives the chunks to the pool, as far as nobody else has a share.
impl<W> Drop for Arena<W> {
    fn drop(&mut self) {
        self.chunks.drain().for_each(|chunk| self.pool.give_chunk(chunk.memory));
    }
}

/// The right to write.
pub(crate) struct Writer<'a, W> {
    arena: &'a Arena<W>,
    held: MutexGuard<'a, (Room, W)>,
}

impl<W> Writer<'_, W> {
    /// What else the writer keeps.
    #[inline]
    pub(crate) fn of_writer(&mut self) -> &mut W {
        &mut self.held.1
    }

    /// Whether records of so many bytes, headers included, find a place however they are divided.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        // The least that a chunk number can stand for is a quarter of a chunk, but for the first ones and the last one.
        let chunks = bytes / OWN_CHUNK_BYTES as u64 + 8;
        chunks < (CHUNKS - 1 - self.held.0.last_chunk) as u64
    }

    /// Adds a record; `before` is the one before it in its chain.
    ///
    /// # Panics
    /// If the arena is full, see [`Writer::has_room`], or key or value are too long.
    #[inline]
    pub(crate) fn append(&mut self, key: &[u8], seq: u64, entry: crate::Entry<'_>, before: Option<Pos>) -> Pos {
        let header = Header::new(key, seq, entry, before.map_or(0, |pos| pos.0.get()));
        let len = header.record_len().next_multiple_of(UNIT);
        let room = &self.held.0;
        let fits = room.chunk.is_some_and(|(_, view)| len <= view.len - room.offset);
        if !fits {
            if len > OWN_CHUNK_BYTES {
                return self.append_alone(&header, key, entry, len);
            }
            self.begin_chunk(len);
        }
        let room = &mut self.held.0;
        let (chunk, view) = room.chunk.expect("begun if there was none");
        let pos = Pos::new(chunk, room.offset);
        write_record(&self.arena.marks, pos, view, room.offset, &header, key, entry);
        room.offset += len;
        self.publish();
        pos
    }

    /// Everything up to the place of the next record is there.
    #[inline]
    fn publish(&self) {
        let room = &self.held.0;
        self.arena.tail.store(u64::from(room.stretch) << 32 | u64::from(room.position()), Ordering::Release);
    }

    /// A record with a chunk of its own, between two stretches of the chunk at hand.
    #[cold]
    fn append_alone(&mut self, header: &Header, key: &[u8], entry: crate::Entry<'_>, len: usize) -> Pos {
        let memory = Arc::new(Memory::new(len));
        let view = memory.0;
        let chunk = self.number(len);
        let pos = Pos::new(chunk, 0);
        write_record(&self.arena.marks, pos, view, 0, header, key, entry);
        self.arena.chunks.set(chunk, Chunk { view, memory });
        let start = pos.0.get();
        self.end_stretch();
        self.begin_stretch(start);
        let end = start + (len / UNIT) as u32;
        if self.held.0.chunk.is_some() {
            self.end_stretch_at(end);
            let goes_on = self.held.0.position();
            self.begin_stretch(goes_on);
            self.publish();
        } else {
            // Nothing to go on with: a small chunk, so that there is.
            self.end_stretch_at(end);
            self.open_chunk(UNIT);
            self.publish();
        }
        pos
    }

    #[cold]
    fn begin_chunk(&mut self, len: usize) {
        self.end_stretch();
        self.open_chunk(len);
    }

    /// A chunk with room for `len` bytes at least, and the stretch that begins with it.
    fn open_chunk(&mut self, len: usize) {
        let mut bytes = FIRST_CHUNK_BYTES << self.held.0.doublings;
        while bytes < len {
            bytes *= 2;
        }
        let recycled = if bytes == CHUNK_BYTES { self.arena.pool.take_chunk() } else { None };
        let memory = recycled.unwrap_or_else(|| Arc::new(Memory::new(bytes)));
        let view = memory.0;
        let chunk = self.number(bytes);
        self.arena.chunks.set(chunk, Chunk { view, memory });
        let room = &mut self.held.0;
        room.chunk = Some((chunk, view));
        room.offset = 0;
        room.doublings = (room.doublings + 1).min((CHUNK_BYTES / FIRST_CHUNK_BYTES).ilog2());
        let start = room.position();
        self.begin_stretch(start);
    }

    /// Numbers for a chunk of this size; the first one.
    fn number(&mut self, bytes: usize) -> usize {
        let room = &mut self.held.0;
        let first = room.last_chunk + 1;
        let last = room.last_chunk + bytes.div_ceil(CHUNK_BYTES);
        // One number stays free: the position behind the last chunk has to be a number, too.
        assert!(last < CHUNKS - 1, "the table is full: more than 32 GiB in positions; ask `has_room` before");
        room.last_chunk = last;
        first
    }

    fn begin_stretch(&mut self, start: u32) {
        let number = self.held.0.stretch;
        self.arena.stretches.set(number as usize, Stretch { start, end: OnceLock::new() });
    }

    /// Ends the stretch of the chunk at hand, if there is one.
    fn end_stretch(&mut self) {
        if self.held.0.chunk.is_some() {
            let end = self.held.0.position();
            self.end_stretch_at(end);
        }
    }

    fn end_stretch_at(&mut self, end: u32) {
        let room = &mut self.held.0;
        let stretch = self.arena.stretches.get(room.stretch as usize).expect("it was begun");
        assert!(stretch.end.set(end).is_ok(), "a stretch ends once");
        room.stretch += 1;
    }
}

impl Room {
    /// Of the next record in the chunk at hand.
    fn position(&self) -> u32 {
        self.chunk.map_or(0, |(chunk, _)| ((chunk << OFFSET_BITS) + self.offset / UNIT) as u32)
    }
}

/// Writes a record where no position leads yet. The caller holds the writer's lock: `view` and `at` come from its
/// [`Room`], or the memory is not in the arena yet.
#[inline]
fn write_record(marks: &Marks, pos: Pos, view: View, at: usize, header: &Header, key: &[u8], entry: crate::Entry<'_>) {
    let value = entry.value().unwrap_or_default();
    marks.write(pos.0.get());
    // SAFETY: by point 1 of the head of this file nobody else reads or writes behind the tail; the arena, or the caller
    // who has not put it there yet, keeps the memory alive.
    unsafe {
        view.write(at, &header.encode());
        view.write(at + HEADER_LEN, key);
        view.write(at + HEADER_LEN + key.len(), value);
        if let crate::Entry::Expiring(_, at_ms) = entry {
            view.write(at + HEADER_LEN + key.len() + value.len(), &at_ms.to_le_bytes());
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn arena() -> Arena<()> {
        Arena::new(Arc::new(Pool::new(0)), ())
    }

    fn append(arena: &Arena<()>, key: &[u8], value: &[u8]) -> Pos {
        arena.writer().append(key, 7, crate::Entry::Value(value), None)
    }

    #[track_caller]
    fn check(arena: &Arena<()>, pos: Pos, key: &[u8], value: &[u8]) {
        let record = arena.record(pos);
        assert_eq!((record.key(), record.entry()), (key, crate::Entry::Value(value)));
        assert_eq!(&*arena.bytes(pos), value);
    }

    #[test]
    fn records_of_all_sizes_are_found_and_come_in_the_order_of_arrival() {
        let lens = [0, 1, 100, 20_000, 262_000, 262_144, 300_000, 3, 1 << 20, 3 << 20, 5, 700_000, 700_000, 250_000];
        for first in 0..lens.len() {
            let arena = arena();
            let values: Vec<Vec<u8>> =
                (0..lens.len() * 4).map(|i| vec![i as u8; lens[(first + i) % lens.len()]]).collect();
            let marks_and_positions: Vec<(Mark, Pos)> =
                values.iter().map(|value| (arena.mark(), append(&arena, b"key", value))).collect();
            for (value, (_, pos)) in values.iter().zip(&marks_and_positions) {
                check(&arena, *pos, b"key", value);
            }
            for (i, (from, _)) in marks_and_positions.iter().enumerate() {
                for (j, (to, _)) in marks_and_positions.iter().enumerate().skip(i) {
                    let mut found = Vec::new();
                    arena.between(*from, *to, |pos, _| found.push(pos));
                    assert!(found.iter().eq(marks_and_positions[i..j].iter().map(|(_, pos)| pos)), "{i}..{j}");
                }
            }
        }
    }

    #[test]
    fn chunks_double_until_they_have_their_size_and_then_keep_it() {
        let arena = arena();
        let positions: Vec<Pos> = (0..900_u32).map(|i| append(&arena, &i.to_le_bytes(), &[7; 100_000])).collect();
        let mut lens: Vec<usize> = (1..100).filter_map(|chunk| Some(arena.chunks.get(chunk)?.view.len)).collect();
        lens.dedup();
        assert_eq!(lens, [128 << 10, 256 << 10, 512 << 10, 1 << 20], "the smaller ones are passed over");
        for (i, pos) in (0..).zip(positions) {
            check(&arena, pos, &u32::to_le_bytes(i), &[7; 100_000]);
        }
    }

    #[test]
    fn bytes_outlive_the_arena_and_keep_its_chunk_from_the_pool() {
        let pool = Arc::new(Pool::new(8 * CHUNK_BYTES));
        let arena = Arena::new(pool.clone(), ());
        let positions: Vec<Pos> = (0..30).map(|i| append(&arena, b"key", &vec![i; 100_000])).collect();
        let bytes = arena.bytes(positions[29]);
        drop(arena);
        assert_eq!(pool.bytes(), CHUNK_BYTES, "of the two greatest chunks one is still in use");
        let next = Arena::new(pool.clone(), ());
        for _ in 0..30 {
            append(&next, b"other", &[0xff; 100_000]);
        }
        assert_eq!(pool.bytes(), 0, "the other one was taken");
        assert!(bytes.iter().all(|&byte| byte == 29));
    }

    #[test]
    fn a_tables_room_is_refused_before_positions_run_out() {
        let arena = arena();
        assert!(arena.writer().has_room(4 << 30));
        assert!(!arena.writer().has_room(32 << 30));
        arena.writer().held.0.last_chunk = CHUNKS - 9;
        assert!(!arena.writer().has_room(1));
    }
}
