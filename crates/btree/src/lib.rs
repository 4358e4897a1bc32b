//! A copy-on-write B+ tree over pages: an ordered map from byte strings to byte strings in one file.
//!
//! A [`Tree`] reads one committed version, without locks and without copying; a [`Cursor`] moves through it both ways.
//! [`merge`] makes the next version from a sorted batch: it rewrites the leaves that the batch touches and the branches
//! above them, keeps every other page, and leaves the old version readable as long as somebody reads it. Branches count
//! the entries below them, so `count`, `rank` and `nth` cost one page per level. A filter per leaf answers most
//! lookups of absent keys without the leaf.
//!
//! [`Store`] puts one tree into one file for programs that want just that; a database above keeps several roots in a
//! page file and calls [`merge`] itself, because it has a log and collects batches in memory.
//!
//! Entries carry a time at which they expire, and branches the least of what is below them ([`Expiry`]): so what has expired
//! by a time that the caller names is counted and found at the cost of the leaves that hold it.
//!
//! What is absent: the tree knows no log, no versions within a page, no clock (what has expired is still given), no
//! comparison other than that of bytes, and no page cache (pages are searched in the mapping). It changes by batches only: there is no insertion of a
//! single key into a page.
//!
//! Reading the source: the page bodies first, each drawn in its file: `leaf`, `branch`, `overflow`, `filter`, `expiry`; then
//! `tree`, `descent`, `guess`, `multi`, `cursor` and `count` for reading; `merge/` for writing (`pack`, the packers, `output`, `walk`);
//! `merge/compact` and `shrink` for files that become smaller; `check` for the invariants; [`inspect`] for single bodies
//! of a tree that is damaged.

#![forbid(unsafe_code)]

mod batch;
mod branch;
mod bytes;
mod check;
mod count;
mod cursor;
mod descent;
mod error;
mod expired;
mod expiry;
mod fields;
mod filter;
#[cfg(test)]
mod golden;
mod guess;
pub mod inspect;
mod leaf;
mod merge;
mod multi;
mod overflow;
mod page;
mod recent;
mod rescue;
mod shape;
mod shrink;
mod store;
mod tree;
mod usage;

pub use batch::Batch;
pub use check::Depth;
pub use cursor::Cursor;
pub use error::{Error, Result};
pub use expiry::Expiry;
pub use merge::{
    Build, Change, CompactGoal, Compacted, Edits, Executor, InTurn, KeyRange, MergePart, Merged, Task, compact, merge,
    merge_parts,
};
pub use page::{BRANCH, FILTER, LEAF, MAX_VALUE_LEN, OVERFLOW, max_key_len};
pub use rescue::{LostPart, Rescued, leaf_entries};
pub use shape::LevelShape;
pub use shrink::{Shrink, Shrunk};
pub use store::{Store, StoreOptions};
pub use tree::{Tree, TreeOptions};
pub use usage::Usage;
