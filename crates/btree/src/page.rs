//! The kinds of pages a tree is made of, and the limits that follow from the page size.
//!
//! The pager does not interpret these numbers; they are persistent and never change their meaning.

use halodb_pager::{PAGE_HEADER_LEN, PageKind};

/// Kind of a leaf page: entries, level 0.
pub const LEAF: PageKind = PageKind(1);
/// Kind of a branch page: children and separators, level 1 and up.
pub const BRANCH: PageKind = PageKind(2);
/// Kind of an overflow extent: one value.
pub const OVERFLOW: PageKind = PageKind(3);
/// Kind of a filter extent: the filters of all leaves below one branch of level 1.
pub const FILTER: PageKind = PageKind(4);

/// Longest value: 1 GiB.
pub const MAX_VALUE_LEN: usize = 1 << 30;

/// Longest key in bytes for a page size: a quarter page, and 16 bytes for the prefix a layer above may add.
///
/// ```
/// assert_eq!(halodb_btree::max_key_len(16_384), 4_112);
/// ```
pub const fn max_key_len(page_size: u32) -> usize {
    page_size as usize / 4 + 16
}

/// Bytes of the body of an ordinary page.
pub(crate) const fn body_len(page_size: u32) -> usize {
    page_size as usize - PAGE_HEADER_LEN
}
