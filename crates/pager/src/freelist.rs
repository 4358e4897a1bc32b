//! The stored free list: all pages that a commit leaves free or pending, so that opening a file need not scan it.
//!
//! A chain of pages of kind 250, each with the usual header and then
//!
//! ```text
//! offset  size
//!     32     8  next        id of the next page of the list, 0: none
//!     40     8  next stamp  0 if there is none
//!     48     4  count       extents in this page
//!     52     4  length      bytes that they take
//!     56        extents     pairs of LEB128 numbers: gap, pages
//! ```
//!
//! The extents ascend through the whole chain. A gap counts the pages between the end of the extent before and the
//! beginning of this one; before the first extent stands page 2. Extents are never empty and never touch, so only the
//! first gap can be 0. The pages of the list itself are not in it.
//!
//! This file knows bytes; which pages a commit lists, and where the list is put, is decided in the transaction.

use crate::bytes::{push_varint, put, u32_at, u64_at, varint};
use crate::id::{FIRST_PAGE, PageId, PageRef, Stamp};

// Offsets in the body, which begins at byte 32 of the page.
const NEXT: usize = 0;
const NEXT_STAMP: usize = NEXT + 8;
const COUNT: usize = NEXT_STAMP + 8;
const LENGTH: usize = COUNT + 4;
const EXTENTS: usize = LENGTH + 4;
const _: () = assert!(EXTENTS == 24);

/// One page of the list, without its place in the chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListPage {
    count: u32,
    extents: Vec<u8>,
}

impl ListPage {
    /// The body, pointing to the next page.
    pub(crate) fn body(&self, next: Option<PageRef>) -> Vec<u8> {
        let mut out = vec![0; EXTENTS];
        if let Some(next) = next {
            put(&mut out, NEXT, &next.id.0.to_le_bytes());
            put(&mut out, NEXT_STAMP, &next.stamp.raw().to_le_bytes());
        }
        put(&mut out, COUNT, &self.count.to_le_bytes());
        put(&mut out, LENGTH, &(self.extents.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.extents);
        out
    }
}

/// Spreads ascending, disjoint, not touching extents (first page, length) over pages of `body_len` bytes.
pub(crate) fn encode(extents: &[(u64, u64)], body_len: usize) -> Vec<ListPage> {
    let room = body_len - EXTENTS;
    let mut pages = Vec::new();
    let mut page = ListPage::default();
    let mut pair = Vec::new();
    let mut end = FIRST_PAGE;
    for &(start, len) in extents {
        pair.clear();
        push_varint(&mut pair, start - end);
        push_varint(&mut pair, len);
        if page.extents.len() + pair.len() > room {
            pages.push(std::mem::take(&mut page));
        }
        page.extents.extend_from_slice(&pair);
        page.count += 1;
        end = start + len;
    }
    if page.count > 0 {
        pages.push(page);
    }
    pages
}

/// Reads a chain page by page.
#[derive(Debug)]
pub(crate) struct Decoder {
    page_count: u64,
    end: u64,
    extents: Vec<(u64, u64)>,
    free_pages: u64,
}

impl Decoder {
    /// For the list of a commit whose file has `page_count` pages.
    pub(crate) fn new(page_count: u64) -> Self {
        Decoder { page_count, end: FIRST_PAGE, extents: Vec::new(), free_pages: 0 }
    }

    /// Reads the body of the next page; gives the one after it, not yet checked against the file's bounds.
    pub(crate) fn page(&mut self, body: &[u8]) -> Result<Option<PageRef>, String> {
        let Some(head) = body.get(..EXTENTS) else {
            return Err(format!("a free-list page with a body of {} bytes", body.len()));
        };
        let next = u64_at(head, NEXT);
        let stamp = u64_at(head, NEXT_STAMP);
        let count = u32_at(head, COUNT);
        let length = u32_at(head, LENGTH) as usize;
        let Some(mut stream) = body[EXTENTS..].get(..length) else {
            return Err(format!("a free-list page states {length} bytes of extents, more than it has room for"));
        };
        if body[EXTENTS + length..].iter().any(|b| *b != 0) {
            return Err("unused bytes of a free-list page are not zero".into());
        }
        for _ in 0..count {
            self.extent(&mut stream)?;
        }
        if !stream.is_empty() {
            return Err(format!("{} bytes follow the last extent of a free-list page", stream.len()));
        }
        match (next, stamp) {
            (0, 0) => Ok(None),
            (0, _) => Err("a free-list page without a next page states its stamp".into()),
            _ => Ok(Some(PageRef { id: PageId(next), stamp: Stamp::from_raw(stamp), pages: 1 })),
        }
    }

    fn extent(&mut self, stream: &mut &[u8]) -> Result<(), String> {
        let (Some(gap), Some(len)) = (varint(stream), varint(stream)) else {
            return Err("a free-list page ends inside an extent".into());
        };
        if len == 0 || (gap == 0 && !self.extents.is_empty()) {
            return Err(format!("an extent of {len} pages after a gap of {gap} in the free list"));
        }
        let start = self.end.checked_add(gap);
        let end = start.and_then(|s| s.checked_add(len)).filter(|end| *end <= self.page_count);
        let (Some(start), Some(end)) = (start, end) else {
            return Err(format!(
                "the free list names {len} pages, {gap} pages after page {}, in a file of {} pages",
                self.end, self.page_count
            ));
        };
        self.extents.push((start, len));
        self.free_pages += len;
        self.end = end;
        Ok(())
    }

    /// All extents and the number of pages in them.
    pub(crate) fn finish(self) -> (Vec<(u64, u64)>, u64) {
        (self.extents, self.free_pages)
    }
}

/// Whether a page is in ascending extents.
pub(crate) fn contains(extents: &[(u64, u64)], page: u64) -> bool {
    let after = extents.partition_point(|(start, _)| *start <= page);
    after > 0 && extents[after - 1].0 + extents[after - 1].1 > page
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(pages: &[Vec<u8>], page_count: u64) -> Result<Vec<(u64, u64)>, String> {
        let mut decoder = Decoder::new(page_count);
        for body in pages {
            decoder.page(body)?;
        }
        Ok(decoder.finish().0)
    }

    proptest! {
        #[test]
        fn a_list_comes_back_however_it_falls_on_pages(
            gaps in proptest::collection::vec((1u64..300, 1u64..20_000), 0..300),
            body_len in 60usize..400,
        ) {
            let mut end = 1;
            let extents: Vec<(u64, u64)> = gaps
                .iter()
                .map(|(gap, len)| {
                    let start = end + gap;
                    end = start + len;
                    (start, *len)
                })
                .collect();
            let mut bodies: Vec<Vec<u8>> = encode(&extents, body_len).iter().map(|p| p.body(None)).collect();
            for body in &mut bodies {
                prop_assert!(body.len() <= body_len);
                body.resize(body_len, 0);
            }
            prop_assert_eq!(decode(&bodies, end), Ok(extents.clone()));
            if !extents.is_empty() {
                prop_assert!(decode(&bodies, end - 1).is_err());
            }
            for (start, len) in &extents {
                prop_assert!(contains(&extents, *start) && contains(&extents, start + len - 1));
                prop_assert!(!contains(&extents, start + len));
            }
        }

        #[test]
        fn any_bytes_give_a_list_or_an_error(body in proptest::collection::vec(any::<u8>(), 0..100), count in 0u32..4) {
            let mut body = body;
            if body.len() > EXTENTS {
                put(&mut body, COUNT, &count.to_le_bytes());
                let len = (body.len() - EXTENTS) as u32;
                put(&mut body, LENGTH, &len.to_le_bytes());
            }
            let _ = decode(&[body], 1 << 40);
        }
    }

    #[test]
    fn lists_that_no_commit_writes_are_refused() {
        let check = |count: u32, extents: &[u8], expected: &str| {
            let body = ListPage { count, extents: extents.to_vec() }.body(None);
            let error = decode(&[body], 100).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(1, &[0, 0], "an extent of 0 pages");
        check(2, &[0, 1, 0, 1], "after a gap of 0");
        check(1, &[0, 99], "in a file of 100 pages");
        check(1, &[98, 1], "in a file of 100 pages");
        check(1, &[0], "ends inside an extent");
        check(1, &[0, 1, 1, 1], "2 bytes follow");
        check(1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1], "in a file of 100 pages");
    }
}
