//! [`Pages`]: the contents of a simulated file as a sparse map of shared pages.
//!
//! A crash campaign makes tens of thousands of disks out of one history. Pages are therefore shared by reference count
//! and copied when first changed; a hole takes no memory.
//!
//! Invariant: no byte other than zero is stored at or beyond the length. What it does not do: it cannot be mapped; see
//! [`super::memory`] for that.

use std::collections::BTreeMap;
use std::sync::Arc;

/// The size of a shared page in bytes. It has nothing to do with the page size of any format.
const PAGE: u64 = 4096;

type Page = Arc<[u8; PAGE as usize]>;

/// Sparse contents of one file. Cloning costs one reference count per page that is not a hole.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    len: u64,
    pages: BTreeMap<u64, Page>,
}

impl Pages {
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let mut pages = Self::default();
        pages.write(bytes, 0);
        pages
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buf` from `offset` as far as the file reaches.
    pub(super) fn read(&self, buf: &mut [u8], offset: u64) -> usize {
        let n = self.len.saturating_sub(offset).min(buf.len() as u64) as usize;
        self.read_padded(&mut buf[..n], offset);
        n
    }

    /// Fills all of `buf`, with zeros where the file has a hole or has ended.
    pub(super) fn read_padded(&self, buf: &mut [u8], offset: u64) {
        for_each_page(offset, buf.len(), |page, at, range| {
            let part = &mut buf[range];
            match self.pages.get(&page) {
                Some(bytes) => part.copy_from_slice(&bytes[at..at + part.len()]),
                None => part.fill(0),
            }
        });
    }

    /// Writes all of `data` at `offset`, extending the file if need be.
    pub(super) fn write(&mut self, data: &[u8], offset: u64) {
        self.store(data, offset);
        if !data.is_empty() {
            self.len = self.len.max(offset + data.len() as u64);
        }
    }

    /// Like [`Pages::write`], but leaves the length alone: the caller sets it afterwards with [`Pages::set_len_to`].
    pub(super) fn store(&mut self, data: &[u8], offset: u64) {
        for_each_page(offset, data.len(), |page, at, range| {
            let part = &data[range];
            match self.pages.get_mut(&page) {
                Some(bytes) => Arc::make_mut(bytes)[at..at + part.len()].copy_from_slice(part),
                None if part.iter().all(|b| *b == 0) => {}
                None => {
                    let mut bytes = [0; PAGE as usize];
                    bytes[at..at + part.len()].copy_from_slice(part);
                    self.pages.insert(page, Arc::new(bytes));
                }
            }
        });
    }

    /// Cuts the file or extends it with a hole.
    pub(super) fn set_len_to(&mut self, len: u64) {
        self.clear_from(len);
        self.len = len;
    }

    /// Zeros everything from `offset` on and leaves the length alone.
    pub(super) fn clear_from(&mut self, offset: u64) {
        // Almost every call finds nothing to do, and must not copy a page to learn that.
        match self.pages.last_key_value() {
            Some((last, _)) if (last + 1) * PAGE > offset => {}
            _ => return,
        }
        drop(self.pages.split_off(&offset.div_ceil(PAGE)));
        let at = (offset % PAGE) as usize;
        if at != 0
            && let Some(bytes) = self.pages.get_mut(&(offset / PAGE))
            && bytes[at..].iter().any(|b| *b != 0)
        {
            Arc::make_mut(bytes)[at..].fill(0);
        }
    }

    /// The stored runs in order of offset: everything else is zero. A run may reach beyond the length with zeros.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.pages.iter().map(|(page, bytes)| (page * PAGE, &bytes[..]))
    }
}

/// Calls `f(page number, offset in the page, range in the buffer)` for each page that `offset .. offset + len` touches.
fn for_each_page(offset: u64, len: usize, mut f: impl FnMut(u64, usize, std::ops::Range<usize>)) {
    let mut done = 0;
    while done < len {
        let here = offset + done as u64;
        let at = (here % PAGE) as usize;
        let n = (PAGE as usize - at).min(len - done);
        f(here / PAGE, at, done..done + n);
        done += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(pages: &Pages) -> Vec<u8> {
        let mut buf = vec![0xaa; pages.len() as usize];
        assert_eq!(pages.read(&mut buf, 0), buf.len());
        buf
    }

    #[test]
    fn a_write_beyond_the_end_leaves_a_hole_of_zeros() {
        let mut pages = Pages::default();
        pages.write(b"xyz", 10_000);
        assert_eq!(pages.len(), 10_003);
        assert_eq!(pages.pages.len(), 1);
        let mut expected = vec![0; 10_000];
        expected.extend(b"xyz");
        assert_eq!(bytes(&pages), expected);
    }

    #[test]
    fn cutting_and_extending_again_shows_zeros() {
        for cut in [0, 1, 4095, 4096, 4097, 8191, 8192] {
            let mut pages = Pages::from_bytes(&[7; 9000]);
            pages.set_len_to(cut);
            pages.set_len_to(9000);
            let mut expected = vec![7; cut as usize];
            expected.resize(9000, 0);
            assert_eq!(bytes(&pages), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut pages = Pages::from_bytes(b"before");
        let copy = pages.clone();
        pages.write(b"AFTER", 0);
        assert_eq!(bytes(&copy), b"before");
        assert_eq!(bytes(&pages), b"AFTERe");
    }

    #[test]
    fn growing_by_a_terabyte_takes_no_page() {
        let mut pages = Pages::from_bytes(b"x");
        pages.set_len_to(1 << 40);
        pages.set_len_to(1 << 20);
        assert_eq!((pages.len(), pages.pages.len()), (1 << 20, 1));
    }

    #[test]
    fn zeros_written_into_a_hole_take_no_page() {
        let mut pages = Pages::default();
        pages.write(&[0; 100_000], 5);
        assert_eq!((pages.len(), pages.pages.len()), (100_005, 0));
    }
}
