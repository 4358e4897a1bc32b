//! What has expired by some time: how many entries of a range, and which they are.
//!
//! A branch states for each child the least expiry below it, so a walk goes down only where something has expired: the
//! cost is that of the leaves that hold such entries and of the branches above them, not of the range. If nothing has, it is
//! one page.
//!
//! The time is the caller's; the tree goes on giving these entries until they are deleted.

use crate::error::Result;
use crate::leaf::Leaf;
use crate::tree::Tree;
use halodb_pager::PageRef;
use std::ops::{ControlFlow, Range};

/// A walk through the leaves that hold expired entries of a range.
struct Walk<'t, F> {
    tree: &'t Tree,
    from: &'t [u8],
    to: Option<&'t [u8]>,
    now_ms: u64,
    /// Pages that were looked at: more than the file has are those of a tree that comes back to itself.
    pages: u64,
    /// Told of each leaf, and of its entries within the range.
    each: F,
}

impl Tree {
    /// Number of entries from the key `from` on and below `to` (`None`: to the last) that have expired by `now_ms`.
    ///
    /// O(leaves that hold such entries); one page if nothing of the tree has expired.
    ///
    /// # Errors
    /// [`crate::Error`] if a page on the way cannot be trusted.
    pub fn count_expired(&self, from: &[u8], to: Option<&[u8]>, now_ms: u64) -> Result<u64> {
        let mut count = 0;
        self.walk_expired(from, to, now_ms, |at, leaf, entries| {
            for i in entries {
                count += u64::from(self.decoded(at, leaf.expiry(i))?.is_past(now_ms));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(count)
    }

    /// The first keys from `from` on that have expired by `now_ms`, in order: all of them, or as many as it takes for their
    /// leaves to be `limit_leaves`.
    ///
    /// O(leaves that hold them); one page if nothing of the tree has expired.
    ///
    /// # Errors
    /// [`crate::Error`] if a page on the way cannot be trusted.
    pub fn expired_keys(&self, from: &[u8], now_ms: u64, limit_leaves: u64) -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        let mut leaves = 0;
        self.walk_expired(from, None, now_ms, |at, leaf, entries| {
            for i in entries {
                if self.decoded(at, leaf.expiry(i))?.is_past(now_ms) {
                    keys.push(leaf.key(&self.decoded(at, leaf.record(i))?));
                }
            }
            leaves += 1;
            Ok(if leaves < limit_leaves { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(keys)
    }

    fn walk_expired<'t>(
        &'t self,
        from: &'t [u8],
        to: Option<&'t [u8]>,
        now_ms: u64,
        each: impl FnMut(PageRef, &Leaf<'t>, Range<usize>) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let Some((root, level)) = self.top() else { return Ok(()) };
        // No time has come at the beginning of time: nobody has a clock, so nothing expires.
        if now_ms == 0 || to.is_some_and(|to| to <= from) || !self.least_expiry()?.is_past(now_ms) {
            return Ok(());
        }
        let mut walk = Walk { tree: self, from, to, now_ms, pages: 0, each };
        walk.visit(root, level).map(drop)
    }
}

impl<'t, F: FnMut(PageRef, &Leaf<'t>, Range<usize>) -> Result<ControlFlow<()>>> Walk<'t, F> {
    fn visit(&mut self, at: PageRef, level: u8) -> Result<ControlFlow<()>> {
        let tree = self.tree;
        self.pages += 1;
        if self.pages > tree.snapshot().page_count() {
            return Err(tree.corrupt(at, "the tree reaches more pages than there are"));
        }
        if level == 0 {
            let leaf = tree.leaf(at)?;
            if !leaf.has_expiries() {
                return Ok(ControlFlow::Continue(()));
            }
            let place = |key: &[u8]| tree.decoded(at, leaf.search(key)).map(|(index, _)| index);
            let first = place(self.from)?;
            let end = self.to.map_or(Ok(leaf.len()), place)?;
            return (self.each)(at, &leaf, first..end.max(first));
        }
        let branch = tree.branch(at, level)?;
        let first = tree.decoded(at, branch.find(self.from))?;
        let last = match self.to {
            Some(to) => tree.decoded(at, branch.find(to))?,
            None => branch.len() - 1,
        };
        for i in first..=last {
            let child = tree.child(at, &branch, i)?;
            if child.expiry.is_past(self.now_ms) && self.visit(child.at, level - 1)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Batch, Expiry, Store, StoreOptions};
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn key(n: u16) -> Vec<u8> {
        format!("key {n:05}").into_bytes()
    }

    /// Entries with their expiries, in a tree of small pages; some values are long, so that there are levels.
    fn tree(entries: &BTreeMap<u16, u64>) -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        let options = StoreOptions { page_size: 4096, ..StoreOptions::default() };
        let store = Store::create(Arc::new(halodb_vfs::OsVfs), &dir.path().join("tree"), options).unwrap();
        let mut batch = Batch::new();
        for (&n, &ms) in entries {
            batch.put_until(key(n), vec![7; usize::from(n) % 600], Expiry::at_ms(ms));
        }
        let tree = store.apply(&batch).unwrap();
        (dir, tree)
    }

    #[test]
    fn nothing_is_read_below_a_branch_that_states_a_later_time() {
        let (_dir, tree) = tree(&(0..3000).map(|n| (n, if n / 100 == 7 { 50 } else { 0 })).collect());
        let mut leaves = 0;
        let count_leaves = |_, _: &Leaf<'_>, _| {
            leaves += 1;
            Ok(ControlFlow::Continue(()))
        };
        tree.walk_expired(b"", None, 49, count_leaves).unwrap();
        assert_eq!(leaves, 0);
        tree.walk_expired(b"", None, 50, |_, _, _| {
            leaves += 1;
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert!((2..40).contains(&leaves), "{leaves} leaves for a hundred neighbours of three thousand");
        assert_eq!(tree.count_expired(b"", None, 50).unwrap(), 100);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn what_has_expired_is_counted_and_named(
            entries in prop::collection::btree_map(0u16..3000, prop_oneof![2 => Just(0), 1 => 1u64..100], 0..600),
            questions in prop::collection::vec((0u16..3000, prop::option::of(0u16..3000), 0u64..110, 1u64..9), 8),
        ) {
            let (_dir, tree) = tree(&entries);
            for (from, to, now, limit) in questions {
                let inside = |n: &u16| *n >= from && to.is_none_or(|to| *n < to);
                let past: Vec<u16> =
                    entries.iter().filter(|(n, ms)| inside(n) && **ms > 0 && **ms <= now).map(|(n, _)| *n).collect();
                let to = to.map(key);
                prop_assert_eq!(tree.count_expired(&key(from), to.as_deref(), now).unwrap(), past.len() as u64);
                let all: Vec<Vec<u8>> =
                    entries.iter().filter(|(n, ms)| **n >= from && **ms > 0 && **ms <= now).map(|(n, _)| key(*n)).collect();
                let some = tree.expired_keys(&key(from), now, limit).unwrap();
                prop_assert!(all.starts_with(&some));
                prop_assert_eq!(tree.expired_keys(&key(from), now, u64::MAX).unwrap(), all);
            }
        }
    }
}
