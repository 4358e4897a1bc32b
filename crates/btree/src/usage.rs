//! Where the pages of a tree are spent, by kind.

use crate::error::Result;
use crate::overflow::Overflow;
use crate::tree::Tree;
use halodb_pager::PageRef;

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
