//! [`Shrink`]: brings the file of a tree down to what lives in it, chunk by chunk, while others read it.
//!
//! ```text
//! pack    neighbouring leaves with room are packed into fewer pages, in key order
//! lower   what lies beyond the number of live pages moves to free pages before it; a few rounds, because an extent
//!         may find no run of free pages before single pages have made way
//! lift    where long values lie behind free runs that are shorter than they are: all that follows such a run, as much as a
//!         chunk, goes to the end of the file, and is lowered from there side by side; so the run wanders to the end
//! cut     commits that change nothing but the page count, then the file is cut
//! ```
//!
//! Every chunk is a commit, published twice: so no meta that a crash could leave reaches what the chunk gave up, and the
//! next chunk may write there. Between two chunks the file holds the same entries as ever, and anything may happen: a
//! merge, a crash, the end. Nothing of the progress is stored; a new beginning finds less to do.
//!
//! The file grows by one chunk at most, or by the longest value if that is longer. Pages that a reader pins stay where they are: what they hold back is given up.

use crate::error::Result;
use crate::merge::{CompactGoal, Compacted, compact, lift};
use crate::tree::{Tree, TreeOptions};
use halodb_pager::{PageId, Pager, PagerStats, WriteTxn};
use std::ops::Range;

/// See the head of this file. One for each page file; it holds no page and may be kept for long.
///
/// ```
/// use halodb_btree::{Batch, Shrink, Store, StoreOptions};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let disk = std::sync::Arc::new(halodb_vfs::SimVfs::new());
/// # let store = Store::create(disk, "numbers".as_ref(), StoreOptions::default())?;
/// # let mut batch = Batch::new();
/// # (0..9000u32).for_each(|n| drop(batch.put(n.to_be_bytes(), [7; 100])));
/// # store.apply(&batch)?;
/// store.apply(Batch::new().delete_range(100u32.to_be_bytes(), None))?;
/// let before = store.pager().stats().file_bytes;
///
/// let mut shrink = Shrink::new(Shrink::TIGHT);
/// while !shrink.is_done() {
///     shrink.step(store.pager(), store.tree_options(), 64)?;
/// }
/// assert!(store.pager().stats().file_bytes < before / 4);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Shrink {
    rewritten_per_won: usize,
    phase: Phase,
    /// Where the walk of this phase goes on.
    from: Vec<u8>,
    /// The file may have so many pages meanwhile.
    most_pages: Option<u64>,
    /// Pages written, and pages in the file, before the round that runs.
    written_before: u64,
    pages_before: u64,
    /// Times that something was lifted.
    lifts: u32,
    done: Shrunk,
}

/// What a [`Shrink`] did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Shrunk {
    /// Pages written, those of the free list not counted.
    pub pages_written: u64,
    /// Commits that moved pages.
    pub chunks: u64,
    /// Bytes cut off the end of the file.
    pub bytes_cut: u64,
    /// Chunks that were given up because readers pin too many pages.
    pub held_back: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Pack,
    /// The walk of a phase is over; `round` is the one that would come next.
    Walked {
        round: u32,
    },
    /// The page count is true, so the next round can be planned.
    Plan {
        round: u32,
    },
    Lower {
        round: u32,
        end: PageId,
    },
    /// What follows a free run makes way for itself.
    Lift,
    Shorten {
        tries: u32,
    },
    Trim,
    Done,
}

/// Rounds of lowering.
const MOST_ROUNDS: u32 = 8;

/// Commits that shorten: what the last chunk gave up, then the list that named it, then that list's place.
const MOST_TRIES: u32 = 4;

/// Times that something is lifted. Each brings a free run behind about a chunk of pages.
const MOST_LIFTS: u32 = 8;

/// A chunk of less is not worth its syncs, unless less was asked for.
const LEAST_CHUNK: u64 = 8;

impl Shrink {
    /// For [`Shrink::new`]: rewrites up to 32 leaves to win one, which leaves about 3 % of room. For people who ask.
    pub const TIGHT: usize = 32;
    /// For [`Shrink::new`]: rewrites up to 4 leaves to win one. For the background.
    pub const LOOSE: usize = 4;

    /// Has done nothing yet. `rewritten_per_won`: see [`CompactGoal::rewritten_per_won`].
    pub fn new(rewritten_per_won: usize) -> Shrink {
        let phase = if rewritten_per_won == 0 { Phase::Walked { round: 0 } } else { Phase::Pack };
        Shrink {
            rewritten_per_won,
            phase,
            from: Vec::new(),
            most_pages: None,
            written_before: 0,
            pages_before: 0,
            lifts: 0,
            done: Shrunk::default(),
        }
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// What was done so far.
    pub fn so_far(&self) -> Shrunk {
        self.done
    }

    /// About how far it is, from 0 to 1, given the newest version of the tree. Reads one path of it.
    ///
    /// # Errors
    /// [`crate::Error`] if a page on the way cannot be trusted.
    pub fn progress(&self, tree: &Tree) -> Result<f64> {
        let walked = || Ok(tree.rank(&self.from)? as f64 / tree.len().max(1) as f64);
        match self.phase {
            Phase::Pack => walked().map(|part: f64| part * 0.6),
            Phase::Walked { round: 0 } | Phase::Plan { round: 0 } => Ok(0.6),
            Phase::Lower { round: 0, .. } => walked().map(|part| 0.6 + part * 0.3),
            Phase::Walked { .. }
            | Phase::Plan { .. }
            | Phase::Lower { .. }
            | Phase::Lift
            | Phase::Shorten { .. }
            | Phase::Trim => Ok(0.9),
            Phase::Done => Ok(1.0),
        }
    }

    /// Does the next piece: writes about `chunk_pages` pages and synchronises a few times. Whether it succeeds or fails,
    /// there may be a newer version of the tree afterwards: the caller gives up those that it holds, or the next step cannot
    /// use their pages.
    ///
    /// `pager` and `options` must be the same each time. Others may commit between and during the steps.
    ///
    /// # Errors
    /// Reading or writing failed. Nothing is lost, and the same step may be tried again, unless the pager is poisoned.
    pub fn step(&mut self, pager: &Pager, options: TreeOptions, chunk_pages: u64) -> Result<()> {
        match self.phase {
            Phase::Pack => {
                let goal = CompactGoal { end: PageId(u64::MAX), rewritten_per_won: self.rewritten_per_won };
                self.chunk(pager, options, chunk_pages, goal)
            }
            Phase::Lower { end, .. } => {
                let goal = CompactGoal { end, rewritten_per_won: 0 };
                self.chunk(pager, options, chunk_pages, goal)
            }
            Phase::Walked { round } => {
                settle(pager)?;
                // What is free at the end of the file is no room before the end.
                if pager.stats().free > 0 {
                    shorten(pager)?;
                }
                self.phase = Phase::Plan { round };
                Ok(())
            }
            Phase::Plan { round } => {
                let stats = pager.stats();
                let idle = round > 0 && self.done.pages_written == self.written_before;
                // Two rounds may pass before the file is shorter: one in which single pages make way, one for the extents.
                let stuck = round > 3 && !round.is_multiple_of(2) && stats.pages >= self.pages_before;
                self.written_before = self.done.pages_written;
                if !round.is_multiple_of(2) {
                    self.pages_before = stats.pages;
                }
                let mut next = Phase::lower(round, &stats).filter(|_| !idle && !stuck);
                if let Some(Phase::Lower { round, end }) = next
                    && round > 0
                {
                    // Such a round rewrites what is above the pages it moves, and that needs room before it wins any.
                    let tree = Tree::open(pager.snapshot(), 0, options)?;
                    let live = PageId(stats.pages - excess(&stats));
                    next = None;
                    for end in [end, live] {
                        if next.is_none() && tree.pages_above(end)? < excess(&stats) {
                            next = Some(Phase::Lower { round, end });
                        }
                    }
                }
                let is_loose = excess(&stats) > enough(&stats) && self.lifts < MOST_LIFTS;
                let last = if is_loose { Phase::Lift } else { Phase::Shorten { tries: 0 } };
                self.phase = next.unwrap_or(last);
                Ok(())
            }
            Phase::Lift => self.lift(pager, options, chunk_pages),
            Phase::Shorten { tries } => {
                let before = pager.stats();
                let room = before.free + before.pending > 0;
                let shorter = room && shorten(pager)? < before.pages;
                // The first one may only bring the list of free pages down from the end.
                let again = room && (shorter || tries == 0) && tries + 1 < MOST_TRIES;
                self.phase = if again { Phase::Shorten { tries: tries + 1 } } else { Phase::Trim };
                Ok(())
            }
            Phase::Trim => {
                self.done.bytes_cut += pager.trim()?;
                self.phase = Phase::Done;
                Ok(())
            }
            Phase::Done => Ok(()),
        }
    }

    fn chunk(&mut self, pager: &Pager, options: TreeOptions, chunk_pages: u64, goal: CompactGoal) -> Result<()> {
        if self.most_pages.is_none() {
            settle(pager)?;
        }
        let stats = pager.stats();
        let most_pages = *self.most_pages.get_or_insert(stats.pages.saturating_add(chunk_pages));
        let room = stats.free + most_pages.saturating_sub(stats.pages);
        if room < LEAST_CHUNK.min(chunk_pages) {
            self.done.held_back += 1;
            self.end_walk();
            return Ok(());
        }
        let mut txn = pager.begin()?;
        let base = Tree::open(pager.snapshot(), 0, options)?;
        let compacted = compact(&mut txn, &base, goal, &self.from, chunk_pages.min(room))?;
        let user = base.snapshot().user().to_vec();
        drop(base);
        self.publish(pager, txn, &compacted, &user)?;
        match compacted.resume {
            Some(from) => self.from = from,
            None => self.end_walk(),
        }
        Ok(())
    }

    /// Lets what follows a free run make way, if it is worth being written twice.
    fn lift(&mut self, pager: &Pager, options: TreeOptions, chunk_pages: u64) -> Result<()> {
        self.lifts += 1;
        let base = Tree::open(pager.snapshot(), 0, options)?;
        let window = self.window(pager, &base, chunk_pages)?;
        let Some(window) = window else {
            self.phase = Phase::Shorten { tries: 0 };
            return Ok(());
        };
        let end = PageId(base.snapshot().page_count());
        let mut txn = pager.begin()?;
        let lifted = lift(&mut txn, &base, window)?;
        let user = base.snapshot().user().to_vec();
        drop(base);
        self.publish(pager, txn, &lifted, &user)?;
        // What was lifted is not to stay behind for want of room.
        self.most_pages = self.most_pages.max(Some(pager.stats().pages + chunk_pages));
        self.phase = Phase::Lower { round: 0, end };
        Ok(())
    }

    /// What is to make way next: the first time what follows the lowest run, if all the runs can be brought to the end, and then
    /// what follows the longest, which is that of all those before.
    fn window(&self, pager: &Pager, base: &Tree, chunk_pages: u64) -> Result<Option<Range<PageId>>> {
        let won = excess(&pager.stats()).saturating_mul(self.rewritten_per_won as u64);
        let times = u64::from(MOST_LIFTS - self.lifts) + 1;
        let lowest = pager.lowest_free_run().filter(|_| self.lifts == 1);
        for (start, _) in lowest.into_iter().chain(pager.longest_free_run()) {
            let behind = base.lies_from(start, chunk_pages)?;
            if 2 * behind.pages <= won && behind.pages / times <= chunk_pages {
                return Ok(behind.lowest.last_key_value().map(|(last, _)| start..PageId(last + 1)));
            }
        }
        Ok(None)
    }

    /// Commits a chunk, if anything was moved.
    fn publish(&mut self, pager: &Pager, txn: WriteTxn<'_>, moved: &Compacted, user: &[u8]) -> Result<()> {
        if moved.pages_written == 0 {
            return Ok(());
        }
        let roots: Vec<_> = moved.root.into_iter().collect();
        txn.commit(&roots, user)?;
        self.done.pages_written += moved.pages_written;
        self.done.chunks += 1;
        // Into the other slot too: then no meta reaches what was given up, and the next chunk can have it.
        pager.republish(None)?;
        Ok(())
    }

    /// The walk has come to the end of the tree.
    fn end_walk(&mut self) {
        self.from.clear();
        let round = match self.phase {
            Phase::Lower { round, .. } => round + 1,
            _ => 0,
        };
        self.phase = Phase::Walked { round };
    }
}

impl Phase {
    /// What a round of lowering is to do, if there is any use in one.
    fn lower(round: u32, stats: &PagerStats) -> Option<Phase> {
        let excess = excess(stats);
        let live = stats.pages.saturating_sub(excess);
        if stats.free == 0 || excess <= enough(stats) || round >= MOST_ROUNDS {
            return None;
        }
        // After the first round mostly extents are beyond, which find no pages side by side. Every second round single pages
        // before the end make way, and the next one moves the extents there.
        let way = if round.is_multiple_of(2) { 0 } else { excess.min(live / 2) };
        Some(Phase::Lower { round, end: PageId(live - way) })
    }
}

/// Pages that hold nothing. What readers pin stays, and its places with it.
fn excess(stats: &PagerStats) -> u64 {
    stats.free + stats.pending - stats.pinned
}

/// So many pages that hold nothing are not worth a round.
fn enough(stats: &PagerStats) -> u64 {
    2 + stats.pages.saturating_sub(excess(stats)) / 400
}

/// What was given up last, and a meta in the other slot still reaches, may be had from here on.
fn settle(pager: &Pager) -> Result<()> {
    let stats = pager.stats();
    if stats.pending > stats.pinned {
        pager.republish(None)?;
    }
    Ok(())
}

/// A commit that changes nothing, but leaves the free pages at the end out of the page count, published twice. Gives the
/// new page count.
fn shorten(pager: &Pager) -> Result<u64> {
    let txn = pager.begin()?;
    let base = pager.snapshot();
    let shorter = txn.commit(base.roots(), base.user())?;
    let pages = shorter.page_count();
    drop((base, shorter));
    pager.republish(None)?;
    Ok(pages)
}
