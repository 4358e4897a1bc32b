//! [`ExtentSet`]: a set of pages kept as runs, for the free pages of a file and for accounting; [`PageSet`] is its
//! public face.
//!
//! Invariant: the runs are disjoint and do not touch. It knows nothing of generations: which pages may be reused is
//! decided by who puts them in.

use crate::id::PageRef;
use std::collections::BTreeMap;

/// A set of page numbers as runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExtentSet {
    runs: BTreeMap<u64, u64>,
    pages: u64,
    /// For a length: no run that begins below the address is that long. Spoiled by every insertion.
    no_fit_below: BTreeMap<u64, u64>,
}

impl ExtentSet {
    /// Number of pages.
    pub(crate) fn pages(&self) -> u64 {
        self.pages
    }

    /// The runs as (first page, length), ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(start, len)| (*start, *len))
    }

    /// Whether one of `len` pages from `start` is in the set.
    pub(crate) fn overlaps(&self, start: u64, len: u64) -> bool {
        let end = start.saturating_add(len);
        self.runs.range(..end).next_back().is_some_and(|(s, l)| s + l > start)
    }

    /// Adds a run; if a page of it is there already, or there is no such run, nothing is added and the answer is false.
    pub(crate) fn insert(&mut self, start: u64, len: u64) -> bool {
        let Some(mut end) = start.checked_add(len) else {
            return false;
        };
        if len == 0 || self.overlaps(start, len) {
            return false;
        }
        self.no_fit_below.clear();
        self.pages += len;
        let mut first = start;
        if let Some((&s, &l)) = self.runs.range(..start).next_back()
            && s + l == start
        {
            first = s;
        }
        if let Some(l) = self.runs.remove(&end) {
            end += l;
        }
        self.runs.insert(first, end - first);
        true
    }

    /// Where the lowest `len` consecutive pages begin.
    pub(crate) fn lowest(&mut self, len: u64) -> Option<u64> {
        let from = self.no_fit_below.range(..=len).map(|(_, at)| *at).max().unwrap_or(0);
        let fit = self.runs.range(from..).find(|(_, l)| **l >= len).map(|(start, _)| *start);
        self.no_fit_below.insert(len, fit.unwrap_or(u64::MAX));
        fit
    }

    /// Takes the lowest `len` consecutive pages.
    pub(crate) fn take_lowest(&mut self, len: u64) -> Option<u64> {
        let start = self.lowest(len)?;
        let had = self.runs.remove(&start)?;
        if had > len {
            self.runs.insert(start + len, had - len);
        }
        self.pages -= len;
        Some(start)
    }

    /// The longest run, the lowest one of several, as (first page, length).
    pub(crate) fn longest(&self) -> Option<(u64, u64)> {
        self.iter().max_by_key(|&(start, len)| (len, std::cmp::Reverse(start)))
    }

    /// Takes the lowest run, or its first `most` pages; gives beginning and length.
    pub(crate) fn take_front(&mut self, most: u64) -> Option<(u64, u64)> {
        let (start, len) = self.runs.pop_first()?;
        let taken = len.min(most);
        if len > taken {
            self.runs.insert(start + taken, len - taken);
        }
        self.pages -= taken;
        Some((start, taken))
    }

    /// Takes the whole run that ends at `end`, if there is one; gives its beginning.
    pub(crate) fn take_tail(&mut self, end: u64) -> Option<u64> {
        let (&start, &len) = self.runs.last_key_value()?;
        if start + len != end {
            return None;
        }
        self.runs.remove(&start);
        self.pages -= len;
        Some(start)
    }
}

/// A set of pages, for [`crate::Snapshot::check_accounting`]. Consecutive pages take no more memory than one.
///
/// ```
/// use halodb_pager::{PageId, PageRef, PageSet, Stamp};
/// let mut set = PageSet::default();
/// let extent = PageRef { id: PageId(7), stamp: Stamp::new(0, 1), pages: 3 };
/// assert!(set.insert(extent));
/// assert!(!set.insert(PageRef { id: PageId(9), ..extent }));
/// assert_eq!(set.len(), 3);
/// ```
#[derive(Clone, Debug, Default)]
pub struct PageSet {
    extents: ExtentSet,
}

impl PageSet {
    /// Adds an extent; false, and nothing is added, if one of its pages was there already.
    pub fn insert(&mut self, at: PageRef) -> bool {
        self.extents.insert(at.id.0, u64::from(at.pages))
    }
    /// Number of pages.
    pub fn len(&self) -> u64 {
        self.extents.pages()
    }
    /// No page.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The runs as (first page, length), ascending.
    /// Whether a page is in it.
    pub fn contains(&self, page: u64) -> bool {
        self.extents.overlaps(page, 1)
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.extents.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug)]
    enum Op {
        Insert(u64, u64),
        Lowest(u64),
        Tail,
        Front(u64),
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (2u64..60, 0u64..6).prop_map(|(s, l)| Op::Insert(s, l)),
            3 => (1u64..6).prop_map(Op::Lowest),
            1 => Just(Op::Tail),
            1 => (1u64..6).prop_map(Op::Front),
        ]
    }

    fn lowest(model: &BTreeSet<u64>, len: u64) -> Option<u64> {
        model.iter().copied().find(|s| (*s..s + len).all(|p| model.contains(&p)))
    }

    proptest! {
        #[test]
        fn it_behaves_like_a_set_of_single_pages(ops in proptest::collection::vec(op(), 0..60)) {
            let mut set = ExtentSet::default();
            let mut model = BTreeSet::new();
            for op in ops {
                match op {
                    Op::Insert(start, len) => {
                        let new = len > 0 && (start..start + len).all(|p| !model.contains(&p));
                        prop_assert_eq!(set.insert(start, len), new);
                        if new {
                            model.extend(start..start + len);
                        }
                    }
                    Op::Lowest(len) => {
                        let expected = lowest(&model, len);
                        prop_assert_eq!(set.lowest(len), expected);
                        prop_assert_eq!(set.take_lowest(len), expected);
                        if let Some(s) = expected {
                            model.retain(|p| !(s..s + len).contains(p));
                        }
                    }
                    Op::Front(most) => {
                        let first = model.first().copied();
                        let run = first.map(|s| (s, (s..s + most).take_while(|p| model.contains(p)).count() as u64));
                        prop_assert_eq!(set.take_front(most), run);
                        if let Some((s, len)) = run {
                            model.retain(|p| !(s..s + len).contains(p));
                        }
                    }
                    Op::Tail => {
                        let Some(last) = model.last().copied() else { continue };
                        prop_assert_eq!(set.take_tail(last + 2), None);
                        let start = set.take_tail(last + 1).unwrap();
                        for p in start..=last {
                            prop_assert!(model.remove(&p));
                        }
                        prop_assert!(start == 0 || !model.contains(&(start - 1)));
                    }
                }
                let longest = set.iter().map(|(_, len)| len).max();
                prop_assert_eq!(set.longest().map(|(_, len)| len), longest);
                prop_assert_eq!(set.longest(), set.iter().find(|(_, len)| Some(*len) == longest));
                prop_assert_eq!(set.pages(), model.len() as u64);
                let pages: Vec<u64> = set.iter().flat_map(|(s, l)| s..s + l).collect();
                prop_assert_eq!(pages, model.iter().copied().collect::<Vec<_>>());
            }
        }
    }
}
