//! Values too long for a leaf: the reference in the leaf and the body of the extent.
//!
//! A value above the leaf's inline limit lies in an extent of its own (one page header, then consecutive bytes, so a
//! read gives one slice). The reference moves with the leaf's entry; the extent itself is never copied by a merge.
//!
//! Reference, 24 bytes in a leaf record:
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | u64 | first page of the extent |
//! | 8 | u64 | stamp of the extent |
//! | 16 | u32 | pages of the extent |
//! | 20 | u32 | length of the value in bytes |
//!
//! Body of the extent:
//!
//! | offset | type | what |
//! |---|---|---|
//! | 0 | u64 | length of the value in bytes |
//! | 8 | bytes | the value; zeros up to the end of the extent |
//!
//! This file does not decide which values overflow (`leaf` does) and does no I/O.

use crate::bytes::{u32_at, u64_at};
use crate::error::Decoded;
use halodb_pager::{PAGE_HEADER_LEN, PageId, PageRef, Stamp};

/// Bytes of a reference.
pub(crate) const REF_LEN: usize = 24;
const REF_ID: usize = 0;
const REF_STAMP: usize = 8;
const REF_PAGES: usize = 16;
const REF_VALUE_LEN: usize = 20;
const _: () = assert!(REF_STAMP == REF_ID + 8 && REF_PAGES == REF_STAMP + 8);
const _: () = assert!(REF_VALUE_LEN == REF_PAGES + 4 && REF_LEN == REF_VALUE_LEN + 4);

/// Bytes before the value in the extent's body.
const HEADER_LEN: usize = 8;

/// Whether there are overflow extents below a page: what frees a subtree reads only leaves that have some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// None.
    None,
    /// One at least.
    Some,
}

impl Overflow {
    /// Of two parts together.
    pub(crate) fn or(self, other: Overflow) -> Overflow {
        if self == Overflow::Some { self } else { other }
    }
}

/// Where a long value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OverflowRef {
    /// Its extent.
    pub(crate) at: PageRef,
    /// Its length in bytes.
    pub(crate) len: u32,
}

impl OverflowRef {
    /// The stored form.
    pub(crate) fn encode(self) -> [u8; REF_LEN] {
        let mut out = [0; REF_LEN];
        out[REF_ID..REF_STAMP].copy_from_slice(&self.at.id.0.to_le_bytes());
        out[REF_STAMP..REF_PAGES].copy_from_slice(&self.at.stamp.raw().to_le_bytes());
        out[REF_PAGES..REF_VALUE_LEN].copy_from_slice(&self.at.pages.to_le_bytes());
        out[REF_VALUE_LEN..].copy_from_slice(&self.len.to_le_bytes());
        out
    }

    /// From the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Decoded<OverflowRef> {
        let read = || {
            Some(OverflowRef {
                at: PageRef {
                    id: PageId(u64_at(bytes, REF_ID)?),
                    stamp: Stamp::from_raw(u64_at(bytes, REF_STAMP)?),
                    pages: u32_at(bytes, REF_PAGES)?,
                },
                len: u32_at(bytes, REF_VALUE_LEN)?,
            })
        };
        let reference = read().ok_or("an overflow reference is cut off")?;
        if reference.at.pages == 0 {
            return Err("an overflow reference states an extent of no page");
        }
        Ok(reference)
    }
}

/// Pages of the extent for a value of `len` bytes.
pub(crate) fn extent_pages(page_size: u32, len: usize) -> u32 {
    (PAGE_HEADER_LEN + HEADER_LEN + len).div_ceil(page_size as usize) as u32
}

/// Replaces `out` by the extent's body.
pub(crate) fn encode(value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.reserve(HEADER_LEN + value.len());
    out.extend_from_slice(&(value.len() as u64).to_le_bytes());
    out.extend_from_slice(value);
}

/// The value in an extent's body; its length must be the one that the reference states.
pub(crate) fn value(body: &[u8], len: u32) -> Decoded<&[u8]> {
    if u64_at(body, 0) != Some(u64::from(len)) {
        return Err("an overflow extent holds a value of another length than its leaf states");
    }
    body.get(HEADER_LEN..HEADER_LEN + len as usize).ok_or("a value is longer than its overflow extent")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn references_and_bodies_come_back() {
        let reference = OverflowRef { at: PageRef { id: PageId(7), stamp: Stamp::new(3, 9), pages: 2 }, len: 5000 };
        assert_eq!(OverflowRef::decode(&reference.encode()), Ok(reference));
        assert!(OverflowRef::decode(&reference.encode()[..23]).is_err());
        assert!(OverflowRef::decode(&[0; REF_LEN]).is_err());
        let mut body = Vec::new();
        encode(b"a long value", &mut body);
        body.resize(100, 0);
        assert_eq!(value(&body, 12), Ok(&b"a long value"[..]));
        assert!(value(&body, 11).is_err());
        encode(b"a long value", &mut body);
        assert!(value(&body[..19], 12).is_err());
    }

    #[test]
    fn an_extent_has_room_for_both_headers_and_the_value() {
        assert_eq!(extent_pages(4096, 0), 1);
        assert_eq!(extent_pages(4096, 4096 - 40), 1);
        assert_eq!(extent_pages(4096, 4096 - 39), 2);
        assert_eq!(extent_pages(4096, 1 << 30), (1 << 18) + 1);
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(bytes: Vec<u8>, len: u32) {
            let _ = OverflowRef::decode(&bytes);
            let _ = value(&bytes, len);
        }
    }
}
