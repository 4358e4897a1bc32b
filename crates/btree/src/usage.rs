//! Where the pages of a tree are spent, by kind.

use crate::error::Result;
use crate::overflow::Overflow;
use crate::tree::Tree;
use halodb_pager::{PageId, PageRef};
use std::collections::BTreeMap;

/// Pages of a tree by what they hold; extents are counted page by page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Leaves.
    pub leaves: u64,
    /// Branches.
    pub branches: u64,
    /// Filters of leaves.
    pub filters: u64,
    /// Values above a quarter page.
    pub values: u64,
}

impl Usage {
    /// All of them.
    pub fn pages(&self) -> u64 {
        self.leaves + self.branches + self.filters + self.values
    }
}

/// What of a tree lies from a page on.
#[derive(Debug)]
pub(crate) struct LiesFrom {
    page: PageId,
    /// Pages of all of it.
    pub(crate) pages: u64,
    /// First page → length of the lowest pages and extents.
    pub(crate) lowest: BTreeMap<u64, u64>,
    most_pages: u64,
    lowest_pages: u64,
}

impl LiesFrom {
    fn add(&mut self, at: PageRef) {
        if at.id < self.page {
            return;
        }
        let len = u64::from(at.pages);
        self.pages += len;
        self.lowest_pages += len;
        self.lowest.insert(at.id.0, len);
        while self.lowest_pages > self.most_pages && self.lowest.len() > 1 {
            self.lowest_pages -= self.lowest.pop_last().map_or(0, |(_, len)| len);
        }
    }
}

impl Tree {
    /// How many pages the tree takes. Reads every branch, and of the leaves only those with values in extents.
    ///
    /// # Errors
    /// [`crate::Error`] if a page cannot be trusted.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        if let Some((root, top)) = self.top() {
            self.add_usage(root, top, Overflow::Some, &mut usage)?;
        }
        Ok(usage)
    }

    /// What of the tree lies from `page` on: how much, and the lowest of it, as much as has `most_pages` together, one page or
    /// extent at least. Reads every branch, and of the leaves those with values in extents.
    pub(crate) fn lies_from(&self, page: PageId, most_pages: u64) -> Result<LiesFrom> {
        let mut found = LiesFrom { page, pages: 0, lowest: BTreeMap::new(), most_pages, lowest_pages: 0 };
        if let Some((root, top)) = self.top() {
            self.add_lies_from(root, top, Overflow::Some, &mut 0, &mut found)?;
        }
        Ok(found)
    }

    fn add_lies_from(
        &self,
        at: PageRef,
        level: u8,
        overflow: Overflow,
        seen: &mut u64,
        found: &mut LiesFrom,
    ) -> Result<()> {
        *seen += 1;
        if *seen > self.snapshot().page_count() {
            return Err(self.corrupt(at, "the tree reaches more pages than there are"));
        }
        found.add(at);
        if level > 0 {
            let branch = self.branch(at, level)?;
            branch.filter().into_iter().for_each(|filter| found.add(filter));
            return (0..branch.len()).try_for_each(|i| {
                let child = self.child(at, &branch, i)?;
                self.add_lies_from(child.at, level - 1, child.overflow, seen, found)
            });
        }
        if overflow == Overflow::Some {
            let leaf = self.leaf(at)?;
            for i in 0..leaf.len() {
                let record = self.decoded(at, leaf.record(i))?;
                self.decoded(at, record.overflow())?.into_iter().for_each(|extent| found.add(extent.at));
            }
        }
        Ok(())
    }

    fn add_usage(&self, at: PageRef, level: u8, overflow: Overflow, usage: &mut Usage) -> Result<()> {
        if usage.leaves + usage.branches >= self.snapshot().page_count() {
            return Err(self.corrupt(at, "the tree reaches more pages than there are"));
        }
        if level > 0 {
            usage.branches += 1;
            let branch = self.branch(at, level)?;
            usage.filters += branch.filter().map_or(0, |filter| u64::from(filter.pages));
            return (0..branch.len()).try_for_each(|i| {
                let child = self.child(at, &branch, i)?;
                self.add_usage(child.at, level - 1, child.overflow, usage)
            });
        }
        usage.leaves += 1;
        if overflow == Overflow::Some {
            let leaf = self.leaf(at)?;
            for i in 0..leaf.len() {
                let record = self.decoded(at, leaf.record(i))?;
                let extent = self.decoded(at, record.overflow())?;
                usage.values += extent.map_or(0, |e| u64::from(e.at.pages));
            }
        }
        Ok(())
    }
}
