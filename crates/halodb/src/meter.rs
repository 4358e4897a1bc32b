//! [`Meter`]: how many calls there were of each kind, and how long they took.
//!
//! What takes microseconds or less is sampled (`sample.rs`), and written to one of a few places by thread, so that readers
//! rarely meet; what waits for a disk, or for memory, is timed always. A call that is not timed costs a decrement of a
//! thread's own number.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use halodb_wal::Durability;

use crate::histogram::{Histogram, Recorder};
use crate::sample::{self, ONE_IN};

/// Calls that are sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Quick {
    Get,
    MultiGet,
    Seek,
    Count,
    /// A commit below `Sync`.
    Commit,
}

/// Calls that are always timed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Slow {
    SyncCommit,
    Sync,
    Merge,
    Upkeep,
}

/// Ways of committing, and other calls that are counted; in the order of [`Operations`].
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counted {
    Get,
    MultiGet,
    Scan,
    Count,
    Commit,
    Conditional,
    Validated,
    RangeDelete,
}

const QUICK: usize = Quick::Commit as usize + 1;
const SLOW: usize = Slow::Upkeep as usize + 1;
const COUNTED: usize = Counted::RangeDelete as usize + 1;
/// Places to write samples to.
const SHARDS: usize = 4;

/// How many calls there were of each kind, since the open. Reads through a [`Snapshot`](crate::Snapshot) or a
/// [`Transaction`](crate::Transaction) are not among them.
///
/// Of reads, and of commits below [`Durability::Sync`](crate::Durability::Sync), one in 64 is seen, at random, and counts as 64:
/// of 100,000 calls the number is right to about 3 %. Commits at `Sync` are counted one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Operations {
    /// Lookups of one key: `get`, `get_with`, `contains`.
    pub gets: u64,
    /// Calls of `multi_get`, whatever the number of keys.
    pub multi_gets: u64,
    /// Iterators and scans that were begun.
    pub scans: u64,
    /// `len`, `count`, `rank`, `nth` and their like.
    pub counts: u64,
    /// Commits without a condition: puts, batches and `clear` of the default keyspace.
    pub commits: u64,
    /// Commits on a condition: those to named keyspaces, `put_with` a condition, `delete`.
    pub conditional_commits: u64,
    /// Commits that rest on what was read: transactions, `update`, `increment` and their like. Conflicts included.
    pub validated_commits: u64,
    /// Range deletes. Those of a few keys are validated commits.
    pub range_deletes: u64,
}

/// How long calls took, since the open. What is sampled has one call in 64, at random; see [`Operations`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Latencies {
    /// Lookups of one key. Sampled.
    pub gets: Histogram,
    /// Calls of `multi_get`. Sampled.
    pub multi_gets: Histogram,
    /// Finding the place of a scan or an iterator, or of its `seek`; not its steps. Sampled.
    pub seeks: Histogram,
    /// `len`, `count`, `rank`, `nth`. Sampled.
    pub counts: Histogram,
    /// Commits below [`Durability::Sync`](crate::Durability::Sync), with what they waited. Sampled.
    pub commits: Histogram,
    /// Commits at `Sync`: mostly the wait for a synchronisation of the log, one's own or that of the writers before. All.
    pub sync_commits: Histogram,
    /// [`Db::sync`](crate::Db::sync) and [`Db::wait_durable`](crate::Db::wait_durable). All.
    pub syncs: Histogram,
    /// Jobs that merge a memtable into its tree, all chunks of it together. All.
    pub merges: Histogram,
    /// Jobs of tidiness: sweeps of what has expired, chunks of compactions. All.
    pub upkeep: Histogram,
    /// Waits of writers that found memory full of unmerged writes. All: one for each of `stalls`.
    pub stalls: Histogram,
    /// Short waits of writers that were ahead of the merges. All: one for each of `slowed`.
    pub slowed: Histogram,
}

/// What filters say of keys that are in no memtable and in no tree: of one in 64 lookups of such keys, at random.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterStats {
    /// Such keys that a filter was asked about.
    pub asked: u64,
    /// Those that it took for there, wrongly.
    pub false_positives: u64,
}

impl FilterStats {
    /// The share of absent keys that filters take for there: near 0.008 with the default of 11 bits per key. `None` if none
    /// was asked about.
    pub fn false_positive_rate(&self) -> Option<f64> {
        (self.asked > 0).then(|| self.false_positives as f64 / self.asked as f64)
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    shards: [Shard; SHARDS],
    slow: [Recorder; SLOW],
    filters_asked: AtomicU64,
    filters_wrong: AtomicU64,
}

/// Where some of the threads write.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    counted: [AtomicU64; COUNTED],
    quick: [Recorder; QUICK],
}

/// A call that is timed until this is dropped.
#[must_use = "it measures until it is dropped"]
pub(crate) struct Timer<'m> {
    recorder: &'m Recorder,
    began: Instant,
}

impl Drop for Timer<'_> {
    fn drop(&mut self) {
        self.recorder.record(self.began.elapsed());
    }
}

impl Meter {
    /// Before a call that is sampled: the timer, if it is one to be timed.
    #[inline]
    pub(crate) fn sample(&self, quick: Quick, counted: Counted) -> Option<Timer<'_>> {
        if sample::is_due() { Some(self.sampled(quick, counted)) } else { None }
    }

    #[cold]
    fn sampled(&self, quick: Quick, counted: Counted) -> Timer<'_> {
        self.count(counted, ONE_IN);
        self.time_quick(quick)
    }

    /// Times a call of its kind, as one of a sample that was drawn before.
    pub(crate) fn time_quick(&self, quick: Quick) -> Timer<'_> {
        Timer { recorder: &self.shard().quick[quick as usize], began: Instant::now() }
    }

    /// Times a call that is always timed.
    pub(crate) fn time(&self, slow: Slow) -> Timer<'_> {
        Timer { recorder: &self.slow[slow as usize], began: Instant::now() }
    }

    /// Before a commit.
    #[inline]
    pub(crate) fn commit(&self, counted: Counted, level: Durability) -> Option<Timer<'_>> {
        match level {
            Durability::Sync => {
                self.count(counted, 1);
                Some(self.time(Slow::SyncCommit))
            }
            _ => self.sample(Quick::Commit, counted),
        }
    }

    /// Takes note of calls.
    pub(crate) fn count(&self, counted: Counted, calls: u64) {
        self.shard().counted[counted as usize].fetch_add(calls, Ordering::Relaxed);
    }

    /// Takes note of what a filter said of an absent key.
    pub(crate) fn filter_asked(&self, is_denied: bool) {
        self.filters_asked.fetch_add(1, Ordering::Relaxed);
        self.filters_wrong.fetch_add(u64::from(!is_denied), Ordering::Relaxed);
    }

    fn shard(&self) -> &Shard {
        &self.shards[sample::thread() % SHARDS]
    }

    pub(crate) fn operations(&self) -> Operations {
        let of = |counted: Counted| -> u64 {
            self.shards.iter().map(|shard| shard.counted[counted as usize].load(Ordering::Relaxed)).sum()
        };
        Operations {
            gets: of(Counted::Get),
            multi_gets: of(Counted::MultiGet),
            scans: of(Counted::Scan),
            counts: of(Counted::Count),
            commits: of(Counted::Commit),
            conditional_commits: of(Counted::Conditional),
            validated_commits: of(Counted::Validated),
            range_deletes: of(Counted::RangeDelete),
        }
    }

    pub(crate) fn latencies(&self) -> Latencies {
        let quick = |quick: Quick| {
            let mut all = Histogram::default();
            self.shards.iter().for_each(|shard| shard.quick[quick as usize].add_to(&mut all));
            all
        };
        let slow = |slow: Slow| self.slow[slow as usize].histogram();
        Latencies {
            gets: quick(Quick::Get),
            multi_gets: quick(Quick::MultiGet),
            seeks: quick(Quick::Seek),
            counts: quick(Quick::Count),
            commits: quick(Quick::Commit),
            sync_commits: slow(Slow::SyncCommit),
            syncs: slow(Slow::Sync),
            merges: slow(Slow::Merge),
            upkeep: slow(Slow::Upkeep),
            ..Latencies::default()
        }
    }

    pub(crate) fn filters(&self) -> FilterStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        FilterStats { asked: load(&self.filters_asked), false_positives: load(&self.filters_wrong) }
    }
}
