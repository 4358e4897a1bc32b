//! [`Opening`]: what an open is helped by, and who hears how far it is.
//!
//! This crate starts no thread. What an open can do side by side (putting records into the memtables of different partitions,
//! making their page files certain) it hands out as numbered pieces of work, to whoever has threads; without that it does
//! them one after another, and a simulated disk sees the same calls in the same order each time.

use crate::Result;
use std::sync::OnceLock;

/// How far the replay of the log is that follows a crash. What there is to do is known from the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenProgress {
    /// Bytes of the log that were read, and whose records are in memory.
    pub read_bytes: u64,
    /// Bytes of the log that there are to read.
    pub total_bytes: u64,
    /// Records put into memory so far.
    pub records: u64,
}

/// Does pieces of work that are numbered from 0 and do not depend on each other: calls the function once for each number, in
/// any order and any thread, and returns when all are done.
pub type SideBySide<'o> = &'o (dyn Fn(usize, &(dyn Fn(usize) + Sync)) + Sync);

/// What an open is helped by, and who hears how far it is. The default: nothing, and nobody.
#[derive(Clone, Copy)]
pub struct Opening<'o> {
    /// Does independent pieces of work.
    pub side_by_side: SideBySide<'o>,
    /// Hears how far the replay is, after each few MiB of the log. Not called for a database that is created.
    pub on_progress: &'o (dyn Fn(OpenProgress) + Sync),
}

impl Default for Opening<'_> {
    fn default() -> Self {
        Self { side_by_side: &one_after_another, on_progress: &|_| {} }
    }
}

/// Does all pieces in the calling thread.
fn one_after_another(pieces: usize, piece: &(dyn Fn(usize) + Sync)) {
    (0..pieces).for_each(piece);
}

impl Opening<'_> {
    /// The results of all pieces, in the order of their numbers.
    pub(crate) fn all<T: Send + Sync>(&self, pieces: usize, piece: impl Fn(usize) -> T + Sync) -> Vec<T> {
        let done: Vec<OnceLock<T>> = (0..pieces).map(|_| OnceLock::new()).collect();
        (self.side_by_side)(pieces, &|number| {
            let first = done[number].set(piece(number)).is_ok();
            debug_assert!(first, "each piece is done once");
        });
        done.into_iter().map(|slot| slot.into_inner().expect("each piece is done once")).collect()
    }

    /// As [`Opening::all`], of what may fail: the error of the first piece that did.
    pub(crate) fn try_all(&self, pieces: usize, piece: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
        self.all(pieces, piece).into_iter().collect()
    }
}
