//! What one part of a divided merge leaves to be joined with the others'.
//!
//! ```text
//! head    entries that would have made the first two leaves: the seam before them is sewn with them
//! notes   finished leaves and kept pages of the old tree, in key order; a kept branch stands for all below it
//! tail    entries at the end that make no whole leaves yet (the packer itself)
//! ```
//!
//! No branch is made here, and no page of the old version is given up: it is only noted that it may be. So a part that is not
//! joined has no effect.

use super::branch_packer::{Item, Origin};
use super::leaf_packer::LeafPacker;
use crate::branch::Child;
use halodb_pager::PageRef;

/// With the entries that wait at the end of the part before, two leaves give two of at least three quarters, or three of two
/// thirds: so a seam has neither poor nor thin leaves.
const HEAD_LEAVES: usize = 2;

/// What a part has made so far; see the head of this file.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) head: LeafPacker,
    /// So many leaves more are left to the join, if no page is noted before them.
    head_leaves: usize,
    notes: Vec<Note>,
    bytes: Vec<u8>,
    /// Pages of the old version that are not reached any more.
    pub(super) given_up: Vec<PageRef>,
}

/// A leaf that was made, or a page of the old tree.
#[derive(Clone, Copy, Debug)]
struct Note {
    level: u8,
    child: Child,
    origin: Origin,
    bytes_at: usize,
    separator_len: usize,
    filter_len: usize,
}

impl Part {
    /// The part from the first key on.
    pub(super) fn first(target: usize, capacity: usize) -> Part {
        let head = LeafPacker::new(target, capacity);
        Part { head, head_leaves: 0, notes: Vec::new(), bytes: Vec::new(), given_up: Vec::new() }
    }

    /// A part with another one before it.
    pub(super) fn later(target: usize, capacity: usize) -> Part {
        Part { head_leaves: HEAD_LEAVES, ..Part::first(target, capacity) }
    }

    /// Notes a page: a new leaf, or an old page of any level.
    pub(super) fn note(&mut self, level: u8, item: Item<'_>) {
        let bytes_at = self.bytes.len();
        self.bytes.extend_from_slice(item.separator);
        self.bytes.extend_from_slice(item.filter);
        let (separator_len, filter_len) = (item.separator.len(), item.filter.len());
        self.notes.push(Note { level, child: item.child, origin: item.origin, bytes_at, separator_len, filter_len });
    }

    /// Whether the next leaf is to be left to the join.
    pub(super) fn wants_head(&self) -> bool {
        self.head_leaves > 0 && self.notes.is_empty()
    }

    /// One leaf's entries are in the head.
    pub(super) fn took_head(&mut self) {
        self.head_leaves -= 1;
    }

    /// The pages noted, with their levels, in key order.
    pub(super) fn notes(&self) -> impl Iterator<Item = (u8, Item<'_>)> {
        self.notes.iter().map(|note| {
            let (separator, rest) = self.bytes[note.bytes_at..].split_at(note.separator_len);
            let filter = &rest[..note.filter_len];
            (note.level, Item { separator, child: note.child, filter, origin: note.origin })
        })
    }
}
