//! [`Verified`]: one bit per page that remembers that the page was read and found good since the file was opened.
//!
//! The bits stand in chunks that all versions share; a file that grows gets more chunks, and older versions keep their
//! shorter list of the same ones. Allocating a page clears its bit before anybody can read the page's new content: the
//! new content is published through a lock later on, so plain atomic bit operations suffice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const WORDS: usize = 512;
const PAGES_PER_CHUNK: u64 = WORDS as u64 * 64;

#[derive(Debug)]
struct Chunk([AtomicU64; WORDS]);

/// The bits of the pages of one version.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verified {
    chunks: Arc<[Arc<Chunk>]>,
}

impl Verified {
    /// Makes room for a file of `pages` pages; new bits are clear.
    pub(crate) fn grow(&mut self, pages: u64) {
        let needed = pages.div_ceil(PAGES_PER_CHUNK) as usize;
        if needed <= self.chunks.len() {
            return;
        }
        let mut chunks = self.chunks.to_vec();
        chunks.resize_with(needed, || Arc::new(Chunk([const { AtomicU64::new(0) }; WORDS])));
        self.chunks = chunks.into();
    }

    #[inline]
    fn word(&self, page: u64) -> Option<(&AtomicU64, u64)> {
        let chunk = self.chunks.get(usize::try_from(page / PAGES_PER_CHUNK).ok()?)?;
        let bit = page % PAGES_PER_CHUNK;
        Some((&chunk.0[(bit / 64) as usize], 1 << (bit % 64)))
    }

    /// Whether the page (the first of its extent) was verified.
    #[inline]
    pub(crate) fn get(&self, page: u64) -> bool {
        self.word(page).is_some_and(|(word, mask)| word.load(Ordering::Acquire) & mask != 0)
    }

    /// Remembers that it was.
    pub(crate) fn set(&self, page: u64) {
        if let Some((word, mask)) = self.word(page) {
            word.fetch_or(mask, Ordering::Release);
        }
    }

    /// Forgets it for `len` pages from `start`. Pages for which there is no room yet have no bit to clear.
    pub(crate) fn clear(&self, start: u64, len: u64) {
        for page in start..start.saturating_add(len) {
            match self.word(page) {
                Some((word, mask)) => word.fetch_and(!mask, Ordering::Release),
                None => return,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_share_bits_and_growth_keeps_them() {
        let mut new = Verified::default();
        assert!(!new.get(0));
        new.grow(10);
        let old = new.clone();
        old.set(3);
        new.grow(PAGES_PER_CHUNK + 1);
        assert!(new.get(3) && !new.get(PAGES_PER_CHUNK));
        new.set(PAGES_PER_CHUNK);
        assert!(new.get(PAGES_PER_CHUNK) && !old.get(PAGES_PER_CHUNK));
        new.clear(2, PAGES_PER_CHUNK * 5);
        assert!(!old.get(3) && !new.get(PAGES_PER_CHUNK));
    }
}
