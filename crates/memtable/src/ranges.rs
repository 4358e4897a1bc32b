//! [`Ranges`]: the range deletes of a table, in the order of arrival. They are few, and a reader pays one load if there
//! are none.
//!
//! Invariant: at one sequence number a range delete comes before the entries, so it hides what is older than itself and
//! never what is as old as itself.

use std::sync::atomic::Ordering;

use crate::entry::{Found, RangeDelete};
use crate::list::List;
use crate::sync::AtomicU64;

pub(crate) struct Ranges {
    list: List<RangeDelete>,
    len: AtomicU64,
}

impl Ranges {
    pub(crate) fn new() -> Self {
        Self { list: List::new(), len: AtomicU64::new(0) }
    }

    /// One thread at a time.
    pub(crate) fn push(&self, range: RangeDelete) {
        let len = self.len.load(Ordering::Relaxed);
        self.list.set(len as usize, range);
        self.len.store(len + 1, Ordering::Release);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }

    /// Those from one number on and below another, in the order of arrival.
    pub(crate) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &RangeDelete> {
        (from..to).filter_map(|i| self.list.get(i as usize))
    }

    /// Those not younger than `at`.
    #[inline]
    pub(crate) fn at(&self, at: u64) -> impl Iterator<Item = &RangeDelete> {
        let len = self.len.load(Ordering::Acquire) as usize;
        (0..len).filter_map(|i| self.list.get(i)).filter(move |range| range.seq <= at)
    }

    /// What holds for `key` as of `at`: its own newest version, or a tombstone of the range delete that hides it.
    #[inline]
    pub(crate) fn resolve<'a>(&self, key: &[u8], at: u64, own: Option<Found<'a>>) -> Option<Found<'a>> {
        let cover = self.at(at).filter(|range| range.covers(key)).map(|range| range.seq).max();
        match (own, cover) {
            (Some(own), Some(seq)) if own.seq < seq => Some(Found::tombstone(seq)),
            (None, Some(seq)) => Some(Found::tombstone(seq)),
            (own, _) => own,
        }
    }
}
