//! [`Index`]: from a hash to the newest record of its chain, by open addressing; readers wait for nobody.
//!
//! Extendible hashing (Fagin et al., 1979): a directory, indexed by the upper bits of a hash, leads to sub-tables of fixed
//! size, each of which is split alone when it is three quarters full, into two that share its slots. A slot keeps 32
//! bits of the hash, the *tag*: enough to tell where its entry belongs after any split, without a look at the record, and
//! no two slots of a sub-table have the same. So a sub-table of a directory of the greatest depth cannot overflow.
//!
//! ```text
//! tag (upper half of the hash)    ddddddddd.............hhhhhhhhh
//!                                 directory              home slot, probed linearly
//! ```
//!
//! A sub-table that was split is used again for a later one, while a reader may still be in it. Whatever such a reader
//! *finds* is right: a slot leads to a record of its tag or to none. What it does *not* find it looks for again if
//! the number of changes is another one. It cannot overlook that: slots are emptied and filled with Release after the number
//! was stored, so who saw one of them sees the new number.
//!
//! This file does not know what a key is, and nothing of versions.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use crate::arena::{Entry, Pos, Slot};
use crate::list::List;
use crate::pool::Pool;
use crate::sync::{AtomicU64, SLOT_BITS, mutant};

const SLOTS: usize = 1 << SLOT_BITS;
/// A sub-table with so many entries is split, if it can be.
const FULL: u32 = (SLOTS * 3 / 4) as u32;
/// Sub-tables that are allocated together.
const SLAB: usize = 4;
pub(crate) const SLAB_BYTES: usize = SLAB * SLOTS * 8;
/// At this depth a sub-table has a slot for each tag that can lead to it.
const MAX_DEPTH: u32 = u32::BITS - SLOT_BITS;

/// The state before the first entry.
const EMPTY: u64 = 0;

/// What readers see.
pub(crate) struct Index {
    /// Number of changes, then 8 bits: depth of the directory.
    state: AtomicU64,
    /// By depth; the elements are numbers of sub-tables.
    directories: [OnceLock<Box<[AtomicU64]>>; MAX_DEPTH as usize + 1],
    slabs: List<Box<[Slot]>>,
    pool: Arc<Pool>,
}

/// What the writer keeps beside.
#[derive(Default)]
pub(crate) struct Growth {
    depth: u32,
    changes: u64,
    /// By number.
    sub_tables: Vec<SubTable>,
    free: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct SubTable {
    /// Bits of the hash that all its entries have in common.
    depth: u32,
    taken: u32,
}

/// The slot of a tag, or where it may be put.
pub(crate) struct Place<'a> {
    slot: &'a Slot,
    tag: u32,
    /// The newest record of the chain.
    pub(crate) newest: Option<Pos>,
}

impl Place<'_> {
    /// Puts a record before the others of the chain.
    #[inline]
    pub(crate) fn publish(&self, pos: Pos) {
        self.slot.store(Entry { tag: self.tag, pos });
    }
}

/// What a probe came to.
enum Probe<'a> {
    Found(&'a Slot, Pos),
    Empty(&'a Slot),
    Full,
}

#[inline]
fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// The part of a directory of this depth that leads to the tag.
#[inline]
fn bucket(tag: u32, depth: u32) -> usize {
    (u64::from(tag) >> (u32::BITS - depth)) as usize
}

#[inline]
fn probe(slots: &[Slot], tag: u32) -> Probe<'_> {
    // The length is known to the compiler, and no index is checked.
    let Some(slots) = slots.first_chunk::<SLOTS>() else { return Probe::Full };
    let home = tag as usize;
    for i in 0..SLOTS {
        let slot = &slots[(home + i) % SLOTS];
        match slot.load() {
            None => return Probe::Empty(slot),
            Some(entry) if entry.tag == tag => return Probe::Found(slot, entry.pos),
            Some(_) => {}
        }
    }
    Probe::Full
}

impl Index {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self {
            state: AtomicU64::new(EMPTY),
            directories: [const { OnceLock::new() }; MAX_DEPTH as usize + 1],
            slabs: List::new(),
            pool,
        }
    }

    /// The newest record of the chain that the hash leads to.
    #[inline]
    pub(crate) fn newest(&self, hash: u64) -> Option<Pos> {
        let tag = tag_of(hash);
        let mut state = self.state.load(Ordering::Acquire);
        loop {
            if let Probe::Found(_, pos) = probe(self.slots(state, tag)?, tag) {
                return Some(pos);
            }
            // Not there; or it was moved while this looked.
            let now = self.state.load(Ordering::Acquire);
            // A planted fault takes the first look for the truth.
            if now == state || mutant("memtable.no-second-look") {
                return None;
            }
            state = now;
        }
    }

    /// Asks for the cache line where the search for a hash begins.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        let tag = tag_of(hash);
        if let Some(slots) = self.slots(self.state.load(Ordering::Acquire), tag) {
            slots[tag as usize % SLOTS].prefetch();
        }
    }

    /// The sub-table of a tag. None while the table is empty.
    #[inline]
    fn slots(&self, state: u64, tag: u32) -> Option<&[Slot]> {
        if state == EMPTY {
            return None;
        }
        let depth = state as u8;
        let directory = self.directories[usize::from(depth)].get()?;
        self.sub_table(directory[bucket(tag, depth.into())].load(Ordering::Acquire) as usize)
    }

    #[inline]
    fn sub_table(&self, number: usize) -> Option<&[Slot]> {
        let slab = self.slabs.get(number / SLAB)?;
        slab.get(number % SLAB * SLOTS..)?.get(..SLOTS)
    }

    /// The slot of a hash, made ready for a record that the caller, the one writer, publishes there.
    pub(crate) fn place(&self, growth: &mut Growth, hash: u64) -> Place<'_> {
        let tag = tag_of(hash);
        if growth.sub_tables.is_empty() {
            let first = self.new_sub_table(growth, 0);
            let directory = [AtomicU64::new(u64::from(first))];
            assert!(self.directories[0].set(directory.into()).is_ok(), "the first directory is made once");
            self.publish(growth);
        }
        loop {
            let number = self.number(growth, tag);
            let slots = self.sub_table(number).expect("the directory leads to sub-tables");
            let sub_table = &mut growth.sub_tables[number];
            match probe(slots, tag) {
                Probe::Found(slot, pos) => return Place { slot, tag, newest: Some(pos) },
                Probe::Empty(slot) if sub_table.taken < FULL || sub_table.depth == MAX_DEPTH => {
                    sub_table.taken += 1;
                    return Place { slot, tag, newest: None };
                }
                Probe::Empty(_) | Probe::Full => self.split(growth, number, tag),
            }
        }
    }

    fn number(&self, growth: &Growth, tag: u32) -> usize {
        let directory = self.directories[growth.depth as usize].get().expect("there is one of this depth");
        // The writer reads what it wrote itself.
        directory[bucket(tag, growth.depth)].load(Ordering::Relaxed) as usize
    }

    /// Divides the entries of a sub-table among two new ones by the next bit of their tags.
    fn split(&self, growth: &mut Growth, number: usize, tag: u32) {
        let depth = growth.sub_tables[number].depth;
        if depth == growth.depth {
            self.double(growth);
        }
        let halves = [self.new_sub_table(growth, depth + 1), self.new_sub_table(growth, depth + 1)];
        let old = self.sub_table(number).expect("it is full");
        for entry in old.iter().filter_map(Slot::load) {
            let half = halves[bucket(entry.tag, depth + 1) & 1] as usize;
            let slots = self.sub_table(half).expect("just made");
            let Probe::Empty(slot) = probe(slots, entry.tag) else { unreachable!("as many slots, and no tag twice") };
            slot.store(entry);
            growth.sub_tables[half].taken += 1;
        }
        let directory = self.directories[growth.depth as usize].get().expect("there is one of this depth");
        let span = 1usize << (growth.depth - depth - 1);
        let start = bucket(tag, depth) * span * 2;
        for (i, half) in halves.into_iter().enumerate() {
            for bucket in &directory[start + i * span..][..span] {
                bucket.store(half.into(), Ordering::Release);
            }
        }
        self.publish(growth);
        growth.free.push(number as u32);
    }

    /// A directory of twice the length that says the same. Those before it stay, together as long as this one.
    fn double(&self, growth: &mut Growth) {
        let old = self.directories[growth.depth as usize].get().expect("there is one of this depth");
        let twice = old.iter().flat_map(|bucket| {
            let number = bucket.load(Ordering::Relaxed);
            [AtomicU64::new(number), AtomicU64::new(number)]
        });
        growth.depth += 1;
        assert!(self.directories[growth.depth as usize].set(twice.collect()).is_ok(), "each depth is reached once");
    }

    /// Tells readers where entries are now, before a slot that they moved from is used again.
    fn publish(&self, growth: &mut Growth) {
        growth.changes += 1;
        self.state.store(growth.changes << 8 | u64::from(growth.depth), Ordering::Release);
    }

    /// An empty sub-table.
    fn new_sub_table(&self, growth: &mut Growth, depth: u32) -> u32 {
        if growth.free.is_empty() {
            let slabs = growth.sub_tables.len() / SLAB;
            let slab = self.pool.take_slab().unwrap_or_else(|| (0..SLAB * SLOTS).map(|_| Slot::default()).collect());
            self.slabs.set(slabs, slab);
            let first = (slabs * SLAB) as u32;
            growth.free.extend((first..first + SLAB as u32).rev());
            growth.sub_tables.resize(growth.sub_tables.len() + SLAB, SubTable::default());
        }
        let number = growth.free.pop().expect("there is one now");
        self.sub_table(number as usize).expect("it was allocated").iter().for_each(Slot::clear);
        growth.sub_tables[number as usize] = SubTable { depth, taken: 0 };
        number
    }
}

/// Gives the slots to the pool.
impl Drop for Index {
    fn drop(&mut self) {
        self.slabs.drain().for_each(|slab| self.pool.give_slab(slab));
    }
}
