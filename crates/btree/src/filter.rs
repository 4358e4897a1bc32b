//! The filters of the leaves below one branch of level 1, in one extent beside that branch.
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | u32 | number of leaves `n`, as many as the branch has children |
//! | 4 | u32 | zero |
//! | 8 + 24·i | u64 | page of leaf `i` |
//! | 16 + 24·i | u64 | stamp of leaf `i` |
//! | 24 + 24·i | u32 | offset of its filter in this body (a multiple of 32) |
//! | 28 + 24·i | u32 | length of its filter in bytes (a multiple of 32; 0: none) |
//! | … | bytes | the filters (`halodb-bloom`), over the keys' xxh3-64 |
//!
//! A filter counts only if page and stamp equal the branch's child entry: it was then built from exactly the keys of
//! that leaf, and its "no" needs no look at the leaf. In any doubt there is no filter.

use crate::bytes::{padded, u32_at, u64_at};
use crate::error::Decoded;
use crate::fields;
use halodb_pager::inspect::Field;
use halodb_pager::{PAGE_HEADER_LEN, PageId, PageRef, Stamp};

const COUNT: usize = 0;
const HEADER_LEN: usize = 8;
const SLOT_LEN: usize = 24;
const SLOT_ID: usize = 0;
const SLOT_STAMP: usize = 8;
const SLOT_OFFSET: usize = 16;
const SLOT_LENGTH: usize = 20;
const _: () = assert!(SLOT_STAMP == SLOT_ID + 8 && SLOT_OFFSET == SLOT_STAMP + 8);
const _: () = assert!(SLOT_LENGTH == SLOT_OFFSET + 4 && SLOT_LEN == SLOT_LENGTH + 4);

/// Blocks of the filter begin at multiples of their size.
const BLOCK: usize = 32;

/// Replaces `out` by the body for `leaves`: each leaf's page and its filter (empty: none).
pub(crate) fn encode<'a>(leaves: impl ExactSizeIterator<Item = (PageRef, &'a [u8])> + Clone, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&(leaves.len() as u32).to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    let first = padded(HEADER_LEN + SLOT_LEN * leaves.len(), BLOCK);
    let mut offset = first;
    for (leaf, filter) in leaves.clone() {
        out.extend_from_slice(&leaf.id.0.to_le_bytes());
        out.extend_from_slice(&leaf.stamp.raw().to_le_bytes());
        out.extend_from_slice(&(offset as u32).to_le_bytes());
        out.extend_from_slice(&(filter.len() as u32).to_le_bytes());
        offset += filter.len();
    }
    out.resize(first, 0);
    for (_, filter) in leaves {
        out.extend_from_slice(filter);
    }
}

/// Pages of the extent for a body of `len` bytes.
pub(crate) fn extent_pages(page_size: u32, len: usize) -> u32 {
    (PAGE_HEADER_LEN + len).div_ceil(page_size as usize) as u32
}

/// The body of a filter extent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filters<'a> {
    body: &'a [u8],
    count: usize,
}

impl<'a> Filters<'a> {
    /// Checks that the directory fits the body.
    pub(crate) fn parse(body: &'a [u8]) -> Decoded<Filters<'a>> {
        let count = u32_at(body, COUNT).ok_or("a filter extent is shorter than its header")? as usize;
        let room = body.len().saturating_sub(HEADER_LEN) / SLOT_LEN;
        if count > room {
            return Err("a filter extent states more leaves than fit it");
        }
        Ok(Filters { body, count })
    }

    /// Number of leaves.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The parts of the body.
    pub(crate) fn fields(&self) -> Vec<Field> {
        let slots = HEADER_LEN + SLOT_LEN * self.count;
        let ends = [
            (4, "number of leaves"),
            (HEADER_LEN, "zero"),
            (slots, "leaves: page, stamp, offset, length"),
            (padded(slots, BLOCK), "zero"),
            (self.body.len(), "filters"),
        ];
        fields::up_to(self.body.len(), &ends)
    }

    fn slot(&self, index: usize) -> Option<&'a [u8]> {
        if index < self.count { self.body.get(HEADER_LEN + SLOT_LEN * index..) } else { None }
    }

    /// The leaf whose keys filter `index` was built from.
    pub(crate) fn leaf(&self, index: usize) -> Option<PageRef> {
        let slot = self.slot(index)?;
        let stamp = Stamp::from_raw(u64_at(slot, SLOT_STAMP)?);
        Some(PageRef { id: PageId(u64_at(slot, SLOT_ID)?), stamp, pages: 1 })
    }

    /// The filter of child `index`, if it was built for exactly this writing of exactly this leaf.
    pub(crate) fn get(&self, index: usize, leaf: PageRef) -> Option<&'a [u8]> {
        let slot = self.slot(index)?;
        if u64_at(slot, SLOT_ID)? != leaf.id.0 || u64_at(slot, SLOT_STAMP)? != leaf.stamp.raw() {
            return None;
        }
        let offset = u32_at(slot, SLOT_OFFSET)? as usize;
        let len = u32_at(slot, SLOT_LENGTH)? as usize;
        self.body.get(offset..offset.checked_add(len)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halodb_pager::{PageId, Stamp};
    use proptest::prelude::*;

    fn leaf(id: u64) -> PageRef {
        PageRef { id: PageId(id), stamp: Stamp::new(1, id * 10), pages: 1 }
    }

    #[test]
    fn a_filter_is_found_only_for_the_page_and_stamp_it_was_built_for() {
        let mut body = Vec::new();
        encode([(leaf(5), &[1u8; 32][..]), (leaf(6), &[][..]), (leaf(9), &[3u8; 64][..])].into_iter(), &mut body);
        let filters = Filters::parse(&body).unwrap();
        assert_eq!(filters.len(), 3);
        assert_eq!(filters.get(0, leaf(5)), Some(&[1u8; 32][..]));
        assert_eq!(filters.get(1, leaf(6)), Some(&[][..]));
        assert_eq!(filters.get(2, leaf(9)), Some(&[3u8; 64][..]));
        assert_eq!(filters.get(0, leaf(6)), None);
        assert_eq!(filters.get(0, PageRef { stamp: Stamp::new(1, 51), ..leaf(5) }), None);
        assert_eq!(filters.get(3, leaf(5)), None);
        assert!(Filters::parse(&body[..40]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_filter_or_none(bytes: Vec<u8>, index in 0usize..4) {
            if let Ok(filters) = Filters::parse(&bytes) {
                let _ = filters.get(index, leaf(0));
                let _ = filters.get(index, PageRef { id: PageId(0), stamp: Stamp::from_raw(0), pages: 1 });
            }
        }
    }
}
