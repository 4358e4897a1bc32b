//! Merging a sorted batch into a tree.
//!
//! The old tree is walked in key order, down only to what an edit or a deleted range touches (`walk.rs`). Touched
//! leaves stream with the edits through a packer into new pages; everything else keeps its page, whole subtrees at
//! once. Per level a packer collects the children of the branches to come, so each parent is written once, after its
//! children (`output.rs`). There are no splits of single pages and no rebalancing afterwards: a page that would come
//! out poorly filled takes its right neighbour in.
//!
//! The same by several threads at once, each with a range of the keys: `parts.rs`.
//!
//! Invariant: every page of the old version that the new one does not reach is given to [`WriteTxn::free`] exactly
//! once; pages of the old version are never written.

mod branch_packer;
mod build;
mod compact;
mod executor;
mod input;
mod leaf_packer;
mod output;
mod pack;
mod part;
mod parts;
mod walk;

pub use build::Build;
pub(crate) use compact::lift;
pub use compact::{CompactGoal, Compacted, compact};
pub use executor::{Executor, InTurn, Task};
pub use parts::{MergePart, merge_parts};

use crate::error::{Error, Result};
use crate::expiry::Expiry;
use crate::tree::Tree;
use halodb_pager::{Root, WriteTxn};

/// What an edit does to its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// Sets it. See [`Change::put`] and [`Change::put_until`].
    Put {
        /// The value.
        value: &'a [u8],
        /// When it expires.
        expiry: Expiry,
    },
    /// Removes it, if there.
    Delete,
}

impl<'a> Change<'a> {
    /// Sets it to a value that never expires.
    pub fn put(value: &'a [u8]) -> Change<'a> {
        Change::put_until(value, Expiry::NEVER)
    }

    /// Sets it to a value that expires.
    pub fn put_until(value: &'a [u8], expiry: Expiry) -> Change<'a> {
        Change::Put { value, expiry }
    }
}

/// A sorted stream of edits, each key once.
pub trait Edits {
    /// The edit at hand, or `None` at the end. The same until [`Edits::advance`].
    fn current(&self) -> Option<(&[u8], Change<'_>)>;
    /// To the next one.
    fn advance(&mut self);
}

/// A half-open key range; `end == None`: to the last key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// First key in it.
    pub start: Vec<u8>,
    /// First key after it.
    pub end: Option<Vec<u8>>,
}

/// What [`merge`] did.
#[derive(Debug)]
pub struct Merged {
    /// The root to commit.
    pub root: Option<Root>,
    /// `None`: all edits and ranges are in. Otherwise those at or below this key are, and none above: the stream of
    /// edits stands after it, and the ranges are to be clipped so that they begin above it.
    pub merged_up_to: Option<Vec<u8>>,
    /// Pages written, those of extents counted one by one.
    pub pages_written: u64,
    /// Pages of the old version given up, counted likewise.
    pub pages_freed: u64,
}

/// Merges a sorted batch into `base` within `txn`: first `ranges` (sorted, disjoint) are deleted, then the edits apply.
///
/// `base` must be the version that `txn` will replace. Stops after an edit or a deletion once about `limit_pages` pages
/// were written (at least one edit or deleted entry is taken; [`Merged::merged_up_to`] says where), with the rest of the
/// tree kept as it was. Untouched leaves keep their pages, and a batch that changes nothing keeps the root.
/// `fill_percent` (50 to 100) is how full packed pages are made: 93 for merges, 100 for bulk builds. On an empty base
/// this is the bulk build.
///
/// Costs reading and writing the touched leaves and all branches above them. Memory: a few pages per level, and one
/// value above a quarter page at a time.
///
/// # Errors
/// [`Error::Invalid`] for edits or ranges out of order, keys empty or too long, values too long, a fill out of range;
/// otherwise what reading and writing pages say. After an error the transaction must be dropped.
pub fn merge(
    txn: &mut WriteTxn<'_>,
    base: &Tree,
    ranges: &[KeyRange],
    edits: &mut dyn Edits,
    fill_percent: u32,
    limit_pages: u64,
) -> Result<Merged> {
    check_fill(fill_percent)?;
    let input = input::Input::new(edits, ranges, base.snapshot().page_size())?;
    let output = output::Output::new(txn, base, fill_percent);
    walk::Walk::new(base, input, output, limit_pages).run()
}

fn check_fill(fill_percent: u32) -> Result<()> {
    if !(50..=100).contains(&fill_percent) {
        return Err(Error::Invalid(format!("fill of {fill_percent} %; it must be from 50 to 100 %")));
    }
    Ok(())
}
