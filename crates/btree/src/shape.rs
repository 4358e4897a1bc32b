//! Figures about a tree, level by level.

use crate::error::Result;
use crate::overflow::Overflow;
use crate::page::body_len;
use crate::tree::Tree;
use halodb_pager::{PageId, PageRef};

/// One level of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LevelShape {
    /// 0 for leaves.
    pub level: u8,
    /// Pages.
    pub pages: u64,
    /// Entries or children.
    pub entries: u64,
    /// Body bytes used.
    pub used_bytes: u64,
    /// Body bytes there.
    pub capacity_bytes: u64,
    /// Pages of overflow extents (level 0) and filters (level 1).
    pub extra_pages: u64,
}

impl Tree {
    /// Levels from the root down: pages, entries, bytes used. Reads every branch and leaf.
    ///
    /// # Errors
    /// [`crate::Error`] if a page cannot be trusted.
    pub fn shape(&self) -> Result<Vec<LevelShape>> {
        let Some((root, top)) = self.top() else { return Ok(Vec::new()) };
        let mut levels: Vec<LevelShape> =
            (0..=top).map(|level| LevelShape { level, ..LevelShape::default() }).collect();
        self.add_shape(root, top, &mut levels)?;
        levels.reverse();
        Ok(levels)
    }

    /// Branches, and pages of their filters, that are rewritten when everything from `end` on moves: those that lie there,
    /// and those above a page that does. Values in extents are not looked at. Reads every branch.
    pub(crate) fn pages_above(&self, end: PageId) -> Result<u64> {
        let (mut seen, mut rewritten) = (0, 0);
        if let Some((root, top)) = self.top()
            && top > 0
        {
            self.add_rewritten(root, top, end, &mut seen, &mut rewritten)?;
        }
        Ok(rewritten)
    }

    /// Whether the branch at `at` is rewritten.
    fn add_rewritten(&self, at: PageRef, level: u8, end: PageId, seen: &mut u64, rewritten: &mut u64) -> Result<bool> {
        *seen += 1;
        if *seen > self.snapshot().page_count() {
            return Err(self.corrupt(at, "the tree reaches more pages than there are"));
        }
        let branch = self.branch(at, level)?;
        let filter = branch.filter();
        let mut moves = at.id >= end || filter.is_some_and(|filter| filter.id >= end);
        for i in 0..branch.len() {
            let child = self.child(at, &branch, i)?.at;
            moves |= child.id >= end;
            moves |= level > 1 && self.add_rewritten(child, level - 1, end, seen, rewritten)?;
        }
        if moves {
            *rewritten += 1 + filter.map_or(0, |filter| u64::from(filter.pages));
        }
        Ok(moves)
    }

    fn add_shape(&self, at: PageRef, level: u8, levels: &mut [LevelShape]) -> Result<()> {
        if levels.iter().map(|level| level.pages).sum::<u64>() >= self.snapshot().page_count() {
            return Err(self.corrupt(at, "the tree reaches more pages than there are"));
        }
        let shape = &mut levels[usize::from(level)];
        shape.pages += 1;
        shape.capacity_bytes += body_len(self.snapshot().page_size()) as u64;
        if level == 0 {
            let leaf = self.leaf(at)?;
            shape.entries += leaf.len() as u64;
            shape.used_bytes += leaf.used() as u64;
            if leaf.overflow() == Overflow::Some {
                for i in 0..leaf.len() {
                    let record = self.decoded(at, leaf.record(i))?;
                    let extent = self.decoded(at, record.overflow())?;
                    shape.extra_pages += extent.map_or(0, |e| u64::from(e.at.pages));
                }
            }
            return Ok(());
        }
        let branch = self.branch(at, level)?;
        shape.entries += branch.len() as u64;
        shape.used_bytes += branch.used() as u64;
        shape.extra_pages += branch.filter().map_or(0, |filter| u64::from(filter.pages));
        (0..branch.len()).try_for_each(|i| self.add_shape(self.child(at, &branch, i)?.at, level - 1, levels))
    }
}
