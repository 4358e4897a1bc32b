//! Where a merge puts things: a packer per level, new pages, and the old pages given up.
//!
//! Packer 0 takes entries and makes leaves; packer `k` takes pages of level `k − 1` and makes branches of level `k`.
//! Everything comes in key order. Before a page of the old tree is kept whole on some level, all packers up to that
//! level are flushed; if that would leave a poorly filled page, the page to be kept is taken apart instead: a leaf into
//! entries, a branch into children that are kept in their turn.

use super::branch_packer::{BranchPacker, Item, Origin};
use super::leaf_packer::LeafPacker;
use super::part::Part;
use crate::branch::{self, Child};
use crate::error::{Error, Result};
use crate::expiry::Expiry;
use crate::filter;
use crate::leaf::{self, Leaf, Place};
use crate::overflow::{self, Overflow, OverflowRef};
use crate::page::{BRANCH, FILTER, LEAF, OVERFLOW, body_len};
use crate::tree::{Tree, make_root};
use halodb_pager::{Hand, PageId, PageKind, PageRef, Root, Stamp, WriteTxn};
use halodb_vfs::mutant;

/// Capacity of the body buffer that is kept from one long value to the next.
const BODY_KEPT_BYTES: usize = 1 << 20;

/// Where pages come from.
pub(super) enum Pages<'o, 'p> {
    /// A transaction.
    Txn(&'o mut WriteTxn<'p>),
    /// The same, but all at the end of the file.
    Behind(&'o mut WriteTxn<'p>),
    /// A share of one. What is made is noted.
    Hand(Box<Hand<'o>>, Box<Part>),
}

/// The packers and the transaction.
pub(super) struct Output<'o, 'p> {
    pages: Pages<'o, 'p>,
    base: &'o Tree,
    leaves: LeafPacker,
    /// `branches[k]` makes branches of level `k + 1`.
    branches: Vec<BranchPacker>,
    pub(super) capacity: usize,
    target: usize,
    body: Vec<u8>,
    filter: Vec<u8>,
    filter_bits: u32,
    /// Pages written and given up.
    pub(super) written: u64,
    pub(super) freed: u64,
}

/// What a part has made.
pub(super) struct Made {
    part: Box<Part>,
    /// Entries that make no whole leaf yet.
    tail: LeafPacker,
    written: u64,
    /// Whether there is anything new in it.
    pub(super) is_changed: bool,
    /// See [`super::Merged::merged_up_to`].
    pub(super) stopped: Option<Vec<u8>>,
}

/// A page of the old tree, as its parent describes it.
#[derive(Clone, Copy)]
pub(super) struct OldPage<'a> {
    pub(super) level: u8,
    pub(super) item: Item<'a>,
}

impl<'o, 'p> Output<'o, 'p> {
    pub(super) fn new(txn: &'o mut WriteTxn<'p>, base: &'o Tree, fill_percent: u32) -> Output<'o, 'p> {
        Output::with(|_, _| Pages::Txn(txn), base, fill_percent)
    }

    /// Gets the pages from a function that is told how full a body is to be, and how full it can be.
    pub(super) fn with(
        pages: impl FnOnce(usize, usize) -> Pages<'o, 'p>,
        base: &'o Tree,
        fill_percent: u32,
    ) -> Output<'o, 'p> {
        let capacity = body_len(base.snapshot().page_size());
        let target = capacity * fill_percent as usize / 100;
        Output {
            pages: pages(target, capacity),
            base,
            leaves: LeafPacker::new(target, capacity),
            branches: Vec::new(),
            capacity,
            target,
            body: Vec::new(),
            filter: Vec::new(),
            filter_bits: base.options().filter_bits_per_key,
            written: 0,
            freed: 0,
        }
    }

    /// States that entries pushed from here on are at or above `separator`, and all kept pages before below it.
    pub(super) fn begin_leaf(&mut self, separator: &[u8]) {
        if self.leaves.is_empty() {
            self.leaves.set_separator(separator);
        }
    }

    /// Adds entry `i` of an old leaf.
    pub(super) fn push_old(&mut self, at: PageRef, leaf: &Leaf<'_>, i: usize) -> Result<()> {
        let record = self.base.decoded(at, leaf.record(i))?;
        let expiry = self.base.decoded(at, leaf.expiry(i))?;
        let (head, rest) = record.suffix();
        let pushed = self.leaves.push([leaf.prefix(), head, rest], expiry, record.place, record.payload);
        self.base.decoded(at, pushed)?;
        self.emit_ready_leaves()
    }

    /// Adds entry `i` of an old leaf, whose long value is at `from`; if there is room for its extent nearer to the beginning
    /// of the file, it is copied there.
    pub(super) fn push_lowered(&mut self, at: PageRef, leaf: &Leaf<'_>, i: usize, from: OverflowRef) -> Result<()> {
        match self.alloc_before(from.at.pages, from.at.id) {
            Some(to) => {
                self.written += u64::from(to.pages);
                self.push_moved(at, leaf, i, from, to)
            }
            None => self.push_old(at, leaf, i),
        }
    }

    /// Adds entry `i` of an old leaf, whose long value is at `from` and is copied to wherever there is room.
    pub(super) fn push_lifted(&mut self, at: PageRef, leaf: &Leaf<'_>, i: usize, from: OverflowRef) -> Result<()> {
        let to = self.alloc(from.at.pages)?;
        self.push_moved(at, leaf, i, from, to)
    }

    fn push_moved(&mut self, at: PageRef, leaf: &Leaf<'_>, i: usize, from: OverflowRef, to: PageRef) -> Result<()> {
        let base = self.base;
        self.write_value(to, base.overflow_value(from)?)?;
        // A planted fault forgets where the value was.
        if !mutant("btree.compact-frees-nothing") {
            self.free(from.at)?;
        }
        let record = base.decoded(at, leaf.record(i))?;
        let expiry = base.decoded(at, leaf.expiry(i))?;
        let (head, rest) = record.suffix();
        let payload = OverflowRef { at: to, len: from.len }.encode();
        let pushed = self.leaves.push([leaf.prefix(), head, rest], expiry, Place::Overflow, &payload);
        base.decoded(at, pushed)?;
        self.emit_ready_leaves()
    }

    fn write_value(&mut self, at: PageRef, value: &[u8]) -> Result<()> {
        overflow::encode(value, &mut self.body);
        self.pages.write(at, OVERFLOW, 0, &self.body)?;
        // The memory of a huge value is not held for the rest of the merge.
        self.body.clear();
        self.body.shrink_to(BODY_KEPT_BYTES);
        Ok(())
    }

    /// Adds a new entry; a long value goes to an extent. `near` is the old leaf it goes into.
    pub(super) fn push_new(&mut self, near: Option<PageRef>, key: &[u8], value: &[u8], expiry: Expiry) -> Result<()> {
        let parts = [key, &[], &[]];
        let page_size = self.base.snapshot().page_size();
        let pushed = if value.len() <= leaf::inline_limit(page_size, key.len()) {
            self.leaves.push(parts, expiry, Place::Inline, value)
        } else {
            let at = self.alloc(overflow::extent_pages(page_size, value.len()))?;
            self.write_value(at, value)?;
            let reference = OverflowRef { at, len: value.len() as u32 };
            self.leaves.push(parts, expiry, Place::Overflow, &reference.encode())
        };
        match (pushed, near) {
            (Ok(()), _) => {}
            (Err(what), Some(at)) => return Err(self.base.corrupt(at, what)),
            (Err(what), None) => return Err(Error::Invalid(format!("edits into an empty tree: {what}"))),
        }
        self.emit_ready_leaves()
    }

    /// Keeps a page of the old tree, or takes it apart where the pages before it would otherwise be poor.
    pub(super) fn keep(&mut self, page: OldPage<'_>) -> Result<()> {
        // In a part there are packers of leaves only; the rest is seen to when it is joined.
        let highest = if let Pages::Hand(..) = self.pages { 0 } else { page.level };
        for level in 0..=highest {
            if self.is_empty(level) {
                continue;
            }
            // For the sake of leaves that are merely thin no branch is taken apart.
            if self.is_poor(level) || (page.level == 0 && self.leaves.is_thin()) {
                return self.take_apart(page);
            }
            self.flush(level)?;
        }
        self.push_child(page.level + 1, page.item)
    }

    /// Whether a page lies from `end` on, and there is room for it before.
    pub(super) fn may_move(&mut self, at: PageRef, end: PageId) -> bool {
        match &mut self.pages {
            Pages::Txn(txn) => at.id >= end && txn.has_room_before(at.pages, at.id),
            Pages::Behind(_) | Pages::Hand(..) => false,
        }
    }

    fn alloc_before(&mut self, pages: u32, page: PageId) -> Option<PageRef> {
        match &mut self.pages {
            Pages::Txn(txn) => txn.alloc_before(pages, page),
            Pages::Behind(_) | Pages::Hand(..) => None,
        }
    }

    fn take_apart(&mut self, page: OldPage<'_>) -> Result<()> {
        let base = self.base;
        let at = page.item.child.at;
        if page.level == 0 {
            let leaf = base.leaf(at)?;
            self.free(at)?;
            self.begin_leaf(page.item.separator);
            return (0..leaf.len()).try_for_each(|i| self.push_old(at, &leaf, i));
        }
        let branch = base.branch(at, page.level)?;
        self.free_branch(at, &branch)?;
        self.keep_children(at, &branch, page.level, page.item.separator, 0..branch.len())
    }

    /// Keeps some children of an old branch of level `level`; `separator` stands before the branch.
    pub(super) fn keep_children(
        &mut self,
        at: PageRef,
        branch: &branch::Branch<'_>,
        level: u8,
        separator: &[u8],
        children: std::ops::Range<usize>,
    ) -> Result<()> {
        let base = self.base;
        // The filters are no more than an aid: one that cannot be read is left out.
        let filters = branch.filter().filter(|_| level == 1 && self.filter_bits > 0);
        let filters = filters.and_then(|at| base.filters(at).ok());
        let mut before = Vec::new();
        for i in children {
            let child = base.child(at, branch, i)?;
            before.clear();
            match i.checked_sub(1) {
                None => before.extend_from_slice(separator),
                Some(i) => base.decoded(at, branch.append_separator(i, &mut before))?,
            }
            let filter = filters.and_then(|f| f.get(i, child.at)).filter(|f| f.len() % 32 == 0).unwrap_or(&[]);
            self.keep(OldPage {
                level: level - 1,
                item: Item { separator: &before, child, filter, origin: Origin::Old },
            })?;
        }
        Ok(())
    }

    /// Gives up a page or extent of the old tree. More of them than the file has pages are those of a tree that comes back to
    /// itself.
    pub(super) fn free(&mut self, at: PageRef) -> Result<()> {
        if at.stamp == self.pages.stamp() {
            // The transaction would take it for one of its own.
            return Err(self.base.corrupt(at, "it claims to be of a generation that is only being written"));
        }
        self.freed += u64::from(at.pages);
        if self.freed > self.base.snapshot().page_count() {
            return Err(self.base.corrupt(at, "the tree reaches more pages than there are"));
        }
        match &mut self.pages {
            Pages::Txn(txn) | Pages::Behind(txn) => txn.free(at),
            Pages::Hand(_, part) => part.given_up.push(at),
        }
        Ok(())
    }

    /// Gives up a branch and its filters, not what is below.
    pub(super) fn free_branch(&mut self, at: PageRef, branch: &branch::Branch<'_>) -> Result<()> {
        if let Some(filter) = branch.filter() {
            self.free(filter)?;
        }
        self.free(at)
    }

    /// Gives up the extent of entry `i` of an old leaf, if it has one.
    pub(super) fn free_value(&mut self, at: PageRef, leaf: &Leaf<'_>, i: usize) -> Result<()> {
        let record = self.base.decoded(at, leaf.record(i))?;
        if let Some(reference) = self.base.decoded(at, record.overflow())?
            && !mutant("btree.leak-value")
        {
            self.free(reference.at)?;
        }
        Ok(())
    }

    /// Gives up a page and everything below it. Leaves are read only if they refer to extents.
    pub(super) fn free_subtree(&mut self, child: Child, level: u8) -> Result<()> {
        let base = self.base;
        if level == 0 {
            if child.overflow == Overflow::Some {
                let leaf = base.leaf(child.at)?;
                (0..leaf.len()).try_for_each(|i| self.free_value(child.at, &leaf, i))?;
            }
            return self.free(child.at);
        }
        let branch = base.branch(child.at, level)?;
        self.free_branch(child.at, &branch)?;
        (0..branch.len()).try_for_each(|i| self.free_subtree(base.child(child.at, &branch, i)?, level - 1))
    }

    /// Adds what a part has made and noted, after all that came before it.
    pub(super) fn join(&mut self, made: &Made) -> Result<()> {
        self.written += made.written;
        made.part.given_up.iter().try_for_each(|at| self.free(*at))?;
        self.push_waiting(&made.part.head, 0)?;
        for (level, item) in made.part.notes() {
            match item.origin {
                Origin::Old => self.keep(OldPage { level, item })?,
                Origin::New => {
                    self.flush(0)?;
                    self.push_child(1, item)?;
                }
            }
        }
        // A planted fault loses the last entry before a seam.
        self.push_waiting(&made.tail, usize::from(mutant("btree.seam-loses-entry")))
    }

    /// Adds what waits in another packer, but for so many at the end.
    fn push_waiting(&mut self, from: &LeafPacker, lost: usize) -> Result<()> {
        self.begin_leaf(from.separator());
        for entry in from.front(from.len().saturating_sub(lost)) {
            let pushed = self.leaves.push([entry.key, &[], &[]], entry.expiry, entry.place, entry.payload);
            if let (Err(what), Some((root, _))) = (pushed, self.base.top()) {
                return Err(self.base.corrupt(root, what));
            }
            self.emit_ready_leaves()?;
        }
        Ok(())
    }

    /// Writes what can be written of a part, and gives what it has made.
    pub(super) fn end_part(self, is_changed: bool, stopped: Option<Vec<u8>>) -> Result<Option<(Hand<'o>, Made)>> {
        let Pages::Hand(mut hand, part) = self.pages else { return Ok(None) };
        hand.flush()?;
        Ok(Some((*hand, Made { part, tail: self.leaves, written: self.written, is_changed, stopped })))
    }

    /// Writes all that waits and gives the root.
    pub(super) fn finish(mut self) -> Result<(Option<Root>, u64, u64)> {
        let mut level = 0;
        let root = loop {
            let above_is_empty = self.branches.iter().skip(usize::from(level)).all(BranchPacker::is_empty);
            if level > 0 && above_is_empty {
                let packer = &self.branches[usize::from(level) - 1];
                if packer.len() <= 1 {
                    break packer.front(packer.len()).next().map(|item| (item.child, item.origin));
                }
            } else if above_is_empty && self.leaves.is_empty() {
                break None;
            }
            self.flush(level)?;
            level += 1;
        };
        let root = match root {
            None => None,
            Some((child, Origin::New)) => Some(make_root(child.at, child.entries, level)),
            Some((child, Origin::Old)) => Some(self.collapse(child, level - 1)?),
        };
        Ok((root, self.written, self.freed))
    }

    /// While an old page that becomes the root is a branch with a single child, that child is the root. (A new page
    /// never is one: the loop above ends before a branch would be made for a single child.)
    fn collapse(&mut self, mut root: Child, mut level: u8) -> Result<Root> {
        let base = self.base;
        while level > 0 {
            let branch = base.branch(root.at, level)?;
            if branch.len() > 1 {
                break;
            }
            self.free_branch(root.at, &branch)?;
            root = base.child(root.at, &branch, 0)?;
            level -= 1;
        }
        Ok(make_root(root.at, root.entries, level + 1))
    }

    fn is_empty(&self, level: u8) -> bool {
        match level.checked_sub(1) {
            None => self.leaves.is_empty(),
            Some(i) => self.branches.get(usize::from(i)).is_none_or(BranchPacker::is_empty),
        }
    }

    fn is_poor(&self, level: u8) -> bool {
        match level.checked_sub(1) {
            None => self.leaves.is_poor(),
            Some(i) => self.branches[usize::from(i)].is_poor(self.capacity),
        }
    }

    fn flush(&mut self, level: u8) -> Result<()> {
        while !self.is_empty(level) {
            match level.checked_sub(1) {
                None => self.emit_leaf(self.leaves.last())?,
                Some(i) => self.emit_branch(level, self.branches[usize::from(i)].last(self.capacity))?,
            }
        }
        Ok(())
    }

    fn emit_ready_leaves(&mut self) -> Result<()> {
        while let Some(count) = self.leaves.ready() {
            self.emit_leaf(count)?;
        }
        Ok(())
    }

    fn emit_leaf(&mut self, count: usize) -> Result<()> {
        if let Pages::Hand(_, part) = &mut self.pages
            && part.wants_head()
        {
            if part.head.is_empty() {
                part.head.set_separator(self.leaves.separator());
            }
            for entry in self.leaves.front(count) {
                let pushed = part.head.push([entry.key, &[], &[]], entry.expiry, entry.place, entry.payload);
                pushed.map_err(|what| Error::Invalid(what.to_string()))?;
            }
            part.took_head();
            self.leaves.drop_front(count);
            return Ok(());
        }
        leaf::encode(self.leaves.front(count), &mut self.body);
        let (overflow, expiry) = self.leaves.sums(count);
        let mut filter = std::mem::take(&mut self.filter);
        // A planted fault keeps the filter of the leaf before.
        let stale = mutant("btree.stale-filter") && !filter.is_empty();
        if !stale {
            filter.clear();
        }
        if self.filter_bits > 0 && !stale {
            let mut builder = halodb_bloom::Builder::new(self.filter_bits);
            let skipped = usize::from(mutant("btree.filter-misses-key"));
            self.leaves.front(count).skip(skipped).for_each(|entry| builder.insert(self.base.hash(entry.key)));
            builder.finish_into(&mut filter);
        }
        let at = self.alloc(1)?;
        self.pages.write(at, LEAF, 0, &self.body)?;
        let separator = self.leaves.drop_front(count);
        let child = Child { at, entries: count as u64, overflow, expiry };
        self.push_child(1, Item { separator: &separator, child, filter: &filter, origin: Origin::New })?;
        self.filter = filter;
        Ok(())
    }

    fn push_child(&mut self, level: u8, item: Item<'_>) -> Result<()> {
        if let Pages::Hand(_, part) = &mut self.pages {
            part.note(level - 1, item);
            return Ok(());
        }
        let i = usize::from(level) - 1;
        if self.branches.len() <= i {
            self.branches.resize_with(i + 1, BranchPacker::default);
        }
        let pushed = self.branches[i].push(item);
        self.base.decoded(item.child.at, pushed)?;
        while let Some(count) = self.branches[i].ready(self.target, self.capacity) {
            self.emit_branch(level, count)?;
        }
        Ok(())
    }

    fn emit_branch(&mut self, level: u8, count: usize) -> Result<()> {
        let i = usize::from(level) - 1;
        let filter = if level == 1 { self.emit_filters(count)? } else { None };
        let packer = &self.branches[i];
        branch::encode(packer.front(count).map(|item| (item.separator, item.child)), filter, &mut self.body);
        let at = self.alloc(1)?;
        self.pages.write(at, BRANCH, level, &self.body)?;
        let child = self.branches[i].parent(at, count);
        let separator = self.branches[i].drop_front(count);
        self.push_child(level + 1, Item { separator: &separator, child, filter: &[], origin: Origin::New })
    }

    /// Writes the filters of the first leaves that wait, if any has one.
    fn emit_filters(&mut self, count: usize) -> Result<Option<PageRef>> {
        let packer = &self.branches[0];
        if packer.front(count).all(|item| item.filter.is_empty()) {
            return Ok(None);
        }
        filter::encode(packer.front(count).map(|item| (item.child.at, item.filter)), &mut self.body);
        let at = self.alloc(filter::extent_pages(self.base.snapshot().page_size(), self.body.len()))?;
        self.pages.write(at, FILTER, 1, &self.body)?;
        Ok(Some(at))
    }

    fn alloc(&mut self, pages: u32) -> Result<PageRef> {
        self.written += u64::from(pages);
        Ok(self.pages.alloc(pages)?)
    }
}

impl Pages<'_, '_> {
    fn stamp(&self) -> Stamp {
        match self {
            Pages::Txn(txn) | Pages::Behind(txn) => txn.stamp(),
            Pages::Hand(hand, _) => hand.stamp(),
        }
    }

    fn alloc(&mut self, pages: u32) -> halodb_pager::Result<PageRef> {
        match self {
            Pages::Txn(txn) => txn.alloc(pages),
            Pages::Behind(txn) => txn.alloc_behind(pages),
            Pages::Hand(hand, _) => hand.alloc(pages),
        }
    }

    fn write(&mut self, at: PageRef, kind: PageKind, level: u8, body: &[u8]) -> halodb_pager::Result<()> {
        match self {
            Pages::Txn(txn) | Pages::Behind(txn) => txn.write(at, kind, level, body),
            Pages::Hand(hand, _) => hand.write(at, kind, level, body),
        }
    }
}
