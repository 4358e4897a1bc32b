//! The checker of a tree's invariants, from the disk up.
//!
//! It finds: pages that do not verify, pages reached twice, keys out of order or outside the separators above them,
//! heads that are not their keys', counts, overflow marks and least expiries that are not true, values of a length other than stated,
//! filters that deny a key of their leaf. It does not compare with the free list: `Snapshot::check_accounting` does,
//! given the pages collected here.

use crate::branch::{Branch, Child};
use crate::error::Error;
use crate::expiry::Expiry;
use crate::filter::Filters;
use crate::leaf::Leaf;
use crate::overflow::{Overflow, OverflowRef};
use crate::tree::Tree;
use halodb_pager::{Finding, PageRef, PageSet};
use std::ops::ControlFlow;

/// How much [`Tree::check`] reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Branches and leaves; overflow extents and filters are accounted for, not read.
    Quick,
    /// Everything.
    Deep,
}

impl Tree {
    /// Walks the whole tree: pages read again from the disk and verified, key order, separators, counts, and at
    /// [`Depth::Deep`] values in extents and filters against keys. Adds every page to `pages`, for
    /// `Snapshot::check_accounting`. A page that cannot be trusted is a finding; what is below it is not visited.
    ///
    /// # Errors
    /// None at present: whatever reading says becomes a finding.
    pub fn check(&self, depth: Depth, pages: &mut PageSet) -> crate::Result<Vec<Finding>> {
        self.check_with(depth, pages, &mut |_| ControlFlow::Continue(()))
    }

    /// As [`Tree::check`], telling after each branch and leaf how many pages of the file are behind it. After a
    /// [`ControlFlow::Break`] nothing more is read, and what was found by then is incomplete.
    ///
    /// # Errors
    /// As [`Tree::check`].
    pub fn check_with(
        &self,
        depth: Depth,
        pages: &mut PageSet,
        progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> crate::Result<Vec<Finding>> {
        let mut check =
            Check { tree: self, depth, pages, findings: Vec::new(), last_key: None, progress, done: 0, stopped: false };
        if let Some((root, level)) = self.top() {
            let seen = check.page(Visit { at: root, level, start: &[], end: None, filter: None });
            if seen.is_some_and(|seen| seen.entries != self.len()) {
                check.found(root, format!("the root states {} entries, which is not their number", self.len()));
            }
        }
        Ok(check.findings)
    }
}

struct Check<'t, 'c> {
    tree: &'t Tree,
    depth: Depth,
    pages: &'c mut PageSet,
    findings: Vec<Finding>,
    last_key: Option<Vec<u8>>,
    /// Is told how many pages are done.
    progress: &'c mut dyn FnMut(u64) -> ControlFlow<()>,
    done: u64,
    /// It said that it is enough.
    stopped: bool,
}

/// A page to visit and what is known about it from above.
#[derive(Clone, Copy)]
struct Visit<'v> {
    at: PageRef,
    level: u8,
    start: &'v [u8],
    end: Option<&'v [u8]>,
    filter: Option<halodb_bloom::Filter<'v>>,
}

/// What was found below a page.
#[derive(Clone, Copy)]
struct Seen {
    entries: u64,
    overflow: Overflow,
    expiry: Expiry,
}

impl<'t> Check<'t, '_> {
    fn found(&mut self, at: PageRef, what: impl Into<String>) {
        let snapshot = self.tree.snapshot();
        self.findings.push(Finding {
            path: snapshot.path().to_path_buf(),
            offset: Some(at.id.0.saturating_mul(u64::from(snapshot.page_size()))),
            what: what.into(),
        });
    }

    /// The value, or a finding in its place.
    fn ok<T>(&mut self, at: PageRef, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Error::Corrupt { what, .. }) => {
                self.found(at, what);
                None
            }
            Err(error) => {
                self.found(at, error.to_string());
                None
            }
        }
    }

    /// Accounts for a page or extent; whether it may be visited.
    fn account(&mut self, at: PageRef) -> bool {
        self.done += u64::from(at.pages);
        let first = self.pages.insert(at);
        if !first {
            self.found(at, format!("page {} is reached twice", at.id.0));
        }
        first
    }

    fn verify(&mut self, at: PageRef) -> Option<()> {
        let verified = self.tree.snapshot().verify(at).map_err(Error::from);
        self.ok(at, verified)
    }

    fn page(&mut self, visit: Visit<'_>) -> Option<Seen> {
        if self.stopped || !self.account(visit.at) {
            return None;
        }
        self.stopped = (self.progress)(self.done).is_break();
        self.verify(visit.at)?;
        if visit.level == 0 {
            let leaf = self.tree.leaf(visit.at);
            let leaf = self.ok(visit.at, leaf)?;
            self.leaf(visit, &leaf)
        } else {
            let branch = self.tree.branch(visit.at, visit.level);
            let branch = self.ok(visit.at, branch)?;
            self.branch(visit, &branch)
        }
    }

    fn leaf(&mut self, visit: Visit<'_>, leaf: &Leaf<'_>) -> Option<Seen> {
        let at = visit.at;
        let mut overflow = Overflow::None;
        let mut expiry = Expiry::NEVER;
        for i in 0..leaf.len() {
            let record = self.tree.decoded(at, leaf.record(i));
            let record = self.ok(at, record)?;
            let key = leaf.key(&record);
            if !record.head_is_true() {
                self.found(at, format!("the head of entry {i} is not that of its key"));
            }
            if self.last_key.as_ref().is_some_and(|last| *last >= key) {
                self.found(at, format!("the key of entry {i} is not above the one before"));
            }
            if *key < *visit.start || visit.end.is_some_and(|end| *key >= *end) {
                self.found(at, format!("the key of entry {i} is outside the separators above its leaf"));
            }
            if visit.filter.is_some_and(|filter| !filter.contains(self.tree.hash(&key))) {
                self.found(at, format!("the filter of the leaf denies the key of entry {i}"));
            }
            self.last_key = Some(key);
            let own = self.tree.decoded(at, leaf.expiry(i));
            expiry = expiry.earlier(self.ok(at, own)?);
            let extent = self.tree.decoded(at, record.overflow());
            if let Some(extent) = self.ok(at, extent)? {
                overflow = Overflow::Some;
                self.extent(extent);
            }
        }
        if leaf.overflow() != overflow {
            self.found(at, "the leaf's overflow mark is not true");
        }
        let stated = self.tree.decoded(at, leaf.least_expiry());
        if self.ok(at, stated)? != expiry {
            self.found(at, "the leaf's least expiry is not true");
        }
        Some(Seen { entries: leaf.len() as u64, overflow, expiry })
    }

    fn extent(&mut self, reference: OverflowRef) {
        if self.account(reference.at) && self.depth == Depth::Deep && self.verify(reference.at).is_some() {
            let value = self.tree.overflow_value(reference);
            self.ok(reference.at, value);
        }
    }

    fn branch(&mut self, visit: Visit<'_>, branch: &Branch<'_>) -> Option<Seen> {
        let at = visit.at;
        let filters = branch.filter().and_then(|filters| self.filters(visit, filters, branch.len()));
        let mut seen = Seen { entries: 0, overflow: Overflow::None, expiry: Expiry::NEVER };
        let mut whole = true;
        let mut start = visit.start.to_vec();
        for i in 0..branch.len() {
            let child = self.tree.child(at, branch, i);
            let child = self.ok(at, child)?;
            let mut end = visit.end.map(<[u8]>::to_vec);
            if i + 1 < branch.len() {
                let mut separator = Vec::new();
                let appended = self.tree.decoded(at, branch.append_separator(i, &mut separator));
                self.ok(at, appended)?;
                if !branch.head_is_true(i) {
                    self.found(at, format!("the head of separator {i} is not that of its separator"));
                }
                if separator <= start || end.is_some_and(|end| separator >= end) {
                    self.found(at, format!("separator {i} is out of order"));
                }
                end = Some(separator);
            }
            let filter = filters.and_then(|filters| self.filter(at, &filters, i, child));
            let below =
                self.page(Visit { at: child.at, level: visit.level - 1, start: &start, end: end.as_deref(), filter });
            match below {
                Some(below) => {
                    if below.entries != child.entries {
                        self.found(at, format!("child {i} holds {} entries, not {}", below.entries, child.entries));
                    }
                    if below.overflow != child.overflow {
                        self.found(at, format!("the overflow mark of child {i} is not true"));
                    }
                    if below.expiry != child.expiry {
                        self.found(at, format!("the least expiry of child {i} is not true"));
                    }
                    seen.entries += below.entries;
                    seen.expiry = seen.expiry.earlier(below.expiry);
                    seen.overflow = seen.overflow.or(below.overflow);
                }
                None => whole = false,
            }
            start = end.unwrap_or_default();
        }
        let stated = self.tree.decoded(at, branch.least_expiry());
        if self.ok(at, stated)? != seen.expiry && whole {
            self.found(at, "the branch's least expiry is not true");
        }
        whole.then_some(seen)
    }

    fn filters(&mut self, visit: Visit<'_>, at: PageRef, children: usize) -> Option<Filters<'t>> {
        if visit.level != 1 {
            self.found(visit.at, "a branch above level 1 states filters");
        }
        if !self.account(at) || self.depth == Depth::Quick {
            return None;
        }
        self.verify(at)?;
        let filters = self.tree.filters(at);
        let filters = self.ok(at, filters)?;
        if filters.len() != children {
            self.found(at, format!("{} filters beside a branch of {children} children", filters.len()));
        }
        Some(filters)
    }

    fn filter<'f>(
        &mut self,
        at: PageRef,
        filters: &Filters<'f>,
        i: usize,
        leaf: Child,
    ) -> Option<halodb_bloom::Filter<'f>> {
        let filter = filters.get(i, leaf.at).and_then(halodb_bloom::Filter::new);
        if filter.is_none() {
            self.found(at, format!("the filter of child {i} is not that of the leaf"));
        }
        filter
    }
}
