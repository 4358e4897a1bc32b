//! Children on their way into new branches of one level.
//!
//! Below branches of level 1 each child brings the bytes of its filter. The packer knows sizes and order; it allocates
//! and writes no page.

use super::pack::{Measure, cut_front, cut_last, size_of};
use crate::branch::{self, Child};
use crate::bytes::common_prefix_len;
use crate::error::Decoded;
use crate::expiry::{Bounds, Expiry};
use crate::overflow::Overflow;
use halodb_pager::PageRef;
use halodb_vfs::mutant;

/// Below this share of a page, branches count as poorly filled: they take their right neighbour in. Less than for leaves:
/// with a branch its filters are rewritten.
const POOR_PERCENT: usize = 40;

/// A child, the separator before it, and its filter (empty: none).
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) separator: &'a [u8],
    pub(super) child: Child,
    pub(super) filter: &'a [u8],
    pub(super) origin: Origin,
}

/// Which version a page was written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The one merged into.
    Old,
    /// The one being made; such a page cannot be read yet.
    New,
}

/// Children that wait, in key order.
#[derive(Debug, Default)]
pub(super) struct BranchPacker {
    buffer: Vec<u8>,
    children: Vec<Waiting>,
    measure: BranchMeasure,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    child: Child,
    separator_at: usize,
    separator_len: usize,
    filter_len: usize,
    origin: Origin,
    /// Bytes the separator shares with the one before.
    shared: usize,
}

/// The size of a branch with some consecutive children.
#[derive(Debug, Default)]
pub(super) struct BranchMeasure {
    /// Lengths of the separators between them: the first child's is not stored.
    separators: Vec<usize>,
    count: usize,
    prefix: usize,
    rests: usize,
    expiries: Bounds,
}

impl Measure for BranchMeasure {
    type Item = Waiting;

    fn add(&mut self, child: &Waiting) {
        self.count += 1;
        self.expiries.add(child.child.expiry);
        if self.count == 1 {
            return;
        }
        let prefix = if self.count == 2 { child.separator_len } else { self.prefix.min(child.shared) };
        self.separators.push(child.separator_len);
        if prefix == self.prefix && self.count > 2 {
            self.rests += branch::rest_len(child.separator_len, prefix);
        } else {
            self.prefix = prefix;
            self.rests = self.separators.iter().map(|&len| branch::rest_len(len, prefix)).sum();
        }
    }

    fn size(&self) -> usize {
        branch::fixed_len(self.count, self.prefix, self.expiries) + self.rests
    }
}

impl BranchPacker {
    /// No child waits.
    pub(super) fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// Number of children that wait.
    pub(super) fn len(&self) -> usize {
        self.children.len()
    }

    /// Whether they would fill a page poorly.
    pub(super) fn is_poor(&self, capacity: usize) -> bool {
        self.measure.size() * 100 < capacity * POOR_PERCENT
    }

    /// Appends a child.
    pub(super) fn push(&mut self, item: Item<'_>) -> Decoded<()> {
        let mut shared = 0;
        if let Some(last) = self.children.last() {
            let before = self.item(last).separator;
            shared = common_prefix_len(before, item.separator);
            if before[shared..] >= item.separator[shared..] {
                return Err("the separators around it do not ascend");
            }
        }
        let waiting = Waiting {
            child: item.child,
            separator_at: self.buffer.len(),
            separator_len: item.separator.len(),
            filter_len: item.filter.len(),
            origin: item.origin,
            shared,
        };
        self.buffer.extend_from_slice(item.separator);
        self.buffer.extend_from_slice(item.filter);
        self.measure.add(&waiting);
        self.children.push(waiting);
        Ok(())
    }

    /// How many children go to a page now, if enough wait that what remains will not be poor.
    pub(super) fn ready(&self, target: usize, capacity: usize) -> Option<usize> {
        if self.measure.size() <= target + capacity * POOR_PERCENT / 100 {
            return None;
        }
        // What fits one page whole waits for more: the separator after a page is made from what comes next.
        let count = cut_front::<BranchMeasure>(&self.children, target, capacity);
        (count < self.children.len()).then_some(count)
    }

    /// How many children go to the next page when all are to go.
    pub(super) fn last(&self, capacity: usize) -> usize {
        cut_last::<BranchMeasure>(&self.children, capacity)
    }

    /// The first `count` children.
    pub(super) fn front(&self, count: usize) -> impl ExactSizeIterator<Item = Item<'_>> + DoubleEndedIterator + Clone {
        self.children[..count].iter().map(|waiting| self.item(waiting))
    }

    /// What the parent is to say of the first `count` children together, in the page at `at`.
    pub(super) fn parent(&self, at: PageRef, count: usize) -> Child {
        // A planted fault forgets to count the last child.
        let counted = count - usize::from(mutant("btree.count-short"));
        let mut parent = Child { at, entries: 0, overflow: Overflow::None, expiry: Expiry::NEVER };
        for (i, Waiting { child, .. }) in self.children[..count].iter().enumerate() {
            parent.entries = parent.entries.saturating_add(if i < counted { child.entries } else { 0 });
            parent.overflow = parent.overflow.or(child.overflow);
            parent.expiry = parent.expiry.earlier(child.expiry);
        }
        parent
    }

    /// Drops the first `count` children; gives the separator that stood before them.
    pub(super) fn drop_front(&mut self, count: usize) -> Vec<u8> {
        let separator = self.front(1).next().map(|item| item.separator.to_vec()).unwrap_or_default();
        let start = self.children.get(count).map_or(self.buffer.len(), |next| next.separator_at);
        self.buffer.drain(..start);
        self.children.drain(..count);
        self.measure = BranchMeasure::default();
        for waiting in &mut self.children {
            waiting.separator_at -= start;
            self.measure.add(waiting);
        }
        debug_assert_eq!(self.measure.size(), size_of::<BranchMeasure>(&self.children));
        separator
    }

    fn item(&self, waiting: &Waiting) -> Item<'_> {
        let (separator, rest) = self.buffer[waiting.separator_at..].split_at(waiting.separator_len);
        Item { separator, child: waiting.child, filter: &rest[..waiting.filter_len], origin: waiting.origin }
    }
}
