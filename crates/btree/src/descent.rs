//! The way down a tree: what is asked of memory before it is read, and searches that begin where a key is expected.
//!
//! A lookup in a tree that is larger than the caches waits for memory, and for little else. So it asks for what comes next as soon as
//! the place is known, and where a guess has proven right (`guess.rs`) before: in a branch for the children around the guess together
//! with their heads, in a leaf for a few heads instead of all, and for the record at the same time.
//!
//! What this file does not do: it decides nothing about what is found; a cache line that was asked for in vain is all that can go wrong.

use crate::branch::{Branch, Child};
use crate::error::Result;
use crate::guess::{self, BRANCHES, Guess, LEAVES};
use crate::leaf::{self, Leaf};
use crate::tree::Tree;
use halodb_pager::{PAGE_HEADER_LEN, PageRef};

/// A leaf is prefetched up to this many bytes: heads of many small entries are more than a search reads of them.
const PREFETCH_LEN: usize = 512;

/// Bytes asked for of the record that a lookup likely ends at: whoever gets a value mostly reads it to its end.
pub(crate) const RECORD_LEN: usize = 192;

/// Bytes of a leaf around the place where a record is expected that are asked for, and how many of them lie before it.
const GUESS_LEN: usize = 512;
const GUESS_BEFORE: usize = 192;

impl Tree {
    /// The child of the branch at `at` where `key` belongs, looked for where it is expected.
    #[inline(always)]
    pub(crate) fn find_child(
        &self,
        at: PageRef,
        branch: &Branch<'_>,
        key: &[u8],
        guess: Option<Guess>,
    ) -> Result<usize> {
        let near = guess.map(|guess| branch.near(guess));
        let found = match guess::trusted(&BRANCHES, near) {
            Some(near) => {
                self.prefetch_children(at, branch, near);
                branch.find_near(key, near)
            }
            None => branch.find(key),
        };
        let found = self.decoded(at, found)?;
        guess::note(&BRANCHES, near, found);
        Ok(found)
    }

    /// Lets what a search near a child of the branch at `at` reads come into the cache.
    #[inline]
    pub(crate) fn prefetch_children(&self, at: PageRef, branch: &Branch<'_>, near: usize) {
        for (from, to) in branch.spans_near(near) {
            self.snapshot().prefetch_part(at, PAGE_HEADER_LEN + from, to - from);
        }
    }

    /// Lets what a search in a leaf reads of header and heads come into the cache while something else is looked at.
    #[inline]
    pub(crate) fn prefetch_leaf(&self, leaf: PageRef, entries: u64, guess: Option<Guess>) {
        let near = guess.map(|guess| guess.of(saturated(entries)));
        match guess.zip(guess::trusted(&LEAVES, near)) {
            Some((guess, near)) => {
                let (from, to) = leaf::span_near(near, usize::from(guess.prefix_len));
                self.snapshot().prefetch(leaf, 1);
                self.snapshot().prefetch_part(leaf, PAGE_HEADER_LEN + from, to - from);
            }
            None => {
                let len = PAGE_HEADER_LEN + leaf::search_len(entries);
                self.snapshot().prefetch(leaf, len.min(PREFETCH_LEN));
            }
        }
    }

    /// Lets the record of a key come into the cache, and what is around it: of the two memories that a leaf of 16 KiB takes, the
    /// heads' and the record's, the second is asked for before the first is there.
    #[inline]
    pub(crate) fn prefetch_guess(&self, leaf: PageRef, entries: u64, guess: Option<Guess>) {
        let near = guess.map(|guess| guess.of(saturated(entries)));
        if let Some(guess) = guess.filter(|_| guess::trusted(&LEAVES, near).is_some()) {
            let before = leaf::search_len(entries);
            let room = (self.snapshot().page_size() as usize).saturating_sub(before + PAGE_HEADER_LEN);
            let from = (before + guess.of(room)).saturating_sub(GUESS_BEFORE);
            self.prefetch_records(leaf, from, GUESS_LEN);
        }
    }

    /// Lets the beginning of a branch come into the cache while something else is looked at.
    #[inline]
    pub(crate) fn prefetch_branch(&self, child: &Child) {
        self.snapshot().prefetch(child.at, PREFETCH_LEN);
    }

    /// Lets a leaf's records from an offset of its body on come into the cache.
    #[inline]
    pub(crate) fn prefetch_records(&self, leaf: PageRef, offset: usize, len: usize) {
        self.snapshot().prefetch_part(leaf, PAGE_HEADER_LEN + offset, len);
    }
}

/// [`Leaf::begin_search`], for a key that may be expected somewhere.
#[inline(always)]
pub(crate) fn begin_search<'k>(
    leaf: &Leaf<'_>,
    key: &'k [u8],
    guess: Option<Guess>,
) -> std::result::Result<(&'k [u8], usize), usize> {
    let near = guess.map(|guess| guess.of(leaf.len()));
    let begun = match guess::trusted(&LEAVES, near) {
        Some(near) => leaf.begin_search_near(key, near),
        None => leaf.begin_search(key),
    };
    if let Ok((_, low)) = begun {
        guess::note(&LEAVES, near, low);
    }
    begun
}

fn saturated(entries: u64) -> usize {
    usize::try_from(entries).unwrap_or(usize::MAX)
}
